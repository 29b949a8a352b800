"""Who is shown what, in which order and why: pure functions and their settings. Knows no database.

A reviewer is shown ordinary pairs, now and then a gold pair (whose better answer is known) and a pair that they judged
before, the other way round. Of the ordinary ones come first those that another reviewer has begun and that still lack
reviewers, then those of which one more vote is expected to tell most. What is drawn depends on the seed, the reviewer
and how many showings they had: the same on every machine, and nobody can tell what comes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dermiq.review.types import Proxy, Purpose, Side, Voted

MARGIN_SCALE = 0.1
"""The proxy's margin at which it is believed three times to one (73 %); its pairs have margins from 0.05."""
LIKELIHOOD_BELIEF = 0.75
"""How far the model is believed that finds one of its own answers likelier."""
PRIOR_VOTES = 2.0
"""As many votes as the belief before the first vote weighs."""
WEIGHT_RANGE = (0.5, 2.0)
"""The least and the greatest weight of a class."""
UNDECIDED = (None, "skip")
OPINION_VOTES = 0.5
"""As many votes as an opinion on one answer weighs, which compared it with nothing."""

Stage = Literal["waiting", "held", "done", "gold", "withdrawn"]
"""held: enough reviewers have it before them, or had; withdrawn: who gave it took it back."""


@dataclass(frozen=True)
class QueueSettings:
    overlap: int = 2  # reviewers of a pair that says nothing else
    repeat_share: float = 0.05  # of showings, that repeat a pair in swapped order
    repeat_after: int = 10  # other pairs at least, between a pair and its repeat
    gold_share: float = 0.05  # of showings
    held: timedelta = timedelta(minutes=30)  # so long a pair that was shown and not voted on is kept for the reviewer
    seed: int = 1

    def lying(self, now: datetime) -> dict[str, datetime]:
        """`before` and `after`: what was shown outside of these was left lying."""
        return {"before": now - self.held, "after": now + self.held}


# --- what is drawn ----------------------------------------------------------------------


def purposes(settings: QueueSettings, reviewer: str, shown: int) -> tuple[Purpose, ...]:
    """What the reviewer's next showing is tried for, in this order, when `shown` came before it.

    Where no ordinary pair is left come the gold pairs that the reviewer has not seen, so that a set of gold pairs alone
    can be worked through.
    """
    drawn = _random(settings.seed, reviewer, "purpose", shown).random()
    if drawn < settings.gold_share:
        return "gold", "first"
    if drawn < settings.gold_share + settings.repeat_share:
        return "repeat", "first", "gold"
    return "first", "gold"


def left_side(settings: QueueSettings, reviewer: str, pair: str) -> Side:
    """Which answer the reviewer sees on the left; a repeat has the other one."""
    return "first" if _random(settings.seed, reviewer, "left", pair).random() < 0.5 else "second"


def repeated(settings: QueueSettings, reviewer: str, shown: int, candidates: Sequence[str]) -> str:
    """One of the pairs that the reviewer judged long enough ago."""
    return _random(settings.seed, reviewer, "repeat", shown).choice(candidates)


def _random(*parts: object) -> random.Random:
    return random.Random(":".join(map(str, parts)))  # seeded with the text's SHA-512, not Python's salted hash


# --- what a vote is worth ---------------------------------------------------------------


def belief(proxy: Proxy | None, likelier: Side | None) -> float:
    """How probable it is, before any vote, that a reviewer prefers the first answer.

    The mean of what the graph says (a logistic function of its margin) and of what the model's own likelihoods say,
    of those that were asked; 0.5 where neither was. Where the two disagree they cancel each other out.
    """
    said = []
    if proxy is not None:
        said.append(_towards(proxy.prefers, 1 / (1 + math.exp(-proxy.margin / MARGIN_SCALE))))
    if likelier is not None:
        said.append(_towards(likelier, LIKELIHOOD_BELIEF))
    return sum(said) / len(said) if said else 0.5


def _towards(side: Side | None, probability: float) -> float:
    return {"first": probability, "second": 1 - probability, None: 0.5}[side]


