"""Supervised fine-tuning of any supported vision-language model, on TRL's SFTTrainer. Only answers are learned.

    python -m train.sft --config train/configs/sft_embedded_cpu.yaml
    python -m train.sft --model Qwen/Qwen2.5-VL-3B-Instruct --load-in-4bit --data mine.csv --epochs 2
    python -m train.runs list

Labelled images become the three kinds of chat that a consultation has, with the texts of `train.cases.texts`: the
diagnosis at once, the reasoning in four steps, and a second question. Written examples (JSONL, data sets) are learned
as they are. Each run has a folder: see `train.runs.registry`.
"""

from __future__ import annotations

import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dermiq.knowledge import Graph
from dermiq.types import CLASS_NAMES, CLASSES, Fields, Json, PatientContext
from dermiq.vlm.prompts import assistant_message, differential_messages, user_message
from train.cases.examples import ChatConfig, Turns, UpToTheEnd, aloud, as_dataset
from train.cases.sources import Case, Item, Measured, Row, Written, lesion_image
from train.cases.texts import reasoning_chat
from train.config import Shape
from train.options import option
from train.runs.command import command
from train.runs.estimate import longest, some
from train.runs.job import Job
from train.runs.progress import Progress, announced, silent
from train.runs.run_folder import CACHE
from train.stage import arguments, run_stage

if TYPE_CHECKING:
    from transformers import Trainer

    from dermiq.vlm.load import VLM

QUESTION = "What is the diagnosis?"


@dataclass(frozen=True)
class SFTConfig(ChatConfig):
    stage: ClassVar[str] = "train.sft"

    val_images: int = option(200, "examples of val that are used at most; 0: all", minimum=0)
    texts: int = option(1, "different chats for each image", minimum=1)
    reasoning_share: float = option(
        0.7, "share of chats that reason; the others name the diagnosis at once", minimum=0, maximum=1
    )
    follow_up_share: float = option(
        0.3, "share of reasoning chats whose second question is learned", minimum=0, maximum=1
    )

    def examples_of(self, rows: int) -> int:
        return rows * self.texts

    def shape(self, vlm: VLM, cache: Path, progress: Progress = silent) -> Shape:
        writer = Writer(self, vlm, Measured(cache))
        prompt, completion = longest(vlm, (writer(row, 0) for row in announced(some(self.rows()[0]), progress)))
        return Shape(
            prompt, completion, rows=self.batch_size, shared=False, measured=self.window or self.reasoning_share > 0
        )


CONFIG = SFTConfig


class Writer:
    """Turns a row into one example in TRL's columns. The same row and number always give the same example."""

    def __init__(self, config: SFTConfig, vlm: VLM, measured: Measured) -> None:
        self.config, self.measured = config, measured
        self._graph, self._turns = Graph.load(), Turns(vlm)

    def __call__(self, row: Item, number: int) -> Json:
        if isinstance(row, Written):
            return self._written(row.load())
        rng = random.Random(f"{self.config.seed}:{number}:{Path(row.image).name}")  # the same wherever the data lies
        messages = self._chat(row, rng)
        image = self.measured.window(row.image) if self.config.window else lesion_image(row.image)
        return {"images": [image], "prompt": self._turns(messages[:-1]), "completion": self._turns(messages[-1:])}

    def _chat(self, row: Row, rng: random.Random) -> list[Json]:
        config = self.config
        if row.label not in CLASSES:
            return [user_message(row.question or QUESTION, images=1), assistant_message(row.label)]
        if rng.random() < config.reasoning_share:
            case = Case(row, self.measured.of(row.image))
            if case.findings:  # without an outline there is nothing to reason from
                shares = {"told": config.told_share, "follow_up": config.follow_up_share}
                return reasoning_chat(case, self._graph, rng, facts=config.facts, question=row.question, **shares)
        context = row.context if rng.random() < config.told_share else PatientContext()
        answer = assistant_message(f"<answer>{CLASS_NAMES[row.label]}</answer>")
        return [*differential_messages(context), answer]

    def _written(self, example: Fields) -> Json:
        prompt = self._turns.written(example["prompt"], "user", images=len(example["images"]))
        answer = self._turns.written(example["completion"], "assistant")
        return {"images": example["images"], "prompt": prompt, "completion": answer}


def build(config: SFTConfig, vlm: VLM, job: Job) -> Trainer | None:
    """TRL's trainer over the rows."""
    from trl import SFTConfig as Arguments
    from trl import SFTTrainer

    train, val = config.rows(say=aloud(job))
    rank = int(os.environ.get("RANK", "0"))
    writer = Writer(config, vlm, Measured(job.folder / CACHE, rank=rank))
    shared = arguments(config, job.folder, vlm.device, has_val=bool(val))
    trainer = SFTTrainer(
        model=vlm.model,
        args=Arguments(**shared, max_length=None, completion_only_loss=True, packing=False),  # no image cut away
        train_dataset=as_dataset(train, writer, each=config.texts),
        eval_dataset=as_dataset(val, writer) if config.eval_every else None,
        processing_class=vlm.processor,
    )
    trainer.data_collator = UpToTheEnd(trainer.data_collator, vlm)
    return trainer


def run(config: SFTConfig, job: Job) -> None:
    run_stage(config, job, build)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(command(SFTConfig, description=__doc__))
