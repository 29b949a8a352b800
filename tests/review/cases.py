"""Cases, pairs and stores for the tests of the review."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

from PIL import Image
from sqlalchemy import create_engine, delete, text

from dermiq.review.store import schema
from dermiq.review.store.store import Store
from dermiq.review.types import NewPair, Proxy, ReviewAnswer, ReviewCase, Vote

CLASSES = ("mel", "nv", "bkl")
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=timezone.utc)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def new_case(number: int, **rest: Any) -> ReviewCase:
    prompt = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": f"What is lesion {number}?"}]}]
    return ReviewCase.of(prompt, f"What is lesion {number}?", **{"diagnosis": CLASSES[number % 3], **rest})


def new_pair(number: int, **rest: Any) -> NewPair:
    case = rest.pop("case", None) or new_case(number)
    one, other = (ReviewAnswer.of(case.id, f"{name} answer to {number}", model="nano") for name in ("One", "Another"))
    proxy = Proxy("first", 0.05 + number / 1000, "accuracy", ("It cites the graph.",), {"first": {"accuracy": 1.0}})
    return NewPair(case, one, other, **{"source": "proxy", "proxy": proxy, **rest})


def filled(store: Store, pairs: int, *names: str, **rest: Any) -> list[str]:
    """Adds pairs and reviewers; the pairs' ids in the order in which they came."""
    store.add_pairs((new_pair(number, **rest) for number in range(pairs)), by="test")
    for name in names:
        store.add_reviewer(name, by="test")
    return [view.pair.id for view in store.pairs()]


def vote(store: Store, name: str, choice: Any = "a", **rest: Any) -> Vote:
    """On what comes next."""
    found = store.next(name)
    assert found is not None, f"{name} has nothing left"
    return store.vote(found[0].id, choice, reviewer=name, key=uuid4().hex, **rest)


def all_votes(store: Store, name: str, choice: Any = "a") -> Iterator[Vote]:
    """Until nothing is left."""
    while (found := store.next(name)) is not None:
        yield store.vote(found[0].id, choice, reviewer=name, key=uuid4().hex)


def picture(colour: str = "brown", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, format=options.pop("format", "PNG"), **options)
    return buffer.getvalue()


# --- PostgreSQL -------------------------------------------------------------------------


def emptied(url: str) -> str:
    """The one database of all tests without its rows, past the triggers: a session of this role has none."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    Store.open(url).close()  # migrated, where it is new
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        for table in schema.metadata.sorted_tables:
            connection.execute(delete(table))
    engine.dispose()
    return url


def bare(url: str) -> str:
    """The same without tables."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url
