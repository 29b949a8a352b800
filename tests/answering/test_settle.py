"""What is shown in the end, for texts that fail in each of the ways."""

from __future__ import annotations

import pytest

from dermiq.answering import Settled, settle_first, settle_follow_up
from dermiq.answering.settle import LEFT_OUT, REPLIED, WHY
from dermiq.types import Evidence
from tests.answering.made import asked, graph, known, planned


def follow_up(text: str, intent: str = "treatment", *, case: str = "mel", earlier: tuple[str, ...] = ()) -> Settled:
    made = planned(intent, case=case, earlier=earlier)
    return settle_follow_up(graph(), text, made, known(case, earlier=earlier), Evidence())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Melanoma is malignant.", "does_not_answer"),
        ("Melanoma is benign.", "contradicted"),
        ("Dermatofibroma is benign.", "another_condition"),
        ("Operable melanoma is treated by wide surgical excision [F7].", "wrong_citation"),
        ("The second sentence of the first answer stands here again.", "repeats"),
    ],
)
def test_a_bad_follow_up_gives_way_to_the_facts(text: str, verdict: str) -> None:
    earlier = ("The second sentence of the first answer stands here again.",)
    shown = follow_up(text, "urgency", earlier=earlier)
    assert shown.own is not None
    assert shown.own.why == WHY[verdict]  # type: ignore[index]
    assert shown.own.replaced == text
    assert text not in shown.text
    assert shown.text == shown.own.text
    assert "by the rule it is urgent" in shown.text
    assert shown.check is not None
    assert shown.check.passed is False


def test_a_follow_up_that_answers_stays_alone() -> None:
    text = "Yes, it is urgent: refer within 2 weeks."
    shown = follow_up(text, "urgency")
    assert shown.own is None
    assert shown.text == text
    assert shown.check is not None
    assert shown.check.passed is True


def test_a_part_of_an_answer_is_followed_by_the_rest() -> None:
    text = "Dermoscopy of psoriasis typically shows white scale."
    shown = settle_follow_up(graph(), text, planned("dermoscopy", "psoriasis"), known("mel"), Evidence())
    assert shown.own is not None
    assert shown.own.why == WHY["partly"]
    assert not shown.own.replaced
    assert not shown.own.is_first
    assert shown.text.startswith(text)
    assert shown.own.beside(shown.text) == text
    assert "Dermoscopy of psoriasis:" in shown.own.text


def test_what_was_measured_stands_before_what_the_model_says_of_it() -> None:
    shown = follow_up("The shape is round, which speaks against melanoma.", "against")
    assert shown.text.startswith("Against melanoma")


def test_what_is_written_for_a_question_stands_before_what_the_model_adds() -> None:
    adds = "Melanoma up to 1 mm thick is excised with a margin of 1 cm."
    shown = follow_up(f"Operable melanoma is treated by wide surgical excision. Melanoma is benign. {adds}")
    assert shown.own is not None
    assert shown.own.why == REPLIED
    assert shown.own.is_first
    assert "Operable melanoma is treated by wide surgical excision; metastatic melanoma" in shown.own.text
    assert shown.own.beside(shown.text) == shown.kept == adds
    assert "benign" not in shown.text


@pytest.mark.parametrize(
    "text",
    [
        "Operable melanoma is treated by wide surgical excision.",  # what the reply rests on
        "Melanoma is benign.",
        "Cryotherapy is an option for smaller, lower-risk basal cell carcinoma.",
        "The image fits melanoma best.",
    ],
)
def test_a_text_that_adds_nothing_gives_way_to_what_is_written(text: str) -> None:
    shown = follow_up(text)
    assert shown.own is not None
    assert shown.own.replaced == text
    assert shown.kept == ""
    assert shown.text == shown.own.text


def test_every_fact_that_the_program_cites_is_numbered_and_its_sentence_marked() -> None:
    shown = follow_up("No.")
    assert [item.number for item in shown.evidence.items] == list(range(1, len(shown.evidence.items) + 1))
    assert all(f"[F{item.number}]" in shown.text for item in shown.evidence.items)
    assert {claim.verdict for claim in shown.claims} == {"supported"}


def test_management_of_another_condition_is_marked_so_also_where_the_program_says_it() -> None:
    made = planned("treatment", "nv")
    shown = settle_follow_up(graph(), "No.", made, known("mel"), Evidence())
    assert {claim.verdict for claim in shown.claims} == {"another_condition"}


