"""Words that mean one thing in a clinical sentence, from `wording.txt`. Knows words only, no graph.

A word has one or more senses; two words mean the same where they share one. "Itching", "pruritic" and "scratching"
share a sense, "warty" shares one with "rough" and another with "wart-like".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import RARELY, pattern, turns
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import normal, tokens, words

FILE = Path(__file__).with_name("wording.txt")
SILENT = "."
"""The sense of words that say nothing of their own."""
_LONGEST = 6  # words of a phrase


@dataclass(frozen=True)
class Wording:
    """Phrases as roots -> their senses, and lay names of conditions -> the name that the graph has."""

    senses: dict[tuple[str, ...], frozenset[str]]
    silent: frozenset[str]  # compared words, not roots: "largely" says nothing, "large" does
    names: dict[tuple[str, ...], str]
    opposites: tuple[tuple[frozenset[str], frozenset[str]], ...]


@dataclass(frozen=True)
class Item:
    """One word or phrase of a text; `parts` are the words of a phrase, each with its own senses."""

    start: int
    end: int
    senses: frozenset[str]
    parts: tuple[frozenset[str], ...] = ()


@lru_cache(maxsize=1)
def wording() -> Wording:
    senses: dict[tuple[str, ...], set[str]] = defaultdict(set)
    names: dict[tuple[str, ...], str] = {}
    silent: set[str] = set()
    opposites = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("! "):
            one, other = (frozenset(words(side)) for side in line[2:].split(" | "))
            opposites.append((one, other))
            continue
        name, joint, listed = line.partition(" = ")
        if not joint or line.startswith("#"):
            continue
        if name == SILENT:
            silent |= {normal(phrase) for phrase in listed.split("; ") if " " not in phrase}
            listed = "; ".join(phrase for phrase in listed.split("; ") if " " in phrase)
        phrases = [key for key in map(_roots, listed.split("; ")) if key]
        if name.startswith("@"):
            names |= dict.fromkeys(phrases, name[1:])
            continue
        own = () if name == SILENT or name.startswith("-") else (_roots(name),)
        for phrase in (*phrases, *own):
            senses[phrase].add(name)
    known = {key: frozenset(found) for key, found in senses.items()}
    return Wording(known, frozenset(silent), names, tuple(opposites))


def _roots(text: str) -> tuple[str, ...]:
    return tuple(stem(token.word) for token in tokens(text))


@remembered(50_000)
def senses_of(word: str) -> frozenset[str]:
    """Of one root: the senses of the list, and the root itself."""
    return wording().senses.get((word,), frozenset()) | {word}


def is_listed(word: str) -> bool:
    return (word,) in wording().senses


@remembered(10_000)
def items(text: str) -> tuple[Item, ...]:
    """The text's words and phrases, the longest phrase first at each place."""
    line = tokens(text)
    roots = [stem(token.word) for token in line]
    found = []
    at = 0
    quiet = wording().silent
    while at < len(line):
        size = _phrase(roots, at, wording().senses)
        parts = tuple(senses_of(word) for word in roots[at : at + size]) if size > 1 else ()
        own = wording().senses[tuple(roots[at : at + size])] if size > 1 else senses_of(roots[at])
        own |= {SILENT} if size == 1 and line[at].word in quiet else frozenset()
        found.append(Item(line[at].start, line[at + size - 1].end, own, parts))
        at += size
    return tuple(found)


def _phrase(
    roots: Sequence[str], at: int, known: dict[tuple[str, ...], object] | dict[tuple[str, ...], frozenset[str]]
) -> int:
    longest = min(_LONGEST, len(roots) - at)
    return next((size for size in range(longest, 1, -1) if tuple(roots[at : at + size]) in known), 1)


def in_the_graphs_names(text: str) -> str:
    """The text with lay names of conditions in the graph's words: "liver spots" -> "solar lentigo"."""
    line = tokens(text)
    roots = [stem(token.word) for token in line]
    at, parts, last = 0, [], 0
    while at < len(line):
        size = next(
            (n for n in range(min(_LONGEST, len(line) - at), 0, -1) if tuple(roots[at : at + n]) in wording().names), 0
        )
        if size:
            parts += [text[last : line[at].start], wording().names[tuple(roots[at : at + size])]]
            last = line[at + size - 1].end
        at += max(size, 1)
    return "".join((*parts, text[last:]))


_NON = re.compile(r"\bnon-?\w+", re.IGNORECASE)


def are_opposed(one: str, other: str) -> bool:
    """Whether the one text has a word of one side of a pair of opposites, the other only words of the other side."""
    here, there = (frozenset(words(_NON.sub(" ", text))) for text in (one, other))
    return any(
        (a & here and b & there and not a & there) or (b & here and a & there and not b & there)
        for a, b in wording().opposites
    )


ALIKE = 0.6  # share of two texts' words from which on the one is the other, edited
_TIME = re.compile(r"\b(?:in|within|after|for) (?:an?|one) (hour|day|week|month|year)\b", re.IGNORECASE)
_TIMES = {"day": r"day|24|hour", "month": r"month|week", "year": r"year|month", "week": r"week|day", "hour": r"hour"}


def goes_further(text: str, told: str) -> bool:
    """Whether a text says the opposite of what is told, or a rank, a proof, an exclusion or a time not told."""

    def has(line: str, *names: str) -> bool:
        return any(pattern(name).search(line) for name in names)

    if are_opposed(text, told) or (has(text, "rules out") and not has(told, "rules out")):
        return True
    if has(text, "first") and (has(told, "not first") or not has(told, "first, as told")):
        return True
    if has(text, "proves") and not has(told, "telling sign"):
        return True
    if has(text, "foremost") and not has(told, "foremost, as told"):
        return True
    return any(not re.search(rf"\b(?:{_TIMES[unit.lower()]})", told) for unit in _TIME.findall(text))


def turns_round(text: str, told: str) -> bool:
    """Whether a text is what is told, almost word for word, but with a "not" or a "rarely" more or less."""
    here, there = _telling(text), _telling(told)
    if len(here & there) < ALIKE * len(here | there):
        return False
    parity = (turns(text) - turns(told)) % 2
    return bool(parity) or bool(RARELY.search(text)) != bool(RARELY.search(told))


def _telling(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT and not RARELY.fullmatch(word))
