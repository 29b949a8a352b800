"""What the figures of a run mean where they are known to mislead, in sentences.

    for sentence in hints(run.stage, run.options, metrics(run.folder)): ...

Each looks at the newest logged steps. Knows figures and options, no run and no page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

NEWEST = 10  # logged steps that are looked at
MANY = 0.5  # share of groups without a lesson, or of shortened gradients
CUT_OFF = 0.25  # share of completions
FALLEN = 1 / 3  # of the entropy at the start
FAR = 0.5  # nats a token from the reference

Lines = Sequence[Mapping[str, Any]]


def hints(stage: str, options: Mapping[str, Any], lines: Lines) -> list[str]:
    """Of a run's stage ("grpo"), its options and its logged lines; none where nothing was logged."""
    if not any("loss" in line for line in lines):
        return []
    if stage == "grpo":
        return [*_of_groups(options, lines), *_shortened(options, lines)]
    pairs = _of_pairs(lines) if stage == "dpo" else ()
    return [*pairs, *_by_heart(lines), *_shortened(options, lines)]


def _of_groups(options: Mapping[str, Any], lines: Lines) -> Iterator[str]:
    if options.get("iterations") == 1:
        yield (
            "With one step on each batch of completions the loss says nothing about learning: its value is that of the "
            "advantages. Look at the reward."
        )
    collapsed = _newest(lines, "advantages/collapse_rate")
    if collapsed is not None and collapsed >= MANY:
        yield (
            f"{collapsed:.0%} of the newest groups taught nothing, since all their completions earned the same. Raise "
            "group or temperature, or take the estimator grpopp, which learns from such groups, too."
        )
    cut = _newest(lines, "completions/clipped_ratio")
    if cut is not None and cut >= CUT_OFF:
        masked = ", and nothing is learned from them (mask_truncated)" if options.get("mask_truncated") else ""
        yield f"{cut:.0%} of the newest completions were cut off{masked}. Raise new_tokens."
    entropies = _values(lines, "entropy")
    if len(entropies) > NEWEST and fmean(entropies[-NEWEST:]) < FALLEN * entropies[0]:
        yield (
            "The entropy has fallen below a third of what it was: completions become alike and teach less. Lower "
            "learning_rate, or raise clip_high or temperature."
        )
    divergence = _newest(lines, "kl")
    if divergence is not None and divergence > FAR:
        yield (
            f"The model is {divergence:.2f} nats a token away from where it began: read its samples, and raise beta or "
            "lower learning_rate if they have become strange."
        )


def _of_pairs(lines: Lines) -> Iterator[str]:
    chosen, accuracy = _newest(lines, "rewards/chosen"), _newest(lines, "rewards/accuracies")
    if chosen is not None and chosen < 0 and (accuracy or 0) > MANY:
        yield (
            "The pairs are told apart, but the chosen answers have become less likely, too: both fall, the rejected "
            "ones faster. Add the loss sft, or raise beta."
        )


def _shortened(options: Mapping[str, Any], lines: Lines) -> Iterator[str]:
    limit = options.get("max_grad_norm")
    norms = _values(lines, "grad_norm")[-NEWEST:]
    if limit and norms and sum(norm > limit for norm in norms) > MANY * len(norms):
        yield "Most gradients were shortened to max_grad_norm: the learning rate may be too high."


def _by_heart(lines: Lines) -> Iterator[str]:
    judged, learned = _values(lines, "eval_loss"), _values(lines, "loss")
    since = len(judged) - 1 - judged.index(min(judged)) if judged else 0
    if since > 1 and learned[-1] < learned[0]:
        yield (
            f"The loss on val has not fallen for {since} evaluations while that in training falls: the model learns "
            "its examples by heart. Take fewer steps or more data, or set patience."
        )


def _values(lines: Lines, name: str) -> list[float]:
    return [float(line[name]) for line in lines if line.get(name) is not None]


def _newest(lines: Lines, name: str) -> float | None:
    """The mean over the newest values; None without any."""
    values = _values(lines, name)[-NEWEST:]
    return fmean(values) if values else None
