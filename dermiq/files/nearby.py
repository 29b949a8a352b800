"""The files that a table or a JSONL means by what it writes of its images. Knows no column.

    images = Nearby(Path("data/train.csv"))
    images.find("ISIC_0024306")           # ("data/images/ISIC_0024306.jpg", True)
    images.find("../0.PNG")               # InputError where a visitor sent the table
    images.hint("images/1.jpg")           # " 1.png lies in it: is that the one?"

A name is a path from the table's folder, or that of the only such image in a folder below, with or without its suffix,
in any case and composition of letters. Folders that are named must be the ones in which it lies.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from dermiq.decoder.formats import IMAGE_SUFFIXES
from dermiq.errors import InputError
from dermiq.files.paths import beside, is_file, is_sent

NO_IMAGES = ("mask", "segment", "attribute", "groundtruth", "ground_truth", "superpixel", "thumb")
"""Parts of the names of folders that hold other pictures of the same names."""

DEPTH = 3  # folders below the table's in which images are looked for
_ON_THE_WEB = re.compile(r"(https?|ftp|s3|gs)://", re.IGNORECASE)


class Nearby:
    """The images around one file, listed when one is first looked for by its name alone. `sent`: as `paths.beside`."""

    def __init__(self, table: Path, *, sent: bool | None = None) -> None:
        self._table = table
        self._sent = is_sent(table) if sent is None else sent
        self._by_name: dict[str, list[Path]] | None = None

    def beside(self, named: str) -> Path:
        return beside(self._table, named, sent=self._sent)

    def find(self, named: str) -> tuple[str, bool]:
        """A path, and whether a file is there. InputError for one that may not be named, or that may be two."""
        if _ON_THE_WEB.match(named):
            raise InputError(f"{named[:80]} is on the web, and nothing is fetched: download it, and give its path.")
        path = self.beside(named)
        if is_file(path):
            return str(path), True
        wanted = _parts(Path(_with_slashes(named)))
        found = [path for path in self._below().get(wanted[-1], []) if _ends_with(path, wanted)] if wanted else []
        if len(found) > 1:
            raise InputError(f"{named} may be {found[0]} or {found[1]}. Write the path in the table.")
        if found:
            path = self.beside(str(found[0].relative_to(self._table.parent)))
        return str(path), bool(found)

    def hint(self, named: str) -> str:
        """A sentence where an image of this name lies elsewhere, or has another suffix; else ""."""
        parts = _parts(Path(_with_slashes(named)))
        last = Path(parts[-1]) if parts else Path("x")
        found = self._below().get(last.name) or self._below().get(last.stem) or []
        return f" There is {found[0].relative_to(self._table.parent)}: is it that one?" if found else ""

    def _below(self) -> Mapping[str, list[Path]]:
        """The images below the table's folder by their names with and without suffix, in small letters."""
        if self._by_name is None:
            self._by_name = {}
            for path in _images_below(self._table.parent):
                for name in {*_parts(Path(path.name)), *_parts(Path(path.stem))}:
                    self._by_name.setdefault(name, []).append(path)
        return self._by_name


def _with_slashes(named: str) -> str:
    return named.replace("\\", "/").replace("\0", "")


def _parts(path: Path) -> tuple[str, ...]:
    """In small letters, and composed: some systems write an umlaut as two characters."""
    return tuple(unicodedata.normalize("NFC", part).lower() for part in path.parts)


def _ends_with(path: Path, wanted: tuple[str, ...]) -> bool:
    """Whether the folders that are named, if any, are those in which it lies."""
    return len(wanted) == 1 or _parts(path.parent)[-len(wanted) + 1 :] == wanted[:-1]


def _images_below(folder: Path) -> Iterable[Path]:
    start = len(folder.parts)
    for here, folders, files in os.walk(folder):
        place = Path(here)
        deep = len(place.parts) - start >= DEPTH
        folders[:] = sorted(name for name in folders if not deep and not name.startswith(".") and _holds_images(name))
        yield from (place / name for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES))


def _holds_images(folder: str) -> bool:
    return not any(part in folder.lower() for part in NO_IMAGES)
