"""What a question asks for: the relations that its words name, and those that it sounds like. Knows no graph."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

from dermiq.knowledge.schema import read_rows

RIDGE = 1.0  # how much the weights are held back, in units of one phrasing
NEAREST = 3  # phrasings of a relation that are averaged

WHAT_TO_DO = r"what to do|what (?:should|must|can|do|shall) (?:i|we|one) do|what now|what next"
"""What is asked of a suspicion in these words is no treatment, but who must see it, and when."""
INTENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"\b(treat|manage|therap|remov|excis|first.line|cure|cream|surgery|what to do|what should (?:i|we|one) do)",
        ("treated_by",),
    ),
    (r"\b(refer|urgen|two.week|2.week|pathway|how soon|red flag)", ("refer_if", "red_flag")),
    (r"\b(look.?alike|differential|confus|mimic|mistak|resembl|similar)", ("look_alike",)),
    (r"\b(settle|confirm|biops|test|diagnos(?:e|ed|is made)|prove|histolog)", ("diagnosed_by",)),
    (r"\b(where|site|located|location|body)\b", ("located_at",)),
    (
        r"\b(risk factor|cause|who gets|prone|predispos|(?:rais|increas)\w* (?:the )?(?:risk|chance|odds))",
        ("risk_factor",),
    ),
    (r"\b(dangerous|cancer|malignan|benign|harmless|serious|risky|how bad|spread|worr)", ("behaves_as", "risk_level")),
    (r"\b(code|icd|snomed|coded)\b", ("coded_as",)),
    (
        r"\b(dermoscop|dermatoscop|sign|feature|look like|structure|pattern|vessel|see|look for)",
        ("has_dermoscopic_feature",),
    ),
    (r"\b(symptom|itch|bleed|hurt|pain)", ("has_symptom", "has_sign")),
    (r"\b(why|against|separat|distinguish|tell apart|differ|rather than|instead of)", ("has_dermoscopic_feature",)),
    (r"\b(type|subtype|form|kind)s? of", ("is_a",)),
)


CONTRAST = re.compile(
    r"\b(why not|against|separat\w*|distinguish\w*|tell\b.{0,40}\bfrom|tell apart|differ\w*|rather than|versus|vs)\b"
)

PHRASINGS_FILE = Path(__file__).with_name("phrasings.tsv")


@cache
def phrasings() -> dict[str, list[str]]:
    """Relation -> what clinicians and patients say when they ask for it; "it" stands for the condition."""
    found: dict[str, list[str]] = {}
    for _, row in read_rows(PHRASINGS_FILE):
        found.setdefault(row["relation"], []).append(row["phrasing"])
    return found


def all_phrasings() -> list[str]:
    """The phrasings alone, in the same order."""
    return [text for said in phrasings().values() for text in said]


class IntentClassifier:
    """Tells which relations a question sounds like, by its likeness to their `phrasings`."""

    def __init__(self, vectors: np.ndarray) -> None:
        """`vectors`: (phrasings, 384), the embedded `all_phrasings`. The ridge regression is solved in closed form."""
        relation_of = [relation for relation, said in phrasings().items() for _ in said]
        self._vectors = vectors
        labels = np.array([[other == relation for relation in phrasings()] for other in relation_of], dtype=float)
        self._places = dict(zip(phrasings(), map(np.flatnonzero, labels.T), strict=True))
        self._shares = labels.mean(axis=0)
        likeness = vectors @ vectors.T + RIDGE * np.eye(len(vectors))
        self._weights = vectors.T @ np.linalg.solve(likeness, labels - self._shares)  # (384, relations)

    def classified(self, parts: np.ndarray) -> dict[str, float]:
        """Relation -> what the regression says of the part that speaks most for it; `parts`: (parts, 384)."""
        return dict(zip(phrasings(), (parts @ self._weights + self._shares).max(axis=0).tolist(), strict=True))

    def nearest(self, parts: np.ndarray) -> dict[str, float]:
        """Relation -> mean cosine of its nearest phrasings to the nearest part, above the average relation."""
        cosines = (self._vectors @ parts.T).max(axis=1)
        near = {key: float(np.sort(cosines[places])[-NEAREST:].mean()) for key, places in self._places.items()}
        mean = sum(near.values()) / len(near)
        return {relation: value - mean for relation, value in near.items()}
