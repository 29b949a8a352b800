"""Measured findings: numbers with units, definitions and a phrase for prose.

Turns `measure`'s numbers into `Finding`s and, given a `FindingsReference`, adds the
percentile among benign lesions and the likelihood ratios. Knows no model, no graph and
no page. A finding that cannot be judged is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dermiq.lesion.measure import (
    COLOURS,
    RING,
    STANDARD_SKIN,
    Colours,
    Shape,
    balanced_lab,
    is_grey,
    measure_colours,
    measure_shape,
    prepare,
)
from dermiq.lesion.reference import FindingsReference
from dermiq.types import Finding

ASYMMETRIC = 10.0  # % of area not covered by its mirror image; about four nevi in five stay below on both axes
COLOUR_ASYMMETRIC = 10.0  # Lab units; the benign 84th percentile
IRREGULAR = (1.06, 1.10)  # slightly, clearly; the benign 75th and 90th percentiles
VARIED = (10.0, 15.0)  # Lab units: moderately, strongly; the benign 25th and 86th percentiles
ELONGATED = (1.25, 1.75)  # oval, elongated
CONTRAST = (12.0, 30.0)  # Lab units: faint below, strong above
PRESENT = 5.0  # % of the lesion's area from which a colour counts as present

COLOUR_WORDS = {
    "white": "white",
    "red": "red",
    "light_brown": "light brown",
    "dark_brown": "dark brown",
    "blue_gray": "blue-gray",
    "black": "black",
}
COLOUR_RULES = {
    "white": "lighter than the surrounding skin (L above {white:.0f}) and nearly without colour (chroma below 16)",
    "red": "redder than the surrounding skin (a above {red:.0f}, hue below 30 degrees)",
    "light_brown": "L from 42 to {brown:.0f} without being red or blue-gray",
    "dark_brown": "L from 20 to 42 without being red or blue-gray",
    "blue_gray": "L from 20 to 66, b below a fifth of L and a below 16",
    "black": "L below 20",
}
NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six")
FINDING_CODES: tuple[str, ...] = (
    "asymmetry",
    "colour_asymmetry",
    "border_irregularity",
    "colour_count",
    *(f"colour_{name}" for name in COLOURS),
    "colour_variegation",
    "relative_size",
    "elongation",
    "contrast",
)


def measure_findings(
    pixels: np.ndarray,
    outline: np.ndarray,
    *,
    reference: FindingsReference | None = None,
    image_index: int = 0,
) -> tuple[Finding, ...]:
    """The findings of one image (H, W, 3) uint8 under its outline (H, W) bool, in `FINDING_CODES` order.

    Empty where the outline is too small to measure. A greyscale image gets no colour findings.
    """
    prepared = prepare(pixels, outline)
    if prepared is None:
        return ()
    lab = balanced_lab(prepared)
    shape = measure_shape(prepared, lab)
    found = list(_shape_findings(shape))
    if not is_grey(prepared):
        found += _colour_findings(shape, measure_colours(prepared, lab))
    found.sort(key=lambda finding: FINDING_CODES.index(finding.code))
    return tuple(_with_reference(replace(finding, image_index=image_index), reference) for finding in found)


def _with_reference(finding: Finding, reference: FindingsReference | None) -> Finding:
    if reference is None or finding.code not in reference.codes:
        return finding
    ratios, n = reference.likelihood_ratios(finding.code, finding.value)
    percentile = reference.percentile(finding.code, finding.value)
    return replace(finding, percentile=percentile, likelihood_ratios=ratios, n=n)


# --- shape ------------------------------------------------------------------------------


def _shape_findings(shape: Shape) -> Iterator[Finding]:
    yield Finding(
        code="asymmetry",
        name="Asymmetry",
        value=round(shape.asymmetry, 2),
        unit="% of area",
        text=asymmetry_text(shape.asymmetry_axes),
        definition=(
            "Share of the lesion's area that its mirror image does not cover, mean of two perpendicular axes through "
            "the centre, placed where it is least (starting from the principal axes); an axis counts as asymmetric "
            f"from {ASYMMETRIC:.0f} %."
        ),
    )
    yield Finding(
        code="border_irregularity",
        name="Border irregularity",
        value=round(shape.border_irregularity, 4),
        unit="ratio",
        text=_graded(shape.border_irregularity, IRREGULAR, ("smooth", "slightly irregular", "irregular")) + " border",
        definition=(
            "Length of the smoothed outline divided by the length of the ellipse with the same area and elongation "
            "(1 is a smooth ellipse); an edge cut by the frame counts as straight."
        ),
    )
    yield Finding(
        code="relative_size",
        name="Relative size",
        value=round(shape.area_share, 2),
        unit="% of the frame",
        text=(
            f"covers {_percent(shape.area_share)} of the frame, largest diameter {_percent(shape.diameter_share)} "
            "of its diagonal"
        ),
        definition="The outline's area as a share of the frame; not a length, since the scale is unknown.",
    )
    yield Finding(
        code="elongation",
        name="Elongation",
        value=round(shape.elongation, 3),
        unit="ratio",
        text=_graded(shape.elongation, ELONGATED, ("round", "oval", "elongated")) + " shape",
        definition="Length of the outline's longer principal axis divided by the shorter (1 is round).",
    )


def asymmetry_text(axes: tuple[float, float]) -> str:
    count = sum(axis >= ASYMMETRIC for axis in axes)
    return ("symmetric", "asymmetric about one axis", "asymmetric about both axes")[count]


# --- colour -----------------------------------------------------------------------------

_RELATIVE = (
    f"after the skin around the lesion ({100 * RING[0]:.0f} to {100 * RING[1]:.0f} % of its diameter away) was "
    "balanced to a standard skin colour"
)


def _colour_findings(shape: Shape, colours: Colours) -> Iterator[Finding]:
    yield Finding(
        code="colour_asymmetry",
        name="Colour asymmetry",
        value=round(shape.colour_asymmetry, 2),
        unit="Lab units",
        text="colours unevenly placed" if shape.colour_asymmetry >= COLOUR_ASYMMETRIC else "colours evenly placed",
        definition=f"Mean colour difference between mirrored points, axes placed where it is least, {_RELATIVE}.",
    )
    present = [name for name in COLOURS if colours.shares[name] >= PRESENT]
    yield Finding(
        code="colour_count",
        name="Number of colours",
        value=float(len(present)),
        unit="of 6",
        text=_count_text(len(present)),
        definition=(
            f"How many of white, red, light brown, dark brown, blue-gray and black cover at least {PRESENT:.0f} % "
            "of the lesion."
        ),
    )
    for name in COLOURS:
        yield _colour_share(name, colours.shares[name])
    yield Finding(
        code="colour_variegation",
        name="Colour variegation",
        value=round(colours.variegation, 2),
        unit="Lab units",
        text=_graded(colours.variegation, VARIED, ("even", "moderately varied", "strongly varied")) + " colour",
        definition=f"Standard deviation of Lab colour inside the lesion, reflections left out, {_RELATIVE}.",
    )
    yield Finding(
        code="contrast",
        name="Contrast to the skin",
        value=round(colours.contrast, 2),
        unit="Lab units",
        text=_graded(colours.contrast, CONTRAST, ("faint", "moderate", "strong")) + " contrast to the skin",
        definition=f"Colour difference between the lesion's median and the surrounding skin's, {_RELATIVE}.",
    )


def _colour_share(name: str, share: float) -> Finding:
    word = COLOUR_WORDS[name]
    rule = COLOUR_RULES[name].format(white=STANDARD_SKIN[0] + 4, red=STANDARD_SKIN[1] + 10, brown=STANDARD_SKIN[0] - 7)
    return Finding(
        code=f"colour_{name}",
        name=f"Colour: {word}",
        value=round(share, 2),
        unit="% of area",
        text=_share_text(word, share),
        definition=f"Share of the lesion's area that is {rule}, {_RELATIVE}; present from {PRESENT:.0f} %.",
    )


def _share_text(word: str, share: float) -> str:
    if share >= PRESENT:
        return f"{word} areas ({_percent(share)})"
    return f"hardly any {word} areas ({_percent(share)})" if share >= 1 else f"no {word} areas"


def _count_text(count: int) -> str:
    if count == 0:
        return "no colour apart from the skin's"
    return f"{NUMBER_WORDS[count]} colour" + ("s" if count > 1 else "")


def _graded(value: float, limits: tuple[float, float], words: tuple[str, str, str]) -> str:
    return words[sum(value >= limit for limit in limits)]


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 1 else "under 1 %"
