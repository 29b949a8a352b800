"""DermIQ-Nano: the specialist's towers, a projector and SmolLM2, as a stock `LlavaForConditionalGeneration`.

`assemble` builds it, `load_nano` fills it with the shipped parts, `save_nano_parts` writes those parts after a
training. Everything written for LLaVA runs on the result: processor, chat template, TRL, PEFT, `save_pretrained`.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.image_utils import PILImageResampling
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from dermiq.errors import ModelError
from dermiq.places import WEIGHTS
from dermiq.shipped import checked, read_json, seal
from dermiq.vlm.base import GGUF_SHA256, WHEEL, ensure_base
from dermiq.vlm.hub import Model
from dermiq.vlm.merged import merged_into
from dermiq.vlm.tower import PIXEL_MEAN, PIXEL_STD, DermTowerPair, DermTowerPairConfig

IMAGE_TOKEN = "<image>"
REPLACED_TOKEN = "<empty_output>"  # a special token that SmolLM2 never saw in chat: its row becomes IMAGE_TOKEN's
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
PARTS_FORMAT = 1
TOWERS = {"tower.": "far.", "near.tower.": "near."}  # prefixes in the specialist's file, and in the pair

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's own template without its default system turn, for contents that are strings or lists of parts."""


def assemble(
    base: Path,
    *,
    tower: DermTowerPair | None,
    image_size: int,
    projector_state: Mapping[str, torch.Tensor] | None = None,
    lora_rank: int | None = None,
) -> tuple[Model, LlavaProcessor]:
    """The model in fp32 and its processor. With `lora_rank` the model is a `PeftModel` whose projector trains too.

    `tower` None means random weights. The tower is used as it is, not copied.
    """
    if image_size % 32:
        raise ModelError(f"The image size must be a multiple of 32 pixels, not {image_size}.")
    processor = build_processor(base, image_size)
    tower = tower if tower is not None else DermTowerPair(DermTowerPairConfig(image_size=image_size))
    language = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = _empty_llava(tower, language, image_size, processor.image_token_id)
    if projector_state is not None:
        model.model.multi_modal_projector.load_state_dict(projector_state)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.eval()
    if lora_rank is not None:
        return _with_lora(model, lora_rank), processor
    return model, processor


def _empty_llava(
    tower: DermTowerPair, language: Model, image_size: int, image_token: int
) -> LlavaForConditionalGeneration:
    """Stock LLaVA around the two halves, which are moved in rather than copied."""
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_index=image_token,
        projector_hidden_act="gelu",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=(image_size // 32) ** 2,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.model.vision_tower = tower
    model.model.language_model = language.model
    model.lm_head = language.lm_head
    projector = model.model.multi_modal_projector.to_empty(device="cpu").float()
    for layer in (projector.linear_1, projector.linear_2):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    model.tie_weights()
    language.config._name_or_path = "SmolLM2-135M-Instruct"  # not the folder of this machine
    model.config.dtype = torch.float32
    return model


def _with_lora(model: LlavaForConditionalGeneration, rank: int) -> Model:
    from peft import LoraConfig, get_peft_model  # seconds to import, and a consultation does not need it

    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LORA_TARGETS, task_type="CAUSAL_LM"
    )
    with quiet_peft():
        wrapped = get_peft_model(model, config)
    for parameter in model.model.multi_modal_projector.parameters():
        parameter.requires_grad_(True)
    return wrapped


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Without one deprecation warning that peft draws from transformers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def build_processor(base: Path, image_size: int) -> LlavaProcessor:
    """Squashes an image to (S, S), inserts its (S/32)^2 placeholders, and knows the chat template."""
    images = CLIPImageProcessorPil(
        do_resize=True,
        size={"height": image_size, "width": image_size},
        resample=PILImageResampling.BILINEAR,
        do_center_crop=False,
        crop_size={"height": image_size, "width": image_size},  # not applied; the processor counts tokens from it
        image_mean=[PIXEL_MEAN / 255] * 3,
        image_std=[PIXEL_STD / 255] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=_tokenizer(base),
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=0,
    )


