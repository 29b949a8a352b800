"""Words that are spelled like others, by rapidfuzz. Knows words only."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

SURE = 9  # letters from which two slips are forgiven
PREFIXES = ("a", "an", "ir", "in", "un", "im", "non", "hyper", "hypo")
ENDINGS = ("ing", "ed", "ive", "al", "ly", "able", "ion", "ic")


def slips(one: str, other: str) -> int:
    """Edits from one word to the other; two letters swapped count once."""
    return OSA.distance(one, other)


def meant(word: str, others: Iterable[str]) -> str:
    """The one of the others of which a word is nearest to be a slip of the pen; the word itself where that is open."""
    forgiven = 2 if len(word) >= SURE else 1
    gaps = ((OSA.distance(word, other, score_cutoff=forgiven), other) for other in others)
    near = sorted((gap, other) for gap, other in gaps if gap <= forgiven and not _is_other_word(word, other))
    if not near or (len(near) > 1 and near[0][0] == near[1][0]):
        return word
    return near[0][1]


def alike(typed: str, names: Iterable[str], *, most: int, cutoff: float) -> list[str]:
    """At most so many of the names, likest first; `cutoff`: the share of letters in common from which one counts."""
    return [
        name for name, _, _ in process.extract(typed, names, scorer=fuzz.ratio, score_cutoff=100 * cutoff, limit=most)
    ]


def _is_other_word(one: str, other: str) -> bool:
    """Near words that are no slips: 'irregular' is not 'regular', and 'regressing' is not 'regression'."""
    short, long = sorted((one, other), key=len)
    if long.endswith(short) and long[: -len(short)] in PREFIXES:
        return True
    return any(one.endswith(ending) != other.endswith(ending) for ending in ENDINGS)
