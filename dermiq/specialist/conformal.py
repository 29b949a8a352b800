"""Sets of diagnoses that hold the right one with a stated certainty, whatever the class. Knows probabilities only.

Split conformal prediction, one threshold a class (Vovk 2012, arXiv 1209.2673; Sadinle et al. 2019, arXiv 1609.00451): a
class belongs to the set where its probability is at least the one that all but a twentieth (a tenth) of the validation
images of that class had. Classes with too few images for a threshold of their own share one (as in clustered conformal
prediction, Ding et al. 2023, arXiv 2306.09335).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermiq import places
from dermiq.shipped import read_json
from dermiq.types import CLASSES

SETS_PATH = places.WEIGHTS / "specialist" / "sets.json"
ENOUGH = 39  # images of a class from which on it has a threshold of its own at 95 %: two of them may miss it


@dataclass(frozen=True)
class Sets:
    """Certainty in percent ("95") -> class -> the probability from which it belongs to the set."""

    thresholds: Mapping[str, Mapping[str, float]]
    calibrated_on: str = ""

    @classmethod
    def load(cls, path: Path = SETS_PATH) -> Sets:
        return cls(**read_json(path)) if path.is_file() else cls({})

    def holding(self, probabilities: Mapping[str, float], certainty: str) -> tuple[str, ...]:
        """The classes of the set, likeliest first; never empty: the likeliest class is always in it."""
        limits = self.thresholds[certainty]
        order = sorted(probabilities, key=lambda code: -probabilities[code])
        return tuple(code for code in order if probabilities[code] >= limits[code]) or (order[0],)


def threshold(own: Sequence[float], certainty: float) -> float:
    """The probability that all but a share 1 - `certainty` of new images of a class have, from n of them.

    `own`: what the right class was given. The ceil((n + 1) certainty)-th highest; 0 where n is too small for one.
    """
    rank = math.ceil((len(own) + 1) * certainty)
    return sorted(own, reverse=True)[rank - 1] if rank <= len(own) else 0.0


def fitted(
    labels: Sequence[str], own: Sequence[float], certainties: Sequence[int] = (90, 95)
) -> dict[str, dict[str, float]]:
    """Thresholds by certainty and class from the right class of each validation image and what it was given."""
    by_class = {code: [p for label, p in zip(labels, own, strict=True) if label == code] for code in CLASSES}
    shared = [p for values in by_class.values() if len(values) < ENOUGH for p in values]
    pools = {code: values if len(values) >= ENOUGH else shared for code, values in by_class.items()}
    return {
        str(certainty): {code: threshold(pool, certainty / 100) for code, pool in pools.items()}
        for certainty in certainties
    }
