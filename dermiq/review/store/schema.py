"""The tables of the review, for SQLite and PostgreSQL alike.

All of them are only ever appended to (`APPENDED`; since migration 2 the database itself refuses anything else), but for
what is derived from them (`DERIVED`) and can be built anew. A role, a draft, an undone vote are what their newest row
says. Tables are made by the migrations alone; a test compares those with this file.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from dermiq.review.types import RUBRIC

SqlRow = Row[Any]  # what a query found; its columns are its attributes
Query = Select[Any]
SqlColumn = Column[Any]

NEWEST = "0003"
"""The revision that this program knows last; see `migrations/versions`."""

CHANGES = (
    "reviewer", "role", "case", "answer", "pair", "image kept", "image purged", "showing", "vote", "undo", "edit",
    "edit undone", "draft", "thumb", "thumb undone", "image withdrawn", "image returned", "set",
)  # fmt: skip
"""What the log speaks of."""

RUBRIC_COLUMNS = tuple(f"{side}_{name}" for side in ("first", "second") for name in RUBRIC)


class Utc(TypeDecorator[datetime]):
    """A moment with its zone, always UTC. SQLite keeps it without the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(timezone.utc)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only where the key is exactly INTEGER


def _number() -> SqlColumn:
    """Counts the rows in the order in which they came."""
    return Column("number", Number, primary_key=True, autoincrement=True)


def _text(name: str, **options: Any) -> SqlColumn:
    return Column(name, Text, nullable=False, **options)


def _optional(name: str) -> SqlColumn:
    return Column(name, Text)


def _to(name: str, target: str, **options: Any) -> SqlColumn:
    return Column(name, Text, ForeignKey(target), nullable=False, **options)


def _at(name: str = "at") -> SqlColumn:
    return Column(name, Utc, nullable=False)


def _json(name: str) -> SqlColumn:
    return Column(name, JSON(none_as_null=True))


# --- the log, and people ----------------------------------------------------------------

changes = Table("changes", metadata, _number(), _at(), _text("who"), _text("what"), _text("subject"))

reviewers = Table("reviewers", metadata, _number(), _text("name", unique=True), _text("added_by"), _at("added_at"))

roles = Table(
    "roles", metadata, _number(), _to("reviewer", "reviewers.name"), _text("role"), _text("set_by"), _at("set_at")
)

# --- what is judged ---------------------------------------------------------------------

cases = Table(
    "cases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("prompt", JSON, nullable=False),
    _text("question"),
    _text("context"),
    _optional("diagnosis"),
    Column("findings", JSON, nullable=False),
    _text("group"),
    _text("split"),
    _text("source"),
    _text("added_by"),
    _at("added_at"),
)

