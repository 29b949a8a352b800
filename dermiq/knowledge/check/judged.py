"""What the learned judge says of sentences beside the facts that come nearest, each answer behind the guards.

    judged_all(graph, [Asked("Rodent ulcers never spread.")])     # a list of `Opinion` for each sentence

Candidates are few (`CANDIDATES`): facts of the conditions that the sentence names, or of the topic where it names none,
nearest in meaning. One batch through the network judges all sentences of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from dermiq.knowledge.check.guards import AGAINST, AGREES, Agreement, guarded
from dermiq.knowledge.check.shown import shown
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import embed, entail
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.text import words
from dermiq.knowledge.language.wording import in_the_graphs_names
from dermiq.types import Claim, Fact

CANDIDATES = 2  # facts that are read beside each sentence, those of the rules not counted
WORDED = frozenset({"is_a", "risk_level", "look_alike"})  # relations whose sentences a program wrote
UNTOLD = frozenset({"coded_as", "likelihood_ratio_for"})  # codes and counts are compared, not read
DISPUTED = "facts of the graph do not bear this out"


@dataclass(frozen=True)
class Bars:
    """Probabilities from which on the judge is believed. They ship with its weights, set on the part `dev` of the
    judged sets, where a wrong verdict costs as much as several right ones (`python -m train.embedded.judge --bars`).
    """

    supported: float  # that a fact entails a sentence which the rules leave open
    contradicted: float  # that it contradicts such a one
    agreed: float  # that a fact entails what the rules support
    vetoed: float  # that a fact entails what the rules call contradicted: then it is not


@lru_cache(maxsize=1)
def bars() -> Bars:
    return Bars(**entail.settings()["bars"])


@dataclass(frozen=True)
class Opinion:
    """Of one fact on one sentence: probabilities, and what the guards say."""

    fact: Fact
    entails: float
    contradicts: float
    agreement: Agreement

    @property
    def backing(self) -> float:
        """The probability that the fact entails the sentence, nothing where a guard objects."""
        return self.entails if self.agreement == AGREES else 0.0

    @property
    def objection(self) -> float:
        """The probability that it contradicts it; where a guard finds another number, that both say the same else."""
        return self.contradicts + self.entails if self.agreement == AGAINST else self.contradicts


class _Facts:
    """The facts of a graph by their subject, as the judge reads them, with their meaning."""

    def __init__(self, graph: Graph) -> None:
        facts = [fact for fact in graph.all_facts if fact.relation not in UNTOLD]
        self.text = {fact.id: shown(graph, fact.text, fact.subject) for fact in facts}
        texts = sorted(set(self.text.values()))
        place = {text: number for number, text in enumerate(texts)}
        self.vectors = embed.encode_cached(texts)  # (texts, 384)
        self.place = {fact.id: place[self.text[fact.id]] for fact in facts}
        self.of: dict[str, list[Fact]] = {}
        for fact in facts:
            self.of.setdefault(fact.subject, []).append(fact)


_FACTS: WeakKeyDictionary[Graph, _Facts] = WeakKeyDictionary()


def facts_of(graph: Graph) -> _Facts:
    if graph not in _FACTS:
        _FACTS[graph] = _Facts(graph)
    return _FACTS[graph]


def available() -> bool:
    return entail.available()


@dataclass(frozen=True)
class Asked:
    """A sentence, what "it" is, and the facts that the rules decided by."""

    sentence: str
    topic: str | None = None
    facts: tuple[Fact, ...] = ()


def judged_all(graph: Graph, asked: Sequence[Asked]) -> list[list[Opinion]]:
    """For each sentence the opinions on its candidates, the most telling first; none where no condition is named."""
    held = facts_of(graph)
    texts = [
        [(subject, shown(graph, one.sentence, subject, topic=one.topic)) for subject in _subjects(graph, one)]
        for one in asked
    ]
    flat = sorted({text for found in texts for _, text in found})
    if not flat:
        return [[] for _ in asked]
    vectors = dict(zip(flat, embed.encode(flat), strict=True))
    chosen = [_chosen(graph, held, one, found, vectors) for one, found in zip(asked, texts, strict=True)]
    pairs = [(held.text[fact.id], text) for found in chosen for fact, text in found]
    answers = iter(entail.opinions(pairs) if pairs else ())
    return [
        sorted(
            (_opinion(graph, one.sentence, fact, next(answers)) for fact, _ in found),
            key=lambda opinion: -max(opinion.entails, opinion.contradicts),
        )
        for one, found in zip(asked, chosen, strict=True)
    ]


def _opinion(graph: Graph, sentence: str, fact: Fact, row: np.ndarray) -> Opinion:
    return Opinion(fact, float(row[0]), float(row[1]), guarded(graph, sentence, fact))


def _subjects(graph: Graph, asked: Asked) -> list[str]:
    """The conditions that a sentence speaks of, in the order of their names; the topic where it names none."""
    named: dict[str, None] = {}
    for mention in link(graph, in_the_graphs_names(asked.sentence)):
        keys = {mention.id, *graph.roles.get(words(mention.text), ())}
        named |= dict.fromkeys(key for key in sorted(keys) if graph.node(key).kind == "Disease")
    return list(named) or ([asked.topic] if asked.topic else [])


def _chosen(
    graph: Graph, held: _Facts, asked: Asked, texts: Sequence[tuple[str, str]], vectors: dict[str, np.ndarray]
) -> list[tuple[Fact, str]]:
    """The facts of the rules, then the nearest."""
    own = [
        (fact, shown(graph, asked.sentence, fact.subject, topic=asked.topic))
        for fact in asked.facts[:CANDIDATES]
        if fact.id in held.text
    ]
    taken = {held.text[fact.id] for fact, _ in own}
    return own + [(fact, text) for fact, text in _nearest(held, texts, vectors) if held.text[fact.id] not in taken]


def _nearest(held: _Facts, texts: Sequence[tuple[str, str]], vectors: dict[str, np.ndarray]) -> list[tuple[Fact, str]]:
    """(fact, the sentence as it is shown beside it), at most `CANDIDATES`, each statement once."""
    scored: dict[str, tuple[float, Fact, str]] = {}
    for subject, text in texts:
        for fact in held.of.get(subject, ()):
            cosine = float(held.vectors[held.place[fact.id]] @ vectors[text])
            known = scored.get(held.text[fact.id])
            if known is None or cosine > known[0]:
                scored[held.text[fact.id]] = (cosine, fact, text)
    best = sorted(scored.values(), key=lambda item: (-item[0], item[1].id))[:CANDIDATES]
    return [(fact, text) for _, fact, text in best]


def weighed(claim: Claim, opinions: Sequence[Opinion], by: Bars, *, open_to_judge: bool) -> Claim:
    """What the rules said, after the judge was heard.

    What the rules decide must be borne out; what they leave open the judge decides, where it is a statement about a
    condition and not about this lesion (`open_to_judge`). A fact that contradicts never supports, and where one
    supports and another contradicts nothing is decided.
    """
    right = tuple(one.fact.id for one in opinions if one.backing >= by.supported)
    wrong = [one for one in opinions if one.objection >= by.contradicted and one.fact.id not in right]
    if claim.finding_codes or (claim.fact_ids and not opinions):
        return claim
    if claim.verdict == "supported":
        return _supported(claim, opinions, wrong, by) if claim.fact_ids else claim
    if claim.verdict == "contradicted":
        return _left_open(claim) if claim.fact_ids and max(one.backing for one in opinions) >= by.vetoed else claim
    if not open_to_judge or (right and wrong):
        return claim
    if right:
        return replace(claim, verdict="supported", fact_ids=right, note="")
    return _contradicted(claim, wrong) if wrong else claim


def _supported(claim: Claim, opinions: Sequence[Opinion], wrong: Sequence[Opinion], by: Bars) -> Claim:
    """A claim that the rules support. Of several facts none may be opposed; a single one must be agreed to, unless its
    sentence is a program's, which the rules read by its parts.
    """
    if wrong:
        return _contradicted(claim, wrong)
    own = [one for one in opinions if one.fact.id in claim.fact_ids]
    if any(one.agreement == AGAINST or one.objection > 1 - by.agreed for one in own):
        return _left_open(claim)
    told_by_parts = len(claim.fact_ids) > 1 or any(one.fact.relation in WORDED for one in own)
    return claim if told_by_parts or max(one.backing for one in opinions) >= by.agreed else _left_open(claim)


def _left_open(claim: Claim) -> Claim:
    return replace(claim, verdict="not_covered", fact_ids=(), note=DISPUTED)


def _contradicted(claim: Claim, wrong: Sequence[Opinion]) -> Claim:
    note = f"the graph: {wrong[0].fact.text}"
    return replace(claim, verdict="contradicted", fact_ids=tuple(one.fact.id for one in wrong), note=note)
