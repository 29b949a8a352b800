"""Memory and time of a run before it starts, for the form: `train.estimate` and `train.duration`, put into words.

A chain takes the memory of its largest stage, and the time of all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dermiq.ui.training.form import Config, Estimate
from train.estimate import Progress, free_on, silent
from train.forecast import Forecast, forecast_chain
from train.forecast import forecast as foretell
from train.pipeline import PipelineConfig
from train.stage import StageConfig
from train.times import between


def forecast(config: Config, root: Path, *, progress: Progress = silent) -> Estimate:
    """Some seconds of work; no weight is loaded. `progress` is told what is measured. Raises DermIQError."""
    if not isinstance(config, PipelineConfig):
        return _of_stage(config, root, progress)
    found = forecast_chain(
        config.alone(), root, progress=progress, free=free_on(next(iter(config.alone().values())).place())
    )
    stages = {name: _shown(one) for name, one in found.items()}
    largest = max(stages.values(), key=lambda stage: stage.total)
    whys = "; ".join(f"{name}: {stage.why}" for name, stage in stages.items())
    return replace(largest, seconds=sum(stage.seconds or 0 for stage in stages.values()), why=whys)


def _of_stage(config: StageConfig, root: Path, progress: Progress) -> Estimate:
    return _shown(foretell(config, root, progress=progress, free=free_on(config.place())))


def _shown(found: Forecast) -> Estimate:
    memory, time = found.memory, found.time
    why = f"{between(time.seconds, time.low, time.high)} for {time.steps} steps, {time.why}."
    made = Estimate(memory.parts, memory.total, found.free, memory.device, time.seconds, why, lower=found.sentences)
    return made if made.level == "green" else replace(made, lower=(found.advice, *found.sentences))
