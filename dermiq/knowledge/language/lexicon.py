"""The words of negation, doubt and strength: the one list of each (`cues.txt`), as patterns. Knows no scope.

    pattern("turns").findall(text)      # whatever turns round what a text says
    rules("trigger")                    # (("denied after", pattern), ...), in the table's order
    part("NOT")                         # a piece for a pattern of your own

Here are also the plainest questions to them: how often does a text deny, does it warn, does it leave open?
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from dermiq.knowledge.language.text import word_set

FILE = Path(__file__).with_name("cues.txt")
_PART = re.compile(r"\{([A-Z_]+)\}")
_OWN_PART = re.compile(r"([A-Z_]+) = (.+)")
_HEADING = re.compile(r"\[([a-z ,]+)\] ?(.*)")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, str], list[tuple[str, str, list[str]]]]:
    """Parts by name, and (name, what it says, lines) of each section in order; the lines with their parts in them."""
    parts: dict[str, str] = {}
    sections: list[tuple[str, str, list[str]]] = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        line = _PART.sub(lambda found: parts[found[1]], line)
        heading, own = _HEADING.fullmatch(line), _OWN_PART.fullmatch(line)
        if heading:
            sections.append((heading[1], heading[2], []))
        elif own:
            parts[own[1]] = own[2]
        elif line.startswith("@"):
            sections[-1][2].extend(next(lines for name, _, lines in sections if name == line[1:]))
        else:
            sections[-1][2].append(line)
    return parts, sections


def _section(name: str) -> list[str]:
    return {section: lines for section, _, lines in _table()[1]}[name]


def _compiled(lines: list[str]) -> re.Pattern[str]:
    whole = "|".join(line for line in lines if not line.startswith("/"))
    whole = whole.replace(" ?", r"\s*").replace(" ", r"\s+")
    as_written = [line[1:] for line in lines if line.startswith("/")]
    return re.compile("|".join([rf"(?<![\w'])(?:{whole})(?![\w'])"] * bool(whole) + as_written), re.IGNORECASE)


def part(name: str) -> str:
    return _table()[0][name]


def words_of(name: str) -> frozenset[str]:
    """A section that is a list of single words."""
    return word_set(" ".join(_section(name)))


@lru_cache(maxsize=64)
def pattern(name: str) -> re.Pattern[str]:
    return _compiled(_section(name))


@lru_cache(maxsize=2)
def rules(name: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(what it says, pattern) of each section of this name."""
    return tuple((says, _compiled(lines)) for section, says, lines in _table()[1] if section == name)


RARELY = pattern("rarely")
TURNS = pattern("turns")


def denies(word: str) -> bool:
    """Whether a single word denies: "can't", "cant", "never", "nobody"."""
    return bool(pattern("denying word").fullmatch(word))


def denials(text: str) -> int:
    """How often a clause denies, by a word of its own for it ("not", "rarely"), not by what is lacking."""
    return len(pattern("denial").findall(text))


def turns(text: str) -> int:
    """How often a text turns round what it says, in whatever words; "not only" does not."""
    return len(TURNS.findall(pattern("not only").sub(" ", text)))


def warns(text: str) -> bool:
    """Whether it tells somebody not to overlook something: "do not miss melanoma"."""
    return bool(pattern("warning").search(text.replace("’", "'")))


def leaves_open(text: str) -> bool:
    """Whether a sentence asks, or says that nobody knows: "it is not clear if ..."."""
    return bool(pattern("open").search(text))


def asks_whether(text: str) -> bool:
    """Whether it only asks what something is ("is it infectious, like a wart?"), and suspects nothing."""
    return bool(pattern("asks whether").search(text))


def asks_for_lack(question: str) -> bool:
    """Whether it asks for what is not there ("what rules out ...?")."""
    return bool(pattern("asks for lack").search(question))
