"""The store on SQLite and on PostgreSQL: what is appended, what comes next, what a vote and its undoing do."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from dermiq.errors import DataError, ImageError, InputError
from dermiq.review.store import schema
from dermiq.review.store.database import Line
from dermiq.review.store.images import prepared
from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.review.types import Draft, NewPair, ReviewAnswer, ReviewCase, SetRule, pair_id
from dermiq.settings import Settings
from tests.nightly.hostile_images import encoded, scans
from tests.nightly.hostile_images import picture as drawn
from tests.review.cases import Clock, all_votes, emptied, filled, new_case, new_pair, picture, vote

Make = Callable[..., Store]
PLAIN = QueueSettings(repeat_share=0, gold_share=0)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite file at the newest schema: migrated once, the others are copies."""
    folder = tmp_path_factory.mktemp("migrated")
    Store.open(folder).close()
    return folder / "review.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path, migrated: Path) -> Iterator[Make]:
    """Opens the test's one store, as often as it is called."""
    url = emptied(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    (tmp_path / "review").mkdir()
    shutil.copy(migrated, tmp_path / "review")
    made: list[Store] = []

    def open_(**options: Any) -> Store:
        made.append(Store(tmp_path / "review", url, **options))
        return made[-1]

    yield open_
    for store in made:
        store.close()


@pytest.fixture
def store(make: Make) -> Store:
    return make(queue=PLAIN)


def rows(store: Store, table: Any, *order: Any) -> list[Any]:
    with store._database.reading() as connection:
        return list(connection.execute(select(table).order_by(*order)))


# --- cases and pairs --------------------------------------------------------------------


def test_a_pair_comes_back_as_it_was_put_in(store: Store) -> None:
    new = new_pair(1, likelier="second", overlap=3)
    assert store.add_pairs([new], by="ana").pairs == 1
    (view,) = store.pairs()
    assert (view.case, view.first, view.second) == (new.case, new.first, new.second)
    assert (view.pair.proxy, view.pair.likelier, view.pair.overlap) == (new.proxy, "second", 3)
    assert view == store.pair(view.pair.id)


def test_duplicates_are_recognised_also_the_other_way_round(store: Store) -> None:
    new = new_pair(1)
    turned = replace(new, first=new.second, second=new.first)
    assert store.add_pairs([new, new], by="ana").duplicates == 1
    added = store.add_pairs([turned, new_pair(2)], by="ben")
    assert (added.cases, added.answers, added.pairs, added.duplicates) == (1, 2, 1, 1)
    pair = store.pair(pair_id(new.second.id, new.first.id)).pair
    assert (pair.first, pair.added_by) == (new.first.id, "ana")


def test_a_case_an_answer_and_a_pair_one_by_one(store: Store) -> None:
    case = new_case(1)
    answers = [ReviewAnswer.of(case.id, text) for text in ("It is a nevus.", "It is a melanoma.")]
    with pytest.raises(InputError, match="not in the store"):
        store.add_answers(answers, by="ana")
    assert store.add_case(case, by="ana")
    assert not store.add_case(case, by="ana")
    assert store.add_answers(answers, by="ana") == 2
    assert store.add_pairs([NewPair(case, answers[0], answers[1], "consultation")], by="ana").pairs == 1
    assert store.pair(pair_id(answers[0].id, answers[1].id)).case == case
    assert store.thumb(answers[0].id, up=True, who="ana") == store.thumbs()[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"overlap": 0}, "at least 1 reviewer"),
        ({"gold": "left"}, "'first' or 'second'"),
        ({"source": "guess"}, "source of a pair is one of"),
        ({"second": ReviewAnswer.of("another case", "Something")}, "answer one case"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_and_leaves_nothing(store: Store, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        store.add_pairs([new_pair(1), replace(new_pair(2), **change)], by="ana")
    assert list(store.log()) == []


def test_a_pair_is_of_two_different_answers_of_one_case(store: Store) -> None:
    one, two = new_pair(1), new_pair(2)
    with pytest.raises(InputError, match="answer one case"):
        store.add_pairs([replace(one, second=two.first)], by="ana")
    with pytest.raises(InputError, match="the same text"):
        store.add_pairs([replace(one, second=one.first)], by="ana")


# --- images -----------------------------------------------------------------------------


def with_image(data: bytes) -> Any:
    image, kept = prepared(data)
    case = new_case(1, images=(replace(image, outline=((1.0, 2.0), (3.5, 4.0), (5.0, 6.0))),), boxes=((0, 0, 32, 32),))
    return new_pair(1, case=case, images={image.sha256: kept})


def test_an_image_is_kept_by_its_content_and_purged_for_good(make: Make, tmp_path: Path) -> None:
    store, new = make(), with_image(picture())
    (image,) = new.case.images
    store.add_pairs([new], by="ana")
    (view,) = store.pairs()
    assert (view.case, view.purged) == (new.case, ())
    assert store.image(image.sha256) == picture()

    store.purge_image(image.sha256, by="adm", why="the patient asked for it")
    assert not list((tmp_path / "review" / "images").iterdir())
    assert store.pair(view.pair.id).purged == (image.sha256,)
    assert store.purged() == {image.sha256}
    with pytest.raises(DataError, match="deleted from the review"):
        store.image(image.sha256)
    with pytest.raises(InputError, match="not taken again"):
        store.keep_image(picture(), by="ana")
    assert not list((tmp_path / "review" / "images").iterdir())
    assert [change.who for change in store.log() if change.what == "image purged"] == ["adm"]


def test_a_purge_that_was_interrupted_is_finished_at_the_next_start(make: Make, tmp_path: Path) -> None:
    store = make()
    image = store.keep_image(picture(), by="ana")
    store.purge_image(image.sha256, by="adm", why="asked")
    left = tmp_path / "review" / "images" / f"{image.sha256}.png"
    left.write_bytes(picture())  # as if the process had died between the row and the file
    make()
    assert not left.exists()


def test_an_image_that_was_never_kept_is_said_so(store: Store) -> None:
    for what in (store.image, lambda sha: store.purge_image(sha, by="adm", why="asked")):
        with pytest.raises(DataError, match="not kept"):
            what("0" * 64)


def test_an_image_of_another_hash_is_refused(store: Store) -> None:
    new = with_image(picture())
    with pytest.raises(InputError, match="SHA-256"):
        store.add_pairs([replace(new, images={new.case.images[0].sha256: picture("red")})], by="ana")


def test_notes_in_an_image_are_not_kept(store: Store) -> None:
    from PIL import Image

    notes = Image.Exif()
    notes[0x010E] = "Jane Doe, left arm"
    data = picture(format="JPEG", exif=notes)
    with pytest.raises(ImageError, match="more than the picture"):
        store.keep_image(data, by="ana")
    image, clean = prepared(data)
    assert b"Jane" not in clean
    assert store.keep_image(clean, by="ana") == image
    plain = picture(format="JPEG")
    assert prepared(plain)[1] == plain, "a file without notes is kept as it is"
    with pytest.raises(ImageError):
        prepared(b"no image")


def test_only_what_has_passed_the_decoders_budget_is_opened(store: Store) -> None:
    with pytest.raises(ImageError, match="scans"):
        prepared(scans(300, (200, 150)))
    image, _ = prepared(encoded(drawn(3000, 2000)))
    assert max(image.width, image.height) == 2048, "as large as a consultation reads"


# --- reviewers --------------------------------------------------------------------------


def test_reviewers_have_a_role_that_can_change(store: Store) -> None:
    assert store.add_reviewer("ana", by="adm").role == "reviewer"
    store.add_reviewer("adm", "admin", by="adm")
    assert store.set_role("ana", "admin", by="adm").role == "admin"
    assert store.add_reviewer(" ana ", by="ben").role == "admin", "a known name stays who it is"
    assert [reviewer.name for reviewer in store.reviewers()] == ["ana", "adm"]
    assert store.reviewer("nobody") is None
    for name in ("", "x" * 81, "two\nlines"):
        with pytest.raises(InputError, match="1 to 80 characters"):
            store.add_reviewer(name, by="adm")
    with pytest.raises(InputError, match="no reviewer named"):
        store.set_role("nobody", "admin", by="adm")
    with pytest.raises(InputError, match="role is one of"):
        store.set_role("ana", "king", by="adm")  # type: ignore[arg-type]


# --- what is next -----------------------------------------------------------------------


def test_asking_again_gives_the_same_pair_until_there_is_a_vote(store: Store) -> None:
    filled(store, 4, "ana")
    first = store.next("ana")
    assert first is not None
    assert store.next("ana") == first
    ahead = store.next("ana", after=first[1].pair.id)
    assert ahead is not None
    assert ahead[1].pair.id != first[1].pair.id
    assert store.next("ana", after=first[1].pair.id) == ahead
    assert store.next("ana") == first, "what was fetched ahead changes nothing"
    vote(store, "ana")
    assert store.next("ana") == ahead


def test_the_most_telling_pair_comes_first_and_what_another_began_before_it(store: Store) -> None:
    ids = filled(store, 5, "ana", "ben")
    by_priority = sorted(ids, key=lambda pair: -store.pair(pair).pair.priority)
    assert [made.pair_id for made in all_votes(store, "ana")] == by_priority
    fresh = new_pair(99, proxy=None)
    store.add_pairs([fresh], by="test")
    seen = [made.pair_id for made in all_votes(store, "ben")]
    assert sorted(seen[:5]) == sorted(ids), "pairs that ana has begun come first, though the new one tells more"
    assert len(seen) == 6


def test_no_pair_gets_more_reviewers_than_it_wants(store: Store) -> None:
    filled(store, 6, "ana", "ben", "cem")
    for name in ("ana", "ben", "cem", "ana", "ben", "cem"):
        vote(store, name)
    for name in ("ana", "ben", "cem"):
        list(all_votes(store, name))
    given = Counter(made.pair_id for made in store.votes())
    assert set(given.values()) == {2}
    assert store.next("cem") is None


def test_a_skipped_pair_goes_to_another_reviewer(store: Store) -> None:
    (pair,) = filled(store, 1, "ana", "ben", "cem")
    vote(store, "ana", "skip")
    assert store.next("ana") is None
    assert [vote(store, name).pair_id for name in ("ben", "cem")] == [pair, pair]


def test_a_pair_that_was_left_lying_goes_to_another_after_half_an_hour(make: Make) -> None:
    clock = Clock()
    store = make(queue=PLAIN, clock=clock)
    filled(store, 1, "ana", "ben", "cem")
    assert store.next("ana")
    vote(store, "ben")
    assert store.next("cem") is None
    assert store.progress("cem").left == 0
    clock.forward(minutes=31)
    assert store.progress("cem").left == 1
    vote(store, "cem")
    vote(store, "ana")
    assert len(list(store.votes())) == 3, "who comes back can still vote"


def test_repeats_show_the_other_side_after_ten_others(make: Make) -> None:
    store = make(queue=QueueSettings(repeat_share=0.4, gold_share=0))
    filled(store, 24, "ana")
    made = list(all_votes(store, "ana"))
    repeats = [(place, again) for place, again in enumerate(made) if again.purpose == "repeat"]
    assert len(repeats) > 3
    for place, again in repeats:
        before = next(place for place, earlier in enumerate(made) if earlier.pair_id == again.pair_id)
        assert made[before].left != again.left
        assert place - before > 10
    assert Counter(again.pair_id for _, again in repeats).most_common(1)[0][1] == 1


def test_gold_pairs_are_strewn_in_and_seen_once(make: Make) -> None:
    store = make(queue=QueueSettings(repeat_share=0, gold_share=0.2))
    filled(store, 20, "ana", "ben")
    store.add_pairs((new_pair(100 + number, gold="second") for number in range(3)), by="test")
    for name in ("ana", "ben"):
        made = list(all_votes(store, name))
        places = [place for place, one in enumerate(made) if one.purpose == "gold"]
        assert len(places) == 3
        assert places[0] < 20, "gold pairs do not all wait for the end"


def test_who_is_no_reviewer_has_no_queue(store: Store) -> None:
    filled(store, 1)
    for ask in (store.next, store.progress):
        with pytest.raises(InputError, match="no reviewer named 'eve'"):
            ask("eve")


# --- votes ------------------------------------------------------------------------------


def test_a_vote_is_stored_in_the_pairs_own_order(store: Store) -> None:
    filled(store, 8, "ana")
    for choice in ("a", "b", "tie", "both_bad", "a", "b", "skip", "a"):
        found = store.next("ana")
        assert found is not None
        rubric = {"a": {"accuracy": 5, "safety": 1}, "b": {"accuracy": 2}}
        made = store.vote(found[0].id, choice, reviewer="ana", key=uuid4().hex, rubric=rubric, comment="x\0y")
        better = {"a": found[0].left, "b": found[0].side("b")}.get(choice, choice)
        assert made.choice == better
        assert made.rubric[found[0].left] == {"accuracy": 5, "safety": 1}
        assert made.comment == "xy"
    assert {made.left for made in store.votes()} == {"first", "second"}


def test_the_same_key_is_one_vote(store: Store) -> None:
    filled(store, 2, "ana")
    (showing, _), key = store.next("ana"), "k"  # type: ignore[misc]
    made = store.vote(showing.id, "a", reviewer="ana", key=key)
    assert store.vote(showing.id, "b", reviewer="ana", key=key) == made
    assert list(store.votes()) == [made]
    with pytest.raises(InputError, match="used for another pair"):
        store.vote(store.next("ana")[0].id, "a", reviewer="ana", key=key)  # type: ignore[index]


def test_a_second_vote_needs_an_undo(store: Store) -> None:
    filled(store, 2, "ana")
    showing, _ = store.next("ana")  # type: ignore[misc]
    made = store.vote(showing.id, "a", reviewer="ana", key="1")
    with pytest.raises(InputError, match="judged this pair already"):
        store.vote(showing.id, "b", reviewer="ana", key="2")
    undone = store.undo("ana")
    assert undone is not None
    assert undone.id == made.id
    assert undone.undone_at is not None
    assert store.next("ana")[0] == showing, "what was undone comes first"  # type: ignore[index]
    second = store.vote(showing.id, "b", reviewer="ana", key="3")
    assert list(store.votes()) == [second]
    assert [one.id for one in store.votes(undone=True)] == [made.id, second.id]
    assert store.vote(showing.id, "b", reviewer="ana", key="1").id == made.id, "a late repetition changes nothing"


def test_undo_goes_back_vote_by_vote_and_says_when_there_is_none(store: Store) -> None:
    filled(store, 3, "ana", "ben")
    made = [vote(store, "ana") for _ in range(3)]
    vote(store, "ben")
    assert [store.undo("ana").id for _ in range(3)] == [one.id for one in reversed(made)]  # type: ignore[union-attr]
    assert store.undo("ana") is None
    assert store.undo("ana", made[1].id).id == made[1].id, "undone once"  # type: ignore[union-attr]
    assert [one.what for one in store.log()].count("undo") == 3
    with pytest.raises(InputError, match="no such vote of yours"):
        store.undo("ben", made[0].id)
    assert [one.reviewer for one in store.votes()] == ["ben"]
    assert store.last_vote("ana") is None
    assert store.last_vote("ben") == next(store.votes())
    assert store.find_vote(made[0].id).undone_at  # type: ignore[union-attr]
    assert store.find_vote("none") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choice": "left"}, "one of a, b, tie"),
        ({"reviewer": "ben"}, "another reviewer"),
        ({"key": ""}, "key of its own"),
        ({"seconds": -1.0}, "cannot be"),
        ({"seconds": float("nan")}, "cannot be"),
        ({"rubric": {"a": {"accuracy": 6}}}, "from 1 to 5"),
        ({"rubric": {"a": {"beauty": 3}}}, "from 1 to 5"),
        ({"rubric": {"a": {"accuracy": True}}}, "from 1 to 5"),
        ({"rubric": {"first": {"accuracy": 3}}}, "sides 'a' and 'b'"),
        ({"showing_id": "unknown"}, "not shown by this store"),
    ],
)
def test_a_vote_that_cannot_be_is_refused(store: Store, change: dict[str, Any], said: str) -> None:
    filled(store, 1, "ana", "ben")
    showing, _ = store.next("ana")  # type: ignore[misc]
    with pytest.raises(InputError, match=said):
        store.vote(**{"showing_id": showing.id, "choice": "a", "reviewer": "ana", "key": "k", **change})
    assert list(store.votes()) == []


