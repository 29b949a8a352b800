"""The tables: what is judged, what is said of it, frozen sets, the log, and the derived tallies."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RUBRIC = [f"{side}_{name}" for side in ("first", "second") for name in ("accuracy", "relevance", "completeness", "safety")]  # fmt: skip  # noqa: E501


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite counts only where the key is exactly INTEGER."""


Column = sa.Column[Any]


def number() -> Column:
    """Counts the rows."""
    return sa.Column("number", NUMBER, primary_key=True, autoincrement=True)


def key(name: str, kind: Any = sa.Text) -> Column:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def text(name: str, **options: Any) -> Column:
    return sa.Column(name, sa.Text, nullable=False, **options)


def to(name: str, target: str, **options: Any) -> Column:
    return sa.Column(name, sa.Text, sa.ForeignKey(target), nullable=False, **options)


def at(name: str = "at") -> Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def required(name: str, kind: Any) -> Column:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: Any = sa.Text) -> Column:
    return sa.Column(name, kind)


def upgrade() -> None:
    op.create_table("changes", number(), at(), text("who"), text("what"), text("subject"))
    people()
    judged()
    said()
    sets()
    derived()


def people() -> None:
    op.create_table("reviewers", number(), text("name", unique=True), text("added_by"), at("added_at"))
    op.create_table("roles", number(), to("reviewer", "reviewers.name"), text("role"), text("set_by"), at("set_at"))


def judged() -> None:
    op.create_table(
        "cases",
        key("id"),
        required("prompt", sa.JSON),
        text("question"),
        text("context"),
        optional("diagnosis"),
        required("findings", sa.JSON),
        text("group"),
        text("split"),
        text("source"),
        text("added_by"),
        at("added_at"),
    )
    op.create_table(
        "case_images",
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), primary_key=True),
        key("position", sa.Integer),
        text("sha256", index=True),
        required("width", sa.Integer),
        required("height", sa.Integer),
        optional("outline", sa.JSON),
        optional("box", sa.JSON),
    )
    op.create_table(
        "kept_images",
        key("sha256"),
        text("suffix"),
        required("bytes", sa.Integer),
        text("kept_by"),
        at("kept_at"),
    )
    op.create_table(
        "purged_images",
        sa.Column("sha256", sa.Text, sa.ForeignKey("kept_images.sha256"), primary_key=True),
        text("purged_by"),
        at("purged_at"),
        text("why"),
    )
    op.create_table(
        "answers",
        key("id"),
        to("case_id", "cases.id", index=True),
        text("text"),
        text("model"),
        text("revision"),
        text("added_by"),
        at("added_at"),
    )
    op.create_table(
        "pairs",
        number(),
        text("id", unique=True),
        to("case_id", "cases.id", index=True),
        to("first", "answers.id"),
        to("second", "answers.id"),
        text("source"),
        optional("prefers"),
        optional("margin", sa.Float),
        optional("decided_by"),
        optional("reasons", sa.JSON),
        optional("scores", sa.JSON),
        optional("gold"),
        optional("likelier"),
        required("overlap", sa.Integer),
        text("added_by"),
        at("added_at"),
    )


def said() -> None:
    op.create_table(
        "showings",
        number(),
        text("id", unique=True),
        to("pair_id", "pairs.id", index=True),
        to("reviewer", "reviewers.name"),
        text("purpose"),
        text("left_side"),
        at(),
        sa.UniqueConstraint("reviewer", "pair_id", "purpose"),
    )
    op.create_index("ix_showings_reviewer_number", "showings", ["reviewer", "number"])
    op.create_table(
        "votes",
        number(),
        text("id", unique=True),
        text("key", unique=True),
        to("showing_id", "showings.id"),
        required("attempt", sa.Integer),
        to("pair_id", "pairs.id", index=True),
        to("reviewer", "reviewers.name"),
        text("choice"),
        text("kind"),
        text("left_side"),
        text("purpose"),
        text("comment"),
        required("seconds", sa.Float),
        at(),
        *(optional(name, sa.SmallInteger) for name in RUBRIC),
        sa.UniqueConstraint("showing_id", "attempt"),
    )
    op.create_index("ix_votes_reviewer_number_at", "votes", ["reviewer", "number", "at"])
    op.create_table(
        "vote_undos", sa.Column("vote_id", sa.Text, sa.ForeignKey("votes.id"), primary_key=True), text("who"), at()
    )
    op.create_table(
        "edits",
        number(),
        text("id", unique=True),
        text("key", unique=True),
        to("pair_id", "pairs.id", index=True),
        to("answer_id", "answers.id"),
        to("reviewer", "reviewers.name"),
        text("text"),
        at(),
    )
    op.create_table(
        "edit_undos", sa.Column("edit_id", sa.Text, sa.ForeignKey("edits.id"), primary_key=True), text("who"), at()
    )
    op.create_table(
        "drafts",
        number(),
        to("reviewer", "reviewers.name"),
        to("pair_id", "pairs.id"),
        required("body", sa.JSON),
        at(),
    )
    op.create_index("ix_drafts_reviewer_pair_id_number", "drafts", ["reviewer", "pair_id", "number"])
    op.create_table(
        "thumbs",
        number(),
        text("id", unique=True),
        to("answer_id", "answers.id"),
        required("up", sa.Boolean),
        text("who"),
        at(),
    )


def sets() -> None:
    op.create_table(
        "frozen_sets",
        key("name"),
        key("version", sa.Integer),
        required("rule", sa.JSON),
        text("made_by"),
        at("made_at"),
        required("pairs", sa.Integer),
        text("digest"),
        text("card"),
    )
    op.create_table(
        "set_lines",
        key("name"),
        key("version", sa.Integer),
        key("position", sa.Integer),
        to("pair_id", "pairs.id"),
        required("line", sa.JSON),
        sa.ForeignKeyConstraint(["name", "version"], ["frozen_sets.name", "frozen_sets.version"]),
    )


def derived() -> None:
    op.create_table(
        "tallies",
        sa.Column("pair_id", sa.Text, sa.ForeignKey("pairs.id"), primary_key=True),
        text("stage"),
        required("begun", sa.Boolean),
        required("priority", sa.Float),
        text("seen_by"),
        sa.Column("shown_at", sa.DateTime(timezone=True)),
        *(required(name, sa.Integer) for name in ("for_first", "for_second", "ties", "both_bad", "skips")),
        optional("decided"),
        sa.Column("disputed", sa.Boolean, nullable=False, index=True),
        required("belief", sa.Float),
        required("weight", sa.Float),
    )
    op.create_index("ix_tallies_queue", "tallies", ["stage", "begun", "priority", "seen_by", "pair_id"])
    op.create_table(
        "open_showings",
        sa.Column("number", NUMBER, sa.ForeignKey("showings.number"), primary_key=True, autoincrement=False),
        to("reviewer", "reviewers.name"),
        to("pair_id", "pairs.id"),
    )
    op.create_index("ix_open_showings_reviewer_number", "open_showings", ["reviewer", "number"])
