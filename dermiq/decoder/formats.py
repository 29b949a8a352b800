"""What is read, in one place: the consultation, the review and the training's zip files all take these."""

from __future__ import annotations

from dermiq.language import N_

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""Pillow's names; it tries no other decoder. HEIC has a library of its own, and DICOM one that is an extra."""

ACCEPTED = N_("JPEG, PNG, WebP, TIFF, BMP or HEIC")

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"),
    *(".heic", ".heif", ".hif"),
)
"""Of files that hold them, in lower case. What a file is, its first bytes say and never its name."""

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = {
    "JPEG": 210_000_000,  # decoded in reduced scale: 16320 x 12240 is the largest of today's phones
    "MPO": 210_000_000,
    "HEIF": 52_000_000,  # 8064 x 6048 and 8160 x 6144 of today's phones
    "PNG": 52_000_000,
    "TIFF": 52_000_000,
    "BMP": 52_000_000,
    "DICOM": 26_000_000,  # uncompressed; there are no more in `MAX_BYTES`
    "WEBP": 13_000_000,  # its decoder keeps four copies of the whole picture
}
"""By Pillow's name of the format: what the memory of a decoding process has room for, as measured."""

MIN_SIDE = 48  # px
MAX_SIDE = 2048  # px, larger images are scaled down to it
MAX_ASPECT = 8  # longest side by shortest side

BUDGET_S = 4.0  # of the clock, to decode one file
PATIENCE_S = 8.0  # ... where the computer is so busy that the process had less than a sixth of a core
BUDGET_BYTES = 280_000_000  # more than a decoding process has at rest
