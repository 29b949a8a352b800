"""Trains DermIQ-Nano: a projector and LoRA that let SmolLM2 read the specialist's towers and write the agreed form.

    python -m train.embedded.nano --out runs/nano            # about an hour on two cores
    python -m train.embedded.nano --out runs/nano --resume   # goes on after a stop or a crash

Three stages, all on `train`:
1. features: the frozen towers' cells for each lesion window, plain and augmented, kept in memory;
2. align: the projector alone learns to put each image near the word embeddings of its diagnosis (a cheap
   stand-in for LLaVA's caption stage, arXiv 2304.08485: our data has labels, not captions);
3. sft: projector and LoRA together. First the diagnosis at once, distilled from the specialist's probabilities
   (Hinton et al. 2015, arXiv 1503.02531) of images and of mixtures of images, then reasoning and follow-ups mixed
   with it. Texts are `train.cases.texts`; the loss is on answers only. The system turn is the same everywhere: its
   cache is computed once every few steps and held constant within them.
Offsets and temperature of the likelihood differential are fitted on `val`; the parts go to `dermiq/weights/nano`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from dermiq.errors import ModelError
from dermiq.knowledge import Graph
from dermiq.places import WEIGHTS
from dermiq.specialist.reader import Specialist
from dermiq.types import CLASS_NAMES, CLASSES, PatientContext
from dermiq.vlm.base import ensure_base
from dermiq.vlm.hub import Model
from dermiq.vlm.nano import assemble, save_nano_parts
from dermiq.vlm.prompts import (
    ANSWER_PREFILL,
    Message,
    answer_candidates,
    assistant_message,
    differential_messages,
    system_message,
)
from train.cases.data import data_folder, read_table
from train.cases.texts import reasoning_chat
from train.embedded.calibrate import STRENGTHS, best_temperature, careful_temperature, drawn_shares, merit
from train.embedded.metrics import balanced_accuracy, macro_f1
from train.embedded.nano_examples import (
    Example,
    Teacher,
    batches,
    choose_rows,
    class_weights,
    mix,
    pick_views,
    prepare,
    read_examples,
    write_examples,
)
from train.runs.log import append


@dataclass(frozen=True)
class Config:
    out: str = "runs/nano"
    init: str = ""  # parts of an earlier Nano (a folder like dermiq/weights/nano) to start from; empty: from scratch
    data: str = ""  # the data folder; empty: DERMIQ_DATA or its default
    weights: str = str(WEIGHTS / "nano")  # where the parts go
    images: int = 4200  # training images whose features are kept, rare classes all
    measured: int = 1200  # of them, those whose findings are measured, for the reasoning
    views: int = 3  # of each: one plain, the others augmented
    align_steps: int = 1500
    differential_steps: int = 150
    mixed_steps: int = 60
    differential_batch: int = 12
    reasoning_batch: int = 3
    mixed_differential_batch: int = 3
    differential_weight: float = 0.3  # of the differential's loss (a sum over tokens) beside the reasoning's (a mean)
    follow_up_share: float = 0.5  # of reasoning examples that go on with a second question
    told_share: float = 0.7  # of examples whose patient context is told
    learning_rate: float = 6e-4
    projector_rate: float = 6e-4
    lora_rank: int = 16
    facts: int = 4
    prefix_every: int = 4  # steps between two computations of the system turn's cache
    val_images: int = 450  # for the temperature
    save_every: int = 30  # steps
    seed: int = 1
    threads: int = 2


# --- align -------------------------------------------------------------------------------


def align(
    projector: torch.nn.Module,
    examples: Sequence[Example],
    teacher: Teacher,
    embeddings: Tensor,
    names: Tensor,
    config: Config,
) -> float:
    """Moves the mean projected cell towards its diagnosis' word embedding. Returns how often that is the teacher's.

    `embeddings` (V, 576) give the length that a visual token should have, `names` (7, 576) the directions.
    """
    generator = torch.Generator().manual_seed(config.seed)
    rng = random.Random(config.seed)
    features = torch.stack([e.features for e in examples])  # (N, views, cells, 2560)
    labels = torch.tensor([CLASSES.index(e.label) for e in examples])
    weights = class_weights(labels)
    directions = F.normalize(names - names.mean(0), dim=1)
    length = embeddings.norm(dim=1).median()
    optimizer = torch.optim.AdamW(projector.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=config.align_steps)
    recent = 0.0
    for _ in range(config.align_steps):
        rows = torch.multinomial(weights, 48, replacement=True, generator=generator)
        views = torch.randint(features.shape[1], (48,), generator=generator)
        cells = mix(features[rows, views].float(), rng)
        taught = teacher(cells)
        tokens = projector(cells)  # (B, cells, 576)
        logits = tokens.mean(1) @ directions.T / (0.15 * length)
        size = (tokens.norm(dim=-1) / length - 1.0).square().mean()
        loss = F.cross_entropy(logits, taught) + 0.2 * size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent = 0.99 * recent + 0.01 * (logits.argmax(1) == taught.argmax(1)).float().mean().item()
    return recent


# --- sft ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenRow:
    """Token ids after the system turn, and which of them are learned."""

    ids: list[int]
    learned: list[bool]


class Tokens:
    """Chats as token ids, through the model's own template, split where the system turn ends."""

    def __init__(self, processor: object, cells: int) -> None:
        self.tokenizer = processor.tokenizer  # type: ignore[attr-defined]
        self.template = processor.apply_chat_template  # type: ignore[attr-defined]
        self.image_token: str = processor.image_token  # type: ignore[attr-defined]
        self.image_id: int = processor.image_token_id  # type: ignore[attr-defined]
        self.cells = cells
        self.system_text = self.template([system_message()], tokenize=False)
        self.system_ids = self._ids(self.system_text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def sequence(self, messages: list[Message]) -> TokenRow:
        """Every assistant turn is learned, with its end."""
        ids: list[int] = []
        learned: list[bool] = []
        for end in range(2, len(messages) + 1):
            whole = self.template(messages[:end], tokenize=False)
            before = self.template(messages[: end - 1], tokenize=False)
            piece = whole[len(before) :]
            teach = messages[end - 1]["role"] == "assistant"
            if teach:
                opening = "<|im_start|>assistant\n"
                ids += self._ids(opening)
                learned += [False] * (len(ids) - len(learned))
                piece = piece[len(opening) :].removesuffix("\n")
            part = self._ids(piece.replace(self.image_token, self.image_token * self.cells))
            ids += part
            learned += [teach] * len(part)
            if teach and end < len(messages):
                ids += self._ids("\n")
                learned += [False] * (len(ids) - len(learned))
        return TokenRow(ids, learned)


class Trainee:
    """The model, and its one forward pass over sequences that go on from the cached system turn."""

    def __init__(self, model: Model, tokens: Tokens) -> None:
        self.model, self.tokens = model, tokens
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.language = base.model.language_model
        self.projector = base.model.multi_modal_projector
        self.head = base.lm_head
        self.prefix: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def renew_prefix(self) -> None:
        self.model.eval()
        cache = DynamicCache()
        self.language(input_ids=torch.tensor([self.tokens.system_ids]), past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        self.prefix = [(layer.keys, layer.values) for layer in layers]
        self.model.train()

    def learned(self, rows: Sequence[TokenRow], features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, V) of all learned tokens, those tokens (n,), and the row that each is of (n,).

        `features` (B, cells, 2560). The rows go on from the cached system turn, padded at the right.
        """
        length, start = max(len(row.ids) for row in rows), len(self.tokens.system_ids)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        learned = torch.zeros(len(rows), length, dtype=torch.bool)
        mask = torch.zeros(len(rows), start + length, dtype=torch.long)
        mask[:, :start] = 1
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            learned[number, : len(row.ids)] = torch.tensor(row.learned)
            mask[number, start : start + len(row.ids)] = 1
        embedded = self.language.get_input_embeddings()(ids)
        visual = self.projector(features.float()).flatten(0, 1)
        embedded = embedded.masked_scatter((ids == self.tokens.image_id).unsqueeze(-1), visual)
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.prefix):
            shape = (len(rows), -1, -1, -1)
            cache.update(keys.expand(shape), values.expand(shape), index)
        positions = torch.arange(start, start + length).expand(len(rows), -1)
        hidden = self.language(
            inputs_embeds=embedded, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        owner = torch.arange(len(rows))[:, None].expand_as(learned)[learned]
        return self.head(hidden[:, :-1][learned[:, 1:]]), ids[learned], owner  # predicted one position earlier

    @torch.no_grad()
    def scores(self, rows: Sequence[TokenRow], features: Tensor) -> Tensor:
        """Log-likelihood (B,) of the learned tokens of rows that differ at their ends alone; features (1, cells, 2560).

        What the rows share is read once, with the image; the ends go on from its cache.
        """
        shared = min(len(row.ids) for row in rows)
        shared = next((i for i in range(shared) if len({row.ids[i] for row in rows}) > 1), shared)
        ids = torch.tensor([rows[0].ids[:shared]])
        embedded = self.language.get_input_embeddings()(ids)
        visual = self.projector(features.float()).flatten(0, 1)
        embedded = embedded.masked_scatter((ids == self.tokens.image_id).unsqueeze(-1), visual)
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.prefix):
            cache.update(keys, values, index)
        start = len(self.tokens.system_ids) + shared
        before = self.language(inputs_embeds=embedded, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
        cache.batch_repeat_interleave(len(rows))
        length = max(len(row.ids) for row in rows) - shared
        ends = torch.zeros(len(rows), length, dtype=torch.long)
        learned = torch.zeros(len(rows), length, dtype=torch.bool)
        mask = torch.ones(len(rows), start + length, dtype=torch.long)
        for number, row in enumerate(rows):
            size = len(row.ids) - shared
            ends[number, :size] = torch.tensor(row.ids[shared:])
            learned[number, :size] = torch.tensor(row.learned[shared:])
            mask[number, start + size :] = 0
        after = self.language(
            input_ids=ends,
            attention_mask=mask,
            position_ids=torch.arange(start, start + length).expand(len(rows), -1),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        hidden = torch.cat([before.expand(len(rows), -1, -1), after[:, :-1]], dim=1)  # predicts `ends`
        logs = self.head(hidden).log_softmax(-1).gather(2, ends.unsqueeze(-1)).squeeze(-1)
        sums: Tensor = (logs * learned).sum(1)
        return sums

    def loss(self, rows: Sequence[TokenRow], features: Tensor) -> Tensor:
        """Mean cross-entropy of the learned tokens."""
        logits, targets, _ = self.learned(rows, features)
        return F.cross_entropy(logits, targets)

    def distillation_loss(
        self, answers: Sequence[Sequence[TokenRow]], drawn: Sequence[int], taught: Tensor, features: Tensor
    ) -> Tensor:
        """Mean over cases of KL(taught || model) along one answer each, in nats.

        `answers` are one row a class and case, `drawn` the row of each case that is read, `taught` (B, 7). At each
        token of the drawn answer the target is the taught share of every token with which an answer goes on there, so
        that, with answers drawn as they are taught, its mean is the KL between both distributions over answers.
        """
        logits = self.learned([rows[d] for rows, d in zip(answers, drawn, strict=True)], features)[0]
        places = [going_on(rows, d, shares) for rows, d, shares in zip(answers, drawn, taught.tolist(), strict=True)]
        tokens = torch.tensor([line for tokens, _ in places for line in tokens])  # (n, 7)
        shares = torch.tensor([line for _, shares in places for line in shares])
        targets = torch.zeros_like(logits).scatter_add_(1, tokens, shares)  # answers that go on alike count together
        return F.kl_div(logits.log_softmax(1), targets, reduction="sum") / len(answers)


def going_on(
    rows: Sequence[TokenRow], drawn: int, shares: Sequence[float]
) -> tuple[list[list[int]], list[list[float]]]:
    """At each learned token of `rows[drawn]`: the tokens with which the rows go on there, and their shares of 1.

    A row that has left the drawn one before has no share.
    """
    ids = rows[drawn].ids
    tokens, weights = [], []
    for place, learned in enumerate(rows[drawn].learned):
        if not learned:
            continue
        here = [
            share if len(row.ids) > place and row.ids[:place] == ids[:place] else 0.0
            for row, share in zip(rows, shares, strict=True)
        ]
        tokens.append([row.ids[place] if weight else 0 for row, weight in zip(rows, here, strict=True)])
        weights.append([weight / sum(here) for weight in here])
    return tokens, weights


def differential_rows(context: PatientContext, tokens: Tokens) -> list[TokenRow]:
    """The question for the diagnosis at once with each class as its answer."""
    asked = differential_messages(context)
    return [
        tokens.sequence([*asked, assistant_message(ANSWER_PREFILL + answer)]) for answer in answer_candidates().values()
    ]


def sft(
    trainee: Trainee,
    examples: Sequence[Example],
    teacher: Teacher,
    graph: Graph,
    config: Config,
    out: Path,
    *,
    resume: bool,
) -> None:
    trainable = [p for p in trainee.model.parameters() if p.requires_grad]
    projector = {id(p) for p in trainee.projector.parameters()}
    groups = [
        {"params": [p for p in trainable if id(p) not in projector], "lr": config.learning_rate},
        {"params": [p for p in trainable if id(p) in projector], "lr": config.projector_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    total = config.differential_steps + config.mixed_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 20) * max(0.03, 1 - max(0, step - 20) / (total - 20))
    )
    checkpoint, done = out / "sft.pt", 0
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        for parameter, value in zip(trainable, state["parameters"], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = int(state["step"])
    rng = random.Random(config.seed + done)
    whole = [e for e in examples if e.findings]
    short = batches(examples, config.differential_batch, rng)
    mixed = batches(examples, config.mixed_differential_batch, rng)
    reasoning = batches(whole, config.reasoning_batch, rng)
    started = time.perf_counter()
    for step in range(done, total):
        if (step - done) % config.prefix_every == 0:
            trainee.renew_prefix()
        chosen = next(short if step < config.differential_steps else mixed)
        told = [e.context if rng.random() < config.told_share else PatientContext() for e in chosen]
        answers = [differential_rows(context, trainee.tokens) for context in told]
        cells = mix(pick_views(chosen, rng).float(), rng)
        taught = teacher(cells)
        loss = trainee.distillation_loss(answers, torch.multinomial(taught, 1)[:, 0].tolist(), taught, cells)
        line = {"step": step + 1, "differential_loss": loss.item()}
        if step < config.differential_steps:
            loss.backward()
        else:
            (config.differential_weight * loss).backward()
            chosen = next(reasoning)
            sequences = [
                trainee.tokens.sequence(
                    reasoning_chat(
                        e, graph, rng, told=config.told_share, facts=config.facts, follow_up=config.follow_up_share
                    )
                )
                for e in chosen
            ]
            loss = trainee.loss(sequences, pick_views(chosen, rng))
            line["reasoning_loss"] = loss.item()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        line["seconds"] = (time.perf_counter() - started) / (step + 1 - done)
        append(out / "metrics.jsonl", line)
        if (step + 1) % config.save_every == 0 or step + 1 == total:
            state = {
                "parameters": [p.detach() for p in trainable],
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            os.replace(checkpoint.with_suffix(".part"), checkpoint)


@torch.no_grad()
def likelihoods(trainee: Trainee, examples: Sequence[Example]) -> Tensor:
    """Log-likelihood of each candidate answer (N, 7), as the consultation's differential computes it."""
    trainee.renew_prefix()
    trainee.model.eval()
    rows = differential_rows(PatientContext(), trainee.tokens)
    return torch.stack([trainee.scores(rows, example.features[:1]) for example in examples])


def load_parts(trainee: Trainee, folder: Path) -> None:
    """Projector and LoRA of an earlier training, as `save_nano_parts` wrote them; ModelError where they do not fit."""
    from peft import set_peft_model_state_dict

    try:
        trainee.projector.load_state_dict(widened(load_file(folder / "projector.safetensors"), trainee.projector))
        found: Any = set_peft_model_state_dict(trainee.model, load_file(folder / "adapter_model.safetensors"))
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{folder} holds no Nano parts of this shape and LoRA rank.", detail=str(error)) from error
    if found.unexpected_keys:
        raise ModelError(f"{folder} holds no Nano parts of this shape: it has {found.unexpected_keys[0]} besides.")


def widened(state: dict[str, Tensor], projector: Model) -> dict[str, Tensor]:
    """A projector of the near tower alone reads both towers when the far one's columns start at zero."""
    weight = state["linear_1.weight"]
    missing = projector.linear_1.in_features - weight.shape[1]
    return state | {"linear_1.weight": F.pad(weight, (missing, 0))} if missing == weight.shape[1] else state


def name_embeddings(tokenizer: object, embeddings: Tensor) -> Tensor:
    """(7, 576): the mean word embedding of each class name, inside a sentence and right after the tag."""
    rows = []
    for code in CLASSES:
        ids = [
            token
            for text in (CLASS_NAMES[code], f" {CLASS_NAMES[code]}")
            for token in tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        ]
        rows.append(embeddings[torch.tensor(ids)].mean(0))
    return torch.stack(rows)


def train(config: Config, *, resume: bool = False) -> None:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out, folder = Path(config.out), data_folder(config.data or None)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    specialist, graph = Specialist.load(), Graph.load()
    teacher = Teacher(specialist)
    table = pd.concat([read_table(folder, name, ["train"]) for name in ("ham10000", "pad_ufes_20")])
    kept, kept_out = out / "examples.safetensors", out / "held_out.safetensors"
    if kept.is_file() and kept_out.is_file():
        examples, held_out = read_examples(kept), read_examples(kept_out)
    else:
        examples = prepare(
            choose_rows(table, config.images, config.seed),
            specialist,
            views=config.views,
            seed=1,
            measured=config.measured,
        )
        val = read_table(folder, "ham10000", ["val"]).sample(config.val_images, random_state=0)
        held_out = prepare(val, specialist, views=1, seed=2)
        write_examples(examples, kept)
        write_examples(held_out, kept_out)
    size = specialist.calibration.image_size
    model, processor = assemble(ensure_base(), tower=None, image_size=size, lora_rank=config.lora_rank)
    tokens = Tokens(processor, (size // 32) ** 2)
    trainee = Trainee(model, tokens)
    if config.init:
        load_parts(trainee, Path(config.init))
    embeddings = trainee.language.get_input_embeddings().weight.detach()
    aligned = out / "aligned.safetensors"
    if aligned.is_file():
        trainee.projector.load_state_dict(load_file(aligned))
    else:
        names = name_embeddings(tokens.tokenizer, embeddings)
        accuracy = align(trainee.projector, examples, teacher, embeddings, names, config)
        save_file(trainee.projector.state_dict(), aligned)
        print(f"aligned: {accuracy:.3f} of the last batches nearest to the teacher's diagnosis", flush=True)
    sft(trainee, examples, teacher, graph, config, out, resume=resume)
    finish(trainee, held_out, drawn_shares(pd.Series([e.label for e in examples])), config, size)


def finish(trainee: Trainee, held_out: Sequence[Example], shares: Tensor, config: Config, size: int) -> None:
    """Fits offsets and temperature on `val`, as `train.embedded.calibrate` does, and writes the parts that ship."""
    logs = likelihoods(trainee, held_out)
    labels = torch.tensor([CLASSES.index(e.label) for e in held_out])
    scale = best_temperature(logs, labels)  # likelihoods are surer than they should be; the offsets are not
    trials = []
    for tau in STRENGTHS:
        offsets = -tau * scale * shares.log()
        answers = (logs + offsets).argmax(1).numpy()
        recall, f1 = balanced_accuracy(labels.numpy(), answers), macro_f1(labels.numpy(), answers)
        print(f"val, tau {tau}: balanced accuracy {recall:.4f}, macro-F1 {f1:.4f}", flush=True)
        trials.append((merit(recall, f1), offsets - offsets.mean()))
    offsets = max(trials, key=lambda trial: trial[0])[1]
    temperature = careful_temperature(logs + offsets, labels)
    print(f"val: temperature {temperature:.3f}", flush=True)
    save_nano_parts(
        trainee.model,
        Path(config.weights),
        image_size=size,
        temperature=round(temperature, 4),
        offsets={code: round(value, 4) for code, value in zip(CLASSES, offsets.tolist(), strict=True)},
        version="0.3",
        training={key: value for key, value in asdict(config).items() if key not in ("out", "init", "data", "weights")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Config):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--resume", action="store_true")
    options = vars(parser.parse_args())
    resume = options.pop("resume")
    train(Config(**options), resume=resume)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