def test_disagreements_are_decided_by_an_admin(store: Store) -> None:
    (pair,) = filled(store, 1, "ana", "ben")
    store.add_reviewer("adm", "admin", by="adm")
    for name in ("ana", "ben"):
        showing, _ = store.next(name)  # type: ignore[misc]
        store.vote(showing.id, showing.shown("first" if name == "ana" else "second"), reviewer=name, key=name)
    assert store.disagreements() == [pair]
    with pytest.raises(InputError, match="Only an admin"):
        store.adjudication(pair, "ana")
    showing, view = store.adjudication(pair, "adm")
    assert store.adjudication(pair, "adm")[0] == showing
    assert view.pair.id == pair
    with pytest.raises(InputError, match="decides nothing"):
        store.vote(showing.id, "skip", reviewer="adm", key="k")
    made = store.vote(showing.id, "tie", reviewer="adm", key="k")
    assert (made.kind, made.choice) == ("adjudication", "tie")
    assert store.disagreements() == []
    store.undo("adm")
    assert store.disagreements() == [pair]
    assert store.progress("adm").done == 0


def test_progress_counts_what_is_done_and_left(make: Make) -> None:
    clock = Clock()
    store = make(queue=PLAIN, clock=clock)
    filled(store, 5, "ana", "ben")
    fresh = store.progress("ana")
    assert (fresh.done, fresh.left, fresh.total, fresh.seconds_each, fresh.minutes_left) == (0, 5, 5, None, None)
    for seconds in (10, 20, 60):
        vote(store, "ana", seconds=seconds)
    store.next("ana")
    clock.forward(days=1)
    vote(store, "ana", seconds=30)
    store.undo("ana")
    vote(store, "ana", "skip", seconds=30)
    done = store.progress("ana")
    assert (done.done, done.skipped, done.left, done.total, done.today) == (3, 1, 1, 4, 0)
    assert done.seconds_each == 25
    assert done.minutes_left == pytest.approx(25 / 60)
    assert store.progress("ben").left == 5


