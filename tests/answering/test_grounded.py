"""Whether a text stands on what was given, and whether it answers: the shipped weights on plain cases."""

from __future__ import annotations

import pytest

from dermiq.answering.asked import answering
from dermiq.answering.briefing import briefing
from dermiq.answering.grounded import Given, grounded, parts_of
from dermiq.answering.safe import is_unsafe
from dermiq.answering.sayable import NOT_KNOWN, sayable
from dermiq.answering.settle import ANSWERING, with_right_numbers
from dermiq.knowledge.language import embed
from dermiq.types import Fact
from tests.answering.made import asked, graph, known

needs_encoder = pytest.mark.skipif(not embed.available(), reason="the package of the sentence encoder is not installed")


def fact(text: str) -> Fact:
    return next(one for one in graph().all_facts if one.text == text)


def given(question: str, intent: str = "treatment") -> Given:
    facts = {
        7: fact("Melanoma up to 1 mm thick is excised with a margin of 1 cm."),
        8: fact("Melanoma in situ is excised with a margin of 0.5 cm."),
        9: fact("Melanoma is malignant."),
    }
    return Given(briefing(graph(), known("mel"), asked(intent)), facts, question, intent)


def test_a_sentence_is_taken_apart_behind_its_citations() -> None:
    sentences, parts = parts_of(
        "It is cut out with 1 cm [F7], and in situ with half of that [F8, F9]. So much for that."
    )
    assert len(sentences) == 2
    assert [(part.sentence, part.numbers) for part in parts] == [(0, (7,)), (0, (8, 9)), (1, ())]


@needs_encoder
@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("A melanoma up to 1 mm thick is cut out with a margin of {} [F7].", ("1 cm", "4 cm")),
        ("Melanoma in situ is excised with a margin of 0.5 cm [{}].", ("F8", "F9")),
        ("The model gives melanoma {} %, the specialist 58 %.", ("62", "91")),
    ],
)
def test_what_was_given_is_worth_more_than_what_was_changed(form: str, words: tuple[str, str]) -> None:
    told = given("How wide is the margin?")
    kept, changed = (min(one.share for one in grounded(graph(), told, form.format(word))) for word in words)
    assert kept > 0.5
    assert changed < kept - 0.2


@needs_encoder
def test_nothing_said_is_nothing_heard() -> None:
    assert grounded(graph(), given("Why?"), "") == ()


@needs_encoder
def test_an_answer_to_the_question_is_told_from_another() -> None:
    told = given("How wide is the margin for a thin melanoma?")
    right = answering(told, "A melanoma up to 1 mm thick is excised with a margin of 1 cm [F7].")
    other = answering(told, "Colours unevenly placed speak for it, 4.6 times as often as in other lesions.")
    assert right >= ANSWERING > other


def test_what_takes_a_suspected_melanoma_away_is_unsafe() -> None:
    assert is_unsafe("You can freeze it with liquid nitrogen.", known("mel"))
    assert is_unsafe("A cream will do.", known("doubtful nv"))
    assert not is_unsafe("Freezing is not an option before melanoma is excluded.", known("mel"))
    assert not is_unsafe("You can freeze it with liquid nitrogen.", known("bcc"))


def test_the_sentences_that_may_stand_are_those_of_facts_and_case() -> None:
    found = sayable(given("How wide is the margin?", "why_not"))
    assert "Melanoma in situ is excised with a margin of 0.5 cm [F8]." in found
    assert "Melanoma: model 62 %, specialist 58 %." in found
    assert any(one.startswith("For melanoma: colours unevenly placed (4.6 times); ") for one in found)
    assert any(one.startswith("Rather melanoma than melanocytic nevus: ") for one in found)
    assert any(one.startswith("Urgent referral (within 2 weeks) suggested") for one in found)
    assert found[-1] == NOT_KNOWN


def test_a_fact_word_for_word_gets_its_own_number() -> None:
    told = given("How wide is the margin?")
    text = "Melanoma is malignant [F7]. Melanoma in situ is excised with a margin of 0.5 cm [F8]. So be it [F7]."
    assert with_right_numbers(text, told.facts) == text.replace("malignant [F7]", "malignant [F9]")
