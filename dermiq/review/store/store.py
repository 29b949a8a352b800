"""The store of the review: the one way to what is judged and what was said of it. Knows no page and no `train`.

    store = Store.open(settings)
    showing, view = store.next("ana")
    store.vote(showing.id, "a", reviewer="ana", key=uuid4().hex)

Every change is an append with who and when, undo too; nothing is overwritten. What a method has returned survives the
death of the process and of the machine. All methods may be called from any thread. `InputError` says in one sentence
what a caller asked wrongly; `DataError` what the store cannot give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, select

from dermiq import places
from dermiq.errors import DataError
from dermiq.review.store import (
    cases,
    gifts,
    journal,
    people,
    reading,
    records,
    remarks,
    schema,
    set_table,
    showing,
    voting,
)
from dermiq.review.store.database import PAGE, Database, T
from dermiq.review.store.images import ImageFolder
from dermiq.review.store.journal import By
from dermiq.review.store.queue import QueueSettings
from dermiq.review.types import (
    Added,
    Change,
    Choice,
    Counts,
    Draft,
    Edit,
    FrozenSet,
    ImageRef,
    NewPair,
    Opinion,
    PairView,
    Progress,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    Reviewer,
    Role,
    Rubric,
    SetRule,
    Showing,
    Thumb,
    Vote,
)
from dermiq.settings import Settings
from dermiq.types import Json

if TYPE_CHECKING:
    from pandas import DataFrame

Judge = Callable[[NewPair], Proxy | None]
"""The graph's verdict on a pair; None where it cannot be asked."""


