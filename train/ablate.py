"""The four dimensions of RL tuning, one changed at a time: which settings of GRPO++ earn what on images held out.

    python -m train.ablate --config train/configs/ablate_embedded_cpu.yaml --log train/ablate.txt
    python -m train.ablate --dimensions estimator length --grpo.steps 200 --judged 200 --seeds 1 2 3

Initialisation, semantic alignment, length reward and estimator are those of "Toward Effective Reinforcement Learning
Fine-Tuning for Medical VQA in Vision-Language Models" (arXiv 2505.13973), whose full text was not at hand. Every
setting is a run of `train.grpo` (NAME-SETTING-SEED) that differs from the first one, `as given`, in this setting alone,
and is judged like all others: the same questions about images of `val`, the same number of answers drawn to each, the
same rewards. A command that was stopped goes on when it is given again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from dermiq.errors import DataError, DermIQError, InputError
from dermiq.types import Fields, Json
from dermiq.writing import write_whole
from train.cases.sources import Measured, Row
from train.config import resolved_model
from train.embedded.metrics import bootstrap_intervals
from train.grpo import Asker, GRPOConfig
from train.options import option
from train.pipeline import ProgressLine, command, to_its_end
from train.rl.advantages import ESTIMATORS
from train.runs import registry as runs
from train.runs.forecast import forecast
from train.runs.log import append
from train.runs.progress import on_screen
from train.runs.run_folder import CACHE, read_lines
from train.runs.times import between
from train.scoring.rewards import LENGTH_REWARDS, CaseFacts, Reward, Rewarder, RewardSettings

DIMENSIONS = ("init", "semantic", "length", "estimator")
AS_GIVEN = "as given"
UNTRAINED = "before"
FIGURES = (*RewardSettings().parts, "words", "ended")
SHARE = "advantages/collapse_rate"
JUDGED = "judged.jsonl"


@dataclass(frozen=True)
class AblationConfig:
    dimensions: tuple[str, ...] = option(DIMENSIONS, "whose settings are compared", choices=DIMENSIONS)
    inits: tuple[str, ...] = option(
        (), "models that a run starts from in place of grpo.model: of the hub, folders, runs' names"
    )
    estimators: tuple[str, ...] = option(tuple(ESTIMATORS), "of the advantages", choices=tuple(ESTIMATORS))
    seeds: tuple[int, ...] = option((1,), "each setting is trained once with each", minimum=0)
    judged: int = option(40, "images of val that are asked about, every class alike while it lasts", minimum=1)
    answers: int = option(4, "drawn to each question, as in training", minimum=1)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)

    def settings(self) -> dict[str, GRPOConfig]:
        """By name; `as given` first. A setting that is the given one is not repeated."""
        base = self.grpo
        rewards, advantage = base.rewards, base.advantage
        found = {
            "init": {name: replace(base, model=name) for name in self.inits},
            "semantic": {name: replace(base, rewards=changed) for name, changed in _semantic(rewards).items()},
            "length": {
                name: replace(base, rewards=replace(rewards, length_reward=name, length=rewards.length or 0.1))
                for name in LENGTH_REWARDS
            },
            "estimator": {
                name: replace(base, advantage=replace(advantage, estimator=name)) for name in self.estimators
            },
        }
        given = {
            "init": base.model,
            "semantic": "graph and expert" if rewards.expert_model and rewards.expert else "graph",
            "length": rewards.length_reward,
            "estimator": advantage.estimator,
        }
        settings = {AS_GIVEN: base}
        for dimension in self.dimensions:
            others = {name: made for name, made in found[dimension].items() if name != given[dimension]}
            settings |= {f"{dimension} {Path(name).name}": made for name, made in others.items()}
        return settings

    def rows(self) -> list[Row]:
        """The images that are asked about. DataError where there is no val."""
        _, val = replace(self.grpo, val_images=self.judged).rows()
        if not val:
            raise DataError("There is no val to judge by: name one in grpo.val, or set grpo.val_share.")
        return val

    def check(self) -> None:
        """Raises DermIQError for what any setting would refuse, before the first begins."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError("seeds must name at least one number, and each once.")
        if not self.grpo.rewards.semantic:
            raise InputError("grpo.rewards.semantic is 0; it must be above, to be compared with none.")
        settings = self.settings()
        if len(settings) == 1:
            raise InputError("There is nothing to compare: name dimensions, and models in inits for `init` alone.")
        for name, config in settings.items():
            try:
                config.check()
            except DermIQError as error:
                raise InputError(f"{name}: {error}", detail=error.detail) from error
        self.rows()


def _semantic(rewards: RewardSettings) -> dict[str, RewardSettings]:
    """Without alignment, judged by the graph, and by an expert model where one is named."""
    named = {"none": replace(rewards, semantic=0.0, expert=0.0), "graph": replace(rewards, expert=0.0)}
    return named | ({"expert": replace(rewards, semantic=0.0)} if rewards.expert_model else {})


# --- judging ----------------------------------------------------------------------------


