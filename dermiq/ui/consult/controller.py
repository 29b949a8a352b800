"""The Consult tab's behaviour: what a visitor does, and events, become frames of the page.

Translates and nothing else: it measures nothing, decides no diagnosis, and knows no gradio.
A `Frame` names what changed; `None` means "as it was".
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from markupsafe import Markup
from PIL import Image

from dermiq.errors import DermIQError, ImageError, InputError
from dermiq.knowledge.language.citation import cited
from dermiq.language import N_, _, ngettext, said
from dermiq.places import data_folder
from dermiq.review.store.images import png_of
from dermiq.review.store.store import Store
from dermiq.types import (
    AnswerDone,
    ClaimsChecked,
    DifferentialRead,
    Event,
    Events,
    EvidenceFound,
    ImagesRead,
    QuestionUnderstood,
    TextDelta,
    TextSettled,
    Waiting,
)
from dermiq.ui.consult import asked as asked_html
from dermiq.ui.consult import chat as chat_html
from dermiq.ui.consult import panels as panel_html
from dermiq.ui.consult import viewer as viewer_html
from dermiq.ui.consult.panels import leading_code
from dermiq.ui.consult.similar import thumbnail_in
from dermiq.ui.consult.viewer import Example, Heat, Layer
from dermiq.ui.consult.visit import Exchange, Visit
from dermiq.ui.markup import data_url
from dermiq.ui.protocol import Consultant
from dermiq.ui.review.contribute import Contributions

log = logging.getLogger(__name__)

MAX_IMAGES = 6
MAX_QUESTION = 2000  # characters
FRAME_SECONDS = 0.07  # at most this often while text streams
LOADING_S = 0.5  # between two looks at whether the models are loaded
_BUSY_WORDS = (
    "loading",
    "downloading",
    "fetching",
    "converting",
    "starting",
    "waiting",
    "preparing",
    "checking",
    "ready",
)
UNEXPECTED = N_("The reading failed for a reason that is written in the log. Retry, or start a new case.")


@dataclass(frozen=True)
class Frame:
    viewer: Markup | None = None
    chat: Markup | None = None
    suggestions: Markup | None = None
    panels: Markup | None = None
    urgency: Markup | None = None
    running: bool | None = None
    reportable: bool | None = None
    clear_question: bool = False


class ConsultController:
    """One for all visitors; everything that belongs to one of them is in their `Visit`."""

    def __init__(
        self,
        consultant: Consultant,
        examples: Sequence[tuple[str, np.ndarray]] = (),
        *,
        name: Callable[[str], str] = str,
        contributions: Contributions | None = None,
    ) -> None:
        """`name`: what the page calls a node of the graph. `contributions`: where opinions on answers go."""
        self.consultant = consultant
        self.name = name
        self.contributions = contributions or Contributions(_no_store, offered=False)
        self.drawn = tuple(examples)
        self.examples = tuple(Example(_title(title), data_url(pixels, longest=160)) for title, pixels in self.drawn)

    # --- whole pictures of the page -----------------------------------------------------

    def viewer(self, visit: Visit) -> Markup:
        if not visit.lesions:
            return viewer_html.empty(self.examples, visit.errors)
        preview = visit.preview
        return viewer_html.viewer(
            visit.lesions,
            visit.pictures,
            current=visit.current,
            layer=visit.layer,
            readings=visit.readings,
            heat=visit.heat,
            maps=visit.maps,
            drawing=visit.drawing,
            abstention=preview.abstention if preview and not visit.exchanges else None,
            errors=visit.errors,
        )

    def chat(self, visit: Visit) -> Markup:
        return chat_html.chat(
            visit.exchanges,
            has_image=bool(visit.lesions),
            reader=self.consultant.name,
            name=self.name,
            after=self.contributions.html,
        )

    def panels(self, visit: Visit) -> Markup:
        shown = visit.shown
        if shown is None:
            return panel_html.panels((), (), None)
        mended = (number for claim in shown.claims for number in claim.mended)
        return panel_html.panels(
            shown.differentials,
            shown.findings,
            shown.evidence,
            key=shown.key,
            cited=(*cited(shown.text), *mended),
            abstained=shown.abstention is not None,
            reading=shown.phase in {"reading", "writing"},
            name=self.name,
            similar=next((r.similar for r in visit.readings if r.image_index == visit.current), ()),
            thumbnail=partial(thumbnail_in, data_folder()),
        )

    def frame(self, visit: Visit, *, clear_question: bool = False) -> Frame:
        """The whole page as the visit stands."""
        return Frame(
            viewer=self.viewer(visit),
            chat=self.chat(visit),
            suggestions=chat_html.suggestions(visit.exchanges, has_image=bool(visit.lesions)),
            panels=self.panels(visit),
            urgency=panel_html.urgency_line(visit.shown.urgency if visit.shown else None),
            running=visit.running,
            reportable=any(e.answer for e in visit.exchanges),
            clear_question=clear_question,
        )

    # --- images -------------------------------------------------------------------------

    def add_images(self, visit: Visit, files: Sequence[bytes], *, drawing: bool = False) -> Iterator[Frame]:
        """Read files into the case; then let the specialist read what is there."""
        errors = []
        for data in files:
            if len(visit.lesions) >= MAX_IMAGES:
                errors.append(_("A case holds at most {n} images. Remove one first.").format(n=MAX_IMAGES))
                break
            try:
                lesion = self.consultant.read_image(data, view="unknown", taken=None)
            except ImageError as error:
                log.info("image refused: %s", error.detail or error)
                errors.append(said(error))
                continue
            except Exception:
                log.exception("reading an image failed")
                errors.append(_("This file could not be read. Try another image."))
                continue
            visit.drawing = drawing if not visit.lesions else visit.drawing and drawing
            visit.add(lesion, data_url(lesion.pixels))
        visit.errors = tuple(errors)
        yield self.frame(visit)
        yield from self.preview(visit)

    def add_example(self, visit: Visit, index: int) -> Iterator[Frame]:
        if not 0 <= index < len(self.drawn):
            return
        yield from self.add_images(visit, [png_of(Image.fromarray(self.drawn[index][1]))], drawing=True)

    def preview(self, visit: Visit) -> Iterator[Frame]:
        """Outline, findings and the specialist's bars before any question is asked, once the models are loaded."""
        uploaded = list(visit.lesions)
        while uploaded and not visit.running and visit.lesions == uploaded and is_loading(self.consultant):
            time.sleep(LOADING_S)
        if not visit.lesions or visit.lesions != uploaded or visit.running or not self.consultant.ready():
            return
        session = f"{visit.session_id}-preview"
        exchange = Exchange("", key="0")
        before = list(visit.lesions)
        try:
            case = visit.case(chat_html.QUESTIONS[0])
            with closing(self.consultant.assess(case, stop=threading.Event(), session_id=session)) as events:
                read = next((e for e in events if isinstance(e, ImagesRead)), None)
        except DermIQError as error:
            visit.errors = (*visit.errors, said(error))
            read = None
        except Exception:
            log.exception("the preview failed")
            visit.errors = (*visit.errors, _(UNEXPECTED))
            read = None
        finally:
            self.consultant.forget(session)
        if visit.running or visit.lesions != before:
            return  # asked, or changed, in the meantime: newer frames are on their way
        if read is not None:
            self._images_read(visit, exchange, read)
            visit.preview = replace(exchange, phase="done")
        yield self.frame(visit)

    def describe(self, visit: Visit, index: int, *, view: str | None = None, taken: str | None = None) -> Frame:
        if view is None or view in {v for v, _ in viewer_html.VIEWS}:
            visit.describe(index, view=view, taken=taken if taken in {"", *viewer_html.TIMES} else None)
        return Frame(viewer=self.viewer(visit))

    def remove(self, visit: Visit, index: int) -> Iterator[Frame]:
        visit.remove(index)
        visit.errors = ()
        yield self.frame(visit)
        yield from self.preview(visit)

    def show(self, visit: Visit, index: int) -> Frame:
        if 0 <= index < len(visit.lesions):
            visit.current, visit.heat, visit.maps = index, None, None
            if visit.layer in ("heatmap", "structures"):
                visit.layer = "outline"
        return Frame(viewer=self.viewer(visit), panels=self.panels(visit))

    def set_layer(self, visit: Visit, layer: Layer) -> Frame:
        """Switch what lies over the image; the heatmap is computed when it is first asked for."""
        if layer not in viewer_html.LAYERS or not visit.lesions:
            return Frame()
        visit.layer = layer
        shown, lesion = visit.shown, visit.lesions[visit.current]
        code = leading_code(shown.differentials) if shown else None
        reading = next((r for r in visit.readings if r.image_index == visit.current), None)
        try:
            if layer == "heatmap" and code and (visit.heat is None or visit.heat.code != code):
                visit.heat = Heat(self.consultant.heatmap(lesion, code), code)
            if layer == "structures" and reading is not None and visit.maps is None:
                visit.maps = self.consultant.structures(lesion, reading)
        except DermIQError as error:
            visit.errors, visit.layer = (said(error),), "outline"
        return Frame(viewer=self.viewer(visit))

    # --- questions ----------------------------------------------------------------------

    def ask(
        self,
        visit: Visit,
        question: str,
        *,
        insisted: bool = False,
        drafts: tuple[Exchange, ...] = (),
        intent: str = "",
        anew: bool = False,
    ) -> Iterator[Frame]:
        """One question; the frames follow the events until the answer is done, stopped or refused.

        `intent`: what the visitor says it means. `anew`: no answer of before will do.
        """
        question = " ".join(question.split())[:MAX_QUESTION] or chat_html.QUESTIONS[0]
        if visit.running:
            return
        if not visit.lesions:
            yield self.refuse(visit, _("Add an image of the lesion first: drop it here, or choose a drawing."))
            return
        visit.errors = ()
        case = visit.case(question, intent=intent, anew=anew)
        visit.insisted = visit.insisted or insisted  # said once for these images, not before every question
        exchange = visit.open(case, insisted=visit.insisted)
        exchange.drafts = drafts
        self._carry(visit, exchange)
        stop, session = visit.stop, visit.session_id
        exchange.started = time.monotonic()
        yield self.frame(visit, clear_question=True)
        try:
            yield from self._wait(visit, exchange, stop)
            if exchange.phase == "waiting" and not stop.is_set():
                exchange.phase = "reading"
                yield self.frame(visit)
                with closing(self.consultant.assess(case, stop=stop, session_id=session)) as events:
                    yield from self._follow(visit, exchange, events)
        except DermIQError as error:
            log.warning("%s (%s)", error, error.detail)
            exchange.phase, exchange.error = "failed", str(error)
        except Exception:
            log.exception("an answer failed")
            exchange.phase, exchange.error = "failed", UNEXPECTED
        if exchange.phase in {"waiting", "reading", "writing"}:
            exchange.phase = "stopped" if stop.is_set() else "done"
        if exchange in visit.exchanges:  # a new case may have begun meanwhile
            yield self.frame(visit)

    def refuse(self, visit: Visit, message: str) -> Frame:
        """Say beside the image and the patient's fields what is missing or wrong there."""
        visit.errors = (message,)
        return self.frame(visit)

    def _carry(self, visit: Visit, exchange: Exchange) -> None:
        """A follow-up starts with what is known already, so that the panels keep their content."""
        earlier = visit.exchanges[-2] if len(visit.exchanges) > 1 else visit.preview
        if earlier is not None:
            exchange.differentials, exchange.findings = earlier.differentials, earlier.findings
            exchange.evidence, exchange.urgency = earlier.evidence, earlier.urgency

    def _wait(self, visit: Visit, exchange: Exchange, stop: threading.Event) -> Iterator[Frame]:
        """Until the model is ready, or said why it never will be, or the visitor gave up."""
        while not self.consultant.ready() and not stop.is_set():
            status = self.consultant.status()
            if not is_loading(self.consultant):
                exchange.phase, exchange.error = "failed", status
                return
            note = _("The model is not ready yet: {status} Your question is kept.").format(status=said(status))
            if note != exchange.note and exchange in visit.exchanges:
                exchange.note = note
                yield Frame(chat=self.chat(visit))
            stop.wait(0.5)

    def _follow(self, visit: Visit, exchange: Exchange, events: Events) -> Iterator[Frame]:
        drawn = 0.0
        for event in events:
            if exchange not in visit.exchanges:
                return
            self._take(visit, exchange, event)
            if isinstance(event, ImagesRead) and event.abstention and not exchange.insisted:
                exchange.phase = "abstained"
                return
            if isinstance(event, TextDelta):
                if time.monotonic() - drawn >= FRAME_SECONDS:
                    drawn = time.monotonic()
                    yield Frame(chat=self.chat(visit))
            else:
                yield self._frame_after(visit, event)

    def _take(self, visit: Visit, exchange: Exchange, event: Event) -> None:
        if isinstance(event, ImagesRead):
            self._images_read(visit, exchange, event)
        elif isinstance(event, QuestionUnderstood):
            exchange.understood = event
        elif isinstance(event, Waiting):
            exchange.phase, exchange.note = ("waiting", in_line(event.ahead)) if event.ahead else ("reading", "")
        elif isinstance(event, DifferentialRead):
            exchange.differentials = (*(d for d in exchange.differentials if d.reader != "vlm"), event.differential)
        elif isinstance(event, EvidenceFound):
            exchange.evidence, exchange.urgency = event.evidence, event.urgency
        elif isinstance(event, TextDelta):
            exchange.phase = "writing"
            exchange.text += event.text
            if exchange.reasoned is None and "</think>" in exchange.text:
                exchange.reasoned = time.monotonic() - exchange.started
        elif isinstance(event, TextSettled):
            exchange.phase = "writing"
            exchange.text, exchange.own, exchange.evidence = event.text, event.own, event.evidence
        elif isinstance(event, ClaimsChecked):
            exchange.claims, exchange.checks = event.claims, event.checks
        elif isinstance(event, AnswerDone):
            _take_answer(exchange, event)

    def _images_read(self, visit: Visit, exchange: Exchange, event: ImagesRead) -> None:
        visit.readings = event.readings
        exchange.findings = tuple(f for r in event.readings for f in r.findings)
        kept = tuple(d for d in exchange.differentials if d.reader != "specialist")
        exchange.differentials = (*kept, event.differential)
        exchange.abstention, exchange.notes = event.abstention, event.notes

    def _frame_after(self, visit: Visit, event: Event) -> Frame:
        """Only what the event can have changed."""
        if isinstance(event, ImagesRead):
            return Frame(viewer=self.viewer(visit), panels=self.panels(visit), chat=self.chat(visit))
        if isinstance(event, EvidenceFound):
            urgency = panel_html.urgency_line(event.urgency)
            return Frame(panels=self.panels(visit), urgency=urgency, chat=self.chat(visit))  # the chat holds the cards
        if isinstance(event, QuestionUnderstood):
            return Frame(chat=self.chat(visit))
        if isinstance(event, DifferentialRead):
            return Frame(panels=self.panels(visit))
        return Frame(chat=self.chat(visit), panels=self.panels(visit))

    def insist(self, visit: Visit) -> Iterator[Frame]:
        """Ask the question that was met with an abstention all the same."""
        if visit.exchanges and visit.exchanges[-1].phase == "abstained":
            refused = visit.exchanges.pop()
            yield from self.ask(visit, refused.question, insisted=True)

    def retry(self, visit: Visit) -> Iterator[Frame]:
        if visit.exchanges and not visit.running:
            last = visit.exchanges.pop()
            drafts = (*last.drafts, *([last] if last.gift else ()))
            intent = last.case.intent if last.case else ""
            yield from self.ask(visit, last.question, insisted=last.insisted, drafts=drafts, intent=intent, anew=True)

    def understand(self, visit: Visit, key: str, intent: str) -> Iterator[Frame]:
        """Ask the last question again, as the visitor says that it is meant."""
        last = visit.exchanges[-1] if visit.exchanges else None
        if last is None or visit.running or last.key != key or intent not in asked_html.INTENTS:
            yield Frame(chat=self.chat(visit))
            return
        visit.exchanges.pop()
        yield from self.ask(visit, last.question, insisted=last.insisted, intent=intent)

    def check_image(self, visit: Visit) -> Iterator[Frame]:
        """Does the answer depend on the image? Asked again with the image blanked."""
        if not visit.exchanges or visit.exchanges[-1].phase != "done" or visit.exchanges[-1].checking_image:
            return
        exchange = visit.exchanges[-1]
        exchange.checking_image = True
        yield Frame(chat=self.chat(visit))
        with _saying(exchange, "error", N_("The check with the image blanked failed; the log has the reason.")):
            assert exchange.case is not None  # it was asked
            check = self.consultant.image_check(exchange.case)
            exchange.checks = (*exchange.checks, check)
            if exchange.answer:
                exchange.answer = replace(exchange.answer, checks=exchange.checks)
        exchange.checking_image = False
        if exchange in visit.exchanges:
            yield Frame(chat=self.chat(visit))

    def opinion(self, visit: Visit, key: str, kind: str) -> Frame:
        """Of one answer: asks whether it may be kept for the review, or, with no kind, no longer asks."""
        exchange = _found(visit, key)
        if exchange is not None:
            self.contributions.choose(exchange, kind)
        return Frame(chat=self.chat(visit))

    def keep(self, visit: Visit, key: str, *, agreed: bool, text: str) -> Frame:
        """Gives an answer to the review, if the visitor agreed."""
        exchange = _found(visit, key)
        if exchange is not None and exchange.opinion:
            with _saying(exchange, "refused", N_("It was not stored; the log has the reason.")):
                self.contributions.keep(visit, exchange, agreed=agreed, text=text)
        return Frame(chat=self.chat(visit))

    def take_back(self, visit: Visit, key: str) -> Frame:
        """What was given to the review of an answer, or of the draft before it."""
        exchange = _found(visit, key)
        if exchange is not None and exchange.gift:
            with _saying(exchange, "refused", N_("It was not taken back; the log has the reason.")):
                self.contributions.take_back(exchange)
        return Frame(chat=self.chat(visit))

    def stop(self, visit: Visit) -> None:
        visit.stop.set()

    def new_case(self, visit: Visit) -> Frame:
        self.close(visit)
        return self.frame(visit, clear_question=True)

    def close(self, visit: Visit) -> None:
        """Stop, and forget everything of this visit, here and in the model's cache."""
        self.consultant.forget(visit.reset())


