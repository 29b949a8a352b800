"""What the figures of a run mean where they are known to mislead, in sentences.

    for sentence in hints(run.stage, run.options, metrics(run.folder)): ...

Each looks at the newest logged steps. Knows figures and options, no run and no page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from dermiq.types import Fields

NEWEST = 10  # logged steps that are looked at
MANY = 0.5  # share of groups without a lesson, or of shortened gradients
CUT_OFF = 0.25  # share of completions
ALL = 0.995  # a share that rounds to all of them
FALLEN = 1 / 3  # of the entropy at the start
NOTHING = "Nothing was learned"
FAR = 0.5  # nats a token from the reference

Lines = Sequence[Fields]


def hints(stage: str, options: Fields, lines: Lines) -> list[str]:
    """Of a run's stage ("grpo"), its options and its logged lines; none where nothing was logged."""
    if not any("loss" in line for line in lines):
        return []
    still = cannot_learn(stage, options, lines)
    first = [still] if still else []
    if stage == "grpo":
        return [*first, *_of_groups(options, lines, still=bool(still)), *_shortened(options, lines)]
    pairs = _of_pairs(lines) if stage == "dpo" else ()
    return [*first, *pairs, *_by_heart(lines), *_shortened(options, lines)]


def cannot_learn(stage: str, options: Fields, lines: Lines) -> str:
    """Why nothing was learned in the newest logged steps, and what to do; "" where something was, or nobody can say."""
    why = _why_still(stage, options, [line for line in lines if "loss" in line][-NEWEST:])
    return f"Nothing is being learned: {why}" if why else ""


def learned_nothing(stage: str, options: Fields, lines: Lines) -> str:
    """The same of a whole run: its weights are those that it began with."""
    why = _why_still(stage, options, [line for line in lines if "loss" in line])
    return f"{NOTHING}: {why}" if why else ""


def _why_still(stage: str, options: Fields, steps: Lines) -> str:
    """Why the gradients of all these steps are 0; "" where they are not, or were not logged."""
    if not steps or any(line.get("grad_norm") != 0 for line in steps):
        return ""
    if stage != "grpo":
        return "every gradient is 0. Look whether the examples have answers, and whether learning_rate is above 0."
    cut = _newest(steps, "completions/clipped_ratio") or 0.0
    limit = f"{options['new_tokens']} tokens" if options.get("new_tokens") else "new_tokens"
    if options.get("mask_truncated") and cut >= ALL:
        return (
            f"every completion was cut off at {limit}, and mask_truncated leaves out what was cut off. The reward "
            "moves by chance alone. Raise new_tokens, lower facts so that less has to be written, train with SFT first "
            "so that the model ends its answers, or turn mask_truncated off."
        )
    rest = f" ({cut:.0%} were cut off at {limit} and left out)" if options.get("mask_truncated") and cut else ""
    return (
        f"in no group did one completion earn more than another{rest}. Raise group, temperature or new_tokens, or take "
        "the estimator grpopp with one_sided above 0, which learns from such groups, too."
    )


def _of_groups(options: Fields, lines: Lines, *, still: bool) -> Iterator[str]:
    """`still`: that nothing is learned was said before, with its cause."""
    if options.get("iterations") == 1:
        yield (
            "With one step on each batch of completions the loss says nothing about learning: its value is that of the "
            "advantages. Look at the reward."
        )
    collapsed = _newest(lines, "advantages/collapse_rate")
    cut = _newest(lines, "completions/clipped_ratio")
    if collapsed is not None and collapsed >= MANY and not still:
        or_cut = " or were cut off" if options.get("mask_truncated") and cut else ""
        yield (
            f"{collapsed:.0%} of the newest groups taught nothing, since all their completions earned the same{or_cut}"
            ". Raise group or temperature, or take the estimator grpopp, which learns from such groups, too."
        )
    if cut is not None and cut >= CUT_OFF and not still:
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


def _shortened(options: Fields, lines: Lines) -> Iterator[str]:
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
