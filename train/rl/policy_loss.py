"""The GRPO family's loss of one token, and how tokens are weighed against each other.

    ratio = exp(logp - old)
    loss  = -min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A) + beta * kl - entropy_bonus * H
    kl    = exp(reference - logp) - (reference - logp) - 1

Clipping is PPO's (Schulman et al. 2017, arXiv 1707.06347) with the two bounds of DAPO (arXiv 2503.14476); `kl` is the
estimator k3 of Schulman's note "Approximating KL Divergence", as in GRPO (arXiv 2402.03300), or ratio times that, whose
gradient is unbiased also off policy (DeepSeek-V3.2, arXiv 2512.02556). The step's loss is the sum
of weight * loss over its tokens; every function here looks at one token at a time, so a loss can be summed in any order
and in any pieces. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Normaliser = Literal["sequence", "tokens", "constant"]


@dataclass(frozen=True)
class LossSettings:
    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0  # weight of the divergence from the reference
    kl_by_ratio: bool = False
    entropy_bonus: float = 0.0
    temperature: float = 1.0  # that of sampling: the policy is softmax(logits / temperature)


@dataclass(frozen=True)
class Targets:
    """What each completion token of a group is pushed by."""

    advantages: Tensor  # (G,) one a completion, or (G, T)
    weights: Tensor  # (G, T), 0 where nothing is learnt; see `token_weights`
    old: Tensor | None = None  # (G, T) log-probabilities when sampled; None: those of now
    reference: Tensor | None = None  # (G, T) of the reference, needed when beta is not 0

    def at(self, rows: Tensor, columns: Tensor) -> Targets:
        """The same for n single tokens, all (n,)."""
        return Targets(
            advantages=self.advantages[rows] if self.advantages.ndim == 1 else self.advantages[rows, columns],
            weights=self.weights[rows, columns],
            old=None if self.old is None else self.old[rows, columns],
            reference=None if self.reference is None else self.reference[rows, columns],
        )


class TokenLoss(NamedTuple):
    """All (n,)."""

    loss: Tensor
    ratio: Tensor
    clipped: Tensor  # bool: the bound took the gradient away
    kl: Tensor  # 0 without a reference


def token_loss(logps: Tensor, entropies: Tensor, targets: Targets, settings: LossSettings) -> TokenLoss:
    """Log-probabilities and entropies of n tokens under the policy of now, (n,) each -> their losses."""
    old = logps.detach() if targets.old is None else targets.old
    ratio = torch.exp(logps - old)
    free = ratio * targets.advantages
    bounded = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high) * targets.advantages
    loss = -torch.minimum(free, bounded)
    kl = torch.zeros_like(logps)
    if targets.reference is not None:
        gap = targets.reference - logps
        kl = gap.exp() - gap - 1
        kl = kl * ratio if settings.kl_by_ratio else kl
    if settings.beta:
        loss = loss + settings.beta * kl
    if settings.entropy_bonus:
        loss = loss - settings.entropy_bonus * entropies
    return TokenLoss(loss, ratio.detach(), (bounded < free).detach(), kl.detach())


def token_weights(mask: Tensor, normaliser: Normaliser, *, sequences: int, tokens: float) -> Tensor:
    """(G, T) mask of the tokens that count -> their weights. `sequences` completions make up the whole step.

    sequence  mean over each completion, then over completions (GRPO);
    tokens    mean over all tokens, of which the step has `tokens` (DAPO);
    constant  the same for every token whatever the lengths: `tokens` is then sequences * max_new_tokens (Dr. GRPO).
    """
    counted = mask.float()
    if normaliser == "sequence":
        return counted / counted.sum(1, keepdim=True).clamp(min=1) / sequences
    return counted / max(tokens, 1.0)
