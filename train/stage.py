"""What the stages share: options, model, adapter, a run that stops and resumes, export. Knows no loss and no data.

A stage is a module with a dataclass of options that inherits `StageConfig`, and a function that builds TRL's trainer:

    def build(config: SFTConfig, vlm: VLM, owner: Owner) -> Trainer: ...

    def run(config: SFTConfig, owner: Owner) -> None:
        run_stage(config, owner, build)

    if __name__ == "__main__":
        sys.exit(runs.command(SFTConfig, description=__doc__))
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dermiq import places
from dermiq.errors import DermIQError, InputError, ModelError
from train.cases.labelled import quiet
from train.cases.sources import Say
from train.options import option
from train.runs.duration import expected
from train.runs.estimate import Progress, estimate, free_here, note, peaks, refuse, silent, without_weights
from train.runs.registry import check_disk, runs_folder
from train.runs.run_folder import (
    CACHE,
    CONFIG,
    MANIFEST,
    STATUS,
    checkpoints,
    is_complete,
    last_checkpoint,
    read_json,
    seal,
    write_json,
)
from train.runs.worker import Owner

if TYPE_CHECKING:
    from dermiq.vlm.load import VLM
    from train.runs.estimate import Shape

LANGUAGE_LAYERS = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
PROJECTORS = ("multi_modal_projector", "connector", "merger")  # LLaVA, Idefics3 and SmolVLM, Qwen-VL
VISION = ("vision_tower", "vision_model", "visual")
OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "numpy")
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


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


C = TypeVar("C", bound=StageConfig)


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


# --- model ------------------------------------------------------------------------------


def load_model(config: StageConfig, device: str) -> VLM:
    """The model in training's precision, every weight still as it was loaded."""
    from dermiq.vlm.load import load_vlm

    dtype = config.dtype or ("float32" if config.lora_rank == 0 else None)  # whole weights: AdamW needs their low bits
    return load_vlm(
        resolved_model(config.model), load_in_4bit=config.load_in_4bit, device=device, dtype=dtype, fast=False
    )


def make_trainable(model: Any, config: StageConfig) -> Any:
    """LoRA around `model`, or its language model unfrozen. Raises ModelError where nothing would be trained."""
    if config.lora_rank:
        model = _with_lora(model, config)
    else:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not any(part in VISION for part in name.split(".")))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"Nothing of {config.model} would be trained.")
    return model


def _with_lora(model: Any, config: StageConfig) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    from dermiq.vlm.nano import quiet_peft

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
            wrapped: Any = get_peft_model(model, lora)
    except ValueError as error:
        raise ModelError(
            f"Nothing of {config.model} would be trained: lora_targets fits none of its layers.", detail=str(error)
        ) from error
    wrapped.peft_config["default"].base_model_name_or_path = resolved_model(config.model)
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)  # "auto" asks the hub
    return wrapped


# --- trainer ----------------------------------------------------------------------------


def arguments(config: StageConfig, folder: Path, device: str, *, has_val: bool) -> dict[str, Any]:
    """What TRL's config classes have in common with ours."""
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "output_dir": str(folder),
        "max_steps": config.steps or -1,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": OPTIMIZERS[config.optimizer],
        "gradient_checkpointing": config.gradient_checkpointing or None,  # False draws a deprecation warning
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.log_every,
        "logging_nan_inf_filter": False,  # it would hide a loss that is no number
        "include_num_input_tokens_seen": "all",
        "save_strategy": "steps",
        "save_steps": config.save_every or 10**9,
        "save_total_limit": None,  # it deletes the last whole checkpoint before the next one is sealed
        "eval_strategy": "steps" if config.eval_every and has_val else "no",
        "eval_steps": config.eval_every or None,
        "prediction_loss_only": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": on_gpu,
        "use_cpu": device == "cpu",
        "bf16": on_gpu and torch.cuda.is_bf16_supported(including_emulation=False),
        "fp16": on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False),
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,  # final/ is sent, not every checkpoint
    }


def drop_reference_copy(model: Any) -> None:
    """TRL copies LoRA for its reference. Ours is new, and does nothing yet: without any the model is the same."""
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")