class Store:
    # --- the database -------------------------------------------------------------------

    @classmethod
    def open(
        cls, place: Settings | Path | str, *, queue: QueueSettings | None = None, judge: Judge | None = None
    ) -> Store:
        """Settings, a folder, or an SQLAlchemy URL (its images then lie in the usual folder).

        `judge` gives the graph's verdict on every pair that comes in without one, whichever way it comes. Makes what is
        missing and migrates an older database; DataError for one that is newer than this program.
        """
        if isinstance(place, Settings):
            return cls(place.review or places.review_folder(), place.review_db, queue=queue, judge=judge)
        if isinstance(place, str) and "://" in place:
            return cls(places.review_folder(), place, queue=queue, judge=judge)
        return cls(Path(place), None, queue=queue, judge=judge)

    def __init__(
        self,
        folder: Path,
        url: str | None = None,
        *,
        queue: QueueSettings | None = None,
        judge: Judge | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """`Store.open` is the usual way; `clock` says what time it is."""
        self._queue, self._clock, self._judge = queue or QueueSettings(), clock, judge
        self._images = ImageFolder(folder / "images")
        if url is None:
            _make(folder)
        self._database = Database(url or URL.create("sqlite", database=str(folder.absolute() / "review.db")))
        self._sweep()

    def close(self) -> None:
        self._database.close()

    @property
    def kind(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self._database.engine.dialect.name

    def rebuild(self) -> None:
        """Computes what is derived (tallies, priorities) anew from what was appended."""
        with self._database.writing() as connection:
            reading.rebuild(connection)

    def log(self) -> Iterator[Change]:
        """Every change, in order."""
        for row in self._database.paged(select(schema.changes), schema.changes.c.number):
            yield Change(row.number, row.at, row.who, row.what, row.subject)

    # --- people -------------------------------------------------------------------------

    def add_reviewer(self, name: str, role: Role = "reviewer", *, by: str) -> Reviewer:
        """A known name gives the reviewer as they are: their role stays."""
        return self._database.write(lambda connection: people.add(connection, name, role, self._by(by)))

    def set_role(self, name: str, role: Role, *, by: str) -> Reviewer:
        return self._database.write(lambda connection: people.set_role(connection, name, role, self._by(by)))

    def reviewer(self, name: str) -> Reviewer | None:
        return self._database.read(people.find, name)

    def reviewers(self) -> list[Reviewer]:
        """In the order in which they came."""
        return self._database.read(people.all_reviewers)

    # --- cases, answers, pairs, images --------------------------------------------------

    def add_case(self, case: ReviewCase, images: Mapping[str, bytes] | None = None, *, by: str) -> bool:
        """Puts a case into the queue on purpose; `images` (sha256 -> file) are kept. True where it was new."""

        def add(connection: Connection) -> bool:
            cases.keep_images(connection, self._images, case, images or {}, moment)
            return bool(cases.add_cases(connection, [case], moment))

        moment = self._by(by)
        return self._write_images(add)

    def add_answers(self, answers: Sequence[ReviewAnswer], *, by: str) -> int:
        """How many were new. InputError where the case is not there."""
        return self._database.write(lambda connection: len(cases.add_answers(connection, answers, self._by(by))))

    def add_pairs(self, pairs: Iterable[NewPair], *, by: str) -> Added:
        """With their cases, answers and images, in transactions of 1,000."""
        total = Counter[str]()
        for batch in _batches(pairs):
            total.update(self._add_batch(batch, by))
        self._database.write(cases.weigh)
        return Added(**{entry.name: total[entry.name] for entry in fields(Added)})

    def pair(self, pair_id: str) -> PairView:
        return self._database.read(journal.pair_view, pair_id)

    def known_answers(self, pairs: Iterable[str]) -> dict[str, str | None]:
        """Of the pairs (ids) that are there: the answer that is known to be better, None where none is."""
        return self._database.read(cases.known_answers, list(pairs))

    def pairs(self) -> Iterator[PairView]:
        """All of them, in the order in which they came."""
        for page in self._database.pages(records.pair_query(), schema.pairs.c.number):
            with self._database.reading() as connection:
                views = journal.pair_views(connection, page)
            yield from views

    def keep_image(self, data: bytes, *, by: str) -> ImageRef:
        """Keeps an image file by its content. InputError for what is no image or carries metadata (see `images`)."""
        return self._write_images(lambda connection: cases.keep_image(connection, self._images, data, self._by(by)))

    def image(self, sha256: str) -> bytes:
        """DataError where it was purged or never kept."""
        return self._images.read(sha256, self._suffix(sha256))

    def image_file(self, sha256: str) -> Path:
        """Where its bytes lie, for who only reads. DataError where it was purged or never kept."""
        return self._images.path(sha256, self._suffix(sha256))

    def _suffix(self, sha256: str) -> str:
        with self._database.reading() as connection:
            if cases.is_deleted(connection, sha256):
                raise DataError("This image was deleted from the review.")
            return cases.suffix_of(connection, sha256)

    def purge_image(self, sha256: str, *, by: str, why: str) -> None:
        """Deletes the bytes. Cases keep the hash, and are shown with a sentence in the image's place."""
        self._database.write(lambda connection: cases.purge_image(connection, sha256, why, self._by(by)))
        self._sweep()

    def deleted(self) -> frozenset[str]:
        """The images that were purged, or taken back by who gave them."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(records.deleted_images()).scalars())

    def withdrawn(self) -> frozenset[str]:
        """The pairs that were taken back by who gave them."""
        query = select(schema.tallies.c.pair_id).where(schema.tallies.c.stage == "withdrawn")
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def purged(self) -> frozenset[str]:
        """The images that were, for good."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(schema.purged_images.c.sha256)).scalars())

    # --- reviewing ----------------------------------------------------------------------

    def next(self, reviewer: str, *, after: str | None = None) -> tuple[Showing, PairView] | None:
        """What the reviewer is to judge; None where their queue is empty.

        The oldest open showing, else a new one. `after` is the pair now on the screen: the one behind it, so that it is
        there before it is asked for. Asking again gives the same until there is a vote.
        """

        def find(connection: Connection) -> tuple[Showing, PairView] | None:
            found = showing.next_showing(connection, self._queue, after, self._by(reviewer))
            return None if found is None else (found, journal.pair_view(connection, found.pair_id))

        return self._database.write(find)

    def showing(self, showing_id: str) -> Showing:
        return self._database.read(showing.find_showing, showing_id)

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
        ballot = voting.Ballot(showing_id, reviewer, choice, key, rubric or {}, comment, seconds)
        return self._database.write(lambda connection: voting.cast(connection, ballot, self._clock()))

    def undo(self, reviewer: str, vote_id: str | None = None) -> Vote | None:
        """The vote that was undone: the newest, or the one that is named. None where there is none.

        Its showing is open again, and comes first in `next`. Undoing a vote twice is one undo.
        """
        return self._database.write(lambda connection: voting.undo(connection, vote_id, self._by(reviewer)))

    def edit(self, pair_id: str, answer_id: str, text: str, *, reviewer: str, key: str) -> Edit:
        """A corrected answer; the newest that was not undone counts, of each reviewer. `key` as for a vote."""
        return self._database.write(
            lambda connection: remarks.edit(connection, pair_id, answer_id, text, key, self._by(reviewer))
        )

    def undo_edit(self, reviewer: str, edit_id: str) -> Edit:
        return self._database.write(lambda connection: remarks.undo_edit(connection, edit_id, self._by(reviewer)))

    def save_draft(self, reviewer: str, pair_id: str, draft: Draft) -> None:
        self._database.write(lambda connection: remarks.save_draft(connection, pair_id, draft, self._by(reviewer)))

    def draft(self, reviewer: str, pair_id: str) -> Draft | None:
        """The newest; None where the reviewer has voted on the pair since, and has not undone it."""
        return self._database.read(remarks.draft, reviewer, pair_id)

    def progress(self, reviewer: str) -> Progress:
        return self._database.read(reading.progress, self._queue, reviewer, self._clock())

    def thumb(self, answer_id: str, *, up: bool, who: str) -> Thumb:
        return self._database.write(lambda connection: remarks.thumb(connection, answer_id, up, self._by(who)))

    def thumbs(self, *, undone: bool = False) -> list[Thumb]:
        """In the order in which they came; with `undone`, also those that were taken back."""
        return self._database.read(remarks.thumbs, undone)

    def opinions(self) -> list[Opinion]:
        """Thumbs that stand, with the model that wrote each answer."""
        return self._database.read(remarks.opinions)

    def take_back(self, gift: str, *, by: str) -> None:
        """A visitor's thumb or correction, by its id: its image is deleted and its pairs are shown to nobody, where
        nothing else that stands needs them. Twice is once.
        """
        self._database.write(lambda connection: gifts.take_back(connection, gift, self._by(by)))
        self._sweep()

    def counts(self) -> Counts:
        """What every page, table and command tells; see there what counts as what."""
        return self._database.read(reading.counts)

    # --- reading ------------------------------------------------------------------------

    def votes(self, *, pair_id: str | None = None, reviewer: str | None = None, undone: bool = False) -> Iterator[Vote]:
        """In the order in which they came; with `undone`, also those that were undone."""
        query = records.vote_query()
        if pair_id is not None:
            query = query.where(schema.votes.c.pair_id == pair_id)
        if reviewer is not None:
            query = query.where(schema.votes.c.reviewer == reviewer)
        if not undone:
            query = query.where(schema.vote_undos.c.vote_id.is_(None))
        yield from map(records.to_vote, self._database.paged(query, schema.votes.c.number))

    def find_vote(self, vote_id: str) -> Vote | None:
        """Also one that was undone."""
        with self._database.reading() as connection:
            row = connection.execute(records.vote_query().where(schema.votes.c.id == vote_id)).one_or_none()
        return None if row is None else records.to_vote(row)

    def last_vote(self, reviewer: str) -> Vote | None:
        """The newest that was not undone: what `undo` takes back."""
        return self._database.read(voting.last_vote, reviewer)

    def edits(self, *, pair_id: str | None = None, undone: bool = False) -> list[Edit]:
        """In the order in which they came."""
        query = records.edit_query()
        if pair_id is not None:
            query = query.where(schema.edits.c.pair_id == pair_id)
        if not undone:
            query = query.where(schema.edit_undos.c.edit_id.is_(None))
        with self._database.reading() as connection:
            return [records.to_edit(row) for row in connection.execute(query)]

    def disagreements(self) -> list[str]:
        """Pairs that reviewers judge differently (first against second, or a tie against either), not adjudicated."""
        return self._database.read(reading.disagreements)

    def adjudication(self, pair_id: str, by: str) -> tuple[Showing, PairView]:
        """A showing on which an admin decides, by `vote`. InputError for who is no admin."""
        made = self._database.write(
            lambda connection: showing.adjudication(connection, self._queue, pair_id, self._by(by))
        )
        return made, self.pair(pair_id)

    def columns(self, *, reviewer: str | None = None) -> DataFrame:
        """Every vote that was not undone, or one reviewer's, in the order in which they came; fast at 250,000 votes.

        Columns: vote; reviewer, pair, choice (first, second, tie, both_bad, skip), left, purpose, kind, source, prefers
        (None where the graph was not asked or prefers neither), gold, diagnosis as categories; margin (NaN where there
        is no proxy); seconds; at (UTC, to the second); first_accuracy ... second_safety (1 to 5, NaN: none).
        """
        from dermiq.review.store.votes_table import columns  # pandas takes half a second

        return self._database.read(columns, reviewer)

    # --- sets ---------------------------------------------------------------------------

    def add_set(
        self, name: str, rule: SetRule, lines: Sequence[Mapping[str, object]], *, digest: str, card: str, by: str
    ) -> FrozenSet:
        """The next version of the name. Lines (JSON objects with `pair`, a pair's id) never change afterwards."""
        return self._database.write(
            lambda connection: set_table.add(connection, name, rule, lines, digest, card, self._by(by))
        )

    def frozen_set(self, name: str, version: int | None = None) -> FrozenSet:
        """The newest without a version. DataError where there is none."""
        return self._database.read(set_table.find, name, version)

    def frozen_sets(self) -> list[FrozenSet]:
        """By name and version."""
        return self._database.read(set_table.every)

    def set_lines(self, name: str, version: int) -> Iterator[Json]:
        self.frozen_set(name, version)
        for row in self._database.paged(set_table.line_query(name, version), schema.set_lines.c.position):
            yield row.line

    # --- inside -------------------------------------------------------------------------

    def _by(self, who: str) -> By:
        return By(who, self._clock())

    def _add_batch(self, batch: Sequence[NewPair], by: str) -> dict[str, int]:
        batch = self._judged(batch)  # before the transaction: others need not wait for the graph
        return self._write_images(
            lambda connection: cases.add_batch(connection, batch, self._images, self._queue.overlap, self._by(by))
        )

    def _judged(self, batch: Sequence[NewPair]) -> Sequence[NewPair]:
        """With the graph's verdict, where there is none and the pair is new."""
        if self._judge is None:
            return batch
        ids = [pair.id for pair in batch]
        with self._database.reading() as connection:
            known = set(connection.execute(select(schema.pairs.c.id).where(schema.pairs.c.id.in_(ids))).scalars())
        return [pair if pair.proxy or pair.id in known else replace(pair, proxy=self._judge(pair)) for pair in batch]

    def _write_images(self, work: Callable[[Connection], T]) -> T:
        """As a write of the database; where it is refused, no image stays whose row was."""
        try:
            return self._database.write(work)
        except Exception:
            self._drop_unnamed()
            raise

    def _drop_unnamed(self) -> None:
        """Deletes images that no row names. Others may be between a file and its row: of SQLite nobody is while this
        writes, of PostgreSQL nobody is for an hour.
        """
        older_s = 0.0 if self.kind == "sqlite" else 3600.0
        if self._images.unnamed((), older_s=older_s):
            with self._database.reading() as connection:
                found = self._images.unnamed(cases.kept_hashes(connection), older_s=older_s)
            if found:
                with self._database.writing() as connection:
                    for path in self._images.unnamed(cases.kept_hashes(connection), older_s=older_s):
                        path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Deletes what was purged or taken back, and what no row names: also where the process died meanwhile."""
        self._drop_unnamed()
        with self._database.reading() as connection:
            for sha256, suffix in cases.deleted_files(connection):
                self._images.delete(sha256, suffix)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The review's folder {folder} cannot be made ({error.strerror}): name another one in DERMIQ_REVIEW.",
            detail=repr(error),
        ) from error


def _batches(pairs: Iterable[NewPair]) -> Iterator[list[NewPair]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, PAGE)):
        yield batch
