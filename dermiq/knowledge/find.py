"""A condition by what somebody types: names, synonyms, lay words, abbreviations, codes. Knows no page.

A name counts when it is known whole, in any spelling, number or order. Everything else is a question back: neither a
part of a name nor one that is spelled like it is taken for what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dermiq.errors import InputError
from dermiq.knowledge.graph import CLASS_NODES, ICD10, Graph, plain_code
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.spelling import alike
from dermiq.knowledge.language.text import words
from dermiq.knowledge.schema import Node
from dermiq.types import CLASSES, Fact

SUGGESTIONS = 8
CLOSE = 0.72  # how alike two spellings must be (shared letters) to be offered
LONG = 6  # letters of a word that may be spelled like a part of a name
SHARED = 4  # letters of a word that is enough to offer the names that begin with it
SHORT = 5  # letters up to which a word may be initials
SHOWN_HOLDERS = 4  # conditions that are offered in place of what they have


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
    without_card: tuple[str, ...] = ()  # meanings of the name of which the graph has no card
    is_code: bool = False  # the text is a code of a class of conditions, not of one
    is_wide: bool = False  # the text is a name that means several conditions


@dataclass(frozen=True)
class _Name:
    key: str  # compared words, a space between
    shown: str
    node: Node
    is_synonym: bool


_NAMES: WeakKeyDictionary[Graph, tuple[_Name, ...]] = WeakKeyDictionary()


def find(graph: Graph, typed: str) -> Found:
    """What was typed, by id, class code, code or whole name; for anything else what may be meant."""
    whole = _whole(graph, typed.strip())
    if whole is not None and whole.kind == "Disease":
        return Found(condition=whole)
    if whole is not None:
        facts = [f for key in graph.family(whole.id) for f in graph.facts_about(key) if f.relation != "is_a"]
        return Found(feature=whole, facts=tuple(facts))
    near = coded(graph, typed)
    if near:
        return Found(suggestions=tuple(Suggestion(node, node.name) for node in near[:SUGGESTIONS]), is_code=True)
    meant = next((graph.meanings[key] for key in _orders(typed) if key in graph.meanings), ())
    strangers = tuple(name.meaning for name in meant if not name.node)
    return Found(suggestions=tuple(suggest(graph, typed)), without_card=strangers, is_wide=bool(meant))


def _whole(graph: Graph, typed: str) -> Node | None:
    """The node of which this is an id, a class code, a code or a whole name."""
    if typed in graph:
        return graph.node(typed)
    if typed.lower() in CLASSES:
        return graph.node(CLASS_NODES[typed.lower()])
    by_code = graph.by_code(typed)
    if by_code is not None:
        return by_code
    if any(key in graph.meanings for key in _orders(typed)):
        return None
    known = (graph.find(" ".join(key)) for key in _orders(typed))
    return next((node for node in known if node is not None), None) or _joined(graph, typed)


def _orders(typed: str) -> Iterator[tuple[str, ...]]:
    """The compared words as they stand, and turned round where commas say so: "melanoma, nodular"."""
    yield words(typed)
    parts = [part for part in typed.split(",") if part.strip()]
    if len(parts) > 1:
        yield words(" ".join(reversed(parts)))
        yield words(" ".join((*parts[1:], parts[0])))


def _joined(graph: Graph, typed: str) -> Node | None:
    """The condition whose name has these letters, wherever it has hyphens and spaces: "kerato acanthoma"."""
    letters = "".join(words(typed))
    fits = {name.node.id: name.node for name in _names_of(graph) if name.key.replace(" ", "") == letters}
    return next(iter(fits.values())) if len(fits) == 1 and len(letters) >= LONG else None


def coded(graph: Graph, typed: str) -> tuple[Node, ...]:
    """Conditions that an ICD-10 code may mean that is wider than theirs, or that stand in the same category."""
    code = plain_code(typed)
    if not ICD10.fullmatch(code):
        return ()
    for start in (code, code[:3]):
        keys = dict.fromkeys(key for own, ids in sorted(graph.icd10.items()) if own.startswith(start) for key in ids)
        if keys:
            return tuple(sorted(map(graph.node, keys), key=lambda node: node.tier or 9))
    return ()


def suggest(graph: Graph, typed: str, *, limit: int = SUGGESTIONS) -> list[Suggestion]:
    """Conditions for what was typed so far, best first, each once; nothing for fewer than two letters."""
    key = " ".join(words(typed))
    if len(key) < 2:
        return []
    names = _names_of(graph)
    meant = [name.node for name in graph.meanings.get(words(typed), ()) if name.node]
    hits = [name for name in names if name.node.id in meant and not name.is_synonym]
    hits.sort(key=lambda name: meant.index(name.node.id))  # as the table has them: the usual one first
    hits += _initials(names, key)
    if not meant:
        hits += [name for _, name in sorted(_begun(names, key), key=lambda hit: hit[0])]
        mentioned = {mention.id for mention in link(graph, typed)}
        linked = [name for name in names if name.node.id in mentioned and not name.is_synonym]
        hits += linked
        hits += _near(names, key) if mentioned or not hits else []
        hits += _sharing(names, key) if not linked else []
    first: dict[str, Suggestion] = {}
    for hit in hits:
        first.setdefault(hit.node.id, Suggestion(hit.node, hit.shown))
    return list(first.values())[:limit]


def _initials(names: Iterable[_Name], key: str) -> list[_Name]:
    """Names whose first letters these are, full tiers first: "dh" for dermatitis herpetiformis."""
    if " " in key or len(key) > SHORT:
        return []
    fits = [name for name in names if " " in name.key and "".join(word[0] for word in name.key.split()) == key]
    return sorted(fits, key=lambda name: (name.is_synonym, name.node.tier or 9, name.key))


def _near(names: Iterable[_Name], key: str) -> list[_Name]:
    """Names spelled like what was typed, then names with a word that is spelled like a long word of it."""
    names = list(names)
    near = alike(key, sorted({name.key for name in names}), most=SUGGESTIONS, cutoff=CLOSE)
    hits = [name for spelled in near for name in names if name.key == spelled]
    vocabulary = sorted({word for name in names for word in name.key.split() if len(word) >= LONG})
    for word in (word for word in key.split() if len(word) >= LONG):
        for spelled in alike(word, vocabulary, most=3, cutoff=CLOSE + 0.1):
            hits += [name for name in names if spelled in name.key.split()]
    return hits


def _sharing(names: Iterable[_Name], key: str) -> list[_Name]:
    """Names that begin with a word of what was typed: "herpes labialis" may be herpes simplex."""
    asked = [word for word in key.split() if len(word) >= SHARED]
    fits = [(asked.index(first), name) for name in names if (first := name.key.split()[0]) in asked]
    return [name for _, name in sorted(fits, key=lambda fit: (fit[0], fit[1].is_synonym, fit[1].node.tier or 9))]


def _begun(names: Iterable[_Name], key: str) -> Iterable[tuple[tuple[int, int, int, str], _Name]]:
    """Names in which a word begins like this, each with its rank: the whole name, its beginning, full tiers first."""
    for name in names:
        if f" {key}" in f" {name.key}":
            place = 0 if name.key == key else 1 + (not name.key.startswith(key)) + 2 * name.is_synonym
            tier = name.node.tier or 9  # what only holds the hierarchy together comes last
            yield (place, tier, len(name.key), name.key), name


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


# --- asking back --------------------------------------------------------------------------


def condition(graph: Graph, typed: str) -> Node:
    """The condition of this name, id or code; InputError, with what may be meant, where it is not known whole."""
    found = find(graph, typed)
    if found.condition is None:
        raise InputError(asked_back(graph, typed, found))
    return found.condition


def offered(graph: Graph, found: Found) -> tuple[Node, ...]:
    """The conditions to choose from; for a sign or a treatment those of which it is stated, full tiers first."""
    if found.feature is None:
        return tuple(hit.node for hit in found.suggestions)
    ends = dict.fromkeys(key for fact in found.facts for key in (fact.subject, fact.object) if key in graph)
    holders = [graph.node(key) for key in ends if graph.node(key).kind == "Disease"]
    return tuple(sorted(holders, key=lambda node: node.tier or 9))[:SHOWN_HOLDERS]


def asked_back(graph: Graph, typed: str, found: Found) -> str:
    """Why the text means no condition by itself, and what may be meant, in two or three sentences."""
    choices = ", ".join(node.name for node in offered(graph, found))
    if found.feature is not None:
        said = f"{typed!r} is no condition but a {kind_of(found.feature)} ({found.feature.name})."
        return said + (f" The graph states it of {choices} and others." if choices else "")
    if found.is_code:
        return f"No condition has the code {typed!r} alone. Near it: {choices}."
    said = f"{typed!r} can mean several conditions." if found.is_wide else f"The graph knows no condition {typed!r}."
    if found.without_card:
        said = f"{typed!r} may mean {' or '.join(found.without_card)}, of which the graph has no card."
    return said + (f" Did you mean {choices}?" if choices else "")


def kind_of(node: Node) -> str:
    """'DermoscopicFeature' -> 'dermoscopic feature'."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", node.kind).lower()
