"""From rewards to advantages: pure functions on (groups, G), G completions of one prompt a row.

NaN is a reward that could not be judged: that completion gets the advantage 0 and does not enter its group's
statistics. Computed in float64 so that equal rewards give exactly equal advantages. Knows no text and no model.

Where a paper leaves open which standard deviation is meant, it is the one with n - 1, as in TRL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.options import option

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-4
"""Added to a standard deviation before dividing by it, as in TRL."""


@dataclass(frozen=True, eq=False)
class GroupRewards:
    """What one batch of groups earned, each (groups, G), NaN where it could not be judged."""

    total: Tensor  # weighted sum of all parts
    correctness: Tensor  # unweighted
    shaping: Tensor  # weighted sum of all parts but correctness
    best: float  # the highest total that a completion can have


def combine(parts: Tensor, names: Sequence[str], weights: Sequence[float]) -> GroupRewards:
    """Parts (groups, G, K) with their K names and weights -> totals.

    As in TRL a part that is NaN adds nothing, and a sum is NaN where all of its parts are. ValueError where no part
    is called "correctness".
    """
    import torch

    if "correctness" not in names or not len(names) == len(weights) == parts.shape[-1]:
        raise ValueError(f"{parts.shape[-1]} parts, named {list(names)}, weights {list(weights)}: one each is needed.")
    at = list(names).index("correctness")
    weighted = parts.double() * torch.tensor(list(weights), dtype=torch.float64, device=parts.device)
    others = [k for k in range(len(names)) if k != at]
    return GroupRewards(_sum(weighted), parts[..., at], _sum(weighted[..., others]), math.fsum(weights))


def _sum(weighted: Tensor) -> Tensor:
    return weighted.nansum(-1).masked_fill(weighted.isnan().all(-1), math.nan)


def estimate(rewards: GroupRewards, settings: AdvantageSettings) -> Tensor:
    """The advantages (groups, G) by the estimator that the settings name."""
    return ESTIMATORS[settings.estimator].function(rewards, settings)


def collapse_rate(advantages: Tensor, *, tolerance: float = 1e-6) -> float | None:
    """The share of groups that teach nothing: every advantage within `tolerance` of 0. None where there is no group.

    Advantages (groups, G). "Advantage Collapse Rate" of arXiv 2605.21125, which counts groups whose rewards hardly
    vary; here the advantages are asked, so that an estimator that learns from equal rewards shows it.
    """
    if advantages.shape[0] == 0:
        return None
    silent = advantages.nan_to_num().abs() <= tolerance
    return float(silent.all(1).double().mean())


# --- the estimators -----------------------------------------------------------------------


def grpo(rewards: Tensor) -> Tensor:
    """A_i = (r_i - mean(r)) / (std(r) + eps) within the group.

    DeepSeekMath, arXiv 2402.03300, outcome supervision; eps as in TRL.
    """
    values = _judged(rewards)
    centred = values - _mean(values)
    return _finish(centred / (_std(values) + EPSILON), rewards)


def dr_grpo(rewards: Tensor) -> Tensor:
    """A_i = r_i - mean(r) within the group: no division by std, which favours too easy and too hard questions.

    "Understanding R1-Zero-Like Training", arXiv 2503.20783.
    """
    values = _judged(rewards)
    return _finish(values - _mean(values), rewards)


def rloo(rewards: Tensor) -> Tensor:
    """A_i = r_i - mean of the other judged rewards = n / (n - 1) (r_i - mean(r)); 0 where there is no other.

    REINFORCE leave-one-out, "Back to Basics", arXiv 2402.14740.
    """
    values = _judged(rewards)
    n = _count(values)
    return _finish((values - _mean(values)) * n / (n - 1).clamp(min=1), rewards)


def batch(rewards: Tensor) -> Tensor:
    """A_i = (r_i - mean(r of its group)) / (std(r of the whole batch) + eps).

    "Tricks or Traps", arXiv 2508.08221. With several processes pass the rewards of all of them.
    """
    values = _judged(rewards)
    spread = _std(values.reshape(1, -1))
    return _finish((values - _mean(values)) / (spread + EPSILON), rewards)


def ngrpo(rewards: Tensor, *, best_reward: float = 1.0) -> Tensor:
    """A_i = (r_i - mean(r')) / (std(r') + eps), r' being the group's rewards and one virtual reward `best_reward`.

    A group that is all wrong gets negative advantages, since the virtual answer was better; one that is all right
    gets 0. NGRPO's advantage calibration, arXiv 2509.18851; the formula is that of its authors' code,
    github.com/nangongrui-ngr/NGRPO, `compute_ngrpo_outcome_advantage` (whose eps is 1e-6).
    """
    import torch

    values = _judged(rewards)
    best = torch.full_like(values[:, :1], best_reward)
    seen = torch.cat([values, best], dim=1)
    return _finish((values - _mean(seen)) / (_std(seen) + 1e-6), rewards)


def grpopp(
    correctness: Tensor,
    shaping: Tensor | None = None,
    *,
    threshold: float = 0.5,
    one_sided: float = 0.25,
    bonus: float = 0.2,
) -> Tensor:
    """GRPO++'s binary advantage, as this project defines it (the paper, arXiv 2510.01236, gives no equation).

    s_i = +1 where correctness is above `threshold`, else -1; of n judged answers n+ are right and n- wrong.

        A_i = s_i n / (2 n_{s_i}) + b_i     where both kinds occur: each side has the mass n / 2, the mean |A| is 1
        A_i = s_i one_sided + b_i           where only one does
        b_i = bonus d_i / max(1, max|d|),   d_i = shaping_i - mean(shaping) of the group

    Without bonus a mixed group sums to 0. The bonus sums to 0 in every group, never exceeds `bonus`, and, being
    below 1/2, never makes a right answer of a mixed group negative or a wrong one positive. An answer whose
    correctness could not be judged gets 0 whatever its shaping.
    """
    import torch

    values = _judged(correctness)
    known = ~values.isnan()
    right, wrong = known & (values > threshold), known & (values <= threshold)
    n, n_right, n_wrong = (mask.sum(1, keepdim=True).double() for mask in (known, right, wrong))
    mixed = (n_right > 0) & (n_wrong > 0)
    up = torch.where(mixed, n / (2 * n_right.clamp(min=1)), one_sided)
    down = torch.where(mixed, n / (2 * n_wrong.clamp(min=1)), one_sided)
    signed = up * right - down * wrong
    if shaping is None or bonus == 0:
        return _finish(signed, correctness)
    return _finish(signed + bonus * _bounded(_judged(shaping).masked_fill(~known, math.nan)), correctness)


def _bounded(shaping: Tensor) -> Tensor:
    """Distance from the group's mean, shrunk where needed so that none exceeds 1; 0 where it was not judged."""
    distance = (shaping - _mean(shaping)).nan_to_num()
    return distance / distance.abs().amax(1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class Estimator:
    """How rewards become advantages. The function that it calls gives the equation."""

    function: Callable[[GroupRewards, AdvantageSettings], Tensor]
    title: str
    help: str
    source: str


ESTIMATORS: Mapping[str, Estimator] = {
    "grpo": Estimator(
        lambda rewards, _: grpo(rewards.total),
        title="GRPO",
        help="distance from the group's mean in its standard deviations",
        source="arXiv 2402.03300, outcome supervision",
    ),
    "dr_grpo": Estimator(
        lambda rewards, _: dr_grpo(rewards.total),
        title="Dr. GRPO",
        help="distance from the group's mean",
        source="arXiv 2503.20783",
    ),
    "rloo": Estimator(
        lambda rewards, _: rloo(rewards.total),
        title="RLOO",
        help="distance from the mean of the group's others",
        source="arXiv 2402.14740",
    ),
    "batch": Estimator(
        lambda rewards, _: batch(rewards.total),
        title="Group mean, batch deviation",
        help="distance from the group's mean in standard deviations of the batch",
        source="arXiv 2508.08221",
    ),
    "ngrpo": Estimator(
        lambda rewards, settings: ngrpo(
            rewards.total, best_reward=rewards.best if settings.best_reward is None else settings.best_reward
        ),
        title="NGRPO",
        help="as grpo, beside one more answer that earned everything",
        source="arXiv 2509.18851",
    ),
    "grpopp": Estimator(
        lambda rewards, settings: grpopp(
            rewards.correctness,
            rewards.shaping,
            threshold=settings.threshold,
            one_sided=settings.one_sided,
            bonus=settings.bonus,
        ),
        title="GRPO++",
        help="right answers against wrong ones, and a little for the rest",
        source="after arXiv 2510.01236, by our own equation",
    ),
}


def _described(name: str) -> str:
    return f"{name}: {ESTIMATORS[name].help} ({ESTIMATORS[name].source})"


@dataclass(frozen=True)
class AdvantageSettings:
    """Which estimator, and the settings of those that have any."""

    estimator: str = option(
        "grpopp",
        f"how a group's rewards become advantages. {'; '.join(_described(name) for name in ESTIMATORS)}",
        choices=tuple(ESTIMATORS),
    )
    threshold: float = 0.5  # grpopp: correctness above it is right; from 0 to below 1
    one_sided: float = 0.25  # grpopp: what a group that is all right or all wrong weighs against a mixed one; 0 to 1
    bonus: float = 0.2  # grpopp: the most that shaping rewards add or take; from 0 to below 0.5
    best_reward: float | None = None  # ngrpo: the highest total reward of a completion; none: all weights together

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"There is no estimator {self.estimator!r}; there are {', '.join(ESTIMATORS)}.")
        if not 0 <= self.bonus < 0.5:
            raise ValueError(f"bonus is {self.bonus}, but from 0.5 on it could turn a right answer's sign: use less.")
        if not 0 <= self.one_sided <= 1:
            raise ValueError(f"one_sided is {self.one_sided}; it must lie between 0 (teaches nothing) and 1.")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must be at least 0 and less than the truth's 1.")
        if self.best_reward is not None and not 0 < self.best_reward < math.inf:
            raise ValueError(f"best_reward is {self.best_reward}; it must be more than 0.")


