"""Where a pair stands (its tally), and which showings wait for a vote: derived, in its caller's transaction.

Two requests that concern one pair stand in line at its tally: what is read behind `lock_pair` holds until the
transaction ends, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from dermiq.errors import DataError
from dermiq.review import queue, schema
from dermiq.review.queue import Shown


@cache
def _standing_query() -> Select[Any]:
    pairs, tallies = schema.pairs, schema.tallies
    return (
        select(tallies.c.pair_id, tallies.c.belief, tallies.c.weight, pairs.c.overlap, pairs.c.gold)
        .join(pairs, pairs.c.id == tallies.c.pair_id)
        .with_for_update(of=tallies, key_share=True)
    )


def lock_pair(connection: Connection, pair_id: str) -> Row[Any]:
    """What `refresh` needs of the pair. DataError where there is none."""
    row = connection.execute(_standing_query().where(schema.tallies.c.pair_id == pair_id)).one_or_none()
    if row is None:
        raise DataError(f"There is no pair {pair_id}.")
    return row


@cache
def _shown_query() -> Select[Any]:
    """Showings of pairs, each with its vote that was not undone, in the order of those votes."""
    showings, votes, undos, reviewers = schema.showings, schema.votes, schema.vote_undos, schema.reviewers
    live = select(votes).outerjoin(undos, undos.c.vote_id == votes.c.id).where(undos.c.vote_id.is_(None)).subquery()
    return (
        select(showings.c.pair_id, showings.c.purpose, reviewers.c.number, showings.c.at, live.c.choice)
        .join(reviewers, reviewers.c.name == showings.c.reviewer)
        .outerjoin(live, live.c.showing_id == showings.c.id)
        .order_by(live.c.number, showings.c.number)
    )


def shown_of(connection: Connection, pairs: Iterable[str]) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for pair_id, *rest in connection.execute(_shown_query().where(schema.showings.c.pair_id.in_(pairs))):
        found.setdefault(pair_id, []).append(Shown(*rest))
    return found


def refresh(connection: Connection, pair: Row[Any]) -> None:
    """The tally of a pair that `lock_pair` gave, anew from what was appended."""
    showings = shown_of(connection, [pair.pair_id]).get(pair.pair_id, [])
    tally = queue.tally(pair.overlap, pair.gold, pair.belief, pair.weight, showings)
    tallies = schema.tallies
    connection.execute(update(tallies).where(tallies.c.pair_id == pair.pair_id).values(asdict(tally)))


def reopen(connection: Connection, showing_id: str) -> None:
    showings, open_ = schema.showings, schema.open_showings
    found = select(showings.c.number, showings.c.reviewer, showings.c.pair_id).where(showings.c.id == showing_id)
    connection.execute(insert(open_).from_select(["number", "reviewer", "pair_id"], found))


def close(connection: Connection, showing_id: str) -> None:
    showings, open_ = schema.showings, schema.open_showings
    number = select(showings.c.number).where(showings.c.id == showing_id).scalar_subquery()
    connection.execute(delete(open_).where(open_.c.number == number))
