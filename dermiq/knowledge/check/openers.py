"""What a sentence claims, its opening taken off: "From the sources: melanoma is malignant." claims the latter.

Knows words (`cues.txt`), no graph.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dermiq.knowledge.language.citation import CITATION
from dermiq.knowledge.language.lexicon import pattern

_BEFORE = r"[\s\"'“”(*_#>-]*"
_BEHIND = r"[\s*_\"”]*(?:[:,;.!?…)]+(?!\d)|\s[-–—]+(?=\s)|—|–|\Z)[\s*_]*"


_NUMBER = re.compile(r"\bF\d{1,3}\b", re.IGNORECASE)


@lru_cache(maxsize=1)
def _opener() -> re.Pattern[str]:
    alone, claiming = pattern("opener").pattern, pattern("opener that").pattern
    return re.compile(rf"{_BEFORE}(?:(?:{alone}){_BEHIND}|(?:{claiming})\s*[:,]?\s+)", re.IGNORECASE)


def claimed(sentence: str) -> str:
    """The sentence from where it begins to claim something; "" where it is an opening or a politeness alone."""
    line = CITATION.sub(_unbracketed, sentence.replace("’", "'"))
    at = 0
    while not _is_polite(line[at:]):
        found = _opener().match(line, at)
        if not found or found.end() == at:
            return sentence[at:]
        at = found.end()
    return ""


def _unbracketed(citation: re.Match[str]) -> str:
    """'[F1]' -> ' F1 ': as long as before, and a source like any other ("according to [F1], ...")."""
    return f" {citation.group()[1:-1]} "


def _is_polite(text: str) -> bool:
    bare = _NUMBER.sub(" ", text).strip(" \t\n.,:;!?…*_\"'-–—")
    return not re.search(r"[^\W\d_]{2}", bare) or pattern("politeness").fullmatch(bare) is not None
