"""The vectors of the questions that are asked often, and how their likeness to a question is weighed.

    python -m train.embedded.faq        # after each change of dermiq/knowledge/retrieve/faq.tsv

The weights of `dermiq.knowledge.retrieve.faq` are those of a logistic regression. It learns from each wording, left out
of its own entry, against the entries that come nearest, and from questions of conversations that were marked with their
entry by hand (`tests/judged/faq.tsv`, part dev).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dermiq.knowledge import Graph, score
from dermiq.knowledge.graph import PRINCIPAL
from dermiq.knowledge.language import embed
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.language.questions import encode
from dermiq.knowledge.retrieve import faq
from dermiq.knowledge.retrieve.understand import Question, heard, read, texts_of
from dermiq.knowledge.schema import read_rows
from dermiq.shipped import seal

MARKED = score.SETS / "faq.tsv"
PENALTY, STEPS, RATE = 1e-3, 3000, 0.3
ANY_CLASS = "MONDO:0005073"  # stands for the lesion's condition where an entry holds whatever that is
DRAWN, SEED = 800, 1
UNANSWERED = 0.3  # of a wording whose entry is left out, beside one that has it
MARKED_WEIGHT = 4.0  # of a marked question beside a wording


@dataclass(frozen=True)
class Taught:
    """Candidates of one question, and which of them it is."""

    features: np.ndarray  # (candidates, features)
    is_it: np.ndarray  # (candidates,)
    weight: float


def questions_of(graph: Graph) -> list[Question]:
    """Every wording, in the table's order."""
    return [heard(graph, text) for one in faq.entries() for text in one.asked]


def ship(questions: Sequence[Question]) -> None:
    faq.FOLDER.mkdir(parents=True, exist_ok=True)
    found = faq.embedded([one.bare for one in questions], [one.reply for one in faq.entries()])
    packed: dict[str, Any] = {name: faq.packed(rows) for name, rows in found.items()}
    np.savez_compressed(faq.FOLDER / faq.VECTORS, **packed)
    seal(faq.FOLDER)
    faq.vectors.cache_clear()


def topics_of(graph: Graph, nodes: Sequence[str]) -> set[str]:
    return {key for node in nodes for key in (node, PRINCIPAL.get(node, node), *graph.ancestors(node))}


def of_wordings(graph: Graph, questions: Sequence[Question]) -> list[Taught]:
    """`DRAWN` of the wordings against the entries, its own without it, and against all others."""
    found = []
    places = list(itertools.chain.from_iterable([place] * len(one.asked) for place, one in enumerate(faq.entries())))
    drawn = sorted(random.Random(SEED).sample(range(len(questions)), min(DRAWN, len(questions))))
    said = dict(zip(drawn, meant_at_once([questions[number] for number in drawn]), strict=True))
    for number in drawn:
        place, asked = places[number], questions[number]
        one = faq.entries()[place]
        nodes = [key for key in one.topics if key != faq.ANY] or list(asked.conditions) or [ANY_CLASS]
        found.append(taught(graph, said[number], asked, nodes, [place], 1.0, leave_out=number))
        found.append(taught(graph, said[number], asked, nodes, [], UNANSWERED, without=place))
    return [one for one in found if len(one.features)]


def meant_at_once(questions: Sequence[Question]) -> list[faq.Meant]:
    """What `faq.meant` gives for each, with all texts embedded together."""
    texts = [texts_of(one) for one in questions]
    every = list(
        dict.fromkeys(
            itertools.chain.from_iterable([*part, one.text] for part, one in zip(texts, questions, strict=True))
        )
    )
    places = {text: number for number, text in enumerate(every)}
    by_question, by_sentence = encode(every), embed.encode(every)
    found = []
    for part, one in zip(texts, questions, strict=True):
        rows = [places[text] for text in part]
        found.append(faq.Meant(part, by_question[rows], by_sentence[rows], by_question[places[one.text]]))
    return found


def of_marked(graph: Graph, part: str = "dev") -> list[Taught]:
    """The questions of conversations that were marked with the entries that answer them, or with none."""
    found = []
    for _, row in read_rows(MARKED):
        if row["part"] != part:
            continue
        earlier = [text for text in row["earlier"].split(" | ") if text]
        held = read(graph, row["question"], earlier=earlier, differential=[row["class"]])
        if held.meant is None:
            continue
        meant = faq.meant(held.meant.texts, held.meant.parts, held.meant.whole)
        asked = held.understood
        nodes = [key for key in (*asked.conditions[:1], *held.asked.conditions, asked.suspected) if key]
        places = [place for place, one in enumerate(faq.entries()) if one.id in row["entries"].split("|")]
        found.append(taught(graph, meant, held.asked, nodes, places, MARKED_WEIGHT))
    return [one for one in found if len(one.features)]


def taught(
    graph: Graph,
    said: faq.Meant,
    asked: Question,
    nodes: Sequence[str],
    places: Sequence[int],
    weight: float,
    **kept: int,
) -> Taught:
    unsaid = frozenset(stem for mention in asked.mentions for stem in stems(mention.text))
    near = faq.compared(said, topics_of(graph, nodes), unsaid=unsaid, **kept)
    rows = np.array([one.features for one in near]).reshape(-1, len(faq.FEATURES))
    return Taught(rows, np.array([one.place in places for one in near], dtype=float), weight)


def fitted(rows: Sequence[Taught]) -> dict[str, object]:
    """Logistic regression by gradient descent on standardised features."""
    features = np.concatenate([one.features for one in rows])
    targets = np.concatenate([one.is_it for one in rows])
    weights = np.concatenate([np.full(len(one.is_it), one.weight) for one in rows])
    mean, scale = features.mean(0), np.maximum(features.std(0), 1e-3)
    x, share = (features - mean) / scale, weights / weights.sum()
    w, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(STEPS):
        wrong = (1 / (1 + np.exp(-(x @ w + bias))) - targets) * share
        w -= RATE * (x.T @ wrong + PENALTY * w)
        bias -= RATE * float(wrong.sum())
    return {
        "features": list(faq.FEATURES),
        "mean": [round(float(v), 6) for v in mean],
        "scale": [round(float(v), 6) for v in scale],
        "weights": [round(float(v), 5) for v in w],
        "bias": round(bias, 5),
        "made_of": faq.digest(),
    }


def main() -> None:
    graph = Graph.load()
    questions = questions_of(graph)
    ship(questions)
    rows = [*of_wordings(graph, questions), *of_marked(graph)]
    held = fitted(rows)
    (faq.FOLDER / faq.MATCHER).write_text(json.dumps(held, indent=1) + "\n")
    faq.matcher.cache_clear()
    seal(faq.FOLDER)
    print(f"{len(faq.entries())} entries, {len(questions)} wordings: {held['weights']}")


if __name__ == "__main__":
    main()
