"""Fit what ranks the facts of a question (`dermiq.knowledge.retrieve.rank`) on the labelled questions of
`tests/judged` that the encoder of questions has not seen (`train.embedded.questions`, which comes first).

    python -m train.embedded.retrieval [--out dermiq/weights/retrieval] [--folds 5]

First cross-validates over questions; rows marked `aside` in their note are never fitted there, only scored. Then fits
on all of them and writes `ranker.json` and `taught.npz`; the ranker for where nothing is embedded is
fitted on the questions without an intent, all of them.
--folds 0 leaves the cross-validation out. A question's loss is the mean of two: cross-entropy of each candidate (is it
marked?), and of the softmax over its candidates, against the marked ones. Deterministic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dermiq.errors import DermIQError
from dermiq.knowledge import Graph, score
from dermiq.knowledge.language import embed
from dermiq.knowledge.retrieve import rank
from dermiq.knowledge.retrieve.index import index_of
from dermiq.knowledge.retrieve.retrieve import Candidates, candidates, look_up, spread, statement
from dermiq.knowledge.retrieve.understand import read
from dermiq.knowledge.schema import RELATIONS
from dermiq.shipped import seal
from train.embedded.questions import is_for_ranking, marked_questions

ASIDE = "aside"
DIRECTIONS = 64  # of the embeddings, those in which facts differ most
STEPS = 150
RATES = {"features": 0.05, "taught": 0.03}  # of Adam
PENALTY = {"features": 0.002, "taught": 0.003, "wanted": 0.002}  # on the sum of squares
CANDIDATES_COUNTED = 6  # the cross-entropy of a question's candidates is divided by it, to weigh as much as the softmax
SEED = 0


@dataclass(frozen=True)
class Example:
    """A question with its candidates."""

    row: score.Row
    found: Candidates
    marked: np.ndarray  # (facts,) whether each states what a marked fact states
    parts: np.ndarray | None  # (parts, 384)
    wants: np.ndarray | None  # (16,) the shares of the intents


@dataclass(frozen=True)
class Pairs:
    """The candidates of several questions in one table."""

    features: Tensor  # (pairs, features), standardised
    relation: Tensor  # (pairs,) place in RELATIONS
    marked: Tensor  # (pairs,)
    question: Tensor  # (pairs,) number of the question
    parts: Tensor  # (parts, 64) of all the questions; no columns without search by meaning
    nearest: Tensor  # (pairs,) which of the parts the fact is nearest to
    fact: Tensor  # (pairs, 64)
    wants: Tensor  # (questions, 16); no columns without search by meaning
    questions: int


@dataclass(frozen=True)
class Scale:
    """What the inputs are centred and scaled by, as found on the questions that are fitted."""

    columns: list[int]  # features in use
    mean: np.ndarray
    deviation: np.ndarray
    question: np.ndarray  # (384,)
    fact: np.ndarray  # (384,)
    basis: np.ndarray  # (64, 384)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=rank.WEIGHTS)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not embed.available():
        print(embed.NOTE, file=sys.stderr)
        return 2
    try:
        graph = Graph.load()
        rows = [row for row in marked_questions() if row["facts"]]
        held: dict[str, object] = {}
        for name, semantic in (("meaning", True), ("words", False)):
            seen = [row for row in rows if (is_for_ranking(row) if semantic else "intent" not in row)]
            examples = examples_of(graph, seen, semantic=semantic)
            if options.folds:
                print(name, *cross_validated(graph, examples, options.folds), sep="\n  ", flush=True)
            scale = scale_of(graph, examples, semantic=semantic)
            fitted = fit(pairs_of(graph, examples, scale))
            held[name] = fitted.readable(scale)
            if semantic:
                options.out.mkdir(parents=True, exist_ok=True)
                fitted.save(options.out / "taught.npz", scale)
        (options.out / "ranker.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
        seal(options.out)
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def examples_of(graph: Graph, rows: Sequence[score.Row], *, semantic: bool) -> list[Example]:
    """Questions that the case alone answers are left out: they are not ranked by what is fitted here."""
    examples = []
    for row in rows:
        differential, context = score.differential_of(row), score.context_of(row)
        reading = read(
            graph,
            row["question"],
            earlier=score.earlier_of(row),
            differential=differential,
            context=context,
            semantic=semantic,
        )
        found = look_up(graph, reading, differential=differential)
        if found.is_open:
            continue
        pool = candidates(graph, found, differential=differential, context=reading.patient)
        wanted = {statement(graph.fact(key)) for key in row["facts"].split("|")}
        marked = np.array([statement(fact) in wanted for fact in pool.facts])
        examples.append(Example(row, pool, marked, found.meant.parts if found.meant else None, reading.wants))
    return examples


def scale_of(graph: Graph, examples: Sequence[Example], *, semantic: bool) -> Scale:
    columns = [place for place, name in enumerate(rank.FEATURES) if semantic or name not in rank.SEMANTIC]
    table = np.concatenate([example.found.table[:, columns] for example in examples])
    deviation = table.std(axis=0)
    deviation[deviation == 0] = 1.0
    if not semantic:
        none = np.zeros((0, 0), dtype=np.float32)
        return Scale(columns, table.mean(axis=0), deviation, none, none, none)
    bare = index_of(graph).bare
    fact = bare.mean(axis=0)
    basis = np.linalg.svd(bare - fact, full_matrices=False)[2][:DIRECTIONS]
    question = np.concatenate([example.parts for example in examples if example.parts is not None]).mean(axis=0)
    return Scale(columns, table.mean(axis=0), deviation, question, fact, basis)


def pairs_of(graph: Graph, examples: Sequence[Example], scale: Scale) -> Pairs:
    parts: list[np.ndarray] = []
    nearest, facts = [], []
    for example in examples:
        numbers = example.found.numbers
        nearest.append(example.found.nearest + sum(len(table) for table in parts))
        if example.parts is None:
            parts.append(np.zeros((1, 0)))
            facts.append(np.zeros((len(numbers), 0)))
        else:
            parts.append((example.parts - scale.question) @ scale.basis.T)
            facts.append((index_of(graph).bare[numbers] - scale.fact) @ scale.basis.T)
    tables = [(example.found.table[:, scale.columns] - scale.mean) / scale.deviation for example in examples]
    relations = [[RELATIONS.index(fact.relation) for fact in example.found.facts] for example in examples]
    return Pairs(
        features=_tensor(tables),
        relation=torch.tensor(np.concatenate(relations), dtype=torch.long),
        marked=_tensor([example.marked for example in examples]),
        question=torch.tensor(np.repeat(np.arange(len(examples)), [len(table) for table in tables])),
        parts=_tensor(parts),
        nearest=torch.tensor(np.concatenate(nearest)),
        fact=_tensor(facts),
        wants=_tensor([np.zeros((1, 0)) if one.wants is None else one.wants[None] for one in examples]),
        questions=len(examples),
    )


def _tensor(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.tensor(np.concatenate(parts), dtype=torch.float32)


class Fitted(torch.nn.Module):
    """The score of a pair, see `rank.scores` and `rank.Taught`."""

    def __init__(self, features: int, directions: int, intents: int) -> None:
        super().__init__()
        self.features = torch.nn.Parameter(torch.zeros(features))
        self.starts = torch.nn.Parameter(torch.zeros(len(RELATIONS)))
        self.constant = torch.nn.Parameter(torch.tensor(-3.0))  # for the cross-entropy; a softmax does not see it
        self.pairs = torch.nn.Parameter(torch.zeros(directions, directions))
        self.relations = torch.nn.Parameter(torch.zeros(len(RELATIONS), directions))
        self.wanted = torch.nn.Parameter(torch.zeros(intents, features))
        self.wanted_starts = torch.nn.Parameter(torch.zeros(len(RELATIONS), intents))

    def forward(self, pairs: Pairs) -> Tensor:
        likeness = ((pairs.parts @ self.pairs)[pairs.nearest] * pairs.fact).sum(dim=1)
        likeness = likeness + (pairs.parts @ self.relations.T)[pairs.nearest, pairs.relation]
        wants = pairs.wants[pairs.question]
        likeness = likeness + (pairs.features * (wants @ self.wanted)).sum(dim=1)
        likeness = likeness + (wants * self.wanted_starts[pairs.relation]).sum(dim=1)
        return pairs.features @ self.features + self.starts[pairs.relation] + self.constant + likeness

    def penalty(self) -> Tensor:
        features = self.features.square().sum() + self.starts.square().sum()
        taught = self.pairs.square().sum() + self.relations.square().sum()
        wanted = self.wanted.square().sum() + self.wanted_starts.square().sum()
        return PENALTY["features"] * features + PENALTY["taught"] * taught + PENALTY["wanted"] * wanted

    def readable(self, scale: Scale) -> dict[str, dict[str, float]]:
        """The weights of the features as they are, not standardised, and what each relation starts with."""
        weights = self.features.detach().numpy() / scale.deviation
        names = list(rank.FEATURES)
        starts = self.starts.detach().tolist()
        return {
            "features": {
                names[place]: round(float(weight), 4) for place, weight in zip(scale.columns, weights, strict=True)
            },
            "relations": {name: round(start, 4) for name, start in zip(RELATIONS, starts, strict=True)},
        }

    def save(self, path: Path, scale: Scale) -> None:
        np.savez(
            path,
            question=scale.question.astype(np.float32),
            fact=scale.fact.astype(np.float32),
            basis=scale.basis.astype(np.float32),
            pairs=self.pairs.detach().numpy(),
            relations=self.relations.detach().numpy(),
            names=np.array(RELATIONS),
            features=(self.wanted.detach().numpy() / scale.deviation).astype(np.float32),
            starts=self.wanted_starts.detach().numpy(),
        )


def fit(pairs: Pairs) -> Fitted:
    fitted = Fitted(pairs.features.shape[1], pairs.parts.shape[1], pairs.wants.shape[1])
    optimiser = torch.optim.Adam(
        [
            {"params": [fitted.features, fitted.starts, fitted.constant], "lr": RATES["features"]},
            {"params": [fitted.pairs, fitted.relations, fitted.wanted, fitted.wanted_starts], "lr": RATES["taught"]},
        ]
    )
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = _loss(fitted(pairs), pairs) + fitted.penalty()
        loss.backward()
        optimiser.step()
    return fitted


def _loss(logits: Tensor, pairs: Pairs) -> Tensor:
    """The mean over questions."""
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, pairs.marked, reduction="sum")
    marks = torch.zeros(pairs.questions).index_add(0, pairs.question, pairs.marked)
    whole = torch.zeros(pairs.questions).index_add(0, pairs.question, _log_shares(logits, pairs) * pairs.marked)
    among = -(whole[marks > 0] / marks[marks > 0]).sum()
    return (each / CANDIDATES_COUNTED + among) / (2 * pairs.questions)


def _log_shares(logits: Tensor, pairs: Pairs) -> Tensor:
    """(pairs,) the logarithm of the softmax among the candidates of each question."""
    empty = torch.full((pairs.questions,), -torch.inf)
    most = empty.scatter_reduce(0, pairs.question, logits.detach(), "amax")
    centred = logits - most[pairs.question]
    sums = torch.zeros(pairs.questions).index_add(0, pairs.question, centred.exp())
    return centred - sums.log()[pairs.question]


# --- cross-validation -----------------------------------------------------------------------


def cross_validated(graph: Graph, examples: Sequence[Example], folds: int) -> list[str]:
    """Lines with recall@8 and nDCG@8 on questions that were not fitted, by set."""
    places = np.array([place for place, example in enumerate(examples) if ASIDE not in example.row["note"]])
    order = np.random.default_rng(SEED).permutation(places)
    gains: dict[str, list[tuple[float, float]]] = {"part dev": [], "tuning": [], "asked": [], ASIDE: []}
    aside = [example for example in examples if ASIDE in example.row["note"]]
    for fold in range(folds):
        left_out = set(order[fold::folds].tolist())
        train = [examples[place] for place in order if place not in left_out]
        tested = [examples[place] for place in sorted(left_out)]
        scored = [*tested, *aside] if fold == 0 else tested
        for example, gain in zip(scored, _gains(graph, train, scored), strict=True):
            first = example.row["id"][0]
            name = ASIDE if ASIDE in example.row["note"] else {"T": "tuning", "q": "asked"}.get(first, "part dev")
            gains[name].append(gain)
    lines = []
    for name, found in {**gains, "all": [gain for part in gains.values() for gain in part]}.items():
        if not found:
            continue
        recall, ndcg = np.mean(found, axis=0)
        lines.append(f"{name:<9} n {len(found):>3}  recall@8 {recall:.3f}  nDCG@8 {ndcg:.3f}")
    return lines


def _gains(graph: Graph, train: Sequence[Example], tested: Sequence[Example]) -> list[tuple[float, float]]:
    scale = scale_of(graph, train, semantic=train[0].parts is not None)
    fitted = fit(pairs_of(graph, train, scale))
    pairs = pairs_of(graph, tested, scale)
    with torch.inference_mode():
        logits = fitted(pairs).numpy()
    index, found = index_of(graph), []
    for place, example in enumerate(tested):
        own = logits[pairs.question.numpy() == place].tolist()
        scores = dict(zip(example.found.numbers, own, strict=True))
        chosen = spread(index, scores, costs={}, k=score.DEPTH, token_budget=score.BUDGET)
        keys = [index.facts[number].id for number in chosen]
        found.append(score.gains(graph, example.row["facts"].split("|"), keys))
    return found


if __name__ == "__main__":
    sys.exit(main())
