"""The Knowledge tab and the drawn evidence as HTML: what is said, what is escaped, what an empty state says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dermiq.knowledge.card import Held, card
from dermiq.knowledge.compare import compare
from dermiq.knowledge.find import suggest
from dermiq.knowledge.graph import Numbers
from dermiq.types import Evidence, EvidenceItem, Fact, Reason, Source
from dermiq.ui.consult import panels
from dermiq.ui.consult.drawing import FONT, Line, draw, evidence_graph
from dermiq.ui.facts import Licences, fact_list, places
from dermiq.ui.library import lookup as browser
from dermiq.ui.library.card import card_page
from dermiq.ui.library.compared import comparison_page
from tests.tiny_graph import EDGES, GRAPH


@pytest.fixture
def library() -> browser.Library:
    made = browser.Library(None)
    made.__dict__["graph"] = GRAPH  # what `cached_property` would have read from the folder
    return made


def _card(node_id: str) -> str:
    return str(card_page(GRAPH, card(GRAPH, node_id)))


def _text(html: object) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", str(html)).split())


# --- the card -------------------------------------------------------------------------------


def test_a_card_names_codes_place_and_every_facts_source() -> None:
    html, said = _card("c:red"), _text(_card("c:red"))
    assert "Also: scarlet itch, RP" in said
    assert "ICD-10 Z01, Z02 SNOMED CT 123 MeSH D01 UMLS –" in said
    assert 'data-event="open" data-text="c:rash"' in html
    assert "Subtypes: bright redpox" in said
    assert html.count("dq-source") == html.count('href="') == html.count("page 3")
    assert "n = 40 · 35 % · 2.4 times the average" in said
    assert "opened 2026-11-21" in said


def test_a_fact_says_whose_it_is_and_that_it_is_absent() -> None:
    assert "subtype: bright redpox" in _text(_card("c:red"))
    assert "inherited from rash" in _text(_card("c:bright"))
    assert "can also occur" in _text(_card("c:red"))
    assert _card("c:blue").count("dq-tag-absent") == 2


def test_a_card_without_facts_says_that_this_is_a_gap() -> None:
    assert "no fact is stated of it" in _text(_card("c:silent"))
    assert "That is a gap in the graph, not a statement." in _text(_card("c:blue"))


def test_nothing_from_the_graph_becomes_markup() -> None:
    pages = (
        _card("c:evil"),
        _card("c:red"),
        browser.start(GRAPH),
        comparison_page(GRAPH, compare(GRAPH, "c:red", "c:evil")),
        browser.suggestions("first", suggest(GRAPH, "evil")),
    )
    for page in pages:
        assert "<img" not in page
        assert "<b>" not in page
        assert "<i>" not in page


def _fact(key: str, source: Source, locator: str, text: str = "It is so.") -> Held:
    fact = Fact(key, "c:red", "has_sign", "f:ring", text, source, locator)
    return Held(fact, "own", "c:red")


@pytest.fixture
def numberless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that are in no table have no numbers."""
    monkeypatch.setattr(GRAPH, "numbers", lambda _: Numbers("", None, None, ""))


@pytest.mark.usefixtures("numberless")
def test_neighbours_of_one_source_name_it_once_and_keep_their_places() -> None:
    one, other = (Source(k, f"Book {k}", f"https://example.org/{k}", "CC BY 4.0", "open") for k in "ab")
    held = [_fact("1", one, "row 3"), _fact("2", one, "row 4"), _fact("3", other, "row 3"), _fact("4", one, "row 3")]
    said = _text(fact_list(GRAPH, held, Licences()))
    assert said.count("Book a") == 2, "the order is kept, so that the source comes back after another"
    assert "Source of these 2 facts: Book a (opens in a new tab)" in said
    assert "It is so. (row 3)" in said
    assert "It is so. (row 4)" in said
    assert "Book b (opens in a new tab) , row 3" in said


def test_a_long_licence_is_spelled_out_once_on_a_page() -> None:
    licences = Licences()
    tags = _text([licences.tag("the page keeps its own licence"), licences.tag("CC BY 4.0"), licences.tag("CC BY 4.0")])
    assert "licence 1" in tags
    assert tags.count("CC BY 4.0") == 2
    assert _text(licences.note()) == "Licences of the sources: 1 The page keeps its own licence."
    assert Licences().note() == ""


