"""GRPO++ of any supported vision-language model: reasoning about skin lesions, taught by rewards.

    python -m train.grpo --config train/configs/grpo_embedded_cpu.yaml
    python -m train.grpo --model Qwen/Qwen2.5-VL-3B-Instruct --load-in-4bit --group 8 --advantage.estimator grpo
    python -m train.runs list

Each image is asked about as in a consultation: patient, measured findings and facts of the graph, in an order that does
not give the diagnosis away. The trainer is `train.rl.group_trainer`, the rewards are `train.scoring.rewards`, the
advantages `train.rl.advantages`. Each run has a folder: see `train.runs.registry`.
"""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dermiq.data_sets import DEFAULT, NAMED
from dermiq.errors import InputError
from dermiq.knowledge import Graph
from dermiq.types import Json
from train.cases.examples import ChatConfig, Turns, aloud, as_dataset
from train.cases.sources import Case, Item, Measured, Row, labelled, lesion_image
from train.cases.texts import Asked, first_question, reasoning_text
from train.config import Shape
from train.options import option
from train.rl.advantages import AdvantageSettings
from train.runs.command import command
from train.runs.estimate import longest, some
from train.runs.job import Job
from train.runs.log import append
from train.runs.progress import Progress, announced, silent
from train.runs.run_folder import CACHE
from train.scoring.rewards import Rewarder, RewardSettings
from train.stage import arguments, drop_reference_copy, run_stage

if TYPE_CHECKING:
    from transformers import Trainer

    from dermiq.vlm.load import VLM
    from train.rl.group_trainer import Sample

LOSSES = ("dr_grpo", "dapo", "grpo", "bnpo")


@dataclass(frozen=True)
class GRPOConfig(ChatConfig):
    stage: ClassVar[str] = "train.grpo"
    columns: ClassVar[tuple[str, ...]] = ("prompt", "diagnosis")
    judged_by: ClassVar[str] = "eval_reward"

    data: tuple[str, ...] = option(DEFAULT, f"labelled images that are asked about: {NAMED}, CSV")
    batch_size: int = option(1, "questions at a time on each device, each with its group", minimum=1)
    group: int = option(8, "completions that are written for each question", minimum=2)
    new_tokens: int = option(256, "tokens of a completion at most", minimum=1)
    temperature: float = option(1.0, "of sampling: higher, and completions differ more", above=0)
    top_p: float = option(1.0, "only the likeliest tokens that share this probability are drawn", above=0, maximum=1)
    iterations: int = option(1, "optimizer steps on the same completions", minimum=1)
    loss: str = option("dr_grpo", "how tokens are weighed against each other, in TRL's names", choices=LOSSES)
    clip_low: float = option(0.2, "how far a token's probability may fall in one rollout", above=0, maximum=1)
    clip_high: float = option(0.28, "how far it may rise", above=0)
    beta: float = option(
        0.0,
        "weight of the divergence (KL) from the model before training, which is added to the loss; 0: none",
        minimum=0,
    )
    mask_truncated: bool = option(True, "learn nothing from completions that did not end")
    rehearse: bool = option(True, "compute the largest sample first, so that too little memory shows at once")
    learning_rate: float = option(1e-5, "how far a step moves the weights, at its highest", above=0)
    advantage: AdvantageSettings = field(default_factory=AdvantageSettings)
    rewards: RewardSettings = field(default_factory=RewardSettings)

    def check(self) -> None:
        super().check()
        if self.lora_dropout:
            raise InputError("lora_dropout must be 0: a group's completions share one reading of their question.")
        if self.beta and not self.lora_rank:
            raise InputError("beta above 0 compares with the model without LoRA: set lora_rank above 0.")
        if not self.rewards.correctness:
            raise InputError("rewards.correctness is 0, but the advantages ask which answers are right: set it above.")

    def shape(self, vlm: VLM, cache: Path, progress: Progress = silent) -> Shape:
        asker, rows = Asker(self, vlm, Measured(cache)), some(self.rows()[0])
        prompt, _ = longest(vlm, (asker(row) for row in announced(rows, progress)))
        form = asker.tokens_of_the_form(rows)
        return Shape(prompt, self.new_tokens, rows=self.group, shared=True, sampled=self.group, form=form)

    def warnings(self, shape: Shape) -> Iterator[str]:
        shortest, longest = shape.form
        if not shortest or self.new_tokens >= longest:
            return
        enough = 8 * math.ceil(1.1 * longest / 8)
        lost = ", and nothing is learned from what is cut off (mask_truncated)" if self.mask_truncated else ""
        which = "All completions that keep" if self.new_tokens < shortest else "Some completions that keep"
        yield (
            f"new_tokens is {self.new_tokens}, but reasoning and answer in the agreed form take {shortest} to "
            f"{longest} tokens of this model. {which} to the form will be cut off{lost}. Set new_tokens to {enough}"
            f"{', or turn mask_truncated off' if self.mask_truncated else ''}."
        )

    def usable(self, rows: list[Item]) -> list[Item]:
        return list(labelled(rows))


