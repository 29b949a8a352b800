"""Where the project's own files lie: in a checkout, in an editable install, and in an installed copy alike.

What is kept for users goes where the environment says, to the storage of a Space that has some, or beside the program.
Knows no file of a user's; see `dermiq.files.paths` for those.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

STORAGE = Path("/data")
"""Where a Space has the storage that outlives its restarts, if it has some."""

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
"""Of a checkout its root; of an installed copy the folder that holds its packages. `python -m` finds them from here."""

WEIGHTS = PACKAGE / "weights"


def graph_tables() -> Path:
    """`kg_data/`: at the root of a checkout; an installed copy has it inside the package, as pyproject.toml says."""
    installed = PACKAGE / "kg_data"
    return installed if installed.is_dir() else ROOT / "kg_data"


def is_installed() -> bool:
    """Whether this is a copy of which nobody's files should lie beside it."""
    return graph_tables().parent == PACKAGE


def is_space() -> bool:
    """Whether this runs on the Hugging Face hub."""
    return bool(os.environ.get("SPACE_ID"))


def storage() -> Path | None:
    """What outlives a restart of a Space; None where it has no such storage, and on any other machine."""
    return STORAGE if is_space() and os.path.isdir(STORAGE) and is_writable(STORAGE) else None


@lru_cache(maxsize=64)
def is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, which need not exist yet. Tried, since rights alone do not tell: a disk
    may be mounted to be read alone."""
    place = folder.expanduser().absolute()
    while not os.path.exists(place) and place != place.parent:  # also below a folder that may not be entered
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(dir=place):
            return True
    except OSError:
        return False


def runs_folder() -> Path:
    """Where training runs are kept, absolute: `DERMIQ_RUNS`, a Space's storage, or `runs/` in the checkout, or of an
    installed copy in the folder that it was started in. Need not exist."""
    beside = storage() or (Path() if is_installed() else ROOT)
    return Path(os.environ.get("DERMIQ_RUNS") or beside / "runs").expanduser().resolve()


def review_folder() -> Path:
    """Where the review is kept: `DERMIQ_REVIEW`, a Space's storage, or `review` in the folder of the start."""
    return Path(os.environ.get("DERMIQ_REVIEW") or (storage() or Path()) / "review").expanduser()


def data_folder() -> Path:
    """Where data sets are looked for: `DERMIQ_DATA`, or `../shared/data` beside the repository. Need not exist."""
    return Path(os.environ.get("DERMIQ_DATA") or ROOT.parent / "shared" / "data").expanduser()


def variables() -> dict[str, str]:
    """The places that the environment names or leaves to us, absolute: for a process in another folder."""
    named = {name: os.environ.get(f"DERMIQ_{name}", "") for name in ("DATA", "KG", "CACHE")}
    named |= {"RUNS": str(runs_folder()), "REVIEW": str(review_folder())}
    return {f"DERMIQ_{name}": str(Path(text).expanduser().absolute()) for name, text in named.items() if text}


def for_libraries() -> dict[str, str]:
    """Where matplotlib and the hub's library keep what they fetch, as variables for this process: a Space's storage, or
    a folder of ours where this user's home cannot be written. Empty where they may stay where they are."""
    kept = storage()
    if kept is None and _home_is_writable():
        return {}
    found = (kept or temporary()) / "libraries"
    named = {"HF_HOME": str(found / "huggingface"), "MPLCONFIGDIR": str(found / "matplotlib")}
    return {name: place for name, place in named.items() if not os.environ.get(name)}


def _home_is_writable() -> bool:
    home = home_folder()
    return home is not None and is_writable(home / ".cache")


def home_folder() -> Path | None:
    """Of this user; None where there is none, as of some containers' users."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def temporary() -> Path:
    """A folder of this user alone below that of temporary files, made. OSError where it is somebody else's."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    made = Path(tempfile.gettempdir()) / f"dermiq_cache_{uid}"
    made.mkdir(mode=0o700, exist_ok=True)
    if made.is_symlink() or (hasattr(os, "getuid") and made.stat().st_uid != uid):
        raise PermissionError(f"{made} belongs to somebody else: remove it, or set DERMIQ_CACHE.")
    return made
