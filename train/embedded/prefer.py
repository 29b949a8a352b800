"""DPO of DermIQ-Nano on answers to later questions: the chosen one against the rejected one behind one prompt.

    python -m train.embedded.draft_pairs --out runs/prefer/pairs.jsonl
    python -m train.embedded.prefer --pairs runs/prefer/pairs.jsonl --init runs/talks/parts --weights runs/prefer/parts

The loss is DPO's (arXiv 2305.18290, equation 7), with the likelihood of the chosen answer beside it so that it does not
fall with the other's (arXiv 2404.19733, equation 2). The prompt is read once for both answers and held constant; the
reference's likelihoods are those of the start, computed once and kept.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dermiq.specialist.reader import Specialist
from dermiq.types import Json
from dermiq.vlm.nano import save_nano_parts
from dermiq.vlm.prompts import assistant_message
from train.embedded.loop import options_of, write_checkpoint
from train.embedded.nano import TokenRow, Tokens
from train.embedded.nano_examples import Example
from train.embedded.talks import Config as TalksConfig
from train.embedded.talks import Talker, images_of, nano_of
from train.runs.log import append
from train.runs.run_folder import read_lines


@dataclass(frozen=True)
class Config:
    pairs: str = "runs/prefer/pairs.jsonl"
    out: str = "runs/prefer"
    init: str = "runs/talks/parts"  # folders of adapters that are added up, joined by commas
    data: str = ""
    weights: str = "runs/prefer/parts"
    images: int = 25  # of each class, that stand beside the conversations
    passes: float = 1.0
    batch: int = 6  # pairs a step
    learning_rate: float = 1e-4
    beta: float = 0.1
    chosen_weight: float = 0.2  # of the chosen answer's mean negative log-likelihood beside the loss
    save_every: int = 5
    seed: int = 1
    threads: int = 2


class Preferer(Talker):
    def log_likelihoods(self, rows: Sequence[TokenRow], first: int, features: Tensor) -> Tensor:
        """(n,) sums over the last answer of rows that are the same before place `first`."""
        start = len(self.tokens.system_ids)
        cache = self.read(rows[0].ids[:first], features)
        cache.batch_repeat_interleave(len(rows))
        length = max(len(row.ids) for row in rows) - first
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        learned = torch.zeros(len(rows), length, dtype=torch.bool)
        mask = torch.ones(len(rows), start + first + length, dtype=torch.long)
        for number, row in enumerate(rows):
            size = len(row.ids) - first
            ids[number, :size] = torch.tensor(row.ids[first:])
            learned[number, :size] = torch.tensor(row.learned[first:])
            mask[number, start + first + size :] = 0
        hidden = self.language(
            input_ids=ids,
            attention_mask=mask,
            position_ids=torch.arange(start + first, start + first + length).expand(len(rows), -1),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        logs = self.head(hidden[:, :-1]).log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(-1)
        sums: Tensor = (logs * learned[:, 1:]).sum(1)
        return sums


def rows_of(tokens: Tokens, pair: Json) -> tuple[list[TokenRow], int]:
    """Both answers behind the prompt, and the place just before the first token of either."""
    rows = [tokens.sequence([*pair["messages"], assistant_message(pair[name])]) for name in ("chosen", "rejected")]
    prompt = tokens.sequence(pair["messages"])
    return rows, len(prompt.ids)


def train(config: Config, *, resume: bool = False) -> None:
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    specialist = Specialist.load()
    size = specialist.calibration.image_size
    shared = TalksConfig(out=config.out, init=config.init, data=config.data, images=config.images, seed=config.seed)
    examples = images_of(shared, specialist, out)
    model, processor, _ = nano_of(config.init, size)
    preferer = Preferer(model, Tokens(processor, (size // 32) ** 2))
    pairs = list(read_lines(Path(config.pairs)))
    random.Random(config.seed).shuffle(pairs)
    learn(preferer, examples, pairs, config, out, resume=resume)
    save_nano_parts(model, Path(config.weights), image_size=size, training=asdict(config))


def learn(
    preferer: Preferer,
    examples: dict[str, list[Example]],
    pairs: Sequence[Json],
    config: Config,
    out: Path,
    *,
    resume: bool,
) -> None:
    trainable = [p for p in preferer.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=0.0)
    total = max(1, round(config.passes * len(pairs) / config.batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 5) * max(0.1, 1 - step / total)
    )
    checkpoint, done = out / "prefer.pt", 0
    beside = [random.Random(f"{config.seed}:{n}").choice(examples[one["lead"]]) for n, one in enumerate(pairs)]
    references = _references(preferer, pairs, beside, out)
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        for parameter, value in zip(trainable, state["parameters"], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = int(state["step"])
    started = time.perf_counter()
    for step in range(done, total):
        preferer.renew_prefix()
        right, losses = 0, 0.0
        for place in range(config.batch):
            number = (step * config.batch + place) % len(pairs)
            rows, first = rows_of(preferer.tokens, pairs[number])
            logs = preferer.log_likelihoods(rows, first, beside[number].features[:1])
            margin = config.beta * ((logs[0] - references[number][0]) - (logs[1] - references[number][1]))
            nll = -logs[0] / max(1, len(rows[0].ids) - first)
            loss = (-F.logsigmoid(margin) + config.chosen_weight * nll) / config.batch
            loss.backward()
            losses, right = losses + loss.item(), right + int(margin.item() > 0)
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        line = {"step": step + 1, "of": total, "loss": losses, "accuracy": right / config.batch}
        append(out / "metrics.jsonl", line | {"seconds": (time.perf_counter() - started) / (step + 1 - done)})
        if (step + 1) % config.save_every == 0 or step + 1 == total:
            state = {
                "parameters": [p.detach() for p in trainable],
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
            }
            write_checkpoint(checkpoint, state)


@torch.no_grad()
def _references(
    preferer: Preferer, pairs: Sequence[Json], beside: Sequence[Example], out: Path
) -> list[tuple[float, float]]:
    """Log-likelihoods of chosen and rejected by the model before training, kept in the run's folder."""
    kept = out / "references.json"
    if kept.is_file():
        found = json.loads(kept.read_text())
        if len(found) == len(pairs):
            return [(chosen, rejected) for chosen, rejected in found]
    preferer.renew_prefix()
    made = []
    for pair, example in zip(pairs, beside, strict=True):
        rows, first = rows_of(preferer.tokens, pair)
        chosen, rejected = preferer.log_likelihoods(rows, first, example.features[:1]).tolist()
        made.append((chosen, rejected))
    kept.write_text(json.dumps(made))
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    config, resume = options_of(Config, __doc__, arguments)
    train(config, resume=resume)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
