"""A zip file that somebody sends, unpacked into a folder of its own, or into memory. Knows no table and no page.

    unpacked = unpack(content, folder, wanted=lambda name: name.endswith(".png"))
    unpacked.files        # paths in the zip as they lie below the folder: "images/0.png"
    files = read_files(content, wanted=..., most_bytes=..., most_files=..., advice=...)     # path -> bytes

Whatever is wrong with the file ends as an `InputError` that says what, and what to do. Names are read as Windows and
macOS write them, and lie below the folder in one form: slashes, and letters composed (NFC).
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dermiq.errors import InputError

MOST_BYTES, MOST_FILES = 500_000_000, 20_000  # unpacked
LONGEST_NAME, LONGEST_PATH = 255, 1000  # bytes; the first is what file systems take
CHUNK = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHER_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd", 99: "AES"}
UTF_8, ENCRYPTED = 0x800, 0x41  # flags of an entry
UNIX = 3  # the system that made an entry
OTHER_FILES = (
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "compressed with gzip (.gz, .tar.gz)"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\xff\xd8\xff", "an image"),
    (b"\x89PNG", "an image"),
    (b"RIFF", "an image"),
    (b"BM", "an image"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "a workbook or another file of Office"),
)
PACK_ANEW = "Pack it anew."
NAME_THE_PATH = "Put the data on the computer that runs this page, and name the path of the table."
Entry = tuple[str, zipfile.ZipInfo]


@dataclass(frozen=True)
class Unpacked:
    files: tuple[str, ...]  # that were wanted, by their path below the folder, in the zip's order
    left_out: tuple[str, ...]  # that were not; without what systems add by themselves


def unpack(
    content: bytes | Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool],
    most_bytes: int = MOST_BYTES,
    most_files: int = MOST_FILES,
) -> Unpacked:
    """Writes the wanted files below the folder. InputError where the zip is none, is damaged, or cannot be trusted.

    The folder may hold some of it then: whoever made it removes it.
    """
    with _opened(content) as archive:
        shown = _shown(archive)
        chosen = [(name, info) for name, info in shown if wanted(name)]
        _refuse_too_much(chosen, most_bytes, most_files, NAME_THE_PATH)
        _refuse_clashes([name for name, _ in chosen])
        left = most_bytes
        for name, info in chosen:
            left -= _write(archive, info, folder / name, name=name, most=left)
    files = tuple(name for name, _ in chosen)
    return Unpacked(files, tuple(name for name, _ in shown if name not in set(files)))


def read_files(
    content: bytes | Path, *, wanted: Callable[[str], bool], most_bytes: int, most_files: int, advice: str
) -> dict[str, bytes]:
    """The wanted files by their path in the zip; nothing is written. InputError as of `unpack`.

    `advice`: what to do where they are more than `most_bytes` or `most_files`.
    """
    with _opened(content) as archive:
        chosen = [(name, info) for name, info in _shown(archive) if wanted(name)]
        _refuse_too_much(chosen, most_bytes, most_files, advice)
        _refuse_clashes([name for name, _ in chosen])
        found: dict[str, bytes] = {}
        for name, info in chosen:
            found[name] = b"".join(_bounded(archive, info, name, most_bytes - sum(map(len, found.values()))))
    return found


def _shown(archive: zipfile.ZipFile) -> list[Entry]:
    """Every file with its path, without what systems add by themselves."""
    named = [(clean_name(entry_name(info)), info) for info in archive.infolist() if not info.is_dir()]
    for name, info in named:
        _refuse_link(name, info)
    return [(name, info) for name, info in named if not is_hidden(name)]


# --- the file itself --------------------------------------------------------------------


def _opened(content: bytes | Path) -> zipfile.ZipFile:
    begins = content[:512] if isinstance(content, bytes) else _beginning(content)
    if not begins:
        raise InputError("This file is empty. Choose the zip again, or pack it anew.")
    try:
        return zipfile.ZipFile(io.BytesIO(content) if isinstance(content, bytes) else content)
    except Exception as error:  # its reader raises nearly anything at a damaged list of contents
        raise InputError(_no_zip(begins), detail=repr(error)) from error


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.") from error


def _no_zip(begins: bytes) -> str:
    if begins.startswith(b"PK"):
        return (
            "This zip is damaged, or its end is missing: perhaps it did not arrive whole. Pack it anew and try again."
        )
    what = next((what for mark, what in OTHER_FILES if begins.startswith(mark)), "")
    what = what or ("a tar archive" if begins[257:262] == b"ustar" else "")
    what = what or ("a text or a table" if _is_text(begins) else "")
    told = f"This file is no zip but {what}." if what else "This file is no zip."
    return f"{told} Put the table and its images into one zip file."


def _is_text(begins: bytes) -> bool:
    try:
        return "\0" not in begins[:400].decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        return error.start > 380  # a letter that the piece cuts through


# --- names ------------------------------------------------------------------------------


def entry_name(info: zipfile.ZipInfo) -> str:
    """As whoever packed it wrote it. macOS writes UTF-8 without saying so; what says nothing else is code page 437."""
    name = info.filename
    if "\0" in info.orig_filename:
        raise InputError(f"This zip holds a name with a zero byte in it ({name[:80]!r}). {PACK_ANEW}")
    if info.flag_bits & UTF_8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return name


def clean_name(name: str) -> str:
    """ "images\\\\A.png" -> "images/A.png". InputError for one that leads out of the zip, or that no disk takes."""
    slashes = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = [part for part in slashes.split("/") if part not in ("", ".")]
    if slashes.startswith("/") or re.match(r"[A-Za-z]:", slashes) or ".." in parts or not parts:
        raise InputError(f"This zip names files outside itself ({name[:80]!r}). {PACK_ANEW}")
    if any(ord(letter) < 32 for letter in slashes):
        raise InputError(f"This zip holds a name with a line break or another such sign in it ({name[:80]!r}). Rename.")
    return "/".join(parts)


def is_hidden(name: str) -> bool:
    """What systems and programs add by themselves."""
    parts = PurePosixPath(name).parts
    return any(part.startswith((".", "__MACOSX")) for part in parts) or parts[-1].lower() in SYSTEM_FILES


SYSTEM_FILES = ("thumbs.db", "desktop.ini")


def _refuse_link(name: str, info: zipfile.ZipInfo) -> None:
    if info.create_system == UNIX and stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"{name} in this zip is a link to another file. Pack the file itself.")


def _refuse_clashes(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if any(len(part.encode()) > LONGEST_NAME for part in name.split("/")) or len(name.encode()) > LONGEST_PATH:
            longest = max(name.split("/"), key=len)
            raise InputError(
                f"The name {longest[:40]}… in this zip is too long ({len(longest.encode())} bytes; {LONGEST_NAME} are "
                "the most). Rename the file, in the zip and in the table."
            )
        if name in seen:
            raise InputError(f"This zip holds {name} twice. {PACK_ANEW}")
        seen.add(name)
    for name in names:
        clash = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in seen), None)
        if clash:
            raise InputError(f"This zip has a file and a folder that are both called {clash}. Rename one of them.")


def _refuse_too_much(chosen: list[Entry], most_bytes: int, most_files: int, advice: str) -> None:
    if len(chosen) > most_files or sum(info.file_size for _, info in chosen) > most_bytes:
        raise InputError(f"Unpacked, this is more than {most_bytes // 1_000_000} MB or {most_files:,} files. {advice}")


# --- one file ---------------------------------------------------------------------------


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, *, name: str, most: int) -> int:
    """The bytes that it has, which may be more than the zip says."""
    pieces = _bounded(archive, info, name, most)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as error:
        raise InputError(f"{name} cannot be written here: {error.strerror}.", detail=repr(error)) from error
    written = 0
    with file:
        for piece in pieces:
            written += len(piece)
            try:
                file.write(piece)
            except OSError as error:
                raise InputError(f"{name} cannot be written here: {error.strerror}.", detail=repr(error)) from error
    return written


def _bounded(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, most: int) -> Iterator[bytes]:
    """The file in pieces. InputError where it cannot be unpacked, or has more than `most` bytes."""
    if info.flag_bits & ENCRYPTED:
        raise InputError(f"This zip is locked with a password ({name}). Pack it without one.")
    if info.compress_type not in METHODS:
        method = OTHER_METHODS.get(info.compress_type, f"number {info.compress_type}")
        raise InputError(
            f"{name} is packed by the method {method}, which cannot be unpacked here. Pack it with the usual one, "
            "Deflate: as the menu of Windows or macOS does for files below 2 GB."
        )
    read = 0
    for piece in _pieces(archive, info, name):
        read += len(piece)
        if read > most:
            raise InputError(f"Unpacked, this zip is larger than it says. {PACK_ANEW}")
        yield piece


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterable[bytes]:
    try:
        source = archive.open(info)
    except Exception as error:  # as its reader raises them: BadZipFile, NotImplementedError, struct's errors
        raise InputError(_damaged(name), detail=repr(error)) from error
    with source:
        while True:
            try:
                piece = source.read(CHUNK)
            except Exception as error:  # of zipfile, zlib, bz2 and lzma, each its own
                raise InputError(_damaged(name), detail=repr(error)) from error
            if not piece:
                return
            yield piece


def _damaged(name: str) -> str:
    return f"{name} in this zip is damaged: what is unpacked is not what was packed. {PACK_ANEW}"
