"""The "About this model" tab: what it is for, its facts, what is kept, the model cards, and what was measured.

Cards and measurements are those that lie beside the weights: nothing here is written by hand but the purpose. Knows no
gradio.
"""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dermiq import model_facts
from dermiq.data_sets import DATA_SETS
from dermiq.errors import DermIQError
from dermiq.places import WEIGHTS
from dermiq.types import CLASS_NAMES, Fields
from dermiq.ui.markup import fill, join, percent

CARDS = (("DermIQ-Nano, the language model", "nano"), ("The specialist", "specialist"))

STATIC = Path(__file__).with_name("static")
log = logging.getLogger(__name__)

_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*(?!data:)[^)]*\)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<(?=[a-zA-Z/!])")
_HEADING = re.compile(r"^(#{1,5}) ", re.MULTILINE)


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability curve: what was claimed, what was true, over n images."""

    confidence: float
    accuracy: float
    n: int


def card_markdown(folder: str, *, weights: Path = WEIGHTS) -> str | None:
    """A model card without its front matter, its headings one level down, below the page's own; nothing in it loads
    from elsewhere. None where absent.
    """
    path = weights / folder / "README.md"
    if not path.is_file():
        return None
    text = _COMMENT.sub("", _FRONT_MATTER.sub("", path.read_text(encoding="utf-8"), count=1))
    return _HEADING.sub(r"#\1 ", _TAG.sub("&lt;", _IMAGE.sub(r"(figure: \1)", text)))


def measured(folder: str, *, weights: Path = WEIGHTS) -> Markup:
    """Calibration and confusions of one part on each data set, or a sentence that nothing was measured."""
    found = [
        (f"{one.kind}, {one.title} test", json.loads(path.read_text(encoding="utf-8")))
        for one in DATA_SETS.values()
        if (path := weights / folder / one.metrics).is_file()
    ]
    if not found:
        return Markup('<p class="dq-placeholder">No measurements come with these weights.</p>')
    parts = join(fill("{r}{c}", r=_reliability(title, m), c=_confusion(title, m)) for title, m in found)
    return fill('<div class="dq-measured">{parts}</div>', parts=parts)


def _reliability(title: str, metrics: Fields) -> Markup:
    bins = [b for b in map(_bin, metrics.get("reliability", ())) if b is not None]
    if not bins:
        return Markup("")
    error = metrics["figures"]["expected_calibration_error"]
    low, high = metrics["intervals_95"]["expected_calibration_error"]
    return fill(
        '<figure class="dq-reliability"><figcaption><strong>Reliability of its probabilities, {title}.</strong> '
        "Expected calibration error {error:.3f} (95{thin}% interval {low:.3f} to {high:.3f}) over {n:,} images. On the "
        "diagonal, a claimed 70{thin}% is right in 70{thin}% of the cases; a dot’s area is its number of images."
        "</figcaption>{svg}{table}</figure>",
        title=title,
        error=error,
        low=low,
        high=high,
        n=metrics["n"],
        thin="\u202f",
        svg=_curve(bins),
        table=_table(bins),
    )


def _confusion(title: str, metrics: Fields) -> Markup:
    """What was answered, by what was true: counts of images, and each row's share that is right."""
    classes, counts = metrics["confusion"]["classes"], metrics["confusion"]["rows_true_columns_answered"]
    head = join(fill('<th scope="col"><abbr title="{n}">{c}</abbr></th>', n=CLASS_NAMES[c], c=c) for c in classes)
    rows = join(
        fill(
            '<tr><th scope="row">{name}</th>{cells}<td>{right}</td></tr>',
            name=CLASS_NAMES[code],
            cells=join(
                fill("<td{right}>{n}</td>", n=n, right=Markup(' class="dq-right"') if at == number else "")
                for at, n in enumerate(row)
            ),
            right=percent(row[number] / sum(row)) if sum(row) else "–",
        )
        for number, (code, row) in enumerate(zip(classes, counts, strict=True))
    )
    return fill(
        '<details class="dq-confusion"><summary>What it answered, by what was true: {title}</summary>'
        '<div class="dq-scroll" tabindex="0" role="group" aria-label="What it answered, {title}"><table><thead><tr>'
        '<th scope="col">True, by row</th>{head}<th scope="col">right</th></tr></thead><tbody>{rows}</tbody></table>'
        "</div></details>",
        title=title,
        head=head,
        rows=rows,
    )


