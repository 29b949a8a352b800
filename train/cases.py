"""What a stage trains on: cases with a label, or written examples, from folders, CSV, JSONL and data sets.

    read_source("ham10000", "train", data)     the data folders of `train.data`
    read_source("mine.csv", "train", data)     columns image and label; question, split, group, age, sex, site if any
    read_source("pairs.jsonl", "train", data)  TRL's columns: images (paths beside the file), prompt, completion, ...;
                                               boxes, if any, say which part of each image is shown
    read_source("owner/name", "train", data)   a data set of the hub, or one that `datasets` saved, in those columns
    read_source("mine@3", "train", data)       a frozen set of the review (`dermiq.review`), where DERMIQ_REVIEW says

Images stay where they are: a `Row` names its file, and `Measured` keeps what was measured of it. Train and val are
split by patient or lesion, and refused where they share one. Knows no model that is trained.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from dermiq.errors import DataError
from dermiq.review.types import is_frozen_set
from dermiq.types import CLASSES, Finding, PatientContext
from train.data import context_of, data_folder, lesion_of, read_table

if TYPE_CHECKING:
    from dermiq.specialist import Specialist

DATA_SETS = ("ham10000", "pad_ufes_20")
GROUP_COLUMNS = ("group", "patient_id", "lesion_id")  # the coarsest first


@dataclass(frozen=True)
class Row:
    """One labelled image."""

    image: str  # path
    label: str  # one of CLASSES, or the text of an answer
    group: str  # its patient or lesion; its own path where neither is known
    context: PatientContext = field(default_factory=PatientContext)
    question: str = ""
    folder: str = ""  # the data folder that it was drawn of; empty where a file names it

    @property
    def files(self) -> tuple[str, ...]:
        return (self.image,)

    @property
    def kind(self) -> str:
        """What is balanced when few are drawn."""
        return self.label


@dataclass(frozen=True, eq=False)
class Written:
    """One example in TRL's columns."""

    load: Callable[[], Mapping[str, Any]]
    texts: Callable[[], Mapping[str, Any]]  # the same without its images, which are not read
    group: str
    files: tuple[str, ...] = ()
    kind: str = ""


Item = Row | Written
T = TypeVar("T", Row, Written, Item)


# --- reading ----------------------------------------------------------------------------


def read_source(source: str, split: str, data: str = "", *, columns: Sequence[str] = ("prompt", "completion")) -> list:
    """The rows of one source in one split ("train" or "val"); all of them where it names no splits and `split` is
    "train". Raises DataError with what is wrong. `columns` are those that written examples must have.
    """
    if source in DATA_SETS:
        return _of_data_folder(source, split, data)
    if is_frozen_set(source):
        return _of_review(source, split, columns)
    path = Path(source).expanduser()
    if path.suffix == ".csv":
        return _of_csv(path, split)
    if path.suffix == ".jsonl":
        return _of_jsonl(path, split, columns)
    if path.suffix or (not path.is_dir() and source.count("/") != 1):
        raise DataError(
            f"{source} is no data: name one of {', '.join(DATA_SETS)}, a .csv, a .jsonl, a set of the review "
            "(name@version), or a data set of the hub (owner/name) or in a folder."
        )
    return _of_data_set(source, split, columns)


def _of_data_folder(name: str, split: str, data: str) -> list[Row]:
    table = read_table(data_folder(data or None), name, [split])
    return [
        Row(str(row.image), str(row.label), f"{name}:{row.group}", context_of(row), folder=name)
        for row in table.itertuples(index=False)
    ]


def _of_csv(path: Path, split: str) -> list[Row]:
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV table: {str(error).splitlines()[0]}.") from error
    missing = sorted({"image", "label"} - set(table.columns))
    if missing:
        raise DataError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, table.columns))}."
        )
    if len(table) == 0:
        raise DataError(f"{path} has no rows.")
    empty = table.index[table["image"].isna() | table["label"].isna()]
    if len(empty):
        raise DataError(f"{path} has no image or no label in row {empty[0] + 2}.")
    table = _in_split(table, split)
    groups = _groups(table)
    rows = []
    for row, group in zip(table.itertuples(index=False), groups, strict=True):
        image = str(path.parent / str(row.image))
        question = str(row.question) if isinstance(getattr(row, "question", None), str) else ""
        rows.append(Row(image, str(row.label), f"{path.name}:{group}" if group else image, context_of(row), question))
    _refuse_missing_files(rows, path)
    return rows


