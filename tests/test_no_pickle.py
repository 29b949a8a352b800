"""Nothing in the project unpickles: a file that is loaded must not be able to run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
FILES = [ROOT / "app.py", *(path for folder in ("dermiq", "train", "tests") for path in (ROOT / folder).rglob("*.py"))]


def faults(source: str) -> Iterator[str]:
    if not any(word in source for word in (*MODULES, "torch")):  # parsing takes a while
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "torch" and any(alias.name == "load" for alias in node.names):
                yield f"line {node.lineno}: say torch.load, so that it is seen"
        else:
            names = []
        line = getattr(node, "lineno", 0)
        yield from (f"line {line}: {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in call_faults(node))


def call_faults(call: ast.Call) -> Iterator[str]:
    """`torch.load` must say `weights_only=True`, its safe reader; nothing may allow pickles; pandas has its own."""
    given = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    name = ast.unparse(call.func)
    if name.endswith("torch.load") and given.get("weights_only") is not True:
        yield "torch.load without weights_only=True"
    if any(word.arg == "allow_pickle" for word in call.keywords) and given.get("allow_pickle") is not False:
        yield "allow_pickle"
    if name.split(".")[-1] in ("read_pickle", "to_pickle"):
        yield name


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "import torch\ntorch.load('a')",
        "import torch\ntorch.load('a', weights_only=False)",
        "np.load('a', allow_pickle=True)",
        "np.load('a', allow_pickle=wanted)",
        "pd.read_pickle('a')",
    ],
)
def test_a_pickle_is_seen(source: str) -> None:
    assert list(faults(source))


def test_no_pickle_anywhere() -> None:
    found = {str(path.relative_to(ROOT)): list(faults(path.read_text(encoding="utf-8"))) for path in FILES}
    assert len(found) > 200
    assert not {name: told for name, told in found.items() if told}
