"""How well each fact answers one question: a few plain features, and one weight each. Knows neither model nor page.

The weights were fitted by logistic regression, with a ridge penalty, on the part `dev` of `tests/judged/questions.tsv`
and on `questions_tuning.tsv`: does the fact belong to the answer? Features and penalty were chosen by five-fold
cross-validation over questions. With and without embeddings the weights differ, because the words then carry more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dermiq.knowledge.graph import Graph
from dermiq.types import Fact

COUNTED = frozenset({"reader study", "derived statistic"})
SCAFFOLD = frozenset({"is_a", "coded_as", "risk_level"})
NEAR = {"own": 1.0, "object": 0.6, "below": 0.5, "above": 0.4}
"""How near a fact is to a further condition: its own, one that names it, a subtype's, an inherited one."""

WEIGHTS: Mapping[str, tuple[float, float]] = {
    "words": (5.82, 7.13),  # BM25, the best of the candidates 1
    "meaning": (4.23, 0.0),  # cosine of the bare sentence and the nearest part of the bare question
    "own": (2.53, 2.53),  # of the leading condition
    "below": (1.57, 1.59),  # of a form of it
    "above": (0.78, 1.34),  # of what it is a form of
    "names it": (1.7, 1.63),  # of another condition, and names it
    "second": (1.3, 1.64),  # the nearest of these to any other condition that is spoken of
    "far": (-0.5, 0.38),  # of no condition that is spoken of
    "joins": (2.03, 1.99),  # of one condition that is spoken of, and names another
    "strays": (-2.33, -1.35),  # a look-alike that is none of those spoken of
    "asked": (0.27, 2.09),  # the question asks for this relation, by its words
    "classified": (3.17, 0.0),  # the question is classified as asking for it
    "nearest": (2.37, 0.0),  # the question is near to phrasings that ask for it
    "absent": (1.28, 1.38),  # says what is not there, and that is asked for
    "counted": (-0.72, -1.02),  # says no more than a number
    "scaffold": (-3.2, -4.39),  # hierarchy, codes and risk levels, which nobody wants unasked
}
"""Feature -> its weight with search by meaning, and without."""


@dataclass(frozen=True)
class Spoken:
    """A condition of the question or its differential."""

    near: Mapping[str, str]  # node id -> "own", "below" or "above" it
    name: re.Pattern[str]


@dataclass(frozen=True)
class Heard:
    """What a question asks for; the last two are empty where there was no search by meaning."""

    asked: frozenset[str]  # relations that its words name
    negated: bool  # asks for what is not there
    classified: Mapping[str, float] = field(default_factory=dict)  # relation -> see `asked.Listener`
    nearest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Searched:
    """What the searches say of each candidate, (facts,) numbers; 0 where there was no search by meaning."""

    words: np.ndarray
    meaning: np.ndarray


def spoken_of(graph: Graph, condition: str) -> Spoken:
    """A class that only collects others has its members' facts."""
    near = {key: "above" for key in graph.ancestors(condition) if graph.node(key).tier > 0}
    is_group = not graph.facts(condition, "has_sign")
    for key in graph.family(condition):
        near[key] = "own" if is_group and graph.node(key).tier == 1 else "below"
    node = graph.node(condition)
    names = "|".join(re.escape(name) for name in (node.name, node.plural) if name)
    return Spoken({**near, condition: "own"}, re.compile(rf"\b(?:{names})", re.IGNORECASE))


def features(facts: Sequence[Fact], searched: Searched, spoken: Sequence[Spoken], heard: Heard) -> np.ndarray:
    """(facts, len(WEIGHTS)). `spoken`: the conditions that are spoken of, the leading one first."""
    first: Mapping[str, str] = spoken[0].near if spoken else {}
    table = np.zeros((len(facts), len(WEIGHTS)))
    table[:, 0] = searched.words / (searched.words.max(initial=0.0) or 1.0)
    table[:, 1] = searched.meaning
    for place, fact in enumerate(facts):
        where = first.get(fact.subject, "")
        joins = len(spoken) > 1 and _joins(fact, spoken)
        table[place, 2:] = (
            where == "own",
            where == "below",
            where == "above",
            not where and first.get(fact.object) == "own",
            max((_nearness(other.near, fact) for other in spoken[1:]), default=0.0),
            not any(fact.subject in other.near or fact.object in other.near for other in spoken),
            joins,
            len(spoken) > 1 and fact.relation == "look_alike" and not joins,
            fact.relation in heard.asked,
            heard.classified.get(fact.relation, 0.0),
            heard.nearest.get(fact.relation, 0.0),
            heard.negated and fact.polarity == "absent",
            fact.evidence_type in COUNTED,
            fact.relation in SCAFFOLD and fact.relation not in heard.asked,
        )
    return table


def scores(table: np.ndarray, *, semantic: bool) -> np.ndarray:
    """(facts,) in (0, 1]: how likely each is part of the answer, against the likeliest."""
    logits = table @ np.array([weights[0 if semantic else 1] for weights in WEIGHTS.values()])
    shares: np.ndarray = np.exp(logits - logits.max(initial=-np.inf))
    return shares


def _nearness(near: Mapping[str, str], fact: Fact) -> float:
    if fact.subject in near:
        return NEAR[near[fact.subject]]
    return NEAR["object"] if near.get(fact.object) == "own" else 0.0


def _joins(fact: Fact, spoken: Sequence[Spoken]) -> bool:
    """Whether a fact about one condition points to, or names, another one that is spoken of."""
    return any(
        other is not one
        and (
            (other.near.get(fact.object) in ("own", "below") and fact.object not in one.near)
            or other.name.search(fact.text) is not None
        )
        for one in spoken
        if fact.subject in one.near
        for other in spoken
    )
