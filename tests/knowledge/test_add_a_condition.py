"""The recipe "Add a condition" of CONTRIBUTING.md, followed in a copy of the tables: no code is changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dermiq.__main__ import main
from dermiq.knowledge.build import build
from dermiq.knowledge.graph import FOLDER, Graph

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```tsv kg_data/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^python -m dermiq (knowledge) \"(.*terra.*)\"$", re.MULTILINE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """`kg_data` with the recipe's rows at the ends of its curated tables."""
    shutil.copytree(FOLDER, tmp_path / "kg_data")
    for name, block in BLOCK.findall(CONTRIBUTING.read_text(encoding="utf-8")):
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


def test_a_condition_is_added_by_rows_alone(copy: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--curated", str(copy / "curated"), "--derived", str(copy / "derived"), "--out", str(copy)]
    assert build.main(["--sources", str(sources), *folders]) == 0
    assert len(Graph.load(copy).nodes) > len(Graph.load().nodes)
    command, question = COMMAND.search(CONTRIBUTING.read_text(encoding="utf-8")).groups()
    capsys.readouterr()
    assert main([command, question, "--kg", str(copy), "--no-embeddings"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("terra firma-forme dermatosis -> terra firma-forme dermatosis")
    assert "rubbing with alcohol" in said.split("[2]")[0]
    assert "https://ejpd.com/" in said


def test_a_slip_in_a_row_ends_with_a_sentence(copy: Path, sources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = copy / "curated" / "facts.tsv"
    facts.write_text(facts.read_text(encoding="utf-8").replace("\tterra-ejpd\t", "\tterra\t"), encoding="utf-8")
    folders = ["--curated", str(copy / "curated"), "--derived", str(copy / "derived"), "--out", str(copy)]
    assert build.main(["--sources", str(sources), *folders]) == 1
    assert "terra" in capsys.readouterr().err
