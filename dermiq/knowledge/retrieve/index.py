"""The facts of one graph, ready to be ranked.

Made once for a graph, and kept as long as it is. Knows no question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary, ref

import numpy as np

from dermiq.knowledge.graph import CLASS_NODES, Graph
from dermiq.knowledge.language import embed, entail, questions
from dermiq.knowledge.language.lexical import BM25
from dermiq.knowledge.retrieve import faq, rank
from dermiq.types import Fact


class FactIndex:
    """The facts of one graph, by their words and by their meaning."""

    def __init__(self, graph: Graph) -> None:
        self._ref = ref(graph)  # indexes are kept only as long as their graphs
        self.facts = [fact for fact in graph.all_facts if _tellable(graph, fact)]
        self.at = {fact.id: number for number, fact in enumerate(self.facts)}
        self.words = BM25([_searched(graph, fact) for fact in self.facts])
        self.roots = {fact.id: _root(graph, fact) for fact in self.facts}

    @property
    def _graph(self) -> Graph:
        graph = self._ref()
        assert graph is not None
        return graph

    @cached_property
    def whole_sentences(self) -> np.ndarray:
        """(facts, 384), read from what ships or made on first use."""
        return embed.encode_cached([fact.text for fact in self.facts])

    @cached_property
    def bare_sentences(self) -> np.ndarray:
        """(facts, 384): as `whole_sentences`, without the names of their conditions."""
        return embed.encode_cached(_bare(self._graph, self.facts))

    @cached_property
    def vectors(self) -> np.ndarray:
        """(facts, 384): where questions that each answers are looked for."""
        return questions.placed("whole", self.whole_sentences)

    @cached_property
    def bare(self) -> np.ndarray:
        """(facts, 384): as `vectors`, for questions with "it" for what they are about."""
        return questions.placed("bare", self.bare_sentences)

    @cached_property
    def answering(self) -> np.ndarray:
        """(facts, 64): see `rank.Taught`."""
        return rank.taught().answering(self.bare, self.facts)

    def sentences(self) -> list[str]:
        """All whose vectors are asked for before any question is."""
        return [*(fact.text for fact in self.facts), *_bare(self._graph, self.facts)]


_INDEXES: WeakKeyDictionary[Graph, FactIndex] = WeakKeyDictionary()


def index_of(graph: Graph) -> FactIndex:
    if graph not in _INDEXES:
        _INDEXES[graph] = FactIndex(graph)
    return _INDEXES[graph]


def warm(graph: Graph) -> bool:
    """Do now what the first question would wait for. Says whether meaning is searched too."""
    index = index_of(graph)
    if embed.available():
        _ = index.vectors, index.answering
        questions.encode(["warm"])
        _ = faq.vectors(), faq.matcher()
        if entail.available():
            entail.opinions([("warm", "warm")])
        return True
    return False


def _tellable(graph: Graph, fact: Fact) -> bool:
    """Leave out the scaffolding, groups that only hold the hierarchy together, and what we counted ourselves.

    The page shows those ratios beside each measured finding; in a prompt they would crowd out everything else.
    """
    if fact.relation == "likelihood_ratio_for":
        return False
    if fact.relation != "is_a":
        return True
    return graph.node(fact.object).tier > 0 and fact.object != CLASS_NODES["akiec"]


def _root(graph: Graph, fact: Fact) -> str:
    """The most general feature above the object: five kinds of network are one theme."""
    if fact.object not in graph or graph.node(fact.object).kind == "Disease":
        return fact.object
    return (fact.object, *graph.ancestors(fact.object))[-1]


def _searched(graph: Graph, fact: Fact) -> str:
    """The sentence and the other names of what it speaks of."""
    names: list[str] = []
    for key in (fact.subject, fact.object):
        if key in graph:
            node = graph.node(key)
            names += [node.name, *node.synonyms[:4]]
    return " ".join((fact.text, *names))


def _bare(graph: Graph, facts: Sequence[Fact]) -> list[str]:
    """The sentences with "it" for the condition that they are about, so that they compare by what they say of it."""
    patterns: dict[str, re.Pattern[str]] = {}
    for key in {fact.subject for fact in facts}:
        node = graph.node(key)
        names = sorted({node.name, node.plural, *node.synonyms} - {""}, key=lambda name: (-len(name), name))
        named = "|".join(map(re.escape, names))
        patterns[key] = re.compile(rf"\b(?:an? |the )?(?:{named})(?:'s|s|es)?\b", re.IGNORECASE)
    return [patterns[fact.subject].sub("it", fact.text) for fact in facts]
