"""What a sentence claims, its opening taken off: "From the sources: melanoma is malignant." claims the latter.

Knows words (`cues.txt`), no graph.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dermiq.knowledge.language.citation import uncited
from dermiq.knowledge.language.lexicon import pattern

_BEFORE = r"[\s\"'“”*_#>-]*"
_BEHIND = r"[\s*_\"”]*(?:[:,;.!…]+(?!\d)|\s[-–—]+(?=\s)|—|–|\Z)[\s*_]*"


@lru_cache(maxsize=1)
def _opener() -> re.Pattern[str]:
    alone, claiming = pattern("opener").pattern, pattern("opener that").pattern
    return re.compile(rf"{_BEFORE}(?:(?:{alone}){_BEHIND}|(?:{claiming})\s*[:,]?\s+)", re.IGNORECASE)


def claimed(sentence: str) -> str:
    """The sentence from where it begins to claim something; "" where it is an opening or a politeness alone."""
    rest = sentence.replace("’", "'")
    while not _is_polite(rest):
        found = _opener().match(rest)
        if not found or not found.end():
            return sentence[len(sentence) - len(rest) :]
        rest = rest[found.end() :]
    return ""


def _is_polite(text: str) -> bool:
    bare = uncited(text).strip(" \t\n.,:;!?…*_\"'-–—")
    return not re.search(r"[^\W\d_]{2}", bare) or pattern("politeness").fullmatch(bare) is not None
