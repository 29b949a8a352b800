"""Where a pair stands (its tally), and which showings wait for a vote: derived, in its caller's transaction.

Two requests that concern one pair stand in line at its tally: what is read behind `lock_pair` holds until the
transaction ends, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import Connection

from dermiq.errors import DataError
from dermiq.review.store import queue
from dermiq.review.store.queue import NOTHING_GIVEN, Given, Shown
from dermiq.review.store.schema import SqlRow
from dermiq.review.store.statements import CLOSE, CORRECTIONS, OPEN, OPINIONS, SHOWN, STANDING, TALLY


def lock_pair(connection: Connection, pair_id: str) -> SqlRow:
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


def given_of(connection: Connection, pairs: Sequence[str]) -> dict[str, Given]:
    """What visitors gave of those pairs that are the consultation's, where they gave anything."""
    opinions: dict[str, list[SqlRow]] = {}
    for row in connection.execute(OPINIONS, {"pairs": list(pairs)}):
        opinions.setdefault(row.pair_id, []).append(row)
    corrected: dict[str, list[bool]] = {}  # whether each correction was undone
    for row in connection.execute(CORRECTIONS, {"pairs": list(pairs)}):
        corrected.setdefault(row.pair_id, []).append(row.undone is not None)
    return {pair: _given(opinions.get(pair, []), corrected.get(pair, [])) for pair in {*opinions, *corrected}}


def _given(opinions: Sequence[SqlRow], corrections: Sequence[bool]) -> Given:
    standing = [row for row in opinions if row.undone is None]
    stands = not all(corrections) or {row.is_first for row in standing} == {True, False}
    taken_back = any(corrections) or len(standing) < len(opinions)
    for_first = sum(bool(row.is_first) == bool(row.up) for row in standing)
    return Given(for_first, len(standing) - for_first, withdrawn=taken_back and not stands)


def refresh(connection: Connection, pair: SqlRow) -> None:
    """The tally of a pair that `lock_pair` gave, anew from what was appended."""
    showings = shown_of(connection, [pair.pair_id]).get(pair.pair_id, [])
    given = NOTHING_GIVEN
    if pair.source == "consultation":
        given = given_of(connection, [pair.pair_id]).get(pair.pair_id, NOTHING_GIVEN)
    tally = queue.tally(pair.overlap, pair.gold, pair.belief, pair.weight, showings, given)
    connection.execute(TALLY, {"pair": pair.pair_id, **asdict(tally)})


def reopen(connection: Connection, showing_id: str) -> None:
    connection.execute(OPEN, {"showing": showing_id})


def close(connection: Connection, showing_id: str) -> None:
    connection.execute(CLOSE, {"showing": showing_id})
