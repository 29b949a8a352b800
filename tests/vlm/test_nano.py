"""DermIQ-Nano's assembly and its shipped parts, around a tiny language model; once around the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from dermiq.errors import ModelError
from dermiq.vlm import nano
from dermiq.vlm.nano import assemble, load_nano, save_nano_parts
from tests.tiny import picture, save_tiny_base

ASK: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_base(tmp_path_factory.mktemp("base"))


def inputs_for(processor: Any) -> Any:
    text = processor.apply_chat_template(ASK, add_generation_prompt=True)
    return processor(text=text, images=[picture()], return_tensors="pt")


def logits_of(model: Any, processor: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs_for(processor)).logits


def trained(base: Path) -> tuple[Any, Any]:
    """A model with LoRA whose every trained part differs from its start."""
    model, processor = assemble(base, tower=None, image_size=64, lora_rank=4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval(), processor


def save_weights(model: Any, folder: Path, **settings: Any) -> Path:
    tower = model.get_base_model().model.vision_tower.state_dict()
    (folder / "specialist").mkdir(parents=True)
    theirs = {own: name for name, own in nano.TOWERS.items()}
    renamed = {theirs[f"{key.split('.')[0]}."] + key.split(".", 1)[1]: value for key, value in tower.items()}
    save_file(renamed, folder / "specialist" / "model.safetensors")
    save_nano_parts(model, folder / "nano", image_size=64, **settings)
    return folder


def test_saved_whole_it_loads_through_the_auto_classes(base: Path, tmp_path: Path) -> None:
    model, processor = assemble(base, tower=None, image_size=64)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert torch.equal(logits_of(again, AutoProcessor.from_pretrained(tmp_path)), logits_of(model, processor))


def test_no_folder_of_this_machine_is_saved(base: Path, tmp_path: Path) -> None:
    model, processor = assemble(base, tower=None, image_size=64)
    model.save_pretrained(tmp_path / "whole")
    processor.save_pretrained(tmp_path / "whole")
    save_weights(trained(base)[0], tmp_path / "parts")
    for file in tmp_path.rglob("*.json"):
        assert str(base.parent) not in file.read_text(), file.name


def test_the_image_token_takes_an_unused_place(base: Path) -> None:
    _, processor = assemble(base, tower=None, image_size=64)
    before = json.loads((base / "tokenizer.json").read_text())
    ids = inputs_for(processor)["input_ids"][0].tolist()
    assert len(processor.tokenizer) == len(before["model"]["vocab"])
    assert ids.count(processor.image_token_id) == (64 // 32) ** 2


def test_template_takes_strings_and_parts(base: Path) -> None:
    _, processor = assemble(base, tower=None, image_size=64)
    turns = [{"role": "system", "content": "Be brief."}, *ASK, {"role": "assistant", "content": "A nevus."}]
    assert processor.apply_chat_template(turns, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image>What is this?<|im_end|>\n"
        "<|im_start|>assistant\nA nevus.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_image_is_squashed_not_cropped(base: Path) -> None:
    _, processor = assemble(base, tower=None, image_size=64)
    image = picture(height=20, width=200)
    image[:, :20], image[:, -20:] = 0, 255  # both ends must survive
    pixels = processor.image_processor(images=[image], return_tensors="pt")["pixel_values"][0]
    assert pixels.shape == (3, 64, 64)
    assert pixels[:, :, 0].max() < -0.99
    assert pixels[:, :, -1].min() > 0.99


def test_shipped_parts_give_the_trained_model(base: Path, tmp_path: Path) -> None:
    model, processor = trained(base)
    weights = save_weights(model, tmp_path, step=7)
    again, other = load_nano(weights, base=base)
    torch.testing.assert_close(logits_of(again, other), logits_of(model, processor), atol=1e-4, rtol=1e-4)
    assert json.loads((weights / "nano" / "config.json").read_text())["step"] == 7


def test_lora_trains_language_and_projector_alone(base: Path) -> None:
    model, _ = trained(base)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "multi_modal_projector" in name for name in names)
    assert any("projector" in name for name in names)
    assert not any("vision_tower" in name for name in names)


@pytest.mark.parametrize("missing", ["nano/config.json", "nano/projector.safetensors", "specialist/model.safetensors"])
def test_missing_parts_are_named(base: Path, tmp_path: Path, missing: str) -> None:
    weights = save_weights(trained(base)[0], tmp_path)
    (weights / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        load_nano(weights, base=base)


def test_a_foreign_tower_is_refused(base: Path, tmp_path: Path) -> None:
    weights = save_weights(trained(base)[0], tmp_path)
    save_file({"near.tower.other": torch.zeros(1)}, weights / "specialist" / "model.safetensors")
    with pytest.raises(ModelError, match="does not hold the vision tower"):
        load_nano(weights, base=base)


def test_an_adapter_that_is_not_plain_is_refused(base: Path, tmp_path: Path) -> None:
    weights = save_weights(trained(base)[0], tmp_path)
    config = weights / "nano" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(ModelError, match="not a plain LoRA"):
        load_nano(weights, base=base)


def test_image_size_must_fit_the_grid(base: Path) -> None:
    with pytest.raises(ModelError, match="150"):
        assemble(base, tower=None, image_size=150)


@pytest.mark.embedded
def test_the_real_base_model_writes_english() -> None:
    from dermiq.vlm.base import ensure_base
    from dermiq.vlm.load import VLM

    torch.manual_seed(0)
    model, processor = assemble(ensure_base(), tower=None, image_size=64)
    assert (len(processor.tokenizer), processor.image_token_id) == (49152, 16)
    plain = VLM(model, processor, name="base", revision="test", fast=False)
    question = [{"role": "user", "content": "What is melanoma? Answer in one sentence."}]
    expected = plain.session([]).generate(question, max_new_tokens=20)
    fast = VLM(model, processor, name="base", revision="test")
    assert fast.is_fast
    assert "skin" in expected
    assert fast.session([]).generate(question, max_new_tokens=20) == expected
    assert nano.is_nano(model.config)
