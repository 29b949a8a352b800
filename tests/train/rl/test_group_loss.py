"""The shared prefix against whole sequences: equal gradients, log-probabilities and losses, or a refusal in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dermiq.errors import ModelError
from dermiq.vlm.load import VLM
from tests.tiny import picture, save_tiny, tiny
from train.rl import group_loss
from train.rl.group_loss import accumulate_gradients, log_probabilities, read_prompt
from train.rl.policy_loss import LossSettings, Targets, token_loss, token_weights
from train.rl.prefix import Group, Policy, Prefix, reference, split_batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning"),  # the name in TRL
]

FAMILIES = ("llava", "nano", "idefics3", "smolvlm", "qwen2_5_vl")
LENGTHS = (5, 9, 1, 9, 3)
ASK = [{"role": "user", "content": "What is this lesion, and why?"}]
TARGETS = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def model_with(family: str, *, lora: bool = False, layers: int = 2) -> tuple[Any, Any]:
    """A tiny model of which everything trains, or a LoRA adapter on its text backbone."""
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
        torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
        for p in model.parameters()
        if p.requires_grad
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


VARIANTS = {
    "grpo": (LossSettings(), "sequence"),
    "dapo": (LossSettings(clip_low=0.2, clip_high=0.28), "tokens"),
    "dr_grpo": (LossSettings(temperature=0.7), "constant"),
    "kl": (LossSettings(beta=0.1), "sequence"),
    "entropy": (LossSettings(entropy_bonus=0.1), "tokens"),
}


@pytest.mark.parametrize("on_policy", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_loss_is_exact(variant: str, on_policy: bool) -> None:
    model, processor = model_with("llava", lora=True)
    settings, normaliser = VARIANTS[variant]
    group = group_for(inputs_for(model, processor))
    with torch.no_grad():
        logps, _ = plain_scores(model, group, temperature=settings.temperature)
    assert_exact(model, group, targets_for(group, logps, normaliser=normaliser, old=not on_policy), settings)


@pytest.mark.parametrize("chunk", [1, 2, 5])
@pytest.mark.parametrize("tile", [1, 7, 256])
def test_any_chunk_and_tile_give_the_same(chunk: int, tile: int) -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    targets = targets_for(group, torch.full(group.mask.shape, -5.0))
    assert_exact(model, group, targets, EVERYTHING, chunk=chunk, tile=tile)


def test_a_prompt_that_was_read_before_gives_the_same() -> None:
    model, processor = model_with("llava", lora=True)
    group = group_for(inputs_for(model, processor))
    targets = targets_for(group, torch.full(group.mask.shape, -5.0))
    assert_exact(model, group, targets, EVERYTHING, prefix=read_prompt(model, group.inputs))


def test_several_prompts_add_up() -> None:
    model, processor = model_with("qwen2_5_vl", lora=True)
    groups = [group_for(inputs_for(model, processor, images=n), seed=n) for n in (1, 2)]
    targets = [targets_for(group, torch.full(group.mask.shape, -5.0)) for group in groups]
    expected = [plain_gradients(model, g, t, EVERYTHING)[1] for g, t in zip(groups, targets, strict=True)]
    model.zero_grad()
    for group, target in zip(groups, targets, strict=True):
        accumulate_gradients(model, group, target, EVERYTHING)
    assert relative_difference(gradients(model), [a + b for a, b in zip(*expected, strict=True)]) <= 1e-5


def test_rows_without_weight_teach_nothing_and_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    kept = torch.tensor([True, False, True, True, False])  # the others were truncated
    targets = targets_for(group, torch.full(group.mask.shape, -5.0))
    targets = Targets(targets.advantages, targets.weights * kept[:, None], targets.old, targets.reference)
    seen: list[int] = []
    plain = Policy.hidden

    def counted(self: Policy, prefix: Prefix, ids: Tensor) -> Tensor:
        seen.append(len(ids))
        return plain(self, prefix, ids)

    monkeypatch.setattr(Policy, "hidden", counted)
    assert_exact(model, group, targets, EVERYTHING)
    assert sum(seen) == int(kept.sum())


def test_a_group_without_weights_leaves_no_gradient() -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    result = accumulate_gradients(model, group, Targets(torch.ones(5), torch.zeros(group.mask.shape)))
    assert result.loss == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_seen_on_the_way() -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    with torch.no_grad():
        logps, entropies = plain_scores(model, group, temperature=EVERYTHING.temperature)
    targets = targets_for(group, logps)
    result = accumulate_gradients(model, group, targets, EVERYTHING, chunk=2, tile=4)
    assert targets.old is not None
    assert targets.reference is not None
    torch.testing.assert_close(result.log_probabilities, logps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result.entropies, entropies, atol=1e-4, rtol=1e-4)
    gap = (targets.reference - logps) * group.mask
    torch.testing.assert_close(result.kl, gap.exp() - gap - 1, atol=1e-4, rtol=1e-3)
    ratios, up = torch.exp(logps - targets.old), targets.advantages[:, None] > 0
    expected = torch.where(up, ratios > 1 + EVERYTHING.clip_high, ratios < 1 - EVERYTHING.clip_low) & group.mask
    assert torch.equal(result.clipped, expected)
    assert expected.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_equal_whole_sequences(family: str) -> None:
    model, processor = model_with(family)
    group = group_for(inputs_for(model, processor, images=2))
    with torch.no_grad():
        expected, _ = plain_scores(model, group, temperature=0.7)
    actual = log_probabilities(model, group, temperature=0.7, chunk=2, tile=4)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_alone_is_a_prompt_too(family: str) -> None:
    model, processor = model_with(family, lora=True)
    group = group_for(inputs_for(model, processor, images=0))
    assert_exact(model, group, targets_for(group, torch.full(group.mask.shape, -5.0)), EVERYTHING)


@pytest.mark.parametrize("family", ["llava", "idefics3", "qwen2_5_vl"])
def test_gradient_checkpointing_is_exact(family: str) -> None:
    model, processor = model_with(family, lora=True)
    group = group_for(inputs_for(model, processor))
    targets = targets_for(group, torch.full(group.mask.shape, -5.0))
    _, expected = plain_gradients(model, group, targets, EVERYTHING)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model.train()
    layer = next(m for n, m in model.named_modules() if n.endswith(("language_model.layers.1", "text_model.layers.1")))
    calls: list[int] = []
    layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))  # a replay may stop before the end
    model.zero_grad()
    accumulate_gradients(model, group, targets, EVERYTHING, chunk=5)
    assert relative_difference(gradients(model), expected) <= 1e-5
    assert len(calls) == 4, "prompt and chunk are each computed twice"


@pytest.mark.parametrize("window", [4, 64])
def test_windows_of_attention_see_the_end_of_the_prompt(window: int) -> None:
    """Gemma 3, which MedGemma is: every other layer sees only the last `window` tokens."""
    model = tiny_gemma3(window)
    group = group_for({"input_ids": torch.randint(40, 300, (1, 11)), "token_type_ids": torch.zeros(1, 11).long()})
    assert_exact(model, group, targets_for(group, torch.full(group.mask.shape, -5.0)), EVERYTHING, chunk=2, tile=4)


def tiny_gemma3(window: int) -> Any:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    torch.manual_seed(0)
    text = {
        "vocab_size": 384,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "sliding_window": window,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    tokens: dict[str, Any] = {
        "image_token_index": 1,
        "boi_token_index": 2,
        "eoi_token_index": 3,
        "mm_tokens_per_image": 1,
    }
    return Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, **tokens)).eval()


def test_a_base_in_four_bits(tmp_path: Any) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    kept = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=kept
    )
    base = AutoModelForImageTextToText.from_pretrained(
        save_tiny("llava", tmp_path), dtype=torch.float32, quantization_config=quantised
    )
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False)).eval()
    group = group_for(inputs_for(model, tiny("llava")[1]))
    assert type(base.model.language_model.layers[0].mlp.up_proj.base_layer).__name__ == "Linear4bit"
    assert_exact(model, group, targets_for(group, torch.full(group.mask.shape, -5.0)), EVERYTHING, chunk=2, tile=4)


def test_an_adapter_is_its_own_reference() -> None:
    model, processor = model_with("llava", lora=True)
    group = group_for(inputs_for(model, processor))
    plain = model_with("llava")[0]
    with reference(model) as frozen:
        actual = log_probabilities(frozen, group)
    torch.testing.assert_close(actual, log_probabilities(plain, group), atol=1e-5, rtol=0)
    assert not torch.allclose(actual, log_probabilities(model, group), atol=1e-2)


def test_out_of_memory_halves_the_chunk_and_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    targets = targets_for(group, torch.full(group.mask.shape, -5.0))
    whole = torch.autograd.grad
    failures: list[int] = []

    def fail_late(outputs: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        """The backward pass of a chunk of more than two rows dies after it has run."""
        result = whole(outputs, inputs, *rest, **options)
        if isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) > 18:
            failures.append(len(outputs))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return result

    _, expected = plain_gradients(model, group, targets, EVERYTHING)
    monkeypatch.setattr(torch.autograd, "grad", fail_late)
    model.zero_grad()
    result = accumulate_gradients(model, group, targets, EVERYTHING, chunk=5)
    assert relative_difference(gradients(model), expected) <= 1e-5
    assert failures == [27]
    assert result.chunk == 2


def test_one_row_that_does_not_fit_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Policy, "hidden", fail)
    with pytest.raises(ModelError, match="One completion alone does not fit"):
        log_probabilities(model, group)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_with("llava")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Policy, "hidden", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        log_probabilities(model, group_for(inputs_for(model, processor)))


def test_little_free_memory_means_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    targets = Targets(torch.ones(5), group.mask.float())
    chunks = []
    for free in (0, 1_500_000, 2**40):
        monkeypatch.setattr(group_loss, "free_bytes", lambda device, free=free: free)
        chunks.append(accumulate_gradients(model, group, targets).chunk)
    assert chunks[0] == 1
    assert 1 < chunks[1] < 5
    assert chunks[2] == 5


def test_what_would_not_be_exact_is_refused() -> None:
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    def attempt(model: Any, message: str) -> None:
        with pytest.raises(ModelError, match=message):
            accumulate_gradients(model, group, Targets(torch.ones(5), group.mask.float()))

    model, processor = model_with("llava")
    group = group_for(inputs_for(model, processor))
    attempt(model_with("nano")[0].train(), "Batch normalisation is in training mode")
    dropping = LoraConfig(target_modules=TARGETS, lora_dropout=0.05)
    attempt(get_peft_model(model_with("llava")[0], dropping).train(), "Dropout is on")
    virtual = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2, num_layers=2, token_dim=64)
    virtual.num_attention_heads = 4
    attempt(get_peft_model(model_with("llava")[0], virtual), "virtual tokens")
    attempt(model_with("llava")[0].requires_grad_(False), "Nothing of this model would be trained")
    softened = model_with("llava")[0]
    softened.config.text_config.final_logit_softcapping = 30.0
    attempt(softened, "final_logit_softcapping")
    replayed = model_with("llava")[0].train()
    replayed.gradient_checkpointing_enable({"use_reentrant": True})
    attempt(replayed, "use_reentrant=False")


def test_a_reference_that_would_move_is_refused() -> None:
    plain, _ = model_with("llava")
    with pytest.raises(ModelError, match="frozen copy"), reference(plain):
        pass
    model, _ = model_with("llava", lora=True)
    model.get_base_model().model.multi_modal_projector.requires_grad_(True)
    with pytest.raises(ModelError, match="trains outside the adapter"), reference(model):
        pass


@pytest.mark.parametrize(
    ("inputs", "mask", "message"),
    [
        (torch.ones(2, 3), torch.ones(2, 2).bool(), "one prompt"),
        (torch.ones(1, 3), torch.ones(2, 2), "boolean"),
        (torch.ones(1, 3), torch.tensor([[False, True]]), "without gaps"),
    ],
)
def test_a_malformed_group_is_refused(inputs: Tensor, mask: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Group({"input_ids": inputs.long()}, torch.zeros(mask.shape, dtype=torch.long), mask)


# --- the loss of one token --------------------------------------------------------------


def test_a_loss_by_hand() -> None:
    """ratio 2 at advantage 1, clipped at 1.28; divergence of log 2."""
    old = torch.tensor([-2.0])
    now = old + torch.tensor(2.0).log()
    targets = Targets(torch.tensor([1.0]), torch.ones(1), old=old, reference=old)
    settings = LossSettings(clip_high=0.28, beta=0.5, entropy_bonus=0.1)
    result = token_loss(now, torch.tensor([3.0]), targets, settings)
    divergence = 0.5 - torch.tensor(0.5).log() - 1
    torch.testing.assert_close(result.loss, -1.28 + 0.5 * divergence[None] - 0.3)
    assert result.clipped.item()


@pytest.mark.parametrize(
    ("advantage", "ratio", "flows"),
    [(1, 1.5, False), (1, 0.5, True), (-1, 0.5, False), (-1, 1.5, True), (1, 1.0, True), (-1, 1.0, True)],
)
def test_clipping_only_stops_what_went_too_far(advantage: float, ratio: float, flows: bool) -> None:
    old = torch.tensor([-1.0])
    now = (old + torch.tensor(ratio).log()).requires_grad_()
    result = token_loss(now, torch.zeros(1), Targets(torch.tensor([advantage]), torch.ones(1), old=old), LossSettings())
    (gradient,) = torch.autograd.grad(result.loss.sum(), now)
    assert bool(gradient) is flows
    assert bool(result.clipped) is not flows


def test_weights_of_the_three_normalisers() -> None:
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    sequence = token_weights(mask, "sequence", sequences=2, tokens=0)
    torch.testing.assert_close(sequence, torch.tensor([[0.125] * 4, [0.5, 0, 0, 0]]))
    tokens = token_weights(mask, "tokens", sequences=2, tokens=5)
    torch.testing.assert_close(tokens.sum(), torch.tensor(1.0))
    constant = token_weights(mask, "constant", sequences=2, tokens=2 * 10)
    torch.testing.assert_close(constant, mask / 20)
    empty = token_weights(torch.zeros(1, 3).bool(), "sequence", sequences=1, tokens=0)
    assert not empty.any()


# --- TRL's batches ----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shuffled_batch_is_sorted_into_its_groups(family: str) -> None:
    """Two prompts, the second asked of two images; rows in disorder, prompts padded on the left as TRL pads them."""
    model, processor = model_with(family)
    prompts = [
        inputs_for(model, processor, images=1),
        inputs_for(model, processor, images=1, text="Is it growing? Does it itch or bleed?"),
    ]
    order = [1, 0, 0, 1, 1]
    batch = trl_batch([prompts[i] for i in order])
    found = split_batch(batch)
    assert [rows.tolist() for rows, _ in found] == [[0, 3, 4], [1, 2]]
    for (rows, group), number in zip(found, (1, 0), strict=True):
        assert set(group.inputs) >= {"input_ids", "pixel_values"}
        for name, value in group.inputs.items():
            torch.testing.assert_close(value, prompts[number][name])
        width = group.mask.shape[1]
        assert width == int(batch["completion_mask"][rows].sum(1).max())
        assert torch.equal(group.completions, batch["completion_ids"][rows][:, :width])


def test_equal_questions_on_different_images_are_different_groups() -> None:
    model, processor = model_with("llava")
    first, second = inputs_for(model, processor), inputs_for(model, processor)
    second["pixel_values"] = second["pixel_values"] + 1
    assert len(split_batch(trl_batch([first, second, first]))) == 2


def trl_batch(prompts: list[dict[str, Tensor]]) -> dict[str, Any]:
    width, rows = max(p["input_ids"].shape[1] for p in prompts), len(prompts)

    def left(name: str) -> Tensor:
        return torch.cat([torch.nn.functional.pad(p[name], (width - p[name].shape[1], 0)) for p in prompts])

    lengths = torch.arange(1, rows + 1)
    batch: dict[str, Any] = {
        "prompt_ids": left("input_ids"),
        "prompt_mask": torch.cat(
            [
                torch.nn.functional.pad(torch.ones_like(p["input_ids"]), (width - p["input_ids"].shape[1], 0))
                for p in prompts
            ]
        ),
        "completion_ids": torch.arange(rows * 7).view(rows, 7) + 40,
        "completion_mask": (torch.arange(7)[None] < lengths[:, None]).int(),
        "num_images": [1] * rows,
    }
    for name in prompts[0]:
        if name == "mm_token_type_ids":  # TRL appends zeros for the completion
            batch[name] = torch.nn.functional.pad(left(name), (0, 7))
        elif name != "input_ids":
            batch[name] = torch.cat([p[name] for p in prompts])
    return batch
