"""Text tables as people have them: CSV of a spreadsheet, of pandas, of another country. Knows no column.

    for row in read_table_rows("mine.csv"):
        row.line, row.cells["label"]

Read are UTF-8, UTF-16 and UTF-32 with their marks, UTF-16 without, and else Windows-1252; commas, semicolons, tabs and
bars, or what Excel's `sep=` line says; quoted cells of several lines; rows with empty cells too many, or left out at
the end. What cannot be read for certain is refused with its line: no row and no cell is dropped that holds anything.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dermiq.errors import DataError
from dermiq.files.paths import is_file

SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
DELIMITERS = (",", ";", "\t", "|")
_MARKS = (  # the longer first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = (
    (b"PK\x03\x04", "a workbook or a zip"),
    (b"\xd0\xcf\x11\xe0", "a workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "compressed"),
    (b"%PDF", "a PDF"),
    (b"<", "a web page or XML"),
)
_SAMPLE = 50  # rows by which the delimiter is told
_LONGEST = 10_000_000  # characters of one cell

Numbered = tuple[int, list[str]]
"""The line in which a row begins, and its cells."""


@dataclass(frozen=True)
class TableRow:
    """One row. `cells` has every column, by its name in lower case with _ for spaces; the text is as it was written."""

    line: int  # in which it begins; the first line of the file is 1
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Of a cell, without spaces around it; "" where there is no such column."""
        return self.cells.get(column, "").strip()


def is_table(path: Path) -> bool:
    """Whether a file is called as text tables, or workbooks, are: the latter are refused with what to do. A file whose
    name has no suffix at all, such as HAM10000_metadata, is taken for one.
    """
    return path.suffix.lower() in (*SUFFIXES, *WORKBOOKS) or (not path.suffix and is_file(path))


def read_table_rows(
    source: str | Path | bytes, *, called: str = "", names_for: Callable[[list[str]], Sequence[str]] | None = None
) -> list[TableRow]:
    """All rows that hold anything. DataError, which calls the table `called`, where it cannot be read as one.

    `names_for` is given the cells of the first row; where it gives names, that row is no heading but has these columns.
    """
    called = called or ("The table" if isinstance(source, bytes) else str(source))
    text = text_of_table(source if isinstance(source, bytes) else _bytes_of(Path(source), called), called)
    said = re.match(r"\s*\"?sep=([^\r\n])\"?\s*?(\r\n|\r|\n)", text)
    if said:
        text = said.group(2) + text[said.end() :]  # an empty line in its place: the others keep their numbers
    rows = list(_split(text, said.group(1) if said else _delimiter(text), called))
    if not rows:
        raise DataError(f"{called} is empty.")
    if names_for and (given := names_for(rows[0][1])):
        rows.insert(0, (0, list(given)))
    if len(rows) == 1:
        raise DataError(f"{called} has no rows.")
    names = _names(rows, called)
    return [TableRow(line, _cells(names, cells, called, line)) for line, cells in rows[1:]]


def _bytes_of(path: Path, called: str) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"{called} does not exist.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise DataError(f"{called} cannot be read: {said}.") from error


# --- letters ----------------------------------------------------------------------------


def text_of_table(data: bytes, called: str) -> str:
    """The letters of a file. DataError where that is not certain."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding, called)
    for beginning, what in _OTHER_FILES:
        if data.lstrip(b" \r\n\t").startswith(beginning):
            raise DataError(f"{called} is no text table but {what}. Save it as CSV, in UTF-8, and name that file.")
    if b"\0" in data:
        return _decoded(data, _without_mark(data), called)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _of_windows(data, called, at=error.start)


def _without_mark(data: bytes) -> str:
    """By where the zeros of common letters stand; UTF-8, in which a zero is refused, where that is not plain."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if len(data) % 2 == 0 and max(even, odd) > 0.4 * len(data) / 2 and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    return "utf-8"


