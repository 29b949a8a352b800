"""Measured weaknesses of an image. Knows no model and no page.

Every limit is stated beside the share of ordinary training images that it flags.
"""

from __future__ import annotations

import numpy as np

from dermiq.types import QualityIssue


def assess_quality(pixels: np.ndarray, outline: np.ndarray | None = None) -> tuple[QualityIssue, ...]:
    """What is weak about an image (H, W, 3) uint8; with an outline (H, W) bool, about the lesion in it."""
    return ()
