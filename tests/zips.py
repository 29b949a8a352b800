"""Zip files of every kind that people send, made by the test itself."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping


def packed(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def of_entries(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return buffer.getvalue()


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target.encode()


def _patched(content: bytes, change: int, *, local: int, central: int) -> bytes:
    """With another number of two bytes in the headers of every entry."""
    made = bytearray(content)
    for mark, place in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = made.find(mark)
        while at >= 0:
            struct.pack_into("<H", made, at + place, change)
            at = made.find(mark, at + 4)
    return bytes(made)


def locked(files: Mapping[str, bytes]) -> bytes:
    """As if with a password."""
    return _patched(packed(files), 1, local=6, central=8)


def by_method(files: Mapping[str, bytes], method: int) -> bytes:
    """As if by another method: 9 is Deflate64."""
    return _patched(packed(files), method, local=8, central=10)


def damaged(files: Mapping[str, bytes], name: str) -> bytes:
    """One byte of the file's content is another."""
    made = bytearray(packed(files, method=zipfile.ZIP_STORED))
    at = made.find(files[name])
    made[at + len(files[name]) // 2] ^= 0xFF
    return bytes(made)


def as_macos_writes(files: Mapping[str, bytes]) -> bytes:
    """Names in UTF-8 that no flag tells of, and what the system adds."""
    content = packed({**files, **{f"__MACOSX/._{name}": b"x" for name in files}})
    return _patched(content, 0, local=6, central=8)
