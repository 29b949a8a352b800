"""Showings, votes, edits and drafts, each in its caller's transaction. Knows no file and no page.

Two requests that concern one pair stand in line at its tally (and those of one reviewer for the next pair at the
reviewer): what is read afterwards holds until the transaction ends, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update

from dermiq.errors import DataError, InputError
from dermiq.review import queue, schema
from dermiq.review.people import is_admin
from dermiq.review.queue import QueueSettings, Shown
from dermiq.review.records import By, append, new_id, plain, reviewer_number, to_showing, to_vote, vote_query
from dermiq.review.types import CHOICES, RUBRIC, Purpose, Rubric, Showing, Side, Vote, other

REPEATED_FROM = 500  # of the pairs that could be repeated, the newest


# --- what is next -----------------------------------------------------------------------


def open_showing(connection: Connection, reviewer: str, after: str | None) -> Showing | None:
    """The oldest that the reviewer has not judged, but for the pair `after`."""
    showings, open_ = schema.showings, schema.open_showings
    query = (
        select(showings)
        .join(open_, open_.c.number == showings.c.number)
        .where(open_.c.reviewer == reviewer, open_.c.pair_id != (after or ""))
        .order_by(open_.c.number)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else to_showing(row)


def next_showing(connection: Connection, settings: QueueSettings, after: str | None, by: By) -> Showing | None:
    """The open one, or a new one; None where there is nothing left."""
    number = reviewer_number(connection, by.who, lock=True)
    found = open_showing(connection, by.who, after)
    if found is not None:
        return found
    showings = schema.showings
    shown = connection.execute(select(func.count()).where(showings.c.reviewer == by.who)).scalar_one()
    for purpose in queue.purposes(settings, by.who, shown):
        pair = _drawn(connection, settings, purpose, number, shown, by)
        if pair is not None:
            return show(connection, settings, pair, purpose, by)
    return None


def _drawn(
    connection: Connection, settings: QueueSettings, purpose: Purpose, number: int, shown: int, by: By
) -> str | None:
    tallies = schema.tallies
    if purpose == "repeat":
        candidates = _repeatable(connection, settings, by.who)
        return queue.repeated(settings, by.who, shown, candidates) if candidates else None
    if purpose == "gold":
        return _foremost(connection, number, tallies.c.stage == "gold")
    abandoned = and_(tallies.c.stage == "held", tallies.c.shown_at < by.at - settings.held)
    return _foremost(connection, number, tallies.c.stage == "waiting") or _foremost(connection, number, abandoned)


def _foremost(connection: Connection, number: int, condition: ColumnElement[bool]) -> str | None:
    """The first of the queue that the reviewer has not seen; on PostgreSQL nobody else is drawing it."""
    tallies = schema.tallies
    query = (
        select(tallies.c.pair_id)
        .where(condition, ~tallies.c.seen_by.contains(queue.among(number)))
        .order_by(*(tallies.c[name].desc() for name in ("begun", "priority", "seen_by", "pair_id")))
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return connection.execute(query).scalar()


def _repeatable(connection: Connection, settings: QueueSettings, reviewer: str) -> list[str]:
    """Pairs that the reviewer judged and did not skip, `repeat_after` others ago, and has not had again."""
    showings, votes, undos = schema.showings, schema.votes, schema.vote_undos
    mine = select(showings.c.number).where(showings.c.reviewer == reviewer).order_by(showings.c.number.desc())
    oldest = connection.execute(mine.offset(max(0, settings.repeat_after - 1)).limit(1)).scalar()
    again = showings.alias("again")
    query = (
        select(showings.c.pair_id)
        .join(votes, votes.c.showing_id == showings.c.id)
        .outerjoin(undos, undos.c.vote_id == votes.c.id)
        .where(
            showings.c.reviewer == reviewer,
            showings.c.number < (oldest or 0),
            showings.c.purpose == "first",
            undos.c.vote_id.is_(None),
            votes.c.choice != "skip",
            ~exists().where(
                again.c.reviewer == reviewer, again.c.pair_id == showings.c.pair_id, again.c.purpose == "repeat"
            ),
        )
        .order_by(showings.c.number.desc())
        .limit(REPEATED_FROM)
    )
    return list(connection.execute(query).scalars())


def show(connection: Connection, settings: QueueSettings, pair_id: str, purpose: Purpose, by: By) -> Showing:
    lock_pair(connection, pair_id)
    left = queue.left_side(settings, by.who, pair_id)
    showing = Showing(new_id(), pair_id, by.who, purpose, other(left) if purpose == "repeat" else left, by.at)
    row = {**asdict(showing), "left_side": showing.left}
    del row["left"]
    append(connection, schema.showings, row, by, what="showing", subject=showing.id)
    if purpose != "adjudication":
        _open(connection, showing.id)
    refresh(connection, pair_id)
    return showing


def adjudication(connection: Connection, settings: QueueSettings, pair_id: str, by: By) -> Showing:
    """The showing on which this admin decides about the pair, made where it is not there."""
    if not is_admin(connection, by.who):
        raise InputError("Only an admin decides where reviewers disagree.")
    lock_pair(connection, pair_id)
    showings = schema.showings
    mine = (showings.c.reviewer == by.who, showings.c.pair_id == pair_id, showings.c.purpose == "adjudication")
    row = connection.execute(select(showings).where(*mine)).one_or_none()
    return to_showing(row) if row else show(connection, settings, pair_id, "adjudication", by)


def _open(connection: Connection, showing_id: str) -> None:
    showings, open_ = schema.showings, schema.open_showings
    found = select(showings.c.number, showings.c.reviewer, showings.c.pair_id).where(showings.c.id == showing_id)
    connection.execute(insert(open_).from_select(["number", "reviewer", "pair_id"], found))


def _close(connection: Connection, showing_id: str) -> None:
    showings, open_ = schema.showings, schema.open_showings
    number = select(showings.c.number).where(showings.c.id == showing_id).scalar_subquery()
    connection.execute(delete(open_).where(open_.c.number == number))


# --- where a pair stands ----------------------------------------------------------------


def lock_pair(connection: Connection, pair_id: str) -> None:
    """DataError where there is no such pair."""
    tallies = schema.tallies
    query = select(tallies.c.pair_id).where(tallies.c.pair_id == pair_id).with_for_update(key_share=True)
    if connection.execute(query).scalar() is None:
        raise DataError(f"There is no pair {pair_id}.")


def shown_of(connection: Connection, condition: ColumnElement[bool]) -> dict[str, list[Shown]]:
    """The showings of pairs, each with its vote that was not undone, in the order of those votes."""
    showings, votes, undos, reviewers = schema.showings, schema.votes, schema.vote_undos, schema.reviewers
    live = select(votes).outerjoin(undos, undos.c.vote_id == votes.c.id).where(undos.c.vote_id.is_(None)).subquery()
    query = (
        select(showings.c.pair_id, showings.c.purpose, reviewers.c.number, showings.c.at, live.c.choice)
        .join(reviewers, reviewers.c.name == showings.c.reviewer)
        .outerjoin(live, live.c.showing_id == showings.c.id)
        .where(condition)
        .order_by(live.c.number, showings.c.number)
    )
    found: dict[str, list[Shown]] = {}
    for pair_id, *rest in connection.execute(query):
        found.setdefault(pair_id, []).append(Shown(*rest))
    return found


def refresh(connection: Connection, pair_id: str) -> None:
    """The pair's tally, anew from what was appended."""
    pairs, tallies = schema.pairs, schema.tallies
    query = select(pairs.c.overlap, pairs.c.gold, tallies.c.belief, tallies.c.weight)
    facts = connection.execute(query.join(tallies, tallies.c.pair_id == pairs.c.id).where(pairs.c.id == pair_id)).one()
    showings = shown_of(connection, schema.showings.c.pair_id == pair_id).get(pair_id, [])
    tally = queue.tally(facts.overlap, facts.gold, facts.belief, facts.weight, showings)
    connection.execute(update(tallies).where(tallies.c.pair_id == pair_id).values(asdict(tally)))


