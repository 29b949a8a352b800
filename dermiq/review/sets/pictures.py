"""Images on their way into the store, as `dermiq.review.store.images` prepares them: read once, and waiting on the
disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from dermiq.errors import DataError, ImageError, InputError
from dermiq.files.examples import Held
from dermiq.files.nearby import Nearby
from dermiq.lesion import read_lesion
from dermiq.review.store.images import png_of, prepared
from dermiq.review.types import ImageRef

Polygon = tuple[tuple[float, float], ...]
Outliner = Callable[[np.ndarray], Polygon | None]
"""(H, W, 3) uint8 -> the lesion's border in pixels, x before y; None where none is seen."""

MOST_POINTS = 120


class Pictures:
    """What was read of the images of one import. `purged` are the hashes of those that are not to come back."""

    def __init__(self, folder: Path, *, outline: Outliner | None = None, purged: Collection[str] = ()) -> None:
        self._folder, self._outline, self._purged = folder, outline, purged
        self._by_path: dict[Path, ImageRef] = {}
        self._nearby: dict[Path, Nearby] = {}
        self._by_hash: dict[str, ImageRef] = {}

    def of(self, value: object, named_in: Path, *, anywhere: bool = True) -> ImageRef:
        """Of a path that a file names, the bytes of a file, what a data set holds, or a PIL image.

        DataError for what is no image or was purged, and where not `anywhere` for a path that leads out of the folder
        of the file.
        """
        if isinstance(value, Held):
            value = value.load()
        if not isinstance(value, (str, Path)):
            return self._kept(_bytes_of(value), "an image")
        path = self._named(str(value), named_in, anywhere)
        if path not in self._by_path:
            self._by_path[path] = self._kept(_read(path, str(value)), f"the image {value}")
        return self._by_path[path]

    def _named(self, value: str, named_in: Path, anywhere: bool) -> Path:
        try:
            nearby = self._nearby.setdefault(named_in, Nearby(named_in, sent=None if anywhere else True))
            path, is_there = nearby.find(value)
            if not is_there and not anywhere:
                path, is_there = nearby.find(_flat(named_in, value))
            if not is_there:
                raise DataError(f"the image {value[:80]} does not exist.{nearby.hint(value)}")
            return Path(path).resolve()
        except (InputError, OSError, RuntimeError, ValueError) as error:  # the latter: links in a circle, a NUL
            said = str(error) if isinstance(error, InputError) else f"{value[:80]!r} is no name of a file."
            raise DataError(f"the image cannot be used: {said}", detail=repr(error)) from error

    def files(self, images: Collection[ImageRef]) -> Mapping[str, bytes]:
        """By hash; each is read from the disk when it is asked for."""
        return _Files(self._folder, [image.sha256 for image in images])

    def _kept(self, data: bytes, name: str) -> ImageRef:
        try:
            image, data, pixels = _prepared(data)
        except ImageError as error:
            raise DataError(f"{name} cannot be used. {error}", detail=error.detail) from error
        if image.sha256 in self._purged:
            raise DataError(f"{name} was deleted from the review on purpose.")
        if image.sha256 not in self._by_hash:
            (self._folder / image.sha256).write_bytes(data)
            self._by_hash[image.sha256] = replace(image, outline=self._outline(pixels) if self._outline else None)
        return self._by_hash[image.sha256]


def _flat(table: Path, value: str) -> str:
    """The name alone, where files were sent one by one: whatever folders a path names, they lie beside each other."""
    alone = not any(path.is_dir() for path in table.parent.iterdir())
    return PurePosixPath(value.replace("\\", "/")).name if alone else value


def _read(path: Path, value: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"the image {value} does not exist.") from error
    except OSError as error:
        raise DataError(f"the image {value[:80]} cannot be read: {error.strerror}.") from error


class _Files(Mapping[str, bytes]):
    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder, self._names = folder, names

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return (self._folder / name).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _prepared(data: bytes) -> tuple[ImageRef, bytes, np.ndarray]:
    """With the pixels that training will read, (H, W, 3) uint8. A larger picture is kept at their size, in which boxes
    are given, too.
    """
    pixels = read_lesion(data).pixels
    image, data = prepared(data)
    if (image.height, image.width) != pixels.shape[:2]:
        image, data = prepared(png_of(Image.fromarray(pixels)))
    return image, data, pixels


def _bytes_of(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, Image.Image):
        return png_of(value)
    raise DataError(f"images holds a {type(value).__name__}; it must hold paths, files' bytes or images.")


def by_specialist() -> Outliner:
    """The outline that the consultation draws, too."""
    from dermiq.specialist import Specialist

    specialist = Specialist.load()
    return lambda pixels: polygon(specialist.look_at_frame(pixels)[2])


def polygon(mask: np.ndarray) -> Polygon | None:
    """The longest border of a mask (H, W), thinned to at most 120 points; None of an empty one."""
    import contourpy

    generator = contourpy.contour_generator(z=np.pad(mask.astype(np.float32), 1), line_type=contourpy.LineType.Separate)
    lines: list[Any] = [*generator.lines(0.5)]
    if not lines:
        return None
    line = max(lines, key=len)
    points = line[:: -(-len(line) // MOST_POINTS)] - 1.0  # undo the padding
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
