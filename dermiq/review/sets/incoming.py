"""Pairs that somebody sends: a zip, or several files, with the images that they name. The one way in for all of them.

    found = import_path(store, Path("pairs.zip"), by="ana")          # or any source that `import_pairs` reads
    found = import_files(store, {"pairs.jsonl": data, "0.png": ...}, by="ana")

What is sent is unpacked into a folder of this process alone, which goes when it was read. Knows no page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dermiq.errors import DataError, InputError
from dermiq.files import archive
from dermiq.files.examples import is_examples_file
from dermiq.files.tables import SUFFIXES, WORKBOOKS
from dermiq.lesion import IMAGE_SUFFIXES
from dermiq.review.sets.sources import Imported, import_pairs
from dermiq.review.store.store import Store

MOST_NAMED = 5
TEXTS = tuple(suffix for suffix in SUFFIXES if suffix != ".txt")  # a .txt is more often about the pairs than them


def import_path(store: Store, source: str | Path, **options: Any) -> Imported:
    """`import_pairs` of a zip, too; whoever sits at this computer may import from anywhere on it."""
    path = Path(source).expanduser()
    if path.suffix.lower() == ".zip" and path.is_file():
        return _unpacked(store, path, **options)
    return import_pairs(store, source, **options)


def import_files(store: Store, files: Mapping[str, bytes], **options: Any) -> Imported:
    """One zip, or a table of pairs with its images beside it. InputError for what is neither."""
    if not files:
        raise InputError("Choose a file.")
    if len(files) == 1 and next(iter(files)).lower().endswith(".zip"):
        return _unpacked(store, next(iter(files.values())), **options)
    with tempfile.TemporaryDirectory() as place:  # which nobody else may read
        for name, content in files.items():
            if archive.is_hidden(name):
                continue
            (Path(place) / archive.clean_name(PurePosixPath(name.replace("\\", "/")).name)).write_bytes(content)
        return _of_folder(store, Path(place), [path.name for path in sorted(Path(place).iterdir())], **options)


def _unpacked(store: Store, content: bytes | Path, **options: object) -> Imported:
    with tempfile.TemporaryDirectory() as place:
        unpacked = archive.unpack(
            content, Path(place), wanted=lambda name: _is_pairs(name) or name.lower().endswith(IMAGE_SUFFIXES)
        )
        return _of_folder(store, Path(place), list(unpacked.files), left_out=unpacked.left_out, **options)


def _of_folder(
    store: Store, folder: Path, names: list[str], *, left_out: tuple[str, ...] = (), **options: Any
) -> Imported:
    found = [name for name in names if _is_pairs(name)]
    found = [name for name in found if not name.lower().endswith(".json")] or found  # it is more often about the other
    book = next((name for name in [*names, *left_out] if PurePosixPath(name).suffix.lower() in WORKBOOKS), "")
    if book and not found:
        raise InputError(f"{book} is a workbook. Save its sheet as CSV (UTF-8), and choose that.")
    if len(found) != 1:
        said = f"{len(found)} files of pairs ({_some(found)})" if found else "no file of pairs"
        held = "" if found else f" It is {_some([*names, *left_out])}." if names or left_out else " It is empty."
        raise InputError(
            f"This is {said}: choose one JSONL, JSON, CSV, TSV or Parquet file with its images, or a zip.{held}"
        )
    try:
        return import_pairs(store, folder / found[0], anywhere=False, **options)
    except DataError as error:
        raise DataError(str(error).replace(f"{folder}/", ""), detail=error.detail) from error


def _is_pairs(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in TEXTS or is_examples_file(Path(name))


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
