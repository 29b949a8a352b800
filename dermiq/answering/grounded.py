"""Does a text stand on what its writer was given: the facts it cites, the lines on the case, the question?

    heard = grounded(graph, Given(case, {5: fact}, question), text)
    [one.share for one in heard]                   # of each sentence: the probability that nothing in it is added

A sentence is taken apart behind its citations, and each part is held against the facts that it cites, one without a
citation against the case and what was cited before. What is compared is plain: words that nothing given has, numbers
and what stands around them, denials, names, nearness of meaning, and what the judge of sentences says
(`language.entail`). How these weigh was learned from answers written by hand and faulty ones
(`python -m train.embedded.grounding`); the weights are `grounded.json`. Knows no plan and no page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dermiq.knowledge import Graph, link
from dermiq.knowledge.check.judged import facts_of
from dermiq.knowledge.language import embed, entail
from dermiq.knowledge.language.citation import CITATION, numbers, tied, uncited
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import pattern, turns
from dermiq.knowledge.language.numbers import in_digits
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.types import Fact, Json

WEIGHTS = Path(__file__).with_name("grounded.json")
AROUND = 8  # words on either side of a number that are compared
STRONG = pattern("says how strongly")
"""Words that say how strongly something holds."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
NAMES = (
    "words",
    "cited",
    "unmatched_share",
    "unmatched_weight",
    "unmatched_heaviest",
    "beyond_fact_weight",
    "numbers",
    "numbers_beyond",
    "numbers_elsewhere",
    "denials",
    "strengths_beyond",
    "names_beyond",
    "near_cited",
    "near_other",
    "entails",
    "contradicts",
    "entails_other",
    "fact_covered",
    "echo",
)
"""What is compared, in the order of a row of numbers."""


@dataclass(frozen=True)
class Given:
    """What a writer was given for one answer."""

    case: str  # lines of `dermiq.answering.briefing`
    facts: Mapping[int, Fact]  # by the number that they are cited by
    question: str
    intent: str = "other"


@dataclass(frozen=True)
class Part:
    """Words of a sentence up to a citation, with it."""

    sentence: int
    text: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Heard:
    """A sentence, and the probability that all of it was given."""

    text: str
    share: float
    cites: tuple[int, ...]


def parts_of(text: str) -> tuple[list[str], list[Part]]:
    """The sentences, and their parts, each with the numbers behind it; what follows the last citation is one, too."""
    sentences = list(split_sentences(tied(text)))
    found: list[Part] = []
    for place, sentence in enumerate(sentences):
        start = 0
        for run in re.finditer(rf"(?:\s*{CITATION.pattern})+", sentence, re.IGNORECASE):
            cited = tuple(dict.fromkeys(n for one in CITATION.finditer(run.group()) for n in numbers(one.group())))
            found.append(Part(place, sentence[start : run.start()], cited))
            start = run.end()
        rest = sentence[start:]
        if words(rest) or start == 0:
            found.append(Part(place, rest, ()))
    return sentences, found


def grounded(graph: Graph, given: Given, text: str) -> tuple[Heard, ...]:
    """The sentences of a text; each is worth what its weakest part is worth."""
    sentences, parts = parts_of(text)
    if not parts:
        return ()
    shares = probabilities(rows(graph, given, parts))
    found = []
    for place, sentence in enumerate(sentences):
        own = [(part, share) for part, share in zip(parts, shares, strict=True) if part.sentence == place]
        cites = tuple(dict.fromkeys(n for part, _ in own for n in part.numbers))
        found.append(Heard(sentence, min(float(share) for _, share in own), cites))
    return tuple(found)


def probabilities(compared: np.ndarray) -> np.ndarray:
    """(n, features) -> (n,) probability that nothing is added: a logistic regression on features and their products."""
    held = weights()
    scaled = (compared - np.array(held["mean"])) / np.array(held["scale"])
    logits = expanded(scaled) @ np.array(held["weights"]) + held["bias"]
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return found


def expanded(scaled: np.ndarray) -> np.ndarray:
    """(n, f) -> (n, f + f (f + 1) / 2), bounded: the features and the products of every two."""
    bounded = np.clip(scaled, -3, 3)
    left, right = np.triu_indices(bounded.shape[1])
    return np.concatenate([bounded, bounded[:, left] * bounded[:, right]], axis=1)


@lru_cache(maxsize=1)
def weights() -> Json:
    found: Json = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return found


