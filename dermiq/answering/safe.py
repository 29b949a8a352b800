"""What must not be offered where melanoma is possible: whatever takes the lesion away without histology, or waits.

Knows what is known of the case and the text, no graph and no page.
"""

from __future__ import annotations

import re

from dermiq.answering.points import Known
from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.text import split_sentences

OFFERED = re.compile(
    r"\b(?:shav(?:e|es|ed|ing)|curett\w*|cryo\w*|freez\w*|frozen|laser\w*|imiquimod|creams?|ointments?|fluorouracil"
    r"|photodynamic|electrodesiccat\w*|cauteri\w*|wait (?:and|to) see|watchful|can wait|no hurry|nothing to worry"
    r"|harmless|left alone|leave it)\b",
    re.IGNORECASE,
)
GUARDED = pattern("guarded offer")
"""What makes of an offer a warning, a condition or a comparison."""
POSSIBLE = 0.1  # probability of melanoma from which on a reader holds it possible


def is_unsafe(text: str, known: Known) -> bool:
    """Whether a sentence offers such a thing plainly, where a reader or the rule holds melanoma possible."""
    if not _melanoma_is_possible(known):
        return False
    return any(OFFERED.search(line) and not GUARDED.search(line) for line in split_sentences(text))


def _melanoma_is_possible(known: Known) -> bool:
    if known.urgency is not None and known.urgency.level == "urgent":
        return True
    for reader in known.differentials:
        for place, one in enumerate(reader.candidates[:2]):
            if one.diagnosis.code == "mel" and (place == 0 or one.probability >= POSSIBLE):
                return True
    return False
