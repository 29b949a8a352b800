"""What a reviewer is shown next, in its caller's transaction. The rules are `dermiq.review.store.queue`'s.

Requests of one reviewer stand in line at the reviewer: asked twice at once, they are shown one pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select

from dermiq.errors import InputError
from dermiq.review.store import queue, schema
from dermiq.review.store.journal import By, append, new_id, reviewer_number
from dermiq.review.store.people import is_admin
from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.records import to_showing
from dermiq.review.store.standing import lock_pair, refresh, reopen
from dermiq.review.store.statements import (
    ABANDONED,
    GOLD,
    OPEN_SHOWING,
    RECENT,
    REPEATABLE,
    SHOWING,
    SHOWN_SO_FAR,
    WAITING,
    WAITING_FREE,
)
from dermiq.review.types import Purpose, Showing, other


def open_showing(connection: Connection, reviewer: str, after: str | None) -> Showing | None:
    """The oldest that the reviewer has not judged, but for the pair `after`."""
    row = connection.execute(OPEN_SHOWING, {"who": reviewer, "after": after or ""}).one_or_none()
    return None if row is None else to_showing(row)


def next_showing(connection: Connection, settings: QueueSettings, after: str | None, by: By) -> Showing | None:
    """The open one, or a new one; None where there is nothing left."""
    number = reviewer_number(connection, by.who, lock=True)
    found = open_showing(connection, by.who, after)
    if found is not None:
        return found
    shown = connection.execute(SHOWN_SO_FAR, {"who": by.who}).scalar_one()
    for purpose in queue.purposes(settings, by.who, shown):
        pair = _drawn(connection, settings, purpose, number, shown, by)
        if pair is not None:
            return show(connection, settings, pair, purpose, by)
    return None


def _drawn(
    connection: Connection, settings: QueueSettings, purpose: Purpose, number: int, shown: int, by: By
) -> str | None:
    if purpose == "repeat":
        candidates = _repeatable(connection, settings, by.who)
        return queue.repeated(settings, by.who, shown, candidates) if candidates else None
    values = {"seen": f"%{queue.among(number)}%", **settings.lying(by.at)}
    tried = (GOLD,) if purpose == "gold" else (WAITING_FREE, WAITING, ABANDONED)
    found = (connection.execute(statement, values).scalar() for statement in tried)
    return next(filter(None, found), None)


def _repeatable(connection: Connection, settings: QueueSettings, reviewer: str) -> Sequence[str]:
    """Pairs that the reviewer judged `repeat_after` others ago and has not had again."""
    who = {"who": reviewer}
    older = connection.execute(RECENT, {**who, "ago": max(0, settings.repeat_after - 1)}).scalar()
    return connection.execute(REPEATABLE, {**who, "older": older or 0}).scalars().all()


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
    row = connection.execute(SHOWING, {"showing": showing_id}).one_or_none()
    if row is None:
        raise InputError("This pair was not shown by this store: load the page again.")
    return to_showing(row)
