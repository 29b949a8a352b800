"""The Consult tab for real: the app's own process, the shipped models, a real image, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.vlm.base import ensure_base
from tests.page import started
from tests.ui import test_browser
from tests.ui.test_browser import Page

pytestmark = [pytest.mark.embedded, *test_browser.pytestmark]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    ensure_base()
    with started(tmp_path, real=True) as (address, _):
        yield address


def test_a_clinician_uploads_a_lesion_and_reads_the_answer(
    app: str, melanoma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_browser, "SECONDS", 180)  # real models on two cores
    page = Page(app, tmp_path)
    try:
        page.one(".dq-ready")
        page.upload(melanoma)
        page.ask("What is this lesion, and why?")
        text = page.text(".dq-chat")
        for step in ("Findings", "Differential", "Knowledge", "Conclusion"):
            assert step in text
        assert page.all(".dq-chat .dq-chip"), "the answer cites no fact"
        page.ask("Is it urgent?")
        page.shot("end-to-end")
        assert page.errors() == []
        assert all(url.startswith((app, "data:", "blob:")) for url in page.requests())
    finally:
        page.driver.quit()
