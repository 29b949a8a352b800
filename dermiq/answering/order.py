"""Sentences that only say which diagnosis comes first and which next, held against the readers' own order.

    judged(claim("The next candidate is nevus."), order)     # contradicted where it is another

Knows no graph, no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dermiq.answering.judge import FAVOURED
from dermiq.knowledge.language.text import word_set
from dermiq.types import CLASS_NAMES, Claim, Differential
from dermiq.vlm.parse import ALIASES, class_mentions

BY_ORDER = "the readers' own order"
_NAMES = re.compile(
    "|".join(rf"\b{re.escape(name)}s?\b" for names in ALIASES.values() for name in names), re.IGNORECASE
)
_ORDER = word_set(
    "a alternative an and answer as balance be before benign best better by candidate considered conclusion explains "
    "first fits highest image in is it leads lesion like likelihood likely looks main most nearest next on overall "
    "picture put ranks second should still taken than the then there third this to together whole with"
)
"""All that such a sentence says besides the names."""
_FIRST = re.compile(
    r"(?:^|[.;:]\s*|\bonce )([^.;:,]{3,60}?)\s+(?:leads|is (?:the )?most likely|explains|first\b)", re.IGNORECASE
)
_BALANCE = re.compile(r"^\W*on balance\W+([^.;:]{3,60})", re.IGNORECASE)
_NEXT = re.compile(
    r"([^.;:,]{3,60}?)\s+(?:is the (?:main|next|nearest) alternative|(?:comes|is|ranks) (?:second|next))"
    r"|(?:\bnext candidate is|\b(?:main |next |nearest )?alternative is|\bfirst, then)\s+([^.;:,]{3,60})",
    re.IGNORECASE,
)


_THIRD = re.compile(r"(?<!first)[,;] then\s+([^.;:,]{3,60})", re.IGNORECASE)
_BEHIND = re.compile(r"\b(?:better than|considered before)\s+([^.;:,]{3,60})", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """Class codes as a reader has them, likeliest first."""

    codes: tuple[str, ...]

    @classmethod
    def of(cls, differential: Differential) -> Order:
        return cls(tuple(one.diagnosis.code for one in differential.candidates if one.diagnosis.code))


def judged(claim: Claim, orders: Sequence[Order]) -> Claim:
    """Supported where all readers bear it out, contradicted where none does; where they differ it stays as it is."""
    said = _Said.of(claim.text)
    if claim.verdict not in ("not_covered", "supported") or said is None or not orders:
        return claim
    held = [said.holds(order.codes) for order in orders]
    if all(held):
        return replace(claim, verdict="supported", note=BY_ORDER)
    own = ", then ".join(CLASS_NAMES[code] for code in orders[0].codes[:2])
    return claim if any(held) else replace(claim, verdict="contradicted", note=f"the readers have {own}")


@dataclass(frozen=True)
class _Said:
    """What a sentence says of the order, in class codes."""

    first: frozenset[str]
    second: frozenset[str]
    third: frozenset[str]
    behind: frozenset[str]  # the first one, at whatever place

    @classmethod
    def of(cls, text: str) -> _Said | None:
        """None where it says nothing of it, or something besides."""
        parts = ((FAVOURED, _FIRST, _BALANCE), (_NEXT,), (_THIRD,), (_BEHIND,))
        said = cls(*(_named(text, patterns) for patterns in parts))
        return said if (said.first or said.second) and _says_order_alone(text) else None

    def holds(self, codes: Sequence[str]) -> bool:
        lead = set(codes[:1])
        if (self.first and self.first != lead) or lead & (self.second | self.behind):
            return False
        if self.third and self.second and set(codes[2:3]) != self.third - self.second:
            return False
        return not self.second or set(codes[1:2]) <= self.second


def _named(text: str, patterns: Sequence[re.Pattern[str]]) -> frozenset[str]:
    phrases = (part for pattern in patterns for found in pattern.findall(text) for part in _parts(found))
    return frozenset(code for phrase in phrases for _, code in class_mentions(phrase))


def _parts(found: str | tuple[str, ...]) -> Sequence[str]:
    return (found,) if isinstance(found, str) else tuple(filter(None, found))


def _says_order_alone(text: str) -> bool:
    rest = re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", _NAMES.sub(" ", text))
    return all(word in _ORDER for word in re.findall(r"[a-z']+", rest.lower()))
