"""Where runs are kept, the locks beside them, and whether the disk holds more. Knows no run."""

from __future__ import annotations

import shutil
from pathlib import Path

from dermiq import places
from dermiq.errors import InputError

LOCKS = ".locks"
MIN_FREE_BYTES = 200_000_000  # below this not even logs and an adapter are sure to fit


def runs_folder(folder: str | Path | None = None) -> Path:
    """The argument, or where `dermiq.places` keeps them."""
    return Path(folder).expanduser().resolve() if folder else places.runs_folder()


def lock_path(root: Path, name: str) -> Path:
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    return root / LOCKS / f"{name.replace(':', '-')}.lock"


def check_disk(root: Path, needed: int = MIN_FREE_BYTES) -> None:
    """Raises InputError where fewer than `needed` bytes are free."""
    free = shutil.disk_usage(root).free
    if free < needed:
        raise InputError(
            f"The disk of {root} has {free / 1e9:.1f} GB free and the run needs {needed / 1e9:.1f} GB. "
            "Free some, or set DERMIQ_RUNS to a folder on another disk."
        )
