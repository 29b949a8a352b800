"""A page is made once for all who ask alike, and for nobody else."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dermiq.ui.server.pages import MOST, SharedPages


class Site:
    """Counts what is made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        routes = [Route(path, self.answer) for path in ("/", "/config", "/bad", "/gradio_api/info")]
        self.app = SharedPages(Starlette(routes=routes))

    async def answer(self, request: Request) -> Response:
        self.made.append(str(request.url))
        await asyncio.sleep(0)
        text = f"{request.url} {request.headers.get('cookie')}"
        status = 500 if request.headers.get("x-fail") else 200
        response = PlainTextResponse(text, status)
        if request.headers.get("x-set"):
            response.set_cookie("a", "b")
        return response

    def ask(self, *asked: tuple[str, dict[str, str]]) -> list[httpx.Response]:
        async def all_at_once() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return list(await asyncio.gather(*(client.get(path, headers=headers) for path, headers in asked)))

        return asyncio.run(all_at_once())


def test_twenty_at_once_are_one_page() -> None:
    site = Site()
    answers = site.ask(*[("/", {})] * 20)
    assert {answer.text for answer in answers} == {"http://here/ None"}
    assert site.made == ["http://here/"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/config", {}),
        ("/", {"host": "there"}),
        ("/", {"cookie": "a=1"}),
        ("/", {"x-forwarded-proto": "https"}),
        ("/", {"accept-encoding": "br"}),
    ],
)
def test_who_asks_otherwise_gets_another(path: str, headers: dict[str, str]) -> None:
    site = Site()
    first, other, again = site.ask(("/", {}), (path, headers), (path, headers))
    assert len(site.made) == 2
    assert other.text == again.text
    assert first.text == "http://here/ None"


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/?deep_link=1", {}), ("/gradio_api/info", {}), ("/", {"x-fail": "1"}), ("/", {"x-set": "1"})],
)
def test_what_is_for_one_alone_or_went_wrong_is_not_kept(path: str, headers: dict[str, str]) -> None:
    site = Site()
    site.ask((path, headers), (path, headers))
    assert len(site.made) == 2


def test_few_are_kept() -> None:
    site = Site()
    site.ask(*[("/", {"host": f"h{number}"}) for number in range(MOST + 1)])
    site.ask(("/", {"host": f"h{MOST}"}))
    assert len(site.made) == MOST + 1
    site.ask(("/", {"host": "h0"}))
    assert len(site.made) == MOST + 2
