"""The figures of agreement against the libraries, on published examples too, and the report on votes that are known."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta, timezone
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from dermiq.review.measures import agreement
from dermiq.review.measures.agreement import Level, alpha, kappa, share, value_counts
from dermiq.review.measures.columns import VALUES, Votes
from dermiq.review.measures.quality import Report, report_of
from dermiq.review.types import RUBRIC

N = np.nan
FOUR = [  # observers in rows, units in columns
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
THREE = [
    [N, N, N, N, N, 3, 4, 1, 2, 1, 1, 3, 3, N, 3],
    [1, N, 2, 1, 3, 3, 4, 3, N, N, N, N, N, N, N],
    [N, N, 2, 1, 3, 4, 4, N, 2, 1, 1, 3, 3, N, 4],
]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal")


def counts_of(observers: Any) -> np.ndarray:
    table = np.asarray(observers, float)
    _, unit = np.nonzero(~np.isnan(table))
    values = table[~np.isnan(table)].astype(int) - 1
    return value_counts(unit, values, table.shape[1], values.max() + 1)


def drawn_counts(units: int, values: int, seed: int) -> np.ndarray:
    """Units judged 0 to 4 times, somewhat alike."""
    rng = np.random.default_rng(seed)
    likely = rng.dirichlet(np.full(values, 0.5), units)
    return np.stack([rng.multinomial(rng.integers(0, 5), p) for p in likely])


# --- Krippendorff's alpha -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observers", "level", "published"), [(FOUR, "nominal", 0.743), (FOUR, "ordinal", 0.815), (THREE, "nominal", 0.691)]
)
def test_alpha_of_published_data(observers: Any, level: Level, published: float) -> None:
    """Krippendorff's "C" data: the table at https://search.r-project.org/CRAN/refmans/irr/html/kripp.alpha.html, its
    alphas, and those of the three coders of Wikipedia's example, as https://github.com/pln-fing-udelar/fast-krippendorff
    has them (docstring of `alpha`, tests/test_krippendorff.py).
    """
    counts = counts_of(observers)
    assert alpha(counts, level=level).value == pytest.approx(published, abs=5e-4)
    ours = agreement.alphas(agreement.coincidences(counts).sum(axis=0)[None], level=level)
    assert ours[0] == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_every_resample_has_the_alpha_of_the_library(level: Level, seed: int) -> None:
    """The weights of a draw, written out as units again, and given to the library."""
    counts = drawn_counts(40, 4, seed)
    counts = counts[counts.sum(axis=1) > 1]
    patterns, times = agreement.distinct_rows(counts)
    assert sorted(map(tuple, np.repeat(patterns, times, axis=0))) == sorted(map(tuple, counts))
    weights = agreement.resamples(times, 20, seed)
    assert (weights.sum(axis=1) == len(counts)).all()
    matrices = (weights @ agreement.coincidences(patterns).reshape(len(patterns), -1)).reshape(-1, 4, 4)
    found = agreement.alphas(matrices, level=level)
    expected = [
        krippendorff.alpha(value_counts=np.repeat(patterns, w, axis=0), level_of_measurement=level) for w in weights
    ]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_is_that_of_a_plain_loop(level: Level) -> None:
    counts = drawn_counts(150, 4, 7)
    counts = counts[counts.sum(axis=1) > 1]
    rng = np.random.default_rng(8)
    plain = [
        krippendorff.alpha(value_counts=counts[rng.integers(0, len(counts), len(counts))], level_of_measurement=level)
        for _ in range(1500)
    ]
    found = alpha(counts, level=level, draws=4000)
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.012)
    assert found == alpha(counts, level=level, draws=4000)  # seeded


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Two observers who err independently, 400 times over: alpha of endlessly many units is known."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        truth = rng.integers(0, 2, 120)
        counts = np.zeros((120, 2), int)
        for _ in range(2):
            said = np.where(rng.random(120) < 0.2, 1 - truth, truth)
            counts[np.arange(120), said] += 1
        found = alpha(counts, draws=300)
        held += (found.low or -1) <= (0.68 - 0.5) / 0.5 <= (found.high or -1)
    assert 0.91 <= held / 400 <= 0.98


@pytest.mark.parametrize("counts", [np.zeros((0, 4), int), [[1, 0], [0, 1]], [[2, 0], [3, 0]]])
def test_alpha_of_nothing_is_none(counts: Any) -> None:
    """No unit; none judged twice; one value alone."""
    found = alpha(np.asarray(counts))
    assert (found.value, found.low, found.high) == (None, None, None)


# --- Cohen's kappa, shares ------------------------------------------------------------------


def test_kappa_of_a_published_table() -> None:
    """Fifty proposals, two readers: http://howcodex.com/statistics/cohen_kappa_coefficient.htm has 0.70 observed, and
    yes in 50 % and 60 %, so that 0.50 is chance and kappa is 0.40.
    """
    assert kappa(np.array([[20, 5], [10, 15]])).value == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 4, 60)
    other = np.where(rng.random(60) < 0.5, one, rng.integers(0, 4, 60))
    table = np.bincount(4 * one + other, minlength=16).reshape(4, 4)
    found = kappa(table, draws=4000)
    assert found.value == pytest.approx(cohen_kappa_score(one, other))
    assert found.n == 60
    plain = [cohen_kappa_score(one[drawn], other[drawn]) for drawn in rng.integers(0, 60, (300, 60))]
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.06)


@pytest.mark.parametrize("table", [np.zeros((2, 2), int), [[7, 0], [0, 0]]])
def test_kappa_of_nothing_is_none(table: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kappa(np.asarray(table)).value is None


@pytest.mark.parametrize(("count", "n"), [(0, 5), (5, 5), (1, 3), (40, 100), (80_000, 250_000)])
def test_shares_have_the_interval_of_wilson(count: int, n: int) -> None:
    found, expected = share(count, n), binomtest(count, n).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((count / n, expected.low, expected.high))


# --- the report -----------------------------------------------------------------------------

START = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
Row = dict[str, Any]


def vote(reviewer: str, pair: str, choice: str, **more: Any) -> Row:
    return {"reviewer": reviewer, "pair": pair, "choice": choice, **more}


def frame_of(rows: list[Row]) -> pd.DataFrame:
    plain: Row = {
        "left": "first",
        "purpose": "first",
        "kind": "review",
        "source": "proxy",
        "prefers": None,
        "gold": None,
    }
    plain |= {"diagnosis": None, "margin": N, "seconds": 20.0}
    plain |= {f"{side}_{name}": N for side in ("first", "second") for name in RUBRIC}
    frame = pd.DataFrame(
        [{"vote": f"v{i}", "at": START + timedelta(minutes=i), **plain, **row} for i, row in enumerate(rows)]
    )
    frame["at"] = frame["at"].astype("datetime64[us, UTC]")
    named = ["reviewer", "pair", "choice", "left", "purpose", "kind", "source", "prefers", "gold", "diagnosis"]
    return frame.astype(dict.fromkeys(named, "category"))


def reported(rows: list[Row]) -> Report:
    return report_of(Votes.of(frame_of(rows)))


def test_agreement_is_of_first_looks_alone() -> None:
    rows = [vote("ana", f"p{i}", "first") for i in range(4)]
    rows += [vote("ben", f"p{i}", choice) for i, choice in enumerate(("first", "first", "second", "tie"))]
    rows += [vote("ben", "p0", "second", purpose="repeat"), vote("ben", "p1", "second", kind="adjudication")]
    rows += [vote("ana", "g", "first", purpose="gold", gold="first"), vote("ben", "p4", "skip")]
    rows += [vote("ben", "g", "tie", purpose="gold", gold="first")]
    found = reported(rows)
    assert (found.votes, found.skips, found.pairs) == (11, 1, 5)
    assert (found.same.value, found.same.n) == (0.5, 4)
    [between] = found.between
    assert (between.one, between.other, between.agreement.value, between.agreement.n) == ("ana", "ben", 0.5, 4)
    choices = [[VALUES.index(c) for c in said] for said in (["first"] * 4, ["first", "first", "second", "tie"])]
    assert found.alpha.value == pytest.approx(krippendorff.alpha(choices, level_of_measurement="nominal"))
    assert between.kappa.value == pytest.approx(cohen_kappa_score(*choices))
    assert (found.gold.value, found.gold.n) == (0.5, 2)
    ana, ben = found.reviewers
    assert (ana.name, ana.votes, ana.skips, ana.gold.value) == ("ana", 5, 0, 1.0)
    assert (ben.votes, ben.skips, ben.choices) == (6, 1, {"first": 2, "second": 2, "tie": 2, "both_bad": 0})


def test_between_three_reviewers_whatever_the_order_of_their_votes() -> None:
    """Against scikit-learn, on 60 pairs of which each reviewer judged most."""
    rng = np.random.default_rng(5)
    said = {name: {f"p{i}": VALUES[rng.integers(0, 3)] for i in range(60) if rng.random() < 0.7} for name in "abc"}
    rows = [vote(name, pair, choice) for name in "abc" for pair, choice in said[name].items()]
    found = reported([rows[i] for i in rng.permutation(len(rows))])
    assert [(b.one, b.other) for b in found.between] == [("a", "b"), ("a", "c"), ("b", "c")]
    for b in found.between:
        both = sorted(said[b.one].keys() & said[b.other].keys())
        judged = [[said[name][pair] for pair in both] for name in (b.one, b.other)]
        assert b.agreement.n == len(both)
        assert b.kappa.value == pytest.approx(cohen_kappa_score(*judged))
        assert b.agreement.value == pytest.approx(np.mean([x == y for x, y in zip(*judged, strict=True)]))


def test_the_majority_against_the_graph() -> None:
    """Pairs a to e: agreed, agreed, not agreed, no majority, tied; of f the graph prefers neither."""
    said = {"a": ["first"] * 2, "b": ["second"] * 3, "c": ["second", "second", "first"], "d": ["first", "second"]}
    said |= {"e": ["tie", "tie"], "f": ["first"]}
    prefers = {"a": "first", "b": "second", "c": "first", "d": "first", "e": "second", "f": None}
    found = reported([vote(f"r{i}", p, c, prefers=prefers[p]) for p in said for i, c in enumerate(said[p])])
    assert found.graph.agreement.value == pytest.approx(2 / 3)
    assert (found.graph.agreement.n, found.graph.undecided) == (3, 1)
    assert found.graph.kappa.value == pytest.approx(cohen_kappa_score([0, 1, 1], [0, 1, 0]))
    own = {reviewer.name: reviewer.graph for reviewer in found.reviewers}
    assert (own["r0"].agreement.value, own["r0"].agreement.n, own["r0"].undecided) == (0.75, 4, 1)


def test_a_preference_for_the_left_is_found_in_swapped_pairs() -> None:
    """Ana takes the left one, ben what he thinks, cem the right one."""
    rows, rng = [], np.random.default_rng(0)
    for i in range(40):
        better = rng.choice(["first", "second"])
        for name in ("ana", "ben", "cem"):
            for purpose, left in (("first", "first"), ("repeat", "second")):
                right = "second" if left == "first" else "first"
                choice = {"ana": left, "ben": better, "cem": right}[name]
                rows.append(vote(name, f"p{i}", choice, left=left, purpose=purpose))
    found = reported(rows)
    ana, ben, cem = found.reviewers
    assert (ana.left.value, cem.left.value) == (1, 0)
    assert (ana.left.low or 0) > 0.9
    assert (ana.repeats.same.value, ana.repeats.left.value, ana.repeats.left.n) == (0, 1, 40)
    assert (ben.repeats.same.value, ben.repeats.left.value) == (1, None)
    assert (cem.repeats.same.value, cem.repeats.left.value) == (0, 0)
    assert found.repeats.same.value == pytest.approx(1 / 3)
    assert found.repeats.left.value == 0.5


def test_haste_and_outliers() -> None:
    rng = np.random.default_rng(0)
    rows = [vote("ana", f"p{i}", "first", seconds=float(s)) for i, s in enumerate(rng.lognormal(3, 0.3, 99))]
    rows += [vote("ben", "p0", "first", seconds=1.2), vote("ben", "p1", "first", seconds=4000.0)]
    found = reported(rows)
    assert {(o.reviewer, o.seconds) for o in found.outliers} >= {("ben", 1.2), ("ben", 4000.0)}
    assert found.outliers[0].seconds in (1.2, 4000.0)
    ana, ben = found.reviewers
    assert (ben.too_fast, ben.outlying, ana.too_fast) == (1, 2, 0)
    assert ben.seconds == pytest.approx(2000.6)
    assert reported(rows[:1]).outliers == ()


def test_by_class_and_by_criterion() -> None:
    rows = []
    for i in range(12):
        rated = {"first_accuracy": 5 - i % 2, "second_accuracy": 2 + i % 3}
        for name in ("ana", "ben"):
            choice = "first" if i % 4 or name == "ana" else "second"
            rows.append(vote(name, f"p{i}", choice, diagnosis="melanoma" if i < 8 else None, prefers="first", **rated))
    found = reported(rows)
    assert [(c.name, c.pairs, c.votes, c.graph.agreement.n) for c in found.classes] == [
        ("melanoma", 8, 16, 6),
        ("", 4, 8, 3),
    ]
    accuracy = found.rubric[0]
    assert (accuracy.name, accuracy.ratings, accuracy.alpha.value, accuracy.alpha.n) == ("accuracy", 48, 1.0, 24)
    higher = [r["first_accuracy"] > r["second_accuracy"] for r in rows if r["first_accuracy"] != r["second_accuracy"]]
    chosen = [r["choice"] == "first" for r in rows if r["first_accuracy"] != r["second_accuracy"]]
    assert accuracy.sides.value == pytest.approx(np.mean([a == b for a, b in zip(higher, chosen, strict=True)]))
    assert found.rubric[3].ratings == 0
    assert found.rubric[3].alpha.value is None


@pytest.mark.parametrize(
    ("apart", "a_point", "points"), [(timedelta(minutes=1), "50 votes", 3), (timedelta(hours=6), "a week", 5)]
)
def test_over_time(apart: timedelta, a_point: str, points: int) -> None:
    """The first 70 of 120 agree with the graph."""
    rows = [
        vote("ana", f"p{i}", "first" if i < 70 else "second", prefers="first", at=START + i * apart) for i in range(120)
    ]
    found = reported(rows)
    assert (found.a_point, len(found.over_time)) == (a_point, points)
    assert sum(point.agreement.n for point in found.over_time) == 120
    assert sum((p.agreement.value or 0) * p.agreement.n for p in found.over_time) == pytest.approx(70)
    assert found.over_time[-1].so_far == share(70, 120)
    assert found.over_time[0].agreement.value == 1
    assert found.over_time[-1].until == rows[-1]["at"].replace(tzinfo=None)


def test_no_votes_yet() -> None:
    found = report_of(Votes.of(frame_of([vote("ana", "p", "skip")])))
    assert (found.votes, found.skips, found.pairs, found.alpha.value) == (0, 1, 0, None)
    assert (found.between, found.over_time, found.classes, found.outliers) == ((), (), (), ())
    assert found.graph.agreement.value is None


def test_empty_columns() -> None:
    found = report_of(Votes.of(frame_of([vote("ana", "p", "skip")]).head(0)))
    assert (found.votes, found.reviewers) == (0, ())