@pytest.mark.usefixtures("numberless")
def test_a_number_that_the_sentence_holds_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRAPH, "numbers", lambda _: Numbers("", 0.29, 1.5, ""))
    source = Source("a", "Book", "https://example.org", "CC BY 4.0", "open")
    held = _fact("1", source, "row 3", "29 % of them lay on the legs, 1.5 times the average.")
    assert "dq-how" not in fact_list(GRAPH, [held], Licences())
    bare = _text(fact_list(GRAPH, [_fact("1", source, "row 3", "129 % of 11.5 times.")], Licences()))
    assert "29 % · 1.5 times the average" in bare


def test_places_in_a_source_are_said_in_short() -> None:
    assert (
        places(["rules.tsv row 3", "rules.tsv row 4", "abstract", "rules.tsv row 4"]) == "rules.tsv row 3, 4; abstract"
    )


# --- looking up -------------------------------------------------------------------------------


def test_two_names_are_compared_and_the_fields_take_the_names(library: browser.Library) -> None:
    shown = library.look_up("scarlet itch", "Azure-scale")
    assert (shown.first, shown.second) == ("redpox", "bluepox")
    assert shown.said == "Shown: redpox against bluepox."
    assert "redpox against bluepox" in _text(shown.html)


def test_a_name_in_the_second_field_alone_is_a_card(library: browser.Library) -> None:
    assert library.look_up("", "redpox").first == "redpox"
    assert library.look_up("", "redpox").said == "Shown: redpox."


def test_an_unknown_word_is_met_with_a_way_on(library: browser.Library) -> None:
    shown = library.look_up("<b>elephants</b>", "")
    assert "The graph knows no condition called “&lt;b&gt;elephants" in shown.html
    assert "Check the spelling" in shown.html
    assert 'data-text="c:red"' in shown.html
    assert shown.first == "<b>elephants</b>"


@pytest.mark.parametrize(
    ("typed", "said", "offered"),
    [
        ("BLK", "“BLK” can mean several conditions.", "dermiq:lplk"),
        ("eczema", "“eczema” can mean several conditions.", "dermiq:nummular-eczema"),
        ("cyst", "trichilemmal cyst (pilar cyst). The graph has no card for that.", "dermiq:ganglion-cyst"),
        ("lupus", "systemic lupus erythematosus. The graph has no card for that.", "dermiq:cutaneous-lupus"),
    ],
)
def test_a_wide_name_is_a_question(typed: str, said: str, offered: str) -> None:
    shown = browser.Library(None).look_up(typed, "")
    assert said in _text(shown.html)
    assert f'data-event="open" data-text="{offered}"' in shown.html


def test_an_unknown_second_word_keeps_the_first(library: browser.Library) -> None:
    shown = library.look_up("redpox", "elephants")
    assert (shown.first, shown.second) == ("redpox", "elephants")
    assert "called “elephants”" in shown.html


def test_a_name_that_is_not_known_whole_is_a_question_and_a_click_goes_on(library: browser.Library) -> None:
    alone = library.look_up("bluepxo", "")
    assert (alone.first, "The graph knows no condition called “bluepxo”." in _text(alone.html)) == ("bluepxo", True)
    assert 'data-event="open" data-text="c:blue"' in alone.html
    second = library.look_up("redpox", "bluepxo")
    assert 'data-event="versus" data-index="c:red" data-text="c:blue"' in second.html
    first = library.look_up("bluepxo", "redpox")
    assert 'data-event="versus" data-index="c:blue" data-text="c:red"' in first.html


def test_a_sign_leads_to_its_conditions(library: browser.Library) -> None:
    said = _text(library.look_up("ring", "").html)
    assert "“ring” is no condition but a sign. The graph speaks of it in 2 conditions:" in said
    assert "Bluepox shows no ring." in said


def test_the_same_condition_twice_is_said(library: browser.Library) -> None:
    assert "Both names mean redpox." in library.look_up("RP", "redpox").html


def test_nothing_typed_shows_what_there_is(library: browser.Library) -> None:
    assert "What is known here" in library.look_up(None, " ").html
    assert "<button" not in library.suggestions("first", "")


def test_a_missing_graph_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    broken = browser.Library(tmp_path)
    for html in (broken.start(), broken.suggestions("first", "mel"), broken.look_up("melanoma", "").html):
        assert "build it again" in html
    assert broken.name("c:red") == "c:red"


# --- the comparison ---------------------------------------------------------------------------


