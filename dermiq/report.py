"""A consultation as Markdown or PDF, to keep or to print. Knows no page and no model.

A report carries no identity and no file name, and no image unless it was asked for.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace, TTFFont
from PIL import Image

from dermiq.lesion.scores import scores
from dermiq.types import (
    CLASS_NAMES,
    Answer,
    Case,
    Claim,
    Differential,
    EvidenceItem,
    Fact,
    Finding,
    PatientContext,
)

TITLE = "DermIQ consultation report"
DISCLAIMER = (
    "Research demonstration for clinicians. Not a medical device, not for diagnosis. It must not be used "
    "to diagnose, "
    "to exclude a diagnosis, or to decide on treatment or referral."
)
READERS = {"vlm": "Language model", "specialist": "Specialist"}
VERDICTS = {
    "supported": "supported",
    "contradicted": "contradicted",
    "not_covered": "not covered",
    "another_condition": "about another condition",
    "wrong_citation": "cites the wrong fact",
}
PASSED = {True: "holds", False: "does not hold", None: "cannot be judged"}
URGENCY = {"urgent": "Urgent", "soon": "Soon", "routine": "Routine", "none": "No referral rule applies"}

_TAGS = re.compile(r"</?(?:think|answer)>")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~])")

Row = tuple[str, ...]
Section = tuple[str, "list[str] | Table"]


class Table(list[Row]):
    """Rows of a table; the first is its head. `right`: the columns whose cells are aligned right."""

    def __init__(self, rows: Iterable[Row], *, widths: Sequence[float], right: Sequence[int] = ()) -> None:
        super().__init__(rows)
        self.widths = tuple(widths)
        self.right = frozenset(right)


# --- content: the same for both forms ---------------------------------------------------


def sections(case: Case, answer: Answer, created: datetime, *, plain: Answer | None = None) -> list[Section]:
    """(heading, lines or table) in reading order; empty ones are left out. `plain`: what was said in plain words."""
    found: list[Section] = [
        ("Case", _case_lines(case, answer, created)),
        (
            "No reading" if not answer.text else "Read with caution",
            [answer.abstention.message] if answer.abstention else [],
        ),
        ("Urgency", _urgency_lines(answer)),
        ("Differential", _differential_table(answer.differentials)),
        ("Sets of diagnoses, and the patient", _set_lines(answer.differentials)),
        ("Findings", _finding_table(answer.findings, answer.differentials)),
        ("Scores, for melanocytic lesions", _score_table(answer.findings)),
        ("Between the images", list(answer.notes)),
        ("Reasoning and answer", _text_lines(answer)),
        ("In plain words, for the patient", _text_lines(plain) if plain is not None and plain is not answer else []),
        ("Sentences checked", [_claim_line(c, answer) for c in answer.claims]),
        ("Self-checks", [f"{c.message} ({PASSED[c.passed]})" for c in answer.checks]),
        ("Facts", [_fact_line(i) for i in answer.evidence.items]),
        ("Model", [f"{answer.model}, revision {answer.model_revision}; answered in {answer.seconds:.1f} s."]),
    ]
    return [(heading, body) for heading, body in found if body]


def _case_lines(case: Case, answer: Answer, created: datetime) -> list[str]:
    images = [
        f"image {i}: {lesion.width} × {lesion.height} px, "
        + (lesion.view if lesion.view != "unknown" else "kind not stated")
        + (f", taken {lesion.taken}" if lesion.taken else "")
        + "".join(f", {issue.message}" for issue in lesion.quality)
        for i, lesion in enumerate(case.lesions, 1)
    ]
    lines = [f"Date: {created:%Y-%m-%d %H:%M} ({created.tzname() or 'local time'})", f"Question: {case.question}"]
    lines += [f"Images of one lesion: {'; '.join(images)}", f"Patient: {_context(case.context)}"]
    return lines + (["Stopped by the reader: the text below is cut."] if answer.stopped else [])


def _context(context: PatientContext) -> str:
    said = [
        f"{context.age} years" if context.age is not None else "",
        context.sex or "",
        f"site: {context.site}" if context.site else "",
        f"Fitzpatrick skin type {('I', 'II', 'III', 'IV', 'V', 'VI')[context.skin_type - 1]}"
        if context.skin_type
        else "",
        f"reported: {', '.join(context.symptoms)}" if context.symptoms else "",
    ]
    return ", ".join(s for s in said if s) or "nothing stated"


def _urgency_lines(answer: Answer) -> list[str]:
    if answer.urgency is None:
        return []
    lines = [f"{URGENCY[answer.urgency.level]}: {answer.urgency.text}"]
    return lines + [f"Source: {_source(fact)}" for fact in answer.urgency.facts]


def percent(probability: float) -> str:
    if 0 < probability < 0.005:
        return "< 1 %"
    return "> 99 %" if probability >= 0.995 else f"{int(probability * 100 + 0.5)} %"


def _differential_table(differentials: Sequence[Differential]) -> Table:
    if not differentials:
        return Table([], widths=())
    best: dict[str, tuple[float, str]] = {}
    for candidate in (c for d in differentials for c in d.candidates):
        known = best.get(candidate.diagnosis.id, (0.0, ""))
        best[candidate.diagnosis.id] = (max(known[0], candidate.probability), candidate.diagnosis.name)
    rows: list[Row] = [("Diagnosis", *(READERS[d.reader] for d in differentials))]
    for key, (_, name) in sorted(best.items(), key=lambda item: -item[1][0]):
        given = [{c.diagnosis.id: c.probability for c in d.candidates}.get(key) for d in differentials]
        rows.append((name, *("–" if p is None else percent(p) for p in given)))
    count = len(differentials)
    return Table(rows, widths=(3, *[1] * count), right=range(1, count + 1))


def _set_lines(differentials: Sequence[Differential]) -> list[str]:
    """What holds the right diagnosis with a stated certainty, and what the figures were by the image alone."""
    lines = []
    for opinion in differentials:
        for certainty, codes in sorted(opinion.sets.items(), reverse=True):
            names = ", ".join(CLASS_NAMES[code] for code in codes)
            lines.append(f"With {certainty} % certainty, by the {READERS[opinion.reader].lower()}, one of: {names}.")
        if opinion.told:
            order = sorted(opinion.candidates, key=lambda one: -(one.by_image or 0.0))[:3]
            alone = ", ".join(f"{one.diagnosis.name} {percent(one.by_image or 0.0)}" for one in order)
            lines.append(f"Its figures include {', '.join(opinion.told)}. By the image alone: {alone}.")
    return lines


def _score_table(findings: Sequence[Finding]) -> Table:
    made = scores([finding for finding in findings if finding.image_index == findings[0].image_index])
    rows: list[Row] = [("Score", "Points", "Meaning and basis")]
    for score in made:
        basis = "; ".join(f"{one.name}: {one.basis}" for one in score.criteria)
        rows.append((score.name, score.text, f"{score.meaning.capitalize()}. {basis} ({score.source})"))
    return Table(rows if made else [], widths=(1, 0.7, 4))


def _finding_table(findings: Sequence[Finding], differentials: Sequence[Differential]) -> Table:
    if not findings:
        return Table([], widths=())
    lead = next(
        (d.top.diagnosis for d in sorted(differentials, key=lambda d: d.reader != "specialist") if d.candidates), None
    )
    several = len({f.image_index for f in findings}) > 1
    rows: list[Row] = [("Sign", "Value", "Percentile", f"LR {lead.name}" if lead else "LR", "In words")]
    for f in findings:
        likelihood = f.likelihood_ratios.get(lead.code) if lead and lead.code else None
        rows.append(
            (
                f.name + (f" (image {f.image_index + 1})" if several else ""),
                f"{f.value:.3g} {f.unit}".strip(),
                "–" if f.percentile is None else f"{f.percentile:.0f}",
                "–" if likelihood is None else f"{likelihood:.2g}",
                f.text,
            )
        )
    return Table(rows, widths=(2.1, 1.1, 1.1, 1.3, 3.4), right=(1, 2, 3))


def _text_lines(answer: Answer) -> list[str]:
    """The text as it was shown; lines say which words are the program's own, and where the model's follow them."""
    own = answer.own
    written = own.beside(answer.text) if own else answer.text
    text = re.sub(r"<answer>\s*(.*?)\s*</answer>", r"Answer: \1", written, flags=re.DOTALL)
    whose = "Said by the program, not by the model: " if own and own.text else ""
    said = [f"{whose}{own.why}", *own.text.splitlines()] if own else []
    models = _TAGS.sub("", text).splitlines()
    if own and own.is_first:
        lines = [*said, *(["Written by the model:", *models] if text.strip() else [])]
    else:
        lines = [*models, *said]
    return [line.strip() for line in lines if line.strip()]


def _claim_line(claim: Claim, answer: Answer) -> str:
    numbers = [str(i.number) for i in answer.evidence.items if i.fact.id in claim.fact_ids]
    facts = f", fact {', '.join(numbers)}" if numbers else ""
    note = f" ({claim.note})" if claim.note else ""
    if claim.miscited:
        facts = f", mended: {_cited(claim.mended)} for {_cited(claim.miscited)}" if claim.mended else ", not mended"
    return f"{VERDICTS[claim.verdict].capitalize()}{facts}: “{claim.text}”{note}"


def _cited(numbers: Sequence[int]) -> str:
    return ", ".join(f"F{number}" for number in numbers)


def _fact_line(item: EvidenceItem) -> str:
    return f"[F{item.number}] {item.fact.text} Source: {_source(item.fact)} – Why chosen: {item.reason}."


def _source(fact: Fact) -> str:
    where = f", {fact.locator}" if fact.locator else ""
    return f"{fact.source.title}{where} ({fact.source.licence}), {fact.source.url}"


# --- Markdown ---------------------------------------------------------------------------


def to_markdown(
    case: Case, answer: Answer, *, created: datetime, include_image: bool = False, plain: Answer | None = None
) -> str:
    """The report as Markdown. What a model or a visitor wrote is escaped."""
    parts = [f"# {TITLE}", f"> {DISCLAIMER}"]
    for heading, body in sections(case, answer, created, plain=plain):
        parts.append(f"## {heading}")
        parts.append(_markdown_table(body) if isinstance(body, Table) else _markdown_lines(body))
    if include_image:
        parts.append("## Images")
        parts += [
            f"![Image {i}](data:image/jpeg;base64,{base64.b64encode(_jpeg(lesion.pixels)).decode()})"
            for i, lesion in enumerate(case.lesions, 1)
        ]
    return "\n\n".join(parts) + "\n"


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _markdown_lines(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(line)}" for line in lines)


def _markdown_table(table: Table) -> str:
    head, *rows = table
    marks = ["---:" if i in table.right else ":---" for i in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cells) + " |"
        for cells in [[_escape(c) for c in head], marks, *[[_escape(c) for c in r] for r in rows]]
    )


def _jpeg(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((1000, 1000))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


# --- PDF --------------------------------------------------------------------------------


class _Page(FPDF):
    """A4, with the disclaimer on every page."""

    def footer(self) -> None:
        self.set_y(-17)
        self.set_font("body", size=7)
        self.set_text_color(90)
        self.multi_cell(0, 3.2, f"{DISCLAIMER}\nPage {self.page_no()} of {{nb}}", align="C")


def to_pdf(
    case: Case, answer: Answer, *, created: datetime, include_image: bool = False, plain: Answer | None = None
) -> bytes:
    """The report as a PDF with embedded fonts."""
    page = _Page(format="A4")
    page.alias_nb_pages()
    fonts = _font_folder()
    page.add_font("body", "", fonts / "DejaVuSans.ttf")
    page.add_font("body", "B", fonts / "DejaVuSans-Bold.ttf")
    font = page.fonts["body"]
    assert isinstance(font, TTFFont)  # it was added from a file
    known = set(font.cmap)
    page.set_title(TITLE)
    page.set_creator("DermIQ")
    page.set_creation_date(created)
    page.set_margins(18, 16)
    page.set_auto_page_break(True, margin=22)
    page.add_page()
    _line(page, TITLE, size=15, bold=True)
    page.set_fill_color(253, 241, 216)
    _line(page, DISCLAIMER, size=8.5, filled=True)
    for heading, body in sections(case, answer, created, plain=plain):
        page.ln(3)
        if page.will_page_break(18):
            page.add_page()
        _line(page, heading, size=11, bold=True)
        if isinstance(body, Table):
            _pdf_table(page, body, known)
        else:
            for line in body:
                _line(page, _drawable(line, known))
    if include_image:
        _pdf_images(page, case)
    return bytes(page.output())


def _font_folder() -> Path:
    """DejaVu Sans, which matplotlib ships: it covers Latin, Greek, Cyrillic and the signs that are used."""
    import matplotlib  # only the folder of its data is needed

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _drawable(text: str, known: set[int]) -> str:
    """Characters without a glyph become a white square, so that nothing vanishes silently."""
    return "".join(c if ord(c) in known else "\u25a1" for c in text if c == " " or c.isprintable())


def _line(page: FPDF, text: str, *, size: float = 9, bold: bool = False, filled: bool = False) -> None:
    page.set_font("body", "B" if bold else "", size)
    page.set_text_color(20)
    page.multi_cell(
        0, size * 0.5, text, align="L", fill=filled, new_x=XPos.LMARGIN, new_y=YPos.NEXT, padding=2 if filled else 0
    )
    page.ln(0.9)


def _pdf_table(page: FPDF, table: Table, known: set[int]) -> None:
    page.set_font("body", "", 8.5)
    page.set_text_color(20)
    page.set_draw_color(200)
    page.set_fill_color(255)
    alignment = tuple("RIGHT" if i in table.right else "LEFT" for i in range(len(table.widths)))
    with page.table(
        col_widths=table.widths,
        text_align=alignment,
        borders_layout="HORIZONTAL_LINES",
        line_height=4.4,
        padding=(0.3, 1.2),
        headings_style=FontFace(emphasis="BOLD", fill_color=(238, 243, 243)),
    ) as drawn:
        for cells in table:
            row = drawn.row()
            for cell in cells:
                row.cell(_drawable(cell, known))


def _pdf_images(page: FPDF, case: Case) -> None:
    for number, lesion in enumerate(case.lesions, 1):
        width = min(120.0, 150.0 * lesion.width / lesion.height)  # mm
        if page.will_page_break(width * lesion.height / lesion.width + 12):
            page.add_page()
        page.ln(3)
        _line(page, f"Image {number}", size=11, bold=True)
        page.image(io.BytesIO(_jpeg(lesion.pixels)), w=width, alt_text=f"Image {number} of the lesion")
