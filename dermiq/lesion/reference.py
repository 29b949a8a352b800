"""What findings look like in labelled lesions: percentiles and likelihood ratios, read from one JSON file.

Made by `python -m train.embedded.findings`. Knows no pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dermiq import places
from dermiq.errors import DataError
from dermiq.shipped import checked
from dermiq.types import Fields

REFERENCE_PATH = places.WEIGHTS / "specialist" / "findings_reference.json"
BENIGN: tuple[str, ...] = ("bkl", "df", "nv", "vasc")


@dataclass(frozen=True)
class FindingDistribution:
    """One finding among the reference lesions."""

    quantiles: tuple[float, ...]  # 101 values, 0th to 100th percentile of benign lesions
    edges: tuple[float, ...]  # ascending; bin i holds edges[i-1] <= value < edges[i]
    counts: Mapping[str, tuple[int, ...]]  # class -> lesions a bin, len(edges) + 1
    ratios: Mapping[str, tuple[float, ...]]  # class -> LR a bin
    intervals: Mapping[str, tuple[tuple[float, float], ...]]  # class -> 95 % interval a bin

    @property
    def bin_n(self) -> tuple[int, ...]:
        """Lesions a bin, all classes."""
        return tuple(sum(column) for column in zip(*self.counts.values(), strict=True))

    def bin(self, value: float) -> int:
        return int(np.searchsorted(self.edges, value, side="right"))


@dataclass(frozen=True)
class FindingsReference:
    """Percentiles among benign lesions and likelihood ratios a class, with where they come from."""

    dataset: str
    licence: str
    n: int  # lesions
    class_n: Mapping[str, int]
    findings: Mapping[str, FindingDistribution] = field(repr=False)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self.findings)

    def percentile(self, code: str, value: float) -> float:
        """Share of benign lesions below `value`, ties counted half, 0 to 100."""
        quantiles = np.asarray(self.findings[code].quantiles)
        below, above = np.searchsorted(quantiles, value, side="left"), np.searchsorted(quantiles, value, side="right")
        if below == above:  # between two quantiles, or outside them
            if below in (0, quantiles.size):
                return 0.0 if below == 0 else 100.0
            low, high = quantiles[below - 1], quantiles[below]
            return float(below - 1 + (value - low) / (high - low))
        return float((below + above - 1) / 2)

    def likelihood_ratios(self, code: str, value: float) -> tuple[dict[str, float], int]:
        """Class -> P(bin | class) / P(bin | other classes), and the lesions in the bin."""
        found = self.findings[code]
        index = found.bin(value)
        return {name: ratios[index] for name, ratios in found.ratios.items()}, found.bin_n[index]

    def interval(self, code: str, value: float, name: str) -> tuple[float, float]:
        """The 95 % interval of class `name`'s likelihood ratio."""
        found = self.findings[code]
        return found.intervals[name][found.bin(value)]

    @classmethod
    def from_json(cls, table: Fields) -> FindingsReference:
        """Of what `asdict` gives, lists in place of tuples."""
        findings = {code: FindingDistribution(**_frozen(entry)) for code, entry in table["findings"].items()}
        return cls(**{**table, "findings": findings})

    @classmethod
    def load(cls, path: Path = REFERENCE_PATH) -> FindingsReference:
        """Raises DataError, and ModelError where the shipped file is not as it was shipped."""
        try:
            return cls.from_json(json.loads(checked(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"The findings reference {path.name} is missing or damaged: make it with "
                "`python -m train.embedded.findings`.",
                detail=repr(error),
            ) from error


def _frozen(value: Any) -> Any:
    """With tuples in place of JSON's lists."""
    if isinstance(value, Mapping):
        return {name: _frozen(inner) for name, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@cache
def default_reference() -> FindingsReference:
    """The reference that the project ships, read once."""
    return FindingsReference.load()
