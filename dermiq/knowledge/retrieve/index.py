"""The facts of one graph, ready to be ranked, and what was learnt of how people ask for them.

Made once for a graph, and kept as long as it is. Knows no question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary, ref

import numpy as np

from dermiq.knowledge.graph import CLASS_NODES, Graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.language.lexical import BM25
from dermiq.knowledge.retrieve import rank
from dermiq.knowledge.retrieve.intents import IN_SCOPE, IntentClassifier, is_out, phrasings, said_of
from dermiq.types import Fact


class FactIndex:
    """The facts of one graph, and the classifiers of questions."""

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
    def vectors(self) -> np.ndarray:
        """(facts, 384), read from the cache or made on first use."""
        return embed.encode_cached([fact.text for fact in self.facts])

    @cached_property
    def bare(self) -> np.ndarray:
        """(facts, 384): as `vectors`, of the sentences without the names of their conditions."""
        return embed.encode_cached(_bare(self._graph, self.facts))

    @cached_property
    def answering(self) -> np.ndarray:
        """(facts, 64): see `rank.Taught`."""
        return rank.taught().answering(self.bare, self.facts)

    @cached_property
    def relations(self) -> IntentClassifier:
        """Tells the relation that a question asks for."""
        pairs = said_of("relation")
        return _fitted(pairs, kernel=False)

    @cached_property
    def intents(self) -> IntentClassifier:
        """Tells what a question wants, of those that are about the skin."""
        pairs = [(key, text) for key, text in said_of("intent") if not is_out(key)]
        return _fitted(pairs, kernel=True)

    @cached_property
    def scopes(self) -> IntentClassifier:
        """Tells questions about the skin, and the names of its conditions, from the kinds of all others."""
        pairs = [(key if is_out(key) else IN_SCOPE, text) for key, text in said_of("intent")]
        pairs += [(IN_SCOPE, text) for said in phrasings().values() for text in said]
        pairs += [(IN_SCOPE, node.name) for node in self._graph.nodes if node.kind == "Disease" and node.tier > 0]
        return _fitted(pairs, kernel=True)


    def sentences(self) -> list[str]:
        """All whose vectors are asked for before any question is."""
        said = [text for key in ("relation", "intent") for _, text in said_of(key)]
        names = [node.name for node in self._graph.nodes if node.kind == "Disease" and node.tier > 0]
        return [*(fact.text for fact in self.facts), *_bare(self._graph, self.facts), *said, *names]


def _fitted(pairs: Sequence[tuple[str, str]], *, kernel: bool) -> IntentClassifier:
    vectors = embed.encode_cached([text for _, text in pairs])
    return IntentClassifier(vectors, [label for label, _ in pairs], kernel=kernel)


_INDEXES: WeakKeyDictionary[Graph, FactIndex] = WeakKeyDictionary()


def index_of(graph: Graph) -> FactIndex:
    if graph not in _INDEXES:
        _INDEXES[graph] = FactIndex(graph)
    return _INDEXES[graph]


def warm(graph: Graph) -> bool:
    """Do now what the first question would wait for. Says whether meaning is searched too."""
    index = index_of(graph)
    if embed.available():
        _ = index.vectors, index.answering, index.relations, index.intents, index.scopes
        embed.encode(["warm"])
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
