"""Several LoRA adapters on one model as one: what stages of training add to the same weights, added up exactly.

    state, rank = load_adapters([Path("dermiq/weights/nano"), Path("runs/nano-grpo/final")])

The sum of s_i B_i A_i is the product of the A_i stacked and the s_i B_i side by side, of the sum of their ranks
(LoRA, arXiv:2106.09685, equation 3). Each stage trains what the one before it made, merged, so the sum is the last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from dermiq.errors import ModelError

SCALE = 2.0  # of the adapter that is made: alpha / rank, as `dermiq.vlm.nano` has it


def load_adapters(folders: Sequence[Path]) -> tuple[dict[str, Tensor], int]:
    """The tensors of the sum, in PEFT's names, and its rank. ModelError where they are not of the same layers."""
    found: list[dict[str, Tensor]] = []
    for folder in folders:
        try:
            settings = json.loads((folder / "adapter_config.json").read_text())
            state = load_file(folder / "adapter_model.safetensors")
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} holds no LoRA adapter.", detail=repr(error)) from error
        scale = settings["lora_alpha"] / settings["r"] / SCALE
        found.append({key: value.float() * (scale if "lora_B" in key else 1.0) for key, value in state.items()})
    if any(one.keys() != found[0].keys() for one in found):
        raise ModelError("The adapters are not of the same layers.")
    joined = {
        key: torch.cat([one[key] for one in found], dim=1 if "lora_B" in key else 0).contiguous() for key in found[0]
    }
    rank = next(value.shape[0] for key, value in joined.items() if "lora_A" in key)
    return joined, int(rank)
