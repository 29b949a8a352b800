"""A model that misbehaves, and memory that runs out while it writes: a sentence, and the next question is answered."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from dermiq.consultant import LocalConsultant
from dermiq.consultation import Readers
from dermiq.errors import ModelError
from dermiq.knowledge import Graph
from dermiq.lesion.drawn import drawn_examples
from dermiq.settings import Settings
from dermiq.specialist import Specialist
from dermiq.types import Lesion
from dermiq.ui.consult.controller import UNEXPECTED, ConsultController
from dermiq.ui.consult.visit import Exchange, Visit
from dermiq.vlm import session as sessions
from dermiq.vlm.load import VLM
from dermiq.vlm.session import Session
from tests.tiny import picture, tiny
from tests.vlm.test_session import ask, build

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
FIRST = "What is this lesion, and why?"
MOST = 80  # tokens of an answer
RAN_OUT = "The model ran out of memory. Use a smaller model or image, or start with --load-in-4bit."


def failing_at(step: int, session: Session, error: Exception, patch: pytest.MonkeyPatch) -> None:
    """The `step`-th forward of the session fails, as on a GPU that somebody else fills: 0 reads the question."""
    count = itertools.count()

    def watched(act: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def acted(*args: Any) -> torch.Tensor:
            found = act(*args)  # it has taken what it takes
            if next(count) == step:
                raise error
            return found

        return acted

    for name in ("prefill", "extend", "read"):
        patch.setattr(session._backend, name, watched(getattr(session._backend, name)))


@pytest.mark.fault(
    "Memory runs out",
    where="the GPU, or the processor's memory, in any step of an answer",
    seen="“The model ran out of memory. Use a smaller model or image, or start with --load-in-4bit.”",
    kept="the conversation; the text's memory is given back, and the next question is answered as if nothing had "
    "happened",
)
@pytest.mark.parametrize("kind", ["llava", "llava plain"])
@pytest.mark.parametrize("step", range(6))
def test_memory_that_runs_out_in_any_step_is_given_back(kind: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = build(kind)
    expected = vlm.session([picture()]).generate(ask("What?"), max_new_tokens=12)
    session = vlm.session([picture()])
    session.generate(ask("What?"), max_new_tokens=1)
    cache = getattr(session._backend, "cache", None) or getattr(session._backend, "_cache")  # noqa: B009
    held = weakref.ref(cache)
    session.rest() if step == 0 else None
    del cache
    with monkeypatch.context() as patch:
        failing_at(max(0, step - 1), session, OUT_OF_MEMORY, patch)
        with pytest.raises(ModelError, match="ran out of memory"):
            session.generate(ask("What?"), max_new_tokens=12)
        gc.collect()
        assert held() is None, "the text's memory is still held"
        assert session._backend.length == 0
    assert session.generate(ask("What?"), max_new_tokens=12) == expected


# --- as a visitor sees it ---------------------------------------------------------------


@pytest.fixture(scope="module")
def readers() -> Readers:
    model, processor = tiny("llava")
    return Readers(Specialist.load(), VLM(model, processor, name="tiny", revision="0"), Graph.load(), max_images=1)


class Page:
    """One visitor with one image, in front of the real consultant."""

    def __init__(self, readers: Readers) -> None:
        consultant = LocalConsultant(Settings())
        consultant._readers = readers
        consultant._loaded.set()
        self._controller, self._visit = ConsultController(consultant), Visit()
        self._visit.add(Lesion(drawn_examples()[0][1]), "data:")

    def ask(self, question: str) -> Exchange:
        list(self._controller.ask(self._visit, question, insisted=True))
        return self._visit.exchanges[-1]


@pytest.fixture(scope="module")
def expected(readers: Readers) -> str:
    """What the model writes where nothing fails."""
    return Page(readers).ask(FIRST).text


@pytest.fixture
def page(readers: Readers) -> Page:
    return Page(readers)


def saying(vlm: VLM, text: str, patch: pytest.MonkeyPatch, *, endless: str = "", fails: bool = False) -> list[int]:
    """The model chooses these tokens, then `endless` for ever, or fails, or ends its turn. What it chose comes back."""
    chosen: list[int] = []
    written = vlm.encoder.text_ids(text)
    again = vlm.encoder.text_ids(endless)

    class Scripted:
        def __init__(self, *_: object, **__: object) -> None:
            self._ids: Iterator[int] = itertools.chain(written, itertools.cycle(again) if endless else ())

        def pick(self, _: torch.Tensor) -> int:
            token = next(self._ids, None)
            if token is None and fails:
                raise RuntimeError("a kernel failed")
            chosen.append(min(vlm.end_ids) if token is None else token)
            return chosen[-1]

    patch.setattr(sessions, "_Sampler", Scripted)
    return chosen


LOOP = " the the the lesion lesion"
MISBEHAVED: dict[str, dict[str, Any]] = {
    "loops": {"text": "", "endless": LOOP},
    "says its end token alone": {"text": ""},
    "never closes its reasoning": {"text": " none.\n4. Conclusion: melanoma is likely."},
}


@pytest.mark.fault(
    "A model misbehaves",
    where="it loops, says nothing, only its end token, or never closes its reasoning",
    seen="an answer: what is known from the measurements and the graph, marked as said by the program",
    kept="the case; what the model wrote is shown as its text, cut at its greatest length",
)
@pytest.mark.parametrize("how", MISBEHAVED)
def test_whatever_a_model_writes_the_visitor_has_an_answer(
    how: str, page: Page, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = saying(readers.vlm, patch=monkeypatch, **MISBEHAVED[how])
    monkeypatch.setattr("dermiq.consultation.further_drafts", lambda *_: ())
    monkeypatch.setattr("dermiq.consultation.MAX_NEW_TOKENS", MOST)
    for question in (FIRST, "How is it treated?"):
        exchange = page.ask(question)
        assert (exchange.phase, exchange.error) == ("done", "")
        assert exchange.own is not None
        assert len(exchange.own.text) > 80
        assert "the the the" not in exchange.own.text
    assert len(chosen) <= 2 * MOST


@pytest.mark.fault(
    "A model misbehaves",
    where="it fails in the middle of an answer",
    seen="“The reading failed for a reason that is written in the log. Retry, or start a new case.”",
    kept="the case and its earlier answers; the same question can be asked again",
)
def test_a_model_that_fails_in_the_middle_can_be_asked_again(
    page: Page, readers: Readers, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        saying(readers.vlm, " some words of", patch, fails=True)
        failed = page.ask(FIRST)
    assert (failed.phase, failed.error) == ("failed", UNEXPECTED)
    again = page.ask(FIRST)
    assert again.phase == "done"
    assert again.text == expected


@pytest.mark.fault(
    "Memory runs out",
    where="the GPU, in the middle of an answer on the page",
    seen="“The model ran out of memory. Use a smaller model or image, or start with --load-in-4bit.”",
    kept="the case; the line of questions goes on, and the next one is answered",
)
def test_a_visitor_reads_why_and_asks_again(page: Page, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        follow, count = Session._follow, itertools.count()

        def fail(session: Session, token: int, *, room: int) -> None:
            if next(count) == 3:
                raise OUT_OF_MEMORY
            follow(session, token, room=room)

        patch.setattr(Session, "_follow", fail)
        failed = page.ask(FIRST)
    assert (failed.phase, failed.error) == ("failed", RAN_OUT)
    assert page.ask(FIRST).text == expected
