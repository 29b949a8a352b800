"""Processes that are killed again and again, at random moments: nothing that was acknowledged or done is lost."""

from __future__ import annotations

from pathlib import Path

from tests.nightly.review_kills import kill_writers
from tests.review.cases import emptied
from tests.train.runs.test_runs import kill_at_random_moments

KILLS = 10


def test_every_acknowledged_vote_survives(tmp_path: Path) -> None:
    made = kill_writers(tmp_path, KILLS)
    assert made.votes >= KILLS
    assert (made.lost, made.doubled, made.consistent) == (0, 0, True)


def test_every_acknowledged_vote_survives_in_postgresql(postgres: str, tmp_path: Path) -> None:
    made = kill_writers(tmp_path, KILLS, url=emptied(postgres))
    assert made.votes >= KILLS
    assert (made.lost, made.doubled, made.consistent) == (0, 0, True)


def test_a_run_ends_as_if_it_had_never_been_killed(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, kills=8)
