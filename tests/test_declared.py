"""What the code imports is declared, and what is declared can be parsed."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement, Requirement

from tests import declared
from tests.declared import FILES, ROOT, imported, loosened, undeclared

OPTIONAL = {"xllamacpp": "the benchmark against llama.cpp, which says so where it is absent"}


def extras() -> list[Requirement]:
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(line) for lines in told.get("optional-dependencies", {}).values() for line in lines]


@pytest.mark.parametrize("name", [*FILES, "requirements-tools.txt"])
def test_every_line_says_a_package_and_its_versions(name: str) -> None:
    lines = declared.declared(name)
    assert lines
    assert [str(one) for one in lines if not one.specifier] == [], "without a version"
    twice = [(one.name.lower(), str(one.marker)) for one in lines]
    assert len(set(twice)) == len(twice)


def test_what_ships_imports_only_what_is_declared() -> None:
    ships = imported([ROOT / "app.py", ROOT / "dermiq", ROOT / "train"])
    assert {"torch", "gradio", "yaml", "PIL"} <= ships.keys(), "imports in functions, too"
    missing = undeclared(ships, [*declared.declared("requirements.txt"), *extras()])
    assert missing.keys() - OPTIONAL == set(), missing


def test_an_import_that_nobody_declared_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\nfrom dermiq import types\ndef f():\n    from pytest.mark import x\n")
    found = imported([tmp_path])
    assert found == {"pytest": str(tmp_path / "a.py")}
    assert undeclared(found, [Requirement("torch")]) == found
    assert undeclared(found, [Requirement("PyTest>=9")]) == {}


@pytest.mark.parametrize(
    ("line", "newest"),
    [
        ("torch==2.13.0", "torch>=2.13.0"),
        ("a>=1,<2", "a>=1"),
        ('a~=1.2; python_version < "3.11"', 'a>=1.2; python_version < "3.11"'),
        ("psycopg[binary]>=3.3", "psycopg[binary]>=3.3"),
    ],
)
def test_newest_lifts_every_upper_bound(line: str, newest: str) -> None:
    assert str(loosened(Requirement(line))) == newest


def test_a_line_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "ROOT", tmp_path)
    (tmp_path / "requirements.txt").write_text("torch=2\n")
    with pytest.raises(InvalidRequirement):
        declared.declared("requirements.txt")
