"""What a first answer says, whatever was asked, and what of the model's explanation stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dermiq.answering import settle_first
from dermiq.answering.opening import is_lay, opening
from dermiq.answering.points import Plan
from dermiq.answering.say import plainly
from dermiq.types import Evidence, EvidenceItem, PatientContext
from tests.answering.made import CASES, asked, differential, graph, known, numbers

HEAD = "<think>\n1. Findings: a\n2. Differential: b\n3. Knowledge: {knowledge}\n</think>\n<answer>melanoma</answer>\n"


def said(question: str, *, intent: str = "why", case: str = "mel", names: tuple[str, ...] = ()) -> str:
    case_known = replace(known(case), is_lay=is_lay(question))
    made = Plan("why", opening(graph(), asked(intent, *names, question=question), case_known))
    return plainly(made, numbers(made))


@pytest.mark.parametrize(
    "question",
    [
        "63M, back, changing over six months. What do you see and what's your differential?",
        "35M back, many moles. opinion?",
        "chest, new, irregular. ddx?",
        "GP trainee here - 24 year old woman, mole on the calf. Is it ok?",
        "Flat brown lesion on the cheek, slowly enlarging.",
    ],
)
def test_who_shows_an_image_is_told_what_it_may_be_and_nothing_about_follow_up(question: str) -> None:
    text = said(question, intent="monitor")
    assert text.startswith("Melanoma is put first")
    assert "intensive follow-up" not in text
    assert "Yes, by the rule it is urgent" in text


def test_what_is_asked_besides_follows() -> None:
    text = said("58F, pigmented lesion. How is melanoma treated?", intent="treatment", names=("mel",))
    assert text.index("In favour of melanoma") < text.index("Operable melanoma is treated")


def test_who_does_not_write_like_a_clinician_is_told_in_plain_words_first() -> None:
    text = said("My husband has this on his back and it got darker. What is it please?")
    assert text.startswith("Two computer readers looked at the picture. Their first guess is melanoma, a skin cancer")
    assert text.index("A picture alone decides nothing") < text.index("Melanoma is put first (language model 62 %")
    assert "colours unevenly placed; strongly varied colour" in text, "no ratios for who is no clinician"
    assert said("62M back, pigmented lesion, ddx?").startswith("Melanoma is put first")


def test_what_it_is_taken_for_is_taken_up() -> None:
    text = said("47M, firm brown papule. Dermatofibroma?", names=("df",))
    assert "Dermatofibroma (language model 1 %, specialist under 1 %) stands behind melanoma" in text
    assert "dimples when squeezed" in text


def test_readers_that_disagree_are_told_of_before_any_reason() -> None:
    findings, _, vlm = CASES["nv"]
    CASES["disputed"] = (findings, differential("specialist", mel=0.6, nv=0.3, bkl=0.1), vlm)
    text = said("62M, pigmented lesion, ddx?", case="disputed")
    assert "The readers disagree: the specialist puts melanoma first (language model 6 %, specialist 60 %)" in text
    assert text.index("The readers disagree") < text.index("In favour of")
    plain = said("What is this on my arm?", case="disputed")
    assert "do not agree: the first guess of one is an ordinary mole" in plain
    assert "that of the other melanoma, a skin cancer" in plain


def test_a_danger_of_a_few_per_cent_is_named_as_unlikely() -> None:
    assert "Melanoma is unlikely and not excluded (language model 6 %, specialist 3 %)" in said(
        "62M, lesion?", case="nv"
    )
    assert "Melanoma is possible (language model 25 %, specialist 30 %)" in said("62M, lesion?", case="doubtful nv")


def test_of_an_explanation_only_telling_reasons_stay() -> None:
    for sentence in ("This looks most like melanoma; the lesion is symmetric.", "Melanoma remains possible."):
        shown = first(sentence)
        assert shown.own is not None
        assert sentence not in shown.text
        assert shown.own.replaced == sentence
    kept = "The colours are unevenly placed, which speaks for melanoma."
    shown = first(f"{kept} Melanocytic nevus remains possible.")
    assert kept in shown.text
    assert "remains possible" not in shown.text
    again = "Melanoma is most common on arms and legs, above all on the arms and legs."
    assert again not in first(again).text


def test_a_sentence_of_the_reasoning_that_is_contradicted_is_left_out() -> None:
    shown = first("", knowledge="Melanoma is benign. Melanoma is malignant.")
    assert "Melanoma is benign" not in shown.text
    assert "Melanoma is malignant" in shown.text
    assert shown.own is not None
    assert shown.own.replaced == "Melanoma is benign."
    assert "left out" in shown.own.why


def test_a_sentence_that_cites_what_does_not_say_it_is_left_out() -> None:
    assert "helix" not in first("", knowledge="A melanoma is a rough, scaly patch on the helix [F1].").text


def test_a_fact_that_is_cited_by_anothers_number_in_the_reasoning_gets_its_own() -> None:
    facts = [
        fact for fact in graph().all_facts if fact.text in ("Melanoma is malignant.", "Melanocytic nevus is benign.")
    ]
    evidence = Evidence(tuple(EvidenceItem(n, fact, 1.0, "x") for n, fact in enumerate(facts, start=1)))
    number = next(item.number for item in evidence.items if item.fact.text.startswith("Melanoma"))
    text = HEAD.format(knowledge=f"Melanoma is malignant [F{3 - number}].")
    shown = settle_first(graph(), text, asked("why", question="ddx?"), known(), evidence)
    assert f"3. Knowledge: Melanoma is malignant [F{number}]." in shown.text


def test_what_the_patient_told_stands_in_the_rule() -> None:
    told = replace(known("doubtful nv"), context=PatientContext(symptoms=("grew",)))
    made = Plan("why", opening(graph(), asked("why", question="62M, lesion, ddx?"), told))
    assert "It should be seen soon" in plainly(made, numbers(made))


def first(explanation: str, *, knowledge: str = "none."):  # type: ignore[no-untyped-def]
    text = HEAD.format(knowledge=knowledge) + explanation
    return settle_first(graph(), text, asked("why", question="ddx?"), known("mel"), Evidence())
