"""What is read, in one place: the consultation, the review and the training's zip files all take these."""

from __future__ import annotations

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF")
"""Pillow's names; it tries no other decoder."""

ACCEPTED = "JPEG, PNG, WebP, TIFF, BMP or HEIC"

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"),
    *(".heic", ".heif", ".hif"),
)
"""Of files that hold them, in lower case. What a file is, its first bytes say and never its name."""
