"""The Review tab in a real headless Chromium, by the keyboard alone, over a real store that is read back afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.review.store.store import Store
from dermiq.review.types import PairView, Vote
from tests.page import served
from tests.review.votes import PLAIN, store_of
from tests.ui import test_browser
from tests.ui.test_browser import Page, luminance

pytestmark = test_browser.pytestmark
PAIRS = 6
KEYS = {"1": "a", "2": "b", "3": "tie", "4": "both_bad", "s": "skip"}
READ = ", ".join(f"#dq-review {name}" for name in ("p", "li", "button", "summary", "mark", "small", "span"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("review")
    store_of(made, PAIRS, overlap=9, margin=0.3).close()
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_REVIEW", str(folder / "review"))
        patch.setenv("DERMIQ_RUNS", str(folder / "runs"))
        with served(folder) as found:
            yield found


class Reviewer(Page):
    """A browser that is given keys, and nothing else once it is on the tab."""

    def sign_in(self, name: str) -> None:
        self.name = name
        self.js("document.getElementById('dq-review-tab-button')?.click()")
        self.until(lambda: self.js("return document.activeElement.id") == "dq-reviewer", "the name is asked for")
        self.press(name, "\ue007")
        self.until(lambda: self.pair(), "the first pair")

    def press(self, *keys: str) -> None:
        for key in keys:
            test_browser.webdriver.ActionChains(self.driver).send_keys(key).perform()

    def pair(self) -> str:
        shown: str = self.js("return document.querySelector('#dq-review .dq-pair')?.dataset.pair ?? ''")
        return shown

    def judge(self, key: str) -> str:
        """The pair that was judged, when another one stands there and the vote is acknowledged."""
        before = self.pair()
        self.press(key)
        self.until(lambda: self.pair() != before, "the next pair")
        self.saved()
        return before

    def saved(self) -> None:
        self.until(lambda: self.text("[data-part=saved]") == "All saved", "all is saved")

    def told(self) -> str:
        return self.text("[data-part=toast]")


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewer]:
    made = Reviewer(address, tmp_path_factory.mktemp("downloads"))
    yield made
    made.driver.quit()


@pytest.fixture
def reviewer(browser: Reviewer, tmp_path: Path) -> Iterator[Reviewer]:
    browser.anew(tmp_path)
    yield browser
    assert not [error for error in browser.errors() if "ERR_INTERNET_DISCONNECTED" not in error]


def votes_of(folder: Path, name: str) -> tuple[list[Vote], dict[str, PairView], Store]:
    store = Store.open(folder / "review", queue=PLAIN)
    return list(store.votes(reviewer=name, undone=True)), {view.pair.id: view for view in store.pairs()}, store


def as_stored(vote: Vote, key: str) -> str:
    """What a key means in the pair's own order."""
    choice = KEYS[key]
    if choice not in ("a", "b"):
        return choice
    return vote.left if choice == "a" else ("second" if vote.left == "first" else "first")


def test_a_queue_is_judged_by_keys_with_undo_and_a_correction(reviewer: Reviewer, folder: Path) -> None:
    reviewer.sign_in("ada")
    first = reviewer.judge("1")
    second = reviewer.judge("2")
    assert "The graph prefers" in reviewer.told()
    reviewer.press("u", "u")
    reviewer.until(lambda: reviewer.pair() == first, "both are taken back")
    assert reviewer.judge("3") == first
    assert reviewer.judge("4") == second
    third = reviewer.pair()
    reviewer.press("E")
    reviewer.until(lambda: reviewer.js("return document.activeElement.dataset.edit") == "b", "B is being corrected")
    reviewer.press("In the end: ")
    reviewer.until(lambda: "In the end" in reviewer.text("[data-marks]"), "the graph was asked")
    test_browser.webdriver.ActionChains(reviewer.driver).key_down("\ue009").send_keys("\ue007").key_up(
        "\ue009"
    ).perform()
    reviewer.until(lambda: "Correction of B saved" in reviewer.told(), "the correction is saved")
    reviewer.press("r", "5", "4", "\ue00c", "c", "plain words", "\ue00c")
    assert reviewer.judge("2") == third
    rest = [reviewer.judge(key) for key in "1s1"]
    assert "Your queue is finished" in reviewer.text(".dq-end")

    votes, views, store = votes_of(folder, "ada")
    live = {vote.pair_id: vote for vote in votes if vote.undone_at is None}
    assert set(live) == set(views) == {first, second, third, *rest}
    assert len(votes) == PAIRS + 2
    for pair, key in zip((first, second, third, *rest), "342" + "1s1", strict=True):
        assert live[pair].choice == as_stored(live[pair], key)
    side = live[third].left
    assert live[third].rubric == {side: {"accuracy": 5}, ("second" if side == "first" else "first"): {"accuracy": 4}}
    assert live[third].comment == "plain words"
    (edit,) = store.edits()
    assert edit.text.startswith("In the end: ")
    assert edit.answer_id == views[third].answer(as_stored(live[third], "2")).id  # type: ignore[arg-type]


