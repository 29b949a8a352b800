"""A visitor's own images for training: a zip with a table, kept below the runs' folder until it is deleted there.

    table = keep(content, root)     # unpacked, each image looked at, the whole read once as training reads it
    summary(table)                  # what was kept, in a sentence
    kept(root)                      # {path of the table: what it is called}
    forget(root)                    # all of it

What is kept is the table, as CSV in UTF-8 or as JSONL, with the names that its images have on the disk, and the images
that it names; nothing else. Uploading is the visitor's wish that these are stored; the page says so beside the button.
Knows no gradio.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import logging
import re
import shutil
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from dermiq.errors import DataError, DermIQError, ImageError, InputError
from dermiq.files import archive
from dermiq.files.examples.pictures import COLUMNS as EXAMPLE_COLUMNS
from dermiq.files.examples.pictures import PATHS, path_of
from dermiq.files.examples.sources import rows_of
from dermiq.files.paths import SENT, inside
from dermiq.files.tables import SUFFIXES, WORKBOOKS, read_table_rows
from dermiq.language import N_
from dermiq.lesion import ACCEPTED, IMAGE_SUFFIXES, read_lesion
from train.cases.labelled import COLUMNS as LABELLED
from train.cases.sources import Item, Row, read_source

log = logging.getLogger(__name__)

FOLDER = SENT  # below the runs' folder
LINES = ".jsonl"
ROWS = (LINES, ".ndjson", ".parquet", ".json")
TEXTS = tuple(suffix for suffix in SUFFIXES if suffix != ".txt")  # a .txt is more often about the table than one
TABLES = (*TEXTS, *ROWS)
MOST_BYTES, MOST_FILES = archive.MOST_BYTES, archive.MOST_FILES  # unpacked
MOST_TABLE = 50_000_000  # bytes
HOLDING = ("messages", "conversations", "conversation", "prompt", "chosen", "rejected", "completion", "content", "data")
"""Columns, and keys in them, below which images may be named."""

IMAGE_COLUMNS = tuple(dict.fromkeys((*LABELLED["image"], *EXAMPLE_COLUMNS)))
MOST_NAMED = 5  # faults, or files, that a sentence names
STALE_S = 3600.0  # after which what a process left half unpacked is nobody's any more
LEFT_OUT = ".left-out"  # beside the table: what was in the zip and was not kept, a name a line
UNREADABLE = "The table could not be read; the log of the app says why. Check that each column holds what it should."
ABOUT = N_(
    "A zip of images with a table: a CSV with the columns image and label (and question, group, age, sex, site, split "
    "where known), or a JSONL, JSON or Parquet file in TRL's columns. The images that the table names are kept on this "
    "computer, below the folder of the runs, until you delete them here; the zip itself and all else in it is not."
)


# --- keeping ----------------------------------------------------------------------------


def keep(content: object, root: Path) -> Path:
    """The table of the unpacked upload; the same upload is kept once. InputError where it cannot be trained on: nothing
    of it is left then.
    """
    if not isinstance(content, bytes):
        raise InputError("Choose one file: a zip of the table and its images.")
    place = root / FOLDER / hashlib.sha256(content).hexdigest()[:16]
    if place.is_dir():
        return _table(place)
    try:
        part = _part(root)
    except OSError as error:
        raise InputError(f"Nothing can be stored on this computer: {error.strerror}.", detail=repr(error)) from error
    try:
        _fill(part, content)
        return _table(_renamed(part, place))
    except InputError:
        raise
    except DermIQError as error:
        raise InputError(str(error).replace(f"{part}/", ""), detail=error.detail) from error
    except OSError as error:
        raise InputError(f"The upload cannot be stored: {error.strerror}.", detail=repr(error)) from error
    except Exception as error:  # a table of a kind that no reader foresaw: a sentence for the visitor, all of it for us
        log.exception("an upload could not be read")
        raise InputError(UNREADABLE, detail=repr(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(root: Path) -> Path:
    """A new folder of nobody else's; what a process that was killed left behind is removed."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.glob(".*.part"):
        if time.time() - old.stat().st_mtime > STALE_S:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))


def _renamed(part: Path, place: Path) -> Path:
    try:
        part.rename(place)
    except OSError:
        if not place.is_dir():  # else somebody sent the same just now
            raise
    return place


