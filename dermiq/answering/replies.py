"""Direct replies to what people ask of a condition: a sentence for each aspect, and the facts that carry it.

    reply(graph, "MONDO:0005012", "spreads").text      # "Melanoma can spread to lymph nodes and other organs."

The sentences stand in `replies.tsv`; each says no more than its facts, and is as true for "can it?" as for "it can't,
can it?". A row whose facts the graph lacks (another licence, an own graph) is passed over. Knows the graph, no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dermiq.knowledge import Graph
from dermiq.knowledge.schema import read_rows
from dermiq.types import Fact

TABLE = Path(__file__).with_name("replies.tsv")


@dataclass(frozen=True)
class Reply:
    """What is said of a condition, and the facts that say it, the best first."""

    condition: str  # node id
    text: str
    facts: tuple[Fact, ...]


def reply(graph: Graph, condition: str, aspect: str) -> Reply | None:
    """Of the condition itself, else of the nearest wider one; None where nothing was written."""
    if not aspect:
        return None
    for node in (condition, *graph.ancestors(condition)):
        row = _rows().get((node, aspect))
        if row is not None:
            try:
                return Reply(node, row[0], tuple(map(graph.fact, row[1])))
            except KeyError:
                return None
    return None


@cache
def _rows() -> Mapping[tuple[str, str], tuple[str, tuple[str, ...]]]:
    """(condition, aspect) -> the reply and the ids of its facts."""
    return {
        (row["condition"], row["aspect"]): (row["reply"], tuple(row["facts"].split("|"))) for _, row in read_rows(TABLE)
    }