# --- edits and drafts -------------------------------------------------------------------


def test_a_correction_is_kept_and_can_be_undone(store: Store) -> None:
    (pair,) = filled(store, 1, "ana", "ben")
    answer = store.pair(pair).first
    made = store.edit(pair, answer.id, " Better. ", reviewer="ana", key="1")
    assert made.text == "Better."
    assert store.edit(pair, answer.id, "Better still.", reviewer="ana", key="1") == made
    again = store.edit(pair, answer.id, "Better still.", reviewer="ana", key="2")
    assert store.edits(pair_id=pair) == [made, again]
    with pytest.raises(InputError, match="no such correction of yours"):
        store.undo_edit("ben", again.id)
    assert store.undo_edit("ana", again.id).undone_at is not None
    assert store.edits() == [made]
    assert len(store.edits(undone=True)) == 2
    for wrong in ("", answer.text):
        with pytest.raises(InputError, match="neither empty nor"):
            store.edit(pair, answer.id, wrong, reviewer="ana", key="3")
    with pytest.raises(InputError, match="one of the pair's two answers"):
        store.edit(pair, "another", "Better.", reviewer="ana", key="3")


def test_a_draft_lives_until_the_vote_and_again_after_its_undoing(make: Make) -> None:
    clock = Clock()
    store = make(queue=PLAIN, clock=clock)
    (pair,) = filled(store, 1, "ana", "ben")
    assert store.draft("ana", pair) is None
    for words in ("Not qu", "Not quite"):
        store.save_draft("ana", pair, Draft({"a": {"safety": 4}}, words, {"b": "It is a nevus."}))
    draft = store.draft("ana", pair)
    assert draft == Draft({"a": {"safety": 4}}, "Not quite", {"b": "It is a nevus."})
    assert store.draft("ben", pair) is None
    clock.forward(seconds=1)
    vote(store, "ana")
    assert store.draft("ana", pair) is None
    store.undo("ana")
    assert store.draft("ana", pair) == draft


