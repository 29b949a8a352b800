"""What a visitor of the consultation gives to the review: an opinion on an answer, or a corrected one. Knows no gradio.

Nothing is kept before the visitor has read what that would be and has said yes, each time anew. What is kept is a case
with the image that every model sees (the one nearest to the training data), and, of a correction, a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal
from uuid import uuid4

from markupsafe import Markup
from PIL import Image

from dermiq.errors import InputError
from dermiq.language import N_, _, said
from dermiq.review.sets.pictures import polygon
from dermiq.review.store.images import png_of, prepared
from dermiq.review.store.store import Store
from dermiq.review.types import VISITOR, Box, ImageRef, NewPair, ReviewAnswer, ReviewCase, pair_id
from dermiq.shipped import read_json
from dermiq.types import Evidence, SpecialistReading
from dermiq.ui.consult.visit import Exchange, Visit
from dermiq.ui.markup import error_line, fill, join
from dermiq.ui.review.verdicts import MAX_TEXT
from dermiq.vlm.prompts import assistant_message, follow_up_message, notable, patient_line, reasoning_messages

Kind = Literal["good", "poor", "correct"]
KINDS: dict[str, str] = {"good": N_("Good"), "poor": N_("Poor"), "correct": N_("Correct this answer")}
WHO = VISITOR
ASKED = {
    "good": N_("Keep this answer as a good one?"),
    "poor": N_("Keep this answer as a poor one?"),
    "correct": N_("Correct this answer"),
}
OPINIONS = {"good": N_("your opinion (good)"), "poor": N_("your opinion (poor)")}
STORED = N_(
    "If you agree, this is stored on the computer that runs this page: the image without its metadata, what you said "
    "of the patient, the conversation up to this answer, and {what}. Reviewers will see it, and models may be trained "
    "on it. Leave out what could identify the patient. While this case is open you can take it back: the image is "
    "deleted then, and nothing of it is shown or learned from any more; the words stay in the review’s log, which is "
    "never rewritten. Nothing is stored if you do not agree."
)
TAKEN_BACK = N_(
    "Taken back. It counts no more, the image is deleted unless something else that you gave needs it, and nobody is "
    "shown it. The words stay in the review’s log."
)
DISAGREED = N_("Nothing was stored. Tick the box if you agree, or choose “No, store nothing”.")
KEPT = {
    "good": N_("Stored for the review, as a good answer. It counts there as a vote on this answer."),
    "poor": N_("Stored for the review, as a poor answer. It counts there as a vote on this answer."),
    "correct": N_("Stored for the review: your text and the model’s are a pair there now."),
}
PAIRED = N_("With the draft before it, it is a pair there now.")


class Contributions:
    def __init__(self, store: Callable[[], Store], *, offered: bool) -> None:
        """`store` is asked for when something is to be kept. `offered`: no on a page whose review is closed."""
        self._store, self.offered = store, offered

    # --- what is shown ------------------------------------------------------------------

    def html(self, exchange: Exchange) -> Markup:
        """The buttons under an answer, or what the visitor chose of them."""
        if not self.offered:
            return Markup("")
        before = join(_kept(draft, before=True) for draft in exchange.drafts if draft.gift or draft.taken_back)
        if exchange.phase not in ("done", "stopped") or not exchange.text.strip():
            return before
        if exchange.gift:
            return before + _kept(exchange)
        back = fill('<p class="dq-fine" role="status">{b}</p>', b=_(TAKEN_BACK)) if exchange.taken_back else Markup("")
        return before + back + (_question(exchange) if exchange.opinion else _buttons(exchange.key))

    # --- what is done -------------------------------------------------------------------

    def choose(self, exchange: Exchange, kind: str) -> None:
        """Opens the question whether to keep it; an unknown kind closes it."""
        exchange.opinion, exchange.refused = (kind if kind in KINDS else ""), ""

    def keep(self, visit: Visit, exchange: Exchange, *, agreed: bool, text: str) -> None:
        """Stores what was agreed to. InputError where it was not, or where there is nothing to store."""
        if not agreed:
            raise InputError(DISAGREED)
        corrected = text.replace("\r\n", "\n").strip()[:MAX_TEXT]
        if exchange.opinion == "correct" and corrected in ("", exchange.text.strip()):
            raise InputError(N_("Nothing was changed in the answer. Change it, or choose “No, store nothing”."))
        store = self._store()
        case, images = case_of(visit, exchange)
        store.add_case(case, images, by=WHO)
        answer = _answer_of(case, exchange)
        store.add_answers([answer], by=WHO)
        told = _(KEPT[exchange.opinion])
        if exchange.opinion == "correct":
            gift = _correction(store, case, answer, corrected)
        else:
            gift = store.thumb(answer.id, up=exchange.opinion == "good", who=WHO).id
            told += f" {_(PAIRED)}" if _pair_drafts(store, case, answer, exchange.drafts) else ""
        exchange.kept, exchange.gift, exchange.opinion = told, gift, ""
        exchange.taken_back, exchange.refused = False, ""

    def take_back(self, exchange: Exchange) -> None:
        """What was kept of an answer; its image goes with it."""
        self._store().take_back(exchange.gift, by=WHO)
        exchange.gift, exchange.kept, exchange.refused, exchange.taken_back = "", "", "", True


def _correction(store: Store, case: ReviewCase, answer: ReviewAnswer, corrected: str) -> str:
    """Both texts, to be judged blind; and the correction as such, whose id this is."""
    better = ReviewAnswer.of(case.id, corrected, model="a clinician")
    _add(store, case, answer, better)
    store.add_reviewer(WHO, by=WHO)
    return store.edit(pair_id(answer.id, better.id), answer.id, corrected, reviewer=WHO, key=uuid4().hex).id


def _pair_drafts(store: Store, case: ReviewCase, answer: ReviewAnswer, drafts: Sequence[Exchange]) -> bool:
    """With the last draft before it that was kept too, where both answer the very same question."""
    before = next((draft for draft in reversed(drafts) if draft.gift), None)
    other = _answer_of(case, before) if before else None
    known = {thumb.id: thumb.answer_id for thumb in store.thumbs()}
    if before is None or other is None or other.id == answer.id or known.get(before.gift) != other.id:
        return False
    _add(store, case, answer, other)
    return True


def _add(store: Store, case: ReviewCase, one: ReviewAnswer, two: ReviewAnswer) -> None:
    """As a pair, in an order that tells nothing; the graph is asked about it as about any other."""
    first, second = sorted((one, two), key=lambda answer: answer.id)
    store.add_pairs([NewPair(case, first, second, "consultation")], by=WHO)


def _answer_of(case: ReviewCase, exchange: Exchange) -> ReviewAnswer:
    """As it was shown; a text that the program completed is not the model's alone, and says so."""
    made = exchange.answer
    model = made.model if made else ""
    return ReviewAnswer.of(
        case.id,
        exchange.text.strip(),
        model=f"{model}, completed by the program" if exchange.own else model,
        revision=made.model_revision if made else "",
    )


