"""The page's HTML, without a browser: escaping, marks, bars, tables, banners."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dermiq.report import GENERATED
from dermiq.types import Abstention, Claim, Differential, Evidence, EvidenceItem, OwnWords, SelfCheck, Verdict
from dermiq.ui import about, markup, prose
from dermiq.ui.consult import chat, panels, viewer
from dermiq.ui.consult.visit import Exchange, Visit
from tests import fakes

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"img", "input", "br", "meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: object) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(str(html))
    assert not parser.open, f"left open: {parser.open}"
    return parser.found


def harmless(html: object) -> None:
    """No element and no attribute came out of a value."""
    for tag, attributes in tags(html):
        assert tag != "script"
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src") != "x"


def sources(**changes: Any) -> prose.Sources:
    return replace(prose.Sources("1", fakes.EVIDENCE, fakes.CLAIMS, fakes.findings()), **changes)


def done(**changes: object) -> Exchange:
    exchange = Exchange("What is it?", "1", phase="done", text=fakes.TEXT, evidence=fakes.EVIDENCE)
    exchange.claims, exchange.checks, exchange.findings = fakes.CLAIMS, fakes.CHECKS, fakes.findings()
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange


# --- numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "said"),
    [(0.61873, "62"), (0, "0"), (0.004, "< 1"), (0.005, "1"), (0.994, "99"), (0.999, "> 99"), (1, "> 99")],
)
def test_a_probability_has_no_more_digits_than_it_deserves(probability: float, said: str) -> None:
    assert markup.percent(probability) == f"{said}\u202f%"


@pytest.mark.parametrize(
    ("value", "said"), [(0.3141, "0.31"), (1.42, "1.4"), (4, "4"), (38.2, "38"), (1200.4, "1200"), (-0.5, "-0.50")]
)
def test_a_value_has_two_significant_digits(value: float, said: str) -> None:
    assert markup.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(96, "96th"), (91.2, "91st"), (2, "2nd"), (13, "13th"), (0, "1st"), (100, "99th")]
)
def test_a_percentile_is_an_ordinal_that_never_reaches_the_ends(value: float, said: str) -> None:
    assert markup.percentile(value) == said


def test_a_link_needs_a_web_address() -> None:
    assert "href" not in markup.link("javascript:alert(1)", "here")
    assert 'rel="noopener noreferrer"' in markup.link("https://example.org", "here")


# --- the model's text -------------------------------------------------------------------


def test_a_text_is_split_into_reasoning_answer_and_prose() -> None:
    parts = prose.split_text(fakes.TEXT)
    assert parts.answer == "melanoma"
    assert not parts.thinking
    assert parts.reasoning.startswith("1. Findings")
    assert parts.prose.endswith("settle it.")
    assert [label for label, _ in prose.steps(parts.reasoning)] == [
        "Findings",
        "Differential",
        "Knowledge",
        "Conclusion",
    ]


@pytest.mark.parametrize("cut", range(0, len(fakes.TEXT), 7))
def test_a_text_cut_anywhere_shows_no_tag(cut: int) -> None:
    parts = prose.split_text(fakes.TEXT[:cut])
    assert not re.search(r"</?(t|a)[a-z]*>?$|<think>|</think>|<answer>", parts.reasoning + parts.answer + parts.prose)
    harmless(chat.chat([done(text=fakes.TEXT[:cut], phase="writing")], has_image=True, reader="R"))


@pytest.mark.parametrize(
    ("text", "reasoning", "answer", "said"),
    [
        ("only prose", "", "", "only prose"),
        ("<think>a <answer>nevus</answer> b", "a", "nevus", "b"),
        ("<THINK>a</THINK><ANSWER>nevus</ANSWER>", "a", "nevus", ""),
        ("a</think>b", "", "", "ab"),
        ("", "", "", ""),
    ],
)
def test_what_models_really_write_is_split_too(text: str, reasoning: str, answer: str, said: str) -> None:
    parts = prose.split_text(text)
    assert (parts.reasoning, parts.answer, parts.prose) == (reasoning, answer, said)


def test_what_a_model_wrote_is_called_generated_and_the_programs_words_are_not() -> None:
    def said(**changes: object) -> bool:
        return GENERATED in str(chat.chat([done(**changes)], has_image=True, reader="R"))

    own = OwnWords("Not about the skin.", "The question is about something else.")
    assert said()
    assert said(text="", phase="waiting"), "before the first word, so that nothing jumps"
    assert said(text="A sentence. " + own.text, own=own)
    assert not said(text=own.text, own=own)
    assert not said(text="", phase="abstained")


def test_citations_become_chips_that_open_a_card_which_is_there() -> None:
    html = str(chat.chat([done()], has_image=True, reader="R"))
    targets = set(re.findall(r'popovertarget="([^"]+)"', html))
    cards = set(re.findall(r'<div class="dq-card" id="([^"]+)" popover', html))
    assert targets <= cards, "a chip or mark opens nothing"
    assert {"fact-1-1", "fact-1-2", "fact-1-3", "claim-1-0"} <= cards


@pytest.mark.parametrize("written", ["[F1]", "[f1]", "[F1, F2]", "[F1;2]", "[ F1 ]", "[F1][F2]"])
def test_citations_are_read_in_the_forms_that_models_write(written: str) -> None:
    html = prose.inline(f"so it is {written}.", sources())
    assert 'popovertarget="fact-1-1"' in html
    assert "[" not in html


def test_a_citation_of_no_fact_is_said_to_be_one() -> None:
    assert "cites no fact of this case" in prose.inline("so it is [F9].", sources())


def test_the_card_names_source_licence_and_why() -> None:
    card = str(prose.cards(sources(claims=())))
    assert "CC BY 4.0" in card
    assert "names a measured finding" in card
    assert "row 12" in card
    assert 'href="https://example.org/terms"' in card


def test_every_sentence_carries_its_verdict_mark() -> None:
    html = str(prose.marked(prose.split_text(fakes.TEXT).prose, sources()))
    assert 'class="dq-claim dq-not_covered">The lesion is ulcerated.</span>' in html
    assert html.index("dq-claim dq-contradicted") > html.index("The lesion is ulcerated")
    assert 'aria-label="This sentence is not covered: “ulcerated”' in html


def test_a_wrong_number_is_struck_out_and_the_right_one_put_behind_it() -> None:
    claim = Claim("It is malignant [F1].", "wrong_citation", ("f3",), note="why", miscited=(1,), mended=(3,))
    html = str(prose.marked("It is malignant [F1].", sources(claims=(claim,))))
    wrong, right = html.index("Fact 1, cited wrongly: "), html.index("Fact 3, put right: the model wrote 1: ")
    assert wrong < right
    assert 'class="dq-chip dq-chip-wrong" popovertarget="fact-1-1"' in html
    assert 'class="dq-chip dq-chip-mended" popovertarget="fact-1-3"' in html
    assert 'aria-label="This sentence cites the wrong fact: why">#</button>' in html


@pytest.mark.parametrize(
    ("text", "claim", "chips"),
    [
        ("So [F1, F3].", Claim("So.", "wrong_citation", ("f3",), miscited=(1,), mended=(3,)), ["1-", "3"]),
        ("So [F1][F2].", Claim("So.", "wrong_citation", ("f3",), miscited=(1, 2), mended=(3,)), ["1-", "2-", "3+"]),
        ("So [F1] it [F2].", Claim("So it.", "wrong_citation", (), miscited=(1, 2), mended=(3,)), ["1-", "3+", "2-"]),
        ("So [F1].", Claim("So.", "wrong_citation", (), miscited=(1,)), ["1-"]),
        ("So [F9].", Claim("So.", "wrong_citation", ("f3",), miscited=(9,), mended=(3,)), ["9?", "3+"]),
        ("So (fact 2).", Claim("So.", "supported", ("f2",)), ["2"]),
    ],
)
def test_which_chips_stand_behind_a_sentence(text: str, claim: Claim, chips: list[str]) -> None:
    html = str(prose.marked(text, sources(claims=(claim,))))
    ends = {"dq-chip": "", "dq-chip dq-chip-wrong": "-", "dq-chip dq-chip-mended": "+", "dq-chip dq-chip-unknown": "?"}
    found = re.findall(r'class="(dq-chip[^"]*)".*?>(\d+)[?<]', html)
    assert [number + ends[kind] for kind, number in found] == chips


def test_the_counts_are_the_legend_of_the_marks() -> None:
    html = str(chat.chat([done()], has_image=True, reader="R"))
    legend = re.sub(r"<[^>]+>", "", html[html.index("Sentences checked") :].split("</p>")[0])
    assert legend == (
        "Sentences checked against graph and measurements: ✓2 supported · ✕1 contradicted · ≠1 about another condition"
        " · #1 cites the wrong fact · ?1 not covered · 1 citation put right."
    )


def test_every_verdict_has_its_sign_words_and_reason() -> None:
    for verdict, standing in prose.VERDICTS.items():
        card = str(prose.cards(sources(claims=(Claim("So.", verdict),))))
        assert standing.word[0].upper() + standing.word[1:] in card
        assert "<blockquote>So.</blockquote><p>" in card
    assert set(prose.VERDICTS) == set(get_args(Verdict))


def test_a_claim_is_found_despite_citations_case_and_spaces() -> None:
    text = "So. IRREGULAR streaks [F1]\n suggest  melanoma [F2]. End."
    (start, end, index), *rest = prose.locate(text, [Claim("irregular streaks suggest melanoma", "supported")])
    assert text[start:end] == "IRREGULAR streaks [F1]\n suggest  melanoma [F2]."
    assert index == 0
    assert not rest


def test_a_claim_ends_behind_its_percent_sign() -> None:
    text = "It has red areas (9 %). It is brown."
    assert [s[:2] for s in prose.locate(text, [Claim("It has red areas (9 %).", "supported")])] == [(0, 23)]


def test_the_same_sentence_twice_takes_two_places() -> None:
    claims = [Claim("It is brown.", "supported"), Claim("It is brown.", "not_covered")]
    assert [s[:2] for s in prose.locate("It is brown. It is brown.", claims)] == [(0, 12), (13, 25)]


def test_a_claim_that_is_not_in_the_text_is_listed_below() -> None:
    html = chat.chat([done(claims=(Claim("Not written anywhere.", "contradicted"),))], has_image=True, reader="R")
    assert "Not written anywhere." in html
    assert "1 contradicted" in html


# --- what is said aloud -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phase": "waiting", "note": "2 questions before yours."}, "2 questions before yours."),
        ({"phase": "writing", "text": fakes.TEXT[:40]}, "Reasoning."),
        ({"phase": "writing", "text": fakes.TEXT}, "Writing."),
        ({"urgency": fakes.URGENCY}, "Answered: Melanoma. Urgent."),
        ({"text": "No option.", "urgency": None}, "Answered."),
        ({"checks": (SelfCheck("image_matters", True, "It does."),)}, "Answered: Melanoma. It does."),
        ({"phase": "stopped"}, "Stopped."),
        ({"phase": "abstained", "abstention": Abstention("blurred", "Too blurred.")}, "No reading. Too blurred."),
        ({"phase": "failed", "error": "It broke."}, ""),
    ],
)
def test_a_screen_reader_is_told_how_far_an_answer_is_and_not_every_word(changes: dict[str, object], said: str) -> None:
    html = str(chat.chat([done(**changes)], has_image=True, reader="R"))
    assert re.findall(r'role="status" data-key="spoken">([^<]*)<', html) == [said]
    assert 'role="log"' in html
    assert 'aria-live="polite"' not in html


def test_the_place_of_what_is_said_aloud_is_there_before_anything_is() -> None:
    assert 'role="status" data-key="spoken"></p>' in chat.chat([], has_image=False, reader="R")


def test_what_a_sign_means_is_said_to_those_who_do_not_point_at_it() -> None:
    html = str(panels.findings_panel(fakes.findings(), "mel"))
    described = re.findall(r'aria-describedby="([^"]+)"', html)
    assert described == re.findall(r'<span id="([^"]+)" hidden>', html)
    assert len(set(described)) == len(fakes.findings())


# --- escaping ---------------------------------------------------------------------------


def test_nothing_that_a_model_a_visitor_or_a_table_says_becomes_an_element() -> None:
    fact = replace(
        fakes.FACTS[0], text=EVIL, subject=EVIL, source=replace(fakes.SOURCE, title=EVIL, url=f'https://x/{EVIL}"')
    )
    evidence = Evidence((EvidenceItem(1, fact, 1.0, EVIL),))
    finding = replace(fakes.findings()[0], name=EVIL, text=EVIL, unit=EVIL, definition=f'"{EVIL}')
    exchange = done(
        question=EVIL,
        text=f"<think>1. Findings: {EVIL} [F1]</think><answer>{EVIL}</answer>{EVIL} **{EVIL}** [F1]",
        evidence=evidence,
        claims=(Claim(EVIL, "contradicted", ("f1",), note=f'"{EVIL}'),),
        checks=(SelfCheck("x", None, EVIL),),
        notes=(EVIL,),
        error=EVIL,
        abstention=Abstention("blurred", EVIL),
        findings=(finding,),
    )
    harmless(chat.chat([exchange], has_image=True, reader=EVIL))
    harmless(panels.panels((fakes.SPECIALIST,), (finding,), evidence))
    harmless(panels.urgency_line(replace(fakes.URGENCY, text=EVIL, facts=(fact,))))
    harmless(viewer.empty((viewer.Example(EVIL, "data:,"),), (EVIL,)))
    assert "&lt;script&gt;" in chat.chat([exchange], has_image=True, reader=EVIL)


# --- panels -----------------------------------------------------------------------------


def test_both_readers_stand_side_by_side_and_agree() -> None:
    html = panels.differential_panel((fakes.SPECIALIST, fakes.VLM))
    assert "Both readers hold melanoma most probable." in html
    assert "62\u202f%" in html
    assert "58\u202f%" in html
    assert "dq-amber" not in html
    tags(html)


def test_a_disagreement_is_amber_and_names_both_opinions() -> None:
    line = panels.agreement_line((fakes.SPECIALIST, fakes.VLM_NEVUS))
    assert "dq-amber" in line
    assert "melanoma (58\u202f%)" in line
    assert "melanocytic nevus (55\u202f%)" in line


def test_bars_turn_grey_where_no_reading_is_offered() -> None:
    assert "dq-grey" in panels.differential_panel((fakes.SPECIALIST,), abstained=True)
    assert "dq-grey" not in panels.differential_panel((fakes.SPECIALIST,))


def test_a_reader_that_has_not_answered_keeps_its_column() -> None:
    assert str(panels.differential_panel((fakes.SPECIALIST,), reading=True)).count("…</td>") == 7


def test_a_differential_without_candidates_is_shown_as_none() -> None:
    tags(panels.panels((Differential((), "vlm"),), (), None))


def test_the_findings_show_unit_percentile_and_ratio_for_the_leading_diagnosis() -> None:
    html = str(panels.findings_panel(fakes.findings(), "mel"))
    assert "38\u202f%" in html
    assert "96th" in html
    assert ">3.2<" in html
    assert ">4.0<" in html
    assert "likelihood ratio for melanoma" in html
    assert "n = 9013" in html


def test_what_cannot_be_judged_is_a_dash_not_a_zero() -> None:
    row = str(panels.findings_panel((replace(fakes.findings()[4], likelihood_ratios={}),), "mel"))
    assert row.count(">–<") == 2


def test_signs_in_the_usual_range_wait_folded() -> None:
    html = str(panels.findings_panel(fakes.findings(), "mel"))
    assert "1 sign in the usual range" in html
    assert html.index("usual range") < html.index(">Size<") < html.index("LR: likelihood")
    assert "usual range" not in panels.findings_panel(fakes.findings()[3:4], "mel")


def test_findings_of_several_images_are_grouped() -> None:
    html = panels.findings_panel((*fakes.findings(0), *fakes.findings(1)), "mel")
    assert "Image 1" in html
    assert "Image 2" in html


def test_the_empty_panels_keep_their_places() -> None:
    html = str(panels.panels((), (), None))
    assert html.count('class="dq-panel"') == 3
    assert "Urgency" in panels.urgency_line(None)


def test_the_words_for_probabilities_are_those_that_the_page_defines() -> None:
    assert [panels.word(p) for p in (0.5, 0.49, 0.1, 0.09)] == ["likely", "possible", "possible", "unlikely"]
    assert "50 %" in panels.WORDS


def test_an_abstention_offers_to_ask_all_the_same_once() -> None:
    abstention = Abstention("far", "Too far from the training data.")
    assert 'data-event="insist"' in panels.abstention_banner(abstention, insisted=False)
    assert 'data-event="insist"' not in panels.abstention_banner(abstention, insisted=True)


@pytest.mark.parametrize(("passed", "said"), [(True, "holds"), (False, "does not hold"), (None, "cannot be judged")])
def test_a_self_check_says_in_words_how_it_went(passed: bool | None, said: str) -> None:
    assert said in panels.check_lines((SelfCheck("readers_agree", passed, "m"),))


# --- the image --------------------------------------------------------------------------


def lesion_view(**options: object) -> str:
    visit = Visit()
    lesion = fakes.FakeConsultant().read_image(fakes.png(fakes.picture()), view="unknown", taken=None)
    visit.add(lesion, "data:,")
    readings = (fakes.reading(lesion, 0),)
    return str(viewer.viewer(visit.lesions, visit.pictures, readings=readings, **options))  # type: ignore[arg-type]


def test_the_outline_follows_the_mask() -> None:
    mask = np.zeros((50, 80), bool)
    mask[10:40, 20:60] = True
    points = [tuple(map(int, p.split(","))) for p in re.findall(r"\d+,\d+", viewer.outline_path(mask))]
    xs, ys = zip(*points, strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == (20, 60, 10, 40)
    assert viewer.outline_path(np.zeros((5, 5), bool)) == ""


def test_outline_heatmap_and_plain_are_three_views_of_one_image() -> None:
    heat = viewer.Heat(np.eye(64), "mel")
    assert "dq-outline" in lesion_view()
    assert "where the specialist looks for melanoma" in lesion_view(layer="heatmap", heat=heat).replace(
        "Where", "where"
    )
    assert "dq-outline" not in lesion_view(layer="plain")


def test_a_drawing_is_marked_as_one() -> None:
    assert "drawing" in lesion_view(drawing=True)
    assert "drawing" not in lesion_view()


def test_the_quality_line_gives_value_and_limit() -> None:
    lesion = fakes.FakeConsultant().read_image(fakes.png(np.zeros((40, 40, 3), np.uint8)), view="unknown", taken=None)
    assert "(3.1, limit 10)" in viewer.quality_line(lesion)


def test_the_empty_page_says_what_the_model_knows_and_where_open_images_are() -> None:
    html = viewer.empty((viewer.Example("Red spot", "data:,"),))
    assert "Does not know rashes" in html
    assert "isic-archive.com" in html
    assert "drawing" in html


# --- about ------------------------------------------------------------------------------


def card_folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "README.md").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_model_card_loses_its_front_matter_and_loads_nothing(tmp_path: Path) -> None:
    weights = card_folder(
        tmp_path,
        "---\nlicense: x\n---\n# Nano\n<!-- made by code -->![curve](https://example.org/a.png) <img src=x> text",
    )
    text = about.card_markdown("nano", weights=weights)
    assert text == "## Nano\n(figure: curve) &lt;img src=x> text"


def test_absent_cards_and_curves_are_said_to_be_absent(tmp_path: Path) -> None:
    assert about.card_markdown("nano", weights=tmp_path) is None
    assert "No measurements" in about.measured("nano", weights=tmp_path)


def test_what_was_measured_has_titles_intervals_and_tables(tmp_path: Path) -> None:
    (tmp_path / "specialist").mkdir()
    record = {
        "n": 12,
        "figures": {"expected_calibration_error": 0.0213},
        "intervals_95": {"expected_calibration_error": [0.01, 0.034]},
        "reliability": [{"confidence": 0.4, "accuracy": 0.5, "n": 12}, {"confidence": None, "accuracy": None, "n": 0}],
        "confusion": {"classes": ["mel", "nv"], "rows_true_columns_answered": [[3, 1], [0, 0]]},
    }
    (tmp_path / "specialist" / "metrics_ham10000_test.json").write_text(json.dumps(record))
    html = about.measured("specialist", weights=tmp_path)
    assert "0.021 (95\u202f% interval 0.010 to 0.034) over 12 images" in html
    assert str(html).count("<circle") == 1
    assert '<th scope="row">melanoma</th><td class="dq-right">3</td><td>1</td><td>75\u202f%</td>' in html
    assert "<td>–</td>" in html, "no image of a class: no share"
    tags(html)


def test_headings_of_a_card_stand_below_those_of_the_page(tmp_path: Path) -> None:
    weights = card_folder(tmp_path, "# Nano\n## Data\ntext # no heading")
    assert about.card_markdown("nano", weights=weights) == "## Nano\n### Data\ntext # no heading"
