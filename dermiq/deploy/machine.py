"""What of a machine a process may use: cores, memory, disk, a GPU. Without torch, which takes seconds to load."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc/self/cgroup")
UNLIMITED = 1 << 60  # bytes; cgroups of the first version write a number near 2^63 for "no limit"


@dataclass(frozen=True)
class Limits:
    """Of this process's cgroup and of those above it; None where there is none."""

    cores: float | None = None
    memory: int | None = None  # bytes


def limits(root: Path = CGROUPS, proc: Path = PROC) -> Limits:
    """The strictest of each. Both versions of cgroups are read."""
    cores = [found for folder in _folders(root, proc, "cpu") if (found := _quota(folder)) is not None]
    memory = [found for folder in _folders(root, proc, "memory") if (found := _memory(folder)) is not None]
    return Limits(min(cores, default=None), min(memory, default=None))


def _folders(root: Path, proc: Path, controller: str) -> list[Path]:
    """Those that limit this process, from its own up to the root; a container often sees its own as the root."""
    found = []
    for line in _text(proc).splitlines():
        number, names, path = line.split(":", 2)
        own = number == "0" or controller in names.split(",")
        top = root if number == "0" else root / names
        if own:
            below = top / path.lstrip("/")
            found += [below, *(parent for parent in below.parents if parent.is_relative_to(top))]
    return list(dict.fromkeys([*found, root, root / controller]))


def _quota(folder: Path) -> float | None:
    """In cores."""
    words = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us").strip(),
        _text(folder / "cpu.cfs_period_us").strip(),
    ]
    quota, period = (*words, "")[:2]
    if not (quota.isdigit() and period.isdigit() and int(period)):  # "max", -1, or no such file
        return None
    return int(quota) / int(period)


def _memory(folder: Path) -> int | None:
    text = _text(folder / "memory.max").strip() or _text(folder / "memory.limit_in_bytes").strip()
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def cores() -> tuple[int, float]:
    """How many the machine has, and how many this process may use."""
    there = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return there, min(float(allowed), limits().cores or float(allowed))


def memory() -> tuple[int, int]:
    """Bytes: of the machine, and those that this process may use."""
    there = int(psutil.virtual_memory().total)
    return there, min(there, limits().memory or there)


def free(folder: Path) -> int | None:
    """Bytes on the disk of a folder that need not exist; None where that cannot be told."""
    place = folder.absolute()
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def gpus() -> list[str]:
    """NVIDIA's, by name, as the driver tells them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def torch_is_for_cpu() -> bool:
    """Whether the PyTorch that is installed was built without a GPU's code."""
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
