"""Pairs from files and data sets: what becomes of each column, of duplicates, of lines that cannot be used."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermiq.errors import DataError
from dermiq.files.examples import examples_of
from dermiq.lesion import read_lesion
from dermiq.lesion.drawn import drawn_examples
from dermiq.review.sets.pictures import polygon
from dermiq.review.sets.rows import pair_of
from dermiq.review.sets.sources import Imported, import_pairs
from dermiq.review.store.store import Store
from dermiq.review.types import ImageRef, NewPair, PairView

Row = dict[str, Any]
GOOD, BAD = "It looks benign.", "It is melanoma."
CHAT = [
    {"role": "system", "content": [{"type": "text", "text": "You help."}]},
    {
        "role": "user",
        "content": [
            {"type": "image"},
            {
                "type": "text",
                "text": "Patient: 54-year-old male, back.\nMeasured: asymmetric; three colours.\nFacts: none.\n"
                "Question: What is it?\nThink in four steps, then answer.",
            },
        ],
    },
]
PROXIED: Row = {
    "images": ["0.png"],
    "boxes": [[4, 8, 60, 90]],
    "prompt": CHAT,
    "chosen": [{"role": "assistant", "content": [{"type": "text", "text": GOOD}]}],
    "rejected": [{"role": "assistant", "content": [{"type": "text", "text": BAD}]}],
    "margin": 0.25,
    "decided_by": "correctness",
    "reasons": ["It answers melanoma; the label is nevus."],
    "scores": {"chosen": {"correctness": 1.0, "accuracy": None}, "rejected": {"correctness": 0.0, "accuracy": 1.0}},
    "question": "What is it?",
    "made": {"model": "nano", "revision": "1", "settings": {"seed": 1}},
    "group": "ham10000:L1",
    "split": "val",
    "diagnosis": "nv",
    "case": "0.png",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "review")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With three lesions in it."""
    made = tmp_path / "data"
    made.mkdir()
    for i, (_, pixels) in enumerate(drawn_examples()[:3]):
        Image.fromarray(pixels).save(made / f"{i}.png")
    return made


def jsonl(folder: Path, rows: list[Any], name: str = "pairs.jsonl") -> Path:
    (folder / name).write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return folder / name


def plain(i: int, **more: Any) -> Row:
    return {"images": [f"{i % 3}.png"], "prompt": f"What is lesion {i}?", "chosen": GOOD, "rejected": BAD, **more}


def pair(row: Row) -> NewPair:
    """Of a row without images."""
    [example] = examples_of("Line 1", row, "pairs")
    return pair_of(example.columns, lambda value: ImageRef("", 1, 1))


def views(store: Store) -> list[PairView]:
    return list(store.pairs())


# --- what becomes of a line -----------------------------------------------------------------


def test_a_line_of_the_graph_is_there_whole(store: Store, folder: Path) -> None:
    assert import_pairs(store, jsonl(folder, [PROXIED]), by="ana") == Imported(1, 1, 0, ())
    [view] = views(store)
    case, pair = view.case, view.pair
    assert (case.question, case.context, case.findings) == (
        "What is it?",
        "54-year-old male, back.",
        ("asymmetric", "three colours"),
    )
    assert (case.diagnosis, case.group, case.split, case.source) == ("nv", "ham10000:L1", "val", "pairs.jsonl")
    assert [dict(turn) for turn in case.prompt] == CHAT
    assert case.boxes == ((8, 4, 90, 60),)  # left, top, right, bottom
    assert pair.source == "proxy"
    assert pair.proxy is not None
    assert pair.proxy.prefers is not None
    assert view.answer(pair.proxy.prefers).text == GOOD
    assert (pair.proxy.margin, pair.proxy.decided_by) == (0.25, "correctness")
    assert pair.proxy.reasons == ("It answers melanoma; the label is nevus.",)
    assert pair.proxy.scores[pair.proxy.prefers] == {"correctness": 1.0, "accuracy": None}
    assert {(a.model, a.revision) for a in (view.first, view.second)} == {("nano", "1")}
    assert pair.gold is None
    kept = read_lesion(store.image(case.images[0].sha256)).pixels
    assert (kept == read_lesion((folder / "0.png").read_bytes()).pixels).all()
    assert (case.images[0].height, case.images[0].width) == kept.shape[:2]


