"""Loads any image-text-to-text model, by name, with its processor, precision, device and adapters.

vlm = load_vlm("nano")                                               # the embedded model
vlm = load_vlm("Qwen/Qwen2.5-VL-3B-Instruct", load_in_4bit=True)     # from the hub
vlm = load_vlm("runs/grpo/final")                                    # a training run's result
session = vlm.session([pixels])
for piece in session.stream([{"role": "user", "content": "What is this lesion?"}]): ...
"""

from __future__ import annotations

import difflib
import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from dermiq.errors import DermIQError, ModelError, ran_out_of_memory
from dermiq.places import WEIGHTS, runs_folder
from dermiq.shipped import fingerprint, read_json
from dermiq.vlm import tower  # noqa: F401  registers the specialist's tower, so a saved DermIQ-Nano loads by name
from dermiq.vlm.backend import MAX_POSITIONS, Backend, PlainBackend
from dermiq.vlm.base import GGUF_SHA256, ensure_base
from dermiq.vlm.hub import Model, Processor
from dermiq.vlm.identity import Origin, origin_of
from dermiq.vlm.merged import remember
from dermiq.vlm.nano import load_nano, nano_skeleton, quiet_peft
from dermiq.vlm.processors import load_processor
from dermiq.vlm.prompt_inputs import PromptEncoder
from dermiq.vlm.reach import hub_or_cache
from dermiq.vlm.session import Session

if TYPE_CHECKING:
    from dermiq.vlm.compact import CompactDecoder

NANO = "nano"
NANO_NAMES = (NANO, "DermIQ-Nano")  # the second is what an exported adapter calls it
NEAR = 5  # models that are named where one is missing
_MARKS = ("config.json", "adapter_config.json", "model.safetensors")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class VLM:
    """A loaded model. Sessions share its weights; `lock` lets one forward through at a time."""

    def __init__(self, model: Model, processor: Processor, *, name: str, revision: str, fast: bool = True) -> None:
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.revision = revision
        self.origin: Origin | None = None  # of its weights, where `load_vlm` loaded them
        self.lock = threading.RLock()
        config = model.config
        image_token = getattr(config, "image_token_id", None)
        image_token = image_token if image_token is not None else config.image_token_index
        self.encoder = PromptEncoder(processor, image_token)
        self.end_ids = frozenset(_ids(model.generation_config.eos_token_id) + _ids(processor.tokenizer.eos_token_id))
        markers = ("video_token_id", "vision_start_token_id", "vision_end_token_id")
        self.banned_ids = frozenset([image_token, *(i for m in markers for i in _ids(getattr(config, m, None)))])
        self._decoder = compact(model) if fast else None
        text = config.get_text_config()
        self.max_tokens = min(getattr(text, "max_position_embeddings", None) or MAX_POSITIONS, MAX_POSITIONS)

    @property
    def device(self) -> str:
        return str(self.model.device)

    @property
    def is_fast(self) -> bool:
        """Whether the decoder on compact weights runs it. Then the model itself holds no text weights."""
        return self._decoder is not None

    def session(self, images: Sequence[np.ndarray]) -> Session:
        """A conversation about `images`, each (H, W, 3) uint8 RGB; its cache goes when it goes."""
        backend: Backend = PlainBackend(self.model) if self._decoder is None else self._decoder.backend()
        return Session(self, images, backend)


def compact(model: Model) -> CompactDecoder | None:
    """The decoder on compact weights, which are then the only ones; None where it can't compute this model, or where
    there is no ONNX Runtime for this machine.
    """
    try:
        from dermiq.vlm.compact import CompactDecoder
    except ImportError:
        return None
    if not CompactDecoder.supports(model):
        return None
    decoder = CompactDecoder(model)
    decoder.release()
    return decoder


