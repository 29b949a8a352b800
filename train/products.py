"""Products with frozen weights on the CPU by oneDNN, which takes less time than torch's own choice (MKL)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dermiq.vlm.fast import onednn


class _Frozen(torch.autograd.Function):
    """x -> x W^T + b, where W and b learn nothing: the gradient goes back to x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return onednn(gradients[0].contiguous(), weight.t()), None, None


@contextlib.contextmanager
def frozen_products(model: nn.Module) -> Iterator[None]:
    """Within it, the frozen linear layers in fp32 on the CPU compute so; all others as ever."""
    layers = [module for module in model.modules() if type(module) is nn.Linear]  # no quantised one, no adapter
    changed = [layer for layer in layers if torch.backends.mkldnn.is_available() and _is_frozen(layer)]
    for layer in changed:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]  # taken back below
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    result: Tensor = _Frozen.apply(x, layer.weight, layer.bias)
    return result


def _is_frozen(layer: nn.Linear) -> bool:
    if any(p.requires_grad for p in layer.parameters()):
        return False
    weight = layer.weight
    has_gaps = not (weight.is_contiguous() or weight.t().is_contiguous())
    return weight.device.type == "cpu" and weight.dtype is torch.float32 and not has_gaps
