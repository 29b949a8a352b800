"""Which measured findings weigh for and against a diagnosis, by their likelihood ratios. Knows no graph."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dermiq.types import Differential, Finding

TELLING = 1.5  # a ratio from which on (or below its inverse) a finding is a reason
MOST = 20.0  # a ratio further from 1 is not told apart from it by some hundred lesions of a class
FEWEST = 20  # reference lesions behind a ratio that may be a reason
BY_THE_PHOTOGRAPH = frozenset({"relative_size", "contrast"})
"""Findings that depend on how near and in which light the photograph was taken: no reasons to give."""
UNSURE = frozenset({"milia_like_cyst"})
"""Structures that the specialist tells too poorly (AUROC below 0.7 on `val`) for what they weigh to be a reason."""
CLEARLY_ABSENT = 5.0  # % below which a structure is surely not seen
READERS = {"vlm": "the language model", "specialist": "the specialist"}


@dataclass(frozen=True)
class Weighed:
    """A finding and how many times as often it is seen with a diagnosis as with what that is set against."""

    finding: Finding
    ratio: float

    @property
    def text(self) -> str:
        """What was measured, as a reason: "hardly any black areas (4 %)" weighs because there is a little of it."""
        return re.sub(r"^hardly any (.+?) areas", r"a little \1", self.finding.text)

    @property
    def strength(self) -> float:
        return abs(math.log(self.ratio)) if self.ratio > 0 else math.inf


def weighed(findings: Sequence[Finding], code: str | None, *, against: str | None = None) -> tuple[Weighed, ...]:
    """Findings with a ratio for class `code`, the strongest first; with `against`, the ratio between two classes.

    Of several images the first one's finding counts, as `findings` has them.
    """
    by_code = {finding.code: finding for finding in reversed(findings)}
    found = []
    for finding in by_code.values():
        ratio = _ratio(finding, code, against)
        if (
            ratio is not None
            and _is_clear(finding)
            and finding.code not in BY_THE_PHOTOGRAPH | UNSURE
            and (finding.n or FEWEST) >= FEWEST
        ):
            found.append(Weighed(finding, ratio))
    return tuple(sorted(found, key=lambda item: (-item.strength, item.finding.code)))


def _is_clear(finding: Finding) -> bool:
    """Not a structure of which the specialist is in doubt: what such a reading weighs turns within a few points."""
    if "seen (" not in finding.text or not finding.text.startswith("no "):
        return "doubtful (" not in finding.text
    return finding.value < CLEARLY_ABSENT


def speaking_for(found: Sequence[Weighed], *, most: int = 3) -> tuple[Weighed, ...]:
    return tuple(item for item in found if item.ratio >= TELLING)[:most]


def speaking_against(found: Sequence[Weighed], *, most: int = 3) -> tuple[Weighed, ...]:
    return tuple(item for item in found if item.ratio <= 1 / TELLING)[:most]


def _ratio(finding: Finding, code: str | None, against: str | None) -> float | None:
    one = finding.likelihood_ratios.get(code or "")
    if one is None or against is None:
        return one
    other = finding.likelihood_ratios.get(against)
    return one / other if other else None


def times(ratio: float) -> str:
    """'4.7', '0.24'; what is beyond what the reference lesions can tell: 'over 20', 'under 0.05'."""
    if ratio >= MOST or ratio <= 1 / MOST:
        return f"over {MOST:.0f}" if ratio > 1 else f"under {1 / MOST:.2f}"
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def chances(code: str | None, differentials: Sequence[Differential]) -> str:
    """'language model 62 %, specialist 58 %'; "" where no reader has the class."""
    said = []
    for differential in sorted(differentials, key=lambda one: one.reader != "vlm"):
        share = next((c.probability for c in differential.candidates if c.diagnosis.code == code and code), None)
        if share is not None:
            said.append(f"{READERS[differential.reader].removeprefix('the ')} {percent(share)}")
    return ", ".join(said)


def percent(share: float) -> str:
    """As the page writes it, without a false zero."""
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
