"""Pairs that are sent, with their images: one way in for zip, files and command, and the graph judges all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.__main__ import main
from dermiq.errors import InputError
from dermiq.knowledge import Graph
from dermiq.review.sets.incoming import import_files, import_path
from dermiq.review.store.store import Store
from dermiq.review.types import NewPair, ReviewAnswer, ReviewCase
from tests.review.votes import PLAIN, write_rows
from tests.zips import as_macos_writes, locked, packed
from train.scoring.verdicts import judge_by

RIGHT = "Melanoma is malignant and needs urgent referral."
WRONG = "Melanoma is benign and needs no treatment."
Files = dict[str, bytes]


@pytest.fixture(scope="session")
def graph() -> Graph:
    return Graph.load()


@pytest.fixture
def store(tmp_path: Path, graph: Graph) -> Iterator[Store]:
    made = Store.open(tmp_path / "review", queue=PLAIN, judge=judge_by(lambda: graph))
    yield made
    made.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Three pairs, one image each."""
    folder = write_rows(tmp_path / "sent", 3).parent
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**row, "chosen": WRONG, "rejected": RIGHT}) + "\n" for row in rows)
    return {"pairs.jsonl": text.encode(), **{f"{i}.png": (folder / f"{i}.png").read_bytes() for i in range(3)}}


def verdicts(store: Store) -> list[str]:
    """What the graph prefers of each pair."""
    said = [(view, view.pair.proxy.prefers if view.pair.proxy else None) for view in store.pairs()]
    return [view.answer(side).text if side else "-" for view, side in said]


def test_a_zip_files_and_a_path_come_in_alike_and_are_judged(store: Store, files: Files, tmp_path: Path) -> None:
    assert import_files(store, {"pairs.zip": packed(files)}, by="ana").pairs == 3
    assert verdicts(store) == [RIGHT] * 3
    assert all(store.image(view.case.images[0].sha256) for view in store.pairs())
    assert import_files(store, files, by="ana").duplicates == 3
    (tmp_path / "again.ZIP").write_bytes(as_macos_writes({f"mine/{name}": data for name, data in files.items()}))
    assert import_path(store, tmp_path / "again.ZIP", by="ana").duplicates == 3


def test_files_chosen_one_by_one_have_no_folder(store: Store, files: Files) -> None:
    files["pairs.jsonl"] = (
        files["pairs.jsonl"].replace(b'"0.png"', b'"IMAGES\\\\0.PNG"').replace(b'"1.png"', b'"x/1.png"')
    )
    assert import_files(store, files, by="ana").pairs == 3


@pytest.mark.parametrize("named", ["/etc/passwd", "../../secret.png", "C:\\0.png"])
def test_what_is_sent_names_only_what_is_sent(named: str, store: Store, files: Files, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(files["0.png"])
    files["pairs.jsonl"] = files["pairs.jsonl"].replace(b'"0.png"', json.dumps(named).encode())
    del files["0.png"]
    found = import_files(store, {"a.zip": packed(files)}, by="ana")
    assert found.refused
    assert not list(store.pairs())


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "Choose a file"),
        ({"a.zip": b"PK"}, "its end is missing"),
        ({"a.zip": b"Rar!\x1a\x07"}, "a RAR archive"),
        ({"a.png": b"x"}, "no file of pairs"),
        ({"a.jsonl": b"{}", "b.csv": b"x"}, "2 files of pairs (a.jsonl, b.csv)"),
        ({"a.zip": packed({"a.xlsx": b"PK"})}, "a.xlsx is a workbook. Save its sheet as CSV"),
        ({"a.zip": locked({"a.jsonl": b"{}"})}, "locked with a password"),
    ],
)
def test_what_is_no_import_is_said(sent: Files, words: str, store: Store) -> None:
    with pytest.raises(InputError) as caught:
        import_files(store, sent, by="ana")
    assert words in str(caught.value)


def test_the_command_takes_a_zip_and_asks_the_graph(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.zip").write_bytes(packed(files))
    place = ["review", "--store", str(tmp_path / "other"), "--by", "ana"]
    assert main([*place, "import", str(tmp_path / "pairs.zip"), "--no-outline"]) == 0
    assert "3 new pairs of 3 new cases" in capsys.readouterr().out
    store = Store.open(tmp_path / "other")
    assert verdicts(store) == [RIGHT] * 3
    store.close()


def test_the_graph_says_where_it_prefers_neither(graph: Graph) -> None:
    case = ReviewCase.of([{"role": "user", "content": "What is it?"}], "What is it?", diagnosis="a label of nobody")
    one, other = (ReviewAnswer.of(case.id, text) for text in ("It is round.", "It is brown."))
    found = judge_by(lambda: graph)(NewPair(case, one, other, "import"))
    assert found.prefers is None
    assert found.reasons[0].startswith("No preference: ")


@pytest.mark.parametrize("suffix", [".tsv", ".tab", ".TSV"])
def test_pairs_with_tabs_come_in_by_the_browser_as_by_the_command(suffix: str, store: Store, tmp_path: Path) -> None:
    text = "prompt\tchosen\trejected\nWhat?\tA\tB\n"
    (tmp_path / f"pairs{suffix}").write_text(text)
    assert import_path(store, tmp_path / f"pairs{suffix}", by="ana").pairs == 1
    sent = {f"pairs{suffix}": text.encode(), "about.json": b"{}", "._pairs.tsv": b"x"}
    assert import_files(store, {"a.zip": packed(sent)}, by="ana").duplicates == 1
    assert import_files(store, sent, by="ana").duplicates == 1
