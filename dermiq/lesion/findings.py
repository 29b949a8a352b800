"""Measured findings: numbers with units, definitions and a phrase for prose.

Turns `measure`'s numbers into `Finding`s, named and defined as in `findings.tsv`, and, given a `FindingsReference`,
adds the percentile among benign lesions and the likelihood ratios. Knows no model, no graph and no page. A finding that
cannot be judged is left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

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


@cache
def described() -> dict[str, tuple[str, str, str]]:
    """Code -> name, unit and definition, from `findings.tsv`."""
    limits = {
        "asymmetric": f"{ASYMMETRIC:.0f}",
        "present": f"{PRESENT:.0f}",
        "white": f"{STANDARD_SKIN[0] + 4:.0f}",
        "red": f"{STANDARD_SKIN[1] + 10:.0f}",
        "brown": f"{STANDARD_SKIN[0] - 7:.0f}",
        "relative": f"after the skin around the lesion ({100 * RING[0]:.0f} to {100 * RING[1]:.0f} % of its diameter "
        "away) was balanced to a standard skin colour",
    }
    with Path(__file__).with_name("findings.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["code"]: (row["name"], row["unit"], row["definition"].format(**limits)) for row in rows}


def measure_findings(
    pixels: np.ndarray, outline: np.ndarray, *, reference: FindingsReference | None = None
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
    return tuple(_with_reference(finding, reference) for finding in found)


def _with_reference(finding: Finding, reference: FindingsReference | None) -> Finding:
    if reference is None or finding.code not in reference.codes:
        return finding
    ratios, n = reference.likelihood_ratios(finding.code, finding.value)
    percentile = reference.percentile(finding.code, finding.value)
    return replace(finding, percentile=percentile, likelihood_ratios=ratios, n=n)


def _finding(code: str, value: float, text: str) -> Finding:
    name, unit, definition = described()[code]
    return Finding(code, name, value, unit, text, definition)


def _shape_findings(shape: Shape) -> Iterator[Finding]:
    border, elongation = shape.border_irregularity, shape.elongation
    smooth = _graded(border, IRREGULAR, ("smooth", "slightly irregular", "irregular"))
    size = f"covers {_percent(shape.area_share)} of the frame, largest diameter {_percent(shape.diameter_share)}"
    yield _finding("asymmetry", round(shape.asymmetry, 2), asymmetry_text(shape.asymmetry_axes))
    yield _finding("border_irregularity", round(border, 4), f"{smooth} border")
    yield _finding("relative_size", round(shape.area_share, 2), f"{size} of its diagonal")
    form = _graded(elongation, ELONGATED, ("round", "oval", "elongated"))
    yield _finding("elongation", round(elongation, 3), f"{form} shape")


def asymmetry_text(axes: tuple[float, float]) -> str:
    count = sum(axis >= ASYMMETRIC for axis in axes)
    return ("symmetric", "asymmetric about one axis", "asymmetric about both axes")[count]


def _colour_findings(shape: Shape, colours: Colours) -> Iterator[Finding]:
    placed = "unevenly" if shape.colour_asymmetry >= COLOUR_ASYMMETRIC else "evenly"
    yield _finding("colour_asymmetry", round(shape.colour_asymmetry, 2), f"colours {placed} placed")
    present = sum(share >= PRESENT for share in colours.shares.values())
    yield _finding("colour_count", float(present), _count_text(present))
    for name in COLOURS:
        code, share = f"colour_{name}", colours.shares[name]
        yield _finding(code, round(share, 2), _share_text(described()[code][0].removeprefix("Colour: "), share))
    varied = _graded(colours.variegation, VARIED, ("even", "moderately varied", "strongly varied"))
    yield _finding("colour_variegation", round(colours.variegation, 2), f"{varied} colour")
    strong = _graded(colours.contrast, CONTRAST, ("faint", "moderate", "strong"))
    yield _finding("contrast", round(colours.contrast, 2), f"{strong} contrast to the skin")


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
