"""Products with frozen weights: the same numbers, for those layers alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.products import frozen_products


def layer(*, bias: bool = True, turned: bool = False) -> nn.Linear:
    made = nn.Linear(24, 40, bias=bias).requires_grad_(False)
    if turned:
        made.weight.data = made.weight.t().contiguous().t()
    return made


@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
@pytest.mark.parametrize(("bias", "turned"), [(True, False), (False, True)])
def test_products_and_gradients_are_those_of_the_layer(shape: tuple[int, ...], bias: bool, turned: bool) -> None:
    torch.manual_seed(0)
    made = layer(bias=bias, turned=turned)
    x, aim = torch.randn(shape, requires_grad=True), torch.randn(*shape[:-1], 40)
    (expected,) = torch.autograd.grad((made(x) * aim).sum(), x)
    with frozen_products(made):
        assert "forward" in vars(made)
        y = made(x)
        (found,) = torch.autograd.grad((y * aim).sum(), x)
    torch.testing.assert_close(y, made(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_trained_or_cut_out_or_of_less_precision_is_left_as_it_is() -> None:
    trained, cut, half = layer().requires_grad_(), layer(), layer().to(torch.bfloat16)
    cut.weight.data = torch.randn(24, 80)[:, :40].t()
    model = nn.ModuleList([trained, cut, half])
    with frozen_products(model):
        assert not any("forward" in vars(module) for module in model)


def test_layers_are_themselves_again_after_an_error() -> None:
    made = layer()
    with pytest.raises(RuntimeError), frozen_products(made):
        made(torch.randn(3, 7))
    assert "forward" not in vars(made)
