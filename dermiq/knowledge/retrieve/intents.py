"""What a question asks for: one of sixteen intents, and the relations that answer it. Knows no graph.

Both are told by what people say (`intents.tsv`, `phrasings.tsv`; of what is narrower `aspects.tsv`), from which
`questions` was taught. Where nothing is embedded, the words of `SAID` decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dermiq.knowledge.schema import read_rows

IN_SCOPE = "in"
OUT_KINDS = ("out_chat", "out_medicine", "out_world", "out_task", "out_service")
"""What a question is that is not about the skin."""

INTENTS = (
    *("why", "why_not", "against", "change_of_mind", "settle", "biopsy", "urgency", "treatment", "prognosis"),
    *("risk_factors", "dermoscopy", "plain_words", "compare", "monitor", "what_is", "other"),
)
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

_FILES = {
    column: Path(__file__).with_name(name)
    for column, name in (("intent", "intents.tsv"), ("relation", "phrasings.tsv"), ("aspect", "aspects.tsv"))
}


@cache
def said_of(column: str) -> tuple[tuple[str, str], ...]:
    """(label, what clinicians and patients say for it) of a table ("intent", "relation", "aspect"), in its order."""
    return tuple((row[column], row["said"]) for _, row in read_rows(_FILES[column]))


def is_out(label: str) -> bool:
    """Whether a label of the table of intents is one of the kinds of questions that are not about the skin."""
    return label.startswith("out_")
