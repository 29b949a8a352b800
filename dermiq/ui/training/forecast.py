"""Memory and time of a run before it starts, for the form: `train.estimate` and `train.duration`, put into words.

A chain takes the memory of its largest stage, and the time of all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dermiq.ui.markup import capital
from dermiq.ui.training.form import Config, Estimate
from train.duration import expected
from train.estimate import advice, estimate, free_on, without_weights
from train.pipeline import PipelineConfig
from train.stage import StageConfig

CACHE = ".cache"  # below the runs' folder: what was measured of images


def forecast(config: Config, root: Path) -> Estimate:
    """Some seconds of work; no weight is loaded. Raises DermIQError."""
    if not isinstance(config, PipelineConfig):
        return _of_stage(config, root)
    stages = [_of_stage(_as_first(config, stage), root) for stage in config.stages]
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
        notes=tuple(dict.fromkeys(note for found in stages for note in found.notes)),
    )


def _as_first(config: PipelineConfig, stage: str) -> StageConfig:
    """A stage as if it trained the model that the chain begins with: the later ones do not exist yet."""
    own: StageConfig = getattr(config, stage)
    return replace(own, model=config.model)


def _of_stage(config: StageConfig, root: Path) -> Estimate:
    vlm, device = without_weights(config), config.place()
    cache = root / CACHE / "measured"
    cache.mkdir(parents=True, exist_ok=True)
    shape = config.shape(vlm, cache)
    notes: list[str] = []
    rows, _ = config.rows(say=notes.append)  # type: ignore[attr-defined]  # every stage that trains has data
    time = expected(config, vlm, shape, root, examples=len(rows))
    free = free_on(device)
    found = estimate(vlm.model, config, shape, device, free=free)
    why = f"{time.steps} steps, {time.why}."
    made = Estimate(found.parts, found.total, free, device, time.seconds, why, notes=tuple(notes))
    return made if made.level == "green" else replace(made, lower=(capital(advice(found, config)),))
