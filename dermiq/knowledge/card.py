"""What the graph holds of one condition: its own facts, those it inherits, those of its subtypes. Knows no page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.schema import RELATIONS, Node
from dermiq.language import N_
from dermiq.types import Fact

Standing = Literal["own", "inherited", "subtype"]

TOPICS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (N_("Behaviour"), ("behaves_as", "risk_level")),
    (N_("Signs"), ("has_sign",)),
    (N_("Symptoms"), ("has_symptom",)),
    (N_("Sites"), ("located_at",)),
    (N_("Risk factors"), ("risk_factor",)),
    (N_("Look-alikes"), ("look_alike",)),
    (N_("Dermoscopy"), ("has_dermoscopic_feature",)),
    (N_("Tests"), ("diagnosed_by",)),
    (N_("Treatment"), ("treated_by",)),
    (N_("Red flags"), ("red_flag",)),
    (N_("Urgency and referral"), ("refer_if",)),
    (N_("Codes"), ("coded_as",)),
)
"""Heading -> its relations, in the order in which a card is read. `topic_of` names those that are not listed."""

HIERARCHY = "is_a"
OF_ITSELF = frozenset({HIERARCHY, "coded_as", "risk_level"})
"""Relations that hold for a condition itself: a subtype has its own code and its own risk."""


@dataclass(frozen=True)
class Held:
    """A fact as a condition has it. `holder`: the condition of which it is said."""

    fact: Fact
    standing: Standing
    holder: str  # node id


@dataclass(frozen=True)
class Topic:
    title: str
    facts: tuple[Held, ...]  # own first, then inherited, then subtypes'; never empty


@dataclass(frozen=True)
class Card:
    """One condition. `above` leads from the top of the hierarchy down to it, one path a parent."""

    node: Node
    above: tuple[tuple[Node, ...], ...]
    below: tuple[Node, ...]
    topics: tuple[Topic, ...]
    missing: tuple[str, ...]  # titles of `TOPICS` without any fact


def card(graph: Graph, node_id: str) -> Card:
    """KeyError where there is no such node."""
    node = graph.node(node_id)
    facts = held(graph, node_id)
    found = {title: tuple(h for h in facts if topic_of(h.fact.relation) == title) for title in titles()}
    below = sorted((graph.node(key) for key in children(graph, node_id)), key=lambda child: child.name.lower())
    return Card(
        node=node,
        above=tuple(paths(graph, node_id)),
        below=tuple(below),
        topics=tuple(Topic(title, held_) for title, held_ in found.items() if held_),
        missing=tuple(title for title, _ in TOPICS if not found[title]),
    )


def titles() -> tuple[str, ...]:
    """Every heading a card may have, in order."""
    relations = [name for name in RELATIONS if name != HIERARCHY]
    return tuple(dict.fromkeys([*(title for title, _ in TOPICS), *map(topic_of, relations)]))


def topic_of(relation: str) -> str:
    """The heading of a relation; one that `TOPICS` does not list has its own name as heading."""
    for title, relations in TOPICS:
        if relation in relations:
            return title
    return relation.replace("_", " ").capitalize()


def held(graph: Graph, node_id: str) -> tuple[Held, ...]:
    """The condition's facts: its own, then its ancestors' (nearest first), then its subtypes'.

    Being confused goes both ways, so a look-alike that names this condition is its own fact too.
    """
    found: dict[str, Held] = {}
    for fact in _facts(graph, node_id):
        found.setdefault(fact.id, Held(fact, "own", node_id))
    for above in graph.ancestors(node_id):
        for fact in graph.facts(above):
            if fact.relation not in OF_ITSELF:
                found.setdefault(fact.id, Held(fact, "inherited", above))
    for below in graph.family(node_id)[1:]:
        for fact in _facts(graph, below):
            found.setdefault(fact.id, Held(fact, "subtype", below))
    return tuple(found.values())


def _facts(graph: Graph, node_id: str) -> Iterator[Fact]:
    yield from (fact for fact in graph.facts(node_id) if fact.relation != HIERARCHY)
    for fact in graph.facts_about(node_id):
        if fact.relation == "look_alike" and fact.object == node_id:
            yield fact


def children(graph: Graph, node_id: str) -> list[str]:
    """The nodes that are directly below, in the order of the table."""
    stated = graph.facts_about(node_id)
    return [fact.subject for fact in stated if fact.relation == HIERARCHY and fact.object == node_id]


def paths(graph: Graph, node_id: str) -> list[tuple[Node, ...]]:
    """Every way down from the top of the hierarchy to the node's parents; `[()]` for a node at the top."""
    parents = [fact.object for fact in graph.facts(node_id, HIERARCHY)]
    if not parents:
        return [()]
    return [(*path, graph.node(parent)) for parent in parents for path in paths(graph, parent)]
