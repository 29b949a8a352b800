"""Rows of the tables as the nouns of the review, and the queries that give such rows. Runs none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

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

T = TypeVar("T")

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
        first=made(ReviewAnswer, row, "one_"),
        second=made(ReviewAnswer, row, "two_"),
        pair=_pair(row),
        purged=tuple(image.purged for image in images if image.purged),
    )


def made(kind: type[T], row: SqlRow, prefix: str = "", **others: object) -> T:
    """The noun whose fields are columns of the row, but for the `others`."""
    names = (entry.name for entry in fields(kind) if entry.name not in others)  # type: ignore[arg-type]
    return kind(**{name: getattr(row, prefix + name) for name in names}, **others)


def _case(row: SqlRow, images: Sequence[SqlRow]) -> ReviewCase:
    boxes = tuple(tuple(image.box) if image.box else None for image in images)
    return made(
        ReviewCase,
        row,
        "case_",
        prompt=tuple(row.case_prompt),
        images=tuple(ImageRef(i.sha256, i.width, i.height, _outline(i.outline)) for i in images),
        boxes=boxes if any(boxes) else (),
        findings=tuple(row.case_findings),
    )


def _outline(points: Sequence[Sequence[float]] | None) -> tuple[tuple[float, float], ...] | None:
    return None if points is None else tuple((x, y) for x, y in points)


def _pair(row: SqlRow) -> ReviewPair:
    proxy = to_proxy(row.pair_prefers, row.pair_margin, row.pair_decided_by, row.pair_reasons, row.pair_scores)
    withdrawn = row.stage == "withdrawn"
    return made(ReviewPair, row, "pair_", proxy=proxy, priority=row.priority, withdrawn=withdrawn)


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
    return made(Showing, row, left=row.left_side)


@cache
def vote_query() -> Query:
    return _with_undos(schema.votes, schema.vote_undos, schema.vote_undos.c.vote_id)


def to_vote(row: SqlRow) -> Vote:
    return made(Vote, row, rubric=_rubric(row), left=row.left_side)


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
    return made(Edit, row)


def to_set(row: SqlRow) -> FrozenSet:
    return made(FrozenSet, row, rule=SetRule(**row.rule))


def _with_undos(made: Table, undos: Table, undone: SqlColumn) -> Query:
    """With when each was undone, in the order in which they came."""
    return select(made, undos.c.at.label("undone_at")).outerjoin(undos, undone == made.c.id).order_by(made.c.number)
