"""The "About this model" tab: the model cards and the measured calibration. Knows no gradio."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dermiq.ui.markup import fill, join, percent

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
CARDS = (("DermIQ-Nano, the language model", "nano"), ("The specialist", "specialist"))

CURVES = ("reliability.json", "reliability_val.json")  # the first that is there

_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*(?!data:)[^)]*\)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<(?=[a-zA-Z/!])")


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability curve: what was claimed, what was true, over n images."""

    confidence: float
    accuracy: float
    n: int


def card_markdown(folder: str, *, weights: Path = WEIGHTS) -> str | None:
    """A model card without its front matter; nothing in it loads from elsewhere. None where absent."""
    path = weights / folder / "README.md"
    if not path.is_file():
        return None
    text = _COMMENT.sub("", _FRONT_MATTER.sub("", path.read_text(encoding="utf-8"), count=1))
    return _TAG.sub("&lt;", _IMAGE.sub(r"(figure: \1)", text))


def reliability(*, weights: Path = WEIGHTS) -> Markup:
    """The reliability curve of the loaded weights, or a sentence that there is none."""
    path = next((p for name in CURVES if (p := weights / "specialist" / name).is_file()), None)
    if path is None:
        return Markup('<p class="dq-placeholder">No reliability curve comes with these weights.</p>')
    record = json.loads(path.read_text(encoding="utf-8"))
    bins = [b for b in map(_bin, record.get("bins", ())) if b is not None]
    if not bins:
        return Markup('<p class="dq-placeholder">The reliability file holds no bins.</p>')
    error = record.get("expected_calibration_error", record.get("ece"))
    total = record.get("n") or sum(b.n for b in bins)
    images = f"{total} images" + (f" of {record['split']}" if record.get("split") else "")
    said = f"Expected calibration error {error:.3f} over {images}." if isinstance(error, float) else f"{images}."
    return fill(
        '<figure class="dq-reliability"><figcaption><strong>Reliability of the specialist’s probabilities.</strong> '
        "{said} On the diagonal, a claimed 70{thin}% is right in 70{thin}% of the cases; a dot’s area is "
        "its number of images."
        "</figcaption>{svg}{table}</figure>",
        said=said,
        thin="\u202f",
        svg=_curve(bins),
        table=_table(bins),
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


PURPOSE = Markup(
    '<div class="dq-about"><h2>What this is for, and what it is not for</h2>'
    "<p>DermIQ is a research demonstration for clinicians and researchers. It shows how a "
    "vision-language model reasons over "
    "one skin lesion, which sourced facts it uses, and where its sentences are not covered by any. It is "
    "not a medical device. "
    "It must not be used to diagnose, to exclude a diagnosis, or to decide on treatment or referral.</p>"
    "<p>Explanations can persuade even where they are wrong. Read the marks behind the sentences, the "
    "second reader’s opinion "
    "and the self-checks before the prose.</p>"
    "<p>Images and answers stay in this session’s memory, are sent to nobody, and are forgotten with "
    "“New case” or when the "
    "page is closed. Images never leave the machine that runs this page.</p></div>"
)
