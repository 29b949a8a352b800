"""The recipe "Add a condition" of CONTRIBUTING.md, followed in a copy of the tables: no code is changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dermiq.__main__ import main
from dermiq.knowledge.build import __main__ as build
from dermiq.knowledge.graph import FOLDER, Graph

RECIPE = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```tsv kg_data/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"^python -m dermiq knowledge \"(.*terra.*)\"$", re.MULTILINE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """`kg_data` with the recipe's rows at the ends of its curated tables."""
    shutil.copytree(FOLDER, tmp_path / "kg_data")
    for name, block in BLOCK.findall(RECIPE):
        append(tmp_path / "kg_data" / name, block)
    return tmp_path / "kg_data"


def append(table: Path, block: str) -> None:
    """Rows under the columns that the block names; the table's other columns stay empty."""
    text = table.read_text(encoding="utf-8")
    header, (named, *rows) = text.split("\n", 1)[0].split("\t"), [line.split("\t") for line in block.splitlines()]
    assert set(named) <= set(header), f"the recipe names columns that {table.name} does not have"
    cells = [dict(zip(named, row, strict=True)) for row in rows]
    lines = ["\t".join(row.get(column, "") for column in header) for row in cells]
    table.write_text(text + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def built(copy: Path, sources: Path) -> int:
    folders = ["--curated", str(copy / "curated"), "--derived", str(copy / "derived"), "--out", str(copy)]
    return build.main(["--sources", str(sources), *folders])


def test_a_condition_is_added_by_rows_alone(copy: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert built(copy, sources) == 0
    assert len(Graph.load(copy).nodes) > len(Graph.load().nodes)
    capsys.readouterr()
    (question,) = QUESTION.findall(RECIPE)
    assert main(["knowledge", question, "--kg", str(copy), "--no-embeddings"]) == 0  # they take a minute to be made
    said = capsys.readouterr().out
    assert said.startswith("terra firma-forme dermatosis -> terra firma-forme dermatosis")
    assert "rubbing with alcohol" in said.split("[2]")[0]
    assert "https://ejpd.com/" in said


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("facts", "\tterra-ejpd\t", "\tterra\t", "'terra'.*add it to sources.tsv"),
        ("facts", "\tMONDO:0007035\t", "\tMONDO:7\t", "MONDO:7, which is no node"),
        ("facts", "\tSign=dirt", "\tSigns=dirt", "unknown kind 'Signs'"),
        ("conditions", "terra firma-forme dermatoses\t\t2\t", "terra firma-forme dermatoses\t\ttwo\t", "tier is 'two'"),
        ("conditions", "\tMONDO:0045011\t\t\t\t\t\t\t\n", "\tMONDO:9\t\t\t\t\t\t\t\n", "MONDO:9, which no table names"),
        ("sources", "\topen\n", "\tfree\n", "licence class is 'free', none of open"),
    ],
)
def test_a_slip_in_a_row_ends_with_a_sentence(
    copy: Path, sources: Path, capsys: pytest.CaptureFixture[str], table: str, old: str, new: str, words: str
) -> None:
    path = copy / "curated" / f"{table}.tsv"
    before, last = path.read_text(encoding="utf-8").rsplit(old, 1)
    path.write_text(before + new + last, encoding="utf-8")
    assert built(copy, sources) == 1
    assert re.search(words, capsys.readouterr().err)