def first(explanation: str, *, case: str = "mel", answer: str = "melanoma", differential: str = "") -> Settled:
    text = (
        f"<think>\n1. Findings: a\n2. Differential: {differential}\n</think>\n<answer>{answer}</answer>\n{explanation}"
    )
    return settle_first(graph(), text, asked("why"), known(case), Evidence())


@pytest.mark.parametrize(
    ("case", "answer", "explanation", "fault"),
    [
        ("mel", "melanoma", "It fits melanoma best: round shape.", "what speaks against it"),
        ("regular mel", "melanoma", "It fits melanoma best: it is symmetric, with a smooth border.", "against it"),
        ("nv", "melanocytic nevus", "Melanocytic nevus cannot be excluded.", "alternative to itself"),
        ("nv", "melanocytic nevus", "This looks like melanoma.", "favours another diagnosis"),
        (
            "mel",
            "melanoma",
            "The next candidate is dermatofibroma.",
            "the model itself holds melanocytic nevus likelier",
        ),
        ("mel", "melanoma", "Melanoma is benign.", "is contradicted"),
        ("mel", "melanoma", "The border is smooth, which speaks for melanoma.", "contradicted"),
    ],
)
def test_an_explanation_against_its_own_answer_is_replaced(
    case: str, answer: str, explanation: str, fault: str
) -> None:
    shown = first(explanation, case=case, answer=answer)
    assert shown.own is not None
    assert fault in shown.own.why
    assert shown.own.replaced == explanation
    assert explanation not in shown.text
    assert f"<answer>{answer}</answer>" in shown.text
    assert "is put first" in shown.text
    assert "The next candidate is" in shown.text


def test_a_sound_explanation_is_followed_by_reasons_by_weight() -> None:
    explanation = "The colours are unevenly placed, which speaks for melanoma."
    shown = first(explanation)
    assert shown.own is not None
    assert not shown.own.replaced
    assert explanation in shown.text
    assert "In favour of melanoma: colours unevenly placed, 4.6 times as often" in shown.own.text
    assert "The next candidate is melanocytic nevus" in shown.own.text


def test_another_first_question_is_answered_below_the_reasons() -> None:
    text = "<think>\n1. Findings: a\n</think>\n<answer>melanoma</answer>\nIt is melanoma."
    shown = settle_first(graph(), text, asked("treatment", question="How is it treated?"), known("mel"), Evidence())
    assert shown.own is not None
    assert shown.own.text.index("In favour of melanoma") < shown.own.text.index("Operable melanoma is treated")


def test_a_sentence_that_favours_another_diagnosis_is_left_out() -> None:
    good = "Yes, it is urgent: refer within 2 weeks. NG12 (UK): refer within 2 weeks if dermoscopy suggests melanoma."
    shown = follow_up(f"{good} The image fits basal cell carcinoma best.", "urgency")
    assert shown.own is not None
    assert shown.own.why == LEFT_OUT
    assert "basal cell" in shown.own.replaced
    assert "basal cell" not in shown.text


def test_a_reason_that_speaks_against_is_left_out() -> None:
    shown = follow_up("The image fits melanoma best: round shape.", "why")
    assert "round shape." not in shown.text.split("Against it")[0]
    assert shown.own is not None


def test_a_text_that_answers_what_its_model_holds_less_likely_is_not_shown() -> None:
    shown = first("The image fits melanocytic nevus best.", answer="melanocytic nevus")
    assert shown.text.startswith("<answer>melanoma</answer>")
    assert shown.own is not None
    assert "where the model itself holds melanoma likelier" in shown.own.why
    assert "<think>" in shown.own.replaced
    assert "Melanoma is put first" in shown.text


def test_what_the_program_wrote_of_the_reasoning_is_marked_as_read_off() -> None:
    begun = "<think>\n1. Findings: Measured on the image: irregular border.\n2. Differential: By likelihood a leads.\n"
    text = f"{begun}3. Knowledge: Melanoma is malignant.\n4. Conclusion: b\n</think>\n<answer>melanoma</answer>"
    shown = settle_first(graph(), text, asked("why"), known(), Evidence(), begun=begun)
    notes = {claim.text: claim.note for claim in shown.claims}
    assert notes["By likelihood a leads."] == "read off by the program"
    assert notes["Melanoma is malignant."] != "read off by the program"


def test_a_rest_that_rests_on_nothing_is_no_answer() -> None:
    shown = follow_up("The image fits basal cell carcinoma best. Melanoma remains possible.")
    assert "remains possible" not in shown.text
    assert "Operable melanoma is treated" in shown.text