@contextmanager
def _saying(exchange: Exchange, field: Literal["error", "refused"], unforeseen: str) -> Iterator[None]:
    """Whatever goes wrong is said beside the exchange; what nobody foresaw in these words, and logged."""
    try:
        yield
    except DermIQError as error:
        setattr(exchange, field, str(error))
    except Exception:
        log.exception(unforeseen)
        setattr(exchange, field, unforeseen)


def _found(visit: Visit, key: str) -> Exchange | None:
    every = (one for exchange in visit.exchanges for one in (exchange, *exchange.drafts))
    return next((exchange for exchange in every if exchange.key == key), None)


def _no_store() -> Store:
    raise InputError(N_("This page keeps nothing for the review."))


def _take_answer(exchange: Exchange, event: AnswerDone) -> None:
    answer = event.answer
    exchange.answer, exchange.text, exchange.own = answer, answer.text or exchange.text, answer.own
    exchange.before = event.kept
    exchange.evidence, exchange.urgency = answer.evidence, answer.urgency
    exchange.claims, exchange.checks = answer.claims, answer.checks
    exchange.differentials, exchange.findings = answer.differentials, answer.findings
    exchange.abstention, exchange.notes = answer.abstention, answer.notes
    exchange.phase = "stopped" if answer.stopped else "done"


def in_line(ahead: int) -> str:
    """A visitor's place, in words."""
    return ngettext(
        "One question is answered before yours. They are answered in the order in which they came.",
        "{n} questions are answered before yours. They are answered in the order in which they came.",
        ahead,
    ).format(n=ahead)


def is_loading(consultant: Consultant) -> bool:
    """Whether the model is still on its way; False once it is ready, and also once it has failed."""
    return not consultant.ready() and consultant.status().lower().startswith(_BUSY_WORDS)


def _title(title: str) -> str:
    """A drawing's title without the word that its badge says."""
    said = title.removeprefix("Drawing: ")
    return said[:1].upper() + said[1:]
