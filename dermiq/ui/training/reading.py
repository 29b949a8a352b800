"""What a run has logged, read as its files grow: every line is parsed once, and no reader keeps a whole file.

    found = figures(run.folder)         # of metrics.jsonl: newest lines, trends, what hints look at
    drawn = samples(run.folder)         # of samples.jsonl: steps, their groups, questions that recur

A run that is resumed writes its files anew, shorter; they are then read from their start. Knows no page.
"""

from __future__ import annotations

import json
import math
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from train.runs import hints

RUNS_KEPT = 256  # readers in memory
FIRST, JUDGED, NEWEST = 4, 1000, 64  # lines that are kept: of the start, of evaluations, of the end
POINTS = 120  # of a trend at most
SOME = 10  # newest values that a mean is taken over
TRENDS = ("reward", "loss")
EVALUATED = b'"eval_'  # how the names of an evaluation's figures begin

Line = Mapping[str, Any]


class Growing(ABC):
    """A JSONL file that another process appends to. One reader serves all visitors: `lock` is held while it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._inode = -1
        self._offset = 0  # bytes that were read: the start of a line
        self.forget()

    def refresh(self) -> None:
        """Takes the whole lines that are new. A line that is being written waits."""
        try:
            file = self.path.open("rb")
        except OSError:
            self._inode, self._offset = -1, 0
            self.forget()
            return
        with file:
            known = os.fstat(file.fileno())
            if known.st_ino != self._inode or known.st_size < self._offset:
                self._inode, self._offset = known.st_ino, 0
                self.forget()
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.take(self._offset, line)
                self._offset += len(line)

    @abstractmethod
    def forget(self) -> None:
        """Drops what was taken: the file is read anew."""

    @abstractmethod
    def take(self, offset: int, line: bytes) -> None:
        """One whole line, which begins at byte `offset`."""


def parsed(line: bytes) -> dict[str, Any]:
    """Empty where a power loss tore the line."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def as_number(value: Any) -> float | None:
    """None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


# --- metrics ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What is kept of metrics.jsonl, however long it is."""

    telling: tuple[Line, ...] = ()  # the first, the evaluations' and the newest lines, in their order
    newest: tuple[Line, ...] = ()
    last: Mapping[str, float] = field(default_factory=dict)  # of everything whose last value is a number
    trends: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of TRENDS, oldest first

    def mean(self, name: str) -> float | None:
        """Over the newest values; None without any."""
        values = [value for line in self.newest if (value := as_number(line.get(name))) is not None]
        return fmean(values[-SOME:]) if values else None

    def hints(self, stage: str, options: Mapping[str, Any]) -> list[str]:
        """`train.runs.hints`, without reading the file again."""
        return hints.hints(stage, options, self.telling)


class Trend:
    """A curve of at most POINTS means, however many values it was given."""

    def __init__(self) -> None:
        self._means: list[float] = []
        self._open: list[float] = []
        self._width = 1  # values in a mean

    def add(self, value: float) -> None:
        self._open.append(value)
        if len(self._open) < self._width:
            return
        self._means.append(fmean(self._open))
        self._open = []
        if len(self._means) == POINTS:
            self._means = [fmean(pair) for pair in zip(self._means[::2], self._means[1::2], strict=True)]
            self._width *= 2

    def values(self) -> tuple[float, ...]:
        return (*self._means, fmean(self._open)) if self._open else tuple(self._means)


class Metrics(Growing):
    def forget(self) -> None:
        self._count = 0
        self._first: list[tuple[int, Line]] = []
        self._judged: deque[tuple[int, Line]] = deque(maxlen=JUDGED)
        self._newest: deque[tuple[int, Line]] = deque(maxlen=NEWEST)
        self._last: dict[str, Any] = {}
        self._trends = {name: Trend() for name in TRENDS}
        self._found: Figures | None = Figures()

    def take(self, offset: int, line: bytes) -> None:
        """Called ten thousand times when a long run is opened: what can be done once, at the end, is done there."""
        self._found = None
        values = parsed(line)
        numbered = (self._count, values)
        self._count += 1
        if len(self._first) < FIRST:
            self._first.append(numbered)
        if EVALUATED in line:
            self._judged.append(numbered)
        self._newest.append(numbered)
        self._last |= values
        for name, trend in self._trends.items():
            if (number := as_number(values.get(name))) is not None:
                trend.add(number)

    def figures(self) -> Figures:
        with self.lock:
            self.refresh()
            if self._found is None:
                kept = dict([*self._first, *self._judged, *self._newest])
                self._found = Figures(
                    telling=tuple(kept[number] for number in sorted(kept)),
                    newest=tuple(line for _, line in self._newest),
                    last={
                        name: number for name, value in self._last.items() if (number := as_number(value)) is not None
                    },
                    trends={name: trend.values() for name, trend in self._trends.items()},
                )
            return self._found


@lru_cache(maxsize=RUNS_KEPT)
def _metrics(path: Path) -> Metrics:
    return Metrics(path)


def figures(folder: Path) -> Figures:
    """Of a run's folder; empty where nothing was logged."""
    return _metrics(folder / "metrics.jsonl").figures()


# --- samples ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """What samples.jsonl holds, without the texts."""

    steps: tuple[int, ...] = ()  # those with samples, ascending
    asked: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # question -> the steps that asked it


class Samples(Growing):
    def forget(self) -> None:
        self._places: dict[int, list[int]] = {}  # step -> where its lines begin
        self._asked: dict[int, dict[int, None]] = {}
        self._drawn: Drawn | None = Drawn()

    def take(self, offset: int, line: bytes) -> None:
        self._drawn = None
        sample = parsed(line)
        step = sample.get("step")
        if isinstance(step, int):
            self._places.setdefault(step, []).append(offset)
            self._asked.setdefault(question_of(sample), {})[step] = None

    def drawn(self) -> Drawn:
        with self.lock:
            self.refresh()
            if self._drawn is None:
                asked = {question: tuple(sorted(steps)) for question, steps in self._asked.items()}
                self._drawn = Drawn(tuple(sorted(self._places)), asked)
            return self._drawn

    def lines(self, step: int) -> list[dict[str, Any]]:
        """Of one step, in the order in which they were drawn."""
        with self.lock:
            self.refresh()
            return list(self._read(self._places.get(step, ())))

    def _read(self, places: Sequence[int]) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for place in places:
                    file.seek(place)
                    yield parsed(file.readline())
        except OSError:  # the run was deleted a moment ago
            return


def question_of(sample: Line) -> int:
    """What tells questions apart: their text and the diagnosis that is right."""
    return hash((sample.get("prompt"), sample.get("diagnosis")))


@lru_cache(maxsize=RUNS_KEPT)
def _samples(path: Path) -> Samples:
    return Samples(path)


def samples(folder: Path) -> Drawn:
    return _samples(folder / "samples.jsonl").drawn()


def groups(folder: Path, step: int, size: int) -> list[list[dict[str, Any]]]:
    """The completions that a step learned from, one list a question. `size`: completions of a question, where known."""
    made: list[list[dict[str, Any]]] = []
    for _, found in groupby(_samples(folder / "samples.jsonl").lines(step), key=question_of):
        together = list(found)
        pieces = size if size and len(together) % size == 0 else len(together)  # two images may share a text
        made += [together[start : start + pieces] for start in range(0, len(together), pieces)]
    return made
