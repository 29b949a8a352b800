"""The page is made once for all who ask alike.

Gradio copies its whole configuration for each request: 40 ms of a processor, and more where many ask at once. What it
answers hangs on nothing but the address and headers that are named here; who asks is told by the events that follow.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = ("/", "/config")
FORWARDED = ("x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "x-gradio-server")
HEARD = ("host", *FORWARDED, "accept-encoding", "cookie")
MOST = 8  # kept, the last asked for


class SharedPages:
    """Keeps what the app answers to `GET /` and `GET /config` without a query."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: OrderedDict[tuple[str, ...], list[Message]] = OrderedDict()
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PAGES or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = (scope["path"], scope["scheme"], scope.get("root_path", ""), *(headers.get(name, "") for name in HEARD))
        async with self._making:
            answer = self._kept.pop(key, None) or await self._made(scope, receive)
            if _is_for_all(answer):
                self._kept[key] = answer
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
        for message in answer:
            await send(message)

    async def _made(self, scope: Scope, receive: Receive) -> list[Message]:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self.app(scope, receive, keep)
        return answer


def _is_for_all(answer: list[Message]) -> bool:
    start = answer[0]
    return bool(start["status"] == 200) and not any(name.lower() == b"set-cookie" for name, _ in start["headers"])
