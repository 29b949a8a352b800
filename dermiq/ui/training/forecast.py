"""Memory and time of a run before it starts, for the form: `train.estimate` and `train.duration`, put into words.

A chain takes the memory of its largest stage, and the time of all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dermiq.ui.markup import capital
from dermiq.ui.training.form import Config, Estimate
from train.duration import expected
from train.estimate import Progress, advice, estimate, free_on, part_of, silent, without_weights
from train.pipeline import PipelineConfig
from train.stage import StageConfig

CACHE = ".cache"  # below the runs' folder: what was measured of images


def forecast(config: Config, root: Path, *, progress: Progress = silent) -> Estimate:
    """Some seconds of work; no weight is loaded. `progress` is told what is measured. Raises DermIQError."""
    if not isinstance(config, PipelineConfig):
        return _of_stage(config, root, progress)
    each = 1 / max(1, len(config.stages))
    stages = [
        _of_stage(_as_first(config, stage), root, part_of(progress, i * each, (i + 1) * each))
        for i, stage in enumerate(config.stages)
    ]
    largest = max(stages, key=lambda found: found.total)
    whys = "; ".join(f"{name}: {found.why}" for name, found in zip(config.stages, stages, strict=True))
    return Estimate(
        parts=largest.parts,
        total=largest.total,
        free=largest.free,
        device=largest.device,
        seconds=sum(found.seconds or 0 for found in stages),
        why=whys,
        lower=largest.lower,
    )


def _as_first(config: PipelineConfig, stage: str) -> StageConfig:
    """A stage as if it trained the model that the chain begins with: the later ones do not exist yet."""
    own: StageConfig = getattr(config, stage)
    return replace(own, model=config.model)


def _of_stage(config: StageConfig, root: Path, progress: Progress) -> Estimate:
    progress("Reading the model's shape", 0.0)
    vlm, device = without_weights(config), config.place()
    cache = root / CACHE / "measured"
    cache.mkdir(parents=True, exist_ok=True)
    shape = config.shape(vlm, cache, part_of(progress, 0.2, 0.7))
    rows, _ = config.rows()  # type: ignore[attr-defined]  # every stage that trains has data
    time = expected(config, vlm, shape, root, examples=len(rows), progress=part_of(progress, 0.7, 0.9))
    progress("Counting the memory", 0.9)
    free = free_on(device)
    found = estimate(vlm.model, config, shape, device, free=free)
    made = Estimate(found.parts, found.total, free, device, time.seconds, f"{time.steps} steps, {time.why}.")
    return made if made.level == "green" else replace(made, lower=(capital(advice(found, config)),))
