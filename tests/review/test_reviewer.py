"""What a reviewer does: pairs at hand, votes once, undo, corrections, drafts, disagreements; and who may do what."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import InputError
from dermiq.review.store.store import Store
from dermiq.settings import Settings
from dermiq.ui.review.access import Access, read_reviewers
from dermiq.ui.review.pair_page import Rules
from dermiq.ui.review.reviewer import is_complete, read_rubric
from tests.review.browser import ADA, BEA, LEAD, Browser, session_of, store_with

GRADES = {"accuracy": 4, "relevance": 5, "completeness": 3, "safety": 5}
FULL = {"a": GRADES, "b": GRADES}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = store_with(tmp_path)
    yield made
    made.close()


# --- judging ----------------------------------------------------------------------------


def test_the_pair_behind_is_at_hand_before_it_is_asked_for(store: Store) -> None:
    session = session_of(store)
    first, second = session.work().items
    judged = session.vote(first.showing, "a", key="1", after=second.pair)
    (third,) = judged.work.items
    assert len({first.pair, second.pair, third.pair}) == 3
    assert session.work().items[0].showing == second.showing, "what is at hand is what the store would give"


def test_a_vote_that_comes_twice_is_one(store: Store) -> None:
    session = session_of(store)
    first = session.work().items[0]
    assert session.vote(first.showing, "a", key="1").vote == session.vote(first.showing, "a", key="1").vote
    assert len(list(store.votes())) == 1


def test_a_vote_is_kept_as_it_was_seen(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    showing = store.showing(item.showing)
    session.vote(item.showing, "b", key="1", rubric=FULL, comment="A is wrong", seconds=12.5)
    (vote,) = store.votes()
    assert vote.choice == showing.side("b")
    assert (vote.comment, vote.seconds, vote.rubric["first"]) == ("A is wrong", 12.5, GRADES)


def test_what_the_graph_says_is_said_after_a_vote_and_not_after_a_skip(store: Store) -> None:
    session = session_of(store)
    first, second = session.work().items
    assert "The graph prefers" not in first.html
    assert "The graph prefers" in session.vote(first.showing, "tie", key="1").said
    assert session.vote(second.showing, "skip", key="2").said == "Saved: skipped."
    hidden = session_of(store, marks="never")
    assert hidden.vote(hidden.work().items[0].showing, "a", key="3").said == "Saved: A better."


def test_undo_brings_the_pair_back_with_what_was_said_of_it(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    vote = session.vote(item.showing, "a", key="1", rubric={"a": GRADES}, comment="not sure").vote
    work = session.undo(vote)
    assert session.undo(vote).items[0].showing == work.items[0].showing == item.showing, "twice is once"
    assert "not sure</textarea>" in work.items[0].html
    assert work.items[0].html.count(" checked>") == len(GRADES) + 1  # and which answer would be corrected
    assert work.last == ""
    session.vote(item.showing, "b", key="2")
    assert [v.undone_at is None for v in store.votes(undone=True)] == [False, True]


def test_undo_takes_back_the_newest_then_the_one_before(store: Store) -> None:
    session = session_of(store)
    votes = [session.vote(session.work().items[0].showing, "a", key=str(n)).vote for n in range(2)]
    assert session.work().last == votes[1]
    assert session.undo(votes[1]).last == votes[0]


def test_only_own_votes_are_taken_back_and_looked_at(store: Store) -> None:
    vote = session_of(store).vote(session_of(store).work().items[0].showing, "a", key="1").vote
    with pytest.raises(InputError):
        session_of(store, BEA).undo(vote)
    with pytest.raises(InputError):
        session_of(store, BEA).look_back(vote)
    assert list(store.votes(reviewer="ada"))


def test_looking_back_shows_marks_reasons_and_label(store: Store) -> None:
    session = session_of(store)
    vote = session.vote(session.work().items[0].showing, "tie", key="1").vote
    html = session.look_back(vote)
    for said in ("You said: a tie.", "The graph prefers", "It cites the graph.", "melanoma", "dq-mark"):
        assert said in html
    session.undo(vote)
    with pytest.raises(InputError, match="taken back"):
        session.look_back(vote)


def test_a_rubric_that_is_needed_is_asked_for(store: Store) -> None:
    session = session_of(store, rubric="required")
    item = session.work().items[0]
    with pytest.raises(InputError, match="eight grades"):
        session.vote(item.showing, "a", key="1", rubric={"a": GRADES})
    session.vote(item.showing, "a", key="2", rubric=FULL)
    session.vote(session.work().items[0].showing, "skip", key="3")
    assert [vote.choice for vote in store.votes()][1] == "skip"


@pytest.mark.parametrize("said", [None, [], {"a": 3}, {"a": {"accuracy": 9}}, {"a": {"accuracy": True}}, {"c": GRADES}])
def test_what_is_no_grade_is_left_out(said: object) -> None:
    assert read_rubric(said) == {}
    assert not is_complete(read_rubric(said))


def test_the_end_of_the_queue_says_what_was_done(store: Store) -> None:
    session = session_of(store)
    for n in range(3):
        judged = session.vote(session.work().items[0].showing, "abs"[n].replace("s", "skip"), key=str(n), seconds=8)
    assert not judged.work.items
    assert judged.work.ended
    for said in ("Your queue is finished", "Skipped", "Left answer preferred", "8\u202fs"):
        assert said in session.end()


def test_an_empty_queue_says_what_to_do(tmp_path: Path) -> None:
    store = store_with(tmp_path / "empty", pairs=0)
    assert "An administrator of this page can put pairs in." in session_of(store).end()
    assert "python -m dermiq review import" in session_of(store, LEAD).end()


# --- correcting -------------------------------------------------------------------------


def test_a_correction_is_kept_of_the_answer_that_was_shown_there(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    answer = store.pair(item.pair).answer(store.showing(item.showing).side("b"))
    for _ in range(2):
        session.edit(item.showing, "b", " Better.\r\nMuch. ", key="e")
    (edit,) = store.edits()
    assert (edit.answer_id, edit.text) == (answer.id, "Better.\nMuch.")
    vote = session.vote(item.showing, "a", key="1").vote
    assert "You corrected B." in session.look_back(vote)


def test_the_models_own_text_takes_a_correction_back(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    own = store.pair(item.pair).answer(store.showing(item.showing).side("a")).text
    session.edit(item.showing, "a", "Better.", key="1")
    again = session.work().items[0].html
    assert again.count('data-corrected="yes"') == 1
    assert "\nBetter.</textarea>" in again
    assert session.edit(item.showing, "a", own, key="2") == "The correction of A is taken back."
    assert not store.edits()
    assert 'data-corrected="yes"' not in session.work().items[0].html


def test_nothing_and_nothing_new_are_no_corrections(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    same = store.pair(item.pair).answer(store.showing(item.showing).side("a")).text
    for text, why in (("  ", "empty"), (same, "Nothing was changed")):
        with pytest.raises(InputError, match=why):
            session.edit(item.showing, "a", text, key="e")
    assert not store.edits()


def test_a_correction_is_checked_against_the_graph(store: Store) -> None:
    session = session_of(store)
    html = session.check(session.work().items[0].showing, "a", "Redpox shows scale. Elephants fly.")
    assert "1 supported" in html
    assert "dq-supported" in html


def test_a_draft_comes_back_until_the_vote(store: Store) -> None:
    session = session_of(store)
    item = session.work().items[0]
    session.keep_draft(item.showing, {"a": {"safety": 2}}, "half a com", {"b": "half an ans", "x": "?"})
    again = session.work().items[0].html
    assert "half a com</textarea>" in again
    assert "\nhalf an ans</textarea>" in again
    session.vote(item.showing, "a", key="1")
    assert store.draft("ada", item.pair) is None


def test_nobody_writes_under_what_was_shown_to_another(store: Store) -> None:
    showing = session_of(store).work().items[0].showing
    other = session_of(store, BEA)
    for act in (
        lambda: other.edit(showing, "a", "Mine.", key="e"),
        lambda: other.keep_draft(showing, {}, "mine", {}),
        lambda: other.check(showing, "a", "Mine."),
        lambda: other.vote(showing, "a", key="1"),
    ):
        with pytest.raises(InputError):
            act()


# --- disagreements ----------------------------------------------------------------------


def test_an_administrator_decides_what_two_reviewers_see_differently(store: Store) -> None:
    for person, side in ((ADA, "first"), (BEA, "second")):
        session = session_of(store, person)
        while items := session.work().items:
            shown = store.showing(items[0].showing).shown(side)
            session.vote(items[0].showing, shown, key=person.name + items[0].pair, comment=f"says {person.name}")
    with pytest.raises(InputError, match="administrator"):
        session_of(store, ADA, "adjudicate")
    lead = session_of(store, LEAD, "adjudicate")
    work = lead.work()
    assert "3 disagreements open" in work.progress
    for said in ("says ada", "says bea", "A better", "B better"):
        assert said in work.items[0].html
    after = lead.vote(work.items[0].showing, "a", key="1", after=work.items[1].pair).work
    assert after.items[0].pair not in (item.pair for item in work.items)
    lead.vote(work.items[1].showing, "tie", key="2")
    assert lead.vote(after.items[0].showing, "b", key="3").work.ended
    assert "No disagreement is open" in lead.end()
    assert [vote.kind for vote in store.votes(reviewer="lead")] == ["adjudication"] * 3


# --- the controller ---------------------------------------------------------------------


def test_who_is_unknown_is_asked_for_a_name(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    for do in ("hello", "work", "vote", "quality", "freeze"):
        reply = browser.say(do)
        assert 'name="name"' in reply["sign_in"]
        assert not reply["asks"]
    assert not list(store.votes())


def test_a_reviewer_signs_in_judges_and_leaves(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    first, second = browser.sign_in()["work"]["items"]
    reply = browser.say("vote", showing=first["showing"], choice="a", key="k", seconds=3, after=second["pair"])
    assert reply["saved"]["said"].startswith("Saved: A better.")
    assert [item["pair"] for item in reply["work"]["items"]] not in ([first["pair"]], [second["pair"]])
    assert browser.say("undo", vote=reply["saved"]["vote"])["work"]["items"][0]["pair"] == first["pair"]
    assert "sign_in" in browser.say("sign_out")
    assert "sign_in" in browser.say("work")


@pytest.mark.parametrize("message", [None, 7, [], {}, {"do": "x"}, {"do": "__init__"}, {"do": "vote", "token": ["?"]}])
def test_nonsense_is_answered(message: object, store: Store, tmp_path: Path) -> None:
    reply = Browser(store, tmp_path).controller.answer(message)
    assert reply.keys() & {"error", "sign_in"}


JUNK: list[dict[str, Any]] = [
    {"do": "vote", "showing": "no such"},
    {"do": "vote", "showing": None, "choice": 3, "rubric": "x", "seconds": float("nan")},
    {"do": "undo", "vote": "no such"},
    {"do": "look", "vote": {}},
    {"do": "edit", "showing": "no such", "text": 3},
    {"do": "draft", "showing": 0, "texts": []},
    {"do": "check"},
    {"do": "freeze", "fields": {"name": "../x", "min_votes": "many"}},
    {"do": "download", "value": "none@9"},
    {"do": "train", "value": "?"},
    {"do": "put_run", "value": "../../etc"},
    {"do": "put_files"},
    {"do": "put_files", "files": [{"name": "x.exe", "data": "e30="}]},
    {"do": "put_files", "files": [{"name": "x.jsonl", "data": "e30="}]},
    {"do": "put_files", "files": [{"name": "x.jsonl", "data": "not base64"}]},
    {"do": "put_files", "files": [{"name": "x.zip", "data": "UEsDBA=="}]},
    {"do": "put_files", "files": [{"name": "..", "data": ""}, 3]},
]


@pytest.mark.parametrize("message", JUNK, ids=lambda message: str(message["do"]))
def test_what_cannot_be_done_is_said_in_a_sentence(message: dict[str, Any], store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    browser.sign_in("lead", admin=True)
    reply = browser.say(**message)
    assert reply["error"].rstrip().endswith((".", ")"))
    assert "log" not in reply["error"]


def test_a_failure_may_be_tried_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(store, tmp_path)
    item = browser.sign_in()["work"]["items"][0]
    vote = store.vote
    monkeypatch.setattr(store, "vote", lambda *_, **__: 1 / 0)
    assert "later" in browser.say("vote", showing=item["showing"], choice="a", key="k")
    monkeypatch.setattr(store, "vote", vote)
    assert "saved" in browser.say("vote", showing=item["showing"], choice="a", key="k")


def test_reviewers_neither_freeze_nor_put_in_nor_take_out(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    browser.sign_in()
    for do in ("freeze", "download", "train", "put_run", "put_files"):
        assert "administrators" in browser.say(do, value="x", text="x")["error"]
    assert "administrator" in browser.say("work", mode="split")["error"]
    sets = browser.say("sets")["parts"]["view"]
    assert 'data-do="' not in sets


def test_a_set_is_frozen_downloaded_and_named_for_training(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path)
    browser.sign_in("lead", admin=True)
    while items := browser.say("work")["work"]["items"]:
        browser.say("vote", showing=items[0]["showing"], choice="a", key=items[0]["pair"])
    fields = {"name": "mine", "rule": "majority", "min_votes": "1", "min_margin": "", "with_edits": True}
    reply = browser.say("freeze", fields=fields)
    assert reply["told"] == "mine@1 is frozen, with 3 pairs."
    assert "mine@1" in reply["parts"]["view"]
    assert browser.say("train", value="mine")["train"] == "mine@1"
    assert browser.say("download", value="mine@1")["download"]["name"] == "mine-1.zip"


def sent(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(content).decode()}


def test_pairs_come_from_a_file_or_a_run(store: Store, tmp_path: Path) -> None:
    line = '{"prompt": "What is it?", "chosen": "A nevus.", "rejected": "A cat."}\n'
    (tmp_path / "runs" / "dpo").mkdir(parents=True)
    (tmp_path / "runs" / "dpo" / "pairs.jsonl").write_text(line, encoding="utf-8")
    browser = Browser(store, tmp_path / "runs")
    browser.sign_in("lead", admin=True)
    assert 'data-value="dpo"' in browser.say("sets")["parts"]["view"]
    told = browser.say("put_files", files=[sent("mine.JSONL", line.encode())])["told"]
    assert told == "1 pairs about 1 cases are in the queue now."
    assert "1 were there already" in browser.say("put_run", value="dpo")["told"]
    assert len(list(store.pairs())) == 4


# --- who may ----------------------------------------------------------------------------


def test_a_public_page_without_secrets_shows_figures_alone(store: Store, tmp_path: Path) -> None:
    session_of(store).vote(session_of(store).work().items[0].showing, "a", key="1", comment="a secret remark")
    browser = Browser(store, tmp_path, host="0.0.0.0")
    frame = browser.say("hello")["frame"]
    assert "DERMIQ_REVIEWERS" in frame
    assert "Votes" in frame
    for hidden in ("ada", "What is lesion", "answer to", "secret remark", "<button"):
        assert hidden not in frame
    assert "can be reached from other computers" in browser.sign_in("ada")["sign_in"]
    assert not browser.token


def test_passwords_on_a_public_page(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path, host="0.0.0.0", reviewers="ada: one, bea:two", admin_password="root")
    for name, password in (("ada", ""), ("ada", "two"), ("eve", "one"), ("eve", "")):
        assert "do not belong together" in browser.sign_in(name, password=password)["sign_in"]
    assert "work" in browser.sign_in("ada", password="one")
    assert "do not belong together" in browser.sign_in("ada", password="one", admin=True)["sign_in"]
    assert "administrator" in browser.sign_in("zoe", password="root", admin=True)["frame"]


def test_a_role_from_the_store_counts_where_a_password_proves_the_name(store: Store, tmp_path: Path) -> None:
    store.set_role("bea", "admin", by="lead")
    proved = Browser(store, tmp_path, reviewers="bea:two")
    assert "administrator" in proved.sign_in("bea", password="two")["frame"]
    claimed = Browser(store, tmp_path, admin_password="root")
    assert ", administrator" not in claimed.sign_in("bea")["frame"]
    assert "error" in claimed.say("work", mode="split")


def test_names_and_secrets_are_checked() -> None:
    assert read_reviewers("ada: a:b ,\n bea:c") == {"ada": "a:b", "bea": "c"}
    for wrong in ("ada", "ada:", ":x"):
        with pytest.raises(InputError, match="entry 1"):
            read_reviewers(wrong)
    access = Access(Settings())
    for name in ("", "  ", "<b>", "x" * 41):
        with pytest.raises(InputError):
            access.sign_in(name)


def test_rules_come_from_the_settings() -> None:
    assert Rules.of(Settings()) == Rules("after", "folded")
    assert Rules.of(Settings(review_marks="never", review_rubric="required")) == Rules("never", "required")
    with pytest.raises(InputError, match=r"DERMIQ_REVIEW_MARKS is 'no'. Set it to one of: after, before, never"):
        Rules.of(Settings(review_marks="no"))


def test_rules_are_those_of_the_services(store: Store, tmp_path: Path) -> None:
    browser = Browser(store, tmp_path, Rules(rubric="required"))
    html = browser.sign_in()["work"]["items"][0]["html"]
    assert 'data-rubric="required" open' in html
