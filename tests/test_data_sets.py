"""The records of the data sets, and who reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dermiq import data_sets
from dermiq.data_sets import DATA_SETS, DataSet
from dermiq.errors import DataError
from dermiq.types import CLASSES
from train.cases.data import data_folder, read_table
from train.cases.sources import read_source

ROOT = Path(__file__).resolve().parents[1]
MINE = DataSet(
    "mine",
    title="Mine",
    kind="dermoscopy",
    licence="CC0 1.0",
    source="https://example.org",
    split="lesion",
    columns={"label": "dx", "group": "case", "site": "where"},
    labels={"MEL": "mel"},
    left_out={"rash": "a rash"},
)
ROWS = (
    "image_id,dx,case,where,split,image\n"
    "1,MEL,a,BACK,train,images/1.png\n2,nv,b,,train,images/2.png\n3,rash,c,arm,train,images/3.png\n"
    "4,,d,arm,train,images/4.png\n5,nv,e,arm,test,images/5.png\n"
)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table of a data set of our own, in a data folder that holds nothing else."""
    monkeypatch.setitem(DATA_SETS, "mine", MINE)
    file = MINE.table(tmp_path)
    file.parent.mkdir()
    file.write_text(ROWS, encoding="utf-8")
    return file


def test_a_table_is_read_as_its_record_says(mine: Path) -> None:
    table = read_table(data_folder(mine.parents[1]), "mine", ["train"])
    assert list(table["label"]) == ["mel", "nv"]
    assert list(table["group"]) == ["a", "b"]
    assert table["site"][0] == "back"
    assert table["age"].isna().all(), "a column that the data set lacks"
    assert table["image"][0] == str(mine.parent / "images" / "1.png")


def test_what_a_record_leaves_out_is_said(mine: Path) -> None:
    told: list[str] = []
    rows = read_source("mine", "train", str(mine.parents[1]), say=told.append)
    assert [row.group for row in rows] == ["mine:a", "mine:b"]
    ends = "is none of the seven classes."
    assert sorted(told) == [
        f"mine: 1 row(s) of train are left out: a rash {ends}",
        f"mine: 1 row(s) of train are left out: what is not stated {ends}",
    ]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (replace(MINE, left_out={}), r"unknown labels \['rash'\]"),
        (replace(MINE, columns={**MINE.columns, "group": "lesion"}), "has no column 'lesion', from which Mine's group"),
    ],
)
def test_a_table_that_does_not_fit_its_record_is_refused(
    mine: Path, monkeypatch: pytest.MonkeyPatch, record: DataSet, sentence: str
) -> None:
    monkeypatch.setitem(DATA_SETS, "mine", record)
    with pytest.raises(DataError, match=sentence):
        read_table(mine.parents[1], "mine", ["train"])


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_data_at_hand_fit_their_records(real_data: Path, name: str) -> None:
    """Nothing lies in two splits, labels are ours, and the files that rows name are there."""
    splits = [read_table(real_data, name, [split]) for split in ("train", "val", "test")]
    groups = pd.concat([table[["group"]].drop_duplicates() for table in splits])
    assert not groups["group"].duplicated().any()
    whole = pd.concat(splits)
    assert set(whole["label"]) <= set(CLASSES)
    assert all(Path(path).is_file() for path in whole["image"].head(20))
    assert whole["age"].notna().any()


def test_the_readme_shows_the_records() -> None:
    assert data_sets.markdown() in (ROOT / "README.md").read_text(encoding="utf-8"), "run python -m dermiq.data_sets"
