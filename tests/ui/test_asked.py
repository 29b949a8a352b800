"""What was understood, what to ask next and what a good answer speaks of, as the page shows them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from dermiq.report import GENERATED, sections
from dermiq.types import AnswerDone, Case, Lesion, QuestionUnderstood
from dermiq.ui.consult import asked
from dermiq.ui.consult.controller import ConsultController
from dermiq.ui.consult.visit import Exchange, Visit
from tests import fakes
from tests.ui.test_ui import tags


def exchange(intent: str = "treatment") -> Exchange:
    told = QuestionUnderstood(intent, ("melanoma",) if intent else ())
    return Exchange("And now?", "3", phase="done", understood=told, differentials=(fakes.SPECIALIST, fakes.VLM))


def test_what_was_understood_can_be_corrected_by_a_choice_with_a_name() -> None:
    html = asked.understood_mark(exchange(), can_correct=True)
    tags(html)
    assert '<option value="treatment" selected>treatment</option>' in html
    assert "· melanoma" in html
    assert 'aria-label="What the question was understood to ask' in html
    assert "<select" not in asked.understood_mark(exchange(), can_correct=False)
    assert asked.understood_mark(Exchange("And now?", "3"), can_correct=True) == ""


def test_what_was_refused_says_so_and_can_be_asked_all_the_same() -> None:
    html = asked.understood_mark(exchange(""), can_correct=True)
    assert '<option value="" selected>not about the skin</option>' in html
    assert '<option value="treatment">' in html


def test_suggestions_follow_the_case_and_repeat_nothing() -> None:
    assert asked.next_questions([]) == asked.FIRST
    offered = asked.next_questions([exchange("treatment")])
    second = fakes.VLM.candidates[1].diagnosis.name
    assert f"Why not {second}?" in offered
    assert asked.PLAIN_WORDS in offered
    assert "How is it treated?" not in offered
    assert len(offered) == asked.SHOWN
    assert asked.PLAIN_WORDS not in asked.next_questions([exchange("why"), exchange("plain_words")])


@pytest.fixture
def consultant() -> fakes.FakeConsultant:
    return fakes.FakeConsultant()


def lesion() -> Lesion:
    return fakes.FakeConsultant().read_image(fakes.png(fakes.picture()), view="unknown", taken=None)


def visit_with_answer(controller: ConsultController) -> Visit:
    visit = Visit()
    visit.add(lesion(), "data:,")
    list(controller.ask(visit, "How is it treated?"))
    return visit


def test_a_corrected_meaning_asks_again(consultant: fakes.FakeConsultant) -> None:
    controller = ConsultController(consultant)
    visit = visit_with_answer(controller)
    list(controller.understand(visit, visit.exchanges[-1].key, "prognosis"))
    assert [one.question for one in visit.exchanges] == ["How is it treated?"]
    assert consultant.asked[-1][1].intent == "prognosis"
    understood = visit.exchanges[-1].understood
    assert understood is not None
    assert understood.intent == "prognosis"
    before = len(consultant.asked)
    list(controller.understand(visit, "no such key", "why"))
    list(controller.understand(visit, visit.exchanges[-1].key, "no such meaning"))
    assert len(consultant.asked) == before


def test_points_can_be_opened(consultant: fakes.FakeConsultant) -> None:
    visit = visit_with_answer(ConsultController(consultant))
    html = asked.points_of(visit.exchanges[-1])
    tags(html)
    assert "What a good answer speaks of (1)" in html
    assert "Operable melanoma is excised [F1]." in html
    assert asked.points_of(Exchange("So?", "1")) == ""


def test_the_report_has_a_section_for_the_patient(consultant: fakes.FakeConsultant) -> None:
    case = Case((lesion(),))
    done = list(consultant.assess(case, stop=threading.Event(), session_id="1"))[-1]
    assert isinstance(done, AnswerDone)
    plain = replace(done.answer, text="It is a mole.", own=None, intent="plain_words")
    headings = dict(sections(case, done.answer, datetime(2026, 3, 4, tzinfo=timezone.utc), plain=plain))
    assert headings["In plain words, for the patient"] == [GENERATED, "It is a mole."]
    alone = dict(sections(case, plain, datetime(2026, 3, 4, tzinfo=timezone.utc), plain=plain))
    assert "In plain words, for the patient" not in alone
