"""Quality issues on spoilt versions of drawings, and the helpers that place a lesion in its frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dermiq.lesion import assess_quality, drawn_examples, lesion_box
from dermiq.lesion.drawn import drawn_examples as again

DRAWING = drawn_examples()[1][1]


def codes(pixels: np.ndarray, outline: np.ndarray | None = None) -> dict[str, bool]:
    return {issue.code: issue.severe for issue in assess_quality(pixels, outline)}


def spot(
    height: int = 450, width: int = 600, *, centre: tuple[int, int] = (225, 300), radius: float = 90
) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - centre[0], x - centre[1]) < radius


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (sigma, sigma, 0))


@pytest.mark.parametrize("index", range(3))
def test_drawings_have_no_issue(index: int) -> None:
    assert assess_quality(drawn_examples()[index][1]) == ()
    assert assess_quality(drawn_examples()[index][1], spot()) == ()


@pytest.mark.parametrize(
    ("spoil", "code", "severe"),
    [
        (lambda p: blurred(p, 5), "blurred", False),
        (lambda p: blurred(p, 22), "blurred", True),
        (lambda p: np.full_like(p, 150) + np.array([0, 20, 40], np.uint8), "blurred", True),
        (lambda p: (p * 0.3).astype(np.uint8), "dark", False),
        (lambda p: (p * 0.1).astype(np.uint8), "dark", True),
        (lambda p: np.where(spot(radius=130)[..., None], 255, p).astype(np.uint8), "overexposed", False),
        (lambda p: (p.astype(int) + 160).clip(0, 255).astype(np.uint8), "overexposed", True),
        (lambda p: np.repeat(p.mean(-1, keepdims=True), 3, -1).astype(np.uint8), "greyscale", False),
    ],
    ids=["blur", "heavy blur", "nothing", "dim", "black", "reflection", "burnt out", "grey"],
)
def test_spoilt_pictures_are_named(spoil: Callable[[np.ndarray], np.ndarray], code: str, severe: bool) -> None:
    assert codes(spoil(DRAWING)).get(code) is severe


@pytest.mark.parametrize("scale", [1, 2])
def test_blur_does_not_depend_on_resolution(scale: int) -> None:
    size = 600 * scale, 450 * scale
    large = np.asarray(Image.fromarray(DRAWING).resize(size, Image.Resampling.BICUBIC))
    assert "blurred" not in codes(large)
    assert "blurred" in codes(blurred(large, 9 * scale))


@pytest.mark.parametrize(
    ("outline", "code", "severe"),
    [
        (np.zeros((450, 600), bool), "no_lesion", True),
        (spot(radius=3), "no_lesion", True),
        (spot(radius=9), "small", False),
        (spot(centre=(225, 20)), "cut_by_frame", False),
    ],
    ids=["none", "a few pixels", "small", "cut"],
)
def test_the_lesion_in_the_frame(outline: np.ndarray, code: str, severe: bool) -> None:
    assert codes(DRAWING, outline).get(code) is severe


def test_without_outline_nothing_is_said_of_the_lesion() -> None:
    assert not {"no_lesion", "small", "cut_by_frame"} & set(codes(blurred(DRAWING, 9)))


def test_a_message_carries_its_number() -> None:
    (issue,) = assess_quality(blurred(DRAWING, 9))
    assert f"{issue.value:.0f} %" in issue.message
    assert issue.value < issue.limit
    assert issue.message.endswith(".")


def test_drawings_are_labelled_and_repeatable() -> None:
    for (title, pixels), (_, same) in zip(drawn_examples(), again(), strict=True):
        assert title.startswith("Drawing")
        assert pixels.shape == (450, 600, 3)
        assert pixels.dtype == np.uint8
        assert (pixels == same).all()


def test_the_box_of_an_outline() -> None:
    outline = np.zeros((100, 200), bool)
    outline[40:60, 100:140] = True
    box = lesion_box(outline, margin=0.25)
    assert box is not None
    assert (box.top, box.bottom, box.left, box.right) == (30, 70, 90, 150)
