"""A visitor's own images for training: a zip with a table, kept below the runs' folder until it is deleted there.

    table = keep(content, root)     # unpacked, read once to see that it can be trained on
    kept(root)                      # {path of the table: what it is called}
    forget(root)                    # all of it

Uploading is the visitor's wish that these images are stored; the page says so beside the button. Knows no gradio.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from dermiq.errors import DermIQError, InputError
from train.cases import read_source

FOLDER = ".data"  # below the runs' folder
TABLES = (".csv", ".jsonl")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MOST_BYTES, MOST_FILES = 500_000_000, 20_000  # unpacked
ABOUT = (
    "A zip of images with a table: a CSV with the columns image and label (and question, group, age, sex, site, split "
    "where known), or a JSONL in TRL's columns. The images are kept on this computer, below the folder of the runs, "
    "until you delete them here."
)


def keep(content: bytes, root: Path) -> Path:
    """The table of the unpacked upload; the same upload is kept once. InputError where it cannot be trained on."""
    place = root / FOLDER / hashlib.sha256(content).hexdigest()[:16]
    if place.is_dir():
        return _table(place)
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _unpack(content, part)
        table = _table(part)
        read_source(str(table), "train", columns=(), labels="text")  # the form asks what labels mean
        part.rename(place)
    except InputError:
        raise
    except DermIQError as error:
        raise InputError(str(error).replace(f"{part}/", "")) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _table(place)


def _unpack(content: bytes, folder: Path) -> None:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise InputError("This file is no zip. Put the table and its images into one zip file.") from error
    wanted = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename)]
    if len(wanted) > MOST_FILES or sum(info.file_size for info in wanted) > MOST_BYTES:
        raise InputError(
            f"Unpacked, this is more than {MOST_BYTES // 1_000_000} MB or {MOST_FILES:,} files. Put the data on the "
            "computer that trains, and name the path of the table."
        )
    left = MOST_BYTES
    for info in wanted:
        target = folder / PurePosixPath(info.filename)
        if not target.resolve().is_relative_to(folder.resolve()):
            raise InputError("This zip names files outside itself. Pack it anew.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source:
            piece = source.read(left + 1)  # a zip may be larger than it says
        left -= len(piece)
        if left < 0:
            raise InputError("Unpacked, this zip is larger than it says. Pack it anew.")
        target.write_bytes(piece)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = any(part.startswith(("__MACOSX", ".")) and part != ".." for part in path.parts)
    return path.suffix.lower() in (*TABLES, *IMAGES) and not is_hidden


def _table(folder: Path) -> Path:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in TABLES)
    if len(found) != 1:
        said = "no table" if not found else f"{len(found)} tables"
        raise InputError(f"This zip has {said}: it must have one CSV or JSONL that names the images.")
    return found[0]


def kept(root: Path) -> dict[str, str]:
    """Path of each uploaded table, and what it is called."""
    made = {}
    for place in sorted((root / FOLDER).glob("[0-9a-f]*")) if (root / FOLDER).is_dir() else ():
        try:
            table = _table(place)
        except InputError:
            continue
        images = sum(path.suffix.lower() in IMAGES for path in place.rglob("*"))
        made[str(table)] = f"Uploaded: {table.name} ({images} images)"
    return made


def forget(root: Path) -> None:
    """Deletes all uploads. A run that needs them fails with a sentence when it reads them again."""
    shutil.rmtree(root / FOLDER, ignore_errors=True)
