"""The model that a stage trains: loaded, or its shape alone, with LoRA around it or its language model unfrozen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dermiq.errors import ModelError
from dermiq.vlm.hub import Model
from train.config import StageConfig, resolved_model

if TYPE_CHECKING:  # PyTorch takes seconds to load
    from dermiq.vlm.load import VLM

PROJECTORS = ("multi_modal_projector", "connector", "merger")  # LLaVA, Idefics3 and SmolVLM, Qwen-VL
VISION = ("vision_tower", "vision_model", "visual")


def load_model(config: StageConfig, device: str) -> VLM:
    """The model in training's precision, every weight still as it was loaded."""
    from dermiq.vlm.load import load_vlm  # PyTorch takes seconds to load

    dtype = config.dtype or ("float32" if config.lora_rank == 0 else None)  # whole weights: AdamW needs their low bits
    return load_vlm(
        resolved_model(config.model), load_in_4bit=config.load_in_4bit, device=device, dtype=dtype, fast=False
    )


def without_weights(config: StageConfig) -> VLM:
    """What would be trained, with LoRA where it is asked for; its parameters are on the meta device."""
    from dermiq.vlm.load import load_skeleton  # PyTorch takes seconds to load

    dtype = config.dtype or ("float32" if config.lora_rank == 0 else None)
    vlm = load_skeleton(resolved_model(config.model), device=config.place(), dtype=dtype)
    vlm.model = make_trainable(vlm.model, config)
    return vlm


def make_trainable(model: Model, config: StageConfig) -> Model:
    """LoRA around `model`, or its language model unfrozen. Raises ModelError where nothing would be trained."""
    if config.lora_rank:
        model = _with_lora(model, config)
    else:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not any(part in VISION for part in name.split(".")))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"Nothing of {config.model} would be trained.")
    return model


def _with_lora(model: Model, config: StageConfig) -> Model:
    import torch
    from peft import LoraConfig, get_peft_model

    from dermiq.vlm.nano import quiet_peft  # PyTorch takes seconds to load

    projectors = [name for name in PROJECTORS if any(full.split(".")[-1] == name for full, _ in model.named_modules())]
    if config.train_projector and not projectors:
        raise ModelError(f"{config.model} has no projector that is known here: leave train_projector out.")
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_targets,
        modules_to_save=projectors if config.train_projector else None,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(config.seed)  # LoRA begins at random
    try:
        with quiet_peft():
            wrapped: Model = get_peft_model(model, lora)
    except ValueError as error:
        raise ModelError(
            f"Nothing of {config.model} would be trained: lora_targets fits none of its layers.", detail=str(error)
        ) from error
    wrapped.peft_config["default"].base_model_name_or_path = resolved_model(config.model)
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)  # "auto" asks the hub
    return wrapped
