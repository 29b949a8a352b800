"""Whose fact? A true sentence about another condition than the one that leads, and what is done about that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermiq.knowledge import Graph, check_claims, score_answer
from dermiq.knowledge.check.whose import MANAGEMENT
from dermiq.types import CLASSES, Claim

GRAPH = Graph.load()
MARKS = {"+": "supported", "~": "another_condition", "!": "contradicted"}
NEVER = {"+": {"another_condition", "contradicted"}, "~": {"supported", "contradicted"}, "!": {"supported"}}
"""What a sentence must not be called, whatever the judge makes of its wording."""
LINES = (Path(__file__).with_name("whose.txt")).read_text(encoding="utf-8").splitlines()
ROWS = [tuple(line.split("\t")) for line in LINES if not line.startswith("#")]


def judged(text: str, lesion: str | None) -> Claim:
    return check_claims(GRAPH, text, diagnosis=lesion)[-1]


@pytest.mark.parametrize(("lesion", "mark", "text"), ROWS, ids=[f"{row[0]}: {row[2]}" for row in ROWS])
def test_whose_fact(lesion: str, mark: str, text: str) -> None:
    claim = judged(text, lesion)
    assert claim.verdict not in NEVER[mark], claim.note


def test_hardly_one_of_them_is_left_open() -> None:
    """Measured: none is."""
    open_ones = [(lesion, text) for lesion, mark, text in ROWS if judged(text, lesion).verdict != MARKS[mark]]
    assert len(open_ones) <= 0.05 * len(ROWS), open_ones


def test_what_is_done_about_another_condition_is_never_plainly_supported() -> None:
    """Every fact on which somebody acts, word for word, where a condition leads that has nothing to do with it."""
    for fact in GRAPH.all_facts:
        if fact.relation not in MANAGEMENT:
            continue
        kin = {fact.subject, *GRAPH.family(fact.subject), *GRAPH.ancestors(fact.subject)}
        lesion = next(code for code in CLASSES if not {*GRAPH.family(GRAPH.class_node(code))} & kin)
        assert judged(fact.text, lesion).verdict in ("another_condition", "not_covered"), (lesion, fact.text)


def test_what_is_done_about_this_one_stays_supported() -> None:
    """The same facts, where the condition leads that they are about."""
    facts = [fact for fact in GRAPH.all_facts if fact.relation in MANAGEMENT]
    assert [fact.text for fact in facts if judged(fact.text, fact.subject).verdict != "supported"] == []


def test_without_a_diagnosis_nothing_is_of_another_condition() -> None:
    assert {judged(text, None).verdict for _, mark, text in ROWS if mark == "~"} <= {"supported", "not_covered"}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Actinic keratosis can be treated with cryotherapy.", "actinic keratosis"),
        ("Skin cancer is treated by excision.", "skin cancer"),
        ("Melanoma is possible. It can spread to other organs in the body.", "melanoma"),
    ],
)
def test_the_note_says_of_which_condition_it_is_true(text: str, other: str) -> None:
    assert judged(text, "nv").note == f"true of {other}; here melanocytic nevus leads"


def test_it_is_not_right_in_a_score_of_the_answer() -> None:
    claims = check_claims(GRAPH, "Melanoma is malignant. Seborrheic keratosis needs no treatment.", diagnosis="mel")
    assert score_answer(GRAPH, claims, diagnosis="mel").accuracy == 0.5
