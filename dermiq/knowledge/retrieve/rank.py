"""How well each fact answers one question: named features with one weight each, and which questions want which facts.

The second part, `Taught`, compares what a question means with what a fact means by a learnt matrix and not by their
cosine: "Will it come back?" is near to "recurs" because questions like it were answered by facts like that. Knows
neither model nor page. Everything fitted lies in `dermiq/weights/retrieval`, whose README says how it was made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dermiq import places
from dermiq.knowledge.graph import Graph
from dermiq.shipped import checked, read_json
from dermiq.types import Fact, PatientContext

WEIGHTS = places.WEIGHTS / "retrieval"
SCAFFOLD = frozenset({"is_a", "coded_as", "risk_level"})
NEAR = {"own": 1.0, "object": 0.6, "below": 0.5, "above": 0.4}
"""How near a fact is to a further condition: its own, one that names it, a subtype's, an inherited one."""

FEATURES: Mapping[str, str] = {
    "words": "BM25, the best of the candidates 1",
    "many words": "BM25 itself",
    "meaning": "cosine of the bare sentence and the bare question",
    "nearest part": "the same of the part of the question that it stands out for, in deviations above the mean",
    "all parts": "the same, mean over the parts",
    "whole meaning": "cosine of the sentence and the question as they are written",
    "classified": "what share of the answer is of this relation, as the question sounds",
    "own": "of the leading condition",
    "below": "of a form of it",
    "above": "of what it is a form of",
    "names it": "of another condition, and names it",
    "second": "the nearest of these to any other condition that is spoken of",
    "far": "of no condition that is spoken of",
    "joins": "of one condition that is spoken of, and names another",
    "strays": "a look-alike that is none of those spoken of",
    "asked": "the question asks for this relation, by its words",
    "absent": "says what is not there, and that is asked for",
    "scaffold": "hierarchy, codes and risk levels, which nobody wants unasked",
    "told apart": "says how a look-alike differs, and not how often readers confused it",
    "worth": "what the fact is worth to the case (`case.Worth`)",
    "patient": "speaks of children, women or men: 1 where the patient is one, -1 where not",
    "long": "logarithm of the sentence's length, 0 at 80 characters",
    "number": "holds a digit",
    "siblings": "logarithm of how many facts its condition has of this relation",
    "sources": "logarithm of how many of these state the same",
}
SEMANTIC = frozenset({"meaning", "nearest part", "all parts", "whole meaning", "classified"})
"""Features that need the embedder."""

CHILD_AGE = 14  # years; below it a patient is a child
TYPICAL_LENGTH = 80  # characters
_CHILDREN = re.compile(
    r"\b(?:child|infant|bab(?:y|ies)|newborn|school|paediatric|adolescen|neonat|boys|girls|birth)", re.I
)
_WOMEN = re.compile(r"\b(?:wom[ae]n|pregnan|female)", re.I)
_DIGIT = re.compile(r"\d")
_MEN = re.compile(r"\b(?:men|man|male)\b", re.I)


@dataclass(frozen=True)
class Spoken:
    """A condition of the question or its differential."""

    near: Mapping[str, str]  # node id -> "own", "below" or "above" it
    name: re.Pattern[str]


@dataclass(frozen=True)
class Heard:
    """What a question asks for; the last is empty where there was no search by meaning."""

    asked: frozenset[str]  # relations that its words name
    negated: bool  # asks for what is not there
    classified: Mapping[str, float] = field(default_factory=dict)  # relation -> see `questions.relations`


@dataclass(frozen=True)
class Searched:
    """What the searches say of each candidate; the cosines are 0 without search by meaning."""

    words: np.ndarray  # (facts,)
    parts: np.ndarray  # (facts, parts) cosines of the bare sentences and of what the bare question falls into
    whole: np.ndarray  # (facts,) cosines of sentence and question as they are written


