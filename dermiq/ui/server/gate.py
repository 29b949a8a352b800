"""Which requests reach the page: under its own names, from its own pages, to the few routes that it needs.

A browser can be made to send requests by any page that it shows. What gives these away is the `Host` (a foreign name
that was made to lead here), `Origin` and `Sec-Fetch-Site` (another page), and a body that is not JSON (which another
page may send without asking). Gradio offers more routes than the page uses, among them some that fetch addresses and
serve files: all that is not named here is closed.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dermiq.errors import InputError
from dermiq.language import said as in_our_language
from dermiq.ui.server.hosts import Hosts, host_of
from dermiq.ui.server.inbox import MB
from dermiq.ui.server.programs import ARRIVING, DESCRIPTION, ProgramCalls
from dermiq.ui.server.upload import Body, is_ticket, receive_upload, status_of
from dermiq.ui.server.visitors import ADDRESS, LEFT, network_of

API = "/gradio_api"
UPLOAD, FILE = f"{API}/upload", f"{API}/file="
READ = re.compile(
    "/|/(config|theme.css|favicon.ico|manifest.json|robots.txt)|/(assets|static|svelte)/.+"
    f"|{API}/(info|theme.css|startup-events|app_id|login_check|upload_progress|queue/data|queue/status|heartbeat/[^/]+)"
)
POSTED = re.compile(f"{API}/(queue/join|run/[^/]+|cancel|reset|component_server)")
IMPORTS = f"{API}/component_server"  # takes whole files of pairs, as text
MAX_JSON, MAX_IMPORT = 4 * MB, 32 * MB

NOT_THIS_NAME = "The page is not served under this name. Whoever runs it lists its names in DERMIQ_HOSTS."
NOT_THIS_PAGE = "This request was sent by another site's page, and is refused."
NOT_JSON = "A request that changes something carries JSON."
NOT_UPLOADED = "A request may name only files that were uploaded here."
STOPPED = "The request stopped. Try again."
NOTHING = ProgramCalls({}, {})


class Refused(InputError):
    """A request is not for this page."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(
    method: str, path: str, headers: Headers, hosts: Hosts, served: Path, programs: ProgramCalls = NOTHING
) -> None:
    """Raises Refused. `served`: the folder whose files may be asked for."""
    named = headers.getlist("host")
    if len(named) != 1 or not hosts.admit(host_of(named[0])):
        raise Refused(403, NOT_THIS_NAME)
    _check_sender(method, headers, hosts)
    if method in ("GET", "HEAD"):
        known = bool(READ.fullmatch(path.rstrip("/") or "/")) or is_served(path, served)
        known = known or (bool(programs.takes) and path == DESCRIPTION)
    else:
        known = path == UPLOAD or bool(POSTED.fullmatch(path.rstrip("/"))) or programs.is_tools(path)
    if method not in ("GET", "HEAD", "POST") or (method != "POST" and programs.is_tools(path)):
        raise Refused(405, "Method not allowed")
    if not known:
        raise Refused(404, "Not found")
    wanted = "multipart/form-data" if path == UPLOAD else "application/json"
    if method == "POST" and headers.get("content-type", "").split(";")[0].strip().lower() != wanted:
        raise Refused(415, NOT_JSON)


def _check_sender(method: str, headers: Headers, hosts: Hosts) -> None:
    """Only this page's own requests, and links that lead to it."""
    for origin in headers.getlist("origin"):
        sender = re.sub("^https?://", "", origin.lower())
        if sender != headers["host"].lower() and host_of(sender) not in hosts.told:
            raise Refused(403, NOT_THIS_PAGE)
    linked = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not linked:
        raise Refused(403, NOT_THIS_PAGE)


def is_served(path: str, folder: Path) -> bool:
    """Whether a file is asked for that lies in the folder, links resolved."""
    asked = Path(path.removeprefix(FILE))
    return path.startswith(FILE) and folder.resolve() in asked.resolve().parents


