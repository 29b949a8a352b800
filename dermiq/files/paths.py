"""Where a file that somebody names may lie. Knows no table and no page.

    inside(folder, "images/0.png")     # a path; InputError where it leads out of the folder
    beside(table, name)                # for the rows of a table: `inside` its folder where a visitor sent the table
    folder_for(out)                    # before hours are spent on what will be written there

Whoever sits at this computer may name whatever they can read. A table that a visitor sent may name only what lies below
its own folder, wherever links lead.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dermiq import places
from dermiq.errors import InputError

SENT = ".data"  # the folder below that of the runs in which visitors' uploads are kept


def inside(folder: Path, name: str) -> Path:
    """The file `name` below `folder`, links followed. InputError where it lies elsewhere, or is no name of a file.

    The file need not exist. The separators of Windows are read, too.
    """
    try:
        root, path = folder.resolve(), (folder / _with_slashes(name)).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a NUL
        raise InputError(f"{name[:80]!r} is no name of a file.", detail=str(error)) from error
    if path == root:
        raise InputError(f"{name[:80]!r} is no name of a file.")
    if not path.is_relative_to(root):
        raise InputError(f"{name[:80]} does not lie below the folder of the file that names it. Put it there.")
    return path


def beside(table: Path, name: str, *, sent: bool | None = None) -> Path:
    """What a row of `table` names. InputError where a visitor sent the table and this lies outside of its folder.

    `sent` is what `is_sent` says of the table, where that is known already.
    """
    if is_sent(table) if sent is None else sent:
        return inside(table.parent, name)
    path = table.parent / name
    return path if "\\" not in name or is_file(path) else table.parent / _with_slashes(name)


def folder_for(file: Path) -> Path:
    """The folder that `file` will be written into, made where it is missing. InputError where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            return file.parent
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file} cannot be written: {reason}. Name a place in a folder of yours.") from error


def cache_folder() -> Path:
    """Where models and embeddings are kept: `DERMIQ_CACHE`, a Space's storage, `~/.cache/dermiq`, or where none of
    these can be written a folder for temporary files. InputError where that is somebody else's."""
    return cache_folders()[-1]


def cache_folders() -> list[Path]:
    """Where models may lie already; the last is written to."""
    given = os.environ.get("DERMIQ_CACHE")
    if given:
        try:
            return [Path(given).expanduser()]
        except RuntimeError as error:
            raise InputError(
                f"There is no home folder for {given}: set DERMIQ_CACHE to a folder for models."
            ) from error
    kept, home = places.storage(), places.home_folder()
    usual = ([home / ".cache" / "dermiq"] if home else []) + ([kept / "cache"] if kept else [])
    if usual and places.is_writable(usual[-1]):
        return usual
    try:
        return [*usual, places.temporary()]
    except OSError as error:
        raise InputError(
            "There is no folder that models can be kept in: set DERMIQ_CACHE to one that can be written.",
            detail=repr(error),
        ) from error


def is_sent(path: Path) -> bool:
    """Whether this is kept for a visitor."""
    return SENT in path.absolute().parts or SENT in path.resolve().parts


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def is_file(path: Path) -> bool:
    """Also of what is no name of a file at all: too long, or with a NUL."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
