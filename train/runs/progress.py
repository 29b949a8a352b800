"""Told while one waits: what is being done, and how much of it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[str, float], None]
"""Is told what is being done ("Loading the libraries") and the share of the whole that is done before it, 0 to 1."""


def silent(text: str, share: float) -> None:
    """The progress of whoever does not watch."""


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """For a part of the work: its own 0 to 1 lies between these shares of the whole."""
    return lambda text, share: progress(text, start + (end - start) * share)


def on_screen(text: str, share: float) -> None:
    """Progress for whoever waits at a terminal."""
    print(f"{share:4.0%} {text}", file=sys.stderr, flush=True)


def announced(rows: Sequence[T], progress: Progress) -> Iterator[T]:
    """The rows; before each, `progress` is told that it is measured."""
    for number, row in enumerate(rows):
        progress(f"Measuring example {number + 1} of {len(rows)}", number / len(rows))
        yield row
