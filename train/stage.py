"""What the stages share: a training that stops and resumes, and its result. Knows no loss and no data.

A stage is a module with a dataclass of options that inherits `StageConfig`, and a function that builds TRL's trainer:

    def build(config: SFTConfig, vlm: VLM, job: Job) -> Trainer: ...

    def run(config: SFTConfig, job: Job) -> None:
        run_stage(config, job, build)

    if __name__ == "__main__":
        sys.exit(command(SFTConfig, description=__doc__))
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dermiq import places
from dermiq.errors import DermIQError, ModelError
from dermiq.types import Json
from dermiq.vlm.hub import Model
from train.config import OPTIMIZERS, StageConfig, resolved_model
from train.model import load_model, make_trainable, without_weights
from train.runs.duration import expected
from train.runs.estimate import estimate, free_here, refuse
from train.runs.job import Job
from train.runs.memory import note, peaks
from train.runs.paths import check_disk
from train.runs.run_folder import (
    CACHE,
    MANIFEST,
    STATUS,
    checkpoints,
    is_complete,
    last_checkpoint,
    read_json,
    seal,
    write_json,
)

if TYPE_CHECKING:  # PyTorch takes seconds to load
    from transformers import Trainer

    from dermiq.vlm.load import VLM

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "numpy")
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


C = TypeVar("C", bound=StageConfig)


# --- trainer ----------------------------------------------------------------------------


def arguments(config: StageConfig, folder: Path, device: str, *, has_val: bool) -> Json:
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


def drop_reference_copy(model: Model) -> None:
    """TRL copies LoRA for its reference. Ours is new, and does nothing yet: without any the model is the same."""
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")


def run_stage(config: C, job: Job, build: Callable[[C, VLM, Job], Trainer | None], *, window: int = 1) -> None:
    """Loads, trains from the last checkpoint on, exports. Returns early where a stop was asked for.

    `build` gives None where it stopped on request. `window`: the steps after which a stop can be resumed exactly (the
    iterations over one rollout).
    """
    job.say("Loading the libraries")
    device = _prepare_process(config)
    if job.is_main:
        _take_measurements(config, job.folder)
    try:
        _estimate(config, job, device)
        _run(config, job, build, device, window)
    finally:
        if job.is_main:
            note(job.folder, **peaks())


def _take_measurements(config: StageConfig, folder: Path) -> None:
    """What was measured of images for the run whose result is trained; images are known by their content."""
    run, ours = Path(resolved_model(config.model)), folder / CACHE
    if (run / STATUS).is_file() and (run / CACHE).is_dir() and not ours.exists():
        shutil.copytree(run / CACHE, ours)


def _estimate(config: StageConfig, job: Job, device: str) -> None:
    """Writes the estimates into the run's folder, says what will not work out, and compares what memory and disk must
    hold with what is free. Raises InputError.
    """
    free = free_here(device)
    try:
        job.say("Reading the model's shape")
        vlm = without_weights(config)
        if job.is_main:
            check_disk(job.folder, disk_bytes(config, vlm.model))
        cache = job.folder / CACHE
        shape = config.shape(vlm, cache, lambda text, share: job.say(text))
        time = expected(config, vlm, shape, job.folder.parent, examples=len(config.rows()[0]))
        found = estimate(vlm.model, config, shape, device, free=free)
    except DermIQError:
        raise
    except Exception as error:  # a model that no estimate was made for must still train
        print(
            f"The memory that the run will need could not be estimated ({type(error).__name__}: {error}).", flush=True
        )
        return
    learned = config.learned()
    if job.is_main:
        note(job.folder, estimate=found.as_dict(), free=free, time=time.as_dict(), data=learned)
        job.update(left=(time.seconds, time.low, time.high))
        sentences = [f"Warning: {sentence}" for sentence in found.warnings] + [learned] * bool(learned)
        print("\n".join([f"About {time.text()}.", *sentences]), flush=True)
    if config.check_memory:
        warning = refuse(found, free, config)
        if warning and job.is_main:
            print(warning, flush=True)


def _run(config: C, job: Job, build: Callable[[C, VLM, Job], Trainer | None], device: str, window: int) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # a log is read later
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # peft's
    job.say("Loading the model")
    vlm = load_model(config, device)
    vlm.model = make_trainable(vlm.model, config)
    if job.is_main:
        write_json(job.folder / "environment.json", environment(vlm))
    job.say("Preparing the examples")
    trainer: Any = build(config, vlm, job)
    if trainer is None or job.stop_requested:
        return
    if not config.lora_rank:
        trainer._load_from_checkpoint = partial(_load_whole, trainer)
    callback = _attach(trainer, config, job, window)
    if job.is_main:
        print(_summary(trainer, config, device), flush=True)
    found = last_checkpoint(job.folder)
    if found and (read_json(found[1] / MANIFEST) or {}).get("ended"):
        trainer._load_from_checkpoint(str(found[1]))  # `train` would do one step more
    else:
        trainer.train(resume_from_checkpoint=str(found[1]) if found else None)
    if callback.stopped:
        return
    job.say("Writing the result")
    step = _take_best(trainer, config, job)
    if job.is_main:
        export(trainer.model, vlm, config, job.folder / "final", step=step)
        if config.push_to_hub:
            push(job.folder / "final", config.hub_id)


def _summary(trainer: Any, config: StageConfig, device: str) -> str:
    import torch

    weights = [(p.numel(), p.requires_grad) for p in trainer.model.parameters()]
    trained, total = sum(count for count, wanted in weights if wanted), sum(count for count, _ in weights)
    where = f"{device}, {torch.get_num_threads()} threads" if device == "cpu" else device
    return (
        f"{config.model}: {trained / 1e6:.2f} of {total / 1e6:.1f} million weights are trained on "
        f"{len(trainer.train_dataset)} examples ({where})."
    )


def _load_whole(trainer: Trainer, checkpoint: str, model: Model = None) -> None:
    """A checkpoint of all weights. Its files may have other names for them than the model has, which the library knows
    and Trainer's own loading, which passes over what it does not find, does not."""
    model = trainer.accelerator.unwrap_model(model or trainer.model)
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def _take_best(trainer: Trainer, config: StageConfig, job: Job) -> int:
    """Loads the weights that are exported into the model; their step."""
    saved = checkpoints(job.folder)
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


