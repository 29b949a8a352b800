"""What the learned judge says of sentences beside the facts that come nearest, each answer behind the guards.

    judged_all(graph, [Asked("Rodent ulcers never spread.")])     # a list of `Opinion` for each sentence

Candidates are few (`CANDIDATES`): facts of the conditions that the sentence names, or of the topic where it names none,
that share most of its words. One batch through the network judges all sentences of a text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from weakref import WeakKeyDictionary, ref

import numpy as np

from dermiq.knowledge.check.guards import AGAINST, AGREES, BEYOND, Agreement, guarded, is_possible
from dermiq.knowledge.check.shown import IT, shown
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import entail
from dermiq.knowledge.language.cues import triggers
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import turns
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import words
from dermiq.knowledge.language.wording import in_the_graphs_names
from dermiq.types import Claim, Fact

CANDIDATES = 2  # facts that are read beside each sentence, those of the rules not counted
UNTOLD = frozenset({"coded_as", "likelihood_ratio_for"})  # codes and counts are compared, not read
DISPUTED = "facts of the graph do not bear this out"


@dataclass(frozen=True)
class Bars:
    """Probabilities from which on the judge is believed. They ship with its weights, set on the part `dev` of the
    judged sets, where a wrong verdict costs as much as several right ones (`python -m train.embedded.judge --bars`).
    """

    supported: float  # that a fact entails a sentence which the rules leave open: it is supported
    agreed: float  # that some fact entails what the rules support; below it, it is left open
    doubted: float  # that the fact by which the rules support one contradicts it: it is left open
    vetoed: float  # that a fact entails what the rules call contradicted: it is left open
    contradicted: float  # that a fact contradicts a sentence which the rules leave open: it is contradicted
    same: float  # that a fact speaks of the same, where a guard finds another number, site or order: it is contradicted


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
    def denial(self) -> float:
        """The probability that both speak of the same thing, where a guard says that they say otherwise of it."""
        return self.entails + self.contradicts if self.agreement == AGAINST else 0.0


class _Facts:
    """The facts of a graph by their subject, as the judge reads them, and what their words weigh."""

    def __init__(self, graph: Graph) -> None:
        self._ref = ref(graph)  # kept only as long as its graph
        facts = [fact for fact in graph.all_facts if fact.relation not in UNTOLD]
        seen = Counter(stem for fact in facts for stem in stems(fact.text))
        self.weight = {stem: math.log(len(facts) / count) for stem, count in seen.items()}
        self.weight |= dict.fromkeys(stems(IT), 0.0)  # which stands for every name
        self.of: dict[str, list[Fact]] = {}
        for fact in facts:
            self.of.setdefault(fact.subject, []).append(fact)
        self._read: dict[str, tuple[str, frozenset[str]]] = {}

    def text(self, fact: Fact) -> str:
        return self._as_read(fact)[0]

    def _as_read(self, fact: Fact) -> tuple[str, frozenset[str]]:
        """The sentence and its stems, read when it is first needed."""
        if fact.id not in self._read:
            graph = self._ref()
            assert graph is not None
            text = shown(graph, fact.text, fact.subject)
            self._read[fact.id] = (text, stems(text))
        return self._read[fact.id]

    def likeness(self, said: frozenset[str], fact: Fact) -> float:
        """What the words weigh that both have, against all words of the fact: rare ones say more."""
        told = self._as_read(fact)[1]
        shared, whole = (sum(self.weight.get(stem, 0.0) for stem in found) for found in (said & told, told))
        return shared / math.sqrt(whole or 1.0)


def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT)


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
    """For each sentence the opinions on its candidates, the most telling first. None where it is about no condition, or
    repeats a fact of the rules.
    """
    held = facts_of(graph)
    chosen = [_chosen(graph, held, one) for one in asked]
    pairs = [(held.text(fact), text) for found in chosen for fact, text in found]
    answers = iter(entail.opinions(pairs) if pairs else ())
    return [
        sorted(
            (_opinion(graph, one, fact, next(answers)) for fact, _ in found),
            key=lambda opinion: -max(opinion.entails, opinion.contradicts),
        )
        for one, found in zip(asked, chosen, strict=True)
    ]


def _opinion(graph: Graph, asked: Asked, fact: Fact, row: np.ndarray) -> Opinion:
    said = asked.sentence
    denied = turns(said) > 1 or bool(triggers(said)) != bool(triggers(fact.text))
    unsure = denied and fact not in asked.facts  # how the rules' own facts are denied, the rules have read
    against = 0.0 if is_possible(said, fact.text) else float(row[1])
    return Opinion(fact, float(row[0]), against, BEYOND if unsure else guarded(graph, said, fact))


def _subjects(graph: Graph, asked: Asked) -> list[str]:
    """The conditions that a sentence speaks of, in the order of their names; the topic where it names none."""
    named: dict[str, None] = {}
    for mention in link(graph, in_the_graphs_names(asked.sentence)):
        keys = {mention.id, *graph.roles.get(words(mention.text), ())}
        named |= dict.fromkeys(key for key in sorted(keys) if graph.node(key).kind == "Disease")
    return list(named) or ([asked.topic] if asked.topic else [])


def _chosen(graph: Graph, held: _Facts, asked: Asked) -> list[tuple[Fact, str]]:
    """The facts of the rules, then the nearest; none beside a fact that the sentence repeats word for word."""
    said = words(asked.sentence)
    if any(said == words(fact.text) for fact in asked.facts):
        return []
    texts = [(subject, shown(graph, asked.sentence, subject, topic=asked.topic)) for subject in _subjects(graph, asked)]
    own = [
        (fact, shown(graph, asked.sentence, fact.subject, topic=asked.topic))
        for fact in asked.facts[:CANDIDATES]
        if fact.relation not in UNTOLD
    ]
    taken = {held.text(fact) for fact, _ in own}
    return own + [(fact, text) for fact, text in _nearest(held, texts) if held.text(fact) not in taken]


def _nearest(held: _Facts, texts: Sequence[tuple[str, str]]) -> list[tuple[Fact, str]]:
    """(fact, the sentence as it is shown beside it), at most `CANDIDATES`, each statement once."""
    scored: dict[str, tuple[float, Fact, str]] = {}
    for subject, text in texts:
        said = stems(text)
        for fact in held.of.get(subject, ()):
            likeness = held.likeness(said, fact)
            known = scored.get(held.text(fact))
            if known is None or likeness > known[0]:
                scored[held.text(fact)] = (likeness, fact, text)
    best = sorted(scored.values(), key=lambda item: (-item[0], item[1].id))[:CANDIDATES]
    return [(fact, text) for _, fact, text in best]


CERTAIN = 0.95  # a contradiction against which nothing is supported
HINT = 0.3  # of support, beside which neither a doubt nor a denial counts


def weighed(claim: Claim, opinions: Sequence[Opinion], by: Bars, *, open_to_judge: bool) -> Claim:
    """What the rules said, after judge and guards were heard.

    What the rules decide is left open where judge or guards speak against it. What is open is decided where it is a
    statement about a condition and not about this lesion (`open_to_judge`). A fact that contradicts never supports.
    """
    if claim.finding_codes or not opinions:
        return claim
    if claim.fact_ids and _is_doubted(claim, opinions, by):
        claim = replace(claim, verdict="not_covered", fact_ids=(), note=DISPUTED)
    if claim.verdict != "not_covered" or not open_to_judge:
        return claim
    backing = max(one.backing for one in opinions)
    right = tuple(one.fact.id for one in opinions if one.backing >= by.supported)
    denied = [one for one in opinions if one.denial >= by.same or one.contradicts >= by.contradicted]
    if right and not denied and all(one.contradicts < CERTAIN for one in opinions):
        return replace(claim, verdict="supported", fact_ids=right, note="")
    if denied and backing < HINT:
        note = f"the graph: {denied[0].fact.text}"
        return replace(claim, verdict="contradicted", fact_ids=tuple(one.fact.id for one in denied), note=note)
    return claim


def _is_doubted(claim: Claim, opinions: Sequence[Opinion], by: Bars) -> bool:
    """Whether judge or guards speak against what the rules decided."""
    backing = max(one.backing for one in opinions)
    if claim.verdict == "contradicted":
        return backing >= by.vetoed
    if backing < by.agreed:
        return True
    own = [one for one in opinions if one.fact.id in claim.fact_ids]
    if backing < by.supported and own and all(one.agreement != AGREES for one in own):
        return True
    contradicted = max((one.contradicts for one in own), default=0.0) >= by.doubted
    return len(claim.fact_ids) == 1 and contradicted and backing < HINT
