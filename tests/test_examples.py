"""First answers to drawn examples: kept by checkpoint, given again as they were, nothing of a visitor's."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermiq import consultant as consultant_module
from dermiq import examples as examples_module
from dermiq.consultant import LocalConsultant
from dermiq.consultation import Readers, assess
from dermiq.examples import QUESTIONS, Examples, cases, is_example
from dermiq.knowledge import Graph
from dermiq.lesion.drawn import drawn_examples
from dermiq.settings import Settings
from dermiq.specialist import Specialist
from dermiq.types import AnswerDone, Case, Events, Lesion, PatientContext, Turn, Waiting
from dermiq.ui.consult import asked
from dermiq.ui.consult.controller import ConsultController
from dermiq.ui.consult.visit import Visit
from dermiq.vlm.identity import Origin
from dermiq.vlm.load import VLM
from tests.fakes import png
from tests.tiny import tiny

ORIGIN = Origin(("the weights of this test",))
DRAWN = tuple(lesion for _, case in cases() for lesion in case.lesions)[:: len(QUESTIONS)]
EXAMPLE = Case(DRAWN[1:2])


@pytest.fixture(scope="module")
def readers() -> Readers:
    model, processor = tiny("llava")
    vlm = VLM(model, processor, name="tiny", revision="0")
    vlm.origin = ORIGIN
    return Readers(Specialist.load(), vlm, Graph.load(), max_images=1)


@pytest.fixture
def consultant(readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalConsultant:
    monkeypatch.setattr("dermiq.consultation.MAX_NEW_TOKENS", 40)  # two answers fit into what the tiny model reads
    made = LocalConsultant(Settings(), examples=Examples(tmp_path / "kept"))
    made._readers = readers
    made._loaded.set()
    return made


def asked_of(consultant: LocalConsultant, case: Case, session_id: str = "a", **options: Any) -> list[Any]:
    return list(consultant.assess(case, stop=options.get("stop", threading.Event()), session_id=session_id))


def kept_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


# --- given again ------------------------------------------------------------------------------


def test_the_second_who_asks_gets_the_same_answer_and_no_model_writes(
    consultant: LocalConsultant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = asked_of(consultant, EXAMPLE)[-1]
    assert len(kept_in(tmp_path)) == 1
    monkeypatch.setattr(consultant_module, "assess", _never)
    monkeypatch.setattr(consultant_module, "open_thread", _never)
    started = time.perf_counter()
    events = consultant.assess(EXAMPLE, stop=threading.Event(), session_id="b")
    last = next(event for event in events if isinstance(event, AnswerDone))
    assert time.perf_counter() - started < 2
    assert (live.kept, last.kept) == (False, True)
    assert last.answer == live.answer


def _never(*_: object, **__: object) -> Events:
    raise AssertionError("a model was asked")


def test_the_next_question_goes_on_as_after_a_live_answer(consultant: LocalConsultant) -> None:
    follow_ups = []
    for session in ("live", "again"):
        first = asked_of(consultant, EXAMPLE, session)[-1]
        for reading in [one for one in threading.enumerate() if one.name == "read ahead"]:
            reading.join()
        thread = consultant._threads[session]
        stood = (list(thread.messages), thread.evidence, list(thread.ended), thread.opinions)
        history = (Turn("user", EXAMPLE.question), Turn("assistant", first.answer.text))
        second = asked_of(consultant, replace(EXAMPLE, question="How is it treated?", history=history), session)[-1]
        stats = thread.session.last_stats
        assert stats is not None
        assert stats.reused_tokens > 0, "the conversation was read ahead"
        follow_ups.append((first.kept, stood, replace(second.answer, seconds=0), second.kept))
    assert [kept for kept, *_ in follow_ups] == [False, True]
    assert follow_ups[0][1:] == follow_ups[1][1:]


def test_a_question_that_comes_at_once_goes_on_too(consultant: LocalConsultant) -> None:
    first = asked_of(consultant, EXAMPLE, "live")[-1].answer
    history = (Turn("user", EXAMPLE.question), Turn("assistant", first.text))
    later = replace(EXAMPLE, question="How is it treated?", history=history)
    expected = asked_of(consultant, later, "live")[-1].answer
    events = consultant.assess(EXAMPLE, stop=threading.Event(), session_id="again")
    assert any(isinstance(event, AnswerDone) and event.kept for event in iter(lambda: next(events), None))
    events.close()  # so that the model reads nothing ahead
    assert replace(asked_of(consultant, later, "again")[-1].answer, seconds=0) == replace(expected, seconds=0)


def test_the_page_is_the_same_but_for_a_line_that_says_so(consultant: LocalConsultant) -> None:
    controller = ConsultController(consultant, drawn_examples())

    def page(*, retried: bool = False) -> tuple[str, str, str, str]:
        visit = Visit()
        list(controller.add_example(visit, 1))
        list(controller.ask(visit, "", insisted=True))
        if retried:
            list(controller.retry(visit))
        visit.exchanges[-1].key = "1"
        visit.exchanges[-1].reasoned = None
        return (
            str(controller.chat(visit)),
            str(controller.panels(visit)),
            str(controller.viewer(visit)),
            str(controller.frame(visit).urgency),
        )

    live, again, retried = page(), page(), page(retried=True)
    line = '<p class="dq-fine dq-before">Answered before by this very model. Retry runs it live.</p>'
    assert line not in live[0]
    assert line in again[0]
    assert again[0].replace(line, "") == live[0]
    assert again[1:] == live[1:]
    assert line not in retried[0], "Retry asks the model"


def test_what_waited_in_line_is_not_kept(consultant: LocalConsultant) -> None:
    assert consultant.examples
    key = consultant.examples.key(EXAMPLE, consultant.readers())
    assert key
    events = asked_of(consultant, EXAMPLE)
    consultant.examples.keep(key, [*events[:1], Waiting(2), Waiting(0), *events[1:]])
    found = consultant.examples.find(key)
    assert found
    assert not any(isinstance(event, Waiting) for event in found)


# --- by checkpoint ----------------------------------------------------------------------------


def _with_origin(readers: Readers, origin: Origin | None) -> Readers:
    vlm = copy.copy(readers.vlm)
    vlm.origin = origin
    return replace(readers, vlm=vlm)


def test_whatever_decides_the_answer_is_in_the_key(
    readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = Examples(tmp_path)
    (tmp_path / "kg").mkdir()
    (tmp_path / "kg" / "edges.tsv").write_text("another graph")
    named = _with_origin(readers, ORIGIN)
    named.vlm.name = "another name"
    keys = [
        examples.key(EXAMPLE, readers),
        examples.key(replace(EXAMPLE, lesions=DRAWN[:1]), readers),
        examples.key(replace(EXAMPLE, question=QUESTIONS[1]), readers),
        examples.key(EXAMPLE, _with_origin(readers, Origin(("other weights",)))),
        examples.key(EXAMPLE, named),
        examples.key(EXAMPLE, replace(readers, votes=3)),
        examples.key(EXAMPLE, replace(readers, temperature=1.5)),
        examples.key(EXAMPLE, replace(readers, offsets={"mel": 0.1})),
        examples.key(EXAMPLE, replace(readers, max_images=2)),
        Examples(tmp_path, kg=tmp_path / "kg").key(EXAMPLE, readers),
    ]
    for name in ("code_digest", "fingerprint"):
        with monkeypatch.context() as patch:
            patch.setattr(examples_module, name, lambda: "changed")
            keys.append(Examples(tmp_path).key(EXAMPLE, readers))
    with monkeypatch.context() as patch:
        patch.setattr(examples_module, "version_of", lambda name: "9.9")
        keys.append(examples.key(EXAMPLE, readers))
    assert all(keys)
    assert len(set(keys)) == len(keys)
    assert Examples(tmp_path).key(EXAMPLE, readers) == keys[0]


def test_another_checkpoint_is_asked_itself(consultant: LocalConsultant, readers: Readers) -> None:
    asked_of(consultant, EXAMPLE)
    consultant._readers = _with_origin(readers, Origin(("other weights",)))
    assert not asked_of(consultant, EXAMPLE, "b")[-1].kept
    consultant._readers = readers
    assert asked_of(consultant, EXAMPLE, "c")[-1].kept


def test_an_answer_under_anothers_name_is_not_shown(consultant: LocalConsultant, tmp_path: Path) -> None:
    asked_of(consultant, EXAMPLE)
    other = replace(EXAMPLE, question=QUESTIONS[2])
    assert consultant.examples
    key = consultant.examples.key(other, consultant.readers())
    kept_in(tmp_path)[0].rename(tmp_path / "kept" / f"{key}.json")
    assert not asked_of(consultant, other, "b")[-1].kept


def test_weights_that_nothing_tells_for_sure_keep_nothing(
    consultant: LocalConsultant, readers: Readers, tmp_path: Path
) -> None:
    for origin in (None, Origin(), Origin(("a commit", ""))):
        consultant._readers = _with_origin(readers, origin)
        asked_of(consultant, EXAMPLE, str(origin))
    assert kept_in(tmp_path) == []


# --- nothing of a visitor ---------------------------------------------------------------------


def _of_visitors() -> Iterator[Case]:
    drawn = EXAMPLE.lesions[0]
    touched = drawn.pixels.copy()
    touched[0, 0, 0] ^= 1
    photograph = np.random.default_rng(1).integers(0, 256, drawn.pixels.shape, dtype=np.uint8)
    yield from (Case((Lesion(pixels),)) for pixels in (touched, photograph, drawn.pixels[:-1], drawn.pixels[::-1]))
    yield replace(EXAMPLE, lesions=DRAWN[:2])
    yield replace(EXAMPLE, lesions=(drawn, Lesion(photograph)))
    yield replace(EXAMPLE, lesions=(replace(drawn, view="dermoscopy"),))
    yield replace(EXAMPLE, lesions=(replace(drawn, taken="now"),))
    yield replace(EXAMPLE, question="What is Ms. Miller's lesion?")
    yield replace(EXAMPLE, intent="treatment")
    yield replace(EXAMPLE, history=(Turn("user", "a"), Turn("assistant", "b")))
    for told in ({"age": 60}, {"sex": "female"}, {"site": "back"}, {"skin_type": 2}, {"symptoms": ("bled",)}):
        yield replace(EXAMPLE, context=PatientContext(**told))


def test_only_a_drawing_alone_with_a_question_of_the_pages_is_an_example() -> None:
    assert all(is_example(case) for _, case in cases())
    assert [case.question for case in _of_visitors() if is_example(case)] == []


def test_nothing_of_a_visitor_is_written(consultant: LocalConsultant, tmp_path: Path) -> None:
    for number, case in enumerate(_of_visitors()):
        if number in (0, 1, 8, 11):  # another pixel, a photograph, a question of their own, a patient's age
            asked_of(consultant, case, str(number))
    assert kept_in(tmp_path) == []


def test_the_pages_drawings_and_suggestions_are_the_examples(consultant: LocalConsultant) -> None:
    assert asked.FIRST == QUESTIONS
    for _, pixels in drawn_examples():
        lesion = consultant.read_image(png(pixels))
        assert any(lesion.quality == case.lesions[0].quality for _, case in cases())
        assert is_example(Case((lesion,)))


# --- the files --------------------------------------------------------------------------------


def test_a_stopped_or_broken_answer_is_not_kept(
    consultant: LocalConsultant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    for event in consultant.assess(EXAMPLE, stop=stop, session_id="a"):
        stop.set()
        assert not isinstance(event, AnswerDone) or event.answer.stopped
    events = consultant.assess(EXAMPLE, stop=threading.Event(), session_id="b")
    next(events)
    events.close()
    assert kept_in(tmp_path) == []


def test_the_oldest_go_where_there_are_too_many(
    consultant: LocalConsultant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples_module, "MOST_FILES", 2)
    events = asked_of(consultant, EXAMPLE)
    assert consultant.examples
    for name in ("k1", "k2", "k3"):
        time.sleep(0.01)  # a clock of files may be coarse
        consultant.examples.keep(name, events)
    assert [path.stem for path in kept_in(tmp_path)] == ["k2", "k3"]


def test_examples_are_answered_ahead_and_make_way_for_whoever_asks(
    consultant: LocalConsultant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consultant_module, "AHEAD_SECONDS", 0.01)
    monkeypatch.setattr(consultant_module, "cases", lambda: [("drawn", EXAMPLE)])
    seen: list[threading.Event] = []

    def interrupted(case: Case, readers: Readers, **options: Any) -> Events:
        seen.append(options["stop"])
        for event in assess(case, readers, **options):
            yield event
            if len(seen) == 1 and not seen[0].is_set():
                visitor = consultant.assess(replace(EXAMPLE, anew=True), stop=threading.Event(), session_id="visitor")
                visitor.close()

    monkeypatch.setattr(consultant_module, "assess", interrupted)
    assert [kept for *_, kept in consultant.answer_examples()] == [True]
    assert seen[0].is_set()
    assert not seen[-1].is_set()
    assert len(kept_in(tmp_path)) == 1
    count = len(seen)
    assert [kept for *_, kept in consultant.answer_examples()] == [True]
    assert len(seen) == count, "what is kept is not answered again"
