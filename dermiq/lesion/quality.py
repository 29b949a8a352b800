"""Measured weaknesses of an image. Knows no model and no page.

The limits were set on the training splits (HAM10000 dermoscopy and PAD-UFES-20
photographs, at most `WORK_SIDE` px), so that each flags about one ordinary image in two
hundred or fewer; `severe` limits lie where none of them is.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    issues = list(_of_picture(view))
    if region is not None:
        issues += _of_lesion(region)
    return tuple(issues)


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


def _of_picture(view: np.ndarray) -> Iterator[QualityIssue]:
    lightness = lab_from_srgb(view)[..., 0]
    bright = float(np.percentile(lightness, 90))
    if bright < BRIGHT_PART_LIMIT:
        message = (
            f"The image is dark (its bright parts have a lightness of {bright:.0f}, usual from "
            f"{BRIGHT_PART_LIMIT:.0f} of 100): use more light."
        )
        severe = bright < BRIGHT_PART_SEVERE
        yield QualityIssue("dark", message, round(bright, 2), BRIGHT_PART_LIMIT, "L*", severe)
    white = 100 * float((view >= CLEAR).all(axis=-1).mean())
    if white > WHITE_LIMIT:
        message = (
            f"{white:.0f} % of the image is pure white (usual up to {WHITE_LIMIT:.0f} %): use less light or avoid "
            "the reflection."
        )
        yield QualityIssue("overexposed", message, round(white, 2), WHITE_LIMIT, "% of pixels", white > WHITE_SEVERE)
    sharp = sharpness(lightness)
    if sharp < SHARPNESS_LIMIT:
        message = f"The image is blurred (sharpness {sharp:.0f} %, usual from {SHARPNESS_LIMIT:.0f} %): focus again."
        severe = sharp < SHARPNESS_SEVERE
        yield QualityIssue("blurred", message, round(sharp, 2), SHARPNESS_LIMIT, "% of local variation", severe)
    spread = float((view.max(axis=-1).astype(np.int16) - view.min(axis=-1)).mean())
    if spread < GREY_LIMIT:
        message = f"The image has no colour (channel spread {spread:.1f} of 255): use a colour photograph."
        yield QualityIssue("greyscale", message, round(spread, 2), GREY_LIMIT, "of 255")


# --- the lesion in it -------------------------------------------------------------------


def _of_lesion(region: np.ndarray) -> Iterator[QualityIssue]:
    area = int(region.sum())
    share = 100 * area / region.size
    if share < NO_LESION_LIMIT:
        message = "No lesion was found in the image: take a close-up with one lesion in the middle."
        yield QualityIssue("no_lesion", message, round(share, 3), NO_LESION_LIMIT, "% of the frame", severe=True)
        return
    diameter = float(np.sqrt(4 * area / np.pi))
    if diameter < DIAMETER_LIMIT:
        message = (
            f"The lesion is only {diameter:.0f} pixels wide (enough from {DIAMETER_LIMIT:.0f}): move closer or use "
            "the original file."
        )
        yield QualityIssue("small", message, round(diameter, 1), DIAMETER_LIMIT, "px", diameter < DIAMETER_SEVERE)
    cut = _cut_by_frame(region)
    if cut > CUT_LIMIT:
        message = f"The frame cuts {cut:.0f} % of the lesion's border: move back so that skin surrounds it."
        yield QualityIssue("cut_by_frame", message, round(cut, 1), CUT_LIMIT, "% of the border")


def _cut_by_frame(region: np.ndarray) -> float:
    """How much of the outline lies at the image's edge, in %."""
    boundary = region & ~ndimage.binary_erosion(region)
    frame = np.zeros_like(boundary)
    edge = max(1, round(0.005 * max(region.shape)))  # px: an outline stops a little before the edge
    frame[:edge] = frame[-edge:] = True
    frame[:, :edge] = frame[:, -edge:] = True
    return 100 * float((boundary & frame).sum()) / max(1, int(boundary.sum()))
