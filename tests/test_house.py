"""The rules of the house, held against every import: those in functions, too, and those for the type checker alone.

What `import_module` loads by a name that is put together at run time is not seen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("dermiq", "train", "tests", "docs")  # and app.py
MOST_FILES = 14
SMALL_ROOMS = ("train", "dermiq/knowledge", "dermiq/review")
Imports = Mapping[str, frozenset[str]]  # of each module of the project


@dataclass(frozen=True)
class Ban:
    """Modules that match `who` import nothing that matches `what`; `but` names the exceptions, each with what it may.
    A pattern is matched from the beginning to a dot or the end.
    """

    who: str
    what: str
    but: Mapping[str, str] = field(default_factory=dict)

    def broken(self, imports: Imports) -> Iterator[str]:
        for module, found in sorted(imports.items()):
            for name in sorted(found) if matches(self.who, module) else ():
                if matches(self.what, name) and not matches(self.but.get(module, "-"), name):
                    yield f"{module} imports {name}"


SHIPS = r"app|dermiq|train"
NO_PAGE = r"(?!dermiq\.ui\b|app\b|tests\b).+"
BANS = {
    "only the training page of dermiq imports train": Ban(
        r"app|dermiq(?!\.ui\.training\b)",
        "train",
        but={  # a pair that comes into the review is judged as training judges its own
            "dermiq.__main__": r"train\.scoring\.verdicts",
            "dermiq.ui.review.controller": r"train\.scoring\.verdicts",
        },
    ),
    "nothing imports the page": Ban(
        NO_PAGE,
        r"dermiq\.ui",
        but={
            "dermiq.__main__": r"dermiq\.ui\.(launch|closed)",
            "docs.trust": r"dermiq\.ui",
        },  # it tells the page's limits
    ),
    "only the page knows gradio": Ban(NO_PAGE, "gradio|gradio_client"),
    "knowledge knows no model": Ban(
        r"dermiq\.knowledge",
        r"torch|transformers|peft|trl|dermiq\.(vlm|specialist|consultant|assess)",
        but={  # what a sentence and a question mean as vectors, and what follows from what
            "dermiq.knowledge.language.embed": "torch|transformers",
            "dermiq.knowledge.language.entail": "torch|transformers|safetensors",
            "dermiq.knowledge.language.questions": "transformers|safetensors",
        },
    ),
    "vlm knows no graph": Ban(r"dermiq\.vlm", r"dermiq\.(knowledge(?!\.language\b)|review|consultant|assess)"),
    "nothing that ships imports tests": Ban(SHIPS, "tests"),
}


def matches(pattern: str, name: str) -> bool:
    return re.match(rf"(?:{pattern})(?:\.|$)", name) is not None


@lru_cache
def read(root: Path) -> Imports:
    """What each module imports: of the project the module that holds it, of others the full name."""
    files = [path for part in PARTS for path in (root / part).rglob("*.py")]
    files += [path for path in [root / "app.py"] if path.is_file()]
    modules = {_module(path.relative_to(root)): path for path in files}
    return {name: frozenset(_imported(path, name, modules)) for name, path in modules.items()}


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, name: str, modules: Mapping[str, Path]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names}
            yield from inside & modules.keys()
            if not inside <= modules.keys():
                yield base


def circle(imports: Imports) -> Iterator[str]:
    graph = {name: {one for one in found if one in imports and one != name} for name, found in imports.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "a circle of imports: " + " <- ".join(error.args[1])


def crowded(root: Path) -> Iterator[str]:
    for room in SMALL_ROOMS:
        count = len(list((root / room).glob("*.py")))
        if count > MOST_FILES:
            yield f"{count} files lie directly in {room}/: at most {MOST_FILES} are easy to look over"


@lru_cache
def broken(root: Path) -> Mapping[str, list[str]]:
    """Sentences by rule."""
    imports = read(root)
    found = {name: list(ban.broken(imports)) for name, ban in BANS.items()}
    return {**found, "no circle": list(circle(imports)), "rooms are small": list(crowded(root))}


RULES = (*BANS, "no circle", "rooms are small")


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule: str) -> None:
    assert not broken(ROOT)[rule]


def test_every_import_of_the_house_is_read() -> None:
    imports = read(ROOT)
    assert "dermiq.vlm.load" in imports["train.model"], "an import in a function, or for the type checker"
    assert {"app", "dermiq", "train", "tests.test_house"} <= imports.keys()


IN_A_FUNCTION = "def f():\n    from {} import x\n"
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {} import x\n"
BAD = [
    ("no circle", {"train/a.py": "from train import b", "train/b.py": IN_A_FUNCTION.format("train.a")}),
    ("no circle", {"train/a.py": "import train.b", "train/b.py": FOR_TYPES.format("train.a")}),
    (
        "no circle",
        {"train/a.py": "from .b import x", "train/b.py": "from . import c", "train/c.py": "from .a import x"},
    ),
    ("rooms are small", {f"dermiq/review/a{number}.py": "" for number in range(MOST_FILES + 1)}),
    ("rooms are small", {f"train/a{number}.py": "" for number in range(MOST_FILES + 1)}),
    ("rooms are small", {f"dermiq/knowledge/a{number}.py": "" for number in range(MOST_FILES + 1)}),
    ("only the training page of dermiq imports train", {"dermiq/assess.py": "import train.sft"}),
    ("only the training page of dermiq imports train", {"dermiq/ui/about.py": IN_A_FUNCTION.format("train")}),
    ("only the training page of dermiq imports train", {"dermiq/__main__.py": "from train.runs import registry"}),
    ("nothing imports the page", {"train/sft.py": IN_A_FUNCTION.format("dermiq.ui.markup")}),
    ("nothing imports the page", {"dermiq/knowledge/card.py": FOR_TYPES.format("dermiq.ui.facts")}),
    ("nothing imports the page", {"dermiq/__main__.py": "from dermiq import ui", "dermiq/ui/__init__.py": ""}),
    ("only the page knows gradio", {"dermiq/report.py": "import gradio as gr"}),
    ("only the page knows gradio", {"train/export.py": IN_A_FUNCTION.format("gradio.themes")}),
    ("knowledge knows no model", {"dermiq/knowledge/find.py": "from torch.nn import functional"}),
    ("knowledge knows no model", {"dermiq/knowledge/check/check.py": FOR_TYPES.format("transformers")}),
    ("knowledge knows no model", {"dermiq/knowledge/find.py": "from dermiq.vlm.load import load_vlm"}),
    ("knowledge knows no model", {"dermiq/knowledge/language/embed.py": "from dermiq.specialist import Specialist"}),
    ("vlm knows no graph", {"dermiq/vlm/parse.py": IN_A_FUNCTION.format("dermiq.knowledge.graph")}),
    ("vlm knows no graph", {"dermiq/vlm/parse.py": "from dermiq.knowledge import Graph"}),
    ("nothing imports the page", {"dermiq/vlm/load.py": "import dermiq.ui.markup"}),
    ("nothing that ships imports tests", {"train/worker.py": FOR_TYPES.format("tests.tiny")}),
    ("nothing that ships imports tests", {"app.py": "import tests"}),
]
GOOD = {
    "app.py": "from dermiq.ui.app import create_app",
    "dermiq/ui/app.py": "import gradio\nfrom dermiq.ui.training import tab\nfrom dermiq.knowledge import graph",
    "dermiq/ui/training/tab.py": "from train.runs import registry\nfrom train import sft",
    "dermiq/__main__.py": "from train.scoring.verdicts import judge_by\nfrom dermiq.ui.launch import main",
    "dermiq/ui/launch.py": "from dermiq.ui.app import create_app",
    "dermiq/knowledge/graph.py": "import numpy\nimport torchless\nfrom dermiq.types import Fact",
    "dermiq/knowledge/language/embed.py": "def f():\n    import torch",
    "dermiq/vlm/parse.py": "from dermiq.knowledge.language.cues import hear",
    "train/sft.py": "import torch\nfrom dermiq.knowledge import graph\nfrom train.runs import registry",
    "train/runs/registry.py": "import train_of_thought",
    "tests/test_x.py": "from dermiq.ui.app import create_app\nimport gradio_client\nimport train.sft",
}


def built(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("rule", "files"), BAD)
def test_a_bad_house_breaks(rule: str, files: Mapping[str, str], tmp_path: Path) -> None:
    assert {name for name, found in broken(built(tmp_path, files)).items() if found} == {rule}


def test_a_good_house_breaks_nothing(tmp_path: Path) -> None:
    assert not any(broken(built(tmp_path, GOOD)).values())