def test_the_order_does_not_tell_which_was_chosen(store: Store, folder: Path) -> None:
    """Over 60 pairs about half of the chosen ones are first, and swapping the columns changes no order."""
    rows = [plain(i) for i in range(60)]
    import_pairs(store, jsonl(folder, rows), by="ana")
    first = [view.first.text for view in views(store)]
    assert 18 <= first.count(GOOD) <= 42
    swapped = [{**row, "chosen": BAD, "rejected": GOOD} for row in rows]
    assert import_pairs(store, jsonl(folder, swapped), by="ana").duplicates == 60
    other = Store.open(folder / "other")
    import_pairs(other, jsonl(folder, swapped), by="ana")
    assert [view.first.text for view in views(other)] == first
    other.close()


def test_gold_is_what_the_file_prefers(store: Store, folder: Path) -> None:
    import_pairs(store, jsonl(folder, [plain(i) for i in range(8)]), by="ana", gold=True, overlap=3)
    for view in views(store):
        assert view.pair.gold is not None
        assert view.answer(view.pair.gold).text == GOOD
        assert (view.pair.overlap, view.pair.proxy, view.pair.source) == (3, None, "import")


def test_two_models(store: Store, folder: Path) -> None:
    models = {"chosen": {"model": "new", "revision": "2"}, "rejected": {"model": "old", "revision": "1"}}
    import_pairs(store, jsonl(folder, [{**PROXIED, "models": models}]), by="ana")
    [view] = views(store)
    assert view.pair.source == "checkpoints"
    assert {a.text: a.model for a in (view.first, view.second)} == {GOOD: "new", BAD: "old"}


def test_a_prompt_that_stands_in_both_answers() -> None:
    asked = [{"role": "user", "content": "What is it?"}]
    told = [[*asked, {"role": "assistant", "content": text}] for text in (GOOD, BAD)]
    found = pair({"chosen": told[0], "rejected": told[1]})
    assert found.case.prompt == ({"role": "user", "content": [{"type": "text", "text": "What is it?"}]},)
    assert {found.first.text, found.second.text} == {GOOD, BAD}


def test_a_prompt_that_says_that_nothing_is_known() -> None:
    prompt = "Patient: not told.\nMeasured: nothing.\nFacts: none.\nQuestion: Is it urgent?"
    found = pair({"prompt": prompt, "chosen": GOOD, "rejected": BAD})
    assert (found.case.context, found.case.findings, found.case.question) == ("", (), "Is it urgent?")


def test_images_without_a_place_get_one(store: Store, folder: Path) -> None:
    import_pairs(store, jsonl(folder, [plain(0), plain(1, images=["1.png", "2.png"])]), by="ana")
    one, two = views(store)
    assert [part["type"] for part in one.case.prompt[0]["content"]] == ["image", "text"]
    assert [part["type"] for part in two.case.prompt[0]["content"]] == ["image", "image", "text"]
    assert one.case.question == "What is lesion 0?"