class Gate:
    """Stands before the whole app."""

    def __init__(self, app: ASGIApp, hosts: Hosts, served: Path, programs: ProgramCalls = NOTHING) -> None:
        self.app, self.hosts, self.served, self.programs = app, hosts, served, programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ADDRESS.set(network_of((scope.get("client") or ("",))[0]))
        try:
            check(scope["method"], scope["path"], Headers(scope=scope), self.hosts, self.served, self.programs)
            if scope["path"] == UPLOAD:
                await receive_upload(scope, receive, send)
                return
            body = await self._body(scope, receive) if scope["method"] == "POST" else None
        except InputError as error:
            await self._refusal(scope, error)(scope, receive, send)
            return
        except ConnectionError:  # the visitor left: there is nobody to answer
            return
        self._forget_foreign_names(scope)
        if body is None:
            await self.app(scope, receive, send)
            return
        if not self.programs.waits(scope["path"]):
            await self.app(scope, _replayed(scope, body, receive), send)
            return
        with _watched(receive) as gone:
            await self.app(scope, _replayed(scope, body, gone), send)

    def _refusal(self, scope: Scope, error: InputError) -> Response:
        status = error.status if isinstance(error, Refused) else status_of(error)
        if self.programs.waits(scope["path"]):
            return JSONResponse({"error": str(error), "title": InputError.__name__}, status)
        return PlainTextResponse(in_our_language(error), status)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """A JSON body, read whole, with no more of a file in it than its ticket."""
        path = scope["path"]
        large = self.programs.most(path)
        limit = large or (MAX_IMPORT if path.startswith(IMPORTS) else MAX_JSON)
        try:
            said = json.loads(await _read(scope, receive, limit))
        except (ValueError, RecursionError):
            raise Refused(400, NOT_JSON) from None
        said = self.programs.understood(path, said)
        if isinstance(said, dict) and "data" in said and not path.startswith(IMPORTS):
            said["data"] = tickets_alone(said["data"])
        body = json.dumps(said).encode()
        if large and len(body) > MAX_JSON:
            raise _too_long(MAX_JSON)
        return body

    def _forget_foreign_names(self, scope: Scope) -> None:
        """Gradio believes these without asking who sent them, and writes addresses from them."""
        headers = MutableHeaders(scope=scope)
        for name in ("x-forwarded-host", "x-gradio-server"):
            told = re.sub("^https?://", "", headers.get(name, "").split(",")[0].strip()).split("/")[0]
            if name in headers and not self.hosts.admit(host_of(told)):
                del headers[name]


@contextmanager
def _watched(receive: Receive) -> Iterator[Receive]:
    """Sets `LEFT` as soon as whoever asked is gone: nobody else has their question's turn taken for them."""
    left = threading.Event()
    LEFT.set(left)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async def gone() -> Message:
        await asyncio.shield(watching)
        return {"type": "http.disconnect"}

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Raises Refused, TooMuch or Busy; ConnectionError where the visitor left."""
    told = Headers(scope=scope).get("content-length", "")
    try:
        if limit > MAX_JSON and not (told.isdecimal() and int(told) <= MAX_JSON):
            return await _read_large(receive, limit)
        body = bytearray()
        async for chunk in Body(receive):
            body += chunk
            if len(body) > limit:
                raise _too_long(limit)
        return bytes(body)
    except asyncio.TimeoutError:
        raise Refused(408, STOPPED) from None


async def _read_large(receive: Receive, limit: int) -> bytes:
    """Counts it among what arrives, so that a few senders cannot fill the memory."""
    with ARRIVING.delivery(ADDRESS.get()) as delivery:
        delivery.begin()
        read = 0
        async for chunk in Body(receive):
            read += len(chunk)
            if read > limit:
                raise _too_long(limit)
            delivery.write(chunk)
        return ARRIVING.take(delivery.tickets[0]) or b""


def _too_long(limit: int) -> Refused:
    return Refused(413, f"This is more than {limit // MB} MB at once.")


def tickets_alone(value: object) -> Any:
    """Without names and addresses of files. Raises Refused for a file that was not uploaded here."""
    if isinstance(value, list):
        return [tickets_alone(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "path" not in value:
        return {name: tickets_alone(one) for name, one in value.items()}
    if not (isinstance(value["path"], str) and is_ticket(value["path"])):
        raise Refused(400, NOT_UPLOADED)
    return {"path": value["path"], "meta": {"_type": "gradio.FileData"}}


def _replayed(scope: Scope, body: bytes, receive: Receive) -> Receive:
    """`receive` after the body."""
    headers = MutableHeaders(scope=scope)
    headers["content-length"] = str(len(body))
    if "transfer-encoding" in headers:
        del headers["transfer-encoding"]
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