def run_stage(config: C, owner: Owner, build: Callable[[C, VLM, Owner], Any], *, window: int = 1) -> None:
    """Loads, trains from the last checkpoint on, exports. Returns early where a stop was asked for.

    `build` gives None where it stopped on request. `window`: the steps after which a stop can be resumed exactly (the
    iterations over one rollout).
    """
    owner.say("Loading the libraries")
    device = _prepare_process(config)
    if owner.is_main:
        _take_measurements(config, owner.folder)
    try:
        _estimate(config, owner, device)
        _run(config, owner, build, device, window)
    finally:
        if owner.is_main:
            note(owner.folder, **peaks())


def _take_measurements(config: StageConfig, folder: Path) -> None:
    """What was measured of images for the run whose result is trained; images are known by their content."""
    run, ours = Path(resolved_model(config.model)), folder / CACHE
    if (run / STATUS).is_file() and (run / CACHE).is_dir() and not ours.exists():
        shutil.copytree(run / CACHE, ours)


def _estimate(config: StageConfig, owner: Owner, device: str) -> None:
    """Writes the estimates into the run's folder, says what will not work out, and compares what memory and disk must
    hold with what is free. Raises InputError.
    """
    free = free_here(device)
    try:
        owner.say("Reading the model's shape")
        vlm = without_weights(config)
        if owner.is_main:
            check_disk(owner.folder, disk_bytes(config, vlm.model))
        cache = owner.folder / CACHE
        shape = config.shape(vlm, cache, lambda text, share: owner.say(text))
        time = expected(config, vlm, shape, owner.folder.parent, examples=len(config.rows()[0]))
        found = estimate(vlm.model, config, shape, device, free=free)
    except DermIQError:
        raise
    except Exception as error:  # a model that no estimate was made for must still train
        print(
            f"The memory that the run will need could not be estimated ({type(error).__name__}: {error}).", flush=True
        )
        return
    learned = config.learned()
    if owner.is_main:
        note(owner.folder, estimate=found.as_dict(), free=free, time=time.as_dict(), data=learned)
        owner.update(left=(time.seconds, time.low, time.high))
        sentences = [f"Warning: {sentence}" for sentence in found.warnings] + [learned] * bool(learned)
        print("\n".join([f"About {time.text()}.", *sentences]), flush=True)
    if config.check_memory:
        warning = refuse(found, free, config)
        if warning and owner.is_main:
            print(warning, flush=True)


def _run(config: C, owner: Owner, build: Callable[[C, VLM, Owner], Any], device: str, window: int) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # a log is read later
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # peft's
    owner.say("Loading the model")
    vlm = load_model(config, device)
    vlm.model = make_trainable(vlm.model, config)
    if owner.is_main:
        write_json(owner.folder / "environment.json", environment(vlm))
    owner.say("Preparing the examples")
    trainer = build(config, vlm, owner)
    if trainer is None or owner.stop_requested:
        return
    if not config.lora_rank:
        trainer._load_from_checkpoint = partial(_load_whole, trainer)
    callback = _attach(trainer, config, owner, window)
    if owner.is_main:
        print(_summary(trainer, config, device), flush=True)
    found = last_checkpoint(owner.folder)
    if found and (read_json(found[1] / MANIFEST) or {}).get("ended"):
        trainer._load_from_checkpoint(str(found[1]))  # `train` would do one step more
    else:
        trainer.train(resume_from_checkpoint=str(found[1]) if found else None)
    if callback.stopped:
        return
    owner.say("Writing the result")
    step = _take_best(trainer, config, owner)
    if owner.is_main:
        export(trainer.model, vlm, config, owner.folder / "final", step=step)
        if config.push_to_hub:
            push(owner.folder / "final", config.hub_id)


def _summary(trainer: Any, config: StageConfig, device: str) -> str:
    import torch

    weights = [(p.numel(), p.requires_grad) for p in trainer.model.parameters()]
    trained, total = sum(count for count, wanted in weights if wanted), sum(count for count, _ in weights)
    where = f"{device}, {torch.get_num_threads()} threads" if device == "cpu" else device
    return (
        f"{config.model}: {trained / 1e6:.2f} of {total / 1e6:.1f} million weights are trained on "
        f"{len(trainer.train_dataset)} examples ({where})."
    )


