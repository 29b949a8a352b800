"""Teaches DermIQ-Nano to answer later questions: LoRA on conversations whose answers were written by hand.

    python -m train.embedded.talks --out runs/talks --weights runs/talks/parts            # an hour on two cores
    python -m train.embedded.talks --out runs/talks --weights runs/talks/parts --resume   # goes on after a stop

The conversations are `train.cases.conversations`, their answers in the words of their facts (`train.cases.quoted`),
each beside an image of the class that its first answer names. What was said first is read without a gradient and held
as a cache; the later turns go on from it, and their answers alone are learned. Beside each batch stands the diagnosis
at once, distilled from the specialist as in `train.embedded.nano`, so that the likelihoods stay what they were. The
projector stays as it is. What it makes does not ship yet: it forgets to close first answers, which are not rehearsed.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from dermiq.knowledge import Graph
from dermiq.places import WEIGHTS
from dermiq.specialist.reader import Specialist
from dermiq.types import CLASSES, PatientContext
from dermiq.vlm.base import ensure_base
from dermiq.vlm.nano import assemble, load_tensors, save_nano_parts
from train.cases.conversations import Conversation, read_conversations, shuffled
from train.cases.data import data_folder, read_table
from train.cases.quoted import quoted
from train.embedded.adapters import load_adapters
from train.embedded.calibrate import careful_temperature
from train.embedded.loop import options_of, write_checkpoint
from train.embedded.nano import TokenRow, Tokens, Trainee, differential_rows, likelihoods
from train.embedded.nano_examples import Example, Teacher, mix, pick_views, prepare, read_examples, write_examples
from train.runs.log import append

VERSION = "0.4"


@dataclass(frozen=True)
class Config:
    out: str = "runs/talks"
    init: str = str(WEIGHTS / "nano")  # folders of adapters that are added up, joined by commas: parts, then runs
    data: str = ""  # the data folder; empty: DERMIQ_DATA or its default
    weights: str = "runs/talks/parts"  # where the parts go
    images: int = 25  # of each class, that stand beside the conversations
    only: str = ""  # conversations whose id begins with one of these letters; empty: all
    passes: float = 1.0  # over them
    batch: int = 4  # conversations a step
    differential_batch: int = 3
    differential_weight: float = 0.3
    learning_rate: float = 4e-4
    save_every: int = 10  # steps
    val_images: int = 200  # by which the temperature of the likelihoods is fitted
    seed: int = 1
    threads: int = 2


class Talker(Trainee):
    """Reads the turns before the first learned one without a gradient."""

    @torch.no_grad()
    def read(self, ids: Sequence[int], features: Tensor) -> DynamicCache:
        """The cache behind the system turn and these tokens; `features` (1, cells, 2560)."""
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.prefix):
            cache.update(keys, values, index)
        given = torch.tensor([list(ids)])
        embedded = self.language.get_input_embeddings()(given)
        visual = self.projector(features.float()).flatten(0, 1)
        embedded = embedded.masked_scatter((given == self.tokens.image_id).unsqueeze(-1), visual)
        self.language(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
        return cache

    def talk_loss(self, row: TokenRow, first: int, features: Tensor) -> tuple[Tensor, int]:
        """Sum of cross-entropies of the learned tokens from place `first` on, and their number.

        `features` (1, cells, 2560). All before `first` is a constant.
        """
        start = len(self.tokens.system_ids)
        cache = self.read(row.ids[:first], features)
        ids = torch.tensor([row.ids[first:]])
        learned = torch.tensor(row.learned[first:])
        positions = torch.arange(start + first, start + len(row.ids))[None]
        hidden = self.language(
            input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[0]
        logits = self.head(hidden[:-1][learned[1:]])
        targets = ids[0][1:][learned[1:]]
        return F.cross_entropy(logits, targets, reduction="sum"), len(targets)


def later_turns(row: TokenRow) -> int:
    """Where the second user turn begins: behind the end of the first learned answer."""
    began = row.learned.index(True)
    return row.learned.index(False, began)


def train(config: Config, *, resume: bool = False) -> None:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    specialist, graph = Specialist.load(), Graph.load()
    teacher, examples = Teacher(specialist), images_of(config, specialist, out)
    size = specialist.calibration.image_size
    model, processor, rank = nano_of(config.init, size)
    print(f"LoRA of rank {rank}", flush=True)
    talker = Talker(model, Tokens(processor, (size // 32) ** 2))
    conversations = [one for one in read_conversations() if one.id.startswith(tuple(config.only) or ("",))]
    learn(talker, examples, teacher, conversations, graph, config, out, resume=resume)
    options = {key: value for key, value in asdict(config).items() if key not in ("out", "init", "data", "weights")}
    temperature = temperature_of(talker, config, specialist)
    save_nano_parts(
        model,
        Path(config.weights),
        image_size=size,
        temperature=temperature,
        offsets=dict.fromkeys(CLASSES, 0.0),
        version=VERSION,
        training=options,
    )


def temperature_of(talker: Talker, config: Config, specialist: Specialist) -> float:
    """Of the likelihoods, on images of `val`."""
    val = read_table(data_folder(config.data or None), "ham10000", ["val"])
    held_out = prepare(val.sample(min(len(val), config.val_images), random_state=0), specialist, views=1, seed=2)
    labels = torch.tensor([CLASSES.index(example.label) for example in held_out])
    return round(careful_temperature(likelihoods(talker, held_out), labels), 4)


def nano_of(init: str, size: int) -> tuple[Any, Any, int]:
    """Nano with all adapters of `init` as one that trains, and its rank."""
    folders = [Path(name) for name in init.split(",")]
    state, rank = load_adapters(folders)
    model, processor = assemble(
        ensure_base(),
        tower=None,
        image_size=size,
        projector_state=load_tensors(folders[0] / "projector.safetensors"),
        lora_rank=rank,
    )
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, state)
    for parameter in model.get_base_model().model.multi_modal_projector.parameters():
        parameter.requires_grad_(False)
    return model, processor, rank


def images_of(config: Config, specialist: Specialist, out: Path) -> dict[str, list[Example]]:
    """By class."""
    kept = out / "examples.safetensors"
    if not kept.is_file():
        table = read_table(data_folder(config.data or None), "ham10000", ["train"])
        groups = [part for _, part in table.groupby("label")]
        rows = [part.sample(min(len(part), config.images), random_state=config.seed) for part in groups]
        write_examples(prepare(pd.concat(rows), specialist, views=2, seed=1), kept)
    found: dict[str, list[Example]] = {}
    for example in read_examples(kept):
        found.setdefault(example.label, []).append(example)
    return found


def learn(
    talker: Talker,
    examples: dict[str, list[Example]],
    teacher: Teacher,
    conversations: Sequence[Conversation],
    graph: Graph,
    config: Config,
    out: Path,
    *,
    resume: bool,
) -> None:
    """AdamW over `passes` of the conversations, the rate falling in a line."""
    trainable = [p for p in talker.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=0.01)
    total = max(1, round(config.passes * len(conversations) / config.batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 10) * max(0.05, 1 - max(0, step - 10) / max(1, total - 10))
    )
    checkpoint, done = out / "talks.pt", 0
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        for parameter, value in zip(trainable, state["parameters"], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = int(state["step"])
    every = [example for group in examples.values() for example in group]
    order = [one for epoch in range(int(config.passes) + 1) for one in shuffled(conversations, epoch, config.seed)]
    started = time.perf_counter()
    for step in range(done, total):
        rng = random.Random(f"{config.seed}:{step}")
        talker.renew_prefix()
        chosen = rng.choices(every, k=config.differential_batch)
        cells = mix(pick_views(chosen, rng).float(), rng)
        taught = teacher(cells)
        rows = [differential_rows(PatientContext(), talker.tokens) for _ in chosen]
        loss = talker.distillation_loss(rows, torch.multinomial(taught, 1)[:, 0].tolist(), taught, cells)
        (config.differential_weight * loss).backward()
        losses, tokens = 0.0, 0
        for one in order[step * config.batch : (step + 1) * config.batch]:
            row = talker.tokens.sequence(one.messages(graph, say=quoted))
            beside = rng.choice(examples[one.lead])
            talk, count = talker.talk_loss(row, later_turns(row), pick_views([beside], rng))
            (talk / 250 / config.batch).backward()  # about the learned tokens of a conversation: longer ones weigh more
            losses, tokens = losses + talk.item(), tokens + count
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        line = {"step": step + 1, "of": total, "loss": losses / max(tokens, 1), "differential_loss": loss.item()}
        append(out / "metrics.jsonl", line | {"seconds": (time.perf_counter() - started) / (step + 1 - done)})
        if (step + 1) % config.save_every == 0 or step + 1 == total:
            state = {
                "parameters": [p.detach() for p in trainable],
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            write_checkpoint(checkpoint, state)


def main(arguments: Sequence[str] | None = None) -> None:
    config, resume = options_of(Config, __doc__, arguments)
    train(config, resume=resume)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
