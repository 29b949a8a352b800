"""Run by test_two_processes in one process and in two: two steps over the same groups, and what was trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from tests.train.rl.test_group_trainer import G, trainer, weights
from train.rl.group_trainer import GroupTrainer


def main(folder: Path) -> None:
    processes = PartialState(cpu=True).num_processes
    run = trainer(
        GroupTrainer,
        folder / f"run-{processes}",
        rows=8,
        max_steps=2,
        per_device_train_batch_size=G,
        gradient_accumulation_steps=2 // processes,
        loss_type="dapo",
        beta=0.1,
        learning_rate=0.05,
        max_grad_norm=1.0,
    )
    run.train()
    if run.accelerator.is_main_process:
        torch.save((weights(run), run.state.log_history), folder / f"trained-{processes}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    PartialState().wait_for_everyone()
    os._exit(0)  # taking gloo down aborted one process of many, and hung in another