def _fill(part: Path, content: bytes) -> None:
    """The folder with the table and what it names."""
    limits = {"most_bytes": MOST_BYTES, "most_files": MOST_FILES}
    unpacked = archive.unpack(content, part, wanted=lambda name: _suffix(name) in (*TABLES, *IMAGE_SUFFIXES), **limits)
    named = _the_table(unpacked)
    others = [name for name in unpacked.files if _suffix(name) in TABLES and name != named]
    left_out = [*others, *unpacked.left_out]
    images = Images(part, named, [name for name in unpacked.files if _suffix(name) in IMAGE_SUFFIXES], left_out)
    table = _rewritten(part, named, images)
    for name in others:
        (part / name).unlink()
    rows = _rows(table, images)
    _refuse_unreadable(rows, images)
    _keep_only(part, rows, images, left_out)


def _the_table(unpacked: archive.Unpacked) -> str:
    """Its name in the zip. A .json beside another table is more often about it than one."""
    found = [name for name in unpacked.files if _suffix(name) in TABLES]
    found = [name for name in found if _suffix(name) != ".json"] or found
    if len(found) == 1:
        return found[0]
    wanted = "it must have one CSV, TSV, JSONL, JSON or Parquet file that names the images"
    if found:
        raise InputError(
            f"This zip has {len(found)} tables ({_some(found)}): {wanted}. Put them into one, with a column split "
            "(train, val), or leave the others out."
        )
    book = next((name for name in unpacked.left_out if _suffix(name) in WORKBOOKS), "")
    if book:
        raise InputError(f"{book} is a workbook. Save its sheet as CSV (UTF-8), and put that into the zip.")
    held = [*unpacked.files, *unpacked.left_out]
    raise InputError(f"This zip has no table: {wanted}. It holds {_some(held) if held else 'nothing'}.")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


# --- the images that a table names ------------------------------------------------------


@dataclass
class Images:
    """The images of a zip, found by the name that a cell of its table gives, and in which line each was named."""

    folder: Path  # of all that was unpacked
    table: str  # its path in the zip: names are told from there
    files: Sequence[str]
    left_out: Sequence[str] = ()  # what the zip holds besides
    lines: dict[str, int] = field(default_factory=dict)  # image -> the first line that names it
    missing: dict[str, int] = field(default_factory=dict)  # what the table names and the zip has not, by its line

    def __post_init__(self) -> None:
        self._folders: dict[str, tuple[str, int]] = {}  # image -> the folder in which it was first named, and the line
        self._by_key: dict[str, list[str]] = {}
        for name in self.files:
            for key in {_key(name), _key(PurePosixPath(name).name), _key(PurePosixPath(name).stem)}:
                self._by_key.setdefault(key, []).append(name)

    def named(self, cell: str, line: int) -> str:
        """The file's path in the folder. What is not there is noted; InputError for what may not be named."""
        told = path_of(cell.strip())
        if not isinstance(told, str):  # the image itself
            return cell
        name = self._lies(told, line)
        found = self._one(name) or self._by_its_end(name, told)
        if found is None:
            self.missing.setdefault(told, line)
            return told
        self.lines.setdefault(found, line)
        self._refuse_another(found, told, line)
        return found

    def _by_its_end(self, name: str, told: str) -> str | None:
        """The only image of this name, where no folder that is named is another than the one in which it lies."""
        wanted = _folders(told)
        found = self._one(PurePosixPath(name).name)
        lies = _folders(found.removeprefix(f"{PurePosixPath(self.table).parent}/")) if found else ()
        shared = min(len(wanted), len(lies))
        return found if not shared or wanted[-shared:] == lies[-shared:] else None

    def _refuse_another(self, found: str, told: str, line: int) -> None:
        """InputError where one image is named as if it were two."""
        folder = "/".join(_folders(told))
        before, first = self._folders.setdefault(found, (folder, line))
        if before != folder and before and folder:
            raise InputError(
                f"Lines {first} and {line} name {PurePosixPath(found).name} in the folders {before} and {folder}, but "
                "this zip has one such image. Pack both with their folders."
            )

    def held(self, data: bytes, told: object) -> str:
        """An image that the table itself holds, as a file."""
        suffix = _suffix(told) if isinstance(told, str) and _suffix(told) in IMAGE_SUFFIXES else ".png"
        name = f"{hashlib.sha256(data).hexdigest()[:24]}{suffix}"
        (self.folder / name).write_bytes(data)
        return name

    def why_missing(self, told: str) -> str:
        """What is the matter with a name of which the zip has no image."""
        alike = [name for name in self.left_out if _key(name).endswith(_key(PurePosixPath(told).name))]
        if alike:
            return f"{told[:80]}, which is no image that can be read: use {ACCEPTED}"
        stem = self._by_key.get(_key(PurePosixPath(told).stem), [])
        return f"{told[:80]}, which is not in the zip" + (f" (it has {stem[0]})" if stem else "")

    def _lies(self, told: str, line: int) -> str:
        """As a path in the zip."""
        where = f"{PurePosixPath(self.table).name}, line {line}"
        if told.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", told):
            raise InputError(
                f"{where}: {told[:80]} does not lie below the folder of the file that names it, but at a place of some "
                "computer. Write the name that the image has in the zip."
            )
        asked = f"{PurePosixPath(self.table).parent}/{told}"
        try:
            path = inside(self.folder, asked)
        except InputError as error:
            raise InputError(f"{where}: {str(error).replace(asked[:80], told[:80])}", detail=error.detail) from error
        return path.relative_to(self.folder.resolve()).as_posix()

    def _one(self, name: str) -> str | None:
        """The file of this name; else the only one whose name, or last part, differs in case or composition alone."""
        found = self._by_key.get(_key(name), [])
        exact = unicodedata.normalize("NFC", name)
        return exact if exact in found else found[0] if len(found) == 1 else None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _folders(name: str) -> tuple[str, ...]:
    """Those that a path names, as they are compared."""
    parts = PurePosixPath(_key(name.replace("\\", "/"))).parent.parts
    return tuple(part for part in parts if part not in (".", ".."))


