"""The page by keyboard, on a phone, and to a screen reader; and what it says of itself, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from dermiq.places import WEIGHTS
from tests import axe, fakes
from tests.page import served
from tests.ui.test_browser import Page, pytestmark  # noqa: F401  the mark applies to this file, too

from selenium.webdriver.common.action_chains import ActionChains  # isort: skip
from selenium.webdriver.common.keys import Keys  # isort: skip

SCROLLING = """
const scrolls = (e) => { const s = getComputedStyle(e); return e.clientHeight > 0 && e.tagName !== 'TEXTAREA' &&
  ((/auto|scroll/.test(s.overflowY) && e.scrollHeight > e.clientHeight + 1) ||
   (/auto|scroll/.test(s.overflowX) && e.scrollWidth > e.clientWidth + 1)); };
const named = (e) => e.tabIndex >= 0 && (e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'));
const found = [...document.body.querySelectorAll('*')].filter((e) => scrolls(e) && !named(e));
return found.map((e) => e.outerHTML.slice(0, 150));
"""
OPEN_LISTS = "return document.querySelectorAll('[role=combobox][aria-expanded=true]').length"
FOCUSED = "const e = document.activeElement; return e.getAttribute('aria-label') || e.textContent.trim()"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(tmp_path_factory.mktemp("uploads"), pace=0.01) as address:
        made = Page(address, tmp_path_factory.mktemp("downloads"))
        yield made
        made.driver.quit()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "lesion.png"
    path.write_bytes(fakes.png(fakes.picture()))
    return path


def press(page: Page, *keys: str) -> None:
    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def test_a_case_from_an_example_to_a_follow_up_by_keyboard_alone(page: Page) -> None:
    page.look()
    page.js("arguments[0].focus()", page.one(".dq-example"))
    press(page, Keys.ENTER)
    page.one(".dq-outline")
    page.js("document.querySelector('#dq-context input').focus()")
    press(page, "54")
    for field in ("Sex", "Site", "Skin type (Fitzpatrick)"):
        press(page, Keys.TAB)
        page.until(lambda named=field: page.js(FOCUSED) == named, f"{field} follows")
        page.until(lambda: page.js(OPEN_LISTS) == 1, "only the list of the field with the focus is open")
    press(page, Keys.TAB)
    page.until(lambda: page.js(OPEN_LISTS) == 0, "no list stays open over the labels")
    page.js("document.querySelector('#dq-question textarea').focus()")
    press(page, "Why?", Keys.ENTER)
    page.until(lambda: page.all(".dq-answer"), "the answer begins")
    page.finished()
    page.js("document.querySelector('.dq-suggest').focus()")
    press(page, Keys.ENTER)
    page.until(lambda: len(page.all(".dq-answer")) == 2, "the follow-up is asked")
    page.finished()


def test_the_focus_goes_on_where_what_was_pressed_is_gone(page: Page) -> None:
    def focus(css: str, said: str) -> None:
        page.until(lambda: page.js("return document.activeElement.matches(arguments[0])", css), said)

    page.click("#dq-new")
    page.js("arguments[0].focus()", page.one(".dq-example"))
    press(page, Keys.ENTER)
    focus("#dq-viewer input:checked", "the first control of the image that came for the example")
    page.js("document.querySelector('#dq-question textarea').focus()")
    press(page, "Why?", Keys.TAB, Keys.ENTER)
    focus("#dq-stop", "Stop stands where Send was")
    page.finished()
    focus("#dq-question textarea", "Stop is gone: the next question")
    page.js("document.querySelector('.dq-suggest').focus()")
    press(page, Keys.ENTER)
    focus(".dq-chat", "the suggestions are switched off: the conversation")
    page.finished()
    page.js("arguments[0].focus()", page.one('#dq-chat [data-event="opinion"]'))
    press(page, Keys.ENTER)
    focus(".dq-keep-it h4", "the question whether it may be kept")
    page.js("document.querySelector('#dq-consult-tab-button').focus()")
    press(page, Keys.ARROW_RIGHT)
    focus("#dq-knowledge-tab-button", "arrow keys go through the tabs")


def test_axe_finds_nothing_on_any_tab_in_either_theme(page: Page) -> None:
    """Of what a visitor finds; filled in: `tests/nightly/test_filled_states.py`."""
    page.click("#dq-new")
    for tab in ("Consult", "Knowledge", "Training", "Review", "About"):
        page.open_tab(tab)
        assert not axe.findings_of_both_themes(page), tab
    page.open_tab("Consult")


def test_one_first_heading_and_no_level_left_out(page: Page) -> None:
    for tab in ("Consult", "Knowledge", "Training", "Review", "About"):
        page.open_tab(tab)
        levels = page.js(
            "return [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((e) => e.offsetParent)"
            ".map((e) => Number(e.tagName[1]))"
        )
        assert levels.count(1) == 1, tab
        assert all(after - before <= 1 for before, after in pairwise(levels)), (tab, levels)
    page.open_tab("Consult")


def test_what_scrolls_can_be_reached_and_has_a_name(page: Page) -> None:
    page.open_tab("Knowledge")
    page.one("#dq-first :is(textarea, input)").send_keys("melanoma")
    page.one("#dq-second :is(textarea, input)").send_keys("nevus" + Keys.ENTER)
    page.one(".dq-compare")
    for width in (1400, 390):
        page.look(width, 844)
        for tab in ("Consult", "Knowledge", "Training", "Review", "About"):
            page.open_tab(tab)
            page.js("document.querySelectorAll('details').forEach((e) => (e.open = true))")
            assert not page.js(SCROLLING), (tab, width)
    page.look()
    page.open_tab("Consult")


@pytest.mark.parametrize("width", [390, 360])
def test_a_phone_shows_every_tab_by_name(page: Page, width: int) -> None:
    page.look(width, 800)
    tabs = "[...document.querySelectorAll('#dq-tabs [role=tab]')]"
    seen = f"return {tabs}.filter((e) => e.offsetParent).map((e) => e.textContent)"
    page.until(lambda: page.js(seen) == ["Consult", "Knowledge", "Training", "Review", "About"], "all five")
    page.shot(f"tabs-{width}")
    page.look()


def test_about_says_what_was_measured_and_what_is_kept(page: Page) -> None:
    page.open_tab("About")
    figures = page.until(lambda: page.all(".dq-reliability"), "reliability diagrams")
    measured = [path for part in ("nano", "specialist") for path in (WEIGHTS / part).glob("metrics_*_test.json")]
    assert len(figures) == len(measured) > 3, "of both parts, on every set of images that they were measured on"
    text = page.text("#dq-tabs")
    assert "An answer that you give to the review is kept" in text
    assert "do not hold for it" in text
    assert "What it answered, by what was true" in text
    page.shot("about")
    page.open_tab("Consult")
