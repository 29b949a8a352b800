"""A run in the hands of the process that works on it: how far it is, its turn on a device, and whether to stop.

Knows no trainer: a stage is given a `Job`, and `train.runs.callbacks` asks it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dermiq.errors import DataError
from train.runs import arbiter
from train.runs.paths import lock_path
from train.runs.registry import POLL_S, list_runs, load_run
from train.runs.run_folder import STOP, own_process, read_status, write_status

_ENDED = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}
STATUS_EVERY_S = 1.0  # between two writes of the step
SILENT_S, LONGEST_SILENT_S = 15.0, 240.0  # after which the log says that something still lasts; each time twice as long


class Job:
    """What a stage is given: its folder, where to say how far it is, and whether to stop.

    With several processes of one run (`accelerate launch`) only the first writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_main = int(os.environ.get("RANK", "0")) == 0
        self._status = replace(read_status(folder), **own_process())
        self._written = -STATUS_EVERY_S  # s on the clock that nobody sets
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
        self.update(step=step, total=total, soon=time.monotonic() - self._written < STATUS_EVERY_S)

    def update(self, *, soon: bool = False, **changes: Any) -> None:
        """Changes the status; with `soon` it is written with the next change."""
        self._status = replace(self._status, **changes)
        if self.is_main and not soon:
            write_status(self.folder, self._status)
            self._written = time.monotonic()

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
        if not self.is_main or not arbiter.is_consulting(self.folder.parent):
            return
        reason, self._status = self._status.reason, replace(self._status, reason="Paused: a consultation is answered.")
        self.update()
        arbiter.wait(self.folder.parent, until=lambda: self.stop_requested)
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