def _in_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    if "split" in table:
        return table[table["split"].astype(str) == split]
    return table if split == "train" else table.head(0)


def _groups(table: pd.DataFrame) -> list[str]:
    column = next((name for name in GROUP_COLUMNS if name in table), None)
    if column is None:
        return [""] * len(table)
    return ["" if value != value else str(value) for value in table[column]]


def _of_jsonl(path: Path, split: str, columns: Sequence[str]) -> list[Written]:
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            example = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON.") from error
        if not isinstance(example, dict):
            raise DataError(f"{path}: line {number} is not a JSON object.")
        _refuse_missing_columns(example, columns, f"{path}: line {number}")
        _refuse_wrong_boxes(example, f"{path}: line {number}")
        if str(example.get("split", "train")) == split:
            rows.append(_written_line(example, path.parent))
    if not rows and split == "train":
        raise DataError(f"{path} has no rows.")
    _refuse_missing_files(rows, path)
    return rows


def _written_line(example: dict[str, Any], folder: Path) -> Written:
    named = example.pop("images", None) or [example.pop("image")] if example.get("images") or "image" in example else []
    files = tuple(str(folder / str(name)) for name in named)
    boxes = example.pop("boxes", None) or [None] * len(files)
    group = next((str(example[name]) for name in GROUP_COLUMNS if example.get(name) is not None), "")

    def texts() -> Mapping[str, Any]:
        return json.loads(json.dumps(example))

    def load() -> Mapping[str, Any]:
        return {**texts(), "images": [lesion_image(file, box) for file, box in zip(files, boxes, strict=True)]}

    kind = str(example.get("diagnosis", ""))
    return Written(load, texts, group or (files[0] if files else json.dumps(example)), files, kind)


def _of_data_set(name: str, split: str, columns: Sequence[str]) -> list[Written]:
    from datasets import DatasetDict, load_dataset, load_from_disk

    try:
        found = load_from_disk(name) if Path(name).is_dir() else load_dataset(name)
    except Exception as error:
        raise DataError(
            f"The data set {name} could not be loaded ({type(error).__name__}).", detail=str(error)
        ) from error
    if isinstance(found, DatasetDict):
        names = {"val": next((part for part in ("val", "validation") if part in found), ""), "train": "train"}
        if names[split] not in found:
            if split == "val":
                return []
            raise DataError(f"The data set {name} has no split {split!r}; it has {', '.join(found)}.")
        found = found[names[split]]
    elif split == "val":
        return []
    _refuse_missing_columns(dict.fromkeys(found.column_names), columns, f"The data set {name}")
    column = next((group for group in GROUP_COLUMNS if group in found.column_names), None)
    groups = (
        [f"{name}:{value}" for value in found[column]] if column else [f"{name}:{split}:{i}" for i in range(len(found))]
    )
    texts = found.remove_columns([column for column in ("image", "images") if column in found.column_names])
    return [Written(partial(_loaded, found, i), partial(texts.__getitem__, i), group) for i, group in enumerate(groups)]


def _loaded(found: Any, index: int) -> Mapping[str, Any]:
    example = dict(found[index])
    if "image" in example:
        example["images"] = [example.pop("image")]
    return {**example, "images": [image.convert("RGB") for image in example.get("images") or []]}


def _of_review(named: str, split: str, columns: Sequence[str]) -> list[Written]:
    from train.reviewed import lines_of

    found = lines_of(named, split)
    for line in found[:1]:
        _refuse_missing_columns(line, columns, f"The set {named}")
    return [_written_line(line, Path()) for line in found]


def _refuse_missing_columns(example: Mapping[str, Any], columns: Sequence[str], where: str) -> None:
    known = {*example, *(["images"] if "image" in example else [])}
    missing = [column for column in columns if column not in known]
    if missing:
        hint = (
            " (`messages` would train on the questions, too: give prompt and completion)"
            if "messages" in example
            else ""
        )
        raise DataError(f"{where} lacks {', '.join(missing)}; it has {', '.join(example)}{hint}.")


