"""Samples a group of completions: the prompt and its images are read once, then all rows are decoded together.

    sampler = Sampler(model)                                          # once
    rollout = sampler.sample(inputs, 8, SamplingSettings(...), seed=step)
    sampler.refresh()                                                 # after each optimizer step

Rows that ended are dropped from the batch. The log-probability of each token is that of softmax(logits / temperature)
over the whole vocabulary, whatever `top_p` and `top_k` allowed: the policy that `train.rl.group_loss` computes. LLaVA
around a Llama in fp32 on the CPU goes through `dermiq.vlm.fast`, all else through the model's own forward and cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache

from dermiq.errors import ModelError
from dermiq.vlm.fast import FastCache, FastDecoder
from dermiq.vlm.hub import Model, Tokenizer
from dermiq.vlm.prompt_inputs import Prompt
from train.rl.memory import release
from train.rl.prefix import Group, Policy, Prefix

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM


@dataclass(frozen=True)
class SamplingSettings:
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    end_ids: tuple[int, ...] = ()  # each ends a completion, and is its last token
    banned_ids: tuple[int, ...] = ()  # never sampled: image placeholders
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ModelError("A group needs a temperature above 0: without it all completions are the same.")
        if not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_new_tokens < 1:
            raise ModelError("Sampling needs 0 < top_p <= 1, top_k >= 0 and max_new_tokens >= 1.")

    @classmethod
    def of(cls, vlm: VLM, *, new_tokens: int, temperature: float, top_p: float) -> SamplingSettings:
        """With the tokens that end a model's answer, and those that it must not write."""
        return cls(
            max_new_tokens=new_tokens,
            temperature=temperature,
            top_p=top_p,
            end_ids=tuple(sorted(vlm.end_ids)),
            banned_ids=tuple(sorted(vlm.banned_ids - vlm.end_ids)),
            pad_id=vlm.processor.tokenizer.pad_token_id or 0,
        )


