"""One prompt with its images, read once for all the completions that follow it.

`Group` is a prompt and G completions, `Policy` the parts of a model that are needed, `Prefix` the prompt as the model
read it: its keys and values in every layer and its last hidden state, which predicts the first token of every
completion. Knows no loss and no sampling.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_layers import GradientCheckpointingLayer

from dermiq.errors import ModelError
from dermiq.types import Fields
from dermiq.vlm.backend import rope_positions
from dermiq.vlm.hub import Model

_GROUPED = "TRANSFORMERS_SDPA_FORCE_GQA"  # read by transformers at every attention
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


@dataclass(frozen=True)
class Group:
    """One prompt and the completions that were sampled after it."""

    inputs: Mapping[str, Tensor]  # of the prompt alone, one unpadded row: input_ids (1, P), pixel_values, ...
    completions: Tensor  # (G, T) token ids
    mask: Tensor  # (G, T) bool: which of them were written; each row is True first, then False

    def __post_init__(self) -> None:
        ids = self.inputs["input_ids"]
        if ids.ndim != 2 or len(ids) != 1:
            raise ModelError(f"A group has one prompt, (1, P) token ids, not {tuple(ids.shape)}.")
        if self.completions.shape != self.mask.shape or self.mask.dtype != torch.bool:
            raise ModelError("A group's mask must be boolean and as large as its completions.")
        if (self.mask[:, 1:] & ~self.mask[:, :-1]).any():
            raise ModelError("A completion must be written without gaps: its mask is True first, then False.")

    @property
    def lengths(self) -> Tensor:
        """(G,)."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class Prefix:
    """A prompt as a model read it. The tensors keep their graph, unless they are `leaves`."""

    keys: tuple[Tensor, ...]  # a layer each: (1, K, P, d), or the last of them where attention has a window
    values: tuple[Tensor, ...]
    last: Tensor  # (1, 1, D): the hidden state that predicts the first token of every completion
    length: int  # P
    next_position: int  # of the first completion token; less than P where an image takes fewer positions

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.keys, *self.values, self.last)

    def leaves(self) -> Prefix:
        """The same numbers cut off from their graph; gradients can be asked for where the graph could take them."""
        tensors = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in self.tensors]
        count = len(self.keys)
        keys, values = tuple(tensors[:count]), tuple(tensors[count : 2 * count])
        return Prefix(keys, values, tensors[-1], self.length, self.next_position)


