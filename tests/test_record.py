"""What a release demands of the nightly tests: that they ran on this very code and all passed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.nightly import record
from tests.nightly.record import Night, digest, last, refusal

NIGHT = Night("2026-11-30", "0123abc", "c0de", passed=9, failed=0, skipped=0, seconds=600, cores=2)


def test_the_newest_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "results.txt"
    assert last(file) is None
    file.write_text("date\trevision\tcode\tpassed\tfailed\tskipped\tseconds\tcores\n")
    assert last(file) is None
    newest = replace(NIGHT, date="2026-12-01")
    file.write_text(file.read_text() + NIGHT.line() + "\n" + newest.line() + "\n")
    assert last(file) == newest


@pytest.mark.parametrize(
    ("night", "said"),
    [
        (NIGHT, ""),
        (None, "No nightly tests are on record"),
        (replace(NIGHT, code="other"), "ran on other code (other, here c0de)"),
        (replace(NIGHT, failed=1), "did not all pass: 9 passed, 1 failed, 0 were skipped"),
        (replace(NIGHT, skipped=1), "did not all pass"),
        (replace(NIGHT, passed=0), "did not all pass"),
    ],
)
def test_a_release_is_refused_in_a_sentence(night: Night | None, said: str) -> None:
    reason = refusal(night, "c0de")
    assert said in reason
    assert bool(reason) == bool(said)


def test_code_is_known_by_what_it_does_and_not_by_what_is_said_of_it(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    paths = ["a.py", "README.md", "tests/nightly/results.txt", "data/words.txt", "gone.py"]
    for path in paths[:-1]:
        write(path, "before")
    first = digest(paths, tmp_path)
    assert first == digest(reversed(paths), tmp_path)
    for path in ("README.md", "tests/nightly/results.txt"):
        write(path, "after")
        assert digest(paths, tmp_path) == first
    for path in ("a.py", "data/words.txt"):
        write(path, "after")
        assert digest(paths, tmp_path) != first
        write(path, "before")


def test_a_night_is_counted_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): assert False\n"
        "def test_c(missing): pass\n"
        "def test_d(): pytest.skip('no data')\n"
        "def test_e(): pass\n"
    )
    monkeypatch.setattr(record, "git", lambda *_: "0123abc\n")
    given = ["-c", str(tmp_path / "none.ini"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-k", "not test_e"]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    assert record.run(given, folder=tmp_path, results=tmp_path / "results.txt") == 1
    night = last(tmp_path / "results.txt")
    assert night is not None
    assert (night.revision, night.passed, night.failed, night.skipped) == ("0123abc", 1, 2, 2), (
        "what was not chosen is left out, too"
    )
