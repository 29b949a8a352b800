"""A consultation for real: the shipped models and a real image, in the app's own process and a real browser, and by the
command, which fetches the base language model itself (93 MB once per machine), as a first start does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.vlm.base import ensure_base
from tests.page import ROOT, started
from tests.ui import test_browser
from tests.ui.test_browser import Page

pytestmark = [pytest.mark.embedded, *test_browser.pytestmark]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """With a cache that holds the base language model and no answer."""
    base, cache = ensure_base(), tmp_path / "cache"
    cache.mkdir()
    (cache / base.name).symlink_to(base)
    with started(tmp_path, real=True, env={"DERMIQ_CACHE": str(cache)}) as (address, _):
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


def test_an_example_answers_the_second_visitor_at_once(
    app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of the drawings, of which the readers do not abstain."""
    monkeypatch.setattr(test_browser, "SECONDS", 180)
    page = Page(app, tmp_path)
    try:
        page.one(".dq-ready")

        def answer() -> tuple[str, float]:
            page.click(".dq-example[data-index='1']")
            page.one(".dq-outline")
            asked = time.monotonic()
            page.ask("What is this lesion, and why?")
            return page.text(".dq-headline"), time.monotonic() - asked

        live, _ = answer()
        assert not page.all(".dq-before")
        page.click("#dq-new")
        page.one(".dq-example")
        again, seconds = answer()
        assert again == live
        assert seconds < 2
        assert "Retry runs it live" in page.text(".dq-before")
        page.shot("example-again")
        page.ask("How is it treated?")
        assert len(page.all(".dq-before")) == 1
        assert page.errors() == []
    finally:
        page.driver.quit()


def test_command_line_answers_in_json(melanoma: Path) -> None:
    command = [sys.executable, "-m", "dermiq", "assess", str(melanoma), "--age", "60", "--site", "back", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["answer"]["code"] in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(answer["differentials"]) == {"specialist", "vlm"}
    assert answer["problems"] == []
    assert all(fact["url"] for fact in answer["facts"])
    assert str(melanoma.name) not in done.stdout
