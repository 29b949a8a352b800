"""Direct preference optimisation of any supported vision-language model, on TRL's DPOTrainer.

    python -m train.dpo --config train/configs/dpo_embedded_cpu.yaml
    python -m train.dpo --model Qwen/Qwen2.5-VL-3B-Instruct --load-in-4bit --preferences pairs.jsonl --beta 0.2
    python -m train.dpo --preferences mine@3           # what reviewers prefer: a frozen set, from DERMIQ_REVIEW
    python -m train.runs list

Pairs of a chosen and a rejected answer to the same question about the same image are learned as they are written
(JSONL, data sets: prompt, chosen, rejected, images; margin, group, split if any). Without any, the model answers
questions about labelled images first and the knowledge graph prefers (`train.preferences`): the run's pairs.jsonl. The
reference is the model before training: its own weights without LoRA. Each run has a folder: see `train.runs.registry`.
"""

from __future__ import annotations

import copy
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dermiq.data_sets import DEFAULT, NAMED
from dermiq.errors import DataError, InputError
from dermiq.files.examples import messages, text_of
from dermiq.review.types import is_frozen_set
from dermiq.types import Fields, Json
from dermiq.vlm.hub import Tokenizer
from train.cases.examples import ChatConfig, Turns, UpToTheEnd, aloud, as_dataset
from train.cases.sources import Item, Measured, Written, labelled, read_source
from train.config import Shape
from train.options import option
from train.preferences import described, longest_question, write_pairs
from train.runs.command import command
from train.runs.estimate import longest, some
from train.runs.job import Job
from train.runs.progress import Progress, announced, silent
from train.runs.run_folder import CACHE, read_json, read_lines, write_json
from train.scoring.proxy import ProxySettings
from train.stage import arguments, drop_reference_copy, run_stage

if TYPE_CHECKING:
    from transformers import Trainer

    from dermiq.vlm.load import VLM

SMOOTHED = ("robust", "exo_pair", "aot", "aot_unpaired")  # the losses for which TRL reads label_smoothing
LOSSES = (
    *("sigmoid", "sigmoid_norm", "ipo", "hinge", "nca_pair", "bco_pair", "sppo_hard"),
    *("apo_zero", "apo_down", "discopop", "sft"),
    *SMOOTHED,
)
ANSWERS = ("chosen", "rejected")
TELLING_SHARE = 0.7  # of pairs whose longer answer is the chosen one: from here on length may be what is learned


