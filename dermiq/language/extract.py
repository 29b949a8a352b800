"""The message ids in the code: what the page marks with `_`, `N_` or `ngettext`, and sentences made below the page.

    for found in ids(root): found.id, found.plural, found.places

Below the page nothing is marked: each sentence of `BELOW` that is no docstring is a message, an f-string's with the
names of its values as placeholders.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = "dermiq/ui"
MARKED = ("dermiq/decoder/formats.py", "dermiq/knowledge/card.py", "dermiq/report.py")  # outside the page, with `N_`
BELOW = (
    "dermiq/consultant.py",
    "dermiq/decoder/containers.py",
    "dermiq/decoder/decode.py",
    "dermiq/decoder/dicom.py",
    "dermiq/decoder/pool.py",
    "dermiq/decoder/worker.py",
    "dermiq/knowledge/catalogue.py",
    "dermiq/lesion/intake.py",
    "dermiq/lesion/quality.py",
    "dermiq/patient.py",
    "dermiq/review/sets/freeze.py",
    "dermiq/review/sets/incoming.py",
    "dermiq/review/store/gifts.py",
    "dermiq/review/store/images.py",
    "dermiq/review/store/remarks.py",
    "dermiq/review/store/showing.py",
    "dermiq/review/store/voting.py",
    "dermiq/specialist/reader.py",
    "dermiq/ui/review/access.py",
    "dermiq/ui/review/administration.py",
    "dermiq/ui/review/controller.py",
    "dermiq/ui/server/gate.py",
    "dermiq/ui/training/access.py",
    "dermiq/ui/training/controller.py",
    "dermiq/ui/server/guesses.py",
    "dermiq/ui/server/inbox.py",
    "dermiq/ui/server/upload.py",
    "dermiq/vlm/session.py",
)
_SCRIPT = re.compile(r'(?<![\w.])(?:_|dermiq\.text)\("((?:[^"\\]|\\.)*)"\)')


@dataclass(frozen=True)
class Found:
    id: str
    plural: str = ""
    places: tuple[str, ...] = ()  # files, from the root


def ids(root: Path) -> list[Found]:
    """In the order of the files, each once."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in _files(root):
        place = path.relative_to(root).as_posix()
        for pair in _in_file(path, place):
            places = found.setdefault(pair, [])
            places += [place] if place not in places else []
    return [Found(text, plural, tuple(places)) for (text, plural), places in found.items()]


def _files(root: Path) -> list[Path]:
    page = [path for path in (root / PAGE).rglob("*") if path.suffix in (".py", ".js") and "vendor" not in path.parts]
    return sorted({*page, *(root / name for name in (*MARKED, *BELOW))}, key=_order)


def _order(path: Path) -> tuple[bool, str]:
    return "consult" not in path.parts, path.as_posix()  # what every visitor sees comes first


def _in_file(path: Path, place: str) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".js":
        yield from ((match.replace('\\"', '"'), "") for match in _SCRIPT.findall(text))
        return
    tree = ast.parse(text)
    yield from marked(tree)
    if place in BELOW:
        yield from ((sentence, "") for sentence in sentences(tree))


def marked(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(id, plural) in the order of the text. ValueError where something else than a text is marked."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        assert isinstance(call.func, ast.Name)
        if call.func.id == "ngettext":
            yield _text(call, 0), _text(call, 1)
        elif call.func.id == "N_" or (call.func.id == "_" and isinstance(call.args[0], ast.Constant)):
            yield _text(call, 0), ""
        elif call.func.id == "_" and isinstance(call.args[0], ast.JoinedStr):
            raise ValueError(f'Line {call.lineno}: an f-string has no one text. Write _("... {{n}}").format(n=n).')


def _text(call: ast.Call, at: int) -> str:
    node = call.args[at]
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        raise ValueError(f"Line {call.lineno}: a message is one plain text.")
    return node.value


def sentences(tree: ast.AST) -> Iterator[str]:
    """Texts that begin with a capital letter, hold a space and end with a full stop; no docstrings."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr | ast.Constant) and id(n) not in inside | alone]
    for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset)):
        text = template(node)
        if " " in text and text.endswith(".") and re.match(r"[A-Z]|\{\w+\} ", text):
            yield text


def template(node: ast.expr) -> str:
    """An f-string with the names of its values in braces: "{width} x {height}"; of a plain text itself."""
    if not isinstance(node, ast.JoinedStr):
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    made, names = "", list[str]()
    for part in node.values:
        if isinstance(part, ast.Constant):
            made += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            name = _name(part.value)
            names.append(name)
            made += f"{{{name}{names.count(name) if names.count(name) > 1 else ''}}}"
    return made


def _name(node: ast.expr) -> str:
    """Of a value: the first of its names that is no function's, in small letters."""
    functions = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call) and n.args}
    named = [n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute) and id(n) not in functions]
    found = [n.id if isinstance(n, ast.Name) else n.attr for n in named]
    return found[0].strip("_").lower() if found else "value"
