"""What the specialist's networks see of labelled images, kept in a file, since it is the slow part of every choice.

looks = looks_of(specialist, table, Path("runs/looks/ham10000_val.safetensors"))
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from dermiq.specialist.reader import Specialist, transformer_views, window_box
from dermiq.specialist.vit import ViTNet
from dermiq.types import CLASSES


@dataclass(frozen=True, eq=False)
class Looks:
    """Of N images, before any calibration; see `dermiq.specialist.reader.Look`."""

    logits: Tensor  # (N, 3, 7)
    structures: Tensor  # (N, 5)
    features: Tensor  # (N, 1280)
    impressions: Tensor  # (N, 768)

    def joined(self, other: Looks) -> Looks:
        return Looks(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))


def pixels_of(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def labels_of(table: pd.DataFrame) -> Tensor:
    """(N,) indices into CLASSES."""
    return torch.tensor([CLASSES.index(code) for code in table["label"]])


def look_at(specialist: Specialist, paths: Sequence[str]) -> Looks:
    """As a consultation looks at each."""
    found, started = [], time.perf_counter()
    for number, path in enumerate(paths, start=1):
        look = specialist.look(pixels_of(path))
        found.append((look.logits, look.structures, look.features, look.impression))
        if number % 100 == 0:
            left = (time.perf_counter() - started) / number * (len(paths) - number)
            print(f"{number} of {len(paths)} images, about {left / 60:.0f} min left", file=sys.stderr, flush=True)
    return Looks(*(torch.stack(column) for column in zip(*found, strict=True)))


def looks_of(specialist: Specialist, table: pd.DataFrame, kept: Path) -> Looks:
    """Of the table's images, from the file where it holds them."""
    if not kept.is_file():
        looks = look_at(specialist, list(table["image"]))
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in vars(looks).items()}, kept)
    return Looks(**load_file(kept))


@torch.inference_mode()
def impressions_of(net: ViTNet, table: pd.DataFrame, *, size: int, extents: float, smallest: float) -> Tensor:
    """The transformer's features (N, 768) of windows around the outlines that were drawn, without mirrors."""
    net.eval()
    parts = []
    for start in range(0, len(table), 32):
        rows = table.iloc[start : start + 32]
        views = []
        for image, mask in zip(rows["image"], rows["mask"], strict=True):
            pixels = pixels_of(image)
            drawn = Image.open(mask).convert("L").resize(pixels.shape[1::-1], Image.Resampling.NEAREST)
            top, left, bottom, right = window_box(np.asarray(drawn) > 127, extents=extents, smallest=smallest)
            views.append(transformer_views(pixels[top:bottom, left:right], size)[:1])
        parts.append(net(torch.cat(views)).features)
        if start % 1600 == 0:
            print(f"{start} of {len(table)} images", file=sys.stderr, flush=True)
    return torch.cat(parts)
