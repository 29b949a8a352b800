"""A decoder on compact weights for LLaVA models with a Llama text side, on the CPU, by ONNX Runtime.

The base language model's file is 4-bit; here it is multiplied as it is, adapters beside it, where the plain model reads
seven times the bytes for each token. Logits are the plain model's to rounding. Rows that share a prompt are decoded
side by side. Knows no text and no sampling.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

# Read when it is imported: without it ONNX Runtime 1.29 and later tell their maker of each process.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime import OrtValue
from torch import Tensor, nn

from dermiq.vlm.backend import MAX_POSITIONS
from dermiq.vlm.hub import Model
from dermiq.vlm.merged import LowRank, active, is_lora, merged_into
from dermiq.vlm.packed import Packed, eight_bits, four_bits
from dermiq.vlm.prompt_inputs import Prompt
from dermiq.vlm.step import LayerWeights, Linear, Weights, build

onnxruntime.disable_telemetry_events()  # on Windows, which does not read the variable
LARGEST = 1_900_000_000  # bytes of a graph with its weights: protobuf holds no more than 2 GB
_GROWTH = 256  # tokens by which a cache is made larger
GROUPS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""The linear layers of a Llama layer that are one product."""


@dataclass(eq=False)
class CompactCache:
    """Keys and values of `rows` rows of equal length, with room for `capacity` tokens each."""

    keys: list[OrtValue]  # a layer (rows, heads, capacity, dim)
    values: list[OrtValue]
    rows: int
    capacity: int
    length: int = 0


