"""Memory and time of a run before it starts, for the form: `train.runs.forecast`, put into words.

A chain takes the memory of its largest stage, and the time of all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dermiq.ui.training.form import Config, Estimate
from train.config import StageConfig
from train.pipeline import PipelineConfig
from train.runs.estimate import free_on
from train.runs.forecast import Forecast, forecast_chain
from train.runs.forecast import forecast as foretell
from train.runs.progress import Progress, silent


def forecast(config: Config, root: Path, *, progress: Progress = silent) -> Estimate:
    """Some seconds of work; no weight is loaded. `progress` is told what is measured. Raises DermIQError."""
    if not isinstance(config, PipelineConfig):
        return _of_stage(config, root, progress)
    alone = config.alone()
    found = forecast_chain(alone, root, progress=progress, free=free_on(next(iter(alone.values())).place()))
    stages = {name: _shown(one) for name, one in found.items()}
    largest = max(stages.values(), key=lambda stage: stage.total)
    return replace(
        largest,
        seconds=sum(one.time.seconds for one in found.values()),
        low=sum(one.time.low for one in found.values()),
        high=sum(one.time.high for one in found.values()),
        why="; ".join(f"{name}: {stage.why.rstrip('.')}" for name, stage in stages.items()) + ".",
        notes=tuple(dict.fromkeys(note for stage in stages.values() for note in stage.notes)),
    )


def _of_stage(config: StageConfig, root: Path, progress: Progress) -> Estimate:
    return _shown(foretell(config, root, progress=progress, free=free_on(config.place())))


def _shown(found: Forecast) -> Estimate:
    memory, time = found.memory, found.time
    made = Estimate(
        parts=memory.parts,
        total=memory.total,
        free=found.free,
        device=memory.device,
        seconds=time.seconds,
        low=time.low,
        high=time.high,
        why=f"{time.steps} steps, {time.why}.",
        notes=found.sentences,
    )
    return made if made.level == "green" else replace(made, lower=(found.advice,))
