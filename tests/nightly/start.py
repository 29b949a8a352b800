"""How long a start takes and what memory it needs: `python app.py` in a fresh process on two cores, which asks at once.

    python -m tests.nightly.start [--write]     # --write: into start.txt beside it

Twice: with the base language model to be fetched and converted, and with it at hand. No folder can be written but that
of temporary files and, for the model, the cache: as in a container whose disk is mounted to be read alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil

from tests.nightly.visitors import Visitor, WrongAnswer, _up
from tests.page import ROOT, free_port

OUT = Path(__file__).with_suffix(".txt")
CORES = 2
NOWHERE = "/proc/none"  # can be made by nobody, root included


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process, and seconds of a question; bytes."""

    page: float
    first: float  # until the first answer is whole, asked as soon as the page is there
    later: float  # that a second question took
    memory: int  # of all its processes, at most: what they share is counted once

    def line(self, title: str) -> str:
        return (
            f"{title}: the page answered after {self.page:.0f} s, a first answer was whole after {self.first:.0f} s, "
            f"a second question took {self.later:.1f} s; at most {self.memory / 1e9:.2f} GB."
        )


class Memory(threading.Thread):
    """Watches a process and its children, until `ended` is set."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.ended, self.most, self._pid = threading.Event(), 0, pid

    def run(self) -> None:
        while not self.ended.wait(0.5):
            with suppress(psutil.Error):
                parent = psutil.Process(self._pid)
                family = [parent, *parent.children(recursive=True)]
                self.most = max(self.most, sum(_taken(process) for process in family))


def _taken(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it ended meanwhile
        return 0


async def _asked(address: str, began: float) -> tuple[float, float, float]:
    await _up(address)
    page = time.monotonic() - began
    async with Visitor(address, 1).visit() as visitor:
        await visitor.upload()
        await visitor.ask("What is this lesion, and why?")
        first = time.monotonic() - began
        later = await visitor.ask("What speaks against a nevus?")
        if "failed" in visitor.shown("dq-chat"):
            raise WrongAnswer("a reading failed; the page's log says why")
    return page, first, later.seconds


def start(cache: Path, temp: Path) -> Start:
    """A fresh process of the page, ended again."""
    port = free_port()
    places = {"HOME": NOWHERE, "DERMIQ_RUNS": f"{NOWHERE}/runs", "DERMIQ_REVIEW": f"{NOWHERE}/review"}
    environment = {**os.environ, **places, "DERMIQ_CACHE": str(cache), "TMPDIR": str(temp)}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])  # what is started now inherits it
    began = time.monotonic()
    with (temp / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    os.sched_setaffinity(0, before)
    memory = Memory(process.pid)
    memory.start()
    try:
        page, first, later = asyncio.run(_asked(f"http://127.0.0.1:{port}", began))
    finally:
        memory.ended.set()
        process.terminate()
        process.wait(30)
    return Start(page, first, later, memory.most)


def study() -> tuple[Start, Start]:
    """A cold and a warm one."""
    with tempfile.TemporaryDirectory() as folder:
        cache, temp = Path(folder, "cache"), Path(folder, "temp")
        temp.mkdir()
        return start(cache, temp), start(cache, temp)


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a start takes, and what memory it needs.")
    parser.add_argument("--write", action="store_true", help=f"into {OUT.name}")
    options = parser.parse_args()
    cold, warm = study()
    head = f"# python -m tests.nightly.start --write      ({CORES} cores, no GPU, {date.today().isoformat()})"
    lines = [cold.line("Model to be fetched and converted"), warm.line("Model at hand")]
    print("\n".join(lines))
    if options.write:
        OUT.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
