"""All votes as a table of columns, fast. Knows nothing of what is computed from them.

Python's objects cost more than the query: small values travel packed into one number a row, and each pair's own once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, Table, case, extract, func, literal, select

from dermiq.review.store import schema
from dermiq.review.store.schema import Query, SqlColumn
from dermiq.review.types import VOTES, PairSource, Purpose, Side, VoteKind

SIDES = get_args(Side)
OF_VOTES: Mapping[str, Sequence[str]] = {
    "choice": VOTES,
    "left_side": SIDES,
    "purpose": get_args(Purpose),
    "kind": get_args(VoteKind),
}
OF_PAIRS: Mapping[str, Sequence[str]] = {"source": get_args(PairSource), "prefers": SIDES, "gold": SIDES}
GRADES = 6  # 1 to 5, and 0: none
PART = 500  # rows


def columns(connection: Connection, reviewer: str | None) -> pd.DataFrame:
    """Of one reviewer or of all; `Store.columns` says which columns."""
    votes, pairs = _rows(connection, _vote_query(reviewer)), _rows(connection, _pair_query())
    place = pd.Index(pairs["id"], dtype=object).get_indexer(pd.Index(votes["pair"], dtype=object))
    graded = _unpacked(votes["graded"], [GRADES] * len(schema.RUBRIC_COLUMNS))
    return pd.DataFrame(
        {
            "vote": pd.Series(votes["vote"], dtype=object),
            "reviewer": _category(votes["reviewer"]),
            "pair": pd.Categorical.from_codes(place, categories=pd.Index(pairs["id"], dtype=object)),
            **dict(_categories(votes["packed"], OF_VOTES)),
            **{name: values.take(place) for name, values in _categories(pairs["packed"], OF_PAIRS)},
            "diagnosis": _category(pairs["diagnosis"]).take(place),
            "margin": np.array(pairs["margin"], dtype=float)[place],  # None becomes NaN
            "seconds": np.array(votes["seconds"], dtype=float),
            "at": np.array(votes["at"], dtype=float).astype("datetime64[s]"),
            **{name: np.where(grade, grade, np.nan) for name, grade in zip(schema.RUBRIC_COLUMNS, graded, strict=True)},
        }
    ).rename(columns={"left_side": "left"})


def _vote_query(reviewer: str | None) -> Query:
    votes = schema.votes
    grades = [func.coalesce(votes.c[name], 0) for name in schema.RUBRIC_COLUMNS]
    query = (
        select(
            votes.c.id.label("vote"),
            votes.c.pair_id.label("pair"),
            votes.c.reviewer,
            votes.c.seconds,
            extract("epoch", votes.c.at).label("at"),
            _all_packed(votes, OF_VOTES).label("packed"),
            _packed(grades, [GRADES] * len(grades)).label("graded"),
        )
        .where(votes.c.id.not_in(select(schema.vote_undos.c.vote_id)))  # read once, where a join looks each vote up
        .order_by(votes.c.number)
    )
    return query if reviewer is None else query.where(votes.c.reviewer == reviewer)


def _pair_query() -> Query:
    pairs, cases = schema.pairs, schema.cases
    wanted = (pairs.c.id, pairs.c.margin, cases.c.diagnosis, _all_packed(pairs, OF_PAIRS).label("packed"))
    return select(*wanted).join(cases, cases.c.id == pairs.c.case_id)


def _rows(connection: Connection, query: Query) -> Mapping[str, Sequence[Any]]:
    """Column by column; few rows at once, since the garbage collector looks through all that are there."""
    result = connection.execution_options(yield_per=PART).execute(query)
    found: dict[str, list[Any]] = {name: [] for name in list(result.keys())}
    for rows in result.partitions():
        for values, new in zip(found.values(), zip(*rows, strict=True), strict=True):
            values.extend(new)
    return found


# --- packing ----------------------------------------------------------------------------


def _sizes(known: Mapping[str, Sequence[str]]) -> list[int]:
    return [len(names) + 1 for names in known.values()]


def _all_packed(table: Table, known: Mapping[str, Sequence[str]]) -> ColumnElement[int]:
    return _packed([_place(table.c[name], names) for name, names in known.items()], _sizes(known))


def _place(column: SqlColumn, known: Sequence[str]) -> ColumnElement[int]:
    """1 for the first of the known values and so on, 0 for none."""
    return case({name: place for place, name in enumerate(known, 1)}, value=column, else_=0)


def _packed(places: Sequence[ColumnElement[int]], sizes: Sequence[int]) -> ColumnElement[int]:
    """Digits of one number, the first the lowest; each has its own size."""
    packed: ColumnElement[int] = literal(0)
    for place, size in reversed(list(zip(places, sizes, strict=True))):
        packed = packed * size + place
    return packed


def _unpacked(packed: Sequence[int], sizes: Sequence[int]) -> Iterator[np.ndarray]:
    rest = np.array(packed, dtype=np.int64)
    for size in sizes:
        rest, place = np.divmod(rest, size)
        yield place


def _categories(packed: Sequence[int], known: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, pd.Categorical]]:
    for (name, names), place in zip(known.items(), _unpacked(packed, _sizes(known)), strict=True):
        yield name, pd.Categorical.from_codes(place - 1, categories=list(names))  # -1: none


def _category(values: Sequence[object]) -> pd.Categorical:
    codes, found = pd.factorize(np.array(values, dtype=object))
    return pd.Categorical.from_codes(codes, categories=pd.Index(found, dtype=object))
