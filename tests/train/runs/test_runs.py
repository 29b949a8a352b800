"""Runs with real child processes: what is on disk is true at every moment, and nothing that was done is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import InputError
from tests.train.tiny_stage import TinyConfig
from train.runs import arbiter, paths, worker
from train.runs import registry as runs
from train.runs.__main__ import main
from train.runs.command import command, tee
from train.runs.job import Job
from train.runs.log import append
from train.runs.run_folder import (
    STATUS,
    Status,
    checkpoints,
    current_status,
    is_complete,
    last_checkpoint,
    own_process,
    read_json,
    read_status,
    seal,
    write_json,
    write_status,
)

PATIENCE_S = 120.0


def until(condition: Callable[[], Any]) -> None:
    """Waits for a condition; a test fails when it never comes."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def ended(folder: Path) -> bool:
    return not runs.load_run(folder).is_live


def finish(folder: Path) -> runs.Run:
    until(lambda: ended(folder))
    return runs.load_run(folder)


def result_of(config: TinyConfig) -> int:
    value = 1
    for _ in range(config.steps):
        value = value * 31 % 1_000_003
    return value


def final_value(folder: Path) -> int:
    return int(json.loads((folder / "final" / "0.json").read_text()))


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    config = TinyConfig(steps=7)
    run = runs.start(config, name="first", root=tmp_path)
    assert run.state == "queued"
    run = finish(run.folder)
    assert (run.state, run.status.step, run.status.total, run.status.device) == ("finished", 7, 7, "cpu")
    assert [line["step"] for line in runs.metrics(run.folder)] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["step"] for line in runs.metrics(run.folder, since=5)] == [6, 7]
    assert final_value(run.folder) == result_of(config)
    assert list(checkpoints(run.folder)) == [6, 7]
    with pytest.raises(InputError, match="is finished"):
        runs.resume(run.folder)


def test_stop_finishes_the_step_and_resume_goes_on(tmp_path: Path) -> None:
    config = TinyConfig(steps=12, seconds=0.1)
    folder = runs.start(config, root=tmp_path).folder
    until(lambda: runs.metrics(folder))
    assert runs.stop(folder).state == "stopping"
    run = finish(folder)
    assert run.state == "stopped"
    assert 0 < run.status.step < 12
    assert last_checkpoint(folder) == (run.status.step, folder / f"checkpoint-{run.status.step}")
    with pytest.raises(InputError, match="is not running"):
        runs.stop(folder)
    runs.resume(folder)
    assert finish(folder).state == "finished"
    assert final_value(folder) == result_of(config)
    assert [line["step"] for line in runs.metrics(folder)] == list(range(1, 13))


def test_sigterm_is_a_stop(tmp_path: Path) -> None:
    folder = runs.start(TinyConfig(steps=500, seconds=0.02), root=tmp_path).folder
    until(lambda: runs.metrics(folder))
    os.kill(runs.load_run(folder).status.pid or 0, signal.SIGTERM)
    assert finish(folder).state == "stopped"


def kill_at_random_moments(root: Path, kills: int) -> None:
    """Whenever the process dies, the folder is readable, nothing half-written counts, and the end is the same."""
    rng = random.Random(5)
    config = TinyConfig(steps=5 * kills, seconds=0.02)
    folder = runs.start(config, root=root).folder
    killed = 0
    while runs.load_run(folder).state != "finished":
        time.sleep(rng.uniform(0.0, 0.5))
        run = runs.load_run(folder)
        if run.is_live and run.status.pid is not None and killed < kills:
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.status.pid, signal.SIGKILL)
            killed += 1
            until(lambda: ended(folder))
            run = runs.load_run(folder)
        if run.state == "interrupted":
            json.dumps(run.as_dict())
            assert "can be resumed" in run.status.reason
            for path in checkpoints(folder).values():
                assert is_complete(path, hashes=True)
            runs.resume(folder)
    assert 3 * killed >= kills
    assert final_value(folder) == result_of(config)
    assert [line["step"] for line in runs.metrics(folder)] == list(range(1, config.steps + 1))


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, kills=2)  # more: `make nightly`


