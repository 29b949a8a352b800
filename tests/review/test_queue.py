"""The queue's rules, without a database."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from dermiq.review.store.queue import (
    QueueSettings,
    Shown,
    among,
    belief,
    class_weights,
    left_side,
    priority,
    purposes,
    repeated,
    seen_by,
    tally,
)
from dermiq.review.types import Proxy
from tests.review.cases import NOW

SETTINGS = QueueSettings()


def told(margin: float, prefers: Any = "first") -> Proxy:
    return Proxy(prefers, margin)


# --- what is drawn ----------------------------------------------------------------------


def test_gold_and_repeats_have_their_shares() -> None:
    drawn = Counter(purposes(SETTINGS, "ana", shown)[0] for shown in range(10_000))
    assert drawn["gold"] == pytest.approx(500, abs=80)
    assert drawn["repeat"] == pytest.approx(500, abs=80)


def test_every_showing_can_fall_back_to_an_ordinary_pair_and_then_to_gold() -> None:
    for shown in range(500):
        tried = purposes(SETTINGS, "ana", shown)
        assert "first" in tried
        assert "gold" in tried


def test_what_is_drawn_depends_on_seed_reviewer_and_place_alone() -> None:
    def drawn(seed: int, name: str) -> list[Any]:
        settings = QueueSettings(seed=seed)
        return [(purposes(settings, name, shown), left_side(settings, name, str(shown))) for shown in range(200)]

    assert drawn(1, "ana") == drawn(1, "ana")
    assert drawn(1, "ana") != drawn(1, "ben")
    assert drawn(1, "ana") != drawn(2, "ana")


def test_both_answers_are_left_equally_often() -> None:
    sides = Counter(left_side(SETTINGS, "ana", f"pair {number}") for number in range(10_000))
    assert sides["first"] == pytest.approx(5_000, abs=200)


def test_every_candidate_is_repeated_at_some_time() -> None:
    candidates = ["x", "y", "z"]
    assert {repeated(SETTINGS, "ana", shown, candidates) for shown in range(50)} == set(candidates)


# --- what a vote is worth ---------------------------------------------------------------


def test_belief_is_that_of_those_who_were_asked() -> None:
    assert belief(None, None) == 0.5
    assert belief(told(0.1), None) == pytest.approx(1 / (1 + math.exp(-1)))
    assert belief(told(0.1, "second"), None) == pytest.approx(1 - belief(told(0.1), None))
    assert belief(told(0.3, None), None) == 0.5
    assert belief(None, "second") == 0.25
    assert belief(told(0.1), "second") == pytest.approx((belief(told(0.1), None) + 0.25) / 2)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        pytest.param({"margin": 0.05}, {"margin": 0.4}, id="a small margin"),
        pytest.param({"likelier": "second"}, {"likelier": "first"}, id="proxy and likelihood disagree"),
        pytest.param({"weight": 1.5}, {"weight": 0.7}, id="a rare class"),
        pytest.param({"for_first": 1, "for_second": 1}, {"for_first": 2}, id="split votes"),
        pytest.param({"for_second": 1}, {"for_first": 1}, id="votes against the proxy"),
        pytest.param({"ties": 2}, {"for_first": 2}, id="ties"),
    ],
)
def test_what_makes_a_pair_more_telling(more: dict[str, Any], less: dict[str, Any]) -> None:
    assert _priority(**more) > _priority(**less)


def _priority(margin: float = 0.1, likelier: Any = None, weight: float = 1.0, **votes: int) -> float:
    return priority(belief(told(margin), likelier), weight, **votes)


def test_priority_is_the_entropy_in_bits() -> None:
    assert priority(0.5, 1.0) == 1.0
    assert priority(0.25, 1.0) == pytest.approx(0.811278, abs=1e-6)  # -(1/4 log2 1/4 + 3/4 log2 3/4)
    assert priority(1.0, 1.0) == 0.0
    assert priority(0.5, 2.0, for_first=2) == pytest.approx(2 * 0.811278, abs=1e-6)  # (2 * 0.5 + 2) / (2 + 2) = 3/4


def test_rare_classes_weigh_more_within_bounds() -> None:
    weights = class_weights({"nv": 9_000, "mel": 900, None: 100})
    assert weights["nv"] == pytest.approx(math.sqrt(10_000 / (3 * 9_000)))
    assert weights["mel"] == pytest.approx(math.sqrt(10_000 / (3 * 900)))
    assert weights[None] == 2.0
    assert class_weights({"nv": 5, "mel": 5}) == {"nv": 1.0, "mel": 1.0}
    assert class_weights({}) == {}


# --- where a pair stands ----------------------------------------------------------------


def shown(reviewer: int, choice: Any = None, purpose: Any = "first") -> Shown:
    return Shown(purpose, reviewer, NOW, choice)


@pytest.mark.parametrize(
    ("showings", "stage"),
    [
        ([], "waiting"),
        ([shown(1)], "waiting"),
        ([shown(1, "first")], "waiting"),
        ([shown(1), shown(2)], "held"),
        ([shown(1, "first"), shown(2)], "held"),
        ([shown(1, "first"), shown(2, "both_bad")], "done"),
        ([shown(1, "first"), shown(2, "skip")], "waiting"),
        ([shown(1, "first"), shown(1, "first", "repeat")], "waiting"),
        ([shown(1, "first"), shown(2, "tie"), shown(3, "skip")], "done"),
    ],
)
def test_a_pair_waits_until_enough_reviewers_have_it(showings: list[Shown], stage: str) -> None:
    assert tally(2, None, 0.5, 1.0, showings).stage == stage
    assert tally(2, "first", 0.5, 1.0, showings).stage == "gold"


@pytest.mark.parametrize(
    ("showings", "disputed"),
    [
        ([shown(1, "first"), shown(2, "second")], True),
        ([shown(1, "first"), shown(2, "tie")], True),
        ([shown(1, "first"), shown(2, "first")], False),
        ([shown(1, "first"), shown(2, "both_bad")], False),
        ([shown(1, "first"), shown(2, "skip")], False),
        ([shown(1, "first"), shown(1, "second", "repeat")], False),
        ([shown(1, "first"), shown(2, "second"), shown(3, None, "adjudication")], True),
        ([shown(1, "first"), shown(2, "second"), shown(3, "first", "adjudication")], False),
    ],
)
def test_reviewers_disagree_where_one_prefers_what_another_does_not(showings: list[Shown], disputed: bool) -> None:
    assert tally(2, None, 0.5, 1.0, showings).disputed is disputed
    assert tally(2, "first", 0.5, 1.0, showings).disputed is False, "the better answer of a gold pair is known"


def test_a_tally_counts_reviews_and_not_repeats() -> None:
    showings = [shown(3, "first"), shown(1, "tie"), shown(3, "second", "repeat"), shown(7, "tie", "adjudication")]
    made = tally(3, None, 0.5, 1.0, showings)
    assert (made.for_first, made.for_second, made.ties, made.both_bad, made.skips) == (1, 0, 1, 0, 0)
    assert made.decided == "tie"
    assert made.seen_by == ",1,3,7,"
    assert made.priority == priority(0.5, 1.0, for_first=1, ties=1)
    assert made.begun


def test_a_reviewer_is_found_among_those_who_saw_a_pair_by_the_whole_number() -> None:
    assert among(1) in seen_by([3, 1])
    assert among(1) not in seen_by([11, 21, 12])
    assert among(1) not in seen_by([])
