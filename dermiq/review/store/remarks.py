"""Corrected answers, drafts and thumbs, each in its caller's transaction."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, select

from dermiq.errors import InputError
from dermiq.review.store import schema
from dermiq.review.store.gifts import refresh_pairs
from dermiq.review.store.journal import By, append, new_id, plain, reviewer_number
from dermiq.review.store.records import edit_query, made, to_edit, vote_query
from dermiq.review.store.standing import lock_pair, refresh
from dermiq.review.store.voting import check_rubric
from dermiq.review.types import VISITOR, Draft, Edit, Opinion, Thumb
from dermiq.types import Json


def edit(connection: Connection, pair_id: str, answer_id: str, text: str, key: str, by: By) -> Edit:
    """The edit, or the first one with the same key."""
    reviewer_number(connection, by.who)
    pair = lock_pair(connection, pair_id)
    edits = schema.edits
    row = connection.execute(edit_query().where(edits.c.key == key)).one_or_none()
    if row is not None:
        return to_edit(row)
    _check(connection, pair_id, answer_id, text, key)
    made = Edit(new_id(), pair_id, answer_id, by.who, plain(text).strip(), by.at)
    values = {"key": key, **asdict(made)}
    del values["undone_at"]
    append(connection, edits, values, by, what="edit", subject=made.id)
    if by.who == VISITOR:
        refresh(connection, pair)  # it stands on the correction
    return made


def _check(connection: Connection, pair_id: str, answer_id: str, text: str, key: str) -> None:
    pairs, answers = schema.pairs, schema.answers
    sides = connection.execute(select(pairs.c.first, pairs.c.second).where(pairs.c.id == pair_id)).one()
    if answer_id not in sides:
        raise InputError("A correction is of one of the pair's two answers.")
    before = connection.execute(select(answers.c.text).where(answers.c.id == answer_id)).scalar_one()
    if not text.strip() or text.strip() == before.strip():
        raise InputError("A corrected answer is neither empty nor what the model wrote.")
    if not key:
        raise InputError("A correction needs a key of its own, so that sending it twice is one correction.")


def undo_edit(connection: Connection, edit_id: str, by: By) -> Edit:
    edits = schema.edits
    query = edit_query().where(edits.c.id == edit_id, edits.c.reviewer == by.who)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise InputError("There is no such correction of yours.")
    if row.undone_at is not None:
        return to_edit(row)
    values = {"edit_id": edit_id, "who": by.who, "at": by.at}
    append(connection, schema.edit_undos, values, by, what="edit undone", subject=edit_id)
    return to_edit(connection.execute(query).one())


def save_draft(connection: Connection, pair_id: str, draft: Draft, by: By) -> None:
    check_rubric(draft.rubric)
    reviewer_number(connection, by.who)
    lock_pair(connection, pair_id)
    row = {"reviewer": by.who, "pair_id": pair_id, "body": _body(draft), "at": by.at}
    append(connection, schema.drafts, row, by, what="draft", subject=pair_id)


def _body(draft: Draft) -> Json:
    return {
        "rubric": {side: dict(grades) for side, grades in draft.rubric.items()},
        "comment": plain(draft.comment),
        "texts": {side: plain(text) for side, text in draft.texts.items()},
    }


def draft(connection: Connection, reviewer: str, pair_id: str) -> Draft | None:
    """None where the reviewer has voted since."""
    drafts, votes, undos = schema.drafts, schema.votes, schema.vote_undos
    mine = select(drafts).where(drafts.c.reviewer == reviewer, drafts.c.pair_id == pair_id)
    newest = connection.execute(mine.order_by(drafts.c.number.desc()).limit(1)).one_or_none()
    if newest is None:
        return None
    since = vote_query().where(
        votes.c.pair_id == pair_id, votes.c.reviewer == reviewer, votes.c.at >= newest.at, undos.c.vote_id.is_(None)
    )
    return None if connection.execute(since).first() else Draft(**newest.body)


def thumb(connection: Connection, answer_id: str, up: bool, by: By) -> Thumb:
    answers = schema.answers
    case_id = connection.execute(select(answers.c.case_id).where(answers.c.id == answer_id)).scalar()
    if case_id is None:
        raise InputError("The answer of this thumb is not in the store: add it first.")
    made = Thumb(new_id(), answer_id, up, by.who, by.at)
    values = asdict(made)
    del values["undone_at"]
    append(connection, schema.thumbs, values, by, what="thumb", subject=made.id)
    refresh_pairs(connection, case_id)
    return made


def thumbs(connection: Connection, undone: bool) -> list[Thumb]:
    """In the order in which they came; with `undone`, also those that were taken back."""
    given, undos = schema.thumbs, schema.thumb_undos
    query = select(given, undos.c.at.label("undone_at")).outerjoin(undos, undos.c.thumb_id == given.c.id)
    query = query if undone else query.where(undos.c.thumb_id.is_(None))
    rows = connection.execute(query.order_by(given.c.number))
    return [made(Thumb, row) for row in rows]


def opinions(connection: Connection) -> list[Opinion]:
    """What stands of visitors' votes on single answers, by the model that wrote them."""
    made, undos, answers = schema.thumbs, schema.thumb_undos, schema.answers
    query = (
        select(answers.c.model, made.c.up)
        .join_from(made, answers, answers.c.id == made.c.answer_id)
        .outerjoin(undos, undos.c.thumb_id == made.c.id)
        .where(undos.c.thumb_id.is_(None))
        .order_by(made.c.number)
    )
    return [Opinion(row.model, row.up) for row in connection.execute(query)]
