"""Files that hold several pictures: which of them is the photograph. Decodes nothing.

A camera raw file is refused: its first picture is a thumbnail, and the sensor's own values are no finished picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dermiq.decoder.formats import ACCEPTED
from dermiq.errors import ImageError

RAW_STARTS = (  # offset, bytes
    (0, b"FUJIFILMCCD-RAW"),  # RAF
    (4, b"ftypcrx "),  # CR3
    (6, b"HEAPCCDR"),  # CRW
    (8, b"CR\x02"),  # CR2
    (0, b"IIRO"),  # ORF
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\0"),  # RW2, RWL
    (0, b"FOVb"),  # X3F
    (0, b"\0MRM"),  # MRW
    (8, b"IIII"),  # IIQ
    (0, b"ARRI"),
)
RAW_PHOTOMETRIC = frozenset({32803, 34892})  # a colour filter array, linear sensor values
RAW_COMPRESSION = frozenset({262, 32767, 32769, 32770, 34713, 65000, 65535})  # Kodak, Sony, Samsung, Nikon, Pentax
SUBFILE, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SUB_IFDS, DNG_VERSION = 254, 256, 257, 259, 262, 330, 50706
REDUCED, MASK = 1, 4  # bits of SUBFILE
WANTED = frozenset({SUBFILE, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SUB_IFDS, DNG_VERSION})
MOST_DIRECTORIES, MOST_ENTRIES = 200, 20_000  # of all directories together: a photograph has some hundreds
SMALL_SIDE = 512  # px, a picture up to it beside a larger one is its thumbnail
SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # bytes of a TIFF type that holds whole numbers


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    offset: int = 0  # of its directory, in bytes
    is_reduced: bool = False  # the file itself says that it is a smaller copy
    is_raw: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def is_preview_of(self, other: Picture) -> bool:
        """A smaller copy: as the file says, or a quarter of the pixels or less, of the same shape or tiny."""
        if self.pixels * 4 > other.pixels:
            return self.is_reduced and self.pixels < other.pixels
        shape = abs(self.width * other.height - other.width * self.height) <= 0.03 * self.width * other.height
        return self.is_reduced or shape or max(self.width, self.height) <= SMALL_SIDE


def refuse_raw(data: bytes) -> None:
    """Raises ImageError for the raw files of cameras and phones that do not name themselves in a TIFF directory."""
    if any(data[at : at + len(start)] == start for at, start in RAW_STARTS):
        raise _raw()


def main_tiff(data: bytes) -> bytes:
    """The file with its header leading to the largest picture in it, wherever that lies; others pass as they are.

    Raises ImageError for a raw file, and where there are several pictures none of which is a copy of another.
    """
    if data[:2] not in (b"II", b"MM"):
        return data
    tiff = _Tiff(data)
    pictures = list(tiff.pictures())
    if any(picture.is_raw for picture in pictures):
        raise _raw()
    if not pictures:
        return data
    return tiff.leading_to(main_picture(pictures, "pages").offset)


def main_picture(pictures: Sequence[Picture], kind: str) -> Picture:
    """The largest, of which all others are previews. Raises ImageError where they are not."""
    main = max(pictures, key=lambda picture: picture.pixels)
    others = [picture for picture in pictures if picture is not main and not picture.is_preview_of(main)]
    if others:
        raise several(1 + len(others), kind)
    return main


def several(count: int, kind: str) -> ImageError:
    return ImageError(f"The file holds {count} {kind}: save the one that shows the lesion as a single image.")


def _raw() -> ImageError:
    return ImageError(
        "This is a camera raw file, which holds no finished picture: export the photograph from the camera or the "
        f"phone as {ACCEPTED}."
    )


class _Tiff:
    """The directories of a TIFF or BigTIFF file, whatever they say: nothing is believed, nothing is read twice."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = self._number(2, "H") == 43
        self.start = 8 if self.is_big else 4  # where the header names the first directory
        self.word = "Q" if self.is_big else "I"
        self.left = MOST_ENTRIES

    def leading_to(self, offset: int) -> bytes:
        if offset == self._number(self.start, self.word):
            return self.data
        packed = struct.pack(self.order + self.word, offset)
        return self.data[: self.start] + packed + self.data[self.start + len(packed) :]

    def pictures(self) -> Iterator[Picture]:
        """Of the main directories and, below them, of sub-directories."""
        waiting, seen = [self._number(self.start, self.word)], {0}
        while waiting and len(seen) <= MOST_DIRECTORIES:
            offset = waiting.pop(0)
            if offset in seen or offset >= len(self.data):
                continue
            seen.add(offset)
            tags, following = self._directory(offset)
            waiting += [following, *tags.get(SUB_IFDS, ())]
            width, height = (_first(tags, tag) for tag in (WIDTH, HEIGHT))
            raw = _is_raw(tags)
            if raw or (width and height and not _first(tags, SUBFILE) & MASK):
                yield Picture(width, height, offset, is_reduced=bool(_first(tags, SUBFILE) & REDUCED), is_raw=raw)

    def _directory(self, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """Whole numbers by tag, and where the next directory begins."""
        counted, entry = ("Q", 20) if self.is_big else ("H", 12)
        at = offset + struct.calcsize(self.order + counted)
        tags: dict[int, tuple[int, ...]] = {}
        count = self._number(offset, counted)
        looked_at = min(count, self.left)
        self.left -= looked_at
        for place in range(at, at + looked_at * entry, entry):
            tag = self._number(place, "H")
            if tag in WANTED:
                tags.setdefault(tag, self._values(place))
        return tags, self._number(at + count * entry, self.word)

    def _values(self, at: int) -> tuple[int, ...]:
        """At most 64 numbers of the entry that begins at `at`."""
        size = SIZES.get(self._number(at + 2, "H"), 0)
        count = min(self._number(at + 4, self.word), 64)
        inside = at + 4 + struct.calcsize(self.order + self.word)
        room = struct.calcsize(self.order + self.word)
        place = inside if size * count <= room else self._number(inside, self.word)
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(size)
        return tuple(self._number(place + k * size, code) for k in range(count)) if code else ()

    def _number(self, at: int, code: str) -> int:
        """0 beyond the end of the file."""
        size = struct.calcsize(self.order + code)
        if at + size > len(self.data):
            return 0
        return int(struct.unpack_from(self.order + code, self.data, at)[0])


def _first(tags: dict[int, tuple[int, ...]], tag: int) -> int:
    return (tags.get(tag) or (0,))[0]


def _is_raw(tags: dict[int, tuple[int, ...]]) -> bool:
    return (
        DNG_VERSION in tags
        or _first(tags, PHOTOMETRIC) in RAW_PHOTOMETRIC
        or _first(tags, COMPRESSION) in RAW_COMPRESSION
    )
