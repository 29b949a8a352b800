"""sRGB to CIE Lab (D65) and back to linear light, in numpy. Knows nothing of lesions."""

from __future__ import annotations

import numpy as np

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=np.float32,
)
_WHITE = np.array([0.95047, 1.0, 1.08883], dtype=np.float32)  # D65
_LEVELS = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_from_srgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 sRGB (..., 3) to linear light, 0 to 1."""
    light: np.ndarray = _LINEAR[pixels]
    return light


def lab_from_linear(linear: np.ndarray) -> np.ndarray:
    """Linear RGB (..., 3) to Lab: L 0 to 100, a and b around 0."""
    xyz = (linear @ _TO_XYZ.T) / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(np.maximum(xyz, 1e-9)), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lab_from_srgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 sRGB (..., 3) to Lab."""
    return lab_from_linear(linear_from_srgb(pixels))


def linear_from_lab(lab: np.ndarray) -> np.ndarray:
    """Lab (..., 3) to linear RGB, not clipped."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f**3 > 0.008856, f**3, (f - 16 / 116) / 7.787) * _WHITE
    return xyz @ np.linalg.inv(_TO_XYZ).T