# --- statistics without the unjudged ------------------------------------------------------------


def _judged(rewards: Tensor) -> Tensor:
    """(groups, G) as float64, NaN for whatever is not a finite number."""
    if rewards.ndim != 2:
        raise ValueError(f"Rewards have the shape {tuple(rewards.shape)}; (groups, completions) is needed.")
    values = rewards.double()
    return values.masked_fill(~values.isfinite(), math.nan)


def _count(values: Tensor) -> Tensor:
    return (~values.isnan()).sum(1, keepdim=True).double()


def _mean(values: Tensor) -> Tensor:
    """(rows, 1): 0 where nothing was judged. Exact where all judged values are equal."""
    first = values.nan_to_num(nan=-math.inf).amax(1, keepdim=True)  # any reference will do; the highest is at hand
    first = first.masked_fill(first.isinf(), 0.0)
    return first + (values - first).nansum(1, keepdim=True) / _count(values).clamp(min=1)


def _std(values: Tensor) -> Tensor:
    """(rows, 1): 0 where fewer than two values were judged."""
    squares = (values - _mean(values)).square().nansum(1, keepdim=True)
    return (squares / (_count(values) - 1).clamp(min=1)).sqrt()


def _finish(advantages: Tensor, rewards: Tensor) -> Tensor:
    """0 where the reward could not be judged, in the rewards' own precision."""
    import torch

    unjudged = ~rewards.isfinite()
    dtype = rewards.dtype if rewards.dtype.is_floating_point else torch.float32
    return advantages.masked_fill(unjudged, 0.0).to(dtype)
