"""The nightly tests: they are run, and a line of what came of them is kept in `results.txt`, which is committed.

    python -m tests.nightly.record            what `make nightly` does
    python -m tests.nightly.record --check    what `make release` demands: all passed, on the code that is here

The code is known by a digest of what git tracks, without texts (Markdown) and the records of studies in this folder:
a commit of the results leaves it as it was, an edit that is not committed changes it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.txt"


@dataclass(frozen=True)
class Night:
    """A line of the results."""

    date: str
    revision: str  # with a + where something was not committed
    code: str  # the digest
    passed: int
    failed: int
    skipped: int
    seconds: int
    cores: int

    def line(self) -> str:
        return "\t".join(map(str, astuple(self)))


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tracked() -> list[str]:
    """Paths of files that git knows, those of a new file once it was added."""
    return [path for path in git("ls-files", "-z").split("\0") if path]


def is_code(path: str) -> bool:
    return not path.endswith(".md") and not (path.startswith("tests/nightly/") and path.endswith(".txt"))


def digest(paths: Iterable[str], root: Path = ROOT) -> str:
    """12 hex digits, of the names and contents of files as they lie in the folder."""
    made = hashlib.sha256()
    for path in sorted(paths):
        if is_code(path) and (root / path).is_file():
            made.update(path.encode() + b"\0" + hashlib.sha256((root / path).read_bytes()).digest())
    return made.hexdigest()[:12]


def last(results: Path = RESULTS) -> Night | None:
    """The newest line, which is the lowest; None where no night has been."""
    *_, line = results.read_text(encoding="utf-8").splitlines() if results.exists() else [""]
    read = {"str": str, "int": int}
    parts = dict(zip((field.name for field in fields(Night)), line.split("\t"), strict=False))
    if len(parts) < len(fields(Night)) or parts["date"] == "date":
        return None
    return Night(**{field.name: read[str(field.type)](parts[field.name]) for field in fields(Night)})


def refusal(night: Night | None, code: str) -> str:
    """Why there can be no release; "" where there can."""
    if night is None:
        return "No nightly tests are on record: run make nightly."
    if night.code != code:
        return f"The nightly tests of {night.date} ran on other code ({night.code}, here {code}): run make nightly."
    if night.failed or night.skipped or not night.passed:
        counts = f"{night.passed} passed, {night.failed} failed, {night.skipped} were skipped"
        return f"The nightly tests of {night.date} did not all pass: {counts}."
    return ""


class Counts:
    """What became of each test, however many processes ran them."""

    passed = failed = skipped = 0

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        found = {name: len(reports) for name, reports in terminalreporter.stats.items()}
        self.passed = found.get("passed", 0)
        self.skipped = found.get("skipped", 0) + found.get("deselected", 0)
        self.failed = found.get("failed", 0) + found.get("error", 0)


def run(given: Sequence[str], *, folder: Path = HERE, results: Path = RESULTS) -> int:
    """The tests of a folder, by pytest's further options; its exit status."""
    began, counts, code = time.monotonic(), Counts(), digest(tracked())
    status = int(pytest.main([str(folder), *given], plugins=[counts]))
    night = Night(
        date=datetime.now(timezone.utc).date().isoformat(),
        revision=git("describe", "--always", "--exclude=*", "--dirty=+").strip(),
        code=code,
        passed=counts.passed,
        failed=counts.failed,
        skipped=counts.skipped,
        seconds=round(time.monotonic() - began),
        cores=os.cpu_count() or 1,
    )
    if not results.exists():
        results.write_text("\t".join(field.name for field in fields(Night)) + "\n", encoding="utf-8")
    with results.open("a", encoding="utf-8") as file:
        file.write(night.line() + "\n")
    return status


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Runs the nightly tests and keeps a line of what came of them.")
    parser.add_argument("--check", action="store_true", help="fail unless the newest line lets this code be released")
    asked, given = parser.parse_known_args(arguments)
    if not asked.check:
        return run(given)
    reason = refusal(last(), digest(tracked()))
    print(reason or "The nightly tests have all passed on this code.")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
