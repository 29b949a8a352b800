"""`python -m dermiq review`: from a file of pairs to an exported set, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from dermiq.__main__ import main
from dermiq.review.quality import Report
from dermiq.review.store import Store
from tests.review_votes import PLAIN, review, store_of, write_rows

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