@dataclass(frozen=True)
class Rollout:
    completions: Tensor  # (G, T) token ids, `pad_id` after the end
    mask: Tensor  # (G, T) bool: up to and with the token that ended a row
    log_probabilities: Tensor  # (G, T) fp32, 0 after the end
    finished: Tensor  # (G,) bool: ended by itself; the others were cut at max_new_tokens

    def group(self, inputs: Mapping[str, Tensor]) -> Group:
        return Group(inputs, self.completions, self.mask)

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """As a reader sees them."""
        rows = zip(self.completions, self.mask, strict=True)
        return [
            tokenizer.decode(ids[mask].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids, mask in rows
        ]


class Sampler:
    def __init__(self, model: Model, *, fast: bool = True) -> None:
        """With `fast` the lean decoder where it can compute this model. Frozen weights are then shared, laid out anew.

        The decoder keeps the adapter beside the weights: it follows the training with small copies, and needs no second
        model. Where the weights themselves train it keeps its own copy of them.
        """
        self.model = model
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self._decoder: FastDecoder | None = None
        self._trains_weights = any(
            p.requires_grad and "lora_" not in n for n, p in base.named_parameters() if "_proj" in n
        )
        self._trains_weights |= any(p.requires_grad for p in base.get_output_embeddings().parameters())
        if fast and FastDecoder.supports(base, adapters=True):
            trains = any(p.requires_grad for p in base.parameters())
            self._decoder = FastDecoder(base, share=not self._trains_weights, trains=trains)
            release()  # the weights that were laid out anew

    @property
    def is_fast(self) -> bool:
        return self._decoder is not None

    def refresh(self) -> None:
        """Follow a training step."""
        if self._decoder is not None:
            self._decoder.refresh(weights=self._trains_weights)

    def close(self) -> None:
        """Lay the shared weights out as they were: only then can the whole model be saved. Sampling ends."""
        self._decoder = None
        for parameter in self.model.parameters():
            data = parameter.data
            is_slice = data.untyped_storage().nbytes() > data.nbytes
            parameter.data = data.clone(memory_format=torch.contiguous_format) if is_slice else data.contiguous()

    @torch.no_grad()
    def sample(
        self,
        inputs: Mapping[str, Tensor],
        count: int,
        settings: SamplingSettings,
        *,
        seed: int,
        prefix: Prefix | None = None,
    ) -> Rollout:
        """`count` completions of one prompt, (1, P) unpadded. The same seed gives the same completions.

        `prefix`: the prompt as the model has read it already; only for the lean decoder (`is_fast`).
        """
        with _evaluating(self.model):
            decoding: _Decoding
            if prefix is not None:
                assert self._decoder is not None
                decoding = _Fast.behind(self._decoder, prefix, count, room=settings.max_new_tokens)
            elif self._decoder is not None:
                prompt = Policy(self.model).prompt_inputs(inputs)
                decoding = _Fast.read(self._decoder, prompt, count, room=settings.max_new_tokens)
            else:
                policy = Policy(self.model)
                decoding = _Plain(policy, policy.prompt_inputs(inputs), count)
            return _decode(decoding, count, settings, seed)


def _decode(decoding: _Decoding, count: int, settings: SamplingSettings, seed: int) -> Rollout:
    logits = decoding.first.float().expand(count, -1)
    device, width = logits.device, settings.max_new_tokens
    completions = torch.full((count, width), settings.pad_id, device=device)
    mask = torch.zeros(count, width, dtype=torch.bool, device=device)
    kept = torch.zeros(count, width, device=device)
    alive = torch.arange(count, device=device)
    ends = torch.tensor(settings.end_ids, dtype=torch.long, device=device)
    generator = torch.Generator().manual_seed(seed)
    for step in range(width):
        # a number for every row, ended or not, so that a row does not depend on when the others end
        numbers = torch.rand(count, generator=generator, dtype=torch.float64).to(device)[alive]
        scores = torch.log_softmax(logits / settings.temperature, dim=-1)
        tokens = draw(allowed(scores.exp(), settings), numbers)
        completions[alive, step], mask[alive, step] = tokens, True
        kept[alive, step] = scores.gather(1, tokens[:, None])[:, 0]
        going = ~torch.isin(tokens, ends)
        if not going.all():
            alive, tokens = alive[going], tokens[going]
            decoding.keep(going.nonzero()[:, 0])
        if not len(alive) or step + 1 == width:
            break
        logits = decoding.step(tokens).float()
    width = int(mask.sum(1).max())
    finished = torch.ones(count, dtype=torch.bool, device=device).index_fill(0, alive, False)
    return Rollout(completions[:, :width], mask[:, :width], kept[:, :width], finished)


def allowed(probabilities: Tensor, settings: SamplingSettings) -> Tensor:
    """(n, V) with 0 where a token must not be drawn: banned, then outside `top_k`, then outside the nucleus `top_p`."""
    if settings.banned_ids:
        banned = torch.tensor(settings.banned_ids, device=probabilities.device)
        probabilities = probabilities.index_fill(1, banned, 0.0)
    if 0 < settings.top_k < probabilities.shape[1]:
        least = probabilities.topk(settings.top_k).values[:, -1:]
        probabilities = probabilities.where(probabilities >= least, 0.0)
    if settings.top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        outside = before >= settings.top_p * ordered.sum(-1, keepdim=True)  # the token that crosses top_p stays
        probabilities = torch.zeros_like(ordered).scatter(1, order, ordered.masked_fill(outside, 0.0))
    return probabilities


def draw(probabilities: Tensor, numbers: Tensor) -> Tensor:
    """(n, V) weights and (n,) numbers in [0, 1), double -> (n,) tokens, by inverting the distribution function."""
    heights = probabilities.double().cumsum(-1)
    places = torch.searchsorted(heights, numbers[:, None] * heights[:, -1:], right=True)
    return places[:, 0].clamp(max=probabilities.shape[1] - 1)


class _Decoding(Protocol):
    """A prompt that was read, and the rows that grow behind it."""

    first: Tensor  # (1, V): logits of the first token

    def step(self, tokens: Tensor) -> Tensor:
        """(rows,) tokens -> (rows, V) logits of the next."""

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""


class _Plain:
    """The model's own forward and cache."""

    def __init__(self, policy: Policy, inputs: Mapping[str, Tensor], rows: int) -> None:
        self.policy = policy
        self.cache = DynamicCache(config=policy.backbone.config)
        hidden = policy.backbone(**inputs, past_key_values=self.cache, use_cache=True).last_hidden_state
        self.first = policy.head(hidden[:, -1])
        length = inputs["input_ids"].shape[1]
        self.position = int(inputs["position_ids"].max()) + 1 if "position_ids" in inputs else length
        self.cache.batch_repeat_interleave(rows)

    def step(self, tokens: Tensor) -> Tensor:
        positions = self.policy.positions(self.position, len(tokens), 1)
        self.position += 1
        output = self.policy.backbone(
            input_ids=tokens[:, None], past_key_values=self.cache, use_cache=True, **positions
        )
        logits: Tensor = self.policy.head(output.last_hidden_state[:, -1])
        return logits

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)


class _Fast:
    """The lean decoder."""

    def __init__(self, decoder: FastDecoder, hidden: Tensor, cache: FastCache) -> None:
        """`hidden` (1, D) predicts the first token of all rows of the cache."""
        self.decoder, self.cache = decoder, cache
        self.first = decoder.logits(hidden)

    @classmethod
    def read(cls, decoder: FastDecoder, inputs: Mapping[str, Tensor], rows: int, *, room: int) -> _Fast:
        ids = tuple(inputs["input_ids"][0].tolist())
        cache = decoder.new_cache(len(ids))
        hidden = decoder.forward(decoder.embed(Prompt(ids, inputs, image_end=0)), cache)
        return cls(decoder, hidden[-1:], cache.expanded(rows, room=room))

    @classmethod
    def behind(cls, decoder: FastDecoder, prefix: Prefix, rows: int, *, room: int) -> _Fast:
        cache = decoder.cache_behind(torch.cat(prefix.keys), torch.cat(prefix.values), rows, room=room)
        return cls(decoder, prefix.last[0], cache)

    def step(self, tokens: Tensor) -> Tensor:
        return self.decoder.logits(self.decoder.forward(F.embedding(tokens, self.decoder.embedding), self.cache))

    def keep(self, rows: Tensor) -> None:
        self.cache.keep(rows)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and running statistics, and back to what each module was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
