"""What a question asks for: one of sixteen intents, and the relations that answer it. Knows no graph.

Both are told by likeness to tables of what people say (`intents.tsv`, `phrasings.tsv`). Where nothing is embedded, the
words of `SAID` decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dermiq.knowledge.language.lexical import words
from dermiq.knowledge.schema import read_rows

RIDGE = 1.0  # how much the weights are held back, in units of one phrasing
SHARPNESS = 2.0  # of a kernel: how much nearer phrasings count for more than further ones
KERNEL_RIDGE = 0.3
NEAREST = 3  # phrasings of a label that are averaged
IN_SCOPE = "in"

FINDINGS = ("has_dermoscopic_feature", "has_sign", "look_alike")
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "why": FINDINGS,
    "why_not": FINDINGS,
    "against": FINDINGS,
    "change_of_mind": (*FINDINGS, "red_flag", "diagnosed_by"),
    "settle": ("diagnosed_by",),
    "biopsy": ("diagnosed_by", "treated_by"),
    "urgency": ("refer_if", "red_flag"),
    "treatment": ("treated_by",),
    "prognosis": ("behaves_as", "risk_level", "red_flag"),
    "risk_factors": ("risk_factor",),
    "dermoscopy": ("has_dermoscopic_feature",),
    "plain_words": ("behaves_as", "has_sign", "risk_level", "has_symptom", "treated_by"),
    "compare": FINDINGS,
    "monitor": ("red_flag", "behaves_as", "refer_if", "diagnosed_by", "treated_by"),
    "what_is": ("behaves_as", "has_sign", "risk_level", "is_a", "has_symptom", "has_dermoscopic_feature"),
    "other": (),
}
"""Intent -> the relations whose facts answer it; none: what the question sounds like decides (`phrasings`)."""
ABOUT_THE_CASE = frozenset({"why", "why_not", "against", "change_of_mind", "compare"})
"""Intents that put the diagnoses of the case beside each other."""

WHAT_TO_DO = r"what to do|what (?:should|must|can|do|shall) (?:i|we|one) do|what now|what next"
"""What is asked of a suspicion in these words is no treatment, but who must see it, and when."""


@dataclass(frozen=True)
class Said:
    """Words that ask for something."""

    pattern: re.Pattern[str]
    relations: tuple[str, ...]
    intent: str  # where nothing is embedded


def _said(pattern: str, relations: str, intent: str) -> Said:
    return Said(re.compile(rf"\b(?:{pattern})"), tuple(relations.split()), intent)


SAID = (
    _said(
        r"treat|manage|therap|remov|excis|first.line|cure|cream|surgery|what to do|what should (?:i|we|one) do",
        "treated_by",
        "treatment",
    ),
    _said(r"refer|urgen|two.week|2.week|pathway|how soon|red flag", "refer_if red_flag", "urgency"),
    _said(r"look.?alike|differential|confus|mimic|mistak|resembl|similar", "look_alike", "compare"),
    _said(r"settle|confirm|biops|test|diagnos(?:e|ed|is made)|prove|histolog", "diagnosed_by", "settle"),
    _said(r"(?:where|site|located|location|body)\b", "located_at", "other"),
    _said(
        r"risk factor|cause|who gets|prone|predispos|(?:rais|increas)\w* (?:the )?(?:risk|chance|odds)",
        "risk_factor",
        "risk_factors",
    ),
    _said(
        r"dangerous|cancer|malignan|benign|harmless|serious|risky|how bad|spread|worr",
        "behaves_as risk_level",
        "prognosis",
    ),
    _said(r"(?:code|icd|snomed|coded)\b", "coded_as", "other"),
    _said(
        r"dermoscop|dermatoscop|sign|feature|look like|structure|pattern|vessel|see|look for",
        "has_dermoscopic_feature",
        "dermoscopy",
    ),
    _said(r"symptom|itch|bleed|hurt|pain", "has_symptom has_sign", "other"),
    _said(
        r"why|against|separat|distinguish|tell apart|differ|rather than|instead of", "has_dermoscopic_feature", "why"
    ),
    _said(r"(?:type|subtype|form|kind)s? of", "is_a", "what_is"),
)
"""What the words of a question name; where several do, the first gives the intent."""

CONTRAST = re.compile(
    r"\b(why not|against|separat\w*|distinguish\w*|tell\b.{0,40}\bfrom|tell apart|differ\w*|rather than|versus|vs)\b"
)

_FILES = {"intent": Path(__file__).with_name("intents.tsv"), "relation": Path(__file__).with_name("phrasings.tsv")}


@cache
def said_of(column: str) -> tuple[tuple[str, str], ...]:
    """(label, what clinicians and patients say for it) of the table of "intent" or "relation", in its order."""
    return tuple((row[column], row["said"]) for _, row in read_rows(_FILES[column]))


@cache
def phrasings() -> dict[str, list[str]]:
    """Relation -> what is said by who asks for it; "it" stands for the condition."""
    found: dict[str, list[str]] = {}
    for relation, text in said_of("relation"):
        found.setdefault(relation, []).append(text)
    return found


@cache
def asked_words() -> frozenset[str]:
    """The stems of all words that the tables have in questions about the skin."""
    texts = [text for key, text in (*said_of("intent"), *said_of("relation")) if not is_out(key)]
    return frozenset(word for text in texts for word in words(text))


def is_out(label: str) -> bool:
    """Whether a label of the table of intents is one of the kinds of questions that are not about the skin."""
    return label.startswith("out_")


class IntentClassifier:
    """Tells the label of a question by its likeness to labelled phrasings."""

    def __init__(self, vectors: np.ndarray, labels: Sequence[str], *, kernel: bool = False) -> None:
        """`vectors`: (phrasings, 384) of length 1. The ridge regression, with or without a kernel, is solved in closed
        form; the kernel hears "it" and the name of an illness apart, where there are phrasings enough for both.
        """
        self.names = tuple(dict.fromkeys(labels))
        self._vectors, self._sharpness = vectors, SHARPNESS if kernel else 0.0
        marked = np.array([[other == name for name in self.names] for other in labels], dtype=float)
        self._places = dict(zip(self.names, map(np.flatnonzero, marked.T), strict=True))
        self._shares = marked.mean(axis=0)
        likeness = self._likeness(vectors) + (KERNEL_RIDGE if kernel else RIDGE) * np.eye(len(vectors))
        self._weights = np.linalg.solve(likeness, marked - self._shares)  # (phrasings, labels)

    def _likeness(self, parts: np.ndarray) -> np.ndarray:
        """(parts, phrasings): the cosine, or what the kernel makes of it."""
        cosines: np.ndarray = parts @ self._vectors.T
        return np.exp(self._sharpness * (cosines - 1)) if self._sharpness else cosines

    def classified(self, parts: np.ndarray) -> dict[str, float]:
        """Label -> what the regression says of the part that speaks most for it; `parts`: (parts, 384)."""
        told = (self._likeness(parts) @ self._weights + self._shares).max(axis=0)
        return dict(zip(self.names, told.tolist(), strict=True))

    def nearest(self, parts: np.ndarray) -> dict[str, float]:
        """Label -> mean cosine of its nearest phrasings to the nearest part, above the average label."""
        cosines = (self._vectors @ parts.T).max(axis=1)
        near = {key: float(np.sort(cosines[places])[-NEAREST:].mean()) for key, places in self._places.items()}
        mean = sum(near.values()) / len(near)
        return {label: value - mean for label, value in near.items()}