def judge(config: AblationConfig, model: str, folder: Path) -> list[Json]:
    """A line an image: the means over its answers. Written to `folder` as they come; what is there is not redone.

    The same questions and the same random numbers, whatever model answers.
    """
    rows, file = config.rows(), folder / JUDGED
    lines = read_lines(file)[: len(rows)]
    if len(lines) == len(rows):
        return lines
    from dermiq.vlm.drafts import SamplingSettings
    from dermiq.vlm.load import load_vlm  # PyTorch takes seconds to load
    from train.rl.rollout import Sampler

    grpo = config.grpo
    vlm = load_vlm(resolved_model(model), load_in_4bit=grpo.load_in_4bit, device=grpo.device or None, fast=False)
    vlm.model.requires_grad_(False)  # nothing trains here: the decoder may share the weights
    asker, rewarder = Asker(grpo, vlm, Measured(folder / CACHE)), Rewarder(RewardSettings())
    sampler = Sampler(vlm.model)
    sampling = SamplingSettings.of(vlm, new_tokens=grpo.new_tokens, temperature=grpo.temperature, top_p=grpo.top_p)
    write_whole(file, "".join(json.dumps(line) + "\n" for line in lines))  # without a line that was being written
    for number, row in enumerate(rows[len(lines) :], len(lines)):
        asked = asker(row)
        prompt = vlm.encoder.encode(asked["prompt"], [np.asarray(image) for image in asked["images"]])
        drawn = sampler.sample(prompt.inputs, config.answers, sampling, seed=number)
        texts = drawn.texts(vlm.processor.tokenizer)
        case = CaseFacts(row.label, tuple(asked["findings"]))
        rewards = [rewarder.reward(text, case) for text in texts]
        lines.append({"group": row.group, **_means(rewards, texts, drawn.finished.tolist())})
        append(file, lines[-1])
        print(f"{folder.name}: {number + 1} of {len(rows)} images are judged.", flush=True)
    return lines


def _means(rewards: Sequence[Reward], texts: Sequence[str], ended: Sequence[bool]) -> dict[str, float | None]:
    """Over the answers that could be judged; None where none could."""
    parts = {name: [reward.parts[name] for reward in rewards] for name in FIGURES if name in rewards[0].parts}
    judged = {name: [value for value in values if value is not None] for name, values in parts.items()}
    return {
        **{name: fmean(values) if values else None for name, values in judged.items()},
        "words": fmean(len(text.split()) for text in texts),
        "ended": fmean(ended),
    }


# --- the table --------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """Of one setting: each figure with its 95 % interval, over images and seeds."""

    name: str
    figures: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    against: tuple[float, float, float] | None  # correctness above `as given`, with the interval of the difference
    collapse: float | None  # share of groups that taught nothing


def compared(lines: Mapping[str, Sequence[Mapping[str, object]]], collapse: Mapping[str, float | None]) -> list[Result]:
    """Of each setting's lines, `as given` among them; the same images in the same order in all.

    Intervals are drawn over groups of images; those of differences over the same groups on both sides.
    """
    base = lines[AS_GIVEN]
    results = []
    for name, own in lines.items():
        groups = np.unique([line["group"] for line in own], return_inverse=True)[1]

        def figures(rows: np.ndarray, own: Sequence[Fields] = own) -> dict[str, float | None]:
            found: dict[str, float | None] = {}
            for figure in FIGURES:
                values = [own[row][figure] for row in rows if own[row][figure] is not None]
                found[figure] = fmean(values) if values else None
            pairs = [(own[row]["correctness"], base[row]["correctness"]) for row in rows]
            return {**found, "difference": fmean(one - other for one, other in pairs)}

        whole, drawn = figures(np.arange(len(own))), bootstrap_intervals(figures, groups)
        difference = whole.pop("difference")
        against = None if name == AS_GIVEN or difference is None else (difference, *drawn["difference"])
        results.append(Result(name, whole, drawn, against, collapse.get(name)))
    return results


def table(results: Sequence[Result]) -> str:
    head = ["setting", "right", "95 %", "against as given", *FIGURES[1:], "collapsed groups"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for result in results:
        low, high = result.intervals["correctness"]
        against = "{:+.3f} ({:+.3f} to {:+.3f})".format(*result.against) if result.against else "-"
        others = [_shown(result.figures[name]) for name in FIGURES[1:]]
        right = _shown(result.figures["correctness"])
        row = [result.name, right, f"{low:.3f} to {high:.3f}", against, *others, _shown(result.collapse)]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value > 1 else f"{value:.3f}"


# --- the command ------------------------------------------------------------------------


def run_all(config: AblationConfig, name: str, root: Path, told: Callable[[runs.Run], None]) -> list[Result]:
    """Trains and judges what is not there yet."""
    config.check()
    lines: dict[str, list[Json]] = {}
    collapse: dict[str, float | None] = {}
    lines[UNTRAINED] = judge(config, config.grpo.model, root / f"{name}-{UNTRAINED}") * len(config.seeds)
    for setting, grpo in config.settings().items():
        shares: list[float] = []
        slug, lines[setting] = re.sub(r"[^a-zA-Z0-9.]+", "-", setting), []
        for seed in config.seeds:
            own = f"{name}-{slug}-{seed}"
            run = to_its_end(replace(grpo, seed=seed), own, root, told=told)
            shares += [line[SHARE] for line in runs.metrics(run.folder) if line.get(SHARE) is not None]
            lines[setting] += judge(config, str(run.folder), run.folder)
        collapse[setting] = fmean(shares) if shares else None
    return compared(lines, collapse)


def _act(config: AblationConfig, name: str, root: Path) -> str:
    text = table(run_all(config, name, root, ProgressLine()))
    print(text)
    return text


def _foretell(config: AblationConfig, root: Path) -> str:
    """Of the options as given, and how often they are trained; the settings differ little in what they take."""
    config.check()
    found, count = forecast(config.grpo, root, progress=on_screen), len(config.settings()) * len(config.seeds)
    time = between(*(count * seconds for seconds in (found.time.seconds, found.time.low, found.time.high)))
    return f"{found.text()}\n\n{count} trainings, one after the other, without their judging: {time}"


def main(argv: Sequence[str] | None = None) -> int:
    return command(AblationConfig, _act, argv, module="ablate", about=__doc__ or "", foretell=_foretell)


if __name__ == "__main__":
    sys.exit(main())
