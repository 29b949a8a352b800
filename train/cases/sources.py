"""What a stage trains on: cases with a label, or written examples, from folders, CSV, JSONL and data sets.

    read_source("ham10000", "train", data)     the data folders of `train.cases.data`
    read_source("mine.csv", "train", data)     one labelled image a row, as `train.cases.labelled` reads tables:
    columns image
                                               and label; question, split, group, age, sex, site, skin_type if any
    read_source("pairs.jsonl", "train", data)  questions with an answer, or with two, as `dermiq.files.examples` reads
    files
                                               (JSONL, JSON, CSV, Parquet); boxes, if any, say which part is shown
    read_source("owner/name", "train", data)   the same of a data set of the hub, or one that `datasets` saved
    read_source("mine@3", "train", data)       a frozen set of the review (`dermiq.review`), where DERMIQ_REVIEW says

Images stay where they are: a `Row` names its file, and `Measured` keeps what was measured of it. Train and val are
split by patient or lesion, and refused where they share one. Knows no model that is trained.
"""

from __future__ import annotations

import copy
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

from dermiq.data_sets import DATA_SETS, NAMED
from dermiq.errors import DataError, DermIQError, ImageError
from dermiq.files.examples import (
    Example,
    Held,
    Kind,
    examples_of,
    is_data_set,
    is_examples_file,
    is_written_table,
    read_examples,
)
from dermiq.files.nearby import Nearby
from dermiq.files.paths import is_file
from dermiq.files.tables import is_table
from dermiq.lesion import read_lesion
from dermiq.review.types import is_frozen_set
from dermiq.types import CLASSES, Fields, Finding, Json, PatientContext
from train.cases.data import context_of, data_folder, lesion_of, read_table
from train.cases.identity import identity, source_of
from train.cases.labelled import quiet, read_labelled, refuse_missing

if TYPE_CHECKING:
    from dermiq.specialist import Specialist


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

    load: Callable[[], Fields]
    texts: Callable[[], Fields]  # the same without its images, which are not read
    group: str
    files: tuple[str, ...] = ()
    kind: str = ""


Item = Row | Written
T = TypeVar("T", Row, Written, Item)
Say = Callable[[str], None]
"""Is told a sentence that somebody should read."""


# --- reading ----------------------------------------------------------------------------


def read_source(
    source: str,
    split: str,
    data: str = "",
    *,
    columns: Sequence[str] = ("prompt", "completion"),
    labels: str = "classes",
    say: Say = quiet,
) -> list[Any]:
    """The rows of one source in one split ("train" or "val"); all of them where it names no splits and `split` is
    "train". Raises DataError with what is wrong.

    `columns` are those that written examples must have, `labels` how those of tables are read (`train.cases.labelled`).
    `say` is told what was left out or taken as not stated.
    """
    if source in DATA_SETS:
        return _of_data_folder(source, split, data, say)
    if is_frozen_set(source):
        return _of_review(source, split, columns)
    path = Path(source).expanduser()
    if is_table(path) and not is_written_table(path):
        return _of_table(path, split, labels, say)
    if is_table(path) or is_examples_file(path) or is_data_set(str(path)):
        return _of_written(str(path), split, columns, say)
    raise DataError(
        f"{source} is no data: name one of {NAMED}, a .csv, .tsv, .jsonl, .json or .parquet file, a set "
        "of the review (name@version), or a data set of the hub (owner/name) or in a folder."
    )


def _of_data_folder(name: str, split: str, data: str, say: Say) -> list[Row]:
    table = read_table(data_folder(data or None), name, [split])
    for what, count in table.attrs["left_out"].items():
        say(f"{name}: {count:,} row(s) of {split} are left out: {what} is none of the seven classes.")
    return [
        Row(str(row.image), str(row.label), f"{name}:{row.group}", context_of(row), folder=name)
        for row in table.itertuples(index=False)
    ]


def _of_table(path: Path, split: str, labels: str, say: Say) -> list[Row]:
    table = read_labelled(path, splits=("train", "val"), only=split, labels=labels)
    for note in table.notes:
        say(note)
    refuse_missing(table.rows, path)
    return [Row(row.image, row.label, row.group, row.context, row.question) for row in table.rows]


def _of_written(source: str, split: str, columns: Sequence[str], say: Say) -> list[Written]:
    """Of a file or a data set; its examples of the split. DataError with the first that cannot be used."""
    path = Path(source).expanduser()
    reader = _Reader(split, called=source, path=path, source=source_of(source))
    rows = reader.read(read_examples(source, _kind(columns)))
    if not rows and split == "train":
        raise DataError(f"{source} has no rows to train on.")
    if reader.unused:
        say(f"{path.name}: {reader.unused:,} example(s) of the split test are not used.")
    _refuse_missing_files(rows, path)
    return rows


def _of_review(named: str, split: str, columns: Sequence[str]) -> list[Written]:
    from train.cases.reviewed import lines_of

    lines = enumerate(lines_of(named, split), 1)
    examples = (one for number, line in lines for one in examples_of(f"Line {number}", line, _kind(columns)))
    return _Reader(split, called=f"The set {named}", path=Path(), source=named).read(examples)


def _kind(columns: Sequence[str]) -> Kind:
    if "chosen" in columns:
        return "pairs"
    return "answers" if "completion" in columns else "any"


