"""Teach the judge (`dermiq.knowledge.language.entail`) on the CPU.

    python -m train.embedded.judge --run FOLDER [--out dermiq/weights/judge]
    python -m train.embedded.judge --bars                                       # set anew from where it is believed

Trains on the pairs of `judge_examples`, those of held-out conditions left out (`judge_parts.tsv`), and keeps what did
best on the hand-written pairs of `dev`. Every ten minutes the state is saved in the run's folder, from where the same
command goes on. A temperature is fitted on `dev` (Guo and others 2017), then `--out` gets the weights as float16.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dermiq.knowledge import Graph, score
from dermiq.knowledge.check.check import is_general, ruled
from dermiq.knowledge.check.judged import Bars, Opinion, judged_all, weighed
from dermiq.knowledge.language import entail
from dermiq.knowledge.schema import read_rows
from dermiq.shipped import seal
from dermiq.types import Claim
from train.embedded import judge_examples
from train.embedded.judge_examples import Pair

LAYERS = 6
EPOCHS = 2
BATCH = 32
RATE = 8e-5  # of AdamW, at its highest; linear up over WARM, then down to nothing
WARM = 0.06
DECAY = 0.01
SMOOTHING = 0.05
HAND_WEIGHT = 2.0  # what a hand-written pair weighs, one that was made 1
SAVE_EVERY = 600  # seconds
SEED = 19
PARTS = Path(__file__).with_name("judge_parts.tsv")


@dataclass(frozen=True)
class Data:
    train: list[Pair]
    weight: np.ndarray  # (train,)
    dev: list[Pair]


def parts() -> dict[str, str]:
    """Condition -> train, dev or test."""
    return {row["condition"]: row["part"] for _, row in read_rows(PARTS)}


def data(graph: Graph) -> Data:
    part = parts()
    rows = judge_examples.written(graph)
    hand = {name: [(f, p) for f, p in rows if part.get(f.subject, "train") == name] for name in ("train", "dev")}
    facts = [fact for fact in graph.all_facts if part.get(fact.subject, "train") == "train"]
    made = judge_examples.made(graph, facts, hand["train"], SEED) + judge_examples.beside(
        graph, hand["train"], facts, SEED
    )
    own = [pair for _, pair in hand["train"]]
    weight = np.array([HAND_WEIGHT] * len(own) + [1.0] * len(made), dtype=np.float32)
    return Data(own + made, weight, [pair for _, pair in hand["dev"]])


def batches(pairs: Sequence[Pair], seed: int) -> list[list[int]]:
    """Of like length, in a drawn order."""
    draw = random.Random(seed)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].fact) + len(pairs[i].sentence) + draw.random() * 25)
    found = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    draw.shuffle(found)
    return found


def logits_of(net: nn.Module, pairs: Sequence[Pair]) -> Tensor:
    found = torch.zeros(len(pairs), len(entail.LABELS))
    net.eval()
    with torch.inference_mode():
        for places in batches(pairs, 0):
            found[places] = net(**entail.encoded([(pairs[i].fact, pairs[i].sentence) for i in places]))
    net.train()
    return found


def figures(logits: Tensor, pairs: Sequence[Pair]) -> dict[str, float]:
    """Precision and recall of each label, and accuracy."""
    given, true = logits.argmax(dim=1).numpy(), np.array([pair.label for pair in pairs])
    found = {"accuracy": float((given == true).mean())}
    for number, name in enumerate(entail.LABELS):
        hits = float(((given == number) & (true == number)).sum())
        found[f"{name} precision"] = hits / max(1, int((given == number).sum()))
        found[f"{name} recall"] = hits / max(1, int((true == number).sum()))
    return {name: round(value, 4) for name, value in found.items()}


def temperature(logits: Tensor, pairs: Sequence[Pair]) -> float:
    """By which the logits are divided, so that a probability is a share of right answers."""
    true = torch.tensor([pair.label for pair in pairs])
    tried = [t / 20 for t in range(10, 81)]
    return min(tried, key=lambda t: float(nn.functional.cross_entropy(logits / t, true)))


def train(given: Data, run: Path, *, epochs: int, layers: int) -> nn.Module:
    """The network as it did best on `dev`. Goes on where the run was cut off."""
    torch.manual_seed(SEED)
    net = entail.network(layers)
    for name, parameter in net.named_parameters():
        parameter.requires_grad = entail.trained(name)
    own = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(own, lr=RATE, weight_decay=DECAY)
    plan = [batch for epoch in range(epochs) for batch in batches(given.train, SEED + epoch)]
    a_pass = len(plan) // epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (WARM * len(plan)), max(0.0, 1 - step / len(plan)))
    )
    state, best, kept = run / "state.pt", -1.0, run / "best.pt"
    first = 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first, best = saved["step"], saved["best"]
    true, weight = torch.tensor([pair.label for pair in given.train]), torch.tensor(given.weight)
    last, began, losses = time.monotonic(), time.monotonic(), []
    net.train()
    for step in range(first, len(plan)):
        places = plan[step]
        logits = net(**entail.encoded([(given.train[i].fact, given.train[i].sentence) for i in places]))
        each = nn.functional.cross_entropy(logits, true[places], reduction="none", label_smoothing=SMOOTHING)
        loss = (each * weight[places]).sum() / weight[places].sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            left = (time.monotonic() - began) / (step + 1 - first) * (len(plan) - step - 1)
            print(
                f"step {step + 1} of {len(plan)}, loss {np.mean(losses[-50:]):.3f}, {left / 60:.0f} min left",
                flush=True,
            )
        if (step + 1) % max(1, a_pass // 2) == 0 or step + 1 == len(plan):
            reached = figures(logits_of(net, given.dev), given.dev)
            print(step + 1, reached, flush=True)
            if reached["accuracy"] >= best:
                best = reached["accuracy"]
                torch.save(net.state_dict(), kept)
        if time.monotonic() - last > SAVE_EVERY:
            last = time.monotonic()
            torch.save(
                {
                    "net": net.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step + 1,
                    "best": best,
                },
                state.with_suffix(".part"),
            )
            state.with_suffix(".part").replace(state)
    net.load_state_dict(torch.load(kept, weights_only=True))
    return net


def save(net: nn.Module, out: Path, layers: int, heat: float) -> None:
    """The weights, believed in nothing until `--bars` has been run."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    own = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items() if entail.trained(name)}
    save_file(own, out / entail.MODEL)
    (out / entail.CONFIG).write_text(
        json.dumps({"layers": layers, "temperature": heat, "bars": asdict(NEVER)}, indent=1) + "\n", encoding="utf-8"
    )
    seal(out)


