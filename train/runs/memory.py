"""A run's `memory.json`: what was estimated, what was free at the start, and what was taken at the peak."""

from __future__ import annotations

from pathlib import Path

from dermiq.types import Fields
from train.runs.run_folder import read_json, write_json

MEMORY = "memory.json"  # in a run's folder


def peaks() -> dict[str, int]:
    """What this process took at its peak, for `note`: its own memory, and on a GPU that of its tensors there."""
    from train.rl.memory import gpu_peak_memory, peak_memory  # PyTorch takes seconds to load

    gpu = gpu_peak_memory()
    return {"peak": peak_memory(), **({} if gpu is None else {"gpu_peak": gpu})}


def note(folder: Path, **values: object) -> None:
    """Adds to what `memory.json` says; of a resumed run the highest peaks."""
    known = read_json(folder / MEMORY) or {}
    for name in ("peak", "gpu_peak"):
        if known.get(name) and values.get(name):
            values[name] = max(known[name], values[name])
    write_json(folder / MEMORY, known | values)


def peak_of(known: Fields) -> int | None:
    """Of what `memory.json` says: the measured peak that its estimate is compared with, in bytes."""
    return known.get("gpu_peak") or known.get("peak")


def described(folder: Path) -> str:
    """One line for `train.runs show`; empty where nothing is known."""
    known = read_json(folder / MEMORY) or {}
    found = known.get("estimate")
    told = [f"{in_words(known['peak'])} at the peak of the process"] if known.get("peak") else []
    told += [f"{in_words(known['gpu_peak'])} at the peak of the GPU"] if known.get("gpu_peak") else []
    if found:
        parts = ", ".join(f"{part['name']} {in_words(part['bytes'])}" for part in found["parts"])
        told.append(f"{in_words(found['total'])} estimated ({parts})")
    return "; ".join(told)


def in_words(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
