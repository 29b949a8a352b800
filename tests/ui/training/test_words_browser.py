"""What the Training tab says, and where: before a run starts, while it starts, and before it is evaluated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.ui.training import own_data
from tests.page import served
from tests.train.stage_runs import make_table, tiny_options, write_pairs
from tests.train.tiny_stage import TinyConfig
from tests.ui.test_access import SCROLLING, press
from tests.ui.test_browser import Page, pytestmark  # noqa: F401  the mark applies to this file, too
from tests.ui.training.fields import choose, field, fill, unfold, value
from tests.zips import packed
from train import options
from train.dpo import DPOConfig
from train.runs import paths, worker
from train.runs import registry as runs

from selenium.webdriver.common.keys import Keys  # isort: skip

IN_VIEW = (
    "const r = arguments[0].getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;"
    "return r.top >= 0 && r.bottom <= innerHeight && arguments[0].contains(document.elementFromPoint(x, y))"
)
TYPED = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))"
BAR = "#dq-launch"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DERMIQ_DATA", str(tmp_path / "no data"))
    worker.work(runs.create(TinyConfig(steps=4, seconds=0.0), name="judged", root=tmp_path / "runs"))
    return paths.runs_folder()


@pytest.fixture
def page(root: Path, tmp_path: Path) -> Iterator[Page]:
    table = make_table(tmp_path / "own", rows=4)
    own_data.keep(packed({path.name: path.read_bytes() for path in table.parent.iterdir()}), root)
    (tmp_path / "uploads").mkdir()
    with served(tmp_path / "uploads", pace=0.01) as address:
        made = Page(address, tmp_path)
        made.open_tab("Training")
        yield made
        made.driver.quit()
    for run in runs.list_runs(root):
        if run.is_live:
            runs.kill(run.folder)


def say(page: Page, where: str, text: str) -> None:
    page.js(TYPED, page.one(where), text)


def test_a_named_set_is_learned_whole_and_its_run_is_seen_from_the_first_second(
    page: Page, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs").mkdir()
    pairs = str(write_pairs(tmp_path / "pairs" / "pairs.jsonl", count=11))
    choose(page, "stage", "DPO: learn from preferences")
    page.until(lambda: "None is named: the graph makes pairs" in page.text("#dq-form"), "what happens without pairs")
    fill(page, "dpo.preferences", pairs)
    page.until(lambda: "Every pair is learned once" in page.text("#dq-form"), "what happens with pairs")
    page.until(lambda: not page.all(field("dpo.data")), "no other data is offered")
    fill(page, "name", "mine")
    choose(page, "preset", "Defaults")
    page.until(lambda: "Kept as you chose it: Preference pairs" in page.text("#dq-form"), "the preset keeps the set")
    choose(page, "preset", "Short try without a GPU")
    page.until(lambda: value(page, "dpo.steps") == "0", "no preset cuts it")
    assert value(page, "dpo.preferences") == pairs
    assert value(page, "name") == "mine"
    fill(page, "dpo.steps", "some")
    page.until(
        lambda: "“some”; it must be a whole number" in page.text("#dqf-dpo-steps"), "what is wrong, at the field"
    )
    page.click(f"{BAR} .dq-marked a")
    assert page.js("return document.activeElement === arguments[0]", page.one(field("dpo.steps"))), "a way to it"
    unfold(page, "file")
    given = {**tiny_options(tmp_path), "data": ()}
    text = options.to_yaml(DPOConfig(**{**given, "preferences": (pairs,), "check_memory": False}))
    fill(page, "yaml", text)
    page.until(lambda: value(page, "dpo.learning_rate") == "0.01", "the fields follow the file")
    page.until(lambda: f"--preferences {pairs}" in value(page, "command"), "and so does the command")

    for width in (390, 1400):
        page.look(width, 844)
        page.js("scrollTo(0, 0)")
        if width == 390:
            page.js("document.querySelector('#dq-form').scrollIntoView()")
        assert page.js(IN_VIEW, page.one("#dqf-start")), f"Start is in sight at {width} px"
    page.js("arguments[0].focus()", page.one("#dqf-estimate"))
    press(page, Keys.ENTER)
    assert page.until(lambda: page.all(f"{BAR} progress"), "the estimate shows progress")
    page.click("#dqf-cancel")  # at once: a picture of it would take as long as the estimate on a busy machine
    page.until(lambda: "Cancelled. Nothing was started." in page.text(BAR), "it can be cancelled")
    assert not page.all(f"{BAR} progress")

    start = page.one("#dqf-start")
    page.js("arguments[0].click(); arguments[0].click()", start)  # a second click is no second run
    page.until(lambda: "Started mine." in page.text("#dq-head"), "the new run is shown")
    page.until(lambda: page.js("return document.activeElement.textContent").startswith("mine"), "and has the focus")
    assert page.js(IN_VIEW, page.one("#dq-head h2"))
    assert page.js(IN_VIEW, page.one("#dq-head .dq-run-state"))
    began = "Looking at the options"
    (run,) = (run for run in runs.list_runs(root) if run.stage == "dpo")
    page.until(  # or, where the page is slower than the run, curves have taken the place of the log
        lambda: began in page.text("#dq-body") or runs.load_run(run.folder).status.step,
        "the log speaks before the first step",
    )
    assert began in (run.folder / "log.txt").read_text(encoding="utf-8")
    page.shot("training-words-started")
    assert run.options["steps"] == 0, "all eleven"
    assert run.options["preferences"] == [pairs]
    assert not page.js(SCROLLING)
    assert page.errors() == []


def test_an_evaluation_asks_first(page: Page, root: Path) -> None:
    evaluate = page.until(lambda: page.all('#dq-head [data-event="evaluate"]'), "a finished run")[0]
    page.js("arguments[0].focus()", evaluate)
    press(page, Keys.ENTER)
    dialog = page.one(".dq-ask[role=dialog]")
    page.until(lambda: page.js("return document.activeElement.id") == "dq-ask-title", "the dialog has the focus")
    assert "All 4 images" in dialog.text
    assert "No evaluation ran here yet" in dialog.text
    assert len(runs.list_runs(root)) == 1, "nothing has started"
    press(page, Keys.TAB, Keys.TAB)
    assert page.js("return document.activeElement.name") == "judge-images"
    say(page, ".dq-ask [name=judge-images]", "some")
    page.click('.dq-ask [data-event="judge"]')
    page.until(lambda: "write a whole number" in page.text(".dq-ask .dq-error"), "what is wrong stands in the dialog")
    page.shot("training-words-ask")
    say(page, ".dq-ask [name=judge-images]", "2")
    page.until(lambda: "2 of 4 images" in page.text(".dq-ask"), "how many of how many")
    page.look(390, 844)
    page.shot("training-words-ask-390")
    assert page.js("return document.documentElement.scrollWidth <= innerWidth")
    assert not page.js(SCROLLING)
    page.js("document.querySelector('.dq-ask [name=judge-images]').focus()")
    press(page, Keys.ESCAPE)
    page.until(lambda: not page.all(".dq-ask"), "Escape closes it")
    page.until(lambda: page.js("return document.activeElement.dataset.event") == "evaluate", "the focus is back")
    time.sleep(0.2)
    assert len(runs.list_runs(root)) == 1
    assert page.errors() == []
