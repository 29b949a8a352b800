"""The options that all stages share, and what can be known of them before anything is computed: model, device, shape.

Knows no model, no trainer and no run's process.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dermiq.errors import InputError
from train.cases.labelled import quiet
from train.cases.sources import Say
from train.options import option
from train.runs.paths import runs_folder
from train.runs.progress import Progress, silent
from train.runs.run_folder import CONFIG, STATUS, is_complete

if TYPE_CHECKING:  # PyTorch takes seconds to load
    from dermiq.vlm.load import VLM

LANGUAGE_LAYERS = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}


@dataclass(frozen=True)
class Shape:
    """What a stage holds at a time. Tokens are those of the longest example."""

    prompt: int  # tokens before what is learned, those of images included
    completion: int  # tokens that are learned
    rows: int  # completions that are learned together
    shared: bool  # they follow one prompt that is read once, in chunks (`train.rl.group_loss`); else whole sequences
    sampled: int = 0  # completions that the model writes at a time, before any is learned
    measured: bool = True  # the specialist measures the images
    reference: bool = False  # a frozen copy of the model is compared with
    form: tuple[int, int] = (0, 0)  # of reasoning and answer at their shortest, and of a whole answer at its longest


@dataclass(frozen=True)
class StageConfig(ABC):
    stage: ClassVar[str] = ""
    judged_by: ClassVar[str] = "eval_loss"  # what an evaluation logs that decides which weights are best

    model: str = option("nano", "nano (DermIQ-Nano), a run's name, a folder, or a model of the Hugging Face hub")
    load_in_4bit: bool = option(False, "keep the frozen weights in 4 bits (QLoRA): a quarter of their memory")
    device: str = option("", "cpu, cuda, cuda:1, mps; empty: a GPU when there is one")
    dtype: str = option("", "of the weights; empty: as fits the device", choices=("", "float32", "bfloat16", "float16"))
    threads: int = option(0, "of the CPU that it uses; 0: as many as there are", minimum=0)
    lora_rank: int = option(
        16, "size of the adapter (LoRA) that is trained; 0: train the whole language model", minimum=0
    )
    lora_alpha: int = option(32, "LoRA's scale times its rank", minimum=1)
    lora_dropout: float = option(0.0, "share of LoRA's inputs that are left out at random", minimum=0, maximum=0.9)
    lora_targets: str = option(LANGUAGE_LAYERS, "regular expression of the layers that LoRA changes")
    train_projector: bool = option(False, "train what lies between vision tower and language model, too")
    steps: int = option(0, "optimizer steps; 0: as many as epochs asks for", minimum=0)
    epochs: float = option(1.0, "passes over the data, where steps is 0", above=0)
    batch_size: int = option(2, "examples at a time on each device", minimum=1)
    accumulation: int = option(1, "batches that are added up for one optimizer step", minimum=1)
    learning_rate: float = option(1e-4, "how far a step moves the weights, at its highest", above=0)
    schedule: str = option(
        "cosine", "how the learning rate falls", choices=("cosine", "linear", "constant_with_warmup")
    )
    warmup_steps: int = option(0, "steps in which the learning rate rises", minimum=0)
    weight_decay: float = option(0.0, "how strongly the optimizer pulls weights towards 0", minimum=0)
    max_grad_norm: float = option(1.0, "longer gradients are shortened to it", above=0)
    optimizer: str = option("adamw", "the 8-bit ones need bitsandbytes", choices=tuple(OPTIMIZERS))
    gradient_checkpointing: bool = option(
        False, "compute activations twice rather than keep them: less memory, more time"
    )
    seed: int = option(1, "of everything that is drawn at random: the same seed, the same run", minimum=0)
    log_every: int = option(1, "steps between two lines of metrics.jsonl", minimum=1)
    save_every: int = option(50, "steps between two checkpoints; 0: only at the end", minimum=0)
    keep_checkpoints: int = option(2, "newest checkpoints that are kept", minimum=1)
    eval_every: int = option(0, "steps between two evaluations on val; 0: none", minimum=0)
    patience: int = option(0, "evaluations without a new best after which the training ends; 0: never", minimum=0)
    export_best: bool = option(
        True, "the result is what val judged best, where there were evaluations; no: the last step"
    )
    export: str = option(
        "merged", "what the result holds: the whole model, or LoRA alone", choices=("merged", "adapter")
    )
    check_memory: bool = option(True, "end at once where clearly less memory is free than the run is estimated to need")
    push_to_hub: bool = option(False, "send final/ to the Hugging Face hub, as a private model")
    hub_id: str = option("", "under this name: owner/name")

    def check(self) -> None:
        """Raises DermIQError for what would fail later. A stage adds its data."""
        model = resolved_model(self.model)
        if self.load_in_4bit and self.lora_rank == 0:
            raise InputError("Nothing would be trained: 4-bit weights are frozen. Set lora_rank above 0.")
        if self.load_in_4bit and self.model == "nano":
            raise InputError("DermIQ-Nano is small already: leave load_in_4bit out.")
        if self.lora_rank == 0 and self.export == "adapter":
            raise InputError("export is adapter, but without LoRA (lora_rank 0) there is none. Set it to merged.")
        if self.export == "adapter" and is_adapter(model):
            raise InputError(
                f"{self.model} is itself an adapter: one on top of it cannot be loaded. Set export to merged."
            )
        if self.push_to_hub and self.hub_id.count("/") != 1:
            raise InputError("push_to_hub needs hub_id: owner/name.")
        if self.patience and not self.eval_every:
            raise InputError("patience counts evaluations: set eval_every, too.")
        _check_pattern(self.lora_targets)
        check_device(self.device)

    @abstractmethod
    def shape(self, vlm: VLM, cache: Path, progress: Progress = silent) -> Shape:
        """What the stage holds at a time, for the estimate of its memory. `vlm` has no weights; `cache` is a folder for
        measurements of images."""

    @abstractmethod
    def rows(self, say: Say = quiet) -> tuple[list[Any], list[Any]]:
        """What is trained on, and what is judged by; `say` is told what was left out of the data."""

    def warnings(self, shape: Shape) -> Iterator[str]:
        """What of the options will not work out, in sentences."""
        yield from ()

    def learned(self) -> str:
        """Of how many of its examples it will learn, and why not of all; "" where of all."""
        return ""

    def place(self) -> str:
        """Which device the run needs for itself."""
        return place_of(self.device)


def place_of(device: str) -> str:
    """The device that is meant, with its number: "cpu", "cuda:0"."""
    if device not in ("", "cuda"):
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() and not device else "cpu"


def check_device(device: str) -> None:
    """Raises InputError for one that is not there."""
    kind, _, number = device.partition(":")
    if kind not in ("", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"device is {device!r}; it must be cpu, cuda, cuda:1, ... or mps.")
    if kind == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError(f"device is {device!r}, but no GPU that PyTorch can use was found.")
        if int(number or 0) >= torch.cuda.device_count():
            raise InputError(f"device is {device!r}, but this machine has {torch.cuda.device_count()} GPU(s).")


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(f"lora_targets is no regular expression: {error}.") from error
    if not pattern:
        raise InputError("lora_targets is empty: LoRA would change no layer.")


def resolved_model(name: str) -> str:
    """A run's name becomes its folder. Raises InputError where the name can be neither folder, run nor hub id."""
    if name == "nano":
        return name
    if not name.strip():
        raise InputError("model is empty: name a folder, a run, or a model of the hub (owner/name), or take nano.")
    folder = next((path for path in (Path(name).expanduser(), runs_folder() / name) if path.is_dir()), None)
    if folder is not None:
        if (folder / CONFIG).is_file() and (folder / STATUS).is_file() and not is_complete(folder / "final"):
            raise InputError(f"The run {folder.name} has no finished final/ to start from. Resume it first.")
        return str(folder.resolve())
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"There is no model {name!r}: name a folder, a run, or a model of the hub (owner/name).")
    return name


def is_adapter(model: str) -> bool:
    folders = (Path(model), Path(model) / "final")
    return any((f / "adapter_config.json").is_file() and not (f / "model.safetensors").is_file() for f in folders)
