"""Weights that were rounded to few levels, found again in their fp32 copy: exact, in a seventh of the bytes.

The base language model's file holds blocks of 32 weights as 4-bit numbers with a scale and a least value (Q4_1), and
the vocabulary's as 8-bit numbers with a scale (Q8_0). Converted to fp32 the levels are all still there. Knows NumPy
only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 32  # weights that share a scale
LEVELS = 16
MIDDLE = LEVELS // 2  # what the product takes off each 4-bit number
TOLERANCE = 0.02  # of a step: how far a weight may lie from its level


@dataclass(frozen=True, eq=False)
class Packed:
    """W (N, K) = scale * (number - 8) + offset, block by block."""

    numbers: np.ndarray  # (N, K / 32, 16) uint8: two 4-bit numbers a byte, the even weight's in the low half
    scales: np.ndarray  # (N, K / 32) float32
    offsets: np.ndarray  # (N, K / 32) float32

    @property
    def shape(self) -> tuple[int, int]:
        rows, blocks, _ = self.numbers.shape
        return rows, blocks * BLOCK

    def weights(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, K) float32 of these rows."""
        packed = self.numbers[rows]
        both = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], BLOCK)
        values = self.scales[rows][..., None] * (both.astype(np.float32) - MIDDLE) + self.offsets[rows][..., None]
        found: np.ndarray = values.reshape(len(packed), -1)
        return found


def four_bits(weights: np.ndarray) -> Packed | None:
    """W (N, K) in float32 as 4-bit blocks; None where its blocks have more levels, or uneven ones."""
    rows, columns = weights.shape
    if columns % BLOCK:
        return None
    blocks = weights.reshape(-1, BLOCK)
    least, most = blocks.min(1, keepdims=True), blocks.max(1, keepdims=True)
    for levels in (LEVELS - 1, LEVELS - 2):  # a block that uses fewer is rare, and then kept as it is
        step = (most - least) / levels
        even = np.where(step > 0, step, 1)
        numbers = np.rint((blocks - least) / even)
        if np.abs((blocks - least) / even - numbers).max() <= TOLERANCE:
            break
    else:
        return None
    return _packed(numbers.astype(np.uint8), step, least + MIDDLE * step, (rows, columns))


def eight_bits(weights: np.ndarray) -> tuple[Packed, Packed] | None:
    """W (N, K) in float32 as the sum of two packed matrices, the high and the low halves of 8-bit blocks without a
    least value; None where its blocks are not of that kind.
    """
    rows, columns = weights.shape
    if columns % BLOCK:
        return None
    blocks = weights.reshape(-1, BLOCK)
    step = np.abs(blocks).max(1, keepdims=True) / 127
    even = np.where(step > 0, step, 1)
    numbers = np.rint(blocks / even)
    if not np.abs(blocks / even - numbers).max() <= TOLERANCE:  # nor where a number is none
        return None
    shifted = (numbers + 128).astype(np.uint8)
    low, high = shifted & 15, shifted >> 4  # W = step * (16 high + low - 128)
    none = np.zeros_like(step)
    return (
        _packed(high, 16 * step, none, (rows, columns)),
        _packed(low, step, MIDDLE * step, (rows, columns)),
    )


def _packed(numbers: np.ndarray, scales: np.ndarray, offsets: np.ndarray, shape: tuple[int, int]) -> Packed:
    rows, columns = shape
    pairs = numbers.reshape(rows, columns // BLOCK, BLOCK // 2, 2)
    return Packed(
        numbers=pairs[..., 0] | (pairs[..., 1] << 4),
        scales=scales.reshape(rows, -1).astype(np.float32),
        offsets=offsets.reshape(rows, -1).astype(np.float32),
    )
