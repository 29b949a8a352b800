"""How good the judgements are: reviewers against each other, themselves and the graph; haste; a preference for a side.

    report = report_of(Votes.of(store.columns()), store.opinions())

Agreement, also with the graph, is judged by each reviewer's first look at pairs without a known answer; pairs shown
again, swapped, tell of consistency and of a preference for a side; pairs with a known answer tell of care. A skip is no
judgement. Pure functions on columns: knows neither store nor page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from dermiq.review.measures.agreement import (
    DRAWS_EACH,
    Array,
    Estimate,
    alpha,
    kappa,
    kappa_each,
    majority,
    share,
    share_of,
    value_counts,
    wilson,
)
from dermiq.review.measures.columns import NONE, SIDES, VALUES, Votes
from dermiq.review.types import RUBRIC, Opinion

TOO_FAST_S = 2.0  # nobody reads two answers in it
OUTLYING = 3.5  # robust z of the logarithm of seconds
MOST_OUTLIERS = 50
CHUNK = 50  # votes of a point over time
WEEKS_FROM = 4  # weeks of votes from which on a point is a week
MOST_POINTS = 60


# --- the report -------------------------------------------------------------------------


@dataclass(frozen=True)
class AgainstGraph:
    """Judgements of pairs of which the graph prefers an answer."""

    agreement: Estimate  # of those that prefer one, too
    kappa: Estimate
    undecided: int  # ties and both bad


@dataclass(frozen=True)
class Between:
    """Two reviewers on the pairs that both judged."""

    one: str
    other: str
    agreement: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class Repeats:
    """Pairs that one reviewer saw again, in the other order."""

    same: Estimate  # share with the same judgement
    left: Estimate  # of the preferences that changed with the order, share for what stood on the left both times


@dataclass(frozen=True)
class OfReviewer:
    name: str
    votes: int  # all judgements, without skips
    skips: int
    choices: dict[str, int]  # of VALUES
    graph: AgainstGraph
    left: Estimate  # share of preferences that were for the answer on the left
    repeats: Repeats
    gold: Estimate  # share of known answers that were found
    seconds: float | None  # median
    too_fast: int  # below TOO_FAST_S
    outlying: int  # by robust z


@dataclass(frozen=True)
class OfClass:
    name: str  # empty where no diagnosis is known
    pairs: int
    votes: int
    alpha: Estimate
    graph: AgainstGraph  # of the majority


@dataclass(frozen=True)
class OfCriterion:
    name: str
    ratings: int
    alpha: Estimate  # ordinal, of answers that two or more rated
    preferred: float | None  # mean rating
    other: float | None
    sides: Estimate  # where the ratings of two answers differ: share in which the preferred one is rated higher


@dataclass(frozen=True)
class Point:
    """The votes of some time against the graph."""

    until: datetime
    agreement: Estimate
    so_far: Estimate  # with all votes before


@dataclass(frozen=True)
class Outlier:
    vote: str
    pair: str
    reviewer: str
    seconds: float
    z: float  # robust, of the logarithm


@dataclass(frozen=True)
class OfModel:
    """What visitors of the consultation said of one model's answers, each by itself."""

    name: str  # empty where it is not known
    good: Estimate  # share; n: opinions


@dataclass(frozen=True)
class Report:
    votes: int  # as `dermiq.review.types.Counts` has them
    skips: int
    pairs: int  # that have a judgement
    same: Estimate  # share of pairs judged by two or more on which all say the same
    alpha: Estimate
    graph: AgainstGraph  # of the majority of each pair
    left: Estimate
    repeats: Repeats
    gold: Estimate
    reviewers: tuple[OfReviewer, ...]
    between: tuple[Between, ...]
    over_time: tuple[Point, ...]
    a_point: str  # "a week" or "50 votes": what one of them holds
    classes: tuple[OfClass, ...]
    rubric: tuple[OfCriterion, ...]
    outliers: tuple[Outlier, ...]  # the most outlying first
    good: Estimate  # share of visitors' opinions on single answers; n: opinions
    models: tuple[OfModel, ...]  # the most judged first


def report_of(votes: Votes, opinions: Sequence[Opinion] = ()) -> Report:
    """Everything; at 250,000 votes within seconds."""
    judged = votes.where(votes.choice != NONE)
    looks = judged.where(judged.is_look)
    counts = value_counts(looks.pair, looks.choice, len(votes.pairs), len(VALUES))
    z = _robust_z(judged.seconds)
    points, a_point = over_time(looks)
    return Report(
        votes=len(judged),
        skips=len(votes) - len(judged),
        pairs=len(np.unique(judged.pair)),
        same=_same(counts),
        alpha=alpha(counts),
        graph=against_graph(majority(counts), votes.prefers_of_pairs),
        left=_left(judged),
        repeats=repeats_of(judged),
        gold=_gold(judged),
        reviewers=tuple(_reviewers(votes, judged, z)),
        between=tuple(between(looks)),
        over_time=points,
        a_point=a_point,
        classes=tuple(_classes(votes, counts)),
        rubric=tuple(_rubric(looks, name) for name in RUBRIC),
        outliers=_outliers(judged, z),
        good=_good(opinions),
        models=tuple(_models(opinions)),
    )