class Policy:
    """A vision-language model, plain or with a PEFT adapter, seen as backbone and vocabulary projection."""

    def __init__(self, model: Model) -> None:
        self.model = model
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self.backbone, self.head = base.base_model, base.get_output_embeddings()
        _refuse_inexact(model, base)
        self.config = base.config.get_text_config(decoder=True)
        self._rope_index = getattr(self.backbone, "get_rope_index", None)
        layers = DynamicCache(config=base.config).layers
        if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
            raise ModelError(
                "The shared prefix needs a model whose layers all keep keys and values (no recurrent state)."
            )
        self._windows = [getattr(layer, "sliding_window", None) for layer in layers]

    @property
    def trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def read(self, inputs: Mapping[str, Tensor]) -> Prefix:
        """Prompt and images, once."""
        inputs = self.prompt_inputs(inputs)
        written = [_Recorder() for _ in self._windows]
        with _checkpointing_keeps_cache(self.backbone):
            hidden = self.backbone(**inputs, past_key_values=_cache_of(written), use_cache=False).last_hidden_state
        if not all(layer.is_initialized for layer in written):
            raise ModelError("This model does not keep keys and values here. Turn gradient checkpointing off.")
        length = inputs["input_ids"].shape[1]
        seen = [slice(None if w is None else max(0, length - w + 1), None) for w in self._windows]
        return Prefix(
            keys=tuple(layer.keys[:, :, part] for layer, part in zip(written, seen, strict=True)),
            values=tuple(layer.values[:, :, part] for layer, part in zip(written, seen, strict=True)),
            last=hidden[:, -1:],
            length=length,
            next_position=int(inputs["position_ids"].max()) + 1 if "position_ids" in inputs else length,
        )

    def prompt_inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the model's device and in its precision, with the positions that the model would else keep in itself."""
        device, dtype = self.head.weight.device, self.model.dtype
        moved = {name: value.to(device) for name, value in inputs.items() if name != "attention_mask"}
        moved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in moved.items()}
        if self._rope_index is not None:
            moved["position_ids"] = rope_positions(self._rope_index, moved)
        return moved

    def hidden(self, prefix: Prefix, ids: Tensor) -> Tensor:
        """(c, n) completions -> (c, n, D): in place t what predicts token t, from the prefix and the tokens before."""
        rows, count = ids.shape
        first = prefix.last.expand(rows, -1, -1)
        if count == 1:
            return first
        cache = _cache_of(
            [
                _Shared(keys, values, prefix.length, window)
                for keys, values, window in zip(prefix.keys, prefix.values, self._windows, strict=True)
            ]
        )
        positions = self.positions(prefix.next_position, rows, count - 1)
        with _checkpointing_keeps_cache(self.backbone):
            output = self.backbone(input_ids=ids[:, :-1], past_key_values=cache, use_cache=False, **positions)
        return torch.cat([first, output.last_hidden_state], dim=1)

    def positions(self, start: int, rows: int, count: int) -> dict[str, Tensor]:
        """What a model with M-RoPE must be told; the others count by themselves."""
        if self._rope_index is None:
            return {}
        positions = torch.arange(start, start + count, device=self.head.weight.device)
        return {"position_ids": positions.expand(3, rows, -1)}

    def scores(self, hidden: Tensor, ids: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
        """(n, D) hidden states and the (n,) tokens that followed -> (n,) log-probabilities and entropies, fp32."""
        scores: tuple[Tensor, Tensor] = TokenScores.apply(self.head(hidden), ids, temperature)
        return scores


class TokenScores(torch.autograd.Function):
    """Log-probabilities of tokens and entropies under softmax(logits / temperature), in fp32.

    With p the probabilities and H the entropy, d log p_i / d logit_j = (1[i = j] - p_j) / temperature and
    d H / d logit_j = -p_j (log p_j + H) / temperature: p alone is kept, and becomes the gradient. Autograd would keep
    four numbers for each token of the vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """(n, V) logits, (n,) tokens -> (n,) and (n,)."""
        scaled = logits.float() if temperature == 1 else logits.float() / temperature
        totals = scaled.logsumexp(-1)
        logps = scaled.gather(1, ids[:, None])[:, 0] - totals
        probabilities = torch.softmax(scaled, dim=-1)
        entropies = totals - torch.bmm(probabilities[:, None], scaled[:, :, None])[:, 0, 0]
        ctx.save_for_backward(probabilities, ids, entropies)
        ctx.temperature, ctx.dtype = temperature, logits.dtype
        return logps, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        probabilities, ids, entropies = ctx.saved_tensors
        at_logps, at_entropies = gradients
        result = probabilities * -at_logps[:, None]
        if at_entropies.any():
            surprise = torch.special.xlogy(probabilities, probabilities).add_(probabilities * entropies[:, None])
            result -= surprise.mul_(at_entropies[:, None])
        result[torch.arange(len(ids), device=ids.device), ids] += at_logps
        return result.div_(ctx.temperature).to(ctx.dtype), None, None


class _Recorder(DynamicLayer):
    """Keeps what the prompt writes, with its graph; a replay by gradient checkpointing changes nothing."""

    keys: Tensor
    values: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.keys, self.values, self.is_initialized = key_states, value_states, True
        return key_states, value_states


class _Shared(DynamicLayer):
    """The prompt's keys and values for every row. What follows is not kept, so a replay sees the same."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, length: int, window: int | None) -> None:
        super().__init__()
        self.keys, self.values, self.length = keys, values, length
        self.is_initialized, self.is_sliding = True, window is not None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        rows = len(key_states)
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        kept = self.keys.shape[-2]
        return kept + query_length, self.length - kept


def _cache_of(layers: Sequence[DynamicLayer]) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache


@contextlib.contextmanager
def _checkpointing_keeps_cache(backbone: nn.Module) -> Iterator[None]:
    """Let checkpointed layers use the two caches above: a replay does not change them."""
    layers = [m for m in backbone.modules() if isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing]
    for layer in layers:
        layer._can_checkpoint_with_cache = True
    try:
        yield
    finally:
        for layer in layers:
            del layer._can_checkpoint_with_cache


@contextlib.contextmanager
def keys_stay_grouped(device: torch.device) -> Iterator[None]:
    """On the CPU, let fused attention read keys and values as they are, forth and back (a replay by gradient
    checkpointing must see the same). Transformers copies them for every query head where there is a mask, since other
    devices' kernels need that: 1.5 to 1.8 times as long, and most of a chunk's memory behind a long prompt.
    """
    before = os.environ.get(_GROUPED)
    if device.type == "cpu":
        os.environ[_GROUPED] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_GROUPED, None)
        else:
            os.environ[_GROUPED] = before


