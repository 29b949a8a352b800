"""Samples a group of completions: the prompt and its images are read once, then all rows are decoded together.

    sampler = Sampler(model)                                          # once
    rollout = sampler.sample(inputs, 8, SamplingSettings(...), seed=step)
    sampler.refresh()                                                 # after each optimizer step

Rows that ended are dropped from the batch. The log-probability of each token is that of softmax(logits / temperature)
over the whole vocabulary, whatever `top_p` and `top_k` allowed: the policy that `train.rl.group_loss` computes. LLaVA
around a Llama in fp32 on the CPU goes through `dermiq.vlm.compact`, all else through the model's own forward and
cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from dermiq.vlm.compact import CompactDecoder, CompactRows
from dermiq.vlm.drafts import Drafts, Rows, SamplingSettings, drawn
from dermiq.vlm.hub import Model
from dermiq.vlm.prompt_inputs import Prompt
from train.rl.prefix import Group, Policy, Prefix


class Rollout(Drafts):
    """Completions of one prompt."""

    def group(self, inputs: Mapping[str, Tensor]) -> Group:
        return Group(inputs, self.completions, self.mask)


class Sampler:
    def __init__(self, model: Model, *, fast: bool = True) -> None:
        """With `fast` the decoder on compact weights where it can compute this model.

        The decoder keeps the adapter beside the weights: it follows the training with small copies, and needs no second
        model. Weights that train, or were never rounded, are read where they lie.
        """
        self.model = model
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self._decoder: CompactDecoder | None = None
        if fast and CompactDecoder.supports(base, adapters=True):
            trains = any(p.requires_grad and "lora_" not in n for n, p in base.named_parameters() if "_proj" in n)
            trains |= any(p.requires_grad for p in base.get_output_embeddings().parameters())
            self._decoder = CompactDecoder(base, live=True, trains_weights=trains)

    @property
    def is_fast(self) -> bool:
        return self._decoder is not None

    def refresh(self) -> None:
        """Follow a training step."""
        if self._decoder is not None:
            self._decoder.refresh()

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

        `prefix`: the prompt as the model has read it already; only where `is_fast`.
        """
        with _evaluating(self.model):
            policy, room = Policy(self.model), settings.max_new_tokens
            rows: Rows
            if prefix is not None:
                assert self._decoder is not None
                rows, first = self._behind(self._decoder, prefix, count, room)
            elif self._decoder is not None:
                rows, first = self._read(self._decoder, policy.prompt_inputs(inputs), count, room)
            else:
                rows = plain = _Plain(policy, policy.prompt_inputs(inputs), count)
                first = plain.first
            return Rollout(**vars(drawn(rows, first, count, settings, seed=seed)))

    @staticmethod
    def _read(decoder: CompactDecoder, inputs: Mapping[str, Tensor], count: int, room: int) -> tuple[Rows, Tensor]:
        """Rows behind a prompt, and the logits (1, V) of their first token."""
        ids = tuple(inputs["input_ids"][0].tolist())
        cache = decoder.new_cache(len(ids))
        logits = decoder.forward(decoder.embed(Prompt(ids, inputs, image_end=0))[None], cache)
        wide = decoder.copied(cache, rows=count, capacity=len(ids) + room)
        return CompactRows(decoder, wide), torch.from_numpy(logits[0])

    @staticmethod
    def _behind(decoder: CompactDecoder, prefix: Prefix, count: int, room: int) -> tuple[Rows, Tensor]:
        """The same behind a prompt that the model has read."""
        keys, values = ([one.detach().numpy() for one in held] for held in (prefix.keys, prefix.values))
        cache = decoder.behind(keys, values, rows=count, capacity=prefix.length + room)
        return CompactRows(decoder, cache), decoder.model.lm_head(prefix.last[0].detach())


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
