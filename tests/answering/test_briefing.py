"""What a later question's prompt tells of the case."""

from __future__ import annotations

from dermiq.answering.briefing import briefing
from dermiq.types import Evidence
from dermiq.vlm.prompts import assistant_message, follow_up_message
from tests.answering.made import asked, graph, known


def test_reasons_are_told_with_their_ratios_on_the_right_side() -> None:
    lines = briefing(graph(), known("mel"), asked("why")).splitlines()
    assert lines[0] == "Patient: 62-year-old male, back, skin type 2."
    assert lines[1].startswith(
        "Model: melanoma 62 %, melanocytic nevus 21 %, benign keratosis 9 %. Specialist: melanoma"
    )
    assert lines[2].startswith("For melanoma: colours unevenly placed (4.6 times); strongly varied colour (3.5 times)")
    assert lines[2].endswith("Against it: round shape (0.60 times).")
    assert lines[3].startswith("Urgency: Urgent referral")
    assert len(lines) == 4


def test_what_tells_two_apart_is_told_where_two_are_compared() -> None:
    text = briefing(graph(), known("mel"), asked("why_not", "nv"))
    assert "Rather melanoma than melanocytic nevus: colours unevenly placed (19 times)" in text
    assert "Rather melanocytic nevus: round shape (1.5 times)." in text
    assert "Rather" not in briefing(graph(), known("mel"), asked("treatment", "nv"))


def test_the_rule_is_told_whole_where_it_is_asked_for() -> None:
    short, whole = (briefing(graph(), known("mel"), asked(intent)) for intent in ("treatment", "urgency"))
    assert "7-point checklist" in whole
    assert "7-point checklist" not in short


def test_lines_are_told_once_in_a_conversation() -> None:
    case = briefing(graph(), known("mel"), asked("why"))
    first = follow_up_message(Evidence(), "Why?", case=case)
    later = follow_up_message(Evidence(), "And then?", case=case, earlier=[first, assistant_message("So.")])
    assert "colours unevenly placed" in first["content"][0]["text"]
    assert later["content"][0]["text"] == "Facts: none.\nQuestion: And then?"