def load_vlm(
    name: str = NANO,
    *,
    adapter: str | None = None,
    load_in_4bit: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    fast: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> VLM:
    """`name` is "nano", a folder (a checkpoint, a run, an adapter) or a hub id. Raises `ModelError` or `DownloadError`.

    `device` defaults to the GPU where there is one; `dtype` ("float32", "bfloat16", "float16") to bfloat16 on GPUs that
    have it and float32 on the CPU. Without `fast` there is no lean decoder, as for a training.
    """
    report = progress or (lambda stage, fraction: None)
    where = _device(device)
    if dtype is not None and dtype not in _DTYPES:
        raise ModelError(f"The precision {dtype!r} is unknown; choose one of {', '.join(_DTYPES)}.")
    name, adapter = _resolve(name, adapter)
    report("loading", 0.0)
    folders = [Path(part) for part in (name, adapter) if part and Path(part).is_dir()]
    origin = origin_of((), *folders)  # noted before they are read: what changes meanwhile is seen
    try:
        if name == NANO:
            model, processor, revision = _load_nano(load_in_4bit=load_in_4bit, progress=report)
            model = model.to(where, _DTYPES[dtype or "float32"])
        else:
            precision = _DTYPES[dtype] if dtype else _default_dtype(where)
            with _fetching(name):
                model, processor, revision = _load_checkpoint(name, where, precision, load_in_4bit=load_in_4bit)
        report("loading", 0.8)
        if adapter is not None:
            with _fetching(adapter):
                model = _with_adapter(model, adapter, merge=not load_in_4bit)
            revision = f"{revision}+{_weights_hash(Path(adapter)) if Path(adapter).is_dir() else adapter}"
    except DermIQError:
        raise
    except Exception as error:
        raise _explained(name, error) from error
    called = name if adapter is None else f"{name} + {adapter}"
    vlm = VLM(model, processor, name=called, revision=revision, fast=fast)
    vlm.origin = replace(origin, named=_named(name, adapter, model))
    report("ready", 1.0)
    return vlm


def load_skeleton(name: str = NANO, *, device: str | None = None, dtype: str | None = None) -> VLM:
    """The model that `load_vlm` would load, without its weights: parameters are on the meta device, and nothing can be
    computed. For counting bytes and tokens. Of a hub model only configuration and processor are fetched.
    """
    name, _ = _resolve(name, None)
    model: Model
    try:
        if name == NANO:
            model, processor = nano_skeleton()
            model = model.to(dtype=_DTYPES[dtype or "float32"])
        else:
            with _fetching(name):
                config = AutoConfig.from_pretrained(name)
                processor = load_processor(name, config.model_type)
            precision = _DTYPES[dtype] if dtype else _default_dtype(_device(device))
            with torch.device("meta"):
                model = AutoModelForImageTextToText.from_config(config, dtype=precision)
            model.generation_config = GenerationConfig.from_model_config(config)
    except DermIQError:
        raise
    except Exception as error:
        raise _explained(name, error) from error
    return VLM(model, processor, name=name, revision="", fast=False)


def _named(name: str, adapter: str | None, model: Model) -> tuple[str, ...]:
    """What names the weights that lie in no folder: the hashes of what ships, or a commit of the hub."""
    if name == NANO:
        base = [fingerprint(), GGUF_SHA256]
    else:
        base = [] if Path(name).is_dir() else [getattr(model.config, "_commit_hash", None) or ""]
    return (*base, *([] if adapter is None or Path(adapter).is_dir() else [""]))


def _fetching(name: str) -> AbstractContextManager[None]:
    """Around what may ask the hub: nothing does of a folder."""
    return nullcontext() if Path(name).is_dir() else hub_or_cache()


def _ids(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


def _device(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.device(device).type
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError("No GPU that PyTorch can use was found. Leave --device out to run on the CPU.")
    return device


def _default_dtype(device: str) -> torch.dtype:
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _resolve(name: str, adapter: str | None) -> tuple[str, str | None]:
    """A run folder means its `final/`; a folder that holds only an adapter means its base model with that adapter; the
    name of a run means its folder. Raises ModelError for what can be seen to be no model.
    """
    if name in NANO_NAMES:
        return NANO, adapter
    folder = _folder_of(name)
    if folder is None:
        return name, adapter
    if (folder / "final").is_dir() and not (folder / "adapter_config.json").is_file():
        folder = folder / "final"
        if not (folder / "manifest.json").is_file():
            raise ModelError(f"The run in {name} has not finished: its final/ has no manifest.json. Resume or wait.")
    if (folder / "status.json").is_file():
        raise ModelError(f"The run in {name} has no result: there is no final/ in it. Resume it, or wait for its end.")
    if (folder / "adapter_config.json").is_file() and not (folder / "model.safetensors").is_file():
        if adapter is not None:
            raise ModelError(
                f"{name} is itself an adapter, so --adapter {adapter} cannot be added. Name its base model."
            )
        return _base_of(folder), str(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder {name} holds no model: it has no config.json. {_near(folder / 'model')}".strip())
    return str(folder), adapter


def _folder_of(name: str) -> Path | None:
    """The folder that a name stands for; None where it can be a model of the hub. ModelError where it is neither."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise ModelError(f"{name} is a file: name the folder that it lies in.")
    run = runs_folder() / name
    if "/" not in name and run.is_dir():
        return run
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not _is_here(folder.parent):
        return None
    place = folder if len(folder.parts) > 1 else run
    raise ModelError(f"There is no run and no model folder {name}. {_near(place)}".strip())


def _is_here(parent: Path) -> bool:
    """Whether the first part of "runs/mine" is a folder, so that it is no owner on the hub."""
    return parent.is_dir() or parent.name == runs_folder().name


def _near(missing: Path) -> str:
    """Which models and runs lie where `missing` was looked for, in a sentence: those called alike, or the newest."""
    parent = missing.parent
    try:
        found = [path for path in parent.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError:
        return f"There is no folder {parent}."
    models = {path.name: path for path in found if any((path / mark).is_file() for mark in _MARKS)}
    if not models:
        return f"There is none in {parent}."
    alike = difflib.get_close_matches(missing.name, list(models), n=NEAR, cutoff=0.5)
    newest = sorted(models, key=lambda name: models[name].stat().st_mtime, reverse=True)
    return f"In {parent} there are {', '.join(alike or newest[:NEAR])}."


def _base_of(folder: Path) -> str:
    """What the adapter in a folder belongs to: a name of the hub, or a folder, also one that lies beside it."""
    base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if not base:
        raise ModelError(f"The adapter in {folder} does not say which model it belongs to: give that model's name too.")
    beside = folder.resolve().parent / base
    try:
        found, below = _resolve(str(beside if "/" not in base and beside.is_dir() else base), None)
    except ModelError as error:
        raise ModelError(
            f"The adapter in {folder} belongs to the model {base}, which is not here. Put that model into the folder "
            f"{beside}, or say where it is: --model BASE --adapter {folder}.",
            detail=str(error),
        ) from error
    if below is not None:
        raise ModelError(
            f"The adapter in {folder} belongs to {base}, which is itself an adapter: that cannot be loaded."
        )
    return found


def _load_nano(*, load_in_4bit: bool, progress: Callable[[str, float], None]) -> tuple[Model, Processor, str]:
    if load_in_4bit:
        raise ModelError("DermIQ-Nano is small already and runs in full precision: start it without --load-in-4bit.")
    model, processor = load_nano(base=ensure_base(progress=progress))
    parts = [WEIGHTS / "specialist", WEIGHTS / "nano"]
    return model, processor, "-".join([*(_weights_hash(part) for part in parts), GGUF_SHA256[:8]])


def _load_checkpoint(name: str, device: str, dtype: torch.dtype, *, load_in_4bit: bool) -> tuple[Model, Processor, str]:
    config = AutoConfig.from_pretrained(name)
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ModelError(
            f"{name} is a {config.model_type} model, which does not turn images and text into text. "
            "Name an image-text-to-text model, such as Qwen/Qwen2.5-VL-3B-Instruct."
        )
    options: dict[str, Any] = {"dtype": dtype}
    if load_in_4bit:
        options |= {"quantization_config": _four_bit(config, dtype), "device_map": {"": device}}
    elif torch.device(device).type != "cpu":
        options["device_map"] = {"": device}
    model = AutoModelForImageTextToText.from_pretrained(name, **options)
    if load_in_4bit:
        _keep_layout(model)
    processor = load_processor(name, config.model_type)
    folder = Path(name)
    revision = _weights_hash(folder) if folder.is_dir() else (getattr(config, "_commit_hash", None) or "unknown")
    return model, processor, revision


def _four_bit(config: object, dtype: torch.dtype) -> Any:
    """NF4 for the language model alone: vision tower, projector and vocabulary keep their precision."""
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ModelError("4-bit loading needs the package bitsandbytes: pip install bitsandbytes.")
    with torch.device("meta"):
        skeleton = AutoModelForImageTextToText.from_config(config)
    language = ("language_model", "text_model")
    kept = [f"model.{part}" for part, _ in skeleton.model.named_children() if part not in language]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[*kept, "lm_head"],
    )


def _keep_layout(model: Model) -> None:
    """On processors with AVX512-BF16, bitsandbytes would pack the weights anew with the first text that is written:
    from then on it computes in bfloat16, so that the probabilities of sampling are not those of training, and it fails
    where a layer's input is no multiple of the block."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _with_adapter(model: Model, adapter: str, *, merge: bool) -> Model:
    """A PEFT adapter merged into the weights, or (4-bit) kept beside them."""
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    if not Path(adapter).exists() and adapter.count("/") != 1:
        raise ModelError(f"The adapter {adapter} is neither a folder here nor a hub id (owner/name).")
    misfit = f"The adapter {adapter} does not fit this model."
    config = PeftConfig.from_pretrained(adapter)
    config.inference_mode = True
    config.base_model_name_or_path = model.name_or_path  # its own name for it may be another; what fits is seen below
    try:
        with quiet_peft():
            adapted = get_peft_model(model, config)
    except ValueError as error:  # not one of its target modules is there
        raise ModelError(misfit, detail=repr(error)) from error
    result: Any = set_peft_model_state_dict(adapted, load_peft_weights(adapter, device=str(model.device)))
    missing = [key for key in result.missing_keys if "lora_" in key]
    if result.unexpected_keys or missing:
        raise ModelError(misfit, detail=f"unexpected {result.unexpected_keys[:3]}, missing {missing[:3]}")
    if not merge:
        return adapted.get_base_model()
    remember(adapted.get_base_model())
    return adapted.merge_and_unload()


def _weights_hash(folder: Path) -> str:
    """Twelve digits from every weight file's name, size, first and last mebibyte."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size};".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read())
    return digest.hexdigest()[:12]


def _explained(name: str, error: Exception) -> ModelError:
    """One sentence that says what to do; the library's own words go into the log."""
    text = str(error).lower()
    kind = type(error).__name__
    if ran_out_of_memory(error):
        sentence = f"{name} does not fit into memory. Choose a smaller model or add --load-in-4bit."
    elif re.search(r"\bgated\b|\b401\b", text) or kind == "GatedRepoError":
        sentence = f"{name} is gated: accept its licence on its hub page, then run `hf auth login`."
    elif "couldn't connect" in text or "offline" in text or "connection" in text or "timed out" in text:
        sentence = f"{name} could not be fetched: the model hub cannot be reached. Check the network, or name a folder."
    elif "unrecognized" in text or "does not recognize" in text or "unknown model type" in text:
        sentence = f"{name} is of a kind that this version of transformers does not know. Try a newer transformers."
    elif isinstance(error, ImportError):
        sentence = f"{name} needs a package that is not installed: {error.name or str(error).splitlines()[0]}."
    elif isinstance(error, OSError):
        sentence = f"{name} is neither a model folder here nor a model on the hub. Check the spelling."
    else:
        sentence = f"{name} could not be loaded ({kind}). The log has the details."
    return ModelError(sentence, detail=repr(error))
