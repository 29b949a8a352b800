"""The training tab's HTML about runs: what is said, what can be done, what is escaped; how growing files are read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermiq.types import CLASSES
from dermiq.ui.markup import fill
from dermiq.ui.training import compared_runs, groups, reading, rows, watch, words
from tests.train.tiny_stage import TinyConfig
from train.embedded.metrics import classification_figures
from train.grpo import GRPOConfig
from train.options import as_dict, make
from train.runs import hints, worker
from train.runs import registry as runs
from train.runs.run_folder import Status, cut_lines, own_process, seal, write_json, write_status
from train.sft import SFTConfig

NOW = 2_000_000_000.0
VOID = ("input", "img")


def _append(path: Path, *lines: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _run(
    root: Path,
    name: str,
    *,
    stage: str = "grpo",
    options: dict[str, Any] | None = None,
    metrics: Sequence[dict[str, Any]] = (),
    samples: Sequence[dict[str, Any]] = (),
    checkpoints: Sequence[int] = (),
    final: bool = False,
    **status: Any,
) -> runs.Run:
    """A run folder as the stages write it."""
    folder = root / name
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"stage": f"train.{stage}", "options": options or {"model": "nano"}})
    state = {"state": "finished" if final else "stopped", "created": NOW - 9000, "queued": NOW - 9000, **status}
    live = own_process() if state["state"] in ("queued", "running", "stopping") else {}
    write_status(folder, Status(**{**live, **state}))
    _append(folder / "metrics.jsonl", *metrics)
    if samples:
        _append(folder / "samples.jsonl", *samples)
    for made in (*(folder / f"checkpoint-{step}" for step in checkpoints), *([folder / "final"] if final else [])):
        made.mkdir()
        (made / "weights").write_text("1")
        seal(made)
    return runs.load_run(folder)


def _rows(found: Sequence[runs.Run], **given: Any) -> str:
    return str(rows.html(found, **{"selected": "", "ticked": (), "now": NOW, **given}))


def _head(run: runs.Run, **given: Any) -> str:
    return str(watch.head(run, **{"answering": "", "note": "", "now": NOW, **given}))


def _text(html: object) -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", str(html)).split())).replace("\u202f", " ")


def _events(html: object) -> list[tuple[str, str]]:
    """(event, value) of each button."""
    return re.findall(r'<button[^>]* data-event="(\w+)"[^>]*? data-text="([^"]*)"', str(html))


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        return


def assert_whole(html: object) -> None:
    """Every element is closed, in order; none of what was put in made one."""
    parser = _Balance()
    parser.feed(str(html))
    assert parser.open == []
    assert "<script" not in str(html)


# --- files that grow -----------------------------------------------------------------------


def test_a_line_that_is_being_written_waits_until_it_is_whole(tmp_path: Path) -> None:
    _append(tmp_path / "metrics.jsonl", {"step": 1, "loss": 0.5})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert reading.figures(tmp_path).last["loss"] == 0.5
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('ss": 0.25}\n')
    assert reading.figures(tmp_path).last == {"step": 2, "loss": 0.25}
    assert reading.figures(tmp_path).trends["loss"] == (0.5, 0.25)


def test_a_resumed_run_is_read_anew(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1 / step, "prompt": f"{step}"} for step in (1, 2, 3)]
    for name in ("metrics.jsonl", "samples.jsonl"):
        _append(tmp_path / name, *lines)
    assert len(reading.figures(tmp_path).newest) == len(reading.samples(tmp_path).steps) == 3
    for name in ("metrics.jsonl", "samples.jsonl"):
        cut_lines(tmp_path / name, after_step=1)
    assert reading.figures(tmp_path).trends["loss"] == (1.0,)
    assert reading.samples(tmp_path).steps == (1,)
    (tmp_path / "metrics.jsonl").unlink()
    assert reading.figures(tmp_path) == reading.Figures()


def test_what_is_no_finite_number_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"loss": NaN, "kl": null, "said": "x", "on": true, "a": 1}\n[1]\nnot json\n'
    )
    assert reading.figures(tmp_path).last == {"a": 1.0}


@pytest.mark.parametrize("stage", ["grpo", "sft", "dpo"])
def test_hints_are_those_of_the_whole_file(tmp_path: Path, stage: str) -> None:
    lines: list[dict[str, Any]] = [
        {"step": i, "loss": 1 / i, "entropy": 1 / i, "grad_norm": 9.0, "completions/clipped_ratio": i / 1000, "kl": 0.7}
        | {"rewards/chosen": -1.0, "rewards/accuracies": 0.9, "advantages/collapse_rate": 0.6}
        for i in range(1, 1001)
    ]
    for i in range(900, 0, -100):
        lines.insert(i, {"step": i, "eval_loss": abs(i - 300) + 1})
    _append(tmp_path / "metrics.jsonl", *lines)
    options = {"iterations": 1, "max_grad_norm": 1.0}
    expected = hints.hints(stage, options, lines)
    assert len(expected) > 1
    assert reading.figures(tmp_path).hints(stage, options) == expected


def test_a_trend_stays_small_and_keeps_its_shape() -> None:
    trend = reading.Trend()
    for i in range(10_000):
        trend.add(float(i))
    values = trend.values()
    assert reading.POINTS // 2 <= len(values) <= reading.POINTS
    assert list(values) == sorted(values)
    assert values[0] < 200
    assert values[-1] > 9_800


# --- words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (100, "2 min"),
        (3560, "59 min"),
        (3599, "1 h"),
        (4700, "1 h 20 min"),
        (7200, "2 h"),
        (20 * 3600, "20 h"),
        (3 * 86400, "3 days"),
    ],
)
def test_durations_as_one_says_them(seconds: float, said: str) -> None:
    assert words.duration(seconds).replace("\u202f", " ") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0634112, "0.0634"),
        (1.576, "1.58"),
        (306.86, "307"),
        (1e-4, "1.0e-4"),
        (-2.5, "−2.5"),
        (0, "0"),
        (1, "1"),
        (-3e-5, "−3.0e-5"),
        (12345.6, "12\u202f346"),
    ],
)
def test_figures_have_no_more_digits_than_they_deserve(value: float, said: str) -> None:
    assert words.figure(value) == said


# --- rows ----------------------------------------------------------------------------------


def test_without_runs_one_click_starts_the_example() -> None:
    html = _rows([])
    assert 'data-event="smoke"' in html
    assert "No run yet" in _text(html)
    assert_whole(html)


def test_a_real_run_as_a_row(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=4, seconds=0.0), name="real", root=tmp_path)
    worker.work(folder)
    html = _rows([runs.load_run(folder)], selected="real", ticked={"real"})
    assert "4 / 4 steps" in _text(html)
    assert "finished" in _text(html)
    assert re.search(r'role="img" aria-label="loss of real: first [^"]+, now [^"]+"', html)
    assert 'data-event="select" data-text="real" aria-current="true"' in html
    assert 'data-index="0" data-text="real" aria-label="Compare real" checked' in html
    assert_whole(html)


def test_time_left_is_that_of_the_newest_steps(tmp_path: Path) -> None:
    lines = [{"step": i, "reward": 1.0, "seconds_per_step": 1000.0 if i < 90 else 30.0} for i in range(100)]
    run = _run(tmp_path, "a", metrics=lines, state="running", step=100, total=200, device="cpu")
    assert "about 50 min left" in _text(_rows([run]))
    assert "reward 1" in _text(_rows([run]))
    fresh = _run(tmp_path, "b", state="running", step=0, total=200, device="cpu")
    assert "time left not known yet" in _text(_rows([fresh]))


def test_the_queue_is_counted_on_each_device(tmp_path: Path) -> None:
    waiting: dict[str, Any] = {"state": "queued", "reason": "Waiting for cpu.", "device": "cpu"}
    late = _run(tmp_path, "late", **{**waiting, "queued": NOW - 10})
    early = _run(tmp_path, "early", **{**waiting, "queued": NOW - 20})
    other = _run(tmp_path, "other", **{**waiting, "queued": NOW - 30, "device": "cuda:0"})
    found = [late, early, other]
    assert [rows.queue_place(run, found) for run in found] == [2, 1, 1]
    assert "queued, place 2 for cpu Waiting for cpu." in _text(_rows(found))


def test_why_a_run_failed_is_in_its_row(tmp_path: Path) -> None:
    run = _run(tmp_path, "a", state="failed", reason="Out of memory at step 3.", ended=NOW - 7300, step=3, total=9)
    assert "failed Out of memory at step 3. 3 / 9 steps ended 2 h ago" in _text(_rows([run]))


def test_many_runs_can_be_searched_and_sorted(tmp_path: Path) -> None:
    few = [_run(tmp_path, f"run-{i}", created=NOW - i) for i in range(rows.MANY)]
    assert 'data-event="sort"' not in _rows(few)
    many = [*few, _run(tmp_path, "odd", created=NOW - 99)]
    html = _rows(many, sort="oldest", find="  ODD ")
    assert re.findall(r'data-event="select" data-text="([^"]+)"', html) == ["odd"]
    oldest = re.findall(r'data-event="select" data-text="([^"]+)"', _rows(many, sort="oldest"))
    assert oldest[:2] == ["odd", "run-7"]
    nothing = _rows(many, find="<script>alert(1)</script>")
    assert "No run is called like" in nothing
    assert_whole(nothing)
    assert "run-0" in _rows(many, sort="nonsense")


def test_ticking_leads_to_the_comparison(tmp_path: Path) -> None:
    found = [_run(tmp_path, f"run-{i}") for i in range(10)]
    assert "Tick runs to compare them" in _text(_rows(found))
    assert "Tick" not in _text(_rows(found[:1]))
    assert "Tick a second run" in _text(_rows(found, ticked={"run-1"}))
    assert "Compare 2 runs" in _text(_rows(found, ticked={"run-1", "run-2"}))
    assert "At most 8 at a time." in _text(_rows(found, ticked={run.name for run in found}))
    assert "Compare" not in _text(_rows(found, ticked={"gone", "also-gone"})).replace("to compare", "")


def test_a_deleted_run_can_be_brought_back(tmp_path: Path) -> None:
    html = _rows([_run(tmp_path, "a")], deleted="old")
    assert "old is in the trash." in _text(html)
    assert ("undelete", "old") in _events(html)


# --- one run's head ------------------------------------------------------------------------

CAN: dict[str, set[str]] = {
    "queued": {"stop", "duplicate"},
    "running": {"stop", "kill", "duplicate", "use", "export"},
    "stopping": {"kill", "duplicate", "use", "export"},
    "finished": {"use", "evaluate", "export", "duplicate", "delete"},
    "failed": {"resume", "use", "evaluate", "export", "duplicate", "delete"},
    "stopped": {"resume", "use", "evaluate", "export", "duplicate", "delete"},
    "interrupted": {"resume", "use", "evaluate", "export", "duplicate", "delete"},
}


@pytest.mark.parametrize("state", CAN)
def test_what_can_be_done_depends_on_the_state(tmp_path: Path, state: str) -> None:
    saved = () if state == "queued" else (10,)
    run = _run(tmp_path, "a", state=state, checkpoints=saved, final=state == "finished", step=12, total=20)
    html = _head(run)
    assert {event for event, _ in _events(html)} == CAN[state]
    assert ('data-event="rename"' in html) == (not run.is_live)
    assert all('data-index="a"' in tag for tag in re.findall(r"<(?:button|input|textarea)[^>]*>", html))
    assert_whole(html)


def test_the_newest_weights_are_offered_first(tmp_path: Path) -> None:
    options = {"model": "nano", "lora_rank": 8}
    run = _run(tmp_path, "a", options=options, checkpoints=(10, 20), final=True)
    offered = [value for event, value in _events(_head(run)) if event == "use"]
    assert offered == ["final", "checkpoint-20", "checkpoint-10"]
    assert [value for event, value in _events(_head(run)) if event == "export"] == ["adapter", "merged", "card"]
    html = _head(run, answering="checkpoint-20")
    assert [value for event, value in _events(html) if event == "use"] == ["final", "checkpoint-10"]
    assert "Checkpoint 20 of this run answers in the consultation." in _text(html)
    assert ("back", "") in _events(html)
    early = _run(tmp_path, "b", checkpoints=(10,), step=12)
    assert "Use in the consultation (checkpoint 10)" in _text(_head(early))
    assert ("export", "adapter") not in _events(_head(early))
    assert "Resume from step 10" in _text(_head(early))
    assert "Start again" in _text(_head(_run(tmp_path, "c", step=2)))


def test_killing_says_what_it_costs(tmp_path: Path) -> None:
    lines = [{"step": 12, "loss": 1.0, "seconds_per_step": 60.0}]
    run = _run(tmp_path, "a", metrics=lines, state="running", checkpoints=(10,), step=12, total=20)
    assert "2 steps since checkpoint 10 will be lost, about 2 min of work." in _text(_head(run))
    fresh = _run(tmp_path, "b", metrics=lines, state="running", step=12, total=20)
    assert "12 steps since its start will be lost" in _text(_head(fresh))


def test_the_head_says_how_the_run_goes(tmp_path: Path) -> None:
    lines = [{"step": i, "loss": 0.1, "reward": 1.0, "seconds_per_step": 90.0} for i in range(1, 11)]
    run = _run(
        tmp_path,
        "a",
        options={"model": "/somewhere/base", "iterations": 1},
        metrics=lines,
        state="running",
        started=NOW - 600,
        step=10,
        total=50,
        device="cuda:0",
    )
    write_json(run.folder / "memory.json", {"peak": 2_540_000_000, "estimate": {"total": 800_000_000}})
    said = _text(_head(run, note="first\ntry & <b>", told="Stopping after this step."))
    for part in ("Began with base", "Device cuda:0", "Memory 2.5 GB at the peak, 800 MB estimated", "A step 2 min"):
        assert part in said
    assert "10 / 50 steps about 1 h left" in said
    assert "the loss says nothing about learning" in said
    assert "Stopping after this step." in said
    assert "first\ntry &amp; &lt;b&gt;</textarea>" in _head(run, note="first\ntry & <b>")
    assert "/somewhere" not in said


def test_the_parts_of_a_run_are_named_and_one_is_open() -> None:
    html = str(watch.tabs("log"))
    assert [value for _, value in _events(html)] == list(watch.VIEWS)
    assert html.count("aria-current") == 1
    assert_whole(html)


# --- log -----------------------------------------------------------------------------------


def test_the_log_is_what_a_terminal_would_show(tmp_path: Path) -> None:
    run = _run(tmp_path, "a")
    assert "Nothing was written yet." in _text(watch.log(run))
    (run.folder / "log.txt").write_bytes(
        b"lost\n" * 300 + b"10%\r50%\r100%\n\x1b[31mred\x1b[0m <script>x</script>\nbad \xff byte\r\n"
    )
    lines = watch.tail(run.folder / "log.txt")
    assert len(lines) == watch.LOG_LINES
    assert lines[-3:] == ["100%", "red <script>x</script>", "bad \ufffd byte"]
    assert_whole(watch.log(run))


def test_of_a_long_log_only_its_end_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("x" * watch.LOG_BYTES + "\nlast line\n")
    assert watch.tail(tmp_path / "log.txt") == ["last line"]


# --- options -------------------------------------------------------------------------------


def test_what_differs_from_the_defaults_is_marked(tmp_path: Path) -> None:
    changed = make(
        GRPOConfig, {"learning_rate": 3e-4, "advantage": {"estimator": "grpo"}, "data": ["ham10000", "mine"]}
    )
    run = _run(tmp_path, "a", options=as_dict(changed))
    marked = {line.split(":")[0].strip() for line, differs in watch.config_lines(run) if differs}
    assert marked == {"learning_rate", "estimator", "data"}
    html = watch.config(run)
    assert "Marked: the 3 that differ from the defaults." in _text(html)
    assert str(html).count("<mark>") == 3
    assert "Where it was computed is written when it starts." in _text(html)
    assert_whole(html)


def test_options_of_another_version_are_shown_as_they_are(tmp_path: Path) -> None:
    run = _run(tmp_path, "a", options={"model": "nano", "warp": 9})
    write_json(run.folder / "environment.json", {"gpu": None, "packages": {"torch": "2.13.0"}})
    said = _text(watch.config(run))
    assert "There is no option 'warp'" in said
    assert "warp: 9" in said
    assert "gpu none torch 2.13.0" in said
    other = _run(tmp_path, "b", stage="unheard_of", options={"a": 1})
    assert "a: 1" in _text(watch.config(other))


# --- evaluation ----------------------------------------------------------------------------


def _evaluation(on: str = "HAM10000, test", **figures: float | None) -> dict[str, Any]:
    values = {"balanced_accuracy": 0.7134, "melanoma_auroc": 0.9123, **figures}
    return {
        "on": on,
        "n": 1511,
        "figures": values,
        "intervals_95": {"balanced_accuracy": [0.6823, 0.7412]},
        "recall": {"mel": 0.661, "df": None},
        "by_group": {"skin_type": {"2": {"n": 40, "balanced_accuracy": 0.5, "melanoma_auroc": None}}, "age": {}},
        "confusion": {"classes": ["mel", "nv"], "rows_true_columns_answered": [[3, 1], [0, 9]]},
    }


def test_an_evaluation_is_told_with_its_intervals(tmp_path: Path) -> None:
    run = _run(tmp_path, "a", final=True)
    write_json(run.folder / "evaluation.json", _evaluation())
    html, said = watch.evaluation(run), _text(watch.evaluation(run))
    assert "On HAM10000, test, 1511 images" in said
    assert "71.3 % 68.2 to 74.1 %" in said
    assert "0.912 –" in said
    assert "Dermatofibroma no image" in said
    assert "By skin type images" in said
    assert "2 40 50.0 % –" in said
    assert "Melanoma 3 1" in said
    assert ("evaluate", "final") in _events(html)
    assert_whole(html)


def test_an_evaluation_that_is_not_there_yet(tmp_path: Path) -> None:
    run = _run(tmp_path, "a", final=True)
    assert "Not evaluated yet" in _text(watch.evaluation(run))
    assert ("evaluate", "final") in _events(watch.evaluation(run))
    going = _run(tmp_path, "e", stage="evaluation", state="running", step=40, total=200)
    assert "40 of 200 images" in _text(watch.evaluation(run, going))
    assert _events(watch.evaluation(run, going)) == []
    failed = _run(tmp_path, "f", stage="evaluation", state="failed", reason="The data folder is not there.")
    assert "The evaluation f failed: The data folder is not there." in _text(watch.evaluation(run, failed))
    assert _events(watch.evaluation(_run(tmp_path, "b"))) == []


# --- groups --------------------------------------------------------------------------------

SUPPORTED, DENIED = "Melanoma has an atypical network.", "Melanoma is harmless."


def _sample(step: int, **other: Any) -> dict[str, Any]:
    return {
        "step": step,
        "prompt": "What is this?",
        "completion": f"<think>\n{SUPPORTED} {DENIED}\n</think>\n<answer>melanoma</answer>",
        "diagnosis": "mel",
        "rewards": {"correctness": 1.0, "semantic": None},
        "reward": 1.25,
        "advantage": 0.4,
        "truncated": False,
        **other,
    }


def _verdicts(sample: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    text = sample["completion"]
    assert sample["diagnosis"] == "mel"
    known = [(SUPPORTED, "supported", "An atypical network is typical."), (DENIED, "contradicted", "It is <b>not</b>.")]
    return [claim for claim in known if claim[0] in text]


def _groups(run: runs.Run, step: int | None = None, **other: Any) -> str:
    html = groups.html(run, step, verdicts=_verdicts, **other)
    assert_whole(html)
    return str(html)


def _learning(root: Path, samples: Sequence[dict[str, Any]], size: int = 2) -> runs.Run:
    options = {"model": "nano", "group": size, "rewards": {"correctness": 1.0, "semantic": 0.3}}
    return _run(root, "learning", options=options, samples=samples)


def test_a_group_side_by_side(tmp_path: Path) -> None:
    worse = _sample(1, reward=0.5, advantage=-0.4, truncated=True, completion="<script>alert(1)</script>")
    html = _groups(_learning(tmp_path, [worse, _sample(1)]))
    said = _text(html)
    assert said.index("Reward 1.25 Advantage +0.40") < said.index("Reward 0.50 Advantage −0.40 cut off")
    assert said.count("What is this?") == 1
    assert "Right answer: melanoma" in said
    assert "Correctness × 1 1.00" in said
    assert "Semantic × 0.3 not judged" in said
    assert 'style="width:100%"' in html


def test_a_mark_stands_behind_each_sentence_that_was_checked(tmp_path: Path) -> None:
    html = _groups(_learning(tmp_path, [_sample(1)], size=1))
    assert f'dq-supported">{SUPPORTED}</span><span class="dq-mark dq-supported"' in html
    assert 'aria-label="Contradicted. It is &lt;b&gt;not&lt;/b&gt;."' in html
    unread = groups.marked("Nothing to check.", [("Elsewhere.", "supported", "")])
    assert unread == "Nothing to check."


def test_the_slider_goes_over_the_logged_steps(tmp_path: Path) -> None:
    run = _learning(tmp_path, [_sample(step, prompt=f"Question {step}") for step in (2, 4, 8)], size=1)
    assert "Step 8 of 8" in _text(_groups(run))
    assert ("step", "4") in _events(_groups(run))
    assert "Question 4" in _text(_groups(run, 7))
    assert "Question 2" in _text(_groups(run, 0))
    assert re.search(r'type="range"[^>]*min="2" max="8" step="1" value="4"', _groups(run, 4))
    _append(run.folder / "samples.jsonl", _sample(16, prompt="Question 16"))
    assert "Question 16" in _text(_groups(run))
    assert "Question 4" in _text(_groups(run, 4))


def test_each_question_of_a_step_has_its_group(tmp_path: Path) -> None:
    drawn = [_sample(1, prompt=prompt) for prompt in ("A?", "A?", "A?", "A?", "B?", "B?")]
    run = _learning(tmp_path, drawn)
    assert [len(group) for group in reading.groups(run.folder, 1, 2)] == [2, 2, 2]
    assert [len(group) for group in reading.groups(run.folder, 1, 0)] == [4, 2]
    assert "Question 3 of 3 of this step" in _text(_groups(run, 1, group=2))
    assert "Question 3 of 3 of this step" in _text(_groups(run, 1, group=99))
    assert ("group", "1") in _events(_groups(run, 1, group=0))


def test_one_question_over_training(tmp_path: Path) -> None:
    asked = [_sample(step, reward=step / 10, rewards={"correctness": float(step > 5)}) for step in range(1, 11)]
    once = _sample(20, prompt="Another?")
    run = _learning(tmp_path, [*asked, once], size=1)
    html = _groups(run, 10)
    assert "Asked at 10 steps." in _text(html)
    course = html[html.index("dq-over-training") :]
    assert len(re.findall("<article", course)) == groups.SHOWN_STEPS
    assert "Step 1 Mean reward 0.10 0 of 1 right" in _text(course)
    assert "Step 10 Mean reward 1.00 1 of 1 right" in _text(course)
    elsewhere = _groups(run, 20)
    assert "This question was asked once." in _text(elsewhere)
    assert ("step", "10") in _events(elsewhere[elsewhere.index("dq-over-training") :])
    assert "No question was asked twice yet." in _text(_groups(_run(tmp_path, "b", samples=[once])))


def test_runs_without_samples_say_why(tmp_path: Path) -> None:
    assert "No completion was drawn yet." in _groups(_run(tmp_path, "a"))
    assert "Only GRPO++ draws completions" in _groups(_run(tmp_path, "b", stage="sft"))


@pytest.mark.parametrize("state", CAN)
def test_no_button_becomes_another_one_under_the_hand(tmp_path: Path, state: str) -> None:
    run = _run(tmp_path, "a", state=state, checkpoints=(10, 20), final=state == "finished", step=22, total=40)
    keys = re.findall(r'<button[^>]* data-key="([^"]*)"', _head(run))
    assert len(keys) == len(set(keys)) == _head(run).count("<button")


def test_a_picture_is_shown_where_there_is_one(tmp_path: Path) -> None:
    run = _learning(tmp_path, [_sample(1, image="7.png")], size=1)
    html = _groups(run, picture=lambda sample: fill('<img src="{s}" alt="Lesion">', s=sample["image"]))
    assert '<img src="7.png" alt="Lesion">' in html


# --- runs side by side ---------------------------------------------------------------------


def _trained(root: Path, name: str, loss: float, **changes: Any) -> runs.Run:
    lines = [{"step": i, "loss": loss if i > 10 else 100.0, "odd/name": 1.0} for i in range(1, 21)]
    return _run(root, name, stage="sft", options=as_dict(make(SFTConfig, changes)), metrics=lines, final=True)


def test_only_options_that_differ_are_compared(tmp_path: Path) -> None:
    one, two = _trained(tmp_path, "one", 0.5), _trained(tmp_path, "two", 0.25, steps=9, data=["ham10000", "mine"])
    assert set(compared_runs.differing([one, two])) == {"steps", "data"}
    html = compared_runs.html([one, two])
    assert "steps : optimizer steps" in _text(html)
    assert "ham10000 mine" in _text(html)
    assert "Loss 0.5 0.25" in _text(html)
    assert "odd/name 1 1" in _text(html)
    assert "None was evaluated yet" in _text(html)
    assert_whole(html)
    assert "Their options are the same." in _text(compared_runs.html([one, one]))


def test_options_inside_options_and_of_one_stage_alone(tmp_path: Path) -> None:
    changed = make(GRPOConfig, {"rewards": {"semantic": 0.9}})
    one, two = (_run(tmp_path, n, options=as_dict(c)) for n, c in (("one", GRPOConfig()), ("two", changed)))
    assert compared_runs.differing([one, two]) == {"rewards.semantic": [0.3, 0.9]}
    said = _text(compared_runs.html([one, _trained(tmp_path, "other", 1.0)]))
    assert re.search(r"\d+ options that only some of them have", said)
    assert "None of them has logged a step yet." in _text(compared_runs.html([one, two]))


def test_evaluations_side_by_side_with_intervals(tmp_path: Path) -> None:
    one, two, three = (_trained(tmp_path, name, 1.0) for name in ("one", "two", "three"))
    write_json(one.folder / "evaluation.json", _evaluation())
    write_json(two.folder / "evaluation.json", _evaluation(balanced_accuracy=0.5, brier=0.3))
    said = _text(compared_runs.html([one, two]))
    assert "71.3 % 68.2 to 74.1 % 50.0 % 68.2 to 74.1 %" in said
    assert "Recall, melanoma 66.1 % 66.1 %" in said
    assert "– 0.300" in said
    assert "cannot be compared" not in said
    write_json(two.folder / "evaluation.json", _evaluation(on="PAD-UFES-20, test"))
    told = _text(compared_runs.html([one, two, three]))
    assert "evaluated on different images, so their figures cannot be compared" in told
    assert "Not evaluated yet: three." in told


def test_one_run_alone_is_not_compared(tmp_path: Path) -> None:
    assert "Tick two runs or more" in compared_runs.html([_trained(tmp_path, "one", 1.0)])


def test_every_figure_of_an_evaluation_has_a_name_and_a_meaning() -> None:
    figures = classification_figures(np.arange(7), np.eye(len(CLASSES)))
    assert set(figures) == set(words.JUDGED)


# --- what a run is doing ------------------------------------------------------------------


def test_a_run_says_from_the_first_second_what_it_does_and_for_how_long(tmp_path: Path) -> None:
    run = _run(tmp_path, "mine", state="running", doing="Loading the model", since=NOW - 12, queued=NOW - 40)
    told = _text(watch.head(run, answering="", note="", now=NOW, arrived=2))
    assert "Loading the model for 12 s" in told
    assert 'data-arrive="run 2"' in watch.head(run, answering="", note="", now=NOW, arrived=2)
    new = _run(tmp_path, "new", state="running", queued=NOW - 3)
    assert "Starting its process for 3 s" in _text(watch.head(new, answering="", note="", now=NOW))


def test_the_time_that_is_left_is_corrected_by_the_first_step(tmp_path: Path) -> None:
    before = _run(tmp_path, "before", state="running", total=10, left=(260.0, 130.0, 520.0))
    assert "about 4 min left (2 min to 9 min), as estimated before its first step" in _text(
        watch.head(before, answering="", note="", now=NOW)
    )
    after = _run(tmp_path, "after", state="running", step=1, total=10, left=(2880.0, 1920.0, 4320.0))
    told = _text(watch.head(after, answering="", note="", now=NOW))
    assert "about 48 min left (32 min to 1 h 10 min)" in told
    assert "as estimated" not in told


def test_a_run_that_cannot_learn_is_shown_as_such_with_the_remedy(tmp_path: Path) -> None:
    options = {"model": "nano", "mask_truncated": True, "new_tokens": 64}
    line = {"step": 1, "loss": 0.0, "grad_norm": 0.0, "completions/clipped_ratio": 1.0, "reward": 0.4}
    run = _run(tmp_path, "still", options=options, metrics=[line], state="running", step=1, total=4)
    html = watch.head(run, answering="", note="", now=NOW)
    still = str(html).partition('<p class="dq-still" role="alert">')[2].partition("</p>")[0]
    assert "every completion was cut off at 64 tokens" in still
    assert "Raise new_tokens" in still
    assert str(html).count("every completion was cut off") == 1, "said once"


def test_how_much_is_learned_is_in_the_head(tmp_path: Path) -> None:
    run = _run(tmp_path, "some", final=True)
    write_json(run.folder / "memory.json", {"data": "4 of 11 examples are learned."})
    told = _text(watch.head(run, answering="", note="", now=NOW))
    assert "4 of 11 examples are learned." in told
