"""How long a run will take, before it starts: from earlier runs of its kind here, or else from the machine's speed.

    print(expected(config, vlm, shape, root).text())

Both are told for the machine as it is now: for a second a process that stands back as a run does measures what it gets
of the processors (`train.runs.cpu_share`). Without an earlier run the figure rests on the operations of a step, divided
by what this machine multiplies in a second, and on the bytes of the weights for each token that is written, divided by
what it reads. Knows options and shapes; runs only what takes a second or two.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermiq.types import Fields, Json
from train import options
from train.config import Shape, StageConfig
from train.runs import registry as runs
from train.runs.cpu_share import share_of_a_run
from train.runs.progress import Progress, silent
from train.runs.times import between, in_words

if TYPE_CHECKING:  # PyTorch takes seconds to load
    from collections.abc import Callable

    from dermiq.vlm.load import VLM

NEWEST = 10  # logged steps that are looked at
FORWARD, BACKWARD, OF_WEIGHTS = (
    2,
    2,
    2,
)  # operations a weight and token: forward, and gradients of inputs and of weights
SLOWER = 1.8  # than matrix products alone, as measured for a step of DermIQ-Nano: attention, norms, the vocabulary
FILLED = 0.75  # of new_tokens in a completion, on the average
STARTING_S = 20.0  # libraries, weights, images
BUSY = 0.8  # a share below which it is said that the machine is busy
RECKONED, REMEMBERED = 2.0, 1.5  # by which a figure from speeds or from earlier runs may be wrong


@dataclass(frozen=True)
class Duration:
    """Seconds, and between which they will lie: `low` where the machine is left to the run, `high` where it gets
    busier."""

    seconds: float
    low: float
    high: float
    steps: int
    why: str  # in words
    share: float = 1.0  # what a run gets of a processor now

    def text(self) -> str:
        return f"{between(self.seconds, self.low, self.high)} for {self.steps} steps: {self.why}"

    def as_dict(self) -> Json:
        return asdict(self)


def expected(
    config: StageConfig, vlm: VLM, shape: Shape, root: Path, *, examples: int, progress: Progress = silent
) -> Duration:
    """Of a run on `examples` examples; `vlm` may be without weights. Earlier runs are those below `root`."""
    progress("Measuring how busy this machine is", 0.0)
    share = share_of_a_run(threads_of(config)) if config.place() == "cpu" else 1.0
    steps = steps_of(config, examples)
    progress("Looking at earlier runs", 0.6)
    known = _of_earlier_runs(config, root)
    if known:
        each = known.seconds * (known.share / share if known.share else 1.0)
        idle = known.seconds * (known.share or 1.0)
        why = f"{each:.1f} s a step, as in the run {known.name}"
        return _told(STARTING_S, each, steps, why, share, idle=idle, factor=REMEMBERED)
    progress("Measuring the speed of this machine", 0.7)
    speed = Speed.of(config.place(), threads_of(config))
    idle = seconds_of_a_step(config, vlm, shape, speed)
    why = f"about {idle / share:.1f} s a step, reckoned from this machine's speed"
    before = STARTING_S
    if getattr(config, "preferences", None) == ():
        before += seconds_of_pairs(config, vlm, shape, speed, examples)
        why += f", behind {in_words(before / share)} in which the pairs are made"
    return _told(before, idle / share, steps, why, share, idle=idle, factor=RECKONED)


def _told(before: float, each: float, steps: int, why: str, share: float, *, idle: float, factor: float) -> Duration:
    """`before` and `idle` in seconds on a machine that has nothing else to do, `each` as it is now."""
    if share < BUSY:
        why += f"; this machine is busy, and a run gets {share:.0%} of the time now"
    seconds = before / share + steps * each
    low = min(seconds, before + steps * idle) / factor
    return Duration(seconds, low, seconds * factor, steps, why, share)


def threads_of(config: Any) -> int:
    """Of the CPU that the run will use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(config.threads) or usable


def steps_of(config: Any, examples: int) -> int:
    if config.steps:
        return int(config.steps)
    examples *= getattr(config, "texts", 1)
    batches = math.ceil(examples / (config.batch_size * config.accumulation))
    steps: int = max(1, math.ceil(config.epochs * batches * getattr(config, "iterations", 1)))
    return steps


# --- earlier runs -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    seconds: float  # a step of this work, as it would take then
    share: float | None  # what that run got of the processors; None where it did not say
    name: str


def _of_earlier_runs(config: StageConfig, root: Path) -> _Known | None:
    """The newest run of this stage and model on this device, scaled to this work."""
    stage = config.stage.rsplit(".", 1)[-1]
    ours = options.as_dict(config)
    for run in runs.list_runs(root):
        if run.stage != stage or run.options.get("model") != ours["model"] or run.status.device != config.place():
            continue
        if any(run.options.get(name) != ours[name] for name in ("load_in_4bit", "gradient_checkpointing", "dtype")):
            continue
        lines = [line for line in runs.metrics(run.folder) if "seconds_per_step" in line][-NEWEST:]
        if lines:
            each = statistics.median(line["seconds_per_step"] for line in lines)
            shares = [line["processor_share"] for line in lines if line.get("processor_share")]
            scale = work_of(ours) / work_of(run.options)
            return _Known(each * scale, statistics.median(shares) if shares else None, run.name)
    return None


def work_of(values: Fields) -> float:
    """What a step's time grows with, in no unit."""
    return float(values["batch_size"] * values["accumulation"] * values.get("group", 1) * values.get("new_tokens", 1))


# --- this machine -----------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    multiplied: float  # floating-point operations a second, in products as a step has them
    read: float  # bytes a second

    @classmethod
    def of(cls, device: str, threads: int = 0) -> Speed:
        """With so many threads of the CPU; 0: as many as this process uses."""
        import torch

        kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
        left, right = (torch.ones(shape, dtype=kind, device=device) for shape in ((512, 1024), (1024, 1024)))
        long = torch.ones(16_000_000, dtype=kind, device=device)
        product = _seconds(lambda: left @ right, device)
        reading = _seconds(lambda: long.sum(), device)
        more = threads / torch.get_num_threads() if threads and not device.startswith("cuda") else 1.0
        return cls(more * 2 * 512 * 1024 * 1024 / product, long.nbytes / reading)


def _seconds(act: Callable[[], object], device: str) -> float:
    """The best of a few. On the CPU those that its threads ran, not those in which others went first: that is the
    share's part.
    """
    import torch

    is_gpu = device.startswith("cuda")
    clock, threads = (time.perf_counter, 1) if is_gpu else (time.process_time, torch.get_num_threads())
    best = math.inf
    for _ in range(6):
        if is_gpu:
            torch.cuda.synchronize(device)
        started = clock()
        act()
        if is_gpu:
            torch.cuda.synchronize(device)
        best = min(best, (clock() - started) / threads)
    return max(best, 1e-6)


def seconds_of_a_step(config: Any, vlm: VLM, shape: Shape, speed: Speed) -> float:
    batches: int = config.accumulation * (config.batch_size if shape.shared else 1)
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
    questions: float = images * (1 + config.proxy.follow_up_share)
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
