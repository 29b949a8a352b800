"""Matplotlib drawings as SVG text, in the colours of a page or of a theme. Knows neither page nor what is drawn."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, GROUND, ACCENT, SOFT = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
"""Colours that stand for others, which are put in their place when the drawing is done."""

PAGE = {
    INK: "var(--dq-ink)",
    MUTED: "var(--dq-muted)",
    LINE: "var(--dq-muted)",
    GROUND: "var(--dq-surface)",
    ACCENT: "var(--dq-accent)",
    SOFT: "var(--dq-accent-soft)",
}
"""The page's own: one drawing is legible in both of its themes."""

LIGHT = {INK: "#14211f", MUTED: "#526563", LINE: "#526563", GROUND: "#ffffff", ACCENT: "#0f766e", SOFT: "#dff1ee"}
DARK = {INK: "#e4ecea", MUTED: "#9fb2af", LINE: "#9fb2af", GROUND: "#131b1b", ACCENT: "#3cc9b8", SOFT: "#12332f"}

_NOT_NEEDED = re.compile(r"<metadata>.*?</metadata>|<defs>.*?</defs>| id=\"[^\"]*\"| clip-path=\"[^\"]*\"", re.DOTALL)
_SETTINGS = threading.Lock()  # matplotlib's settings belong to the whole process


def svg_of(draw: Callable[[Figure], None], width: float, height: float, *, colours: Mapping[str, str] = PAGE) -> str:
    """Of a figure of so many points. Names in it are escaped by matplotlib.

    Without definitions and ids, which another drawing on the page has, too: so nothing with markers can be drawn.
    """
    import matplotlib  # here, because it would hold up the page's start by a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _SETTINGS, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dermiq"}):
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasAgg(figure)
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True)
    svg = _NOT_NEEDED.sub("", out.getvalue()[out.getvalue().index("<svg") :])
    for stands_in, colour in colours.items():
        svg = svg.replace(stands_in, colour)
    return svg
