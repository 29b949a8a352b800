"""Which very weights a loaded model has: what names them for ever, or the bytes of their files.

A name says too little (a run is trained again under it), and the revision that an answer tells is made of the ends of
the files alone. Who keeps a model's answers asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dermiq.shipped import digest_of

PATTERNS = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model", "*.jinja")  # weights, settings, tokenizer


@dataclass(frozen=True)
class Origin:
    """What was loaded, as it was then."""

    named: tuple[str, ...] = ()  # hashes and commits; "" for a part that nothing names for sure
    files: tuple[tuple[Path, int, int], ...] = ()  # path, time of its last change in ns, bytes


def origin_of(named: tuple[str, ...], *folders: Path) -> Origin:
    files = sorted(path for folder in folders for pattern in PATTERNS for path in folder.glob(pattern))
    return Origin(named, tuple(_stamped(path) for path in files))


def identity(origin: Origin | None) -> str | None:
    """Equal for equal weights alone. None where it cannot be told, or the files changed since they were loaded.

    Files are read whole, once: a second a gigabyte.
    """
    if origin is None or not all(origin.named) or not (origin.named or origin.files):
        return None
    try:
        if any(_stamped(path) != (path, *stamp) for path, *stamp in origin.files):
            return None
        return "+".join([*origin.named, *([digest_of(path for path, *_ in origin.files)] if origin.files else [])])
    except OSError:
        return None


def _stamped(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size
