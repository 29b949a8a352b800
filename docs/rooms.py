"""Draws `docs/rooms.svg`: the rooms and who imports whom, from the imports that the code has now.

    python -m docs.rooms        # a test says when the figure is stale

A row imports the columns in which it has a mark. Packages stand below those that import them, so that outside of the
frames, each of which is one package, every mark lies above the diagonal. Packages that import each other cannot be
drawn so: then there is no figure but a ValueError with their names.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
FIGURE = Path(__file__).with_name("rooms.svg")
STARTED = ("app", "dermiq.__main__")

CELL, LEFT, TOP, RIGHT = 26, 216, 132, 84  # pixels
STYLE = """
  text { font: 12px "DejaVu Sans", Verdana, sans-serif; fill: #14211f }
  .room { fill: #526563 }
  .ground { fill: #ffffff } .rule { stroke: #e2e9e8 } .self { fill: #e2e9e8 }
  .mark { fill: #0f766e } .frame { fill: none; stroke: #0f766e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4ecea } .room { fill: #a9bbb8 }
    .ground { fill: #0d1117 } .rule { stroke: #24302f } .self { fill: #24302f }
    .mark { fill: #3cc9b8 } .frame { stroke: #3cc9b8 }
  }
"""


# --- what imports what ------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Module -> file, of the packages and of `app.py`."""
    files = [ROOT / "app.py", *sorted((ROOT / "dermiq").rglob("*.py")), *sorted((ROOT / "train").rglob("*.py"))]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports() -> nx.DiGraph:
    """Of our own modules, also those inside functions; what is imported for its type alone does not count."""
    known = modules()
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    for name, file in known.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        graph.add_edges_from((name, target) for target in _imported(tree, known) if target != name)
    return graph


def _imported(node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    if isinstance(node, ast.ImportFrom) and node.module in known:
        deeper = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name if name in known else node.module for name in deeper)
    for child in ast.iter_child_nodes(node):
        yield from _imported(child, known)


# --- rooms ------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Room:
    """`package` is the box around it; `name` is "" for the package's own modules."""

    package: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.package}.{self.name}" if self.name else self.package


def room_of(module: str, graph: nx.DiGraph) -> Room:
    """The modules at the top of `dermiq` are told apart by whether they import any of its packages."""
    folders = _folders(module)
    if module in STARTED:
        return Room("app, dermiq.__main__")
    if folders != ["dermiq"]:
        return Room(folders[0]) if folders == ["train"] else _deeper(folders)
    deep = any(len(_folders(name)) > 1 or name == "train" for name in nx.descendants(graph, module))
    return Room("dermiq, main path" if deep else "dermiq, nouns")


def _folders(module: str) -> list[str]:
    """Of the file in which it is: dermiq.knowledge.find -> dermiq, knowledge."""
    parts = module.split(".")
    return parts if (ROOT / "/".join(parts)).is_dir() else parts[:-1]


def _deeper(folders: list[str]) -> Room:
    """`train` is a package whose rooms lie one level higher than those of `dermiq`'s packages."""
    depth = 1 if folders[0] == "train" else 2
    return Room(".".join(folders[:depth]), ".".join(folders[depth : depth + 1]))


def pairs_of(graph: nx.DiGraph) -> list[tuple[Room, Room]]:
    """Each room with each that it imports. Not how often: the figure changes when the rooms do."""
    rooms = {module: room_of(module, graph) for module in graph}
    return sorted({(rooms[a], rooms[b]) for a, b in graph.edges if rooms[a] != rooms[b]})


def ordered(pairs: Sequence[tuple[Room, Room]]) -> list[Room]:
    """Packages below those that import them; in a package its own modules, then rooms from which much is taken last."""
    between = nx.DiGraph([(a.package, b.package) for a, b in pairs if a.package != b.package])
    for circle in nx.simple_cycles(between):
        raise ValueError(f"These packages import each other: {' -> '.join([*circle, circle[0]])}.")
    place = {package: number for number, package in enumerate(nx.lexicographical_topological_sort(between))}
    taken = Counter(b for a, b in pairs if a.package == b.package)
    rooms = {room for pair in pairs for room in pair}
    return sorted(rooms, key=lambda room: (place[room.package], bool(room.name), taken[room], room))


# --- the drawing ------------------------------------------------------------------------


def svg(pairs: Sequence[tuple[Room, Room]]) -> str:
    """The figure, the same to the byte for the same pairs."""
    rooms = ordered(pairs)
    width, height = LEFT + CELL * len(rooms) + RIGHT, TOP + CELL * (len(rooms) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t">',
        f'<title id="t">The rooms of DermIQ and the imports between them: {len(rooms)} rooms</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *(line for number, room in enumerate(rooms) for line in _named(number, room, len(rooms))),
        *(_mark(rooms.index(a), rooms.index(b)) for a, b in pairs),
        *_frames(rooms),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _named(number: int, room: Room, total: int) -> Iterator[str]:
    """Its row and its column: a line, a name, and the cell in which they meet."""
    at, end, shift = CELL * number, CELL * total, CELL / 2 + 4
    kind = "room" if room.name else "package"
    yield f'<path class="rule" d="M{LEFT} {TOP + at}h{end}M{LEFT + at} {TOP}v{end}"/>'
    yield f'<rect class="self" x="{LEFT + at}" y="{TOP + at}" width="{CELL}" height="{CELL}"/>'
    yield f'<text class="{kind}" x="{LEFT - 8}" y="{TOP + at + shift:g}" text-anchor="end">{escape(str(room))}</text>'
    x, y = LEFT + at + shift, TOP - 8
    short = escape(room.name or room.package.removeprefix("dermiq."))
    yield f'<text class="{kind}" transform="translate({x:g} {y}) rotate(-60)">{short}</text>'


def _mark(row: int, column: int) -> str:
    x, y = LEFT + CELL * (column + 0.5), TOP + CELL * (row + 0.5)
    return f'<circle class="mark" cx="{x:g}" cy="{y:g}" r="6"/>'


def _frames(rooms: list[Room]) -> Iterator[str]:
    """One around each package that has rooms."""
    starts = [number for number, room in enumerate(rooms) if not number or rooms[number - 1].package != room.package]
    for start, end in pairwise([*starts, len(rooms)]):
        if end - start > 1:
            at, side = CELL * start, CELL * (end - start)
            yield f'<rect class="frame" x="{LEFT + at}" y="{TOP + at}" width="{side}" height="{side}"/>'


if __name__ == "__main__":
    FIGURE.write_text(svg(pairs_of(imports())), encoding="utf-8")
    print(FIGURE)
