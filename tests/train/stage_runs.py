"""Tiny runs of the stages, for their tests: data, options and a run to its end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from dermiq.knowledge import Graph
from dermiq.lesion.drawn import drawn_examples
from dermiq.types import CLASSES
from tests.tiny import save_tiny
from train.config import StageConfig
from train.runs import registry as runs
from train.runs import worker
from train.scoring.proxy import PARTS, Question, Scored

CONFIGS = Path(runs.__file__).parents[1] / "configs"
PIPELINE = CONFIGS / "pipeline_embedded_cpu.yaml"
CHOSEN, REJECTED = "It looks benign.", "The lesion grew or bled, so it is melanoma."


def make_table(folder: Path, rows: int = 8, **columns: list[Any]) -> Path:
    """A CSV with real (drawn) lesions."""
    folder.mkdir(exist_ok=True)
    drawn = _drawn()
    named = {"label": [CLASSES[i % 3] for i in range(rows)], "lesion_id": [f"L{i}" for i in range(rows)], **columns}
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *named])
        for i in range(rows):
            Image.fromarray(drawn[i % len(drawn)][i:, :]).save(folder / f"{i}.png")  # no two alike
            writer.writerow([f"{i}.png", *(values[i] for values in named.values())])
    return folder / "table.csv"


@lru_cache(maxsize=1)
def _drawn() -> list[np.ndarray]:
    """At half their size: most of a tiny run's time goes into reading them."""
    return [np.asarray(Image.fromarray(pixels).reduce(2)) for _, pixels in drawn_examples()]


def write_pairs(file: Path, count: int = 6, **columns: Sequence[Any]) -> Path:
    """Pairs about real (drawn) lesions beside the file."""
    make_table(file.parent, rows=count)
    pairs = [
        {
            "images": [f"{i}.png"],
            "prompt": f"What is lesion {i}?",
            "chosen": CHOSEN,
            "rejected": REJECTED,
            **{name: values[i] for name, values in columns.items()},
        }
        for i in range(count)
    ]
    file.write_text("\n".join(json.dumps(pair) for pair in pairs))
    return file


def tiny_options(folder: Path) -> dict[str, Any]:
    """Of a stage's config: a tiny model and its data in `folder`, and no more than a test needs."""
    return {
        "model": str(save_tiny("llava", folder / "model")),
        "device": "cpu",
        "data": (str(make_table(folder / "data")),),
        "learning_rate": 1e-2,
        "lora_rank": 4,
        "save_every": 0,
        "threads": 1,
        "window": False,
    }


def train(config: StageConfig, root: Path, name: str) -> runs.Run:
    folder = runs.create(config, name=name, root=root)
    status = worker.work(folder)
    assert status.state in ("finished", "stopped"), status.reason
    return runs.load_run(folder)


def weights_of(run: runs.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "final" / "model.safetensors")


def assert_moved(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> None:
    assert before.keys() == after.keys()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert not any("vision" in name for name in moved)


def drawn_score(graph: Graph, text: str, question: Question, *, ended: bool = True) -> Scored:
    """In place of `train.scoring.proxy.score`: a tiny model writes noise, whose form is drawn so that there are
    pairs."""
    form = float(np.random.default_rng(list(text.encode())).integers(0, 3) / 2)
    return Scored(text, True, {**dict.fromkeys(PARTS), "accuracy": 1.0, "correctness": 1.0, "form": form})
