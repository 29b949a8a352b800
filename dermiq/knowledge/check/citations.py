"""Does a sentence cite the facts that support it? Where it does not and one numbered fact does, that one is named.

    claim = cites(graph, claim, evidence)
    claim.verdict, claim.miscited, claim.mended       # "wrong_citation", (1,), (3,)

Knows the graph and the numbers that were given, judges no truth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dermiq.knowledge.check.predicates import without_predicates
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.citation import cited, uncited
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import turns
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.plain import plainly
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import words
from dermiq.knowledge.language.wording import in_the_graphs_names
from dermiq.knowledge.retrieve.retrieve import statement
from dermiq.types import Claim, Evidence, Fact

Numbered = Mapping[int, Fact]
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|this|these)\b", re.IGNORECASE)


def cites(graph: Graph, claim: Claim, evidence: Evidence | None) -> Claim:
    """The claim with the numbers that it cites wrongly, and those that are right instead, as far as they are known.

    A supported one with a wrong number is a "wrong_citation"; what is not supported has no number that were right.
    Without `evidence` nothing was numbered, and nothing is judged.
    """
    numbers = cited(claim.text) if evidence is not None else ()
    if evidence is None or not numbers:
        return claim
    sentence, given = _Sentence.of(graph, claim), {item.number: item.fact for item in evidence.items}
    wrong = tuple(number for number in numbers if not _may_stand(sentence, given.get(number)))
    if not wrong:
        return claim
    right = tuple(number for number in numbers if number not in wrong)
    supported = bool(claim.fact_ids) and claim.verdict in ("supported", "another_condition")
    mended = (right or _only_fit(sentence, given)) if supported else ()
    verdict = "wrong_citation" if claim.verdict == "supported" else claim.verdict
    note = "; ".join(filter(None, (claim.note, _said(wrong, mended, given))))
    return replace(claim, verdict=verdict, miscited=wrong, mended=mended, note=note)


def _said(wrong: tuple[int, ...], mended: tuple[int, ...], given: Numbered) -> str:
    """'it cites fact 1, which says something else; fact 3 says this'"""
    lacking = [number for number in wrong if number not in given]
    other = [number for number in wrong if number in given]
    told = [f"it cites {_listed(other)}, which {_verb(other, 'says', 'say')} something else" if other else ""]
    told += [f"it cites {_listed(lacking)}, which {_verb(lacking, 'was', 'were')} not given" if lacking else ""]
    told += [f"{_listed(mended)} {_verb(mended, 'says', 'say')} this" if mended else ""]
    return "; ".join(filter(None, told))


def _verb(numbers: Sequence[int], one: str, several: str) -> str:
    return one if len(numbers) == 1 else several


def _listed(numbers: Sequence[int]) -> str:
    return ("fact " if len(numbers) == 1 else "facts ") + " and ".join(map(str, numbers))


def _may_stand(sentence: _Sentence, fact: Fact | None) -> bool:
    """Whether a number may stand behind the sentence: it decides it or, where nothing does, speaks of the same."""
    if fact is None:
        return False
    return any(fits(sentence, fact) for fits in WAYS) or (not sentence.facts and _speaks_of(sentence, fact))


def _only_fit(sentence: _Sentence, given: Numbered) -> tuple[int, ...]:
    """The number of the one fact that supports the sentence, its last where it has several; () where two facts do."""
    for fits in WAYS:
        found = {_statement(given[number]): number for number in sorted(given) if fits(sentence, given[number])}
        if found:
            return tuple(found.values()) if len(found) == 1 else ()
    return ()


# --- does a fact say what the sentence says? ------------------------------------------------


@dataclass(frozen=True)
class _Sentence:
    """What a claim says, without its citations and in the graph's names, and the facts that decide it."""

    graph: Graph
    text: str
    mentions: tuple[Mention, ...]
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, graph: Graph, claim: Claim) -> _Sentence:
        text = in_the_graphs_names(plainly(uncited(claim.text)))
        return cls(graph, text, tuple(link(graph, text)), tuple(graph.fact(key) for key in claim.fact_ids))


def _word_for_word(sentence: _Sentence, fact: Fact) -> bool:
    return f" {' '.join(words(fact.text))} " in f" {' '.join(words(sentence.text))} "


def _same_statement(sentence: _Sentence, fact: Fact) -> bool:
    return any(_statement(fact) == _statement(own) for own in sentence.facts)


def _of_a_kind(sentence: _Sentence, fact: Fact) -> bool:
    return any(_is_kin(sentence.graph, fact, own) for own in sentence.facts)


def _in_its_words(sentence: _Sentence, fact: Fact) -> bool:
    """Whether the sentence names a thing that the fact is about, by any name, and else says only words of the fact,
    denied as often as there.
    """
    graph, rest = sentence.graph, sentence.text
    named = [mention for mention in sentence.mentions if mention.id in (fact.subject, fact.object)]
    for mention in reversed(named):
        rest = rest[: mention.start] + " " + rest[mention.end :]
    for kind in {graph.node(key).kind for key in (fact.subject, fact.object) if key in graph}:
        rest = without_predicates(kind, rest)  # "is treated by": the fact says it by its relation
    left = _stems(rest)
    enough = len(left) + len({mention.id for mention in named}) > 1
    return enough and left <= _stems(fact.text) and turns(sentence.text) == turns(fact.text)


WAYS = (_word_for_word, _same_statement, _of_a_kind, _in_its_words)
"""How a fact can support the sentence, the plainest first."""


def _statement(fact: Fact) -> tuple[str, ...]:
    """What two facts that say the same share; a numbered text that the graph does not have says only itself."""
    return statement(fact) if fact.subject else (fact.text,)


def _is_kin(graph: Graph, fact: Fact, other: Fact) -> bool:
    """The same relation between a kind of the one's condition and a kind of its object."""
    if (fact.relation, fact.polarity) != (other.relation, other.polarity) or fact.relation == "look_alike":
        return False
    pairs = [(fact.subject, other.subject), (fact.object, other.object)]
    if fact.relation == "refer_if" and graph.numbers(fact.id).qualifier == graph.numbers(other.id).qualifier:
        del pairs[1]  # how urgently is what counts: the object is for which lesion
    return all(one == two or _in(graph, one, two) for one, two in pairs)


def _in(graph: Graph, one: str, two: str) -> bool:
    return one in graph and two in graph and (one in graph.family(two) or two in graph.family(one))


@remembered(20_000)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT)


def _speaks_of(sentence: _Sentence, fact: Fact) -> bool:
    """Whether the sentence names what the fact is about, or names nothing and says "it"."""
    graph = sentence.graph
    if not sentence.mentions and _PRONOUN.search(sentence.text):
        return True
    spoken_of = {key for mention in sentence.mentions for key in (*graph.family(mention.id), mention.id)}
    ends = {key for key in (fact.subject, fact.object) if key in graph}
    above = {key for end in ends for key in graph.ancestors(end)}
    return bool(spoken_of & (ends | above)) or len(_stems(sentence.text) & _stems(fact.text)) > 1
