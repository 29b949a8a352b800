"""The sentences that may be said as they stand: the facts that were given, and the lines on the case, taken apart.

    sayable(given)      # ("Melanoma is malignant [F5].", "For melanoma: colours unevenly placed (4.6 times).", ...)

A model that garbles what it words itself can still choose among them (`dermiq.vlm.guided`). Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dermiq.answering.grounded import Given

NOT_KNOWN = "The sources at hand do not say this."
_SHARE = re.compile(r"([^,:.]+?) (under \d+ %|\d+ %)")


def sayable(given: Given) -> tuple[str, ...]:
    """Each once: that nothing is known, facts with their numbers, both readings, reasons, urgency."""
    case = CaseLines.of(given.case)
    found = [f"{fact.text.rstrip('.')} [F{number}]." for number, fact in given.facts.items()]
    found += [f"{head}: {'; '.join(listed)}." for head, listed in case.reasons]
    names = list(dict.fromkeys(name for shares in case.readers.values() for name in list(shares)[:2]))
    found += filter(None, map(case.odds, names[:3]))
    if case.urgency:
        found.append(case.urgency.partition(". ")[0].rstrip(".") + ".")
    return tuple(dict.fromkeys((*found, NOT_KNOWN)))


@dataclass(frozen=True)
class CaseLines:
    """The lines on a case, taken apart."""

    lead: str
    readers: dict[str, dict[str, str]]  # "model", "specialist" -> diagnosis -> share as it is written
    reasons: tuple[tuple[str, tuple[str, ...]], ...]  # "For melanoma", "Against it", "Rather ..." -> findings
    urgency: str

    @classmethod
    def of(cls, text: str) -> CaseLines:
        readers: dict[str, dict[str, str]] = {}
        reasons: list[tuple[str, tuple[str, ...]]] = []
        lead = urgency = ""
        for line in text.splitlines():
            if line.startswith("Model: "):
                model, _, specialist = line.partition(" Specialist: ")
                readers["model"] = _shares(model.removeprefix("Model: "))
                readers["specialist"] = _shares(specialist)
            elif line.startswith("For "):
                lead = line.removeprefix("For ").partition(":")[0]
                reasons += _reasons(line)
            elif line.startswith("Rather "):
                reasons += _reasons(line)
            elif line.startswith("Urgency: "):
                urgency = line.removeprefix("Urgency: ")
        return cls(lead, readers, tuple(reasons), urgency)

    def odds(self, name: str) -> str:
        """ "Melanoma: model 76 %, specialist 64 %."; "" where neither reader names it."""
        said = [f"{reader} {shares[name]}" for reader, shares in self.readers.items() if name in shares]
        return f"{name[:1].upper()}{name[1:]}: {', '.join(said)}." if said else ""


def _shares(text: str) -> dict[str, str]:
    return {name.strip(): share for name, share in _SHARE.findall(text)}


def _reasons(line: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for head, listed in re.findall(r"((?:For|Against|Rather) [^:]+): (.*?)\.(?= Against| Rather|$)", line):
        if listed != "nothing":
            yield head, tuple(listed.split("; "))
