"""The numbers behind the findings: shape from the outline, colours from the pixels inside it.

The lesion is first brought to one size (`CANONICAL` px square root of area), so that a
number does not depend on how many pixels the photograph has. Knows no wording and no
reference population.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from dermiq.lesion.colour import lab_from_linear, lab_from_srgb, linear_from_lab, linear_from_srgb
from dermiq.lesion.frame import lesion_box, main_region, resize_to

CANONICAL = 72.0  # px, square root of the lesion's area in the working copy
SMOOTHING = 1.5  # px in the working copy, about 2 % of the equivalent diameter
MAX_ENLARGEMENT = 6.0
MIN_AREA = 24  # px of the original outline; below it nothing is measured
RING = (0.08, 0.45)  # of the equivalent diameter: the skin that colours are compared with
AXIS_STEPS = 12  # pairs of perpendicular axes tried, 7.5 degrees apart

STANDARD_SKIN = np.array([70.0, 13.0, 15.0])  # Lab that the surrounding skin is balanced to
GAIN_LIMITS = (0.4, 4.0)  # of the white balance, a channel
GREY = 3.0  # of 255, mean spread of the channels below which a picture counts as greyscale
HIGHLIGHT = 250  # of 255 in all channels: a reflection, not a colour

COLOURS = ("white", "red", "light_brown", "dark_brown", "blue_gray", "black")


@dataclass(frozen=True)
class Prepared:
    """The lesion at working size with its surroundings."""

    pixels: np.ndarray  # (h, w, 3) uint8
    soft: np.ndarray  # (h, w) float32 0 to 1, the smoothed outline
    frame_area: int  # px of the whole original image
    frame_diagonal: float  # px
    area: int  # px of the original outline
    scale: float  # working px per original px

    @cached_property
    def inside(self) -> np.ndarray:
        return self.soft >= 0.5

    @cached_property
    def points(self) -> np.ndarray:
        """(N, 2) row and column of the lesion's pixels."""
        return np.argwhere(self.inside).astype(np.float32)


def prepare(pixels: np.ndarray, outline: np.ndarray) -> Prepared | None:
    """Crop and scale; None where the outline is too small to measure."""
    height, width = outline.shape
    coarse = max(1.0, max(height, width) / 512)  # the largest piece is found on a smaller copy
    if coarse > 1:
        size = round(width / coarse), round(height / coarse)
        pixels = resize_to(pixels, size)
        outline = resize_to(outline.astype(np.float32), size) >= 0.5
    region = main_region(outline)
    area = int(region.sum())
    box = lesion_box(region, margin=0.5)
    if area < MIN_AREA or box is None:
        return None
    scale = min(CANONICAL / np.sqrt(area), MAX_ENLARGEMENT)
    crop, mask = pixels[box.slices], region[box.slices].astype(np.float32)
    size = max(8, round(crop.shape[1] * scale)), max(8, round(crop.shape[0] * scale))
    pad = 8  # px outside the frame count as not lesion: a cut border is a straight one
    soft = np.pad(resize_to(mask, size), pad)
    soft = ndimage.gaussian_filter(soft, SMOOTHING, truncate=3)
    crop = np.pad(resize_to(np.ascontiguousarray(crop), size), ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    if (soft >= 0.5).sum() < MIN_AREA:
        return None
    return Prepared(
        pixels=crop,
        soft=soft,
        frame_area=region.size,
        frame_diagonal=float(np.hypot(*region.shape)),
        area=area,
        scale=float(scale),
    )


# --- shape ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    asymmetry: float  # % of area, mean of the two axes
    asymmetry_axes: tuple[float, float]  # % of area about each axis
    colour_asymmetry: float  # Lab units
    border_irregularity: float  # ratio, 1 is a smooth ellipse
    elongation: float  # ratio, 1 is round
    area_share: float  # % of the frame
    diameter_share: float  # % of the frame's diagonal


def measure_shape(prepared: Prepared, lab: np.ndarray) -> Shape:
    points = prepared.points
    centre = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((points - centre).T))
    corners = points[ConvexHull(points).vertices]
    angle = float(np.arctan2(vectors[0, 1], vectors[1, 1]))
    axes, colour = _asymmetry(prepared, lab, centre=centre, angle=angle)
    return Shape(
        asymmetry=sum(axes) / 2,
        asymmetry_axes=axes,
        colour_asymmetry=colour,
        border_irregularity=_border_irregularity(prepared.soft, values),
        elongation=float(np.sqrt(values[1] / max(values[0], 1e-6))),
        area_share=100 * prepared.area / prepared.frame_area,
        diameter_share=100 * (_diameter(corners) + 1) / prepared.scale / prepared.frame_diagonal,
    )


def _border_irregularity(soft: np.ndarray, variances: np.ndarray) -> float:
    """Length of the smoothed outline over that of the ellipse with its area and elongation.

    The length is the mean over the level lines of `soft` (co-area formula), so no contour
    is traced and no pixel is jagged. The ellipse's length is Ramanujan's.
    """
    length = float(np.hypot(*np.gradient(soft)).sum())
    minor, major = np.sqrt(np.maximum(variances, 1e-6)).astype(float)
    scale = np.sqrt(float(soft.sum()) / (np.pi * major * minor))
    ellipse = np.pi * scale * (3 * (major + minor) - np.sqrt((3 * major + minor) * (major + 3 * minor)))
    return max(1.0, length / float(ellipse))


