"""Which facts an answer brings: those retrieved for the question first, then what the graph holds. Knows no words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from dermiq.knowledge.card import held
from dermiq.knowledge.compare import Point as Compared
from dermiq.knowledge.compare import compare
from dermiq.knowledge.graph import FEATURES, Graph
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.language.text import words
from dermiq.knowledge.retrieve.case import GROUPS
from dermiq.knowledge.retrieve.retrieve import statement
from dermiq.types import Fact

SPECIAL = re.compile(
    r"metasta|second line|advanced|alternative|rare|children|pregnan|cosmetic|drug-induced|desired|giant|large, many"
    r"|disputed|low suspicion|\bstage\b",
    re.IGNORECASE,
)
"""Qualifiers of facts that hold in special circumstances."""
COUNTED = "derived statistic"
SAME = 0.7  # share of the words of the shorter of two statements from which on they say the same
DEPTH = {"own": 0, "subtype": 1, "inherited": 2}
_CITATION = re.compile(r"\[\s*F\s*\d[^\]]*\]", re.IGNORECASE)
CONTRASTS = re.compile(
    r"\bunlike\b|\bwhile\b|\bwhereas\b|speaks? for|\black|does not|\bhas none|\bthan\b|, without"
    r"|, (?:an? |the )?[\w' ]+(?: looks? | is | after )",
    re.IGNORECASE,
)
ALIKE = re.compile(
    r"readers named both|differential|difficult|masquerad|must be|mimic|misdiagnos|reminiscent|suspected"
    r"|biops|histolog",
    re.IGNORECASE,
)


def facts_of(
    graph: Graph,
    nodes: Sequence[str],
    relations: Iterable[str],
    *,
    found: Sequence[Fact] = (),
    fits: Callable[[Fact], bool] = lambda fact: True,
) -> list[Fact]:
    """What the graph holds of the nodes in these relations, best first, nothing twice.

    First what was retrieved (`found`), in its order; then the conditions' own facts, then their subtypes'.
    """
    wanted = frozenset(relations)
    families = {member for node in nodes for member in graph.family(node)}
    retrieved = [fact for fact in found if fact.relation in wanted and fact.subject in families]
    own = [fact for node in nodes for fact in _held(graph, node) if fact.relation in wanted]
    once: dict[tuple[str, ...], Fact] = {}
    for fact in (*retrieved, *own):
        if fits(fact) and not graph.is_pitfall(fact):
            once.setdefault(statement(fact), fact)
    return list(once.values())


def _held(graph: Graph, node: str) -> list[Fact]:
    """Own facts before those of members and subtypes, inherited ones last."""
    facts = [entry for entry in held(graph, node) if graph.node(entry.fact.subject).tier > 0]

    return [entry.fact for entry in sorted(facts, key=lambda entry: DEPTH[entry.standing])]


def separating(graph: Graph, one: str, other: str) -> list[tuple[Fact, ...]]:
    """What can be seen of one condition and not of the other: one fact, or two that contradict each other.

    Sentences that set both against each other come first: they were written to tell the two apart.
    """
    if one == other or other in graph.family(one) or one in graph.family(other):
        return []
    compared = compare(graph, one, other)
    seen = [point for point in compared.points if point.relation in FEATURES]
    both = [(fact,) for fact in compared.confused if CONTRASTS.search(fact.text) and not ALIKE.search(fact.text)]
    opposite = [_both_sides(point) for point in seen if point.kind == "opposite" and _is_of_both(point, (one, other))]
    firm = [pair for pair in opposite if not all(fact.evidence_type == COUNTED for fact in pair)]
    return [*((fact,) for fact in distinct(fact for (fact,) in both)), *firm, *((fact,) for fact in _alone(seen))]


def distinct(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Without what another one says from the other side: "it has no horn pearls", "horn pearls speak for"."""
    kept: list[tuple[Fact, frozenset[str]]] = []
    for fact in facts:
        said = frozenset(stems(fact.text)) - FREQUENT
        if not any(len(said & old) >= SAME * min(len(said), len(old)) for _, old in kept):
            kept.append((fact, said))
    return tuple(fact for fact, _ in kept)


def _is_of_both(point: Compared, sides: tuple[str, str]) -> bool:
    """Not where a kind alone differs: "blue nevi show no peppering" says little of nevi. Groups have members only."""
    held_so = zip(sides, (point.left, point.right), strict=True)
    return all(node in GROUPS or any(entry.standing == "own" for entry in side) for node, side in held_so)


def _both_sides(point: Compared) -> tuple[Fact, ...]:
    """Of each side the condition's own fact before a subtype's, and what was read before what was counted."""
    best = (
        min(side, key=lambda entry: (DEPTH[entry.standing], entry.fact.evidence_type == COUNTED)).fact
        for side in (point.left, point.right)
    )
    return tuple(dict.fromkeys(best))


def _alone(points: Sequence[Compared]) -> Iterator[Fact]:
    for point in points:
        if point.kind in ("left_only", "right_only"):
            fact = (*point.left, *point.right)[0].fact
            if fact.polarity == "present" and fact.evidence_type != COUNTED and not CONTRASTS.search(fact.text):
                yield fact


def in_short(graph: Graph, fact: Fact) -> str:
    """'wide excision', 'no shave biopsy', 'surgical excision (suspicion of melanoma)'; "" where it names no node."""
    if fact.object not in graph:
        return ""
    qualifier = graph.numbers(fact.id).qualifier
    denied = "no " if fact.polarity == "absent" else ""
    return f"{denied}{graph.node(fact.object).name}" + (f" ({qualifier})" if qualifier else "")


def flat(text: str) -> str:
    """The words alone, in the graph's spelling, without citations: what two sentences are compared by."""
    return " ".join(words(_CITATION.sub(" ", text)))


def is_told(text: str, earlier: Iterable[str]) -> bool:
    """Whether one of the earlier texts, each as `flat` gives it, has this sentence word for word."""
    said = flat(text)
    return bool(said) and any(f" {said} " in f" {old} " for old in earlier)


def untold(facts: Sequence[Fact], earlier: Sequence[str], *, most: int) -> tuple[Fact, ...]:
    """The first facts that no earlier text quotes; the first ones where all were quoted."""
    new = [fact for fact in facts if not is_told(fact.text, earlier)]
    return tuple((new or list(facts))[:most])
