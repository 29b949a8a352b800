"""What a question supposes of the patient, how far a reading can be trusted, and which answer a few words want."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dermiq.answering import plan
from dermiq.answering.trust import LIMITS, record
from dermiq.knowledge import urgency
from dermiq.knowledge.retrieve.understand import supposed, told_in
from dermiq.knowledge.urgency import checklist
from dermiq.types import Fact, PatientContext
from tests.answering.made import CASES, asked, differential, graph, known, told

TOLD = PatientContext(age=54, sex="female", site="back")


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        ("And if it had bled?", {"symptoms": ("bled",)}),
        ("Suppose it itched and was growing?", {"symptoms": ("grew", "itch")}),
        ("What if she were 80?", {"age": 80}),
        ("And if it were on the scalp?", {"site": "scalp"}),
    ],
)
def test_what_is_supposed_takes_the_place_of_what_was_told(question: str, changed: dict[str, object]) -> None:
    assert supposed(graph(), question, TOLD) == replace(TOLD, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "question", ["Is it urgent?", "It bled last week.", "And if it had not bled?", "And if it were on the back?"]
)
def test_nothing_new_is_supposed(question: str) -> None:
    assert supposed(graph(), question, TOLD) is None


@pytest.mark.parametrize(("case", "words"), [("mel", "the same as without it"), ("nv", "without it")])
def test_the_rule_is_asked_again_with_what_is_supposed(case: str, words: str) -> None:
    findings, specialist, _ = CASES[case]
    patient = PatientContext(symptoms=("bled", "grew"))
    then = urgency(graph(), differential=specialist, context=patient, findings=findings)
    made = plan(
        graph(),
        replace(asked("urgency", question="And if it had bled and grown?"), supposed=patient),
        replace(known(case, patient=PatientContext()), supposed=then),
    )
    point = next(point for point in made.points if point.kind == "urgency")
    assert point.text.startswith("If it had bled and had grown: ") or point.text.startswith("If it had bled and it")
    assert words in point.text
    assert any("do not judge" in one.text or "does not change their reading" in one.text for one in made.points)


@pytest.mark.parametrize(
    "question",
    ["How sure are you?", "How far can I lean on that?", "Can I really trust it?", "Sure?", "Are you ever wrong?"],
)
def test_who_asks_how_sure_it_is_gets_what_was_measured(question: str) -> None:
    text = told("against", question=question)
    assert record() in text
    assert LIMITS in text


def test_who_asks_what_was_assumed_hears_that_nothing_was() -> None:
    text = told("why", question="I gave no age. What did you assume instead?")
    assert "nothing that was told changed a probability" in text


def test_a_named_condition_that_is_not_the_first_is_what_is_asked_about() -> None:
    assert "Against melanocytic nevus" in told("why", "nv", question="And melanocytic nevus?")
    assert "Two computer readers" not in told("plain_words", "psoriasis", question="Psoriasis, what was that again?")


def test_of_a_lesion_that_may_be_a_melanoma_no_sampling_is_offered_that_suits_another() -> None:
    """The conversation had come to seborrheic keratosis; the question is about this lesion."""
    text = told("biopsy", "bkl", question="If I take tissue, which technique, and how wide?")
    assert "Melanoma is put first" in text
    assert "A shave biopsy suits" not in text


def test_a_question_of_a_site_gets_the_facts_of_that_site_first() -> None:
    text = told("compare", "nv", "mel", case="nv", question="Melanocytic nevus or melanoma, on the sole?", site="sole")
    assert "On this site (sole): " in text or "On this site (sole):\n" in text
    assert "parallel" in text


@pytest.mark.parametrize(
    "question",
    [
        "And if she is 30 weeks pregnant?",
        "If you are 100 percent sure?",
        "What if the margin is 12 mm?",
        "Is it urgent if it is?",
    ],
)
def test_a_number_of_something_else_is_no_age(question: str) -> None:
    assert supposed(graph(), question, TOLD) is None


@pytest.mark.parametrize(
    ("told_first", "diameter"),
    [
        ("8mm brown macule on the back", 8.0),
        ("Plaque of 1.2 cm on the cheek, 71F", 12.0),
        ("Papule, 9 x 7 mm, pearly", 9.0),
        ("Breslow 0.7 mm, clear", None),
        ("Margins of 4 mm were taken", None),
        ("a 4 mm punch was done", None),
        ("It grew by 2 mm", None),
    ],
)
def test_a_told_size_is_the_lesions_and_no_margin_and_no_depth(told_first: str, diameter: float | None) -> None:
    assert told_in(graph(), [told_first], TOLD).diameter == diameter


def test_a_told_size_counts_for_the_checklist() -> None:
    points = {point.rule: point for point in checklist(told_in(graph(), ["9 mm, dark, on the back"], TOLD), ())}
    assert (points["rule:diameter-7-mm"].met, points["rule:diameter-7-mm"].basis) == (True, "told: 9 mm")
    assert [point.met for point in checklist(TOLD, ()) if point.rule == "rule:diameter-7-mm"] == [None]


def _found(text: str) -> Fact:
    return next(fact for fact in graph().all_facts if text in fact.text)


def test_what_was_found_for_the_question_itself_is_said() -> None:
    fact = _found("Seborrheic keratoses are not contagious")
    made = plan(
        graph(),
        asked("prognosis", "bkl", question="Is a seborrheic keratosis contagious?"),
        replace(known("mel"), found=(fact,)),
    )
    assert [point.facts for point in made.points if point.text == "Closest to the question"] == [(fact,)]


def test_but_not_what_is_of_another_condition_or_unsafe_or_where_measurements_answer() -> None:
    other = _found("A Spitz nevus can grow rapidly")
    shave = _found("A shave biopsy suits lesions of the epidermis")
    for intent, fact in (("prognosis", other), ("biopsy", shave), ("why", _found("Melanoma is malignant"))):
        made = plan(graph(), asked(intent), replace(known("mel"), found=(fact,)))
        assert all(point.text != "Closest to the question" for point in made.points)


def test_readers_that_disagree_are_not_put_in_one_order() -> None:
    made = known("mel")
    specialist = differential("specialist", nv=0.6, mel=0.3, bkl=0.05, bcc=0.03, akiec=0.01, vasc=0.006, df=0.004)
    case = replace(made, differentials=(specialist, made.differentials[1]))
    text = " ".join(point.text for point in plan(graph(), asked("why_not", "nv"), case).points)
    assert "the readers disagree" in text
    assert "stands behind" not in text


def test_growth_that_the_question_tells_counts() -> None:
    text = told("change_of_mind", question="It has doubled in three months, do you shift?")
    assert "it grew" in text
    assert "were not told" not in text


def test_who_weighs_two_conditions_asks_for_no_reasons() -> None:
    text = told("compare", "mel", "bcc", question="Melanoma against basal cell carcinoma, how do you weigh the two?")
    assert text.startswith("A basal cell carcinoma is often a pearly bump")
