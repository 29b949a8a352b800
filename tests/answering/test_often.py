"""Questions that are asked often get the answer that was written for them, held back where this lesion asks for it."""

from __future__ import annotations

from dataclasses import replace

from dermiq.answering import plan
from dermiq.answering.planner import Planner
from dermiq.knowledge.retrieve import faq
from tests.answering.made import asked, graph, known

ON_NEVUS = next(one for one in faq.entries() if one.topics == ("MONDO:0005073",))
OF_ANY = next(one for one in faq.entries() if one.topics == (faq.ANY,))


def points(entry: faq.Entry, intent: str, case: str, *, earlier: tuple[str, ...] = ()) -> list[str]:
    question = replace(asked(intent, question=entry.asked[0]), often=(entry.id,))
    return [point.text for point in plan(graph(), question, replace(known(case), earlier=earlier)).points]


def test_the_answer_that_is_written_is_what_is_said() -> None:
    assert points(ON_NEVUS, "prognosis", "nv") == [ON_NEVUS.reply]
    assert OF_ANY.reply in points(OF_ANY, "other", "nv")


def test_what_is_done_about_another_condition_is_not_said_as_if_it_were_this_one() -> None:
    first, *_ = points(ON_NEVUS, "treatment", "bcc")
    assert "not as melanocytic nevus" in first


def test_what_is_done_is_held_back_where_something_worse_is_possible() -> None:
    of_moles = next(one for one in faq.entries() if one.topics == ("MONDO:0005073",) and "biops" in one.reply)
    first, *_ = points(of_moles, "monitor", "doubtful nv")
    assert "melanoma is possible" in first


def test_it_is_pointed_at_where_it_was_said() -> None:
    question = replace(asked("prognosis", question="x"), often=(ON_NEVUS.id,))
    (point,) = plan(graph(), question, known("nv")).points
    assert point.again == f"As said above: {ON_NEVUS.reply}"


def test_what_the_first_question_describes_counts_for_what_shows_it() -> None:
    question = asked("why", question="Pearly papule on the nose, arborising vessels. Reading?")
    said = [point.text for point in Planner(graph(), question, known("bcc")).described()]
    assert said == ["As it is described, “pearly papule” and “arborising vessels” fit basal cell carcinoma."]


def test_what_all_that_are_spoken_of_show_and_what_is_denied_tells_nothing() -> None:
    question = asked("why", question="A lump on the shin, no arborising vessels. Reading?")
    assert not list(Planner(graph(), question, known("bcc")).described())