# --- reading ----------------------------------------------------------------------------


def test_columns_hold_every_vote_that_was_not_undone(make: Make) -> None:
    store = make(queue=QueueSettings(repeat_share=0.2, repeat_after=3, gold_share=0.1))
    filled(store, 12, "ana", "ben")
    store.add_pairs([new_pair(50, gold="first", proxy=None)], by="test")
    list(all_votes(store, "ana"))
    list(all_votes(store, "ben", "b"))
    store.undo("ana")
    graded = vote(store, "ana", rubric={"a": {"safety": 2}})
    frame = store.columns()
    votes = list(store.votes())
    assert list(frame["vote"]) == [one.id for one in votes]
    for row, one in zip(frame.to_dict("records"), votes, strict=True):
        pair = store.pair(one.pair_id)
        assert (row["reviewer"], row["choice"], row["left"]) == (one.reviewer, one.choice, one.left)
        assert (row["purpose"], row["kind"], row["seconds"]) == (one.purpose, one.kind, one.seconds)
        assert row["diagnosis"] == pair.case.diagnosis
        assert abs(row["at"].to_pydatetime() - one.at.replace(tzinfo=None)) <= timedelta(seconds=1)
        assert (row["prefers"] == "first") == (pair.pair.proxy is not None)
        assert (row["margin"] == row["margin"]) == (pair.pair.proxy is not None)
    last = frame.iloc[-1]
    assert last[f"{graded.left}_safety"] == 2
    assert last.filter(like="_accuracy").isna().all()