# --- votes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ballot:
    """A vote as the client sends it: sides as they were shown."""

    showing_id: str
    reviewer: str
    choice: str
    key: str
    rubric: Rubric
    comment: str
    seconds: float

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise InputError(f"A vote is one of {', '.join(CHOICES)}, not {self.choice!r}.")
        if not self.key:
            raise InputError("A vote needs a key of its own, so that sending it twice is one vote.")
        if not 0 <= self.seconds < math.inf:
            raise InputError(f"A vote took {self.seconds} seconds, which cannot be.")
        check_rubric(self.rubric)


def check_rubric(rubric: Rubric) -> None:
    for side, grades in rubric.items():
        if side not in ("a", "b"):
            raise InputError(f"A rubric grades the sides 'a' and 'b', not {side!r}.")
        for name, grade in grades.items():
            if name not in RUBRIC or isinstance(grade, bool) or grade not in range(1, 6):
                raise InputError(f"A rubric grades {', '.join(RUBRIC)} from 1 to 5, not {name} with {grade!r}.")


def find_showing(connection: Connection, showing_id: str) -> Showing:
    row = connection.execute(select(schema.showings).where(schema.showings.c.id == showing_id)).one_or_none()
    if row is None:
        raise InputError("This pair was not shown by this store: load the page again.")
    return to_showing(row)


