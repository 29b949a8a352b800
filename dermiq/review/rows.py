"""One example of a file in TRL's columns for DPO, as a pair to review. Knows no store and no file.

Columns: prompt (text or messages; may be missing where chosen and rejected both begin with it), chosen, rejected (text
or turns); if any: images or image, boxes, margin, decided_by, reasons, scores, made, models, question, context,
findings, group (or patient_id, lesion_id), split, diagnosis, source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dermiq.errors import DataError
from dermiq.review.types import (
    Box,
    ImageRef,
    Message,
    NewPair,
    PairSource,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    Side,
    other,
)

Row = Mapping[str, Any]
Turns = list[dict[str, Any]]
ANSWERS = ("chosen", "rejected")
GROUPS = ("group", "patient_id", "lesion_id")  # the coarsest first, as `train.cases` has it
LINES = {"question": "Question: ", "context": "Patient: ", "findings": "Measured: "}
"""How a prompt of `dermiq.vlm.prompts` says what the page shows by itself."""

UNTOLD = ("not told.", "nothing.")
"""How it says that there is nothing to say."""


def pair_of(row: Row, image: Callable[[Any], ImageRef], *, source: str = "", gold: bool = False) -> NewPair:
    """The pair, with its answers in an order that does not tell which was chosen. DataError with what is wrong.

    `image` reads one entry of `images`. Without `gold` nobody is told which one the file prefers, unless it is the
    graph that prefers (`scores`): that becomes the proxy's verdict. With it, the chosen one is the known answer.
    """
    prompt, chosen, rejected = _texts(row)
    images = tuple(image(value) for value in _images(row))
    prompt = _with_places(prompt, len(images))
    case = ReviewCase.of(
        prompt,
        _told(row, prompt, "question") or _text(prompt[-1:]).strip(),
        images=images,
        boxes=_boxes(row, images),
        context=_told(row, prompt, "context"),
        diagnosis=_word(row, "diagnosis") or None,
        findings=_findings(row, prompt),
        group=next((str(row[name]) for name in GROUPS if _is(row.get(name))), ""),
        split="val" if row.get("split") in ("val", "validation") else "train",
        source=_word(row, "source") or source,
    )
    answers = [_answer(row, case, name, text) for name, text in zip(ANSWERS, (chosen, rejected), strict=True)]
    first, second = sorted(answers, key=lambda answer: answer.id)  # by what they say, whichever was chosen
    better: Side = "first" if first is answers[0] else "second"
    proxy = _proxy(row, better)
    return NewPair(case, first, second, _source(row, proxy), proxy=proxy, gold=better if gold else None)


def _is(value: Any) -> bool:
    """A table has nan where a row has nothing."""
    return value is not None and value != "" and value == value


def _word(row: Row, name: str) -> str:
    return str(row[name]) if _is(row.get(name)) else ""


# --- texts ------------------------------------------------------------------------------


def _texts(row: Row) -> tuple[Turns, str, str]:
    """The prompt's turns, and both answers."""
    missing = [name for name in ANSWERS if not _is(row.get(name))]
    if missing:
        raise DataError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    answers = [_turns(row[name], "assistant") for name in ANSWERS]
    prompt = _turns(row["prompt"], "user") if _is(row.get("prompt")) else _common(*answers)
    if not _is(row.get("prompt")):
        answers = [turns[len(prompt) :] for turns in answers]
    if not prompt or prompt[-1]["role"] != "user" or not _text(prompt).strip():
        raise DataError("the prompt does not end with a user's turn.")
    if any([turn["role"] for turn in turns] != ["assistant"] for turns in answers):
        raise DataError("chosen or rejected is not one turn of the assistant.")
    chosen, rejected = (_text(turns).strip() for turns in answers)
    if not chosen or not rejected:
        raise DataError(f"{'rejected' if chosen else 'chosen'} is empty.")
    if chosen == rejected:
        raise DataError("chosen and rejected are the same text.")
    return prompt, chosen, rejected