def test_columns_of_an_empty_store(store: Store) -> None:
    frame = store.columns()
    assert len(frame) == 0
    assert {"vote", "reviewer", "margin", "at", "second_safety"} <= set(frame.columns)


def test_the_log_tells_every_change_in_order(make: Make) -> None:
    clock = Clock()
    store = make(queue=PLAIN, clock=clock)
    store.add_pairs([with_image(picture())], by="imp")
    store.add_reviewer("ana", by="adm")
    showing, view = store.next("ana")  # type: ignore[misc]
    store.save_draft("ana", view.pair.id, Draft(comment="hm"))
    made = store.vote(showing.id, "a", reviewer="ana", key="1")
    store.undo("ana")
    edit = store.edit(view.pair.id, view.first.id, "Better.", reviewer="ana", key="2")
    store.undo_edit("ana", edit.id)
    store.thumb(view.first.id, up=False, who="vis")
    store.add_set("one", SetRule(), [], digest="d", card="c", by="adm")
    log = list(store.log())
    assert [change.what for change in log] == [
        *("image kept", "case", "answer", "answer", "pair", "reviewer", "role", "showing", "draft"),
        *("vote", "undo", "edit", "edit undone", "thumb", "set"),
    ]
    assert [change.number for change in log] == sorted(change.number for change in log)
    assert {change.what for change in log} < set(schema.CHANGES)
    assert [change.subject for change in log if change.what in ("vote", "undo")] == [made.id, made.id]
    assert {change.who for change in log} == {"imp", "adm", "ana", "vis"}


