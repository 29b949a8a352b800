"""Words without their endings. Snowball's English stemmer was measured and left out: `tests/judged/README.md`."""

from __future__ import annotations

import re

from dermiq.knowledge.language.remember import remembered

# Four letters stay; one more before "-er", so that "tender" is no form of "tend".
_FIRST = re.compile(r"(?<=.{4})(?:ations?|ments?|ings?|ally|ives?|ions?|als?|ed|ly|e)$")
_MORE = re.compile(r"(?<=.{4})(?:i?ness|ously|ingly|ish|ened|ening|ous|ity|ical|ful|ic|y|ie?)$|(?<=.{5})(?:est|er|en)$")
_ISE = re.compile(r"(?<=[a-z]{4})is(?=(?:e|ed|ing|ation|ations)$)")


@remembered(50_000)
def stem(word: str) -> str:
    """'itchiness', 'itching' -> 'itch', 'referral' -> 'refer'; of a compared word (see `text.normal`)."""
    word = _ISE.sub("iz", word)
    short = _FIRST.sub("", word)
    if short != word:
        short = re.sub(r"([rlnpt])\1$", r"\1", short)
    short = _MORE.sub("", _MORE.sub("", short))
    return re.sub(r"(?<=...)([bdglmnprt])\1$", r"\1", re.sub("(?<=....)e$", "", short))