def cast(connection: Connection, ballot: Ballot, at: datetime) -> Vote:
    """The vote, or the first one with the same key."""
    showing = find_showing(connection, ballot.showing_id)
    if showing.reviewer != ballot.reviewer:
        raise InputError("This pair was shown to another reviewer: sign in again.")
    lock_pair(connection, showing.pair_id)
    if (first := _with_key(connection, ballot)) is not None:
        return first
    if showing.purpose == "adjudication":
        _check_decision(connection, ballot)
    before = _votes_on(connection, showing)
    if any(vote.undone_at is None for vote in before):
        raise InputError("You have judged this pair already: undo that vote before you judge it again.")
    vote = _append_vote(connection, ballot, showing, attempt=len(before), at=at)
    _close(connection, showing.id)
    refresh(connection, showing.pair_id)
    return vote


def _with_key(connection: Connection, ballot: Ballot) -> Vote | None:
    row = connection.execute(vote_query().where(schema.votes.c.key == ballot.key)).one_or_none()
    if row is None:
        return None
    if row.showing_id != ballot.showing_id:
        raise InputError("The key of this vote was used for another pair: each vote needs its own.")
    return to_vote(row)


def _check_decision(connection: Connection, ballot: Ballot) -> None:
    if not is_admin(connection, ballot.reviewer):
        raise InputError("Only an admin decides where reviewers disagree.")
    if ballot.choice == "skip":
        raise InputError("Skipping decides nothing: choose, or leave the pair for later.")


def _votes_on(connection: Connection, showing: Showing) -> list[Vote]:
    return [to_vote(row) for row in connection.execute(vote_query().where(schema.votes.c.showing_id == showing.id))]


def _append_vote(connection: Connection, ballot: Ballot, showing: Showing, *, attempt: int, at: datetime) -> Vote:
    grades = _grades(ballot.rubric, showing)
    row: dict[str, Any] = {
        "id": new_id(),
        "key": ballot.key,
        "showing_id": showing.id,
        "attempt": attempt,
        "pair_id": showing.pair_id,
        "reviewer": showing.reviewer,
        "choice": showing.side(ballot.choice) if ballot.choice in ("a", "b") else ballot.choice,
        "kind": "adjudication" if showing.purpose == "adjudication" else "review",
        "comment": plain(ballot.comment),
        "seconds": ballot.seconds,
        "at": at,
        **{f"{side}_{name}": grade for side, names in grades.items() for name, grade in names.items()},
    }
    append(connection, schema.votes, row, By(showing.reviewer, at), what="vote", subject=row["id"])
    return to_vote(connection.execute(vote_query().where(schema.votes.c.id == row["id"])).one())


def _grades(rubric: Rubric, showing: Showing) -> Mapping[Side, Mapping[str, int]]:
    return {showing.side(shown): grades for shown, grades in rubric.items()}


def undo(connection: Connection, vote_id: str | None, by: By) -> Vote | None:
    reviewer_number(connection, by.who, lock=True)
    found = _vote_to_undo(connection, by.who, vote_id)
    if found is None or found.undone_at is not None:
        return found
    lock_pair(connection, found.pair_id)
    row = {"vote_id": found.id, "who": by.who, "at": by.at}
    append(connection, schema.vote_undos, row, by, what="undo", subject=found.id)
    if found.kind == "review":
        _open(connection, found.showing_id)
    refresh(connection, found.pair_id)
    return to_vote(connection.execute(vote_query().where(schema.votes.c.id == found.id)).one())


def _vote_to_undo(connection: Connection, reviewer: str, vote_id: str | None) -> Vote | None:
    votes, undos = schema.votes, schema.vote_undos
    query = vote_query().where(votes.c.reviewer == reviewer)
    if vote_id is None:
        newest = query.where(undos.c.vote_id.is_(None)).order_by(None).order_by(votes.c.number.desc()).limit(1)
        row = connection.execute(newest).one_or_none()
        return None if row is None else to_vote(row)
    row = connection.execute(query.where(votes.c.id == vote_id)).one_or_none()
    if row is None:
        raise InputError("There is no such vote of yours.")
    return to_vote(row)