def _turns(value: Any, role: str) -> Turns:
    """Text, or messages with content as text or parts; parts without what is empty, as tables fill them up."""
    if isinstance(value, str):
        return [{"role": role, "content": [{"type": "text", "text": value}]}]
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) and "role" in turn for turn in value):
        raise DataError("prompt, chosen and rejected must be texts or lists of messages with role and content.")
    return [{"role": str(turn["role"]), "content": _parts(turn.get("content"))} for turn in value]


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, Sequence) or not all(isinstance(part, Mapping) for part in content):
        raise DataError("the content of a message must be text or a list of parts.")
    return [_part(part) for part in content]


def _part(part: Row) -> dict[str, Any]:
    if part.get("type") == "image":
        return {"type": "image"}
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    raise DataError(f"a message holds a part of type {part.get('type')!r}; text and image are known.")


def _common(one: Turns, two: Turns) -> Turns:
    """The turns with which both begin, without a last one of the assistant."""
    count = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return one[: min(count, len(one) - 1, len(two) - 1)]


def _text(turns: Sequence[Message]) -> str:
    return "".join(part.get("text", "") for turn in turns for part in turn["content"])


def _with_places(prompt: Turns, images: int) -> Turns:
    """Images that have no place go to the first user turn."""
    places = sum(part["type"] == "image" for turn in prompt for part in turn["content"])
    if not places:
        first = next(turn for turn in prompt if turn["role"] == "user")
        first["content"][:0] = [{"type": "image"}] * images
    elif places != images:
        raise DataError(f"there are {images} image(s), but the prompt has {places} place(s) for them.")
    return prompt


def _told(row: Row, prompt: Turns, name: str) -> str:
    """The column, else the line of the prompt that says it: the last question, the first of what is known."""
    if _is(row.get(name)):
        return str(row[name])
    lines = [line for turn in prompt if turn["role"] == "user" for line in _text([turn]).splitlines()]
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


def _images(row: Row) -> Sequence[Any]:
    found = row.get("images") if _is_some(row.get("images")) else row.get("image")
    if not _is_some(found):
        return ()
    return found if isinstance(found, (list, tuple)) else (found,)


def _is_some(value: Any) -> bool:
    return value is not None and not (isinstance(value, (str, float, list, tuple)) and (not value or value != value))


def _boxes(row: Row, images: Sequence[ImageRef]) -> tuple[Box | None, ...]:
    """Of a file: top, left, bottom, right; of a case: left, top, right, bottom."""
    boxes = row.get("boxes")
    if not _is_some(boxes):
        return ()
    if not isinstance(boxes, (list, tuple)) or len(boxes) != len(images):
        raise DataError("boxes must hold, for each image, null or [top, left, bottom, right] in pixels.")
    return tuple(_box(box, image) for box, image in zip(boxes, images, strict=True))


def _box(box: Any, image: ImageRef) -> Box | None:
    if box is None:
        return None
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(type(edge) is int and edge >= 0 for edge in box):
        raise DataError("boxes must hold, for each image, null or [top, left, bottom, right] in pixels.")
    top, left, bottom, right = box
    if not (top < bottom and left < right and top < image.height and left < image.width):
        raise DataError(f"the box {list(box)} holds nothing of an image of {image.width} x {image.height} pixels.")
    return left, top, right, bottom


# --- what prefers -----------------------------------------------------------------------


def _proxy(row: Row, better: Side) -> Proxy | None:
    """The graph's verdict, where the line says by its scores that it was the graph's."""
    scores, margin = row.get("scores"), row.get("margin")
    if _is(margin) and (not isinstance(margin, (int, float)) or not math.isfinite(margin)):
        raise DataError(f"the margin is {margin!r}, which is no number.")
    if not isinstance(scores, Mapping) or not _is(margin):
        return None
    if row["margin"] < 0:
        raise DataError(f"the margin is {margin:g}: the graph would prefer the rejected one.")
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
