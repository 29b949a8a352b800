"""Preferences by the graph: parts and pairs of hand-made answers, and the file that tiny models fill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import DataError
from dermiq.knowledge import Graph
from dermiq.types import Finding
from dermiq.vlm.load import VLM, load_vlm
from tests.stage_runs import drawn_score, make_table
from tests.tiny import save_tiny
from train import preferences
from train.cases import Item, Measured, read_source
from train.examples import ChatOptions
from train.options import load
from train.preferences import Options, cases_file, described, main, summarised, write_pairs
from train.proxy import PARTS, ProxySettings, Question, Scored, Weights, choose_pairs, margin_of, score

ASYMMETRIC = Finding("asymmetry", "asymmetry", 0.5, "", "asymmetric about both axes", "")
TEXT = """<think>
1. Findings: The lesion is asymmetric about both axes.
2. Differential: {first} leads; benign keratosis is the main alternative.
3. Knowledge: {knowledge}
4. Conclusion: The image as a whole fits {conclusion} best.
</think>
<answer>{answer}</answer>
{explanation}"""
NETWORK = "Dermoscopy of melanoma typically shows an atypical pigment network"
MALIGNANT = "Melanoma is malignant"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


@pytest.fixture(scope="module")
def question(graph: Graph) -> Question:
    texts = {fact.text: fact for fact in graph.all_facts}
    return Question("mel", (ASYMMETRIC,), {1: texts[f"{NETWORK}."], 2: texts[f"{MALIGNANT}."]})


def written(knowledge: str, *, first: str = "Melanoma", answer: str = "melanoma", **words: str) -> str:
    asked = {"conclusion": answer, "explanation": f"This looks most like {answer}.", **words}
    return TEXT.format(knowledge=knowledge, first=first, answer=answer, **asked)


def judged(graph: Graph, question: Question, *texts: str) -> list[Scored]:
    return [score(graph, text, question) for text in texts]


# --- one answer -----------------------------------------------------------------------------


def test_a_good_answer_by_part(graph: Graph, question: Question) -> None:
    (found,) = judged(graph, question, written(f"{NETWORK} [F1]. {MALIGNANT} [F2]."))
    assert found.parts == {**dict.fromkeys(PARTS, 1.0), "relevance": 1.0, "completeness": 0.5}
    assert [key for claim in found.claims for key in claim.fact_ids] == [fact.id for fact in question.facts.values()]
    assert not any(found.notes.values())


@pytest.mark.parametrize(
    ("part", "value", "text"),
    [
        ("accuracy", 0.5, written(f"{NETWORK} [F1]. Melanoma is benign [F2].")),
        ("relevance", 0.75, written("Dermatofibroma is benign.")),
        ("completeness", 0.0, written("Melanoma is benign.")),
        ("correctness", 0.0, written(f"{MALIGNANT}.", answer="melanocytic nevus")),
        ("findings", 0.0, written(f"{MALIGNANT}.").replace("is asymmetric about both axes", "is symmetric")),
        ("citations", 0.5, written(f"{NETWORK} [F1]. {MALIGNANT} [F1].")),
        ("citations", 0.0, written(f"{MALIGNANT} [F7].")),
        ("citations", 0.0, written(f"{MALIGNANT}.", explanation="Dermatofibroma is possible [F1].")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", conclusion="melanocytic nevus")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", explanation="The image fits melanocytic nevus best.")),
        ("consistency", 0.0, written(f"{MALIGNANT}.", explanation="Nevus should be considered before nevus.")),
        ("form", 0.833, written(f"{MALIGNANT}.").replace("</think>", "")),
        ("form", 0.833, written(f"{MALIGNANT}. {MALIGNANT}.")),
    ],
)
def test_what_lowers_a_part(part: str, value: float, text: str, graph: Graph, question: Question) -> None:
    assert score(graph, text, question).parts[part] == value


def test_what_cannot_be_judged_is_none(graph: Graph) -> None:
    found = score(graph, "I do not know.", Question(None))
    assert found.parts == {**dict.fromkeys(PARTS), "form": 0.0}
    found = score(graph, written("Nothing is known."), Question("mel"))  # nothing was measured, shown or stated
    assert [part for part in PARTS if found.parts[part] is None] == ["accuracy", "findings", "citations"]


def test_a_cut_answer_has_no_form(graph: Graph, question: Question) -> None:
    found = score(graph, written(f"{MALIGNANT}."), question, ended=False)
    assert found.parts["form"] == 0.0
    assert "cut off" in found.notes["form"]


def test_a_list_of_other_facts_or_of_the_same_one_earns_nothing(graph: Graph, question: Question) -> None:
    plain, same, others = judged(
        graph,
        question,
        written(f"{MALIGNANT} [F2]."),
        written(f"{MALIGNANT} [F2]. {MALIGNANT} [F2]. {MALIGNANT} [F2]."),
        written(f"{MALIGNANT} [F2]. Dermatofibroma is benign. Melanocytic nevus is benign."),
    )
    weights = Weights().as_mapping()
    for other in (same, others):
        margin = margin_of(plain, other, weights)
        assert margin is not None
        assert margin > 0


def test_a_follow_up_is_complete_where_it_tells_what_was_given(graph: Graph, question: Question) -> None:
    given = tuple(question.facts.values())
    later = replace(question, text="Is it malignant?", given=given, is_follow_up=True)
    half, whole, lost = judged(
        graph,
        later,
        f"{MALIGNANT} [F2]. I keep to my answer: this looks most like melanoma.",
        f"{MALIGNANT} [F2]. {NETWORK} [F1].",
        f"{MALIGNANT} [F2]. This looks most like dermatofibroma.",
    )
    assert [answer.parts["completeness"] for answer in (half, whole)] == [0.5, 1.0]
    assert [answer.parts["correctness"] for answer in (half, whole, lost)] == [1.0, None, 0.0]
    assert half.parts["consistency"] is None
    assert score(graph, "<answer>melanoma</answer>", later).parts["form"] == 0.0


# --- pairs ----------------------------------------------------------------------------------


def made(text: str = "a b c", *, ended: bool = True, **parts: float | None) -> Scored:
    return Scored(text, ended, {**dict.fromkeys(PARTS), "accuracy": 1.0, "correctness": 1.0, **parts})


def test_supported_beats_contradicted(graph: Graph, question: Question) -> None:
    good, bad = written(f"{MALIGNANT} [F2]."), written("Melanoma is benign [F2].")
    (pair,) = choose_pairs(judged(graph, question, bad, good), ProxySettings()).pairs
    assert (pair.chosen.text, pair.rejected.text) == (good, bad)
    assert pair.decided_by == "accuracy"
    # accuracy 1 -> 0, completeness 0.25 -> 0, and all weights that both could be judged by
    assert pair.margin == pytest.approx((1 + 0.25) / 7.5, abs=1e-4)
    fact = question.facts[2]
    assert f"Chosen: “{MALIGNANT} [F2].” is supported by fact {fact.id}." in pair.reasons
    assert any(
        why.startswith("Rejected: “Melanoma is benign [F2].” is contradicted by fact") and fact.id in why
        for why in pair.reasons
    )
    assert pair.reasons[0] == "Decided by accuracy: 1.00 against 0.00."


def test_complete_beats_sparse(graph: Graph, question: Question) -> None:
    full = written(f"{MALIGNANT} [F2]. {NETWORK} [F1].")
    sparse = written("Melanoma is a cancer of the skin.")
    answers = judged(graph, question, sparse, full)
    (pair,) = choose_pairs(answers, ProxySettings(min_margin=0.01)).pairs
    assert pair.chosen.text == full
    assert pair.decided_by == "completeness"


def test_the_right_diagnosis_beats_the_wrong_one(graph: Graph, question: Question) -> None:
    right = written("Nothing more is at hand. Melanoma is malignant.")
    wrong = written(f"{NETWORK} [F1]. {MALIGNANT} [F2].", first="Melanocytic nevus", answer="melanocytic nevus")
    (pair,) = choose_pairs(judged(graph, question, wrong, right), ProxySettings()).pairs
    assert pair.chosen.text == right
    assert pair.decided_by == "correctness"
    assert "Rejected, correctness: It answers melanocytic nevus; the label is melanoma." in pair.reasons


def test_the_margin_is_of_the_parts_that_both_could_be_judged_by() -> None:
    weights = {"accuracy": 1.0, "relevance": 0.5, "form": 0.0}
    one, other = made(relevance=None, form=1.0), made(accuracy=0.4, relevance=1.0, form=0.0)
    assert margin_of(one, other, weights) == pytest.approx(0.6)
    assert margin_of(other, one, weights) == pytest.approx(-0.6)
    assert margin_of(made(accuracy=None), other, {"accuracy": 1.0}) is None


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (made("a b", findings=1.0), made(" a  b", findings=0.0), "the same text"),
        (made("a"), made("b"), "too close"),
        (made("a", accuracy=None, correctness=None), made("b"), "nothing could be judged in both"),
        (made("a", findings=1.0, ended=False), made("b", findings=0.0), "the better one is cut off"),
        (made("a", correctness=0.0, findings=1.0), made("b", correctness=0.0, findings=0.0), "the better one is not"),
        (made("a", accuracy=None, findings=1.0), made("b", findings=0.0), "the graph can judge nothing"),
        (made("a", findings=1.0, accuracy=0.5), made("b", findings=0.0, accuracy=1.0), "each is better at some"),
        (made("a b c d", findings=1.0), made("a b", findings=0.0), "too different in length"),
    ],
)
def test_what_makes_no_pair(one: Scored, other: Scored, why: str) -> None:
    settings = ProxySettings(weights=replace(Weights(), findings=3.0))
    for answers in ((one, other), (other, one)):
        choice = choose_pairs(answers, settings)
        assert not choice.pairs
        assert len(choice.dropped) == 1
        assert next(iter(choice.dropped)).startswith(why)


def test_length_may_be_free() -> None:
    answers = made("a b c d", findings=1.0), made("a b", findings=0.0)
    assert len(choose_pairs(answers, ProxySettings(max_length_ratio=0)).pairs) == 1


def test_no_answer_is_in_two_pairs() -> None:
    answers = [made(f"answer {i}", findings=value) for i, value in enumerate((0.5, 1.0, 0.0, 0.75))]
    assert [pair.margin for pair in choose_pairs(answers, ProxySettings()).pairs] == [0.25]
    choice = choose_pairs(answers, ProxySettings(pairs=5))
    assert [(pair.chosen.text, pair.rejected.text) for pair in choice.pairs] == [
        ("answer 1", "answer 2"),
        ("answer 3", "answer 0"),
    ]
    assert sum(choice.dropped.values()) + len(choice.pairs) == 6


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        Weights(**dict.fromkeys(PARTS, 0.0))


# --- the file -------------------------------------------------------------------------------


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


def test_another_setting_is_refused(rows: list[Item], vlm: VLM, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    filled(rows[:1], vlm, file)
    with pytest.raises(DataError, match=r"another settings.temperature \(1.0, now 0.5\)"):
        filled(rows, vlm, file, replace(SETTINGS, temperature=0.5))
    cases_file(file).unlink()
    with pytest.raises(DataError, match="name another file"):
        filled(rows, vlm, file)


def test_labels_that_are_no_class_are_refused(vlm: VLM, tmp_path: Path) -> None:
    rows = read_source(str(make_table(tmp_path / "free", 2, label=["a mole", "melanoma"])), "train")
    with pytest.raises(DataError, match="2 example"):
        filled(rows, vlm, tmp_path / "pairs.jsonl")


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
