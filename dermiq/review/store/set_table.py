"""Frozen sets as they are kept: what is in one is `dermiq.review.sets.freeze`' to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, func, insert, select

from dermiq.errors import DataError
from dermiq.review.store import schema
from dermiq.review.store.journal import By, append
from dermiq.review.store.records import to_set
from dermiq.review.store.schema import Query
from dermiq.review.types import FrozenSet, SetRule


def add(
    connection: Connection,
    name: str,
    rule: SetRule,
    lines: Sequence[Mapping[str, object]],
    digest: str,
    card: str,
    by: By,
) -> FrozenSet:
    """The next version of the name."""
    sets = schema.frozen_sets
    newest = connection.execute(select(func.max(sets.c.version)).where(sets.c.name == name)).scalar() or 0
    made = FrozenSet(name, newest + 1, rule, by.who, by.at, len(lines), digest, card)
    append(connection, sets, asdict(made), by, what="set", subject=f"{name}@{made.version}")
    rows = [
        {"name": name, "version": made.version, "position": position, "pair_id": line["pair"], "line": dict(line)}
        for position, line in enumerate(lines)
    ]
    if rows:
        connection.execute(insert(schema.set_lines), rows)
    return made


def find(connection: Connection, name: str, version: int | None) -> FrozenSet:
    sets = schema.frozen_sets
    query = select(sets).where(sets.c.name == name)
    if version is not None:
        query = query.where(sets.c.version == version)
    row = connection.execute(query.order_by(sets.c.version.desc()).limit(1)).one_or_none()
    if row is None:
        wanted = name if version is None else f"{name}@{version}"
        raise DataError(f"There is no frozen set {wanted}: `python -m dermiq review status` lists them.")
    return to_set(row)


def every(connection: Connection) -> list[FrozenSet]:
    sets = schema.frozen_sets
    return [to_set(row) for row in connection.execute(select(sets).order_by(sets.c.name, sets.c.version))]


def line_query(name: str, version: int) -> Query:
    kept = schema.set_lines
    return select(kept.c.position, kept.c.line).where(kept.c.name == name, kept.c.version == version)