def test_notes_in_a_file_do_not_come_along(store: Store, folder: Path) -> None:
    """A camera's, and a turned picture's: what is kept is upright and says nothing else."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Image.open(folder / "0.png").convert("RGB").save(folder / "0.jpg", exif=exif)
    import_pairs(store, jsonl(folder, [plain(0, images=["0.jpg"])]), by="ana")
    [image] = views(store)[0].case.images
    with Image.open(io.BytesIO(store.image(image.sha256))) as kept, Image.open(folder / "0.jpg") as file:
        assert not kept.getexif()
        assert kept.size == file.size[::-1]
    assert b"Maker" not in store.image(image.sha256)


def test_a_large_picture_is_kept_at_the_size_in_which_boxes_are(store: Store, folder: Path) -> None:
    Image.fromarray(drawn_examples()[0][1]).resize((3000, 1500)).save(folder / "large.jpg")
    import_pairs(store, jsonl(folder, [plain(0, images=["large.jpg"], boxes=[[0, 0, 900, 2000]])]), by="ana")
    [image] = views(store)[0].case.images
    assert (image.width, image.height) == (2048, 1024)


# --- duplicates and refusals ----------------------------------------------------------------


def test_duplicates_are_recognised(store: Store, folder: Path) -> None:
    file = jsonl(folder, [plain(0), plain(1), plain(0), plain(1, chosen="Another.")])
    assert import_pairs(store, file, by="ana") == Imported(2, 3, 1, ())
    assert import_pairs(store, file, by="ben") == Imported(0, 0, 4, ())


BROKEN = [
    ("{no JSON", "it is not JSON"),
    ([1], "not a JSON object"),
    ({"prompt": "?", "chosen": GOOD}, "rejected is missing"),
    ({"prompt": "?", "chosen": GOOD, "rejected": " "}, "rejected is empty"),
    ({"prompt": "?", "chosen": GOOD, "rejected": f" {GOOD}"}, "the same text"),
    ({"prompt": " ", "chosen": GOOD, "rejected": BAD}, "does not end with a user's turn"),
    ({"prompt": [{"role": "assistant", "content": "x"}], "chosen": GOOD, "rejected": BAD}, "a user's turn"),
    ({"prompt": [{"text": "x"}], "chosen": GOOD, "rejected": BAD}, "must be texts or lists of messages"),
    ({"prompt": "?", "chosen": [{"role": "user", "content": GOOD}], "rejected": BAD}, "not one turn of the assistant"),
    ({"prompt": CHAT, "chosen": GOOD, "rejected": BAD}, "there are 0 image(s), but the prompt has 1"),
    ({**PROXIED, "images": ["missing.png"]}, "the image missing.png does not exist"),
    ({**PROXIED, "images": ["text.png"]}, "the image text.png cannot be used. This is not an image"),
    ({**PROXIED, "images": [7]}, "images holds a int"),
    ({**PROXIED, "boxes": [[5, 0, 5, 9]]}, "holds nothing of an image"),
    ({**PROXIED, "boxes": [[9000, 0, 9001, 9]]}, "holds nothing of an image"),
    ({**PROXIED, "boxes": [[0, 0, 5.5, 9]]}, "boxes must hold"),
    ({**PROXIED, "margin": "wide"}, "is no number"),
    ({**PROXIED, "margin": -0.5}, "would prefer the rejected one"),
    ({**PROXIED, "scores": {"chosen": {}}}, "scores must hold"),
]


def test_lines_that_cannot_be_used_are_named_and_nothing_is_imported(store: Store, folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    file = jsonl(folder, [plain(0), *(row for row, _ in BROKEN), plain(1)])
    found = import_pairs(store, file, by="ana")
    assert len(found.refused) == len(BROKEN)
    for number, (said, (_, words)) in enumerate(zip(found.refused, BROKEN, strict=True), 2):
        assert said.startswith(f"Line {number}: ")
        assert words in said
    assert (found.cases, found.pairs, views(store)) == (0, 0, [])
    assert import_pairs(store, file, by="ana", despite_refused=True).pairs == 2
    assert len(views(store)) == 2


def test_a_sent_file_reaches_no_image_elsewhere(store: Store, folder: Path, tmp_path: Path) -> None:
    Image.open(folder / "0.png").save(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        file = jsonl(folder, [plain(0, images=[name])])
        assert (
            "does not lie below the folder of the file"
            in import_pairs(store, file, by="ana", anywhere=False).refused[0]
        )
    assert import_pairs(store, file, by="ana").pairs == 1


def test_a_deleted_image_does_not_come_back(store: Store, folder: Path) -> None:
    file = jsonl(folder, [plain(0), plain(1)])
    import_pairs(store, file, by="ana")
    store.purge_image(views(store)[0].case.images[0].sha256, by="ana", why="consent withdrawn")
    assert import_pairs(store, file, by="ana").refused == (
        "Line 1: the image 0.png was deleted from the review on purpose.",
    )


@pytest.mark.parametrize(
    ("name", "words"), [("none.jsonl", "does not exist"), ("x.doc", "is no source"), ("x", "is no")]
)
def test_sources_that_are_none(store: Store, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        import_pairs(store, name, by="ana")


# --- other forms ----------------------------------------------------------------------------


def test_csv(store: Store, folder: Path) -> None:
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "prompt", "chosen", "rejected", "diagnosis", "margin"])
        writer.writerow(["0.png", "[1] What\nis it?", GOOD, BAD, "nv", ""])
        writer.writerow(["", json.dumps([*CHAT[:1], {"role": "user", "content": "Why?"}]), GOOD, BAD, "", "0.5"])
    assert import_pairs(store, folder / "pairs.csv", by="ana").pairs == 2
    one, two = views(store)
    assert (one.case.question, one.case.diagnosis, len(one.case.images)) == ("[1] What\nis it?", "nv", 1)
    assert (two.case.question, two.case.diagnosis, len(two.case.images)) == ("Why?", None, 0)
    (folder / "torn.csv").write_text("prompt,chosen,rejected\n?,a\n")
    assert "Line 2: rejected is missing" in import_pairs(store, folder / "torn.csv", by="ana").refused[0]


def test_data_sets_with_images_in_them(store: Store, folder: Path) -> None:
    """As `datasets` saves them: PIL images, bytes in Parquet, and messages filled up with nothing."""
    from datasets import Dataset, DatasetDict, Features, List, Value
    from datasets import Image as Picture

    features = Features(
        {"images": List(Picture()), **{name: Value("string") for name in ("prompt", "chosen", "rejected")}}
    )
    rows = [plain(i, images=[Image.open(folder / f"{i}.png").convert("RGB")]) for i in range(2)]
    made = Dataset.from_list(rows, features=features)
    DatasetDict({"train": made, "validation": made.select([0])}).save_to_disk(str(folder / "set"))
    assert import_pairs(store, folder / "set", by="ana") == Imported(2, 2, 1, ())
    made.to_parquet(str(folder / "pairs.parquet"))
    assert import_pairs(store, folder / "pairs.parquet", by="ana") == Imported(0, 0, 2, ())


# --- outlines -------------------------------------------------------------------------------


def test_an_outline_goes_around_the_mask() -> None:
    rows, columns = np.mgrid[:100, :140]
    found = polygon((rows - 50) ** 2 + (columns - 60) ** 2 < 30**2)
    assert found is not None
    distances = [np.hypot(x - 60, y - 50) for x, y in found]
    assert 50 < len(found) <= 120
    assert 28.5 < min(distances) <= max(distances) < 31.5
    assert polygon(np.zeros((5, 5), bool)) is None


def test_an_import_can_draw_outlines(store: Store, folder: Path) -> None:
    triangle = ((0.0, 0.0), (9.0, 0.0), (0.0, 9.0))
    import_pairs(store, jsonl(folder, [plain(0)]), by="ana", outline=lambda pixels: triangle)
    assert views(store)[0].case.images[0].outline == triangle


# --- known answers --------------------------------------------------------------------------


def swapped(row: Row) -> Row:
    return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}


def test_known_answers_that_contradict_each_other_are_refused(store: Store, folder: Path) -> None:
    """In one file: with both lines, and neither of the two is imported."""
    file = jsonl(folder, [plain(0), plain(1), swapped(plain(0)), plain(1)])
    found = import_pairs(store, file, by="ana", gold=True)
    assert found.refused == (
        "Line 3: it contradicts line 1, which prefers the other answer to the same prompt and images. Only one can be "
        "known to be right.",
    )
    assert views(store) == []
    found = import_pairs(store, file, by="ana", gold=True, despite_refused=True)
    assert (found.pairs, found.duplicates) == (1, 1)
    assert [view.case.question for view in views(store)] == ["What is lesion 1?"]


def test_a_known_answer_that_contradicts_the_review_is_refused(store: Store, folder: Path) -> None:
    import_pairs(store, jsonl(folder, [plain(0)]), by="ana", gold=True)
    import_pairs(store, jsonl(folder, [plain(1)]), by="ana")
    again = [plain(0), plain(1)]
    found = import_pairs(store, jsonl(folder, again), by="ana", gold=True)
    assert found.told == ("1 of them have no known answer in the review and get none: a pair stays as it came.",)
    assert (found.refused, found.duplicates) == ((), 2)
    found = import_pairs(store, jsonl(folder, [plain(2), *map(swapped, again)]), by="ana", gold=True)
    assert found.refused == (
        "Line 2: the review has this pair already, and knows the other answer to be the right one.",
    )
    assert import_pairs(store, jsonl(folder, list(map(swapped, again))), by="ana").refused == ()  # nothing is known