@dataclass(frozen=True)
class DPOConfig(ChatConfig):
    stage: ClassVar[str] = "train.dpo"
    columns: ClassVar[tuple[str, ...]] = ("images", "prompt", *ANSWERS)

    preferences: tuple[str, ...] = option(
        (), "pairs: JSONL, data sets, or the review's sets (name@version); empty: made from the data by the graph"
    )
    data: tuple[str, ...] = option(
        DEFAULT, f"labelled images that pairs are made about where preferences is empty: {NAMED}, CSV"
    )
    images: int = option(
        0,
        f"of {NAMED} that pairs are made about, of every class alike while there are enough; 0: all. "
        "Named pairs are all learned",
        minimum=0,
    )
    batch_size: int = option(2, "pairs at a time on each device, each with both answers", minimum=1)
    val_images: int = option(64, "pairs of val, or images that they are made about, at most; 0: all", minimum=0)
    min_margin: float = option(0.0, "pairs with a smaller margin are left out", minimum=0)
    learning_rate: float = option(5e-6, "how far a step moves the weights, at its highest", above=0)
    beta: float = option(
        0.1,
        "scale of what a pair compares, how much likelier than before an answer became: the higher, the less the "
        "model moves to tell the two apart",
        above=0,
    )
    loss: tuple[str, ...] = option(
        ("sigmoid",), "of a pair, in TRL's names: several are added; sft learns the chosen answer", choices=LOSSES
    )
    loss_weights: tuple[float, ...] = option((), "one for each loss; empty: 1", minimum=0)
    label_smoothing: float = option(
        0.0, "share of pairs that may be the wrong way round; for robust, exo_pair and aot", minimum=0, maximum=0.49
    )
    ld_alpha: float = option(
        1.0, "weight of an answer's tokens beyond the length of the other (LD-DPO)", minimum=0, maximum=1
    )
    proxy: ProxySettings = field(default_factory=ProxySettings)

    @property
    def sources(self) -> tuple[str, ...]:
        return self.preferences or self.data

    def check(self) -> None:
        if not self.preferences and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError("One process makes pairs: run train.preferences first, and name its file in preferences.")
        if self.lora_dropout:
            raise InputError("lora_dropout must be 0: the model is compared with itself before training.")
        self._check_losses()
        super().check()

    def _check_losses(self) -> None:
        if self.loss_weights and len(self.loss_weights) != len(self.loss):
            raise InputError(f"loss_weights has {len(self.loss_weights)} number(s) for {len(self.loss)} loss(es).")
        weights = self.loss_weights or (1.0,) * len(self.loss)
        if not {name for name, weight in zip(self.loss, weights, strict=True) if weight} - {"sft"}:
            raise InputError("Nothing would be preferred: name a loss besides sft, with a weight above 0.")
        if self.label_smoothing and not set(self.loss) & set(SMOOTHED):
            raise InputError(
                f"label_smoothing has no effect on {', '.join(self.loss)}: set loss to one of {', '.join(SMOOTHED)}."
            )
        if "exo_pair" in self.loss and not self.label_smoothing:
            raise InputError("The loss exo_pair needs label_smoothing above 0, such as 0.001.")

    def shape(self, vlm: VLM, cache: Path, progress: Progress = silent) -> Shape:
        rows, drawn = some(self.rows()[0]), 0
        if self.preferences:
            writer = Writer(vlm)
            prompt, completion = longest(vlm, (writer(row) for row in announced(rows, progress)))
        else:
            drawn, completion = self.proxy.answers, self.proxy.new_tokens
            prompt = longest_question(vlm, announced(rows, progress), Measured(cache), self.proxy, self, seed=self.seed)
        return Shape(
            prompt,
            completion,
            rows=2 * self.batch_size,
            shared=False,
            sampled=drawn,
            measured=not self.preferences,
            reference=self.lora_rank == 0,
        )

    def examples_of(self, rows: int) -> int:
        return rows if self.preferences else 0

    def usable(self, rows: list[Item]) -> list[Item]:
        """Labelled images where pairs are to be made, else the pairs with at least `min_margin`."""
        return list(self.taken(rows) if self.preferences else labelled(rows))

    def taken(self, rows: Sequence[Item]) -> list[Written]:
        """The pairs with at least `min_margin`. Raises DataError for what is no pair to learn from."""
        pairs = [row for row in rows if isinstance(row, Written)]
        if len(pairs) < len(rows):
            raise DataError(f"{len(rows) - len(pairs)} example(s) are labelled images: preferences must name pairs.")
        texts = [pair.texts() for pair in pairs]
        margins = [text.get("margin") for text in texts]
        if self.min_margin and None in margins:
            raise DataError(f"min_margin is {self.min_margin:g}, but {margins.count(None)} pair(s) have no margin.")
        wide = [margin is None or margin >= self.min_margin for margin in margins]
        if pairs and not any(wide):
            raise DataError(f"No pair has a margin of {self.min_margin:g} or more.")
        return [pair for pair, is_wide in zip(pairs, wide, strict=True) if is_wide]


CONFIG = DPOConfig


class Writer:
    """Turns a pair into TRL's columns, in the turns of the model's template."""

    def __init__(self, vlm: VLM) -> None:
        self._turns = Turns(vlm)

    def __call__(self, row: Written, number: int = 0) -> Json:
        example = row.load()
        images = example["images"]
        answers = {name: self._turns.written(example[name], "assistant") for name in ANSWERS}
        return {
            "images": images,
            "prompt": self._turns.written(example["prompt"], "user", images=len(images)),
            **answers,
        }


def summary(pairs: Sequence[Written], tokenizer: Tokenizer) -> Json:
    """How many pairs, how long their answers are (tokens), and how often the longer one was chosen."""
    texts = [pair.texts() for pair in pairs]
    chosen, rejected = (
        [len(tokenizer(text_of(messages(text[name], ""))).input_ids) for text in texts] for name in ANSWERS
    )
    margins = [float(text["margin"]) for text in texts if text.get("margin") is not None]
    return {
        "pairs": len(pairs),
        "chosen_tokens": statistics.median(chosen),
        "rejected_tokens": statistics.median(rejected),
        "chosen_longer": sum(a > b for a, b in zip(chosen, rejected, strict=True)) / len(pairs),
        "rejected_longer": sum(a < b for a, b in zip(chosen, rejected, strict=True)) / len(pairs),
        "margin": statistics.median(margins) if margins else None,
    }