def _refuse_wrong_boxes(example: Mapping[str, Any], where: str) -> None:
    """One box or null an image: whole numbers, top, left, bottom, right, with something between them."""
    boxes = example.get("boxes")
    if boxes is None:
        return
    named = example.get("images") or ([example["image"]] if "image" in example else [])
    if not isinstance(boxes, list) or len(boxes) != len(named) or not all(map(_is_box, boxes)):
        raise DataError(f"{where}: boxes must hold, for each image, null or [top, left, bottom, right] in pixels.")


def _is_box(box: Any) -> bool:
    if box is None:
        return True
    if not isinstance(box, list) or len(box) != 4 or not all(type(edge) is int and edge >= 0 for edge in box):
        return False
    return bool(box[0] < box[2] and box[1] < box[3])


def _refuse_missing_files(rows: Iterable[Item], path: Path) -> None:
    missing = [file for row in rows for file in row.files if not Path(file).is_file()]
    if missing:
        raise DataError(f"{path}: {len(missing)} image(s) do not exist, such as {missing[0]}.")


# --- splits -----------------------------------------------------------------------------


def read_splits(
    train: Sequence[str], val: Sequence[str], *, val_share: float, seed: int, data: str, columns: Sequence[str]
) -> tuple[list, list]:
    """Rows to train on and rows to judge by. Raises DataError where there are none, or where both share a patient,
    a lesion or an image.

    Without `val` a source's own split is used, else a share of its groups.
    """
    ours: list[Item] = []
    theirs: list[Item] = [row for source in val for row in _all_rows(source, data, columns)]
    for source in train:
        rows = read_source(source, "train", data, columns=columns)
        if not val:
            own = read_source(source, "val", data, columns=columns)
            rows, held = (rows, own) if own else split_by_group(rows, val_share, seed)
            theirs += held
        ours += rows
    if not ours:
        raise DataError(f"There is nothing to train on in {', '.join(train)}.")
    refuse_leakage(ours, theirs)
    return ours, theirs


def _all_rows(source: str, data: str, columns: Sequence[str]) -> list[Item]:
    """Of a source that is named to judge by: its val split, else all of it."""
    own = read_source(source, "val", data, columns=columns)
    return own or ([] if source in DATA_SETS else read_source(source, "train", data, columns=columns))


