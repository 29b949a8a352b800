"""The shared prefix against whole sequences: equal gradients, log-probabilities and losses, or a refusal in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.vlm.load import VLM
from tests.tiny import picture, tiny
from train import group_loss
from train.group_loss import accumulate_gradients, log_probabilities
from train.policy_loss import LossSettings, Targets, token_loss, token_weights
from train.prefix import Group, reference, split_batch

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft

FAMILIES = ("llava", "nano", "idefics3", "smolvlm", "qwen2_5_vl")
LENGTHS = (5, 9, 1, 9, 3)
ASK = [{"role": "user", "content": "What is this lesion, and why?"}]
TARGETS = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def model_with(family: str, *, lora: bool = False, layers: int = 2) -> tuple[Any, Any]:
    """A tiny model; full training leaves out what the towers of a real run leave out: nothing."""
    model, processor = tiny(family, layers=layers)
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False))
    return model, processor


def inputs_for(model: Any, processor: Any, *, images: int = 1, text: str = "") -> dict[str, Tensor]:
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    vlm = VLM(base, processor, name="tiny", revision="test", fast=False)
    ask = [{"role": "user", "content": text}] if text else ASK
    prompt = vlm.encoder.encode(ask, [picture(seed, height=60 + 20 * seed) for seed in range(images)])
    inputs = dict(prompt.inputs)
    inputs.pop("attention_mask")
    return inputs


def group_for(inputs: dict[str, Tensor], lengths: tuple[int, ...] = LENGTHS, *, seed: int = 0) -> Group:
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return Group(inputs, torch.randint(40, 300, mask.shape).masked_fill(~mask, 0), mask)


def targets_for(group: Group, logps: Tensor, *, normaliser: Any = "tokens", old: bool = True) -> Targets:
    """Ratios far enough from one that some are clipped."""
    torch.manual_seed(1)
    rows, width = group.mask.shape
    return Targets(
        advantages=torch.randn(rows),
        weights=token_weights(group.mask, normaliser, sequences=rows, tokens=float(group.mask.sum())),
        old=logps + 0.5 * torch.randn(rows, width) if old else None,
        reference=logps + 0.3 * torch.randn(rows, width),
    )


def plain_scores(model: Any, group: Group, *, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies, (G, T) each, from whole sequences one by one; nothing is shared."""
    rows = []
    for ids, length in zip(group.completions, group.lengths.tolist(), strict=True):
        prompt = group.inputs["input_ids"]
        inputs = dict(group.inputs) | {"input_ids": torch.cat([prompt, ids[None, :length]], 1)}
        for name in ("mm_token_type_ids", "token_type_ids"):
            if name in inputs:
                inputs[name] = torch.nn.functional.pad(inputs[name], (0, length))
        logits = model(**inputs, use_cache=False).logits[0, prompt.shape[1] - 1 : -1].float() / temperature
        scores = torch.log_softmax(logits, -1)
        pad = (0, group.mask.shape[1] - length)
        logps = scores.gather(1, ids[:length, None])[:, 0]
        entropy = -(scores.exp() * scores).sum(-1)
        rows.append(torch.stack([torch.nn.functional.pad(x, pad) for x in (logps, entropy)]))
    both = torch.stack(rows, 1)
    return both[0], both[1]


def plain_gradients(model: Any, group: Group, targets: Targets, settings: LossSettings) -> tuple[float, list[Tensor]]:
    model.zero_grad()
    logps, entropies = plain_scores(model, group, temperature=settings.temperature)
    row, column = group.mask.nonzero(as_tuple=True)
    aims = targets.at(row, column)
    loss = (aims.weights * token_loss(logps[row, column], entropies[row, column], aims, settings).loss).sum()
    loss.backward()
    return float(loss.detach()), gradients(model)


def gradients(model: Any) -> list[Tensor]:
    return [
        torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in model.parameters() if p.requires_grad
    ]


def relative_difference(actual: list[Tensor], expected: list[Tensor]) -> float:
    gap = sum(float((a - b).double().pow(2).sum()) for a, b in zip(actual, expected, strict=True))
    size = sum(float(b.double().pow(2).sum()) for b in expected)
    assert size > 0
    return (gap / size) ** 0.5


def assert_exact(model: Any, group: Group, targets: Targets, settings: LossSettings, **options: Any) -> None:
    expected_loss, expected = plain_gradients(model, group, targets, settings)
    model.zero_grad()
    result = accumulate_gradients(model, group, targets, settings, **options)
    assert result.loss == pytest.approx(expected_loss, rel=1e-4, abs=1e-6)
    assert relative_difference(gradients(model), expected) <= 1e-5


EVERYTHING = LossSettings(clip_low=0.1, clip_high=0.3, beta=0.2, entropy_bonus=0.05, temperature=0.8)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_equal_those_of_whole_sequences(family: str, lora: bool) -> None:
    model, processor = model_with(family, lora=lora)
    group = group_for(inputs_for(model, processor, images=2))
    with torch.no_grad():
        logps, _ = plain_scores(model, group)
    assert_exact(model, group, targets_for(group, logps), EVERYTHING, chunk=2, tile=4)
