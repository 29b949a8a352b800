"""The Training tab for real: the app's own process, DermIQ-Nano, real images, real runs, a real browser.

A run is started from the form, watched, stopped, resumed, judged by what it answers in the consultation, and compared.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dermiq.vlm.base import ensure_base
from tests.page import ROOT, free_port
from tests.train.tiny_stage import TinyConfig
from tests.ui import test_browser
from tests.ui.test_browser import CHROMIUM, DRIVER, Page
from tests.ui.training.fields import fill, unfold, value
from train.runs import registry as runs
from train.runs import worker

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.browser,
    pytest.mark.skipif(
        not ((CHROMIUM and DRIVER) or os.environ.get("CI")), reason="chromium and chromium-driver are not installed"
    ),
]
PATIENCE_S = 240  # DermIQ-Nano on two cores that are shared
OPTIONS = """
model: nano
device: cpu
data: [ham10000]
images: 4
steps: 500
facts: 1
told_share: 0.0
group: 2
new_tokens: 24
mask_truncated: false
rehearse: false
save_every: 1
lora_rank: 4
advantage: {one_sided: 1.0}
"""


class App:
    """`python app.py` with its runs in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.root, self.port = folder / "runs", free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "TMPDIR": str(folder), "DERMIQ_RUNS": str(self.root)}

    def start(self) -> None:
        command = [sys.executable, "app.py", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert self.process.poll() is None, "the app ended before it answered"
            try:
                httpx.get(self.address, timeout=2)
                return
            except httpx.TransportError:
                time.sleep(0.3)
        raise AssertionError("the app did not answer")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def app(real_data: Path, tmp_path: Path) -> Iterator[App]:
    ensure_base()
    made = App(tmp_path)
    made.start()
    yield made
    made.kill()
    for run in runs.list_runs(made.root):
        if run.is_live:
            runs.kill(run.folder)


def wait(condition, said: str) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, said
        time.sleep(0.2)


def head(page: Page, words: str) -> None:
    page.until(lambda: words in page.text("#dq-head"), f"{words!r} in the run's head")


def points(page: Page) -> int:
    """Rewards in the plots, as their table says; 0 while those of another run are shown."""
    row = "document.querySelector('#dq-curves tbody tr')"
    cells = page.js(f"const row = {row}; return row ? [...row.cells].map((c) => c.textContent) : []")
    if not cells or not cells[0].startswith("Reward"):
        return 0
    assert page.all("#dq-curves canvas"), "the plots are drawn"
    return int(cells[-1])


def test_from_the_form_to_a_better_model(
    app: App,
    melanoma: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_browser, "SECONDS", PATIENCE_S)
    other = runs.create(TinyConfig(steps=9, seconds=0.0), name="other", root=app.root)
    worker.work(other)
    page = Page(app.address, tmp_path)
    try:
        page.open_tab("Training")
        head(page, "other")
        _start(page)
        page.until(lambda: points(page) >= 1, "points appear")
        page.shot("training-1-watched")
        page.until(lambda: "Training mine: step" in page.text(".dq-bar"), "the bar says that there is a training")

        assert page.errors() == []
        app.kill()  # the page is gone, the run goes on
        step = runs.load_run(app.root / "mine").status.step
        wait(lambda: runs.load_run(app.root / "mine").status.step > step, "the run goes on without the app")
        app.start()
        page.driver.get(app.address)
        page.one(".dq-example")
        page.errors()  # of the page whose app was gone
        page.open_tab("Training")
        head(page, "mine")
        page.click('#dq-head [data-event="stop"]')
        head(page, "stopped")
        _goes_on(page, app)

        runs.kill(app.root / "mine")
        page.until(lambda: "interrupted" in page.text("#dq-head"), "that it died is said")
        page.shot("training-2-interrupted")
        _goes_on(page, app)
        page.click('#dq-head [data-event="stop"]')
        head(page, "stopped")
        page.click('#dq-views [data-text="samples"]')
        page.until(lambda: "Right answer" in page.text("#dq-body"), "samples")
        page.shot("training-3-samples")

        page.until(lambda: page.all(".dq-ready"), "the consultation is loaded")
        page.click('#dq-head [data-event="use"][data-text^="checkpoint-"]')
        head(page, "answers in the consultation")
        page.until(lambda: "mine" in page.text(".dq-bar"), "the bar names the run")
        _duplicate_to_its_end(page, app)
        page.click('#dq-head [data-event="use"][data-text="final"]')
        page.until(lambda: "short" in page.text(".dq-bar"), "the bar names the other run")
        page.open_tab("Consult")
        page.upload(melanoma)
        page.ask("What is this lesion, and why?")
        assert page.text(".dq-chat .dq-answer")
        page.shot("training-4-used")
        page.open_tab("Training")
        page.click('#dq-head [data-event="back"]')
        page.until(lambda: "DermIQ-Nano" in page.text(".dq-bar"), "back to the first model")

        for name in ("mine", "other"):
            page.click(f'#dq-rows [data-event="tick"][data-text="{name}"]')
        page.click('#dq-rows [data-event="compare"]')
        page.until(lambda: "Options in which they differ" in page.text("#dq-body"), "the comparison")
        page.shot("training-5-compared")
        assert page.errors() == []
        assert all(url.startswith((app.address, "data:", "blob:")) for url in page.requests())
    finally:
        page.driver.quit()


def _goes_on(page: Page, app: App) -> None:
    ended = runs.load_run(app.root / "mine").status.step
    page.click('#dq-head [data-event="resume"]')
    page.until(lambda: points(page) > ended, "it goes on from there")


def _duplicate_to_its_end(page: Page, app: App) -> None:
    """The run's options again, but for one step."""
    page.click('#dq-head [data-event="duplicate"]')
    page.until(lambda: value(page, "grpo.steps") == "500", "the form has the run's options")
    fill(page, "grpo.steps", "1")
    fill(page, "name", "short")
    page.click("#dqf-start")
    head(page, "Started short")
    page.until(lambda: runs.load_run(app.root / "short").status.state == "finished", "the run ends by itself")


def _start(page: Page) -> None:
    unfold(page, "file")
    fill(page, "yaml", OPTIONS)
    page.until(lambda: value(page, "grpo.new_tokens") == "24", "the fields follow the file")
    fill(page, "name", "mine")
    page.click("#dqf-start")
    head(page, "Started mine")
