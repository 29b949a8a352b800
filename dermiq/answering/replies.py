"""Direct replies to what people ask of a condition, and of two that they set beside each other, with their facts.

    reply(graph, "MONDO:0005012", "spreads").text               # "Melanoma can spread to lymph nodes and other organs."
    apart(graph, "MONDO:0006717", "MONDO:0005012").text         # what tells a dermatofibroma from a melanoma

The sentences stand in `replies.tsv` and `pairs.tsv`; each says no more than its facts, and is as true for "can it?" as
for "it can't, can it?". A row whose facts the graph lacks (another licence, an own graph) is passed over. Knows the
graph, no model.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from dermiq.knowledge import Graph
from dermiq.knowledge.graph import PRINCIPAL
from dermiq.knowledge.schema import read_rows
from dermiq.types import Fact

TABLE = Path(__file__).with_name("replies.tsv")
PAIRS = Path(__file__).with_name("pairs.tsv")


@dataclass(frozen=True)
class Reply:
    """What is said of a condition or of two, and the facts that say it, the best first."""

    conditions: tuple[str, ...]  # node ids
    text: str
    facts: tuple[Fact, ...]


def reply(graph: Graph, condition: str, aspect: str) -> Reply | None:
    """Of the condition itself, else of the nearest wider one; None where nothing was written."""
    if not aspect:
        return None
    for node in (condition, *graph.ancestors(condition)):
        if row := _rows().get((node, aspect)):
            return _held(graph, (node,), row)
    return None


def apart(graph: Graph, one: str, other: str) -> Reply | None:
    """What tells two conditions from each other, of themselves or of the nearest wider ones; None where nothing was
    written."""
    ways = [(*filter(None, (node, PRINCIPAL.get(node))), *graph.ancestors(node)) for node in (one, other)]
    near = sorted(itertools.product(*map(enumerate, ways)), key=lambda pair: pair[0][0] + pair[1][0])
    for (_, left), (_, right) in near:
        if row := _pairs().get(frozenset((left, right))):
            return _held(graph, (left, right), row)
    return None


SITES: Mapping[str, re.Pattern[str]] = {
    "nail": re.compile(r"nails?\b|hutchinson|melanonychia", re.IGNORECASE),
    "acral": re.compile(
        r"\b(?:acral|palms?|palmar|soles?|plantar|heels?)\b|\b(?:ridges?|furrows?|grooves?)\b", re.IGNORECASE
    ),
    "face": re.compile(
        r"\b(?:fac(?:e|ial)|cheeks?|nose|nasal|forehead|temples?|chin|pseudonetwork|rhomboid\w*|follic\w+)\b",
        re.IGNORECASE,
    ),
    "mucosa": re.compile(r"\b(?:mucos\w+|lips?|mouth|oral|genital\w*|vulva\w*|penis|penile)\b", re.IGNORECASE),
    "scalp": re.compile(r"\bscalp\b", re.IGNORECASE),
}
"""Sites where dermoscopy has signs of its own, and the words for them."""


def site_of(text: str) -> str:
    """The first such site that a text speaks of; "" where it speaks of none."""
    return next((site for site, said in SITES.items() if said.search(text)), "")


Row: TypeAlias = tuple[str, tuple[str, ...]]  # what is said, and the ids of the facts that say it


def _held(graph: Graph, conditions: tuple[str, ...], row: Row) -> Reply | None:
    try:
        return Reply(conditions, row[0], tuple(map(graph.fact, row[1])))
    except KeyError:
        return None


@cache
def _rows() -> Mapping[tuple[str, str], Row]:
    """(condition, aspect) -> the reply."""
    return {(row["condition"], row["aspect"]): _read(row) for _, row in read_rows(TABLE)}


@cache
def _pairs() -> Mapping[frozenset[str], Row]:
    """Two conditions -> what tells them apart."""
    return {frozenset((row["left"], row["right"])): _read(row) for _, row in read_rows(PAIRS)}


def _read(row: Mapping[str, str]) -> Row:
    return row["reply"], tuple(row["facts"].split("|"))
