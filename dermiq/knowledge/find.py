"""A condition by what somebody types: names, synonyms, lay words, abbreviations, slips of the pen. Knows no page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from weakref import WeakKeyDictionary

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.link import link
from dermiq.knowledge.schema import Node
from dermiq.knowledge.text import words
from dermiq.types import Fact

SUGGESTIONS = 8
CLOSE = 0.72  # how alike two spellings must be (difflib's ratio) to be offered


@dataclass(frozen=True)
class Suggestion:
    """A condition, and the name of it that fits what was typed."""

    node: Node
    name: str


@dataclass(frozen=True)
class Found:
    """What a typed text means: a condition; or else something that conditions have; or else what may be meant."""

    condition: Node | None = None
    feature: Node | None = None  # a sign, a site, a treatment ...
    facts: tuple[Fact, ...] = ()  # that name the feature
    suggestions: tuple[Suggestion, ...] = ()


@dataclass(frozen=True)
class _Name:
    key: str  # compared words, a space between
    shown: str
    node: Node
    is_synonym: bool


_NAMES: WeakKeyDictionary[Graph, tuple[_Name, ...]] = WeakKeyDictionary()


def find(graph: Graph, typed: str) -> Found:
    """The condition that was typed, by id, by whole name, by linking, or because only one begins like this."""
    whole = graph.node(typed) if typed in graph else graph.find(typed)
    if whole is not None and whole.kind == "Disease":
        return Found(condition=whole)
    named = [graph.node(mention.id) for mention in link(graph, typed)]
    for node in named:
        if node.kind == "Disease":
            return Found(condition=node)
    if named:
        facts = [f for key in graph.family(named[0].id) for f in graph.facts_about(key) if f.relation != "is_a"]
        return Found(feature=named[0], facts=tuple(facts))
    meant = tuple(suggest(graph, typed))
    if len(meant) == 1 and _begins(" ".join(words(typed)), " ".join(words(meant[0].name))):
        return Found(condition=meant[0].node)
    return Found(suggestions=meant)


def suggest(graph: Graph, typed: str, *, limit: int = SUGGESTIONS) -> list[Suggestion]:
    """Conditions for what was typed so far, best first, each once; nothing for fewer than two letters."""
    key = " ".join(words(typed))
    if len(key) < 2:
        return []
    names = _names_of(graph)
    hits = [name for _, name in sorted(_begun(names, key), key=lambda hit: hit[0])]
    linked = {mention.id for mention in link(graph, typed)}
    hits += [name for name in names if name.node.id in linked and not name.is_synonym]
    if not hits:
        near = get_close_matches(key, [name.key for name in names], n=limit, cutoff=CLOSE)
        hits = [name for spelled in near for name in names if name.key == spelled]
    first: dict[str, Suggestion] = {}
    for hit in hits:
        first.setdefault(hit.node.id, Suggestion(hit.node, hit.shown))
    return list(first.values())[:limit]


def _begun(names: Iterable[_Name], key: str) -> Iterable[tuple[tuple[int, int, int, str], _Name]]:
    """Names in which a word begins like this, each with its rank: the whole name, its beginning, full tiers first."""
    for name in names:
        if _begins(key, name.key):
            place = 0 if name.key == key else 1 + (not name.key.startswith(key)) + 2 * name.is_synonym
            tier = name.node.tier or 9  # what only holds the hierarchy together comes last
            yield (place, tier, len(name.key), name.key), name


def _begins(key: str, name: str) -> bool:
    return f" {name}".find(f" {key}") >= 0


def _names_of(graph: Graph) -> tuple[_Name, ...]:
    """The names and synonyms of every condition, compared words ready; made once a graph."""
    if graph not in _NAMES:
        _NAMES[graph] = tuple(
            _Name(" ".join(words(shown)), shown, node, place > 0)
            for node in graph.nodes
            if node.kind == "Disease"
            for place, shown in enumerate((node.name, *node.synonyms))
        )
    return _NAMES[graph]
