"""What a visitor of the consultation gives to the review: an opinion on an answer, or a corrected one. Knows no gradio.

Nothing is kept before the visitor has read what that would be and has said yes, each time anew. What is kept is a case
with the image that every model sees (the one nearest to the training data), and, of a correction, a pair.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal

from markupsafe import Markup
from PIL import Image

from dermiq.errors import InputError
from dermiq.review.images import prepared
from dermiq.review.pictures import polygon
from dermiq.review.store import Store
from dermiq.review.types import Box, ImageRef, ReviewAnswer, ReviewCase
from dermiq.shipped import read_json
from dermiq.types import Evidence, SpecialistReading
from dermiq.ui.markup import error_line, fill
from dermiq.ui.review.verdicts import MAX_TEXT
from dermiq.ui.visit import Exchange, Visit
from dermiq.vlm.prompts import assistant_message, follow_up_message, notable, patient_line, reasoning_messages

Kind = Literal["good", "poor", "correct"]
KINDS: dict[str, str] = {"good": "Good", "poor": "Poor", "correct": "Correct this answer"}
WHO = "consultation"
ASKED = {
    "good": "Keep this answer as a good one?",
    "poor": "Keep this answer as a poor one?",
    "correct": "Correct this answer",
}
STORED = (
    "If you agree, this is stored on the computer that runs this page until somebody deletes it there: the image "
    "without its metadata, what you said of the patient, the conversation up to this answer, and {what}. Reviewers "
    "will see it, and models may be trained on it. Leave out what could identify the patient. Nothing is stored if you "
    "do not agree."
)
DISAGREED = "Nothing was stored. Tick the box if you agree, or choose “No, store nothing”."
KEPT = {
    "good": "Stored for the review, as a good answer.",
    "poor": "Stored for the review, as a poor answer.",
    "correct": "Stored for the review: your text and the model’s are a pair there now.",
}


class Contributions:
    def __init__(self, store: Callable[[], Store], *, offered: bool) -> None:
        """`store` is asked for when something is to be kept. `offered`: no on a page whose review is closed."""
        self._store, self.offered = store, offered

    # --- what is shown ------------------------------------------------------------------

    def html(self, exchange: Exchange) -> Markup:
        """The buttons under an answer, or what the visitor chose of them."""
        if not self.offered or exchange.phase not in ("done", "stopped") or not exchange.text.strip():
            return Markup("")
        if exchange.kept:
            return fill('<p class="dq-fine" role="status">{kept}</p>', kept=exchange.kept)
        return _question(exchange) if exchange.opinion else _buttons(exchange.key)

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
            raise InputError("Nothing was changed in the answer. Change it, or choose “No, store nothing”.")
        store = self._store()
        case, images = case_of(visit, exchange)
        store.add_case(case, images, by=WHO)
        answer = _answer_of(case, exchange)
        store.add_answers([answer], by=WHO)
        if exchange.opinion == "correct":
            _pair(store, case, answer, corrected)
        else:
            store.thumb(answer.id, up=exchange.opinion == "good", who=WHO)
        exchange.kept, exchange.opinion = KEPT[exchange.opinion], ""


def _pair(store: Store, case: ReviewCase, answer: ReviewAnswer, corrected: str) -> None:
    """Both texts, to be judged blind; and the correction as such."""
    better = ReviewAnswer.of(case.id, corrected, model="a clinician")
    store.add_answers([better], by=WHO)
    first, second = sorted((answer.id, better.id))  # the order tells nothing
    pair, was_new = store.add_pair(first, second, "consultation", by=WHO)
    if was_new:
        store.add_reviewer(WHO, by=WHO)
        store.edit(pair.id, answer.id, corrected, reviewer=WHO, key=f"{WHO} {pair.id}")


def _answer_of(case: ReviewCase, exchange: Exchange) -> ReviewAnswer:
    made = exchange.answer
    return ReviewAnswer.of(
        case.id,
        exchange.text.strip(),
        model=made.model if made else "",
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
    out = io.BytesIO()
    Image.fromarray(visit.lesions[reading.image_index].pixels).save(out, "PNG")  # pixels alone: no metadata
    image, data = prepared(out.getvalue())
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


def _buttons(key: str) -> Markup:
    buttons = Markup("").join(
        fill(
            '<button type="button" class="dq-quiet" data-event="opinion" data-index="{key}" data-text="{kind}">{name}'
            "</button>",
            key=key,
            kind=kind,
            name=name,
        )
        for kind, name in KINDS.items()
    )
    return fill('<p class="dq-actions" role="group" aria-label="Your opinion of this answer">{b}</p>', b=buttons)


def _question(exchange: Exchange) -> Markup:
    correcting = exchange.opinion == "correct"
    field = fill(
        '<textarea name="text" rows="10" maxlength="{most}" aria-label="Corrected answer">\n{text}</textarea>',
        most=MAX_TEXT,
        text=exchange.text.strip(),
    )
    return fill(
        '<section class="dq-keep-it" data-fields="{key}" aria-label="{asked}"><h4>{asked}</h4>{field}<p>{stored}</p>'
        '<label class="dq-check"><input type="checkbox" name="agreed"> I may share this image and these words, and I '
        "agree that they are stored and used as said.</label>{error}"
        '<p class="dq-go"><button type="button" class="dq-button" data-event="opinion" data-index="{key}" data-text="">'
        'No, store nothing</button><button type="button" class="dq-button" data-event="keepanswer" data-index="{key}">'
        "Store it</button></p></section>",
        key=exchange.key,
        asked=ASKED[exchange.opinion],
        field=field if correcting else "",
        stored=STORED.format(what="both texts" if correcting else f"your opinion ({exchange.opinion})"),
        error=error_line(exchange.refused) if exchange.refused else "",
    )
