"""One conversation's key/value cache over a model's own forward: works for every image-text-to-text model.

A backend knows token ids and tensors. It knows no text, no sampling and no conversation.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from dermiq.vlm.drafts import Rows
from dermiq.vlm.hub import Model
from dermiq.vlm.prompt_inputs import Prompt

MAX_POSITIONS = 32_768  # tokens of a conversation


class Backend(Protocol):
    """What a session needs. After `prefill` and `extend`, the result is the (V,) fp32 logits after the last token."""

    @property
    def length(self) -> int:
        """Tokens in the cache."""

    def prefill(self, prompt: Prompt) -> torch.Tensor: ...

    def extend(self, ids: Sequence[int]) -> torch.Tensor: ...

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """As `extend`, with the logits after each of the tokens: (n, V)."""

    @property
    def guesses(self) -> int:
        """How many tokens may be read ahead of what was chosen; 0 where that takes longer than it saves."""

    def rows(self, count: int, *, room: int) -> Rows:
        """Equal rows behind the cached tokens, which stay as they are, with room for `room` tokens each."""

    def forget(self) -> None:
        """Let go of all tokens, and of their memory."""

    def crop(self, length: int) -> bool:
        """Forget all tokens from `length` on; False where this cache cannot, and a prefill is needed."""

    def continuations(self, last: torch.Tensor, rows: Sequence[Sequence[int]]) -> list[float]:
        """Log-likelihood of each row of tokens after the cached ones, which stay as they are. `last` as above."""


def rope_positions(rope_index: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(3, 1, T) from a model's `get_rope_index`: the model itself would keep them, shared by all that use it."""
    ids = inputs["input_ids"]
    if inputs.get("image_grid_thw") is None:
        return torch.arange(ids.shape[1], device=ids.device).expand(3, 1, -1)
    wanted = inspect.signature(rope_index).parameters
    positions: torch.Tensor = rope_index(**{name: value for name, value in inputs.items() if name in wanted})[0]
    return positions


class PlainBackend:
    """The model's own forward with its own cache."""

    guesses = 0

    def __init__(self, model: Model) -> None:
        self.model = model
        self.length = 0
        self._cache: Any = None
        self._position_offset = 0  # position of a text token minus its index (M-RoPE: images take fewer positions)
        inner = getattr(model, "model", model)
        self._rope_index = getattr(inner, "get_rope_index", None)
        self._keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def prefill(self, prompt: Prompt) -> torch.Tensor:
        device = self.model.device
        inputs = {name: value.to(device) for name, value in prompt.inputs.items()}
        ids = torch.tensor([prompt.ids], device=device)
        extra = ids.shape[1] - inputs["input_ids"].shape[1]
        for name in ("attention_mask", "mm_token_type_ids", "token_type_ids"):
            if name in inputs and extra:  # the prefill is text that is attended to
                filler = torch.full_like(inputs[name][:, :1], int(name == "attention_mask")).expand(-1, extra)
                inputs[name] = torch.cat([inputs[name], filler], dim=1)
        inputs["input_ids"] = ids
        if inputs.get("pixel_values") is not None:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        self._position_offset = 0
        if self._rope_index is not None:
            positions = rope_positions(self._rope_index, inputs)
            inputs["position_ids"] = positions
            self._position_offset = int(positions.max()) + 1 - ids.shape[1]
        self._cache, self.length = None, 0
        output = self.model(**inputs, use_cache=True, **({"logits_to_keep": 1} if self._keeps_last else {}))
        self._cache, self.length = output.past_key_values, ids.shape[1]
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> torch.Tensor:
        logits = self.forward(torch.tensor([list(ids)], device=self.model.device), self._cache, last_only=True)
        self.length += len(ids)
        return logits[0, -1].float()

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> torch.Tensor:
        logits = self.forward(torch.tensor([list(ids)], device=self.model.device), self._cache, last_only=False)
        self.length += len(ids)
        return logits[0].float()

    def forward(self, ids: torch.Tensor, cache: Any, *, last_only: bool, after: int = 0) -> torch.Tensor:
        """(rows, n) -> logits (rows, n or 1, V), behind the cached tokens and `after` more."""
        extra: dict[str, Any] = {"logits_to_keep": 1} if last_only and self._keeps_last else {}
        if self._rope_index is not None:
            start = self.length + after + self._position_offset
            positions = torch.arange(start, start + ids.shape[1], device=ids.device)
            extra["position_ids"] = positions.expand(3, ids.shape[0], -1)
        logits: torch.Tensor = self.model(input_ids=ids, past_key_values=cache, use_cache=True, **extra).logits
        return logits

    def forget(self) -> None:
        self._cache, self.length = None, 0

    def crop(self, length: int) -> bool:
        if length == self.length:
            return True
        if self._cache is None or length > self.length or not self._cache.is_croppable or any(self._cache.is_sliding):
            return False
        self._cache.crop(length - self.length)
        self.length = length
        return True

    @torch.inference_mode()
    def continuations(self, last: torch.Tensor, rows: Sequence[Sequence[int]]) -> list[float]:
        first = torch.log_softmax(last, dim=-1)
        totals = [float(first[row[0]]) for row in rows]
        width = max(len(row) for row in rows) - 1
        if width == 0:
            return totals
        padded = torch.zeros(len(rows), width, dtype=torch.long, device=self.model.device)
        for index, row in enumerate(rows):  # padding comes last, so causal attention never looks at it
            padded[index, : len(row) - 1] = torch.tensor(row[:-1])
        logits = self.forward(padded, self._branch(len(rows)), last_only=False)
        for index, row in enumerate(rows):
            scores = torch.log_softmax(logits[index, : len(row) - 1].float(), dim=-1)
            totals[index] += sum(float(scores[step, token]) for step, token in enumerate(row[1:]))
        return totals

    def rows(self, count: int, *, room: int) -> Rows:
        return _PlainRows(self, self._branch(count))

    def _branch(self, rows: int) -> Any:
        """A copy of the cache with `rows` equal rows."""
        import copy

        branched = copy.deepcopy(self._cache)
        branched.batch_repeat_interleave(rows)
        return branched


class _PlainRows:
    """Rows that branched off a plain cache."""

    def __init__(self, backend: PlainBackend, cache: Any) -> None:
        self._backend, self._cache, self._read = backend, cache, 0

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        ids = tokens[:, None].to(self._backend.model.device)
        logits = self._backend.forward(ids, self._cache, last_only=True, after=self._read)
        self._read += 1
        return logits[:, -1].float().cpu()

    def keep(self, rows: torch.Tensor) -> None:
        self._cache.batch_select_indices(rows.to(self._backend.model.device))
