"""A store with pairs about drawn lesions, and reviewers who say what they are told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from dermiq.lesion.drawn import drawn_examples
from dermiq.review.sets.sources import import_pairs
from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.review.types import PairView

GOOD, BAD = "It looks benign.", "The lesion grew or bled, so it is melanoma."
PLAIN = QueueSettings(repeat_share=0, gold_share=0)


def write_rows(folder: Path, count: int, **columns: Mapping[int, Any]) -> Path:
    """`pairs.jsonl`, each pair about an image of its own, with what the columns say of some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [pixels for _, pixels in drawn_examples()]
    rows = []
    for i in range(count):
        Image.fromarray(drawn[i % len(drawn)][i:, :]).save(folder / f"{i}.png")  # no two alike
        told = {name: values[i] for name, values in columns.items() if i in values}
        rows.append({"images": [f"{i}.png"], "prompt": f"What is lesion {i}?", "chosen": GOOD, "rejected": BAD, **told})
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "pairs.jsonl"


def store_of(
    tmp_path: Path, count: int, *, overlap: int = 2, margin: float | None = None, **columns: Mapping[int, Any]
) -> Store:
    """With `margin` the graph prefers the good answer of every pair by so much."""
    if margin is not None:
        scores = {"chosen": {"form": margin}, "rejected": {"form": 0.0}}
        columns |= {"margin": dict.fromkeys(range(count), margin), "scores": dict.fromkeys(range(count), scores)}
    store = Store.open(tmp_path / "review", queue=PLAIN)
    import_pairs(store, write_rows(tmp_path / "data", count, **columns), by="ana", overlap=overlap)
    return store


def by_number(store: Store) -> list[PairView]:
    """In the order of the file."""
    return sorted(store.pairs(), key=lambda view: int(view.case.question.split()[-1].rstrip("?")))


def review(store: Store, reviewer: str, said: Mapping[int, str]) -> None:
    """Goes through the queue: "good", "bad", "tie", "both_bad" or "skip" by the pair's number; others are skipped."""
    store.add_reviewer(reviewer, by="ana")
    while (found := store.next(reviewer)) is not None:
        showing, view = found
        number = int(view.case.question.split()[-1].rstrip("?"))
        choice = said.get(number, "skip")
        if choice in ("good", "bad"):
            wanted = GOOD if choice == "good" else BAD
            choice = showing.shown("first" if view.first.text == wanted else "second")
        store.vote(showing.id, choice, reviewer=reviewer, key=f"{reviewer}:{showing.id}", seconds=9.0)  # type: ignore[arg-type]


def adjudicate(store: Store, pair: PairView, choice: str, by: str = "ana") -> None:
    store.add_reviewer(by, by="ana")
    store.set_role(by, "admin", by="ana")
    showing, _ = store.adjudication(pair.pair.id, by)
    shown = (
        choice if choice in ("tie", "both_bad") else showing.shown("first" if pair.first.text == choice else "second")
    )
    store.vote(showing.id, shown, reviewer=by, key=f"adjudication:{showing.id}")  # type: ignore[arg-type]
