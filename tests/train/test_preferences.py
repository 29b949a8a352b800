"""The file of preferences that tiny models fill: its columns, its interruptions, its summary, its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import DataError
from dermiq.review.sets.sources import import_pairs
from dermiq.review.store.store import Store
from dermiq.vlm.load import VLM, load_vlm
from tests.tiny import save_tiny
from tests.train.stage_runs import drawn_score, make_table
from train import preferences
from train.cases.examples import ChatOptions
from train.cases.sources import Item, Measured, Row, read_source
from train.options import load
from train.preferences import Options, Pairs, cases_file, described, main, summarised, write_pairs
from train.scoring.proxy import PARTS, ProxySettings


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> VLM:
    return load_vlm(str(save_tiny("llava", tmp_path_factory.mktemp("model"))), device="cpu", fast=False)


@pytest.fixture
def rows(tmp_path: Path) -> list[Item]:
    return read_source(str(make_table(tmp_path / "data", 4)), "train")


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "score", drawn_score)


SETTINGS = ProxySettings(new_tokens=6, follow_up_share=0.5, max_length_ratio=0, min_margin=0.01)


def filled(rows: list[Item], vlm: VLM, file: Path, settings: ProxySettings = SETTINGS, **more: Any) -> Any:
    measured = Measured(file.parent / "measured")
    return write_pairs(rows, vlm, measured, settings, ChatOptions(facts=1), file=file, seed=1, **more)


@pytest.mark.usefixtures("telling")
def test_the_file_is_read_back_in_the_columns_of_dpo(rows: list[Item], vlm: VLM, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    summary = filled(rows, vlm, file)
    assert summary.cases == 4
    assert summary.pairs > 0
    columns = ("prompt", "chosen", "rejected")
    read = read_source(str(file), "train", columns=columns)
    assert len(read) == summary.pairs
    measured = Measured(tmp_path / "measured")
    by_group = {row.group: row for row in rows}
    for item, line in zip(read, map(json.loads, file.read_text().splitlines()), strict=True):
        example = item.load()
        row = by_group[item.group]
        assert isinstance(row, Row)
        assert Path(line["images"][0]) == Path(row.image).relative_to(tmp_path)  # both can be moved together
        assert example["images"][0].tobytes() == measured.window(row.image).tobytes()
        assert [turn["role"] for turn in example["prompt"]][-1] == "user"
        assert [[turn["role"] for turn in example[side]] for side in columns[1:]] == [["assistant"]] * 2
        assert example["chosen"] != example["rejected"]
        assert example["margin"] >= SETTINGS.min_margin
        assert example["reasons"]
        assert example["made"]["revision"] == vlm.revision
        assert item.kind == row.label
    assert not read_source(str(file), "val", columns=columns)


@pytest.mark.usefixtures("telling")
@pytest.mark.parametrize("killed_at", ["between cases", "between the files", "inside a line"])
def test_a_file_that_was_interrupted_becomes_the_unbroken_one(
    killed_at: str, rows: list[Item], vlm: VLM, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    filled(rows, vlm, whole)
    counts = []
    filled(rows, vlm, broken, progress=lambda done, total: counts.append(done), stop=lambda: counts[-1:] == [2])
    assert counts == [0, 1, 2]
    if killed_at == "between the files":  # the pairs of the next case are written, that it is done is not
        lines = whole.read_text().splitlines(keepends=True)
        broken.write_text("".join(lines[: len(broken.read_text().splitlines()) + 1]))
    if killed_at == "inside a line":
        for file in (broken, cases_file(broken)):
            file.write_text(file.read_text() + '{"case": "torn')
    summary = filled(rows, vlm, broken)
    assert summary.left == 0
    assert broken.read_bytes() == whole.read_bytes()
    assert cases_file(broken).read_bytes() == cases_file(whole).read_bytes()


@pytest.mark.usefixtures("telling")
def test_two_models_answer_and_each_pair_is_of_both(rows: list[Item], vlm: VLM, tmp_path: Path) -> None:
    against = load_vlm(str(save_tiny("smolvlm", tmp_path / "other")), device="cpu", fast=False)
    file = tmp_path / "pairs.jsonl"
    summary = filled(rows, vlm, file, against=against)
    both = [{"model": Path(one.name).name, "revision": one.revision} for one in (vlm, against)]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines
    assert all(line["models"] in ({"chosen": a, "rejected": b} for a, b in (both, both[::-1])) for line in lines)
    assert summary.answers == 2 * SETTINGS.answers * summary.questions
    won = sum(line["models"]["chosen"] == both[1] for line in lines)
    assert summary.chosen_against == pytest.approx(won / len(lines), abs=1e-3)
    alone = tmp_path / "alone.jsonl"
    filled(rows, vlm, alone)
    texts = [json.loads(line)["questions"][0]["answers"] for line in cases_file(file).read_text().splitlines()[1:]]
    own = [json.loads(line)["questions"][0]["answers"] for line in cases_file(alone).read_text().splitlines()[1:]]
    assert [[a for a in answers if not a.get("against")] for answers in texts] == own  # the first model's are the same
    with pytest.raises(DataError, match="begun with another against"):
        filled(rows, vlm, file)
    store = Store.open(tmp_path / "review")
    assert import_pairs(store, file, by="ana").pairs == len(lines)
    for view in store.pairs():
        assert view.pair.source == "checkpoints"
        assert {view.first.model, view.second.model} == {model["model"] for model in both}
    store.close()


def test_cases_without_a_pair_are_done_too(rows: list[Item], vlm: VLM, tmp_path: Path) -> None:
    """A tiny model's noise, scored in earnest: nothing is preferred, and nothing is asked again."""
    file = tmp_path / "pairs.jsonl"
    summary = filled(rows, vlm, file)
    assert (summary.cases, summary.pairs, summary.answers) == (4, 0, 16)
    assert sum(summary.dropped.values()) == 24
    before = cases_file(file).read_bytes()
    counts: list[int] = []
    filled(rows, vlm, file, progress=lambda done, total: counts.append(done))
    assert counts == [4]
    assert cases_file(file).read_bytes() == before


