"""The page as a container far away has it: nothing but temporary files can be written, and it is reached below a prefix
of somebody's address. A reverse proxy takes the prefix off, GRADIO_ROOT_PATH names it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests import fakes
from tests.page import served
from tests.ui.test_browser import Page, pytestmark  # noqa: F401  the mark applies to this file, too

PREFIX = "/derm"
DECORATION = ("/manifest.json", "/favicon.ico")  # that gradio and browsers look for above every prefix
NOWHERE = "/proc/none"  # can be made by nobody, root included


def proxy_to(address: str) -> type[BaseHTTPRequestHandler]:
    """As a reverse proxy is set up: it takes the prefix off, passes on `Host`, and streams what comes back."""

    class Proxy(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = address + self.path.removeprefix(PREFIX)
            said = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            with httpx.stream(self.command, url, headers=said, content=body, timeout=None) as answer:
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                for chunk in answer.iter_raw():
                    self.wfile.write(chunk)
                    self.wfile.flush()

        do_GET = do_POST = do_HEAD = _pass

        def log_message(self, *words: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, httpx.HTTPError):  # the browser, or the page, has gone
                super().handle()

    return Proxy


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    environment = {"GRADIO_ROOT_PATH": PREFIX, "HOME": NOWHERE}
    environment |= {"DERMIQ_RUNS": f"{NOWHERE}/runs", "DERMIQ_REVIEW": f"{NOWHERE}/review"}
    with served(tmp_path, env=environment, pace=0.0) as inner:
        server = ThreadingHTTPServer(("127.0.0.1", 0), proxy_to(inner))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        server.shutdown()
        server.server_close()


def test_a_consultation_works_below_a_prefix_and_where_nothing_can_be_written(address: str, tmp_path: Path) -> None:
    image = tmp_path / "lesion.png"
    image.write_bytes(fakes.png(fakes.picture()))
    top = address.removesuffix(PREFIX)
    page = Page(f"{address}/", tmp_path)
    try:
        page.one(".dq-ready")
        page.upload(image)
        page.ask("What is this?")
        assert "failed" not in page.text(".dq-chat")
        lost = [said for said in page.errors() if not any(top + name in said for name in DECORATION)]
        assert lost == []
        wanted = (address, "data:", "blob:", *(top + name for name in DECORATION))
        assert [url for url in page.requests() if not url.startswith(wanted)] == []
    finally:
        page.driver.quit()
