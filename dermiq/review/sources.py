"""Where pairs come from: files of `train.preferences`, and JSONL, CSV, Parquet and data sets in TRL's columns.

    imported = import_pairs(store, "pairs.jsonl", by="ana")

A source is read twice: first every line is checked, and where one cannot be used nothing is imported at all, unless
that is asked for. What is there already counts as a duplicate, so that the same source can be imported again. Images
enter the store here, on purpose. Knows no page and no `train`.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dermiq.errors import DataError
from dermiq.review.pictures import Outliner, Pictures
from dermiq.review.rows import Row, pair_of
from dermiq.review.store import Store
from dermiq.review.types import NewPair

IN_CELLS = ("prompt", "chosen", "rejected", "images", "boxes", "scores", "reasons", "made", "models", "findings")
"""Columns whose cells in a table may be JSON."""


@dataclass(frozen=True)
class Imported:
    """What became of a source. Where lines were refused and that was not allowed, nothing was imported."""

    cases: int
    pairs: int
    duplicates: int
    refused: tuple[str, ...]  # a sentence a line, with its number


def import_pairs(
    store: Store,
    source: str | Path,
    *,
    by: str,
    gold: bool = False,
    overlap: int | None = None,
    despite_refused: bool = False,
    anywhere: bool = True,
    outline: Outliner | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Imported:
    """Puts all pairs of a source into the queue. DataError where the source itself cannot be read.

    `gold`: what the source prefers is the known answer. `overlap`: reviewers that are wanted for each. `anywhere`: no
    says that images must lie below the file's own folder, as for a file that a visitor sends. `outline` draws the
    lesion's border. `progress` is told how many lines were checked.
    """
    with tempfile.TemporaryDirectory() as folder:
        pictures = Pictures(Path(folder), outline=outline, purged=store.purged())
        image = partial(pictures.of, beside=Path(source).parent, anywhere=anywhere)
        read = partial(pair_of, image=image, source=Path(source).name, gold=gold)
        refused: list[str] = []
        for number, (where, row) in enumerate(_rows(source), 1):
            refused += _fault(where, row, read)
            progress(number)
        if refused and not despite_refused:
            return Imported(0, 0, 0, tuple(refused))
        added = store.add_pairs(_pairs(source, read, pictures, overlap), by=by)
    return Imported(added.cases, added.pairs, added.duplicates, tuple(refused))


def _fault(where: str, row: Row | str, read: Callable[[Row], NewPair]) -> list[str]:
    if isinstance(row, str):
        return [f"{where}: {row}"]
    try:
        read(row)
    except DataError as error:
        return [f"{where}: {error}"]
    return []


def _pairs(
    source: str | Path, read: Callable[[Row], NewPair], pictures: Pictures, overlap: int | None
) -> Iterator[NewPair]:
    """Those of the lines that can be used; an image comes with its first."""
    given: set[str] = set()
    for where, row in _rows(source):
        if isinstance(row, str) or _fault(where, row, read):
            continue
        pair = read(row)
        new = [image for image in pair.case.images if image.sha256 not in given]
        given |= {image.sha256 for image in new}
        yield replace(pair, images=pictures.files(new), overlap=overlap)


# --- reading ----------------------------------------------------------------------------

Rows = Iterator[tuple[str, Row | str]]
"""Where a line stands, and the line, or what is wrong with it."""


def _rows(source: str | Path) -> Rows:
    path = Path(source).expanduser()
    readers = {".jsonl": _of_jsonl, ".csv": _of_csv, ".parquet": _of_parquet}
    if path.suffix in readers:
        if not path.is_file():
            raise DataError(f"{source} does not exist.")
        return readers[path.suffix](path)
    if path.is_dir() or (not path.suffix and str(source).count("/") == 1):
        return _of_data_set(str(source))
    raise DataError(
        f"{source} is no source of pairs: name a .jsonl, .csv or .parquet file, or a data set of the hub (owner/name) "
        "or in a folder."
    )


def _of_jsonl(path: Path) -> Rows:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"Line {number}", _parsed(line)


def _parsed(line: bytes) -> Row | str:
    try:
        row = json.loads(line)
    except ValueError:
        return "it is not JSON."
    return row if isinstance(row, dict) else "it is not a JSON object."


def _of_csv(path: Path) -> Rows:
    """Cells may hold JSON; several images of a cell are JSON, too."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield f"Line {reader.line_num}", _cells(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is no CSV table in UTF-8.", detail=str(error)) from error


def _cells(row: Mapping[str | Any, Any]) -> Row | str:
    if None in row or None in row.values():
        return "it has more or fewer cells than the first line has names."
    return {name: _cell(name, text) for name, text in row.items() if text.strip()}


def _cell(name: str, text: str) -> Any:
    if name == "margin":
        try:
            return float(text)
        except ValueError:
            return text
    if name not in IN_CELLS or text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except ValueError:  # a text that begins with a bracket
        return text


def _of_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        number = 0
        for batch in ParquetFile(path).iter_batches(1000):
            for row in batch.to_pylist():
                number += 1
                yield f"Row {number}", row
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path.name} is no Parquet file.", detail=str(error)) from error


def _of_data_set(name: str) -> Rows:
    """Every split; validation becomes val."""
    from datasets import DatasetDict, load_dataset, load_from_disk

    try:
        found = load_from_disk(name) if Path(name).is_dir() else load_dataset(name)
    except Exception as error:
        raise DataError(
            f"The data set {name} could not be loaded ({type(error).__name__}).", detail=str(error)
        ) from error
    parts = found if isinstance(found, DatasetDict) else {"train": found}
    for split, rows in parts.items():
        for number, row in enumerate(rows, 1):
            yield f"Row {number} of {split}", {"split": split, **row}
