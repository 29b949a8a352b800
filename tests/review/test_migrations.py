"""The schema of the review's database: from the first revision to the newest, and no further."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from dermiq.errors import DataError
from dermiq.review.store import schema
from dermiq.review.store.database import MIGRATIONS, Database
from dermiq.review.store.store import Store
from tests.review.cases import NOW, bare, filled, vote

Open = Callable[..., Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.db'}"
    return bare(request.getfixturevalue("postgres"))


@pytest.fixture
def open_(url: str) -> Iterator[Open]:
    made: list[Database] = []

    def open_one(*revision: str) -> Database:
        made.append(Database(url, *revision))
        return made[-1]

    yield open_one
    for database in made:
        database.close()


def test_the_migrations_make_the_tables_that_the_program_knows(open_: Open) -> None:
    with open_().reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_a_database_of_the_first_revision_is_migrated_and_keeps_its_rows(open_: Open, url: str, tmp_path: Path) -> None:
    row = {"name": "ana", "added_by": "adm", "added_at": NOW}
    with open_("0001").writing() as connection:
        connection.execute(insert(schema.reviewers), row)
        connection.execute(insert(schema.roles), {"reviewer": "ana", "role": "admin", "set_by": "adm", "set_at": NOW})
        connection.execute(update(schema.reviewers).values(added_by="ben"))  # the first revision did not mind
    store = Store(tmp_path, url)
    assert [(one.name, one.role, one.added_by, one.added_at) for one in store.reviewers()] == [
        ("ana", "admin", "ben", NOW)
    ]
    filled(store, 1)
    assert vote(store, "ana").reviewer == "ana"
    with pytest.raises(DBAPIError, match="only ever appended to"), store._database.writing() as connection:
        connection.execute(update(schema.reviewers).values(added_by="eve"))
    store.close()


def test_a_newer_database_is_refused_with_a_sentence_and_left_alone(open_: Open, url: str, tmp_path: Path) -> None:
    with open_().writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DataError, match="schema 9999, which is newer than this program"):
        Store(tmp_path, url)


def test_the_program_names_the_newest_revision_and_every_table() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == schema.NEWEST
    refused = [*scripts.get_revision("0002").module.APPENDED, *scripts.get_revision("0003").module.APPENDED]
    assert set(refused) == {table.name for table in schema.APPENDED}


def test_a_new_database_can_be_opened_by_many_at_once(url: str, tmp_path: Path) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(tmp_path, url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    stores[0].add_reviewer("ana", by="test")
    with stores[3]._database.reading() as connection:
        assert connection.execute(select(schema.reviewers.c.name)).scalars().all() == ["ana"]
    for store in stores:
        store.close()
