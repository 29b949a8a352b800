"""Findings on shapes whose numbers are known, and the reference that they are read against."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import dermiq.lesion as room
from dermiq.errors import DataError
from dermiq.lesion import FINDING_CODES, FindingsReference, default_reference, drawn_examples, measure_findings
from dermiq.lesion.measure import COLOURS
from dermiq.types import CLASSES

SKIN = (222, 184, 162)
BROWN = (150, 100, 66)
HEIGHT, WIDTH = 240, 320


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    return y - HEIGHT / 2, x - WIDTH / 2


def disc(radius: float = 60) -> np.ndarray:
    y, x = grid()
    return np.hypot(y, x) < radius


def ellipse() -> np.ndarray:
    y, x = grid()
    return np.hypot(y / 40, x / 80) < 1


def half_moon() -> np.ndarray:
    y, x = grid()
    return (np.hypot(y, x) < 80) & (np.hypot(y, x - 55) > 75)


def comma() -> np.ndarray:
    """A disc with a bent tail: symmetric about nothing."""
    y, x = grid()
    return (np.hypot(y - 10, x + 30) < 48) | (np.hypot(y + 40, x - 20) < 30) | (np.hypot(y + 30, x - 60) < 22)


def star() -> np.ndarray:
    y, x = grid()
    return np.hypot(y, x) < 62 * (1 + 0.2 * np.sin(9 * np.arctan2(y, x)))


def painted(outline: np.ndarray, colour: tuple[int, int, int] = BROWN) -> np.ndarray:
    pixels = np.empty((*outline.shape, 3), np.uint8)
    pixels[:] = SKIN
    pixels[outline] = colour
    return pixels


def values(pixels: np.ndarray, outline: np.ndarray) -> dict[str, float]:
    return {finding.code: finding.value for finding in measure_findings(pixels, outline)}


def texts(pixels: np.ndarray, outline: np.ndarray) -> dict[str, str]:
    return {finding.code: finding.text for finding in measure_findings(pixels, outline)}


def irregular() -> tuple[np.ndarray, np.ndarray]:
    """The drawn irregular lesion under an outline found by its colour."""
    pixels = drawn_examples()[1][1]
    distance = np.abs(ndimage.gaussian_filter(pixels.astype(float), (3, 3, 0)) - pixels[:20].mean((0, 1))).sum(axis=-1)
    return pixels, distance > 45


# --- shape ------------------------------------------------------------------------------


def test_a_disc_is_symmetric_round_and_smooth() -> None:
    found = values(painted(disc()), disc())
    assert found["asymmetry"] < 2
    assert found["border_irregularity"] < 1.01
    assert found["elongation"] == pytest.approx(1, abs=0.02)
    assert found["relative_size"] == pytest.approx(100 * np.pi * 60**2 / (HEIGHT * WIDTH), rel=0.01)
    said = texts(painted(disc()), disc())
    assert (said["asymmetry"], said["border_irregularity"]) == ("symmetric", "smooth border")
    assert said["elongation"] == "round shape"
    assert "30 % of its diagonal" in said["relative_size"]


def test_an_ellipse_is_elongated_and_smooth() -> None:
    found = values(painted(ellipse()), ellipse())
    assert found["elongation"] == pytest.approx(2, rel=0.03)
    assert found["asymmetry"] < 2
    assert found["border_irregularity"] < 1.015


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (disc, "symmetric"),
        (ellipse, "symmetric"),
        (half_moon, "asymmetric about one axis"),
        (comma, "asymmetric about both axes"),
    ],
)
def test_asymmetry_in_words(shape: Callable[[], np.ndarray], text: str) -> None:
    assert texts(painted(shape()), shape())["asymmetry"] == text


def test_a_star_has_an_irregular_border() -> None:
    assert values(painted(star()), star())["border_irregularity"] > 1.3
    assert texts(painted(star()), star())["border_irregularity"] == "irregular border"


def test_only_the_largest_piece_counts_and_holes_are_filled() -> None:
    outline = disc()
    outline[5:12, 5:12] = True
    outline[115:125, 155:165] = False
    assert values(painted(disc()), outline) == values(painted(disc()), disc())


def test_a_cut_border_is_straight_not_ragged() -> None:
    outline = np.roll(disc(), -130, axis=1)
    outline[:, WIDTH // 2 :] = False
    assert values(painted(outline), outline)["border_irregularity"] < 1.08


@pytest.mark.parametrize("area", [0, 9])
def test_too_small_an_outline_gives_no_findings(area: int) -> None:
    outline = np.zeros((HEIGHT, WIDTH), bool)
    outline.flat[:area] = True
    assert measure_findings(painted(outline), outline) == ()


# --- colour -----------------------------------------------------------------------------

PAINTS = {
    "white": (232, 226, 222),
    "red": (196, 60, 70),
    "light_brown": (176, 124, 86),
    "dark_brown": (98, 58, 36),
    "blue_gray": (104, 116, 130),
    "black": (28, 22, 22),
}


@pytest.mark.parametrize("name", COLOURS)
def test_each_colour_is_seen_alone(name: str) -> None:
    found = values(painted(disc(), PAINTS[name]), disc())
    assert found[f"colour_{name}"] > 85, found
    others = [other for other in COLOURS if other != name and found[f"colour_{other}"] >= 5]
    assert found["colour_count"] == 1 + len(others)
    assert set(others) <= {"light_brown"}, others  # the soft edge between dark and skin


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize(
    "light", [(0.75, 0.75, 0.75), (1.0, 0.86, 0.8), (0.9, 0.85, 1.05)], ids=["dim", "warm", "blue"]
)
def test_colours_survive_another_light(name: str, light: tuple[float, float, float]) -> None:
    pixels = painted(disc(), PAINTS[name]).astype(float) / 255
    lit = np.rint(255 * (pixels**2.2 * light).clip(0, 1) ** (1 / 2.2)).astype(np.uint8)
    assert values(lit, disc())[f"colour_{name}"] > 80


def test_colours_are_judged_beside_dark_skin() -> None:
    pixels = painted(disc(), (60, 38, 26))
    pixels[~disc()] = (122, 84, 62)
    found = values(pixels, disc())
    assert found["colour_light_brown"] + found["colour_dark_brown"] > 85


def test_dark_frame_corners_are_not_skin() -> None:
    pixels, (y, x) = painted(disc(70)), grid()
    pixels[np.hypot(y, x) > 118] = 8
    assert values(pixels, disc(70))["colour_light_brown"] == pytest.approx(
        values(painted(disc(70)), disc(70))["colour_light_brown"], abs=3
    )


def test_a_grey_image_has_shape_but_no_colour() -> None:
    pixels = np.repeat(painted(disc()).mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    codes = set(values(pixels, disc()))
    assert codes == {"asymmetry", "border_irregularity", "relative_size", "elongation"}


def test_two_halves_of_different_colour_are_varied_and_unevenly_placed() -> None:
    pixels, (y, x) = painted(disc()), grid()
    pixels[disc() & (x > 15) & (y > -20)] = PAINTS["black"]
    even, halves = values(painted(disc()), disc()), values(pixels, disc())
    assert halves["colour_variegation"] > even["colour_variegation"] + 8
    assert halves["colour_asymmetry"] > even["colour_asymmetry"] + 8
    assert texts(pixels, disc())["colour_asymmetry"] == "colours unevenly placed"


# --- robustness -------------------------------------------------------------------------

TOLERANCE = {
    "border_irregularity": 0.03,
    "elongation": 0.06,
    "relative_size": 1.5,
    "asymmetry": 1.5,
    "colour_count": 0,
    "colour_asymmetry": 1.2,
}


def assert_close(one: dict[str, float], other: dict[str, float], leave_out: tuple[str, ...] = ()) -> None:
    for code, value in one.items():
        if code not in leave_out:
            assert other[code] == pytest.approx(value, abs=TOLERANCE.get(code, 3.0)), code


@pytest.mark.parametrize("scale", [0.5, 2, 3])
def test_findings_do_not_depend_on_resolution(scale: float) -> None:
    pixels, outline = irregular()
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    scaled = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    mask = np.asarray(Image.fromarray(outline.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)) > 0.5
    assert_close(values(pixels, outline), values(scaled, mask))


@pytest.mark.parametrize("degrees", [30, 45, 90, 137])
def test_findings_do_not_depend_on_rotation(degrees: int) -> None:
    pixels, outline = irregular()
    fill = tuple(int(level) for level in pixels[5, 5])
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=fill)
    mask = Image.fromarray(outline.astype(np.float32)).rotate(degrees, Image.Resampling.BILINEAR)
    assert_close(values(pixels, outline), values(np.asarray(turned), np.asarray(mask) > 0.5))


def test_a_square_is_symmetric_however_it_lies() -> None:
    pixels, square = painted(disc()), np.zeros((HEIGHT, WIDTH), bool)
    square[70:170, 110:210] = True
    for degrees in (0, 10, 22, 40):
        mask = np.asarray(Image.fromarray(square.astype(np.float32)).rotate(degrees, Image.Resampling.BILINEAR)) > 0.5
        assert values(pixels, mask)["asymmetry"] < 5, degrees


def test_findings_are_repeatable() -> None:
    pixels, outline = irregular()
    assert measure_findings(pixels, outline) == measure_findings(pixels, outline)


def test_the_input_is_not_changed() -> None:
    pixels, outline = irregular()
    before = pixels.copy(), outline.copy()
    measure_findings(pixels, outline)
    assert (pixels == before[0]).all()
    assert (outline == before[1]).all()


def test_every_finding_says_what_it_is() -> None:
    pixels, outline = irregular()
    found = measure_findings(pixels, outline, reference=default_reference())
    assert tuple(finding.code for finding in found) == FINDING_CODES
    for finding in found:
        assert finding.unit
        assert finding.definition.endswith(".")
        assert "{" not in finding.definition
        assert finding.text[0].islower()
        assert finding.percentile is not None
        assert 0 <= finding.percentile <= 100
        assert tuple(finding.likelihood_ratios) == CLASSES
        assert finding.n is not None


# --- the reference ----------------------------------------------------------------------


def test_the_shipped_reference_is_sane() -> None:
    reference = default_reference()
    assert reference.codes == FINDING_CODES
    assert reference.n == sum(reference.class_n.values()) > 5000
    assert "HAM10000" in reference.dataset
    assert reference.licence == "CC BY-NC 4.0"
    for code, found in reference.findings.items():
        assert len(found.quantiles) == 101
        assert list(found.quantiles) == sorted(found.quantiles), code
        assert list(found.edges) == sorted(set(found.edges)), code
        assert sum(found.bin_n) == reference.n, code
        for name in CLASSES:
            pairs = zip(found.ratios[name], found.intervals[name], strict=True)
            assert all(0 < low < ratio < high for ratio, (low, high) in pairs), (code, name)


def test_the_reference_agrees_with_the_clinic() -> None:
    reference = default_reference()
    assert reference.likelihood_ratios("colour_asymmetry", 15.0)[0]["mel"] > 2
    assert reference.likelihood_ratios("border_irregularity", 1.2)[0]["mel"] > 1.5
    assert reference.likelihood_ratios("colour_black", 30.0)[0]["mel"] > 1.5
    assert reference.likelihood_ratios("colour_red", 60.0)[0]["vasc"] > 3
    assert reference.likelihood_ratios("asymmetry", 3.0)[0]["nv"] > 1


def test_percentiles_meet_the_quantiles() -> None:
    reference = default_reference()
    quantiles = reference.findings["asymmetry"].quantiles
    assert reference.percentile("asymmetry", quantiles[90]) == pytest.approx(90, abs=1)
    assert reference.percentile("asymmetry", -1) == 0
    assert reference.percentile("asymmetry", 99) == 100
    middle = (quantiles[40] + quantiles[41]) / 2
    assert 40 <= reference.percentile("asymmetry", middle) <= 41
    assert 30 < reference.percentile("colour_white", 0.0) < 60, "ties are counted half"


def test_reference_survives_json_and_refuses_damage(tmp_path: Path) -> None:
    reference = default_reference()
    assert FindingsReference.from_json(json.loads(json.dumps(asdict(reference)))) == reference
    broken = tmp_path / "reference.json"
    broken.write_text('{"dataset": "x"}', encoding="utf-8")
    for path in (broken, tmp_path / "absent.json"):
        with pytest.raises(DataError, match=r"train\.embedded\.findings"):
            FindingsReference.load(path)


def test_public_face() -> None:
    assert set(room.__all__) == {
        "ACCEPTED",
        "FINDING_CODES",
        "IMAGE_SUFFIXES",
        "MAX_BYTES",
        "MAX_PIXELS",
        "Box",
        "FindingsReference",
        "assess_quality",
        "default_reference",
        "drawn_examples",
        "lesion_box",
        "measure_findings",
        "read_lesion",
        "read_told",
    }
    assert all(hasattr(room, name) for name in room.__all__)
