"""Tiny random vision-language models, built offline in under a second. For tests of loaders and trainers.

    model, processor = tiny("llava")          # also "nano", "idefics3", "smolvlm", "qwen2_5_vl"
    folder = save_tiny("llava", tmp_path)     # a checkpoint that `load_vlm` and the Auto classes read

Real architectures, real processors, a real byte-level tokenizer with a few merges; only the weights are random.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

FAMILIES = ("llava", "idefics3", "smolvlm", "qwen2_5_vl")

_WORDS = """<think> 1. Findings: asymmetry, border irregularity, six colours. 2. Differential: melanoma, melanocytic
nevus, basal cell carcinoma, benign keratosis, dermatofibroma, vascular lesion. 3. Knowledge: [F1] [F3] 4. Conclusion:
the lesion is most likely benign; urgent referral when it grew or bled.
</think> <answer>melanoma</answer> user assistant"""
_SPECIAL = {
    "base": ("<empty_output>",),
    "llava": ("<image>",),
    "idefics3": ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"),
    "qwen2_5_vl": ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny(family: str, *, seed: int = 0, layers: int = 2) -> tuple[Any, Any]:
    """A random model in evaluation mode and its processor."""
    torch.manual_seed(seed)
    model, processor = _BUILDERS[family](layers)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    return model.eval(), processor


def save_tiny(family: str, folder: Path, *, seed: int = 0) -> Path:
    """The same as a checkpoint in `folder`."""
    model, processor = tiny(family, seed=seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_tiny_base(folder: Path, *, seed: int = 0) -> Path:
    """A tiny language model in the form of `ensure_base`'s folder, for assembling a tiny DermIQ-Nano."""
    torch.manual_seed(seed)
    tokenizer = tokenizer_for("base")
    LlamaForCausalLM(LlamaConfig(**_text(2, tokenizer), tie_word_embeddings=True)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def picture(seed: int = 0, *, height: int = 60, width: int = 80) -> np.ndarray:
    """A random (H, W, 3) uint8 image."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tokenizer_for(family: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (every text can be written) with a few merges and the family's special tokens."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_SPECIAL[family]]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_tokenizer(tuple(special))),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


@lru_cache
def _trained_tokenizer(special: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 2, trainer)
    return str(tokenizer.to_str())


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def _text(layers: int, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,  # large enough that greedy text is not one repeated token
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _llava(layers: int) -> tuple[Any, Any]:
    tokenizer = tokenizer_for("llava")
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=16,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**_text(layers, tokenizer), tie_word_embeddings=True),
        image_token_index=_id(tokenizer, "<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=4,
        tie_word_embeddings=True,
    )
    side = {"height": 28, "width": 28}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE.replace("IMAGE", "<image>"),
    )
    return LlavaForConditionalGeneration(config), processor


def _nano(layers: int) -> tuple[Any, Any]:
    """LLaVA around the specialist's towers (6.8 M parameters), as DermIQ-Nano is built."""
    from dermiq.vlm.tower import PIXEL_MEAN, PIXEL_STD, DermTowerPairConfig

    tokenizer = tokenizer_for("llava")
    config = LlavaConfig(
        vision_config=DermTowerPairConfig(image_size=64),
        text_config=LlamaConfig(**_text(layers, tokenizer), tie_word_embeddings=True),
        image_token_index=_id(tokenizer, "<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=4,
        tie_word_embeddings=True,
    )
    side = {"height": 64, "width": 64}
    images = CLIPImageProcessorPil(
        size=side,
        crop_size=side,
        do_center_crop=False,
        image_mean=[PIXEL_MEAN / 255] * 3,
        image_std=[PIXEL_STD / 255] * 3,
    )
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=_TEMPLATE.replace("IMAGE", "<image>"),
    )
    return LlavaForConditionalGeneration(config), processor


def _idefics3(layers: int, *, smol: bool = False) -> tuple[Any, Any]:
    tokenizer = tokenizer_for("idefics3")
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
    }
    config_class, model_class = cast(
        "tuple[Any, Any]",
        (SmolVLMConfig, SmolVLMForConditionalGeneration)
        if smol
        else (Idefics3Config, Idefics3ForConditionalGeneration),
    )
    config = config_class(
        vision_config=vision,
        text_config=LlamaConfig(**_text(layers, tokenizer)),
        image_token_id=_id(tokenizer, "<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    images_class = SmolVLMImageProcessorPil if smol else Idefics3ImageProcessorPil
    images = images_class(size={"longest_edge": 28}, max_image_size={"longest_edge": 28}, do_image_splitting=False)
    template = _TEMPLATE.replace("IMAGE", "<image>")
    if smol:
        from dermiq.vlm.processors import ImageOnlySmolVLMProcessor

        processor: Any = ImageOnlySmolVLMProcessor(images, tokenizer, image_seq_len=4, chat_template=template)
    else:
        processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)
    return model_class(config), processor


def _smolvlm(layers: int) -> tuple[Any, Any]:
    return _idefics3(layers, smol=True)


def _qwen2_5_vl(layers: int) -> tuple[Any, Any]:
    from dermiq.vlm.processors import IMAGE_ONLY

    tokenizer = tokenizer_for("qwen2_5_vl")
    ids = {name: _id(tokenizer, name) for name in _SPECIAL["qwen2_5_vl"]}
    text = _text(layers, tokenizer) | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    }
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 7,
            "window_size": 28,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        text_config=text,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    images = Qwen2VLImageProcessorPil(patch_size=7, size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    template = _TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    return Qwen2_5_VLForConditionalGeneration(config), IMAGE_ONLY["qwen2_5_vl"](
        images, tokenizer, chat_template=template
    )


_BUILDERS = {
    "llava": _llava,
    "nano": _nano,
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "qwen2_5_vl": _qwen2_5_vl,
}