# --- from where it is believed -----------------------------------------------------------------

NEVER = Bars(supported=2.0, agreed=0.0, doubted=2.0, vetoed=2.0, contradicted=2.0, same=2.0)
COST = 4  # right verdicts that a wrong one is worth
SETS = ("edits", "claims", "model_text")  # their part `dev`
TRIED = {
    "agreed": (0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
    "doubted": (0.9, 0.85, 0.8, 0.7, 0.6),
    "vetoed": (0.9, 0.85, 0.8, 0.7, 0.6),
    "supported": (0.97, 0.95, 0.93, 0.9, 0.87, 0.85, 0.8, 0.7),
    "same": (0.9, 0.8, 0.7, 0.6),
    "contradicted": (0.97, 0.95, 0.93, 0.9, 0.85, 0.8, 0.7),
}
Heard = tuple[score.Row, list[tuple[Claim, list[Opinion]]]]


def heard(graph: Graph) -> list[Heard]:
    """Of each row of `dev`, what the rules say of its sentences and what the judge does."""
    found = []
    for row in (row for name in SETS for row in score.read_set(name, "dev")):
        topic = graph.diagnosis(row["topic"]) if row.get("topic") else None
        claims, asked = ruled(graph, row["sentence"], score.findings_of(row), topic.id if topic else None)
        found.append((row, list(zip(claims, judged_all(graph, asked), strict=True))))
    return found


def worth(rows: Sequence[Heard], bars: Bars) -> int:
    """Right verdicts, less `COST` for each wrong one; what is left open counts nothing."""
    total = 0
    for row, opinions in rows:
        verdict = score.verdict_among(weighed(c, o, bars, open_to_judge=is_general(c)).verdict for c, o in opinions)
        total += 0 if verdict == "not_covered" else 1 if verdict == row["label"] else -COST
    return total


def chosen(rows: Sequence[Heard]) -> Bars:
    """Those that are worth most, one bar after the other until none is bettered.

    Of equals what changes least of what the rules said.
    """
    best, most = NEVER, worth(rows, NEVER)
    bettered = True
    while bettered:
        bettered = False
        for name, tried in TRIED.items():
            for value in tried:
                bars = replace(best, **{name: value})
                if (found := worth(rows, bars)) > most:
                    best, most, bettered = bars, found, True
    return best


def set_bars(graph: Graph, out: Path) -> Bars:
    found = chosen(heard(graph))
    held = json.loads((out / entail.CONFIG).read_text(encoding="utf-8"))
    (out / entail.CONFIG).write_text(json.dumps({**held, "bars": asdict(found)}, indent=1) + "\n", encoding="utf-8")
    seal(out)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="where the state is kept")
    parser.add_argument("--bars", action="store_true", help="only set from where it is believed")
    parser.add_argument("--out", type=Path, default=entail.FOLDER)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--layers", type=int, default=LAYERS)
    options = parser.parse_args(arguments)
    graph = Graph.load()
    if options.bars:
        print(set_bars(graph, options.out))
        return 0
    if options.run is None:
        parser.error("--run FOLDER is needed, to keep the state in")
    options.run.mkdir(parents=True, exist_ok=True)
    given = data(graph)
    print(f"{len(given.train)} pairs to learn, {len(given.dev)} of dev", flush=True)
    net = train(given, options.run, epochs=options.epochs, layers=options.layers)
    logits = logits_of(net, given.dev)
    print(figures(logits, given.dev))
    save(net, options.out, options.layers, temperature(logits, given.dev))
    return 0


if __name__ == "__main__":
    sys.exit(main())
