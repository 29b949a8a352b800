"""A lean decoder for LLaVA models with a Llama text backbone, on the CPU in fp32.

The library's decoding step spends most of its time outside the matrix products: growing the cache by copying it,
rotary tables, small kernels, Python. Here weights are stored transposed and contiguous (for one row `x @ w_t` is
faster than `F.linear`), q/k/v are one product, the cache is allocated ahead, rotary angles are
complex numbers computed once, grouped query heads are attended to as if they were successive queries, and rows that
share a prompt read its keys and values once. Logits equal the plain model's to rounding. A LoRA adapter in training
stays beside its weights, as two thin products. Knows no text and no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import threadpoolctl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermiq.vlm.hub import Model
from dermiq.vlm.prompt_inputs import Prompt

MAX_POSITIONS = 32_768
ONE_THREAD = 3_000_000  # multiplications: eight rows through an attention's output, 576 x 576
_GROWTH = 512  # tokens by which a full cache grows
_REBOUND = "_proj"  # in the names of the layers whose weights become views of a shared decoder's


class Product:
    """x -> x @ W of linear layers side by side, and the low-rank part of the LoRA adapters that are active on them."""

    def __init__(self, *linears: Model, by_outputs: bool = False) -> None:
        """With `by_outputs` the matrix lies in memory as the linears' weights do, output by output."""
        self.linears = linears
        matrix = torch.cat([linear.weight.detach() for linear in linears]).t()  # (I, O)
        self.matrix = matrix if by_outputs else matrix.contiguous()
        self._shape: tuple[tuple[int, int], ...] = ()  # where each adapter begins, and its rank
        self.refresh_adapters()

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """(n, I) -> (n, O), added to `onto`."""
        y = _times(x, self.matrix)
        if onto is not None:
            y += onto
        if self.low_rank is not None:
            y += by_numpy(by_numpy(x, self.low_rank[0]), self.low_rank[1])
        return y

    @property
    def _columns(self) -> list[Tensor]:
        """Of each linear, (I, O)."""
        return list(self.matrix.split([linear.weight.shape[0] for linear in self.linears], dim=1))

    def share(self) -> None:
        """Let the linears' weights be views of the matrix, which frees their own storage."""
        for linear, columns in zip(self.linears, self._columns, strict=True):
            linear.weight.data = columns.t()

    @torch.no_grad()
    def refresh(self) -> None:
        """Follow weights that were trained. What is shared with the model follows by itself."""
        for linear, columns in zip(self.linears, self._columns, strict=True):
            if linear.weight.data_ptr() != columns.data_ptr():
                columns.copy_(linear.weight.t())

    @torch.no_grad()
    def refresh_adapters(self) -> None:
        """Follow an adapter that was trained: (I, R) and (R, O), side by side as the weights are, in place."""
        found, start = [], 0
        for linear in self.linears:
            found += [(start, a, b, scale) for a, b, scale in _low_rank(linear)]
            start += linear.weight.shape[0]
        self.low_rank: tuple[Tensor, Tensor] | None = None
        if not found:
            return
        shape = tuple((offset, len(a)) for offset, a, _, _ in found)
        if shape != self._shape:
            rank = sum(len(a) for _, a, _, _ in found)
            self._shape = shape
            self._buffers = self.matrix.new_zeros(len(self.matrix), rank), self.matrix.new_zeros(rank, start)
        lora_a, lora_b = self._buffers
        rank = 0
        for offset, a, b, scale in found:
            rows = slice(rank, rank + len(a))
            lora_a[:, rows] = a.t()
            torch.mul(b.t(), scale, out=lora_b[rows, offset : offset + len(b)])
            rank += len(a)
        self.low_rank = lora_a, lora_b


