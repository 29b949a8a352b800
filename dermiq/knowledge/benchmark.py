"""How long one retrieval and one check of ten sentences take, and how both grow with the graph.

    python -m dermiq.knowledge.benchmark [--sizes 10000 100000 1000000] [--rounds 5] [--out FILE]

Measures the committed graph and copies of it that were filled up with synthetic edges, made in memory, the same on
every run. Prints a table of medians in milliseconds; --out writes the same as JSON. Ratios to today's graph are those
of processor time, which a busy machine changes less. Where the embedder is installed, retrieval searches by meaning
too; there the sentences get random vectors, since what they mean is not measured. 1,000,000 edges need 2 GB of memory,
5 GB with meaning.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from dermiq.knowledge.build import sentences
from dermiq.knowledge.check.check import check_claims
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import embed
from dermiq.knowledge.retrieve.index import index_of
from dermiq.knowledge.retrieve.retrieve import retrieve
from dermiq.knowledge.schema import Edge, Node, Tables

SIZES = (10_000, 100_000, 1_000_000)
SEED = 7
EDGES_A_CONDITION = 40  # about as many as the described conditions have today
CONDITIONS_A_FEATURE = 4
KNOWN_FEATURE = 10  # one synthetic edge in so many ends at a feature of today's graph, whose lists grow too
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi")
QUESTIONS = (
    "Why is this a melanoma rather than a nevus?",
    "Which dermoscopic signs speak for basal cell carcinoma?",
    "How is actinic keratosis treated?",
    "What is this?",
    "What does dermoscopy of melanoma typically show?",
    "Does a blue-white veil argue against a benign keratosis?",
)
TEXT = (
    "Melanoma is malignant. It typically shows an atypical pigment network. A melanocytic nevus is benign. "
    "Arborizing vessels are typical of basal cell carcinoma. Milia-like cysts argue against seborrheic keratosis. "
    "Actinic keratosis is treated with cryotherapy. Dermatofibroma shows a central white patch. "
    "Melanoma is often confused with a melanocytic nevus. Lentigo maligna is a form of melanoma. "
    "The weather is fine today."
)


@dataclass(frozen=True)
class Cost:
    """Of one call, the median over the rounds."""

    ms: float
    cpu_ms: float  # of all threads of this process
    ratio: float = 1.0  # of cpu_ms to that of today's graph


@dataclass(frozen=True)
class Timing:
    edges: int
    load_s: float  # from tables in memory to the end of the first question and check
    retrieve: Cost  # one question
    check: Cost  # ten sentences


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="edges in all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-embeddings", action="store_true", help="search by words and names alone")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    options = parser.parse_args(arguments)
    semantic = not options.no_embeddings and embed.available()
    timings = list(measure(options.sizes, rounds=options.rounds, semantic=semantic))
    print(table(timings))
    if options.out is not None:
        result = {"embeddings": semantic, "rounds": options.rounds, "timings": [asdict(timing) for timing in timings]}
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(sizes: Sequence[int], *, rounds: int, semantic: bool) -> Iterator[Timing]:
    """Today's graph first, then each size."""
    today = Graph.load().tables
    first: Timing | None = None
    for size in (len(today.edges), *sizes):
        timing = _measure(filled_up(today, size), rounds=rounds, semantic=semantic)
        first = first or timing
        yield replace(
            timing,
            retrieve=replace(timing.retrieve, ratio=_ratio(timing.retrieve, first.retrieve)),
            check=replace(timing.check, ratio=_ratio(timing.check, first.check)),
        )


def _ratio(cost: Cost, first: Cost) -> float:
    return round(cost.cpu_ms / first.cpu_ms, 2)


