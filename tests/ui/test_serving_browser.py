"""Uploads that are refused, as a visitor sees it in a real browser."""

from __future__ import annotations

from pathlib import Path

from dermiq.ui.server.inbox import Limits
from tests import fakes
from tests.ui.test_browser import Page, address, browser, page, pytestmark, uploads

__all__ = ["address", "browser", "page", "pytestmark", "uploads"]

TAKE = """
dermiq.take([...Array(arguments[0]).keys()].map((i) => new File(['x'], `${i}.png`, { type: 'image/png' })));
"""
FILL = """
const form = new FormData();
for (let i = 0; i < arguments[0]; i++) form.append('files', new File(['x'], 'a.png'));
return fetch('gradio_api/upload', { method: 'POST', body: form }).then((answer) => answer.status);
"""


def test_a_refused_upload_says_why_where_the_images_would_be(page: Page, tmp_path: Path) -> None:
    limits = Limits()
    page.js(TAKE, limits.request_files + 1)  # the page itself counts
    assert page.text("#dq-viewer .dq-error") == "At most 12 files can be uploaded at once. Choose fewer."
    image = tmp_path / "one.png"
    image.write_bytes(fakes.png(fakes.picture()))
    page.upload(image)
    for _ in range(limits.visitor_files // limits.request_files):
        assert page.js(FILL, limits.request_files) == 200  # they wait, since nobody reads them
    page.js(TAKE, 1)  # and so does the server
    page.until(lambda: "still wait to be read" in page.text("#dq-viewer .dq-error"), "the server's sentence")
    assert not page.all("#dq-viewer [data-busy]"), "the page does not go on"