def _decoded(data: bytes, encoding: str, called: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        name = encoding.upper().removesuffix("-SIG")
        raise DataError(f"{called} is damaged in line {line}: it is no {name}. Save it anew.") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{called} has a zero byte in line {line}: it is damaged, or no text. Save it anew, in UTF-8.")
    return text


def _of_windows(data: bytes, called: str, *, at: int) -> str:
    """What is no UTF-8, as Windows-1252; refused where it has bytes that this does not know, or is UTF-8 for the most
    part: it is then damaged."""
    hint = "Save it as CSV in UTF-8."
    line = _line_at(data, at)
    letters = data.decode("utf-8", errors="replace")
    broken = letters.count("\ufffd")
    if sum(letter > "\x7f" for letter in letters) - broken >= broken:
        raise DataError(f"{called} is UTF-8, and damaged in line {line}. {hint}")
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        raise DataError(f"{called} is neither UTF-8 nor Windows-1252 (line {line}). {hint}") from error
    if re.search(r"[\x01-\x08\x0e-\x1f]", text):
        raise DataError(f"{called} is no text table. {hint}")
    return text


def _line_at(data: bytes, place: int) -> int:
    return data[:place].count(b"\n") + 1


# --- rows and cells ---------------------------------------------------------------------


def _delimiter(text: str) -> str:
    """The one by which most of the first rows have as many cells as the first, and then the one that gives most."""
    best, chosen = (0.0, 1), DELIMITERS[0]
    for delimiter in DELIMITERS:
        try:
            rows = list(islice(_split(text, delimiter, ""), _SAMPLE))
        except DataError:
            continue
        wide = len(_full(rows[0][1])) if rows else 0
        if wide > 1 and (found := (_alike(rows, wide), wide)) > best:
            best, chosen = found, delimiter
    return chosen


def _alike(rows: list[Numbered], wide: int) -> float:
    """The share of rows of this many cells, empty ones at the end aside."""
    return sum(len(_full(cells)) <= wide <= len(cells) for _, cells in rows) / len(rows)


def _full(cells: list[str]) -> list[str]:
    """Without the empty cells at the end."""
    last = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return cells[:last]


def _split(text: str, delimiter: str, called: str) -> Iterator[Numbered]:
    """Rows that hold anything. A quote that is never closed would swallow the rows behind it: it is refused."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    begins = 1
    csv.field_size_limit(_LONGEST)  # of the process; its default is too short for some texts
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f'{called}: the row that begins in line {begins} cannot be split into cells: a quote " is not closed, or '
            'stands inside a quoted text, where it must be written twice (""). Between cells there must be a comma, a '
            "semicolon, a tab or a bar.",
            detail=str(error),
        ) from error


def _names(rows: list[Numbered], called: str) -> list[str]:
    """Of the columns, "" for one to leave out. DataError where a column that holds anything has no name of its own."""
    line, first = rows[0]
    names = [column_name(name) for name in _full(first)]
    for place, name in enumerate(names):
        if not name and not _is_numbering(place, rows) and any(_at(cells, place) for _, cells in rows[1:]):
            raise DataError(f"{called}: column {place + 1} has no name in line {line}. Give it one.")
        if name and name in names[:place]:
            raise DataError(f"{called} has two columns called {name} in line {line}. Rename or remove one of them.")
    return names


def column_name(written: str) -> str:
    """'Skin type ' -> 'skin_type'."""
    return re.sub(r"[\s\-]+", "_", written.replace("\ufeff", "").strip().lower())


def _at(cells: list[str], place: int) -> str:
    return cells[place].strip() if place < len(cells) else ""


def _is_numbering(place: int, rows: list[Numbered]) -> bool:
    """Whether the column counts the rows, as pandas writes in front when it is not told otherwise."""
    numbers = [_at(cells, place) for _, cells in rows[1:]]
    return place == 0 and all(number.isascii() and number.isdigit() for number in numbers)


def _cells(names: list[str], cells: list[str], called: str, line: int) -> dict[str, str]:
    if len(_full(cells)) > len(names) == 1:
        raise DataError(
            f"{called}: the first line holds one cell, and line {line} has {len(_full(cells))}. The first line must "
            "name the columns: remove what stands above them."
        )
    if len(_full(cells)) > len(names):
        raise DataError(
            f"{called}: the row in line {line} has {len(_full(cells))} cells, but there are {len(names)} columns. Put "
            "a text that holds the separator into quotes."
        )
    return {name: cells[place] if place < len(cells) else "" for place, name in enumerate(names) if name}
