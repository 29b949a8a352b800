"""What a question is about more narrowly than its intent: an aspect of a condition, or of the reading. Knows no graph.

    shares(vectors)          # [("spreads", 0.93), ...]

What people say for each stands in `aspects.tsv`, from which the head of `language.questions` was taught.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dermiq.knowledge.language import questions

HEARD, HEARD_IN_A_PART = 0.4, 0.6
"""Probability from which a question, or one of the parts that it falls into, is about an aspect; chosen on
`tests/judged/aspects.tsv`, part dev."""

OF_CONDITIONS: Mapping[str, str] = {
    "nature": "prognosis",
    "turns": "prognosis",
    "spreads": "prognosis",
    "fatal": "prognosis",
    "recurs": "prognosis",
    "untreated": "prognosis",
    "contagious": "other",
    "inherited": "risk_factors",
    "cause": "risk_factors",
    "sun": "risk_factors",
    "injury": "risk_factors",
    "hormones": "other",
    "age": "risk_factors",
    "many": "other",
    "dark_skin": "risk_factors",
    "sexes": "risk_factors",
    "place": "other",
    "itches": "other",
    "bleeds": "other",
    "grows": "prognosis",
    "changes": "other",
    "treat_needed": "treatment",
    "treatments": "treatment",
    "creams": "treatment",
    "freezing": "treatment",
    "surgery": "treatment",
    "no_surgery": "treatment",
    "home_treatment": "treatment",
    "biopsy_needed": "biopsy",
    "biopsy_kind": "biopsy",
    "biopsy_spreads": "biopsy",
    "pathology": "settle",
    "confirmed": "settle",
    "imaging": "settle",
    "staging": "settle",
    "dermoscopy": "dermoscopy",
    "vessels": "dermoscopy",
    "follow_up": "monitor",
    "self_check": "monitor",
    "other_cancers": "monitor",
    "weak_immunity": "risk_factors",
    "blood_thinner": "treatment",
    "what_is": "what_is",
    "plainly": "plain_words",
    "daily_life": "other",
    "infection": "other",
    "lookalikes": "compare",
    "hair": "other",
    "after_histology": "treatment",
    "specimen": "biopsy",
    "choice": "treatment",
    "excise_when": "treatment",
    "reexcise": "treatment",
    "thickness": "prognosis",
    "sentinel": "settle",
    "sun_care": "other",
    "wound": "treatment",
    "pregnancy_care": "treatment",
    "which_doctor": "other",
    "second_one": "monitor",
    "children": "risk_factors",
    "means_lump": "other",
    "photos": "monitor",
}
"""Aspects of a condition, and the intent that is wider."""

OF_THE_READING = (
    *("sure", "one_photo", "picture", "beyond", "from_words", "as_proof", "doubt", "now_told", "other_lesion"),
    "decide",
)
"""Aspects of what was read, and on what."""

WITHOUT = frozenset({"why", "why_not", "against", "change_of_mind", "urgency"})
"""Intents that are about no aspect: the reasons of this reading, and how soon."""

IS_IT, NONE = "is_it", ""
"""Whether it could be a condition by name; and nothing of all this."""
ASPECTS = (*OF_CONDITIONS, *OF_THE_READING, IS_IT, NONE)


def shares(vectors: np.ndarray) -> list[tuple[str, float]]:
    """The likeliest aspect of each of these vectors (n, 384) of questions, with its probability; `NONE` may be one."""
    found = questions.aspects(vectors)
    names = questions.labels()["aspects"]
    return [(names[int(row.argmax())], float(row.max())) for row in found]
