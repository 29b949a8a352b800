"""docs/faults.md, made of what the tests say of themselves.

    @pytest.mark.fault("The disk is full", where="a run", seen="“The disk is full (at step …).”", kept="…")

A test of this room, or of `tests/nightly/`, carries this mark, one for each row; all of it is written out, so that it
is read without importing a test. Tests of other rooms are rows in `tests/faults/others.py`. What stands in quotation
marks is said by the program, "…" for what differs: a test holds that some text in `dermiq/` or `train/` says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.faults.others import OTHERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
FAULTS = (
    "The disk is full",
    "A folder is read-only",
    "A file is corrupt, cut short, missing or swapped",
    "There is no network",
    "Memory runs out",
    "A model misbehaves",
    "The clock jumps",
    "Two processes use one folder",
    "A process is killed",
    "Data leave the machine",
)
"""In the order of the page."""
HEAD = """# What happens when something fails

Each row is a fault, what the user sees, what is kept, and the test that shows it. The page is made of the tests by
`python -m tests.faults`; `make test` fails where the two differ. Tests in `tests/nightly/` are run by `make nightly`.
Quotation marks hold what the program says, with "…" for what differs from case to case.
"""


@dataclass(frozen=True)
class Row:
    """What one mark says, and of which test."""

    fault: str
    where: str
    seen: str
    kept: str
    test: str  # "tests/review/test_store.py::test_name"

    def markdown(self) -> str:
        path, _, name = self.test.partition("::")
        return f"| {self.where} | {self.seen} | {self.kept} | [{name}](../{path}) |"

    def quotes(self) -> list[str]:
        return re.findall(r"“([^”]+)”", self.seen)


def rows() -> list[Row]:
    """In the order of `FAULTS`, then of files and lines."""
    found = [row for path in sorted((ROOT / "tests").rglob("test_*.py")) for row in rows_in(path)]
    found += [Row(*map(str.strip, line.split(" | "))) for line in OTHERS.strip().splitlines()]
    return sorted(found, key=lambda row: FAULTS.index(row.fault))


def rows_in(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8")
    if ".fault(" not in text:
        return
    called = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield from (_row(mark, f"{called}::{node.name}") for mark in node.decorator_list if _is_fault(mark))


def _is_fault(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "fault"


def _row(mark: ast.expr, test: str) -> Row:
    assert isinstance(mark, ast.Call)
    told = {str(word.arg): str(ast.literal_eval(word.value)) for word in mark.keywords}
    fault = ast.literal_eval(mark.args[0])
    assert fault in FAULTS, f"{test}: {fault!r} is none of the faults of tests/faults/table.py"
    return Row(fault, test=test, **told)


def page(found: list[Row]) -> str:
    """The whole of docs/faults.md."""
    parts = [HEAD]
    for fault in FAULTS:
        lines = [row.markdown() for row in found if row.fault == fault]
        table = ["| where | what is seen | what is kept | shown by |", "|---|---|---|---|", *lines]
        parts.append("\n".join([f"## {fault}", "", *table]) + "\n")
    return "\n".join(parts)


@lru_cache(maxsize=1)
def said() -> str:
    """Every text of the program, one a line, with "…" for what is filled in."""
    files = [path for room in ("dermiq", "train") for path in sorted((ROOT / room).rglob("*.py"))]
    texts = [text for path in files for text in _texts(ast.parse(path.read_text(encoding="utf-8")))]
    return "\n".join(texts)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())
