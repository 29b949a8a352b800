"""`python -m dermiq review`: from a file of pairs to an exported set, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermiq.__main__ import main
from dermiq.review import cli
from dermiq.review.measures.quality import Report
from dermiq.review.store.store import Store
from tests.review.votes import PLAIN, review, store_of, write_rows

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, output and errors of a command whose store is in a folder of the test's."""
    monkeypatch.setenv("DERMIQ_REVIEW", str(tmp_path / "review"))
    monkeypatch.setenv("DERMIQ_REVIEW_DB", "")

    def run_it(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["review", *map(str, args)])
        return status, *capsys.readouterr()

    return run_it


def test_from_a_file_to_an_exported_set(run: Run, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "data", 6)
    imported = ("import", file, "--no-outline")
    assert run("--by", "ana", *imported)[:2] == (0, "6 new pairs of 6 new cases; 0 were there already.\n")
    assert run(*imported)[:2] == (0, "0 new pairs of 0 new cases; 6 were there already.\n")
    assert "6 pairs (6 import; 0 with a known answer) of 6 cases with 6 images" in run("status")[1]
    run("reviewers", "--add", "ben")
    run("reviewers", "--add", "ben", "--role", "admin")
    assert [(r["name"], r["role"]) for r in json.loads(run("reviewers", "--json")[1])] == [("ben", "admin")]
    store = Store.open(tmp_path / "review", queue=PLAIN)
    for name in ("ben", "cem"):
        review(store, name, dict.fromkeys(range(4), "good"))
    store.close()
    status, out, _ = run("--by", "ana", "freeze", "mine", "--rule", "adjudicated", "--min-votes", 2)
    assert status == 0
    assert out.startswith("mine@1: 4 pairs, digest ")
    assert "python -m train.dpo --preferences mine@1" in out
    found = json.loads(run("status", "--json")[1])
    assert (found["votes"], found["skips"], found["pairs"], found["disagreements"]) == (8, 4, 6, 0)
    assert [(made["set"], made["pairs"], made["by"]) for made in found["sets"]] == [("mine@1", 4, "ana")]
    assert (found["reviewers"]["cem"]["done"], found["reviewers"]["cem"]["skipped"]) == (4, 2)
    assert run("export", "mine", "--out", tmp_path / "out")[0] == 0
    assert len((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()) == 4
    store = Store.open(tmp_path / "review")
    assert {change.who for change in store.log() if change.what == "set"} == {"ana"}
    store.close()


def test_quality_as_text_json_and_figures(run: Run, tmp_path: Path) -> None:
    store = store_of(tmp_path, 12, margin=0.5)
    review(store, "ben", dict.fromkeys(range(12), "good"))
    review(store, "cem", {**dict.fromkeys(range(9), "good"), 9: "bad", 10: "bad", 11: "tie"})
    store.close()
    found = json.loads(run("quality", "--json")[1])
    assert set(found) == {entry.name for entry in fields(Report)}
    assert (found["votes"], found["same"]["value"]) == (24, 0.75)
    assert found["over_time"][0]["until"].startswith("20")
    status, text, _ = run("quality", "--figures", tmp_path / "figures")
    assert status == 0
    assert "24 votes on 12 pairs, 0 skips." in text
    assert "ben and cem: kappa" in text
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}{end}" for name in ("over_time", "matrix") for end in ("-light.svg", "-dark.svg", ".txt")
    }
    for path in (tmp_path / "figures").glob("*.svg"):
        drawn = path.read_text()
        assert drawn.startswith("<svg")
        assert "#0f766e" in drawn or "#3cc9b8" in drawn
        assert "#0505" not in drawn
        assert "url(#" not in drawn
    assert "graph prefers" in (tmp_path / "figures" / "over_time.txt").read_text()


def test_quality_of_nothing(run: Run) -> None:
    status, text, _ = run("quality")
    assert status == 0
    assert "0 votes on 0 pairs" in text


def test_an_image_is_deleted(run: Run, tmp_path: Path) -> None:
    store = store_of(tmp_path, 2)
    sha256 = next(store.pairs()).case.images[0].sha256
    assert run("purge", sha256[:10], "--why", "consent withdrawn")[:2] == (0, f"Deleted the image {sha256}.\n")
    assert store.purged() == {sha256}
    store.close()
    status, _, told = run("purge", sha256[:7], "--why", "x")
    assert status == 2
    assert "names no images of the review" in told