def test_contradictions_come_first_and_silence_is_named() -> None:
    said = _text(comparison_page(GRAPH, compare(GRAPH, "c:red", "c:blue")))
    order = ["They contradict each other", "Stated of one; the graph is silent", "Taken for each other", "They share"]
    assert [said.index(title) for title in order] == sorted(said.index(title) for title in order)
    assert "The graph says nothing about symptoms for bluepox, so this separates nothing yet." in said
    assert "Signs (1): crust (a subtype) The graph says nothing about these for bluepox." in said


def test_what_is_lacked_a_pitfall_or_a_subtypes_is_named_as_such() -> None:
    said = _text(comparison_page(GRAPH, compare(GRAPH, "c:red", "c:silent")))
    assert "spot (pitfall), crust (a subtype)" in said
    said = _text(comparison_page(GRAPH, compare(GRAPH, "c:blue", "c:silent")))
    assert "no or rarely ring, no or rarely spot" in said


def test_a_comparison_with_an_empty_condition_has_words_for_every_part() -> None:
    said = _text(comparison_page(GRAPH, compare(GRAPH, "c:silent", "c:blue")))
    assert "No fact on silentpox contradicts one on bluepox." in said
    assert "Nothing is stated of silentpox alone." in said
    assert "They share" not in said


def test_what_is_shared_and_mixed_is_folded_with_its_count() -> None:
    html = str(comparison_page(GRAPH, compare(GRAPH, "c:red", "c:blue")))
    for title, count in (("Overlap: sources, subtypes or circumstances differ", 1), ("They share", 2)):
        assert f'<details data-open="no"><summary><strong>{title}</strong> <small>{count}</small>' in html
    separating = html[: html.index("Stated of one")]
    assert "Bluepox shows no ring." in separating
    assert "<details" not in separating[: separating.index("Bluepox shows no ring.")]


def test_a_form_of_the_other_is_said_to_be_one() -> None:
    said = _text(comparison_page(GRAPH, compare(GRAPH, "c:red", "c:bright")))
    assert "Bright redpox is a form of redpox" in said


# --- evidence ---------------------------------------------------------------------------------


def _evidence() -> Evidence:
    wanted = [edge for edge in EDGES if edge.relation in {"has_sign", "treated_by"}]
    reasons = (Reason("question", "names <i>redpox</i>"), Reason("patient", "fits what was told: back"))
    return Evidence(
        tuple(EvidenceItem(n, GRAPH.fact(e.id), 1.0, "a reason", reasons) for n, e in enumerate(wanted, start=1))
    )


def _name(key: str) -> str:
    return GRAPH.node(key).name


def test_the_drawing_is_well_formed_in_the_pages_colours_and_holds_every_name() -> None:
    html = evidence_graph(_evidence().items, _name)
    svg = html[html.index("<svg") : html.index("</svg>") + 6]
    text = " ".join(" ".join(ElementTree.fromstring(svg).itertext()).split())
    assert "redpox" in text
    assert "$cream$ & <b>rest" in text  # neither mathematics nor markup
    assert "stroke-dasharray" in svg  # what is absent
    assert not re.search(r"#[0-9a-f]{6}\b| id=|url\(", svg)
    assert 'aria-label="Graph of the facts 1, 2, 3' in html


def test_the_numbers_in_a_drawing_of_many_facts_never_lie_on_each_other() -> None:
    lines = tuple(Line(n, f"condition {min(n // 9, 2)}", "signs", f"sign {n}", False) for n in range(1, 25))
    numbers = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>\d+</text>', draw(lines))
    heights = sorted(map(float, numbers))
    assert len(heights) == len(lines)
    assert min(below - above for above, below in itertools.pairwise(heights)) > FONT


def test_evidence_leads_to_the_card_of_its_condition() -> None:
    html = str(panels.evidence_panel(_evidence(), [1], "k", name=_name))
    assert 'data-event="open" data-text="c:red">Card of redpox</button>' in html
    unknown = str(panels.evidence_panel(_evidence(), [1], "k"))
    assert "Card of" not in unknown


def test_every_fact_says_why_and_only_cited_ones_are_drawn() -> None:
    html = panels.evidence_panel(_evidence(), [1, 99], "k", name=_name)
    assert "Graph of the facts 1. " in html
    assert html.count("Why this fact") == len(_evidence().items)
    assert "<dt>Question</dt><dd>names &lt;i&gt;redpox&lt;/i&gt;</dd><dt>Patient</dt>" in html
    assert "All facts, none cited so far, as a graph" in panels.evidence_panel(_evidence(), [], "k", name=_name)
