"""A disk that is full from its n-th operation on, below one folder and for one call.

    for error in each_refusal(tmp_path, lambda: write(tmp_path / "a")):
        ...                        # after each: what `write` raised (None where it swallowed it), and what is left

An operation is a new file or folder, a write, a sync or a rename. A write that is refused has written half of what it
was given, as real ones do.
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class FullDisk:
    """Refuses every operation below `folder` from number `after` on."""

    def __init__(self, folder: Path, after: int) -> None:
        self._folder, self._left = folder.resolve(), after
        self.refused = False

    def operation(self, path: object) -> None:
        if not self._is_below(path):
            return
        self._left -= 1
        if self._left < 0:
            self.refused = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _is_below(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and Path(os.path.abspath(path)).is_relative_to(self._folder)

    def mount(self, patch: pytest.MonkeyPatch) -> None:
        opened = io.open
        for module in (io, builtins):
            patch.setattr(module, "open", lambda *args, **named: self._open(opened, *args, **named))
        for name in ("replace", "rename", "mkdir"):
            patch.setattr(os, name, self._before(getattr(os, name)))
        patch.setattr(os, "fsync", self._before_sync(os.fsync))
        patch.setattr(shutil, "_USE_CP_SENDFILE", False, raising=False)  # which writes past Python's files

    def _open(self, opened: Callable[..., Any], file: object, mode: str = "r", *args: Any, **named: Any) -> Any:
        writes = bool(set(mode) & set("wax+")) and self._is_below(file)
        if writes:
            self.operation(file)
        found = opened(file, mode, *args, **named)
        return _Written(found, self, file) if writes else found

    def _before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(path: object, *args: Any, **named: Any) -> Any:
            self.operation(path)
            return act(path, *args, **named)

        return acted

    def _before_sync(self, act: Callable[[int], None]) -> Callable[[int], None]:
        def acted(number: int) -> None:
            self.operation(os.readlink(f"/proc/self/fd/{number}") if os.path.isdir("/proc/self/fd") else None)
            act(number)

        return acted


class _Written:
    """A file on that disk."""

    def __init__(self, file: Any, disk: FullDisk, path: object) -> None:
        self._file, self._disk, self._path = file, disk, path

    def write(self, data: Any) -> int:
        try:
            self._disk.operation(self._path)
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        return int(self._file.write(data))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def each_refusal(folder: Path, act: Callable[[], object], *, step: int = 1) -> Iterator[Exception | None]:
    """`act` on a disk that is full from its first operation on, then from its second, until it needs no more."""
    for after in itertools.count(0, step):
        error: Exception | None = None
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(folder, after)
            disk.mount(patch)
            try:
                act()
            except Exception as raised:
                error = raised
        if not disk.refused:
            assert error is None, error
            assert after, "nothing was written"
            return
        yield error
