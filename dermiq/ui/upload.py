"""A file field that hands over bytes and leaves no copy behind.

Not a subclass of `gr.File`: gradio writes a stub file beside the source of every component class.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ListFiles

log = logging.getLogger(__name__)


def private_file(**options: Any) -> gr.File:
    """`gr.File` for bytes that deletes each uploaded file as soon as it is read."""
    made = gr.File(type="binary", **options)
    read = made.preprocess

    def read_and_delete(payload: ListFiles | FileData | None) -> bytes | str | list[bytes] | list[str] | None:
        try:
            return read(payload)
        finally:
            for item in _items(payload):
                remove(Path(item.path))

    vars(made)["preprocess"] = read_and_delete
    return made


def _items(payload: ListFiles | FileData | None) -> list[FileData]:
    if payload is None:
        return []
    return list(payload.root) if isinstance(payload, ListFiles) else [payload]


def remove(path: Path) -> None:
    """Delete an upload and the folder that was made for it alone."""
    try:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
    except OSError as error:  # the folder holds another upload, or the system keeps the file open
        log.debug("an upload's folder stays until the cache is cleaned: %s", error.strerror)
