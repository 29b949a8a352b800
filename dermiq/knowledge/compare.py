"""Two conditions side by side: what separates them, what they share, and where the graph is silent. Knows no page.

Silence is never read as absence: a feature that only one of the two is known for is kept apart from one
that the other is known to lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dermiq.errors import InputError
from dermiq.knowledge.card import HIERARCHY, Held, held, titles, topic_of
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.schema import RELATIONS
from dermiq.types import Fact

Kind = Literal["opposite", "left_only", "right_only", "mixed", "shared"]
Side = Literal["left", "right"]
Said = Literal["present", "absent", "mixed"]

KINDS: tuple[Kind, ...] = ("opposite", "left_only", "right_only", "mixed", "shared")
SINGLE = frozenset({"behaves_as", "risk_level"})
"""Relations of which a condition has one value, so that two different values contradict each other."""
APART = frozenset({HIERARCHY, "coded_as", "look_alike"})
"""Relations that are not compared: codes always differ, and look-alikes say nothing of the condition's own features."""
NEARNESS = ("own", "inherited", "subtype")
WEAK = ("mimic", "rare")  # how a qualifier begins that says "can also occur"


@dataclass(frozen=True)
class Point:
    """One feature (or, for a relation of `SINGLE`, one property) and what each condition's facts say of it."""

    relation: str
    object: str  # node id; "" for a property
    name: str
    kind: Kind
    left: tuple[Held, ...]  # empty: the graph says nothing of it for this condition
    right: tuple[Held, ...]


@dataclass(frozen=True)
class Comparison:
    """`points`: contradictions first, then what only one has, then what overlaps, then what is shared."""

    left: str  # node id
    right: str
    points: tuple[Point, ...]
    confused: tuple[Fact, ...]  # facts that say that the two are mistaken for each other
    silent: tuple[
        tuple[str, Side], ...
    ]  # (topic, the side of which the graph holds nothing of it, though of the other)

    def of(self, *kinds: Kind) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.kind in kinds)


def compare(graph: Graph, left: str, right: str) -> Comparison:
    """Two node ids. KeyError where one is unknown; InputError where they are the same condition."""
    if graph.node(left) == graph.node(right):
        raise InputError(f"Both names mean {graph.node(left).name}. Choose a second condition to compare it with.")
    ours, theirs = held(graph, left), held(graph, right)
    points = [
        point
        for relation in RELATIONS
        if relation not in APART
        for point in _points(
            graph, relation, *([h for h in side if h.fact.relation == relation] for side in (ours, theirs))
        )
    ]
    order = {title: place for place, title in enumerate(titles())}
    points.sort(key=lambda point: (KINDS.index(point.kind), _strength(point), order[topic_of(point.relation)]))
    return Comparison(left, right, tuple(points), _confused(graph, left, right), tuple(_silent(ours, theirs)))


def _points(graph: Graph, relation: str, ours: Sequence[Held], theirs: Sequence[Held]) -> list[Point]:
    if relation in SINGLE:
        return _property(relation, ours, theirs)
    found = []
    for target in dict.fromkeys(h.fact.object for h in (*ours, *theirs)):
        left, right = _about(graph, ours, target), _about(graph, theirs, target)
        broader = set(graph.ancestors(target))
        if (not right and _lacks(theirs, broader)) or (not left and _lacks(ours, broader)):
            continue  # who lacks streaks lacks irregular streaks: the point on streaks says it
        found.append(Point(relation, target, graph.node(target).name, _kind(graph, left, right), left, right))
    return found


def _about(graph: Graph, facts: Sequence[Held], target: str) -> tuple[Held, ...]:
    """The facts on a feature; where there are none, those that state a special form of it."""
    exact = tuple(h for h in facts if h.fact.object == target)
    special = (h for h in facts if h.fact.polarity == "present" and target in graph.ancestors(h.fact.object))
    return exact or tuple(special)


def _lacks(facts: Sequence[Held], targets: set[str]) -> bool:
    return any(h.fact.polarity == "absent" and h.fact.object in targets for h in facts)


def _kind(graph: Graph, left: Sequence[Held], right: Sequence[Held]) -> Kind:
    if not left or not right:
        return "left_only" if left else "right_only"
    one, other = _said(graph, left), _said(graph, right)
    if "mixed" in (one, other):
        return "mixed"
    return "shared" if one == other else "opposite"


def _said(graph: Graph, facts: Sequence[Held]) -> Said:
    """What the nearest facts agree on: a condition's own count before inherited ones, those before its subtypes'."""
    firm = [h for h in _nearest(facts) if not graph.numbers(h.fact.id).qualifier.startswith(WEAK)]
    said = {h.fact.polarity for h in firm}
    return said.pop() if len(said) == 1 else "mixed"


def _nearest(facts: Sequence[Held]) -> list[Held]:
    best = min(NEARNESS.index(h.standing) for h in facts)
    return [h for h in facts if NEARNESS.index(h.standing) == best]


def _property(relation: str, ours: Sequence[Held], theirs: Sequence[Held]) -> list[Point]:
    """At most one point: the values of a property that has one value."""
    if not ours and not theirs:
        return []
    kind: Kind = "left_only" if ours else "right_only"
    if ours and theirs:
        one, other = ({h.fact.object for h in _nearest(side)} for side in (ours, theirs))
        kind = "shared" if one == other else "mixed" if one & other else "opposite"
    name = {"behaves_as": "behaviour", "risk_level": "risk level"}[relation]
    return [Point(relation, "", name, kind, tuple(ours), tuple(theirs))]


def _strength(point: Point) -> tuple[bool, int]:
    """Features that are there before those that are missing; what is said of both themselves before subtypes' facts."""
    lacks = not (point.left and point.right) and all(h.fact.polarity == "absent" for h in (*point.left, *point.right))
    return lacks, max(NEARNESS.index(_nearest(side)[0].standing) for side in (point.left, point.right) if side)


def _confused(graph: Graph, left: str, right: str) -> tuple[Fact, ...]:
    one, other = set(graph.family(left)), set(graph.family(right))
    pairs = [fact for key in (*one, *other) for fact in graph.facts(key, "look_alike")]
    between = {
        fact.id: fact
        for fact in pairs
        if (fact.subject in one and fact.object in other) or (fact.subject in other and fact.object in one)
    }
    direct = {left, right}
    return tuple(sorted(between.values(), key=lambda fact: ({fact.subject, fact.object} != direct, fact.id)))


def _silent(ours: Sequence[Held], theirs: Sequence[Held]) -> list[tuple[str, Side]]:
    one, other = ({topic_of(h.fact.relation) for h in side if h.fact.relation not in APART} for side in (ours, theirs))
    sides: list[tuple[str, Side]] = [(title, "left") for title in titles() if title in other - one]
    return sides + [(title, "right") for title in titles() if title in one - other]
