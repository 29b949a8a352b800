"""How much memory a run will take, before any weight is loaded, and how much it took.

    python -m train.grpo --config FILE --estimate        # prints the parts and the sum; no run

    estimate = estimate_run(config)                      # for a form: a few seconds, no weights
    print(estimate.text())

The model is built on the meta device, so parameters are counted exactly; a few examples are written and encoded, so
tokens are counted, too. A stage says in `shape` what it holds at a time. What is kept for the backward pass is counted
by a forward pass on the meta device. On the CPU the sum stands for the highest resident memory of the run's process, on
a GPU for that of its tensors there. Left out: a CUDA context, and the frozen vision tower's activations.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from dermiq.errors import InputError
from dermiq.types import Fields, Json
from dermiq.vlm.hub import Model
from train.config import Shape, StageConfig
from train.model import without_weights
from train.runs.memory import in_words
from train.runs.progress import Progress, part_of, silent

if TYPE_CHECKING:  # PyTorch takes seconds to load
    from dermiq.vlm.load import VLM

SAMPLE = 8  # examples whose tokens are counted; the longest of them stands for all
REFUSED, WARNED = 1.25, 0.8  # shares of the free memory; the estimate is right to about a quarter
LOGIT_COPIES = 3  # of a tile: the product, its probabilities, and the gradient
TRL_TOKENS, TRL_VOCABULARY, TRL_COPIES = 4096, 32_768, 8  # tiles of TRL's head, and their copies in its backward pass
T = TypeVar("T")
BLOCK_4BIT = 64  # weights that share a scale, which is itself kept in a byte
PROCESS = 560_000_000  # PyTorch, the trainers and their libraries, once they are imported
READERS = 160_000_000  # the specialist that measures the images on the CPU; the graph's words and embeddings
BESIDE = 90_000_000  # on the CPU, whatever is trained: the graph, and code that is loaded when it is first needed
CPU_WASTE = 0.6  # of what is kept for the backward pass: freed blocks that the C library keeps, as measured with Nano
_KEPT = ("activations", "prompt", "completions")
PACKED = 1.6  # bytes of the decoder for each weight that was rounded to 4 bits, as its runtime keeps them
_ALWAYS, _SAMPLING, _LEARNING = "always", "sampling", "learning"


@dataclass(frozen=True)
class Part:
    name: str
    bytes: int
    when: str  # always, or while sampling, or while learning: those two never meet
    why: str  # in words


@dataclass(frozen=True)
class Estimate:
    parts: tuple[Part, ...]
    device: str
    warnings: tuple[str, ...] = ()  # what of the options will not work out, in sentences

    def sum(self, when: str) -> int:
        return sum(part.bytes for part in self.parts if part.when == when)

    @property
    def total(self) -> int:
        """Bytes at the peak: what is always held, and the larger of sampling and learning."""
        return self.sum(_ALWAYS) + max(self.sum(_SAMPLING), self.sum(_LEARNING))

    def text(self) -> str:
        lines = [f"{part.name:12} {in_words(part.bytes):>9}  {part.when:9} {part.why}" for part in self.parts]
        lines.append(f"{'together':12} {in_words(self.total):>9}  at the peak, on {self.device}")
        return "\n".join([*lines, *(f"Warning: {sentence}" for sentence in self.warnings)])

    def as_dict(self) -> Json:
        parts = [asdict(part) for part in self.parts]
        return {"total": self.total, "device": self.device, "parts": parts, "warnings": list(self.warnings)}


# --- the estimate -----------------------------------------------------------------------


def estimate_run(
    config: StageConfig, vlm: VLM | None = None, *, cache: Path | None = None, progress: Progress = silent
) -> Estimate:
    """Of a run with these options on this machine. `vlm` is `without_weights(config)`; `cache` is where measurements of
    images are kept.
    """
    progress("Reading the model's shape", 0.0)
    vlm, device = vlm or without_weights(config), config.place()
    with contextlib.ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shape = config.shape(vlm, folder, part_of(progress, 0.2, 0.9))
    progress("Counting the memory", 0.9)
    return estimate(vlm.model, config, shape, device, free=free_on(device))


def estimate(model: Model, config: StageConfig, shape: Shape, device: str, *, free: int | None = None) -> Estimate:
    """`model` may be on the meta device. With `free` bytes, chunks are as small as they must be."""
    parts = [*_held(model, config, device), *_sampling(model, shape, device)]
    if shape.reference:
        parts.append(Part("reference", parts[0].bytes, _ALWAYS, "the weights again, as they were before training"))
    if shape.measured and device == "cpu":
        why = "the specialist, which measures each image once, and the words of the knowledge graph"
        parts.append(Part("readers", READERS, _ALWAYS, why))
    if device == "cpu":
        parts.append(Part("process", PROCESS, _ALWAYS, "PyTorch and the other libraries"))
        parts.append(Part("beside", BESIDE, _ALWAYS, "the knowledge graph, and code that is loaded on the way"))
    held = sum(part.bytes for part in parts if part.when == _ALWAYS)
    parts += _learning(model, config, shape, device, None if free is None else free - held)
    if device == "cpu":
        kept = sum(part.bytes for part in parts if part.name in _KEPT)
        parts.append(Part("allocator", int(CPU_WASTE * kept), _LEARNING, "blocks that were freed and not given back"))
    return Estimate(tuple(parts), device, tuple(config.warnings(shape)))


def _held(model: Model, config: StageConfig, device: str) -> Iterator[Part]:
    quantised = _quantised(model) if config.load_in_4bit else set()
    weights = 0.0
    for name, parameter in model.named_parameters():
        packed = name in quantised
        weights += parameter.numel() * (0.5 + 1 / BLOCK_4BIT if packed else parameter.element_size())
    trained = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    own = sum(p.numel() * p.element_size() for p in trained)
    precision = str(next(model.parameters()).dtype).removeprefix("torch.")
    four = ", of which the language model's layers in 4 bits" if quantised else ""
    total = sum(p.numel() for p in model.parameters())
    yield Part("weights", int(weights), _ALWAYS, f"{total / 1e6:.1f} million in {precision}{four}")
    yield Part("gradients", own, _ALWAYS, f"of the {count / 1e6:.2f} million weights that are trained")
    each = 2 if "8bit" in config.optimizer else 8
    yield Part("optimizer", each * count, _ALWAYS, f"two moments of them, {each} bytes a weight together")


def _quantised(model: Model) -> set[str]:
    """Names of the weights that `load_vlm` keeps in 4 bits: the language model's linear layers."""
    import torch

    found = set()
    for name, module in model.named_modules():
        inside = {"language_model", "text_model"} & set(name.split("."))
        if inside and isinstance(module, torch.nn.Linear) and "lora_" not in name:
            found.add(f"{name}.weight")
    return found