# --- opinions ---------------------------------------------------------------------------


def _good(opinions: Sequence[Opinion]) -> Estimate:
    return share(sum(opinion.up for opinion in opinions), len(opinions))


def _models(opinions: Sequence[Opinion]) -> Iterator[OfModel]:
    times = Counter(opinion.model for opinion in opinions)
    for name, _ in times.most_common():
        yield OfModel(name, _good([opinion for opinion in opinions if opinion.model == name]))


# --- agreement --------------------------------------------------------------------------


def _same(counts: Array) -> Estimate:
    several = counts[counts.sum(axis=1) > 1]
    return share_of(several.max(axis=1, initial=0) == several.sum(axis=1))


def against_graph(choice: Array, prefers: Array, *, draws: int | None = None) -> AgainstGraph:
    """Both are places in VALUES or NONE, entry by entry."""
    choice, prefers = choice[prefers != NONE], prefers[prefers != NONE]
    decided = np.isin(choice, SIDES)
    table = np.bincount(2 * choice[decided] + prefers[decided], minlength=4).reshape(2, 2)
    more = {} if draws is None else {"draws": draws}
    undecided = int(np.count_nonzero((choice != NONE) & ~decided))
    return AgainstGraph(share(int(np.trace(table)), int(table.sum())), kappa(table, **more), undecided)