def _tokenizer(base: Path) -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer with one unused special token renamed, so the vocabulary does not grow."""
    text = (base / "tokenizer.json").read_text(encoding="utf-8")
    if text.count(f'"{REPLACED_TOKEN}"') != 2:  # once in the vocabulary, once among the added tokens
        raise ModelError(f"The tokenizer in {base} is not SmolLM2's: it lacks {REPLACED_TOKEN}.")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text.replace(f'"{REPLACED_TOKEN}"', f'"{IMAGE_TOKEN}"')),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",  # not the end of a turn, so that padding can be masked without masking that
        padding_side="left",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )


# --- the shipped parts ------------------------------------------------------------------


def load_nano(
    weights: Path | None = None, *, base: Path | None = None
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """DermIQ-Nano as shipped: base + `weights/specialist` tower + `weights/nano` projector and LoRA, merged."""
    weights = Path(weights) if weights is not None else WEIGHTS
    parts, specialist = weights / "nano", weights / "specialist" / "model.safetensors"
    for path in (parts / "config.json", parts / "projector.safetensors", specialist):
        if not path.is_file():
            raise ModelError(
                f"DermIQ-Nano's trained parts are missing ({path.parent.name}/{path.name}). Restore dermiq/weights "
                "from the repository, or run python -m train.embedded.specialist and python -m train.embedded.nano."
            )
    settings = read_json(parts / "config.json")
    if settings.get("format") != PARTS_FORMAT:
        raise ModelError(f"{parts} has format {settings.get('format')}; this version of DermIQ reads {PARTS_FORMAT}.")
    model, processor = assemble(
        base or ensure_base(),
        tower=load_tower(specialist, image_size=settings["image_size"]),
        image_size=settings["image_size"],
        projector_state=load_tensors(parts / "projector.safetensors"),
    )
    if (parts / "adapter_config.json").is_file():
        merge_lora(model, parts)
    return model.eval(), processor


def nano_skeleton(*, base: Path | None = None) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """DermIQ-Nano without its weights (parameters on the meta device), and its processor."""
    settings = read_json(WEIGHTS / "nano" / "config.json")
    base, size = base or ensure_base(), settings["image_size"]
    processor = build_processor(base, size)
    with torch.device("meta"):
        tower = DermTowerPair(DermTowerPairConfig(image_size=size))
        language = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base), dtype=torch.float32)
    model: Model = _empty_llava(tower, language, size, processor.image_token_id)
    return model.to("meta").eval(), processor


def merge_lora(model: nn.Module, folder: Path) -> None:
    """Add a plain LoRA adapter, as PEFT saved it, into the weights, W += (alpha / r) B A, and remember it besides."""
    config = read_json(folder / "adapter_config.json")
    variants = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "modules_to_save")
    if config.get("peft_type") != "LORA" or any(config.get(name) for name in variants):
        raise ModelError(
            f"The adapter in {folder.name} is not a plain LoRA, which is what DermIQ-Nano is shipped with."
        )
    state = load_tensors(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    for key in [key for key in state if key.endswith(".lora_A.weight")]:
        name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        weight = model.get_submodule(name).weight
        down, up = state.pop(key).float(), state.pop(key.replace("lora_A", "lora_B")).float()
        with torch.no_grad():
            weight += scale * (up @ down)
        merged_into(model).setdefault(name, []).append((down, up, scale))
    if state:
        raise ModelError(
            f"The adapter in {folder.name} has tensors that do not fit this model, such as {next(iter(state))}."
        )


def load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Of a shipped file, which is checked, or of one like it elsewhere. Raises ModelError."""
    try:
        return dict(load_file(checked(file)))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The weights {file.parent.name}/{file.name} are missing or damaged: restore them from the repository, or "
            "train them anew.",
            detail=repr(error),
        ) from error


def load_tower(file: Path, *, image_size: int) -> DermTowerPair:
    """The towers of both looks of a specialist, for the window around the lesion, which is what Nano sees."""
    tower = DermTowerPair(DermTowerPairConfig(image_size=image_size))
    state = {
        own + key.removeprefix(theirs): value.float()
        for key, value in load_tensors(file).items()
        for theirs, own in TOWERS.items()
        if key.startswith(theirs)
    }
    missing, _ = tower.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise ModelError(
            f"{file} does not hold the vision towers ({len(missing)} tensors are missing, such as {missing[0]})."
        )
    tower.eval().to(memory_format=torch.channels_last)
    return tower


def save_nano_parts(model: Model, folder: Path, *, image_size: int, **settings: Any) -> None:
    """Write projector, LoRA and `config.json` of a trained model; `settings` are kept beside the image size."""
    folder.mkdir(parents=True, exist_ok=True)
    adapters = getattr(model, "peft_config", {})
    for adapter in adapters.values():
        adapter.base_model_name_or_path = "SmolLM2-135M-Instruct"
    if adapters:
        card = folder / "README.md"  # written by hand; PEFT would put its template in its place
        kept = card.read_bytes() if card.is_file() else None
        model.save_pretrained(str(folder), save_embedding_layers=False)
        card.unlink(missing_ok=True)
        if kept is not None:
            card.write_bytes(kept)
    inner = model.get_base_model() if adapters else model
    state = inner.model.multi_modal_projector.state_dict()
    save_file(
        {key: value.detach().cpu().contiguous() for key, value in state.items()}, folder / "projector.safetensors"
    )
    described = {"format": PARTS_FORMAT, "image_size": image_size, "base": WHEEL, "base_sha256": GGUF_SHA256}
    (folder / "config.json").write_text(json.dumps(described | settings, indent=1) + "\n", encoding="utf-8")
    seal(folder)


def is_nano(config: object) -> bool:
    """Whether `config` is of a LLaVA around the specialist's towers."""
    return getattr(getattr(config, "vision_config", None), "model_type", "") == DermTowerPairConfig.model_type
