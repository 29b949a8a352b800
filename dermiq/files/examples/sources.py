"""Files and data sets as rows, one after the other, each with the place where it stands. Knows no column.

JSONL and JSON may be in UTF-8, UTF-16 or Windows-1252, with any line ends; only a line end ends a line, and not the
separators of Unicode. Large files are read piece by piece; of data sets, images are read when they are asked for.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dermiq.errors import DataError
from dermiq.files.examples.pictures import COLUMNS, NOTHING, Held
from dermiq.files.splits import split_of
from dermiq.files.tables import is_table, read_table_rows
from dermiq.types import Fields, Json

if TYPE_CHECKING:
    from datasets import Dataset

Row = Fields
Rows = Iterator[tuple[str, Row | str]]
"""Where a row stands, and the row, or what is wrong with it."""

LINES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*LINES, ".parquet")
TELLING = ("chosen", "rejected", "completion", "answer", "response", "output", "messages", "conversations")
ASKING = ("prompt", "question", "instruction", "query")
LABELS = frozenset(("label", "dx", "diagnosis", "diagnostic"))
WRAPPERS = ("data", "rows", "examples", "records", "samples", "instances")
"""Under which name programs put the rows of a whole file into one object."""

INNER = ("annotations", "completions", "predictions", "responses", "result", "items")
"""Lists that belong to one row of an export."""

PIECE = 1 << 20  # bytes or characters that are read at once
LARGEST_OBJECT = 1 << 28  # bytes of a file that is one object
REPLACED = "\ufffd"  # what stands for bytes that are no UTF-8
SPACE = "\ufeff \t\r\n"
MARKS = (  # the longest first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECODER = json.JSONDecoder()
_SAVED = ("dataset_dict.json", "state.json")  # in a folder that `datasets` saved


def is_examples_file(path: Path) -> bool:
    """Whether its name says that it holds written examples; tables do where `is_written_table`."""
    return path.suffix.lower() in SUFFIXES


def is_written_table(path: Path) -> bool:
    """Whether a table holds answers, and not the labels of images. DataError where it cannot be read."""
    columns = read_table_rows(path)[0].cells
    is_pair = "chosen" in columns and "rejected" in columns
    return is_pair or (not LABELS & set(columns) and any(name in columns for name in (*TELLING, *ASKING)))


def is_data_set(source: str) -> bool:
    """Whether it is a folder, or named as the hub names data sets (owner/name)."""
    path = Path(source)
    return path.is_dir() or (not path.suffix and source.count("/") == 1 and not path.is_file())


def rows_of(source: str, *, kind: str = "") -> Rows:
    """DataError where there is nothing that can be read. `kind` chooses among splits that are made for a purpose."""
    path = Path(source).expanduser()
    if is_data_set(str(path)):
        return _of_data_set(str(path), kind)
    if not (is_examples_file(path) or is_table(path)):
        raise DataError(
            f"{source} is no source of examples: name a .jsonl, .json, .csv, .tsv or .parquet file, or a data set of "
            "the hub (owner/name) or in a folder."
        )
    if not path.is_file():
        raise DataError(f"{source} does not exist.")
    return _refusing_faults_of_the_disk(path)


def _refusing_faults_of_the_disk(path: Path) -> Rows:
    try:
        if path.suffix.lower() == ".parquet":
            yield from _of_parquet(path)
        elif path.suffix.lower() in LINES:
            yield from _of_json(path)
        else:
            yield from _of_table(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", detail=repr(error)) from error


# --- tables -----------------------------------------------------------------------------


def _of_table(path: Path) -> Rows:
    """Cells that hold nothing are left out."""
    for row in read_table_rows(path):
        yield f"Line {row.line}", {name: text for name, text in row.cells.items() if text.strip() not in NOTHING}


def _of_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        number = 0
        for batch in ParquetFile(path).iter_batches(1000):
            for row in batch.to_pylist():
                number += 1
                yield f"Row {number}", row
    except (pyarrow.ArrowException, ValueError) as error:  # the latter for texts that are none
        raise DataError(f"{path.name} is no Parquet file, or is damaged.", detail=str(error)) from error


# --- JSON -------------------------------------------------------------------------------


def _of_json(path: Path) -> Rows:
    encoding = _encoding(path)
    try:
        with path.open(encoding=encoding) as file:
            yield from _of_text(file, path, encoding)
    except UnicodeError as error:
        raise DataError(f"{path.name} is damaged, or no text: save it anew, in UTF-8.", detail=str(error)) from error


def _of_text(file: TextIO, path: Path, encoding: str) -> Rows:
    beginning = file.read(PIECE).lstrip(SPACE)[:1]
    file.seek(0)
    rows = _of_array(file) if beginning == "[" else _of_lines(file)
    first, second = next(rows, None), next(rows, None)
    if first is None:
        raise DataError(f"{path.name} has no rows.")
    whole = None
    if beginning == "{" and isinstance(first[1], str):
        whole = _whole(path, encoding)
    elif beginning == "{" and second is None and isinstance(first[1], dict):
        whole = _within(first[1], first[0], WRAPPERS)
    yield from whole or chain(filter(None, (first, second)), rows)


def _encoding(path: Path) -> str:
    """Of a text file: what its mark says, else UTF-8, else Windows-1252. DataError for UTF-8 that is damaged."""
    with path.open("rb") as file:
        beginning = file.read(4)
    for mark, name in MARKS:
        if beginning.startswith(mark):
            return name
    if b"\0" in beginning:
        return "utf-16-be" if beginning.startswith(b"\0") else "utf-16-le"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(PIECE):
                pass
    except UnicodeDecodeError:
        _refuse_damaged(path)
        return "cp1252"
    return "utf-8-sig"


def _refuse_damaged(path: Path) -> None:
    """DataError where more of the letters beyond ASCII are UTF-8 than not."""
    line, broken, letters, before = 0, 0, 0, 1
    with path.open(encoding="utf-8", errors="replace") as text:
        while piece := text.read(PIECE):
            place = piece.find(REPLACED)
            line = line or (before + piece.count("\n", 0, place) if place >= 0 else 0)
            broken += piece.count(REPLACED)
            letters += sum(letter > "\x7f" for letter in piece)
            before += piece.count("\n")
    if letters - broken >= broken:
        raise DataError(f"{path.name} is UTF-8, and damaged in line {line}: save it anew, in UTF-8.")


def _of_lines(file: TextIO) -> Rows:
    """Each line an object. A line that is none is told, and the others are read."""
    for number, line in enumerate(file, 1):
        if line := line.strip(SPACE):
            yield f"Line {number}", _parsed(line)


def _parsed(line: str) -> Row | str:
    try:
        row = json.loads(line[:-1] if line.endswith("},") else line)
    except RecursionError:
        return "it is nested too deeply."
    except ValueError as error:
        return f"it is not JSON ({_fault(error)}): a line must hold one whole object."
    return row if isinstance(row, dict) else "it is not a JSON object."


def _fault(error: ValueError) -> str:
    return f"{error.msg} at character {error.colno}" if isinstance(error, json.JSONDecodeError) else "a number too long"


def _of_array(file: TextIO) -> Rows:
    """The objects of one list, piece by piece, each with the line in which it begins. What is broken ends it: where
    the next one would begin is not certain.
    """
    text, number = _Text(file), 0
    text.skip(SPACE)
    text.skip("[")
    while (beginning := text.skip(SPACE + ",")) not in ("", "]"):
        number += 1
        where = f"Example {number}, line {text.line}"
        row = text.value() if beginning == "{" else "it is not a JSON object; what follows it was not read."
        yield where, row
        if isinstance(row, str):
            return


class _Text:
    """What is still to be read of a file, a piece of it in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._place = file, "", 0
        self._at_end = False
        self.line = 1

    def skip(self, letters: str) -> str:
        """Goes behind them; the letter that is next, "" at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in letters:
                    return self._text[self._place]
                self.line += self._text[self._place] == "\n"
                self._place += 1
            if not self._more():
                return ""

    def value(self) -> Row | str:
        """The object that begins here, or what is wrong with it."""
        found: Row
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._place)
            except RecursionError:
                return "it is nested too deeply; what follows it was not read."
            except ValueError as error:
                if not self._more():
                    return f"it is not JSON ({_fault(error)}); what follows it was not read."
                continue
            self.line += self._text.count("\n", self._place, end)
            self._place = end
            return found

    def _more(self) -> bool:
        """Reads on, twice as much where one object is long."""
        if self._at_end:
            return False
        self._text, self._place = self._text[self._place :], 0
        piece = self._file.read(max(PIECE, len(self._text)))
        self._text += piece
        self._at_end = not piece
        return bool(piece)


def _whole(path: Path, encoding: str) -> Rows | None:
    """Of a file that is one object over many lines: itself, or the list of objects in it. None where it is none."""
    if path.stat().st_size > LARGEST_OBJECT:
        return None
    try:
        found = json.loads(path.read_text(encoding=encoding).lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return _within(found, "Example 1", [name for name in found if name not in INNER])


def _within(found: Row, where: str, wrappers: Collection[str]) -> Rows:
    """The rows that one object holds, as programs wrap them and pandas writes tables; else itself."""
    rows: Any = _of_pandas(found) or _by_split(found) or None
    lists = [found[name] for name in found if name in wrappers and _is_list_of_objects(found[name])]
    if rows is None and len(lists) == 1 and not any(name in found for name in (*TELLING, *ASKING)):
        rows = lists[0]
    if rows is None:
        return iter([(where, found)])
    return (
        (f"Example {i}", row if isinstance(row, dict) else "it is not a JSON object.") for i, row in enumerate(rows, 1)
    )


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _of_pandas(found: Row) -> list[Row] | None:
    """A table by its columns, as `to_json` writes it when it is not told otherwise, by its rows, or split into both."""
    if set(found) == {"columns", "index", "data"}:
        return [dict(zip(found["columns"], cells, strict=False)) for cells in found["data"]]
    inner = list(found.values())
    if not inner or not all(isinstance(one, dict) and one for one in inner):
        return None
    keys = list(inner[0])
    if all(key.isdigit() for key in keys) and all(list(one) == keys for one in inner):
        return [{name: cells[key] for name, cells in found.items()} for key in keys]
    are_rows = all(any(name in one for name in TELLING) for one in inner)
    return inner if are_rows or all(key.isdigit() for key in found) else None


def _by_split(found: Row) -> list[Row]:
    """Of an object with a list of rows for each split."""
    if not all(split_of(name) and isinstance(rows, list) for name, rows in found.items()):
        return []
    return [{"split": name, **row} if isinstance(row, dict) else row for name, rows in found.items() for row in rows]


# --- data sets --------------------------------------------------------------------------


def _of_data_set(name: str, kind: str) -> Rows:
    """Every split, with its name in `split` where the rows have none."""
    for split, rows in _parts(name, kind).items():
        columns = [column for column in COLUMNS if column in rows.column_names]
        texts = rows.remove_columns([column for column in columns if _holds_images(rows, column)])
        counts = {column: _counts(rows, column) for column in columns if _holds_images(rows, column)}
        files = rows.with_format("arrow")
        for number in range(len(rows)):
            held = {column: _held(files, number, column, found[number]) for column, found in counts.items()}
            own = texts[number] if texts.column_names else {}
            yield f"Row {number + 1} of {split}", {"split": split, **own, **held}


def _parts(name: str, kind: str) -> Json:
    from datasets import DatasetDict

    found = _loaded(name)
    parts = dict(found) if isinstance(found, DatasetDict) else {"train": found}
    ending = {"pairs": "_prefs", "answers": "_sft"}.get(kind, "")  # as UltraFeedback and its likes name them
    own = {part.removesuffix(ending): rows for part, rows in parts.items() if ending and part.endswith(ending)}
    return own or parts


def _loaded(name: str) -> Dataset:
    from datasets import load_dataset, load_from_disk

    folder = Path(name)
    if folder.is_dir() and not any((folder / file).is_file() for file in _SAVED):
        inside = sorted(path.name for path in folder.iterdir() if is_examples_file(path) or is_table(path))
        hint = f"name a file in it, such as {folder / inside[0]}" if inside else "there is no data file in it"
        raise DataError(f"{name} is no data set that was saved: {hint}.")
    try:
        return load_from_disk(name) if folder.is_dir() else load_dataset(name)
    except Exception as error:
        raise DataError(
            f"The data set {name} could not be loaded ({type(error).__name__}).", detail=str(error)
        ) from error


def _holds_images(rows: Dataset, column: str) -> bool:
    """Whether `datasets` would decode them; paths are texts."""
    feature = rows.features[column]
    return "Image" in type(getattr(feature, "feature", feature)).__name__


def _counts(rows: Dataset, column: str) -> list[int | None]:
    """How many images each row has, without reading them; None where there is none, -1 where one stands alone."""
    import pyarrow.compute as pc

    found: list[int | None] = []
    for batch in rows.select_columns([column]).with_format("arrow").iter(1000):
        values = batch[column]
        is_list = hasattr(values.type, "value_type")
        found += (pc.list_value_length(values) if is_list else pc.if_else(pc.is_valid(values), -1, None)).to_pylist()
    return found


def _held(rows: object, number: int, column: str, count: int | None) -> object:
    if count is None:
        return None
    return Held(rows, number, column, None) if count < 0 else [Held(rows, number, column, i) for i in range(count)]
