"""GRPO++, then SFT, then DPO: each stage trains what the one before it made.

    python -m train.pipeline --config train/configs/pipeline_embedded_cpu.yaml --name mine
    python -m train.pipeline --estimate --config FILE         # memory and time of all stages; no run
    python -m train.pipeline --name mine --stages grpo sft --grpo.steps 200 --sft.texts 2 --log mine.txt

The order is that of GRPO++ (arXiv 2510.01236): reasoning first, then conversation, then the facts. Each stage is a run
of its own, NAME-grpo, NAME-sft and NAME-dpo, with all that `train.runs.registry` shows of a run. A pipeline that was
stopped or killed goes on when the same command is given again; what is finished is kept.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from dermiq.errors import DermIQError, InputError, ModelError
from dermiq.types import Fields
from dermiq.writing import write_whole
from train import options
from train.config import StageConfig
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.options import option
from train.runs import registry as runs
from train.runs.forecast import chain_text, forecast_chain
from train.runs.paths import runs_folder
from train.runs.progress import on_screen
from train.sft import SFTConfig

T = TypeVar("T")
STAGES = ("grpo", "sft", "dpo")
POLL_S = 0.5
FIGURES = {
    "grpo": ("reward", "rewards/*/mean", "advantages/collapse_rate", "entropy"),
    "sft": ("loss", "mean_token_accuracy"),
    "dpo": ("loss", "rewards/accuracies", "rewards/margins"),
}
"""What shows whether a stage learns; `*` is any part of the reward."""


@dataclass(frozen=True)
class PipelineConfig:
    model: str = option("nano", "that the first stage trains; each later one trains the result of the one before")
    stages: tuple[str, ...] = option(STAGES, "that are run, in this order", choices=STAGES)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    sft: SFTConfig = field(default_factory=SFTConfig)
    dpo: DPOConfig = field(default_factory=DPOConfig)

    def configs(self, name: str) -> dict[str, StageConfig]:
        """By the name of its run, each with the model that it starts from."""
        made: dict[str, StageConfig] = {}
        model = self.model
        for stage in self.stages:
            own: StageConfig = getattr(self, stage)
            made[f"{name}-{stage}"] = replace(own, model=model)
            model = f"{name}-{stage}"
        return made

    def alone(self) -> dict[str, StageConfig]:
        """By stage, each as if it trained the model that the first begins with: the later ones do not exist yet."""
        return {stage: replace(getattr(self, stage), model=self.model) for stage in self.stages}

    def check(self) -> None:
        """Raises DermIQError for what any stage would refuse, before the first begins."""
        if not self.stages or len(set(self.stages)) < len(self.stages):
            raise InputError(f"stages is {', '.join(self.stages) or 'empty'}; name each that is to be run once.")
        for stage in self.stages:
            own: StageConfig = getattr(self, stage)
            if own.model not in (StageConfig.model, self.model):
                raise InputError(f"{stage}.model has no effect in a pipeline: set model, which the first stage trains.")
            if stage != self.stages[-1] and own.export != "merged":
                raise InputError(f"{stage}.export is {own.export}; what a later stage trains must be merged.")
            try:
                replace(own, model=self.model).check()
            except DermIQError as error:
                raise InputError(f"{stage}: {error}", detail=error.detail) from error


# --- runs in a row ----------------------------------------------------------------------


def to_its_end(
    config: StageConfig, name: str, root: Path, *, told: Callable[[runs.Run], None] = lambda run: None
) -> runs.Run:
    """The run of this name, finished: made, gone on with, waited for, or found as it is.

    InputError where a run of this name has other options, ModelError where it ends without a result. A keyboard
    interrupt asks it to stop; it then saves, and the next call goes on from there.
    """
    run = _begun(config, name, root)
    try:
        while run.is_live:
            told(run)
            time.sleep(POLL_S)
            run = runs.load_run(run.folder)
    except KeyboardInterrupt:
        runs.stop(run.folder)
        raise
    if run.state != "finished":
        raise ModelError(f"The run {name} {run.state}: {run.status.reason}")
    return run


def _begun(config: StageConfig, name: str, root: Path) -> runs.Run:
    if not (root / name).exists():
        return runs.start(config, name=name, root=root, steps_back=False)  # whoever gave the command waits for it
    run = runs.load_run(root / name)
    theirs, ours = dict(run.options), options.as_dict(config)
    other = [key for key in ours if ours[key] != theirs.get(key)]
    if other:
        raise InputError(
            f"There is a run {name} with another {other[0]} ({theirs.get(other[0])}, now {ours[other[0]]}): choose "
            "another --name, or delete it."
        )
    return run if run.is_live or run.state == "finished" else runs.resume(run.folder, steps_back=False)


# --- what it came to --------------------------------------------------------------------


def thirds(lines: Sequence[Fields], figure: str) -> tuple[float, float, float | None] | None:
    """Mean of a figure over the first and over the last third of its logged lines, and the standard error of their
    difference, as of lines that do not depend on each other, from six lines on; None with fewer than three."""
    values = [float(line[figure]) for line in lines if line.get(figure) is not None]
    third = len(values) // 3
    if not third:
        return None
    first, last = values[:third], values[-third:]
    error = math.sqrt((statistics.variance(first) + statistics.variance(last)) / third) if third > 1 else None
    return statistics.fmean(first), statistics.fmean(last), error


def summary(run: runs.Run) -> str:
    """How the figures of a run moved, as text."""
    lines = [line for line in runs.metrics(run.folder) if "loss" in line]
    steps = [0, *(int(line["step"]) for line in lines)]
    seconds = sum(
        float(line.get("seconds_per_step", 0)) * (b - a) for line, (a, b) in zip(lines, pairwise(steps), strict=True)
    )
    text = [f"{run.stage}: {run.status.step} steps, {seconds / 60:.0f} min"]
    figures = _named(lines, FIGURES[run.stage])
    moved = {figure: found for figure in figures if (found := thirds(lines, figure))}
    if not moved:
        return "\n".join([*text, *_first_and_last(lines, figures)])
    text.append(f"{'':36}first third  last third  standard error of the difference")
    for figure, (first, last, error) in moved.items():
        sure = "" if error is None else f" {error:>11.3f}"
        text.append(f"  {figure:<34}{first:>11.3f} {last:>11.3f}{sure}")
    return "\n".join(text)


def _first_and_last(lines: Sequence[Fields], figures: Sequence[str]) -> list[str]:
    """Of a run with too few logged steps for thirds."""
    values = {figure: [float(line[figure]) for line in lines if line.get(figure) is not None] for figure in figures}
    told = {figure: found for figure, found in values.items() if found}
    if not told:
        return ["  no figures were logged"]
    rows = [f"  {figure:<34}{found[0]:>11.3f} {found[-1]:>11.3f}" for figure, found in told.items()]
    return [f"{'':36} first step   last step", *rows]


def _named(lines: Sequence[Mapping[str, object]], patterns: Sequence[str]) -> list[str]:
    keys = list(dict.fromkeys(key for line in lines for key in line))
    found = []
    for pattern in patterns:
        start, star, end = pattern.partition("*")
        found += [k for k in keys if (k.startswith(start) and k.endswith(end) if star else k == pattern)]
    return found


# --- the command ------------------------------------------------------------------------


def run_all(config: PipelineConfig, name: str, root: Path) -> list[runs.Run]:
    """Every stage to its end, one after the other."""
    config.check()
    finished = []
    for own, stage in config.configs(name).items():
        print(f"{own} starts from {stage.model}.", flush=True)
        finished.append(to_its_end(stage, own, root, told=ProgressLine()))
        print(summary(finished[-1]), flush=True)
    return finished


class ProgressLine:
    """A line each time a run got further."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def __call__(self, run: runs.Run) -> None:
        now = (run.status.reason or f"{run.state.capitalize()}.", run.status.step)
        if now != self._last:
            self._last = now
            of = f" of {run.status.total}" if run.status.total else ""
            print(f"{run.name}: {now[0]} Step {now[1]}{of}.", flush=True)