def told(known: Fields) -> str:
    lines = [
        f"{known['pairs']} pairs. In the median the chosen answer has {known['chosen_tokens']:g} tokens and the "
        f"rejected one {known['rejected_tokens']:g}; the chosen one is longer in {known['chosen_longer']:.0%} of pairs "
        f"and shorter in {known['rejected_longer']:.0%}."
    ]
    for which in ("longer", "shorter"):
        share = known["chosen_longer" if which == "longer" else "rejected_longer"]
        if share >= TELLING_SHARE:
            lines.append(
                f"Warning: the {which} answer is mostly the chosen one, so that length may be what is learned. "
                "See ld_alpha, and the loss sigmoid_norm."
            )
    return "\n".join(lines)


def made_pairs(config: DPOConfig, vlm: VLM, job: Job) -> tuple[list[Written], list[Written]] | None:
    """By the graph, of the model's own answers, to train on and to judge by. None where it stopped on request; what
    was made until then stays in pairs.jsonl.
    """
    train, val = config.rows(say=aloud(job))
    file = job.folder / "pairs.jsonl"
    measured = Measured(job.folder / CACHE)

    def progress(done: int, total: int) -> None:
        text = f"Making pairs: {done} of {total} images."
        job.do(text.rstrip("."), soon=True)
        job.update(reason=text)
        print(text, flush=True)

    parts = {"train": train, **({"val": val} if config.eval_every else {})}
    for split, rows in parts.items():
        made = write_pairs(
            rows,
            vlm,
            measured,
            config.proxy,
            config,
            file=file,
            seed=config.seed,
            split=split,
            stop=lambda: job.stop_requested,
            progress=progress,
        )
        if made.left:
            return None
    print(described(made), flush=True)
    job.update(reason="")
    lines = read_lines(file)
    for split, rows in parts.items():
        if not any(line["split"] == split for line in lines):
            raise DataError(
                f"No answer to any of the {len(rows)} {split} image(s) was better than another: ask about more images, "
                "draw more with proxy.answers, or lower proxy.min_margin."
            )
    found = {split: config.taken(read_source(str(file), split, columns=config.columns)) for split in parts}
    return found["train"], found.get("val", [])


def refuse_fewer(folder: Path, pairs: int) -> None:
    """DataError where a resumed run would have other pairs than those that it began with: it could not go on as it was.

    A frozen set loses lines when images are deleted from the review.
    """
    began = (read_json(folder / "pairs.json") or {}).get("pairs", pairs)
    if began != pairs:
        raise DataError(f"The run began with {began} pairs, and now there are {pairs}: start a new one.")


def build(config: DPOConfig, vlm: VLM, job: Job) -> Trainer | None:
    """TRL's trainer over the pairs; None where it was stopped while they were made."""
    from trl import DPOConfig as Arguments
    from trl import DPOTrainer

    if any(map(is_frozen_set, config.preferences)):
        from train.cases.reviewed import deleted_from  # the review's database takes a second to load

        for named, count in deleted_from(config.preferences).items():
            print(f"{count} pair(s) of {named} are left out: their images were deleted since.", flush=True)
    found = config.rows(say=aloud(job)) if config.preferences else made_pairs(config, vlm, job)
    if found is None:
        return None
    train, val = found
    if job.is_main:
        known = summary(train, vlm.processor.tokenizer)
        refuse_fewer(job.folder, len(train))
        write_json(job.folder / "pairs.json", known)
        print(told(known), flush=True)
    writer = Writer(vlm)
    shared = arguments(config, job.folder, vlm.device, has_val=bool(val))
    trainer = DPOTrainer(
        vlm.model,
        # LoRA is turned off for the reference; whole weights need a second copy
        None if config.lora_rank else copy.deepcopy(vlm.model).requires_grad_(False),
        Arguments(
            **shared,
            max_length=None,  # no image cut away
            beta=config.beta,
            loss_type=list(config.loss),
            loss_weights=list(config.loss_weights) or None,
            label_smoothing=config.label_smoothing,
            ld_alpha=None if config.ld_alpha == 1 else config.ld_alpha,
        ),
        train_dataset=as_dataset(train, writer),
        eval_dataset=as_dataset(val, writer) if config.eval_every else None,
        processing_class=vlm.processor,
    )
    drop_reference_copy(trainer.model)
    trainer.data_collator = UpToTheEnd(trainer.data_collator, vlm)
    return trainer


def run(config: DPOConfig, job: Job) -> None:
    run_stage(config, job, build)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(command(DPOConfig, description=__doc__))