def _rewritten(folder: Path, named: str, images: Images) -> Path:
    """The table at the top of the folder, with the images' names as they are on the disk."""
    source = folder / named
    if source.stat().st_size > MOST_TABLE:
        raise InputError(f"{named} is larger than {MOST_TABLE // 1_000_000} MB. Split it, or name its path instead.")
    is_lines = _suffix(named) in ROWS
    text = (_lines_with if is_lines else _cells_with)(source, images)
    source.unlink()
    table = folder / f"{PurePosixPath(named).stem}{LINES if is_lines else '.csv'}"
    table.write_text(text, encoding="utf-8", newline="")
    return table


def _of_faults(faults: Sequence[str]) -> str:
    more = len(faults) - MOST_NAMED
    told = [*faults[:MOST_NAMED], *([f"And {more} more."] if more > 0 else [])]
    return f"Nothing was stored. {' '.join(told)}"


def _cells_with(source: Path, images: Images) -> str:
    rows = read_table_rows(source.read_bytes(), called=source.name)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0].cells), lineterminator="\n")
    writer.writeheader()
    column = next((name for name in IMAGE_COLUMNS if name in rows[0].cells), None)
    for row in rows:
        image = row.text(column) if column else ""
        writer.writerow({**row.cells, **({column: _cell_with(image, row.line, images)} if column and image else {})})
    return out.getvalue()


def _cell_with(cell: str, line: int, images: Images) -> str:
    """One name, or a list of them as JSON."""
    try:
        listed = json.loads(cell) if cell.startswith("[") else None
    except ValueError:
        listed = None
    named = partial(images.named, line=line)
    return named(cell) if listed is None else json.dumps(_names_with(listed, named, images))


def _lines_with(source: Path, images: Images) -> str:
    """As JSONL, each row in the line in which it stands, as far as it stands in one."""
    lines: list[str] = []
    for where, row in rows_of(str(source)):
        if isinstance(row, str):
            raise InputError(f"{source.name}: {where[0].lower()}{where[1:]}: {row}")
        stands = re.fullmatch(r"Line (\d+)", where)
        number = int(stands.group(1)) if stands else len(lines) + 1
        lines += [""] * (number - 1 - len(lines))
        lines.append(json.dumps(_row_with(row, number, images), default=_plain))
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Of what Parquet holds and JSON does not: bytes as base64, anything else as a text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _row_with(row: Mapping[str, Any], number: int, images: Images) -> dict[str, Any]:
    named = partial(images.named, line=number)
    return {name: _value_with(name, value, named, images) for name, value in row.items()}


def _value_with(name: str, value: Any, named: Callable[[str], str], images: Images) -> Any:
    """A column of images; what an export or messages hold of them; anything else as it is."""
    if str(name).strip().lower() in (*EXAMPLE_COLUMNS, "image_url") and value is not None:
        return _names_with(value, named, images)
    if isinstance(value, Mapping) and (name in HOLDING or "type" in value):
        return {key: _value_with(key, one, named, images) for key, one in value.items()}
    if isinstance(value, list) and name in HOLDING:
        return [_value_with(name, one, named, images) for one in value]
    return value


def _names_with(value: Any, named: Callable[[str], str], images: Images) -> Any:
    """A name, or names in a list, or below a key as objects have them, or the image itself; anything else as it is."""
    if isinstance(value, str):
        return named(value) if value.strip() else value
    if isinstance(value, bytes):
        return images.held(value, None)
    if isinstance(value, list) and not all(type(one) is int for one in value):
        return [_names_with(one, named, images) for one in value]
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        return images.held(value["bytes"], value.get("path"))
    key = next((key for key in PATHS if isinstance(value, Mapping) and isinstance(value.get(key), str)), None)
    return {**value, key: named(value[key])} if key and not value.get("bytes") else value


