"""What is written to the disk, whole or not at all, and what is said where the disk does not take it.

write_whole(path, text)                       # a reader sees the old text or the new one
with writing(path): library.save(path)        # InputError where the disk refuses, whichever library it tells
with whole_folder(path) as part: ...          # likewise; there is no folder before all of it is there
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dermiq.errors import DermIQError, InputError

ELSEWHERE = "Free some space there, or name another place."
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_WORDS = (
    "no space left",
    "os error 27",
    "os error 28",
    "disk full",
    "disk is full",
    "file write failed",
    "iostream error",
)
"""Libraries that write without Python (safetensors, PyTorch, SQLite) tell it in words alone."""


def write_whole(path: Path, text: str) -> None:
    """Replaces a file at once: a reader sees the old text or the new one, also after a power loss."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, advice: str = ELSEWHERE) -> Iterator[None]:
    """Raises InputError, with what to do, where the disk does not take what is written to `path`."""
    try:
        yield
    except DermIQError:
        raise
    except Exception as error:
        full = is_full(error)
        if not full and not isinstance(error, OSError):
            raise
        reason = "the disk is full" if full else getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written: {reason}. {advice}", detail=repr(error)) from error


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which then appears as `target`, new or in place of an empty one; where that fails, nothing is
    left. Raises InputError where the disk does not take it.
    """
    part = target.absolute().with_name(f".{target.absolute().name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with writing(target):
        try:
            part.mkdir(parents=True)
            yield part
            if target.is_dir():
                target.rmdir()  # Windows puts no folder in place of another
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def is_full(error: BaseException) -> bool:
    """Whether the disk, or what one user may have of it, is full: the error itself or one that it came of says so."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in _FULL:
            return True
        if any(words in str(found).lower() for words in _FULL_IN_WORDS):
            return True
        found = found.__cause__ or found.__context__
    return False
