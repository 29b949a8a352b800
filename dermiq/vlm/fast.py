"""A lean decoder for LLaVA models with a Llama text backbone, on the CPU in fp32.

The library's decoding step spends most of its time outside the matrix products: growing the cache by copying it,
rotary tables, small kernels, Python. Here weights are stored transposed and contiguous (for one row `x @ w_t` is
faster than `F.linear`), q/k/v and gate/up are one product each, the cache is allocated ahead, rotary angles are
complex numbers computed once, and grouped query heads are attended to as if they were successive queries. Logits
equal the plain model's to rounding. Knows no text and no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermiq.vlm.prompt_inputs import Prompt

MAX_POSITIONS = 32_768
_GROWTH = 512  # tokens by which a full cache grows


@dataclass(frozen=True)
class _Layer:
    norm_in: Tensor
    qkv: Tensor  # (D, (H + 2 K) * d), q and k columns paired for complex rotation
    out: Tensor  # (H * d, D)
    norm_mlp: Tensor
    gate_up: Tensor  # (D, 2 * I)
    down: Tensor  # (I, D)


class FastCache:
    """Keys and values of `rows` equal-length rows, with room to grow."""

    def __init__(self, layers: int, rows: int, heads: int, dim: int, capacity: int) -> None:
        self.keys = torch.empty(layers, rows, heads, capacity, dim)
        self.values = torch.empty(layers, rows, heads, capacity, dim)
        self.length = 0

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` more."""
        needed = self.length + tokens
        if needed > self.keys.shape[3]:
            extra = needed - self.keys.shape[3] + _GROWTH
            self.keys = F.pad(self.keys, (0, 0, 0, extra))
            self.values = F.pad(self.values, (0, 0, 0, extra))

    def expanded(self, rows: int, *, room: int) -> FastCache:
        """A copy of a one-row cache with `rows` equal rows and room for `room` more tokens."""
        layers, _, heads, _, dim = self.keys.shape
        copy = FastCache(layers, rows, heads, dim, self.length + room)
        copy.keys[:, :, :, : self.length] = self.keys[:, :, :, : self.length]
        copy.values[:, :, :, : self.length] = self.values[:, :, :, : self.length]
        copy.length = self.length
        return copy

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


class FastDecoder:
    """The text backbone's weights, laid out for decoding. Shares what it can with the model's own parameters."""

    def __init__(self, model: Any, *, share: bool = True) -> None:
        """With `share` the model's o, gate, up and down weights become views of this decoder's (same values)."""
        text = model.model.language_model
        config = text.config
        self.model = model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.hidden = config.hidden_size
        with torch.no_grad():
            if share:
                _release_file(text)
            self.layers = [self._layer(layer, share=share) for layer in text.layers]
            self.embedding = text.embed_tokens.weight.detach()
            self.norm = text.norm.weight.detach()
            self.head = model.lm_head.weight.detach().t().contiguous()  # (D, V)
            self.angles = self._rotary(text.rotary_emb, min(config.max_position_embeddings, MAX_POSITIONS))

    @staticmethod
    def supports(model: Any) -> bool:
        """LLaVA around a plain Llama in fp32 on the CPU, not quantised, without biases or adapters."""
        from transformers import LlamaModel, LlavaForConditionalGeneration

        if type(model) is not LlavaForConditionalGeneration or type(model.model.language_model) is not LlamaModel:
            return False
        text = model.model.language_model
        config = text.config
        linear = [module for name, module in text.named_modules() if name.endswith("_proj")]
        return (
            all(p.device.type == "cpu" and p.dtype is torch.float32 for p in model.parameters())
            and all(type(module) is nn.Linear and module.bias is None for module in linear)
            and type(model.lm_head) is nn.Linear
            and model.lm_head.bias is None
            and config.hidden_act == "silu"
            and config.rope_parameters.get("rope_type", "default") in ("default", "linear", "llama3")
        )

    def _layer(self, layer: Any, *, share: bool) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        queries = self._paired(attention.q_proj.weight, self.heads)
        keys = self._paired(attention.k_proj.weight, self.kv_heads)
        gates = mlp.gate_proj.weight.shape[0]
        packed = _Layer(
            norm_in=layer.input_layernorm.weight.detach(),
            qkv=torch.cat([queries, keys, attention.v_proj.weight]).t().contiguous(),
            out=attention.o_proj.weight.detach().t().contiguous(),
            norm_mlp=layer.post_attention_layernorm.weight.detach(),
            gate_up=torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).t().contiguous(),
            down=mlp.down_proj.weight.detach().t().contiguous(),
        )
        if share:  # rebinding the parameters frees their own storage
            attention.o_proj.weight.data = packed.out.t()
            mlp.gate_proj.weight.data = packed.gate_up[:, :gates].t()
            mlp.up_proj.weight.data = packed.gate_up[:, gates:].t()
            mlp.down_proj.weight.data = packed.down.t()
        return packed

    def _paired(self, weight: Tensor, heads: int) -> Tensor:
        """Rows reordered so that the two numbers that rotate together lie side by side (scores do not change)."""
        return weight.view(heads, 2, self.dim // 2, -1).transpose(1, 2).reshape(weight.shape)

    def _rotary(self, rotary: Any, positions: int) -> Tensor:
        """(positions, 1, d / 2) complex: the turn of each pair at each position."""
        angles = torch.arange(positions)[:, None].float() * rotary.inv_freq.float().cpu()
        return torch.polar(torch.full_like(angles, rotary.attention_scaling), angles)[:, None]

    def new_cache(self, capacity: int, *, rows: int = 1) -> FastCache:
        return FastCache(len(self.layers), rows, self.kv_heads, self.dim, capacity)

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
            qkv = F.rms_norm(x, shape, layer.norm_in, self.eps).mm(layer.qkv)
            pairs = torch.view_as_complex(qkv[:, :split].view(rows * count, rotated, -1, 2))
            turned = torch.view_as_real(pairs * turn).view(rows, count, rotated, self.dim)
            keys, values = cache.keys[index], cache.values[index]
            keys[:, :, start:end] = turned[:, :, self.heads :].transpose(1, 2)
            values[:, :, start:end] = qkv[:, split:].view(rows, count, self.kv_heads, self.dim).transpose(1, 2)
            attended = self._attend(turned[:, :, : self.heads], keys[:, :, :end], values[:, :, :end], mask)
            x = torch.addmm(x, attended, layer.out)
            gate, up = F.rms_norm(x, shape, layer.norm_mlp, self.eps).mm(layer.gate_up).chunk(2, dim=1)
            x = torch.addmm(x, F.silu(gate).mul_(up), layer.down)
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
        return x.mm(self.head)

    @torch.inference_mode()
    def step(self, ids: Tensor, cache: FastCache) -> Tensor:
        """One token a row, (rows,) -> (rows, V). For rollouts: see `FastCache.expanded` and `FastCache.keep`."""
        return self.logits(self.forward(F.embedding(ids, self.embedding), cache))


def _release_file(text: nn.Module) -> None:
    """Copy what stays as it is out of the mapped weight file, which is let go of once the rest is laid out anew."""
    rebound = ("o_proj", "gate_proj", "up_proj", "down_proj")
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
