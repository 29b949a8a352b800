"""What a visitor of the consultation gave can be taken back: an opinion on an answer, and the image with it."""

import sqlalchemy as sa
from alembic import op

from dermiq.review.store.migrations.versions.r0001_tables import at, key, number, text, to
from dermiq.review.store.migrations.versions.r0002_append_only import REFUSAL

revision = "0003"
down_revision = "0002"

APPENDED = ("thumb_undos", "image_states")


def upgrade() -> None:
    op.create_table(
        "thumb_undos", key("thumb_id"), text("who"), at(), sa.ForeignKeyConstraint(["thumb_id"], ["thumbs.id"])
    )
    op.create_table(
        "image_states", number(), to("sha256", "kept_images.sha256", index=True), text("state"), text("who"), at()
    )
    op.create_index("ix_thumbs_answer_id", "thumbs", ["answer_id"])
    for table in APPENDED:
        _refuse_changes(table)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
    else:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
