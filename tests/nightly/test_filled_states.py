"""Each tab in the states in which people work: axe finds nothing in either theme, nothing is cut at 320 px or at 200 %
zoom, nothing moves where motion is not wanted, and what only colours say is said in forced colours, too."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests import axe, fakes
from tests.page import served
from tests.review.votes import store_of
from tests.train.tiny_stage import TinyConfig
from tests.ui import test_browser
from tests.ui.test_access import press
from tests.ui.test_browser import Page
from train.runs import registry as runs
from train.runs import worker

from selenium.webdriver.common.keys import Keys  # isort: skip

pytestmark = test_browser.pytestmark
NARROW = ((640, 512), (320, 640))  # 1280 x 1024 at 200 %, and 400 %
OPEN_ALL = "document.querySelectorAll(arguments[0] + ' details').forEach((e) => (e.open = true))"
CUT = """
const end = (e) => e.getBoundingClientRect().right;
const scrolled = (e) => { for (let p = e.parentElement; p; p = p.parentElement)
  if (/auto|scroll/.test(getComputedStyle(p).overflowX) && end(p) <= innerWidth + 1) return true;
  return false; };
return [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility() && e.getBoundingClientRect().width > 1
  && end(e) > innerWidth + 1 && !e.closest('.visually-hidden, .dq-sr') && !scrolled(e))
  .map((e) => e.outerHTML.slice(0, 150));
"""
MOVING = "return document.getAnimations().map((a) => a.effect.target.outerHTML.slice(0, 150))"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run that is over, one that goes on, and pairs to review."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_RUNS", str(folder / "runs"))
        patch.setenv("DERMIQ_DATA", str(folder / "no data"))
        patch.setenv("DERMIQ_REVIEW", str(folder / "review"))
        store_of(folder, 3, overlap=9, margin=0.3).close()
        worker.work(runs.create(TinyConfig(steps=40, seconds=0.0), name="older", root=folder / "runs"))
        yield folder


@pytest.fixture(scope="module")
def page(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(tmp_path_factory.mktemp("uploads"), pace=0.2) as address:
        made = Page(address, tmp_path_factory.mktemp("downloads"))
        yield made
        made.driver.quit()


@pytest.fixture
def watched(work: Path) -> Iterator[None]:
    """A run that lasts as long as the test."""
    run = runs.create(TinyConfig(steps=2000, seconds=0.3), name="watched", root=work / "runs")
    process = get_context("spawn").Process(target=worker.work, args=(run,))
    process.start()
    yield
    process.kill()
    process.join()


def media(page: Page, **features: str) -> None:
    found = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": found})


def holds(page: Page, state: str) -> None:
    """What is said at the top of this file, of the state that the page is in."""
    assert not axe.findings_of_both_themes(page), state
    for width, height in NARROW:
        page.look(width, height)
        page.shot(f"state-{state}-{width}")
        assert page.js("return document.documentElement.scrollWidth") <= width, (state, width)
        assert not page.js(CUT), (state, width)
    page.look()
    media(page, prefers_reduced_motion="reduce")
    assert not page.js(MOVING), state
    media(page)


def test_a_consultation(page: Page, tmp_path: Path) -> None:
    image = tmp_path / "lesion.png"
    image.write_bytes(fakes.png(fakes.picture()))
    page.upload(image)
    holds(page, "image")
    page.ask("Why?", finish=False)
    page.until(lambda: page.all(".dq-steps li"), "it writes")
    media(page, prefers_reduced_motion="reduce")
    assert not page.js(MOVING)
    page.finished()
    page.js(OPEN_ALL, "#dq-tabs")
    holds(page, "answer")
    page.js("arguments[0].click()", page.one(".dq-steps .dq-chip"))
    page.one(".dq-card:popover-open")
    holds(page, "card of a fact")
    page.js("document.querySelector('.dq-card:popover-open').hidePopover()")
    for layer, shown in (("heatmap", ".dq-heat"), ("structures", ".dq-outline")):
        page.js("arguments[0].click()", page.one(f'input[value="{layer}"]'))
        page.one(shown)
        holds(page, layer)
    page.js("arguments[0].click()", page.one('#dq-chat [data-event="opinion"][data-text="correct"]'))
    page.one(".dq-keep-it")
    holds(page, "correction")


def test_in_forced_colours_bars_and_choices_are_still_told(page: Page) -> None:
    page.one(".dq-bars .dq-bar")
    media(page, forced_colors="active")
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert page.js(style, ".dq-bars .dq-bar", "forcedColorAdjust") == "none"
    assert page.js(style, ".dq-switch input:checked + span", "outlineStyle") == "solid"
    assert page.js(style, "#dq-tabs [role=tab].selected", "outlineStyle") == "solid"
    assert page.js(style, "#dq-send", "outlineStyle") == "solid"
    page.shot("state-forced-colours")
    media(page)


def test_what_is_known(page: Page) -> None:
    page.open_tab("Knowledge")
    page.one("#dq-first :is(textarea, input)").send_keys("mel")
    page.until(lambda: page.all("#dq-meant .dq-suggest"), "suggestions")
    holds(page, "suggestions")
    page.one("#dq-first :is(textarea, input)").send_keys("anoma" + Keys.ENTER)
    page.until(lambda: page.text(".dq-know h2") == "Melanoma")
    page.js(OPEN_ALL, "#dq-knowledge")
    holds(page, "card")
    page.one("#dq-second :is(textarea, input)").send_keys("nevus" + Keys.ENTER)
    page.one(".dq-compare")
    holds(page, "comparison")


@pytest.mark.usefixtures("watched")
def test_a_run_and_the_form_for_the_next(page: Page) -> None:
    page.open_tab("Training")
    page.until(lambda: "watched" in page.text("#dq-rows") and page.all("#dq-curves canvas"), "a run is watched")
    holds(page, "run")
    for view in ("samples", "log", "config", "evaluation"):
        page.click(f"#dq-views [data-text='{view}']")
        page.until(lambda now=view: page.all(f"#dq-views [aria-current][data-text='{now}']"), view)
        holds(page, view)
    for _ in range(2):  # folds, and folds inside them
        for fold in page.all("#dq-new-run button.label-wrap:not(.open)"):
            page.js("arguments[0].click()", fold)
            page.until(lambda now=fold: "open" in str(now.get_attribute("class")), "unfolded")
    holds(page, "form")
    for name in ("watched", "older"):
        page.click(f'#dq-rows [data-event="tick"][data-text="{name}"]')
    page.click('#dq-rows [data-event="compare"]')
    page.until(lambda: "Options in which they differ" in page.text("#dq-body"))
    holds(page, "runs compared")


def test_a_review(page: Page) -> None:
    page.open_tab("Review")
    page.one("#dq-reviewer").send_keys("ada" + Keys.ENTER)
    page.until(lambda: page.all("#dq-review .dq-pair"), "a pair")
    press(page, "r")
    holds(page, "grades")
    press(page, Keys.ESCAPE, "e")
    page.until(lambda: page.all("[data-editor]:not([hidden])"), "a correction")
    holds(page, "correction of a pair")
    press(page, Keys.ESCAPE, "?")
    page.until(lambda: page.all("dialog[open]"), "the keys")
    holds(page, "keys")
    press(page, Keys.ESCAPE, "1")
    page.until(lambda: "The graph" in page.text("[data-part=toast]"), "judged")
    holds(page, "judged")
    for view in ("quality", "sets"):
        page.click(f"[data-view='{view}']")
        page.until(lambda: page.all("[data-part=view] h2"), view)
        page.js(OPEN_ALL, ".dq-review")
        holds(page, view)
