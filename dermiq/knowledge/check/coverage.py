"""Which words of a sentence its deciding facts do not account for: what it says beyond them. Knows no verdicts.

A sentence names a condition and a sign that the graph ties together, and goes on: "... and is caused by a worm". The
names fit, the rest is said by nobody. Words of the facts, of the names and of plain prose are accounted for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from weakref import WeakKeyDictionary

from dermiq.knowledge.check.predicates import without_predicates
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.lexical import FREQUENT, PROSE
from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import Token, normal, tokens, word_set, words
from dermiq.types import Fact

RELATIONS, SUBJECTS = 6, 10  # from how many on the graph uses a word everywhere, so that it tells facts not apart
CLAIMS = word_set(
    "liver kidney lung heart brain spleen bowel gut stomach intestine bone blood muscle nerve bladder womb uterus "
    "ovary prostate pancreas thyroid gland tooth tongue throat eye joint spine skull lymph node organ artery vein "
    "infected infection virus bacterium bacteria bacterial fungus fungal yeast mite worm parasite germ gene "
    "mutation hormone poison toxin vitamin diet food sugar allergy autoimmune leukemia lymphoma deadly fatal kill "
    "die death lethal contagious infectious mother father baby newborn infant child adult elderly pregnant morning "
    "noon evening night summer winter spring autumn left right upper lower inner outer painful painless fever "
    "severe mild acute chronic permanent lifelong instant rapid slow dangerous harmless safe unsafe overnight small "
    "large big tiny huge giant thick thin hard soft rough flat raised hot cold red pink blue black white yellow "
    "green purple brown gray orange hairy hairless wet dry weekly daily hourly combine combined combination alone"
)
"""Words that always claim something: one that the facts do not say is too much."""
_TAIL = re.compile(
    r"\b(?:into|inside|by|of)\s+(?:(?:the|an?|his|her|its|their|cutaneous|skin)\s+)*([^\W\d_]+)", re.IGNORECASE
)
_IDIOMS = re.compile(r"\b(?:by mouth|out of the blue|of choice|work-?up|by far|of course)\b", re.IGNORECASE)
CLAUSES = word_set("when because since after before during until meaning although though")
"""Words that begin a clause of its own, which must say something known."""
LIMIT = 4  # words from which on a sentence says more than its facts
LIMIT_KNOWN = 3  # the same of words that the graph uses elsewhere: they rarely are mere wording
_PARTS = re.compile(
    r"([,;:()]|\b(?:and|or|but|which|that|who|where|when|because|since|after|before|during|until|meaning|although|though)\b)",
    re.IGNORECASE,
)
_GENERIC: WeakKeyDictionary[Graph, frozenset[str]] = WeakKeyDictionary()
_VOCABULARY: WeakKeyDictionary[Graph, frozenset[str]] = WeakKeyDictionary()


def says_beyond(graph: Graph, sentence: str, facts: Iterable[Fact]) -> str:
    """What the sentence says beyond the facts, as written: many words, or a whole part of it; "" where nothing.

    A word that the graph never uses may be wording ("settles", "calling card"), so alone it is let pass.
    """
    known, kinds = set(_generic(graph)), set()
    for fact in facts:
        known |= _stems(fact.text)
        for key in (fact.subject, fact.object):
            if key in graph:
                node = graph.node(key)
                kinds.add(node.kind)
                known |= _stems(
                    " ".join(name for name in (node.name, *node.synonyms) if not pattern("named less").match(name))
                )
    plain = _IDIOMS.sub(" ", re.sub(r"\[F\d+\]", " ", sentence))
    for kind in kinds:
        plain = without_predicates(kind, plain)
    heavy = [token for token in tokens(plain) if token.word in CLAIMS and stem(token.word) not in known]
    heavy += [token for token in _tails(plain) if stem(token.word) not in known and token.word not in FREQUENT]
    if heavy:
        return _written(heavy)
    vocabulary = _vocabulary(graph)
    left: list[Token] = []
    line = ["", *_PARTS.split(plain)]
    for joint, part in zip(line[::2], line[1::2], strict=True):
        counted = [token for token in tokens(part) if token.word not in FREQUENT and len(token.word) > 1]
        unknown = [token for token in counted if stem(token.word) not in known]
        plainly = (
            sum(stem(token.word) in _plain_words() for token in counted) if len(unknown) > 1 or joint in CLAUSES else 0
        )
        joined = joint.isalpha() or any(stem(token.word) in vocabulary for token in unknown)
        if unknown and joined and len(unknown) + plainly == len(counted):
            return _written(unknown)
        left += unknown
    elsewhere = [token for token in left if stem(token.word) in vocabulary]
    return _written(left) if len(left) >= LIMIT or len(elsewhere) >= LIMIT_KNOWN else ""


@lru_cache(maxsize=1)
def _plain_words() -> frozenset[str]:
    return frozenset(stem(normal(word)) for word in PROSE)


def _tails(text: str) -> list[Token]:
    """Words that "of", "by" or "into" hang on to what was said: "by prayer", "of the ferret"."""
    return [token for found in _TAIL.finditer(text) for token in tokens(found.group(1))]


def _written(line: Iterable[Token]) -> str:
    return " ".join(token.raw for token in line)


def _vocabulary(graph: Graph) -> frozenset[str]:
    """Stems of every word of the graph's facts and names."""
    if graph not in _VOCABULARY:
        texts = [fact.text for fact in graph.all_facts]
        texts += [" ".join((node.name, *node.synonyms)) for node in graph.nodes]
        _VOCABULARY[graph] = frozenset(word for text in texts for word in _stems(text))
    return _VOCABULARY[graph]


@remembered(20_000)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text))


def _generic(graph: Graph) -> frozenset[str]:
    """Stems of plain prose, and those that facts of most relations and many conditions share; no condition's name."""
    if graph not in _GENERIC:
        relations: dict[str, set[str]] = defaultdict(set)
        subjects: dict[str, set[str]] = defaultdict(set)
        for fact in graph.all_facts:
            for word in _stems(fact.text):
                relations[word].add(fact.relation)
                subjects[word].add(fact.subject)
        shared = {word for word in relations if len(relations[word]) >= RELATIONS and len(subjects[word]) >= SUBJECTS}
        named = {word for node in graph.nodes if node.kind == "Disease" for word in _stems(node.name)}
        _GENERIC[graph] = frozenset((shared - named) | _plain_words())
    return _GENERIC[graph]