def command(
    kind: type[T],
    act: Callable[[T, str, Path], str],
    argv: Sequence[str] | None,
    *,
    module: str,
    about: str,
    foretell: Callable[[T, Path], str],
) -> int:
    """The command line of what trains several runs: options, --name of the runs, --log for the text that `act` gives.

    `act` is called with the options, the name and the folder of runs; for --estimate `foretell` is, without the name.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = sys.argv[1:] if argv is None else list(argv)
    prog = f"python -m train.{module}"
    made = options.parser(kind, prog=prog, description=about)
    made.add_argument("--name", default=module, help="of the runs, which are called NAME-...")
    made.add_argument("--log", type=Path, default=None, metavar="FILE", help="where to write the result, too")
    made.add_argument("--estimate", action="store_true", default=False, help="print memory and time; no run")
    try:
        given = vars(made.parse_args(arguments))
        name, log, ask = given.pop("name"), given.pop("log"), given.pop("estimate")
        config = options.from_flags(kind, given)
        if ask:
            print(foretell(config, runs_folder()))
            return 0
        text = act(config, name, runs_folder())
        if log:
            write_whole(log, f"{' '.join([prog, *arguments])}\n\n{text}\n")
    except DermIQError as error:
        print(f"{error}\n{error.detail}".strip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _act(config: PipelineConfig, name: str, root: Path) -> str:
    return "\n\n".join(map(summary, run_all(config, name, root)))


def _foretell(config: PipelineConfig, root: Path) -> str:
    config.check()
    return chain_text(forecast_chain(config.alone(), root, progress=on_screen))


def main(argv: Sequence[str] | None = None) -> int:
    return command(PipelineConfig, _act, argv, module="pipeline", about=__doc__ or "", foretell=_foretell)


if __name__ == "__main__":
    sys.exit(main())
