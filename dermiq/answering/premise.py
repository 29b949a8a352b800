"""What a question takes for granted, and what the sources say against it.

    corrected(graph, "Since melanomas are harmless, can it wait?", known)     # the fact that melanoma is malignant

Knows the graph, no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dermiq.answering.planner import NEAR, capital
from dermiq.answering.points import Known, Point
from dermiq.knowledge import Graph, check_claims, link, retrieve
from dermiq.knowledge.language.embed import available
from dermiq.knowledge.language.questions import nearness
from dermiq.knowledge.language.text import words
from dermiq.types import Fact

SHORTEST = 3  # words of a statement
OTHERWISE = "The question takes for granted what the sources say otherwise"
ON_THIS = "On what the question takes for granted the sources say this"
_SOMEBODY = re.compile(
    r"\b(?:i|we|you|he|she|my|our|your|his|her|hers|me|us|him|doc|doctor|consultant|registrar|boss|mum|mother|father|wife"
    r"|husband|gran\w*|letter|year-old|\d+[mf])\b",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    r"\b(?:since|because|seeing (?:as|that)|given that|now that|considering that|knowing that|as)"
    r"\s+(?P<said>[^,;?.]+)"
    r"|\bI (?:gather|hear|read|understand|know|was (?:told|taught)|have heard|heard|thought|believe|take it)"
    r"(?: that)?\s+(?P<heard>[^;?.]+?)(?=, so\b|[,;?.]|$)"
    r"|\b(?:told|tells|telling|taught|teach(?:es|ing)|said|says?|saying|reckons|swears|thinks|insists|claims)"
    r"(?: (?:me|him|her|us|them|mum|mom|dad))?(?: that)?\s+(?P<told>[^,;?.]+)",
    re.IGNORECASE,
)
_STATED = re.compile(r"(?:^|(?<=[.!]))\s*(?P<stated>[^.!?]+)[.!](?=\s)")
"""Whole sentences before the question."""
_OPENING = re.compile(r"^\W*(?:right|so|ok(?:ay)?|well|look|now|but|and)\b[\s,]*", re.IGNORECASE)


def premises(question: str) -> Iterator[str]:
    """The statements in a question, each once."""
    found = [next(filter(None, match.groups())) for match in _GIVEN.finditer(question)]
    found += [match["stated"] for match in _STATED.finditer(question)]
    clean = (_OPENING.sub("", text).strip() for text in found)
    yield from dict.fromkeys(text for text in clean if len(words(text)) >= SHORTEST)


def corrected(graph: Graph, question: str, known: Known, *, denied_alone: bool = False) -> Iterator[Point]:
    """A point for the first statement that a fact contradicts, or else, unless these alone are wanted, on which the
    graph holds something.
    """
    said = list(premises(question))
    for text in said:
        for claim in check_claims(graph, f"{capital(text)}.", findings=(), diagnosis=known.lead.id):
            if claim.verdict == "contradicted" and claim.fact_ids:
                yield _point(OTHERWISE, graph.fact(claim.fact_ids[0]))
                return
    for text in said if not denied_alone else ():
        if is_general(graph, text):
            found = retrieve(graph, text, differential=[known.lead.code or known.lead.id], k=1).items
            facts = [item.fact for item in found]
            if facts and (not available() or nearness(question, [facts[0].text])[0] >= NEAR):
                yield _point(ON_THIS, facts[0])
            return


def is_general(graph: Graph, text: str) -> bool:
    """Whether it says something of a condition or of what is done, not of somebody in the room."""
    kinds = {graph.node(mention.id).kind for mention in link(graph, text)}
    return bool(kinds & {"Disease", "Test", "Treatment"}) and not _SOMEBODY.search(text)


def _point(lead_in: str, fact: Fact) -> Point:
    signs = re.escape(fact.text.rstrip("."))
    return Point("premise", f"{lead_in}: {fact.text}", 3.0, (fact,), about=(fact.subject,), needed=True, signs=signs)
