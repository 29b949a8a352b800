"""The nouns of the review, as frozen dataclasses. Knows no database, no page and no `train`.

A case with two answers is a pair; a pair is shown to a reviewer (a `Showing`), who votes. What the reviewer saw has the
sides "a" (left, or above on a phone) and "b"; what is stored has the pair's own sides "first" and "second", whose order
says nothing. Ids are text; those of cases, answers and pairs are hashes of their content, so that a duplicate is
recognised. Times are UTC. "Not asked" and "not said" are `None`, never 0.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dermiq.types import Fields

CHOICES: tuple[str, ...] = ("a", "b", "tie", "both_bad", "skip")
"""What a reviewer can choose, as it was shown to them."""

VOTES: tuple[str, ...] = ("first", "second", "tie", "both_bad", "skip")
"""The same in the pair's own order, as it is stored."""

RUBRIC: tuple[str, ...] = ("accuracy", "relevance", "completeness", "safety")
"""What an answer can be graded on, 1 (worst) to 5."""

Side = Literal["first", "second"]
Choice = Literal["a", "b", "tie", "both_bad", "skip"]
Voted = Literal["first", "second", "tie", "both_bad", "skip"]
Role = Literal["reviewer", "admin"]
PairSource = Literal["proxy", "checkpoints", "consultation", "import"]
Purpose = Literal["first", "repeat", "gold", "adjudication"]
VoteKind = Literal["review", "adjudication"]
VISITOR = "consultation"
"""Under whose name is kept what visitors of the consultation give."""

Message = Fields  # a chat message in TRL's form: role, and content as parts or text
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the whole image
Rubric = Mapping[str, Mapping[str, int]]  # side -> name of RUBRIC -> 1 to 5; either side, any name may be missing


# --- people -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reviewer:
    name: str
    role: Role
    added_by: str
    added_at: datetime


# --- what is judged ---------------------------------------------------------------------


@dataclass(frozen=True)
class ImageRef:
    """An image by its content; the bytes lie in the store's folder, if they were kept and not purged since."""

    sha256: str  # of the file's bytes, in hexadecimal
    width: int  # pixels
    height: int
    outline: tuple[tuple[float, float], ...] | None = None  # of the lesion, as a polygon in pixels


@dataclass(frozen=True)
class ReviewCase:
    """One question about at most a few images of one lesion. Make it with `ReviewCase.of`, which knows its id."""

    id: str
    prompt: tuple[Message, ...]
    question: str
    images: tuple[ImageRef, ...] = ()
    boxes: tuple[Box | None, ...] = ()  # the part of each image that the model saw; () where it saw all of them whole
    context: str = ""  # what is known of the patient, in words
    diagnosis: str | None = None  # one of `dermiq.types.CLASSES`, or text
    findings: tuple[str, ...] = ()  # measured, each in a few words
    group: str = ""  # the lesion or patient: cases of one group stay in one split
    split: Literal["train", "val"] = "train"
    source: str = ""  # the data set or file, as a reader knows it

    @classmethod
    def of(cls, prompt: Sequence[Message], question: str, **rest: Any) -> ReviewCase:
        """With the id that its prompt and images give it."""
        images = rest.get("images", ())
        return cls(id=case_id(prompt, images), prompt=tuple(prompt), question=question, **rest)


@dataclass(frozen=True)
class ReviewAnswer:
    """Make it with `ReviewAnswer.of`, which knows its id."""

    id: str
    case_id: str
    text: str
    model: str = ""
    revision: str = ""

    @classmethod
    def of(cls, case: str, text: str, *, model: str = "", revision: str = "") -> ReviewAnswer:
        return cls(answer_id(case, text), case, text, model, revision)


@dataclass(frozen=True)
class Proxy:
    """The knowledge graph's verdict on a pair."""

    prefers: Side | None
    margin: float  # >= 0, in the proxy's score
    decided_by: str = ""
    reasons: tuple[str, ...] = ()
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)  # side -> part -> score


@dataclass(frozen=True)
class NewPair:
    """A pair on its way into the store, with its case and both answers."""

    case: ReviewCase
    first: ReviewAnswer
    second: ReviewAnswer
    source: PairSource
    proxy: Proxy | None = None
    gold: Side | None = None
    likelier: Side | None = None
    overlap: int | None = None  # reviewers that are wanted; None: the queue's default
    images: Mapping[str, bytes] = field(default_factory=dict)  # sha256 -> file, kept on purpose

    @property
    def id(self) -> str:
        return pair_id(self.first.id, self.second.id)


@dataclass(frozen=True)
class ReviewPair:
    id: str
    case_id: str
    first: str  # id of an answer
    second: str
    source: PairSource
    proxy: Proxy | None  # None where the graph was not asked
    gold: Side | None  # the answer that is known to be better
    likelier: Side | None  # the answer that the model itself finds likelier; None where it was not asked
    overlap: int  # reviewers that are wanted
    priority: float  # what one more vote is expected to tell; see `dermiq.review.store.queue.priority`
    added_by: str
    added_at: datetime
    withdrawn: bool = False  # who gave it took it back