def test_kill_on_request(tmp_path: Path) -> None:
    folder = runs.start(TinyConfig(steps=500, seconds=0.05), root=tmp_path).folder
    until(lambda: runs.metrics(folder))
    run = runs.kill(folder)
    assert (run.state, run.status.reason) == ("interrupted", "Killed on request.")
    with pytest.raises(InputError, match="no process to kill"):
        runs.kill(folder)


def test_one_at_a_time_on_a_device_in_the_order_of_starting(tmp_path: Path) -> None:
    first = runs.start(TinyConfig(steps=30, seconds=0.05), name="a", root=tmp_path).folder
    until(lambda: runs.load_run(first).state == "running")
    second = runs.start(TinyConfig(steps=2), name="b", root=tmp_path).folder
    third = runs.start(TinyConfig(steps=2), name="c", root=tmp_path).folder
    elsewhere = runs.start(TinyConfig(steps=2, device="cuda:1"), name="d", root=tmp_path).folder
    until(lambda: runs.load_run(third).status.reason == "Waiting for cpu.")
    assert finish(elsewhere).state == "finished"
    assert runs.load_run(second).state == "queued"
    runs.stop(third)  # a queued run ends without having begun
    assert finish(third).status.reason == "Stopped before its turn came."
    os.kill(runs.load_run(first).status.pid or 0, signal.SIGKILL)  # a dead owner lets the next one in
    assert finish(second).state == "finished"
    assert runs.load_run(first).state == "interrupted"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("badly", "The model is of no use."),
        ("surprised", "KeyError at step 2: 'whatever'. log.txt has the rest."),
        ("full", "The disk is full (at step 2). Free some and resume."),
    ],
)
def test_a_failed_run_says_why(end: str, reason: str, tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=2, end=end), root=tmp_path)
    with tee(folder / "log.txt"):
        worker.work(folder)
    run = runs.load_run(folder)
    assert (run.state, run.status.reason) == ("failed", reason)
    assert (folder / "log.txt").read_text()


def test_what_is_wrong_is_said_before_a_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="a checkpoint needs one"):
        runs.start(TinyConfig(files=0), root=tmp_path / "runs")
    with pytest.raises(InputError, match="cannot be called"):
        runs.start(TinyConfig(), name="../x", root=tmp_path / "runs")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"0\.0 GB free"):
        runs.start(TinyConfig(), root=tmp_path / "runs")
    assert runs.list_runs(tmp_path / "runs") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        runs.start(TinyConfig(), root=tmp_path / "file")


def test_names_are_not_taken_twice(tmp_path: Path) -> None:
    runs.create(TinyConfig(), name="x", root=tmp_path)
    with pytest.raises(InputError, match="already a run 'x'"):
        runs.create(TinyConfig(), name="x", root=tmp_path)
    assert len({runs.create(TinyConfig(), root=tmp_path) for _ in range(3)}) == 3
    assert not list(tmp_path.glob(".new*"))


def test_another_process_of_the_same_number_is_not_the_run(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(), root=tmp_path)
    mine = own_process()
    write_status(folder, Status("running", **mine))
    assert current_status(folder).state == "running"
    write_status(folder, Status("running", pid=mine["pid"], pid_started=mine["pid_started"] - 1000))
    assert current_status(folder).state == "interrupted"


def test_a_folder_without_a_readable_status_is_interrupted(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=2), root=tmp_path)
    (folder / STATUS).write_text('{"state": "runn')
    assert runs.load_run(folder).state == "interrupted"
    runs.prepare_resume(folder)
    worker.work(folder)
    assert runs.load_run(folder).state == "finished"


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    for step in (3, 9, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_bytes(b"12345")
    for step in (3, 9):
        seal(tmp_path / f"checkpoint-{step}")
    assert last_checkpoint(tmp_path) == (9, tmp_path / "checkpoint-9")
    (tmp_path / "checkpoint-9" / "weights").write_bytes(b"12346")  # as long, and not what was written
    assert last_checkpoint(tmp_path) == (3, tmp_path / "checkpoint-3")
    (tmp_path / "checkpoint-3" / "weights").write_bytes(b"1")
    assert last_checkpoint(tmp_path) is None


def test_delete_can_be_undone(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=2), name="x", root=tmp_path)
    with pytest.raises(InputError, match="Stop it before"):
        runs.delete(folder)
    worker.work(folder)
    runs.delete(folder)
    assert runs.list_runs(tmp_path) == []
    again = runs.create(TinyConfig(), name="x", root=tmp_path)
    with pytest.raises(InputError, match="again"):
        runs.undelete("x", tmp_path)
    write_status(again, Status("stopped"))
    runs.delete(again)
    assert runs.load_run(runs.undelete("x", tmp_path)).state == "stopped"
    with pytest.raises(InputError, match="No deleted run"):
        runs.undelete("y", tmp_path)


