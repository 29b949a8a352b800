"""Does a text answer? Tables of good texts and of texts that fail in each of the ways."""

from __future__ import annotations

import pytest

from dermiq.answering import Answered, answers, plan
from dermiq.answering.judge import statements
from dermiq.answering.plan import KINDS
from dermiq.knowledge import check_claims
from dermiq.types import Claim, Evidence, EvidenceItem
from tests.answering.made import CASES, asked, claim, graph, known, numbers, planned, told


def read(text: str, intent: str, *conditions: str, case: str = "mel", earlier: tuple[str, ...] = ()) -> Answered:
    """The text judged as in a consultation: its claims by the graph and the findings."""
    here = known(case, earlier=earlier)
    made = plan(graph(), asked(intent, *conditions), here)
    given = Evidence(tuple(EvidenceItem(n, graph().fact(key), 0.0, "") for key, n in numbers(made).items()))
    found = check_claims(graph(), text, findings=here.findings, diagnosis=here.lead.id, evidence=given)
    return answers(graph(), made, statements(found, ""), text, earlier=earlier)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("intent", KINDS)
def test_the_plan_said_plainly_answers(intent: str, case: str) -> None:
    made = planned(intent, case=case)
    from dermiq.answering.say import claimed, said

    claims = [one for _, one in claimed(said(made.points, numbers(made)))]
    found = answers(graph(), made, claims, told(intent, case=case))
    assert found.verdict == "answers", (found.completeness, found.relevance, found.missing)
    assert found.score > 0.6


GOOD = [
    (
        "treatment",
        (),
        "Operable melanoma is treated by wide surgical excision. Metastatic melanoma needs systemic therapy.",
    ),
    ("urgency", (), "Yes, this should be referred urgently, within two weeks."),
    ("biopsy", (), "Suspected melanoma is excised whole with a 2 mm margin and sent for histology."),
    ("settle", (), "The diagnosis of melanoma is made by biopsy."),
    ("prognosis", (), "Melanoma can spread to other organs in the body."),
    ("monitor", (), "Patients with melanoma need intensive follow-up, above all in the first two to three years."),
    ("what_is", ("dermatofibroma",), "A dermatofibroma dimples inward when squeezed from the sides (dimple sign)."),
    ("risk_factors", (), "Sunbed use raises the risk of melanoma. Red or blond hair raises the risk of melanoma."),
]
BAD = [
    ("treatment", (), "Melanoma is malignant.", "does_not_answer"),
    ("treatment", (), "Dermoscopy of melanoma typically shows a blue-white veil.", "does_not_answer"),
    ("treatment", (), "", "does_not_answer"),
    ("treatment", (), "I am not sure about that at all.", "does_not_answer"),
    ("treatment", (), "Dermatofibroma is benign.", "another_condition"),
    ("treatment", (), "Melanoma is benign. Operable melanoma is treated by wide surgical excision.", "contradicted"),
    ("urgency", (), "No, this is not urgent and nothing has to be done.", "contradicted"),
    ("urgency", (), "Melanoma is malignant.", "does_not_answer"),
    ("why", (), "The lesion was looked at with great care by the model.", "does_not_answer"),
    ("prognosis", (), "Operable melanoma is treated by wide surgical excision.", "does_not_answer"),
    ("risk_factors", (), "Suspected melanoma is excised whole with a 2 mm margin.", "does_not_answer"),
]


@pytest.mark.parametrize(("intent", "names", "text"), GOOD)
def test_a_good_text_in_its_own_words_answers(intent: str, names: tuple[str, ...], text: str) -> None:
    found = read(text, intent, *names)
    assert found.verdict in ("answers", "partly"), found
    assert found.score >= 0.5


@pytest.mark.parametrize(("intent", "names", "text", "verdict"), BAD)
def test_a_bad_text_fails_for_what_is_wrong_with_it(
    intent: str, names: tuple[str, ...], text: str, verdict: str
) -> None:
    found = read(text, intent, *names)
    assert found.verdict == verdict, found
    assert found.score <= 0.5


def test_a_benign_lesion_that_is_called_urgent_is_contradicted() -> None:
    assert read("This needs urgent referral within two weeks.", "urgency", case="nv").verdict == "contradicted"
    assert read("Refer within 2 weeks only if it changes; no rule asks for it now.", "urgency", case="nv").is_enough


def test_word_for_word_is_repeated() -> None:
    text = "Operable melanoma is treated by wide surgical excision [F1]. Metastatic melanoma needs systemic therapy."
    found = read(text, "treatment", earlier=(text,))
    assert found.verdict == "repeats"
    assert len(found.repeated) == 2
    assert found.score == 0.0


def test_a_sentence_twice_in_one_text_is_repeated() -> None:
    text = "Operable melanoma is treated by wide surgical excision."
    assert read(f"{text} {text}", "treatment").verdict == "repeats"


def test_one_old_sentence_among_many_new_ones_may_stand() -> None:
    old = "The lesion has an irregular border here."
    text = f"{old} " + " ".join(
        f"{drug} raises the risk of melanoma."
        for drug in ("Sunbed use", "Sun exposure", "A family history of melanoma")
    )
    assert read(text, "risk_factors", earlier=(old,)).verdict != "repeats"


def test_a_wrong_number_that_is_not_mended_fails_and_a_mended_one_does_not() -> None:
    made = planned("treatment")
    key, text = made.facts[0].id, f"{made.facts[0].text}"
    wrong = Claim(text, "wrong_citation", (key,), miscited=(9,))
    assert answers(graph(), made, [wrong], text).verdict == "wrong_citation"
    other = claim(made.facts[1].text, made.facts[1].id)
    mended = Claim(text, "wrong_citation", (key,), miscited=(9,), mended=(1,))
    assert answers(graph(), made, [mended, other], text).verdict == "answers"


def test_a_named_conditions_management_answers_what_was_asked_of_it() -> None:
    text = "A melanocytic nevus that is clearly benign needs no further treatment. Benign moles need no treatment."
    assert read(text, "treatment", "nv").verdict in ("answers", "partly")


def test_what_is_missing_is_named() -> None:
    found = read("Operable melanoma is treated by wide surgical excision.", "treatment")
    assert found.completeness == 0.5
    assert [point.kind for point in found.missing]


def test_the_score_grows_with_what_is_said() -> None:
    one = "Operable melanoma is treated by wide surgical excision."
    two = f"{one} Melanoma up to 1 mm thick is excised with a margin of 1 cm."
    beside = f"{two} Dermoscopy of melanoma typically shows a blue-white veil."
    scores = [read(text, "treatment").score for text in ("", one, beside, two)]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
