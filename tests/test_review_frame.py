"""The table of votes: what is read later, piece by piece, is what a fresh reading gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import insert, select

from dermiq.review import schema
from dermiq.review.sources import import_pairs
from dermiq.review.store import Store
from tests.review_votes import PLAIN, review, store_of, write_rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = store_of(tmp_path, 6, overlap=3, margin=0.3, diagnosis={0: "nv", 1: "mel"})
    yield made
    made.close()


def assert_same_as_fresh(store: Store, tmp_path: Path) -> pd.DataFrame:
    fresh = Store.open(tmp_path / "review", queue=PLAIN)
    found, expected = (one.columns().astype(object) for one in (store, fresh))
    fresh.close()
    pd.testing.assert_frame_equal(found, expected)
    return store.columns()


def test_later_readings_are_like_the_first(store: Store, tmp_path: Path) -> None:
    assert len(store.columns()) == 0
    review(store, "ben", dict.fromkeys(range(6), "good"))
    assert len(assert_same_as_fresh(store, tmp_path)) == 6
    import_pairs(store, write_rows(tmp_path / "more", 8, diagnosis={7: "bcc"}), by="ana", overlap=3)
    review(store, "ben", {6: "bad", 7: "tie"})
    review(store, "aaron", dict.fromkeys(range(8), "bad"))  # before the others by name
    frame = assert_same_as_fresh(store, tmp_path)
    assert len(frame) == 16
    assert frame["diagnosis"].astype(object).isin(["nv", "mel", "bcc"]).sum() == 6
    undone = store.undo("ben")
    assert undone is not None
    frame = assert_same_as_fresh(store, tmp_path)
    assert undone.id not in set(frame["vote"])
    assert len(frame) == 15


def insert_vote(store: Store, number: int, name: str, purpose: str) -> None:
    """A copy of the first vote, with its showing, under a number of its own."""
    with store._database.writing() as connection:
        for table, own in ((schema.showings, {"purpose": purpose}), (schema.votes, {"key": name, "showing_id": name})):
            row = dict(connection.execute(select(table).order_by(table.c.number)).mappings().first() or {})
            connection.execute(insert(table), {**row, "number": number, "id": name, **own})


def test_a_vote_that_was_committed_late_is_read(store: Store, tmp_path: Path) -> None:
    """PostgreSQL gives a vote its number before it is committed: it may appear among those that were read before."""
    review(store, "ben", dict.fromkeys(range(6), "good"))
    insert_vote(store, 100, "early", "repeat")
    assert "early" in set(store.columns()["vote"])
    insert_vote(store, 50, "late", "gold")
    frame = assert_same_as_fresh(store, tmp_path)
    assert list(frame["vote"])[-2:] == ["late", "early"]