CONFIG = GRPOConfig


class Asker:
    """Turns a row into one question in TRL's columns, with what the rewards must know. The same row, the same text."""

    def __init__(self, config: GRPOConfig, vlm: VLM, measured: Measured) -> None:
        self.config, self.measured = config, measured
        self._graph, self._turns = Graph.load(), Turns(vlm)
        self._asked: dict[Row, Asked] = {}  # what the graph was asked for once
        self._tokenizer = vlm.processor.tokenizer

    def __call__(self, row: Row, number: int = 0) -> Json:
        case = Case(row, self.measured.of(row.image))
        if row not in self._asked:
            self._asked[row] = self._ask(case)
        image = self.measured.window(row.image) if self.config.window else lesion_image(row.image)
        return {
            "images": [image],
            "prompt": self._turns(self._asked[row].messages),
            "diagnosis": row.label,
            "findings": list(case.findings),
            "file": row.image,
        }

    def tokens_of_the_form(self, rows: Sequence[Row]) -> tuple[int, int]:
        """What the model would have to write about these rows, which were asked about: reasoning and answer at their
        shortest, the whole answer at its longest, each with the token that ends it. (0, 0) without any.
        """
        found: list[tuple[int, int]] = []
        for row in rows:
            case, asked = Case(row, self.measured.of(row.image)), self._asked[row]
            if case.findings:  # without an outline there is nothing to reason from
                rng = random.Random(f"{self.config.seed}:{Path(row.image).name}")
                text = reasoning_text(case.findings, row.label, asked.order, asked.evidence, rng)
                core = text[: text.index("</answer>") + len("</answer>")]
                found.append((self._tokens(core), self._tokens(text)))
        return (min(core for core, _ in found), max(whole for _, whole in found)) if found else (0, 0)

    def _tokens(self, text: str) -> int:
        """Of what is to be written, and of its end; what is written beforehand is not."""
        beforehand = self._tokenizer(self.config.rewards.prefill).input_ids if self.config.rewards.prefill else []
        return max(1, len(self._tokenizer(text).input_ids) - len(beforehand) + 1)

    def _ask(self, case: Case) -> Asked:
        row, config = case.row, self.config
        rng = random.Random(f"{config.seed}:{Path(row.image).name}")
        return first_question(case, self._graph, rng, told=config.told_share, facts=config.facts, question=row.question)


def build(config: GRPOConfig, vlm: VLM, job: Job) -> Trainer | None:
    from trl import GRPOConfig as Arguments

    from train.rl.group_trainer import GroupTrainer  # PyTorch takes seconds to load

    train, val = config.rows(say=aloud(job))
    asker = Asker(config, vlm, Measured(job.folder / CACHE, rank=int(os.environ.get("RANK", "0"))))
    rewarder = Rewarder(config.rewards)
    rows = config.batch_size * config.group
    shared = arguments(config, job.folder, vlm.device, has_val=bool(val)) | {
        "per_device_train_batch_size": rows,
        "per_device_eval_batch_size": rows,
        "include_num_input_tokens_seen": "no",  # TRL counts them itself
    }
    trainer = GroupTrainer(
        vlm.model,
        rewarder.functions(),
        Arguments(
            **shared,
            reward_weights=list(config.rewards.weights),
            num_generations=config.group,
            max_completion_length=config.new_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            num_iterations=config.iterations,
            loss_type=config.loss,
            epsilon=config.clip_low,
            epsilon_high=config.clip_high,
            beta=config.beta,
            mask_truncated_completions=config.mask_truncated,
        ),
        estimator=config.advantage,
        watch=lambda samples: write_samples(job.folder / "samples.jsonl", samples),
        rehearse=config.rehearse,
        train_dataset=as_dataset(train, asker),
        eval_dataset=as_dataset(val, asker) if config.eval_every else None,
        processing_class=vlm.processor,
    )
    drop_reference_copy(trainer.model)
    return trainer


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    for sample in samples:
        append(path, asdict(sample))


def run(config: GRPOConfig, job: Job) -> None:
    run_stage(config, job, build, window=config.iterations)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(command(GRPOConfig, description=__doc__))
