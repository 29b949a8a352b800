"""Measured weaknesses of an image. Knows no model and no page.

The limits were set on the training splits (HAM10000 dermoscopy and PAD-UFES-20
photographs, at most `WORK_SIDE` px), so that each flags about one ordinary image in two
hundred or fewer; `severe` limits lie where none of them is.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dermiq.lesion.colour import lab_from_srgb
from dermiq.lesion.frame import lesion_box, main_region, resize_to
from dermiq.types import QualityIssue

WORK_SIDE = 200  # px, about what the readers see: blur finer than this does not matter
MIN_CROP = 96  # px, a lesion's surroundings are judged alone from this shortest side

SHARPNESS_LIMIT, SHARPNESS_SEVERE = 31.0, 14.0  # % of local variation; training images: 0.5th percentile 31
BRIGHT_PART_LIMIT, BRIGHT_PART_SEVERE = 40.0, 15.0  # L*; training images: 0.5th percentile 57, photographs 46
WHITE_LIMIT, WHITE_SEVERE = 5.0, 50.0  # % of pixels; training images: maximum 4.2
GREY_LIMIT = 3.0  # of 255, mean spread of the channels; no training image is below
DIAMETER_LIMIT, DIAMETER_SEVERE = 24.0, 8.0  # px
CUT_LIMIT = 10.0  # % of the outline's length
NO_LESION_LIMIT = 0.05  # % of the frame
CLEAR = 250  # of 255


def assess_quality(pixels: np.ndarray, outline: np.ndarray | None = None) -> tuple[QualityIssue, ...]:
    """What is weak about an image (H, W, 3) uint8; with an outline (H, W) bool, about the lesion in it.

    Without an outline nothing is said about the lesion's size or place.
    """
    region = None if outline is None else main_region(outline)
    view = _surroundings(pixels, region)
    longest = max(view.shape[:2])
    if longest > WORK_SIDE:
        height, width = (max(1, round(side * WORK_SIDE / longest)) for side in view.shape[:2])
        view = resize_to(np.ascontiguousarray(view), (width, height))
    lightness = lab_from_srgb(view)[..., 0]
    issues = [_dark(lightness), _overexposed(view), _blurred(lightness), _greyscale(view)]
    if region is not None:
        issues += _lesion_issues(region)
    return tuple(issue for issue in issues if issue is not None)


def _surroundings(pixels: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    box = None if region is None else lesion_box(region, margin=0.5)
    if box is None:
        return pixels
    crop = pixels[box.slices]
    return crop if min(crop.shape[:2]) >= MIN_CROP else pixels


# --- the picture ------------------------------------------------------------------------


def sharpness(lightness: np.ndarray) -> float:
    """How much of the local variation a 9 px average takes away, in %; the blurrier of the two directions.

    After Crete et al. 2007. A sharp picture loses most of it, a blurred one had none to lose.
    Independent of contrast.
    """
    smooth = ndimage.gaussian_filter(lightness, 0.7)  # noise is not sharpness
    kept = []
    for axis in (0, 1):
        before = np.abs(np.diff(smooth, axis=axis))
        after = np.abs(np.diff(ndimage.uniform_filter1d(smooth, 9, axis=axis), axis=axis))
        total = float(before.sum())
        flat = total < 1e-3 * before.size
        kept.append(0.0 if flat else 100 * float(np.maximum(0, before - after).sum()) / total)
    return min(kept)


def _blurred(lightness: np.ndarray) -> QualityIssue | None:
    value = sharpness(lightness)
    if value >= SHARPNESS_LIMIT:
        return None
    return QualityIssue(
        code="blurred",
        message=f"The image is blurred (sharpness {value:.0f} %, usual from {SHARPNESS_LIMIT:.0f} %): focus again.",
        value=round(value, 2),
        limit=SHARPNESS_LIMIT,
        unit="% of local variation",
        severe=value < SHARPNESS_SEVERE,
    )


def _dark(lightness: np.ndarray) -> QualityIssue | None:
    value = float(np.percentile(lightness, 90))
    if value >= BRIGHT_PART_LIMIT:
        return None
    return QualityIssue(
        code="dark",
        message=(
            f"The image is dark (its bright parts have a lightness of {value:.0f}, usual from "
            f"{BRIGHT_PART_LIMIT:.0f} of 100): use more light."
        ),
        value=round(value, 2),
        limit=BRIGHT_PART_LIMIT,
        unit="L*",
        severe=value < BRIGHT_PART_SEVERE,
    )


def _overexposed(view: np.ndarray) -> QualityIssue | None:
    value = 100 * float((view >= CLEAR).all(axis=-1).mean())
    if value <= WHITE_LIMIT:
        return None
    return QualityIssue(
        code="overexposed",
        message=(
            f"{value:.0f} % of the image is pure white (usual up to {WHITE_LIMIT:.0f} %): use less light or avoid "
            "the reflection."
        ),
        value=round(value, 2),
        limit=WHITE_LIMIT,
        unit="% of pixels",
        severe=value > WHITE_SEVERE,
    )


def _greyscale(view: np.ndarray) -> QualityIssue | None:
    value = float((view.max(axis=-1).astype(np.int16) - view.min(axis=-1)).mean())
    if value >= GREY_LIMIT:
        return None
    return QualityIssue(
        code="greyscale",
        message=f"The image has no colour (channel spread {value:.1f} of 255): use a colour photograph.",
        value=round(value, 2),
        limit=GREY_LIMIT,
        unit="of 255",
    )


# --- the lesion in it -------------------------------------------------------------------


def _lesion_issues(region: np.ndarray) -> list[QualityIssue | None]:
    area = int(region.sum())
    share = 100 * area / region.size
    if share < NO_LESION_LIMIT:
        return [
            QualityIssue(
                code="no_lesion",
                message="No lesion was found in the image: take a close-up with one lesion in the middle.",
                value=round(share, 3),
                limit=NO_LESION_LIMIT,
                unit="% of the frame",
                severe=True,
            )
        ]
    return [_small(area), _cut_by_frame(region)]


def _small(area: int) -> QualityIssue | None:
    diameter = float(np.sqrt(4 * area / np.pi))
    if diameter >= DIAMETER_LIMIT:
        return None
    return QualityIssue(
        code="small",
        message=(
            f"The lesion is only {diameter:.0f} pixels wide (enough from {DIAMETER_LIMIT:.0f}): move closer or use "
            "the original file."
        ),
        value=round(diameter, 1),
        limit=DIAMETER_LIMIT,
        unit="px",
        severe=diameter < DIAMETER_SEVERE,
    )


def _cut_by_frame(region: np.ndarray) -> QualityIssue | None:
    boundary = region & ~ndimage.binary_erosion(region)
    frame = np.zeros_like(boundary)
    edge = max(1, round(0.005 * max(region.shape)))  # px: an outline stops a little before the edge
    frame[:edge] = frame[-edge:] = True
    frame[:, :edge] = frame[:, -edge:] = True
    value = 100 * float((boundary & frame).sum()) / max(1, int(boundary.sum()))
    if value <= CUT_LIMIT:
        return None
    return QualityIssue(
        code="cut_by_frame",
        message=f"The frame cuts {value:.0f} % of the lesion's border: move back so that skin surrounds it.",
        value=round(value, 1),
        limit=CUT_LIMIT,
        unit="% of the border",
    )
