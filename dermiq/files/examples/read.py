"""From a path to examples: the one reader for training and for the review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dermiq.errors import DataError
from dermiq.files.examples.forms import Kind, columns_of
from dermiq.files.examples.sources import rows_of
from dermiq.types import Fields


@dataclass(frozen=True)
class Example:
    """One example in TRL's columns, or what is wrong with it.

    `columns` are prompt and completion, or prompt, chosen and rejected (each a text or turns), images (a list; see
    `dermiq.files.examples.pictures`), boxes if any, and whatever else the row has that says something.
    """

    where: str  # "Line 3", "Row 3 of train", "Example 3"
    columns: Fields = field(default_factory=dict)
    fault: str = ""  # a sentence


def read_examples(source: str, kind: Kind) -> Iterator[Example]:
    """In the order of the file; one row may be several examples, as a ranking of three answers is three pairs.

    DataError where the source itself cannot be read.
    """
    for where, row in rows_of(source, kind=kind):
        if isinstance(row, str):
            yield Example(where, fault=row)
        else:
            yield from examples_of(where, row, kind)


def examples_of(where: str, row: Mapping[str, object], kind: Kind) -> Iterator[Example]:
    try:
        found = columns_of(row, kind)
    except DataError as error:
        yield Example(where, fault=str(error))
        return
    for number, columns in enumerate(found, 1):
        yield Example(f"{where}, {number} of {len(found)}" if len(found) > 1 else where, columns)
