"""Texts and messages, in one form: turns of a role (user, assistant, system) with parts (text, image)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dermiq.errors import DataError
from dermiq.types import Fields, Json

Turns = list[Json]
PLACE = "<image>"  # how LLaVA and many others write where an image stands
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
_DIALOGUE = re.compile(r"\s*Human:.*?\n\nAssistant:", re.DOTALL)
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


def normal(value: object, images: list[object]) -> str | Turns:
    """A text as it is, messages as turns; what their parts hold of images is put into `images`. DataError.

    A text that is a whole dialogue (Human: ... Assistant: ...) becomes its turns.
    """
    if isinstance(value, str):
        return _of_dialogue(value) if _DIALOGUE.match(value) else value
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or not value or not all(map(_is_turn, value)):
        raise DataError(
            "prompt, completion, chosen and rejected must be texts or lists of messages with role and content."
        )
    turns = [{"role": _role(turn), "content": _parts(_said(turn), images)} for turn in value]
    return [turn for turn in turns if turn["content"] or turn["role"] != "system"]


def messages(value: str | Sequence[Fields], role: str) -> Turns:
    """A text becomes one turn of `role`; turns are copied."""
    if isinstance(value, str):
        return [{"role": role, "content": [{"type": "text", "text": value}]}]
    return [{"role": turn["role"], "content": list(parts_of(turn["content"]))} for turn in value]


def parts_of(content: str | Sequence[Fields]) -> Sequence[Fields]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(turns: Sequence[Fields]) -> str:
    return "".join(part.get("text") or "" for turn in turns for part in parts_of(turn["content"]))


def places_of(turns: Sequence[Fields]) -> int:
    """How many images the turns have a place for."""
    return sum(part["type"] == "image" for turn in turns for part in parts_of(turn["content"]))


def placed(prompt: str | Turns, images: int) -> str | Turns:
    """With `<image>` in a user's text as the place of an image. DataError where places and images do not match."""
    turns = messages(prompt, "user")
    places = places_of(turns)
    if not places and any(PLACE in text_of([turn]) for turn in turns if turn["role"] == "user"):
        turns = [{**turn, "content": _split(turn)} for turn in turns]
        places, prompt = places_of(turns), turns
    if places not in (0, images):
        raise DataError(f"there are {images} image(s), but the prompt has {places} place(s) for them.")
    return prompt


def common(one: Turns, two: Turns) -> Turns:
    """The turns with which both begin, without a last one of the assistant."""
    count = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return one[: min(count, len(one) - 1, len(two) - 1)]


# --- messages of others -----------------------------------------------------------------


def _is_turn(turn: object) -> bool:
    return isinstance(turn, Mapping) and any(turn.get(name) for name in ("role", "from"))


def _role(turn: Mapping[str, object]) -> str:
    named = str(turn.get("role") or turn["from"])
    if named.lower() not in ROLES:
        raise DataError(f"a message has the role {named!r}; user, assistant and system are known.")
    return ROLES[named.lower()]


def _said(turn: Mapping[str, object]) -> object:
    """None where a message says nothing."""
    return next((turn[name] for name in ("content", "value", "text") if turn.get(name) is not None), None)


def _parts(content: object, images: list[object]) -> list[Json]:
    """Without what is empty, as tables fill messages up."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Sequence) or not all(
        part is None or isinstance(part, (str, Mapping)) for part in content
    ):
        raise DataError("the content of a message must be text or a list of parts.")
    return [made for part in content if part is not None and (made := _part(part, images))]


def _part(part: str | Mapping[str, object], images: list[object]) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") or next((name for name in ("text", "image", "image_url") if part.get(name)), None)
    if kind in ("image", "image_url"):
        held = next((part[name] for name in ("image", "image_url", "url", "path", "base64") if part.get(name)), None)
        images += [held["url"] if isinstance(held, Mapping) and "url" in held else held] if held is not None else []
        return {"type": "image"}
    if kind == "text" and (part.get("text") is None or isinstance(part["text"], str)):
        return {"type": "text", "text": part["text"]} if part.get("text") is not None else {}
    raise DataError(f"a message holds a part of type {kind!r}; text and image are known.")


def _of_dialogue(text: str) -> Turns:
    """As Anthropic's sets write it; without a last turn in which nothing is said."""
    pieces = _SPEAKER.split(text)
    speakers = [ROLES["human" if who == "Human" else "assistant"] for who in pieces[1::2]]
    said = [(role, what.strip()) for role, what in zip(speakers, pieces[2::2], strict=True)]
    turns = [{"role": role, "content": [{"type": "text", "text": what}]} for role, what in said]
    return turns if said[-1][1] else turns[:-1]


def _split(turn: Fields) -> list[Json]:
    """The parts of a user's turn, an image where the text has its place."""
    if turn["role"] != "user":
        return list(turn["content"])
    made: list[Json] = []
    for part in turn["content"]:
        pieces = part["text"].split(PLACE) if part["type"] == "text" else []
        for number, piece in enumerate(pieces):
            made += [{"type": "image"}] if number else []
            piece = piece.strip() if len(pieces) > 1 else piece
            made += [{"type": "text", "text": piece}] if piece else []
        made += [] if part["type"] == "text" else [part]
    return made
