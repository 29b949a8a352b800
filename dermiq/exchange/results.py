"""A table of results that grows by a row a case, and that a killed run goes on with. Knows no image and no model.

    with Results(path, columns=("case", "p_mel", "weights"), made_by={"weights": "0123abcd"}) as results:
        if "a.jpg" not in results.done:
            results.append({"case": "a.jpg", "p_mel": "0.5"})

CSV in UTF-8, a line a row: each is written whole and lies on the disk before the next case begins. What a kill or a
lost power left of a last line is cut off at the next start. Each row says what it was made by; a table of another
model, of other options or of another form is not gone on with.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from dermiq.errors import DataError, InputError
from dermiq.files.paths import folder_for

KEY = "case"
ELSE = "Name another file with --out, or repeat what made this one."


class Results:
    """`done`: the rows that were there, by case. Use it as a context: the file is held against a second run."""

    def __init__(self, path: Path, *, columns: Sequence[str], made_by: Mapping[str, str]) -> None:
        self.path, self.columns, self.made_by = path, tuple(columns), dict(made_by)
        self.done: dict[str, dict[str, str]] = {}
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def __enter__(self) -> Results:
        """InputError where another run has the table or it cannot be written, DataError where it is another's."""
        folder_for(self.path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"Another run writes {self.path.name}: wait for it, or name another --out.") from None
        try:
            self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            self._let_go()
            raise InputError(f"{self.path} cannot be written: {error.strerror}.", detail=repr(error)) from error
        try:
            self._go_on()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._let_go()

    def append(self, row: Mapping[str, str]) -> None:
        """Raises InputError where the disk is full."""
        self._write([{**row, **self.made_by}.get(column, "") for column in self.columns])

    def _go_on(self) -> None:
        """Nothing is cut off a file that does not begin as a table of ours."""
        self._file.seek(0)
        known, head = self._file.read(), _line(self.columns)
        if not known.startswith(head) and not head.startswith(known):
            raise DataError(f"{self.path} is no table of this kind of run: its first line is another. {ELSE}")
        whole = _whole_lines(known)
        self._file.truncate(len(whole))
        if whole:
            self.done = self._rows(whole)
        else:
            self._write(self.columns)

    def _rows(self, content: bytes) -> dict[str, dict[str, str]]:
        try:
            _, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
            made = [dict(zip(self.columns, row, strict=True)) for row in rows]
        except (csv.Error, ValueError) as error:
            raise DataError(f"{self.path} is damaged. {ELSE}", detail=repr(error)) from error
        for row in made:
            self._check(row)
        return {row[KEY]: row for row in made}

    def _check(self, row: Mapping[str, str]) -> None:
        for name, value in self.made_by.items():
            if row[name] != value:
                raise DataError(f"{self.path} was made with {name} {row[name]!r}, and now it is {value!r}. {ELSE}")

    def _write(self, cells: Sequence[str]) -> None:
        line = memoryview(_line(cells))
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}.", detail=repr(error)) from error

    def _let_go(self) -> None:
        self._lock.release()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([one_line(cell) for cell in cells])
    return text.getvalue().encode()


def one_line(text: str) -> str:
    """Without line breaks and other signs that are not printed: these as Python writes them in a string."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def _whole_lines(content: bytes) -> bytes:
    """Up to the last line that was written whole. A lost power may leave zeros where a line was to be."""
    *lines, _ = content.split(b"\n")
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return b"".join(line + b"\n" for line in lines)