class CompactDecoder:
    """The text side of a model, packed where its weights were rounded, for one that answers or one that trains."""

    def __init__(self, model: Model, *, live: bool = False, trains_weights: bool = False, threads: int = 0) -> None:
        """With `live` it follows a training: adapters by `refresh`, dense weights by sharing their memory. Those that
        were rounded are packed, unless it `trains_weights`.
        """
        self.model = model
        groups = _groups(model)
        weights = _weights_of(model, groups, live=live, packs=not trains_weights)
        self.layers, self.kv_heads, self.dim = len(weights.layers), weights.kv_heads, weights.dim
        self.positions = len(weights.cos)
        text = model.model.language_model
        tied = model.lm_head.weight is text.embed_tokens.weight
        self._embedding = weights.head if tied else Linear(dense=(array(text.embed_tokens.weight, shared=live),))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that spin for work take the core from whoever computes; on machines that are shared they wait.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = build(weights, live=live)
        self._held = {name: OrtValue.ortvalue_from_numpy(value) for name, value in graph.held.items()}  # no copies
        self._adapted = {
            name: (graph.held[f"{name}.a"], graph.held[f"{name}.b"], groups[name]) for name in _adapted(groups)
        }
        self.packed = frozenset(name for name, linear in weights.linears() if linear.parts)
        """Names of the products that are made with the weights as they were rounded: "l0.qkv"."""
        encoded = graph.model().SerializeToString()
        del graph, weights
        self.session = onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
        self.refresh()

    @staticmethod
    def supports(model: Model, *, adapters: bool = False) -> bool:
        """LLaVA around a plain Llama in fp32 on the CPU (or not loaded yet, on the meta device), without biases, small
        enough for one graph; plain LoRA with `adapters`.
        """
        from transformers import LlamaModel, LlavaForConditionalGeneration

        if type(model) is not LlavaForConditionalGeneration or type(model.model.language_model) is not LlamaModel:
            return False
        text = model.model.language_model
        config = text.config
        linear = [module for name, module in text.named_modules() if name.endswith("_proj")]
        return (
            sum(parameter.numel() for parameter in text.parameters()) * 4 < LARGEST
            and all(p.device.type in ("cpu", "meta") and p.dtype is torch.float32 for p in model.parameters())
            and all((type(one) is nn.Linear or (adapters and is_lora(one))) and one.bias is None for one in linear)
            and type(model.lm_head) is nn.Linear
            and model.lm_head.bias is None
            and config.hidden_act == "silu"
            and config.rope_parameters.get("rope_type", "default") in ("default", "linear", "llama3")
        )

    def backend(self) -> CompactBackend:
        """A session's cache."""
        return CompactBackend(self)

    def release(self) -> None:
        """Lets go of the model's own text weights: from now on only this decoder can write."""
        self.model.model.language_model.to("meta")
        self.model.lm_head.to("meta")

    @torch.no_grad()
    def refresh(self) -> None:
        """Follow the adapters. What shares its memory follows by itself."""
        for down, up, modules in self._adapted.values():
            rank = down.shape[1]
            start = sum(module.weight.shape[0] for module in modules)
            for module in reversed(modules):  # the adapters' ranks are the last, in the order of the layers
                start -= module.weight.shape[0]
                ranks = _rank(module)
                rows = slice(rank - ranks, rank)
                down[:, rows], up[rows] = 0, 0
                at = rank - ranks
                for a, b, scale in active(module):
                    down[:, at : at + len(a)] = a.t().numpy()
                    up[at : at + len(a), start : start + len(b)] = (scale * b.t()).numpy()
                    at += len(a)
                rank -= ranks

    def new_cache(self, capacity: int, *, rows: int = 1) -> CompactCache:
        shape = (rows, self.kv_heads, capacity, self.dim)

        def empty() -> list[OrtValue]:
            return [OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)) for _ in range(self.layers)]

        return CompactCache(empty(), empty(), rows, capacity)

    def copied(self, cache: CompactCache, *, rows: int, capacity: int) -> CompactCache:
        """`rows` equal rows that hold what this one-row cache holds, with room for `capacity` tokens."""
        held = [[value.numpy()[:, :, : cache.length] for value in values] for values in (cache.keys, cache.values)]
        return self.behind(*held, rows=rows, capacity=capacity)

    def behind(
        self, keys: Sequence[np.ndarray], values: Sequence[np.ndarray], *, rows: int, capacity: int
    ) -> CompactCache:
        """`rows` equal rows behind a prompt that was read: its rotated keys and its values, a layer (1, K, P, d)."""
        cache, length = self.new_cache(capacity, rows=rows), keys[0].shape[2]
        for own, given in ((cache.keys, keys), (cache.values, values)):
            for mine, theirs in zip(own, given, strict=True):
                mine.numpy()[:, :, :length] = theirs
        cache.length = length
        return cache

    def kept(self, cache: CompactCache, rows: Tensor) -> CompactCache:
        """These rows alone."""
        chosen = rows.numpy()

        def of(values: list[OrtValue]) -> list[OrtValue]:
            return [OrtValue.ortvalue_from_numpy(value.numpy()[chosen]) for value in values]

        return CompactCache(of(cache.keys), of(cache.values), len(chosen), cache.capacity, cache.length)

    def step(self, ids: Tensor, cache: CompactCache) -> Tensor:
        """One token a row, (rows,) -> (rows, V)."""
        return torch.from_numpy(self.forward(self.embedded(ids.numpy())[:, None], cache)[:, 0])

    def embed(self, prompt: Prompt) -> np.ndarray:
        """(T, D): token embeddings with the image features in their places."""
        ids = np.asarray(prompt.ids)
        embedded = self.embedded(ids)
        pixels = prompt.inputs.get("pixel_values")
        if pixels is not None:
            features = self.model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
            embedded[ids == self.model.config.image_token_id] = torch.cat(list(features)).detach().numpy()
        return embedded

    def embedded(self, ids: np.ndarray) -> np.ndarray:
        """(...,) -> (..., D)."""
        flat, table = ids.reshape(-1), self._embedding
        found = table.dense[0][flat] if table.dense else np.sum([part.weights(flat) for part in table.parts], axis=0)
        rows: np.ndarray = found.reshape(*ids.shape, -1)
        return rows

    def forward(
        self,
        x: np.ndarray,
        cache: CompactCache,
        *,
        wanted: np.ndarray | None = None,
        positions: np.ndarray | None = None,
        hidden: np.ndarray | None = None,
    ) -> np.ndarray:
        """(rows, n, D) -> logits (rows, m, V) of the tokens `wanted` (m,), by default the last; the cache grows by n.

        `positions` (n,) default to those that follow the cache; `hidden` (n, length + n) bool: keys that are not seen,
        besides those that come later.
        """
        rows, count, _ = x.shape
        start, end = cache.length, cache.length + count
        if end > self.positions:
            raise ValueError(f"{end} tokens are more than the {self.positions} that this model can tell apart.")
        if end > cache.capacity:
            raise ValueError(f"{end} tokens are more than the {cache.capacity} that this cache has room for.")
        places = np.arange(start, end) if positions is None else positions
        bias = np.zeros((1, 1, count, end), np.float32)
        if hidden is not None:
            bias[0, 0][hidden] = np.finfo(np.float32).min
        bound = self.session.io_binding()
        given = {
            "x": np.ascontiguousarray(x, np.float32),
            "positions": np.ascontiguousarray(np.broadcast_to(places, (rows, count)), np.int64),
            "bias": bias,
            "last": np.full(rows, end - 1, np.int32),
            "total": np.array([end], np.int32),
            "wanted": np.array([count - 1], np.int64) if wanted is None else np.asarray(wanted, np.int64),
        }
        for name, value in given.items():
            bound.bind_cpu_input(name, value)
        for name, held in self._held.items():
            bound.bind_ortvalue_input(name, held)
        for index, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            for letter, held in (("k", keys), ("v", values)):
                bound.bind_ortvalue_input(f"{letter}{index}", held)
                bound.bind_ortvalue_output(f"{letter}{index}.new", held)
        bound.bind_output("logits", "cpu")
        self.session.run_with_iobinding(bound)
        cache.length = end
        logits: np.ndarray = bound.get_outputs()[-1].numpy()
        return logits


