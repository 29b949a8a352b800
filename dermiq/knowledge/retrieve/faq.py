"""Questions that are asked often, each with one direct answer, and which of them a question is.

    found = asked_often(vectors, words, topics)      # [(entry, 0.93), ...], the likeliest first

The questions stand in `faq.tsv`, each in several wordings with its condition, its answer and the facts that carry it.
Which entry a question is, is told from how near it lies to the entry's wordings and answer in meaning, and from the
words that they share; how these weigh was learned (`python -m train.embedded.faq`), and lies with the wordings' vectors
in `dermiq/weights/faq`. An entry counts where it is about what is spoken of. Knows no graph.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.schema import read_rows
from dermiq.places import WEIGHTS
from dermiq.shipped import checked, read_json

TABLE = Path(__file__).with_name("faq.tsv")
FOLDER = WEIGHTS / "faq"
VECTORS, MATCHER = "vectors.npz", "matcher.json"
ANY = "*"  # of whatever lesion
STEPS = 500  # of a packed vector, from 0 to 1
NEAREST = 10  # wordings that vote
CANDIDATES = 12  # entries that are looked at closely
FEATURES = (
    "question",  # the greatest cosine of a wording, by the encoder of questions
    "next_question",  # that of the entry's next wording
    "sentence",  # likewise, by the encoder of sentences
    "reply",  # of the answer, where questions that it answers are looked for
    "shared",  # rare words that question and wording share, as a share of those of both
    "covered",  # and of the question's that the entry has at all
    "lead",  # by how much it is before the best other entry
    "votes",  # how many of the nearest wordings are the entry's
    "aspect",  # the cosine of what question and entry are about, by the head of aspects
    "intent",  # and of what they want
    "of_any",  # it holds whatever the lesion is
    "part",  # a part of the question is nearest, not the whole
)


@dataclass(frozen=True)
class Entry:
    """One question, in several wordings, and its answer."""

    id: str
    topics: tuple[str, ...]  # node ids; `ANY`
    asked: tuple[str, ...]
    reply: str
    facts: tuple[str, ...]  # ids


@dataclass(frozen=True)
class Vectors:
    """Of all wordings in the table's order, each of length 1, and where each entry's begin."""

    question: np.ndarray  # (wordings, 384)
    sentence: np.ndarray  # (wordings, 384)
    reply: np.ndarray  # (entries, 384)
    starts: np.ndarray  # (entries,)
    aspect: np.ndarray  # (entries, aspects) mean probabilities of its wordings, of length 1
    intent: np.ndarray  # (entries, 16) likewise
    of: np.ndarray  # (wordings,) the entry of each


@dataclass(frozen=True)
class Meant:
    """A question and the parts that it falls into, the whole first."""

    texts: tuple[str, ...]
    question: np.ndarray  # (texts, 384)
    sentence: np.ndarray  # (texts, 384)
    whole: np.ndarray  # (384,) of the question with its condition's name


@cache
def entries(path: Path = TABLE) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            row["id"],
            tuple(row["topic"].split("|")),
            tuple(row["asked"].split(" | ")),
            row["reply"],
            tuple(row["facts"].split("|")),
        )
        for _, row in read_rows(path)
    )


@cache
def entry(key: str) -> Entry:
    """KeyError where there is none."""
    return {one.id: one for one in entries()}[key]


def digest() -> str:
    """Of all that the vectors were made of."""
    told = "\n".join(f"{one.asked}{one.reply}" for one in entries())
    return hashlib.sha256(told.encode()).hexdigest()


@cache
def vectors() -> Vectors:
    with np.load(checked(FOLDER / VECTORS), allow_pickle=False) as held:
        found = {name: unpacked(held[name]) for name in ("question", "sentence", "reply")}
    counts = [len(one.asked) for one in entries()]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    heads = (questions.aspects(found["question"]), questions.intents(found["question"]))
    aspect, intent = (_unit(np.add.reduceat(shares, starts)) for shares in heads)
    return Vectors(**found, starts=starts, aspect=aspect, intent=intent, of=np.repeat(np.arange(len(counts)), counts))


def _unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return found


def packed(rows: np.ndarray) -> np.ndarray:
    """Vectors of length 1 as one byte a number; no number of one of 384 is far from 0."""
    found: np.ndarray = np.clip(np.round(rows * STEPS), -127, 127).astype(np.int8)
    return found


def unpacked(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows.astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


@cache
def matcher() -> Mapping[str, object]:
    return read_json(FOLDER / MATCHER)


@cache
def _rare() -> Mapping[str, float]:
    """Stem -> how rare it is among entries."""
    counts: Counter[str] = Counter()
    for one in entries():
        counts.update(set().union(*map(_stems, one.asked)))
    return {stem: math.log(len(entries()) / count) for stem, count in counts.items()}


@cache
def _held(place: int) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    """The stems of each wording of an entry, and all that it has."""
    one = entries()[place]
    wordings = tuple(map(_stems, one.asked))
    return wordings, frozenset().union(*wordings, _stems(one.reply))


def _stems(text: str) -> frozenset[str]:
    return frozenset(stems(text)) - FREQUENT


def meant(texts: Sequence[str], question: np.ndarray, whole: np.ndarray) -> Meant:
    """`texts`: the bare question and its parts; `question`: their vectors by the encoder of questions."""
    return Meant(tuple(texts), question, embed.encode(list(texts)), whole)


@dataclass(frozen=True)
class Often:
    """An entry that a question may be, and how likely it is."""

    entry: Entry
    share: float
    text: int  # the place in `Meant.texts` of what is nearest: 0 for the whole question


def asked_often(said: Meant, topics: Iterable[str], *, unsaid: frozenset[str] = frozenset()) -> list[Often]:
    """The entries on these topics or on any that a question may be, the likeliest first.

    `unsaid`: stems of the names of conditions, which tell nothing here.
    """
    found = compared(said, topics, unsaid=unsaid)
    if not found:
        return []
    held = matcher()
    rows = np.array([one.features for one in found])
    logits = (rows - np.array(held["mean"])) / np.array(held["scale"]) @ np.array(held["weights"]) + held["bias"]
    shares = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    order = np.argsort(-shares, kind="stable")
    return [Often(entries()[found[i].place], float(shares[i]), found[i].text) for i in order]


@dataclass(frozen=True)
class Compared:
    place: int  # of the entry
    text: int
    features: tuple[float, ...]  # in the order of `FEATURES`


def compared(
    said: Meant,
    topics: Iterable[str],
    *,
    unsaid: frozenset[str] = frozenset(),
    leave_out: int | None = None,
    without: int | None = None,
) -> list[Compared]:
    """The nearest entries. `leave_out`: a wording that does not count; `without`: an entry, by place."""
    held, about = vectors(), {ANY, *topics}
    fitting = np.array([bool(about.intersection(one.topics)) and at != without for at, one in enumerate(entries())])
    if not fitting.any():
        return []
    by_question, by_sentence = held.question @ said.question.T, held.sentence @ said.sentence.T  # (wordings, texts)
    if leave_out is not None:
        by_question[leave_out], by_sentence[leave_out] = -1, -1
    best = np.maximum.reduceat(by_question, held.starts)  # (entries, texts)
    near = np.maximum.reduceat(by_sentence, held.starts)
    score = np.where(fitting[:, None], best + near, -9)
    order = np.argsort(-score.max(1), kind="stable")[: CANDIDATES + 1]
    places = [int(place) for place in order if fitting[place]]
    top = score.max(1)
    ends = [*held.starts[1:], len(held.question)]
    nearest = np.where(fitting[held.of], (by_question + by_sentence).max(1), -9)
    votes = np.bincount(held.of[np.argsort(-nearest)[:NEAREST]], minlength=len(entries())) / NEAREST
    aspects, intents = _unit(questions.aspects(said.question)), _unit(questions.intents(said.question))
    found = []
    for place in places[:CANDIDATES]:
        text = int(score[place].argmax())
        own = np.sort(by_question[held.starts[place] : ends[place], text])[::-1]
        others = max((top[other] for other in places if other != place), default=-1.0)
        wordings, every = _held(place)
        if leave_out is not None and held.starts[place] <= leave_out < ends[place]:
            wordings = tuple(one for at, one in enumerate(wordings) if at != leave_out - held.starts[place])
            every = frozenset().union(*wordings, _stems(entries()[place].reply))
        mine = _stems(said.texts[text]) - unsaid
        features = (
            own[0],
            own[1] if len(own) > 1 else own[0],
            near[place, text],
            float(held.reply[place] @ said.whole),
            max((_weight(mine & one) / max(_weight(mine | one), 1e-6) for one in wordings), default=0.0),
            _weight(mine & every) / max(_weight(mine), 1e-6),
            top[place] - others,
            votes[place],
            float(held.aspect[place] @ aspects[text]),
            float(held.intent[place] @ intents[text]),
            ANY in entries()[place].topics,
            text > 0,
        )
        found.append(Compared(place, text, tuple(map(float, features))))
    return found


def _weight(found: Iterable[str]) -> float:
    rare = _rare()
    return sum(rare.get(stem, 6.0) for stem in found)


def embedded(wordings: Sequence[str], replies: Sequence[str]) -> dict[str, np.ndarray]:
    """What ships: vectors of wordings, with "it" for their conditions, and of the answers."""
    return {
        "question": questions.encode(wordings),
        "sentence": embed.encode(list(wordings)),
        "reply": questions.placed("whole", embed.encode(list(replies))),
    }
