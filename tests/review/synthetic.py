"""Made-up pairs and votes, for benchmarks and tests of size. They say nothing of dermatology."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice

from sqlalchemy import Connection, insert, select

from dermiq.review.store import schema
from dermiq.review.store.database import PAGE
from dermiq.review.store.journal import new_id
from dermiq.review.store.store import Store
from dermiq.review.types import NewPair, Proxy, ReviewAnswer, ReviewCase
from dermiq.types import CLASSES, Json

BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)
WORDS = "The network is atypical at the border, with streaks and a veil; compare dots, globules and milia-like cysts. "


def synthetic_pairs(count: int, *, seed: int = 1) -> Iterator[NewPair]:
    """About as long as real ones: two answers of some 800 characters."""
    rng = random.Random(seed)
    for number in range(count):
        case = ReviewCase.of(
            [{"role": "user", "content": [{"type": "text", "text": f"Lesion {number}: what is it, and why?"}]}],
            "What is it, and why?",
            context="female, 54 years, back",
            diagnosis=rng.choices(CLASSES, weights=[3, 5, 10, 1, 11, 67, 1])[0],
            group=str(number),
            source="synthetic",
        )
        one, two = (ReviewAnswer.of(case.id, f"{number} {name}. {WORDS * 7}", model="none") for name in ("One", "Two"))
        proxy = Proxy("first" if rng.random() < 0.5 else "second", rng.expovariate(8), "accuracy", ("Cites a fact.",))
        yield NewPair(case, one, two, source="proxy", proxy=proxy)


def fill_votes(store: Store, *, reviewers: int = 20, seed: int = 1) -> int:
    """How many votes: eight pairs of ten have three reviewers (and some a repeat), one has "alone", one has none.

    Written straight into the tables, as 250,000 calls would take an hour. The pairs that only "alone" has come first in
    everybody's queue: that of "alone" begins behind all of them, the longest way that there is.
    """
    rng = random.Random(seed)
    names = [f"reviewer {number}" for number in range(1, reviewers + 1)]
    for name in (*names, "alone"):
        store.add_reviewer(name, by="synthetic")
    with store._database.reading() as connection:
        ids = list(connection.execute(select(schema.pairs.c.id).order_by(schema.pairs.c.number)).scalars())
    rows = _rows(ids, names, rng)
    total = 0
    while batch := list(islice(rows, PAGE)):
        store._database.write(lambda connection, batch=batch: _append(connection, batch))  # type: ignore[misc]
        total += len(batch)
    store.rebuild()
    return total


def _rows(ids: Sequence[str], names: Sequence[str], rng: random.Random) -> Iterator[Json]:
    """Votes with what was shown, ten seconds apart."""
    at, tenth = BEGAN, len(ids) // 10
    for place, pair in enumerate(ids):
        seen = ["alone"] if place < tenth else rng.sample(names, 3) if place < 9 * tenth else []
        better = rng.choice(("first", "second"))
        for name in seen:
            at += timedelta(seconds=10)
            for purpose in ("first", "repeat") if rng.random() < 0.05 else ("first",):
                choice = better if rng.random() < 0.7 else rng.choice(("first", "second", "tie", "both_bad", "skip"))
                yield _vote(pair, name, purpose, choice, at, rng)


def _vote(pair: str, name: str, purpose: str, choice: str, at: datetime, rng: random.Random) -> Json:
    return {
        "id": new_id(),
        "key": new_id(),
        "showing_id": new_id(),
        "attempt": 0,
        "pair_id": pair,
        "reviewer": name,
        "choice": choice,
        "kind": "review",
        "comment": "",
        "seconds": rng.lognormvariate(3.3, 0.6),
        "at": at,
        "purpose": purpose,
        "left_side": rng.choice(("first", "second")),
        **{name: rng.randint(1, 5) for name in schema.RUBRIC_COLUMNS},
    }


def _append(connection: Connection, batch: Sequence[dict[str, object]]) -> None:
    showing = ("pair_id", "reviewer", "purpose", "left_side", "at")
    connection.execute(
        insert(schema.showings), [{"id": row["showing_id"], **{name: row[name] for name in showing}} for row in batch]
    )
    vote = [column.name for column in schema.votes.c if column.name != "number"]
    connection.execute(insert(schema.votes), [{name: row[name] for name in vote} for row in batch])
