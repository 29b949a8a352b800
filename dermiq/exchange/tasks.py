"""The cases of a folder of photographs: one an image, or as a table says. Reads no image.

    tasks, left_out = tasks_of(folder, table=None)

A table is CSV as people have it, with a column `image` (a path below the folder) and, where they are known, `age`,
`sex`, `site`, `skin_type`, `symptoms`, `question`, and `case`, which several images of one case share. Nothing in a
task says where the folder lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dermiq import api
from dermiq.assess_cli import SYMPTOMS
from dermiq.errors import DataError, InputError
from dermiq.files.tables import TableRow, read_table_rows
from dermiq.lesion import IMAGE_SUFFIXES
from dermiq.patient import Vague, age_of, sex_of, site_of, skin_type_of
from dermiq.types import Case, PatientContext

SUFFIXES = (*IMAGE_SUFFIXES, ".dcm")
TOLD = ("age", "sex", "site", "skin_type", "symptoms", "question")
"""Columns of a table that say something of the case, by the names that the results have for them."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Task:
    """One case: `files` by their paths below the folder, `told` as the table has it."""

    name: str
    files: tuple[str, ...]
    told: dict[str, str] = field(default_factory=dict)
    fault: str = ""  # why it cannot be assessed

    @property
    def question(self) -> str:
        return self.told.get("question") or Case.question

    def patient(self) -> PatientContext:
        """What says too little, such as an age of "50-60", is not stated. Raises InputError for what is wrong."""
        symptoms = tuple(word for word in re.split(r"[\s,;|]+", self.told.get("symptoms", "").lower()) if word)
        unknown = [word for word in symptoms if word not in SYMPTOMS]
        if unknown:
            raise InputError(f"The symptom “{unknown[0][:40]}” is none of {', '.join(SYMPTOMS)}.")
        return PatientContext(
            _stated(age_of, self.told.get("age")),
            _stated(sex_of, self.told.get("sex")),
            _stated(site_of, self.told.get("site")),
            _stated(skin_type_of, self.told.get("skin_type")),
            symptoms,
        )

    def case(self, folder: Path) -> Case:
        """Reads and decodes the images. Raises InputError."""
        if self.fault:
            raise InputError(self.fault)
        patient = self.patient()
        return api.case_of([_bytes_of(folder, name) for name in self.files], patient, self.question)


def tasks_of(folder: Path, *, table: Path | None) -> tuple[list[Task], int]:
    """The cases in order, and how many photographs of the folder no row of the table names.

    InputError where there is no folder, or nothing in it; DataError where the table cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the one that holds the photographs.")
    found = [path.relative_to(folder).as_posix() for path in _photographs(folder)]
    if table is None:
        if not found:
            raise InputError(f"There is no photograph in {folder}: files with {', '.join(SUFFIXES)} are read.")
        return [Task(name, (name,)) for name in found], 0
    tasks = _of_rows(read_table_rows(table), str(table))
    return tasks, len(set(found) - {name for task in tasks for name in task.files})


def _photographs(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


# --- of a table -------------------------------------------------------------------------


def _of_rows(rows: Sequence[TableRow], called: str) -> list[Task]:
    if "image" not in rows[0].cells:
        raise DataError(f"{called} has no column image: name in it each photograph, as its path below the folder.")
    grouped: dict[str, list[TableRow]] = {}
    for row in rows:
        path = _path(row)
        if not path or path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in path.split("/"):
            raise DataError(f"{called}, line {row.line}: {path[:80]!r} is no path below the folder of the photographs.")
        grouped.setdefault(row.text("case") or path, []).append(row)
    return [_task(name, group) for name, group in grouped.items()]


def _path(row: TableRow) -> str:
    return row.text("image").replace("\\", "/")


def _task(name: str, rows: Sequence[TableRow]) -> Task:
    told, fault = {}, ""
    for column in TOLD:
        values = list(dict.fromkeys(text for row in rows if (text := row.text(column))))
        if len(values) > 1:
            fault = f"The rows of this case differ in {column}: {values[0][:40]} and {values[1][:40]}."
        told[column] = values[0] if values else ""
    return Task(name, tuple(dict.fromkeys(map(_path, rows))), told, fault)


def _stated(read: Callable[[object], Value | None], value: str | None) -> Value | None:
    try:
        return read(value)
    except Vague:
        return None


def _bytes_of(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else "it is no name of a file"
        raise InputError(f"{name} cannot be read: {why}.") from error
