"""The main job of each tab with Tab, Enter, Space and the arrow keys alone, and where the focus stands meanwhile.

More of it: the consultation in `test_pages`, a queue of the review in `test_review_tab` and `tests/review`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fakes
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
SEEN = """
const e = document.activeElement, r = e.getBoundingClientRect(), mark = /^(radio|checkbox|range|file)$/.test(e.type) ?
  e.parentElement : e;
const ring = (n) => { const s = getComputedStyle(n); return s.outlineStyle !== 'none' || s.boxShadow !== 'none'; };
if (e === document.body) return '';
const said = e.outerHTML.slice(0, 150);
if (!e.checkVisibility({ visibilityProperty: true }) || r.width < 1 || r.height < 1) return 'hidden: ' + said;
const near = [e, mark, ...mark.querySelectorAll('*'), e.closest('.wrap'), e.parentElement.parentElement];
return near.some((n) => n && ring(n)) ? '' : 'no ring: ' + said;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_RUNS", str(folder / "runs"))
        patch.setenv("DERMIQ_DATA", str(folder / "no data"))
        patch.setenv("DERMIQ_REVIEW", str(folder / "review"))
        store_of(folder, 3, overlap=9, margin=0.3).close()
        for name in ("first", "second"):
            worker.work(runs.create(TinyConfig(steps=4, seconds=0.0), name=name, root=folder / "runs"))
        with served(tmp_path_factory.mktemp("uploads"), pace=0.05) as address:
            made = Page(address, tmp_path_factory.mktemp("downloads"))
            yield made
            made.driver.quit()


def has(page: Page, css: str) -> bool:
    return bool(page.js("return document.activeElement.matches(arguments[0])", css))


def focus(page: Page, css: str, said: str) -> None:
    page.until(lambda: has(page, css), said)


def reach(page: Page, css: str, *, back: bool = False, limit: int = 150) -> None:
    """By the tab key alone; what has the focus on the way is seen, and has a ring."""
    for _ in range(limit):
        if has(page, css):
            return
        press(page, Keys.SHIFT + Keys.TAB if back else Keys.TAB)
        assert not page.js(SEEN)
    raise AssertionError(f"{css} is not reached with the Tab key")


def tab(page: Page, key: str) -> None:
    """Opened from the tab that is open by the arrow keys."""
    page.js("document.querySelector('#dq-tabs [role=tab][aria-selected=true]').focus()")
    for _ in range(5):
        if has(page, f"#dq-{key}-tab-button"):
            break
        press(page, Keys.ARROW_RIGHT)
    press(page, Keys.ENTER)
    page.until(lambda: page.one(f"#dq-{key}-tab-button").get_attribute("aria-selected") == "true", key)


def test_consult_from_a_chosen_file_to_a_facts_source_and_to_a_new_case(page: Page, tmp_path: Path) -> None:
    image = tmp_path / "lesion.png"
    image.write_bytes(fakes.png(fakes.picture()))
    reach(page, "[data-pick]")
    page.upload(image)  # the browser's own dialog is not the page's
    focus(page, "#dq-viewer input:checked", "the image that came")
    press(page, Keys.ARROW_RIGHT)
    page.until(lambda: page.all('.dq-outline[aria-label^="Where"]'), "the arrow keys change what lies over it")
    reach(page, "#dq-question textarea")
    press(page, "Why?", Keys.TAB, Keys.ENTER)
    focus(page, "#dq-stop", "Stop stands where Send was")
    page.finished()
    focus(page, "#dq-question textarea", "and the question after it")
    reach(page, ".dq-steps .dq-chip", back=True)
    press(page, Keys.ENTER)
    focus(page, ".dq-card:popover-open", "the card of the fact")
    reach(page, ".dq-card .dq-source a")
    press(page, Keys.ESCAPE)
    focus(page, ".dq-steps .dq-chip", "what had opened it")
    reach(page, '[data-event="imagecheck"]')
    press(page, Keys.ENTER)
    focus(page, ".dq-chat", "the conversation")
    said = "return document.querySelector('#dq-chat [data-key=spoken]').textContent"
    page.until(lambda: "depends on the image" in page.js(said), "what came of it is announced")
    reach(page, '[data-event="remove"]', back=True)
    press(page, Keys.ENTER)
    focus(page, "[data-pick]", "the next image")
    reach(page, "#dq-new")
    press(page, Keys.ENTER)
    page.until(lambda: not page.all(".dq-answer"), "a new case")
    focus(page, "#dq-new", "where it was")


def test_knowledge_from_a_name_to_its_card_and_the_source(page: Page) -> None:
    tab(page, "knowledge")
    reach(page, "#dq-first :is(textarea, input)")
    press(page, "melanoma", Keys.ENTER)
    said = "return document.querySelector('#dq-knowledge [data-key=spoken]').textContent"
    page.until(lambda: page.js(said) == "Shown: melanoma.", "the card is announced")
    focus(page, "#dq-first :is(textarea, input)", "while the focus stays")
    reach(page, "#dq-knowledge .dq-source a")
    reach(page, "#dq-second :is(textarea, input)", back=True)
    press(page, "nevus", Keys.ENTER)
    page.until(lambda: page.js(said) == "Shown: melanoma against melanocytic nevus.", "and so is a comparison")


def test_training_from_the_form_to_what_is_to_correct_and_two_runs_side_by_side(page: Page) -> None:
    tab(page, "training")
    page.until(lambda: page.all("#dq-rows .dq-row"), "runs")
    reach(page, "#dqf-estimate")
    press(page, Keys.ENTER)
    page.until(lambda: "To correct before it can start" in page.text("#dq-launch"), "there is no data")
    focus(page, "#dqf-estimate, #dqf-start", "the same row")
    reach(page, ".dq-marked a", back=True)
    press(page, Keys.ENTER)
    focus(page, "#dqf-grpo-data input", "the field that is to be corrected")
    for name in ("first", "second"):
        reach(
            page, f'#dq-rows [data-event="tick"][data-text="{name}"]', back=name == "first" and has(page, "#dq-head *")
        )
        press(page, " ")
        page.until(lambda now=name: page.one(f'[data-event="tick"][data-text="{now}"]').is_selected(), name)
    reach(page, '#dq-rows [data-event="compare"]', back=True)
    press(page, Keys.ENTER)
    focus(page, "#dq-views h2", "what is compared")


def test_review_from_the_sign_in_to_a_vote(page: Page) -> None:
    tab(page, "review")
    reach(page, "#dq-reviewer")
    press(page, "ada")
    reach(page, '[data-do="sign_in"]')
    press(page, Keys.ENTER)
    focus(page, ".dq-pair", "the pair")
    first = page.one(".dq-pair").get_attribute("data-pair")
    reach(page, '[data-choose="a"]')
    press(page, Keys.ENTER)
    page.until(lambda: page.one(".dq-pair").get_attribute("data-pair") != first, "the next pair")
    focus(page, ".dq-pair", "which has the focus")
    assert "It looks benign" in page.text(".dq-pair")


def test_about_is_read_and_its_tables_are_opened(page: Page) -> None:
    tab(page, "about")
    reach(page, "#dq-about-tab .dq-confusion summary")
    press(page, Keys.ENTER)
    page.until(lambda: page.all(".dq-confusion[open] td"), "the table")
    reach(page, "#dq-about-tab .dq-confusion[open] .dq-scroll")