# --- looking at all of it ---------------------------------------------------------------


def _rows(table: Path, images: Images | None = None) -> list[Item]:
    """As training reads them, to learn from and to judge by. DataError with what it refuses; what is wrong with the
    columns comes before images that are missing.
    """
    missing = images.missing if images else {}
    try:
        rows = _read(table)
    except DataError as error:
        if not any(name in str(error) for name in missing):
            raise
    if images and missing:
        raise InputError(
            _of_faults([f"Line {line} names {images.why_missing(told)}." for told, line in missing.items()])
        )
    return rows


def _read(table: Path) -> list[Item]:
    rows = [row for split in ("train", "val") for row in _of_split(table, split)]
    if not rows:
        raise DataError(f"{table.name} has no rows to train on.")
    return rows


def _of_split(table: Path, split: str, say: Callable[[str], None] = lambda told: None) -> list[Item]:
    """Labels as they are written: the form asks what they mean."""
    return read_source(str(table), split, columns=(), labels="text", say=say)


def _refuse_unreadable(rows: Sequence[Item], images: Images) -> None:
    """Each image is decoded here, so that a run cannot end at one."""
    files = dict.fromkeys(Path(file) for row in rows for file in row.files)
    faults = [fault for file in files if (fault := _fault(file, images))]
    if faults:
        raise InputError(_of_faults(faults))


def _fault(file: Path, images: Images) -> str:
    name = file.resolve().relative_to(images.folder.resolve()).as_posix()
    where = f"Line {images.lines[name]}: {name}" if name in images.lines else name
    data = file.read_bytes()
    if not data:
        return f"{where} is empty."
    try:
        read_lesion(data)
    except ImageError as error:
        return f"{where} cannot be used. {error}"
    return ""


def _keep_only(part: Path, rows: Sequence[Item], images: Images, left_out: Sequence[str]) -> None:
    used = {Path(file).resolve().relative_to(part.resolve()).as_posix() for row in rows for file in row.files}
    unnamed = [name for name in images.files if name not in images.lines and name not in used]
    for name in unnamed:
        (part / name).unlink()
    (part / LEFT_OUT).write_text("\n".join([*unnamed, *left_out]), encoding="utf-8")


# --- what is kept -----------------------------------------------------------------------


def summary(table: Path) -> str:
    """What was kept of an upload, and what was left out, in a few words."""
    notes: dict[str, None] = {}  # in the order in which they came, each once
    learned, judged = (_of_split(table, split, lambda told: notes.update({told: None})) for split in ("train", "val"))
    rows = [*learned, *judged]
    images = {file for row in rows for file in row.files}
    said = [_count(len(images), "image")]
    labels = Counter(row.label for row in rows if isinstance(row, Row))
    if labels:
        shown = ", ".join(f"{name[:40]} {count}" for name, count in labels.most_common(MOST_NAMED + 3))
        more = ", …" if len(labels) > MOST_NAMED + 3 else ""
        said.append(f"{_count(len(labels), 'class', 'classes')} ({shown}{more})")
    else:
        said.append(_count(len(rows), "example"))
    groups = {row.group for row in rows}
    if groups.isdisjoint(images):
        said.append(_count(len(groups), "patient or lesion", "patients or lesions"))
    said += [f"{len(judged)} to judge by"] if judged else []
    names = (table.parent / LEFT_OUT).read_text(encoding="utf-8").splitlines()
    left = f" Left out, since the table does not name them: {_some(names)}." if names else ""
    told = "".join(f" {note.replace(f'{table.parent}/', '')}" for note in notes)
    return f"Kept {table.name}: {', '.join(said)}.{left}{told}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _table(folder: Path) -> Path:
    return next(_tables(folder))


def _tables(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in TABLES)


def kept(root: Path) -> dict[str, str]:
    """Path of each uploaded table, and what it is called."""
    made = {}
    for place in sorted((root / FOLDER).glob("[0-9a-f]*")) if (root / FOLDER).is_dir() else ():
        for table in _tables(place):
            images = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in place.rglob("*"))
            made[str(table)] = f"Uploaded: {table.name} ({_count(images, 'image')})"
    return made


def forget(root: Path) -> int:
    """Deletes all uploads; how many. A run that needs them fails with a sentence when it reads them again."""
    count = len(kept(root))
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    return count
