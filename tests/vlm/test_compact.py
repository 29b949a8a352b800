"""The decoder on compact weights against the plain model: equal logits, exact levels, rows side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dermiq.vlm.compact import CompactBackend, CompactDecoder
from dermiq.vlm.load import VLM
from dermiq.vlm.merged import merged_into
from dermiq.vlm.packed import BLOCK, eight_bits, four_bits
from dermiq.vlm.prompt_inputs import Prompt
from tests.tiny import picture, tiny

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft

ASK = [{"role": "user", "content": "What is this lesion, and why?"}]


def prompt_for(model: Any, processor: Any) -> Prompt:
    vlm = VLM(model, processor, name="tiny", revision="test", fast=False)
    return vlm.encoder.encode(ASK, [picture()])


def plain_logits(model: Any, prompt: Prompt, ids: list[int]) -> torch.Tensor:
    inputs = dict(prompt.inputs) | {"input_ids": torch.tensor([[*prompt.ids, *ids]])}
    inputs.pop("attention_mask")
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs, use_cache=False).logits[0, -1]
        return logits


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def rounded(weight: torch.Tensor, levels: int, *, centred: bool) -> torch.Tensor:
    """The same in blocks of 32 with so many even levels, as a quantised file holds it."""
    blocks = weight.reshape(-1, BLOCK)
    if centred:
        step = (blocks.abs().max(1, keepdim=True).values / (levels // 2 - 1)).clamp(min=1e-9)
        return (torch.round(blocks / step) * step).reshape(weight.shape)
    least, most = blocks.min(1, keepdim=True).values, blocks.max(1, keepdim=True).values
    step = (most - least) / (levels - 1)
    return (torch.round((blocks - least) / step) * step + least).reshape(weight.shape)


def quantised(model: Any) -> Any:
    """The text side as the base model's file has it: 4-bit blocks, and 8-bit ones for the vocabulary."""
    with torch.no_grad():
        for name, module in model.model.language_model.named_modules():
            if name.endswith("_proj"):
                module.weight.copy_(rounded(module.weight, 16, centred=False))
        model.lm_head.weight.copy_(rounded(model.lm_head.weight, 256, centred=True))
    return model


@pytest.mark.parametrize("family", ["llava", "nano"])
@pytest.mark.parametrize("is_quantised", [False, True])
def test_logits_equal_the_plain_model(family: str, is_quantised: bool) -> None:
    model, processor = tiny(family)
    model = quantised(model) if is_quantised else model
    prompt = prompt_for(model, processor)
    decoder = CompactDecoder(model)
    every = {f"l{layer}.{name}" for layer in range(2) for name in ("qkv", "out", "gate_up", "down")}
    assert decoder.packed == (every if is_quantised else set())
    backend = CompactBackend(decoder)
    close(backend.prefill(prompt), plain_logits(model, prompt, []))
    close(backend.extend([40]), plain_logits(model, prompt, [40]))
    close(backend.extend([41, 42, 43]), plain_logits(model, prompt, [40, 41, 42, 43]))
    assert backend.crop(len(prompt.ids) + 1)
    read = backend.read([50, 51])
    close(read[0], plain_logits(model, prompt, [40, 50]))
    close(read[1], plain_logits(model, prompt, [40, 50, 51]))
    assert not backend.crop(10_000)


