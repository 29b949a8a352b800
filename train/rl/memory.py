"""How much memory is free, how much a process took at its peak, and how much a chunk of completions takes.

The estimate counts what the backward pass of a decoder layer keeps, in numbers of width: hidden D, attention A (all
heads), keys K (key heads), mlp I. A token of a completion keeps about 8 D + 6 A + 4 I; a token of the prompt or
completion that is attended to keeps 2 K + 2 A (keys and values, joined and repeated for each head).
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from dermiq.memory import trim

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """What may still be allocated: on CUDA with what torch holds unused, on the CPU within the container's limit."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return min(int(psutil.virtual_memory().available), _container_rest())


def _container_rest() -> int:
    """Bytes left under the control group's limit (version 2)."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return max(0, int(limit) - used)
    except (OSError, ValueError):  # no such file, or "max"
        return 2**62


def peak_memory() -> int:
    """Bytes: the most that this process ever held in memory (resident), from its start on. What a run is measured by.

    `getrusage` would give the peak of the process that started this one, where that is higher.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.is_file():
        highest = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(highest.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def gpu_peak_memory() -> int | None:
    """Bytes: the most that tensors of this process ever held on its GPU; None where it uses none."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    return None


def row_bytes(config: Any, *, prompt: int, completion: int, element: int, checkpointed: bool = False) -> int:
    """Of one completion behind a prompt (tokens), between forward and backward. `config` is the text model's."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    size = getattr(config, "head_dim", None) or hidden // heads
    attention, keys = heads * size, (getattr(config, "num_key_value_heads", None) or heads) * size
    own = completion * (8 * hidden + 6 * attention + 4 * config.intermediate_size)
    seen = (prompt + completion) * (2 * keys + 2 * attention)
    layers = config.num_hidden_layers
    if checkpointed:  # only the inputs of all layers, and one layer whole
        return int(element * (layers * completion * hidden + own + seen))
    return int(element * layers * (own + seen))


def is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def release() -> None:
    """Give back to the system what is no longer held, cycles of references included."""
    gc.collect()
    trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