class CompactRows:
    """Rows of one cache that grow side by side."""

    def __init__(self, decoder: CompactDecoder, cache: CompactCache) -> None:
        self.decoder, self.cache = decoder, cache

    def step(self, tokens: Tensor) -> Tensor:
        """(rows,) tokens -> (rows, V) logits of the next."""
        return self.decoder.step(tokens, self.cache)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.cache = self.decoder.kept(self.cache, rows)


class CompactBackend:
    """A session's cache over a `CompactDecoder`."""

    guesses = 7  # eight tokens take 1.7 times as long as one

    def __init__(self, decoder: CompactDecoder) -> None:
        self.decoder = decoder
        self.cache: CompactCache | None = None

    @property
    def length(self) -> int:
        return self.cache.length if self.cache is not None else 0

    @torch.inference_mode()
    def prefill(self, prompt: Prompt) -> Tensor:
        embedded = self.decoder.embed(prompt)
        self.cache = self.decoder.new_cache(len(prompt.ids) + _GROWTH)
        return torch.from_numpy(self.decoder.forward(embedded[None], self.cache)[0, 0])

    def extend(self, ids: Sequence[int]) -> Tensor:
        cache = self._room(len(ids))
        x = self.decoder.embedded(np.asarray(ids))
        return torch.from_numpy(self.decoder.forward(x[None], cache)[0, 0])

    def read(self, ids: Sequence[int]) -> Tensor:
        cache = self._room(len(ids))
        x = self.decoder.embedded(np.asarray(ids))
        return torch.from_numpy(self.decoder.forward(x[None], cache, wanted=np.arange(len(ids)))[0])

    def forget(self) -> None:
        self.cache = None

    def crop(self, length: int) -> bool:
        if self.cache is None or length > self.cache.length:
            return False
        self.cache.length = length
        return True

    def rows(self, count: int, *, room: int) -> CompactRows:
        assert self.cache is not None
        return CompactRows(self.decoder, self.decoder.copied(self.cache, rows=count, capacity=self.length + room))

    def continuations(self, last: Tensor, rows: Sequence[Sequence[int]]) -> list[float]:
        """All rows in one pass behind the shared prefix: each token sees the prefix and its own row only."""
        first = torch.log_softmax(last, dim=-1)
        totals = [float(first[row[0]]) for row in rows]
        owners = np.array([index for index, row in enumerate(rows) for _ in row[:-1]])
        if not len(owners):
            return totals
        cache = self._room(len(owners))
        start = cache.length
        tokens = np.array([token for row in rows for token in row[:-1]])
        positions = start + np.array([step for row in rows for step, _ in enumerate(row[:-1])])
        others = owners[:, None] != owners[None]
        hidden = np.concatenate([np.zeros((len(tokens), start), bool), others], axis=1)
        x = self.decoder.embedded(tokens)[None]
        logits = self.decoder.forward(x, cache, wanted=np.arange(len(tokens)), positions=positions, hidden=hidden)
        cache.length = start
        scores = torch.log_softmax(torch.from_numpy(logits[0]), dim=-1)
        wanted = torch.tensor([token for row in rows for token in row[1:]])
        picked = scores.gather(1, wanted[:, None])[:, 0].numpy()
        return [total + float(picked[owners == index].sum()) for index, total in enumerate(totals)]

    def _room(self, tokens: int) -> CompactCache:
        """The cache, with room for so many more."""
        assert self.cache is not None
        needed = self.cache.length + tokens
        if needed > self.cache.capacity:
            self.cache = self.decoder.copied(self.cache, rows=1, capacity=needed + _GROWTH)
        return self.cache


# --- what the weights are -----------------------------------------------------------------------------