case_images = Table(
    "case_images",
    metadata,
    Column("case_id", Text, ForeignKey("cases.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("sha256", index=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    _json("outline"),
    _json("box"),
)

kept_images = Table(
    "kept_images",
    metadata,
    Column("sha256", Text, primary_key=True),
    _text("suffix"),
    Column("bytes", Integer, nullable=False),
    _text("kept_by"),
    _at("kept_at"),
)

purged_images = Table(
    "purged_images",
    metadata,
    Column("sha256", Text, ForeignKey("kept_images.sha256"), primary_key=True),
    _text("purged_by"),
    _at("purged_at"),
    _text("why"),
)

image_states = Table(  # of images that visitors gave: the newest row says whether it was taken back
    "image_states",
    metadata,
    _number(),
    _to("sha256", "kept_images.sha256", index=True),
    _text("state"),
    _text("who"),
    _at(),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Text, primary_key=True),
    _to("case_id", "cases.id", index=True),
    _text("text"),
    _text("model"),
    _text("revision"),
    _text("added_by"),
    _at("added_at"),
)

pairs = Table(
    "pairs",
    metadata,
    _number(),
    _text("id", unique=True),
    _to("case_id", "cases.id", index=True),
    _to("first", "answers.id"),
    _to("second", "answers.id"),
    _text("source"),
    _optional("prefers"),  # of the proxy
    Column("margin", Float),  # null: the proxy was not asked
    _optional("decided_by"),
    _json("reasons"),
    _json("scores"),
    _optional("gold"),
    _optional("likelier"),
    Column("overlap", Integer, nullable=False),
    _text("added_by"),
    _at("added_at"),
)

# --- what is said of it -----------------------------------------------------------------

showings = Table(
    "showings",
    metadata,
    _number(),
    _text("id", unique=True),
    _to("pair_id", "pairs.id", index=True),
    _to("reviewer", "reviewers.name"),
    _text("purpose"),
    _text("left_side"),
    _at(),
    UniqueConstraint("reviewer", "pair_id", "purpose"),
    Index(None, "reviewer", "number"),
)

votes = Table(
    "votes",
    metadata,
    _number(),
    _text("id", unique=True),
    _text("key", unique=True),  # the client's: a vote that is sent twice is one vote
    _to("showing_id", "showings.id"),
    Column("attempt", Integer, nullable=False),  # 0, and one more for every vote on the showing that was undone
    _to("pair_id", "pairs.id", index=True),
    _to("reviewer", "reviewers.name"),
    _text("choice"),
    _text("kind"),
    _text("left_side"),  # as the showing says: reading all votes needs no other table for it
    _text("purpose"),
    _text("comment"),
    Column("seconds", Float, nullable=False),
    _at(),
    *(Column(name, SmallInteger) for name in RUBRIC_COLUMNS),
    UniqueConstraint("showing_id", "attempt"),  # two votes that were not undone cannot both be there
    Index(None, "reviewer", "number", "at"),
)

edits = Table(
    "edits",
    metadata,
    _number(),
    _text("id", unique=True),
    _text("key", unique=True),
    _to("pair_id", "pairs.id", index=True),
    _to("answer_id", "answers.id"),
    _to("reviewer", "reviewers.name"),
    _text("text"),
    _at(),
)

drafts = Table(
    "drafts",
    metadata,
    _number(),
    _to("reviewer", "reviewers.name"),
    _to("pair_id", "pairs.id"),
    Column("body", JSON, nullable=False),
    _at(),
    Index(None, "reviewer", "pair_id", "number"),
)

thumbs = Table(
    "thumbs",
    metadata,
    _number(),
    _text("id", unique=True),
    _to("answer_id", "answers.id", index=True),
    Column("up", Boolean, nullable=False),
    _text("who"),
    _at(),
)

vote_undos, edit_undos, thumb_undos = (
    Table(
        f"{what}_undos",
        metadata,
        Column(f"{what}_id", Text, ForeignKey(f"{what}s.id"), primary_key=True),
        _text("who"),
        _at(),
    )
    for what in ("vote", "edit", "thumb")
)

# --- sets -------------------------------------------------------------------------------

frozen_sets = Table(
    "frozen_sets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rule", JSON, nullable=False),
    _text("made_by"),
    _at("made_at"),
    Column("pairs", Integer, nullable=False),
    _text("digest"),
    _text("card"),
)

set_lines = Table(
    "set_lines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _to("pair_id", "pairs.id"),
    Column("line", JSON, nullable=False),
    ForeignKeyConstraint(["name", "version"], ["frozen_sets.name", "frozen_sets.version"]),
)

# --- derived ----------------------------------------------------------------------------

tallies = Table(
    "tallies",
    metadata,
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    _text("stage"),  # waiting, held, done, gold or withdrawn; see `dermiq.review.store.queue.Tally`
    Column("begun", Boolean, nullable=False),  # shown to somebody
    Column("priority", Float, nullable=False),
    _text("seen_by"),  # numbers of reviewers, ",3,17,"
    Column("shown_at", Utc),  # last
    *(Column(name, Integer, nullable=False) for name in ("for_first", "for_second", "ties", "both_bad", "skips")),
    _optional("decided"),  # by adjudication
    Column("disputed", Boolean, nullable=False, index=True),
    Column("belief", Float, nullable=False),  # before any vote, that the first answer is preferred
    Column("weight", Float, nullable=False),  # of the class
    Index("ix_tallies_queue", "stage", "begun", "priority", "seen_by", "pair_id"),  # all that `next` reads
)

open_showings = Table(  # without a vote that was not undone; not those for adjudication
    "open_showings",
    metadata,
    Column("number", Number, ForeignKey("showings.number"), primary_key=True, autoincrement=False),
    _to("reviewer", "reviewers.name"),
    _to("pair_id", "pairs.id"),
    Index(None, "reviewer", "number"),
)

DERIVED = (tallies, open_showings)
APPENDED = tuple(table for table in metadata.sorted_tables if table not in DERIVED)
