"""What a later question's prompt tells of the case: both readings, what weighs for and against, the urgency rule.

The plan in short, the same lines for every model: what an answer may say of this case stands there.
"""

from __future__ import annotations

from collections.abc import Sequence

from dermiq.answering.points import Known
from dermiq.answering.weigh import Weighed, percent, speaking_against, speaking_for, times, weighed
from dermiq.knowledge import Graph
from dermiq.knowledge.retrieve.understand import Understood
from dermiq.types import CLASS_NAMES, Differential
from dermiq.vlm.prompts import patient_line

CANDIDATES = 3  # of each reader
BETWEEN_TWO = frozenset({"why_not", "compare", "settle", "change_of_mind"})
"""Intents that set the diagnosis against another."""
WHOLE_RULE = frozenset({"urgency", "monitor", "biopsy"})
"""Intents for which the rule is told with its points, and not its first sentence alone."""


def briefing(graph: Graph, known: Known, asked: Understood) -> str:
    """A line each: patient, readers, reasons, what tells two diagnoses apart where that is asked, urgency."""
    found = weighed(known.findings, known.lead.code)
    urgency = known.urgency.text if known.urgency else "no rule applies."
    lines = (
        patient_line(known.context),
        _readers(known.differentials),
        f"For {known.lead.name}: {_listed(speaking_for(found))}. Against it: {_listed(speaking_against(found))}.",
        _apart(graph, known, asked) if asked.intent in BETWEEN_TWO else "",
        f"Urgency: {urgency if asked.intent in WHOLE_RULE else first_sentence(urgency)}",
    )
    return "\n".join(filter(None, lines))


def _apart(graph: Graph, known: Known, asked: Understood) -> str:
    """What was measured that is commoner with the one diagnosis than with the other: that named, or the next one."""
    lead = known.lead
    classes = [graph.class_code(node) for node in asked.conditions]
    named = next((code for code in classes if code and code != lead.code), None)
    code = named or next((one.diagnosis.code for one in known.own.candidates[1:2]), None) if known.own else named
    if code is None or lead.code is None:
        return ""
    found = weighed(known.findings, lead.code, against=code)
    away = weighed(known.findings, code, against=lead.code)
    other = CLASS_NAMES[code]
    return (
        f"Rather {lead.name} than {other}: {_listed(speaking_for(found, most=2))}. "
        f"Rather {other}: {_listed(speaking_for(away, most=2))}."
    )


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, with it."""
    return text.partition(". ")[0].rstrip(".") + "."


def _readers(differentials: Sequence[Differential]) -> str:
    names = {"vlm": "Model", "specialist": "Specialist"}
    order = sorted(differentials, key=lambda one: one.reader != "vlm")
    return " ".join(f"{names[one.reader]}: {_shares(one)}." for one in order)


def _shares(differential: Differential) -> str:
    return ", ".join(f"{one.diagnosis.name} {percent(one.probability)}" for one in differential.candidates[:CANDIDATES])


def _listed(found: Sequence[Weighed]) -> str:
    return "; ".join(f"{one.text} ({times(one.ratio)} times)" for one in found) or "nothing"
