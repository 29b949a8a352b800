"""How far judgements agree: Krippendorff's alpha, Cohen's kappa and shares, each with an interval. Knows no store.

Intervals of alpha and kappa are percentiles of a bootstrap over pairs. Units that were judged alike are exchangeable,
so that a resample of N units is a multinomial draw over the few distinct patterns of judgements: the same distribution
as drawing units one by one, at a cost that does not grow with N. Intervals of shares are Wilson's.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

LEVEL = 0.95
DRAWS = 1000
DRAWS_EACH = 300  # where there is one interval for each two reviewers
SEED = 1

Array = np.ndarray
Level = Literal["nominal", "ordinal"]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; None where there is nothing to compute it from."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # of what it rests on: pairs, votes or repeats

    @classmethod
    def none(cls, n: int = 0) -> Estimate:
        return cls(None, None, None, n)


# --- shares -----------------------------------------------------------------------------


def share(count: float, n: int) -> Estimate:
    """`count` of `n` with Wilson's interval."""
    if not n:
        return Estimate.none()
    low, high = wilson(np.array([count]), np.array([n]))
    return Estimate(float(count / n), float(low[0]), float(high[0]), int(n))


def share_of(hits: Array) -> Estimate:
    """Of a boolean array."""
    return share(int(np.count_nonzero(hits)), len(hits))


def wilson(counts: Array, n: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """Both ends of the interval of shares; `n` above 0."""
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    p = counts / n
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * p * (1 - p) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


# --- Krippendorff's alpha ---------------------------------------------------------------


def value_counts(units: Array, values: Array, n_units: int, n_values: int) -> Array:
    """(N, V): how often unit u was given value v. Both arrays are codes from 0 on, one entry a judgement."""
    flat = np.bincount(units * n_values + values, minlength=n_units * n_values)
    return flat.reshape(n_units, n_values)


def alpha(counts: Array, *, level: Level = "nominal", draws: int = DRAWS, seed: int = SEED) -> Estimate:
    """Of value counts (N, V), with its bootstrap interval; `level`: nominal or ordinal. n: units judged twice or more.

    None where no unit was judged twice, or all judgements are the same value: nothing could have differed. Computed of
    the patterns; the library `krippendorff` goes unit by unit, and tests show that both say the same.
    """
    counts = counts[counts.sum(axis=1) > 1]
    if len(counts) == 0 or np.count_nonzero(counts.sum(axis=0)) < 2:
        return Estimate.none(len(counts))
    patterns, times = distinct_rows(counts)
    size = counts.shape[1]
    each = coincidences(patterns).reshape(len(patterns), -1)
    value, *drawn = alphas(
        (np.vstack((times, resamples(times, draws, seed))) @ each).reshape(-1, size, size), level=level
    )
    return with_interval(float(value), np.array(drawn), len(counts))


def coincidences(counts: Array) -> Array:
    """(N, V) -> (N, V, V): each unit's share of the coincidence matrix; 0 for units judged once."""
    judged = np.maximum(counts.sum(axis=1), 2)
    together = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    each: np.ndarray = together / (judged - 1)[:, None, None]
    return each


def alphas(matrices: Array, *, level: Level = "nominal") -> Array:
    """(B, V, V) coincidence matrices -> (B,); nan where only one value occurs."""
    totals = matrices.sum(axis=2)  # (B, V)
    distances = _distances(totals, level)
    observed = (matrices * distances).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distances).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 1 - (totals.sum(axis=1) - 1) * observed / expected
    return np.where(expected > 0, found, np.nan)


def _distances(totals: Array, level: Level) -> Array:
    """(B, V, V). Ordinal: the squared number of judgements between two values, each value counted half."""
    if level == "nominal":
        return 1.0 - np.eye(totals.shape[1])[None]
    ranks = np.cumsum(totals, axis=1) - totals / 2
    return (ranks[:, :, None] - ranks[:, None, :]) ** 2


def majority(counts: Array) -> Array:
    """(N, V) -> (N,): the value of more than half of a unit's judgements; -1 where there is none."""
    most = counts.argmax(axis=1)
    return np.where(2 * counts.max(axis=1) > counts.sum(axis=1), most, -1)


# --- Cohen's kappa ----------------------------------------------------------------------


def kappas(tables: Array) -> Array:
    """(..., V, V) tables of two judges -> (...); nan where both always gave the same one value, or judged nothing.

    Its own formula, because scikit-learn takes one table at a time; a test shows that both say the same.
    """
    n = tables.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(tables, axis1=-2, axis2=-1) / n
        chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / n**2
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def kappa(table: Array, *, draws: int = DRAWS, seed: int = SEED) -> Estimate:
    return kappa_each(table[None], draws=draws, seed=seed)[0]


def kappa_each(tables: Array, *, draws: int = DRAWS_EACH, seed: int = SEED) -> list[Estimate]:
    """(P, V, V) -> one estimate each; n: pairs that both judged."""
    rng = np.random.default_rng(seed)
    values = kappas(tables)
    found = []
    for table, value in zip(tables, values, strict=True):
        n = int(table.sum())
        if not n or np.isnan(value):
            found.append(Estimate.none(n))
            continue
        used = np.flatnonzero(table)  # the other cells are never drawn
        drawn = np.zeros((draws, table.size))
        drawn[:, used] = rng.multinomial(n, table.ravel()[used] / n, size=draws)
        found.append(with_interval(float(value), kappas(drawn.reshape(draws, *table.shape)), n))
    return found


# --- the bootstrap ----------------------------------------------------------------------


def resamples(times: Array, draws: int = DRAWS, seed: int = SEED) -> Array:
    """(K,) how often each pattern occurs -> (B, K) how often it does in each resample of as many units."""
    n = int(times.sum())
    return np.random.default_rng(seed).multinomial(n, times / n, size=draws)


def distinct_rows(rows: Array) -> tuple[Array, Array]:
    """The distinct rows of small whole numbers from 0 on, and how often each occurs."""
    keys = np.ravel_multi_index(tuple(rows.T), tuple(rows.max(axis=0) + 1))
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    return rows[first], times


def with_interval(value: float, drawn: Array, n: int, level: float = LEVEL) -> Estimate:
    """The percentiles of what was drawn; resamples in which the figure is undefined are left out."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Estimate(value, None, None, n)
    low, high = np.quantile(known, (0.5 - level / 2, 0.5 + level / 2))
    return Estimate(value, float(low), float(high), n)
