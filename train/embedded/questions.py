"""Teach the encoder of questions and its heads (`dermiq.knowledge.language.questions`) on the CPU.

    python -m train.embedded.questions --run FOLDER [--out dermiq/weights/questions]
    python -m train.embedded.questions --heads      # after more wordings: the heads of intents, aspects and scope alone

Learns from three quarters of `tests/judged/{asked,questions}_tuning.tsv` and of the part `dev` of `questions.tsv`, and
the wordings of `retrieve/{intents,phrasings,aspects}.tsv`; each pass is scored on the part `dev` of `asked.tsv`, whose
author wrote nothing of the rest. A question is drawn to the facts that answer it and away from others of the same
conditions (bare) and of the graph (whole): the mean over its facts of the cross-entropy of a softmax over cosines
(van den Oord and others 2018, equation 4). Saved after each pass in the run's folder, from where the same command goes
on. `train.embedded.retrieval` follows it, on the last quarter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dermiq.knowledge import Graph, score
from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.retrieve.aspects import ASPECTS, NONE, WITHOUT
from dermiq.knowledge.retrieve.case import diagnosis_nodes
from dermiq.knowledge.retrieve.ellipsis import stand_alone
from dermiq.knowledge.retrieve.index import index_of
from dermiq.knowledge.retrieve.intents import IN_SCOPE, INTENTS, OUT_KINDS, is_out, said_of
from dermiq.knowledge.retrieve.retrieve import statement
from dermiq.knowledge.retrieve.understand import heard
from dermiq.knowledge.schema import RELATIONS, read_rows
from dermiq.shipped import seal

ASKED = score.SETS / "asked_tuning.tsv"
TUNING = score.SETS / "questions_tuning.tsv"
PASSES = 5
BATCH = 32
SAID = 64  # wordings beside the questions of a batch
RATE = 6e-5  # of AdamW for the layers, at its highest; up over a twentieth, then down to nothing
HEAD_RATE = 3e-3
REFIT_STEPS, HEAD_PENALTY = 300, 1e-3  # of the head of intents, at the end
DECAY = 0.01
APART = 12  # of so many questions about no aspect one is learned as such: there are as many as of an aspect
HEAT = 0.05  # the temperature of the cosines
LEAST_OTHERS = 8  # facts that a question is told from
ALL_OUT = -1  # out of scope, of whatever kind
NOTHING = -100  # a label that is not given
SEED = 20


@dataclass(frozen=True)
class Asked:
    """A question as it stands alone, and what is right for it."""

    bare: str
    whole: str
    intent: int  # place in INTENTS, or NOTHING
    scope: int  # place in KINDS, or ALL_OUT
    marked: tuple[int, ...]  # numbers of the facts that answer it
    others: tuple[int, ...]  # of other facts about the same conditions
    relation: int = NOTHING  # place in RELATIONS, of a wording that asks for one
    aspect: int = NOTHING  # place in ASPECTS, likewise


KINDS = (IN_SCOPE, *OUT_KINDS)


def marked_questions() -> list[score.Row]:
    """All that may be learned from."""
    return [*score.read_set("retrieval", "dev"), *(row for path in (TUNING, ASKED) for _, row in read_rows(path))]


def is_for_ranking(row: score.Row) -> bool:
    """Whether a question is kept from the encoder, for the ranker to see it as it will see all others."""
    return int(hashlib.sha256(row["id"].encode()).hexdigest(), 16) % 4 == 0


def learned(graph: Graph) -> list[Asked]:
    return [asked_of(graph, row) for row in marked_questions() if not is_for_ranking(row)]


def asked_of(graph: Graph, row: score.Row) -> Asked:
    index, nodes = index_of(graph), diagnosis_nodes(graph, score.differential_of(row))
    standing = stand_alone(graph, row["question"], earlier=score.earlier_of(row), nodes=nodes)
    said = heard(graph, standing.text)
    intent = row.get("intent", "")
    kind = ALL_OUT if intent == "out" else KINDS.index(IN_SCOPE)
    told = list(INTENTS).index(intent) if intent in INTENTS else NOTHING
    wanted = {statement(graph.fact(key)) for key in row["facts"].split("|") if key}
    subjects = {graph.fact(key).subject for key in row["facts"].split("|") if key}
    near = {member for key in subjects for member in (key, *graph.family(key), *graph.ancestors(key))}
    about = [number for number, fact in enumerate(index.facts) if fact.subject in near]
    marked = [number for number in about if statement(index.facts[number]) in wanted]
    others = [number for number in about if statement(index.facts[number]) not in wanted]
    return Asked(said.bare, said.text, told, kind, tuple(marked), tuple(others))


def wordings() -> list[Asked]:
    """What is said for intents, relations and kinds of questions; "it" stands for the condition."""
    found = []
    for number, (label, text) in enumerate(said_of("intent")):
        intent = INTENTS.index(label) if label in INTENTS else NOTHING
        kind = KINDS.index(label if is_out(label) else IN_SCOPE)
        aspect = ASPECTS.index(NONE) if label in WITHOUT and number % APART == 0 else NOTHING
        found.append(Asked(text, text, intent, kind, (), (), aspect=aspect))
    for label, text in said_of("relation"):
        relation = RELATIONS.index(label)
        found.append(Asked(text, text, NOTHING, KINDS.index(IN_SCOPE), (), (), relation))
    return found


def aspects_asked(graph: Graph) -> list[Asked]:
    """What is said for each aspect; a condition that is named is "it" in the bare question."""
    return [
        Asked(said.bare, said.text, NOTHING, KINDS.index(IN_SCOPE), (), (), aspect=ASPECTS.index(label))
        for label, text in said_of("aspect")
        for said in [heard(graph, text)]
    ]


class Hearing(nn.Module):
    """The encoder, where the facts are turned to, and the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.network = embed.copied()
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad = questions.taught(name)
        width = embed.DIMENSIONS
        self.turned = nn.ParameterDict({kind: nn.Parameter(torch.eye(width)) for kind in ("bare", "whole")})
        self.heads = nn.ModuleDict(
            {
                "intents": nn.Linear(width, len(INTENTS)),
                "scope": nn.Linear(width, len(KINDS)),
                "relations": nn.Linear(width, len(RELATIONS)),
                "aspects": nn.Linear(width, len(ASPECTS)),
            }
        )

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, 384), each of length 1; as `embed.pooled`, of at most 128 tokens."""
        batch = embed.model()[0](
            [embed.readable(text) for text in texts], padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        hidden = self.network(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        return nn.functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=1)

    def placed(self, kind: str, sentences: Tensor) -> Tensor:
        return nn.functional.normalize(sentences @ self.turned[kind].T, dim=1)

    def told(self, head: str, vectors: Tensor) -> Tensor:
        logits: Tensor = self.heads[head](questions.SCALE * vectors)
        return logits


class Loss:
    """What a batch is to be blamed for, over the facts of one graph."""

    def __init__(self, graph: Graph) -> None:
        index = index_of(graph)
        self.bare, self.whole = torch.tensor(index.bare_sentences), torch.tensor(index.whole_sentences)
        self.relation = torch.tensor([RELATIONS.index(fact.relation) for fact in index.facts])

    def __call__(self, net: Hearing, batch: Sequence[Asked]) -> Tensor:
        bare, whole = net.encode([one.bare for one in batch]), net.encode([one.whole for one in batch])
        intent = torch.tensor([one.intent for one in batch])
        total = nn.functional.cross_entropy(net.told("intents", bare), intent, label_smoothing=0.05)
        total = total + self.of_scope(net.told("scope", whole), batch)
        relation = torch.tensor([one.relation for one in batch])
        if bool((relation != NOTHING).any()):
            total = total + nn.functional.cross_entropy(net.told("relations", bare), relation)
        places = [place for place, one in enumerate(batch) if one.marked and len(one.others) >= LEAST_OTHERS]
        if not places:
            return total
        marked = torch.zeros(len(places), len(self.relation), dtype=torch.bool)
        among = torch.zeros_like(marked)
        for row, place in enumerate(places):
            marked[row, list(batch[place].marked)] = True
            among[row, list(batch[place].others)] = True
        among |= marked
        near = bare[places] @ net.placed("bare", self.bare).T / HEAT
        total = total + _drawn(near.masked_fill(~among, -torch.inf), marked)
        total = total + _drawn(whole[places] @ net.placed("whole", self.whole).T / HEAT, marked)
        shares = torch.zeros(len(places), len(RELATIONS)).index_add(1, self.relation, marked.float())
        shares = shares / shares.sum(dim=1, keepdim=True)
        return total + nn.functional.cross_entropy(net.told("relations", bare[places]), shares)

    @staticmethod
    def of_scope(logits: Tensor, batch: Sequence[Asked]) -> Tensor:
        """Where only "out" is known, the probability of all kinds together."""
        logs = torch.log_softmax(logits, dim=1)
        kinds = torch.tensor([max(one.scope, 0) for one in batch])
        any_out = torch.tensor([one.scope == ALL_OUT for one in batch])
        given = torch.where(any_out, logs[:, 1:].logsumexp(dim=1), logs[torch.arange(len(batch)), kinds])
        return -given.mean()


def _drawn(logits: Tensor, marked: Tensor) -> Tensor:
    logs = torch.log_softmax(logits, dim=1)
    each = torch.where(marked, logs, torch.zeros(())).sum(dim=1) / marked.sum(dim=1)
    return -each.mean()


def batches(asked: Sequence[Asked], said: Sequence[Asked], seed: int) -> Iterator[list[Asked]]:
    draw = random.Random(seed)
    order, beside = draw.sample(asked, len(asked)), draw.sample(said, len(said))
    for number, start in enumerate(range(0, len(order), BATCH)):
        first = number * SAID % len(beside)
        yield order[start : start + BATCH] + (beside + beside)[first : first + SAID]


@torch.inference_mode()
def figures(graph: Graph, net: Hearing, rows: Sequence[score.Row]) -> dict[str, float]:
    """On marked questions: right intents, out of scope seen, in scope refused, recall@8 by the cosine alone."""
    net.eval()
    asked, index = [asked_of(graph, row) for row in rows], index_of(graph)
    bare, whole = net.encode([one.bare for one in asked]), net.encode([one.whole for one in asked])
    intents = net.told("intents", bare).argmax(dim=1)
    strange = 1 - torch.softmax(net.told("scope", whole), dim=1)[:, 0]
    near = bare @ net.placed("bare", torch.tensor(index.bare_sentences)).T
    recalls: list[float] = []
    right: list[bool] = []
    refused: list[bool] = []
    seen: list[bool] = []
    for place, one in enumerate(asked):
        if one.scope == ALL_OUT:
            seen.append(bool(strange[place] > 0.5))
            continue
        refused.append(bool(strange[place] > 0.5))
        right.append(int(intents[place]) == one.intent)
        if one.marked:
            among = sorted((*one.marked, *one.others), key=lambda number: -float(near[place, number]))
            found: list[str] = []
            said: set[tuple[str, ...]] = set()
            for number in among:
                key = statement(index.facts[number])
                if key not in said:
                    said.add(key)
                    found.append(index.facts[number].id)
            recalls.append(score.gains(graph, rows[place]["facts"].split("|"), found)[0])
    net.train()
    return {
        "intent": _mean(right),
        "out seen": _mean(seen),
        "in refused": _mean(refused),
        "recall@8 among own": _mean(recalls),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0


def train(graph: Graph, run: Path, *, passes: int) -> Hearing:
    torch.manual_seed(SEED)
    net = Hearing()
    asked, said = learned(graph), wordings()
    dev = score.read_set("asked", "dev")
    print(f"{len(asked)} questions, {len(said)} wordings, {len(dev)} of dev", flush=True)
    loss_of = Loss(graph)
    own = [parameter for name, parameter in net.network.named_parameters() if questions.taught(name)]
    rest = [*net.turned.parameters(), *net.heads.parameters()]
    optimizer = torch.optim.AdamW([{"params": own, "lr": RATE}, {"params": rest, "lr": HEAD_RATE}], weight_decay=DECAY)
    steps = passes * (-(-len(asked) // BATCH))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / (0.05 * steps), 1 - s / steps))
    first, state = 0, run / "state.pt"
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["passes"]
    net.train()
    for number in range(first, passes):
        began, losses = time.monotonic(), []
        for batch in batches(asked, said, SEED + number):
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            loss.backward()
            nn.utils.clip_grad_norm_([*own, *rest], 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        reached = figures(graph, net, dev)
        took = (time.monotonic() - began) / 60
        print(f"pass {number + 1}, {took:.1f} min, loss {np.mean(losses):.3f}", reached, flush=True)
        torch.save(
            {
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "passes": number + 1,
            },
            state.with_suffix(".part"),
        )
        state.with_suffix(".part").replace(state)
    return net


def refit(net: Hearing, rows: Sequence[Asked]) -> None:
    """The heads of intents, aspects and scope, each to its best on all that has a label for it.

    The passes leave them behind where wordings are new.
    """
    bare, whole = encoded(net, [one.bare for one in rows]), encoded(net, [one.whole for one in rows])
    labelled = {"intents": [one.intent for one in rows], "aspects": [one.aspect for one in rows]}
    for name, labels in labelled.items():
        target = torch.tensor(labels)
        known = target != NOTHING
        fit(net, name, bare[known], partial(nn.functional.cross_entropy, target=target[known], label_smoothing=0.05))
    fit(net, "scope", whole, partial(Loss.of_scope, batch=rows))


@torch.inference_mode()
def encoded(net: Hearing, texts: Sequence[str]) -> Tensor:
    """(n, 384)"""
    net.eval()
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # a batch is padded to its longest
    found = torch.cat([net.encode([texts[n] for n in order[start : start + 64]]) for start in range(0, len(order), 64)])
    return found[torch.tensor(order).argsort()]


def fit(net: Hearing, name: str, vectors: Tensor, loss_of: Callable[[Tensor], Tensor]) -> None:
    """One head, linear, with a penalty on its weights."""
    vectors = vectors.clone()  # of tensors of inference no gradient may be asked
    head = net.heads[name]
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=REFIT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        weight = next(head.parameters())
        total: Tensor = loss_of(net.told(name, vectors)) + HEAD_PENALTY * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)


def shipped(folder: Path) -> Hearing:
    """What was trained and ships."""
    from safetensors.torch import load_file

    net = Hearing()
    net.network.load_state_dict(
        {name: tensor.float() for name, tensor in load_file(folder / questions.LAYERS).items()}, strict=False
    )
    with np.load(folder / questions.HEADS, allow_pickle=False) as held:
        for kind, turned in net.turned.items():
            turned.data = torch.from_numpy(held[kind])
        for name, head in net.heads.items():
            if f"{name}.weight" in held and held[f"{name}.weight"].shape == head.weight.shape:
                head.load_state_dict({part: torch.from_numpy(held[f"{name}.{part}"]) for part in ("weight", "bias")})
    return net


def save(net: Hearing, out: Path) -> None:
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    layers = {name: tensor.half().contiguous() for name, tensor in net.network.state_dict().items()}
    save_file({name: tensor for name, tensor in layers.items() if questions.taught(name)}, out / questions.LAYERS)
    held = {kind: turned.detach().numpy() for kind, turned in net.turned.items()}
    for name, head in net.heads.items():
        held |= {f"{name}.{part}": tensor.numpy() for part, tensor in head.state_dict().items()}
    np.savez(out / questions.HEADS, **held)
    told = {
        "intents": list(INTENTS),
        "scope": list(KINDS),
        "relations": list(RELATIONS),
        "aspects": list(ASPECTS),
    }
    (out / questions.LABELS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    seal(out)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="where the state is kept")
    parser.add_argument("--heads", action="store_true", help="only the heads, of what is in --out")
    parser.add_argument("--out", type=Path, default=questions.FOLDER)
    parser.add_argument("--passes", type=int, default=PASSES)
    options = parser.parse_args(arguments)
    if not options.heads and not options.run:
        parser.error("--run is needed, or --heads")
    graph = Graph.load()
    if options.heads:
        net = shipped(options.out)
    else:
        options.run.mkdir(parents=True, exist_ok=True)
        net = train(graph, options.run, passes=options.passes)
    refit(net, [*learned(graph), *wordings(), *aspects_asked(graph)])
    print(figures(graph, net, score.read_set("asked", "dev")), flush=True)
    save(net, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
