"""The Training tab in another language: what is said about runs is translated; options and figures stay English."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq import language
from dermiq.ui.training import ask, controller, exports, reading, rows, watch
from tests.languages import in_brackets, left_in
from tests.ui.training.test_views import NOW, _head, _rows, _run
from train.runs import registry as runs

KNOWN = ("done", "going", "going2", "cut", "fresh", "waits", "bad", "nano", "cuda", "GRPO++", "owner/name", "HAM")
LOGGED = [{"step": i, "loss": 1 / i, "reward": i / 9, "seconds_per_step": 3.0} for i in range(1, 9)]


@pytest.fixture
def found(tmp_path: Path) -> list[runs.Run]:
    """A run in each state."""
    lora = {"model": "nano", "lora_rank": 8}
    return [
        _run(tmp_path, "done", final=True, metrics=LOGGED, step=8, total=8, ended=NOW - 300, options=lora),
        _run(tmp_path, "cut", checkpoints=(3, 6), metrics=LOGGED, step=7, total=20, started=NOW - 50),
        _run(tmp_path, "going", state="running", metrics=LOGGED, checkpoints=(3,), step=7, total=20, left=(9, 5, 99)),
        _run(tmp_path, "going2", state="running", metrics=LOGGED, step=7, total=20, started=NOW - 50),
        _run(tmp_path, "fresh", state="running", total=20, left=(9, 9, 9)),
        _run(tmp_path, "waits", state="queued", device="cuda", queued=NOW - 40),
        _run(tmp_path, "bad", state="failed", step=1),
    ]


@pytest.fixture
def brackets() -> Iterator[None]:
    with in_brackets():
        yield


@pytest.mark.usefixtures("brackets")
def test_what_is_said_of_runs_is_translated(found: list[runs.Run]) -> None:
    names = [run.name for run in found]
    pages = [_rows(found, find="zz", deleted="cut"), _rows(found, ticked=names), _rows([]), *map(_head, found)]
    pages += [str(watch.log(run)) + str(watch.evaluation(run)) for run in found]
    pages += [_head(found[0], answering="final"), _head(found[1], answering="checkpoint-6"), str(watch.tabs("log"))]
    pages += [str(controller.sign_in("")), str(controller.comparing())]
    pages.append(_rows(found * 2))
    for html in pages:
        left = {text for text in left_in(html, KNOWN, part=12) if "zz" not in text and not text[0].isdigit()}
        assert not {text for text in left if not text.strip().endswith(".")}, "hints of the stages alone"


@pytest.mark.usefixtures("brackets")
def test_what_is_asked_and_exported_is_translated(found: list[runs.Run], tmp_path: Path) -> None:
    data = {"ham10000": "HAM", "/x/t.csv": "HAM"}
    for asked in (ask.Asked("done", "final", "ham10000"), ask.Asked("done", "final", "/x/t.csv", images="zz")):
        assert not left_in(str(ask.html(asked, data=data, runs=found)), [*KNOWN, "ham", "csv"], part=12)
    archive = tmp_path / "done.zip"
    archive.write_bytes(b"1")
    made = exports.Exported("done", folder=Path("/done"), archive=archive, kind="adapter")
    assert not left_in(str(exports.html(made)), KNOWN, part=12)


def test_a_run_is_told_of_in_german(found: list[runs.Run]) -> None:
    language.use("de")
    try:
        head = _head(found[2], told="going finishes its step, saves, and ends.")
        assert "going beendet seinen Schritt, speichert und endet." in head
        assert "Anhalten und speichern" in head
        assert "noch etwa 9" in str(rows.when(found[2], reading.figures(found[2].folder), NOW))
    finally:
        language.use("en")
