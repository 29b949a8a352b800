"""What a question takes for granted, and what the sources say against it.

    corrected(graph, "Since melanomas are harmless, can it wait?", known)     # the fact that melanoma is malignant

Knows the graph, no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dermiq.answering.points import Known, Point
from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.language.text import words

SHORTEST = 3  # words of a statement
_GIVEN = re.compile(
    r"\b(?:since|because|seeing (?:as|that)|given that|now that|considering that|knowing that|as)\s+(?P<said>[^,;?.]+)"
    r"|\bI (?:gather|hear|read|understand|know|was told|have heard|heard|thought|believe|take it)(?: that)?\s+"
    r"(?P<heard>[^;?.]+?)(?=, so\b|[,;?.]|$)"
    r"|\b(?:told|tells|said|says|reckons|swears|thinks|insists|claims)"
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


def corrected(graph: Graph, question: str, known: Known) -> Iterator[Point]:
    """A point for the first statement that a fact contradicts."""
    for text in premises(question):
        for claim in check_claims(graph, f"{text[:1].upper()}{text[1:]}.", findings=(), diagnosis=known.lead.id):
            if claim.verdict == "contradicted" and claim.fact_ids:
                fact = graph.fact(claim.fact_ids[0])
                said = f"The question takes for granted what the sources say otherwise: {fact.text}"
                signs = re.escape(fact.text.rstrip("."))
                yield Point("premise", said, 3.0, (fact,), about=(fact.subject,), needed=True, signs=signs)
                return
