"""Three lesions drawn by code, for the empty page: no patient's image can ship with the project.

They are drawings, and whoever shows them must say so.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 450, 600  # px
SKIN = (226, 186, 164)  # sRGB
SEED = 20

Point = tuple[float, float]


def drawn_examples() -> tuple[tuple[str, np.ndarray], ...]:
    """Title and (450, 600, 3) uint8 pixels of each drawing; the same on every call."""
    return (
        ("Drawing: an even, symmetric brown spot", _even_spot()),
        ("Drawing: an irregular spot of several colours", _irregular_spot()),
        ("Drawing: a red, lobulated spot", _red_lobules()),
    )


def _even_spot() -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), SKIN)
    for share, colour in ((1.0, (176, 122, 88)), (0.86, (150, 96, 64)), (0.6, (136, 84, 54))):
        _fill(image, _blob(radius=112 * share, stretch=1.12), colour)
    return _finish(image, blur=5)


def _irregular_spot() -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), SKIN)
    whole = _blob(radius=118, stretch=1.3, waves=((2, 0.12, 0.4), (3, 0.14, 1.1), (5, 0.09, 0.2), (9, 0.05, 2.0)))
    _fill(image, whole, (168, 112, 74))
    _fill(image, _blob(centre=(255, 235), radius=62, stretch=1.2, waves=((3, 0.2, 0.5), (5, 0.1, 1.0))), (98, 56, 36))
    _fill(image, _blob(centre=(230, 245), radius=30, waves=((3, 0.25, 2.0),)), (26, 20, 22))
    _fill(
        image, _blob(centre=(365, 215), radius=40, stretch=1.3, waves=((2, 0.2, 1.0), (4, 0.1, 0.0))), (104, 118, 134)
    )
    _fill(image, _blob(centre=(350, 285), radius=38, waves=((3, 0.2, 0.0),)), (188, 70, 72))
    return _finish(image, blur=4)


def _red_lobules() -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), SKIN)
    _fill(image, _blob(radius=104, stretch=1.1, waves=((6, 0.05, 0.0),)), (206, 132, 122))
    for index in range(6):
        angle = index * np.pi / 3 + 0.3
        centre = (300 + 56 * float(np.cos(angle)), 225 + 52 * float(np.sin(angle)))
        _fill(image, _blob(centre=centre, radius=30, waves=((3, 0.06, float(index)),)), (172, 34, 52))
    _fill(image, _blob(radius=32), (160, 26, 46))
    return _finish(image, blur=4)


def _blob(
    *,
    centre: Point = (WIDTH / 2, HEIGHT / 2),
    radius: float,
    stretch: float = 1.0,
    waves: tuple[tuple[int, float, float], ...] = (),
) -> list[Point]:
    """A closed curve: a circle, stretched in x, with waves of (number, share of the radius, phase)."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    length = radius * (1 + sum(share * np.sin(number * angle + phase) for number, share, phase in waves))
    x, y = centre[0] + stretch * length * np.cos(angle), centre[1] + length * np.sin(angle)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _fill(image: Image.Image, curve: list[Point], colour: tuple[int, int, int]) -> None:
    ImageDraw.Draw(image).polygon(curve, fill=colour)


def _finish(image: Image.Image, *, blur: float) -> np.ndarray:
    """Soft edges, the skin's gentle unevenness, fine grain."""
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
    random = np.random.default_rng(SEED)
    patches = random.normal(0, 1, (HEIGHT // 30, WIDTH // 30)).astype(np.float32)
    uneven = np.asarray(Image.fromarray(patches).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    pores = random.normal(0, 1, (HEIGHT // 2, WIDTH // 2)).astype(np.float32)
    texture = np.asarray(Image.fromarray(pores).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    grain = random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    noisy = soft + (1.6 * uneven + 2.2 * texture + 1.2 * grain)[..., None]
    pixels: np.ndarray = np.rint(noisy.clip(0, 255)).astype(np.uint8)
    return pixels
