"""What a sentence says once the denials that deny nothing are taken off.

    plain("Do not miss melanoma.")                               # "            melanoma."
    proposition("Nothing suggests that melanoma itches.")        # denied, and what is denied: "melanoma itches."

Knows words, no names and no graph.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from dermiq.knowledge.language.lexicon import pattern, rules
from dermiq.knowledge.language.remember import remembered

REMEMBERED = 4096  # texts of which it is kept


@remembered(REMEMBERED)
def plain(text: str) -> str:
    """The text, as long as before, where what was denied twice is affirmed and what was hedged stands as possible.

    "Without doubt", "not uncommon", "cannot be excluded" give way to what they say, letter for letter as long, so that
    places in the text stay.
    """
    text = text.replace("’", "'")
    for says, phrase in rules("plain"):
        text = phrase.sub(partial(_as_long, says=says), text)
    return text


def plainly(text: str) -> str:
    """`plain` for readers that keep no places: one blank between words, nothing but the sentence left."""
    line = pattern("put between").sub(" ", pattern("bare nt").sub(r"\1n't", plain(text)))
    return text if line == text else re.sub(r"\s+([,.;:!?])", r"\1", " ".join(line.split())).lstrip(" ,;:")


def _as_long(match: re.Match[str], *, says: str) -> str:
    new = match.expand(says.replace("_", " " * len(match[1]))) if "\\" in says else says
    if len(new) > len(match.group()):
        new = new.removeprefix("is ")
    return new.ljust(len(match.group()))


@dataclass(frozen=True)
class Proposition:
    """What a sentence is about to say, and whether it says so in order to deny it."""

    text: str
    denied: bool = False


def proposition(sentence: str) -> Proposition:
    """'It is not true that melanoma itches.' -> 'melanoma itches.', denied."""
    line = sentence.replace("’", "'")
    begins = pattern("opening").match(line)
    start = begins.end() if begins else 0
    verdict = pattern("verdict").match(line, start)
    if verdict:
        return Proposition(sentence[verdict.start(1) : verdict.end(1)] + ".", denied=True)
    frame = pattern("denies all").match(line, start)
    return Proposition(sentence[frame.end() :].lstrip(" ,:"), denied=True) if frame else Proposition(sentence)
