"""The whole product for real: the app's own process, the shipped models, a real image, a real browser.

The base language model is fetched by the app itself (93 MB once per machine), as a visitor's first start does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from dermiq.vlm.base import ensure_base
from tests.page import ROOT, free_port
from tests.ui import test_browser
from tests.ui.test_browser import CHROMIUM, DRIVER, Page

pytestmark = [pytest.mark.embedded]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` on a free port; it must answer before its models are loaded."""
    ensure_base()
    port = free_port()
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("uploads"))}
    with subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=environment) as process:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert process.poll() is None, "the app ended before it answered"
            try:
                httpx.get(address, timeout=2)
                break
            except httpx.TransportError:
                time.sleep(0.3)
        yield address
        process.terminate()


@pytest.mark.browser
@pytest.mark.skipif(
    not ((CHROMIUM and DRIVER) or os.environ.get("CI")), reason="chromium and chromium-driver are not installed"
)
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


def test_command_line_answers_in_json(melanoma: Path) -> None:
    command = [sys.executable, "-m", "dermiq", "assess", str(melanoma), "--age", "60", "--site", "back", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["answer"]["code"] in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(answer["differentials"]) == {"specialist", "vlm"}
    assert answer["problems"] == []
    assert all(fact["url"] for fact in answer["facts"])
    assert str(melanoma.name) not in done.stdout


def test_not_an_image_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    command = [sys.executable, "-m", "dermiq", "assess", str(tmp_path / "notes.jpg"), "--reader", "specialist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dermiq: ")
    assert "Traceback" not in done.stderr


def test_specialist_alone_needs_no_language_model(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)  # an unrelated file beside the image changes nothing
    Image.fromarray(np.full((200, 200, 3), 180, np.uint8)).save(tmp_path / "skin.png")
    command = [sys.executable, "-m", "dermiq", "assess", str(tmp_path / "skin.png"), "--reader", "specialist", "--json"]
    environment = {**os.environ, "DERMIQ_CACHE": str(tmp_path / "empty")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["abstention"]
    assert not (tmp_path / "empty").exists()
