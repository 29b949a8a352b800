"""The votes of the store as one table, for figures over all of them. Knows no figure.

What was read stays true, since rows are only ever appended: so it is kept, and the next reading is of what came since.
Rows are the driver's own, and put together here by position: one query with its joins takes twice as long at 250,000
votes, and rows of SQLAlchemy's as long again.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Column, Connection, Select, Table, func, select

from dermiq.review import schema

if TYPE_CHECKING:
    from pandas import DataFrame

Array = np.ndarray
OF_SHOWING = {"left": "left_side", "purpose": "purpose"}
OF_PAIR = ("source", "prefers", "gold", "diagnosis")
OF_VOTE = ("reviewer", "choice", "kind")
ROWS = 5_000
NUMBERS = ("seconds", *schema.RUBRIC_COLUMNS)


class Behind(Exception):
    """Something was committed before what was read last: all has to be read anew."""


class VoteTable:
    """One store's. May be read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = _Kept()

    def read(self, connection: Connection) -> DataFrame:
        """As `Store.columns` says; the categories of `pair` are all pairs, judged or not."""
        with self._lock, _uncollected():
            try:
                self._kept.catch_up(connection)
            except Behind:  # numbers of PostgreSQL are given out before their rows are committed
                self._kept = _Kept()
                self._kept.catch_up(connection)
            return self._kept.table(_undone(connection))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, which takes a third of the time to look through millions of texts."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Kept:
    def __init__(self) -> None:
        self._rows = {table.name: 0 for table in (schema.votes, schema.showings, schema.pairs)}
        self._last = dict(self._rows)  # number of the newest row
        self._showings, self._pairs = _Places(), _Places()
        self._categories = {name: _Places() for name in (*OF_SHOWING, *OF_PAIR, *OF_VOTE)}
        self._of_showing = {name: _Pieces(np.int16) for name in OF_SHOWING}
        self._of_pair = {**{name: _Pieces(np.int32) for name in OF_PAIR}, "margin": _Pieces(float)}
        self._of_vote = {**{name: _Pieces(np.int32) for name in OF_VOTE}, **{name: _Pieces(float) for name in NUMBERS}}
        self._ids, self._at = _Pieces(object), _Pieces("datetime64[us]")
        self._pair, self._showing = _Pieces(np.int64), _Pieces(np.int64)

    def catch_up(self, connection: Connection) -> None:
        """Votes first: what they are of was committed before them. Raises Behind."""
        votes = self._new(connection, schema.votes, ("id", "showing_id", "pair_id", "at", *OF_VOTE, *NUMBERS))
        shown = self._new(connection, schema.showings, ("id", *OF_SHOWING.values()))
        pairs = self._new(connection, schema.pairs, ("id", *OF_PAIR[:3], "margin"), schema.cases.c.diagnosis)
        self._showings.add(shown["id"])
        self._pairs.add(pairs["id"])
        for name, column in OF_SHOWING.items():
            self._of_showing[name].add(self._categories[name].of(shown[column]))
        for name, pieces in self._of_pair.items():
            pieces.add(pairs[name] if name == "margin" else self._categories[name].of(pairs[name]))
        for name, pieces in self._of_vote.items():
            pieces.add(self._categories[name].of(votes[name]) if name in OF_VOTE else votes[name])
        self._ids.add(votes["id"])
        self._at.add(_moments(votes["at"]))
        self._pair.add(self._pairs.among(votes["pair_id"]))
        self._showing.add(self._showings.among(votes["showing_id"]))

    def _new(self, connection: Connection, table: Table, names: Sequence[str], *more: Column[Any]) -> dict[str, Any]:
        """The columns of what came since; Behind where rows came among those before."""
        query = select(table.c.number, *(table.c[name] for name in names), *more).order_by(table.c.number)
        query = query.join_from(table, schema.cases) if more else query
        found = _fetched(connection, query.where(table.c.number > self._last[table.name]))
        self._rows[table.name] += len(found["number"])
        self._last[table.name] = max(found["number"], default=self._last[table.name])
        below = select(func.count()).select_from(table).where(table.c.number <= self._last[table.name])
        if connection.execute(below).scalar_one() != self._rows[table.name]:
            raise Behind
        return found

    def table(self, undone: Iterable[str]) -> DataFrame:
        import pandas as pd

        pair, showing = self._pair.whole, self._showing.whole
        codes = {name: pieces.whole[showing] for name, pieces in self._of_showing.items()}
        codes |= {name: self._of_pair[name].whole[pair] for name in OF_PAIR}
        codes |= {name: self._of_vote[name].whole for name in OF_VOTE}
        made = pd.DataFrame(
            {
                "vote": self._ids.whole,
                "pair": pd.Categorical.from_codes(pair, categories=pd.Index(self._pairs.names, dtype=object)),
                **{name: pd.Categorical.from_codes(of, self._categories[name].names) for name, of in codes.items()},
                "margin": self._of_pair["margin"].whole[pair],  # None became NaN
                "at": self._at.whole,
                **{name: self._of_vote[name].whole for name in NUMBERS},
            }
        )
        gone = set(undone)
        return made[~made["vote"].isin(gone)].reset_index(drop=True) if gone else made


class _Places:
    """Names, each with the place at which it came first; None has -1."""

    def __init__(self) -> None:
        self._place: dict[str | None, int] = {None: -1}

    @property
    def names(self) -> list[str]:
        return [name for name in self._place if name is not None]

    def add(self, names: Sequence[str]) -> None:
        """Names that are new, each once."""
        self._place.update(zip(names, range(len(self._place) - 1, len(self._place) - 1 + len(names)), strict=True))

    def of(self, values: Sequence[str | None]) -> Array:
        """Places, of new names too."""
        self.add(sorted(name for name in set(values) - self._place.keys() if name is not None))
        return self.among(values)

    def among(self, values: Sequence[str | None]) -> Array:
        """Places of names that must be there. Raises Behind."""
        try:
            return np.fromiter(map(self._place.__getitem__, values), np.int64, len(values))
        except KeyError as error:
            raise Behind from error


class _Pieces:
    """An array that grows."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._pieces = [np.empty(0, kind)]

    def add(self, values: Any) -> None:
        if len(values):
            self._pieces.append(np.array(values, dtype=self._kind))

    @property
    def whole(self) -> Array:
        self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]


def _fetched(connection: Connection, query: Select[Any]) -> dict[str, list[Any]]:
    """By name, as the driver gives them."""
    result = connection.execute(query)
    found: dict[str, list[Any]] = {name: [] for name in result.keys()}  # noqa: SIM118
    while rows := result.cursor.fetchmany(ROWS) if result.cursor else []:  # few at a time stay in the processor's cache
        for column, values in zip(found.values(), zip(*rows, strict=True), strict=True):
            column.extend(values)
    result.close()
    return found


def _undone(connection: Connection) -> Sequence[str]:
    return connection.execute(select(schema.vote_undos.c.vote_id)).scalars().all()


def _moments(values: Sequence[Any]) -> Sequence[Any]:
    """SQLite gives texts in UTC, PostgreSQL moments with a zone."""
    if values and isinstance(values[0], datetime):
        return [value.astimezone(timezone.utc).replace(tzinfo=None) for value in values]
    return values
