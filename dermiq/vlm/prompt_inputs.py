"""Messages and images -> what a model is fed. Knows processors and chat templates, no model and no cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dermiq.errors import ModelError
from dermiq.types import Fields, Json
from dermiq.vlm.hub import Processor, Tokenizer

Message = Fields
"""`{"role": "user", "content": "text"}`, or with a list of `{"type": "image"}` and `{"type": "text", "text": ...}`."""


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation up to where the model goes on writing."""

    ids: tuple[int, ...]
    inputs: Mapping[str, torch.Tensor]  # what the processor made of it: input_ids without the prefill, pixels, grids
    image_end: int  # the index after the last image placeholder; 0 without images


class PromptEncoder:
    """Renders with one processor; the same text and images always give the same ids."""

    def __init__(self, processor: Processor, image_token_id: int) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.image_token_id = image_token_id
        added = self.tokenizer.added_tokens_decoder.values()
        self._takes_system = takes_system_turn(processor)
        self._control = sorted((t.content for t in added if t.special), key=len, reverse=True)

    def encode(self, messages: Sequence[Message], images: Sequence[np.ndarray], *, prefill: str = "") -> Prompt:
        """The prompt whose assistant turn begins with `prefill`."""
        conversation = self._with_images(messages, images)
        encoded = self.processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        ids = tuple(encoded["input_ids"][0].tolist()) + self.text_ids(prefill)
        image_end = max((i + 1 for i, token in enumerate(ids) if token == self.image_token_id), default=0)
        return Prompt(ids=ids, inputs=dict(encoded), image_end=image_end)

    def text_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of plain text that follows the prompt."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False)) if text else ()

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens, control tokens included: what `text_ids` turns back, for most tokenizers."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _with_images(self, messages: Sequence[Message], images: Sequence[np.ndarray]) -> list[Json]:
        """Contents as lists of parts; the images put where they belong, at the first user message if nowhere else."""
        conversation = [{"role": m["role"], "content": self._parts(m["content"])} for m in messages]
        if not self._takes_system:
            conversation = folded(conversation)
        slots = [part for m in conversation for part in m["content"] if part["type"] == "image"]
        if not slots and images:
            first = next((m for m in conversation if m["role"] == "user"), None)
            if first is None:
                raise ModelError("The conversation has images but no user message to put them in.")
            slots = [{"type": "image"} for _ in images]
            first["content"][:0] = slots
        if len(slots) != len(images):
            raise ModelError(
                f"The conversation has {len(slots)} places for images, but {len(images)} images were given."
            )
        for slot, image in zip(slots, images, strict=True):
            slot["image"] = image
        return conversation

    def _parts(self, content: str | Sequence[Fields]) -> list[Json]:
        if isinstance(content, str):
            return [{"type": "text", "text": self.plain(content)}]
        return [
            {"type": "text", "text": self.plain(part["text"])} if part["type"] == "text" else {"type": part["type"]}
            for part in content
        ]

    def plain(self, text: str) -> str:
        """`text` without the power to end a turn or to pose as an image: control tokens in it are broken up."""
        for token in self._control:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def takes_system_turn(processor: Processor) -> bool:
    """Whether the chat template writes a system turn; some refuse it, some drop it silently."""
    from jinja2 import TemplateError

    probe = "the system turn"
    turns = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in (("system", probe), ("user", "x"))
    ]
    try:
        return probe in processor.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError, TypeError):
        return False


def folded(conversation: list[Json]) -> list[Json]:
    """The same conversation with its system turn at the head of the first user turn's text, after the images."""
    if not conversation or conversation[0]["role"] != "system":
        return conversation
    system, first, *rest = conversation
    images = [part for part in first["content"] if part["type"] == "image"]
    texts = [part["text"] for m in (system, first) for part in m["content"] if part["type"] == "text"]
    return [{"role": first["role"], "content": [*images, {"type": "text", "text": "\n".join(texts)}]}, *rest]


class TextWriter:
    """Tokens -> text, in pieces that never end inside a multi-byte character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self._start = 0  # where the decoded window begins: a piece's spacing depends on what is before it
        self._shown = 0  # tokens whose text was handed out

    def push(self, token: int) -> str:
        self.ids.append(token)
        return self._delta(final=False)

    def finish(self) -> str:
        """What was held back."""
        return self._delta(final=True)

    def _delta(self, *, final: bool) -> str:
        before = self._decode(self.ids[self._start : self._shown])
        window = self._decode(self.ids[self._start :])
        if window.endswith("\ufffd") and not final:  # half a character: wait for its other bytes
            return ""
        delta = window[len(before) :]
        if delta:
            self._start, self._shown = self._shown, len(self.ids)
        return delta

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
