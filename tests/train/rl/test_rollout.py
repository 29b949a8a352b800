"""Sampling a group: kept log-probabilities against whole sequences, rows that end, seeds, and weights that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.vlm.drafts import SamplingSettings, allowed, draw
from tests.train.rl.test_group_loss import FAMILIES, inputs_for, model_with, plain_scores
from train.rl.group_loss import accumulate_gradients, log_probabilities, read_prompt
from train.rl.policy_loss import Targets
from train.rl.rollout import Rollout, Sampler

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft


def end_often(processor: Any, **changes: Any) -> SamplingSettings:
    """Special tokens are banned (an image placeholder cannot be read back); a tenth of the others end a completion."""
    vocabulary = len(processor.tokenizer)
    special = tuple(processor.tokenizer.convert_tokens_to_ids(processor.tokenizer.all_special_tokens))
    ends = tuple(token for token in range(0, vocabulary, 10) if token not in special)
    usual: dict[str, Any] = {"max_new_tokens": 12, "temperature": 1.3, "end_ids": ends, "banned_ids": special}
    return SamplingSettings(**usual | changes)


def assert_log_probabilities(model: Any, inputs: dict[str, Tensor], rollout: Rollout, temperature: float) -> None:
    with torch.no_grad():
        expected, _ = plain_scores(model, rollout.group(inputs), temperature=temperature)
    torch.testing.assert_close(rollout.log_probabilities, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_kept_log_probabilities_equal_whole_sequences(family: str, lora: bool) -> None:
    model, processor = model_with(family, lora=lora)
    inputs, settings = inputs_for(model, processor, images=2), end_often(processor)
    sampler = Sampler(model)
    assert sampler.is_fast is (family in ("llava", "nano"))
    rollout = sampler.sample(inputs, 6, settings, seed=1)
    lengths = rollout.mask.sum(1)
    assert len(set(lengths.tolist())) > 1, "rows must end at different steps for this test to mean anything"
    assert_log_probabilities(model, inputs, rollout, settings.temperature)


def test_fast_and_plain_sample_the_same_text() -> None:
    model, processor = model_with("llava", lora=True)
    inputs, settings = inputs_for(model, processor), end_often(processor, top_p=0.9, top_k=50)
    plain = Sampler(model, fast=False).sample(inputs, 6, settings, seed=3)
    fast = Sampler(model).sample(inputs, 6, settings, seed=3)
    assert torch.equal(fast.completions, plain.completions)
    assert torch.equal(fast.mask, plain.mask)


@pytest.mark.parametrize("family", ["llava", "nano"])
def test_rows_behind_a_prompt_that_the_model_has_read(family: str) -> None:
    model, processor = model_with(family, lora=True)
    inputs, settings = inputs_for(model, processor, images=2), end_often(processor)
    sampler = Sampler(model)
    again = sampler.sample(inputs, 6, settings, seed=3)
    rollout = sampler.sample(inputs, 6, settings, seed=3, prefix=read_prompt(model, inputs))
    assert torch.equal(rollout.completions, again.completions)
    torch.testing.assert_close(rollout.log_probabilities, again.log_probabilities, atol=1e-4, rtol=0)


def test_rows_end_where_they_said_so() -> None:
    model, processor = model_with("llava")
    settings = end_often(processor, pad_id=7)
    rollout = Sampler(model).sample(inputs_for(model, processor), 8, settings, seed=0)
    ends = torch.isin(rollout.completions, torch.tensor(settings.end_ids)) & rollout.mask
    for row in range(8):
        length = int(rollout.mask[row].sum())
        assert rollout.mask[row, :length].all()
        assert not ends[row, : length - 1].any()
        assert bool(ends[row, length - 1]) is bool(rollout.finished[row])
        assert bool(rollout.finished[row]) or length == settings.max_new_tokens
        assert (rollout.completions[row, length:] == 7).all()
        assert not rollout.log_probabilities[row, length:].any()
    assert not torch.isin(rollout.completions[rollout.mask], torch.tensor(settings.banned_ids)).any()
    assert rollout.finished.any()


def test_seeds_repeat_and_differ() -> None:
    model, processor = model_with("llava")
    sampler, inputs, settings = Sampler(model), inputs_for(model, processor), end_often(processor)
    first, again, other = (sampler.sample(inputs, 4, settings, seed=seed).completions for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not (first.shape == other.shape and torch.equal(first, other))


def test_a_row_does_not_depend_on_when_the_others_end() -> None:
    model, processor = model_with("llava")
    sampler, inputs = Sampler(model), inputs_for(model, processor)
    free = sampler.sample(inputs, 6, end_often(processor, end_ids=()), seed=2)
    assert free.mask.all()
    assert not free.finished.any()
    ended = sampler.sample(inputs, 6, end_often(processor), seed=2)
    assert torch.equal(free.completions[:, : ended.mask.shape[1]][ended.mask], ended.completions[ended.mask])


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_the_sampler_follows_the_training(lora: bool) -> None:
    model, processor = model_with("llava", lora=lora)
    inputs, settings = inputs_for(model, processor), end_often(processor)
    sampler = Sampler(model)
    rollout = sampler.sample(inputs, 4, settings, seed=0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    accumulate_gradients(model, rollout.group(inputs), Targets(torch.randn(4), rollout.mask.float()))
    optimizer.step()
    sampler.refresh()
    after = sampler.sample(inputs, 4, settings, seed=0)
    assert_log_probabilities(model, inputs, after, settings.temperature)
    before = log_probabilities(model, rollout.group(inputs), temperature=settings.temperature)
    assert not torch.allclose(before, rollout.log_probabilities, atol=1e-2), "the step must have moved the policy"


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_sampling_changes_neither_weights_nor_modes(lora: bool) -> None:
    model, processor = model_with("nano", lora=lora)
    inputs = inputs_for(model, processor)
    model.train()
    model.get_submodule("base_model.model.model.multi_modal_projector" if lora else "model.language_model").eval()
    values = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    sampler = Sampler(model)
    sampler.sample(inputs, 2, end_often(processor), seed=0)
    sampler.refresh()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())


def test_a_model_that_was_sampled_from_can_be_saved(tmp_path: Path) -> None:
    model, processor = model_with("llava")
    model.requires_grad_(False)
    values = {name: value.clone() for name, value in model.state_dict().items()}
    sampler = Sampler(model)
    sampler.sample(inputs_for(model, processor), 2, end_often(processor), seed=0)
    model.save_pretrained(tmp_path)
    saved = type(model).from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, values[name]) for name, value in saved.items())


def test_a_disabled_adapter_is_not_sampled_from() -> None:
    model, processor = model_with("llava", lora=True)
    inputs, settings = inputs_for(model, processor), end_often(processor)
    sampler = Sampler(model)
    with model.disable_adapter():
        sampler.refresh()
        rollout = sampler.sample(inputs, 3, settings, seed=0)
        assert_log_probabilities(model, inputs, rollout, settings.temperature)
    sampler.refresh()
    assert_log_probabilities(model, inputs, sampler.sample(inputs, 3, settings, seed=0), settings.temperature)


def test_an_adapter_that_the_decoder_does_not_compute_is_left_to_the_plain_path() -> None:
    from peft import LoraConfig, get_peft_model

    model, processor = model_with("llava")
    model = get_peft_model(model, LoraConfig(r=4, target_modules=r".*language_model.*q_proj", use_dora=True))
    sampler, inputs, settings = Sampler(model), inputs_for(model, processor), end_often(processor)
    assert not sampler.is_fast
    assert_log_probabilities(model, inputs, sampler.sample(inputs, 3, settings, seed=0), settings.temperature)


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.2, 0.3, 0.0]])
    numbers = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    counts = torch.bincount(draw(probabilities.expand(1000, -1), numbers), minlength=6)
    assert counts.tolist() == [0, 500, 0, 200, 300, 0]
    ends = draw(probabilities.expand(2, -1), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert ends.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_k": 2}, [0, 0.4, 0.3, 0]),
        ({"top_p": 0.5}, [0, 0.4, 0.3, 0]),
        ({"top_p": 0.39}, [0, 0.4, 0, 0]),
        ({"top_p": 1e-6}, [0, 0.4, 0, 0]),
        ({"banned_ids": (1,), "top_k": 1}, [0, 0, 0.3, 0]),
        ({"top_k": 2, "top_p": 0.5}, [0, 0.4, 0, 0]),  # the nucleus of what top_k left
    ],
)
def test_what_may_be_drawn(options: dict[str, Any], expected: list[float]) -> None:
    left = allowed(torch.tensor([[0.1, 0.4, 0.3, 0.2]]), SamplingSettings(**options))
    torch.testing.assert_close(left, torch.tensor([expected]))


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_new_tokens": 0}])
def test_settings_that_cannot_sample_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        SamplingSettings(**options)
