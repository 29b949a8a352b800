"""How long a run will take, before it starts: from earlier runs of its kind here, or else from the machine's speed.

    print(expected(config, vlm, shape, root).text())

Without an earlier run it is a rough figure, right to about a factor of two: the operations of a step, divided by what
this machine multiplies in a second, and the bytes of the weights for each token that is written, divided by what it
reads. Knows options and shapes; runs only what takes a fraction of a second.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train import options, runs
from train.estimate import Progress, silent

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM
    from train.estimate import Shape
    from train.stage import StageConfig

NEWEST = 10  # logged steps of an earlier run that are looked at
FORWARD, BACKWARD, OF_WEIGHTS = (
    2,
    2,
    2,
)  # operations a weight and token: forward, and gradients of inputs and of weights
SLOWER = 1.8  # than matrix products alone, as measured for a step of DermIQ-Nano: attention, norms, the vocabulary
FILLED = 0.75  # of new_tokens in a completion, on the average
STARTING_S = 20.0  # libraries, weights, images


@dataclass(frozen=True)
class Duration:
    seconds: float
    steps: int
    why: str  # in words

    def text(self) -> str:
        return f"{in_words(self.seconds)} for {self.steps} steps: {self.why}"


def in_words(seconds: float) -> str:
    """About: "40 s", "12 min", "3.5 h", "2 days"."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def expected(
    config: StageConfig, vlm: VLM, shape: Shape, root: Path, *, examples: int, progress: Progress = silent
) -> Duration:
    """Of a run on `examples` examples; `vlm` may be without weights. Earlier runs are those below `root`."""
    steps = steps_of(config, examples)
    known = _of_earlier_runs(config, root)
    if known:
        each, name = known
        return Duration(STARTING_S + steps * each, steps, f"{each:.1f} s a step, as in the run {name}")
    speed = Speed.of(config.place())
    each = seconds_of_a_step(config, vlm, shape, speed)
    why = f"about {each:.1f} s a step, reckoned from this machine's speed; right to a factor of two"
    before = STARTING_S
    if getattr(config, "preferences", None) == ():
        before += seconds_of_pairs(config, vlm, shape, speed, examples)
        why += f", behind {in_words(before)} in which the pairs are made"
    return Duration(before + steps * each, steps, why)


def steps_of(config: Any, examples: int) -> int:
    if config.steps:
        return int(config.steps)
    examples *= getattr(config, "texts", 1)
    batches = math.ceil(examples / (config.batch_size * config.accumulation))
    return max(1, math.ceil(config.epochs * batches * getattr(config, "iterations", 1)))


# --- earlier runs -----------------------------------------------------------------------


def _of_earlier_runs(config: StageConfig, root: Path) -> tuple[float, str] | None:
    """Seconds a step and the name of the newest run of this stage and model on this device, scaled to this work."""
    stage = config.stage.rsplit(".", 1)[-1]
    ours = options.as_dict(config)
    for run in runs.list_runs(root):
        if run.stage != stage or run.options.get("model") != ours["model"] or run.status.device != config.place():
            continue
        if any(run.options.get(name) != ours[name] for name in ("load_in_4bit", "gradient_checkpointing", "dtype")):
            continue
        lines = [line["seconds_per_step"] for line in runs.metrics(run.folder) if "seconds_per_step" in line]
        if lines:
            return statistics.median(lines[-NEWEST:]) * work_of(ours) / work_of(run.options), run.name
    return None


def work_of(values: Mapping[str, Any]) -> float:
    """What a step's time grows with, in no unit."""
    return float(values["batch_size"] * values["accumulation"] * values.get("group", 1) * values.get("new_tokens", 1))


# --- this machine -----------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    multiplied: float  # floating-point operations a second, in products as a step has them
    read: float  # bytes a second

    @classmethod
    def of(cls, device: str) -> Speed:
        import torch

        kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
        left, right = (torch.ones(shape, dtype=kind, device=device) for shape in ((512, 1024), (1024, 1024)))
        long = torch.ones(16_000_000, dtype=kind, device=device)
        product = _seconds(lambda: left @ right, device)
        reading = _seconds(lambda: long.sum(), device)
        return cls(2 * 512 * 1024 * 1024 / product, long.nbytes / reading)


def _seconds(act: Any, device: str) -> float:
    """The best of a few."""
    import torch

    best = math.inf
    for _ in range(6):
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        act()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


def seconds_of_a_step(config: Any, vlm: VLM, shape: Shape, speed: Speed) -> float:
    batches = config.accumulation * (config.batch_size if shape.shared else 1)
    completion = FILLED * shape.completion if shape.shared else shape.completion
    tokens = shape.prompt + shape.rows * completion if shape.shared else shape.rows * (shape.prompt + completion)
    weights, trained = _weights(vlm)
    forward = FORWARD * weights * (2 if config.gradient_checkpointing else 1)
    operations = tokens * (forward + BACKWARD * weights + OF_WEIGHTS * trained)
    if shape.reference:
        operations += tokens * FORWARD * weights
    seconds = SLOWER * operations / speed.multiplied
    if shape.shared:  # GRPO writes its completions in every step, DPO its pairs before the first
        seconds += SLOWER * completion * seconds_of_a_token(config, weights, shape.sampled, speed)
    return batches * seconds


def seconds_of_pairs(config: Any, vlm: VLM, shape: Shape, speed: Speed, images: int) -> float:
    """In which DPO lets the model answer about every image, to choose pairs."""
    weights, _ = _weights(vlm)
    questions = images * (1 + config.proxy.follow_up_share)
    reading = SLOWER * shape.prompt * FORWARD * weights / speed.multiplied
    token = SLOWER * seconds_of_a_token(config, weights, shape.sampled, speed)
    return questions * (reading + FILLED * shape.completion * token)


def seconds_of_a_token(config: Any, weights: int, rows: int, speed: Speed) -> float:
    """One more token of each of `rows` texts: all weights are read once, whatever the rows."""
    width = 2 if config.place().startswith("cuda") else 4
    return max(width * weights / speed.read, FORWARD * weights * rows / speed.multiplied)


def _weights(vlm: VLM) -> tuple[int, int]:
    """Of the language model: all, and those that are trained."""
    language = [p for name, p in vlm.model.named_parameters() if "vision" not in name]
    return sum(p.numel() for p in language), sum(p.numel() for p in language if p.requires_grad)