# --- the case ---------------------------------------------------------------------------


def case_of(visit: Visit, exchange: Exchange) -> tuple[ReviewCase, dict[str, bytes]]:
    """As `train.preferences` would have it, with the image's file by its hash."""
    asked = [e for e in visit.exchanges if e.case is not None and e.phase in ("done", "stopped")]
    turns = asked[: asked.index(exchange) + 1]
    reading = min(visit.readings, key=lambda one: one.distance)
    image, data = _file(visit, reading)
    assert exchange.case is not None  # it was asked
    case = ReviewCase.of(
        prompt_of(turns),
        exchange.question,
        images=(image,),
        boxes=(_box(reading),),
        context=patient_line(exchange.case.context),
        findings=tuple(finding.text for finding in notable(exchange.findings)),
        group=f"{WHO}:{image.sha256[:16]}",
        source="a consultation, with consent",
    )
    return case, {image.sha256: data}


def prompt_of(turns: Sequence[Exchange]) -> list[dict[str, object]]:
    """The messages that the model answered last: facts are numbered on from one question to the next."""
    first, *later = turns
    assert first.case is not None
    evidence = first.evidence or Evidence()
    messages = reasoning_messages(first.case.context, first.findings, evidence, first.question)
    for before, turn in zip(turns, later, strict=False):
        known = len((before.evidence or Evidence()).items)
        new = Evidence((turn.evidence or Evidence()).items[known:])
        messages += [assistant_message(before.text.strip()), follow_up_message(new, turn.question)]
    return [dict(message) for message in messages]


