"""What stands for an image in people's files: a path, the bytes of a file, or what a data set reads when asked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL.Image import Image

from dermiq.errors import DataError
from dermiq.files.columns import squeezed

NOTHING = frozenset(("", "nan", "NaN", "None", "null", "NULL", "<NA>", "[]"))
"""What tables write where there is nothing."""

COLUMNS = (
    "images",
    "image",
    "image_path",
    "image_paths",
    "img_path",
    "img_name",
    "image_file",
    "image_name",
    "file_name",
)
OTHER_COLUMNS = frozenset(("img", "imageid", "imgid", "isicid", "photo", "picture", "filepath", "imagefilepath"))
"""Squeezed names of columns that mean an image, too, but are not read: an id alone may be that of anything."""

PATHS = ("path", "url", "file_name", "filename", "src", "image", "file")
"""Under which key an object names its file."""

_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")
_LIKE_A_FILE = re.compile(r"\S{1,150}\.(jpe?g|png|tiff?|bmp|webp|heic)", re.IGNORECASE)
_SEPARATORS = (";", ",", "|")
_ON_THE_WEB = re.compile(r"(https?|ftp|s3|gs)://", re.IGNORECASE)


@dataclass(frozen=True)
class Held:
    """An image of a data set, which is read when it is asked for."""

    rows: Any  # of `datasets`, in Arrow's format: images as their files
    row: int
    column: str
    place: int | None  # in a list of images

    def load(self) -> bytes | str:
        """The file, or its path. DataError where the list has a place without an image."""
        found = self.rows[self.row][self.column].to_pylist()[0]
        image = _image(found if self.place is None else found[self.place])
        if not isinstance(image, (bytes, str)):
            raise DataError(f"{self.column} of row {self.row + 1} holds nothing at place {(self.place or 0) + 1}.")
        return image


def images_of(row: Mapping[str, object]) -> list[object]:
    """Paths, the bytes of files, or `Held`; None where a list holds nothing. DataError for what is no image."""
    found = next((row[name] for name in COLUMNS if not _is_nothing(row.get(name))), None)
    if found is None:
        _refuse_other_columns(row)
        return []
    listed = found if isinstance(found, (list, tuple)) and not _is_bytes(found) else _names(found)
    return [_image(value) for value in listed]


def _names(found: object) -> list[object]:
    """Several names in one text, as some tables have them: each must look like a file."""
    if isinstance(found, str):
        for separator in _SEPARATORS:
            names = [name.strip() for name in found.split(separator)]
            if len(names) > 1 and all(map(_LIKE_A_FILE.fullmatch, names)):
                return list(names)
    return [found]


def _is_nothing(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_nothing, value))
    if isinstance(value, Mapping):
        return all(map(_is_nothing, value.values()))
    if isinstance(value, float):
        return value != value
    return value is None or (isinstance(value, str) and value.strip() in NOTHING)


def _is_bytes(value: Sequence[object]) -> bool:
    return len(value) > 8 and all(type(one) is int and 0 <= one < 256 for one in value)


def _image(value: object) -> bytes | str | Held | None:
    if _is_nothing(value):
        return None
    if isinstance(value, Mapping):
        if not _is_nothing(value.get("bytes")):
            return _bytes(value["bytes"])
        told = next((value[name] for name in PATHS if not _is_nothing(value.get(name))), None)
        if told is None:
            raise DataError(f"images holds an object with {', '.join(map(str, value))}: give the path as a text.")
        return _image(told)
    if isinstance(value, (list, tuple)) and _is_bytes(value):
        return bytes(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return path_of(value.strip())
    if not isinstance(value, (bytes, Held)):
        raise DataError(f"images holds a {type(value).__name__}; it must hold paths, files' bytes or images.")
    return value


def path_of(text: str) -> str | bytes:
    """What a text means: a path, or the bytes of a data URL. DataError for an address on the web."""
    if _DATA_URL.match(text):
        return _bytes(text)
    if _ON_THE_WEB.match(text):
        raise DataError(f"the image {text[:80]} is on the web, and nothing is fetched: download it, and give its path.")
    if text.startswith("/data/local-files/?"):  # of Label Studio
        return parse_qs(urlsplit(text).query).get("d", [text])[0]
    return text


def _bytes(value: object) -> bytes:
    """Of a file: bytes, numbers, or base64 as JSON holds them."""
    if isinstance(value, str):
        try:
            return base64.b64decode(_DATA_URL.sub("", value, count=1), validate=True)
        except (binascii.Error, ValueError) as error:
            raise DataError("the bytes of an image are a text that is no base64.") from error
    if isinstance(value, (bytes, bytearray)) or (isinstance(value, (list, tuple)) and _is_bytes(value)):
        return bytes(value)
    raise DataError("the bytes of an image are no bytes.")


def _refuse_other_columns(row: Mapping[str, object]) -> None:
    """DataError where a column that is not known names or holds an image: it would be left out without a word."""
    for name, value in row.items():
        named = str(value).strip() if isinstance(value, (str, int)) else ""
        if _LIKE_A_FILE.fullmatch(named) or (named and squeezed(name) in OTHER_COLUMNS):
            raise DataError(f"images is missing, and {name} holds {named[:80]}. Rename {name} to images.")
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if _is_picture(first):
            raise DataError(f"images is missing, and {name} holds an image. Rename {name} to images.")


def _is_picture(value: object) -> bool:
    """The bytes of a file, or what a library made of one."""
    if isinstance(value, Mapping):
        return set(value) == {"bytes", "path"} and not _is_nothing(value)
    return isinstance(value, (bytes, bytearray, Image))
