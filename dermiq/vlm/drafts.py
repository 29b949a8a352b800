"""Several texts behind one prompt, drawn side by side: rows that ended are dropped, the others go on together.

The log-probability of each token is that of softmax(logits / temperature) over the whole vocabulary, whatever `top_p`
and `top_k` allowed. Knows token ids; who decodes them is a `Rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.vlm.hub import Processor, Tokenizer


class Writer(Protocol):
    """What is asked of a model: `dermiq.vlm.load.VLM`."""

    processor: Processor
    end_ids: frozenset[int]
    banned_ids: frozenset[int]


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
    def of(cls, vlm: Writer, *, new_tokens: int, temperature: float, top_p: float) -> SamplingSettings:
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
class Drafts:
    completions: Tensor  # (G, T) token ids, `pad_id` after the end
    mask: Tensor  # (G, T) bool: up to and with the token that ended a row
    log_probabilities: Tensor  # (G, T) fp32, 0 after the end
    finished: Tensor  # (G,) bool: ended by itself; the others were cut at max_new_tokens

    def texts(self, tokenizer: Tokenizer) -> list[str]:
        """As a reader sees them."""
        rows = zip(self.completions, self.mask, strict=True)
        return [
            tokenizer.decode(ids[mask].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids, mask in rows
        ]


class Rows(Protocol):
    """Equal rows behind a prompt that was read."""

    def step(self, tokens: Tensor) -> Tensor:
        """(rows,) tokens -> (rows, V) logits of the next."""

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""


def drawn(rows: Rows, first: Tensor, count: int, settings: SamplingSettings, *, seed: int) -> Drafts:
    """`first` (1, V): the logits of the first token of all rows. The same seed draws the same texts."""
    logits = first.float().expand(count, -1)
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
            rows.keep(going.nonzero()[:, 0])
        if not len(alive) or step + 1 == width:
            break
        logits = rows.step(tokens).float()
    width = int(mask.sum(1).max())
    finished = torch.ones(count, dtype=torch.bool, device=device).index_fill(0, alive, False)
    return Drafts(completions[:, :width], mask[:, :width], kept[:, :width], finished)


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