def _file(visit: Visit, reading: SpecialistReading) -> tuple[ImageRef, bytes]:
    pixels = visit.lesions[reading.image_index].pixels  # alone: no metadata
    image, data = prepared(png_of(Image.fromarray(pixels)))
    return ImageRef(image.sha256, image.width, image.height, polygon(reading.outline)), data


def _box(reading: SpecialistReading) -> Box:
    """What the models saw of the image."""
    from dermiq.specialist.reader import WEIGHTS, Calibration, window_box  # torch, which the page does not wait for

    calibration = Calibration(**read_json(WEIGHTS / "calibration.json"))
    top, left, bottom, right = window_box(
        reading.outline, extents=calibration.window, smallest=calibration.smallest_window
    )
    return left, top, right, bottom


# --- HTML -------------------------------------------------------------------------------


def _kept(exchange: Exchange, *, before: bool = False) -> Markup:
    """What is kept of an answer, or of the draft before it, and the way to take it back."""
    name = _("Take back what was kept of the draft before") if before else _("Take back")
    button = fill(
        '<button type="button" class="dq-quiet" data-event="takeback" data-index="{key}">{name}</button>',
        key=exchange.key,
        name=name,
    )
    return fill(
        '<p class="dq-fine" role="status" data-key="kept-{key}">{before}{kept}</p>{button}{error}',
        key=exchange.key,
        before=f"{_('The draft before this one:')} " if before else "",
        kept=exchange.kept if exchange.gift else _(TAKEN_BACK),
        button=fill('<p class="dq-actions">{b}</p>', b=button) if exchange.gift else "",
        error=error_line(said(exchange.refused)) if exchange.refused else "",
    )


def _buttons(key: str) -> Markup:
    buttons = Markup("").join(
        fill(
            '<button type="button" class="dq-quiet" data-event="opinion" data-index="{key}" data-text="{kind}">{name}'
            "</button>",
            key=key,
            kind=kind,
            name=_(name),
        )
        for kind, name in KINDS.items()
    )
    label = _("Your opinion of this answer")
    return fill('<p class="dq-actions" role="group" aria-label="{label}">{b}</p>', label=label, b=buttons)


def _question(exchange: Exchange) -> Markup:
    correcting = exchange.opinion == "correct"
    field = fill(
        '<textarea name="text" rows="10" maxlength="{most}" aria-label="{label}">\n{text}</textarea>',
        label=_("Corrected answer"),
        most=MAX_TEXT,
        text=exchange.text.strip(),
    )
    return fill(
        '<section class="dq-keep-it" data-fields="{key}" aria-label="{asked}"><h4 tabindex="-1" data-next>{asked}</h4>'
        "{field}<p>{stored}</p>"
        '<label class="dq-check"><input type="checkbox" name="agreed"> {agree}</label>{error}'
        '<p class="dq-go"><button type="button" class="dq-button" data-event="opinion" data-index="{key}" data-text="">'
        '{no}</button><button type="button" class="dq-button" data-event="keepanswer" data-index="{key}">'
        "{yes}</button></p></section>",
        agree=_("I may share this image and these words, and I agree that they are stored and used as said."),
        no=_("No, store nothing"),
        yes=_("Store it"),
        key=exchange.key,
        asked=_(ASKED[exchange.opinion]),
        field=field if correcting else "",
        stored=_(STORED).format(what=_("both texts") if correcting else _(OPINIONS[exchange.opinion])),
        error=error_line(said(exchange.refused)) if exchange.refused else "",
    )
