"""Citations of numbered facts as models write them: [F1], [F1, F3], [F2-F4], (fact 2). Knows no fact.

cited("Melanoma is malignant [F1, F3].")      # (1, 3)
tied("It is malignant. [F1] It spreads.")     # "It is malignant [F1]. It spreads."
"""

from __future__ import annotations

import re

_NUMBER = r"(?:facts?\s*)?F?\s*\d{1,3}"
_BETWEEN = r"\s*(?:[,;&/]|\band\b|[-–—])\s*"
_SEE = r"(?:(?:see|cf\.?|from|per|sources?|refs?\.?)\s*:?\s*)?"
_MORE = rf"(?:{_BETWEEN}{_NUMBER})*\s*"
CITATION = re.compile(
    rf"(?:\[\s*{_SEE}{_NUMBER}{_MORE}\]|\(\s*{_SEE}(?:facts?\s*F?|F)\s*\d{{1,3}}{_MORE}\))", re.IGNORECASE
)
"""One citation in brackets; bare numbers only in square ones. Without groups: it stands in other patterns, too."""
_BY_NAME = re.compile(
    rf"\b(?:according to|as per|as in|as|per|see|from|by|in|under)\s+(?:the\s+)?(?:facts?\s+F?|F)\d{{1,3}}\b{_MORE}"
    rf"|^\W*facts?\s+F?\d{{1,3}}\b{_MORE}(?=\W|(?:says?|states?|tells?|shows?)\b)"
    rf"|^\W*F\d{{1,3}}\b{_MORE}(?=:|(?:says?|states?|tells?|shows?)\b)",
    re.IGNORECASE,
)
_FROM_TO = re.compile(r"(\d{1,3})(?:\s*[-–—]\s*F?\s*(\d{1,3}))?", re.IGNORECASE)
MOST = 20  # numbers that a range may stand for
_BEHIND = re.compile(rf"([.!?][\"'”’)]*)[ \t]*((?:{CITATION.pattern}[ \t]*)+)(?=\s|$)", re.IGNORECASE)
_LIST_MARK = re.compile(r"\s*(?:[-*•]\s+|\d+[.)]\s+)?")


def numbers(citation: str) -> tuple[int, ...]:
    """'[F1-F3, F5]' -> (1, 2, 3, 5)."""
    spans = [(int(first), int(last or first)) for first, last in _FROM_TO.findall(citation)]
    return tuple(dict.fromkeys(n for first, last in spans for n in (*range(first, min(last, first + MOST)), last)))


def cited(text: str) -> tuple[int, ...]:
    """Every number that a text cites, in order, each once: in brackets, or by name ("according to F2")."""
    found = [match for kind in (CITATION, _BY_NAME) for match in kind.finditer(text)]
    found.sort(key=lambda match: match.start())
    return tuple(dict.fromkeys(n for match in found for n in numbers(match.group())))


def uncited(text: str) -> str:
    """The text with a blank for each citation in brackets."""
    return CITATION.sub(" ", text)


def tied(text: str) -> str:
    """Citations behind a full stop before it: they belong to the sentence that ends there.

    A line that begins with a citation puts its numbers before what they are for, and stays.
    """
    return "\n".join(line if _begins_cited(line) else _BEHIND.sub(r" \2\1 ", line) for line in text.split("\n"))


def _begins_cited(line: str) -> bool:
    mark = _LIST_MARK.match(line)
    return CITATION.match(line, mark.end() if mark else 0) is not None