def test_votes_wait_for_a_lost_connection_and_outlast_a_reload(reviewer: Reviewer, folder: Path) -> None:
    reviewer.sign_in("bea")
    first = reviewer.judge("1")
    offline(reviewer, True)
    second = reviewer.pair()
    reviewer.press("2")
    reviewer.until(lambda: reviewer.pair() not in ("", second), "the next pair is there without the app")
    reviewer.until(lambda: "Not saved yet: 1" in reviewer.text("[data-part=saved]"), "the reviewer is told")
    offline(reviewer, False)
    reviewer.driver.refresh()
    reviewer.until(
        lambda: reviewer.all("[data-part=saved]") and reviewer.text("[data-part=saved]") == "All saved", "sent"
    )
    votes, _, _ = votes_of(folder, "bea")
    assert [(vote.pair_id, vote.choice) for vote in votes] == [
        (first, as_stored(votes[0], "1")),
        (second, as_stored(votes[1], "2")),
    ]


def offline(reviewer: Reviewer, yes: bool) -> None:
    limits = {"offline": yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    reviewer.driver.execute_cdp_cmd("Network.emulateNetworkConditions", limits)


def test_a_draft_survives_a_closed_browser(reviewer: Reviewer, address: str, tmp_path: Path) -> None:
    reviewer.sign_in("cleo")
    reviewer.press("c", "half a remark", "\ue00c", "e", "Typed. ")
    time.sleep(1.5)  # what was typed goes out after a pause
    again = Reviewer(address, tmp_path)
    try:
        again.sign_in("cleo")
        assert again.one("[data-comment]").get_attribute("value") == "half a remark"
        assert str(again.one("[data-edit=a]").get_attribute("value")).startswith("Typed. ")
        assert again.one("[data-editor]").is_displayed()
    finally:
        again.driver.quit()


def test_keys_do_nothing_else_while_something_is_typed(reviewer: Reviewer, folder: Path) -> None:
    reviewer.sign_in("dora")
    pair = reviewer.pair()
    reviewer.press("c", "1 2 3 s u", "\ue00c", "r", "1", "2", "\ue00c", "f", "d", "z", "?", "1", "\ue00c")
    assert reviewer.pair() == pair
    assert reviewer.one("[data-comment]").get_attribute("value") == "1 2 3 s u"
    assert not votes_of(folder, "dora")[0]


def test_every_width_and_theme(reviewer: Reviewer) -> None:
    reviewer.sign_in("eve")
    reviewer.press("r")
    for width, dark in [(1400, False), (820, True), (390, False)]:
        reviewer.look(width, dark=dark)
        reviewer.shot(f"review-{width}-{'dark' if dark else 'light'}")
        assert reviewer.js("return document.documentElement.scrollWidth") <= width
        assert reviewer.js(
            "return [...document.querySelectorAll('.dq-choice')].every((b) => !b.offsetParent || b.offsetHeight >= 44)"
        )
        weak = []
        for name, ink, ground in reviewer.js(test_browser.CONTRASTS, READ):
            high, low = sorted((luminance(ink), luminance(ground)), reverse=True)
            weak += [name] if (high + 0.05) / (low + 0.05) < 4.5 else []
        assert not weak, width
