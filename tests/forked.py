"""Processes of runs that are forked from one which has imported what trainers need: half a minute of every process."""

from __future__ import annotations

import gc
import os
import threading
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from train.runs import duration, worker

IMPORTS = (
    "dermiq.knowledge",
    "dermiq.specialist",
    "peft",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "train.rl.group_trainer",
    "train.preferences",
    "tests.warmed",
)


@lru_cache(maxsize=1)
def context() -> Any:
    """Of `multiprocessing`; when this returns, everything is imported."""
    made = get_context("forkserver")
    made.set_forkserver_preload(list(IMPORTS))
    first = made.Process(target=gc.collect)
    first.start()
    first.join()
    return made


def idle(threads: int) -> float:
    """In place of `train.runs.cpu_share.share_of_a_run`."""
    return 1.0


def log_to(run: Path) -> None:
    """What this process prints goes where a run's process prints it."""
    log = os.open(run / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)


def spawn(folder: Path, *, steps_back: bool = True) -> None:
    """In place of `train.runs.registry._spawn`, where a test is about what the processes do and not how they start."""
    process = context().Process(target=_work, args=(str(folder), dict(os.environ)))
    process.start()
    threading.Thread(target=process.join, daemon=True).start()


def _work(folder: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.update(environment)
    vars(duration)["share_of_a_run"] = idle
    gc.freeze()
    log_to(Path(folder))
    worker.work(Path(folder))