def _groups(model: Model) -> dict[str, list[Model]]:
    """Name of each product -> its linear layers."""
    return {
        f"l{index}.{group}": [layer.get_submodule(name) for name in names]
        for index, layer in enumerate(model.model.language_model.layers)
        for group, names in GROUPS.items()
    }


def _adapted(groups: dict[str, list[Model]]) -> list[str]:
    """Names of the products that have an adapter beside them."""
    return [name for name, modules in groups.items() if any(_rank(module) for module in modules)]


def _rank(module: Model) -> int:
    """Of all adapters on a layer that may be active."""
    return 0 if type(module) is nn.Linear else sum(len(module.lora_A[n].weight) for n in module.lora_A)


def _weights_of(model: Model, groups: dict[str, list[Model]], *, live: bool, packs: bool) -> Weights:
    text = model.model.language_model
    config, rotary = text.config, text.rotary_emb
    merged = {name.split("language_model.")[-1]: found for name, found in merged_into(model).items()}
    positions = min(config.max_position_embeddings, MAX_POSITIONS)
    angles = torch.arange(positions)[:, None].float() * rotary.inv_freq.float().cpu()
    layers = []
    for index, layer in enumerate(text.layers):
        linears = {
            group: _joined(
                groups[f"l{index}.{group}"],
                [merged.get(f"layers.{index}.{name}", ()) for name in names],
                live=live,
                packs=packs,
            )
            for group, names in GROUPS.items()
        }
        norms = (array(norm.weight, shared=live) for norm in (layer.input_layernorm, layer.post_attention_layernorm))
        norm_in, norm_mlp = norms
        layers.append(LayerWeights(norm_in=norm_in, norm_mlp=norm_mlp, **linears))
    head = array(model.lm_head.weight, shared=live)
    both = eight_bits(head) if packs else None
    return Weights(
        layers=layers,
        norm=array(text.norm.weight, shared=live),
        head=Linear(parts=both) if both is not None else Linear(dense=(head,)),
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        eps=config.rms_norm_eps,
        cos=(angles.cos() * rotary.attention_scaling).numpy(),
        sin=(angles.sin() * rotary.attention_scaling).numpy(),
    )


def array(tensor: Tensor, *, shared: bool = False) -> np.ndarray:
    """A copy, unless it is to be shared: a view would keep the whole file of weights in memory."""
    values: np.ndarray = tensor.detach().numpy()
    return values if shared else values.copy()


def _joined(modules: Sequence[Model], merged: Sequence[Sequence[LowRank]], *, live: bool, packs: bool) -> Linear:
    """Linear layers on the same input: packed where all were rounded, once what was merged into them is taken off."""
    weights = [(module if type(module) is nn.Linear else module.base_layer).weight.detach() for module in modules]
    parts = [four_bits(_without(weight, low)) if packs else None for weight, low in zip(weights, merged, strict=True)]
    found = [part for part in parts if part is not None]
    low_rank = _low_rank(modules, merged if len(found) == len(parts) else [()] * len(parts))
    if len(found) < len(parts):
        return Linear(dense=[array(weight, shared=live) for weight in weights], low_rank=low_rank)
    names = ("numbers", "scales", "offsets")
    joined = Packed(*(np.concatenate([getattr(part, name) for part in found]) for name in names))
    return Linear(parts=(joined,), low_rank=low_rank)


def _without(weight: Tensor, merged: Sequence[LowRank]) -> np.ndarray:
    for a, b, scale in merged:
        weight = weight - scale * (b.float() @ a.float())
    return weight.numpy()


def _low_rank(modules: Sequence[Model], merged: Sequence[Sequence[LowRank]]) -> tuple[np.ndarray, np.ndarray] | None:
    """A (I, r) and B (r, O of all): what was merged, then room for the adapters beside the layers, layer by layer."""
    outputs = [module.weight.shape[0] for module in modules]
    room = sum(map(_rank, modules))
    known = [(sum(outputs[:at]), *part) for at, parts in enumerate(merged) for part in parts]
    ranks = sum(len(a) for _, a, _, _ in known) + room
    if not ranks:
        return None
    down = np.zeros((modules[0].weight.shape[1], ranks), np.float32)
    up = np.zeros((ranks, sum(outputs)), np.float32)
    at = 0
    for start, a, b, scale in known:
        down[:, at : at + len(a)] = a.float().t().numpy()
        up[at : at + len(a), start : start + len(b)] = (scale * b.float().t()).numpy()
        at += len(a)
    return down, up
