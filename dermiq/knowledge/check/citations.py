"""Does a sentence cite the facts that support it? Where it does not and one numbered fact does, that one is named.

    claim = cites(graph, claim, evidence)
    claim.verdict, claim.miscited, claim.mended       # "wrong_citation", (1,), (3,)

Knows the graph and the numbers that were given, judges no truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dermiq.knowledge.graph import FEATURES, Graph
from dermiq.knowledge.language.citation import cited, uncited
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import turns
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.plain import plainly
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import words
from dermiq.knowledge.language.wording import in_the_graphs_names
from dermiq.types import Claim, Evidence, Fact

Numbered = Mapping[int, Fact]


def cites(graph: Graph, claim: Claim, evidence: Evidence | None) -> Claim:
    """The claim with the numbers that it cites wrongly, and those that are right instead, as far as they are known.

    A supported one with a wrong number is a "wrong_citation"; what is not supported has no number that were right.
    Without `evidence` nothing was numbered, and nothing is judged.
    """
    numbers = cited(claim.text) if evidence is not None else ()
    if evidence is None or not numbers:
        return claim
    given = {item.number: item.fact for item in evidence.items}
    wrong = tuple(number for number in numbers if not _may_stand(graph, claim, given.get(number)))
    if not wrong:
        return claim
    right = tuple(number for number in numbers if number not in wrong)
    supported = bool(claim.fact_ids) and claim.verdict in ("supported", "another_condition")
    mended = (right or _only_fit(graph, claim, given)) if supported else ()
    verdict = "wrong_citation" if claim.verdict == "supported" else claim.verdict
    note = "; ".join(filter(None, (claim.note, _said(wrong, mended, given))))
    return replace(claim, verdict=verdict, miscited=wrong, mended=mended, note=note)


def _said(wrong: tuple[int, ...], mended: tuple[int, ...], given: Numbered) -> str:
    """'it cites fact 1, which says something else; fact 3 says this'"""
    lacking = [number for number in wrong if number not in given]
    other = [number for number in wrong if number in given]
    told = [f"it cites {_listed(other)}, which says something else" if len(other) == 1 else ""]
    told += [f"it cites {_listed(other)}, which say something else" if len(other) > 1 else ""]
    told += [f"it cites {_listed(lacking)}, which {'was' if len(lacking) == 1 else 'were'} not given" if lacking else ""]
    told += [f"{_listed(mended)} {'says' if len(mended) == 1 else 'say'} this" if mended else ""]
    return "; ".join(filter(None, told))


def _listed(numbers: tuple[int, ...] | list[int]) -> str:
    return ("fact " if len(numbers) == 1 else "facts ") + " and ".join(map(str, numbers))


def _may_stand(graph: Graph, claim: Claim, fact: Fact | None) -> bool:
    """Whether a number may stand behind the sentence: it supports it or, where that is unknown, speaks of the same."""
    if fact is None:
        return False
    if claim.fact_ids and claim.verdict in ("supported", "another_condition"):
        return any(_fits(graph, claim, fact))
    return _speaks_of(graph, claim.text, fact) or any(_fits(graph, claim, fact))


def _only_fit(graph: Graph, claim: Claim, given: Numbered) -> tuple[int, ...]:
    """The number of the one fact that supports the sentence, its last where it has several; () where two facts do.

    What says exactly this comes before what says it of a kind or in fewer words.
    """
    fits = {number: list(_fits(graph, claim, fact)) for number, fact in given.items()}
    for way in range(WAYS):
        found = {_statement(given[number]): number for number in sorted(fits) if fits[number][way]}
        if found:
            return tuple(found.values()) if len(found) == 1 else ()
    return ()


WAYS = 4


def _fits(graph: Graph, claim: Claim, fact: Fact) -> Iterator[bool]:
    """In which of four ways a fact supports what the claim's own facts do: word for word, the same statement, the same
    of a kind, the same words.
    """
    own = [graph.fact(key) for key in claim.fact_ids]
    line = " ".join(words(uncited(claim.text)))
    yield f" {' '.join(words(fact.text))} " in f" {line} "
    yield any(_statement(fact) == _statement(one) for one in own)
    yield any(_is_kin(graph, fact, one) for one in own)
    yield _in_words_of(graph, claim.text, fact)


def _statement(fact: Fact) -> tuple[str, ...]:
    """Two facts that say the same, whoever says it; being confused goes both ways, a text that no graph has is itself."""
    if fact.relation == "look_alike":
        return (fact.relation, *sorted((fact.subject, fact.object)))
    named = (fact.subject, fact.object) if fact.subject else ("", fact.text)
    return (*named, "feature" if fact.relation in FEATURES else fact.relation, fact.polarity)


def _is_kin(graph: Graph, fact: Fact, other: Fact) -> bool:
    """The same relation between a kind of the one's condition and a kind of its object."""
    if _statement(fact)[2:] != _statement(other)[2:] or fact.relation == "look_alike":
        return False
    pairs = ((fact.subject, other.subject), (fact.object, other.object))
    return all(one == two or (_in(graph, one, two)) for one, two in pairs)


def _in(graph: Graph, one: str, two: str) -> bool:
    return one in graph and two in graph and (one in graph.family(two) or two in graph.family(one))


def _in_words_of(graph: Graph, text: str, fact: Fact) -> bool:
    """Whether every word of the sentence that says anything is the fact's, denied as often as there."""
    said = in_the_graphs_names(plainly(uncited(text)))
    own, told = _stems(said), _stems(fact.text) | _named(graph, fact)
    return len(own) > 1 and own <= told and turns(said) == turns(fact.text)


def _named(graph: Graph, fact: Fact) -> set[str]:
    nodes = [graph.node(key) for key in (fact.subject, fact.object) if key in graph]
    return {word for node in nodes for word in _stems(" ".join((node.name, *node.synonyms)))}


def _stems(text: str) -> set[str]:
    return {stem(word) for word in words(text) if word not in FREQUENT}


def _speaks_of(graph: Graph, text: str, fact: Fact) -> bool:
    """Whether the sentence names what the fact is about."""
    spoken_of = {key for mention in link(graph, text) for key in (*graph.family(mention.id), mention.id)}
    ends = {key for key in (fact.subject, fact.object) if key in graph}
    above = {key for end in ends for key in graph.ancestors(end)}
    return bool(spoken_of & (ends | above)) or len(_stems(text) & _stems(fact.text)) > 1