def _asymmetry(
    prepared: Prepared, lab: np.ndarray, *, centre: np.ndarray, angle: float
) -> tuple[tuple[float, float], float]:
    """The perpendicular pair of axes with the least asymmetry, as the ABCD rule places them.

    The pairs are turned from the principal axes in equal steps, so that a round outline,
    whose principal axes are arbitrary, gives the same number however it lies.
    """
    offsets = prepared.points - centre
    inside_lab = lab[prepared.inside]
    pairs, colours = [], []
    for step in range(AXIS_STEPS):
        turned = angle + step * np.pi / 2 / AXIS_STEPS
        lost, colour = zip(
            *(_mirror(prepared, lab, inside_lab, offsets, centre, turned + quarter) for quarter in (0, np.pi / 2)),
            strict=True,
        )
        pairs.append((lost[0], lost[1]))
        colours.append(sum(colour) / 2)
    return min(pairs, key=sum), min(colours)


def _mirror(
    prepared: Prepared, lab: np.ndarray, inside_lab: np.ndarray, offsets: np.ndarray, centre: np.ndarray, angle: float
) -> tuple[float, float]:
    """Share of the area whose mirror point is outside, in %, and the mean colour difference of those inside."""
    normal = np.array([np.cos(angle), -np.sin(angle)], dtype=np.float32)  # (row, column), across the axis
    mirrored = offsets - 2 * np.outer(offsets @ normal, normal) + centre
    rows, columns = np.rint(mirrored).astype(np.intp).T
    height, width = prepared.inside.shape
    valid = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    kept = valid & prepared.inside[rows, columns]
    if not kept.any():
        return 100.0, 0.0
    difference = inside_lab[kept] - lab[rows[kept], columns[kept]]
    return 100 * float(1 - kept.mean()), float(np.sqrt((difference**2).sum(axis=1)).mean())


def _diameter(corners: np.ndarray) -> float:
    return float(np.sqrt(((corners[:, None] - corners[None]) ** 2).sum(axis=-1)).max())


# --- colour -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Colours:
    shares: dict[str, float]  # % of the lesion's area, keys COLOURS
    variegation: float  # Lab units, spread inside the lesion
    contrast: float  # Lab units, lesion against the skin around it


def is_grey(prepared: Prepared) -> bool:
    """Whether the picture has no colour to judge."""
    pixels = prepared.pixels.astype(np.int16)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1)).mean() < GREY)


def balanced_lab(prepared: Prepared) -> np.ndarray:
    """Lab after the surrounding skin was balanced to `STANDARD_SKIN`, (h, w, 3)."""
    skin = _surrounding_skin(prepared)
    gains = linear_from_lab(STANDARD_SKIN) / np.maximum(linear_from_lab(skin), 1e-3)
    linear = linear_from_srgb(prepared.pixels) * gains.clip(*GAIN_LIMITS).astype(np.float32)
    return lab_from_linear(np.minimum(linear, 1.2))


def _surrounding_skin(prepared: Prepared) -> np.ndarray:
    """Median Lab of the ring around the lesion, without dark frame corners and hairs."""
    diameter = np.sqrt(4 * prepared.inside.sum() / np.pi)
    distance = ndimage.distance_transform_edt(~prepared.inside)
    ring = (distance > RING[0] * diameter) & (distance < RING[1] * diameter)
    if ring.sum() < 50:  # the lesion fills the frame: its own brightest fifth is the nearest thing to skin
        lab = lab_from_srgb(prepared.pixels[prepared.inside])
        bright = lab[:, 0] >= np.percentile(lab[:, 0], 80)
    else:
        lab = lab_from_srgb(prepared.pixels[ring])
        bright = lab[:, 0] >= 0.7 * np.percentile(lab[:, 0], 75)
    return np.asarray(np.median(lab[bright], axis=0), np.float64)


def measure_colours(prepared: Prepared, lab: np.ndarray) -> Colours:
    inside = lab[prepared.inside]
    matte = (prepared.pixels[prepared.inside] < HIGHLIGHT).any(axis=1)
    inside = inside[matte] if matte.sum() >= MIN_AREA else inside
    spread = np.sqrt(inside.var(axis=0).sum())
    contrast = np.sqrt(((np.median(inside, axis=0) - STANDARD_SKIN) ** 2).sum())
    masks = _colour_masks(inside)
    return Colours(
        shares={name: 100 * float(masks[name].mean()) for name in COLOURS},
        variegation=float(spread),
        contrast=float(contrast),
    )


def _colour_masks(lab: np.ndarray) -> dict[str, np.ndarray]:
    """One colour a pixel at most; pixels like the surrounding skin have none."""
    lightness, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    black = lightness < 20
    white = ~black & (lightness > STANDARD_SKIN[0] + 4) & (chroma < 16)
    left = ~black & ~white
    blue_gray = left & (lightness < 66) & (b < 0.2 * lightness) & (a < 16)
    left &= ~blue_gray
    red = left & (a > STANDARD_SKIN[1] + 10) & (hue < 30)
    left &= ~red & (lightness < STANDARD_SKIN[0] - 7)
    dark_brown = left & (lightness < 42)
    return {
        "white": white,
        "red": red,
        "light_brown": left & ~dark_brown,
        "dark_brown": dark_brown,
        "blue_gray": blue_gray,
        "black": black,
    }
