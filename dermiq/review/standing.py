"""Where a pair stands (its tally), and which showings wait for a vote: derived, in its caller's transaction.

Two requests that concern one pair stand in line at its tally: what is read behind `lock_pair` holds until the
transaction ends, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from dermiq.errors import DataError
from dermiq.review import queue
from dermiq.review.queue import Shown
from dermiq.review.statements import CLOSE, OPEN, SHOWN, STANDING, TALLY


def lock_pair(connection: Connection, pair_id: str) -> Any:
    """The row that `refresh` needs of the pair. DataError where there is none."""
    row = connection.execute(STANDING, {"pair": pair_id}).one_or_none()
    if row is None:
        raise DataError(f"There is no pair {pair_id}.")
    return row


def shown_of(connection: Connection, pairs: Iterable[str]) -> dict[str, list[Shown]]:
    """The showings of pairs, in the order of the votes that were not undone."""
    found: dict[str, dict[str, Shown]] = {}
    for row in connection.execute(SHOWN, {"pairs": list(pairs)}):
        of_pair = found.setdefault(row.pair_id, {})
        if row.undone is None:
            of_pair.pop(row.id, None)  # without its vote that was undone: it goes to the end
            of_pair[row.id] = Shown(row.purpose, row.number, row.at, row.choice)
        else:
            of_pair.setdefault(row.id, Shown(row.purpose, row.number, row.at, None))
    return {pair_id: list(showings.values()) for pair_id, showings in found.items()}


def refresh(connection: Connection, pair: Any) -> None:
    """The tally of a pair that `lock_pair` gave, anew from what was appended."""
    showings = shown_of(connection, [pair.pair_id]).get(pair.pair_id, [])
    tally = queue.tally(pair.overlap, pair.gold, pair.belief, pair.weight, showings)
    connection.execute(TALLY, {"pair": pair.pair_id, **asdict(tally)})


def reopen(connection: Connection, showing_id: str) -> None:
    connection.execute(OPEN, {"showing": showing_id})


def close(connection: Connection, showing_id: str) -> None:
    connection.execute(CLOSE, {"showing": showing_id})
