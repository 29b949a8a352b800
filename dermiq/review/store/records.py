"""Rows of the tables as the nouns of the review, and the queries that give such rows. Runs none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, FromClause, Label, Table, func, select

from dermiq.review.store import schema
from dermiq.review.store.schema import Query, SqlColumn, SqlRow
from dermiq.review.types import (
    RUBRIC,
    Edit,
    FrozenSet,
    ImageRef,
    PairView,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    ReviewPair,
    Rubric,
    SetRule,
    Showing,
    Side,
    Vote,
)
from dermiq.types import Json

# --- pairs ------------------------------------------------------------------------------

_FIRST, _SECOND = schema.answers.alias("first_answer"), schema.answers.alias("second_answer")


def _labelled(table: FromClause, prefix: str) -> list[Label[Any]]:
    return [column.label(f"{prefix}_{column.name}") for column in table.c]


@cache
def pair_query() -> Query:
    """A row for each pair: itself, its case, both answers, where it stands."""
    pairs, cases, tallies = schema.pairs, schema.cases, schema.tallies
    columns = [(pairs, "pair"), (cases, "case"), (_FIRST, "one"), (_SECOND, "two")]
    return (
        select(
            *(column for table, prefix in columns for column in _labelled(table, prefix)),
            tallies.c.priority,
            tallies.c.stage,
        )
        .join_from(pairs, cases, pairs.c.case_id == cases.c.id)
        .join(_FIRST, pairs.c.first == _FIRST.c.id)
        .join(_SECOND, pairs.c.second == _SECOND.c.id)
        .join(tallies, tallies.c.pair_id == pairs.c.id)
    )


@cache
def image_query() -> Query:
    shown, gone = schema.case_images, deleted_images().subquery()
    return (
        select(shown, gone.c.sha256.label("purged"))
        .outerjoin(gone, gone.c.sha256 == shown.c.sha256)
        .order_by(shown.c.case_id, shown.c.position)
    )


def withdrawn_images() -> Query:
    """Hashes of images that were taken back by who gave them, and not given again since."""
    states = schema.image_states
    newest = select(func.max(states.c.number)).group_by(states.c.sha256)
    return select(states.c.sha256).where(states.c.number.in_(newest), states.c.state == "withdrawn")


def deleted_images() -> CompoundSelect[Any]:
    """Hashes of images whose bytes are gone, whoever wanted it."""
    return select(schema.purged_images.c.sha256).union(withdrawn_images())


def to_pair_view(row: SqlRow, images: Sequence[SqlRow]) -> PairView:
    return PairView(
        case=_case(row, images),
        first=ReviewAnswer(row.one_id, row.one_case_id, row.one_text, row.one_model, row.one_revision),
        second=ReviewAnswer(row.two_id, row.two_case_id, row.two_text, row.two_model, row.two_revision),
        pair=_pair(row),
        purged=tuple(image.purged for image in images if image.purged),
    )


def _case(row: SqlRow, images: Sequence[SqlRow]) -> ReviewCase:
    boxes = tuple(tuple(image.box) if image.box else None for image in images)
    return ReviewCase(
        id=row.case_id,
        prompt=tuple(row.case_prompt),
        question=row.case_question,
        images=tuple(ImageRef(i.sha256, i.width, i.height, _outline(i.outline)) for i in images),
        boxes=boxes if any(boxes) else (),
        context=row.case_context,
        diagnosis=row.case_diagnosis,
        findings=tuple(row.case_findings),
        group=row.case_group,
        split=row.case_split,
        source=row.case_source,
    )


def _outline(points: Sequence[Sequence[float]] | None) -> tuple[tuple[float, float], ...] | None:
    return None if points is None else tuple((x, y) for x, y in points)


def _pair(row: SqlRow) -> ReviewPair:
    return ReviewPair(
        id=row.pair_id,
        case_id=row.case_id,
        first=row.pair_first,
        second=row.pair_second,
        source=row.pair_source,
        proxy=to_proxy(row.pair_prefers, row.pair_margin, row.pair_decided_by, row.pair_reasons, row.pair_scores),
        gold=row.pair_gold,
        likelier=row.pair_likelier,
        overlap=row.pair_overlap,
        priority=row.priority,
        added_by=row.pair_added_by,
        added_at=row.pair_added_at,
        withdrawn=row.stage == "withdrawn",
    )


def to_proxy(
    prefers: Side | None,
    margin: float | None,
    decided_by: str | None = "",
    reasons: Iterable[str] | None = (),
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> Proxy | None:
    """None without a margin: the graph was not asked."""
    if margin is None:
        return None
    return Proxy(prefers, margin, decided_by or "", tuple(reasons or ()), dict(scores or {}))


# --- showings, votes, edits, sets -------------------------------------------------------


def to_showing(row: SqlRow) -> Showing:
    return Showing(row.id, row.pair_id, row.reviewer, row.purpose, row.left_side, row.at)


@cache
def vote_query() -> Query:
    return _with_undos(schema.votes, schema.vote_undos, schema.vote_undos.c.vote_id)


def to_vote(row: SqlRow) -> Vote:
    return Vote(
        id=row.id,
        showing_id=row.showing_id,
        pair_id=row.pair_id,
        reviewer=row.reviewer,
        choice=row.choice,
        rubric=_rubric(row),
        comment=row.comment,
        seconds=row.seconds,
        at=row.at,
        kind=row.kind,
        left=row.left_side,
        purpose=row.purpose,
        undone_at=row.undone_at,
    )


def vote_row(vote: Vote) -> Json:
    """Its columns, but for the key and the attempt."""
    names = ("id", "showing_id", "pair_id", "reviewer", "choice", "kind", "purpose", "comment", "seconds", "at")
    grades = {f"{side}_{name}": grade for side, names in vote.rubric.items() for name, grade in names.items()}
    return {**{name: getattr(vote, name) for name in names}, "left_side": vote.left, **grades}


def _rubric(row: SqlRow) -> Rubric:
    sides = {
        side: {name: grade for name in RUBRIC if (grade := getattr(row, f"{side}_{name}")) is not None}
        for side in ("first", "second")
    }
    return {side: grades for side, grades in sides.items() if grades}


@cache
def edit_query() -> Query:
    return _with_undos(schema.edits, schema.edit_undos, schema.edit_undos.c.edit_id)


def to_edit(row: SqlRow) -> Edit:
    return Edit(row.id, row.pair_id, row.answer_id, row.reviewer, row.text, row.at, row.undone_at)


def to_set(row: SqlRow) -> FrozenSet:
    return FrozenSet(
        row.name, row.version, SetRule(**row.rule), row.made_by, row.made_at, row.pairs, row.digest, row.card
    )


def _with_undos(made: Table, undos: Table, undone: SqlColumn) -> Query:
    """With when each was undone, in the order in which they came."""
    return select(made, undos.c.at.label("undone_at")).outerjoin(undos, undone == made.c.id).order_by(made.c.number)
