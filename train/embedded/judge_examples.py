"""Pairs to teach the judge (`dermiq.knowledge.language.entail`): a fact, a sentence, what the one says of the other.

Most are written by hand (`judge_pairs.tsv`: paraphrases, false sentences one small edit away, and sentences that the
fact leaves open). More are made here, from facts and from hand-written paraphrases, by edits whose effect is sure: a
denial more or less, "never" for "often", the other one of two opposites, another fact of the same condition.
Numbers, sites, sex, age, and what comes first in time or cause are never edited here: how the judge does on such edits
says how it does on what it was not taught.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dermiq.knowledge.check.shown import shown
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.language.entail import LABELS
from dermiq.knowledge.language.text import word_set
from dermiq.knowledge.language.wording import wording
from dermiq.knowledge.schema import read_rows
from dermiq.types import Fact

FILE = Path(__file__).with_name("judge_pairs.tsv")
EDITS = Path(__file__).with_name("judge_edits.tsv")
TEMPLATED = frozenset({"is_a", "coded_as", "likelihood_ratio_for", "risk_level", "look_alike"})
"""Relations whose sentences a program wrote: a few are enough."""
FEW = 0.06  # share of them that is taken
NEAR = 1  # other facts of the condition that are shown beside a sentence
BESIDE = 0.4  # share of sentences that are shown beside one
EDITED = 0.5  # share of the paraphrases that are edited by program, too
ALIKE = 0.80  # cosine from which on two facts may say the same
_NOT_EDITED = word_set(
    "upper inner inside men women male female young younger old before after first last early late hour day night"
)
"""Opposites of places, people and times are no edits of ours."""
ENTAILS, CONTRADICTS, NEITHER = range(3)


@dataclass(frozen=True)
class Pair:
    fact: str
    sentence: str
    label: int  # place in LABELS
    kind: str


@cache
def edits(name: str) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    """(what is looked for, what may stand in its place) of each row of the table of edits with this name."""
    rows = (row for _, row in read_rows(EDITS) if row["edit"] == name)
    return tuple((re.compile(row["pattern"]), tuple(row["instead"].split("; "))) for row in rows)


def found(name: str, text: str) -> re.Match[str] | None:
    return next((match for pattern, _ in edits(name) if (match := pattern.search(text))), None)


def written(graph: Graph, file: Path = FILE) -> list[tuple[Fact, Pair]]:
    """The hand-written rows whose fact the graph still holds."""
    held = {fact.id: fact for fact in graph.all_facts}
    rows = [row for _, row in read_rows(file) if row["fact_id"] in held]
    return [
        (
            held[row["fact_id"]],
            _pair(graph, held[row["fact_id"]], row["sentence"], LABELS.index(row["label"]), row["kind"]),
        )
        for row in rows
    ]


def _pair(graph: Graph, fact: Fact, sentence: str, label: int, kind: str) -> Pair:
    own, said = (shown(graph, text, fact.subject) for text in (fact.text, sentence))
    return Pair(own, said, label, kind)


def made(graph: Graph, facts: Sequence[Fact], paraphrases: Sequence[tuple[Fact, Pair]], seed: int) -> list[Pair]:
    """Edits of facts, and of paraphrases that follow from them."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for fact in facts:
        if fact.relation in TEMPLATED and draw.random() > FEW:
            continue
        own = shown(graph, fact.text, fact.subject)
        pairs.append(Pair(own, own, ENTAILS, "same"))
        pairs += [Pair(own, said, label, kind) for said, label, kind in _edits(own, draw)]
    for _, pair in paraphrases:
        if pair.label == ENTAILS and draw.random() < EDITED:
            changed = [edit for edit in _edits(pair.sentence, draw) if edit[1] == CONTRADICTS]
            pairs += [Pair(pair.fact, said, label, kind) for said, label, kind in changed[:1]]
    return pairs


def _edits(text: str, draw: random.Random) -> Iterator[tuple[str, int, str]]:
    """(edited text, label, kind), at most one of each kind."""
    if denied := found("denied", text):
        verb = denied[1] or {"cannot": "can", "does not": "does", "do not": "do"}[denied[0].lower()]
        yield text[: denied.start()] + verb + text[denied.end() :], CONTRADICTS, "negation"
    elif found("not always", text):
        pass  # "sometimes does not itch" contradicts nothing
    elif auxiliary := found("auxiliary", text):
        word = auxiliary[1]
        instead = "cannot" if word == "can" else draw.choice([f"{word} not", f"{word} not", f"{word} never"])
        yield text[: auxiliary.start()] + instead + text[auxiliary.end() :], CONTRADICTS, "negation"
    elif verb_found := found("verb", text):
        stem = {"has": "have", "lacks": "lack"}.get(verb_found[1], verb_found[1].removesuffix("s"))
        instead = draw.choice([f"does not {stem}", f"never {verb_found[1]}", f"fails to {stem}"])
        yield text[: verb_found.start()] + instead + text[verb_found.end() :], CONTRADICTS, "negation"
    for kind, label in (("strength", CONTRADICTS), ("stronger", NEITHER)):
        for pattern, instead_of in edits(kind):
            if match := pattern.search(text):
                yield text[: match.start()] + draw.choice(instead_of) + text[match.end() :], label, kind
                break
    yield from _opposites(text, draw)


def _opposites(text: str, draw: random.Random) -> Iterator[tuple[str, int, str]]:
    for one, other in wording().opposites:
        if (one | other) & _NOT_EDITED:
            continue
        for here, there in ((one, other), (other, one)):
            match = re.search(rf"\b(?:{'|'.join(sorted(here))})\b", text)
            if match:
                yield text[: match.start()] + draw.choice(sorted(there)) + text[match.end() :], CONTRADICTS, "direction"
                return


def beside(graph: Graph, rows: Sequence[tuple[Fact, Pair]], facts: Sequence[Fact], seed: int) -> list[Pair]:
    """Each sentence beside the nearest other facts of its condition, which leave it open.

    Facts that may say the same as the sentence's own (same object, or alike in meaning) are left out.
    """
    draw = random.Random(seed)
    by_subject: dict[str, list[Fact]] = {}
    for fact in facts:
        by_subject.setdefault(fact.subject, []).append(fact)
    texts = sorted({shown(graph, fact.text, fact.subject) for fact in facts} | {pair.fact for _, pair in rows})
    place = {text: number for number, text in enumerate(texts)}
    vectors = embed.encode_cached(texts)
    said = embed.encode_cached([pair.sentence for _, pair in rows])
    pairs: list[Pair] = []
    for number, (fact, pair) in enumerate(rows):
        own = vectors[place[pair.fact]]
        others = {
            shown(graph, other.text, other.subject)
            for other in by_subject.get(fact.subject, [])
            if other.id != fact.id and other.object != fact.object
        }
        apart = [text for text in others if text != pair.fact and float(vectors[place[text]] @ own) < ALIKE]
        apart.sort(key=lambda text: -float(vectors[place[text]] @ said[number]))
        nearest = apart[:NEAR] if pair.label != NEITHER else draw.sample(apart[: 2 * NEAR], min(1, len(apart)))
        pairs += [Pair(text, pair.sentence, NEITHER, "beside") for text in nearest if draw.random() < BESIDE]
    return pairs