def test_compare_shows_what_differs(tmp_path: Path) -> None:
    folders = [runs.create(TinyConfig(steps=steps), root=tmp_path) for steps in (2, 3)]
    for folder in folders:
        worker.work(folder)
    result = runs.compare(folders)
    assert result["options"] == {"steps": [2, 3]}
    assert result["metrics"]["step"] == [2, 3]


def test_show_explains_figures_that_mislead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs.create(TinyConfig(), name="x", root=tmp_path)
    write_json(folder / "config.json", {"stage": "train.grpo", "options": {"iterations": 1}})
    for step in range(3):
        append(folder / "metrics.jsonl", {"step": step, "loss": 0.0, "advantages/collapse_rate": 0.9})
    assert main(["show", "x", "--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "hint: 90% of the newest groups taught nothing" in shown
    assert main(["show", "x", "--json", "--runs", str(tmp_path)]) == 0
    assert len(json.loads(capsys.readouterr().out)["hints"]) == 2


def in_a_process(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "train.runs", *arguments, "--runs", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(steps=2), name="x", root=tmp_path)
    worker.work(folder)
    listed = json.loads(in_a_process("list", "--json", root=tmp_path).stdout)
    assert [(run["name"], run["state"], run["step"]) for run in listed] == [("x", "finished", 2)]
    assert "2 of 2" in in_a_process("show", "x", root=tmp_path).stdout
    wrong = in_a_process("show", "nothing", root=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert in_a_process("stop", "x", root=tmp_path).stderr == "The run x is not running: it is finished.\n"
    assert "in the trash" in in_a_process("delete", "x", root=tmp_path).stdout
    assert read_json(tmp_path / "x" / STATUS) is None


def test_a_stage_of_its_own_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--runs", str(tmp_path)]
    assert command(TinyConfig, ["--steps", "2", "--name", "x", *where]) == 0
    assert "x: finished." in capsys.readouterr().out
    assert command(TinyConfig, ["--steps", "none", *where]) == 2
    assert capsys.readouterr().err == "steps is 'none'; it must be a whole number.\n"
    assert command(TinyConfig, ["--steps", "4", "--print-config"]) == 0
    assert capsys.readouterr().out.startswith("steps: 4  # steps\n")
    assert command(TinyConfig, ["--steps", "2", "--end", "badly", *where]) == 1


def test_a_chain_trains_one_after_the_other(tmp_path: Path) -> None:
    first, second = runs.start_chain({"x-1": TinyConfig(seconds=0.05), "x-2": TinyConfig(steps=3)}, root=tmp_path)
    assert second.after == "x-1"
    until(lambda: "Waiting for x-1" in runs.load_run(second.folder).status.reason or not ended(first.folder))
    assert [finish(run.folder).state for run in (first, second)] == ["finished", "finished"]
    begun, over = runs.load_run(second.folder).status.started, runs.load_run(first.folder).status.ended
    assert begun is not None
    assert over is not None
    assert begun >= over


def test_a_chain_ends_where_one_fails_and_goes_on_with_it(tmp_path: Path) -> None:
    first, second = runs.start_chain({"x-1": TinyConfig(steps=200), "x-2": TinyConfig(steps=3)}, root=tmp_path)
    until(lambda: runs.load_run(first.folder).status.step > 2)
    runs.stop(first.folder)
    found = finish(second.folder)
    assert (found.state, found.status.reason) == (
        "stopped",
        "Not begun: x-1, whose result it trains further, was stopped.",
    )
    runs.resume(first.folder)
    assert [finish(run.folder).state for run in (first, second)] == ["finished", "finished"]
    runs.delete(first.folder)
    third = runs.create(TinyConfig(), root=tmp_path, after="x-1")
    assert "is gone" in worker.work(third).reason


def test_a_chain_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    runs.create(TinyConfig(), name="x-2", root=tmp_path)
    with pytest.raises(InputError, match="already a run 'x-2'"):
        runs.start_chain({"x-1": TinyConfig(), "x-2": TinyConfig()}, root=tmp_path)
    assert [run.name for run in runs.list_runs(tmp_path)] == ["x-2"]


def test_rename_and_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs.create(TinyConfig(steps=3), name="one", root=tmp_path)
    with pytest.raises(InputError, match=r"one is queued\. Stop it"):
        runs.rename(folder, "two")
    worker.work(folder)
    for taken, words in (("a b", "cannot be called"), ("one", "already a run 'one'")):
        with pytest.raises(InputError, match=words):
            runs.rename(folder, taken)
    waiting = runs.create(TinyConfig(steps=3), name="later", root=tmp_path, after="one")
    with pytest.raises(InputError, match="later trains the result of one"):
        runs.rename(folder, "two")
    worker.work(waiting)
    folder = runs.rename(folder, "two")
    assert runs.annotate(folder, " lower rate \n").note == "lower rate"
    assert main(["note", "two", "seen", "--runs", str(tmp_path)]) == 0
    assert "note: seen" in capsys.readouterr().out
    assert runs.annotate(folder, " ").note == ""


def test_an_answer_is_given_where_no_sign_of_it_can_be_left() -> None:
    """As in a container whose disk can only be read."""
    nowhere = Path("/proc/none")  # can be made by nobody, root included
    with arbiter.consulting(nowhere):
        assert not arbiter.is_consulting(nowhere)


def test_a_run_makes_way_for_a_consultation_but_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(runs.create(TinyConfig(), root=tmp_path))
    job.update(reason="")
    job.make_way()
    with arbiter.consulting(tmp_path), arbiter.consulting(tmp_path):
        waiting = threading.Thread(target=job.make_way)
        waiting.start()
        until(lambda: "Paused" in runs.load_run(job.folder).status.reason)
    waiting.join(PATIENCE_S)
    assert runs.load_run(job.folder).status.reason == ""
    monkeypatch.setattr(arbiter, "LONGEST_S", 0.3)
    with arbiter.consulting(tmp_path):
        job.make_way()  # comes back
        assert arbiter.is_consulting(tmp_path)
    assert not arbiter.is_consulting(tmp_path)
    sign = paths.lock_path(tmp_path, arbiter.SIGN)
    sign.touch()
    os.utime(sign, (1, 1))  # left by a page that died
    assert not arbiter.is_consulting(tmp_path)


def test_the_log_speaks_from_the_first_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python has imported anything, and again and again while something lasts."""
    run = runs.start(TinyConfig(steps=1), root=tmp_path)
    assert re.match(r"[0-9:]{8} Starting\.\n", (run.folder / "log.txt").read_text())
    assert "Looking at the options and the data." in (finish(run.folder).folder / "log.txt").read_text()
    monkeypatch.setattr("train.runs.job.SILENT_S", 0.05)
    job = Job(runs.create(TinyConfig(), name="slow", root=tmp_path))
    with contextlib.redirect_stdout(io.StringIO()) as log, job.speaking():
        job.say("Loading the model")
        until(lambda: log.getvalue().count("Loading the model: for ") > 1)
    assert runs.load_run(job.folder).status.doing == "Loading the model"


def test_the_time_of_a_resumed_run_is_that_of_all_its_parts(tmp_path: Path) -> None:
    folder = runs.create(TinyConfig(), root=tmp_path)
    write_status(folder, Status("stopped", started=1000.0, ended=1060.0))
    runs.prepare_resume(folder)
    again = read_status(folder)
    assert (again.spent, again.started) == (60.0, None)
    write_status(folder, dataclasses.replace(again, state="stopped", started=2000.0, ended=2005.0))
    runs.prepare_resume(folder)
    assert read_status(folder).spent == 65.0
    last = dataclasses.replace(read_status(folder), state="running", started=3000.0)
    assert last.took(3010.0) == 75.0
    assert last.took() is None, "it lasts still"