# --- sets -------------------------------------------------------------------------------


def test_sets_have_versions_and_keep_their_lines(store: Store) -> None:
    ids = filled(store, 3)
    lines = [{"pair": pair, "prompt": [{"role": "user"}], "b": 1, "a": None} for pair in ids]
    rule = SetRule("adjudicated", min_margin=0.1)
    one = store.add_set("mine", rule, lines, digest="d1", card="# Mine", by="ana")
    two = store.add_set("mine", SetRule(), lines[:1], digest="d2", card="", by="ana")
    assert (one.version, two.version, one.pairs) == (1, 2, 3)
    assert store.frozen_set("mine") == two
    assert store.frozen_set("mine", 1) == one
    assert store.frozen_sets() == [one, two]
    kept = list(store.set_lines("mine", 1))
    assert kept == lines
    assert [list(line) for line in kept] == [list(line) for line in lines], "keys stay in their order"
    for ask in (lambda: store.frozen_set("yours"), lambda: list(store.set_lines("mine", 3))):
        with pytest.raises(DataError, match="no frozen set"):
            ask()


# --- nothing is overwritten -------------------------------------------------------------


def test_the_database_refuses_to_change_what_was_appended(store: Store) -> None:
    _with_a_row_everywhere(store)
    for table in schema.APPENDED:
        column = next(iter(table.c))
        for statement in (update(table).values({column: column}), delete(table)):
            with pytest.raises(DBAPIError, match="only ever appended to"), store._database.writing() as connection:
                connection.execute(statement)