@dataclass(frozen=True)
class Told:
    """What is known of each candidate beside the question, (facts,) numbers each."""

    worth: np.ndarray
    siblings: np.ndarray  # how many facts its condition has of its relation
    sources: np.ndarray  # how many of these state the same


@dataclass(frozen=True)
class Ranker:
    """What was fitted, with or without search by meaning."""

    weights: np.ndarray  # (features,)
    relations: Mapping[str, float]  # relation -> what its facts start with


@dataclass(frozen=True)
class Taught:
    """Which questions want which facts, in the leading directions of the facts' vectors (`FactIndex.bare`).

    Likeness of question q and fact f: B(q - question) . (P B(f - fact) + r), with r the row of f's relation. Added is
    what the intents of the question, p, make of f's features x and of its relation: p . (V x + s), with s the column of
    the relation.
    """

    question: np.ndarray  # (384,) the mean of bare questions
    fact: np.ndarray  # (384,) the mean of the facts' vectors
    basis: np.ndarray  # B, (64, 384)
    pairs: np.ndarray  # P, (64, 64)
    relations: Mapping[str, np.ndarray]  # relation -> (64,)
    features: np.ndarray  # V, (16, features): what each feature counts for more or less under an intent
    starts: Mapping[str, np.ndarray]  # relation -> (16,) what its facts start with under each intent

    def asked(self, parts: np.ndarray) -> np.ndarray:
        """(parts, 384) embedded parts of a bare question -> (parts, 64)."""
        projected: np.ndarray = (parts - self.question) @ self.basis.T
        return projected

    def answering(self, vectors: np.ndarray, facts: Sequence[Fact]) -> np.ndarray:
        """(facts, 384) vectors of facts -> (facts, 64): what a question that wants them looks like."""
        own = np.array([self.relations[fact.relation] for fact in facts], dtype=np.float32)
        wanted: np.ndarray = (vectors - self.fact) @ self.basis.T @ self.pairs.T + own
        return wanted

    def intended(self, wants: np.ndarray, facts: Sequence[Fact], table: np.ndarray) -> np.ndarray:
        """(facts,): what the shares of the intents, (16,), say of facts with these features."""
        starts = np.array([self.starts[fact.relation] for fact in facts]).reshape(len(facts), len(wants))
        found: np.ndarray = table @ (wants @ self.features) + starts @ wants
        return found


@lru_cache(maxsize=2)
def ranker(*, semantic: bool) -> Ranker:
    held = read_json(WEIGHTS / "ranker.json")["meaning" if semantic else "words"]
    return Ranker(np.array([held["features"].get(name, 0.0) for name in FEATURES]), held["relations"])


@lru_cache(maxsize=1)
def taught() -> Taught:
    with np.load(checked(WEIGHTS / "taught.npz"), allow_pickle=False) as held:
        names = held["names"].tolist()
        return Taught(
            question=held["question"],
            fact=held["fact"],
            basis=held["basis"],
            pairs=held["pairs"],
            relations=dict(zip(names, held["relations"], strict=True)),
            features=held["features"],
            starts=dict(zip(names, held["starts"], strict=True)),
        )


def spoken_of(graph: Graph, condition: str) -> Spoken:
    """A class that only collects others has its members' facts."""
    near = {key: "above" for key in graph.ancestors(condition) if graph.node(key).tier > 0}
    is_group = not graph.facts(condition, "has_sign")
    for key in graph.family(condition):
        near[key] = "own" if is_group and graph.node(key).tier == 1 else "below"
    node = graph.node(condition)
    names = "|".join(re.escape(name) for name in (node.name, node.plural) if name)
    return Spoken({**near, condition: "own"}, re.compile(rf"\b(?:{names})\b", re.IGNORECASE))


