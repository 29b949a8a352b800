"""The questions that an answer asks of itself."""

import pytest

from dermiq.answering.judge import (
    answer_matches_likelihood,
    findings_match,
    follow_up_matches_answer,
    own_alternative,
    readers_agree,
    reasoning_matches_answer,
    self_checks,
)
from dermiq.types import CLASS_NAMES, CLASSES, Candidate, Claim, Diagnosis, Differential, Reader
from dermiq.vlm.parse import parse


def opinion(first: str, reader: Reader) -> Differential:
    order = [first, *(code for code in CLASSES if code != first)]
    shares = [0.4] + [0.1] * 6
    pairs = zip(order, shares, strict=True)
    return Differential(tuple(Candidate(Diagnosis(c, CLASS_NAMES[c], c), p) for c, p in pairs), reader)


def written(conclusion: str, answer: str) -> str:
    return f"<think>\n1. Findings: a\n4. Conclusion: This fits {conclusion} best.\n</think>\n<answer>{answer}</answer>"


def test_readers_that_differ_are_both_named() -> None:
    check = readers_agree(opinion("mel", "specialist"), opinion("nv", "vlm"))
    assert check.passed is False
    assert "melanoma (40 %)" in check.message
    assert "melanocytic nevus (40 %)" in check.message
    assert readers_agree(opinion("nv", "specialist"), opinion("nv", "vlm")).passed is True


def test_reasoning_against_answer() -> None:
    assert reasoning_matches_answer(parse(written("melanoma", "melanoma"))).passed is True
    assert reasoning_matches_answer(parse(written("melanoma", "melanocytic nevus"))).passed is False
    assert reasoning_matches_answer(parse("I do not know.")).passed is None


def test_answer_against_the_models_own_likelihood() -> None:
    parsed = parse(written("melanoma", "melanoma"))
    assert answer_matches_likelihood(parsed, opinion("mel", "vlm")).passed is True
    assert answer_matches_likelihood(parsed, opinion("nv", "vlm")).passed is False


@pytest.mark.parametrize(
    ("differential", "failed"),
    [
        ("Melanoma leads; melanoma is the main alternative, then benign keratosis.", True),
        ("Melanoma first, then melanoma and benign keratosis.", True),
        ("Melanoma leads; melanocytic nevus is the main alternative, then benign keratosis.", False),
        ("Melanoma, since it is asymmetric and melanoma is asymmetric.", False),
    ],
)
def test_no_diagnosis_is_the_alternative_to_itself(differential: str, failed: bool) -> None:
    text = f"<think>\n2. Differential: {differential}\n4. Conclusion: Melanoma.\n</think>\n<answer>melanoma</answer>"
    assert bool(own_alternative(parse(text))) is failed
    assert all(check.passed is False and "melanoma" in check.message for check in own_alternative(parse(text)))
    assert own_alternative(parse(text + "\nThe next candidate is melanoma."))


def test_findings_are_judged_only_where_they_were_measured() -> None:
    right = Claim("It is asymmetric.", "supported", finding_codes=("asymmetry",))
    wrong = Claim("The border is smooth.", "contradicted", finding_codes=("border_irregularity",))
    other = Claim("Melanoma is dangerous.", "not_covered")
    assert findings_match([other]).passed is None
    assert findings_match([right, other]).passed is True
    assert findings_match([right, wrong]).passed is False
    assert "The border is smooth." in findings_match([right, wrong]).message


@pytest.mark.parametrize(
    ("prose", "passed"),
    [
        ("Dermoscopy of nevi shows a network [F5]. The image fits melanoma best.", True),
        ("The image fits melanocytic nevus best.", False),
        ("Most likely melanocytic nevus [F1].", False),
        ("ABCDE: an asymmetric shape speaks for melanoma rather than a harmless mole [F6].", None),
        ("", None),
    ],
)
def test_a_follow_up_that_changes_its_mind_is_said(prose: str, passed: bool | None) -> None:
    check = follow_up_matches_answer(prose, "mel")
    assert check.passed is passed
    assert passed is not False or "melanocytic nevus, but the earlier answer was melanoma" in check.message


def test_a_follow_up_is_not_asked_for_reasoning() -> None:
    readers = (opinion("mel", "specialist"), opinion("mel", "vlm"))
    assert [c.code for c in self_checks(parse("prose"), (), readers, reasoned=False)] == [
        "readers_agree",
        "findings_match",
    ]
