"""The database itself refuses to change or delete what was appended. What is derived from it is left alone."""

from alembic import op

revision = "0002"
down_revision = "0001"

APPENDED = (
    "changes", "reviewers", "roles", "cases", "case_images", "kept_images", "purged_images", "answers", "pairs",
    "showings", "votes", "vote_undos", "edits", "edit_undos", "drafts", "thumbs", "frozen_sets", "set_lines",
)  # fmt: skip
REFUSAL = "the review is only ever appended to"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _sqlite() -> None:
    for table in APPENDED:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )


def _postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    for table in APPENDED:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