def _times(x: Tensor, matrix: Tensor) -> Tensor:
    """(n, I) @ (I, O) by what is fastest: NumPy's BLAS on one thread for a single row, and where there is too little to
    do to wake a second one; else oneDNN on all threads, which takes a half to two thirds of the time of torch's own
    choice (MKL) where eight rows are decoded on AMD's processors, and reads the weights as they lie.
    """
    if len(x) == 1 or len(x) * matrix.numel() <= ONE_THREAD:
        return by_numpy(x, matrix)
    if torch.backends.mkldnn.is_available():
        return onednn(x, matrix.t())
    return x @ matrix


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., I) and (O, I), in fp32 -> (..., O), where `torch.backends.mkldnn` is available. For weights without gaps: a
    slice of others would go through its reference, a thousand times slower."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def by_numpy(x: Tensor, matrix: Tensor) -> Tensor:
    """Also best for thin matrices, which no second thread makes faster."""
    return torch.from_numpy(x.numpy() @ matrix.numpy())


@cache
def one_blas_thread() -> None:
    """NumPy's products take one thread in this process from now on.

    OpenBLAS's threads wait for each other by spinning. A token is some two hundred short products, and whenever
    another program has one of the cores, each waits for it: 1.7 s a token were measured in place of 0.07. Alone on two
    cores a second thread would save a tenth.
    """
    threadpoolctl.threadpool_limits(1, user_api="blas")


def _low_rank(linear: Model) -> list[tuple[Tensor, Tensor, float]]:
    """A (r, I), B (O, r) and scale of each active LoRA adapter of a layer."""
    if isinstance(linear, nn.Linear) or linear.disable_adapters:
        return []
    names = [name for name in linear.active_adapters if name in linear.lora_A]
    return [(linear.lora_A[n].weight.detach(), linear.lora_B[n].weight.detach(), linear.scaling[n]) for n in names]


@dataclass(frozen=True)
class _Layer:
    norm_in: Tensor
    qkv: Product
    out: Product
    norm_mlp: Tensor
    gate_up: Product
    down: Product

    @property
    def products(self) -> tuple[Product, ...]:
        return self.qkv, self.out, self.gate_up, self.down


