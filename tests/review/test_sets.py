"""What becomes of votes in a frozen set: each rule, corrections, the card, the export and what reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dermiq.errors import DataError, InputError
from dermiq.review.sets.decide import Decision, Said, decide
from dermiq.review.sets.freeze import digest_of, export, find, freeze, lines, present
from dermiq.review.store.store import Store
from dermiq.review.types import (
    Edit,
    ImageRef,
    PairView,
    Proxy,
    ReviewAnswer,
    ReviewCase,
    ReviewPair,
    SetRule,
    is_frozen_set,
    pair_id,
)
from tests.review.votes import BAD, GOOD, adjudicate, by_number, review, store_of
from train.cases.sources import read_source

COLUMNS = ("images", "prompt", "chosen", "rejected")


# --- deciding ---------------------------------------------------------------------------


def view_of(*, prefers: Any = None, gold: Any = None, purged: bool = False) -> PairView:
    case = ReviewCase.of([{"role": "user", "content": "?"}], "?", images=(ImageRef("ab", 9, 9),))
    first, second = (ReviewAnswer.of(case.id, words) for words in ("one", "two"))
    proxy = Proxy(prefers, 0.2) if prefers else None
    pair = ReviewPair(
        pair_id(first.id, second.id),
        case.id,
        first.id,
        second.id,
        "proxy",
        proxy,
        gold,
        None,
        2,
        0.0,
        "ana",
        None,  # type: ignore[arg-type]
    )
    return PairView(case, first, second, pair, ("ab",) if purged else ())


def edit_of(words: str, side: int = 0) -> Edit:
    view = view_of()
    return Edit("e", view.pair.id, (view.first, view.second)[side].id, "ben", words, None)  # type: ignore[arg-type]


ALL = SetRule("adjudicated")
TABLE = [
    ("one vote", Said({"first": 1}), SetRule(), ("first", "majority", 1.0)),
    ("two of three", Said({"second": 2, "first": 1}), SetRule(), ("second", "majority", 1 / 3)),
    ("two of four", Said({"second": 2, "first": 1, "tie": 1}), SetRule(), "no majority"),
    ("one against one", Said({"second": 1, "first": 1}), SetRule(), "no majority"),
    ("not all say so", Said({"second": 2, "first": 1}), ALL, "reviewers differ, and nobody adjudicated"),
    ("all say so", Said({"second": 2}), ALL, ("second", "majority", 1.0)),
    ("adjudicated", Said({"second": 1, "first": 1}, "first"), ALL, ("first", "adjudication", 1 / 3)),
    ("adjudicated here too", Said({"second": 1, "first": 1}, "first"), SetRule(), ("first", "adjudication", 1 / 3)),
    ("against the majority", Said({"second": 3}, "first"), SetRule(), ("first", "adjudication", 0.0)),
    ("adjudicated as a tie", Said({"second": 1, "first": 1}, "tie"), SetRule(), "a tie"),
    ("tied", Said({"tie": 2}), SetRule(), "a tie"),
    ("both bad", Said({"both_bad": 2, "first": 1}), SetRule(), "both bad, and not corrected"),
    ("too few", Said({"first": 1}), SetRule(min_votes=2), "too few votes"),
    ("an adjudication is a vote", Said({"first": 1}, "first"), SetRule(min_votes=2), ("first", "adjudication", 1.0)),
    ("too narrow", Said({"second": 2, "first": 1}), SetRule(min_margin=0.5), "the margin is too small"),
    ("nobody", Said(), SetRule(), "no votes"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "rule", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_people_said(said: Said, rule: SetRule, expected: Any) -> None:
    found = decide(view_of(prefers="second"), said, rule)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, Decision)
        assert (found.chosen, found.decided_by, found.margin) == (*expected[:2], pytest.approx(expected[2]))


def test_the_graph_decides_where_nobody_judged() -> None:
    alone = SetRule(proxy_only=True)
    assert decide(view_of(prefers="second"), Said(), alone) == Decision("second", "proxy", 0.2)
    assert (
        decide(view_of(prefers="second"), Said(), SetRule(proxy_only=True, min_margin=0.3)) == "the margin is too small"
    )
    assert decide(view_of(), Said(), alone) == "no votes, and the graph prefers neither"
    assert decide(view_of(prefers="second"), Said({"tie": 1}), alone) == "a tie"


def test_a_correction_counts_more_than_votes() -> None:
    said = Said({"both_bad": 2}, edits=(edit_of("better", 0), edit_of("best", 1)))
    found = decide(view_of(), said, SetRule())
    assert isinstance(found, Decision)
    assert (found.chosen, found.decided_by, found.margin, found.edit) == ("second", "edit", 1.0, said.edits[1])
    assert decide(view_of(), said, SetRule(with_edits=False)) == "both bad, and not corrected"
    assert (
        decide(view_of(), Said({"both_bad": 1}, edits=(edit_of("one "),)), SetRule()) == "both bad, and not corrected"
    )
    assert decide(view_of(), Said(edits=said.edits), SetRule(min_votes=2)) == "too few votes"


def test_what_is_left_out_in_any_case() -> None:
    said = Said({"first": 2})
    assert decide(view_of(purged=True), said, SetRule()) == "an image was deleted"
    assert decide(view_of(gold="first"), said, SetRule()) == "the answer was known"
    assert isinstance(decide(view_of(gold="first"), said, SetRule(exclude_gold=False)), Decision)


# --- a store with ten pairs --------------------------------------------------------------
# 0-3 good, 4 bad (both reviewers); 5 differ, adjudicated; 6 differ; 7 tie; 8 both bad and corrected; 9 not judged


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = store_of(
        tmp_path_factory.mktemp("judged"),
        10,
        margin=0.4,
        boxes={0: [[2, 4, 90, 100]]},
        split={1: "val", 9: "val"},
        group={0: "ham10000:L0"},
        diagnosis={0: "nv", 1: "mel"},
    )
    told = {**dict.fromkeys(range(4), "good"), 4: "bad", 7: "tie", 8: "both_bad"}
    review(store, "ben", {**told, 5: "good", 6: "good"})
    review(store, "cem", {**told, 5: "bad", 6: "bad"})
    pairs = by_number(store)
    adjudicate(store, pairs[5], BAD)
    wrong = next(a for a in (pairs[8].first, pairs[8].second) if a.text == BAD)
    store.edit(pairs[8].pair.id, wrong.id, "It cannot be told.", reviewer="ben", key="e1")
    yield store
    store.close()


@pytest.fixture(scope="module")
def frozen(judged: Store) -> str:
    made = freeze(judged, "mine", SetRule(proxy_only=True), by="ana")
    return f"mine@{made.version}"


def test_the_lines_are_what_was_decided(judged: Store, frozen: str) -> None:
    found = {line["question"]: line for line in lines(judged, frozen)}
    assert {q.split()[-1]: (answer(line, "chosen"), line["decided_by"]) for q, line in found.items()} == {
        **{f"{i}?": (GOOD, "majority") for i in range(4)},
        "4?": (BAD, "majority"),
        "5?": (BAD, "adjudication"),
        "8?": ("It cannot be told.", "edit"),
        "9?": (GOOD, "proxy"),
    }
    assert answer(found["What is lesion 8?"], "rejected") == BAD
    assert answer(found["What is lesion 4?"], "rejected") == GOOD
    plain = found["What is lesion 0?"]
    assert (plain["boxes"], plain["group"], plain["split"], plain["diagnosis"]) == (
        [[2, 4, 90, 100]],
        "ham10000:L0",
        "train",
        "nv",
    )
    assert (plain["votes"], plain["graph"]) == ({"for": 2}, {"agrees": True, "margin": 0.4})
    assert found["What is lesion 4?"]["graph"]["agrees"] is False
    assert found["What is lesion 5?"]["margin"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["What is lesion 9?"]["margin"] == 0.4
    assert {line["pair"] for line in found.values()} <= {view.pair.id for view in judged.pairs()}


def answer(line: dict[str, Any], role: str) -> str:
    [turn] = line[role]
    assert turn["role"] == "assistant"
    return str(turn["content"][0]["text"])


def test_versions_stay_as_they_were(judged: Store, frozen: str) -> None:
    first = lines(judged, frozen)
    again = freeze(judged, "mine", SetRule(), by="ben")
    assert (again.name, again.version, again.pairs) == ("mine", find(judged, frozen).version + 1, 7)
    assert lines(judged, frozen) == first
    assert digest_of(first) == find(judged, frozen).digest != again.digest
    assert find(judged, "mine").version == again.version
    assert find(judged, f"mine@{again.version}") == again
    same = freeze(judged, "other", SetRule(), by="ana")
    assert (same.version, same.digest) == (1, again.digest)


def test_the_card_counts(judged: Store, frozen: str) -> None:
    card = find(judged, frozen).card
    for words in (
        "8 pairs (6 train, 2 val) about 8 images",
        "What more than half of the reviewers said, or an adjudicator. At least 1 vote(s). Corrections are chosen",
        "- the reviewers' votes: 5",
        "- an adjudicator: 1",
        "- a correction: the corrected answer is chosen over the one that it corrects: 1",
        "- the knowledge graph alone, without any vote: 1",
        "2 reviewer(s) gave 18 votes on 9 pairs",
        "| Krippendorff's alpha | 0.",
        "- mel: 1",
        "- no majority: 1",
        "- a tie: 1",
        "images of ham10000: CC BY-NC 4.0",
    ):
        assert words in card, words
    assert "ben" not in card
    assert "cem" not in card


@pytest.mark.parametrize("name", ["", "a b", "../x", "@", "x@1", "-x", "x" * 65])
def test_names_that_are_none(judged: Store, name: str) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        freeze(judged, name, SetRule(), by="ana")


def test_a_set_with_nothing_in_it_is_refused(judged: Store) -> None:
    with pytest.raises(InputError, match=r"No pair would be in the set \(too few votes: 9; no votes: 1\)"):
        freeze(judged, "none", SetRule(min_votes=4, with_edits=False), by="ana")
    with pytest.raises(DataError, match="no frozen set none"):
        find(judged, "none")


def test_names_of_sets(judged: Store, frozen: str) -> None:
    named = ("a@1", "a.b-c@12", "a", "a@0", "a@x", "a/b@1", "pairs.jsonl", "a@1 ")
    assert [name for name in named if is_frozen_set(name)] == ["a@1", "a.b-c@12"]
    assert find(judged, frozen).version == int(frozen.split("@")[1])
    with pytest.raises(InputError, match="is no name of a set"):
        find(judged, "a b")
    with pytest.raises(DataError, match="no frozen set mine@99"):
        lines(judged, "mine@99")


# --- export -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(judged: Store, frozen: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "mine"
    export(judged, frozen, folder)
    return folder


def test_training_reads_the_export(judged: Store, frozen: str, exported: Path) -> None:
    train, val = (read_source(str(exported / "pairs.jsonl"), split, columns=COLUMNS) for split in ("train", "val"))
    assert (len(train), len(val)) == (6, 2)
    example, line = train[0].load(), lines(judged, frozen)[0]
    assert [example[name] for name in COLUMNS[1:]] == [line[name] for name in COLUMNS[1:]]
    assert example["images"][0].size == (96, 88)  # of the box
    assert train[0].kind == "nv"
    assert {path.name for path in exported.iterdir()} == {"pairs.jsonl", "pairs.parquet", "images", "README.md"}


def test_datasets_reads_the_export(exported: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    written = [json.loads(line) for line in (exported / "pairs.jsonl").read_text().splitlines()]
    for read in (
        load_dataset("json", data_files=str(exported / "pairs.jsonl"), cache_dir=str(tmp_path / "a")),
        load_dataset("parquet", data_files=str(exported / "pairs.parquet"), cache_dir=str(tmp_path / "b")),
        load_dataset(str(exported), cache_dir=str(tmp_path / "c")),  # as its card says
    ):
        rows = read["train"]
        assert rows["pair"] == [line["pair"] for line in written]
        assert [row[0]["content"][0]["text"] for row in rows["chosen"]] == [answer(line, "chosen") for line in written]
        assert all((exported / name).is_file() for names in rows["images"] for name in names)


def test_an_export_can_be_imported_again(exported: Path, tmp_path: Path) -> None:
    from dermiq.review.sets.sources import import_pairs

    other = Store.open(tmp_path / "other")
    assert import_pairs(other, exported / "pairs.jsonl", by="ana").pairs == 8
    assert import_pairs(other, exported / "pairs.parquet", by="ana").duplicates == 8
    other.close()


def test_the_readme_has_the_card(judged: Store, frozen: str, exported: Path) -> None:
    readme, made = (exported / "README.md").read_text(), find(judged, frozen)
    assert readme.startswith("---\nconfigs:")
    assert f"# {frozen}\n" in readme
    assert made.digest in readme
    assert readme.endswith(made.card)
    with pytest.raises(InputError, match="is not empty"):
        export(judged, frozen, exported)


def test_an_image_that_was_deleted_since(tmp_path: Path) -> None:
    store = store_of(tmp_path, 3)
    review(store, "ben", dict.fromkeys(range(3), "good"))
    freeze(store, "mine", SetRule(), by="ana")
    gone = by_number(store)[1].case.images[0].sha256
    store.purge_image(gone, by="ana", why="consent withdrawn")
    assert len(lines(store, "mine")) == 3
    assert len(list(present(store, lines(store, "mine")))) == 2
    export(store, "mine", tmp_path / "out")
    assert len((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()) == 2
    assert "1 of its pairs are missing here" in (tmp_path / "out" / "README.md").read_text()
    assert not list((tmp_path / "out" / "images").glob(f"{gone}*"))
    assert freeze(store, "mine", SetRule(), by="ana").pairs == 2
    store.close()


def test_lines_that_were_changed_are_found_out(tmp_path: Path) -> None:
    """By someone with the database in hand and its guards taken off."""
    store = store_of(tmp_path, 1)
    review(store, "ben", {0: "good"})
    freeze(store, "mine", SetRule(), by="ana")
    with store._database.writing() as connection:
        triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars().all()
        for name in triggers:
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("UPDATE set_lines SET line = replace(line, 'benign', 'malign')"))
    with pytest.raises(DataError, match="are not those that were frozen"):
        lines(store, "mine@1")
    store.close()
