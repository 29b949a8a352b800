"""The calls as endpoints of gradio, and as tools of its MCP server, where a setting says so.

Nothing of a call is left behind: gradio would keep what goes in and out with the session that a client names.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import Any

import gradio as gr
from gradio.events import api
from gradio.state_holder import SessionState

from dermiq.errors import DermIQError, InputError
from dermiq.knowledge import forget
from dermiq.settings import Settings
from dermiq.types import Json
from dermiq.ui.programs.arguments import Call, arguments, checked
from dermiq.ui.programs.calls import Calls
from dermiq.ui.programs.description import CALLS
from dermiq.ui.server.serving import log_error

log = logging.getLogger(__name__)

MOST = 20  # calls at once: each holds a thread, and the page needs some
BUSY = f"{MOST} calls of programs are under way already. Try again in a minute."
UNEXPECTED = "The call failed for a reason that is written in the log."
MISSING = (
    'The setting mcp needs the package "mcp", which is not installed: pip install ".[mcp]" in the folder of DermIQ, '
    'or pip install "gradio[mcp]".'
)


class Told(gr.Error):
    """An error whose text is its message, as MCP passes it on; gradio's own text has quotes around it."""

    def __str__(self) -> str:
        return str(self.message)


def check_settings(settings: Settings) -> None:
    """Raises InputError where the page cannot be served to programs as the settings say."""
    if settings.mcp and not settings.api:
        raise InputError("The tools of mcp are calls of the API, which is off: switch both on, or both off.")
    if settings.mcp and find_spec("mcp") is None:
        raise InputError(MISSING)


def offer(page: gr.Blocks, calls: Calls) -> None:
    """Inside of the page's context."""
    places = threading.BoundedSemaphore(MOST)
    for name in CALLS:
        # Not in gradio's queue, which keeps an answer that nobody fetches: the consultant has a line of its own.
        api(told(getattr(calls, name), places), api_name=name, queue=False)
    _keep_nothing(page)


def told(call: Call, places: threading.BoundedSemaphore) -> Call:
    """Checks the arguments, and says errors so that gradio passes them on."""
    takes = arguments(call)

    @wraps(call)
    def answered(*given: object) -> Json:
        try:
            with _one_of(places):
                row = call(**checked(takes, dict(zip(takes.model_fields, given, strict=True))))
            plain: Json = json.loads(json.dumps(row))  # as the command line prints it: keys are texts
            return plain
        except InputError as error:  # not logged: its words may be the visitor's own
            raise _error(error) from None
        except DermIQError as error:
            log.warning("%s (%s)", error, error.detail)
            raise _error(error) from None
        except Exception:
            log_error()
            raise Told(UNEXPECTED, print_exception=False) from None
        finally:
            forget()

    return answered


@contextmanager
def _one_of(places: threading.BoundedSemaphore) -> Iterator[None]:
    if not places.acquire(blocking=False):
        raise InputError(BUSY)
    try:
        yield
    finally:
        places.release()


def _error(error: DermIQError) -> Told:
    return Told(str(error), title=type(error).__name__, print_exception=False)


def _keep_nothing(page: gr.Blocks) -> None:
    """A call of a client that names its session has a state of its own all the same, which is gone with it."""
    process = page.process_api

    async def process_and_forget(
        block_fn: Any, inputs: list[Any], state: SessionState | None = None, **more: Any
    ) -> dict[str, Any]:
        named = more.get("session_hash") and block_fn.api_name in CALLS
        own = SessionState(page) if named else state
        return await process(block_fn, inputs, own, **more)

    vars(page)["process_api"] = process_and_forget


def as_json(page: gr.Blocks) -> None:
    """The tools of a launched page answer with JSON; gradio would write what Python prints of an object."""
    server: Any = page.mcp_server_obj
    if server is None:
        if page.mcp_error:  # which gradio keeps to itself
            log.error("There are no tools: %s", page.mcp_error)
        return

    def content(data: list[Any], root_url: str) -> list[Any]:
        return [server.types.TextContent(type="text", text=json.dumps(one, ensure_ascii=False)) for one in data]

    vars(server)["postprocess_output_data"] = content
