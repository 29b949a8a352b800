"""Facts as a small drawn graph: conditions on the left, what is said of them on the right. Knows no gradio.

The drawing is SVG inside the page, its colours the page's own, so that one drawing is legible in both themes.
Its text alternative is the list of the same facts, which carry the same numbers.
"""

from __future__ import annotations

import io
import re
import textwrap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import networkx as nx
from markupsafe import Markup

from dermiq.knowledge.card import topic_of
from dermiq.types import EvidenceItem
from dermiq.ui.markup import fill

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 4.5  # inches; the page scales it to the panel
ROW = 0.46  # inches a node
FONT, SMALL = 9.0, 7.5  # points
WRAP = 21  # characters a line
LEFT, RIGHT = 0.20, 0.80  # where the columns stand, as a share of the width
LABEL = 0.55  # where on its line a number stands, from left to right
INK, MUTED, LINE, GROUND, ACCENT, SOFT = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
COLOURS = {INK: "ink", MUTED: "muted", LINE: "muted", GROUND: "surface", ACCENT: "accent", SOFT: "accent-soft"}
"""Colours that stand for the page's own, and are put in their place when the drawing is done."""

_NOT_NEEDED = re.compile(r"<metadata>.*?</metadata>|<defs>.*?</defs>| id=\"[^\"]*\"", re.DOTALL)
_SETTINGS = threading.Lock()  # matplotlib's settings belong to the whole process


@dataclass(frozen=True)
class Line:
    """One fact as it is drawn. Names, not ids."""

    number: int
    subject: str
    topic: str
    object: str
    absent: bool


def evidence_graph(items: Sequence[EvidenceItem], name: Callable[[str], str]) -> Markup:
    """The facts drawn, under the numbers that they are cited by. `name`: what the page calls a node."""
    lines = tuple(
        Line(
            number=item.number,
            subject=name(item.fact.subject),
            topic=topic_of(item.fact.relation).lower(),
            object=name(item.fact.object),
            absent=item.fact.polarity == "absent",
        )
        for item in items
    )
    numbers = ", ".join(str(line.number) for line in lines)
    return fill(
        '<figure class="dq-graph"><div role="img" aria-label="Graph of the facts {numbers}. The list of facts says '
        'the same in words.">{svg}</div><figcaption class="dq-fine">Numbers are those of the list. '
        "A dashed line: absent.</figcaption></figure>",
        numbers=numbers,
        svg=Markup(draw(lines)),
    )


@lru_cache(maxsize=64)
def draw(lines: tuple[Line, ...]) -> str:
    """The SVG; names in it are escaped by matplotlib."""
    import matplotlib  # here, because it would hold up the page's start by a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    net = nx.MultiDiGraph()
    for line in lines:
        net.add_edge(("subject", line.subject), ("object", line.object), line=line)
    places = _places(net)
    rows = max(sum(side == kind for side, _ in net) for kind in ("subject", "object"))
    with _SETTINGS, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dermiq"}):
        figure = Figure(figsize=(WIDTH, ROW * rows + 0.1))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_axis_off()
        _draw_lines(axes, net, places)
        _draw_nodes(axes, net, places)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True)
    return _own_colours(out.getvalue())


def _places(net: nx.MultiDiGraph) -> dict[tuple[str, str], tuple[float, float]]:
    """Node -> (x, y), 0 to 1. What is said stands near the conditions of which it is said."""
    subjects = [node for node in net if node[0] == "subject"]
    height = {node: 1 - (place + 0.5) / len(subjects) for place, node in enumerate(subjects)}
    objects = [node for node in net if node[0] == "object"]
    objects.sort(key=lambda node: -sum(height[s] for s in net.predecessors(node)) / net.in_degree(node))
    right = {node: (RIGHT, 1 - (place + 0.5) / len(objects)) for place, node in enumerate(objects)}
    return {node: (LEFT, y) for node, y in height.items()} | right


def _draw_lines(axes: Axes, net: nx.MultiDiGraph, places: dict[tuple[str, str], tuple[float, float]]) -> None:
    """One line a pair, with the numbers of all its facts; behind the nodes."""
    for subject, target in dict.fromkeys((s, t) for s, t, _ in net.edges):
        facts = [data["line"] for data in net[subject][target].values()]
        (x0, y0), (x1, y1) = places[subject], places[target]
        style = "--" if all(line.absent for line in facts) else "-"
        axes.plot((x0, x1), (y0, y1), style, color=LINE, linewidth=1.1, zorder=1, clip_on=False)
        axes.text(
            x0 + LABEL * (x1 - x0),
            y0 + LABEL * (y1 - y0),
            ", ".join(str(line.number) for line in facts),
            ha="center",
            va="center",
            fontsize=FONT,
            color=ACCENT,
            zorder=3,
            bbox={"boxstyle": "round,pad=0.22", "facecolor": SOFT, "edgecolor": "none"},
        )


def _draw_nodes(axes: Axes, net: nx.MultiDiGraph, places: dict[tuple[str, str], tuple[float, float]]) -> None:
    for node, (x, y) in places.items():
        side, name = node
        topics = dict.fromkeys(data["line"].topic for _, _, data in net.in_edges(node, data=True))
        said = [*textwrap.wrap(name, WRAP), *topics]
        axes.text(
            x,
            y,
            "\n".join(said),
            ha="center",
            va="center",
            fontsize=FONT if side == "subject" else SMALL + 0.5,
            color=INK,
            parse_math=False,  # a dollar sign in a name is a dollar sign
            linespacing=1.15,
            zorder=2,
            bbox={
                "boxstyle": "round,pad=0.35",
                "facecolor": GROUND,
                "edgecolor": ACCENT if side == "subject" else LINE,
            },
        )


def _own_colours(svg: str) -> str:
    """The drawing alone, in the page's colours, without ids that another drawing on the page has too."""
    svg = _NOT_NEEDED.sub("", svg[svg.index("<svg") :])
    for stands_in, name in COLOURS.items():
        svg = svg.replace(stands_in, f"var(--dq-{name})")
    return svg
