"""The parts that ship with the project are checked by hash when they are read: a flipped byte never computes along.

    python -m dermiq.shipped        # writes the manifests anew, after a part was changed on purpose

Each folder of parts has a `manifest.json` with the SHA-256 of every file in it, and the day on which one of them
changed last. Files elsewhere (a training run's, a graph of one's own) are not checked. `dermiq.signed` tells whose the
manifests are. Knows neither model nor graph.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

from dermiq.errors import DermIQError, KnowledgeError, ModelError
from dermiq.places import WEIGHTS, graph_tables
from dermiq.types import Json
from dermiq.writing import write_whole, writing

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


def damaged() -> list[str]:
    """A sentence for every shipped part that is missing or not as it was shipped."""
    said = []
    for folder, error in PARTS.items():
        try:
            names = list(_manifest(folder, error))
        except DermIQError as reason:
            said.append(str(reason))
            continue
        for name in names:
            try:
                checked(folder / name)
            except DermIQError as reason:
                said.append(str(reason))
    return said


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
            manifest = shipped / MANIFEST
            text = json.dumps({"changed": _changed(manifest, files), "sha256": files}, indent=1) + "\n"
            with writing(manifest, "The manifest is as it was."):
                write_whole(manifest, text)
            return manifest
    return None


def differing(folder: Path) -> list[str]:
    """Parts that are not as the folder's manifest says: changed, missing, or not named in it. Reads every byte."""
    told = _manifest(folder, PARTS.get(folder, ModelError))
    held = {path.relative_to(folder).as_posix(): _digest(path) for path in parts_in(folder)}
    return sorted(name for name in told | held if told.get(name) != held.get(name))


def fingerprint(folder: Path = WEIGHTS) -> str:
    """SHA-256 of a folder's manifest, which names every part with its own. Raises the folder's error."""
    return _digest_of(folder / MANIFEST, PARTS.get(folder, ModelError))


def changed(folder: Path = WEIGHTS) -> str:
    """The day, as 2026-11-30, on which a part of the folder changed last. Raises the folder's error."""
    return str(_read(folder / MANIFEST, PARTS.get(folder, ModelError)).get("changed", "unknown"))


def _changed(manifest: Path, files: dict[str, str]) -> str:
    """Today, unless the manifest says the same of the files already."""
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        if told["sha256"] == files and told.get("changed"):
            return str(told["changed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none that could be kept
    return f"{datetime.now(timezone.utc):%Y-%m-%d}"


def parts_in(folder: Path) -> list[Path]:
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def _manifest(folder: Path, error: type[DermIQError]) -> dict[str, str]:
    return dict(_read(folder / MANIFEST, error)["sha256"])


def _read(manifest: Path, error: type[DermIQError]) -> Json:
    """A manifest whose `sha256` is a mapping."""
    folder = manifest.parent.name
    try:
        told: Json = json.loads(manifest.read_text(encoding="utf-8"))
        dict(told["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise error(
            f"{folder}/{MANIFEST} is missing or damaged: restore {folder} from the repository.", detail=repr(reason)
        ) from reason
    return told


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
    try:
        for parts in PARTS:
            print(seal(parts))
    except DermIQError as failure:
        sys.exit(str(failure))
