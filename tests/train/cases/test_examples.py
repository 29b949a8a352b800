"""People's files of examples: what is plain is read, what is not is refused with its line, by training and review."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermiq.errors import DataError, DermIQError
from dermiq.files.examples import examples_of, messages, read_examples, text_of
from dermiq.files.examples.cells import value_of
from dermiq.files.examples.pictures import Held
from dermiq.lesion.drawn import drawn_examples
from dermiq.review.sets.sources import Imported, import_pairs
from dermiq.review.store.store import Store
from train.cases.sources import read_source
from train.dpo import DPOConfig

Row = dict[str, Any]
ASKED, GOOD, BAD = "What is it?", "It looks benign.", "It is melanoma."
PAIR: Row = {"prompt": ASKED, "chosen": GOOD, "rejected": BAD}
SHOWN: Row = {"images": ["0.png"], **PAIR}


def said(role: str, text: Any, *, names: tuple[str, str] = ("role", "content")) -> Row:
    return dict(zip(names, (role, text), strict=True))


USER, GOOD_TURN, BAD_TURN = said("user", ASKED), said("assistant", GOOD), said("assistant", BAD)
SHARED = ("from", "value")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two lesions in it."""
    made = tmp_path_factory.mktemp("data")
    for i, (_, pixels) in enumerate(drawn_examples()[:2]):
        Image.fromarray(pixels).save(made / f"{i}.png")
    return made


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """With the pair about the first lesion, and without an image: whatever says the same is a duplicate."""
    opened = Store.open(tmp_path_factory.mktemp("review"))
    for row in (SHOWN, PAIR):
        assert import_pairs(opened, written(folder, [row]), by="ana").pairs == 1
    yield opened
    opened.close()


