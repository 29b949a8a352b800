"""What a question takes for granted is looked at before it is answered."""

from __future__ import annotations

import pytest

from dermiq.answering.premise import corrected, premises
from dermiq.knowledge.language import embed
from tests.answering.made import graph, known, told


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Since melanomas are harmless, can it wait?", ["melanomas are harmless"]),
        ("Right, so seeing as moles are always cancer, what now?", ["moles are always cancer"]),
        ("I gather that a shave is the standard here, so shall I do one?", ["a shave is the standard here"]),
        ("Next door told her it always spreads. How long has she?", ["it always spreads"]),
        ("Warts are caught from toads. Is it one?", ["Warts are caught from toads"]),
        ("How is it treated?", []),
    ],
)
def test_statements_in_a_question_are_found(question: str, found: list[str]) -> None:
    assert [text for text in premises(question) if text in found] == found
    assert found or not list(premises(question))


def test_what_the_sources_contradict_is_said_first() -> None:
    question = "Since melanoma is harmless, how is it treated?"
    text = told("treatment", question=question)
    assert text.startswith("The question takes for granted what the sources say otherwise: Melanoma is malignant")


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("Since basal cell carcinoma spreads to the lungs within months, what now?", "very rarely spreads"),
        ("I gather that seborrhoeic keratoses turn into cancer when left alone, so shall I freeze it?", "keratos"),
        ("They say a biopsy makes a melanoma spread. Is it safe?", "biops"),
    ],
)
@pytest.mark.skipif(not embed.available(), reason=embed.NOTE)
def test_what_is_held_of_it_is_said_where_nothing_decides(question: str, fact: str) -> None:
    (point,) = corrected(graph(), question, known("mel"))
    assert point.kind == "premise"
    assert fact in point.facts[0].text


@pytest.mark.parametrize(
    "question",
    [
        "Seeing as it is Friday, how is it treated?",
        "My registrar called it a seborrhoeic keratosis. What kept that from being first?",
        "Her letter says lentigo maligna. What is that?",
        "How is melanoma treated?",
    ],
)
def test_of_somebody_in_the_room_nothing_is_said(question: str) -> None:
    assert not list(corrected(graph(), question, known("mel")))