def test_a_text_with_a_separator_of_unicode_is_no_torn_line(tmp_path: Path) -> None:
    """As somebody's editor or script saves the file; it was dropped when the command went on."""
    file = tmp_path / "pairs.jsonl"
    cases_file(file).write_text(json.dumps({"made": {}}) + "\n" + json.dumps({"case": "0.png"}) + "\n")
    line = json.dumps({"case": "0.png", "chosen": "one\u2028two\x85three"}, ensure_ascii=False) + "\n"
    file.write_text(line, encoding="utf-8")
    assert Pairs(file, {}).done == {"0.png"}
    assert file.read_text(encoding="utf-8") == line


def test_another_setting_is_refused(rows: list[Item], vlm: VLM, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    filled(rows[:1], vlm, file)
    with pytest.raises(DataError, match=r"another settings.temperature \(0.8, now 0.5\)"):
        filled(rows, vlm, file, replace(SETTINGS, temperature=0.5))
    cases_file(file).unlink()
    with pytest.raises(DataError, match="name another file"):
        filled(rows, vlm, file)


def test_labels_that_are_no_class_are_refused(vlm: VLM, tmp_path: Path) -> None:
    rows = read_source(str(make_table(tmp_path / "free", 2, label=["a mole", "melanoma"])), "train", labels="text")
    with pytest.raises(DataError, match="2 example"):
        filled(rows, vlm, tmp_path / "pairs.jsonl")


@pytest.mark.parametrize(
    "boxes", [[[0, 0, 5, 5]] * 2, [[5, 0, 5, 9]], [[0, 0, 5]], [[0, 0, 5.5, 9]], [0, 0, 5, 5], "x"]
)
def test_boxes_that_are_none_are_refused(boxes: Any, tmp_path: Path) -> None:
    make_table(tmp_path / "data", 1)
    file = tmp_path / "data" / "x.jsonl"
    file.write_text(json.dumps({"images": ["0.png"], "boxes": boxes, "prompt": "?", "completion": "!"}))
    with pytest.raises(DataError, match="line 1: boxes must hold"):
        read_source(str(file), "train")


def test_a_box_outside_its_image_is_refused(tmp_path: Path) -> None:
    make_table(tmp_path / "data", 1)
    line = {"images": ["0.png"], "prompt": "?", "completion": "!"}
    file = tmp_path / "data" / "x.jsonl"
    boxes = ([[1, 2, 4, 9]], [None], [[9_000, 0, 9_100, 5]])
    file.write_text("\n".join(json.dumps({**line, "boxes": box}) for box in boxes))
    cut, whole, outside = read_source(str(file), "train")
    assert cut.load()["images"][0].size == (7, 3)
    assert whole.load()["images"][0].size > (7, 3)
    with pytest.raises(DataError, match="nothing in the box"):
        outside.load()


def test_the_summary_counts() -> None:
    answers = [
        {"text": "a", "ended": True, "words": 10, "parts": {**dict.fromkeys(PARTS), "correctness": 1.0}},
        {"text": "b", "ended": False, "words": 20, "parts": {**dict.fromkeys(PARTS), "correctness": 0.0}},
    ]
    pair = {"chosen": 0, "rejected": 1, "margin": 0.5, "decided_by": "correctness"}
    asked = {"answers": answers, "pairs": [pair], "dropped": {}}
    other = {"answers": answers, "pairs": [], "dropped": {"too close": 1}}
    found = summarised([{"questions": [asked, other]}, {"questions": [other]}])
    assert (found.cases, found.cases_with_pair, found.questions, found.follow_ups, found.answers) == (2, 1, 3, 1, 6)
    assert (found.cut_off, found.right, found.pairs, found.margin) == (3, 0.5, 1, 0.5)
    assert found.dropped == {"too close": 2}
    assert (found.judged["correctness"], found.judged["form"]) == (1.0, 0.0)
    assert (found.chosen["correctness"], found.rejected["correctness"], found.chosen["form"]) == (1.0, 0.0, None)
    assert (found.words_chosen, found.words_rejected, found.chosen_longer) == (10.0, 20.0, 0.0)
    assert "1 pairs, mean margin 0.5" in described(found)


# --- the command ----------------------------------------------------------------------------


def test_the_command_from_flags_to_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, table = save_tiny("smolvlm", tmp_path / "model"), make_table(tmp_path / "data", 3)
    flags = ["--model", str(model), "--data", str(table), "--device", "cpu", "--answers", "2", "--new-tokens", "4"]
    flags += ["--images", "2", "--facts", "1", "--no-window", "--out", str(tmp_path / "pairs.jsonl"), "--json"]
    assert main(flags) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert (summary["cases"], summary["answers"]) == (2, 4)
    assert "2 of 2 cases" in shown.err
    assert main(flags) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == summary
    assert "2 of 2 cases are done already" in shown.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--out pairs.jsonl"),
        (["--out", "pairs.csv"], "must name a .jsonl file"),
        (["--out", "x.jsonl", "--answers", "1"], "at least 2"),
        (["--out", "x.jsonl", "--weights.form", "-1"], "at least 0"),
        (["--out", "x.jsonl", "--data", "nothing.csv"], "does not exist"),
        (["--out", "x.jsonl", "--model", "nowhere"], "no model"),
        (["--out", "x.jsonl", "--against", "nowhere"], "no model"),
        (["--out", "x.jsonl", "--against", "nano"], "against names the same model"),
    ],
)
def test_what_the_command_refuses(
    flags: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--data" not in flags:
        flags = [*flags, "--data", str(make_table(tmp_path / "data", 1))]
    assert main(flags) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x.jsonl").exists()


def test_options_are_one_level_but_for_weights() -> None:
    made = load(Options, ["--answers", "8", "--weights.relevance", "2", "--told-share", "0"])
    assert (made.answers, made.weights.relevance, made.told_share) == (8, 2.0, 0.0)