def _with_a_row_everywhere(store: Store) -> None:
    store.add_pairs([with_image(picture())], by="test")
    store.add_reviewer("ana", by="test")
    made = vote(store, "ana")
    view = store.pair(made.pair_id)
    store.undo("ana")
    store.undo_edit("ana", store.edit(made.pair_id, view.first.id, "Better.", reviewer="ana", key="k").id)
    store.save_draft("ana", made.pair_id, Draft(comment="hm"))
    store.take_back(store.thumb(view.first.id, up=True, who="ana").id, by="ana")
    _a_thumb_with_its_image_taken_back(store)
    store.purge_image(view.case.images[0].sha256, by="test", why="asked")
    store.add_set("one", SetRule(), [{"pair": made.pair_id}], digest="d", card="c", by="test")


def _a_thumb_with_its_image_taken_back(store: Store) -> None:
    given = with_image(picture("pink"))
    store.add_case(given.case, given.images, by="vis")
    store.add_answers([given.first], by="vis")
    store.take_back(store.thumb(given.first.id, up=True, who="vis").id, by="vis")


def test_what_is_derived_can_be_built_anew(make: Make) -> None:
    store = make(queue=QueueSettings(repeat_share=0.2))
    filled(store, 12, "ana", "ben", "cem", overlap=3)
    store.add_pairs([new_pair(60, gold="first")], by="test")
    store.add_reviewer("adm", "admin", by="test")
    for name, choice in (("ana", "a"), ("ben", "b"), ("cem", "tie")):
        for _ in range(6):
            vote(store, name, choice)
        store.next(name)
    vote(store, "cem", "skip")
    store.undo("ana")
    decided, _ = store.adjudication(store.disagreements()[0], "adm")
    store.vote(decided.id, "a", reviewer="adm", key="adm")

    def derived() -> list[Any]:
        tallies = [{**row._mapping} for row in rows(store, schema.tallies, schema.tallies.c.pair_id)]
        for row in tallies:
            row["priority"], row["weight"] = round(row["priority"], 9), round(row["weight"], 9)
        return [tallies, rows(store, schema.open_showings, schema.open_showings.c.number)]

    before = derived()
    store.rebuild()
    assert derived() == before
    assert len({row["stage"] for row in before[0]}) > 2, "the test has pairs at several stages"


