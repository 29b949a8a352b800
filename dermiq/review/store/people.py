"""Reviewers and their roles, each in its caller's transaction. A role is what its newest row says."""

from __future__ import annotations

from typing import get_args

from sqlalchemy import Connection, func, select

from dermiq.errors import InputError
from dermiq.review.store import schema
from dermiq.review.store.journal import By, append, plain, reviewer_number
from dermiq.review.store.records import made
from dermiq.review.store.schema import Query
from dermiq.review.types import Reviewer, Role

MAX_NAME = 80  # characters


def all_reviewers(connection: Connection) -> list[Reviewer]:
    return [made(Reviewer, row) for row in connection.execute(_query())]


def find(connection: Connection, name: str) -> Reviewer | None:
    row = connection.execute(_query().where(schema.reviewers.c.name == name)).one_or_none()
    return None if row is None else made(Reviewer, row)


def add(connection: Connection, name: str, role: Role, by: By) -> Reviewer:
    """The one who is there, where the name is known."""
    name = plain(name).strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InputError(f"A reviewer's name has 1 to {MAX_NAME} characters, in one line.")
    known = find(connection, name)
    if known is not None:
        return known
    row = {"name": name, "added_by": by.who, "added_at": by.at}
    append(connection, schema.reviewers, row, by, what="reviewer", subject=name)
    return set_role(connection, name, role, by)


def set_role(connection: Connection, name: str, role: Role, by: By) -> Reviewer:
    if role not in get_args(Role):
        raise InputError(f"A reviewer's role is one of {', '.join(get_args(Role))}, not {role!r}.")
    reviewer_number(connection, name, lock=True)
    row = {"reviewer": name, "role": role, "set_by": by.who, "set_at": by.at}
    append(connection, schema.roles, row, by, what="role", subject=name)
    found = find(connection, name)
    assert found is not None
    return found


def is_admin(connection: Connection, name: str) -> bool:
    found = find(connection, name)
    return found is not None and found.role == "admin"


def _query() -> Query:
    reviewers, roles = schema.reviewers, schema.roles
    newest = select(func.max(roles.c.number)).group_by(roles.c.reviewer)
    return (
        select(reviewers, roles.c.role)
        .join(roles, roles.c.reviewer == reviewers.c.name)
        .where(roles.c.number.in_(newest))
        .order_by(reviewers.c.number)
    )
