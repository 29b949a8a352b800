"""Facts as a small drawn graph: conditions on the left, what is said of them on the right. Knows no gradio.

The drawing is SVG inside the page, its colours the page's own, so that one drawing is legible in both themes.
Its text alternative is the list of the same facts, which carry the same numbers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import networkx as nx
from markupsafe import Markup

from dermiq.knowledge.card import topic_of
from dermiq.language import _
from dermiq.svg import ACCENT, GROUND, INK, LINE, MUTED, SOFT, svg_of
from dermiq.types import EvidenceItem
from dermiq.ui.markup import fill

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 252.0, 47.0  # points; the page scales the drawing to the panel
BOX = 98.0  # points, the width of a node
LEFT, RIGHT = 50.0, 202.0  # points, where the two columns stand
FONT, SMALL, LEADING = 9.0, 8.0, 10.5  # points
WRAP = 19  # characters a line
ALONE, SHARED = 0.72, 0.55  # where along its line a number stands, by whether its end has other lines


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
        '<figure class="dq-graph"><div role="img" aria-label="{said}">{svg}</div>'
        '<figcaption class="dq-fine">{legend}</figcaption></figure>',
        said=_("Graph of the facts {numbers}. The list of facts says the same in words.").format(numbers=numbers),
        legend=_("Numbers are those of the list. A dashed line: absent or rare."),
        svg=Markup(draw(lines)),
    )


@lru_cache(maxsize=64)
def draw(lines: tuple[Line, ...]) -> str:
    """The SVG; names in it are escaped by matplotlib."""
    net = nx.MultiDiGraph()
    for line in lines:
        net.add_edge(("subject", line.subject), ("object", line.object), line=line)
    rows = max(sum(side == kind for side, _ in net) for kind in ("subject", "object"))
    places = _places(net, ROW * rows)

    def on(figure: Figure) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, ROW * rows))
        axes.set_axis_off()
        _draw_lines(axes, net, places)
        _draw_nodes(axes, net, places)

    return svg_of(on, WIDTH, ROW * rows)


Node = tuple[str, str]  # side and name
Places = dict[Node, tuple[float, float]]  # points, from the lower left


def _places(net: nx.MultiDiGraph, height: float) -> Places:
    """What is said stands evenly, near the conditions of which it is said; each of those in the middle of its own."""
    subjects = [node for node in net if node[0] == "subject"]
    order = {node: place for place, node in enumerate(subjects)}
    objects = [node for node in net if node[0] == "object"]
    objects.sort(key=lambda node: sum(order[s] for s in net.predecessors(node)) / net.in_degree(node))
    right = {node: (RIGHT, height * (1 - (i + 0.5) / len(objects))) for i, node in enumerate(objects)}
    middles = {s: sum(right[t][1] for t in net.successors(s)) / net.out_degree(s) for s in subjects}
    subjects.sort(key=lambda node: -middles[node])
    levels = _apart([middles[node] for node in subjects], height)
    return right | {node: (LEFT, level) for node, level in zip(subjects, levels, strict=True)}


def _apart(wanted: Sequence[float], height: float) -> list[float]:
    """Levels near the wanted ones, which fall, with room for a box between neighbours and at both ends."""
    gap = height / len(wanted) if len(wanted) * ROW > height else ROW
    levels: list[float] = []
    for level in wanted:
        highest = levels[-1] - gap if levels else height - gap / 2
        levels.append(min(level, highest))
    for place in range(len(levels) - 1, -1, -1):
        lowest = levels[place + 1] + gap if place + 1 < len(levels) else gap / 2
        levels[place] = max(levels[place], lowest)
    return levels


def _draw_lines(axes: Axes, net: nx.MultiDiGraph, places: Places) -> None:
    """One line a pair, with the numbers of all its facts where the lines of a fan lie apart."""
    for subject, target in dict.fromkeys((start, end) for start, end, *rest in net.edges):
        facts = [data["line"] for data in net[subject][target].values()]
        (x0, y0), (x1, y1) = places[subject], places[target]
        x0, x1 = x0 + BOX / 2, x1 - BOX / 2
        along = ALONE if len(set(net.predecessors(target))) == 1 else SHARED
        style = "--" if all(line.absent for line in facts) else "-"
        axes.plot((x0, x1), (y0, y1), style, color=LINE, linewidth=1.1, clip_on=False)
        axes.text(
            x0 + along * (x1 - x0),
            y0 + along * (y1 - y0),
            ", ".join(str(line.number) for line in facts),
            ha="center",
            va="center",
            fontsize=FONT,
            color=ACCENT,
            bbox={"boxstyle": "round,pad=0.22", "facecolor": SOFT, "edgecolor": "none"},
        )


def _draw_nodes(axes: Axes, net: nx.MultiDiGraph, places: Places) -> None:
    """A box with the name, and under what is said, what kind of thing it is."""
    from matplotlib.patches import FancyBboxPatch

    for node, (x, y) in places.items():
        topics = dict.fromkeys(data["line"].topic for _, _, data in net.in_edges(node, data=True))
        said = [(line, FONT, INK) for line in textwrap.wrap(node[1], WRAP, max_lines=3, placeholder=" …")]
        said += [(", ".join(topics), SMALL, MUTED)] if topics else []
        height = LEADING * len(said) + 3
        edge = ACCENT if node[0] == "subject" else LINE
        corner = (x - BOX / 2, y - height / 2)
        style = "round,pad=0,rounding_size=3"
        axes.add_patch(
            FancyBboxPatch(corner, BOX, height, boxstyle=style, facecolor=GROUND, edgecolor=edge, clip_on=False)
        )
        for place, (text, size, colour) in enumerate(said):
            level = y + LEADING * ((len(said) - 1) / 2 - place)
            # A dollar sign in a name is a dollar sign: no mathematics.
            axes.text(x, level, text, ha="center", va="center", fontsize=size, color=colour, parse_math=False)
