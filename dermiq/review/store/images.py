"""Images of queued cases: files named by their content, in one folder. Knows no table.

Only what shows the lesion is kept: a file with a camera's or a person's notes in it (place, name, date) is not taken as
it is; `prepared` makes one without.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from dermiq.decoder import MAX_SIDE
from dermiq.decoder.pool import decode
from dermiq.errors import DataError, ImageError
from dermiq.review.types import ImageRef

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
HARMLESS = frozenset(
    (
        *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "progressive"),
        *("progression", "gamma", "srgb", "chromaticity", "interlace", "aspect", "transparency"),
        *("background", "loop", "timestamp", "duration"),
    )
)
"""What Pillow may find in a file that says nothing of a person or a place."""


def prepared(data: bytes) -> tuple[ImageRef, bytes]:
    """The file as it is where it holds nothing but the picture, else a PNG of the same pixels. ImageError: unreadable.

    A picture larger than a consultation reads is scaled down as there. Decoded first in a process of its own: only what
    has passed there is opened here.
    """
    pixels = decode(data)
    if _suffix(data) is None:
        data = png_of(Image.fromarray(pixels))
    return reference(data), data


def png_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def reference(data: bytes) -> ImageRef:
    """ImageError for what is no image, or carries notes."""
    if _suffix(data) is None:
        raise ImageError("The image carries more than the picture (notes of the camera, say), or is in another format.")
    with Image.open(io.BytesIO(data)) as image:
        return ImageRef(hashlib.sha256(data).hexdigest(), *image.size)


def _suffix(data: bytes) -> str | None:
    """None where the file cannot be kept as it is: with notes, in another format, or larger than is read."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(SUFFIXES)) as image:
            if max(image.size) > MAX_SIDE:
                return None
            image.load()
            return None if _notes(image) else SUFFIXES[image.format or ""]
    except Exception:  # decoders raise nearly anything; `decode` says what is wrong
        return None


def _notes(image: Image.Image) -> bool:
    """Whether the file holds more than the picture."""
    segments = {marker for marker, _ in getattr(image, "applist", [])} - {"APP0", "APP14"}  # JFIF, Adobe's colours
    return bool(
        set(image.info) - HARMLESS
        or image.getexif()
        or segments
        or getattr(image, "private_chunks", None)
        or getattr(image, "n_frames", 1) > 1
    )


class ImageFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, data: bytes) -> tuple[ImageRef, str]:
        """Writes the file, whole or not at all; its reference and suffix."""
        image, suffix = reference(data), _suffix(data) or ""
        path = self.path(image.sha256, suffix)
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            half = path.with_name(f"{path.name}.{os.getpid()}.part")
            try:
                with half.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                half.replace(path)
            finally:
                half.unlink(missing_ok=True)
            _sync(self.folder)
        return image, suffix

    def read(self, sha256: str, suffix: str) -> bytes:
        try:
            return self.path(sha256, suffix).read_bytes()
        except OSError as error:
            raise DataError("The image's file is not in the review's folder any more.", detail=repr(error)) from error

    def unnamed(self, named: Collection[str], *, older_s: float = 0.0) -> list[Path]:
        """Files of none of these hashes, and halves of files: whoever wrote them died, or their row was refused."""
        found = (path for path in self.folder.glob("*") if path.name.split(".")[0] not in named or _is_half(path))
        return [path for path in found if time.time() - path.stat().st_mtime >= older_s]

    def delete(self, sha256: str, suffix: str) -> None:
        self.path(sha256, suffix).unlink(missing_ok=True)

    def path(self, sha256: str, suffix: str) -> Path:
        return self.folder / f"{sha256}.{suffix}"


def _is_half(path: Path) -> bool:
    return path.name.endswith(".part")


def _sync(folder: Path) -> None:
    """The name of a new file survives a power loss, too. Windows has no such call."""
    if os.name != "nt":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
