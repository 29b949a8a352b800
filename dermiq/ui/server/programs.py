"""What programs send, at the gate: arguments by name become gradio's list, and images become tickets of the inbox.

So gradio never has the bytes of an image: neither its queue, nor what it keeps of a session, nor its errors.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradio import Blocks
from gradio.utils import get_function_params

from dermiq.errors import InputError
from dermiq.types import Json
from dermiq.ui.server.inbox import INBOX, MB, Inbox, Limits, refused
from dermiq.ui.server.visitors import ADDRESS

RUN, JOIN, MCP = "/gradio_api/run/", "/gradio_api/queue/join", "/gradio_api/mcp"
DESCRIPTION = "/openapi.json"
IMAGES = "images"  # the argument that holds files
MAX_CALL = 40 * MB  # of a request with images, which are a third longer in base64
ARRIVING = Inbox(Limits(MAX_CALL, 1, MAX_CALL, visitor_files=4, visitor=2 * MAX_CALL, all_files=12, all=5 * MAX_CALL))
"""Large requests on their way in, before their images are taken out."""
NO_BASE64 = "Image {} is no base64. Send the bytes of its file in base64; addresses and names of files are not opened."
NO_CALL = "A message of MCP is one object of JSON-RPC."


@dataclass(frozen=True)
class ProgramCalls:
    """What the page offers to programs. `takes`: by name the arguments with their defaults; `numbers`: gradio's."""

    takes: Mapping[str, Mapping[str, object]]
    numbers: Mapping[int, str]
    mcp: bool = False

    @classmethod
    def of(cls, page: Blocks) -> ProgramCalls:
        public = {number: one for number, one in page.fns.items() if one.api_visibility == "public" and one.fn}
        takes = {
            str(one.api_name): {name: default for name, _, default, _ in get_function_params(one.fn)}
            for one in public.values()
            if one.fn
        }
        return cls(takes, {number: str(one.api_name) for number, one in public.items()}, bool(page.mcp_server))

    def is_tools(self, path: str) -> bool:
        return self.mcp and path.rstrip("/") == MCP

    def waits(self, path: str) -> bool:
        """Whether the answer comes on the request itself, so that whoever breaks it off no longer waits for it."""
        return self.is_tools(path) or path.removeprefix(RUN).rstrip("/") in self.takes

    def most(self, path: str) -> int | None:
        """How long a request may be that may carry images, bytes; None for others."""
        if self.is_tools(path) or (self.takes and path.rstrip("/") == JOIN):
            return MAX_CALL
        return MAX_CALL if IMAGES in self.takes.get(path.removeprefix(RUN).rstrip("/"), ()) else None

    def understood(self, path: str, said: Any) -> Any:
        """The request as gradio takes it. Raises InputError, TooMuch or Busy."""
        if self.is_tools(path):
            return _of_tools(said)
        if not isinstance(said, dict):
            return said
        name = self._name(path, said)
        if name is None:
            return said
        if "data" not in said:
            said = {"data": _in_order(said, self.takes[name])}
        if IMAGES in self.takes[name] and isinstance(said["data"], list):
            at = list(self.takes[name]).index(IMAGES)
            said["data"][at : at + 1] = [tickets_of(one) for one in said["data"][at : at + 1]]
        return said

    def _name(self, path: str, said: Json) -> str | None:
        """Which call gradio takes it for: a number in the request counts before the name in its address."""
        number = said.get("fn_index")
        if number is not None:
            return self.numbers.get(number) if isinstance(number, int) else None
        name = path.removeprefix(RUN).rstrip("/")
        return name if name in self.takes else None


def _of_tools(said: Any) -> Json:
    if not isinstance(said, dict):
        raise InputError(NO_CALL)
    params = said.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) else None
    if isinstance(arguments, dict) and IMAGES in arguments:
        arguments[IMAGES] = tickets_of(arguments[IMAGES])
    return said


def _in_order(said: Json, takes: Mapping[str, object]) -> list[object]:
    if strange := [name for name in said if name not in takes]:
        raise InputError(f"There is no argument {strange[0][:60]!r}. There are {', '.join(takes)}.")
    return [said.get(name, default) for name, default in takes.items()]


def tickets_of(images: Any) -> Any:
    """Puts images into the inbox, under the limits that uploads have. Where one cannot be had, why stands in the place
    of each, since an error of the call reaches every program, and one of the gate does not."""
    if not isinstance(images, list):
        return None
    try:
        with INBOX.delivery(ADDRESS.get()) as delivery:
            for number, image in enumerate(images, 1):
                delivery.begin()
                delivery.write(decoded(image, number))
        return delivery.tickets
    except InputError as error:
        return [refused(error)]


def decoded(image: object, number: int) -> bytes:
    """Of base64 or a data URL. Raises InputError."""
    try:
        text = re.sub(r"^data:[^,]{0,100};base64,", "", image) if isinstance(image, str) else ""
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise InputError(NO_BASE64.format(number))
    return content