@dataclass(frozen=True)
class PairView:
    """All that the page needs of a pair."""

    case: ReviewCase
    first: ReviewAnswer
    second: ReviewAnswer
    pair: ReviewPair
    purged: tuple[str, ...] = ()  # images of the case whose bytes were deleted

    def answer(self, side: Side) -> ReviewAnswer:
        return self.first if side == "first" else self.second


@dataclass(frozen=True)
class Added:
    """What a bulk import put into the store."""

    cases: int
    answers: int
    pairs: int
    duplicates: int  # pairs that were there already


# --- what is said of it -----------------------------------------------------------------


@dataclass(frozen=True)
class Showing:
    """What was shown to whom, and in which order. Open until there is a vote that was not undone."""

    id: str
    pair_id: str
    reviewer: str
    purpose: Purpose
    left: Side  # of the pair, shown as "a"
    at: datetime

    def side(self, shown: str) -> Side:
        """The pair's side that was shown as "a" or "b"."""
        return self.left if shown == "a" else other(self.left)

    def voted(self, choice: Choice) -> Voted:
        """The choice in the pair's own order."""
        return self.side(choice) if choice in ("a", "b") else choice  # type: ignore[return-value]

    def shown(self, side: str) -> Literal["a", "b"]:
        return "a" if side == self.left else "b"


@dataclass(frozen=True)
class Vote:
    id: str
    showing_id: str
    pair_id: str
    reviewer: str
    choice: Voted
    rubric: Rubric  # sides "first" and "second"
    comment: str
    seconds: float  # that the pair was visible, as the browser measured
    at: datetime
    kind: VoteKind
    left: Side
    purpose: Purpose
    undone_at: datetime | None = None


@dataclass(frozen=True)
class Edit:
    """A corrected answer."""

    id: str
    pair_id: str
    answer_id: str
    reviewer: str
    text: str
    at: datetime
    undone_at: datetime | None = None


@dataclass(frozen=True)
class Draft:
    """What was typed and not yet sent, with the sides as they were shown ("a", "b")."""

    rubric: Rubric = field(default_factory=dict)
    comment: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)  # side -> corrected answer


@dataclass(frozen=True)
class Thumb:
    """A visitor's vote on one answer of a consultation: good or poor."""

    id: str
    answer_id: str
    up: bool
    who: str
    at: datetime
    undone_at: datetime | None = None


@dataclass(frozen=True)
class Opinion:
    """A `Thumb` that stands, as figures need it."""

    model: str  # that wrote the answer
    up: bool


@dataclass(frozen=True)
class Counts:
    """What the store holds, counted in one way wherever a number of votes is told.

    A vote is a judgement (one of two answers, a tie, both bad) that was not undone: of a first look, of a repeat, of a
    pair with a known answer. A skip is none. What an admin decides where reviewers differ is counted by itself, and so
    are visitors' opinions on single answers.
    """

    votes: int
    skips: int
    decisions: int
    opinions: int


@dataclass(frozen=True)
class Progress:
    """Of one reviewer. Only ordinary and open pairs can be counted as left."""

    done: int  # votes, as `Counts` defines them
    skipped: int
    left: int
    total: int  # done + left
    seconds_each: float | None  # median of the reviewer's votes; None before the first
    minutes_left: float | None
    today: int  # votes since midnight, UTC


@dataclass(frozen=True)
class Change:
    """One line of the log."""

    number: int
    at: datetime
    who: str
    what: str  # "vote", "undo", "pair", ...; see `dermiq.review.store.schema.CHANGES`
    subject: str  # id of the vote, pair, image, ...


# --- sets -------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetRule:
    """Which pairs become lines of a set."""

    rule: Literal["majority", "adjudicated"] = "majority"
    min_votes: int = 1
    min_margin: float = 0.0  # of whoever decides: the votes, or the graph
    proxy_only: bool = False  # take pairs without votes, as the proxy decides
    with_edits: bool = True
    exclude_gold: bool = True


@dataclass(frozen=True)
class FrozenSet:
    name: str
    version: int  # from 1
    rule: SetRule
    made_by: str
    made_at: datetime
    pairs: int
    digest: str  # sha256 over the lines
    card: str  # Markdown


SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAMED_SET = re.compile(rf"(?P<name>{SET_NAME.pattern})(?:@(?P<version>[1-9][0-9]*))?")


def named_set(text: str) -> tuple[str, int | None] | None:
    """ "first@2" -> ("first", 2); "first", of which the newest is meant -> ("first", None); None of anything else."""
    found = _NAMED_SET.fullmatch(text)
    return found and (found["name"], int(found["version"]) if found["version"] else None)


def is_frozen_set(text: str) -> bool:
    """Whether it names a set with its version."""
    found = named_set(text)
    return found is not None and found[1] is not None


# --- ids --------------------------------------------------------------------------------


def other(side: str) -> Side:
    return "second" if side == "first" else "first"


def case_id(prompt: Sequence[Message], images: Sequence[ImageRef]) -> str:
    return _hash([list(prompt), [image.sha256 for image in images]])


def answer_id(case: str, text: str) -> str:
    return _hash([case, text])


def pair_id(one: str, two: str) -> str:
    """The same for both orders of the two answers' ids."""
    return _hash(sorted([one, two]))


def _hash(value: object) -> str:
    """32 hexadecimal digits of SHA-256: no two of a billion are expected to meet."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
