"""The statements behind a vote, the next pair and the progress, made once: to make one costs more than to run it."""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from dermiq.review.store import schema
from dermiq.review.store.records import image_query, pair_query, vote_query
from dermiq.review.store.schema import Query
from dermiq.review.types import VISITOR

_showings, _open, _tallies, _pairs = schema.showings, schema.open_showings, schema.tallies, schema.pairs
_votes, _undos, _reviewers = schema.votes, schema.vote_undos, schema.reviewers
_who: BindParameter[str] = bindparam("who")


@cache
def into(table: Table) -> Insert:
    return insert(table)


# --- people and pairs -------------------------------------------------------------------

REVIEWER = select(_reviewers.c.number).where(_reviewers.c.name == _who)
REVIEWER_LOCKED = REVIEWER.with_for_update(key_share=True)
"""Nobody else does anything for this reviewer until the transaction ends; SQLite has one writer anyway."""

PAIR = pair_query().where(_pairs.c.id == bindparam("pair"))
IMAGES = image_query().where(schema.case_images.c.case_id.in_(bindparam("cases", expanding=True)))

# --- what is next -----------------------------------------------------------------------

OPEN_SHOWING = (
    select(_showings)
    .join(_open, _open.c.number == _showings.c.number)
    .where(_open.c.reviewer == _who, _open.c.pair_id != bindparam("after"))
    .order_by(_open.c.number)
    .limit(1)
)
"""The oldest of `who` without a vote, but for the pair `after`."""

SHOWN_SO_FAR = select(func.count()).where(_showings.c.reviewer == _who)

SHOWING = select(_showings).where(_showings.c.id == bindparam("showing"))


def _foremost(*conditions: ColumnElement[bool], skip_locked: bool = False) -> Query:
    """The first of the queue that nobody like the pattern `seen` has seen; locked, so that nobody else draws it."""
    return (
        select(_tallies.c.pair_id)
        .where(*conditions, _tallies.c.seen_by.not_like(bindparam("seen")))
        .order_by(*(_tallies.c[name].desc() for name in ("begun", "priority", "seen_by", "pair_id")))
        .limit(1)
        .with_for_update(key_share=True, skip_locked=skip_locked)
    )


WAITING_FREE = _foremost(_tallies.c.stage == "waiting", skip_locked=True)
"""Without those that somebody draws or votes on at this moment: nobody stands in line while there are others."""
WAITING = _foremost(_tallies.c.stage == "waiting")
GOLD = _foremost(_tallies.c.stage == "gold")
_LEFT_LYING = (
    _tallies.c.stage == "held",
    or_(_tallies.c.shown_at < bindparam("before"), _tallies.c.shown_at > bindparam("after")),
)
"""Shown too long ago; or later than now, by a clock that was set back since."""
ABANDONED = _foremost(*_LEFT_LYING)

RECENT = (
    select(_showings.c.number)
    .where(_showings.c.reviewer == _who)
    .order_by(_showings.c.number.desc())
    .offset(bindparam("ago"))
    .limit(1)
)
"""The number of the showing that `who` had `ago` others ago."""

_again = _showings.alias("again")
REPEATABLE = (
    select(_showings.c.pair_id)
    .join(_votes, _votes.c.showing_id == _showings.c.id)
    .join(_tallies, _tallies.c.pair_id == _showings.c.pair_id)
    .outerjoin(_undos, _undos.c.vote_id == _votes.c.id)
    .where(
        _tallies.c.stage != "withdrawn",
        _showings.c.reviewer == _who,
        _showings.c.number < bindparam("older"),
        _showings.c.purpose == "first",
        _undos.c.vote_id.is_(None),
        _votes.c.choice != "skip",
        ~exists().where(
            _again.c.reviewer == _showings.c.reviewer,
            _again.c.pair_id == _showings.c.pair_id,
            _again.c.purpose == "repeat",
        ),
    )
    .order_by(_showings.c.number.desc())
    .limit(500)
)
"""Pairs that `who` judged and did not skip, before the showing `older`, and has not had again; the newest."""

# --- where a pair stands ----------------------------------------------------------------

STANDING = (
    select(
        *(_tallies.c[name] for name in ("pair_id", "belief", "weight", "stage")),
        *(_pairs.c[name] for name in ("overlap", "gold", "source")),
    )
    .join(_pairs, _pairs.c.id == _tallies.c.pair_id)
    .where(_tallies.c.pair_id == bindparam("pair"))
    .with_for_update(of=_tallies, key_share=True)
)