def written(folder: Path, rows: list[Any], name: str = "pairs.jsonl") -> Path:
    (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / name


def trained_on(file: Path, columns: tuple[str, ...] = DPOConfig.columns) -> list[Row]:
    return [dict(row.load()) for row in read_source(str(file), "train", columns=columns)]


def assert_read_by_both(file: Path, store: Store, images: int) -> None:
    """As the pair that is in the store."""
    [example] = trained_on(file)
    texts = [text_of(messages(example[name], "user")).strip() for name in PAIR]
    assert texts == [ASKED, GOOD, BAD]
    assert len(example["images"]) == images
    assert import_pairs(store, file, by="ana") == Imported(0, 0, 1, ())


# --- one line -------------------------------------------------------------------------------


def bytes_of(name: str = "0.png", pixels: np.ndarray | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(drawn_examples()[0][1] if pixels is None else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


IN_BASE64 = base64.b64encode(bytes_of()).decode()
PLACED = [said("user", [{"type": "image"}, {"type": "text", "text": ASKED}])]
WITH_IMAGE: dict[str, Row] = {
    "images as one text": {"images": "0.png", **PAIR},
    "image": {"image": "0.png", **PAIR},
    "images empty beside image": {"images": [], "image": "0.png", **PAIR},
    "image_path": {"image_path": "0.png", **PAIR},
    "separators of Windows": {"images": [".\\0.png"], **PAIR},
    "as `datasets` writes it": {"images": [{"path": "0.png", "bytes": None}], **PAIR},
    "as a dictionary alone": {"image": {"path": "0.png"}, **PAIR},
    "bytes in base64": {"images": [{"bytes": IN_BASE64}], **PAIR},
    "bytes as numbers": {"images": [{"bytes": list(bytes_of()), "path": None}], **PAIR},
    "a data URL": {"images": f"data:image/png;base64,{IN_BASE64}", **PAIR},
    "null in the list": {"images": ["0.png", None], **PAIR},
    "a list in a text": {"images": "['0.png']", **PAIR},
    "a place in the prompt": {"images": ["0.png"], **PAIR, "prompt": PLACED},
    "a place in the text": {"images": ["0.png"], **PAIR, "prompt": f"<image>\n{ASKED}"},
    "the image in a part": {**PAIR, "prompt": [said("user", [{"type": "image", "image": "0.png"}, ASKED])]},
    "an address in a part": {
        **PAIR,
        "prompt": [
            said(
                "user",
                [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IN_BASE64}"}},
                    {"type": "text", "text": ASKED},
                ],
            )
        ],
    },
    "names in capitals": {"Images": ["0.png"], "Prompt": ASKED, " Chosen": GOOD, "REJECTED": BAD},
    "RLAIF-V": {
        "ds_name": "x",
        "image": {"bytes": IN_BASE64, "path": "a.jpg"},
        "question": ASKED,
        "chosen": GOOD,
        "rejected": BAD,
        "origin_dataset": "x",
        "origin_split": '{"model": "x"}',
        "image_path": "a.jpg",
    },
    "RLHF-V": {"image": "0.png", "text": json.dumps({"question": ASKED, "chosen": GOOD, "rejected": BAD})},
    "LLaMA-Factory": {
        "conversations": [said("human", f"<image>{ASKED}", names=SHARED)],
        "chosen": said("gpt", GOOD, names=SHARED),
        "rejected": said("gpt", BAD, names=SHARED),
        "images": ["0.png"],
    },
    "Label Studio": {
        "id": 1,
        "data": {"prompt": ASKED, "answer1": BAD, "answer2": GOOD, "image": "/data/local-files/?d=0.png"},
        "annotations": [
            {"result": [], "was_cancelled": True},
            {
                "result": [
                    {
                        "value": {"selected": "right"},
                        "type": "pairwise",
                        "from_name": "pw",
                        "to_name": ["answer1", "answer2"],
                    }
                ]
            },
        ],
    },
}
WITHOUT_IMAGE: dict[str, Row] = {
    "no images": PAIR,
    "image null": {**PAIR, "image": None},
    "images null": {**PAIR, "images": None},
    "images NaN": {**PAIR, "images": float("nan")},
    "a list of null": {**PAIR, "images": [None]},
    "None in a text": {**PAIR, "images": "None"},
    "margin NaN": {**PAIR, "margin": float("nan")},
    "margin in a text": {**PAIR, "margin": "0.5"},
    "answers as turns": {"prompt": [USER], "chosen": [GOOD_TURN], "rejected": [BAD_TURN]},
    "answers as one turn": {"prompt": USER, "chosen": GOOD_TURN, "rejected": BAD_TURN},
    "from and value": {
        "prompt": [said("human", ASKED, names=SHARED)],
        "chosen": [said("gpt", GOOD, names=SHARED)],
        "rejected": [said("model", BAD, names=SHARED)],
    },
    "parts filled up": {**PAIR, "prompt": [said("user", [{"type": "text", "text": ASKED, "image": None}, None])]},
    "a system turn that says nothing": {**PAIR, "prompt": [said("system", None), USER]},
    "the prompt in both answers": {"chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN]},
    "UltraFeedback": {
        "prompt": ASKED,
        "prompt_id": "x",
        "messages": [USER, GOOD_TURN],
        "score_chosen": 8.0,
        "chosen": [USER, GOOD_TURN],
        "rejected": [USER, BAD_TURN],
    },
    "Anthropic's dialogues": {
        name: f"\n\nHuman: {ASKED}\n\nAssistant: {PAIR[name]}" for name in ("chosen", "rejected")
    },
    "a dialogue as prompt": {**PAIR, "prompt": f"\n\nHuman: {ASKED}\n\nAssistant:"},
    "Python's text": {"prompt": str([USER]), "chosen": str([GOOD_TURN]), "rejected": str([BAD_TURN])},
    "JSON in a text": {**PAIR, "chosen": json.dumps([GOOD_TURN])},
    "question": {"question": ASKED, "chosen": GOOD, "rejected": BAD},
    "instruction": {"instruction": ASKED, "input": "", "chosen": GOOD, "rejected": BAD},
    "split": {**PAIR, "split": "Training"},
    "a text that speaks of a file": {**PAIR, "note": "as in 0.png"},
    "Argilla 2": {
        "id": "x",
        "fields": {"prompt": ASKED, "response_1": GOOD, "response_2": BAD},
        "metadata": {},
        "responses": {
            "ranking": [
                {
                    "value": [{"value": "response_2", "rank": 2}, {"value": "response_1", "rank": 1}],
                    "status": "submitted",
                },
                {"value": [{"value": "response_2", "rank": 1}], "status": "discarded"},
            ]
        },
    },
    "Argilla 2, flat": {
        "id": "x",
        "status": "completed",
        "instruction": ASKED,
        "response_1": BAD,
        "response_2": GOOD,
        "preference.responses": ["response_2"],
        "preference.responses.users": ["u"],
        "preference.responses.status": ["submitted"],
    },
    "Argilla 1": {
        "fields": {"input": ASKED, "response-1": GOOD, "response-2": BAD},
        "responses": [
            {
                "user_id": "u",
                "values": {
                    "ranking": {"value": [{"rank": 1, "value": "response-1"}, {"rank": 2, "value": "response-2"}]}
                },
                "status": "submitted",
            }
        ],
    },
    "Argilla 1 on the hub": {
        "prompt": ASKED,
        "response1": BAD,
        "response2": GOOD,
        "rank": [
            {"user_id": "u", "value": {"rank": [2, 1], "value": ["response1", "response2"]}, "status": "submitted"}
        ],
    },
    "Label Studio's ranking": {
        "data": {"prompt": ASKED, "items": [{"id": "a", "body": BAD}, {"id": "b", "title": "B", "body": GOOD}]},
        "annotations": [
            {"result": [{"type": "ranker", "from_name": "rank", "value": {"ranker": {"rank": ["b", "a"]}}}]},
            {"result": [{"type": "ranker", "from_name": "rank", "value": {"ranker": {"good": ["a", "b"], "_": []}}}]},
        ],
    },
    "Label Studio, short": {
        "id": 1,
        "question": ASKED,
        "text1": GOOD,
        "text2": BAD,
        "pw": {"selected": "left"},
        "annotation_id": 1,
    },
}


@pytest.mark.parametrize("name", WITH_IMAGE)
def test_a_line_with_an_image_is_read_by_both(name: str, folder: Path, store: Store) -> None:
    assert_read_by_both(written(folder, [WITH_IMAGE[name]]), store, images=1)


@pytest.mark.parametrize("name", WITHOUT_IMAGE)
def test_a_line_without_an_image_is_read_by_both(name: str, folder: Path, store: Store) -> None:
    assert_read_by_both(written(folder, [WITHOUT_IMAGE[name]]), store, images=0)


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": (7, "not a JSON object"),
    "nothing": ({}, "chosen and rejected are missing. The line has nothing."),
    "one answer": ({"question": ASKED, "answer": GOOD}, "One answer to a question is for train.sft."),
    "KTO": ({"prompt": ASKED, "completion": GOOD, "label": True}, "a verdict (KTO) cannot be learned from"),
    "KTO of LLaMA-Factory": ({"instruction": ASKED, "output": GOOD, "kto_tag": False}, "a verdict (KTO)"),
    "other names": (
        {"prompt": ASKED, "preferred_answer": GOOD, "dispreferred_answer": BAD},
        "Rename preferred_answer to chosen and dispreferred_answer to rejected.",
    ),
    "two answers without a verdict": (
        {"prompt": ASKED, "response_a": GOOD, "response_b": BAD},
        "Name the better one of response_a and response_b chosen",
    ),
    "no prompt": ({"chosen": GOOD, "rejected": BAD}, "prompt is missing"),
    "an image under another name": ({**PAIR, "photo": "0.png"}, "photo holds 0.png. Rename photo to images."),
    "an image on the web": ({**PAIR, "images": ["https://example.org/0.png"]}, "nothing is fetched: download it"),
    "an image at an address": (
        {**PAIR, "image": {"url": "http://example.org/0.png"}},
        "nothing is fetched: download it",
    ),
    "a number as image": ({**PAIR, "images": [7]}, "images holds a int"),
    "bytes that are none": ({**PAIR, "images": [{"bytes": "x!"}]}, "no base64"),
    "a place too many": ({**SHOWN, "prompt": f"<image><image>{ASKED}"}, "there are 1 image(s), but the prompt has 2"),
    "a place without an image": ({**PAIR, "images": [None], "prompt": f"<image>{ASKED}"}, "the prompt has 1 place(s)"),
    "a place in an answer": ({**SHOWN, "chosen": [said("assistant", [{"type": "image"}])]}, "an answer has a place"),
    "null content": ({**PAIR, "chosen": [said("assistant", None)]}, "chosen is empty"),
    "an unknown role": ({**PAIR, "prompt": [said("tool", "x"), USER]}, "a message has the role 'tool'"),
    "a list that cannot be read": ({**PAIR, "chosen": "[{'role': 'assistant', "}, "cannot be read as one"),
    "a list of texts": ({**PAIR, "chosen": [GOOD]}, "must be texts or lists of messages"),
    "an unknown part": ({**PAIR, "prompt": [said("user", [{"type": "audio"}])]}, "a part of type 'audio'"),
    "another prompt in the answers": (
        {**PAIR, "chosen": [said("user", "Why?"), GOOD_TURN], "rejected": [said("user", "Why?"), BAD_TURN]},
        "the prompt must not be repeated",
    ),
    "the same answers": ({**PAIR, "rejected": f" {GOOD} "}, "the same text"),
    "a margin that is none": ({**PAIR, "margin": float("inf")}, "the margin is 'inf', which is no number"),
    "a margin below 0": ({**PAIR, "margin": -0.5}, "that would prefer the rejected one"),
    "half a character": ({**PAIR, "chosen": "\ud83d"}, "half of a character"),
    "an unknown split": ({**PAIR, "split": "fold 3"}, "the split 'fold 3' is not known: write train, val or test"),
    "boxes that are none": ({**SHOWN, "boxes": [[9, 0, 3, 5]]}, "boxes must hold"),
    "an export without a decision": ({"data": {"prompt": ASKED}, "annotations": []}, "annotate it, or leave it out"),
    "an export without names": (
        {
            "data": {"prompt": ASKED, "x": GOOD, "y": BAD},
            "annotations": [{"result": [{"type": "pairwise", "value": {"selected": "left"}, "to_name": "m,n"}]}],
        },
        "call them answer1 and answer2",
    ),
    "a record without a decision": (
        {"fields": {"prompt": ASKED, "response_1": GOOD, "response_2": BAD}, "responses": {}},
        "no response to this record prefers one answer",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_is_refused_by_both_with_one_sentence(name: str, folder: Path, store: Store) -> None:
    row, words = REFUSED[name]
    file = written(folder, [row])
    [sentence] = import_pairs(store, file, by="ana").refused
    assert sentence.startswith("Line 1: ")
    assert words in sentence
    with pytest.raises(DataError) as caught:
        trained_on(file)
    assert str(caught.value) == f"{file}: line 1: {sentence.removeprefix('Line 1: ')}"


def test_an_image_that_is_not_there_is_refused_by_both(folder: Path, store: Store) -> None:
    for named in ("none.png", "x" * 300, "a\0b"):
        file = written(folder, [{**PAIR, "images": [named]}])
        assert import_pairs(store, file, by="ana").refused
        with pytest.raises(DermIQError):
            trained_on(file)


# --- whole files ----------------------------------------------------------------------------


def lines(*rows: Row) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


ODD = {"prompt": "What\u2028is\u2029it\x85now?", "chosen": "naïve", "rejected": "\ufffd"}
FILES: dict[str, tuple[str, bytes]] = {
    "separators of Unicode": ("a.jsonl", lines(ODD, PAIR).encode()),
    "a mark": ("a.jsonl", lines(ODD, PAIR).encode("utf-8-sig")),
    "line ends of Windows, and empty lines": ("a.jsonl", b"\r\n" + lines(ODD, PAIR).replace("\n", "\r\n\r\n").encode()),
    "line ends of an old Mac": ("a.jsonl", lines(ODD, PAIR).replace("\n", "\r").encode()),
    "UTF-16": ("a.jsonl", lines(ODD, PAIR).encode("utf-16")),
    "UTF-16 without a mark": ("a.jsonl", lines(ODD, PAIR).encode("utf-16-le")),
    "a suffix in capitals": ("a.JSONL", lines(ODD, PAIR).encode()),
    "a list": ("a.json", json.dumps([ODD, PAIR], indent=1).encode()),
    "a list with a comma too many": ("a.json", f"[{json.dumps(ODD)},\n{json.dumps(PAIR)},\n]".encode()),
    "a list that is called lines": ("a.jsonl", json.dumps([ODD, PAIR]).encode()),
    "lines that are called JSON": ("a.json", lines(ODD, PAIR).encode()),
    "an object around the list": ("a.json", json.dumps({"version": 1, "data": [ODD, PAIR]}, indent=2).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_whatever_its_letters_and_lines(name: str, tmp_path: Path) -> None:
    called, data = FILES[name]
    (tmp_path / called).write_bytes(data)
    one, two = read_examples(str(tmp_path / called), "pairs")
    assert (one.fault, two.fault) == ("", "")
    assert one.columns["prompt"] == ODD["prompt"]
    assert two.columns["chosen"] == GOOD
    assert len(trained_on(tmp_path / called)) == 2


def test_letters_of_windows(tmp_path: Path) -> None:
    row = {"prompt": "Où?", "chosen": "“bénin”", "rejected": "naïve"}
    (tmp_path / "a.jsonl").write_bytes(lines(row).encode("cp1252"))
    [example] = read_examples(str(tmp_path / "a.jsonl"), "pairs")
    assert example.columns["chosen"] == "“bénin”"
    (tmp_path / "a.jsonl").write_bytes(lines(row, row).encode() + b"\n\xff")
    with pytest.raises(DataError, match="UTF-8, and damaged in line 3"):
        list(read_examples(str(tmp_path / "a.jsonl"), "pairs"))


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f"{lines(PAIR)}\n{{'a': 1}}\n{'[' * 99_999}\n\n{lines(PAIR)} x\n7")
    found = list(read_examples(str(tmp_path / "a.jsonl"), "pairs"))
    assert [example.where for example in found] == ["Line 1", "Line 2", "Line 3", "Line 5", "Line 6"]
    assert [bool(example.fault) for example in found] == [False, True, True, True, True]
    assert "a line must hold one whole object" in found[3].fault


def test_a_broken_list_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f'[\n{json.dumps(PAIR)},\n{{"prompt": \n oops}},\n{json.dumps(PAIR)}]')
    one, two = read_examples(str(tmp_path / "a.json"), "pairs")
    assert (one.where, one.fault, two.where) == ("Example 1, line 2", "", "Example 2, line 3")
    assert "what follows it was not read" in two.fault


@pytest.mark.parametrize("content", [b"", b"\n \n", b"[]", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json has no rows"):
        list(read_examples(str(tmp_path / "a.json"), "pairs"))


def test_a_long_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    """20 MB with rows longer than a piece; the reader never holds more than a few of them."""
    import tracemalloc

    row = {**PAIR, "chosen": "x" * 200_000}
    (tmp_path / "a.json").write_text(json.dumps([row] * 99 + [{**row, "chosen": "y" * 3_000_000}]))  # on one line
    tracemalloc.start()
    assert sum(not example.fault for example in read_examples(str(tmp_path / "a.json"), "pairs")) == 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


# --- tables ---------------------------------------------------------------------------------


def test_what_pandas_writes_into_cells(folder: Path, store: Store) -> None:
    """Lists and arrays as Python prints them, nan and None where there is nothing."""
    turns = np.array([GOOD_TURN], dtype=object)
    rows = [{"images": ["0.png"], "prompt": [USER], "chosen": turns, "rejected": [BAD_TURN], "margin": None}]
    pd.DataFrame(rows).to_csv(folder / "p.csv")
    assert_read_by_both(folder / "p.csv", store, images=1)
    with (folder / "p.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows(
            [["images", *PAIR], ["nan", *PAIR.values()], ["", ASKED, "[{'role': 'assi", BAD], ["", ASKED, "None", BAD]]
        )
    refused = import_pairs(store, folder / "p.tsv", by="ana").refused
    assert [sentence[:7] for sentence in refused] == ["Line 3:", "Line 4:"]
    assert "chosen holds" in refused[0]
    assert "chosen is missing" in refused[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (str(np.array([{"a": "x } {"}, {"a": "'"}], dtype=object)), [{"a": "x } {"}, {"a": "'"}]),
        (str(np.array(["a.png", "b.png"], dtype=object)), ["a.png", "b.png"]),
        (repr(np.array([{"a": np.array(["b"], dtype=object)}], dtype=object)), [{"a": ["b"]}]),
        ("[{'a': nan, 'b': None, 'c': True}]", [{"a": None, "b": None, "c": True}]),
        ("[[1, 2, 3, 4], None]", [[1, 2, 3, 4], None]),
        ('[{"a": null}]', [{"a": None}]),
    ],
)
def test_values_in_texts(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("text", ["[{'a': open('x')}]", "[{'a'", "[1] What", "[1 ... 2]", "array(", "[" * 99_999])
def test_texts_that_are_no_values(text: str) -> None:
    with pytest.raises(ValueError, match=r"no value|cut short|malformed|nested"):
        value_of(text)


# --- data sets and Parquet ------------------------------------------------------------------


def test_a_data_set_with_an_image_in_one_row_alone(folder: Path, store: Store, tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict, Features, Value
    from datasets import Image as Picture

    features = Features({"image": Picture(), **{name: Value("string") for name in PAIR}})
    made = Dataset.from_list(
        [{**PAIR, "image": {"bytes": bytes_of(), "path": None}}, {**PAIR, "image": None}], features=features
    )
    DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "set")
    rows = trained_on(tmp_path / "set")
    assert [len(row["images"]) for row in rows] == [1, 0]
    found = import_pairs(store, tmp_path / "set", by="ana")
    assert found == Imported(0, 0, 2, (), ("2 pair(s) of the split test are not imported: sets are of train and val.",))
    made.to_parquet(tmp_path / "a.parquet")
    assert [len(row["images"]) for row in trained_on(tmp_path / "a.parquet")] == [1, 0]
    assert import_pairs(store, tmp_path / "a.parquet", by="ana").duplicates == 2


def test_a_place_without_an_image_in_a_data_set_is_a_sentence() -> None:
    from datasets import Dataset, Features, Sequence
    from datasets import Image as Picture

    file = {"bytes": bytes_of(), "path": None}
    rows = Dataset.from_dict({"images": [[file, None]]}, features=Features({"images": Sequence(Picture())}))
    held = [Held(rows.with_format("arrow"), 0, "images", place) for place in (0, 1)]
    assert held[0].load() == bytes_of()
    with pytest.raises(DataError, match="images of row 1 holds nothing at place 2"):
        held[1].load()


def test_splits_of_ultrafeedback_are_chosen_by_what_is_learned(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    parts = {name: Dataset.from_list([{**PAIR, "prompt": name}]) for name in ("train_prefs", "train_sft", "test_prefs")}
    DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert [row["prompt"] for row in trained_on(tmp_path / "set")] == ["train_prefs"]


def test_a_folder_that_is_no_data_set_names_what_is_in_it(folder: Path) -> None:
    written(folder, [PAIR])
    with pytest.raises(DataError, match="name a file in it, such as"):
        trained_on(folder)


# --- one answer -----------------------------------------------------------------------------

ANSWERED: dict[str, Row] = {
    "VQA": {"image": "0.png", "question": ASKED, "answer": GOOD},
    "SLAKE": {"img_name": "0.png", "question": ASKED, "answer": GOOD, "q_lang": "en", "location": "skin"},
    "LLaMA-Factory": {"instruction": ASKED, "output": GOOD, "images": ["0.png"]},
    "LLaVA": {
        "id": "x",
        "image": "0.png",
        "conversations": [said("human", f"<image>\n{ASKED}", names=SHARED), said("gpt", GOOD, names=SHARED)],
    },
    "messages": {"images": ["0.png"], "messages": [USER, GOOD_TURN]},
}


@pytest.mark.parametrize("name", ANSWERED)
def test_one_answer_is_read(name: str, folder: Path) -> None:
    [example] = trained_on(written(folder, [ANSWERED[name]]), ("prompt", "completion"))
    assert text_of(messages(example["prompt"], "user")) == ASKED
    assert text_of(messages(example["completion"], "assistant")) == GOOD
    assert len(example["images"]) == 1


def test_each_answer_of_a_dialogue_is_learned(folder: Path) -> None:
    turns = [said("system", "Be brief."), USER, GOOD_TURN, said("user", "Why?"), BAD_TURN]
    one, two = trained_on(written(folder, [{"messages": turns}]), ("prompt", "completion"))
    assert [turn["role"] for turn in one["prompt"]] == ["system", "user"]
    assert [turn["role"] for turn in two["prompt"]] == ["system", "user", "assistant", "user"]
    assert text_of(two["completion"]) == BAD


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (PAIR, "Pairs of answers are for train.dpo"),
        ({"prompt": ASKED, "completion": GOOD, "label": False}, "as for KTO"),
        (
            {"prompt": ASKED, "report": GOOD},
            "completion is missing. The line has prompt, report. Rename report to completion",
        ),
        ({"prompt": ASKED, "completion": [USER, GOOD_TURN]}, "is no turn of the assistant"),
        ({"messages": [USER]}, "no turn of the assistant: there is nothing to learn"),
        ({"image": "0.png", "label": "nevus"}, "prompt and completion are missing"),
    ],
)
def test_what_is_no_answer(row: Row, words: str) -> None:
    [example] = examples_of("Line 1", row, "answers")
    assert words in example.fault


def test_a_table_of_questions_and_answers(folder: Path) -> None:
    (folder / "vqa.csv").write_text(
        f"image;question;answer\n0.png;{ASKED};{GOOD}\n1.png;{ASKED};42\n", encoding="utf-8-sig"
    )
    rows = trained_on(folder / "vqa.csv", ("prompt", "completion"))
    assert [row["completion"] for row in rows] == [GOOD, "42"]


# --- splits and patients --------------------------------------------------------------------


def test_words_for_splits_and_what_is_not_used(folder: Path) -> None:
    rows = [{**PAIR, "split": split} for split in ("Train", "validation", "dev", "TEST", "test")]
    file = str(written(folder, rows))
    told: list[str] = []
    counts = [len(read_source(file, split, columns=DPOConfig.columns, say=told.append)) for split in ("train", "val")]
    assert counts == [1, 2]
    assert set(told) == {"pairs.jsonl: 2 example(s) of the split test are not used."}


def test_patients_are_told_apart_by_their_clinic(folder: Path, tmp_path: Path) -> None:
    for clinic in ("a", "b"):
        (tmp_path / clinic).mkdir()
        written(tmp_path / clinic, [{**PAIR, "patient_id": 1}, {**PAIR, "patient_id": "1.0"}])
    one, two = (read_source(str(tmp_path / clinic / "pairs.jsonl"), "train", columns=()) for clinic in ("a", "b"))
    assert one[0].group == one[1].group
    assert one[0].group != two[0].group


# --- files of strangers ---------------------------------------------------------------------


PLAIN: dict[str, str] = {
    "by columns": pd.DataFrame([PAIR]).to_json(),
    "by rows": pd.DataFrame([PAIR]).to_json(orient="index"),
    "split": pd.DataFrame([PAIR]).to_json(orient="split"),
    "with its schema": pd.DataFrame([PAIR]).to_json(orient="table"),
    "wrapped": json.dumps({"data": [PAIR]}),
    "by their names": json.dumps({"case 1": PAIR}),
    "by their splits": json.dumps({"train": [PAIR], "test": [{**PAIR, "prompt": "Another?"}]}),
    "wrapped over lines": json.dumps({"version": 1, "examples": [PAIR]}, indent=1),
    "lines that end in a comma": json.dumps(PAIR) + ",\n",
    "OpenAI": json.dumps(
        {"input": {"messages": [USER]}, "preferred_output": [GOOD_TURN], "non_preferred_output": [BAD_TURN]}
    ),
    "ms-swift's question": json.dumps({"query": ASKED, "response": GOOD, "rejected_response": BAD}),
    "ms-swift's messages": json.dumps({"messages": [USER, GOOD_TURN], "rejected_response": BAD}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_json_of_other_programs_is_read_by_both(name: str, folder: Path, store: Store) -> None:
    (folder / "other.json").write_text(PLAIN[name], encoding="utf-8")
    [example] = trained_on(folder / "other.json")
    assert [text_of(messages(example[column], "user")) for column in PAIR] == [ASKED, GOOD, BAD]
    found = import_pairs(store, folder / "other.json", by="ana")
    assert (found.pairs, found.duplicates, found.refused) == (0, 1, ())


def test_a_task_of_label_studio_over_many_lines_is_one_row(folder: Path, store: Store) -> None:
    task = {
        "data": {"prompt": ASKED, "answer1": GOOD, "answer2": BAD},
        "annotations": [{"result": [{"type": "pairwise", "value": {"selected": "left"}}]}],
    }
    (folder / "task.json").write_text(json.dumps(task, indent=1), encoding="utf-8")
    assert_read_by_both(folder / "task.json", store, 0)


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("annotation_id,answer1,answer2,comparison,prompt", ["7", GOOD, BAD, '{"selected": "left"}', ASKED]),
        ("id,prompt,response1,response2,choice.responses", ["u", ASKED, GOOD, BAD, "['response1']"]),
        ("id,prompt,response1,response2,choice.responses", ["u", ASKED, GOOD, BAD, "['Response 1']"]),
    ],
)
def test_exports_as_csv_are_read_by_both(head: str, cells: list[str], folder: Path, store: Store) -> None:
    with (folder / "export.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head.split(","), cells])
    assert_read_by_both(folder / "export.csv", store, 0)


@pytest.mark.parametrize(
    "named", ["0", "0.PNG", "./0.png", {"file_name": "0.png"}, {"src": "0.png"}, [{"filename": "0"}], ["0.png", None]]
)
def test_an_image_is_found_by_whatever_names_it(named: Any, folder: Path, store: Store) -> None:
    assert_read_by_both(written(folder, [{"image": named, **PAIR}]), store, 1)


def test_an_image_in_a_folder_below_is_found_by_its_name(tmp_path: Path, store: Store) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(drawn_examples()[0][1]).save(tmp_path / "photos" / "IMG_1.PNG")
    assert_read_by_both(written(tmp_path, [{"image": "img_1.png", **PAIR}]), store, 1)


def test_several_images_may_be_named_in_one_text(folder: Path) -> None:
    for text in ("0.png;1.png", "0.png, 1.png"):
        assert len(trained_on(written(folder, [{"images": text, **PAIR}]))[0]["images"]) == 2


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"image_id": "ISIC_1", **PAIR}, "images is missing, and image_id holds ISIC_1. Rename image_id to images"),
        ({"image_id": 7, **PAIR}, "images is missing, and image_id holds 7. Rename image_id to images"),
        ({"filepath": "a/b", **PAIR}, "images is missing, and filepath holds a/b. Rename"),
        ({"picture": {"bytes": "AAAA", "path": None}, **PAIR}, "images is missing, and picture holds an image. Rename"),
        ({"image": {"height": 3}, **PAIR}, "images holds an object with height: give the path"),
        ({**PAIR, "prompt": "Picture 1: <img>0.png</img> What?"}, "names its image in <img>: put the path into images"),
        ({"image": "0.png", "label": "mel"}, "These are labelled images, not answers: training takes them as CSV"),
    ],
)
def test_no_image_is_left_out_without_a_word(row: Row, sentence: str, folder: Path, store: Store) -> None:
    file = written(folder, [row])
    with pytest.raises(DermIQError, match=sentence):
        trained_on(file)
    assert sentence in import_pairs(store, file, by="ana").refused[0]


def test_a_missing_image_is_told_with_one_that_may_be_meant(folder: Path, store: Store) -> None:
    file = written(folder, [{"image": "elsewhere/0.jpg", **PAIR}])
    with pytest.raises(DataError, match=r"elsewhere/0.jpg. There is 0.png: is it that one"):
        trained_on(file)
    assert "does not exist. There is 0.png: is it that one" in import_pairs(store, file, by="ana").refused[0]


def test_both_hear_a_split_and_a_patient_by_any_usual_name(folder: Path, store: Store) -> None:
    rows = [{**PAIR, "prompt": "A", "subset": "Test"}, {**PAIR, "prompt": "B", "subset": "dev", "PatientID": "P7"}]
    file = written(folder, rows)
    [row] = read_source(str(file), "val", columns=DPOConfig.columns)
    assert row.group.startswith("p7 (of ")
    assert import_pairs(store, file, by="ana").pairs == 1
    [case] = [view.case for view in store.pairs() if view.case.question == "B"]
    assert (case.split, case.group) == ("val", "P7")


def test_pairs_in_a_table_without_their_columns_are_told_what_is_meant(folder: Path) -> None:
    (folder / "votes.csv").write_text("question,preferred,dispreferred\nq,A,B\n")
    with pytest.raises(DataError, match="Rename preferred to chosen and dispreferred to rejected"):
        trained_on(folder / "votes.csv")


def test_a_developer_speaks_as_the_system(folder: Path) -> None:
    [example] = trained_on(
        written(folder, [{"messages": [said("developer", "Be kind."), USER, GOOD_TURN]}]), ("completion",)
    )
    assert [turn["role"] for turn in example["prompt"]] == ["system", "user"]
