"""The one way to append a row, and what everything else is read by: reviewers' numbers and pairs as the page sees them.

Knows no rule of the queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, Table, select

from dermiq.errors import DataError, InputError
from dermiq.review.store import schema
from dermiq.review.store.records import to_pair_view
from dermiq.review.store.schema import SqlRow
from dermiq.review.store.statements import IMAGES, PAIR, REVIEWER, REVIEWER_LOCKED, into
from dermiq.review.types import PairView
from dermiq.types import Fields


@dataclass(frozen=True)
class By:
    """Who does it, and when."""

    who: str
    at: datetime


def new_id() -> str:
    return uuid4().hex


def append(connection: Connection, table: Table, values: Fields, by: By, *, what: str, subject: str) -> None:
    """A row, and the line of the log that says so."""
    connection.execute(into(table), values)
    connection.execute(into(schema.changes), {"at": by.at, "who": by.who, "what": what, "subject": subject})


def append_new(
    connection: Connection,
    table: Table,
    rows: Mapping[str, Mapping[str, object]],
    by: By,
    *,
    what: str,
    key: str = "id",
) -> list[str]:
    """Those of the rows (by key) that are not there yet; which these were."""
    column = table.c[key]
    known = set(connection.execute(select(column).where(column.in_(rows))).scalars()) if rows else set()
    new = [name for name in rows if name not in known]
    if new:
        connection.execute(into(table), [dict(rows[name]) for name in new])
        log = [{"at": by.at, "who": by.who, "what": what, "subject": name} for name in new]
        connection.execute(into(schema.changes), log)
    return new


def plain(text: str) -> str:
    """Without what a database cannot keep: zero bytes and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def reviewer_number(connection: Connection, name: str, *, lock: bool = False) -> int:
    """With `lock`, nobody else does anything for this reviewer until the transaction ends. InputError where unknown."""
    number = connection.execute(REVIEWER_LOCKED if lock else REVIEWER, {"who": name}).scalar()
    if number is None:
        raise InputError(f"There is no reviewer named {name!r}: an admin can add them.")
    return int(number)


def pair_views(connection: Connection, rows: Sequence[SqlRow]) -> list[PairView]:
    """Of rows of `pair_query`."""
    images: dict[str, list[SqlRow]] = {}
    for image in connection.execute(IMAGES, {"cases": list({row.case_id for row in rows})}):
        images.setdefault(image.case_id, []).append(image)
    return [to_pair_view(row, images.get(row.case_id, [])) for row in rows]


def pair_view(connection: Connection, pair_id: str) -> PairView:
    row = connection.execute(PAIR, {"pair": pair_id}).one_or_none()
    if row is None:
        raise DataError(f"There is no pair {pair_id}.")
    return pair_views(connection, [row])[0]