# --- many at once -----------------------------------------------------------------------


def at_once(work: list[Callable[[], Any]]) -> list[Any]:
    """Results in the order of the work; an exception is a result too."""
    results: list[Any] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(place: int) -> None:
        start.wait()
        try:
            results[place] = work[place]()
        except Exception as error:  # told to the test
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_reviewer_who_asks_twice_at_once_is_shown_one_pair(store: Store) -> None:
    filled(store, 5, "ana")
    shown = at_once([lambda: store.next("ana")] * 6)
    assert len({found[0].id for found in shown}) == 1


def test_reviewers_who_ask_at_once_share_no_pair_beyond_its_overlap(store: Store) -> None:
    names = [f"r{number}" for number in range(8)]
    filled(store, 4, *names)
    shown = at_once([lambda name=name: store.next(name) for name in names])  # type: ignore[misc]
    assert set(Counter(found[1].pair.id for found in shown).values()) == {2}


def test_one_vote_sent_many_times_at_once_is_one_vote(store: Store) -> None:
    filled(store, 1, "ana")
    showing, _ = store.next("ana")  # type: ignore[misc]
    same = at_once([lambda: store.vote(showing.id, "a", reviewer="ana", key="k")] * 6)
    assert len({made.id for made in same}) == 1
    store.undo("ana")
    others = at_once([lambda n=n: store.vote(showing.id, "a", reviewer="ana", key=f"k{n}") for n in range(6)])  # type: ignore[misc]
    refused = [one for one in others if isinstance(one, InputError)]
    assert len(refused) == 5
    assert len(list(store.votes())) == 1


def test_a_newest_vote_undone_many_times_at_once_is_as_many_votes(store: Store) -> None:
    filled(store, 4, "ana")
    made = {vote(store, "ana").id for _ in range(4)}
    undone = at_once([lambda: store.undo("ana")] * 4)
    assert {one.id for one in undone} == made
    assert list(store.votes()) == []


def test_writers_are_let_in_in_the_order_in_which_they_came() -> None:
    line, order = Line(1), []

    def enter(name: str) -> None:
        with line:
            order.append(name)

    with line:
        threads = []
        for name in "abcdef":
            threads.append(threading.Thread(target=enter, args=(name,)))
            threads[-1].start()
            while len(line._waiting) < len(threads):
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert "".join(order) == "abcdef"


# --- opening ----------------------------------------------------------------------------


def test_settings_name_the_place(tmp_path: Path) -> None:
    folder = tmp_path / "50% here? #1"
    store = Store.open(Settings.load([], {"DERMIQ_REVIEW": str(folder)}))
    filled(store, 1)
    store.close()
    shutil.copy(folder / "review.db", tmp_path)
    again = Store.open(f"sqlite:///{tmp_path / 'review.db'}")
    assert len(list(again.pairs())) == 1
    again.close()
    assert Settings.load([], {"DERMIQ_REVIEW_DB": "postgresql://x"}).review_db == "postgresql://x"


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store._database.reading() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")
        }
    store.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2: FULL


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("mysql://somewhere/db", InputError, "SQLite or PostgreSQL"),
        ("nonsense://", InputError, "SQLite or PostgreSQL"),
        ("postgresql://review:secret@/none?host=/nowhere", DataError, "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_is_said_so(url: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)


def test_ids_are_of_the_content() -> None:
    case = new_case(1)
    assert case.id == ReviewCase.of(case.prompt, "put otherwise", context="older").id
    assert case.id != new_case(2).id
    assert ReviewAnswer.of("c", "x").id != ReviewAnswer.of("d", "x").id