def _sampling(model: Model, shape: Shape, device: str) -> Iterator[Part]:
    if not shape.sampled:
        return
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    text = base.config.get_text_config(decoder=True)
    from dermiq.vlm.compact import CompactDecoder  # PyTorch takes seconds to load
    from dermiq.vlm.nano import is_nano

    rows, fast = shape.sampled, device == "cpu" and CompactDecoder.supports(base, adapters=True)
    tokens = rows * (shape.prompt + shape.completion) + shape.prompt
    why = f"keys and values of {rows} completions of {shape.completion} tokens behind {shape.prompt}"
    yield Part("cache", tokens * _key_value_bytes(text) * base.dtype.itemsize, _SAMPLING, why)
    # logits, scores, probabilities in float32, the distribution function and its scaled copy in float64
    yield Part("choice", rows * text.vocab_size * 28, _SAMPLING, f"over {text.vocab_size} tokens, for each row")
    if fast and hasattr(model, "peft_config") and is_nano(base.config):  # others were never rounded, and are shared
        count = sum(p.numel() for n, p in base.named_parameters() if "vision" not in n and "lora_" not in n)
        when = _ALWAYS if shape.shared else _SAMPLING  # GRPO samples again, DPO does not
        yield Part("decoder", PACKED * count, when, "the language model as it was rounded, for sampling")


