"""The process that trains: takes its turn on a device, runs its stage, says how far it is and how it ended.

    python -m train.runs.worker FOLDER        # what `train.runs.registry` starts for each run

Knows no trainer: a stage is given a `Job`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from dermiq.errors import DataError, DermIQError, InputError, ran_out_of_memory
from dermiq.types import Fields
from dermiq.writing import is_full
from train import options
from train.runs.cpu_share import step_back
from train.runs.hints import learned_nothing
from train.runs.job import Job
from train.runs.run_folder import (
    Status,
    cut_lines,
    drop_incomplete,
    frozen_sets,
    is_complete,
    last_checkpoint,
    read_config,
    read_lines,
    read_status,
    waits_for,
)

_STAGE = re.compile(r"(train|tests)(\.[a-z_]+)+")


def work(folder: Path) -> Status:
    """Runs the stage of a queued folder in this process, to its end. What goes wrong is in the status it returns."""
    if int(os.environ.get("RANK", "0")) != 0:
        return _work(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _work(folder)
    except Timeout:
        raise InputError(f"Another process works on {folder.name}.") from None


def _work(folder: Path) -> Status:
    job = Job(folder)
    job.update(state="queued")
    with _stopping_signals(job), job.speaking():
        try:
            state, reason = _stage_to_its_end(job)
        except DermIQError as error:
            state, reason = "failed", str(error)
            print(f"{reason}\n{error.detail}".strip(), file=sys.stderr)
        except BaseException as error:  # whatever it is: the folder says it, and the log has it whole
            traceback.print_exc()
            state, reason = "failed", explained(error, job.step)
            if not isinstance(error, Exception):
                job.update(state=state, reason=reason, ended=time.time(), doing="", left=None)
                raise
    with contextlib.suppress(OSError):  # a full disk: the folder then reads as interrupted
        job.update(state=state, reason=reason, ended=time.time(), doing="", left=None)
    return replace(read_status(folder), state=state, reason=reason)


def _stage_to_its_end(job: Job) -> tuple[str, str]:
    job.say("Looking at the options and the data")
    before = waits_for(job.folder)
    missing = job.wait_for(before) if before else ""
    if missing:
        return "stopped", missing
    name, values = read_config(job.folder)
    if not _STAGE.fullmatch(name):
        raise DataError(f"{job.folder.name} names the stage {name!r}, which is none of this project's.")
    stage = importlib.import_module(name)
    config = options.make(stage.CONFIG, values)
    if sets := frozen_sets(job.folder):
        from train.cases.reviewed import refuse_changed  # the review's database takes a second to load

        refuse_changed(sets)
    config.check()
    with job.turn(config.place()) as taken:
        if not taken:
            return "stopped", "Stopped before its turn came."
        if job.is_main:
            begin(job)
        stage.run(config, job)
    if is_complete(job.folder / "final"):
        return "finished", _ended_well(name.rsplit(".", 1)[-1], values, job.folder)
    if not job.stop_requested:
        raise DataError(f"The stage {name} ended without a result.")
    return "stopped", f"Stopped on request after step {job.step}."


def _ended_well(stage: str, values: Fields, folder: Path) -> str:
    """What is said of a finished run: that it finished, and where it learned nothing, that too."""
    return f"Finished. {learned_nothing(stage, values, read_lines(folder / 'metrics.jsonl'))}".strip()


def begin(job: Job) -> None:
    """Forgets what was half done by an earlier process."""
    folder = job.folder
    drop_incomplete(folder)
    found = last_checkpoint(folder)
    step = found[0] if found else 0
    for name in ("metrics.jsonl", "samples.jsonl"):
        cut_lines(folder / name, after_step=step)
    job.update(state="running", reason="", started=time.time(), step=step)


def explained(error: BaseException, step: int) -> str:
    """One sentence for what a stage did not foresee."""
    if is_full(error):
        return f"The disk is full (at step {step}). Free some and resume."
    if ran_out_of_memory(error):
        return (
            f"Out of memory at step {step}. Lower batch_size, or of GRPO group or new_tokens, or turn "
            "gradient_checkpointing on, and resume."
        )
    if isinstance(error, KeyboardInterrupt):
        return f"Interrupted from the keyboard at step {step}."
    first = str(error).strip().splitlines()
    return f"{type(error).__name__} at step {step}: {first[0] if first else 'no message'}. log.txt has the rest."


@contextlib.contextmanager
def _stopping_signals(job: Job) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask for a stop; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if number == signal.SIGINT and job.stop_requested:
            raise KeyboardInterrupt
        job.request_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    step_back()
    sys.exit(0 if work(Path(sys.argv[1])).state in ("finished", "stopped") else 1)
