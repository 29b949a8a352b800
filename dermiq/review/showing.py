"""What a reviewer is shown next, in its caller's transaction. The rules are `dermiq.review.queue`'s.

Requests of one reviewer stand in line at the reviewer: asked twice at once, they are shown one pair.
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from dermiq.errors import InputError
from dermiq.review import queue, schema
from dermiq.review.people import is_admin
from dermiq.review.queue import QueueSettings
from dermiq.review.records import By, append, new_id, reviewer_number, to_showing
from dermiq.review.standing import lock_pair, refresh, reopen
from dermiq.review.types import Purpose, Showing, other

REPEATED_FROM = 500  # of the pairs that could be repeated, the newest


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
    """The first of the queue that the reviewer has not seen; who else is drawing it has drawn it."""
    tallies = schema.tallies
    query = (
        select(tallies.c.pair_id)
        .where(condition, ~tallies.c.seen_by.contains(queue.among(number)))
        .order_by(*(tallies.c[name].desc() for name in ("begun", "priority", "seen_by", "pair_id")))
        .limit(1)
        .with_for_update(key_share=True)
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
    pair = lock_pair(connection, pair_id)
    left = queue.left_side(settings, by.who, pair_id)
    showing = Showing(new_id(), pair_id, by.who, purpose, other(left) if purpose == "repeat" else left, by.at)
    row = {**asdict(showing), "left_side": showing.left}
    del row["left"]
    append(connection, schema.showings, row, by, what="showing", subject=showing.id)
    if purpose != "adjudication":
        reopen(connection, showing.id)
    refresh(connection, pair)
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


def find_showing(connection: Connection, showing_id: str) -> Showing:
    row = connection.execute(select(schema.showings).where(schema.showings.c.id == showing_id)).one_or_none()
    if row is None:
        raise InputError("This pair was not shown by this store: load the page again.")
    return to_showing(row)
