"""The report: everything a reader needs, no identity, no image unless asked, every character drawn or marked."""

from __future__ import annotations

import io
import re
import zlib
from datetime import datetime, timezone

import pytest

from dermiq.assess_cli import answer_json
from dermiq.report import DISCLAIMER, GENERATED, sections, to_markdown, to_pdf
from dermiq.shipped import fingerprint
from dermiq.types import Abstention, Case, Lesion, OwnWords, PatientContext
from dermiq.version import __version__
from tests.fakes import picture, sample_answer

CREATED = datetime(2026, 3, 4, 5, 6, tzinfo=timezone.utc)
CASE = Case(
    (Lesion(picture(160, 120), "dermoscopy", "now"),),
    PatientContext(54, "female", "back", 2, ("itch", "grew")),
    "What is this? <b>|</b>",
)


def markdown(**changes: object) -> str:
    return to_markdown(CASE, sample_answer(CASE, **changes), created=CREATED)


@pytest.mark.parametrize(
    "said",
    [
        DISCLAIMER, "2026-03-04 05:06", "54 years, female, site: back, Fitzpatrick skin type II, reported: itch, grew",
        "dermoscopy, taken now", "| melanoma | 58 % | 62 % |", "| Asymmetry | 0.31 | 96 | 3.2 |", "4. Conclusion",
        "Contradicted, fact 3", "Not covered", "About another condition: “Excision with histology",
        "Cites the wrong fact, mended: F2 for F1",
        "CC BY 4.0", "https://example.org/terms", "Urgent: Suspected melanoma",
        "does not hold", "DermIQ-Nano 0.1, revision 0123abc",
    ],
)  # fmt: skip
def test_the_report_carries(said: str) -> None:
    assert said in markdown()


def test_the_report_says_what_is_generated_by_which_version_and_what_was_checked() -> None:
    text = markdown()
    assert text.index("## Reasoning and answer") < text.index(GENERATED) < text.index("## Sentences checked")
    answer = sample_answer(CASE)
    assert f"DermIQ {__version__}; SHA-256 of the list of shipped weights: {fingerprint()}." in text
    ran = ", ".join(check.code.replace("_", " ") for check in answer.checks)
    assert f"Checks that ran: {len(answer.claims)} sentences against graph and measurements, {ran}." in text.replace(
        "\\", ""
    )
    assert "Checks that ran: none." in markdown(claims=(), checks=())


def test_the_json_says_so_too() -> None:
    made = answer_json(sample_answer(CASE))
    assert (made["generated"], made["version"], made["weights"]) == (GENERATED, __version__, fingerprint())
    assert made["checks"]
    assert made["claims"]


def test_what_the_program_said_alone_is_not_called_generated() -> None:
    own = OwnWords("A plain fact [F1].", "This is not about the skin.")
    assert GENERATED not in markdown(text=own.text, own=own)


def test_no_image_travels_unless_asked() -> None:
    answer = sample_answer(CASE)
    assert "data:image" not in markdown()
    assert "data:image/jpeg;base64" in to_markdown(CASE, answer, created=CREATED, include_image=True)
    without, with_image = (to_pdf(CASE, answer, created=CREATED, include_image=i) for i in (False, True))
    assert b"/Subtype /Image" not in without
    assert b"/Subtype /Image" in with_image


def test_the_programs_own_words_are_told_from_the_models() -> None:
    own = OwnWords("A plain fact [F1].", "The model's answer repeated what was said before.", "The old text.")
    text = markdown(text=own.text, own=own)
    assert "Said by the program, not by the model: The model's answer repeated what was said before." in text
    assert text.count("A plain fact") == 1
    assert "The old text" not in text


def test_what_was_written_cannot_change_the_markdown() -> None:
    assert r"What is this? \<b\>\|\</b\>" in markdown()


def test_an_abstention_and_a_cut_answer_are_said() -> None:
    text = markdown(abstention=Abstention("far", "Too far."), stopped=True)
    assert "## Read with caution" in text
    assert "Too far." in text
    assert "the text below is cut" in text


def test_an_empty_answer_is_a_short_report() -> None:
    answer = sample_answer(CASE, text="", claims=(), differentials=(), findings=(), checks=(), urgency=None)
    headings = [heading for heading, _ in sections(CASE, answer, CREATED)]
    assert headings == ["Case", "Facts", "Model"]
    assert to_pdf(CASE, answer, created=CREATED).startswith(b"%PDF")


def test_the_pdf_embeds_its_fonts_and_repeats_the_disclaimer() -> None:
    pdf = to_pdf(CASE, sample_answer(CASE, text="long text. " * 2000), created=CREATED)
    pages = len(re.findall(rb"/Type /Page\b", pdf))
    assert pages > 3
    assert b"/FontFile2" in pdf


def test_characters_without_a_glyph_are_marked_not_lost(recwarn: pytest.WarningsRecorder) -> None:
    answer = sample_answer(CASE, text="χ ≥ 2 µm, żółć, Ж, 病\u0000")
    assert to_pdf(CASE, answer, created=CREATED).startswith(b"%PDF")
    assert not recwarn.list


def test_the_pdf_can_be_read_back() -> None:
    pdf = to_pdf(CASE, sample_answer(CASE), created=CREATED)
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    assert any(b"BT" in zlib.decompress(s) for s in streams if s[:1] == b"x")
    assert io.BytesIO(pdf).read().rstrip().endswith(b"%%EOF")
