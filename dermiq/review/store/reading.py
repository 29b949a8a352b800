"""What the store says of itself: progress, disagreements, the votes as columns; and what is derived, built anew."""

from __future__ import annotations

from datetime import datetime
from statistics import median

from sqlalchemy import Connection, delete, func, insert, select

from dermiq.review.store import queue, schema
from dermiq.review.store.cases import class_counts, fact_query, tally_row
from dermiq.review.store.journal import reviewer_number
from dermiq.review.store.queue import NOTHING_GIVEN, QueueSettings
from dermiq.review.store.schema import Query
from dermiq.review.store.standing import given_of, shown_of
from dermiq.review.store.statements import (
    DONE,
    IS_DECISION,
    IS_SKIP,
    IS_VOTE,
    LEFT_LYING,
    READY,
    SECONDS,
    SKIPPED,
    STILL_OPEN,
    TODAY,
    counted,
)
from dermiq.review.types import Counts, Progress
from dermiq.types import Fields

BATCH = 1_000


# --- progress ---------------------------------------------------------------------------


def progress(connection: Connection, settings: QueueSettings, reviewer: str, at: datetime) -> Progress:
    number = reviewer_number(connection, reviewer)
    who, seen = {"who": reviewer}, {"seen": f"%{queue.among(number)}%"}
    waiting = _count(connection, STILL_OPEN, who)
    done, skipped = _count(connection, DONE, who), _count(connection, SKIPPED, who)
    abandoned = _count(connection, LEFT_LYING, {**seen, **settings.lying(at)})
    left = waiting + _count(connection, READY, seen) + abandoned
    seconds = connection.execute(SECONDS, who).scalars().all()
    each = median(seconds) if seconds else None
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    today = _count(connection, TODAY, {**who, "midnight": midnight})
    minutes = None if each is None else each * left / 60
    return Progress(done, skipped, left, done + left, each, minutes, today)


def counts(connection: Connection) -> Counts:
    votes, skips, decisions = (_count(connection, counted(*what), {}) for what in (IS_VOTE, IS_SKIP, IS_DECISION))
    thumbs, undone = (
        _count(connection, select(func.count()).select_from(table), {}) for table in (schema.thumbs, schema.thumb_undos)
    )
    return Counts(votes, skips, decisions, thumbs - undone)


def _count(connection: Connection, query: Query, values: Fields) -> int:
    return int(connection.execute(query, values).scalar_one())


# --- for the quality --------------------------------------------------------------------


def disagreements(connection: Connection) -> list[str]:
    """The most telling first."""
    tallies = schema.tallies
    query = select(tallies.c.pair_id).where(tallies.c.disputed)
    return list(connection.execute(query.order_by(tallies.c.priority.desc(), tallies.c.pair_id)).scalars())


# --- what is derived --------------------------------------------------------------------


def rebuild(connection: Connection) -> None:
    """Tallies and open showings, anew from what was appended; each class weighs what it weighs now."""
    connection.execute(delete(schema.open_showings))
    connection.execute(delete(schema.tallies))
    _rebuild_open(connection)
    weights = queue.class_weights(class_counts(connection))
    last = connection.execute(select(func.max(schema.pairs.c.number))).scalar() or 0
    for start in range(0, last, BATCH):
        numbers = schema.pairs.c.number
        facts = connection.execute(fact_query().where(numbers > start, numbers <= start + BATCH)).all()
        shown = shown_of(connection, [row.id for row in facts])
        given = given_of(connection, [row.id for row in facts])
        if facts:
            rows = [tally_row(row, weights, shown.get(row.id, []), given.get(row.id, NOTHING_GIVEN)) for row in facts]
            connection.execute(insert(schema.tallies), rows)
    gone = select(schema.tallies.c.pair_id).where(schema.tallies.c.stage == "withdrawn")
    connection.execute(delete(schema.open_showings).where(schema.open_showings.c.pair_id.in_(gone)))


def _rebuild_open(connection: Connection) -> None:
    showings, votes, undos, open_ = schema.showings, schema.votes, schema.vote_undos, schema.open_showings
    standing = (  # "not in" a list of all votes would be read through for every showing by PostgreSQL
        select(votes.c.number)
        .outerjoin(undos, undos.c.vote_id == votes.c.id)
        .where(votes.c.showing_id == showings.c.id, undos.c.vote_id.is_(None))
    )
    found = select(showings.c.number, showings.c.reviewer, showings.c.pair_id).where(
        showings.c.purpose != "adjudication", ~standing.exists()
    )
    connection.execute(insert(open_).from_select(["number", "reviewer", "pair_id"], found))