def rows(graph: Graph, given: Given, parts: Sequence[Part]) -> np.ndarray:
    """(n, features): what is compared for each part of a text, in the order of `NAMES`."""
    texts = [uncited(part.text).strip() or "-" for part in parts]
    facts = {number: fact.text for number, fact in given.facts.items()}
    keys = list(facts)
    vectors = embed.encode([*texts, *facts.values()])
    near = vectors[: len(texts)] @ vectors[len(texts) :].T if keys else np.zeros((len(texts), 0), np.float32)
    pairs = [(facts[key], text) for text in texts for key in keys]
    judged = entail.opinions(pairs).reshape(len(texts), len(keys), 3) if pairs else np.zeros((len(texts), 0, 3))
    weight = facts_of(graph).weight
    around = stems(f"{given.case}\n{given.question}")
    echoed = stems(given.question) - stems(given.case)
    found, before = [], frozenset[str]()
    for place, (part, text) in enumerate(zip(parts, texts, strict=True)):
        own = [facts[n] for n in part.numbers if n in facts]
        told = frozenset().union(*map(stems, own)) if own else frozenset()
        cited_in_sentence = {n for one in parts if one.sentence == part.sentence for n in one.numbers}
        beside = before.union(*(stems(facts[n]) for n in cited_in_sentence if n in facts))
        said = stems(text)
        source = told | around | beside
        beyond = said - source - manners()
        off_fact = said - told - manners() if own else frozenset()
        known = {word: weight.get(word, 3.0) for word in said}
        sources = " ".join(
            [*own, given.case, given.question, *(facts[n] for n in sorted(cited_in_sentence) if n in facts)]
        )
        values = _numbers(text)
        missing = [value for value in values if value not in _numbers(sources)]
        elsewhere = [_agreement(text, sources, value) for value in values if value not in missing]
        cited = [keys.index(n) for n in part.numbers if n in facts]
        other = [column for column in range(len(keys)) if column not in cited]
        strengths = {found.lower() for found in STRONG.findall(text)} - {f.lower() for f in STRONG.findall(sources)}
        names = _named(graph, text) - _named(graph, sources)
        found.append(
            [
                min(len(words(text)), 40) / 10,
                float(bool(part.numbers)) + float(any(n not in facts for n in part.numbers)),
                len(beyond) / max(1, len(said)),
                sum(known[word] for word in beyond) / 5,
                max((known[word] for word in beyond), default=0.0) / 5,
                sum(known[word] for word in off_fact) / max(1.0, sum(known.values())),
                float(len(values)),
                float(len(missing)),
                1 - min(elsewhere, default=1.0),
                abs(turns(text) - max((turns(one) for one in own), default=0)) if own else float(turns(text)) / 2,
                float(len(strengths)),
                float(len(names)),
                max((float(near[place, column]) for column in cited), default=0.0),
                max((float(near[place, column]) for column in other), default=0.0),
                max((float(judged[place, column, 0]) for column in cited), default=0.0),
                max((float(judged[place, column, 1]) for column in cited), default=0.0),
                max((float(judged[place, column, 0]) for column in other), default=0.0),
                len(said & told) / max(1, len(told)) if own else 0.0,
                len(said & echoed - told - beside) / max(1, len(said)),
            ]
        )
        before = before | beside
    return np.array(found, dtype=np.float64)


def manners() -> frozenset[str]:
    """Words by which an answer speaks and that add nothing, as the writers used them."""
    if not _MANNERS:
        use_manners(weights()["manners"])
    return _MANNERS[0]


def use_manners(found: Iterable[str]) -> None:
    _MANNERS[:] = [frozenset(found)]


_MANNERS: list[frozenset[str]] = []


@remembered(20_000)
def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT and not word.isdigit())


@remembered(4_096)
def _numbers(text: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(in_digits(uncited(text))))


@remembered(4_096)
def _named(graph: Graph, text: str) -> frozenset[str]:
    found = {mention.id for mention in link(graph, text) if graph.node(mention.id).kind == "Disease"}
    return frozenset(key for node in found for key in (node, *graph.ancestors(node)))


def _agreement(text: str, sources: str, value: str) -> float:
    """The share of the words around a number that stand around it in what was given, at its best place."""
    here = max((_near(text, place) for place in _places(text, value)), key=len, default=frozenset())
    if not here:
        return 1.0
    return max((len(here & _near(sources, place)) / len(here) for place in _places(sources, value)), default=0.0)


def _places(text: str, value: str) -> list[tuple[int, int]]:
    return [
        match.span() for match in re.finditer(rf"(?<![\d.]){re.escape(value)}(?![\d.]*\d)", in_digits(uncited(text)))
    ]


def _near(text: str, place: tuple[int, int]) -> frozenset[str]:
    line = in_digits(uncited(text))
    left = words(line[: place[0]])[-AROUND:]
    right = words(line[place[1] :])[: AROUND // 2]
    return frozenset(stem(word) for word in (*left, *right) if word not in FREQUENT and not word.isdigit())