def class_weights(counts: Mapping[str | None, int]) -> dict[str | None, float]:
    """Of each class by how many pairs it has: the inverse root of its share, 1 at an equal share."""
    total, (least, most) = sum(counts.values()), WEIGHT_RANGE
    return {
        name: min(most, max(least, math.sqrt(total / (len(counts) * count)))) for name, count in counts.items() if count
    }


def priority(believed: float, weight: float, *, for_first: float = 0, for_second: float = 0, ties: float = 0) -> float:
    """What one more vote is expected to tell, in bits, times the weight of the pair's class.

    The entropy of that vote, where the chance of "first" is the belief before any vote, worth `PRIOR_VOTES` votes,
    together with the votes that there are (a tie is half of each). It is greatest (1 bit) where nobody knows: the
    proxy's margin is small, proxy and likelihood disagree, or earlier votes are split.
    """
    votes = for_first + for_second + ties
    chance = (PRIOR_VOTES * believed + for_first + ties / 2) / (PRIOR_VOTES + votes)
    bits = -sum(p * math.log2(p) for p in (chance, 1 - chance) if p > 0)
    return bits * weight


# --- where a pair stands ----------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One showing of a pair, with its vote if there is one that was not undone."""

    purpose: Purpose
    reviewer: int  # the number
    at: datetime
    choice: Voted | None


@dataclass(frozen=True)
class Given:
    """What visitors of the consultation said of a pair's answers, each by itself."""

    for_first: int = 0  # opinions: the first one is good, or the second one poor
    for_second: int = 0
    withdrawn: bool = False  # what the pair stood on was taken back


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Tally:
    """Where a pair stands. Repeats count nowhere; a reviewer who skipped is not counted among those who are wanted."""

    stage: Stage
    begun: bool
    priority: float
    seen_by: str
    shown_at: datetime | None
    for_first: int
    for_second: int
    ties: int
    both_bad: int
    skips: int
    decided: Voted | None  # by the newest adjudication
    disputed: bool  # first against second, or a tie against either; neither decided nor gold


def tally(
    overlap: int,
    gold: Side | None,
    believed: float,
    weight: float,
    showings: Sequence[Shown],
    given: Given = NOTHING_GIVEN,
) -> Tally:
    reviews = [shown for shown in showings if shown.purpose in ("first", "gold")]
    chosen = [shown.choice for shown in reviews]
    counts = {choice: chosen.count(choice) for choice in ("first", "second", "tie", "both_bad", "skip")}
    decided = [shown.choice for shown in showings if shown.purpose == "adjudication" and shown.choice not in UNDECIDED]
    taken = len(reviews) - counts["skip"]
    opinions = {"for_first": counts["first"], "for_second": counts["second"], "ties": counts["tie"]}
    stage = _stage(gold, overlap, taken=taken, voted=taken - chosen.count(None))
    return Tally(
        stage="withdrawn" if given.withdrawn else stage,
        begun=bool(taken),
        priority=priority(
            believed,
            weight,
            for_first=counts["first"] + OPINION_VOTES * given.for_first,
            for_second=counts["second"] + OPINION_VOTES * given.for_second,
            ties=counts["tie"],
        ),
        seen_by=seen_by(shown.reviewer for shown in showings),
        shown_at=max((shown.at for shown in showings), default=None),
        **opinions,
        both_bad=counts["both_bad"],
        skips=counts["skip"],
        decided=decided[-1] if decided else None,
        disputed=gold is None and not decided and not given.withdrawn and sum(map(bool, opinions.values())) > 1,
    )


def seen_by(reviewers: Iterable[int]) -> str:
    """Their numbers as one text, in which `among(number)` is found exactly where the number is one of them."""
    return "".join(f",{number}" for number in sorted(set(reviewers))) + ","


def among(reviewer: int) -> str:
    return f",{reviewer},"


def _stage(gold: Side | None, overlap: int, *, taken: int, voted: int) -> Stage:
    if gold is not None:
        return "gold"
    if taken < overlap:
        return "waiting"
    return "held" if voted < overlap else "done"
