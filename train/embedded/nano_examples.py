"""The images of Nano's training, as the frozen towers see them, with what is known and measured of each."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from dermiq.lesion import default_reference, measure_findings
from dermiq.lesion.frame import main_region
from dermiq.specialist.reader import Specialist, lesion_window, squash
from dermiq.types import CLASSES, Finding, PatientContext
from dermiq.vlm.tower import DermTowerPair, DermTowerPairConfig
from train.cases.data import context_of
from train.embedded.looks import pixels_of


@dataclass(frozen=True, eq=False)
class Example:
    """One training image: features of its views, and what is known and measured of it."""

    features: Tensor  # (views, cells, 2560) half
    label: str
    context: PatientContext
    findings: tuple[Finding, ...]
    probabilities: dict[str, float]


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Tensors, and beside them, in the file's head, what is known of each as JSON. Whole or not at all."""
    known = [
        {
            "label": example.label,
            "context": asdict(example.context),
            "findings": [asdict(finding) for finding in example.findings],
            "probabilities": example.probabilities,
        }
        for example in examples
    ]
    part = path.with_suffix(".part")
    tensors = {str(number): example.features.contiguous() for number, example in enumerate(examples)}
    save_file(tensors, part, metadata={"known": json.dumps(known)})
    os.replace(part, path)


def read_examples(path: Path) -> list[Example]:
    with safe_open(path, framework="pt") as held:
        return [
            Example(
                features=held.get_tensor(str(number)),
                label=known["label"],
                context=PatientContext(**{**known["context"], "symptoms": tuple(known["context"]["symptoms"])}),
                findings=tuple(Finding(**finding) for finding in known["findings"]),
                probabilities=known["probabilities"],
            )
            for number, known in enumerate(json.loads(held.metadata()["known"]))
        ]


@torch.inference_mode()
def prepare(table: pd.DataFrame, specialist: Specialist, *, views: int, seed: int, measured: int = 0) -> list[Example]:
    """Outline by the specialist, cells of the lesion window and of varied copies, findings of `measured` rows.

    A single view is read as a consultation reads it, over mirrored copies; several are read once each.
    """
    rng, size, calibration = np.random.default_rng(seed), specialist.calibration.image_size, specialist.calibration
    reference, examples, towers = default_reference(), [], towers_of(specialist)
    for number, row in enumerate(table.sample(frac=1, random_state=seed).itertuples(index=False)):
        pixels = pixels_of(str(row.image))
        logits, maps, _ = specialist.net(_layout(squash(pixels, size)[None]))
        probability = F.interpolate(maps.sigmoid()[None], size=pixels.shape[:2], mode="bilinear")[0, 0].numpy()
        outline = main_region(probability > 0.5)
        copies = []
        for view in range(views):
            extents = calibration.window * (1.0 if view == 0 else rng.uniform(0.85, 1.25))
            window = lesion_window(pixels, outline, extents=extents, smallest=calibration.smallest_window)
            copies.append(squash(window if view == 0 else vary(window, rng), size))
        batch = _layout(torch.stack(copies))
        cells = towers(batch).last_hidden_state if views == 1 else towers.maps(batch).flatten(2).transpose(1, 2)
        examples.append(
            Example(
                features=cells.half(),
                label=str(row.label),
                context=context_of(row),
                findings=measure_findings(pixels, outline, reference=reference)
                if number < measured and outline.any()
                else (),
                probabilities=dict(zip(CLASSES, logits[0].softmax(0).tolist(), strict=True)),
            )
        )
    return examples


def towers_of(specialist: Specialist) -> DermTowerPair:
    """The towers of both looks, as DermIQ-Nano has them."""
    pair = DermTowerPair(DermTowerPairConfig(image_size=specialist.calibration.image_size))
    pair.far, pair.near = specialist.net.tower, specialist.near_net.tower
    pair.eval()
    return pair


class Teacher:
    """The specialist's calibrated probabilities for cells of one window, read by both networks' heads.

    The heads are linear over mean cells, so that this holds for mixed cells too.
    """

    def __init__(self, specialist: Specialist) -> None:
        heads = [specialist.net.classifier, specialist.near_net.classifier]
        self.weight = torch.cat([head.weight for head in heads], dim=1).detach() / 2
        self.bias = sum(head.bias for head in heads).detach() / 2 + torch.tensor(specialist.calibration.offsets)
        self.temperature = specialist.calibration.temperature

    def __call__(self, features: Tensor) -> Tensor:
        """(B, cells, 2560) -> (B, 7)."""
        logits = features.float().mean(1) @ self.weight.T + self.bias
        shares: Tensor = (logits / self.temperature).softmax(1)
        return shares


def mix(features: Tensor, rng: random.Random, *, share: float = 0.6) -> Tensor:
    """Some images' cells (B, cells, C) mixed in any proportion with those of another image of the batch.

    The towers know their training images by heart; between them lie the doubtful cases from which a student learns
    its teacher's function (Beyer et al. 2022, arXiv 2106.05237).
    """
    kept = torch.tensor([rng.random() if rng.random() < share else 1.0 for _ in range(len(features))])
    kept = kept.to(features.dtype).view(-1, 1, 1)
    return kept * features + (1 - kept) * features.roll(1, 0)


def _layout(batch: Tensor) -> Tensor:
    return batch.contiguous(memory_format=torch.channels_last)


def vary(window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mirrored or turned copy in another light."""
    turned = np.rot90(window, int(rng.integers(4)))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    light = turned.astype(np.float32) * rng.uniform(0.9, 1.1) * rng.uniform(0.96, 1.04, 3)
    return light.clip(0, 255).astype(np.uint8)


def choose_rows(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """All rows of the rare classes, and as many of the commonest as fit."""
    common = table["label"].value_counts().idxmax()
    rest = table[table["label"] != common]
    extra = table[table["label"] == common]
    return pd.concat([rest, extra.sample(max(min(len(extra), count - len(rest)), 1), random_state=seed)])


def class_weights(labels: Tensor) -> Tensor:
    """Weights by which each class is drawn in proportion to the square root of its count."""
    counts = torch.bincount(labels, minlength=len(CLASSES)).clamp(min=1).float()
    return counts[labels] ** -0.5


def batches(examples: Sequence[Example], count: int, rng: random.Random) -> Iterator[list[Example]]:
    weights = class_weights(torch.tensor([CLASSES.index(e.label) for e in examples])).tolist()
    while True:
        yield rng.choices(examples, weights, k=count)


def pick_views(examples: Sequence[Example], rng: random.Random) -> Tensor:
    return torch.stack([e.features[rng.randrange(len(e.features))] for e in examples])
