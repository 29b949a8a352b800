"""The database under the store: SQLite by default, PostgreSQL by URL; transactions and migrations.

SQLite writes ahead to a log that is synced at every commit, so that a commit survives the process and the power. Its
writers of this process stand in line, which is fairer and faster than to try for its lock again and again; those of
other processes are waited for. Knows no table but the one in which Alembic keeps the schema's revision.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Error as SQLiteError
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, OperationalError

from dermiq.errors import DataError, InputError
from dermiq.review.store.schema import NEWEST, Query, SqlColumn, SqlRow

T = TypeVar("T")
P = ParamSpec("P")
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30.0  # that a writer waits for those of other processes
CONNECTIONS = 32
PAGE = 1_000  # rows of a page, pairs of a transaction
ATTEMPTS = 3
WRITERS = 4  # at once on PostgreSQL: more of one process hold locks while they wait for the interpreter
MIGRATION_LOCK = 0x6465726D  # PostgreSQL's advisory lock: one process migrates, the others wait


class NotTaken(DataError):
    """The database refused to write for now (a full disk, another writer): the same may be tried again."""


class Line:
    """Lets so many threads in at once, in the order in which they came: no reviewer waits while others vote twice."""

    def __init__(self, places: int) -> None:
        self._free, self._guard = places, threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        turn = threading.Lock()
        with self._guard:
            if self._free:
                self._free -= 1
                return
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # until somebody who leaves releases it

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Database:
    """Connections to one database at the newest schema, or at an older one."""

    def __init__(self, url: str | URL, revision: str = NEWEST) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._line = Line(1 if self.is_sqlite else WRITERS)
        try:
            migrate(self, revision)
        except (DBAPIError, SQLiteError) as error:  # the latter where a connection is made
            self.close()
            raise DataError(
                f"The review's database ({_shown(self.engine)}) cannot be opened{_why(error)}: is the server there, "
                "may the folder be written to, is it a database?",
                detail=repr(error),
            ) from error
        except DataError:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the database."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def read(self, work: Callable[Concatenate[Connection, P], T], *values: P.args, **named: P.kwargs) -> T:
        with self.reading() as connection:
            return work(connection, *values, **named)

    def pages(self, query: Query, number: SqlColumn) -> Iterator[Sequence[SqlRow]]:
        """In the order of `number`, page by page: no reader keeps a connection while its caller does something else."""
        last = -1
        while True:
            page = query.add_columns(number.label("reached")).where(number > last)
            with self.reading() as connection:
                rows = connection.execute(page.order_by(None).order_by(number).limit(PAGE)).all()
            if not rows:
                return
            yield rows
            last = rows[-1].reached

    def paged(self, query: Query, number: SqlColumn) -> Iterator[SqlRow]:
        for page in self.pages(query, number):
            yield from page

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All of it or nothing; durable when the block was left. Not to be nested."""
        with self._line, self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does the work in a transaction; again where another process was faster and it would now find it done."""
        for left in reversed(range(ATTEMPTS)):
            try:
                with self.writing() as connection:
                    return work(connection)
            except DatabaseError as error:
                again = isinstance(error, IntegrityError if self.is_sqlite else IntegrityError | OperationalError)
                if not left or not again:  # SQLite has waited long enough
                    kind = DataError if isinstance(error, IntegrityError) else NotTaken
                    raise kind(
                        f"The review's database did not take this{_why(error)}; try again.", detail=repr(error)
                    ) from error
        raise AssertionError

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        named = re.sub(r":[^:/@]*@", ":***@", str(url))  # a password is not repeated
        raise InputError(f"{named} is no database's URL, such as postgresql+psycopg://user@host/name.") from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(f"The review is kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()}.")
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"timeout": BUSY_SECONDS} if sqlite else {"options": "-c timezone=utc"}
    engine = create_engine(
        parsed,
        connect_args=options,
        pool_size=CONNECTIONS,
        pool_pre_ping=not sqlite,
        hide_parameters=True,  # an error is logged, and what was said of a patient must not be
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where sqlite3 guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: one that first read could not wait for it."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


# --- migrations -------------------------------------------------------------------------


def migrate(database: Database, revision: str) -> None:
    """Brings the schema up to the revision, in one transaction. DataError where it is newer than this program."""
    with database.reading() as connection:
        if _revision(connection) == revision:
            return
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        _upgrade(connection, revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = _revision(connection)
    if present is not None and present not in known:
        raise DataError(
            f"The review's database has the schema {present}, which is newer than this program (it knows {NEWEST}): "
            "update the program, or name another database."
        )
    command.upgrade(config, revision)


def _why(error: Exception) -> str:
    """What SQLite says, which names no person and no password; servers may name both."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return f" ({said})" if isinstance(said, SQLiteError) else ""


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
