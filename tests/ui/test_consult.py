"""What a visitor does, played through against the fake: frames in order, stop, errors, two visitors."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from dermiq.errors import InputError, ModelError
from dermiq.line import Line
from dermiq.types import Claim, OwnWords, PatientContext
from dermiq.ui.consult.controller import ConsultController, Frame, is_loading
from dermiq.ui.consult.lazy_consultant import Behind
from dermiq.ui.consult.visit import Visit
from tests.fakes import TEXT, FakeConsultant, examples, picture, png

PNG = png(picture(160, 120))


def controller_and_visit(**options: object) -> tuple[ConsultController, Visit, FakeConsultant]:
    fake = FakeConsultant(**options)  # type: ignore[arg-type]
    controller, visit = ConsultController(fake, examples()), Visit()
    play(controller.add_images(visit, [PNG]))
    return controller, visit, fake


def play(frames: Iterable[Frame]) -> list[Frame]:
    return list(frames)


def test_the_image_comes_first_then_outline_and_findings_before_any_question() -> None:
    controller, visit = ConsultController(FakeConsultant()), Visit()
    first, second = play(controller.add_images(visit, [PNG]))
    assert "dq-outline" not in str(first.viewer)
    assert "dq-outline" in str(second.viewer)
    assert "58\u202f%" in str(second.panels)
    assert "Asymmetry" in str(second.panels)


def test_the_answer_comes_in_the_agreed_order() -> None:
    controller, visit, _ = controller_and_visit()
    frames = play(controller.ask(visit, "Why?"))
    seen = [
        next((i for i, f in enumerate(frames) if sign in str(getattr(f, part))), -1)
        for part, sign in (
            ("chat", "Why?"),
            ("panels", "58\u202f%"),
            ("panels", "Irregular streaks"),
            ("panels", "62\u202f%"),
            ("chat", "dq-headline"),
            ("chat", "dq-claim"),
        )
    ]
    assert -1 not in seen
    assert seen == sorted(seen)
    assert frames[0].running
    assert not frames[-1].running
    assert frames[-1].reportable
    assert frames[0].clear_question
    assert not frames[-1].clear_question


def test_a_follow_up_carries_the_conversation_and_keeps_the_panels() -> None:
    controller, visit, fake = controller_and_visit()
    play(controller.ask(visit, "Why?"))
    frames = play(controller.ask(visit, "Why not a nevus?"))
    assert [t.text for t in fake.asked[-1][1].history] == ["Why?", TEXT]
    assert "58\u202f%" in str(frames[0].panels)
    assert str(frames[-1].chat).count('class="dq-reasoning" data-open="no"') == 1


OWN = OwnWords(
    "Said plainly, and a fact [F1].\n\n- One [F2].\n- Two [F3].", "The model's answer did not answer the question."
)


def asked_twice(own: OwnWords) -> tuple[Visit, list[Frame]]:
    controller, visit, fake = controller_and_visit(own=own)
    play(controller.ask(visit, "Why?"))
    fake.pace = 0.02
    return visit, play(controller.ask(visit, "How is it treated?"))


def test_what_the_program_said_in_the_models_place_is_marked_and_the_models_text_can_be_opened() -> None:
    left = Claim("The model's <b>own</b> words.", "not_covered")
    visit, frames = asked_twice(replace(OWN, replaced="The model's <b>own</b> words.", replaced_claims=(left,)))
    html = str(frames[-1].chat).split("How is it treated?")[-1]
    assert 'aria-label="Said by the program, not by the model"' in html
    assert "did not answer the question" in html
    assert "<summary>What the model wrote</summary>" in html
    assert "&lt;b&gt;own&lt;/b&gt;" in html
    assert 'popovertarget="claim-2-left-0"' in html
    assert 'id="claim-2-left-0"' in html
    assert html.index("Said plainly") < html.index("What the model wrote")
    assert any("A regular network" in str(frame.chat) for frame in frames), "the model's text streams before that"
    assert visit.exchanges[-1].text == OWN.text
    assert visit.history()[-1].text == OWN.text


def test_what_the_program_adds_stands_behind_the_models_text() -> None:
    visit, frames = asked_twice(OWN)
    html = str(frames[-1].chat).split("How is it treated?")[-1]
    assert html.index("A regular network") < html.index("dq-own") < html.index("Said plainly")
    assert html.count('<section class="dq-own"') == 1
    assert "Said plainly" not in html.split("dq-own")[0]
    assert "What the model wrote" not in html
    assert visit.exchanges[-1].own == OWN


def test_stopping_keeps_what_was_written_and_says_that_it_is_cut() -> None:
    controller, visit, _ = controller_and_visit(pace=0.01)
    for frame in controller.ask(visit, "Why?"):
        if "Findings" in str(frame.chat):
            controller.stop(visit)
    assert "Stopped by you" in str(frame.chat)
    assert not frame.running
    assert len(visit.exchanges[-1].text) < len(TEXT)


def test_an_abstention_is_the_answer_until_the_visitor_insists() -> None:
    controller, visit, _fake = controller_and_visit(abstain=True)
    *_, last = play(controller.ask(visit, "Why?"))
    assert "Ask all the same" in str(last.chat)
    assert "dq-grey" in str(last.panels)
    assert "dq-headline" not in str(last.chat)
    *_, last = play(controller.insist(visit))
    assert "Read with caution" in str(last.chat)
    assert "dq-headline" in str(last.chat)
    assert len(visit.exchanges) == 1
    *_, last = play(controller.ask(visit, "And now?"))
    assert str(last.chat).count("Read with caution") == 2


def test_a_failing_model_is_a_sentence_in_the_answers_place() -> None:
    controller, visit, _ = controller_and_visit()
    *_, last = play(controller.ask(visit, "break"))
    assert "ran out of memory" in str(last.chat)
    assert not last.running
    assert "Retry" in str(last.chat)


def test_an_unexpected_failure_names_no_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, visit, fake = controller_and_visit()
    monkeypatch.setattr(fake, "evidence", None)
    monkeypatch.setattr(fake, "assess", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("secret path")))
    *_, last = play(controller.ask(visit, "Why?"))
    assert "secret" not in str(last.chat)
    assert "written in the log" in str(last.chat)


def test_a_file_that_is_no_image_is_refused_in_words_and_the_others_are_kept() -> None:
    controller, visit = ConsultController(FakeConsultant()), Visit()
    *_, last = play(controller.add_images(visit, [b"not an image", PNG]))
    assert "This file is not an image." in str(last.viewer)
    assert len(visit.lesions) == 1


def test_a_question_without_an_image_says_what_to_do() -> None:
    controller, visit = ConsultController(FakeConsultant()), Visit()
    assert "Add an image" in str(play(controller.ask(visit, "Why?"))[0].viewer)


def test_a_question_waits_for_the_model_and_can_be_stopped_meanwhile() -> None:
    controller, visit, fake = controller_and_visit()
    fake.loaded = Path("never")
    frames = controller.ask(visit, "Why?")
    waiting = next(f for f in frames if "not ready yet" in str(f.chat))
    assert "Your question is kept" in str(waiting.chat)
    controller.stop(visit)
    assert "Stopped by you" in str(play(frames)[-1].chat)


def test_an_image_that_came_before_the_models_is_read_once_they_are_loaded(tmp_path: Path) -> None:
    fake, visit = FakeConsultant(), Visit()
    fake.loaded = tmp_path / "loaded"
    frames = ConsultController(fake).add_images(visit, [PNG])
    assert "dq-outline" not in str(next(frames).viewer)
    fake.loaded.touch()
    assert "dq-outline" in str(play(frames)[-1].viewer)


def test_a_model_that_failed_to_load_says_why() -> None:
    controller, visit, fake = controller_and_visit()
    fake.failure = "The language model could not be downloaded. Check the connection, then start again."
    assert not is_loading(fake)
    assert "could not be downloaded" in str(play(controller.ask(visit, "Why?"))[-1].chat)


def test_the_image_check_is_asked_once_and_kept_in_the_answer() -> None:
    controller, visit, _ = controller_and_visit()
    play(controller.ask(visit, "Why?"))
    *_, last = play(controller.check_image(visit))
    assert "it depends on the image" in str(last.chat)
    assert 'data-event="imagecheck"' not in str(last.chat)
    answer = visit.exchanges[-1].answer
    assert answer is not None
    assert answer.checks[-1].code == "image_matters"


def test_retry_asks_the_same_question_again() -> None:
    controller, visit, fake = controller_and_visit()
    play(controller.ask(visit, "Why?"))
    play(controller.retry(visit))
    assert len(visit.exchanges) == 1
    assert fake.asked[-1][1].history == ()


def test_the_heatmap_explains_the_leading_diagnosis() -> None:
    controller, visit, _ = controller_and_visit()
    assert "looks for melanoma" in str(controller.set_layer(visit, "heatmap").viewer)


def test_several_images_are_one_case_with_kind_and_time() -> None:
    controller, visit, fake = controller_and_visit()
    play(controller.add_images(visit, [PNG]))
    controller.describe(visit, 1, view="dermoscopy")
    controller.describe(visit, 1, taken="6 months ago")
    controller.describe(visit, 0, view="<script>")
    frames = play(controller.ask(visit, "Why?"))
    case = fake.asked[-1][1]
    assert [(le.view, le.taken) for le in case.lesions] == [("unknown", None), ("dermoscopy", "6 months ago")]
    assert "20 % larger" in str(frames[-1].chat)


def test_an_image_can_be_removed_and_a_wrong_index_is_no_error() -> None:
    controller, visit, _ = controller_and_visit()
    play(controller.remove(visit, 7))
    assert len(visit.lesions) == 1
    assert "Drop or paste" in str(play(controller.remove(visit, 0))[-1].viewer)


def test_a_drawing_stays_marked() -> None:
    controller, visit = ConsultController(FakeConsultant(), examples()), Visit()
    *_, last = play(controller.add_example(visit, 1))
    assert 'dq-badge">drawing' in str(last.viewer)
    assert not play(controller.add_example(visit, 9))


def test_a_consultant_made_behind_the_page_is_loading_then_handed_on() -> None:
    go = threading.Event()

    def make() -> FakeConsultant:
        go.wait(10)
        return FakeConsultant()

    behind = Behind(make, name="soon")
    behind.start()
    assert (behind.name, behind.ready(), behind.device) == ("soon", False, "")
    assert is_loading(behind)
    behind.forget("s")
    go.set()
    visit, controller = Visit(), ConsultController(behind)
    assert "dq-outline" in str(play(controller.add_images(visit, [PNG]))[-1].viewer)
    assert behind.name == "DermIQ-Nano 0.1"
    assert behind.status() == "ready"


@pytest.mark.parametrize("error", [ModelError("No such model: a/b. Check --model."), RuntimeError("secret")])
def test_a_consultant_that_cannot_be_made_says_why(error: Exception) -> None:
    def make() -> FakeConsultant:
        raise error

    behind = Behind(make, name="soon")
    behind.start()
    with pytest.raises(ModelError):
        behind.real()
    assert not is_loading(behind)
    assert behind.status() == (
        str(error) if isinstance(error, ModelError) else "The models could not be started; the log says why."
    )


# --- visitors ---------------------------------------------------------------------------


def test_a_copied_visit_is_a_new_one() -> None:
    _, visit, _ = controller_and_visit()
    other = copy.deepcopy(visit)
    assert other.session_id != visit.session_id
    assert other.lesions == []


def test_two_visitors_do_not_see_each_others_case() -> None:
    controller, mine, fake = controller_and_visit()
    fake.line = Line(patience=0)  # nobody waits: the two answers are written in turns
    theirs = Visit()
    play(controller.add_images(theirs, [png(picture(90, 60))]))
    for _ in zip(controller.ask(mine, "mine"), controller.ask(theirs, "theirs"), strict=False):
        assert "theirs" not in str(controller.chat(mine))
        assert "mine" not in str(controller.chat(theirs))
    sessions = {case.question: session for session, case in fake.asked}
    assert sessions["mine"] == mine.session_id != sessions["theirs"] == theirs.session_id


def test_a_new_case_forgets_here_and_in_the_models_cache() -> None:
    controller, visit, fake = controller_and_visit()
    play(controller.ask(visit, "Why?"))
    old = visit.session_id
    frame = controller.new_case(visit)
    assert old in fake.forgotten
    assert visit.session_id != old
    assert visit.lesions == []
    assert visit.exchanges == []
    assert visit.context == PatientContext()
    assert "Drop or paste" in str(frame.viewer)
    assert not frame.reportable


def test_an_answer_that_still_runs_does_not_appear_in_a_new_case() -> None:
    controller, visit, _ = controller_and_visit()
    frames = controller.ask(visit, "old question")
    next(frames)
    controller.new_case(visit)
    assert all("old question" not in str(f.chat) for f in frames)
    assert visit.exchanges == []


# --- the patient's fields ---------------------------------------------------------------


def test_the_fields_become_a_context() -> None:
    from dermiq.ui.consult.patient_fields import context_of

    said = context_of(" 54 ", "female", "  left   shin ", "II", ["grew", "itch", "bogus"])
    assert said == PatientContext(54, "female", "left shin", 2, ("itch", "grew"))
    assert context_of("", "not stated", "not stated", "not stated", []) == PatientContext()
    assert context_of("55,0", "female", "BACK", "not stated", None) == PatientContext(55, "female", "back")
    assert context_of("UNK", None, "unknown", None, None) == PatientContext()


@pytest.mark.parametrize("age", ["abc", "-1", "121", "5.5", "٣"])
def test_an_age_that_is_none_is_named(age: str) -> None:
    from dermiq.ui.consult.patient_fields import context_of

    with pytest.raises(InputError, match="whole number of years"):
        context_of(age, None, None, None, None)
