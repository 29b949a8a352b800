"""The whole of the review in real browsers: two reviewers, the same 20 pairs, by keys alone; then a set, and DPO on it.

Afterwards the store is read back vote by vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.review.store.store import Store
from dermiq.review.types import Vote
from tests.page import served
from tests.review.test_browser import Reviewer, as_stored
from tests.review.votes import PLAIN, store_of
from tests.tiny import save_tiny
from tests.ui import test_browser
from tests.ui.training.fields import field, fill, unfold, value
from train.runs import registry as runs

pytestmark = test_browser.pytestmark
PAIRS = 20
PATIENCE_S = 120  # until a run has ended
ADA = "12312311223344s11221"  # what each says, pair by pair as they come
BEA = "21212122113344s22112"
ENTER, TAB, CONTROL, LEFT = "\ue007", "\ue004", "\ue009", "\ue012"
YAML = """
model: {model}
device: cpu
preferences: [preferences@1]
steps: 2
lora_rank: 4
save_every: 0
threads: 1
window: false
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    store_of(tmp_path, PAIRS, overlap=2, margin=0.3).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMIQ_REVIEW", str(tmp_path / "review"))
        patch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
        with served(tmp_path) as found:
            yield found


class Judge(Reviewer):
    """Keeps what it said and did not take back: pair and key, in order."""

    said: list[tuple[str, str]]

    def work(self, keys: str) -> None:
        for key in keys:
            self.said.append((self.judge(key), key))

    def to_the_end(self, keys: str) -> None:
        """All that is left; behind the keys, what is shown again in swapped order."""
        self.work(keys)
        self.until(lambda: self.pair() or self.all(".dq-end"), "a pair, or the end")
        while self.pair():
            self.work("1")
            self.until(lambda: self.pair() or self.all(".dq-end"), "a pair, or the end")
        assert "Your queue is finished" in self.text(".dq-end")

    def undo(self, times: int) -> None:
        for _ in range(times):
            pair, _ = self.said.pop()
            self.press("u")
            self.until(lambda: self.pair() == pair, "the vote is taken back")  # noqa: B023
        self.saved()

    def correct(self, words: str) -> str:
        """Corrects A of the pair on the screen; the pair."""
        self.press("e")
        self.until(lambda: self.js("return document.activeElement.dataset.edit") == "a", "A is being corrected")
        self.press(words)
        chain = test_browser.webdriver.ActionChains(self.driver)
        chain.key_down(CONTROL).send_keys(ENTER).key_up(CONTROL).perform()
        self.until(lambda: "Correction of A saved" in self.told(), "the correction is saved")
        return self.pair()

    def reach(self, css: str) -> None:
        """To an element by the tab key alone."""
        for _ in range(120):
            if self.js("return document.activeElement.matches(arguments[0])", css):
                return
            self.press(TAB)
        raise AssertionError(f"{css} is not reached by the tab key")


def test_from_pairs_to_a_model_by_keys_alone(address: str, tmp_path: Path) -> None:
    ada, bea = Judge(address, tmp_path), Judge(address, tmp_path)
    ada.said, bea.said = [], []
    try:
        ada.sign_in("ada")
        ada.work(ADA[:9])
        ada.undo(2)
        assert len(votes_of(tmp_path, "ada", undone=False)) == 7
        ada.work("41")
        corrected = ada.correct("Corrected: ")
        ada.to_the_end(ADA[9:])
        ada.shot("review-end-1-finished")

        bea.sign_in("bea")
        bea.to_the_end(BEA)
        read_back(tmp_path, ada, bea, corrected)

        decided = administered(ada, tmp_path)
        assert decided
        trained(ada, tmp_path)
        assert [*ada.errors(), *bea.errors()] == []
    finally:
        ada.driver.quit()
        bea.driver.quit()


def votes_of(folder: Path, name: str, *, undone: bool) -> list[Vote]:
    store = Store.open(folder / "review", queue=PLAIN)
    found = list(store.votes(reviewer=name, undone=undone))
    store.close()
    return found


