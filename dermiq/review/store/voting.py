"""Votes and their undoing, each in its caller's transaction. Knows no file and no page."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dermiq.errors import InputError
from dermiq.review.store import schema
from dermiq.review.store.journal import By, append, new_id, plain, reviewer_number
from dermiq.review.store.people import is_admin
from dermiq.review.store.records import to_vote, vote_query, vote_row
from dermiq.review.store.showing import find_showing
from dermiq.review.store.standing import close, lock_pair, refresh, reopen
from dermiq.review.store.statements import LAST_VOTE, VOTES_BEFORE
from dermiq.review.types import CHOICES, RUBRIC, Choice, Rubric, Showing, Vote


@dataclass(frozen=True)
class Ballot:
    """A vote as the client sends it: sides as they were shown."""

    showing_id: str
    reviewer: str
    choice: Choice
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


def cast(connection: Connection, ballot: Ballot, at: datetime) -> Vote:
    """The vote, or the first one with the same key."""
    showing = find_showing(connection, ballot.showing_id)
    if showing.reviewer != ballot.reviewer:
        raise InputError("This pair was shown to another reviewer: sign in again.")
    pair = lock_pair(connection, showing.pair_id)
    before = connection.execute(VOTES_BEFORE, {"showing": ballot.showing_id, "sent": ballot.key}).all()
    for row in before:
        if row.key == ballot.key and row.showing_id != ballot.showing_id:
            raise InputError("The key of this vote was used for another pair: each vote needs its own.")
        if row.key == ballot.key:
            return to_vote(row)
    if any(row.undone_at is None for row in before):
        raise InputError("You have judged this pair already: undo that vote before you judge it again.")
    if pair.stage == "withdrawn":
        raise InputError("Whoever gave this pair took it back. It needs no vote; the next one comes.")
    if showing.purpose == "adjudication":
        _check_decision(connection, ballot)
    vote = _append_vote(connection, ballot, showing, attempt=len(before), at=at)
    close(connection, showing.id)
    refresh(connection, pair)
    return vote


def _check_decision(connection: Connection, ballot: Ballot) -> None:
    if not is_admin(connection, ballot.reviewer):
        raise InputError("Only an admin decides where reviewers disagree.")
    if ballot.choice == "skip":
        raise InputError("Skipping decides nothing: choose, or leave the pair for later.")


def _append_vote(connection: Connection, ballot: Ballot, showing: Showing, *, attempt: int, at: datetime) -> Vote:
    vote = Vote(
        id=new_id(),
        showing_id=showing.id,
        pair_id=showing.pair_id,
        reviewer=showing.reviewer,
        choice=showing.voted(ballot.choice),
        rubric={showing.side(shown): dict(grades) for shown, grades in ballot.rubric.items() if grades},
        comment=plain(ballot.comment),
        seconds=ballot.seconds,
        at=at,
        kind="adjudication" if showing.purpose == "adjudication" else "review",
        left=showing.left,
        purpose=showing.purpose,
    )
    row = {**vote_row(vote), "key": ballot.key, "attempt": attempt}
    append(connection, schema.votes, row, By(showing.reviewer, at), what="vote", subject=vote.id)
    return vote


def undo(connection: Connection, vote_id: str | None, by: By) -> Vote | None:
    reviewer_number(connection, by.who, lock=True)
    found = _named(connection, by.who, vote_id) if vote_id else last_vote(connection, by.who)
    if found is None or found.undone_at is not None:
        return found
    pair = lock_pair(connection, found.pair_id)
    row = {"vote_id": found.id, "who": by.who, "at": by.at}
    append(connection, schema.vote_undos, row, by, what="undo", subject=found.id)
    if found.kind == "review" and pair.stage != "withdrawn":
        reopen(connection, found.showing_id)
    refresh(connection, pair)
    return replace(found, undone_at=by.at)


def last_vote(connection: Connection, reviewer: str) -> Vote | None:
    """The newest of the reviewer's that was not undone."""
    row = connection.execute(LAST_VOTE, {"who": reviewer}).one_or_none()
    return None if row is None else to_vote(row)


def _named(connection: Connection, reviewer: str, vote_id: str) -> Vote:
    votes = schema.votes
    row = connection.execute(vote_query().where(votes.c.reviewer == reviewer, votes.c.id == vote_id)).one_or_none()
    if row is None:
        raise InputError("There is no such vote of yours.")
    return to_vote(row)
