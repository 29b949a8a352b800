"""The lean decoder against the plain model: equal logits, shared memory, rows that come and go."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dermiq.vlm import fast
from dermiq.vlm.fast import FastBackend, FastDecoder
from dermiq.vlm.load import VLM
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
        return model(**inputs, use_cache=False).logits[0, -1]


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture(params=[True, False], ids=["one_thread", "all_threads"], autouse=True)
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny products are all left to one thread; real ones are not."""
    if not request.param:
        monkeypatch.setattr(fast, "ONE_THREAD", 0)


@pytest.mark.parametrize("family", ["llava", "nano"])
def test_logits_equal_the_plain_model(family: str) -> None:
    model, processor = tiny(family)
    prompt, reference = prompt_for(model, processor), tiny(family)[0]
    backend = FastBackend(FastDecoder(model))
    close(backend.prefill(prompt), plain_logits(reference, prompt, []))
    close(backend.extend([40]), plain_logits(reference, prompt, [40]))
    close(backend.extend([41, 42, 43]), plain_logits(reference, prompt, [40, 41, 42, 43]))
    assert backend.crop(len(prompt.ids) + 1)
    close(backend.extend([50, 51]), plain_logits(reference, prompt, [40, 50, 51]))


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
    assert FastDecoder.supports(scaled)
    close(FastBackend(FastDecoder(scaled)).prefill(prompt), expected)
    assert not torch.allclose(expected, plain_logits(model, prompt, []), atol=1e-2), "the scaling must matter"


def test_the_plain_model_stays_the_same_and_shares_memory() -> None:
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    before = plain_logits(model, prompt, [])
    decoder = FastDecoder(model)
    close(plain_logits(model, prompt, []), before)
    mlp = model.model.language_model.layers[0].mlp
    assert mlp.down_proj.weight.data_ptr() == decoder.layers[0].down.matrix.data_ptr()
    assert mlp.gate_proj.weight.data_ptr() == decoder.layers[0].gate_up.matrix.data_ptr()


def test_without_sharing_the_model_is_untouched() -> None:
    model, _ = tiny("llava")
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    FastDecoder(model, share=False)
    assert [parameter.data_ptr() for parameter in model.parameters()] == pointers


def test_rows_of_one_prefix_are_decoded_together_and_dropped() -> None:
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    decoder = FastDecoder(model, share=False)
    backend = FastBackend(decoder)
    backend.prefill(prompt)
    assert backend._cache is not None
    cache = backend._cache.expanded(4, room=1)  # one token of room: the second makes it grow
    logits = decoder.step(torch.tensor([40, 41, 42, 43]), cache)
    for row in range(4):
        close(logits[row], plain_logits(model, prompt, [40 + row]))
    cache.keep(torch.tensor([1, 3]))
    logits = decoder.step(torch.tensor([50, 60]), cache)
    close(logits[0], plain_logits(model, prompt, [41, 50]))
    close(logits[1], plain_logits(model, prompt, [43, 60]))
    with pytest.raises(ValueError, match="one token at a time"):
        decoder.forward(torch.zeros(4, decoder.hidden), cache)


def test_gate_and_up_lie_without_gaps_where_the_model_trains() -> None:
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    before = plain_logits(model, prompt, [])
    close(FastBackend(FastDecoder(model, trains=True)).prefill(prompt), before)
    close(plain_logits(model, prompt, []), before)
    mlp = model.model.language_model.layers[0].mlp
    assert mlp.gate_proj.weight.is_contiguous()
    assert mlp.up_proj.weight.is_contiguous()
    assert mlp.gate_proj.weight.untyped_storage().data_ptr() == mlp.up_proj.weight.untyped_storage().data_ptr()


def test_a_cache_grows_past_its_room() -> None:
    model, processor = tiny("llava")
    prompt = prompt_for(model, processor)
    decoder = FastDecoder(model, share=False)
    cache = decoder.new_cache(len(prompt.ids))
    with torch.inference_mode():
        decoder.forward(decoder.embed(prompt), cache)
        logits = decoder.step(torch.tensor([40]), cache)
    close(logits[0], plain_logits(model, prompt, [40]))


def test_more_tokens_than_the_angles_were_made_for_is_an_error() -> None:
    model, _ = tiny("llava")
    decoder = FastDecoder(model, share=False)
    limit = len(decoder.angles)
    cache = decoder.new_cache(limit)
    cache.length = limit
    with pytest.raises(ValueError, match=str(limit)):
        decoder.step(torch.tensor([40]), cache)


@pytest.mark.parametrize("family", ["idefics3", "smolvlm", "qwen2_5_vl"])
def test_other_families_are_left_to_the_plain_path(family: str) -> None:
    assert not FastDecoder.supports(tiny(family)[0])


def test_what_it_does_not_compute_is_left_to_the_plain_path() -> None:
    from peft import LoraConfig, get_peft_model

    assert FastDecoder.supports(tiny("llava")[0])
    assert not FastDecoder.supports(tiny("llava")[0].to(torch.bfloat16))
    adapted = get_peft_model(tiny("llava")[0], LoraConfig(target_modules=r".*language_model.*q_proj"))
    assert not FastDecoder.supports(adapted.get_base_model())
    biased = tiny("llava")[0]
    biased.model.language_model.layers[0].mlp.up_proj.bias = torch.nn.Parameter(torch.zeros(96))
    assert not FastDecoder.supports(biased)
