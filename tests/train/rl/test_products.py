"""Products with frozen weights: the same numbers, for those layers alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from train.rl.products import frozen_products

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft


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


def adapted(**changes: Any) -> Any:
    """A module with one linear layer and a LoRA adapter that learns."""
    model = nn.Sequential(layer())
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["0"], init_lora_weights=False, **changes)
    return get_peft_model(model, config)


@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
@pytest.mark.parametrize("input_learns", [True, False])
def test_a_layer_with_an_adapter_learns_the_same(shape: tuple[int, ...], input_learns: bool) -> None:
    torch.manual_seed(0)
    model = adapted()
    x, aim = torch.randn(shape, requires_grad=input_learns), torch.randn(*shape[:-1], 40)
    learns = [p for p in (x, *model.parameters()) if p.requires_grad]
    assert len(learns) == 2 + input_learns
    expected = torch.autograd.grad((model(x) * aim).sum(), learns)
    with frozen_products(model):
        assert "forward" in vars(model.base_model.model[0])
        y = model(x)
        found = torch.autograd.grad((y * aim).sum(), learns)
    torch.testing.assert_close(y, model(x), rtol=1e-5, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_an_adapter_that_is_off_is_off() -> None:
    model = adapted()
    x = torch.randn(5, 24)
    with model.disable_adapter(), frozen_products(model):
        torch.testing.assert_close(model(x), model.base_model.model[0].base_layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}])
def test_adapters_that_compute_something_else_are_left_as_they_are(changes: dict[str, Any]) -> None:
    model = adapted(**changes).train()
    with frozen_products(model):
        assert "forward" not in vars(model.base_model.model[0])
        assert "forward" in vars(model.base_model.model[0].base_layer)


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