@dataclass
class _Reader:
    """Turns the examples of one source into what a stage learns from."""

    split: str  # those that are wanted
    called: str
    path: Path  # beside which images lie
    source: str  # as `train.cases.identity` says
    unused: int = 0  # of the split test

    def __post_init__(self) -> None:
        self._nearby = Nearby(self.path)

    def read(self, examples: Iterable[Example]) -> list[Written]:
        rows, faults = [], []
        for example in examples:
            try:
                rows += self._wanted(example)
            except DermIQError as error:
                faults.append(f"{example.where[0].lower()}{example.where[1:]}: {error}")
        if faults:
            more = f" {len(faults) - 1:,} more cannot be used." if len(faults) > 1 else ""
            raise DataError(f"{self.called}: {faults[0]}{more}")
        return rows

    def _wanted(self, example: Example) -> list[Written]:
        if example.fault:
            raise DataError(example.fault)
        split = example.columns.get("split", "train")
        self.unused += split == "test"
        return [self._written(example)] if split == self.split else []

    def _written(self, example: Example) -> Written:
        columns = dict(example.columns)
        images = [self._nearby.find(one)[0] if isinstance(one, str) else one for one in columns.pop("images")]
        boxes = columns.pop("boxes", None) or [None] * len(images)
        columns.pop("split", None)
        files = tuple(image for image in images if isinstance(image, str))

        def texts() -> Fields:
            return copy.deepcopy(columns)

        def load() -> Fields:
            return {**texts(), "images": [shown(image, box) for image, box in zip(images, boxes, strict=True)]}

        own = files[0] if files else f"{self.called}:{example.where}"
        return Written(load, texts, self._group(columns) or own, files, str(columns.get("diagnosis", "")))

    def _group(self, columns: Fields) -> str:
        """What was written here with the group of a row is about the patient of that row."""
        said = str(columns.get("group", ""))
        is_ours = said.partition(":")[0] in DATA_SETS or (" (of " in said and said.endswith(")"))
        return said if is_ours else identity(columns, self.source)


def _refuse_missing_files(rows: Iterable[Item], path: Path) -> None:
    missing = [file for row in rows for file in row.files if not is_file(Path(file))]
    if missing:
        hint = Nearby(path).hint(missing[0])
        raise DataError(f"{path}: {len(missing)} image(s) do not exist, such as {missing[0]}.{hint}")


def once(say: Say) -> Say:
    """Says each sentence once: a source is read for each of its splits."""
    said: set[str] = set()

    def say_once(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            say(sentence)

    return say_once


# --- splits -----------------------------------------------------------------------------


def read_splits(
    train: Sequence[str],
    val: Sequence[str],
    *,
    val_share: float,
    seed: int,
    data: str,
    columns: Sequence[str],
    labels: str = "classes",
    say: Say = quiet,
) -> tuple[list[Any], list[Any]]:
    """Rows to train on and rows to judge by. Raises DataError where there are none, or where both share a patient,
    a lesion or an image.

    Without `val` a source's own split is used, else a share of its groups. `labels` and `say` as for `read_source`.
    """
    read = partial(read_source, data=data, columns=columns, labels=labels, say=once(say))
    ours: list[Item] = []
    theirs: list[Item] = [row for source in val for row in _all_rows(source, read)]
    for source in train:
        rows = read(source, "train")
        if not val:
            own = read(source, "val")
            rows, held = (rows, own) if own else split_by_group(rows, val_share, seed)
            theirs += held
        ours += rows
    if not ours:
        raise DataError(f"There is nothing to train on in {', '.join(train)}.")
    refuse_leakage(ours, theirs)
    return ours, theirs


def _all_rows(source: str, read: Callable[[str, str], list[Item]]) -> list[Item]:
    """Of a source that is named to judge by: its val split, else all of it."""
    own = read(source, "val")
    return own or ([] if source in DATA_SETS else read(source, "train"))


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
            f"Train and val share {len(shared)} patient(s) or lesion(s), such as {shared[0]}: split by patient or "
            "lesion. Where two sources number their patients alike, give each a folder of its own, or say which is "
            "which in a column `source`."
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
    return _cut(lesion_of(path).pixels, box, path)


def shown(image: str | bytes | Held, box: Box | None = None) -> Image.Image:
    """The same of an image that a written example names or holds."""
    found = image.load() if isinstance(image, Held) else image
    if isinstance(found, str):
        return lesion_image(found, box)
    try:
        return _cut(read_lesion(found).pixels, box, "The image of an example")
    except ImageError as error:
        raise DataError(f"The image of an example: {error}", detail=error.detail) from error


def _cut(pixels: np.ndarray, box: Box | None, called: str) -> Image.Image:
    if box is not None:
        pixels = pixels[box[0] : box[2], box[1] : box[3]]
        if not pixels.size:
            raise DataError(
                f"{called} has nothing in the box {list(box)}: is it another image than the box was made for?"
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
    """A labelled image with what was measured of it; a `train.cases.texts.Taught`."""

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
        self._known: dict[str, Json] = {}
        for file in sorted(folder.glob("measured-*.jsonl")):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    value = json.loads(line)
                    self._known[value["key"]] = {name: value[name] for name in MEASURED}
                except (
                    ValueError,
                    KeyError,
                    TypeError,
                ):  # torn, or of an older version: measured again
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
