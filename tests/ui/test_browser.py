"""A real headless Chromium against the page and a fake consultant: what a clinician does and sees.

Needs Debian's `chromium` and `chromium-driver`. Screenshots go to test-artifacts/.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dermiq.ui.server.inbox import Limits
from tests import fakes
from tests.page import served

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.common.exceptions import (  # noqa: E402
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By  # noqa: E402 - after the check that it is installed
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARTIFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--lang=en",
]
SECONDS = 60  # a shared machine may be slow

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not ((CHROMIUM and DRIVER) or os.environ.get("CI")), reason="chromium and chromium-driver are not installed"
    ),
]


class Page:
    """One visitor's browser."""

    def __init__(
        self, address: str, downloads: Path, *, width: int = 1400, height: int = 1000, dark: bool = False
    ) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        self.address = address
        self._open(downloads, width, height, dark=dark)

    def anew(self, downloads: Path, *, width: int = 1400, height: int = 1000, dark: bool = False) -> None:
        """As another visitor's new browser: nothing is left of what was done in it before."""
        self.js("sessionStorage.clear()")
        self.driver.get("about:blank")
        everything = {"origin": self.address, "storageTypes": "all"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", everything)
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        self.requests(), self.errors()  # of the visitor before
        self._open(downloads, width, height, dark=dark)

    def _open(self, downloads: Path, width: int, height: int, *, dark: bool) -> None:
        self.downloads = downloads
        self.look(width, height, dark=dark)
        self.driver.get(self.address)
        self.one(".dq-example")
        self.until(lambda: self.js("return !!document.querySelector('#dq-upload input[type=file]')"))

    def look(self, width: int = 1400, height: int = 1000, *, dark: bool = False) -> None:
        """On a screen of this size; the page follows."""
        phone = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        media = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        time.sleep(0.4)  # colours change over a moment

    def all(self, css: str) -> list[WebElement]:
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found

    def one(self, css: str) -> WebElement:
        return self.until(lambda: next(iter(self.all(css)), None), css)

    def until(self, condition, said: str = ""):  # type: ignore[no-untyped-def]
        # The page replaces its parts while an answer streams, and covers them while it loads: they are looked up again.
        passing = [StaleElementReferenceException, ElementClickInterceptedException, ElementNotInteractableException]
        wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=passing)
        return wait.until(lambda _: condition(), said)

    def click(self, css: str) -> None:
        self.until(lambda: self._clicked(self.one(css)), f"{css} can be clicked")

    def _clicked(self, element: WebElement) -> bool:
        try:
            element.click()
        except ElementClickInterceptedException:  # below a bar that stays in sight: one scrolls
            self.js("arguments[0].scrollIntoView({block: 'center'})", element)
            raise
        return True

    def text(self, css: str) -> str:
        said: str = self.until(lambda: (self.one(css).text,), css)[0]
        return said

    def js(self, code: str, *arguments: object):  # type: ignore[no-untyped-def]
        return self.driver.execute_script(code, *arguments)

    def upload(self, *paths: Path) -> None:
        count = len(paths)
        self.one("#dq-pick").send_keys("\n".join(map(str, paths)))
        self.until(lambda: self.all(".dq-outline"), f"{count} image(s) read")

    def open_tab(self, name: str) -> None:
        def tab():  # type: ignore[no-untyped-def]
            return next((t for t in self.all("#dq-tabs button[role=tab]") if t.text == name), None)

        self.until(tab, name)
        self.until(
            lambda: (self.js("scrollTo(0, 0)"), tab().click(), True), f"{name} can be clicked"
        )  # at the top, where no bar that stays covers it

    def ask(self, question: str, *, finish: bool = True) -> None:
        before = len(self.all(".dq-answer"))
        self.one("#dq-question textarea").send_keys(question + Keys.ENTER)
        self.until(lambda: len(self.all(".dq-answer")) > before, "the question appears")
        if finish:
            self.finished()

    def finished(self) -> None:
        self.until(
            lambda: self.all('.dq-chat[aria-busy="false"]') and self.one("#dq-send").is_displayed(), "the answer"
        )

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        options = {"captureBeyondViewport": True, "format": "png"}
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        (ARTIFACTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def errors(self) -> list[str]:
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(uploads: Path) -> Iterator[str]:
    with served(uploads, pace=0.02) as found:
        yield found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "Jane Doe 1970.png"
    path.write_bytes(fakes.png(fakes.picture()))
    return path


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = Page(address, tmp_path_factory.mktemp("downloads"))
    yield made
    made.driver.quit()


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Page:
    """Of a visitor who was never here."""
    browser.anew(tmp_path)
    return browser


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(...)", as WCAG defines it."""
    values = [float(v) / 255 for v in re.findall(r"[\d.]+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


BOX = "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height].map(Math.round)"
CONTRASTS = """
const colourOf = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/rgba?\\(0, 0, 0, 0\\)|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll(arguments[0])].filter((e) => e.offsetParent && e.textContent.trim() && !e.disabled)
  .map((e) => [e.className + ' ' + e.textContent.trim().slice(0, 30), getComputedStyle(e).color, colourOf(e)]);
"""
TEXTS = (
    ".dq-bar p, .dq-bar span, .dq-bar button, .dq-answer p, .dq-answer li, .dq-chip, .dq-mark, .dq-panel th, "
    ".dq-panel td, .dq-fine, .dq-agree, .dq-say, .dq-source, .dq-urgency strong, .dq-quality, .dq-quiet, "
    ".dq-suggest, .dq-switch span, #dq-send, #dq-context span, #dq-foot button, #dq-tabs button[role=tab], "
    "#dq-knowledge p, #dq-knowledge button, #dq-knowledge summary, #dq-knowledge small, #dq-knowledge th, "
    ".dq-tag, .dq-why dt, .dq-why dd, .dq-codes dt"
)


def weak_contrasts(page: Page) -> list[str]:
    weak = []
    for name, ink, ground in page.js(CONTRASTS, TEXTS):
        high, low = sorted((luminance(ink), luminance(ground)), reverse=True)
        if (high + 0.05) / (low + 0.05) < 4.5:
            weak.append(f"{name}: {ink} on {ground}")
    return weak


# --- a consultation -----------------------------------------------------------------------

QUESTION = "What is this, and what speaks against a nevus?"


def test_a_consultation_from_an_image_to_a_report(page: Page, image: Path, uploads: Path) -> None:
    """More of the page, each on its own: `tests/nightly/test_pages.py`."""
    _every_text_has_enough_contrast(page, "1-empty")
    _a_lesion_goes_in_and_a_reasoned_and_sourced_answer_comes_out(page, image, uploads)
    _a_citation_opens_with_the_keyboard_and_closes_with_escape(page)
    _the_image_check_and_the_layers(page)
    _it_leads_to_knowledge_and_back_with_nothing_lost(page)
    _the_report_is_downloaded_as_markdown_and_pdf(page)
    _every_text_has_enough_contrast(page, "3-answer")
    _no_width_scrolls_sideways(page)
    _every_control_has_a_name(page)
    _nothing_of_it_left_the_machine_and_nothing_stays(page)


def _a_lesion_goes_in_and_a_reasoned_and_sourced_answer_comes_out(page: Page, image: Path, uploads: Path) -> None:
    page.shot("1-empty-light")
    page.upload(image)
    assert not page.one("#dq-pdf").is_enabled()
    assert "58" in page.text("#dq-differential")
    page.ask(QUESTION, finish=False)
    page.until(lambda: page.one("#dq-stop").is_displayed(), "stop is where send was")
    page.until(lambda: page.all(".dq-steps li"), "the reasoning streams")
    page.shot("2-streaming-light")
    page.finished()
    page.shot("3-answer-light")
    assert page.text(".dq-headline").endswith("Melanoma")
    assert len(page.all(".dq-steps li")) == 4
    assert "Suspected melanoma" in page.text("#dq-urgency")
    assert page.text("#dq-evidence-title") == "Evidence 3 facts, 3 cited"
    assert not [p for p in uploads.rglob("*") if p.is_file()], "an image stayed on the server"
    assert not page.errors()


def _a_citation_opens_with_the_keyboard_and_closes_with_escape(page: Page) -> None:
    chip = page.one(".dq-answer .dq-steps .dq-chip")
    page.js("arguments[0].focus()", chip)
    chip.send_keys(Keys.ENTER)
    card = page.one(".dq-card:popover-open")
    assert "row 12" in card.text
    assert "CC BY 4.0" in card.text
    assert "names a measured finding" in card.text
    page.shot("4-card-light")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".dq-card:popover-open"), "closed")
    assert page.driver.switch_to.active_element == chip


def _the_image_check_and_the_layers(page: Page) -> None:
    page.click('[data-event="imagecheck"]')
    page.until(lambda: "it depends on the image" in page.text(".dq-checks"))
    page.js("arguments[0].click()", page.one('input[value="heatmap"]'))
    page.one(".dq-heat")
    page.shot("6-heatmap-light")
    page.js("arguments[0].click()", page.one('input[value="plain"]'))
    page.until(lambda: not page.all(".dq-heat, .dq-outline"))


def _it_leads_to_knowledge_and_back_with_nothing_lost(page: Page) -> None:
    answered = page.text(".dq-answer")
    page.one('#dq-differential [data-event="versus"]').send_keys(Keys.ENTER)
    page.until(lambda: page.text(".dq-compare h2") == "melanoma against melanocytic nevus")
    page.shot("17-compare-from-consultation-light")
    page.click('[data-event="back"]')
    page.until(lambda: page.text(".dq-answer") == answered, "the consultation is as it was")
    page.until(lambda: page.js("return document.activeElement.dataset.event") == "versus", "focus is where it was")
    chip = page.one(".dq-answer .dq-steps .dq-chip")
    chip.send_keys(Keys.ENTER)
    page.click('.dq-card:popover-open [data-event="open"]')
    page.until(lambda: page.text(".dq-know h2") == "Melanoma")
    page.click('[data-event="back"]')
    page.until(lambda: page.js("return document.activeElement.matches('.dq-steps .dq-chip')"), "the chip has the focus")
    assert not page.all(".dq-card:popover-open")
    assert not page.errors()


def _the_report_is_downloaded_as_markdown_and_pdf(page: Page) -> None:
    page.click("#dq-markdown")
    text = page.until(lambda: next(page.downloads.glob("dermiq-report-*.md"), None)).read_text(encoding="utf-8")
    assert "Not a medical device" in text
    assert "data:image" not in text
    page.click("#dq-pdf")
    pdf = page.until(lambda: next(page.downloads.glob("dermiq-report-*.pdf"), None))
    page.until(lambda: pdf.read_bytes().startswith(b"%PDF"))


def _every_text_has_enough_contrast(page: Page, name: str) -> None:
    for dark in (False, True):
        page.look(dark=dark)
        page.shot(f"{name}-{'dark' if dark else 'light'}")
        ground = luminance(page.js("return getComputedStyle(document.body).backgroundColor"))
        assert ground < 0.1 if dark else ground > 0.8
        assert not weak_contrasts(page), (name, dark)
    page.look()


def _no_width_scrolls_sideways(page: Page) -> None:
    for width in (1920, 1000, 768, 390, 320):
        page.look(width, 844)
        page.shot(f"width-{width}")
        assert page.js("return document.documentElement.scrollWidth") <= width
        wide = page.js(
            "return [...document.querySelectorAll('.dq-panel, .dq-chat, #dq-context, #dq-foot, .dq-bar')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 2 || e.getBoundingClientRect().right > innerWidth + 1)"
            ".map((e) => e.id || e.className)"
        )
        assert not wide, f"these overflow at {width}"
    page.look()


def _every_control_has_a_name(page: Page) -> None:
    nameless = page.js(
        "return [...document.querySelectorAll('button, select, input, textarea, img, [role=img], [role=dialog]')]"
        ".filter((e) => e.offsetParent && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length"
        " || e.hasAttribute('alt') || e.title)).map((e) => e.outerHTML.slice(0, 120))"
    )
    assert not nameless
    assert page.js("return document.documentElement.lang") == "en"


def _nothing_of_it_left_the_machine_and_nothing_stays(page: Page) -> None:
    sent = page.requests()
    hosts = {urlsplit(u).hostname for u in sent if urlsplit(u).scheme in {"http", "https", "ws", "wss"}}
    assert hosts == {"127.0.0.1"}
    assert "Jane" not in "".join(sent) + page.driver.page_source, "a patient's file name"
    assert QUESTION in page.driver.page_source
    page.click("#dq-new")
    page.one(".dq-example")
    assert QUESTION not in page.driver.page_source
    assert "Urgency: named here" in page.text("#dq-urgency")


STOP_AT_THE_FIRST_STEP = """
const stop = document.querySelector('#dq-stop');
if (!document.querySelector('.dq-steps li') || !stop) return false;
stop.click();
return true;
"""
"""In one go: on a busy machine the answer would be there before a second command."""


def test_stop_keeps_what_was_written(page: Page, image: Path) -> None:
    page.upload(image)
    page.ask("Why?", finish=False)
    page.until(lambda: page.js(STOP_AT_THE_FIRST_STEP), "a step, and the way to stop")
    page.finished()
    assert "Stopped by you" in page.text(".dq-cut")
    assert not page.all(".dq-headline")


def test_a_file_that_is_no_image_is_refused_in_its_place(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(b"no image")
    page.one("#dq-pick").send_keys(str(path))
    page.until(lambda: "This file is not an image." in page.text("#dq-viewer .dq-error"))
    empty = tmp_path / "empty.png"
    empty.touch()
    page.one("#dq-pick").send_keys(str(empty))
    page.until(lambda: "This file is empty." in page.text("#dq-viewer"))
    page.shot("8-refused-light")


# --- knowledge ----------------------------------------------------------------------------


def test_a_condition_is_looked_up_and_compared_by_keyboard(page: Page) -> None:
    page.open_tab("Knowledge")
    first = page.one("#dq-first textarea, #dq-first input")
    first.send_keys("rodent")
    page.until(lambda: "basal cell carcinoma" in page.text("#dq-meant .dq-suggest"), "suggestions follow the typing")
    first.send_keys(" ulcer" + Keys.ENTER)
    page.until(lambda: page.text(".dq-know h2") == "Basal cell carcinoma")
    suggested = "return [...document.querySelectorAll('#dq-meant button')].some((b) => b.checkVisibility())"
    page.until(lambda: not page.js(suggested), "suggestions go when they have served")  # a late answer comes unseen
    assert str(page.one("#dq-knowledge .dq-source a").get_attribute("href")).startswith("http")
    page.shot("13-card-light")
    page.one(".dq-place button").send_keys(Keys.ENTER)
    page.until(lambda: page.text(".dq-know h2") != "Basal cell carcinoma", "the hierarchy leads on")
    field = page.one("#dq-first textarea, #dq-first input")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("melenoma")
    page.one("#dq-second textarea, #dq-second input").send_keys("mole" + Keys.ENTER)
    page.until(lambda: "knows no condition called “melenoma”" in page.text("#dq-knowledge"), "a slip is a question")
    page.one('#dq-knowledge [data-event="versus"]').send_keys(Keys.ENTER)
    page.until(lambda: page.text(".dq-compare h2") == "melanoma against melanocytic nevus")
    assert "They contradict each other" in page.text("#dq-knowledge")
    page.shot("14-compare-light")
    assert not page.errors()


# --- too many uploads -----------------------------------------------------------------------

TAKE = """
dermiq.take([...Array(arguments[0]).keys()].map((i) => new File(['x'], `${i}.png`, { type: 'image/png' })));
"""
FILL = """
const form = new FormData();
for (let i = 0; i < arguments[0]; i++) form.append('files', new File(['x'], 'a.png'));
return fetch('gradio_api/upload', { method: 'POST', body: form }).then((answer) => answer.status);
"""


def test_the_page_in_german_says_so_and_names_its_controls_in_german(tmp_path: Path, image: Path) -> None:
    with served(tmp_path, env={"DERMIQ_LANGUAGE": "de"}) as address:
        page = Page(address, tmp_path)
        try:
            _opens_in_german(page)
            page.upload(image)
            page.ask("Why?")
            assert page.text(".dq-headline span") == "Antwort"
            page.shot("german")
            _no_width_scrolls_sideways(page)
            assert not page.errors()
        finally:
            page.driver.quit()


def _opens_in_german(page: Page) -> None:
    assert page.js("return document.documentElement.lang") == "de"
    assert "sind auf Englisch" in page.text(".dq-bar")
    tabs = [tab.text for tab in page.all("#dq-tabs button[role=tab]") if tab.text]
    assert tabs == ["Konsultation", "Wissen", "Training", "Begutachtung", "Über"]
    assert [page.text(css) for css in ("#dq-send", "#dq-new", "#dq-pdf")] == ["Senden", "Neuer Fall", "Bericht: PDF"]
    assert page.one("#dq-pick").get_attribute("aria-label") == "Bilddateien"
    labels = [label.text for label in page.all("#dq-context [data-testid=block-info]")]
    assert labels == [
        "Alter in Jahren",
        "Geschlecht",
        "Lokalisation",
        "Hauttyp (Fitzpatrick)",
        "Vom Patienten berichtet",
    ]
    page.js(TAKE, Limits().request_files + 1)
    assert (
        page.text("#dq-viewer .dq-error")
        == "Es können höchstens 12 Dateien auf einmal hochgeladen werden. Wählen Sie weniger."
    )


def test_a_refused_upload_says_why_where_the_images_would_be(page: Page, tmp_path: Path) -> None:
    """The last of this file: what it uploads is waited for, and nothing more is taken from this address meanwhile."""
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
