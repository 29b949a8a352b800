"""Which words of two texts differ, marked in their HTML. Knows no page and no store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from markupsafe import Markup

_PIECE = re.compile(
    r"(?P<tag><[^>]*>)|(?P<word>(?:&(?:#\d+|\w+);|[\w%’'-])+)|(?P<rest>(?:(?!&(?:#\d+|\w+);)[^<\w%’'-])+|.)", re.DOTALL
)
OPEN, CLOSE = '<mark class="dq-differs">', "</mark>"

Piece = tuple[str, str]  # kind ("tag", "word", "rest") and text


def marked_apart(one: Markup, other: Markup) -> tuple[Markup, Markup]:
    """Both, with <mark class="dq-differs"> around the words that the other lacks at that place.

    Words are compared by difflib, regardless of case; tags and punctuation are not compared. A mark never spans a tag.
    """
    left, right = _pieces(one), _pieces(other)
    matcher = SequenceMatcher(None, _words(left), _words(right), autojunk=False)
    only_left, only_right = set[int](), set[int]()
    for operation, a, b, c, d in matcher.get_opcodes():
        if operation != "equal":
            only_left.update(range(a, b))
            only_right.update(range(c, d))
    return _wrapped(left, only_left), _wrapped(right, only_right)


def _pieces(html: Markup) -> list[Piece]:
    return [(match.lastgroup or "rest", match.group()) for match in _PIECE.finditer(html)]


def _words(pieces: Sequence[Piece]) -> list[str]:
    return [text.casefold() for kind, text in pieces if kind == "word"]


def _wrapped(pieces: Sequence[Piece], chosen: set[int]) -> Markup:
    """The pieces in one text, the words with the chosen numbers marked, neighbours together."""
    out: list[str] = []
    number, after = 0, 0  # of the next word; where in `out` the running mark would end
    for kind, text in pieces:
        if kind == "tag" or (kind == "word" and number not in chosen):
            after = _close(out, after)
        elif kind == "word" and not after:
            out.append(OPEN)
        out.append(text)
        if kind == "word":
            after = len(out) if number in chosen else 0
            number += 1
    _close(out, after)
    return Markup("".join(out))


def _close(out: list[str], after: int) -> int:
    """Ends a running mark behind its last word. The mark that runs from then on: none."""
    if after:
        out.insert(after, CLOSE)
    return 0