def between(looks: Votes) -> Iterator[Between]:
    """Each two reviewers who judged the same pairs, in the order of their names."""
    names, size = looks.reviewers, len(VALUES)
    one, other = _together(looks)
    swap = looks.reviewer[one] > looks.reviewer[other]
    one, other = np.where(swap, other, one), np.where(swap, one, other)
    cells = looks.choice[one] * size + looks.choice[other]
    both, place = np.unique(looks.reviewer[one] * len(names) + looks.reviewer[other], return_inverse=True)
    tables = np.bincount(place * size**2 + cells, minlength=len(both) * size**2).reshape(-1, size, size)
    for key, table, found in zip(both.tolist(), tables, kappa_each(tables), strict=True):
        same = share(int(np.trace(table)), int(table.sum()))
        yield Between(names[key // len(names)], names[key % len(names)], same, found)


def _together(looks: Votes) -> tuple[Array, Array]:
    """Every two votes on the same pair, as indices."""
    order = np.argsort(looks.pair, kind="stable")
    pair = looks.pair[order]
    ones, others = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for lag in range(1, len(pair)):
        same = np.flatnonzero(pair[lag:] == pair[:-lag])
        if not len(same):
            break
        ones.append(order[same])
        others.append(order[same + lag])
    return np.concatenate(ones), np.concatenate(others)


def over_time(looks: Votes) -> tuple[tuple[Point, ...], str]:
    """The votes that prefer an answer against the graph, by weeks or, of a shorter time, by 50 or more in a row."""
    votes = looks.where(np.isin(looks.choice, SIDES) & (looks.prefers != NONE))
    votes = votes.where(np.argsort(votes.at, kind="stable"))
    if not len(votes):
        return (), f"{CHUNK} votes"
    week = ((votes.at - votes.at[0]) // np.timedelta64(7, "D")).astype(np.int64)
    if week[-1] + 1 >= WEEKS_FROM:
        ends, a_point = np.flatnonzero(np.diff(week, append=week[-1] + 1)) + 1, "a week"
    else:
        step = CHUNK * max(1, -(-len(votes) // (CHUNK * MOST_POINTS)))
        ends, a_point = np.append(np.arange(step, len(votes), step), len(votes)), f"{step} votes"
    agreed = np.cumsum(votes.choice == votes.prefers)
    so_far = _shares(agreed[ends - 1], ends)
    each = _shares(np.diff(agreed[ends - 1], prepend=0), np.diff(ends, prepend=0))
    until = votes.at[ends - 1].astype("datetime64[us]").tolist()
    return tuple(map(Point, until, each, so_far)), a_point


def _shares(counts: Array, n: Array) -> list[Estimate]:
    low, high = wilson(counts, n)
    columns = (values.tolist() for values in (counts / n, low, high, n))
    return [Estimate(*row) for row in zip(*columns, strict=True)]


# --- one reviewer -----------------------------------------------------------------------


def _reviewers(votes: Votes, judged: Votes, z: Array) -> Iterator[OfReviewer]:
    skips = np.bincount(votes.reviewer[votes.choice == NONE], minlength=len(votes.reviewers))
    order = np.argsort(judged.reviewer, kind="stable")
    ends = np.cumsum(np.bincount(judged.reviewer, minlength=len(votes.reviewers)))
    for code, name in enumerate(votes.reviewers):
        places = order[ends[code - 1] if code else 0 : ends[code]]
        own, looks = judged.where(places), judged.where(places[judged.is_look[places]])
        times = np.bincount(own.choice, minlength=len(VALUES)).tolist()
        yield OfReviewer(
            name=name,
            votes=len(own),
            skips=int(skips[code]),
            choices=dict(zip(VALUES, times, strict=True)),
            graph=against_graph(looks.choice, looks.prefers, draws=DRAWS_EACH),
            left=_left(own),
            repeats=repeats_of(own),
            gold=_gold(own),
            seconds=float(np.median(own.seconds)) if len(own) else None,
            too_fast=int(np.count_nonzero(own.seconds < TOO_FAST_S)),
            outlying=int(np.count_nonzero(np.abs(z[places]) > OUTLYING)),
        )


def _left(votes: Votes) -> Estimate:
    decided = votes.where(np.isin(votes.choice, SIDES))
    return share_of(decided.choice == decided.left)


def _gold(votes: Votes) -> Estimate:
    known = votes.where(votes.gold != NONE)
    return share_of(known.choice == known.gold)


def repeats_of(votes: Votes) -> Repeats:
    """Each repeat against the same reviewer's vote on the same pair before it."""
    order = np.lexsort((votes.at, votes.pair, votes.reviewer))
    same_pair = (np.diff(votes.pair[order]) == 0) & (np.diff(votes.reviewer[order]) == 0)
    again = same_pair & votes.is_repeat[order[1:]]
    before, after = votes.where(order[:-1][again]), votes.where(order[1:][again])
    changed = (before.choice != after.choice) & np.isin(before.choice, SIDES) & np.isin(after.choice, SIDES)
    by_side = changed & (before.left != after.left)
    return Repeats(share_of(before.choice == after.choice), share_of((before.choice == before.left)[by_side]))


def _robust_z(seconds: Array) -> Array:
    """Of the logarithms: distances from the median in median absolute deviations, scaled as a normal's deviation."""
    logs: np.ndarray = np.log(np.maximum(seconds, 0.01))
    if not len(logs):
        return logs
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))
    return (logs - middle) / spread if spread > 0 else np.zeros_like(logs)


def _outliers(votes: Votes, z: Array) -> tuple[Outlier, ...]:
    found = np.flatnonzero((np.abs(z) > OUTLYING) | (votes.seconds < TOO_FAST_S))
    found = found[np.argsort(-np.abs(z[found]), kind="stable")][:MOST_OUTLIERS]
    return tuple(
        Outlier(
            str(votes.ids[votes.vote[i]]),
            str(votes.pairs[votes.pair[i]]),
            votes.reviewers[votes.reviewer[i]],
            float(votes.seconds[i]),
            float(z[i]),
        )
        for i in found
    )


# --- by class, by criterion -------------------------------------------------------------


def _classes(votes: Votes, counts: Array) -> Iterator[OfClass]:
    """Those with a judgement, the most judged first."""
    diagnosis = votes.diagnosis_of_pairs
    times = np.bincount(diagnosis, weights=counts.sum(axis=1), minlength=len(votes.diagnoses))
    for code in np.argsort(-times, kind="stable"):
        if times[code]:
            own = diagnosis == code
            yield OfClass(
                name=votes.diagnoses[code],
                pairs=int(np.count_nonzero(counts[own].any(axis=1))),
                votes=int(times[code]),
                alpha=alpha(counts[own]),
                graph=against_graph(majority(counts[own]), votes.prefers_of_pairs[own]),
            )


def _rubric(looks: Votes, name: str) -> OfCriterion:
    ratings = looks.rubric[:, :, RUBRIC.index(name)]  # (n, 2), 0 where there is none
    vote, side = np.divmod(np.flatnonzero(ratings), 2)
    counts = value_counts(2 * looks.pair[vote] + side, ratings[vote, side] - 1, 2 * len(looks.pairs), 5)
    both = np.flatnonzero(np.isin(looks.choice, SIDES) & ratings.all(axis=1))
    preferred = ratings[both, looks.choice[both]]
    other = ratings[both, 1 - looks.choice[both]]
    return OfCriterion(
        name=name,
        ratings=len(vote),
        alpha=alpha(counts, level="ordinal"),
        preferred=float(preferred.mean()) if len(both) else None,
        other=float(other.mean()) if len(both) else None,
        sides=share_of((preferred > other)[preferred != other]),
    )
