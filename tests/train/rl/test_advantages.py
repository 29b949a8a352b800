"""Advantages against values computed by hand, and what must hold for any rewards."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from train.rl.advantages import (
    ESTIMATORS,
    AdvantageSettings,
    GroupRewards,
    batch,
    collapse_rate,
    combine,
    dr_grpo,
    estimate,
    grpo,
    grpopp,
    ngrpo,
    rloo,
)

NAN = math.nan
NAMES = sorted(ESTIMATORS)


def rows(*groups: list[float]) -> Tensor:
    return torch.tensor(groups, dtype=torch.float64)


def from_correctness(correctness: Tensor) -> GroupRewards:
    return GroupRewards(correctness, correctness, torch.zeros_like(correctness), 1.0)


def random_rewards(seed: int, *, unjudged: float = 0.2) -> Tensor:
    """A few groups of a few right and wrong answers, some of them not judged."""
    draw = torch.Generator().manual_seed(seed)
    groups, size = int(torch.randint(1, 6, (), generator=draw)), int(torch.randint(2, 10, (), generator=draw))
    rewards = torch.randint(0, 2, (groups, size), generator=draw).double()
    rewards[torch.rand(groups, size, generator=draw) < unjudged] = NAN
    return rewards


def test_the_z_score_by_hand() -> None:
    std = math.sqrt((0.75**2 + 3 * 0.25**2) / 3)
    wanted = rows([0.75 / (std + 1e-4), *[-0.25 / (std + 1e-4)] * 3])
    torch.testing.assert_close(grpo(rows([1, 0, 0, 0])), wanted)


def test_centred_and_leave_one_out_by_hand() -> None:
    torch.testing.assert_close(
        dr_grpo(rows([1, 0, 0, 0], [2, 2, 5, 3])), rows([0.75, -0.25, -0.25, -0.25], [-1, -1, 2, 0])
    )
    torch.testing.assert_close(rloo(rows([1, 0, 0, 0])), rows([1, -1 / 3, -1 / 3, -1 / 3]))


def test_the_batch_scale_is_one_number() -> None:
    rewards = rows([1, 0], [5, 3])
    std = torch.tensor([1.0, 0.0, 5.0, 3.0], dtype=torch.float64).std()
    torch.testing.assert_close(batch(rewards), rows([0.5, -0.5], [1, -1]) / (std + 1e-4))


def test_ngrpo_gives_the_values_of_its_authors_example() -> None:
    """One right answer of eight: 1.76 and -0.50, where GRPO gives 2.47 and -0.35."""
    rewards = rows([1, 0, 0, 0, 0, 0, 0, 0])
    assert [round(float(value), 2) for value in ngrpo(rewards)[0, :2]] == [1.76, -0.5]
    assert [round(float(value), 2) for value in grpo(rewards)[0, :2]] == [2.47, -0.35]


def test_ngrpo_teaches_where_all_is_wrong_and_is_silent_where_all_is_right() -> None:
    wrong, right = ngrpo(rows([0, 0, 0, 0], [1, 1, 1, 1]))
    std = math.sqrt((4 * 0.2**2 + 0.8**2) / 4)
    torch.testing.assert_close(wrong, torch.full_like(wrong, -0.2 / (std + 1e-6)))
    assert right.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("correctness", "wanted"),
    [
        ([1, 0, 0, 0], [2, -2 / 3, -2 / 3, -2 / 3]),
        ([1, 1, 0, 0], [1, 1, -1, -1]),
        ([1, 1, 1, 0], [2 / 3, 2 / 3, 2 / 3, -2]),
        ([1, 1, 1, 1], [0.25] * 4),
        ([0, 0, 0, 0], [-0.25] * 4),
        ([1, 0, NAN, NAN], [1, -1, 0, 0]),
        ([1, NAN, NAN, NAN], [0.25, 0, 0, 0]),
        ([NAN, NAN, NAN, NAN], [0, 0, 0, 0]),
        ([0.5, 0.6, 0.4, 0.4], [-2 / 3, 2, -2 / 3, -2 / 3]),
    ],
)
def test_the_binary_advantage_by_hand(correctness: list[float], wanted: list[float]) -> None:
    torch.testing.assert_close(grpopp(rows(correctness)), rows(wanted))


def test_shaping_is_a_bounded_bonus() -> None:
    even = grpopp(rows([1, 0]), rows([0.6, 0.4]), bonus=0.2)
    torch.testing.assert_close(even, rows([1 + 0.02, -1 - 0.02]))
    far = grpopp(rows([1, 1]), rows([100, 0]), one_sided=0.25, bonus=0.2)
    torch.testing.assert_close(far, rows([0.45, 0.05]))
    unjudged = grpopp(rows([1, 0, 1]), rows([NAN, 0.9, 0.1]), bonus=0.2)
    torch.testing.assert_close(unjudged, rows([0.75, -1.5 + 0.08, 0.75 - 0.08]))


def test_shaping_of_an_unjudged_answer_counts_nowhere() -> None:
    advantages = grpopp(rows([1, 0, NAN]), rows([0.5, 0.5, 9.0]))
    torch.testing.assert_close(advantages, rows([1, -1, 0]))


@pytest.mark.parametrize("seed", range(40))
def test_shaping_never_turns_a_right_answer_of_a_mixed_group(seed: int) -> None:
    correctness = random_rewards(seed)
    shaping = torch.randn(correctness.shape, generator=torch.Generator().manual_seed(seed)).double() * 10 ** (seed % 4)
    plain = grpopp(correctness)
    shaped = grpopp(correctness, shaping, bonus=0.49)
    assert bool(((shaped - plain).abs() <= 0.49 + 1e-12).all())
    torch.testing.assert_close(shaped.sum(1), plain.sum(1))
    mixed = (correctness == 1).any(1) & (correctness == 0).any(1)
    assert bool((shaped[mixed].sign() == plain[mixed].sign()).all())


@pytest.mark.parametrize("seed", range(40))
def test_sides_of_a_mixed_group_weigh_the_same(seed: int) -> None:
    correctness = random_rewards(seed)
    advantages = grpopp(correctness)
    for group, earned in zip(correctness, advantages, strict=True):
        judged = int((~group.isnan()).sum())
        if (group == 1).any() and (group == 0).any():
            assert float(earned[earned > 0].sum()) == pytest.approx(judged / 2)
            assert float(earned[earned < 0].sum()) == pytest.approx(-judged / 2)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("estimator", [grpo, dr_grpo, rloo, batch], ids=lambda function: function.__name__)
def test_baselines_sum_to_zero_and_ignore_a_shift(estimator, seed: int) -> None:  # type: ignore[no-untyped-def]
    rewards = random_rewards(seed) * 3.7
    advantages = estimator(rewards)
    torch.testing.assert_close(advantages.sum(1), torch.zeros(len(rewards), dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(estimator(rewards + 11.0), advantages, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", NAMES)
def test_an_unjudged_completion_is_as_if_it_were_not_there(name: str, seed: int) -> None:
    settings = AdvantageSettings(name)
    group = random_rewards(seed)[:1]
    judged = ~group.isnan()
    advantages = estimate(from_correctness(group), settings)
    assert advantages[~judged].tolist() == [0.0] * int((~judged).sum())
    assert advantages.isfinite().all()
    if judged.any():
        alone = estimate(from_correctness(group[judged][None]), settings)
        torch.testing.assert_close(advantages[judged][None], alone)


@pytest.mark.parametrize("name", NAMES)
def test_advantages_follow_the_order_of_completions_and_the_dtype(name: str) -> None:
    settings = AdvantageSettings(name)
    rewards = torch.tensor([[1.0, 0.0, 0.0, NAN, 1.0, 0.0]])
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    advantages = estimate(from_correctness(rewards), settings)
    assert advantages.dtype == torch.float32
    assert advantages.shape == rewards.shape
    torch.testing.assert_close(estimate(from_correctness(rewards[:, order]), settings), advantages[:, order])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_equal_rewards_leave_no_rounding_behind(name: str, dtype: torch.dtype) -> None:
    """A z-score divides by almost nothing there: a rounding error would be taken for a lesson."""
    total = torch.full((3, 7), 0.7, dtype=dtype)
    settings = AdvantageSettings(name, best_reward=float(total[0, 0]), one_sided=0.0)
    assert estimate(from_correctness(total), settings).abs().max() == 0


def test_collapse_counts_groups_that_teach_nothing() -> None:
    rewards = rows([1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0], [NAN, NAN, NAN, NAN])
    assert collapse_rate(grpo(rewards)) == 0.75
    assert collapse_rate(ngrpo(rewards)) == 0.5
    assert collapse_rate(grpopp(rewards)) == 0.25
    assert collapse_rate(grpopp(rewards, one_sided=0.0)) == 0.75
    assert collapse_rate(rewards[:0]) is None


def test_parts_are_summed_as_trl_sums_them() -> None:
    parts = torch.tensor([[[1.0, 0.5, NAN], [NAN, 0.5, 1.0], [NAN, NAN, NAN], [0.0, NAN, NAN]]])
    rewards = combine(parts, ("correctness", "format", "semantic"), (1.0, 0.2, 0.3))
    torch.testing.assert_close(rewards.total, rows([1.1, 0.4, NAN, 0.0]), equal_nan=True)
    torch.testing.assert_close(rewards.shaping, rows([0.1, 0.4, NAN, NAN]), equal_nan=True)
    torch.testing.assert_close(rewards.correctness, parts[..., 0], equal_nan=True)


def test_ngrpo_compares_with_all_that_can_be_earned() -> None:
    parts = torch.tensor([[[1.0, 1.0], [1.0, 0.5], [0.0, 0.5]]])
    rewards = combine(parts, ("correctness", "format"), (1.0, 0.5))
    assert rewards.best == 1.5
    expected = ngrpo(rewards.total, best_reward=1.5)
    torch.testing.assert_close(estimate(rewards, AdvantageSettings("ngrpo")), expected)
    told = estimate(rewards, AdvantageSettings("ngrpo", best_reward=2.0))
    torch.testing.assert_close(told, ngrpo(rewards.total, best_reward=2.0))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="grpopp"):
        AdvantageSettings("ppo")
    with pytest.raises(ValueError, match="sign"):
        AdvantageSettings(bonus=0.5)
    with pytest.raises(ValueError, match="one_sided"):
        AdvantageSettings(one_sided=-1.0)
    with pytest.raises(ValueError, match="groups, completions"):
        grpo(torch.zeros(8))
    with pytest.raises(ValueError, match="one each"):
        combine(torch.zeros(1, 2, 2), ("format", "semantic"), (1.0, 1.0))
