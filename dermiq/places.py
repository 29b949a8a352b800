"""Where the project's own files lie: in a checkout, in an editable install, and in an installed copy alike.

Knows no file of a user's; see `dermiq.files.paths` for those.
"""

from __future__ import annotations

import os
from pathlib import Path

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


def runs_folder() -> Path:
    """Where training runs are kept, absolute: `DERMIQ_RUNS`, or `runs/` in the checkout, or of an installed copy in the
    folder that it was started in. Need not exist."""
    beside = Path() if is_installed() else ROOT
    return Path(os.environ.get("DERMIQ_RUNS") or beside / "runs").expanduser().resolve()


def data_folder() -> Path:
    """Where data sets are looked for: `DERMIQ_DATA`, or `../shared/data` beside the repository. Need not exist."""
    return Path(os.environ.get("DERMIQ_DATA") or ROOT.parent / "shared" / "data").expanduser()


def variables() -> dict[str, str]:
    """The places that the environment names or leaves to us, absolute: for a process in another folder."""
    named = {name: os.environ.get(f"DERMIQ_{name}", "") for name in ("DATA", "KG", "CACHE")}
    named |= {"RUNS": str(runs_folder()), "REVIEW": os.environ.get("DERMIQ_REVIEW") or "review"}
    return {f"DERMIQ_{name}": str(Path(text).expanduser().absolute()) for name, text in named.items() if text}
