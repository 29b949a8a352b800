"""Direct replies: what is written says no more than its facts, and stands first where it was asked for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dermiq.answering import plainly, plan
from dermiq.answering.direct import ASKS, TO_DO, USUAL
from dermiq.answering.replies import SITES, TABLE, reply
from dermiq.knowledge.retrieve.aspects import OF_CONDITIONS, OF_THE_READING
from dermiq.knowledge.schema import read_rows
from dermiq.types import PatientContext
from tests.answering.made import CASES, asked, differential, graph, known, numbers

ROWS = [row for _, row in read_rows(TABLE)]
SITED = tuple(f"dermoscopy_{site}" for site in SITES)
LONGEST = 36  # words


def answer(aspect: str, intent: str, *named: str, case: str = "mel", question: str = "", found: str = "") -> str:
    """The plan for a question about an aspect, said plainly."""
    said = replace(asked(intent, *named, question=question or "it"), aspects=(aspect,))
    facts = tuple(fact for fact in graph().all_facts if found and fact.text.startswith(found))
    made = plan(graph(), said, replace(known(case), found=facts))
    return plainly(made, numbers(made))


def test_every_reply_stands_on_facts_of_the_graph() -> None:
    missing = [row for row in ROWS if row["aspect"] not in {*OF_CONDITIONS, *SITED} or row["condition"] not in graph()]
    assert missing == []
    unfounded = [row for row in ROWS if reply(graph(), row["condition"], row["aspect"]) is None]
    assert unfounded == [], "the graph lacks a fact of these"


def test_no_condition_has_two_replies_for_one_aspect() -> None:
    keys = [(row["condition"], row["aspect"]) for row in ROWS]
    assert len(keys) == len(set(keys))


def test_a_reply_is_a_sentence_for_yes_and_for_no() -> None:
    for row in ROWS:
        assert not re.match(r"(?:yes|no|it|they|this)\b", row["reply"], re.IGNORECASE), row
        assert len(row["reply"].split()) <= LONGEST, row
        assert row["reply"].endswith("."), row


def test_no_number_of_a_reply_is_its_own() -> None:
    for row in ROWS:
        facts = " ".join(graph().fact(key).text for key in row["facts"].split("|"))
        held = set(re.findall(r"\d+(?:[.,]\d+)?", facts))
        said = set(re.findall(r"\d+(?:[.,]\d+)?", row["reply"]))
        assert said <= held, (row["condition"], row["aspect"], said - held)


@pytest.mark.parametrize(
    ("aspect", "intent", "begins"),
    [
        ("nature", "prognosis", "Melanoma is put first (language model 62 %, specialist 58 %). A doctor's look"),
        ("spreads", "prognosis", "Melanoma often spreads"),
        ("inherited", "risk_factors", "Most melanomas are not inherited"),
        ("biopsy_kind", "biopsy", "Melanoma is put first (language model 62 %, specialist 58 %): so tissue is taken"),
        ("vessels", "dermoscopy", "Dermoscopy of melanoma typically shows atypical"),
    ],
)
def test_what_is_asked_of_the_condition_is_answered_first(aspect: str, intent: str, begins: str) -> None:
    assert answer(aspect, intent).startswith(begins)


def test_nothing_beside_the_question_follows_a_direct_reply() -> None:
    text = answer("spreads", "prognosis", found="Wide excision")
    assert "Closest to the question" not in text
    question = "Which margin does a thin melanoma need?"
    assert "Closest to the question" in answer("", "treatment", found="Melanoma up to 1 mm", question=question)


def test_where_melanoma_is_possible_a_reply_that_says_what_to_do_comes_behind_that() -> None:
    text = answer("treat_needed", "treatment", case="doubtful nv")
    assert text.startswith("Nothing is treated before tissue has decided: melanoma is possible")
    text = answer("nature", "prognosis", "nv", case="doubtful nv", question="Is a nevus a cancer?")
    assert text.startswith("A melanocytic nevus is benign")
    assert "only tissue tells" in answer("nature", "prognosis", case="doubtful nv")


def test_no_reply_destroys_what_may_be_a_melanoma() -> None:
    for aspect in ("freezing", "surgery", "home_treatment", "treatments"):
        text = answer(aspect, "treatment", case="doubtful nv")
        assert "shav" not in text, aspect


def test_what_nothing_was_written_for_is_said_to_be_unknown_and_nothing_else_is() -> None:
    text = answer("contagious", "other", found="Melanoma can spread to other organs")
    assert text == "The sources at hand do not say whether melanoma is catching."


def test_home_treatment_for_what_it_was_not_read_as_is_refused() -> None:
    text = answer("home_treatment", "treatment", "viral wart", question="It's a viral wart, so I burn it off myself.")
    assert text.startswith("This lesion was read as melanoma, not as viral wart")
    assert "salicylic" not in text.lower()
    assert "Treat nothing at home" in text


def test_what_is_told_anew_is_answered_by_what_it_means() -> None:
    told = PatientContext(symptoms=("grew",))
    said = replace(asked("other", question="it has doubled"), aspects=("now_told",), supposed=told)
    points = plan(graph(), said, replace(known("mel", patient=PatientContext()), supposed=known("mel").urgency)).points
    assert points[0].text.startswith("Change in size counts towards suspicion of melanoma")
    assert any(point.text.startswith("Since it grew:") for point in points)
    assert any("did not know this" in point.text for point in points)


@pytest.mark.parametrize(
    ("aspect", "says"),
    [
        ("sure", "were kept apart"),
        ("one_photo", "One photograph gives a likelihood and no proof"),
        ("beyond", "The readers know seven classes"),
        ("from_words", "nothing that was told changed a probability"),
        ("as_proof", "must not stand in a record"),
        ("doubt", "It can be wrong"),
        ("picture", "No fault of sharpness, light or framing was measured"),
        ("other_lesion", "Only the lesion in the picture was read"),
        ("decide", "It should not be left: melanoma is put first"),
    ],
)
def test_of_the_reading_itself_something_true_is_said(aspect: str, says: str) -> None:
    assert says in answer(aspect, "other")


def test_tables_name_aspects_and_no_others() -> None:
    assert set(ASKS) <= set(OF_CONDITIONS)
    assert {aspect for aspects in USUAL.values() for aspect in aspects} <= set(OF_CONDITIONS)
    assert set(OF_CONDITIONS.values()) >= TO_DO
    assert not set(OF_THE_READING) & set(OF_CONDITIONS)


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("Can I have it lasered off?", "No: nothing is treated before tissue has decided: melanoma is put first"),
        ("Dr M freezes it on Thursday, that is the standard for thin melanomas, isn't it", "No: nothing is treated"),
        ("Which laser is used?", "Nothing is treated before tissue has decided"),
        ("Isn't it dangerous to leave it?", "Nothing is treated before tissue has decided"),
        ("It should not be frozen, right?", "Nothing is treated before tissue has decided"),
        ("Can it be cut out rather than lasered?", "Nothing is treated before tissue has decided"),
    ],
)
def test_who_would_destroy_what_may_be_a_melanoma_hears_a_plain_no(question: str, begins: str) -> None:
    assert answer("freezing", "treatment", question=question).startswith(begins)


def test_where_a_melanoma_may_be_taken_for_a_carcinoma_the_biopsy_is_that_of_a_melanoma() -> None:
    findings, _, vlm = CASES["bcc"]
    CASES["bcc or mel"] = (findings, differential("specialist", mel=0.43, bcc=0.27, nv=0.3), vlm)
    text = answer("biopsy_needed", "biopsy", case="bcc or mel", question="How should it be biopsied?")
    assert text.startswith("Melanoma is possible (language model 2 %, specialist 43 %): so tissue is taken")
    assert text.index("never shaved") < text.index("suspected of being basal cell carcinoma")
