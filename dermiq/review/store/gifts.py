"""What visitors of the consultation gave: opinions on single answers, corrections, and the image with them.

A pair of the consultation stands on what its visitor agreed to: a correction, or an opinion on each of its two answers.
What was taken back is put before nobody and learned from no more; its image goes where nothing else that stands needs
it, and may be given again. Each function runs in its caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select

from dermiq.errors import InputError
from dermiq.review.store import schema
from dermiq.review.store.journal import By, append
from dermiq.review.store.standing import lock_pair, refresh
from dermiq.review.types import VISITOR

_thumbs, _undos = schema.thumbs, schema.thumb_undos
_STANDS: ColumnElement[bool] = _undos.c.thumb_id.is_(None)


def take_back(connection: Connection, gift: str, by: By) -> None:
    """An opinion or a correction, by its id. Taking it back twice is once. InputError where there is none."""
    found = _thumb(connection, gift) or _correction(connection, gift)
    if found is None:
        raise InputError("This is not in the review, so there is nothing to take back.")
    if found.undone is not None:
        return
    table, key = (_undos, "thumb") if found.is_thumb else (schema.edit_undos, "edit")
    row = {f"{key}_id": gift, "who": by.who, "at": by.at}
    append(connection, table, row, by, what=f"{key} undone", subject=gift)
    refresh_pairs(connection, found.case_id)
    _withdraw_images(connection, found.case_id, by)


@dataclass(frozen=True)
class _Found:
    is_thumb: bool
    case_id: str
    undone: Any


def _thumb(connection: Connection, gift: str) -> _Found | None:
    answers = schema.answers
    query = (
        select(answers.c.case_id, _undos.c.thumb_id)
        .join_from(_thumbs, answers, answers.c.id == _thumbs.c.answer_id)
        .outerjoin(_undos, _undos.c.thumb_id == _thumbs.c.id)
        .where(_thumbs.c.id == gift)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _Found(True, row.case_id, row.thumb_id)


def _correction(connection: Connection, gift: str) -> _Found | None:
    edits, undos, pairs = schema.edits, schema.edit_undos, schema.pairs
    query = (
        select(pairs.c.case_id, undos.c.edit_id)
        .join_from(edits, pairs, pairs.c.id == edits.c.pair_id)
        .outerjoin(undos, undos.c.edit_id == edits.c.id)
        .where(edits.c.id == gift, edits.c.reviewer == VISITOR)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _Found(False, row.case_id, row.edit_id)


def refresh_pairs(connection: Connection, case_id: str) -> None:
    """The tallies of a case's pairs, after an opinion on one of its answers; nobody is shown a pair that went."""
    pairs, opened, tallies = schema.pairs, schema.open_showings, schema.tallies
    for pair_id in connection.execute(select(pairs.c.id).where(pairs.c.case_id == case_id)).scalars().all():
        refresh(connection, lock_pair(connection, pair_id))
        gone = select(tallies.c.pair_id).where(tallies.c.pair_id == pair_id, tallies.c.stage == "withdrawn")
        connection.execute(delete(opened).where(opened.c.pair_id.in_(gone)))


# --- images -----------------------------------------------------------------------------


def _withdraw_images(connection: Connection, case_id: str, by: By) -> None:
    """Those of the case that nothing needs any more; the files go when this is durable."""
    shown, kept = schema.case_images, schema.kept_images
    query = select(shown.c.sha256).join(kept, kept.c.sha256 == shown.c.sha256).where(shown.c.case_id == case_id)
    for sha256 in connection.execute(query).scalars().all():
        if not _is_needed(connection, sha256) and not is_withdrawn(connection, sha256):
            row = {"sha256": sha256, "state": "withdrawn", "who": by.who, "at": by.at}
            append(connection, schema.image_states, row, by, what="image withdrawn", subject=sha256)


def _is_needed(connection: Connection, sha256: str) -> bool:
    """By a pair or an opinion that stands."""
    cases = select(schema.case_images.c.case_id).where(schema.case_images.c.sha256 == sha256)
    pairs, tallies, answers = schema.pairs, schema.tallies, schema.answers
    paired = (
        select(pairs.c.id)
        .join(tallies, tallies.c.pair_id == pairs.c.id)
        .where(pairs.c.case_id.in_(cases), tallies.c.stage != "withdrawn")
    )
    told = (
        select(_thumbs.c.id)
        .join(answers, answers.c.id == _thumbs.c.answer_id)
        .outerjoin(_undos, _undos.c.thumb_id == _thumbs.c.id)
        .where(answers.c.case_id.in_(cases), _STANDS)
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in (paired, told))


def is_withdrawn(connection: Connection, sha256: str) -> bool:
    states = schema.image_states
    query = select(states.c.state).where(states.c.sha256 == sha256).order_by(states.c.number.desc()).limit(1)
    return connection.execute(query).scalar() == "withdrawn"


def return_image(connection: Connection, sha256: str, by: By) -> None:
    """Given again, where it was taken back."""
    if is_withdrawn(connection, sha256):
        row = {"sha256": sha256, "state": "returned", "who": by.who, "at": by.at}
        append(connection, schema.image_states, row, by, what="image returned", subject=sha256)
