"""The benchmarks of the review in small: nothing is lost or doubled. How fast it is, is for the command to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.review.store.store import Store
from tests.nightly import review_store as benchmark
from tests.nightly.review_kills import kill_writers
from tests.review.cases import emptied
from tests.review.synthetic import fill_votes, synthetic_pairs

KILLS = 2  # more: `make nightly`


def test_every_acknowledged_vote_survives_kill_9(tmp_path: Path) -> None:
    made = kill_writers(tmp_path, KILLS)
    assert made.votes >= KILLS
    assert (made.lost, made.doubled, made.consistent) == (0, 0, True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    return emptied(request.getfixturevalue("postgres")) if request.param == "postgresql" else None


@pytest.fixture
def store(url: str | None, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, url)
    yield made
    made.close()


def test_twenty_reviewers_at_once_lose_and_double_nothing(store: Store) -> None:
    made = benchmark.crowd(store, reviewers=20, votes=4)
    assert made.errors == []
    assert (len(made.acknowledged), made.lost, made.doubled, made.beyond_overlap) == (80, 0, 0, 0)


def test_a_lost_and_a_doubled_vote_would_be_seen(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = benchmark.crowd(store, reviewers=2, votes=2)
    key = next(iter(made.acknowledged))
    made.acknowledged["sent"] = "never stored"
    benchmark._compare(store, made)
    assert made.lost == 1
    del made.acknowledged[key], made.acknowledged["sent"]
    benchmark._compare(store, made)
    assert (made.lost, made.doubled) == (0, 1)
    store.close()


def test_made_up_votes_are_as_the_store_would_have_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_pairs(synthetic_pairs(50), by="test")
    votes = fill_votes(store, reviewers=5)
    frame = store.columns()
    assert len(frame) == votes == len(list(store.votes()))
    assert frame["pair"].nunique() == 45
    assert set(store.disagreements()) <= set(frame["pair"])
    assert store.progress("alone").done > 0
    store.close()


def test_the_command_prints_a_line_of_figures_and_refuses_a_full_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--reviewers", "2", "--votes", "2"]) == 0
    assert "2 reviewers at once, sqlite: 4 votes" in capsys.readouterr().out
    full = Store(tmp_path)
    full.add_pairs(synthetic_pairs(1), by="test")
    full.close()
    assert benchmark.main(["--pairs", "5", "--db", f"sqlite:///{tmp_path / 'review.db'}"]) == 2
    assert "needs an empty one" in capsys.readouterr().err
