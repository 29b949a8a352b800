"""What comes into the review: pairs in a zip, pairs by the command, and a visitor's opinion, which is taken back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fakes
from tests.page import ROOT, served
from tests.review.test_browser import Reviewer
from tests.review.votes import write_rows
from tests.ui import test_browser
from tests.ui.test_browser import Page
from tests.zips import packed

pytestmark = test_browser.pytestmark
TEXTS = {
    "chosen": "Melanoma is malignant and needs urgent referral.",
    "rejected": "Melanoma is benign and needs no treatment.",
}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_REVIEW", str(tmp_path / "review"))
        patch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
        with served(tmp_path, pace=0.01) as found:
            yield found


def pairs(folder: Path) -> dict[str, bytes]:
    made = write_rows(folder, 1)
    row = json.loads(made.read_text()) | TEXTS
    return {"pairs.jsonl": json.dumps(row).encode(), "0.png": (folder / "0.png").read_bytes()}


def test_pairs_come_in_and_an_opinion_goes(address: str, tmp_path: Path) -> None:
    lead = Reviewer(address, tmp_path)
    try:
        _a_zip_of_pairs_is_judged(lead, tmp_path)
        _pairs_of_the_command_are_found(lead, tmp_path)
        _an_opinion_counts_until_it_is_taken_back(lead, tmp_path)
        assert not lead.errors()
    finally:
        lead.driver.quit()


def _a_zip_of_pairs_is_judged(lead: Reviewer, tmp_path: Path) -> None:
    lead.js("document.getElementById('dq-review-tab-button')?.click()")
    lead.until(lambda: lead.js("return document.activeElement.id") == "dq-reviewer", "the name is asked for")
    lead.press("lead", "\ue004", " ", "\ue004", "\ue007")
    lead.until(lambda: "No pair is in your queue" in lead.text("[data-part=progress]"), "an empty queue")
    lead.click("#dq-review [data-view=sets]")
    bad, good = tmp_path / "bad.zip", tmp_path / "good.zip"
    bad.write_bytes(packed({"0.png": b"x"}))
    good.write_bytes(packed(pairs(tmp_path / "one")))
    for path, words in ((bad, "no file of pairs"), (good, "1 pairs about 1 cases are in the queue now.")):
        lead.one("#dq-review [data-do=put_files]").send_keys(str(path))
        lead.until(lambda w=words: w in lead.text("[data-part=told]"), words)
    lead.click("#dq-review [data-view=work]")
    lead.until(lead.pair, "the pair")
    assert lead.js("return document.querySelector('#dq-review .dq-pair img').naturalWidth") > 0
    shown = lead.text("#dq-review .dq-pair [data-side=a]") if lead.all("#dq-review .dq-pair [data-side=a]") else ""
    lead.press("1")
    lead.until(lambda: "The graph prefers" in lead.told(), "the graph's verdict")
    assert "decided by accuracy" in lead.told()
    if shown:
        assert ("prefers A" in lead.told()) == ("malignant" in shown)


def _pairs_of_the_command_are_found(lead: Reviewer, tmp_path: Path) -> None:
    lead.until(lambda: "Your queue is finished" in lead.text("#dq-review [data-part=pair]"), "the end")
    folder = tmp_path / "two"
    made = write_rows(folder, 2)
    made.write_text(made.read_text().splitlines()[1])
    command = [sys.executable, "-m", "dermiq", "review", "import", str(made), "--no-outline"]
    subprocess.run(command, cwd=ROOT, env=os.environ, check=True, capture_output=True)
    lead.until(lead.pair, "the page finds the pair by itself")
    assert "1 of 2 judged" in lead.text("[data-part=progress]")


def _an_opinion_counts_until_it_is_taken_back(lead: Page, tmp_path: Path) -> None:
    image = tmp_path / "lesion.png"
    image.write_bytes(fakes.png(fakes.picture()))
    lead.open_tab("Consult")
    lead.upload(image)
    lead.ask("What is it?")
    lead.click("[data-event=opinion][data-text=good]")
    lead.click("#dq-chat [name=agreed]")
    lead.click("[data-event=keepanswer]")
    lead.until(lambda: "as a good answer" in lead.text("#dq-chat"), "kept")
    assert "1 opinions on single answers" in _quality(lead)
    lead.open_tab("Consult")
    button = lead.one("[data-event=takeback]")
    lead.js("arguments[0].focus()", button)
    lead.press("\ue007")  # type: ignore[attr-defined]
    lead.until(lambda: "Taken back." in lead.text("#dq-chat"), "taken back")
    assert "0 opinions on single answers" in _quality(lead)


def _quality(page: Page) -> str:
    page.open_tab("Review")
    page.click("#dq-review [data-view=work]")
    page.click("#dq-review [data-view=quality]")
    page.until(lambda: "opinions on single answers" in page.text("#dq-review [data-part=view]"), "the quality page")
    return page.text("#dq-review [data-part=view]")
