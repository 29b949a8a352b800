"""The process that trains: takes its turn on a device, runs its stage, says how far it is and how it ended.

    python -m train.runs.worker FOLDER        # what `train.runs.registry` starts for each run

Knows no trainer: a stage is given an `Owner`, and `train.runs.callbacks` asks it.
"""

from __future__ import annotations

import contextlib
import errno
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
from typing import Any

from filelock import FileLock, Timeout

from dermiq.errors import DataError, DermIQError, InputError
from dermiq.types import Fields
from train import options
from train.runs import arbiter as sharing
from train.runs.cpu_share import step_back
from train.runs.hints import learned_nothing
from train.runs.registry import POLL_S, list_runs, load_run, lock_path
from train.runs.run_folder import (
    STOP,
    Status,
    cut_lines,
    drop_incomplete,
    frozen_sets,
    is_complete,
    last_checkpoint,
    own_process,
    read_config,
    read_lines,
    read_status,
    waits_for,
    write_status,
)

_ENDED = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}
STATUS_EVERY_S = 1.0  # between two writes of the step
SILENT_S, LONGEST_SILENT_S = 15.0, 240.0  # after which the log says that something still lasts; each time twice as long
_STAGE = re.compile(r"(train|tests)(\.[a-z_]+)+")


class Owner:
    """What a stage is given: its folder, where to say how far it is, and whether to stop.

    With several processes of one run (`accelerate launch`) only the first writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_main = int(os.environ.get("RANK", "0")) == 0
        self._status = replace(read_status(folder), **own_process())
        self._written = 0.0
        self._began = time.monotonic()  # what it does now
        self._quiet = threading.Event()

    @property
    def step(self) -> int:
        return self._status.step

    @property
    def stop_requested(self) -> bool:
        return (self.folder / STOP).exists()

    def request_stop(self) -> None:
        (self.folder / STOP).touch()

    def say(self, doing: str) -> None:
        """What is done from now on, in a few words without a full stop: a line of the log, and `doing` of the status.

        While it lasts, `speaking` says so again and again.
        """
        if self.is_main:
            print(f"{clock()} {doing}.", flush=True)
        self.do(doing)

    def do(self, doing: str, *, soon: bool = False) -> None:
        """The same without a line. `soon`: it will not last, so that the status is written with the next change."""
        self._began = time.monotonic()
        self.update(doing=doing, since=time.time(), soon=soon)

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """While it lasts, the log says what still lasts: nobody must guess whether a silent run is a dead one."""
        if not self.is_main:
            yield
            return
        speaker = threading.Thread(target=self._speak, daemon=True)
        speaker.start()
        try:
            yield
        finally:
            self._quiet.set()
            speaker.join()

    def _speak(self) -> None:
        began, due = self._began, SILENT_S
        while not self._quiet.wait(min(1.0, SILENT_S)):
            if began != self._began:
                began, due = self._began, SILENT_S
            lasted = time.monotonic() - began
            if lasted >= due:
                print(f"{clock()} {self._status.doing or 'Starting'}: for {lasted:.0f} s so far.", flush=True)
                due = lasted + min(lasted, LONGEST_SILENT_S)

    def progress(self, step: int, total: int) -> None:
        self.update(step=step, total=total, soon=time.time() - self._written < STATUS_EVERY_S)

    def update(self, *, soon: bool = False, **changes: Any) -> None:
        """Changes the status; with `soon` it is written with the next change."""
        self._status = replace(self._status, **changes)
        if self.is_main and not soon:
            write_status(self.folder, self._status)
            self._written = time.time()

    def wait_for(self, name: str) -> str:
        """Waits until the run of this name is finished: "". Else why it will not be."""
        self.update(reason=f"Waiting for {name}, whose result it trains further.")
        self.say(f"Waiting for {name}")
        while not self.stop_requested:
            try:
                run = load_run(self.folder.parent / name)
            except DataError:
                return f"{name}, whose result it was to train further, is gone."
            if run.state == "finished":
                return ""
            if not run.is_live:
                return f"Not begun: {name}, whose result it trains further, {_ENDED[run.state]}."
            time.sleep(POLL_S)
        return "Stopped before its turn came."

    def make_way(self) -> None:
        """Waits while a consultation is answered on this machine, but not for long. Between two steps."""
        if not self.is_main or not sharing.is_consulting(self.folder.parent):
            return
        reason, self._status = self._status.reason, replace(self._status, reason="Paused: a consultation is answered.")
        self.update()
        sharing.wait(self.folder.parent, until=lambda: self.stop_requested)
        self.update(reason=reason)

    @contextlib.contextmanager
    def turn(self, device: str) -> Iterator[bool]:
        """Waits until the device is free and every run that came earlier had its turn. False where it was told to stop.

        The lock is the operating system's: it ends with the process that holds it.
        """
        if not self.is_main:
            yield True
            return
        lock = FileLock(lock_path(self.folder.parent, f"device-{device}"))
        self.update(device=device, reason=f"Waiting for {device}.")
        waits = False
        while not self.stop_requested:
            if not self._is_behind(device) and _acquired(lock):
                try:
                    yield True
                finally:
                    lock.release()
                return
            if not waits:
                waits = True
                self.say(f"Waiting for {device}, which another run has")
            time.sleep(POLL_S)
        yield False

    def _is_behind(self, device: str) -> bool:
        mine = (self._status.queued, self.folder.name)
        return any(
            run.state == "queued" and run.status.device == device and (run.status.queued, run.name) < mine
            for run in list_runs(self.folder.parent)
        )


def clock() -> str:
    """The time of day, as lines of the log begin."""
    return time.strftime("%H:%M:%S")


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


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
    owner = Owner(folder)
    owner.update(state="queued")
    with _stopping_signals(owner), owner.speaking():
        try:
            state, reason = _stage_to_its_end(owner)
        except DermIQError as error:
            state, reason = "failed", str(error)
            print(f"{reason}\n{error.detail}".strip(), file=sys.stderr)
        except BaseException as error:  # whatever it is: the folder says it, and the log has it whole
            traceback.print_exc()
            state, reason = "failed", explained(error, owner.step)
            if not isinstance(error, Exception):
                owner.update(state=state, reason=reason, ended=time.time(), doing="", left=None)
                raise
    with contextlib.suppress(OSError):  # a full disk: the folder then reads as interrupted
        owner.update(state=state, reason=reason, ended=time.time(), doing="", left=None)
    return replace(read_status(folder), state=state, reason=reason)


def _stage_to_its_end(owner: Owner) -> tuple[str, str]:
    owner.say("Looking at the options and the data")
    before = waits_for(owner.folder)
    missing = owner.wait_for(before) if before else ""
    if missing:
        return "stopped", missing
    name, values = read_config(owner.folder)
    if not _STAGE.fullmatch(name):
        raise DataError(f"{owner.folder.name} names the stage {name!r}, which is none of this project's.")
    stage = importlib.import_module(name)
    config = options.make(stage.CONFIG, values)
    if sets := frozen_sets(owner.folder):
        from train.cases.reviewed import refuse_changed

        refuse_changed(sets)
    config.check()
    with owner.turn(config.place()) as taken:
        if not taken:
            return "stopped", "Stopped before its turn came."
        if owner.is_main:
            begin(owner)
        stage.run(config, owner)
    if is_complete(owner.folder / "final"):
        return "finished", _ended_well(name.rsplit(".", 1)[-1], values, owner.folder)
    if not owner.stop_requested:
        raise DataError(f"The stage {name} ended without a result.")
    return "stopped", f"Stopped on request after step {owner.step}."


def _ended_well(stage: str, values: Fields, folder: Path) -> str:
    """What is said of a finished run: that it finished, and where it learned nothing, that too."""
    return f"Finished. {learned_nothing(stage, values, read_lines(folder / 'metrics.jsonl'))}".strip()


def begin(owner: Owner) -> None:
    """Forgets what was half done by an earlier process."""
    folder = owner.folder
    drop_incomplete(folder)
    found = last_checkpoint(folder)
    step = found[0] if found else 0
    for name in ("metrics.jsonl", "samples.jsonl"):
        cut_lines(folder / name, after_step=step)
    owner.update(state="running", reason="", started=time.time(), step=step)


def explained(error: BaseException, step: int) -> str:
    """One sentence for what a stage did not foresee."""
    text = str(error).lower()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full (at step {step}). Free some and resume."
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return (
            f"Out of memory at step {step}. Lower batch_size, or of GRPO group or new_tokens, or turn "
            "gradient_checkpointing on, and resume."
        )
    if isinstance(error, KeyboardInterrupt):
        return f"Interrupted from the keyboard at step {step}."
    first = str(error).strip().splitlines()
    return f"{type(error).__name__} at step {step}: {first[0] if first else 'no message'}. log.txt has the rest."


@contextlib.contextmanager
def _stopping_signals(owner: Owner) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask for a stop; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if number == signal.SIGINT and owner.stop_requested:
            raise KeyboardInterrupt
        owner.request_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    step_back()
    sys.exit(0 if work(Path(sys.argv[1])).state in ("finished", "stopped") else 1)