SHOWN = (
    select(
        _showings.c.pair_id,
        _showings.c.id,
        _showings.c.purpose,
        _reviewers.c.number,
        _showings.c.at,
        _votes.c.choice,
        _undos.c.vote_id.label("undone"),
    )
    .join(_reviewers, _reviewers.c.name == _showings.c.reviewer)
    .outerjoin(_votes, _votes.c.showing_id == _showings.c.id)
    .outerjoin(_undos, _undos.c.vote_id == _votes.c.id)
    .where(_showings.c.pair_id.in_(bindparam("pairs", expanding=True)))
    .order_by(_votes.c.number, _showings.c.number)
)
"""Showings of pairs with all their votes, in the order of the votes."""

_thumbs, _taken_back = schema.thumbs, schema.thumb_undos
OPINIONS = (
    select(
        _pairs.c.id.label("pair_id"),
        (_thumbs.c.answer_id == _pairs.c.first).label("is_first"),
        _thumbs.c.up,
        _taken_back.c.thumb_id.label("undone"),
    )
    .join_from(_pairs, _thumbs, _thumbs.c.answer_id.in_([_pairs.c.first, _pairs.c.second]))
    .outerjoin(_taken_back, _taken_back.c.thumb_id == _thumbs.c.id)
    .where(_pairs.c.id.in_(bindparam("pairs", expanding=True)), _pairs.c.source == "consultation")
)
"""Of visitors, on single answers of pairs of the consultation; also those that were taken back."""

_edits, _edit_undos = schema.edits, schema.edit_undos
CORRECTIONS = (
    select(_edits.c.pair_id, _edit_undos.c.edit_id.label("undone"))
    .join_from(_edits, _pairs, _pairs.c.id == _edits.c.pair_id)
    .outerjoin(_edit_undos, _edit_undos.c.edit_id == _edits.c.id)
    .where(
        _edits.c.pair_id.in_(bindparam("pairs", expanding=True)),
        _edits.c.reviewer == VISITOR,
        _pairs.c.source == "consultation",
    )
)
"""By visitors."""

TALLY = update(_tallies).where(_tallies.c.pair_id == bindparam("pair"))

_opened = select(_showings.c.number, _showings.c.reviewer, _showings.c.pair_id)
OPEN = insert(_open).from_select(
    ["number", "reviewer", "pair_id"], _opened.where(_showings.c.id == bindparam("showing"))
)
CLOSE = delete(_open).where(
    _open.c.number == select(_showings.c.number).where(_showings.c.id == bindparam("showing")).scalar_subquery()
)

# --- votes ------------------------------------------------------------------------------

VOTES_BEFORE = vote_query().where(or_(_votes.c.showing_id == bindparam("showing"), _votes.c.key == bindparam("sent")))
"""On the same showing, or with the same key."""

LAST_VOTE = (
    vote_query()
    .where(_votes.c.reviewer == _who, _undos.c.vote_id.is_(None))
    .order_by(None)
    .order_by(_votes.c.number.desc())
    .limit(1)
)

# --- progress ---------------------------------------------------------------------------

STILL_OPEN = select(func.count()).where(_open.c.reviewer == _who)
_unseen = select(func.count()).where(_tallies.c.seen_by.not_like(bindparam("seen")))
READY = _unseen.where(_tallies.c.stage.in_(("waiting", "gold")))
LEFT_LYING = _unseen.where(*_LEFT_LYING)
_mine = _votes.outerjoin(_undos, _undos.c.vote_id == _votes.c.id)
SECONDS = (
    select(_votes.c.seconds)
    .select_from(_mine)
    .where(_votes.c.reviewer == _who, _votes.c.kind == "review", _undos.c.vote_id.is_(None))
    .order_by(_votes.c.number.desc())
    .limit(50)
)
"""Of the newest votes: how fast `who` is."""
IS_VOTE: tuple[ColumnElement[bool], ...] = (
    _votes.c.kind == "review",
    _votes.c.choice != "skip",
    _undos.c.vote_id.is_(None),
)
IS_SKIP: tuple[ColumnElement[bool], ...] = (_votes.c.choice == "skip", _undos.c.vote_id.is_(None))
IS_DECISION: tuple[ColumnElement[bool], ...] = (_votes.c.kind == "adjudication", _undos.c.vote_id.is_(None))
"""What counts as what, as `dermiq.review.types.Counts` says."""


def counted(*conditions: ColumnElement[bool]) -> Query:
    return select(func.count()).select_from(_mine).where(*conditions)


DONE = counted(_votes.c.reviewer == _who, *IS_VOTE)
SKIPPED = counted(_votes.c.reviewer == _who, *IS_SKIP)
TODAY = counted(_votes.c.reviewer == _who, _votes.c.at >= bindparam("midnight"), *IS_VOTE)
