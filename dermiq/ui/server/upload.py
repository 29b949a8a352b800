"""A file field that hands over bytes of the inbox, and how these get there: gradio itself would write them to disk.

The field is not a subclass of `gr.File`: gradio writes a stub file beside the source of every component class.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
from gradio.data_classes import FileData, ListFiles
from gradio.routes import file_upload_statuses
from gradio.utils import get_upload_folder
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from dermiq.errors import InputError
from dermiq.language import said
from dermiq.types import Json
from dermiq.ui.server.inbox import INBOX, MB, Busy, Delivery, Inbox, Limits, TooMuch
from dermiq.ui.server.visitors import ADDRESS

GONE = "This upload is no longer here. Choose the file again."
DAMAGED = "The upload arrived damaged. Try again."
SLACK = MB  # of a request, for what is not a file in it
SILENCE_S = 60.0  # without a byte, after which an upload is given up
DRAINED, DRAIN_S = 256 * MB, 20.0  # read and forgotten of a refused request: browsers show no answer before all is sent
TRACKED_S = 30.0  # for which the progress of a finished upload can still be asked for


def private_file(**options: Any) -> gr.File:
    """`gr.File` for bytes: one where one file is taken, a list where several are. They exist in memory only."""
    made = gr.File(type="binary", **options)

    def take(payload: ListFiles | FileData | None) -> bytes | list[bytes] | None:
        contents = [INBOX.take(Path(item.path).name) for item in _items(payload)]
        found = [content for content in contents if content is not None]
        if len(found) < len(contents):
            raise gr.Error(said(GONE), print_exception=False)
        if made.file_count == "single":
            return found[0] if found else None
        return found or None

    async def leave(path: str) -> str:
        return path

    vars(made).update(preprocess=take, async_move_resource_to_block_cache=leave)
    return made


def _items(payload: ListFiles | FileData | None) -> list[FileData]:
    if payload is None:
        return []
    return list(payload.root) if isinstance(payload, ListFiles) else [payload]


def path_of(ticket: str) -> str:
    """What gradio takes for the path of an upload. There is no file."""
    return str(Path(get_upload_folder()) / ticket)


def is_ticket(path: str) -> bool:
    return path == path_of(Path(path).name)


async def receive_upload(scope: Scope, receive: Receive, send: Send, inbox: Inbox = INBOX) -> None:
    """Answers gradio's upload request: the paths of what arrived, or a sentence with 400, 408, 413 or 503."""
    body = Body(receive)
    try:
        if int(Headers(scope=scope).get("content-length", "0")) > inbox.limits.request + SLACK:
            raise _too_large(inbox.limits)
        with inbox.delivery(ADDRESS.get()) as delivery:
            await _read(scope, body, delivery)
    except InputError as error:
        await _refuse(error, body, send)
    except (FormParserError, ValueError):  # whose words may hold a name: they stay out of log and answer
        await _refuse(InputError(DAMAGED), body, send)
    except asyncio.TimeoutError:
        await PlainTextResponse(said("The upload stopped. Try again."), 408)(scope, receive, send)
    except ConnectionError:  # the visitor left: there is nobody to answer
        return
    else:
        await JSONResponse([path_of(ticket) for ticket in delivery.tickets])(scope, receive, send)


def _too_large(limits: Limits) -> TooMuch:
    return TooMuch(f"The files are larger than {limits.request // MB} MB together. Choose fewer.")


class Body:
    """A request's body; an iteration that was broken off can be taken up again."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._more = receive, True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises TimeoutError at a visitor who stays silent, ConnectionError at one who leaves."""
        while self._more:
            message = await asyncio.wait_for(self._receive(), SILENCE_S)
            if message["type"] == "http.disconnect":
                raise ConnectionError
            self._more = message.get("more_body", False)
            yield message.get("body", b"")


async def _read(scope: Scope, body: Body, delivery: Delivery) -> None:
    _, options = parse_options_header(Headers(scope=scope).get("content-type"))
    if not options.get(b"boundary"):
        raise InputError(DAMAGED)
    parts, read = _Parts(delivery, _upload_id(scope)), 0
    parser = MultipartParser(options[b"boundary"], parts.callbacks())  # type: ignore[arg-type]
    try:
        async for chunk in body:
            read += len(chunk)
            if read > delivery.limits.request + SLACK:
                raise _too_large(delivery.limits)
            parser.write(chunk)
    finally:
        parts.close()
    if not parts.ended:
        raise InputError(DAMAGED)


def _upload_id(scope: Scope) -> str:
    """Under which the page asks how far the upload is."""
    upload_id: str = parse_qs(scope["query_string"].decode("latin-1")).get("upload_id", [""])[0][:100]
    return upload_id


class _Parts:
    """The parser's callbacks: parts that are files go into the delivery, anything else is passed over."""

    def __init__(self, delivery: Delivery, upload_id: str) -> None:
        self._delivery, self._upload_id = delivery, upload_id
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._file: str | None = None  # the name of the file that arrives, for the progress alone
        self.ended = False

    def callbacks(self) -> Json:
        heard = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, name) for name in heard}

    def part_begin(self) -> None:
        self._headers, self._file = {}, None

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") == b"files" and b"filename" in options:
            self._delivery.begin()
            self._file = options[b"filename"].decode("utf-8", "replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            return
        self._delivery.write(data[start:end])
        if self._upload_id:
            file_upload_statuses.append(self._upload_id, self._file, data[start:end])

    def end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """The progress can be asked for a little longer."""
        if self._upload_id:
            file_upload_statuses.set_done(self._upload_id)
            asyncio.get_running_loop().call_later(TRACKED_S, file_upload_statuses.stop_tracking, self._upload_id)


def status_of(error: InputError) -> int:
    return 413 if isinstance(error, TooMuch) else 503 if isinstance(error, Busy) else 400


async def _refuse(error: InputError, body: Body, send: Send) -> None:
    """Says why at once, and then lets the browser send the rest, since one that cannot shows no answer."""
    text = PlainTextResponse(said(error), status_of(error), {"connection": "close"})
    await send({"type": "http.response.start", "status": text.status_code, "headers": text.raw_headers})
    await send({"type": "http.response.body", "body": text.body, "more_body": True})
    try:
        await asyncio.wait_for(_drain(body), DRAIN_S)
    except (asyncio.TimeoutError, ConnectionError):
        return
    await send({"type": "http.response.body", "body": b""})


async def _drain(body: Body) -> None:
    left = DRAINED
    async for chunk in body:
        left -= len(chunk)
        if left < 0:
            return
