"""A stage of milliseconds for the tests of runs: it counts, saves and resumes as a trainer does, without one."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermiq.errors import InputError, ModelError
from train.options import option
from train.runs.job import Job
from train.runs.log import append
from train.runs.run_folder import keep_checkpoints, last_checkpoint, seal


@dataclass(frozen=True)
class TinyConfig:
    stage: ClassVar[str] = "tests.train.tiny_stage"
    steps: int = option(20, "steps", minimum=1)
    seconds: float = option(0.01, "each step takes", minimum=0)
    device: str = option("cpu", "the queue to wait in")
    files: int = option(3, "files in a checkpoint")
    end: str = option("well", "how it ends", choices=("well", "badly", "surprised", "full"))

    def check(self) -> None:
        if self.files == 0:
            raise InputError("files is 0; a checkpoint needs one.")

    def place(self) -> str:
        return self.device


CONFIG = TinyConfig


def run(config: TinyConfig, job: Job) -> None:
    found = last_checkpoint(job.folder)
    step, value = (found[0], json.loads((found[1] / "0.json").read_text())) if found else (0, 1)
    while step < config.steps:
        value = value * 31 % 1_000_003  # the "weights": the end tells whether a step was lost or done twice
        step += 1
        time.sleep(config.seconds)
        append(job.folder / "metrics.jsonl", {"step": step, "loss": value / 7})
        job.progress(step, config.steps)
        stopping = job.stop_requested
        if step % 3 == 0 or stopping or step == config.steps:
            save(job.folder / f"checkpoint-{step}", value, config)
            keep_checkpoints(job.folder, 2)
        if stopping and step < config.steps:
            return
    if config.end == "badly":
        raise ModelError("The model is of no use.")
    if config.end == "surprised":
        raise KeyError("whatever")
    if config.end == "full":
        raise OSError(28, "No space left on device")
    save(job.folder / "final", value, config)


def save(folder: Path, value: int, config: TinyConfig) -> None:
    folder.mkdir()
    for number in range(config.files):
        (folder / f"{number}.json").write_text(json.dumps(value))
        time.sleep(config.seconds / 5)  # long enough to be killed in between
    seal(folder, value=value)
