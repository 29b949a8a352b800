"""A file field that hands over bytes and leaves no copy behind."""

from __future__ import annotations

import logging
from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData, ListFiles

log = logging.getLogger(__name__)

class PrivateFile(gr.File):
    """`gr.File(type="binary")` that deletes each uploaded file as soon as its bytes are read."""

    is_template = True  # the browser shows gradio's own File

    def preprocess(self, payload: ListFiles | FileData | None) -> bytes | str | list[bytes] | list[str] | None:
        try:
            return super().preprocess(payload)
        finally:
            for item in _items(payload):
                remove(Path(item.path))
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

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
        log.debug("%s stays until the cache is cleaned: %s", path.name and "an upload", error)
