"""One number of votes, on every page, in every table and command: after skips, undos, repeats, gold and decisions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq.__main__ import main
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.sets.freeze import freeze
from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.review.types import Counts, SetRule
from tests.review.browser import Browser
from tests.review.cases import filled, new_pair, vote


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ana and Ben judge 30 pairs and a known one, differ once, skip, undo, see some again; an admin decides."""
    made = Store.open(tmp_path / "review", queue=QueueSettings(repeat_share=0.2, repeat_after=3))
    filled(made, 30, "ana", "ben")
    made.add_pairs([new_pair(60, gold="first")], by="test")
    made.add_reviewer("lead", "admin", by="test")
    for name in ("ana", "ben"):
        vote(made, name, "skip")
        for _ in range(20):
            vote(made, name, "a")
        vote(made, name, "tie")
        vote(made, name, "b")
        made.undo(name)
    showing, _ = made.adjudication(made.disagreements()[0], "lead")
    made.vote(showing.id, "a", reviewer="lead", key="lead")
    yield made
    made.close()


def test_every_place_tells_the_same_number(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = list(store.votes())
    assert {one.purpose for one in votes} >= {"first", "repeat", "adjudication"}
    counted = sum(one.kind == "review" and one.choice != "skip" for one in votes)
    assert counted == 42
    assert store.counts() == Counts(votes=counted, skips=2, decisions=1, opinions=0)
    report = report_of(Votes.of(store.columns()), store.opinions())
    assert (report.votes, report.skips) == (counted, 2)
    assert sum(one.votes for one in report.reviewers) == counted
    progress = [store.progress(name) for name in ("ana", "ben", "lead")]
    assert (sum(one.done for one in progress), sum(one.skipped for one in progress)) == (counted, 2)
    assert sum(one.today for one in progress) in (0, counted)  # midnight may pass
    browser = Browser(store, tmp_path)
    assert "21 of " in browser.sign_in("ana")["work"]["progress"]
    assert re.search(rf"<dt>Votes</dt><dd>{counted}</dd>", browser.say("quality")["parts"]["view"])
    assert f"gave {counted} votes" in freeze(store, "mine", SetRule(), by="lead").card
    place = ["review", "--store", str(tmp_path / "review")]
    for command, told in (
        ("status", f"{counted} votes, 2 skips, 1 decisions of an admin"),
        ("quality", f"{counted} votes on"),
    ):
        assert main([*place, command]) == 0
        assert told in capsys.readouterr().out
    assert main([*place, "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["votes"] == counted


def test_an_empty_queue_is_not_nothing_of_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "review")
    browser = Browser(store, tmp_path)
    assert "No pair is in your queue" in browser.sign_in("ana")["work"]["progress"]
    filled(store, 2)
    assert "0 of 2 judged" in browser.say("work")["work"]["progress"]
    store.close()
