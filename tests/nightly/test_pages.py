"""The page in a real headless Chromium, piece by piece: what the journeys of `make test` leave out.

Screenshots go to test-artifacts/.
"""

from __future__ import annotations

import base64
from pathlib import Path

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests import fakes
from tests.page import served
from tests.ui.test_browser import BOX, Page, address, browser, image, page, pytestmark, uploads, weak_contrasts

__all__ = ["address", "browser", "image", "page", "pytestmark", "uploads"]

SCREENS = ((390, False), (390, True), (1400, True))


def test_an_open_card_and_folded_reasoning_survive_an_update(page: Page, image: Path) -> None:
    page.upload(image)
    page.ask("Why?", finish=False)
    page.until(lambda: page.all(".dq-steps .dq-chip"))
    page.js("arguments[0].click()", page.one(".dq-steps .dq-chip"))
    page.one(".dq-card:popover-open")
    page.js("arguments[0].open = false", page.one(".dq-reasoning"))
    page.finished()
    assert page.all(".dq-card:popover-open")
    assert not page.all(".dq-reasoning[open]")


def test_the_whole_way_is_possible_with_the_keyboard_alone(page: Page) -> None:
    def press_until(css: str, limit: int = 60) -> WebElement:
        for _ in range(limit):
            page.driver.switch_to.active_element.send_keys(Keys.TAB)
            if page.js("return document.activeElement.matches(arguments[0])", css):
                found: WebElement = page.driver.switch_to.active_element
                return found
        raise AssertionError(f"{css} is not reached with the Tab key")

    press_until(".dq-example").send_keys(Keys.ENTER)
    page.one(".dq-outline")
    press_until("#dq-question textarea").send_keys("Why?" + Keys.ENTER)
    page.finished()
    assert page.js("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    press_until(".dq-chip").send_keys(Keys.ENTER)
    page.one(".dq-card:popover-open")


def test_a_follow_up_a_suggestion_and_a_retry(page: Page, image: Path) -> None:
    page.upload(image)
    page.click(".dq-suggest")
    page.until(lambda: page.all(".dq-answer"))
    page.finished()
    page.click(".dq-suggest")
    page.until(lambda: len(page.all(".dq-answer")) == 2)
    page.finished()
    assert len(page.all(".dq-reasoning[open]")) == 0, "older reasoning is folded"
    page.click('[data-event="retry"]')
    page.finished()
    assert len(page.all(".dq-answer")) == 2
    page.shot("5-follow-up-light")


def test_several_images_are_one_case(page: Page, image: Path) -> None:
    second = image.with_name("second.png")
    second.write_bytes(fakes.png(fakes.picture(500, 500, seed=3)))
    page.upload(image, second)
    page.until(lambda: len(page.all(".dq-thumbs button")) == 2)
    page.js(
        "arguments[0].value = 'dermoscopy'; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))",
        page.one('select[data-event="view"]'),
    )
    page.one('option[value="dermoscopy"][selected]')
    page.ask("Why?")
    assert "20 % larger" in page.text(".dq-notes")
    page.shot("7-two-images-light")
    shown, outline = (page.js(BOX, page.one(css)) for css in (".dq-frame > img", ".dq-outline"))
    assert shown == outline, "the outline does not lie on the image"
    assert page.js("return getComputedStyle(arguments[0]).objectFit", page.one(".dq-frame > img")) == "contain"


def test_pasting_and_dropping_bring_an_image_in(page: Page, image: Path) -> None:
    code = base64.b64encode(image.read_bytes()).decode()
    page.js(
        """const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), box = new DataTransfer();
        box.items.add(new File([bytes], 'x.png', {type: 'image/png'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: box, bubbles: true}));""",
        code,
    )
    page.one(".dq-outline")
    page.js(
        """const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), box = new DataTransfer();
        box.items.add(new File([bytes], 'x.png', {type: 'image/png'}));
        document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: box, bubbles: true, cancelable: true}));""",
        code,
    )
    page.until(lambda: len(page.all(".dq-thumbs button")) == 2)


def test_a_wrong_age_is_named_and_a_right_one_is_taken(page: Page, image: Path) -> None:
    page.upload(image)
    field = page.one("#dq-context input[type=text], #dq-context textarea")
    field.send_keys("abc")
    page.one("#dq-question textarea").send_keys("Why?" + Keys.ENTER)
    page.until(lambda: "not a whole number of years" in page.text("#dq-viewer .dq-error"))
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("54")
    page.click("#dq-send")
    page.until(lambda: page.all(".dq-answer"))
    page.finished()


def test_two_visitors_do_not_see_each_other(page: Page, address: str, image: Path, tmp_path: Path) -> None:
    page.upload(image)
    page.ask("a question of mine")
    other = Page(address, tmp_path)
    try:
        assert "a question of mine" not in other.driver.page_source
        assert not other.all(".dq-outline")
    finally:
        other.driver.quit()


def test_what_is_written_stays_text(page: Page, image: Path) -> None:
    page.upload(image)
    page.ask("<img src=x onerror='window.broken=1'><script>window.broken=1</script>")
    assert "<script>" in page.text(".dq-user p")
    assert page.js("return window.broken === undefined")
    assert not page.all(".dq-user img")


def test_the_about_tab_opens_from_the_bar(page: Page) -> None:
    page.click(".dq-link")
    page.until(lambda: "What this is for" in page.text(".dq-about"))
    page.shot("9-about-light")


def test_the_first_view_of_knowledge_can_be_browsed_with_the_keyboard(page: Page) -> None:
    page.open_tab("Knowledge")
    fields, title = (page.js(BOX, page.one(css)) for css in ("#dq-search", ".dq-start h2"))
    assert 0 < title[1] - (fields[1] + fields[3]) < 40, "no gap under the fields"
    page.js("arguments[0].scrollIntoView()", page.one(".dq-section:last-of-type summary"))
    more = page.one(".dq-section summary")
    more.send_keys(Keys.ENTER)
    page.one(".dq-section details[open] .dq-names button").send_keys(Keys.ENTER)
    page.until(lambda: page.all(".dq-know h2"), "the card opens")
    page.until(lambda: page.js("return document.activeElement.matches('.dq-know h2')"), "and is read from its title")
    assert page.js("return scrollY") == 0
    assert not page.errors()


def test_an_unknown_condition_shows_the_way_on(page: Page) -> None:
    page.open_tab("Knowledge")
    page.one("#dq-first textarea, #dq-first input").send_keys("purple elephants" + Keys.ENTER)
    page.until(lambda: "knows no condition called “purple elephants”" in page.text("#dq-knowledge"))
    page.click("#dq-knowledge .dq-section .dq-suggest")
    page.one(".dq-know .dq-topic")


def test_knowledge_and_drawn_evidence_are_legible_everywhere(page: Page, image: Path) -> None:
    def legible(name: str) -> None:
        for width, dark in SCREENS:
            page.look(width, dark=dark)
            page.shot(f"{name}-{width}-{'dark' if dark else 'light'}")
            assert not weak_contrasts(page), (name, width, dark)
            assert page.js("return document.documentElement.scrollWidth") <= width, (name, width)

    page.upload(image)
    page.ask("Why?")
    page.js("document.querySelectorAll('.dq-drawn, .dq-why').forEach((e) => (e.open = true))")
    legible("15-evidence")
    page.open_tab("Knowledge")
    page.one(".dq-start")
    page.js("document.querySelectorAll('.dq-section details').forEach((e) => (e.open = true))")
    legible("16-start")
    for key, said in (("first", "melanoma"), ("second", "nevus")):
        page.one(f"#dq-{key} textarea, #dq-{key} input").send_keys(said + Keys.ENTER)
        page.one(".dq-know" if key == "first" else ".dq-compare")
        legible(f"16-{key}")


def test_motion_stops_where_it_is_not_wanted(page: Page, image: Path) -> None:
    features = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    page.upload(image)
    page.ask("Why?", finish=False)
    assert page.js("return getComputedStyle(arguments[0]).animationName", page.one(".dq-pulse")) == "none"
    page.finished()


def test_an_abstention_and_a_disagreement_are_shown_as_such(uploads: Path, image: Path, tmp_path: Path) -> None:
    with served(uploads, abstain=True, disagree=True) as address:
        page = Page(address, tmp_path)
        try:
            page.upload(image)
            page.ask("Why?")
            assert "No reading." in page.text(".dq-abstain")
            page.shot("10-abstention-light")
            page.click('[data-event="insist"]')
            page.one(".dq-headline")
            page.finished()
            assert "Read with caution." in page.text(".dq-abstain")
            assert "Readers disagree" in page.text(".dq-agree")
            page.shot("11-insisted-light")
        finally:
            page.driver.quit()


def test_the_page_is_up_before_the_model_and_says_when_it_is_ready(uploads: Path, image: Path, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    with served(uploads, loaded=str(loaded)) as address:
        page = Page(address, tmp_path)
        try:
            assert "loading the language model" in page.text(".dq-status")
            page.click(".dq-example")
            page.one(".dq-figure")
            page.ask("Why?", finish=False)
            page.until(lambda: "not ready yet" in page.text(".dq-progress"))
            page.shot("12-loading-light")
            loaded.touch()
            page.finished()
            page.until(lambda: page.text(".dq-status") == "ready")
            assert page.one(".dq-headline")
        finally:
            page.driver.quit()
