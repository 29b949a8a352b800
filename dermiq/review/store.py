"""The store of the review: the one way to what is judged and what was said of it. Knows no page and no `train`.

    store = Store.open(settings)
    showing, view = store.next("ana")
    store.vote(showing.id, "a", reviewer="ana", key=uuid4().hex)

Every change is an append with who and when, undo too; nothing is overwritten. What a method has returned survives the
death of the process and of the machine. All methods may be called from any thread. `InputError` says in one sentence
what a caller asked wrongly; `DataError` what the store cannot give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermiq.review.types import (
    Added,
    Change,
    Choice,
    Draft,
    Edit,
    FrozenSet,
    ImageRef,
    NewPair,
    PairSource,
    PairView,
    Progress,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    Reviewer,
    ReviewPair,
    Role,
    Rubric,
    SetRule,
    Showing,
    Side,
    Thumb,
    Vote,
)
from dermiq.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame


class Store:
    # --- the database -------------------------------------------------------------------

    @classmethod
    def open(cls, place: Settings | Path | str) -> Store:
        """Settings, a folder, or an SQLAlchemy URL (its images then lie in the folder `review`).

        Makes what is missing and migrates an older database; DataError for one that is newer than this program.
        """
        raise NotImplementedError

    def close(self) -> None: ...

    def rebuild(self) -> None:
        """Computes what is derived (tallies, priorities) anew from what was appended."""
        raise NotImplementedError

    def log(self) -> Iterator[Change]:
        """Every change, in order."""
        raise NotImplementedError

    # --- people -------------------------------------------------------------------------

    def add_reviewer(self, name: str, role: Role = "reviewer", *, by: str) -> Reviewer:
        """A known name gives the reviewer as they are: their role stays."""
        raise NotImplementedError

    def set_role(self, name: str, role: Role, *, by: str) -> Reviewer:
        raise NotImplementedError

    def reviewer(self, name: str) -> Reviewer | None: ...

    def reviewers(self) -> list[Reviewer]:
        """In the order in which they came."""
        raise NotImplementedError

    # --- cases, answers, pairs, images --------------------------------------------------

    def add_case(self, case: ReviewCase, images: Mapping[str, bytes] | None = None, *, by: str) -> bool:
        """Puts a case into the queue on purpose; `images` (sha256 -> file) are kept. True where it was new."""
        raise NotImplementedError

    def add_answers(self, answers: Sequence[ReviewAnswer], *, by: str) -> int:
        """How many were new. InputError where the case is not there."""
        raise NotImplementedError

    def add_pair(
        self,
        first: str,
        second: str,
        source: PairSource,
        *,
        by: str,
        proxy: Proxy | None = None,
        gold: Side | None = None,
        likelier: Side | None = None,
        overlap: int | None = None,
    ) -> tuple[ReviewPair, bool]:
        """Two answers (ids) of one case; the pair, and whether it was new. A known pair keeps its own order."""
        raise NotImplementedError

    def add_pairs(self, pairs: Iterable[NewPair], *, by: str) -> Added:
        """With their cases, answers and images, in transactions of 1,000."""
        raise NotImplementedError

    def pair(self, pair_id: str) -> PairView:
        raise NotImplementedError

    def pairs(self) -> Iterator[PairView]:
        """All of them, in the order in which they came."""
        raise NotImplementedError

    def keep_image(self, data: bytes, *, by: str) -> ImageRef:
        """Keeps an image file by its content. InputError for what is no image or carries metadata (see `images`)."""
        raise NotImplementedError

    def image(self, sha256: str) -> bytes:
        """DataError where it was purged or never kept."""
        raise NotImplementedError

    def purge_image(self, sha256: str, *, by: str, why: str) -> None:
        """Deletes the bytes. Cases keep the hash, and are shown with a sentence in the image's place."""
        raise NotImplementedError

    def purged(self) -> frozenset[str]:
        """The images that were."""
        raise NotImplementedError

    # --- reviewing ----------------------------------------------------------------------

    def next(self, reviewer: str, *, after: str | None = None) -> tuple[Showing, PairView] | None:
        """What the reviewer is to judge; None where their queue is empty.

        The oldest open showing, else a new one. `after` is the pair now on the screen: the one behind it, so that it is
        there before it is asked for. Asking again gives the same until there is a vote.
        """
        raise NotImplementedError

    def showing(self, showing_id: str) -> Showing:
        raise NotImplementedError

    def vote(
        self,
        showing_id: str,
        choice: Choice,
        *,
        reviewer: str,
        key: str,
        rubric: Rubric | None = None,
        comment: str = "",
        seconds: float = 0.0,
    ) -> Vote:
        """`choice` and the rubric's sides are as shown ("a" is the left answer).

        `key` is the client's own, new for each vote: the same key again is no second vote and returns the first.
        InputError for a showing of another reviewer's, and where it has a vote that was not undone.
        A showing for adjudication makes a vote of that kind.
        """
        raise NotImplementedError

    def undo(self, reviewer: str, vote_id: str | None = None) -> Vote | None:
        """The vote that was undone: the newest, or the one that is named. None where there is none.

        Its showing is open again, and comes first in `next`. Undoing a vote twice is one undo.
        """
        raise NotImplementedError

    def edit(self, pair_id: str, answer_id: str, text: str, *, reviewer: str, key: str) -> Edit:
        """A corrected answer; the newest that was not undone counts, of each reviewer. `key` as for a vote."""
        raise NotImplementedError

    def undo_edit(self, reviewer: str, edit_id: str) -> Edit:
        raise NotImplementedError

    def save_draft(self, reviewer: str, pair_id: str, draft: Draft) -> None: ...

    def draft(self, reviewer: str, pair_id: str) -> Draft | None:
        """The newest; None where the reviewer has voted on the pair since, and has not undone it."""
        raise NotImplementedError

    def progress(self, reviewer: str) -> Progress:
        raise NotImplementedError

    def thumb(self, answer_id: str, *, up: bool, who: str) -> Thumb:
        raise NotImplementedError

    def thumbs(self) -> list[Thumb]:
        raise NotImplementedError

    # --- reading ------------------------------------------------------------------------

    def votes(self, *, pair_id: str | None = None, reviewer: str | None = None, undone: bool = False) -> Iterator[Vote]:
        """In the order in which they came; with `undone`, also those that were undone."""
        raise NotImplementedError

    def edits(self, *, pair_id: str | None = None, undone: bool = False) -> list[Edit]:
        """In the order in which they came."""
        raise NotImplementedError

    def disagreements(self) -> list[str]:
        """Pairs that reviewers judge differently (first against second, or a tie against either), not adjudicated."""
        raise NotImplementedError

    def adjudication(self, pair_id: str, by: str) -> tuple[Showing, PairView]:
        """A showing on which an admin decides, by `vote`. InputError for who is no admin."""
        raise NotImplementedError

    def columns(self) -> DataFrame:
        """Every vote that was not undone, in the order in which they came, in one query; fast at 250,000 votes.

        Columns: vote, reviewer, pair, choice (first, second, tie, both_bad, skip), left, purpose, kind, source, prefers
        (None where the graph was not asked or prefers neither), gold, diagnosis as categories; margin (NaN where there
        is no proxy), seconds (float); at (datetime64[us], UTC); first_accuracy ... second_safety (float, NaN: none).
        """
        raise NotImplementedError

    # --- sets ---------------------------------------------------------------------------

    def add_set(
        self, name: str, rule: SetRule, lines: Sequence[Mapping[str, Any]], *, digest: str, card: str, by: str
    ) -> FrozenSet:
        """The next version of the name. Lines (JSON objects with `pair`, a pair's id) never change afterwards."""
        raise NotImplementedError

    def frozen_set(self, name: str, version: int | None = None) -> FrozenSet:
        """The newest without a version. DataError where there is none."""
        raise NotImplementedError

    def frozen_sets(self) -> list[FrozenSet]:
        """By name and version."""
        raise NotImplementedError

    def set_lines(self, name: str, version: int) -> Iterator[dict[str, Any]]:
        raise NotImplementedError