def split_by_group(rows: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Whole groups, at random, until the second part has its share of the rows."""
    names = sorted({row.group for row in rows})
    random.Random(seed).shuffle(names)
    sizes = pd.Series([row.group for row in rows]).value_counts()
    held: set[str] = set()
    count = 0
    for name in names:
        if count >= share * len(rows):
            break
        held.add(name)
        count += int(sizes[name])
    return [row for row in rows if row.group not in held], [row for row in rows if row.group in held]


def refuse_leakage(train: Sequence[Item], val: Sequence[Item]) -> None:
    """Raises DataError where a patient, a lesion or an image is on both sides, also under another name."""
    shared = sorted({row.group for row in train} & {row.group for row in val})
    if shared:
        raise DataError(
            f"Train and val share {len(shared)} patient(s) or lesion(s), such as {shared[0]}: "
            "split by patient or lesion."
        )
    twins = _twins([file for row in train for file in row.files], [file for row in val for file in row.files])
    if twins:
        raise DataError(f"Train and val share {len(twins)} image(s): {twins[0][0]} is also {twins[0][1]}.")


def _twins(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Files of equal content. Only files of equal size are read."""
    sizes: dict[int, list[str]] = {}
    for file in theirs:
        sizes.setdefault(Path(file).stat().st_size, []).append(file)
    found = []
    digests: dict[str, str] = {}

    def digest(file: str) -> str:
        if file not in digests:
            digests[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return digests[file]

    for file in ours:
        for other in sizes.get(Path(file).stat().st_size, ()):
            if digest(file) == digest(other):
                found.append((file, other))
    return found


def labelled(rows: Sequence[Item]) -> list[Row]:
    """The rows, which must all be images labelled with one of the seven classes. Raises DataError."""
    known = [row for row in rows if isinstance(row, Row) and row.label in CLASSES]
    if len(known) < len(rows):
        raise DataError(
            f"{len(rows) - len(known)} example(s) cannot be asked about: they must be images labelled with one of "
            f"{', '.join(CLASSES)}."
        )
    return known


def is_of_folder(row: Item) -> bool:
    """Whether it was drawn of a data folder, not named by whoever starts a run."""
    return isinstance(row, Row) and bool(row.folder)


def choose(rows: Sequence[T], count: int, seed: int) -> list[T]:
    """At most `count` rows (0: all) in a random order, every kind as often as the others while it lasts."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    if not count or count >= len(shuffled):
        return shuffled
    seen: dict[str, int] = {}
    ranks = []
    for row in shuffled:
        ranks.append(seen.get(row.kind, 0))
        seen[row.kind] = ranks[-1] + 1
    order = sorted(range(len(shuffled)), key=lambda i: ranks[i])
    return [shuffled[i] for i in order[:count]]


# --- measuring --------------------------------------------------------------------------


Box = tuple[int, int, int, int]
"""Top, left, bottom, right, in pixels of the upright image."""


def lesion_image(path: str, box: Box | None = None) -> Image.Image:
    """The image, or what the box holds of it. Raises DataError where that is nothing."""
    pixels = lesion_of(path).pixels
    if box is not None:
        pixels = pixels[box[0] : box[2], box[1] : box[3]]
        if not pixels.size:
            raise DataError(
                f"{path} has nothing in the box {list(box)}: is it another image than the box was made for?"
            )
    return Image.fromarray(np.ascontiguousarray(pixels))


@dataclass(frozen=True)
class Measurement:
    """What the specialist says of one image."""

    findings: tuple[Finding, ...]
    probabilities: Mapping[str, float]
    window: Box  # the square around the lesion that a consultation shows to every VLM


@dataclass(frozen=True)
class Case:
    """A labelled image with what was measured of it; a `train.texts.Taught`."""

    row: Row
    measured: Measurement

    @property
    def label(self) -> str:
        return self.row.label

    @property
    def context(self) -> PatientContext:
        return self.row.context

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.measured.findings

    @property
    def probabilities(self) -> Mapping[str, float]:
        return self.measured.probabilities


MEASURED = ("key", "findings", "probabilities", "window")


class Measured:
    """Measures each image once, when it is first asked for, and keeps that in a file of its own folder."""

    def __init__(self, folder: Path, *, rank: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"measured-{rank}.jsonl"
        self._known: dict[str, dict[str, Any]] = {}
        for file in sorted(folder.glob("measured-*.jsonl")):
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    value = json.loads(line)
                    self._known[value["key"]] = {name: value[name] for name in MEASURED}
                except (ValueError, KeyError):  # torn when the process ended, or of an older version: measured again
                    continue

    def of(self, path: str) -> Measurement:
        stat = Path(path).stat()
        key = f"{_content(path, stat.st_size, stat.st_mtime_ns)}:{specialist().revision}"
        if key not in self._known:
            value = {"key": key, **json.loads(_measured(path, key))}
            with self._file.open("a", encoding="utf-8") as file:
                file.write("\n" if self._torn() else "")
                file.write(json.dumps(value) + "\n")
            self._known[key] = value
        value = self._known[key]
        return Measurement(
            tuple(Finding(**finding) for finding in value["findings"]),
            value["probabilities"],
            tuple(value["window"]),
        )

    def _torn(self) -> bool:
        text = self._file.read_bytes()
        return bool(text) and not text.endswith(b"\n")

    def window(self, path: str) -> Image.Image:
        """The square around the lesion that a consultation shows to every VLM."""
        return lesion_image(path, self.of(path).window)


@lru_cache(maxsize=1)
def specialist() -> Specialist:
    """Shared by whatever measures in this process."""
    from dermiq.specialist import Specialist

    return Specialist.load()


@lru_cache(maxsize=100_000)
def _content(path: str, size: int, changed: int) -> str:
    """By which an image is known again, wherever it lies."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


_READ: dict[str, str] = {}  # what was read in this process, by content: runs that follow each other share it


def _measured(path: str, key: str) -> str:
    """As JSON, so that it is the same whether it is kept or new."""
    if key not in _READ:
        from dermiq.specialist import window_box

        reading, calibration = specialist().read(lesion_of(path)), specialist().calibration
        window = window_box(reading.outline, extents=calibration.window, smallest=calibration.smallest_window)
        _READ[key] = json.dumps(
            {
                "findings": [asdict(finding) for finding in reading.findings],
                "probabilities": dict(reading.probabilities),
                "window": list(window),
            }
        )
    return _READ[key]