def test_an_adapter_that_was_merged_is_taken_off_again() -> None:
    model, processor = tiny("nano")
    model = quantised(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, module in model.named_modules():
            if "language_model" in name and name.endswith("_proj"):
                a = torch.randn(4, module.in_features, generator=generator) * 0.1
                b = torch.randn(module.out_features, 4, generator=generator) * 0.1
                merged_into(model)[name] = [(a, b, 2.0)]
                module.weight += 2.0 * (b @ a)
    prompt = prompt_for(model, processor)
    decoder = CompactDecoder(model)
    assert len(decoder.packed) == 8
    close(CompactBackend(decoder).prefill(prompt), plain_logits(model, prompt, []))


def test_what_was_merged_without_being_remembered_is_multiplied_as_it_is() -> None:
    model, processor = tiny("nano")
    model = quantised(model)
    with torch.no_grad():
        model.model.language_model.layers[0].mlp.down_proj.weight += torch.randn_like(
            model.model.language_model.layers[0].mlp.down_proj.weight
        )
    prompt = prompt_for(model, processor)
    decoder = CompactDecoder(model)
    assert len(decoder.packed) == 7
    assert "l0.down" not in decoder.packed
    close(CompactBackend(decoder).prefill(prompt), plain_logits(model, prompt, []))


def test_released_the_model_holds_no_text_weights_and_the_decoder_goes_on() -> None:
    model, processor = tiny("nano")
    prompt = prompt_for(model, processor)
    expected = plain_logits(model, prompt, [])
    decoder = CompactDecoder(model)
    decoder.release()
    assert all(p.device.type == "meta" for p in model.model.language_model.parameters())
    close(CompactBackend(decoder).prefill(prompt), expected)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ],
)
def test_scaled_rotary_angles(rope: dict[str, Any]) -> None:
    model, processor = tiny("llava")
    config = model.config
    config.text_config.rope_parameters = rope
    scaled = type(model)(config).eval()
    scaled.load_state_dict(model.state_dict())
    prompt = prompt_for(scaled, processor)
    expected = plain_logits(scaled, prompt, [])
    assert CompactDecoder.supports(scaled)
    close(CompactBackend(CompactDecoder(scaled)).prefill(prompt), expected)
    assert not torch.allclose(expected, plain_logits(model, prompt, []), atol=1e-2), "the scaling must matter"


def test_rows_behind_one_prompt_are_decoded_side_by_side_and_dropped() -> None:
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    decoder = CompactDecoder(model)
    backend = CompactBackend(decoder)
    backend.prefill(prompt)
    assert backend.cache is not None
    cache = decoder.copied(backend.cache, rows=4, capacity=len(prompt.ids) + 2)
    logits = decoder.step(torch.tensor([40, 41, 42, 43]), cache)
    for row in range(4):
        close(logits[row], plain_logits(model, prompt, [40 + row]))
    cache = decoder.kept(cache, torch.tensor([1, 3]))
    logits = decoder.step(torch.tensor([50, 60]), cache)
    close(logits[0], plain_logits(model, prompt, [41, 50]))
    close(logits[1], plain_logits(model, prompt, [43, 60]))
    with pytest.raises(ValueError, match="room for"):
        decoder.step(torch.tensor([50, 60]), cache)


def test_a_cache_grows_past_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermiq.vlm.compact._GROWTH", 1)
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    backend = CompactBackend(CompactDecoder(model))
    backend.prefill(prompt)
    ids = [40, 41, 42, 43, 44]
    for token in ids[:-1]:
        backend.extend([token])
    close(backend.extend(ids[-1:]), plain_logits(model, prompt, ids))


@pytest.mark.parametrize("family", ["idefics3", "smolvlm", "qwen2_5_vl"])
def test_other_families_are_left_to_the_plain_path(family: str) -> None:
    assert not CompactDecoder.supports(tiny(family)[0])


def test_what_it_does_not_compute_is_left_to_the_plain_path() -> None:
    from peft import LoraConfig, get_peft_model

    assert CompactDecoder.supports(tiny("llava")[0])
    assert not CompactDecoder.supports(tiny("llava")[0].to(torch.bfloat16))
    adapted = get_peft_model(tiny("llava")[0], LoraConfig(target_modules=r".*language_model.*q_proj"))
    assert not CompactDecoder.supports(adapted.get_base_model())
    biased = tiny("llava")[0]
    biased.model.language_model.layers[0].mlp.up_proj.bias = torch.nn.Parameter(torch.zeros(96))
    assert not CompactDecoder.supports(biased)


def test_levels_are_found_exactly() -> None:
    rng = np.random.default_rng(0)
    plain = torch.tensor(rng.normal(0, 1, (64, 96)), dtype=torch.float32)
    four = rounded(plain, 16, centred=False).numpy()
    found = four_bits(four)
    assert found is not None
    np.testing.assert_allclose(found.weights(), four, atol=1e-6)
    np.testing.assert_allclose(found.weights(np.array([3, 1])), four[[3, 1]], atol=1e-6)
    eight = rounded(plain, 256, centred=True).numpy()
    both = eight_bits(eight)
    assert both is not None
    np.testing.assert_allclose(both[0].weights() + both[1].weights(), eight, atol=1e-6)
    assert four_bits(plain.numpy()) is None
    assert eight_bits(plain.numpy()) is None
    assert four_bits(four[:, :40]) is None, "no whole blocks"
    assert four_bits(np.zeros((2, 32), np.float32)) is not None
