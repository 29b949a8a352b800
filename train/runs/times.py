"""Seconds as one would say them, and how many are left of a run by its own steps. Knows no run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

NEWEST = 10  # steps that are looked at
SURE, UNSURE = 1.25, 1.5  # by which a figure from three own steps or more, or from fewer, may be wrong


def in_words(seconds: float) -> str:
    """About: "40 s", "12 min", "3.5 h", "2 days"."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def between(seconds: float, low: float, high: float) -> str:
    """ "12 min (6 min to 24 min)"."""
    lowest, highest = in_words(low), in_words(high)
    return in_words(seconds) if lowest == highest else f"{in_words(seconds)} ({lowest} to {highest})"


def left(each: Sequence[float], steps: int) -> tuple[float, float, float] | None:
    """Seconds that `steps` more steps will take by a run's own newest ones, and between which they will lie; None
    before the first step. The first alone is not trusted as much: it holds what is done once.
    """
    newest = list(each)[-NEWEST:]
    if not newest:
        return None
    middle = statistics.median(newest)
    factor = SURE if len(newest) > 2 else UNSURE
    return steps * middle, steps * min(*newest, middle / factor), steps * max(*newest, middle * factor)
