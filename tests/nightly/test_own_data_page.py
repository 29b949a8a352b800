"""Own images in a real headless Chromium: what came of each upload is read beside the field, which is empty again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page import served
from tests.train.stage_runs import make_table
from tests.ui import test_browser
from tests.ui.test_browser import Page
from tests.zips import by_method, damaged, locked, packed

pytestmark = test_browser.pytestmark
FIELD = "#dq-own-data input[type=file]"
SAID = "#dq-own-said"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
        with served(tmp_path) as address:
            made = Page(address, tmp_path)
            made.open_tab("Training")
            made.click("#dq-own-data button")
            yield made
            made.driver.quit()


def sent(page: Page, path: Path, words: str) -> str:
    """What is said, as an alert or a status; the field takes the next file."""
    page.until(lambda: page.all(FIELD), "the field is empty")
    page.one(FIELD).send_keys(str(path))
    page.until(lambda: words in page.text(SAID), f"{path.name}: {words}")
    role: str = page.js("return document.querySelector(arguments[0] + ' p').getAttribute('role')", SAID)
    return role


def test_every_outcome_of_an_upload_is_said(page: Page, tmp_path: Path) -> None:
    folder = make_table(tmp_path / "data", rows=4).parent
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    bad = {
        "locked with a password": locked(files),
        "0.png in this zip is damaged": damaged(files, "0.png"),
        "the method Deflate64": by_method(files, 9),
        "a RAR archive": b"Rar!\x1a\x07\x01\x00" + bytes(99),
        "no table": packed({"0.png": files["0.png"]}),
        "Line 2 names 0.png, which is not in the zip": packed({"table.csv": files["table.csv"]}),
        "larger than 25 MB": packed({"big": bytes(27_000_000)}, method=0),
        "its end is missing": packed(files)[:-30],
    }
    for number, (words, content) in enumerate(bad.items()):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(content)
        assert sent(page, path, words) == "alert"
    good = tmp_path / "good.zip"
    good.write_bytes(packed(files))
    assert sent(page, good, "Kept table.csv: 4 images, 3 classes (akiec 2, bcc 1, bkl 1)") == "status"
    assert "Uploaded: table.csv (4 images)" in page.text("#dq-form")
    page.driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    assert sent(page, good, "did not arrive") == "alert"
