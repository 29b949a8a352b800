"""Tiny models in TRL's trainer and in ours, with rewards and completions that are the same for both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from tests.tiny import picture, tiny
from tests.train.rl.test_group_loss import TARGETS
from train.rl.advantages import AdvantageSettings
from train.rl.group_trainer import GroupTrainer

QUESTIONS = ("What is this lesion?", "Is it benign?", "What is it, and why? Say what you see.", "Urgent?")
G, LONGEST = 4, 7


def correctness(completions: list, **columns: Any) -> list[float]:
    """Whether the text has an even number of characters: random, and the same for both trainers."""
    return [float(len(text[0]["content"]) % 2) for text in completions]


def form(completions: list, **columns: Any) -> list[float]:
    return [len(text[0]["content"]) / 20 for text in completions]


def data(rows: int = 4, images: Sequence[int] = (1,)) -> Dataset:
    """Questions about as many images as `images` says, in turn."""
    counts = [images[i % len(images)] for i in range(rows)]
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}] for i in range(rows)],
            "images": [[Image.fromarray(picture(10 * n + i)) for n in range(counts[i])] for i in range(rows)],
            "diagnosis": [("mel", "nv")[i % 2] for i in range(rows)],
        }
    )


def settings(folder: Path, **changes: Any) -> GRPOConfig:
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2 * G,
        "num_generations": G,
        "max_completion_length": LONGEST,
        "max_steps": 1,
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "optim": "sgd",  # Adam's first step is the gradient's sign, which rounding may turn
        "max_grad_norm": 0.0,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "reward_weights": [1.0, 0.3],
        "disable_tqdm": True,
        "seed": 3,
    }
    return GRPOConfig(**(values | changes))


def lora(rank: int = 4, **changes: Any) -> Any:
    return LoraConfig(r=rank, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False, **changes)


class Forced:
    """Gives completions of different lengths that depend on the prompt and the row alone."""

    def _generate_single_turn(self, prompt_ids: list, *args: Any, **options: Any) -> tuple[list, None]:
        (end,), seen, rows = self.eos_token_ids, {}, []  # type: ignore[attr-defined]
        for ids in prompt_ids:
            number = seen[tuple(ids)] = seen.get(tuple(ids), -1) + 1
            generator = torch.Generator().manual_seed(1000 * sum(ids) + number)
            length = int(torch.randint(2, LONGEST + 1, (1,), generator=generator))
            row = torch.randint(40, 300, (length,), generator=generator).tolist()
            rows.append(row if length == LONGEST else [*row, end])
        return rows, None


class Plain(Forced, GRPOTrainer):
    pass


class Shared(Forced, GroupTrainer):
    pass


def trainer(
    kind: type, folder: Path, *, family: str = "llava", rows: int = 4, images: Sequence[int] = (1,), **changes: Any
) -> Any:
    model, processor = tiny(family)
    options = {} if kind is Plain else {"estimator": AdvantageSettings("grpo")}
    options |= {
        name: changes.pop(name) for name in ("estimator", "watch", "rehearse", "peft_config") if name in changes
    }
    return kind(
        model,
        [correctness, form],
        settings(folder, **changes),
        train_dataset=data(rows, images),
        processing_class=processor,
        **{"peft_config": lora(), **options},
    )


def weights(trained: Any) -> list[Tensor]:
    return [p.detach().clone() for p in trained.model.parameters() if p.requires_grad]


def change(trained: Any) -> list[Tensor]:
    before = weights(trained)
    trained.train()
    return [after - first for after, first in zip(weights(trained), before, strict=True)]
