"""Does a text answer the question that was asked, whatever it says of it? A learned ear for relevance.

    answering(given, text)     # a probability; `given` as for `grounded`

It listens to how near question, sentences and cited facts lie in meaning, to the kind of fact that is asked for, to
what of the case is spoken of, and whether it says that the sources do not say. How these weigh was learned from
answers written by hand and from answers to other questions (`python -m train.embedded.grounding`); the weights are
`asked.json`. Whether what it says is so is another question: `grounded`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from dermiq.answering.grounded import Given, expanded
from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.language.citation import cited, tied, uncited
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.types import Fact, Json

WEIGHTS = Path(__file__).with_name("asked.json")
UNKNOWN = pattern("not known")
"""That what is at hand does not say it."""
CHANCES = re.compile(r"\d+ %")
TIMES = re.compile(r"\btimes\b|\bspeaks? (?:for|against)\b|\bfavou?rs?\b", re.IGNORECASE)
URGENCY = re.compile(r"\b(?:refer\w*|urgent\w*|weeks?|seen|appointment|specialist|routine|soon)\b", re.IGNORECASE)
YES_NO = pattern("short answer")
WHETHER = re.compile(
    r"^\W*(?:so |and |but |then )?(?:is|are|was|do|does|did|can|could|will|would|should|shall|may|must|has|have)\b",
    re.IGNORECASE,
)
OF_THE_CASE = ("why", "why_not", "against", "change_of_mind", "settle", "compare", "dermoscopy")
NAMES = (
    "nearest_sentence",
    "mean_sentence",
    "first_sentence",
    "plain_nearness",
    "nearest_cited",
    "nearest_given",
    "behind_given",
    "asked_relation",
    "shared_words",
    "unknown",
    "unknown_and_near",
    "facts_cited",
    "chances",
    "reasons",
    "urgency",
    "of_the_case",
    "asks_urgency",
    "case_fits",
    "urgency_fits",
    "yes_or_no",
    "whether",
    "length",
)


def answering(given: Given, text: str) -> float:
    """The probability that the text answers the question."""
    held = weights()
    row = compared(given.intent, given.question, text, given.facts)
    row = (row - np.array(held["mean"])) / np.array(held["scale"])
    logit = float((expanded(row[None]) @ np.array(held["weights"]))[0]) + held["bias"]
    return 1 / (1 + float(np.exp(-np.clip(logit, -30, 30))))


@lru_cache(maxsize=1)
def weights() -> Json:
    found: Json = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return found


def compared(intent: str, question: str, text: str, facts: Mapping[int, Fact]) -> np.ndarray:
    """(features,) in the order of `NAMES`."""
    sentences = [uncited(one).strip() for one in split_sentences(tied(text))] or [text]
    wanted = questions.encode([question])
    given = [fact.text for fact in facts.values()]
    vectors = embed.encode([question, text, *sentences, *given])
    placed = questions.placed("whole", vectors[2:])
    near = placed @ wanted[0]
    by_sentence, by_fact = near[: len(sentences)], near[len(sentences) :]
    numbers = set(cited(text))
    own = [place for place, number in enumerate(facts) if number in numbers]
    relations = dict(zip(questions.labels()["relations"], questions.relations(wanted)[0].tolist(), strict=True))
    nearest = max((float(by_fact[place]) for place in own), default=0.0)
    best = max((float(value) for value in by_fact), default=0.0)
    unknown = sum(UNKNOWN.search(one) is not None for one in sentences) / len(sentences)
    mine = _stems(question)
    chances, reasons = len(CHANCES.findall(text)) > 0, len(TIMES.findall(text)) > 0
    urgent = URGENCY.search(text) is not None
    of_case, asks_urgency = intent in OF_THE_CASE, intent in ("urgency", "monitor", "biopsy")
    return np.array(
        [
            float(by_sentence.max()),
            float(by_sentence.mean()),
            float(by_sentence[0]),
            float(vectors[0] @ vectors[1]),
            nearest,
            best,
            best - nearest,
            sum(relations.get(fact.relation, 0.0) for place, fact in enumerate(facts.values()) if place in own),
            len(mine & _stems(text)) / max(1, len(mine)),
            unknown,
            unknown * best,
            len(own),
            chances,
            reasons,
            urgent,
            of_case,
            asks_urgency,
            of_case * (chances or reasons),
            asks_urgency * urgent,
            YES_NO.search(text) is not None,
            WHETHER.search(question) is not None,
            min(len(words(text)), 80) / 40,
        ],
        dtype=np.float64,
    )


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FREQUENT)
