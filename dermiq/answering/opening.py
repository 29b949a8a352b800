"""What a first answer says, whatever was asked: why it was read so, and what is pressing; then what was asked besides.

Knows no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from dermiq.answering.plan import plan
from dermiq.answering.planner import SEEN, Planner
from dermiq.answering.points import Known, Plan, Point
from dermiq.knowledge import Graph
from dermiq.knowledge.graph import CLASS_NODES
from dermiq.knowledge.language.text import split_sentences
from dermiq.knowledge.retrieve.ellipsis import conditions_in
from dermiq.knowledge.retrieve.understand import Understood
from dermiq.types import Urgency

PRESSING = ("urgent", "soon")
READING = re.compile(
    r"\b(?:ddx|dx|differentials?|diagnos[ei]s|diagnose|opinions?|impression|assess(?:ment)?|id|describe|thoughts|rank(?:ing)?"
    r"|(?:your|a|please) (?:read(?:ing)?|take|view|guess|verdict)|look at (?:this|it)|the reading"
    r"|what (?:do|would|can|could) (?:you|u) (?:see|think|make|call|say)"
    r"|what(?:'?s| is| are| was| could| might| may| can) (?:it|this|that|these|here)(?: be| spot| mole| lesion)?\b"
    r"|what (?:it|this|that) (?:is|could be|might be|may be)|what is(?=\W*$)"
    r"|worr(?:y|ied)|afraid|scared|peace of mind|dangerous|serious|harmless)\b|\bok(?:ay)?\s*\?",
    re.IGNORECASE,
)
"""Asks what it is, or whether it is bad, in one of the ways in which people do."""
CLINICIAN = re.compile(
    r"(?-i:\b\d{2} ?[MF]\b|\?[A-Z]{2,}|\b(?:BCC|SCC|AK|SK|DF|MM|LM|GP|GPw?ER|ST\d|F[12])\b)"
    r"|\b(?:ddx|dx|derm\w*|reg|registrar|consultant|nurse|trainee|plaque|papule|nodule|macule|lesions?|na?ev\w+|patient|pt"
    r"|differential|assessment|impression|pigmented|plastics|pa?ediatric\w*|paeds|melanocytic|seb k|year-old)\b",
    re.IGNORECASE,
)
"""Words by which those who see patients give themselves away."""
ASKS = re.compile(
    r"\?|\b(?:how|what|which|when|where|should|shall|can|could|does|do|need|tell|explain|advise|suggest|compare)\b",
    re.I,
)
"""Asks for something, besides that an image is shown."""
WEAK_IMMUNITY = re.compile(
    r"\btransplant\w*|\bimmun(?:osuppress\w+|ocompromised|e deficien\w+)"
    r"|\b(?:tacrolimus|ciclosporin|cyclosporine|azathioprine|mycophenolate|hiv|leuka?emia|lymphoma)\b",
    re.IGNORECASE,
)
ANSWERED = frozenset({"why", "other", "trust"})
"""Intents that the reasons of the reading answer."""
CHECKLIST = "7-point checklist"


def opening(graph: Graph, asked: Understood, known: Known) -> tuple[Point, ...]:
    """The reading and its reasons, what has to be done soon, and what was asked where that was something else.

    Who does not write as clinicians do is told in plain words first.
    """
    known = replace(known, urgency=_in_short(known.urgency), supposed=None)
    asked = replace(asked, supposed=None)
    planned = plan(graph, asked, known)
    reading = replace(asked, intent="why", conditions=(), aspects=())
    plainly: tuple[Point, ...] = ()
    if known.is_lay:
        plainly = plan(graph, replace(reading, intent="plain_words"), known).points
    first, *reasons = plan(graph, reading, known).points
    pressing = tuple(_pressing(graph, planned, reading, known))
    told = tuple(_told(graph, reading, known))
    described = tuple(Planner(graph, asked, known).described())
    said = (*plainly, replace(first, opens=True), *described, *reasons, *told, *pressing)
    if not asked.often and _asks_for_reading(graph, asked):
        return (*said, *_suspected(graph, asked, known))
    return (*said, *(point for point in planned.points if point not in said and point.kind != "urgency"))


def is_lay(question: str) -> bool:
    """Whether who asks a first question does not write as clinicians do."""
    return not CLINICIAN.search(question)


def _asks_for_reading(graph: Graph, asked: Understood) -> bool:
    """Whether it asks what the lesion is, and for nothing besides."""
    is_vague = asked.intent == "plain_words" and "plainly" not in asked.aspects
    is_bare = asked.intent == "what_is" and not conditions_in(graph, asked.question)
    what_it_is = asked.intent in ANSWERED or is_vague or is_bare or not ASKS.search(asked.question)
    return what_it_is or (bool(READING.search(asked.question)) and asked.intent not in ("compare", "why_not"))


def _pressing(graph: Graph, planned: Plan, reading: Understood, known: Known) -> Iterator[Point]:
    """How urgent it is, where it is or where that was asked."""
    told = [point for point in planned.points if point.kind == "urgency"]
    if not told and known.urgency and known.urgency.level in PRESSING:
        by_rule = plan(graph, replace(reading, intent="urgency"), known).points
        told = [point for point in by_rule if point.kind == "urgency"]
    yield from told[:1]


def _suspected(graph: Graph, asked: Understood, known: Known) -> Iterator[Point]:
    """Where the condition stands that the question takes it for, and what tells it from the one that leads."""
    one = Planner(graph, asked, known)
    for node in [key for key in one.named if not one.is_lead(key)][:1]:
        yield one.says(one.behind(node), node) if one.code(node) else one.unknown_class(node)
        yield from one.set_apart(node, known.lead.id, needed=False)
    for node in [key for key in asked.conditions if one.is_lead(key) and one.class_node(key) != key][:1]:
        yield from one.facts(
            f"What marks {one.name(node)}, which the readers do not tell from others", (node,), SEEN, most=2
        )


def _told(graph: Graph, reading: Understood, known: Known) -> Iterator[Point]:
    """What is known of the condition where the immune system is told to be weak."""
    if WEAK_IMMUNITY.search(reading.question):
        one = Planner(graph, reading, known)
        nodes = (known.lead.id, CLASS_NODES["akiec"])  # of which a weak immune system raises the risk most
        yield from [point for node in nodes for point in one.replied(node, "weak_immunity", needed=False)][:1]


def _in_short(urgency: Urgency | None) -> Urgency | None:
    """The rule without its list of points, which stands beside the answer."""
    if urgency is None:
        return None
    kept = [sentence for sentence in split_sentences(urgency.text) if CHECKLIST not in sentence]
    return replace(urgency, text=" ".join(kept) or urgency.text)
