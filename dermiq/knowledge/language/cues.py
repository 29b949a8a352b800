"""Whether a text affirms, denies, doubts or calls rare what it names.

    hear("Melanoma cannot be ruled out.").said(0, 8).status      # "uncertain"

This is the ConText algorithm (Harkema and others, 2009; the successor of NegEx): a table of triggers (see `lexicon`),
each with a category and a direction, a scope that ends at clause boundaries, and phrases that only look like a trigger
(see `plain`). The libraries that have it were measured on the judged sets and left out: `tests/judged/README.md`.
Knows words, no names and no graph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from dermiq.knowledge.language.lexicon import pattern, rules, words_of
from dermiq.knowledge.language.plain import REMEMBERED, plain
from dermiq.knowledge.language.remember import remembered

Status = Literal["affirmed", "denied", "uncertain", "seldom"]
Category = Literal["denied", "possible", "rare", "aside", "except"]
Reach = Literal["after", "next", "before", "both"]
"""Where a trigger's scope lies: in the words after it, in what is next to it, in those before it, or on either side."""

WINDOW = 6  # words that a trigger reaches over, forwards; those of other names do not count
BACK = 5  # the same backwards
_STOPS = words_of("stops")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True)
class Trigger:
    category: Category
    reach: Reach
    start: int
    end: int


@dataclass(frozen=True)
class Said:
    """How a text says a name. Several may hold: "may lack scale" is a denial that is only possible."""

    denied: bool = False
    possible: bool = False
    rare: bool = False
    aside: bool = False  # put second or advised against: "more like a wart than a corn", "avoid steroids"

    @property
    def status(self) -> Status:
        if self.possible:
            return "uncertain"
        if self.denied or self.aside:
            return "denied"
        return "seldom" if self.rare else "affirmed"


@dataclass(frozen=True)
class Heard:
    """A text, what of it is plainly said, and the triggers in it."""

    text: str
    triggers: tuple[Trigger, ...]
    frames: tuple[int, ...]  # where denials end that deny a whole statement: "nothing suggests that ..."

    def said(self, start: int, end: int, *, names: Sequence[tuple[int, int]] = ()) -> Said:
        """How the text says what stands at `start` to `end`; `names` are the places of all names in it."""
        triggers = [t for t in self.triggers if not any(s <= t.start and t.end <= e for s, e in (*names, (start, end)))]
        before = [t for t in triggers if t.reach != "before" and self._reaches(t, start, end, names)]
        behind = [t for t in triggers if t.reach in ("before", "both") and self._reaches_back(t, start, end, names)]
        found = self._nearest(before) + behind
        if any(t.category == "possible" for t in behind):
            found = [t for t in found if t.category != "denied"]  # "without biopsy melanoma cannot be excluded"
        denied = any(t.category == "denied" for t in found)
        excepted = max((t.end for t in before if t.category == "except"), default=0)
        if excepted and not any(t.category == "denied" and t.start >= excepted for t in found):
            denied = bool(pattern("whole").search(self.text[:start]))
        denied ^= sum(self._frames(frame, start) for frame in self.frames) % 2 == 1
        return Said(
            denied=denied,
            possible=any(t.category == "possible" for t in found),
            rare=any(t.category == "rare" for t in found),
            aside=any(t.category == "aside" for t in found),
        )

    @staticmethod
    def _nearest(before: list[Trigger]) -> list[Trigger]:
        """Of each category the last one: "no papule, no pustule" denies the pustule once."""
        return list({trigger.category: trigger for trigger in before}.values())

    def _reaches(self, trigger: Trigger, start: int, end: int, names: Sequence[tuple[int, int]]) -> bool:
        if trigger.end > start or (trigger.reach == "next" and trigger.end < start):
            return False
        between = _blanked(self.text, trigger.end, start, names)
        if pattern("clause").search(between) or pattern("new clause").search(between):
            return False
        words = [word.lower() for word in _WORD.findall(between)]
        if len(words) > WINDOW or any(word in _STOPS for word in words):
            return False
        joined = re.search(r"(?:,|\band)\s*$", between) and not re.search(r"\bor\b", between)
        return not (joined and pattern("stands").match(self.text, end))

    def _reaches_back(self, trigger: Trigger, start: int, end: int, names: Sequence[tuple[int, int]]) -> bool:
        if trigger.start < end:
            return False
        versus = pattern("versus").fullmatch(self.text, trigger.start, trigger.end)
        if trigger.reach == "both" and not versus and self._is_followed(trigger, names):
            return False
        between = _blanked(self.text, end, trigger.start, names)
        if not pattern("joins").sub("", between.replace(":", "")) and (
            "," not in between or re.search(r"\b(?:and|or)\b", between)
        ):
            return True
        words = [word.lower() for word in _WORD.findall(between)]
        return not re.search(r"[.,;:!?]", between) and len(words) <= BACK and not any(word in _STOPS for word in words)

    def _is_followed(self, trigger: Trigger, names: Sequence[tuple[int, int]]) -> bool:
        """Whether a name stands right behind: "biopsy excluded melanoma" excludes no biopsy."""
        skipped = re.compile(r"\s*(?:(?:an?|the|any|early)\s+)*").match(self.text, trigger.end)
        return any(start == skipped.end() for start, _ in names) if skipped else False

    def _frames(self, frame: int, start: int) -> bool:
        between = self.text[frame:start]
        return frame <= start and not re.search(r"[.;!?]|\b(?:but|however|although)\b", between, re.IGNORECASE)


def _blanked(text: str, start: int, end: int, names: Sequence[tuple[int, int]]) -> str:
    """A stretch of the text without the names in it."""
    for s, e in names:
        if start <= s and e <= end:
            text = text[:s] + " " * (e - s) + text[e:]
    return text[start:end]


@lru_cache(maxsize=1)
def _triggers() -> tuple[tuple[Category, Reach, re.Pattern[str]], ...]:
    named = ((says.split(), trigger) for says, trigger in rules("trigger"))
    return tuple((cast(Category, category), cast(Reach, reach), trigger) for (category, reach), trigger in named)


@remembered(REMEMBERED)
def hear(text: str) -> Heard:
    """The triggers of a text."""
    line = plain(text)
    frames = [match.span() for match in pattern("denies all").finditer(line)]
    for start, end in frames:
        line = line[:start] + " " * (end - start) + line[end:]
    matches = [
        Trigger(category, reach, match.start(), match.end())
        for category, reach, trigger in _triggers()
        for match in trigger.finditer(line)
    ]
    found: list[Trigger] = []
    for one in sorted(matches, key=lambda trigger: trigger.start - trigger.end):  # the longest first
        if not any(one.start < other.end and other.start < one.end for other in found):
            found.append(one)
    found.sort(key=lambda trigger: trigger.start)
    return Heard(line, tuple(found), tuple(end for _, end in frames))


def triggers(text: str) -> int:
    """How many triggers a clause has that deny or call rare, "without" and "is missing" among them."""
    heard = hear(text)
    found = [t for t in heard.triggers if t.category in ("denied", "rare")]
    return len(found) - sum(heard.text[t.start : t.end].lower() == "nor" for t in found[1:])