def _load_whole(trainer: Any, checkpoint: str, model: Any = None) -> None:
    """A checkpoint of all weights. Its files may have other names for them than the model has, which the library knows
    and Trainer's own loading, which passes over what it does not find, does not."""
    model = trainer.accelerator.unwrap_model(model or trainer.model)
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def _take_best(trainer: Any, config: StageConfig, owner: Owner) -> int:
    """Loads the weights that are exported into the model; their step."""
    saved = checkpoints(owner.folder)
    last = max(saved)
    best = (read_json(saved[last] / MANIFEST) or {}).get("best")
    if not config.export_best or best is None or best == last:
        return last
    if best not in saved or not is_complete(saved[best], hashes=True):
        print(f"checkpoint-{best}, which val judged best, is gone: final/ is the last step.", flush=True)
        return last
    trainer._load_from_checkpoint(str(saved[best]))
    print(f"final/ is step {best}: the best {config.judged_by} of all evaluations.", flush=True)
    return int(best)


def _prepare_process(config: StageConfig) -> str:
    """Threads, one visible GPU, no telemetry. Returns the device as this process sees it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    kind, _, number = config.place().partition(":")
    import peft  # noqa: F401  # before the watch begins: what libraries hold is not the run's memory
    import torch
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401  # imported by name, or not at all

    if kind == "cuda" and int(os.environ.get("WORLD_SIZE", "1")) == 1 and not torch.cuda.is_initialized():
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = seen.split(",") if seen else [str(i) for i in range(torch.cuda.device_count())]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[int(number or 0)]  # Trainer takes every GPU that it sees
    elif kind == "cuda":
        return f"cuda:{os.environ.get('LOCAL_RANK', number or '0')}"
    if config.threads:
        torch.set_num_threads(config.threads)
    return kind


def _attach(trainer: Any, config: StageConfig, owner: Owner, window: int) -> Any:
    from transformers import PrinterCallback

    from train.runs.callbacks import RunCallback

    callback = RunCallback(
        owner, keep=config.keep_checkpoints, patience=config.patience, window=window, judged_by=config.judged_by
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)
    trainer.create_model_card = lambda *args, **kwargs: None  # TRL's template, with this machine's paths
    return callback


def disk_bytes(config: StageConfig, model: Any) -> int:
    """What checkpoints (weights and two moments of what is trained) and the result will take. `model` has no weights,
    and none in 4 bits: the result has none either.
    """
    trained: int = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    whole: int = sum(p.numel() * p.element_size() for p in model.parameters())
    kept = trained if config.lora_rank else whole
    final = whole if config.export == "merged" else trained
    return (config.keep_checkpoints + 1 + bool(config.eval_every)) * (kept + 2 * trained) + final + 100_000_000


# --- result -----------------------------------------------------------------------------


def export(model: Any, vlm: VLM, config: StageConfig, folder: Path, *, step: int) -> None:
    """Writes `final/`, which `load_vlm` reads, and seals it last."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if config.lora_rank and (config.export == "adapter" or config.load_in_4bit):
        model.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)
    if config.export == "merged":
        _save_merged(model, config, folder)
    vlm.processor.save_pretrained(str(folder))
    seal(folder, step=step, stage=config.stage, model=config.model, revision=vlm.revision)


def _save_merged(model: Any, config: StageConfig, folder: Path) -> None:
    """4-bit weights cannot take an adapter without loss: there it is merged into the base's own precision."""
    if not config.lora_rank:
        model.save_pretrained(str(folder))
        return
    if not config.load_in_4bit:
        model.merge_and_unload().save_pretrained(str(folder))
        return
    from dermiq.vlm.load import load_vlm

    base = resolved_model(config.model)
    whole = load_vlm(base, adapter=str(folder), device="cpu", dtype="bfloat16", fast=False).model
    for file in folder.iterdir():
        file.unlink()
    whole.save_pretrained(str(folder))


def push(folder: Path, name: str, *, token: str | None = None) -> None:
    """Raises ModelError where the hub does not take it; the folder stays. Without a token, that of `hf auth login`."""
    from huggingface_hub import HfApi

    try:
        hub = HfApi(token=token)
        hub.create_repo(name, private=True, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=str(folder))
    except Exception as error:
        raise ModelError(
            f"{folder.name}/ is complete, but could not be sent to {name} ({type(error).__name__}). Check the name and "
            f"the token, or run `hf auth login` and `hf upload {name} {folder.name}`.",
            detail=type(error).__name__,
        ) from error


def environment(vlm: VLM) -> dict[str, Any]:
    """What the result depends on besides the options. No name of the machine, of its user or of its folders."""
    import torch

    return {
        "model_revision": vlm.revision,
        "code": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with "+" where files differ from it; None outside a repository, or of an installed copy."""
    if places.is_installed():  # what it may lie in is somebody else's repository
        return None
    try:
        git = ["git", "-C", str(places.ROOT)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
