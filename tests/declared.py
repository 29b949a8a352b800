"""What the project declares that it needs, and what its code imports.

    python -m tests.declared --newest      # the same packages without upper bounds, for `make newest`

A pin (`==`) becomes a lower bound there: pip then takes the newest release that everything else allows.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
OURS = ("app", "dermiq", "train", "docs", "tests")
UNBOUNDED = {"==": ">=", "~=": ">=", ">=": ">="}  # what becomes of an operator; the others are left out


def declared(name: str) -> list[Requirement]:
    """The requirements of one file. packaging's InvalidRequirement, with the line, where one cannot be parsed."""
    lines = (line.split(" #")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def loosened(requirement: Requirement) -> Requirement:
    """The same package from its pin upwards."""
    made = Requirement(str(requirement))
    bounds = (f"{UNBOUNDED[one.operator]}{one.version}" for one in made.specifier if one.operator in UNBOUNDED)
    made.specifier = SpecifierSet(",".join(bounds))
    return made


def imported(folders: Iterable[Path]) -> dict[str, str]:
    """Top-level name of a package that is not ours nor Python's -> a file that imports it."""
    files = [file for folder in folders for file in ([folder] if folder.is_file() else sorted(folder.rglob("*.py")))]
    names = ((name, file) for file in files for name in _names(ast.parse(file.read_text(encoding="utf-8"))))
    return {name: str(file) for name, file in names if name not in (*OURS, *sys.stdlib_module_names)}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def undeclared(imports: dict[str, str], requirements: Iterable[Requirement]) -> dict[str, str]:
    """Of the imports those that no requirement installs."""
    known = {canonicalize_name(one.name) for one in requirements}
    installs = packages_distributions()
    return {
        name: file
        for name, file in imports.items()
        if not known & {canonicalize_name(one) for one in installs.get(name, [name])}
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--newest", action="store_true", required=True, help="without upper bounds")
    parser.parse_args()
    for file in FILES:
        print("\n".join(str(loosened(one)) for one in declared(file)))
