"""LoRA adapters as the decoder on compact weights needs them: active beside a layer, or merged into it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dermiq.vlm.hub import Model

LowRank = tuple[Tensor, Tensor, float]
"""A (r, I), B (O, r) and scale: W + scale B A."""


def merged_into(model: nn.Module) -> dict[str, list[LowRank]]:
    """Module name -> each low-rank part that was added to its weights, so that the rounded base can be found behind
    them. Who merges adds to it.
    """
    found: dict[str, list[LowRank]] = model.__dict__.setdefault("merged_low_rank", {})
    return found


def remember(model: nn.Module) -> None:
    """Of every LoRA layer in a model, what its active adapters are about to add to its weights."""
    for name, module in model.named_modules():
        if is_lora(module):
            parts = [(a.clone(), b.clone(), scale) for a, b, scale in active(module)]
            merged_into(model).setdefault(name, []).extend(parts)


def is_lora(module: Any) -> bool:
    """Low-rank matrices beside a plain linear layer, and nothing else: no DoRA, no bias of their own, not merged."""
    from peft.tuners.lora.layer import Linear as LoraLinear

    return (
        type(module) is LoraLinear
        and type(module.base_layer) is nn.Linear
        and not module.merged_adapters
        and not module.fan_in_fan_out
        and not module.lora_variant
        and not any(module.lora_bias.values())
    )


def active(layer: Model) -> list[LowRank]:
    """What each adapter that is active on a layer adds to its weights."""
    if type(layer) is nn.Linear or layer.disable_adapters:
        return []
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    return [(layer.lora_A[n].weight.detach(), layer.lora_B[n].weight.detach(), layer.scaling[n]) for n in names]
