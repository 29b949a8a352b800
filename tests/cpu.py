"""Processor time of each test, its processes' included: `--cpu-times FILE` adds a line a test.

Wall time depends on what else a machine does; this does not. `python -m tests.cpu FILE` sums the lines up per file and
writes `tests/durations.json`, by which the tests are spread.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

DURATIONS = Path(__file__).with_name("durations.json")


def measured() -> dict[str, float]:
    """Seconds of each file of tests, by its path under `tests/`."""
    found: dict[str, float] = json.loads(DURATIONS.read_text(encoding="utf-8"))
    return found


class Meter:
    """Appends to a file, as the other process of the tests does."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        others, own = _of_children(), _own()
        result = yield
        own = _own() - own  # before the processes are looked for, which costs time of its own
        spent = own + _of_children() - others
        self._add(item.nodeid, max(0.0, spent))  # less than none where a browser went whose processes no one waited for
        return result

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._add("collection", _own())

    def _add(self, name: str, seconds: float) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{seconds:.3f}\t{name}\n")


def _own() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _of_children() -> float:
    """Of the processes that run, however deep, and of those that they have waited for."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # it has just ended: whoever waits for it has its time
            continue
    return total


def summed(lines: list[str]) -> dict[str, float]:
    """Seconds of each file, of a file of lines."""
    seconds: dict[str, float] = defaultdict(float)
    for line in lines:
        spent, name = line.split("\t", 1)
        seconds[name.split("::")[0].removeprefix("tests/")] += float(spent)
    return seconds


if __name__ == "__main__":
    found = summed(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    rounded = {
        name: round(spent, 1) for name, spent in sorted(found.items(), key=lambda one: -one[1]) if name.endswith(".py")
    }
    DURATIONS.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