def _attach(trainer: Any, config: StageConfig, job: Job, window: int) -> Any:
    from transformers import PrinterCallback

    from train.runs.callbacks import RunCallback  # PyTorch takes seconds to load

    callback = RunCallback(
        job, keep=config.keep_checkpoints, patience=config.patience, window=window, judged_by=config.judged_by
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)
    trainer.create_model_card = lambda *args, **kwargs: None  # TRL's template, with this machine's paths
    return callback


def disk_bytes(config: StageConfig, model: Model) -> int:
    """What checkpoints (weights and two moments of what is trained) and the result will take. `model` has no weights,
    and none in 4 bits: the result has none either.
    """
    trained: int = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    whole: int = sum(p.numel() * p.element_size() for p in model.parameters())
    kept = trained if config.lora_rank else whole
    final = whole if config.export == "merged" else trained
    return (config.keep_checkpoints + 1 + bool(config.eval_every)) * (kept + 2 * trained) + final + 100_000_000


# --- result -----------------------------------------------------------------------------


def export(model: Model, vlm: VLM, config: StageConfig, folder: Path, *, step: int) -> None:
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


def _save_merged(model: Model, config: StageConfig, folder: Path) -> None:
    """4-bit weights cannot take an adapter without loss: there it is merged into the base's own precision."""
    if not config.lora_rank:
        model.save_pretrained(str(folder))
        return
    if not config.load_in_4bit:
        model.merge_and_unload().save_pretrained(str(folder))
        return
    from dermiq.vlm.load import load_vlm  # PyTorch takes seconds to load

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


def environment(vlm: VLM) -> Json:
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