def test_lines_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "data", 2)
    file.write_text("{}\n" * 25 + file.read_text())
    status, out, told = run("import", file, "--no-outline")
    assert (status, out) == (2, "")
    assert "Line 1: chosen and rejected are missing." in told
    assert "... and 5 more." in told
    assert "25 line(s) cannot be used: nothing was imported." in told
    assert run("import", file, "--no-outline", "--skip-refused")[1].startswith("2 new pairs")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("freeze", "mine"), "No pair would be in the set (there are no pairs)"),
        (("export", "mine", "--out", "x"), "There is no frozen set mine"),
        (("import", "nothing.jsonl", "--no-outline"), "nothing.jsonl does not exist"),
    ],
)
def test_what_it_refuses(run: Run, args: tuple[str, ...], words: str) -> None:
    status, out, told = run(*args)
    assert (status, out) == (2, "")
    assert words in told


def test_outlines_are_drawn_by_the_specialist(run: Run, tmp_path: Path) -> None:
    run("import", write_rows(tmp_path / "data", 1))
    store = Store.open(tmp_path / "review")
    [image] = next(store.pairs()).case.images
    store.close()
    assert image.outline is not None
    assert len(image.outline) > 20
    assert all(0 <= x <= image.width and 0 <= y <= image.height for x, y in image.outline)


# --- where nothing can be kept --------------------------------------------------------------


def broken(place: Path) -> dict[str, str]:
    """Places of a review that cannot be, and what is said of them."""
    (place / "file").write_text("")
    (place / "taken" / "review.db").mkdir(parents=True)
    (place / "other").mkdir()
    (place / "other" / "review.db").write_bytes(b"no database" * 1000)
    return {
        "/proc/nothing/rev": "The review's folder /proc/nothing/rev cannot be made (No such file or directory)",
        str(place / "file"): f"The review's folder {place / 'file'} cannot be made (File exists)",
        str(place / "file" / "x"): "cannot be made (Not a directory)",
        str(place / "taken"): "cannot be opened (unable to open database file)",
        str(place / "other"): "cannot be opened (file is not a database)",
        "postgresql://ana:secret@127.0.0.1:1/x": "postgresql+psycopg://ana:***@127.0.0.1:1/x) cannot be opened",
        "postgresql://ana:secret@127.0.0.1:port/x": "postgresql://ana:***@127.0.0.1:port/x is no database's URL",
        "mysql://x/y": "kept in SQLite or PostgreSQL, not in mysql",
    }


def test_a_review_that_cannot_be_kept_is_refused_with_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for place, words in broken(tmp_path).items():
        assert main(["review", "--store", place, "status"]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
        assert "secret" not in told


def test_a_database_that_only_reads_and_a_folder_that_takes_nothing(run: Run, tmp_path: Path) -> None:
    run("status")
    url = f"sqlite:///file:{tmp_path / 'review' / 'review.db'}?mode=ro&uri=true"
    status, _, told = run("--store", url, "reviewers", "--add", "ana")
    assert status == 2
    assert "did not take this (attempt to write a readonly database)" in told
    status, _, told = run("quality", "--figures", "/proc/nothing")
    assert status == 2
    assert "/proc/nothing cannot be read or written: No such file or directory." in told


def test_a_user_without_a_name_is_called_by_the_number(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert run("import", write_rows(tmp_path / "data", 1), "--no-outline")[0] == 0
    store = Store.open(tmp_path / "review")
    assert {change.who for change in store.log()} == {f"user {os.getuid()}"}
    store.close()


def test_contradictions_and_test_data_are_told(run: Run, tmp_path: Path) -> None:
    row = {"prompt": "What is it?", "chosen": "A naevus.", "rejected": "A melanoma."}
    file = tmp_path / "a.json"
    file.write_text(json.dumps([row, {**row, "chosen": row["rejected"], "rejected": row["chosen"]}]), encoding="utf-16")
    status, _, told = run("import", file, "--gold", "--no-outline")
    assert status == 2
    assert "Example 2, line 1: it contradicts example 1, line 1" in told
    file.write_text(json.dumps([row, {**row, "split": "test"}]))
    status, out, _ = run("import", file, "--no-outline")
    assert status == 0
    assert "1 pair(s) of the split test are not imported" in out


def test_a_command_that_is_stopped_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, cli._told():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err.startswith("Stopped.")


FULL = """
import resource, signal, sys
sys.dont_write_bytecode = True  # a cached module would be cut off at the limit, and break every process after this one
from dermiq.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(["review", *sys.argv[2:]]))
"""


@pytest.mark.parametrize(
    ("size", "words"), [(1_000, "cannot be opened (disk I/O error)"), (300_000, "A file cannot be read or written: ")]
)
def test_a_full_disk_is_told(size: int, words: str, run: Run, tmp_path: Path) -> None:
    """No file may become larger than `size` bytes: the first time the database cannot, then the image cannot."""
    run("status")
    file = write_rows(tmp_path / "data", 1)
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "data" / "0.png")
    command = [sys.executable, "-c", FULL, str(size), "import", str(file), "--no-outline"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
