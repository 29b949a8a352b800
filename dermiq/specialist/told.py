"""What age, sex and site change in the specialist's probabilities, by counts of `train`. Knows no pixels.

Each of the three says something of its own: a log-ratio P(value | class) / P(value), counted with half a patient added
to each, times a strength chosen on `val` (0 where it did not help). They are taken for independent given the class,
which they are not quite: the strengths make up for it. Made by `python -m train.embedded.patients`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dermiq import places
from dermiq.shipped import read_json
from dermiq.types import CLASSES, PatientContext

TOLD_PATH = places.WEIGHTS / "specialist" / "told.json"
AGES = (0, 20, 30, 40, 50, 60, 70, 80)  # years from which a band begins
REGIONS: Mapping[str, str] = {
    "face": r"face|facial|nose|nasal|cheeks?|forehead|lips?|eyelids?|chin|temples?|jaw",
    "ear": r"ears?|auricular|earlobes?",
    "scalp": r"scalp",
    "neck": r"neck|nape",
    "hand": r"hands?|fingers?|palms?",
    "foot": r"foot|feet|toes?|soles?|heels?|acral|palm or sole|palms/soles|ankles?",
    "chest": r"chest|breasts?|anterior torso",
    "abdomen": r"abdomen|belly|stomach",
    "back": r"backs?|posterior torso|shoulders?",
    "trunk": r"trunk|torso|lateral torso|flanks?|buttocks?",
    "upper extremity": r"upper extremity|(?:upper |fore)?arms?|elbows?|wrists?",
    "lower extremity": r"lower extremity|(?:lower |upper )?legs?|thighs?|calf|calves|knees?|shins?",
    "genital": r"genitals?|genitalia|groin|vulva|penis|scrotum",
}
"""Regions as HAM10000 has them, and the words by which a site that was told belongs to one; the first that fits."""
_OF_A_LIMB = re.compile(r"\bbacks? of (?:the |a |his |her |my )?(?=hand|finger|foot|feet|leg|arm|neck|knee|ear)", re.I)


def region_of(site: str | None) -> str | None:
    """The region that a site lies in; None where it is not told or not known."""
    text = _OF_A_LIMB.sub("", (site or "").lower())
    whole = (name for name, words in REGIONS.items() if re.fullmatch(words, text))
    part = (name for name, words in REGIONS.items() if re.search(rf"\b(?:{words})\b", text))
    return next(whole, None) or next(part, None)


def band_of(age: float | None) -> str | None:
    """The name of the band that an age in years lies in."""
    if age is None:
        return None
    return str(max(low for low in AGES if low <= age))


def values_of(context: PatientContext) -> dict[str, str]:
    """Factor -> the patient's value; those that were not told are not in it."""
    found = {"age": band_of(context.age), "sex": context.sex, "site": region_of(context.site)}
    return {factor: value for factor, value in found.items() if value is not None}


@dataclass(frozen=True)
class Told:
    """Factor -> value -> class -> log-ratio, and how strongly each factor counts."""

    ratios: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    strengths: Mapping[str, float] = field(default_factory=dict)
    counted: str = ""  # of what

    @classmethod
    def load(cls, path: Path = TOLD_PATH) -> Told:
        """Of the shipped file; one that changes nothing where there is none. Raises ModelError where it is damaged."""
        return cls(**read_json(path)) if path.is_file() else cls()

    def shift(self, context: PatientContext) -> dict[str, float]:
        """Class -> what is added to the logarithm of its probability."""
        found = dict.fromkeys(CLASSES, 0.0)
        for factor, value in values_of(context).items():
            for code, ratio in self.ratios.get(factor, {}).get(value, {}).items():
                found[code] += self.strengths.get(factor, 0.0) * ratio
        return found

    def counts(self, context: PatientContext) -> tuple[str, ...]:
        """The factors that were told and count, as they are written."""
        return tuple(
            factor
            for factor, value in values_of(context).items()
            if self.strengths.get(factor, 0.0) > 0 and value in self.ratios.get(factor, {})
        )

    def applied(self, probabilities: Mapping[str, float], context: PatientContext) -> dict[str, float]:
        """The probabilities with what was told; they sum to 1."""
        shift = self.shift(context)
        weights = {code: value * math.exp(shift[code]) for code, value in probabilities.items()}
        total = math.fsum(weights.values())
        return {code: weight / total for code, weight in weights.items()}
