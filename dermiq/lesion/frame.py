"""Where the lesion lies in its image: its box, its main piece, and sizes. Knows no findings and no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage


@dataclass(frozen=True)
class Box:
    """Pixel rows `top:bottom` and columns `left:right` of an image."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def main_region(outline: np.ndarray) -> np.ndarray:
    """The largest connected piece of an outline, with its holes filled, (H, W) bool."""
    labels, count = ndimage.label(outline)
    if count == 0:
        return np.zeros(outline.shape, dtype=bool)
    region = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    around, _ = ndimage.label(np.pad(~region, 1, constant_values=True))
    filled: np.ndarray = around[1:-1, 1:-1] != around[0, 0]  # a hole is what the outside does not reach
    return filled


def lesion_box(outline: np.ndarray, *, margin: float) -> Box | None:
    """The outline's box, wider by `margin` of its longest side, kept inside the image; None without outline."""
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    if rows.size == 0:
        return None
    grow = round(margin * max(rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]))
    return Box(
        top=max(0, int(rows[0]) - grow),
        bottom=min(outline.shape[0], int(rows[-1]) + 1 + grow),
        left=max(0, int(columns[0]) - grow),
        right=min(outline.shape[1], int(columns[-1]) + 1 + grow),
    )


def resize_to(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 image or float mask to (width, height), averaging when it shrinks."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