def _learning(model: Model, config: StageConfig, shape: Shape, device: str, free: int | None) -> Iterator[Part]:
    from train.rl.group_loss import CPU_CHUNK_TOKENS, CUDA_CHUNK_TOKENS, TILE  # PyTorch takes seconds to load

    gpu = device.startswith("cuda")
    own = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    text = base.config.get_text_config(decoder=True)
    if gpu:
        import torch

        model.to(torch.bfloat16)  # as autocast computes
    trace = Trace(model, device, checkpointed=config.gradient_checkpointing)
    again = ", computed twice" if config.gradient_checkpointing else ""
    if not shape.shared:
        length, rows = shape.prompt + shape.completion, shape.rows
        scored = min(rows * (shape.completion if gpu else length), TRL_TOKENS)
        logits = scored * min(text.vocab_size, TRL_VOCABULARY) * 4 * TRL_COPIES
        yield Part("vocabulary", logits, _LEARNING, f"scores of {scored} tokens at a time")
        why = f"{rows} sequences of {length} tokens, kept for the backward pass{again}"
        yield Part("activations", trace.whole(rows, length), _LEARNING, why)
        return
    logits = TILE * text.vocab_size * 4 * LOGIT_COPIES
    yield Part("vocabulary", logits, _LEARNING, f"scores of {TILE} tokens at a time, {text.vocab_size} each")
    prefix = trace.whole(1, shape.prompt)
    prefix += 2 * shape.prompt * _key_value_bytes(text) * base.dtype.itemsize  # leaves' gradients, and their sum
    yield Part("prompt", prefix, _LEARNING, f"{shape.prompt} tokens, image included, read once for all{again}")
    row = trace.behind(1, shape.prompt, shape.completion)
    busy = max(1, (CUDA_CHUNK_TOKENS if gpu else CPU_CHUNK_TOKENS) // shape.completion)
    fitting = max(1, int((free - logits - prefix) // row)) if free is not None else busy
    chunk = min(shape.rows, busy, fitting)
    why = f"{chunk} of {shape.rows} completions of {shape.completion} tokens at a time{again}"
    yield Part("completions", chunk * row, _LEARNING, why)
    yield Part("chunk's", own, _LEARNING, "gradients, before they are added to those above")


class Trace:
    """What the language model keeps for a backward pass, found by its forward pass on the meta device: the sizes of
    all tensors that autograd saves. Attention is taken to be fused: it keeps its inputs and its output.
    """

    def __init__(self, model: Model, device: str, *, checkpointed: bool) -> None:
        """`model` is on the meta device, and will be on `device`."""
        self._model, self._device, self._checkpointed = model.train(), device, checkpointed
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self._base, self._text = base, base.config.get_text_config(decoder=True)

    def whole(self, rows: int, tokens: int) -> int:
        """Bytes of `rows` sequences, read at once."""
        import torch

        def forward() -> object:
            inputs = torch.zeros(rows, tokens, self._text.hidden_size, dtype=self._base.dtype, device="meta")
            mask = torch.zeros(rows, 1, tokens, tokens, dtype=self._base.dtype, device="meta")
            return self._base.get_decoder()(inputs_embeds=inputs, attention_mask=mask, use_cache=False)

        return self._counted(forward, rows * tokens)

    def behind(self, rows: int, prompt: int, tokens: int) -> int:
        """Bytes of `rows` completions behind a prompt that was read before."""
        import torch

        from train.rl.prefix import Policy, Prefix, keys_stay_grouped  # PyTorch takes seconds to load

        text, dtype, layers = self._text, self._base.dtype, self._text.num_hidden_layers
        heads = text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // heads
        shape = (1, getattr(text, "num_key_value_heads", None) or heads, prompt, size)

        def forward() -> object:
            read = [torch.zeros(shape, dtype=dtype, device="meta", requires_grad=True) for _ in range(2 * layers)]
            last = torch.zeros(1, 1, text.hidden_size, dtype=dtype, device="meta", requires_grad=True)
            prefix = Prefix(tuple(read[:layers]), tuple(read[layers:]), last, prompt, prompt)
            return Policy(self._model).hidden(prefix, torch.zeros(rows, tokens, dtype=torch.long, device="meta"))

        with keys_stay_grouped(torch.device(self._device)):
            return self._counted(forward, rows * tokens)

    def _counted(self, forward: Callable[[], object], tokens: int) -> int:
        import torch
        from torch.nn import functional as F

        weights = {p.untyped_storage()._cdata for p in self._model.parameters()}
        seen: dict[int, Any] = {}  # storages are held, so that none takes another's address

        def keep(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                seen[storage._cdata] = storage
            return tensor

        fused, F.scaled_dot_product_attention = F.scaled_dot_product_attention, _attention
        try:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                output = forward()
        finally:
            F.scaled_dot_product_attention = fused
        del output
        count = sum(storage.nbytes() for storage in seen.values())
        if not self._checkpointed:
            return int(count)
        layers, inputs = self._text.num_hidden_layers, tokens * self._text.hidden_size * self._base.dtype.itemsize
        return int(layers * inputs + count / layers)  # the inputs of all layers, and one layer whole


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any, **kwargs: Any) -> Any:
    """In place of `scaled_dot_product_attention`: the shape of its result, and what its fused kernels keep."""
    import torch

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any) -> Any:
            rows, heads, tokens, _ = query.shape  # the kernels lay their output out as the next product reads it
            output = query.new_empty(rows, tokens, heads, value.shape[-1]).transpose(1, 2)
            mask = mask.to(query.dtype) if mask is not None and mask.dtype == torch.bool else mask
            ctx.save_for_backward(query, key, value, mask, output)
            return output

    return Fused.apply(query, key, value, attn_mask)


def _key_value_bytes(text: Model) -> int:
    """Numbers that a token leaves in the caches of all layers."""
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    numbers: int = 2 * (getattr(text, "num_key_value_heads", None) or heads) * size * text.num_hidden_layers
    return numbers


def longest(vlm: VLM, examples: Iterable[Fields]) -> tuple[int, int]:
    """Tokens of the longest prompt, with its images, and of the longest completion, in TRL's columns."""
    prompts, completions = [0], [0]
    for example in examples:
        images, prompt = example["images"], example["prompt"]
        prompts.append(tokens_of(vlm, _with_places(prompt, len(images)), images))
        for name in ("completion", "chosen", "rejected"):
            if name in example:
                completions.append(tokens_of(vlm, example[name], []))
    return max(prompts), max(completions)


def _with_places(turns: Any, images: int) -> Any:
    """Written examples name no place for their images: before the first question, as TRL puts them."""
    from trl.data_utils import prepare_multimodal_messages

    turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
    return prepare_multimodal_messages(turns, images=[None] * images)


def tokens_of(vlm: VLM, turns: object, images: Sequence[object]) -> int:
    if isinstance(turns, str):
        return len(vlm.processor.tokenizer(turns)["input_ids"])
    text = vlm.processor.apply_chat_template(turns, add_generation_prompt=bool(images), tokenize=False)
    encoded = vlm.processor(text=[text], **({"images": list(images)} if images else {}))
    return len(encoded["input_ids"][0])


def some(rows: Sequence[T]) -> list[T]:
    """Rows spread over all of them."""
    return list(rows[:: max(1, -(-len(rows) // SAMPLE))])


# --- against the machine ----------------------------------------------------------------


def free_on(device: str) -> int:
    """Bytes that a process which starts now could take."""
    import torch

    from train.rl.memory import free_bytes  # PyTorch takes seconds to load

    return free_bytes(torch.device(device if device.startswith("cuda") else "cpu"))


def free_here(device: str) -> int:
    """Bytes that this process could hold: what it holds already counts in, as in the estimate."""
    return free_on(device) + (int(psutil.Process().memory_info().rss) if device == "cpu" else 0)


def refuse(found: Estimate, free: int, config: StageConfig) -> str:
    """What to warn of; empty where memory will do. Raises InputError where it clearly will not."""
    needed = f"The run needs about {in_words(found.total)} of memory and {in_words(free)} are free on {found.device}"
    if found.total > REFUSED * free:
        raise InputError(f"{needed}: {advice(found, config)} To start it all the same, turn check_memory off.")
    return f"{needed}, which may not do: {advice(found, config)}" if found.total > WARNED * free else ""


def advice(found: Estimate, config: StageConfig) -> str:
    """What takes most, and the option that lowers it."""
    largest = max(
        (part for part in found.parts if part.name not in ("process", "readers", "beside", "allocator")),
        key=lambda part: part.bytes,
    )
    if largest.name in ("weights", "decoder"):
        if config.load_in_4bit or config.device == "cpu":
            return "most of it are weights. Choose a smaller model."
        return "most of it are weights. Turn load_in_4bit on, or choose a smaller model."
    if largest.name in ("gradients", "optimizer", "chunk's"):
        return "most of it belongs to the weights that are trained. Set lora_rank, or take an 8-bit optimizer."
    if largest.name in ("cache", "choice"):
        names = "group or new_tokens" if hasattr(config, "group") else "proxy.answers or proxy.new_tokens"
        return f"most of it holds sampled completions. Lower {names}."
    ways = [] if config.gradient_checkpointing else ["turn gradient_checkpointing on"]
    ways += ["lower batch_size"] if largest.name == "activations" and config.batch_size > 1 else []
    ways += ["lower new_tokens"] if largest.name == "completions" else []
    ways += ["lower facts"] if largest.name in ("prompt", "activations") and hasattr(config, "facts") else []
    return f"most of it is kept for the backward pass. {' or '.join(ways).capitalize() or 'Choose a smaller model'}."