def _measure(tables: Tables, *, rounds: int, semantic: bool) -> Timing:
    start = time.perf_counter()
    graph = Graph(tables)
    index = index_of(graph)
    if semantic:
        index.vectors = index.bare = _vectors(len(index.facts))

    def ask() -> None:
        for question in QUESTIONS:
            retrieve(graph, question, differential=("mel", "nv", "bkl"), semantic=semantic)

    def check() -> None:
        check_claims(graph, TEXT, diagnosis="mel")

    ask()
    check()
    loaded = time.perf_counter() - start
    return Timing(
        edges=len(tables.edges),
        load_s=round(loaded, 2),
        retrieve=_cost(ask, rounds=rounds, calls=len(QUESTIONS)),
        check=_cost(check, rounds=rounds, calls=1),
    )


def _cost(work: Callable[[], None], *, rounds: int, calls: int) -> Cost:
    """`work` makes `calls` calls."""
    times, cpu = [], []
    for _ in range(rounds):
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    ms, cpu_ms = (round(1000 * statistics.median(found) / calls, 2) for found in (times, cpu))
    return Cost(ms=ms, cpu_ms=cpu_ms)


def _vectors(count: int) -> np.ndarray:
    """(count, 384) float32 of length 1, random."""
    vectors = np.random.default_rng(SEED).standard_normal((count, 384), dtype=np.float32)
    units: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def table(timings: Sequence[Timing]) -> str:
    lines = [
        "            load   one retrieval (ms)   check of ten (ms)",
        "    edges      s   wall    cpu  ratio   wall    cpu  ratio",
    ]
    for timing in timings:
        costs = "".join(f"{c.ms:>7.1f}{c.cpu_ms:>7.1f}{c.ratio:>7.1f}" for c in (timing.retrieve, timing.check))
        lines.append(f"{timing.edges:>9,}{timing.load_s:>7.1f}{costs}")
    return "\n".join(lines)


# --- synthetic edges ------------------------------------------------------------------------


def filled_up(tables: Tables, size: int) -> Tables:
    """The tables with synthetic conditions, features and edges, `size` edges in all; never fewer than there are."""
    rest = max(size - len(tables.edges), 0)
    dice = random.Random(SEED)
    known = [node for node in tables.nodes if node.kind == "DermoscopicFeature"]
    groups = [node for node in tables.nodes if node.kind == "Disease" and node.tier == 0]
    conditions = [_node("Disease", number, dice) for number in range(-(-rest // EDGES_A_CONDITION))]
    features = [
        _node("DermoscopicFeature", number, dice) for number in range(-(-len(conditions) // CONDITIONS_A_FEATURE))
    ]
    edges = []
    for number in range(rest):
        condition = conditions[number // EDGES_A_CONDITION]
        if number % EDGES_A_CONDITION == 0:
            target, relation = dice.choice(groups), "is_a"
        else:
            target = dice.choice(known if number % KNOWN_FEATURE == 0 else features)
            relation = "has_dermoscopic_feature"
        edges.append(_edge(number, condition, relation, target, source=tables.edges[0].source))
    return replace(tables, nodes=(*tables.nodes, *conditions, *features), edges=(*tables.edges, *edges))


def _node(kind: str, number: int, dice: random.Random) -> Node:
    words = ["".join(dice.choices(SYLLABLES, k=3)) for _ in range(2)]
    name = f"{words[0]} {words[1]}"
    return Node(id=f"synthetic:{kind}-{number}", kind=kind, name=name, tier=2, source="curated")


def _edge(number: int, condition: Node, relation: str, target: Node, *, source: str) -> Edge:
    text = (
        sentences.kind_of(condition.name, target.name, parent_plural="", is_group=False)
        if relation == "is_a"
        else sentences.dermoscopy(condition.name, target.name)
    )
    return Edge(
        id=f"S{number}",
        subject=condition.id,
        relation=relation,
        object=target.id,
        polarity="present",
        qualifier="",
        text=text,
        source=source,
        locator="synthetic",
        evidence_type="curated",
    )


if __name__ == "__main__":
    sys.exit(main())
