"""Supervised fine-tuning of any supported vision-language model, on TRL's SFTTrainer. Only answers are learned.

    python -m train.sft --config train/configs/sft_embedded_cpu.yaml
    python -m train.sft --model Qwen/Qwen2.5-VL-3B-Instruct --load-in-4bit --data mine.csv --epochs 2
    python -m train.runs list

Labelled images become the three kinds of chat that a consultation has, with the texts of `train.texts`: the diagnosis
at once, the reasoning in four steps, and a second question. Written examples (JSONL, data sets) are learned as they
are. Each run has a folder: see `train.runs`.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dermiq.errors import DataError, InputError
from dermiq.types import CLASS_NAMES, CLASSES, PatientContext
from train import runs
from train.cases import Case, Item, Measured, Row, Written, choose, lesion_image, read_splits
from train.options import option
from train.stage import StageConfig, arguments, run_stage

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM
    from train.runs import Owner

COLUMNS = ("prompt", "completion")
QUESTION = "What is the diagnosis?"


@dataclass(frozen=True)
class SFTConfig(StageConfig):
    stage: ClassVar[str] = "train.sft"

    data: tuple[str, ...] = option(
        ("ham10000", "pad_ufes_20"),
        "ham10000, pad_ufes_20, CSV (image, label), JSONL or data sets (prompt, completion)",
    )
    val: tuple[str, ...] = option((), "the same, to evaluate on; empty: the val split of the data")
    val_share: float = option(
        0.0, "of patients or lesions that are held out where the data has no val", minimum=0, maximum=0.9
    )
    data_folder: str = option("", "that holds ham10000/ and pad_ufes_20/; empty: DERMIQ_DATA")
    images: int = option(0, "that are used, every class alike while it lasts; 0: all", minimum=0)
    val_images: int = option(200, "of val at most; 0: all", minimum=0)
    texts: int = option(1, "different chats for each image", minimum=1)
    reasoning_share: float = option(
        0.7, "of chats that reason; the others name the diagnosis at once", minimum=0, maximum=1
    )
    follow_up_share: float = option(0.3, "of reasoning chats whose second question is learned", minimum=0, maximum=1)
    told_share: float = option(0.7, "of chats in which the patient is told", minimum=0, maximum=1)
    facts: int = option(4, "of the graph in a reasoning chat", minimum=1, maximum=12)
    window: bool = option(True, "show the square around the lesion, as a consultation does, not the whole image")

    def check(self) -> None:
        super().check()
        if not self.data:
            raise InputError("data is empty: name what to train on.")
        _, val = read_rows(self)
        if self.eval_every and not val:
            raise DataError("eval_every asks for evaluations, but there is no val: name one, or set val_share.")


CONFIG = SFTConfig


def read_rows(config: SFTConfig) -> tuple[list[Item], list[Item]]:
    """What is trained on, and what is judged by."""
    train, val = read_splits(
        config.data,
        config.val,
        val_share=config.val_share,
        seed=config.seed,
        data=config.data_folder,
        columns=COLUMNS,
    )
    return choose(train, config.images, config.seed), choose(val, config.val_images, config.seed)


class Turns:
    """Messages as a model's template takes them: parts without control tokens, the system turn where it has one."""

    def __init__(self, vlm: VLM) -> None:
        from dermiq.vlm.prompt_inputs import takes_system_turn

        self._plain = vlm.encoder.plain
        self._takes_system = takes_system_turn(vlm.processor)

    def __call__(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        from dermiq.vlm.prompt_inputs import folded

        turns = [{"role": m["role"], "content": [self._part(part) for part in m["content"]]} for m in messages]
        return turns if self._takes_system else folded(turns)

    def _part(self, part: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "text", "text": self._plain(part["text"])} if part["type"] == "text" else dict(part)


class Writer:
    """Turns a row into one example in TRL's columns. The same row and number always give the same example."""

    def __init__(self, config: SFTConfig, vlm: VLM, measured: Measured) -> None:
        from dermiq.knowledge import Graph

        self.config, self.measured = config, measured
        self._graph, self._turns = Graph.load(), Turns(vlm)

    def __call__(self, row: Item, number: int) -> dict[str, Any]:
        if isinstance(row, Written):
            return self._written(row.load())
        rng = random.Random(f"{self.config.seed}:{number}:{Path(row.image).name}")  # the same wherever the data lies
        messages = self._chat(row, rng)
        image = self.measured.window(row.image) if self.config.window else lesion_image(row.image)
        return {"images": [image], "prompt": self._turns(messages[:-1]), "completion": self._turns(messages[-1:])}

    def _chat(self, row: Row, rng: random.Random) -> list[dict[str, Any]]:
        from dermiq.vlm.prompts import assistant_message, differential_messages, user_message
        from train.texts import reasoning_chat

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

    def _written(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """TRL's columns, with texts made turns, so that the model's template applies to all of them."""
        turns = {}
        for column, role in zip(COLUMNS, ("user", "assistant"), strict=True):
            value = example[column]
            turns[column] = [{"role": role, "content": value}] if isinstance(value, str) else value
        return {"images": example["images"], **turns}


def as_dataset(rows: Sequence[Item], writer: Writer, texts: int) -> Any:
    """A `datasets.Dataset` whose examples are written when they are asked for."""
    from datasets import Dataset

    def written(batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        examples = [writer(rows[number // texts], number % texts) for number in batch["number"]]
        return {name: [example[name] for example in examples] for name in ("images", *COLUMNS)}

    return Dataset.from_dict({"number": list(range(len(rows) * texts))}).with_transform(written)


def build(config: SFTConfig, vlm: VLM, owner: Owner) -> Any:
    """TRL's trainer over the rows."""
    from trl import SFTConfig as Arguments
    from trl import SFTTrainer

    train, val = read_rows(config)
    rank = int(os.environ.get("RANK", "0"))
    writer = Writer(config, vlm, Measured(owner.folder / "cache", rank=rank))
    shared = arguments(config, owner.folder, vlm.device, has_val=bool(val))
    return SFTTrainer(
        model=vlm.model,
        args=Arguments(**shared, max_length=None, completion_only_loss=True, packing=False),  # no image cut away
        train_dataset=as_dataset(train, writer, config.texts),
        eval_dataset=as_dataset(val, writer, 1) if config.eval_every else None,
        processing_class=vlm.processor,
    )


def run(config: SFTConfig, owner: Owner) -> None:
    run_stage(config, owner, build)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(runs.command(SFTConfig, description=__doc__))
