"""The figures of a report as SVG text, each with its text alternative. Knows no page.

for figure in figures_of(report):
    figure.svg(DARK)                     # or LIGHT, or PAGE: the colours of the page that it stands in
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dermiq.review.measures.agreement import Estimate
from dermiq.review.measures.quality import Report
from dermiq.svg import ACCENT, INK, LINE, MUTED, PAGE, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 420.0  # points
LEFT, RIGHT, LOW, HIGH = 80.0, 34.0, 26.0, 10.0  # points around the axes
FONT = 9.0
MOST_REVIEWERS = 12  # of the matrix: those with the most votes
GRAPH = "graph"


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    alt: str  # what it shows, in words and numbers
    height: float  # points
    draw: Callable[[Axes], None]

    def svg(self, colours: Mapping[str, str] = PAGE) -> str:
        def on(canvas: Canvas) -> None:
            width, height = WIDTH - LEFT - RIGHT, self.height - LOW - HIGH
            place = (LEFT / WIDTH, LOW / self.height, width / WIDTH, height / self.height)
            self.draw(canvas.add_axes(place))

        return svg_of(on, WIDTH, self.height, colours=colours)


def figures_of(report: Report) -> tuple[Figure, ...]:
    """Those for which there is something to show."""
    found = (over_time(report), matrix(report), rubric(report))
    return tuple(figure for figure in found if figure is not None)


# --- the graph and people, over time ----------------------------------------------------


def over_time(report: Report) -> Figure | None:
    """Each point with its interval, and all votes so far as a line with a band."""
    points = report.over_time
    if not points:
        return None

    def draw(axes: Axes) -> None:
        at, so_far = range(len(points)), [point.so_far for point in points]
        _frame(axes, (-0.6, len(points) - 0.4), (0, 1))
        axes.axhline(0.5, color=LINE, linewidth=0.8, linestyle=(0, (3, 3)))
        edge = [*zip(at, _all(so_far, "low"), strict=True), *reversed([*zip(at, _all(so_far, "high"), strict=True)])]
        axes.fill(*zip(*edge, strict=True), color=ACCENT, alpha=0.18, linewidth=0)
        axes.plot(at, _all(so_far, "value"), color=ACCENT, linewidth=1.6)
        for place, point in enumerate(points):
            _whisker(axes, place, point.agreement)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        shown = sorted({round(i * (len(points) - 1) / 4) for i in range(5)})
        form = "%d %b %Y" if points[-1].until - points[0].until > timedelta(days=4) else "%d %b, %H:%M"
        axes.set_xticks(shown, [points[i].until.strftime(form) for i in shown])

    last, until = points[-1].so_far, points[-1].until
    shares = [100 * value for value in _all([point.agreement for point in points], "value")]
    alt = (
        f"Share of votes that prefer the answer which the knowledge graph prefers, each point {report.a_point}, until "
        f"{until:%d %B %Y}. All {last.n} votes together: {percent(last)}. Half would be chance. Lowest point "
        f"{min(shares):.0f} %, highest {max(shares):.0f} %."
    )
    return Figure("over_time", "Agreement with the graph over time", alt, 190.0, draw)


def _all(estimates: Sequence[Estimate], name: str) -> list[float]:
    return [getattr(estimate, name) for estimate in estimates]


def _whisker(axes: Axes, x: float, found: Estimate) -> None:
    axes.plot((x, x), (found.low or 0.0, found.high or 0.0), color=MUTED, linewidth=0.9)
    axes.plot((x, x), (found.value or 0.0,) * 2, color=INK, linewidth=4.5, solid_capstyle="round")


# --- everyone against everyone ----------------------------------------------------------


def matrix(report: Report) -> Figure | None:
    """Cohen's kappa of each two reviewers, and of each with the graph."""
    chosen = sorted(report.reviewers, key=lambda reviewer: -reviewer.votes)[:MOST_REVIEWERS]
    names = [*sorted(reviewer.name for reviewer in chosen), GRAPH]
    cells = {(b.one, b.other): b.kappa for b in report.between if b.one in names and b.other in names}
    cells |= {(reviewer.name, GRAPH): reviewer.graph.kappa for reviewer in chosen}
    known = {pair: found for pair, found in cells.items() if found.value is not None}
    if not known:
        return None

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        _frame(axes, (-0.5, len(names) - 1.5), (len(names) - 0.5, 0.5))
        axes.grid(False)
        for (one, other), found in known.items():
            x, y, value = names.index(one), names.index(other), found.value or 0.0
            shade = 0.06 + 0.5 * max(0.0, value)
            axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=ACCENT, alpha=shade, linewidth=0))
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=FONT, color=INK)
        axes.set_xticks(range(len(names) - 1), [_short(name) for name in names[:-1]])
        axes.set_yticks(range(1, len(names)), [_short(name) for name in names[1:]])

    told = "; ".join(
        f"{one} and {'the graph' if other == GRAPH else other} {found.value:.2f}"
        for (one, other), found in known.items()
    )
    missing = len(report.reviewers) - len(chosen)
    more = f" {missing} more reviewers with fewer votes are not shown." if missing else ""
    return Figure(
        "matrix",
        "Agreement of each two (Cohen's kappa)",
        f"Cohen's kappa of {told}.{more}",
        46.0 + 26.0 * len(names),
        draw,
    )


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}…"


# --- the rubric -------------------------------------------------------------------------


def rubric(report: Report) -> Figure | None:
    """By criterion, the mean rating of preferred answers and of the others."""
    rated = [criterion for criterion in report.rubric if criterion.preferred is not None]
    if not rated:
        return None

    def draw(axes: Axes) -> None:
        _frame(axes, (0.8, 5.2), (len(rated) - 0.4, -0.6))
        for y, found in enumerate(rated):
            other, preferred = found.other or 0.0, found.preferred or 0.0
            axes.plot((other, preferred), (y, y), color=MUTED, linewidth=1.4)
            for value, colour in ((other, MUTED), (preferred, ACCENT)):
                axes.plot((value, value), (y, y), color=colour, linewidth=7, solid_capstyle="round")
        axes.set_xticks(range(1, 6), [str(value) for value in range(1, 6)])
        axes.set_yticks(range(len(rated)), [found.name for found in rated])

    told = "; ".join(
        f"{found.name} {found.preferred:.2f} against {found.other:.2f} (alpha {_number(found.alpha)})"
        for found in rated
    )
    alt = f"Mean rating from 1 to 5 of the preferred answer against the other one: {told}."
    return Figure(
        "rubric", "Ratings of preferred answers (coloured) and of the others", alt, 46.0 + 26.0 * len(rated), draw
    )


# --- words and frames -------------------------------------------------------------------


def percent(found: Estimate) -> str:
    """ "78 % (95 % interval 75 to 81 %)"."""
    if found.value is None or found.low is None or found.high is None:
        return "not known"
    return f"{100 * found.value:.0f} % (95 % interval {100 * found.low:.0f} to {100 * found.high:.0f} %)"


def _number(found: Estimate) -> str:
    return "not known" if found.value is None else f"{found.value:.2f}"


def _frame(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Thin lines behind, no ticks: a tick is a marker, and the text of a drawing has none."""
    axes.set(xlim=x, ylim=y)
    axes.patch.set_visible(False)
    axes.grid(True, color=LINE, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(bottom=False, left=False, labelsize=FONT, labelcolor=MUTED)
