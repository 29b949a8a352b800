"""What the learned judge says of sentences beside the facts that come nearest, each answer behind the guards.

    judged_all(graph, [Asked("Rodent ulcers never spread.")])     # a list of `Opinion` for each sentence

Candidates are few (`CANDIDATES`): facts of the conditions that the sentence names, or of the topic where it names none,
nearest in meaning. One batch through the network judges all sentences of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
UNTOLD = frozenset({"coded_as", "likelihood_ratio_for"})  # codes and counts are compared, not read
SUPPORTED = 0.9  # probability that a fact entails, from which on it supports; set on `dev`, see train.embedded.judge
CONTRADICTED = 0.9  # the same for a contradiction
DISPUTED = "facts of the graph point both ways"
DOUBTED = 0.5  # from here on a contradiction is enough to doubt what the rules support


@dataclass(frozen=True)
class Opinion:
    """Of one fact on one sentence: probabilities, and what the guards say."""

    fact: Fact
    entails: float
    contradicts: float
    agreement: Agreement

    @property
    def supports(self) -> bool:
        return self.agreement == AGREES and self.entails >= SUPPORTED

    @property
    def opposes(self) -> bool:
        """By the judge, or by a guard where the judge hears the same statement."""
        same = self.agreement == AGAINST and self.entails + self.contradicts >= SUPPORTED
        return same or self.contradicts >= CONTRADICTED


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


def weighed(claim: Claim, opinions: Sequence[Opinion], *, open_to_judge: bool) -> Claim:
    """What the rules said, after the judge was heard.

    What the rules support is doubted where a fact opposes it; what they leave open the judge decides, where it is a
    statement about a condition and not about this lesion (`open_to_judge`). A fact that contradicts never supports, and
    where one supports and another contradicts nothing is decided.
    """
    right = tuple(one.fact.id for one in opinions if one.supports)
    wrong = [one for one in opinions if one.opposes and one.fact.id not in right]
    if claim.verdict == "supported" and claim.fact_ids:
        doubts = [
            one for one in opinions if one.opposes or (one.fact.id in claim.fact_ids and one.contradicts > DOUBTED)
        ]
        if not doubts:
            return claim
        return (
            _contradicted(claim, wrong)
            if wrong and not right
            else replace(claim, verdict="not_covered", fact_ids=(), note=DISPUTED)
        )
    if claim.verdict == "contradicted":
        return (
            replace(claim, verdict="not_covered", fact_ids=(), note=DISPUTED)
            if right and not claim.finding_codes
            else claim
        )
    if not open_to_judge or (right and wrong):
        return claim
    if right:
        return replace(claim, verdict="supported", fact_ids=right, note="")
    return _contradicted(claim, wrong) if wrong else claim


def _contradicted(claim: Claim, wrong: Sequence[Opinion]) -> Claim:
    note = f"the graph: {wrong[0].fact.text}"
    return replace(claim, verdict="contradicted", fact_ids=tuple(one.fact.id for one in wrong), note=note)
