"""Figures that mislead are explained, and those that do not are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from train.runs.hints import cannot_learn, hints, learned_nothing

CALM: dict[str, dict[str, Any]] = {
    "grpo": {"loss": 0.1, "reward": 1.0, "advantages/collapse_rate": 0.2, "entropy": 1.0, "kl": 0.1, "grad_norm": 0.5},
    "dpo": {"loss": 0.6, "rewards/chosen": 0.2, "rewards/accuracies": 0.8, "grad_norm": 0.5},
    "sft": {"loss": 0.6, "grad_norm": 0.5},
}
OPTIONS = {"iterations": 2, "max_grad_norm": 1.0, "mask_truncated": True}


def logged(stage: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**CALM[stage], **changes} for _ in range(12)]


@pytest.mark.parametrize("stage", CALM)
def test_calm_figures_need_no_words(stage: str) -> None:
    assert hints(stage, OPTIONS, logged(stage)) == []
    assert hints(stage, OPTIONS, []) == []


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("grpo", {"advantages/collapse_rate": 0.7}, "70% of the newest groups taught nothing"),
        ("grpo", {"completions/clipped_ratio": 0.5}, "50% of the newest completions were cut off, and nothing"),
        ("grpo", {"kl": 0.9}, "0.90 nats"),
        ("dpo", {"rewards/chosen": -1.0}, "become less likely"),
        ("sft", {"grad_norm": 3.0}, "shortened"),
    ],
)
def test_what_misleads_is_said(stage: str, changes: dict[str, Any], words: str) -> None:
    (sentence,) = hints(stage, OPTIONS, logged(stage, **changes))
    assert words in sentence


def test_only_the_newest_steps_count() -> None:
    before = [{**CALM["grpo"], "advantages/collapse_rate": 1.0} for _ in range(20)]
    assert hints("grpo", OPTIONS, [*before, *logged("grpo")]) == []


def test_a_loss_that_says_nothing_is_named() -> None:
    (sentence,) = hints("grpo", {**OPTIONS, "iterations": 1}, logged("grpo"))
    assert "Look at the reward" in sentence


def test_falling_entropy() -> None:
    lines = [{**CALM["grpo"], "entropy": 1 / (1 + n)} for n in range(30)]
    (sentence,) = hints("grpo", OPTIONS, lines)
    assert "entropy" in sentence


def test_a_model_that_learns_by_heart() -> None:
    def judged(*losses: float) -> list[dict[str, Any]]:
        steps = [{"loss": 1 - n / 10, "grad_norm": 0.1} for n in range(5)]
        return [*steps, *({"eval_loss": loss} for loss in losses)]

    assert hints("sft", OPTIONS, judged(1.0, 0.8, 0.7)) == []
    assert hints("sft", OPTIONS, judged(1.0, 0.8, 0.85)) == []  # once is noise
    (sentence,) = hints("sft", OPTIONS, judged(1.0, 0.8, 0.85, 0.9))
    assert "not fallen for 2 evaluations" in sentence


STILL = {"grad_norm": 0.0, "loss": 0.0, "advantages/collapse_rate": 1.0, "completions/clipped_ratio": 1.0}


def test_a_run_that_cannot_learn_says_so_at_its_first_step() -> None:
    line = {**CALM["grpo"], **STILL}
    options = {**OPTIONS, "new_tokens": 40}
    (sentence,) = hints("grpo", options, [line])
    assert sentence.startswith("Nothing is being learned: every completion was cut off at 40 tokens")
    for remedy in ("Raise new_tokens", "lower facts", "turn mask_truncated off"):
        assert remedy in sentence
    (other,) = hints("grpo", {**options, "mask_truncated": False}, [{**line, "completions/clipped_ratio": 0.0}])
    assert "in no group did one completion earn more" in other
    assert "every gradient is 0" in cannot_learn("sft", OPTIONS, [{"loss": 0.0, "grad_norm": 0.0}])


def test_a_run_that_learned_once_did_learn() -> None:
    first, rest = {**CALM["grpo"]}, [{**CALM["grpo"], **STILL}] * 12
    assert learned_nothing("grpo", OPTIONS, rest).startswith("Nothing was learned: every completion")
    assert learned_nothing("grpo", OPTIONS, [first, *rest]) == ""
    assert cannot_learn("grpo", OPTIONS, [first, *rest]), "its newest steps teach nothing"
    assert cannot_learn("grpo", OPTIONS, [{"loss": 0.0}]) == "", "without a gradient nobody can say"