def _bin(row: Any) -> Bin | None:
    try:
        found = Bin(float(row["confidence"]), float(row["accuracy"]), int(row["n"]))
    except (KeyError, TypeError, ValueError):  # an empty bin is written as null
        return None
    return found if found.n > 0 and math.isfinite(found.confidence) and math.isfinite(found.accuracy) else None


def _curve(bins: list[Bin]) -> Markup:
    most = max(b.n for b in bins)
    dots = join(
        fill(
            '<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"><title>claimed {c}, true {a}, n = {n}</title></circle>',
            x=40 + 240 * b.confidence,
            y=250 - 240 * b.accuracy,
            r=2.5 + 6 * math.sqrt(b.n / most),
            c=percent(b.confidence),
            a=percent(b.accuracy),
            n=b.n,
        )
        for b in bins
    )
    path = " ".join(f"{40 + 240 * b.confidence:.1f},{250 - 240 * b.accuracy:.1f}" for b in bins)
    ticks = join(
        fill(
            '<text x="{x}" y="266" text-anchor="middle">{t}</text><text x="34" y="{y}" text-anchor="end">{t}</text>',
            x=40 + 2.4 * t,
            y=254 - 2.4 * t,
            t=t,
        )
        for t in (0, 50, 100)
    )
    return fill(
        '<svg viewBox="0 0 300 290" role="img" aria-label="Reliability curve; the same numbers are in '
        'the table below">'
        '<rect x="40" y="10" width="240" height="240" class="dq-plot"/><line x1="40" y1="250" x2="280" '
        'y2="10" class="dq-diagonal"/>'
        '<polyline points="{path}" class="dq-curve"/>{dots}{ticks}<text x="160" y="284" '
        'text-anchor="middle">claimed probability, %</text>'
        '<text x="10" y="130" text-anchor="middle" transform="rotate(-90 10 130)">observed, %</text></svg>',
        path=path,
        dots=dots,
        ticks=ticks,
    )


def _table(bins: list[Bin]) -> Markup:
    rows = join(
        fill("<tr><td>{c}</td><td>{a}</td><td>{n}</td></tr>", c=percent(b.confidence), a=percent(b.accuracy), n=b.n)
        for b in bins
    )
    return fill(
        '<details><summary>The numbers</summary><table><thead><tr><th scope="col">claimed</th><th '
        'scope="col">observed</th>'
        '<th scope="col">images</th></tr></thead><tbody>{rows}</tbody></table></details>',
        rows=rows,
    )


def purpose() -> Markup:
    """What the page is for, what happens to images: the part that is written by hand."""
    return Markup((STATIC / "purpose.html").read_text(encoding="utf-8"))


def facts(*, weights: Path = WEIGHTS) -> str:
    """The model's facts on one screen, as Markdown; where what they are read from is damaged, a sentence says so."""
    try:
        told = model_facts.label(weights)
    except (DermIQError, OSError, LookupError, ValueError) as error:
        log.warning("the model facts cannot be read: %r", error)
        told = "They cannot be read from the files beside the weights; the log says why."
    return f"## Model facts\n\n{told}"


def kept() -> str:
    """What is kept, where and how long, as Markdown; `python -m docs.trust` writes it with the limits of the code."""
    table = (STATIC / "kept.md").read_text(encoding="utf-8")
    return f"## What is kept, and for how long\n\n{table}"
