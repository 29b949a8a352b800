"""The parts that ship with the project are checked by hash when they are read: a flipped byte never computes along.

    python -m dermiq.shipped        # writes the manifests anew, after a part was changed on purpose

Each folder of parts has a `manifest.json` with the SHA-256 of every file in it. Files elsewhere (a training run's, a
graph of one's own) are not checked. Knows neither model nor graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from dermiq.errors import DermIQError, KnowledgeError, ModelError
from dermiq.places import WEIGHTS, graph_tables
from dermiq.types import Json

PARTS: dict[Path, type[DermIQError]] = {WEIGHTS: ModelError, graph_tables(): KnowledgeError}
"""Folder -> what is raised where a file of it is not as it was shipped."""

MANIFEST = "manifest.json"
PATTERNS = (
    "*/*.safetensors",
    "*/*.npz",
    "*/*.json",
    "*.tsv",
)  # the graph's curated tables are read by its builder alone
CHUNK = 1 << 20  # bytes


def checked(path: Path) -> Path:
    """The path, if its file is as it was shipped or lies elsewhere. Raises ModelError or KnowledgeError."""
    path = path.resolve()
    for folder, error in PARTS.items():
        if path.is_relative_to(folder):
            name = path.relative_to(folder).as_posix()
            told = _manifest(folder, error)
            if _digest_of(path, error) != told.get(name):
                raise error(
                    f"{name} is damaged: it is not the file that was shipped. Restore {folder.name} from the "
                    "repository, or run `python -m dermiq.shipped` if you changed it on purpose."
                )
    return path


def digest_of(paths: Iterable[Path]) -> str:
    """12 hex digits of the names and the whole contents of files; those that are not there are passed over."""
    made = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        state = path.stat()
        made.update(f"{path.name}\0{_known_digest(path.resolve(), state.st_mtime_ns, state.st_size)}".encode())
    return made.hexdigest()[:12]


def read_json(path: Path) -> Json:
    """The settings in a shipped file, or in one like it elsewhere. Raises ModelError."""
    try:
        return dict(json.loads(checked(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path.parent.name}/{path.name} is missing or damaged: restore it from the repository, or train it anew.",
            detail=repr(error),
        ) from error


def seal(folder: Path) -> Path | None:
    """Writes the manifest of the shipped parts that `folder` belongs to; None where it belongs to none."""
    folder = folder.resolve()
    for shipped in PARTS:
        if folder.is_relative_to(shipped):
            files = {path.relative_to(shipped).as_posix(): _digest(path) for path in parts_in(shipped)}
            text = json.dumps({"sha256": files}, indent=1) + "\n"
            (shipped / MANIFEST).write_text(text, encoding="utf-8")
            return shipped / MANIFEST
    return None


def parts_in(folder: Path) -> list[Path]:
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def _manifest(folder: Path, error: type[DermIQError]) -> dict[str, str]:
    path = folder / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise error(
            f"{folder.name}/{MANIFEST} is missing or damaged: restore {folder.name} from the repository.",
            detail=repr(reason),
        ) from reason


def _digest_of(path: Path, error: type[DermIQError]) -> str:
    try:
        state = path.stat()
        return _known_digest(path, state.st_mtime_ns, state.st_size)
    except OSError as reason:
        raise error(
            f"{path.parent.name}/{path.name} cannot be read: restore it from the repository.", detail=repr(reason)
        ) from reason


@lru_cache(maxsize=64)
def _known_digest(path: Path, changed_ns: int, size: int) -> str:
    """Several loaders read the same file."""
    return _digest(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    for parts in PARTS:
        print(seal(parts))
