"""How well each fact answers one question: a few plain features, and one weight each. Knows neither model nor page.

The weights were fitted by logistic regression on the part `dev` of `tests/judged/questions.tsv`: does the fact belong
to the answer? With and without embeddings they differ, because the words then carry more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dermiq.knowledge.graph import Graph
from dermiq.types import Fact

SOUNDS_LIKE: Mapping[str, tuple[str, ...]] = {
    "treated_by": (
        "How is it treated?",
        "Which cream, tablet or procedure helps, and in what dose?",
        "Must it be removed, or can it be left alone?",
        "What can the patient do to keep it from coming back?",
        "What is first-line treatment, and what is an alternative?",
    ),
    "refer_if": (
        "Does this need a referral?",
        "How urgently must a specialist see this?",
        "Routine or two weeks?",
    ),
    "red_flag": (
        "What are the warning signs?",
        "Should I be worried about this sudden change?",
        "Which complications are dangerous?",
        "Can it turn into cancer or spread?",
    ),
    "look_alike": (
        "What else could it be?",
        "What is it confused with?",
        "How are the two told apart?",
    ),
    "diagnosed_by": (
        "Which test confirms the diagnosis?",
        "Is a biopsy, a scan, a swab or a blood test needed?",
        "How is it diagnosed?",
    ),
    "located_at": (
        "Where on the body does it occur?",
        "Which sites are typical?",
    ),
    "risk_factor": (
        "What causes it?",
        "Who gets it, and what triggers it?",
        "What raises the risk?",
        "Which other illnesses and drugs go with it?",
    ),
    "has_symptom": (
        "Does it itch, hurt or bleed?",
        "What does the patient feel?",
    ),
    "has_sign": (
        "What does it look like?",
        "Is it catching?",
        "How does it change over time, and does it go away by itself?",
        "Does it leave scars or marks?",
    ),
    "has_dermoscopic_feature": (
        "What does dermoscopy show?",
        "Which vessels, structures or colours are seen through the dermatoscope?",
    ),
    "behaves_as": ("Is it benign or malignant?", "Is it a cancer?"),
    "risk_level": ("How dangerous is it?",),
    "coded_as": ("Which ICD-10 or SNOMED code does it have?",),
    "is_a": ("What kind of disease is it?", "Is it a form of something else?"),
}
"""What questions about a relation sound like."""
PROTOTYPES = tuple(text for texts in SOUNDS_LIKE.values() for text in texts)

COUNTED = frozenset({"reader study", "derived statistic"})
SCAFFOLD = frozenset({"is_a", "coded_as", "risk_level"})
NEAR = {"own": 1.0, "object": 0.6, "below": 0.5, "above": 0.4}
"""How near a fact is to a further condition: its own, one that names it, a subtype's, an inherited one."""

NAMES = (
    "meaning",  # cosine of the sentence and the question with its conditions' names
    "part",  # cosine of the sentence and the part of the question that is nearest to it
    "words",  # BM25, the best of the candidates 1
    "own",  # of the leading condition
    "below",  # of a form of it
    "above",  # of what it is a form of
    "names it",  # of another condition, and names it
    "second",  # the nearest of these to any other condition that is spoken of
    "asked",  # the question asks for this relation, by its words
    "sounds",  # the question sounds like questions about this relation
    "counted",  # says no more than a number
    "scaffold",  # hierarchy, codes and risk levels, which nobody wants unasked
)
WITH_MEANING = (2.06, 4.33, 4.75, 2.86, 2.22, 1.77, 1.59, 2.13, 0.62, 5.99, -0.65, -2.69)
WITHOUT = (0.0, 0.0, 6.76, 3.22, 2.48, 2.36, 1.81, 2.49, 1.91, 0.0, -0.97, -3.12)
"""One weight a feature, with and without search by meaning."""


@dataclass(frozen=True)
class Searched:
    """What the searches say of each candidate, (facts,) numbers; 0 where there was no search by meaning."""

    meaning: np.ndarray
    part: np.ndarray
    words: np.ndarray


def standing(graph: Graph, condition: str) -> dict[str, str]:
    """Node id -> "own", "below" or "above" it. A class that only collects others has its members' facts."""
    near = {key: "above" for key in graph.ancestors(condition) if graph.node(key).tier > 0}
    is_group = not graph.facts(condition, "has_sign")
    for key in graph.family(condition):
        near[key] = "own" if is_group and graph.node(key).tier == 1 else "below"
    return {**near, condition: "own"}


def features(
    facts: Sequence[Fact],
    searched: Searched,
    near: Sequence[Mapping[str, str]],
    *,
    asked: frozenset[str],
    sounds: Mapping[str, float],
) -> np.ndarray:
    """(facts, len(NAMES)).

    `near`: the `standing` of each condition that is spoken of, the leading one first; `asked`: relations;
    `sounds`: relation -> how much the question sounds like it.
    """
    first: Mapping[str, str] = near[0] if near else {}
    table = np.zeros((len(facts), len(NAMES)))
    table[:, 0] = searched.meaning
    table[:, 1] = searched.part
    table[:, 2] = searched.words / (searched.words.max(initial=0.0) or 1.0)
    for place, fact in enumerate(facts):
        where = first.get(fact.subject, "")
        table[place, 3:] = (
            where == "own",
            where == "below",
            where == "above",
            not where and first.get(fact.object) == "own",
            max((_nearness(other, fact) for other in near[1:]), default=0.0),
            fact.relation in asked,
            sounds.get(fact.relation, 0.0),
            fact.evidence_type in COUNTED,
            fact.relation in SCAFFOLD and fact.relation not in asked,
        )
    return table


def scores(table: np.ndarray, *, semantic: bool) -> np.ndarray:
    """(facts,) in (0, 1]: how likely each is part of the answer, against the likeliest."""
    logits = table @ np.array(WITH_MEANING if semantic else WITHOUT)
    shares: np.ndarray = np.exp(logits - logits.max(initial=-np.inf))
    return shares


def _nearness(near: Mapping[str, str], fact: Fact) -> float:
    if fact.subject in near:
        return NEAR[near[fact.subject]]
    return NEAR["object"] if near.get(fact.object) == "own" else 0.0


def sounding(similarities: Iterable[float]) -> dict[str, float]:
    """Relation -> how much the question sounds like it, above the average relation. One number a prototype."""
    numbers = iter(similarities)
    best = {relation: max(next(numbers) for _ in texts) for relation, texts in SOUNDS_LIKE.items()}
    mean = sum(best.values()) / len(best)
    return {relation: value - mean for relation, value in best.items()}
