"""A clock that is set an hour back or a year ahead, while something waits or works."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from dermiq.line import Line
from dermiq.review.store.store import Store
from dermiq.types import TextDelta, Waiting
from dermiq.ui.server.guesses import Guesses
from dermiq.ui.server.inbox import Inbox
from tests.review.cases import Clock, filled, vote
from tests.review.votes import PLAIN
from tests.test_line import answer, never
from tests.train.runs.test_runs import final_value, result_of
from tests.train.tiny_stage import TinyConfig
from train.runs import arbiter, worker
from train.runs import registry as runs
from train.runs.job import Job
from train.runs.paths import lock_path
from train.runs.run_folder import Status, current_status, own_process, read_status, write_status

JUMPS = {"an hour back": -3600.0, "a year ahead": 365 * 86400.0}
jumps = pytest.mark.parametrize("by", JUMPS.values(), ids=JUMPS)


def set_clock(patch: pytest.MonkeyPatch, by: float) -> None:
    """Of the time of day alone: what counts from a start is not moved."""
    now = time.time
    patch.setattr(time, "time", lambda: now() + by)


@pytest.mark.fault(
    "The clock jumps",
    where="a consultation, and the line of questions",
    seen="nothing: places, waiting and limits of time count by a clock that nobody sets",
    kept="the order in which the questions came; uploads for their two minutes",
)
@jumps
def test_the_line_and_the_uploads_do_not_look_at_the_time_of_day(by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    line, inbox, guesses = Line(), Inbox(), Guesses()
    with inbox.delivery("a") as delivery:
        delivery.begin()
        delivery.write(b"bytes")
    first, second = line.in_turn(answer("a"), never()), line.in_turn(answer("b"), threading.Event())
    next(first), next(first), next(second)
    set_clock(monkeypatch, by)
    assert next(second) == Waiting(1)
    assert list(first) == [TextDelta("a ends")]
    assert list(second)[-1] == TextDelta("b ends")
    assert inbox.take(delivery.tickets[0]) == b"bytes"
    assert guesses._clock is time.monotonic


@pytest.mark.fault(
    "The clock jumps",
    where="a pair of the review that was shown and not voted on",
    seen="nothing",
    kept="it goes to another reviewer after half an hour at most, also where it was shown by a clock that ran ahead",
)
@pytest.mark.parametrize("by", [timedelta(hours=-1), timedelta(days=-365), timedelta(days=365)])
def test_no_pair_is_held_by_a_clock_that_was_wrong(by: timedelta, tmp_path: Path) -> None:
    clock = Clock()
    store = Store(tmp_path / "review", queue=PLAIN, clock=clock)
    filled(store, 1, "ana", "ben", "cem")
    assert store.next("ana")
    vote(store, "ben")
    assert store.next("cem") is None
    clock.now += by
    assert store.progress("cem").left == 1
    vote(store, "cem")
    vote(store, "ana")
    assert len(list(store.votes())) == 3
    store.close()


@pytest.mark.fault(
    "The clock jumps",
    where="a run at work",
    seen="nothing: it is shown as running, with the step that it is at",
    kept="the run; it is neither taken for dead nor worked on twice",
)
@jumps
def test_a_run_at_work_is_still_at_work(by: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs.create(TinyConfig(), root=tmp_path)
    job = Job(folder)
    job.update(state="running", started=time.time())
    set_clock(monkeypatch, by)
    if psutil.LINUX:  # where the system tells a process's start by the time of day, less the time that it ran
        booted = psutil.boot_time()
        created = psutil.Process.create_time
        monkeypatch.setattr(psutil, "boot_time", lambda: booted + by)
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + by)
    assert current_status(folder).state == "running"
    time.sleep(1.1)
    job.progress(3, 20)
    assert read_status(folder).step == 3


@jumps
def test_another_process_of_the_same_number_is_not_the_run_by_any_clock(by: float, tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(), root=tmp_path)
    mine = own_process()
    write_status(folder, Status("running", pid=os.getpid(), pid_started=mine["pid_started"] + by))
    assert current_status(folder).state == "interrupted"


@pytest.mark.fault(
    "The clock jumps",
    where="a run whose process never came",
    seen="“Its process ended at step … without a word. It can be resumed ….”",
    kept="the run, which can be resumed at once",
)
def test_a_run_that_was_queued_in_the_future_can_be_resumed(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=2), root=tmp_path)
    write_status(folder, Status("queued", queued=time.time() + 3600))
    assert current_status(folder).state == "interrupted"
    runs.prepare_resume(folder)
    worker.work(folder)
    assert final_value(folder) == result_of(TinyConfig(steps=2))


@pytest.mark.fault(
    "The clock jumps",
    where="the sign of a consultation, for which runs wait",
    seen="nothing",
    kept="a page that died before the clock was set back holds no run up",
)
def test_a_sign_from_the_future_holds_no_run_up(tmp_path: Path) -> None:
    with arbiter.consulting(tmp_path):
        assert arbiter.is_consulting(tmp_path)
    sign = lock_path(tmp_path, arbiter.SIGN)
    sign.touch()
    os.utime(sign, (time.time() + 3600,) * 2)
    assert not arbiter.is_consulting(tmp_path)


def test_no_duration_is_measured_by_the_time_of_day() -> None:
    """`time.time()` is for stamps: what it is subtracted from was stamped in a file, by a clock that may have moved."""
    from tests.faults.table import ROOT

    stamps = {"run_folder.py", "registry.py", "arbiter.py", "worker.py", "job.py", "__main__.py"}
    allowed = {*(f"train/runs/{name}" for name in stamps), "dermiq/ui/training/controller.py"}
    allowed |= {"dermiq/ui/training/own_data.py", "dermiq/review/store/images.py"}
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("dermiq", "train")
        for path in (ROOT / room).rglob("*.py")
        if "time.time()" in path.read_text(encoding="utf-8")
    }
    assert found == allowed
