"""One example of `dermiq.files.examples` as a pair to review. Knows no store and no file.

Columns: prompt, chosen, rejected (text or turns), images; if any: boxes, margin, decided_by, reasons, scores, made,
models, question, context, findings, group (or patient_id, lesion_id), split, diagnosis, source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dermiq.errors import DataError
from dermiq.files.columns import patient_in
from dermiq.files.examples import Turns, messages, places_of, text_of
from dermiq.review.types import (
    Box,
    ImageRef,
    NewPair,
    PairSource,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    Side,
    other,
)
from dermiq.types import Fields

Row = Fields
ANSWERS = ("chosen", "rejected")
LINES = {"question": "Question: ", "context": "Patient: ", "findings": "Measured: "}
"""How a prompt of `dermiq.vlm.prompts` says what the page shows by itself."""

UNTOLD = ("not told.", "nothing.")
"""How it says that there is nothing to say."""


def pair_of(row: Row, image: Callable[[object], ImageRef], *, source: str = "", gold: bool = False) -> NewPair:
    """The pair, with its answers in an order that does not tell which was chosen. DataError with what is wrong.

    `image` reads one entry of `images`. Without `gold` nobody is told which one the file prefers, unless it is the
    graph that prefers (`scores`): that becomes the proxy's verdict. With it, the chosen one is the known answer.
    """
    images = tuple(image(value) for value in row["images"])
    prompt = _with_places(messages(row["prompt"], "user"), len(images))
    texts = [text_of(messages(row[name], "assistant")).strip() for name in ANSWERS]
    case = ReviewCase.of(
        prompt,
        _told(row, prompt, "question") or text_of(prompt[-1:]).strip(),
        images=images,
        boxes=_boxes(row, images),
        context=_told(row, prompt, "context"),
        diagnosis=_word(row, "diagnosis") or None,
        findings=_findings(row, prompt),
        group=str(patient_in(row) or ""),
        split="val" if row.get("split") == "val" else "train",
        source=_word(row, "source") or source,
    )
    answers = [_answer(row, case, name, text) for name, text in zip(ANSWERS, texts, strict=True)]
    first, second = sorted(answers, key=lambda answer: answer.id)  # by what they say, whichever was chosen
    better: Side = "first" if first is answers[0] else "second"
    proxy = _proxy(row, better)
    return NewPair(case, first, second, _source(row, proxy), proxy=proxy, gold=better if gold else None)


def _is(value: object) -> bool:
    """A table has nan where a row has nothing."""
    return value is not None and value != "" and value == value


def _word(row: Row, name: str) -> str:
    return str(row[name]) if _is(row.get(name)) else ""


# --- texts ------------------------------------------------------------------------------


def _with_places(prompt: Turns, images: int) -> Turns:
    """Images that have no place go to the first user turn."""
    if not places_of(prompt):
        first = next(turn for turn in prompt if turn["role"] == "user")
        first["content"][:0] = [{"type": "image"}] * images
    return prompt


def _told(row: Row, prompt: Turns, name: str) -> str:
    """The column, else the line of the prompt that says it: the last question, the first of what is known."""
    if _is(row.get(name)):
        return str(row[name])
    lines = [line for turn in prompt if turn["role"] == "user" for line in text_of([turn]).splitlines()]
    said = [line.removeprefix(LINES[name]) for line in lines if line.startswith(LINES[name])]
    told = said[-1 if name == "question" else 0] if said else ""
    return "" if told in UNTOLD else told


def _findings(row: Row, prompt: Turns) -> tuple[str, ...]:
    told = row.get("findings")
    if isinstance(told, Sequence) and not isinstance(told, str):
        return tuple(map(str, told))
    line = _told(row, prompt, "findings").rstrip(".")
    return tuple(part.strip() for part in line.split(";")) if line else ()


def _answer(row: Row, case: ReviewCase, name: str, text: str) -> ReviewAnswer:
    models, made = row.get("models"), row.get("made")
    own = models.get(name) if isinstance(models, Mapping) else made
    own = own if isinstance(own, Mapping) else {}
    return ReviewAnswer.of(case.id, text, model=_word(own, "model"), revision=_word(own, "revision"))


# --- images -----------------------------------------------------------------------------


def _boxes(row: Row, images: Sequence[ImageRef]) -> tuple[Box | None, ...]:
    """Of a file: top, left, bottom, right; of a case: left, top, right, bottom."""
    return tuple(_box(box, image) for box, image in zip(row.get("boxes") or (), images, strict=False))


def _box(box: list[int] | None, image: ImageRef) -> Box | None:
    if box is None:
        return None
    top, left, bottom, right = box
    if top >= image.height or left >= image.width:
        raise DataError(f"the box {box} holds nothing of an image of {image.width} x {image.height} pixels.")
    return left, top, right, bottom


# --- what prefers -----------------------------------------------------------------------


def _proxy(row: Row, better: Side) -> Proxy | None:
    """The graph's verdict, where the line says by its scores that it was the graph's."""
    scores, margin = row.get("scores"), row.get("margin")
    if not isinstance(scores, Mapping) or not _is(margin):
        return None
    if not all(isinstance(scores.get(name), Mapping) for name in ANSWERS):
        raise DataError("scores must hold those of chosen and of rejected.")
    reasons = row.get("reasons")
    return Proxy(
        prefers=better,
        margin=float(row["margin"]),
        decided_by=_word(row, "decided_by"),
        reasons=tuple(map(str, reasons)) if isinstance(reasons, (list, tuple)) else (),
        scores={better: dict(scores["chosen"]), other(better): dict(scores["rejected"])},
    )


def _source(row: Row, proxy: Proxy | None) -> PairSource:
    if isinstance(row.get("models"), Mapping):
        return "checkpoints"
    return "proxy" if proxy else "import"
