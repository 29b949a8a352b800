"""Linear layers with frozen weights on the CPU, with or without a LoRA adapter in training, in less time.

The products with frozen weights are oneDNN's, in place of torch's own choice (MKL). An adapter's thin products are
NumPy's on one thread: to wake a second one takes longer than they do. Both are exact to rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import threadpoolctl
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dermiq.vlm.hub import Model
from dermiq.vlm.merged import is_lora


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


class _Adapted(torch.autograd.Function):
    """x -> x W^T + b + s (x A^T) B^T, where A (r, I) and B (O, r) learn: LoRA (arXiv:2106.09685, equation 3).

    As one function it passes over the output once for the adapter, where PEFT's layers scale and add by passes of
    their own, forth and back, and it keeps nothing but x and the (n, r) numbers between A and B.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, lora_a: Tensor, lora_b: Tensor, scale: float
    ) -> Tensor:
        a, b, rows = lora_a.detach(), lora_b.detach(), x.detach().flatten(0, -2)
        y = onednn(rows, weight, bias)
        low = by_numpy(rows, a.t())
        y += by_numpy(low, (b * scale).t())
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b, low = ctx.saved_tensors
        rows, at_y = x.detach().flatten(0, -2), gradients[0].flatten(0, -2).contiguous()
        at_low = by_numpy(at_y, b * ctx.scale)
        at_x = None
        if ctx.needs_input_grad[0]:
            at_x = onednn(at_y, weight.t())
            at_x += by_numpy(at_low, a)
            at_x = at_x.view(x.shape)
        return at_x, None, None, by_numpy(at_low.t(), rows), by_numpy(at_y.t(), low * ctx.scale), None


@contextlib.contextmanager
def frozen_products(model: nn.Module) -> Iterator[None]:
    """Within it, linear layers whose weights are frozen, in fp32 on the CPU, compute so; all others as ever."""
    changed = _replacements(model)
    if changed:
        one_blas_thread()
    for layer, forward in changed.items():
        layer.forward = forward  # taken back below
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def _replacements(model: nn.Module) -> dict[nn.Module, Model]:
    if not torch.backends.mkldnn.is_available() or torch.is_autocast_enabled("cpu"):
        return {}
    found: dict[nn.Module, Model] = {}
    for layer in model.modules():
        if type(layer) is nn.Linear and _is_frozen(layer):  # no quantised one, no adapter's own
            found[layer] = partial(_frozen, layer)
        elif (name := _adapter(layer)) is not None:
            found[layer] = partial(_adapted, layer, name)
    return found


def _frozen(layer: nn.Linear, x: Tensor) -> Tensor:
    result: Tensor = _Frozen.apply(x, layer.weight, layer.bias)
    return result


def _adapted(layer: Model, name: str, x: Tensor) -> Tensor:
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    result: Tensor = _Adapted.apply(x, base.weight, base.bias, a, b, layer.scaling[name])
    return result


def _is_frozen(layer: nn.Linear) -> bool:
    if any(p.requires_grad for p in layer.parameters()):
        return False
    weight = layer.weight
    has_gaps = not (weight.is_contiguous() or weight.t().is_contiguous())
    return weight.device.type == "cpu" and weight.dtype is torch.float32 and not has_gaps


def _adapter(layer: Model) -> str | None:
    """The one adapter that is active on a PEFT layer, where it is plain LoRA in fp32 on frozen weights."""
    if not is_lora(layer) or layer.disable_adapters or not _is_frozen(layer.base_layer):
        return None
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    if len(names) != 1:
        return None
    (name,) = names
    dropout = layer.lora_dropout[name]
    weights = (layer.lora_A[name].weight, layer.lora_B[name].weight)
    drops = isinstance(dropout, nn.Dropout) and dropout.p > 0 and dropout.training
    return None if drops or any(w.dtype is not torch.float32 for w in weights) else name
