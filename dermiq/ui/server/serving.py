"""How the page is kept to itself: nothing is loaded from, sent to, or left behind elsewhere."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dermiq.settings import Settings
from dermiq.ui.server.hosts import Hosts

if TYPE_CHECKING:
    import fcntl

    from gradio import Blocks

    from dermiq.ui.server.inbox import Inbox
else:
    try:
        import fcntl
    except ImportError:  # Windows: see `_hold`
        fcntl = None

log = logging.getLogger(__name__)

# gradio compiles its HTML templates in the browser, which needs 'unsafe-eval'.
CONTENT_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    ]
)
HEADERS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
SPACE_PAGE = "https://huggingface.co"  # shows a Space in a frame
SPACE_PROXIES = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"  # a Space is reached through these alone
SWEEP_S = 10.0
PREFIX = "dermiq-"


def headers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of every answer. Only a Space's own page may show this one in a frame."""
    if environment.get("SPACE_ID"):
        return HEADERS | {"content-security-policy": f"{CONTENT_POLICY}; frame-ancestors {SPACE_PAGE}"}
    policy = f"{CONTENT_POLICY}; frame-ancestors 'none'"
    return HEADERS | {"content-security-policy": policy, "x-frame-options": "DENY"}


class PrivateHeaders:
    """Adds the headers to every answer, and leaves its body alone, streams included."""

    def __init__(self, app: ASGIApp, added: Mapping[str, str]) -> None:
        self.app, self.added = app, added

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def guarded(
    settings: Settings, served: Path, *, launched: Callable[[Blocks], None]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """The app's lifespan, with the gate before the whole app. `served`: the folder that files are served from;
    `launched`: called with the page when gradio has made the app around it."""
    from dermiq.ui.server.gate import Gate  # gradio, which must not be imported before `private_temp`
    from dermiq.ui.server.inbox import INBOX
    from dermiq.ui.server.pages import SharedPages
    from dermiq.ui.server.programs import ARRIVING, ProgramCalls

    hosts = Hosts.of(settings)
    _print_no_words()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Middleware that gradio takes stands behind its own, which tells other sites that they may send anything.
        assert app.middleware_stack is not None
        page: Blocks = app.get_blocks()  # type: ignore[attr-defined]  # gradio's own app
        launched(page)
        gate = Gate(SharedPages(app.middleware_stack), hosts, served, ProgramCalls.of(page))
        app.middleware_stack = PrivateHeaders(gate, headers())
        sweeping = asyncio.create_task(_sweep(INBOX, ARRIVING))
        try:
            yield
        finally:
            sweeping.cancel()

    return lifespan


def _print_no_words() -> None:
    """Gradio prints the errors of a request, whose words may hold what a visitor sent: a name of a file, a question."""
    import gradio.queueing
    import gradio.routes

    for module in (gradio.queueing, gradio.routes):
        vars(module)["traceback"] = SimpleNamespace(print_exc=log_error)


def log_error() -> None:
    """Which error and where, without its words."""
    error, chain = sys.exc_info()[1], []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for one in reversed(chain):
        log.error("%s in a request\n%s", type(one).__name__, "".join(traceback.format_tb(one.__traceback__)))


async def _sweep(*inboxes: Inbox) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        for inbox in inboxes:
            inbox.sweep()


def believed_proxies(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """Whose X-Forwarded-For is believed: nobody's, unless a setting says so or this is a Space."""
    default = SPACE_PROXIES if environment.get("SPACE_ID") else ""
    return settings.proxies or environment.get("FORWARDED_ALLOW_IPS", default)


# --- a folder that ends with the process --------------------------------------------------


def private_temp() -> str:
    """A folder for whatever gradio writes, this process's own and gone with it; before gradio is imported.

    Uploads do not pass through it. Folders of processes that were killed are removed first.
    """
    sweep_temp()
    folder = _held_folder()
    os.environ["GRADIO_TEMP_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _clear_on_signals(folder)
    return folder


def _held_folder() -> str:
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        if fcntl is None or (_hold(folder) is not None and os.path.exists(folder)):
            return folder  # else another start swept it before it was held


def _hold(folder: str | Path) -> int | None:
    """A lock on the folder itself, kept until the process ends in whatever way; None where another process has it.

    Not the process's number, which the system gives out again. Windows cannot lock a folder: there none is swept.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def sweep_temp() -> None:
    """Remove this user's folders that no living process holds."""
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # another start was faster
            mine = folder.lstat().st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
            if not (mine and re.fullmatch(f"{PREFIX}[a-z0-9_]{{8}}", folder.name)):
                continue
            handle = _hold(folder)
            if handle is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)


def _clear_on_signals(folder: str) -> None:
    """A signal that ends the process takes the folder with it; one that is ignored stays so."""

    def end(number: int, frame: FrameType | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # ends as it would have ended: at once, and seen from outside as what it is

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)
