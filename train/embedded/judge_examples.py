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
TEMPLATED = frozenset({"is_a", "coded_as", "likelihood_ratio_for", "risk_level", "look_alike"})
"""Relations whose sentences a program wrote: a few are enough."""
FEW = 0.06  # share of them that is taken
NEAR = 1  # other facts of the condition that are shown beside a sentence
BESIDE = 0.7  # share of sentences that are shown beside one
ALIKE = 0.80  # cosine from which on two facts may say the same
_AUXILIARY = re.compile(r"\b(is|are|was|were|can|may|might|should|must|will|does|do)\b(?! not\b)")
_DENIED = re.compile(r"\b(?:(is|are|was|were|can|may|should|must|will) not|cannot|does not|do not)\b")
_VERBS = re.compile(r"\b(shows|has|causes|favours|forms|needs|lacks|grows|spreads|responds|resembles|affects)\b")
_STRENGTH = (
    (r"\b(?:often|usually|typically|commonly|mostly|frequently)\b", ("never", "hardly ever", "rarely")),
    (r"\b(?:can|may|might|could)\b", ("can never", "cannot")),
    (r"\b(?:must|should)\b(?! not)", ("need not", "should never", "must not")),
    (r"\b(?:rarely|seldom)\b", ("usually", "very often", "always")),
    (r"\bfirst[- ](?:line|choice)\b", ("last-resort",)),
    (r"\bshould be avoided\b", ("is recommended", "is advised")),
    (r"\b(?:recommended|advised)\b", ("contraindicated", "advised against")),
)
_STRONGER = (
    (r"\b(?:can|may|might|sometimes)\b", ("always", "must")),
    (r"\b(?:some|many|most)\b", ("all", "every one of the")),
)
_NOT_EDITED = word_set(
    "upper inner inside men women male female young younger old before after first last early late hour day night"
)
"""Opposites of places, people and times are no edits of ours."""
_SOMETIMES = re.compile(
    r"\b(?:sometimes|occasionally|may|might|most|many|some|rarely|seldom|often|usually)\b", re.IGNORECASE
)
ENTAILS, CONTRADICTS, NEITHER = range(3)


@dataclass(frozen=True)
class Pair:
    fact: str
    sentence: str
    label: int  # place in LABELS
    kind: str


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
    found = []
    for fact in facts:
        if fact.relation in TEMPLATED and draw.random() > FEW:
            continue
        own = shown(graph, fact.text, fact.subject)
        found.append(Pair(own, own, ENTAILS, "same"))
        found += [Pair(own, said, label, kind) for said, label, kind in _edits(own, draw)]
    for _, pair in paraphrases:
        if pair.label == ENTAILS:
            edits = [edit for edit in _edits(pair.sentence, draw) if edit[1] == CONTRADICTS]
            found += [Pair(pair.fact, said, label, kind) for said, label, kind in edits[:1]]
    return found


def _edits(text: str, draw: random.Random) -> Iterator[tuple[str, int, str]]:
    """(edited text, label, kind), at most one of each kind."""
    if denied := _DENIED.search(text):
        verb = denied[1] or {"cannot": "can", "does not": "does", "do not": "do"}[denied[0].lower()]
        yield text[: denied.start()] + verb + text[denied.end() :], CONTRADICTS, "negation"
    elif _SOMETIMES.search(text):
        pass  # "sometimes does not itch" contradicts nothing
    elif auxiliary := _AUXILIARY.search(text):
        word = auxiliary[1]
        instead = "cannot" if word == "can" else draw.choice([f"{word} not", f"{word} not", f"{word} never"])
        yield text[: auxiliary.start()] + instead + text[auxiliary.end() :], CONTRADICTS, "negation"
    elif verb_found := _VERBS.search(text):
        stem = {"has": "have", "lacks": "lack"}.get(verb_found[1], verb_found[1].removesuffix("s"))
        instead = draw.choice([f"does not {stem}", f"never {verb_found[1]}", f"fails to {stem}"])
        yield text[: verb_found.start()] + instead + text[verb_found.end() :], CONTRADICTS, "negation"
    for table, label, kind in ((_STRENGTH, CONTRADICTS, "strength"), (_STRONGER, NEITHER, "stronger")):
        for said, instead_of in table:
            if match := re.search(said, text):
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
    found = []
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
        found += [Pair(text, pair.sentence, NEITHER, "beside") for text in nearest if draw.random() < BESIDE]
    return found