def _refuse_inexact(model: Model, base: Model) -> None:
    """Everything that would make the shared prefix compute something else than whole sequences do."""
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None and adapter.is_prompt_learning:
        raise ModelError(f"{adapter.peft_type} puts virtual tokens before the prompt. Use LoRA with the shared prefix.")
    config = base.config.get_text_config(decoder=True)
    changed = [name for name in _LOGIT_CHANGES if getattr(config, name, None) not in (None, 1.0)]
    if changed:
        raise ModelError(f"This model changes its logits after the projection ({changed[0]}), which is not supported.")
    if not model.training:
        return
    for name, module in model.named_modules():
        if module.training and isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ModelError(f"Dropout is on ({name}): completions cannot share a prompt then. Set it to 0.")
        if module.training and isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ModelError(f"Batch normalisation is in training mode ({name}). Put the vision tower in eval mode.")
        if module.training and getattr(module, "attention_dropout", 0.0):
            raise ModelError(f"Attention dropout is on ({name}). Set attention_dropout to 0 in the configuration.")
        if getattr(module, "gradient_checkpointing", False) and _is_reentrant(module):
            raise ModelError("Gradient checkpointing must be set up with use_reentrant=False for the shared prefix.")


def _is_reentrant(module: nn.Module) -> bool:
    """Such a first pass records no graph, so the prompt's keys and values would be constants."""
    checkpoint = getattr(module, "_gradient_checkpointing_func", None)
    return checkpoint is not None and getattr(checkpoint, "keywords", {}).get("use_reentrant", True)


@contextlib.contextmanager
def reference(model: Model) -> Iterator[Model]:
    """The frozen model that the adapter started from: the same model with the adapter disabled."""
    if not hasattr(model, "peft_config"):
        raise ModelError(
            "A reference without an adapter needs a frozen copy of the model. Train with LoRA, or set beta=0."
        )
    outside = [
        n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n and "modules_to_save" not in n
    ]
    if outside:
        raise ModelError(
            f"{outside[0]} trains outside the adapter, so the reference would move. Freeze it or set beta=0."
        )
    with model.disable_adapter():
        yield model


def split_batch(batch: Fields) -> list[tuple[Tensor, Group]]:
    """TRL's GRPO inputs -> (row numbers, group) of each distinct prompt, in the order of first appearance.

    Rows belong together when prompt tokens and images are equal, however the batch was shuffled. Prompts are unpadded.
    """
    mask = batch["completion_mask"].bool()
    groups: list[tuple[dict[str, Tensor], list[int]]] = []
    for row, inputs in enumerate(_prompts(batch)):
        for first, rows in groups:
            if all(torch.equal(first[name], inputs[name]) for name in first):
                rows.append(row)
                break
        else:
            groups.append((inputs, [row]))
    result = []
    for inputs, rows in groups:
        index = torch.tensor(rows, device=mask.device)
        width = max(1, int(mask[index].sum(1).max()))
        result.append((index, Group(inputs, batch["completion_ids"][index, :width], mask[index, :width])))
    return result


def _prompts(batch: Fields) -> list[dict[str, Tensor]]:
    """The inputs of each row's prompt, cut out of TRL's batched tensors as its trainer does."""
    mask = batch["prompt_mask"].bool()
    rows, width = mask.shape
    images = batch.get("num_images") or [1] * rows
    per_image = _bounds(images)
    grid = batch.get("image_grid_thw")
    pixels = batch.get("pixel_values")
    for name in ("num_tiles", "spatial_shapes", "image_position_ids"):
        if batch.get(name) is not None:
            raise ModelError(f"Batches with {name} are not supported by the shared prefix yet.")
    prompts = []
    for row in range(rows):
        inputs = {"input_ids": batch["prompt_ids"][row : row + 1, mask[row]]}
        for name in ("token_type_ids", "mm_token_type_ids"):
            if batch.get(name) is not None:
                inputs[name] = batch[name][row : row + 1, :width][:, mask[row]]
        own = slice(per_image[row], per_image[row + 1])
        if pixels is not None and grid is not None:
            patches = _bounds(grid.prod(-1).tolist())
            inputs["image_grid_thw"] = grid[own]
            inputs["pixel_values"] = pixels[patches[own.start] : patches[own.stop]]
        elif pixels is not None:
            inputs["pixel_values"] = pixels[
                own if len(pixels) == sum(images) and pixels.ndim == 4 else slice(row, row + 1)
            ]
        for name, cut in (("pixel_attention_mask", slice(row, row + 1)), ("image_sizes", own)):
            if batch.get(name) is not None:
                inputs[name] = batch[name][cut]
        prompts.append(inputs)
    return prompts


def _bounds(counts: Sequence[int]) -> list[int]:
    """[0, c0, c0 + c1, ...]."""
    return list(accumulate(map(int, counts), initial=0))