def read_back(folder: Path, ada: Judge, bea: Judge, corrected: str) -> None:
    """Every vote as it was said, none missing, none doubled."""
    for judge, undone in ((ada, 2), (bea, 0)):
        live = votes_of(folder, judge.name, undone=False)
        assert [(vote.pair_id, vote.choice) for vote in live] == [
            (pair, as_stored(vote, key)) for vote, (pair, key) in zip(live, judge.said, strict=True)
        ]
        assert len(votes_of(folder, judge.name, undone=True)) == len(live) + undone
        firsts = {vote.pair_id: vote.left for vote in live if vote.purpose == "first"}
        assert len(firsts) == PAIRS
        assert all(vote.left != firsts[vote.pair_id] for vote in live if vote.purpose == "repeat")
    assert {pair for pair, _ in ada.said} == {pair for pair, _ in bea.said}
    store = Store.open(folder / "review", queue=PLAIN)
    (edit,) = store.edits()
    assert (edit.pair_id, edit.reviewer, edit.text[:11]) == (corrected, "ada", "Corrected: ")
    done = Counter(change.what for change in store.log())
    assert (done["vote"], done["undo"]) == (len(ada.said) + len(bea.said) + 2, 2)
    store.close()


def administered(judge: Judge, folder: Path) -> str:
    """Signs in as an administrator, decides a disagreement by an arrow key, and freezes a set. The pair."""
    judge.reach('[data-do="sign_out"]')
    judge.press(ENTER)
    judge.until(lambda: judge.all("#dq-reviewer"), "signed out")
    judge.reach("#dq-reviewer")
    judge.press("ada")
    judge.reach("input[name=admin]")
    judge.press(" ")
    judge.reach('[data-do="sign_in"]')
    judge.press(ENTER)
    judge.until(lambda: judge.all('[data-view="split"]'), "an administrator's views")
    judge.reach('[data-view="split"]')
    judge.press(ENTER)
    judge.until(lambda: judge.all(".dq-heard"), "a disagreement with both votes")
    judge.shot("review-end-2-disagreement")
    pair = judge.pair()
    judge.press(LEFT)
    judge.until(lambda: judge.pair() != pair, "the next disagreement")
    judge.saved()
    store = Store.open(folder / "review", queue=PLAIN)
    (decision,) = [vote for vote in store.votes() if vote.kind == "adjudication"]
    assert (decision.pair_id, decision.choice) == (pair, decision.left)
    assert pair not in store.disagreements()
    store.close()

    judge.reach('[data-view="quality"]')
    judge.press(ENTER)
    judge.until(lambda: "appa" in judge.text("[data-part=view]"), "agreement is shown")
    judge.shot("review-end-3-quality")
    judge.reach('[data-view="sets"]')
    judge.press(ENTER)
    judge.until(lambda: judge.all('[data-do="freeze"]'), "sets")
    judge.reach('[data-do="freeze"]')
    judge.press(ENTER)
    judge.until(lambda: "preferences@1" in judge.text("[data-part=view]"), "the set is frozen")
    judge.shot("review-end-4-frozen")
    return pair


def trained(judge: Judge, folder: Path) -> None:
    """DPO on the set, from the form that the button fills in."""
    judge.reach('[data-do="train"]')
    judge.press(ENTER)
    where = field("dpo.preferences")
    judge.until(lambda: judge.all(where) and value(judge, "dpo.preferences"), "the form")
    assert value(judge, "dpo.preferences") == "preferences@1"
    judge.shot("review-end-5-form")
    unfold(judge, "file")
    fill(judge, "yaml", YAML.format(model=save_tiny("llava", folder / "model")))
    judge.until(lambda: value(judge, "dpo.lora_rank") == "4", "the fields follow the file")
    judge.click("#dqf-start")
    root = folder / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_browser, "SECONDS", PATIENCE_S)
        judge.until(lambda: runs.list_runs(root) and not runs.list_runs(root)[0].is_live, "the run has ended")
    (run,) = runs.list_runs(root)
    assert (run.state, run.status.step) == ("finished", 2), run.status.reason
    store = Store.open(folder / "review", queue=PLAIN)
    (frozen,) = store.frozen_sets()
    store.close()
    assert (run.folder / "config.json").read_text().count(frozen.digest) == 1