class FastCache:
    """Keys and values of `rows` equal-length rows, with room to grow."""

    def __init__(
        self, layers: int, rows: int, heads: int, dim: int, capacity: int, prefix: tuple[Tensor, Tensor] | None = None
    ) -> None:
        """Behind the keys and values of a `prefix`, each (layers, heads, P, dim), that all rows share."""
        self.keys = torch.empty(layers, rows, heads, capacity, dim)
        self.values = torch.empty(layers, rows, heads, capacity, dim)
        self.prefix = prefix
        self.start = prefix[0].shape[2] if prefix is not None else 0  # where the rows' own tokens begin
        self.length = self.start

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` more."""
        needed = self.length - self.start + tokens
        if needed > self.keys.shape[3]:
            extra = needed - self.keys.shape[3] + _GROWTH
            self.keys = F.pad(self.keys, (0, 0, 0, extra))
            self.values = F.pad(self.values, (0, 0, 0, extra))

    def expanded(self, rows: int, *, room: int) -> FastCache:
        """`rows` rows behind what this one-row cache holds, which must stay; with room for `room` tokens each."""
        layers, _, heads, _, dim = self.keys.shape
        prefix = self.keys[:, 0, :, : self.length], self.values[:, 0, :, : self.length]
        return FastCache(layers, rows, heads, dim, room, prefix)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


class FastDecoder:
    """The text backbone's weights, laid out for decoding. Shares what it can with the model's own parameters."""

    def __init__(self, model: Model, *, share: bool = True, trains: bool = False) -> None:
        """With `share` the model's weights become views of this decoder's (same values).

        With `trains` what is one product (q, k and v; gate and up) lies one after the other in memory, so that each can
        be read by oneDNN (`train.rl.products`). That takes a single row half as long again, so else they lie side by
        side.
        """
        one_blas_thread()
        text = model.model.language_model
        config = text.config
        self.model = model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.hidden = config.hidden_size
        with torch.no_grad():
            tied = model.lm_head.weight is text.embed_tokens.weight
            rebound = (_REBOUND, "embed_tokens") if tied else (_REBOUND,)
            if share:
                _release_file(text, rebound)
            self.layers = [self._layer(layer, share=share, trains=trains) for layer in text.layers]
            self.norm = text.norm.weight.detach()
            self.head = model.lm_head.weight.detach().t().contiguous()  # (D, V)
            if share:  # and the embedding, where the two are one
                model.lm_head.weight.data = self.head.t()
            self.embedding = text.embed_tokens.weight.detach()
            self.angles = self._rotary(text.rotary_emb, min(config.max_position_embeddings, MAX_POSITIONS))

    @staticmethod
    def supports(model: Model, *, adapters: bool = False) -> bool:
        """LLaVA around a plain Llama in fp32 on the CPU (or not loaded yet, on the meta device), not quantised, without
        biases; plain LoRA with `adapters`.
        """
        from transformers import LlamaModel, LlavaForConditionalGeneration

        if type(model) is not LlavaForConditionalGeneration or type(model.model.language_model) is not LlamaModel:
            return False
        text = model.model.language_model
        config = text.config
        linear = [module for name, module in text.named_modules() if name.endswith("_proj")]
        return (
            all(p.device.type in ("cpu", "meta") and p.dtype is torch.float32 for p in model.parameters())
            and all((_is_linear(module) or (adapters and is_lora(module))) and module.bias is None for module in linear)
            and type(model.lm_head) is nn.Linear
            and model.lm_head.bias is None
            and config.hidden_act == "silu"
            and config.rope_parameters.get("rope_type", "default") in ("default", "linear", "llama3")
        )

    def _layer(self, layer: Model, *, share: bool, trains: bool) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        packed = _Layer(
            norm_in=layer.input_layernorm.weight.detach(),
            qkv=Product(attention.q_proj, attention.k_proj, attention.v_proj, by_outputs=trains),
            out=Product(attention.o_proj),
            norm_mlp=layer.post_attention_layernorm.weight.detach(),
            gate_up=Product(mlp.gate_proj, mlp.up_proj, by_outputs=trains),
            down=Product(mlp.down_proj),
        )
        if share:
            for product in packed.products:
                product.share()
        return packed

    @torch.no_grad()
    def refresh(self, *, weights: bool) -> None:
        """Follow a training step: the adapters, and with `weights` what they sit on too."""
        for layer in self.layers:
            for product in layer.products:
                product.refresh_adapters()
                if weights:
                    product.refresh()
        if weights:
            self.head.copy_(self.model.lm_head.weight.t())

    def _rotary(self, rotary: Model, positions: int) -> Tensor:
        """(positions, 1, d / 2) complex: the turn of each pair at each position."""
        angles = torch.arange(positions)[:, None].float() * rotary.inv_freq.float().cpu()
        return torch.polar(torch.full_like(angles, rotary.attention_scaling), angles)[:, None]

    def new_cache(self, capacity: int, *, rows: int = 1) -> FastCache:
        return FastCache(len(self.layers), rows, self.kv_heads, self.dim, capacity)

    def cache_behind(self, keys: Tensor, values: Tensor, rows: int, *, room: int) -> FastCache:
        """`rows` rows with room for `room` tokens each, behind a prompt that the plain model has read: its rotated keys
        and its values, (layers, heads, P, dim)."""
        return FastCache(len(self.layers), rows, self.kv_heads, self.dim, room, (keys, values))

    def embed(self, prompt: Prompt) -> Tensor:
        """(T, D): token embeddings with the image features in their places."""
        ids = torch.tensor(prompt.ids)
        embedded = F.embedding(ids, self.embedding)
        pixels = prompt.inputs.get("pixel_values")
        if pixels is not None:
            features = self.model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
            mask = (ids == self.model.config.image_token_id)[:, None]
            embedded = embedded.masked_scatter(mask, torch.cat(list(features)))
        return embedded

    def forward(
        self, x: Tensor, cache: FastCache, *, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """(rows * n, D) -> the same, normalised; the cache grows by n.

        Row-major: the n tokens of the first row, then the second's. `positions` (n,) default to those that follow the
        cache, `mask` (n, length + n) bool to the causal one.
        """
        rows, start = cache.rows, cache.length
        count = x.shape[0] // rows
        end = start + count
        if cache.prefix is not None and count > 1:
            raise ValueError("Rows behind a shared prefix grow by one token at a time.")
        if end > len(self.angles):
            raise ValueError(f"{end} tokens are more than the {len(self.angles)} that this model can tell apart.")
        cache.reserve(count)
        turn = self.angles[start:end] if positions is None else self.angles[positions]
        turn = turn.repeat(rows, 1, 1) if rows > 1 and count > 1 else turn
        if mask is None and count > 1 and start > 0:
            mask = torch.ones(count, end, dtype=torch.bool).tril(start)
        rotated = self.heads + self.kv_heads
        split = rotated * self.dim
        shape = (self.hidden,)
        for index, layer in enumerate(self.layers):
            qkv = layer.qkv(F.rms_norm(x, shape, layer.norm_in, self.eps))
            first, second = qkv[:, :split].view(rows * count, rotated, 2, -1).unbind(2)  # of each pair that rotates
            pairs = torch.complex(first, second) * turn
            turned = torch.cat([pairs.real, pairs.imag], dim=-1).view(rows, count, rotated, self.dim)
            keys, values = cache.keys[index, :, :, : end - cache.start], cache.values[index, :, :, : end - cache.start]
            keys[:, :, start - cache.start :] = turned[:, :, self.heads :].transpose(1, 2)
            values[:, :, start - cache.start :] = qkv[:, split:].view(rows, count, self.kv_heads, -1).transpose(1, 2)
            queries = turned[:, :, : self.heads]
            if cache.prefix is None:
                attended = self._attend(queries, keys, values, mask)
            else:
                attended = _attend_behind(queries, cache.prefix[0][index], cache.prefix[1][index], keys, values)
            x = layer.out(attended, onto=x)
            gate, up = layer.gate_up(F.rms_norm(x, shape, layer.norm_mlp, self.eps)).chunk(2, dim=-1)
            x = layer.down(F.silu(gate).mul_(up), onto=x)
        cache.length = end
        return F.rms_norm(x, shape, self.norm, self.eps)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """(rows, n, H, d) queries on (rows, K, T, d) keys -> (rows * n, H * d)."""
        rows, count, heads, dim = queries.shape
        if count == 1:  # a group's query heads see the same keys: successive queries of one head, without a mask
            grouped = queries.view(rows, self.kv_heads, heads // self.kv_heads, dim)
            return F.scaled_dot_product_attention(grouped, keys, values).reshape(rows, heads * dim)
        repeats = heads // self.kv_heads
        keys, values = keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)
        mixed = F.scaled_dot_product_attention(
            queries.transpose(1, 2), keys, values, attn_mask=mask, is_causal=mask is None
        )
        return mixed.transpose(1, 2).reshape(rows * count, heads * dim)

    def logits(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, V)."""
        return _times(x, self.head)

    @torch.inference_mode()
    def step(self, ids: Tensor, cache: FastCache) -> Tensor:
        """One token a row, (rows,) -> (rows, V). For rollouts: see `FastCache.expanded` and `FastCache.keep`."""
        return self.logits(self.forward(F.embedding(ids, self.embedding), cache))


def _attend_behind(queries: Tensor, prompt_keys: Tensor, prompt_values: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(rows, 1, H, d) queries on a prompt (K, P, d) that all rows share, and on their own (rows, K, t, d) ->
    (rows, H * d).

    The rows' queries on the prompt are one product a key head, so that its keys and values are read once, not once a
    row (as in Hydragen, arXiv:2402.05099; here one softmax runs over both scores). By NumPy: no second thread is woken.
    """
    rows, _, heads, dim = queries.shape
    groups, length, _ = prompt_keys.shape
    own = queries.reshape(rows, groups, heads // groups, dim).numpy() * np.float32(dim**-0.5)
    joined = own.swapaxes(0, 1).reshape(groups, -1, dim)
    on_prompt = joined @ prompt_keys.numpy().swapaxes(1, 2)
    on_own = own @ keys.numpy().swapaxes(2, 3)
    scores = np.concatenate([on_prompt.reshape(groups, rows, -1, length).swapaxes(0, 1), on_own], axis=-1)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed = scores[..., :length].swapaxes(0, 1).reshape(groups, -1, length) @ prompt_values.numpy()
    mixed = mixed.reshape(groups, rows, -1, dim).swapaxes(0, 1) + scores[..., length:] @ values.numpy()
    return torch.from_numpy(mixed.reshape(rows, heads * dim))


def _is_linear(module: nn.Module) -> bool:
    return type(module) is nn.Linear


def is_lora(module: Model) -> bool:
    """Low-rank matrices beside a plain linear layer, and nothing else: no DoRA, no bias of their own, not merged."""
    from peft.tuners.lora.layer import Linear as LoraLinear

    return (
        type(module) is LoraLinear
        and _is_linear(module.base_layer)
        and not module.merged_adapters
        and not module.fan_in_fan_out
        and not module.lora_variant
        and not any(module.lora_bias.values())
    )


def _release_file(text: nn.Module, rebound: Sequence[str]) -> None:
    """Copy all but `rebound` out of the mapped weight file, which is let go of once those are laid out anew."""
    for name, parameter in text.named_parameters():
        if not any(part in name for part in rebound):
            parameter.data = parameter.data.clone()


class FastBackend:
    """A session's cache over a `FastDecoder`."""

    def __init__(self, decoder: FastDecoder) -> None:
        self.decoder = decoder
        self._cache: FastCache | None = None

    @property
    def length(self) -> int:
        return self._cache.length if self._cache is not None else 0

    @torch.inference_mode()
    def prefill(self, prompt: Prompt) -> Tensor:
        embedded = self.decoder.embed(prompt)
        self._cache = self.decoder.new_cache(len(prompt.ids) + _GROWTH)
        x = self.decoder.forward(embedded, self._cache)
        return self.decoder.logits(x[-1:])[0]

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        assert self._cache is not None
        x = self.decoder.forward(F.embedding(torch.tensor(ids), self.decoder.embedding), self._cache)
        return self.decoder.logits(x[-1:])[0]

    def crop(self, length: int) -> bool:
        if self._cache is None or length > self._cache.length:
            return False
        self._cache.length = length
        return True

    @torch.inference_mode()
    def continuations(self, last: Tensor, rows: Sequence[Sequence[int]]) -> list[float]:
        """All rows in one pass behind the shared prefix: each token sees the prefix and its own row only."""
        assert self._cache is not None
        first = torch.log_softmax(last, dim=-1)
        totals = [float(first[row[0]]) for row in rows]
        owners = torch.tensor([index for index, row in enumerate(rows) for _ in row[:-1]])
        if not len(owners):
            return totals
        start = self._cache.length
        tokens = torch.tensor([token for row in rows for token in row[:-1]])
        positions = start + torch.tensor([step for row in rows for step, _ in enumerate(row[:-1])])
        own = (owners[:, None] == owners[None]).tril()
        mask = torch.cat([torch.ones(len(tokens), start, dtype=torch.bool), own], dim=1)
        x = self.decoder.forward(
            F.embedding(tokens, self.decoder.embedding), self._cache, positions=positions, mask=mask
        )
        self._cache.length = start
        scores = torch.log_softmax(self.decoder.logits(x), dim=-1)
        wanted = torch.tensor([token for row in rows for token in row[1:]])
        picked = scores.gather(1, wanted[:, None])[:, 0]
        return [total + float(picked[owners == index].sum()) for index, total in enumerate(totals)]
