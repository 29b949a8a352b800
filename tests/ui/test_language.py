"""The Consult tab in another language: no English text of the page is left in it, and what is sent stays the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import cast

import gradio as gr
import pytest

from dermiq import language
from dermiq.errors import InputError
from dermiq.lesion.scores import scores
from dermiq.settings import Settings
from dermiq.types import CLASS_NAMES, OwnWords
from dermiq.ui import about
from dermiq.ui.app import bar, create_app, launch_options
from dermiq.ui.component import STATIC, texts
from dermiq.ui.consult import viewer
from dermiq.ui.consult.controller import ConsultController, Frame
from dermiq.ui.consult.patient_fields import context_of
from dermiq.ui.consult.tab import consult_tab
from dermiq.ui.consult.visit import Visit
from dermiq.ui.library import lookup
from dermiq.ui.library.card import CODES
from dermiq.ui.library.lookup import Library
from dermiq.ui.review.contribute import Contributions
from tests import fakes
from tests.fakes import FakeConsultant, examples, picture, png
from tests.languages import Texts, in_brackets, left_in, said_by

GRAPH = Library(None)
PNG = png(picture(160, 120))
OTHERS = (
    *("DermIQ-Nano 0.1", "CPU", "ISIC Archive", "Treatment of melanoma", "Operable melanoma is excised", "Why"),
    *("The second image is 20 % larger in relation to the frame", "it depends on the image"),
    "With the image blanked the answer becomes nevus",
)
OWN = OwnWords("Said plainly [F1].", "It did not answer.", replaced=fakes.TEXT, replaced_claims=fakes.CLAIMS)


@pytest.fixture
def brackets() -> Iterator[None]:
    with in_brackets():
        yield


@pytest.fixture
def german() -> Iterator[None]:
    language.use("de")
    yield
    language.use("en")


def frames_of(**fake: object) -> Iterator[Frame]:
    """A consultation as a visitor meets it: images, questions, layers, opinions, refusals."""
    consultant = FakeConsultant(**fake)  # type: ignore[arg-type]
    review = Contributions(lambda: pytest.fail("nothing is to be kept"), offered=True)
    controller, visit = ConsultController(consultant, examples(), contributions=review), Visit()
    yield controller.frame(visit)
    yield from controller.ask(visit, "Why?")
    yield from controller.add_images(visit, [PNG, b"no image"])
    yield from controller.ask(visit, "What is this lesion, and why?")
    yield from controller.insist(visit)
    for layer in viewer.LAYERS:
        yield controller.set_layer(visit, layer)
    for kind in ("good", "poor", "correct", ""):
        yield controller.opinion(visit, "1", kind)
    yield from controller.check_image(visit)
    yield from controller.add_images(visit, [png(picture(200, 300, seed=2))])
    yield from controller.ask(visit, "How is it treated?")
    yield from controller.add_images(visit, [PNG] * 7)


@lru_cache
def given() -> list[str]:
    """What is shown as it comes: answers, facts, findings, sources, names of classes, what is asked."""
    data = (fakes.findings(), fakes.TEXT, fakes.FOLLOW_UP, fakes.CLAIMS, fakes.CHECKS, fakes.EVIDENCE, fakes.URGENCY)
    more = (fakes.SIMILAR, CLASS_NAMES, OWN, scores(fakes.findings()), [title for title, _ in examples()], OTHERS)
    return [*said_by([*data, *more])]


@lru_cache
def of_graph() -> list[str]:
    """What the graph holds, as the Knowledge tab shows it."""
    graph = GRAPH.graph
    names = [name for node in graph.nodes for name in (node.name, *node.synonyms, *node.codes.values())]
    facts = [(fact, graph.numbers(fact.id).qualifier, graph.numbers(fact.id).checked) for fact in graph.all_facts]
    return [*said_by([names, facts, CODES, lookup.WORDS, "xyzzy"])]


def parts(frames: Iterable[Frame]) -> Iterator[str]:
    for frame in frames:
        yield from (
            str(part) for part in (frame.viewer, frame.chat, frame.suggestions, frame.panels, frame.urgency) if part
        )


@pytest.mark.parametrize(
    "fake", [{}, {"abstain": True}, {"own": OWN, "disagree": True}], ids=["plain", "abstaining", "with own words"]
)
@pytest.mark.usefixtures("brackets")
def test_no_text_of_the_page_bypasses_the_translation(fake: dict[str, object]) -> None:
    left = set().union(*(left_in(html, given(), part=3) for html in {*parts(frames_of(**fake))}))
    assert not left


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("", ""), ("melanoma", ""), ("psoriasis", ""), ("melanoma", "nevus"), ("melanoma", "melanoma")),
        *(("acral melanoma", "melanoma"), ("itch", ""), ("xyzzy", ""), ("C43", ""), ("rash", ""), ("SK", "")),
    ],
)
@pytest.mark.usefixtures("brackets")
def test_no_text_of_the_knowledge_tab_bypasses_the_translation(one: str, other: str) -> None:
    shown = GRAPH.look_up(one, other)
    assert not left_in(f"{shown.html}<p>{shown.said}</p>", of_graph(), part=12)


@pytest.mark.usefixtures("brackets")
def test_no_text_of_the_about_tab_bypasses_the_translation_but_cards_and_tables() -> None:
    assert not left_in(str(about.purpose()), [], part=3)
    measured = "".join(str(about.measured(folder)) for _title, folder in about.CARDS)
    assert not left_in(measured, [*CLASS_NAMES, *CLASS_NAMES.values()], part=12)


@pytest.mark.usefixtures("brackets")
def test_the_bar_and_the_names_of_the_controls_are_translated() -> None:
    assert not left_in(bar(FakeConsultant()), ["DermIQ", *OTHERS], part=12)

    async def made() -> gr.Blocks:  # outside of a loop, gradio makes some and leaves them open
        with gr.Blocks() as blocks:
            consult_tab(ConsultController(FakeConsultant(), examples()), blocks)
        return blocks

    for block in asyncio.run(made()).blocks.values():
        for name in ("label", "placeholder"):
            text = getattr(block, name, None) or ""
            assert not text or text.startswith("⟦"), text
        if isinstance(block, gr.Button):
            assert str(block.value).startswith("⟦")
        for shown, _value in getattr(block, "choices", None) or ():
            assert shown.startswith("⟦"), shown


@pytest.mark.usefixtures("german")
def test_no_english_text_of_the_catalogue_stands_in_the_german_tab() -> None:
    english = {m.id for m in language.catalogue("de") if len(m.id.split()) > 2 and m.id not in m.texts}
    for html in {*parts(frames_of(disagree=True, own=OWN))}:
        assert not english & {" ".join(text.split()) for text in Texts(html).found}


# --- what stays -------------------------------------------------------------------------------


@pytest.mark.usefixtures("german")
def test_what_is_chosen_and_asked_is_sent_in_english() -> None:
    controller, visit = ConsultController(FakeConsultant()), Visit()
    [*_] = controller.add_images(visit, [PNG])
    suggested = str(controller.frame(visit).suggestions)
    assert 'data-text="Is it urgent?">Ist es dringlich?<' in suggested
    [*_] = controller.ask(visit, "Why not melanocytic nevus?")
    assert "Warum nicht melanocytic nevus?" in str(controller.chat(visit))
    assert visit.exchanges[-1].question == "Why not melanocytic nevus?"
    assert context_of("54", "female", "Rücken", "II", ["itch"]) == context_of("54", "female", "back", "II", ["itch"])


@pytest.mark.usefixtures("german")
def test_answers_stay_english_and_the_bar_says_so() -> None:
    controller, visit = ConsultController(FakeConsultant()), Visit()
    [*_] = controller.add_images(visit, [PNG])
    [*_] = controller.ask(visit, "Why?")
    assert '<p lang="en">Irregular streaks at the border suggest melanoma.</p>' in str(controller.panels(visit))
    assert '<ol class="dq-steps" lang="en">' in str(controller.chat(visit))
    assert "Kein Medizinprodukt, nicht zur Diagnose. Antworten und Fakten mit Quelle sind auf Englisch." in bar(
        FakeConsultant()
    )


@pytest.mark.usefixtures("german")
def test_an_error_is_said_in_the_language_of_the_page() -> None:
    fake = FakeConsultant()
    controller, visit = ConsultController(fake), Visit()
    [*_] = controller.ask(visit, "Why?")
    assert "Fügen Sie zuerst ein Bild der Läsion hinzu" in str(controller.viewer(visit))
    fake.failure = "The models are not started."
    [*_] = controller.add_images(visit, [PNG])
    [*_] = controller.ask(visit, "Why?")
    assert "Die Modelle sind nicht gestartet." in str(controller.chat(visit))


# --- the whole page ---------------------------------------------------------------------------


def test_the_setting_chooses_the_language_and_an_unknown_one_is_refused() -> None:
    assert Settings.load([], {"DERMIQ_LANGUAGE": "es"}).language == "es"
    assert Settings.load(["--language", "de"], {"DERMIQ_LANGUAGE": "es"}).language == "de"
    with pytest.raises(InputError, match="It speaks en, "):
        create_app(FakeConsultant(), Settings(language="xx"))


@pytest.mark.usefixtures("german")
def test_the_scripts_get_their_texts_and_the_language() -> None:
    head = cast(str, launch_options(Settings())["head"])
    assert head.startswith('<script>window.dermiqTexts = {"language": "de"')
    assert '"Take picture": "Bild aufnehmen"' in head.split("</script>")[0]


def test_in_english_the_scripts_bring_their_own_texts() -> None:
    assert texts() == ""
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    assert not re.search(r'\b(say|sayOwn)\("|"aria-label", "', script), "a text that is not translated"