def features(
    facts: Sequence[Fact],
    searched: Searched,
    told: Told,
    spoken: Sequence[Spoken],
    heard: Heard,
    patient: PatientContext | None = None,
) -> np.ndarray:
    """(facts, len(FEATURES)). `spoken`: the conditions that are spoken of, the leading one first."""
    first: Mapping[str, str] = spoken[0].near if spoken else {}
    rows = [
        (
            *_place(fact, first, spoken),
            fact.relation in heard.asked,
            heard.negated and fact.polarity == "absent",
            fact.relation in SCAFFOLD and fact.relation not in heard.asked,
            fact.relation == "look_alike" and fact.evidence_type != "reader study",
            _fits_patient(fact.text, patient),
            math.log(len(fact.text) / TYPICAL_LENGTH),
            _DIGIT.search(fact.text) is not None,
            heard.classified.get(fact.relation, 0.0),
        )
        for fact in facts
    ]
    names = (
        *("own", "below", "above", "names it", "second", "far", "joins", "strays"),
        *("asked", "absent", "scaffold", "told apart", "patient", "long", "number", "classified"),
    )
    above = _standard(searched.parts)
    columns = dict(zip(names, np.array(rows, dtype=float).reshape(len(facts), len(names)).T, strict=True))
    columns |= {
        "words": searched.words / (searched.words.max(initial=0.0) or 1.0),
        "many words": searched.words,
        "meaning": searched.parts[:, 0],
        "nearest part": above.max(axis=1),
        "all parts": above.mean(axis=1),
        "whole meaning": searched.whole,
        "worth": told.worth,
        "siblings": np.log(told.siblings),
        "sources": np.log(told.sources),
    }
    return np.column_stack([columns[name] for name in FEATURES])


def _place(fact: Fact, first: Mapping[str, str], spoken: Sequence[Spoken]) -> tuple[float, ...]:
    """How the fact stands to the conditions that are spoken of, in eight features."""
    where = first.get(fact.subject, "")
    joins = len(spoken) > 1 and _joins(fact, spoken)
    return (
        where == "own",
        where == "below",
        where == "above",
        not where and first.get(fact.object) == "own",
        max((_nearness(other.near, fact) for other in spoken[1:]), default=0.0),
        not any(fact.subject in other.near or fact.object in other.near for other in spoken),
        joins,
        len(spoken) > 1 and fact.relation == "look_alike" and not joins,
    )


def _fits_patient(text: str, patient: PatientContext | None) -> int:
    fits = 0
    if patient is not None and patient.age is not None and _CHILDREN.search(text):
        fits += 1 if patient.age < CHILD_AGE else -1
    if patient is not None and patient.sex in ("female", "male"):
        women, men = bool(_WOMEN.search(text)), bool(_MEN.search(text))
        fits += (women - men) if patient.sex == "female" else (men - women)
    return fits


def _standard(table: np.ndarray) -> np.ndarray:
    """(rows, columns): each column in standard deviations above its mean; 0 where it does not vary."""
    if not len(table):
        return table
    deviations = table.std(axis=0)
    standard: np.ndarray = (table - table.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    return standard


def scores(facts: Sequence[Fact], table: np.ndarray, likeness: np.ndarray | float, *, semantic: bool) -> np.ndarray:
    """(facts,) in (0, 1]: how likely each is part of the answer, against the likeliest. `likeness`: see `Taught`."""
    fitted = ranker(semantic=semantic)
    starts = np.array([fitted.relations[fact.relation] for fact in facts])
    logits = table @ fitted.weights + starts + likeness
    shares: np.ndarray = np.exp(logits - logits.max(initial=-np.inf))
    return shares


def _nearness(near: Mapping[str, str], fact: Fact) -> float:
    if fact.subject in near:
        return NEAR[near[fact.subject]]
    return NEAR["object"] if near.get(fact.object) == "own" else 0.0


def _joins(fact: Fact, spoken: Sequence[Spoken]) -> bool:
    """Whether a fact about one condition points to, or names, another one that is spoken of."""
    return any(
        other is not one
        and (
            (other.near.get(fact.object) in ("own", "below") and fact.object not in one.near)
            or other.name.search(fact.text) is not None
        )
        for one in spoken
        if fact.subject in one.near
        for other in spoken
    )
