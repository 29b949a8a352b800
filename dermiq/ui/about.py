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
from dermiq.language import N_, _, is_english
from dermiq.places import WEIGHTS
from dermiq.types import CLASS_NAMES, Fields
from dermiq.ui.markup import THIN, fill, join, percent

CARDS = ((N_("DermIQ-Nano, the language model"), "nano"), (N_("The specialist"), "specialist"))
PURPOSE = (
    (
        N_("What this is for, and what it is not for"),
        (
            N_(
                "DermIQ is a research demonstration for clinicians and researchers. It is not a medical device. It "
                "must not be used to diagnose, to exclude a diagnosis, or to decide on treatment or referral."
            ),
            N_(
                "Explanations can persuade even where they are wrong. Read the marks behind the sentences, the second "
                "reader’s opinion and the self-checks before the prose."
            ),
        ),
    ),
    (
        N_("What happens to images"),
        (
            N_(
                "Images never leave the machine that runs this page. They are stored in two cases only, each after a "
                "sentence that says so. An answer that you give to the review is kept there with its image, the "
                "conversation up to it and what you said of the patient, until it is taken back or deleted. Images "
                "that are uploaded to train on, in the Training tab, are kept until they are deleted there. The "
                "table below says it of everything."
            ),
        ),
    ),
    (
        N_("Which model"),
        (
            N_(
                "The cards and figures below are those of the parts that ship with DermIQ. Where another model or a "
                "training run answers, as the top of the page then says, they do not hold for it."
            ),
        ),
    ),
)
IN_ENGLISH = N_("The model facts, the table of what is kept and the model cards are in English.")

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
        return fill('<p class="dq-placeholder">{line}</p>', line=_("No measurements come with these weights."))
    parts = join(fill("{r}{c}", r=_reliability(title, m), c=_confusion(title, m)) for title, m in found)
    return fill('<div class="dq-measured">{parts}</div>', parts=parts)


def _reliability(title: str, metrics: Fields) -> Markup:
    bins = [b for b in map(_bin, metrics.get("reliability", ())) if b is not None]
    if not bins:
        return Markup("")
    error = metrics["figures"]["expected_calibration_error"]
    low, high = metrics["intervals_95"]["expected_calibration_error"]
    return fill(
        '<figure class="dq-reliability"><figcaption><strong>{head}</strong> {line}</figcaption>{svg}{table}</figure>',
        head=_("Reliability of its probabilities, {title}.").format(title=title),
        line=_(
            "Expected calibration error {error} ({share95} interval {low} to {high}) over {n} images. On the diagonal, "
            "a claimed {share70} is right in {share70} of the cases; a dot’s area is its number of images."
        ).format(
            error=f"{error:.3f}",
            low=f"{low:.3f}",
            high=f"{high:.3f}",
            n=f"{metrics['n']:,}",
            share95=f"95{THIN}%",
            share70=f"70{THIN}%",
        ),
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
        '<details class="dq-confusion"><summary>{summary}</summary>'
        '<div class="dq-scroll" tabindex="0" role="group" aria-label="{label}"><table><thead><tr>'
        '<th scope="col">{true}</th>{head}<th scope="col">{right}</th></tr></thead><tbody>{rows}</tbody></table>'
        "</div></details>",
        summary=_("What it answered, by what was true: {title}").format(title=title),
        label=_("What it answered, {title}").format(title=title),
        true=_("True, by row"),
        right=_("right"),
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
            '<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"><title>{title}</title></circle>',
            x=40 + 240 * b.confidence,
            y=250 - 240 * b.accuracy,
            r=2.5 + 6 * math.sqrt(b.n / most),
            title=_("claimed {claimed}, true {true}, n = {n}").format(
                claimed=percent(b.confidence), true=percent(b.accuracy), n=b.n
            ),
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
        '<svg viewBox="0 0 300 290" role="img" aria-label="{label}">'
        '<rect x="40" y="10" width="240" height="240" class="dq-plot"/><line x1="40" y1="250" x2="280" '
        'y2="10" class="dq-diagonal"/>'
        '<polyline points="{path}" class="dq-curve"/>{dots}{ticks}<text x="160" y="284" '
        'text-anchor="middle">{across}</text>'
        '<text x="10" y="130" text-anchor="middle" transform="rotate(-90 10 130)">{up}</text></svg>',
        label=_("Reliability curve; the same numbers are in the table below"),
        across=_("claimed probability, %"),
        up=_("observed, %"),
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
        '<details><summary>{title}</summary><table><thead><tr><th scope="col">{claimed}</th><th '
        'scope="col">{observed}</th>'
        '<th scope="col">{images}</th></tr></thead><tbody>{rows}</tbody></table></details>',
        title=_("The numbers"),
        claimed=_("claimed"),
        observed=_("observed"),
        images=_("images"),
        rows=rows,
    )


def purpose() -> Markup:
    """What the page is for, what happens to images: the part that is written by hand."""
    parts = [
        fill(
            "<h2>{title}</h2>\n{texts}",
            title=_(title),
            texts=join(fill("<p>{text}</p>\n", text=_(text)) for text in texts),
        )
        for title, texts in PURPOSE
    ]
    note = Markup("") if is_english() else fill("<p>{note}</p>\n", note=_(IN_ENGLISH))
    return fill('<div class="dq-about">\n{parts}{note}</div>\n', parts=join(parts), note=note)


def facts(*, weights: Path = WEIGHTS) -> str:
    """The model's facts on one screen, as Markdown; where what they are read from is damaged, a sentence says so."""
    try:
        told = model_facts.label(weights)
    except (DermIQError, OSError, LookupError, ValueError) as error:
        log.warning("the model facts cannot be read: %r", error)
        told = _("They cannot be read from the files beside the weights; the log says why.")
    return f"## {_('Model facts')}\n\n{told}"


def kept() -> str:
    """What is kept, where and how long, as Markdown; `python -m docs.trust` writes it with the limits of the code."""
    table = (STATIC / "kept.md").read_text(encoding="utf-8")
    return f"## {_('What is kept, and for how long')}\n\n{table}"
