"""Numbers in a text, in words or digits, by text2num. Knows words only."""

from __future__ import annotations

import re

from text_to_num import alpha2digit

from dermiq.knowledge.language.remember import remembered

UNIT = r"(?:hour|day|week|month|year|cm|mm|centimet\w+|millimet\w+)"
_COUNTS_NOTHING = re.compile(rf"\b(first|second|one(?! {UNIT}))\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ALONE = re.compile(r"(?:\d+(?:\.\d+)?|one)(?:st|nd|rd|th)?", re.IGNORECASE)
_ONE_UNIT = re.compile(rf"(?<!twice )(?<!once )(?<!times )\b(?:an?|single) {UNIT}", re.IGNORECASE)
_IN_TEN = re.compile(r"\b(\d+|one)(?: \w+)? (?:in|out of) 10\b", re.IGNORECASE)


@remembered(4096)
def in_digits(text: str) -> str:
    """'a two-week wait' -> 'a 2 week wait', 'a third' -> 'a 3rd'; "one" only before a unit: "no one" counts nothing."""
    text = text.encode(errors="replace").decode()  # half a character, which text2num refuses
    pieces = _COUNTS_NOTHING.split(re.sub(r"(?<=[^\W\d_])-(?=\w)", " ", text))
    return "".join(piece if at % 2 else alpha2digit(piece, "en", 0) for at, piece in enumerate(pieces))


def is_number(word: str) -> bool:
    """Whether it is a number alone, or so many in so many: "three", "3rd", "nine in ten"."""
    return all(_ALONE.fullmatch(part) for part in re.split(" in | out of ", in_digits(word), maxsplit=1))


def numbers(text: str) -> frozenset[str]:
    """The numbers of a text in digits; "a week" is one week, "one in ten" is ten (of a hundred)."""
    line = in_digits(text)
    found = set(_NUMBER.findall(line)) | ({"1"} if _ONE_UNIT.search(line) else set())
    for share in _IN_TEN.finditer(line):
        part = "1" if share[1].lower() == "one" else share[1]
        found = (found - {part, "10"}) | {str(10 * int(part))}
    return frozenset(found)
