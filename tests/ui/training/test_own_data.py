"""Uploaded images for training: kept once, refused with a sentence, gone when asked."""

from __future__ import annotations

import io
import json
import os
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermiq.errors import InputError
from dermiq.ui.training import own_data
from tests.train.stage_runs import make_table
from tests.zips import as_macos_writes, by_method, damaged, link, locked, of_entries, packed
from train.cases.sources import read_source

Files = dict[str, bytes]
TABLE = "image,label\n"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    table = make_table(tmp_path / "data", rows=4)
    return {f"mine/{path.name}": path.read_bytes() for path in table.parent.iterdir()}


@pytest.fixture
def image(files: Files) -> bytes:
    return files["mine/0.png"]


def refused(content: object, root: Path) -> str:
    """What is said, where nothing is left behind and nothing of this computer is told."""
    with pytest.raises(InputError) as caught:
        own_data.keep(content, root)
    folder = root / own_data.FOLDER
    assert not folder.exists() or not list(folder.iterdir())
    assert str(root) not in str(caught.value)
    return str(caught.value)


def test_an_upload_is_kept_once_and_can_be_trained_on(files: Files, tmp_path: Path) -> None:
    content = packed({**files, "mine/notes.txt": b"x", "__MACOSX/table.csv": b"x"})
    table = own_data.keep(content, tmp_path)
    assert own_data.keep(content, tmp_path) == table
    assert len(read_source(str(table), "train")) == 4
    assert own_data.kept(tmp_path) == {str(table): "Uploaded: table.csv (4 images)"}
    assert not [path for path in (tmp_path / own_data.FOLDER).rglob("*") if path.name in ("notes.txt", "._table.csv")]
    own_data.forget(tmp_path)
    assert own_data.kept(tmp_path) == {}
    assert not table.exists()


def test_what_cannot_be_trained_on_is_not_kept(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = files["mine/table.csv"]
    wrong = {
        "no zip": b"whatever",
        "has no table": packed({"a.png": b"x"}),
        "has 2 tables": packed({**files, "other.csv": table}),
        "label": packed({"table.csv": b"image,what\n0.png,mel\n"}),
        "does not lie below": packed({"table.csv": b"image,label\n/etc/hostname,mel\n"}),
        "line 3: ../../0.png": packed({**files, "mine/table.csv": b"image,label\n0.png,mel\n../../0.png,mel\n"}),
        "outside itself": packed({**files, "../out.png": b"x"}),
    }
    for words, content in wrong.items():
        assert words in refused(content, tmp_path / "runs")
    monkeypatch.setattr(own_data, "MOST_FILES", 3)
    assert "more than" in refused(packed(files), tmp_path / "runs")
    assert own_data.kept(tmp_path / "runs") == {}


def tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ZIPS: dict[str, Callable[[Files], bytes]] = {
    "locked with a password": locked,
    "0.png in this zip is damaged": lambda files: damaged(files, "mine/0.png"),
    "the method Deflate64": lambda files: by_method(files, 9),
    "the method AES": lambda files: by_method(files, 99),
    "its end is missing": lambda files: packed(files)[:-40],
    "a file and a folder that are both called mine/a.png": lambda files: packed(
        {**files, "mine/a.png": b"x", "mine/a.png/b.png": b"x"}
    ),
    "is too long": lambda files: packed({**files, f"mine/{'ä' * 130}.png": b"x"}),
    "mine/0.png twice": lambda files: packed({**files, "mine\\0.png": files["mine/0.png"]}),
    "a link to another file": lambda files: of_entries(link("mine/l.png", "/etc/passwd")),
    "names files outside itself ('/etc/0.png')": lambda files: packed({**files, "/etc/0.png": b"x"}),
    "names files outside itself ('C:": lambda files: packed({**files, "C:\\0.png": b"x"}),
    "no table: it must have one CSV, TSV, JSONL, JSON or Parquet file": lambda files: packed({}),
    "that names the images. It holds nothing": lambda files: packed({}),
    "It holds mine/inner.zip": lambda files: packed({"mine/inner.zip": packed(files)}),
    "mine.xlsx is a workbook": lambda files: packed({"mine.xlsx": b"x", "0.png": b"x"}),
    "a RAR archive": lambda files: b"Rar!\x1a\x07\x01\x00" + b"x" * 99,
    "a 7-Zip archive": lambda files: b"7z\xbc\xaf\x27\x1c" + b"x" * 99,
    "compressed with gzip": lambda files: b"\x1f\x8b\x08" + b"x" * 99,
    "a tar archive": tar,
    "no zip but an image": lambda files: files["mine/0.png"],
    "no zip but a text or a table": lambda files: files["mine/table.csv"],
    "This file is empty": lambda files: b"",
    "0.jpg, which is not in the zip. Line 4 names ghost.png": lambda files: packed(
        {"t.csv": b"image,label\n0.jpg,mel\na.png,nv\nghost.png,nv\n", "a.png": files["mine/0.png"]}
    ),
    "Line 3: b.png cannot be used": lambda files: packed(
        {
            "t.csv": b"image,label\na.png,mel\nb.png,nv\n",
            "a.png": files["mine/0.png"],
            "b.png": files["mine/0.png"][:200],
        }
    ),
    "Line 3: b.png is empty": lambda files: packed(
        {"t.csv": b"image,label\na.png,mel\nb.png,nv\n", "a.png": files["mine/0.png"], "b.png": b""}
    ),
}


@pytest.mark.parametrize("words", ZIPS)
def test_each_way_to_fail_is_said_and_leaves_nothing(words: str, files: Files, tmp_path: Path) -> None:
    assert words in refused(ZIPS[words](files), tmp_path / "runs")


@pytest.mark.parametrize("named", ["/etc/passwd", "../../0.png", "C:\\pictures\\0.png", "\\\\server\\0.png", "a\0.png"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_names_only_what_is_in_the_zip(named: str, form: str, image: bytes, tmp_path: Path) -> None:
    line = json.dumps({"images": [named], "prompt": "What is it?", "completion": "A mole."})
    table = f'image,label\n"{named}",mel\n' if form == "csv" else line + "\n"
    said = refused(packed({f"t.{form}": table.encode(), "0.png": image}), tmp_path / "runs")
    assert "0.png" in said or "passwd" in said or "zero byte" in said


@pytest.mark.parametrize(
    "lines",
    [
        b"image,label,age\n0.png,mel,\x00\n",
        b'{"image": 5, "prompt": 1, "completion": []}\n',
        b'{"images": {"path": 7}, "prompt": "x", "completion": "y"}\n',
        b'{"images": [["0.png"]], "label": {"a": 1}}\n',
        b"[1, 2]\n",
        b"null\n",
        b"\xff\xfe\x00\x00",
        b'image,label\n"0.png,mel\n',
        b"image,label,split\n0.png,mel,7\n",
    ],
)
def test_a_table_of_another_kind_ends_in_a_sentence(lines: bytes, image: bytes, tmp_path: Path) -> None:
    form = "jsonl" if lines[:1] in (b"{", b"[", b"n") else "csv"
    said = refused(packed({f"t.{form}": lines, "0.png": image}), tmp_path / "runs")
    assert said.endswith((".", ")."))


def test_a_bomb_is_stopped_at_the_limit(image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bytearray(packed({"t.csv": b"image,label\n0.png,mel\n", "0.png": image, "big.png": bytes(3_000_000)}))
    at = bomb.rfind((3_000_000).to_bytes(4, "little"))
    bomb[at : at + 4] = (10).to_bytes(4, "little")  # the list of contents says that it is small
    monkeypatch.setattr(own_data, "MOST_BYTES", 1_000_000)
    said = refused(bytes(bomb), tmp_path / "runs")
    assert "larger than it says" in said or "is damaged" in said


# --- what people's computers write ------------------------------------------------------


def encoded(pixels: np.ndarray, form: str) -> bytes:
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def test_what_the_consultation_reads_training_reads(image: bytes, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
    forms = {"a.BMP": "BMP", "b.jfif": "JPEG", "c.HEIC": "HEIF", "d.Tif": "TIFF", "e.WEBP": "WEBP", "f.JPEG": "JPEG"}
    table = TABLE + "".join(f"{name},mel\n" for name in forms)
    kept = own_data.keep(
        packed({"T.CSV": table.encode(), **{name: encoded(pixels, form) for name, form in forms.items()}}), tmp_path
    )
    assert [Path(row.image).name for row in read_source(str(kept), "train")] == list(forms)
    assert own_data.summary(kept).startswith("Kept T.csv: 6 images, 1 class (mel 6)")


def test_names_of_macos_and_windows_are_found(image: bytes, tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Müller.png") for form in ("NFC", "NFD"))
    cells = {
        "macOS": (as_macos_writes, apart, composed),
        "the other way": (packed, composed, apart),
        "Windows": (packed, "images\\a.png", "images\\a.png"),
        "the table alone from Windows": (packed, "images/a.png", "images\\a.png"),
        "another case": (packed, "IMG_1.JPG", "img_1.jpg"),
        "a folder that is not told": (packed, "images/a.png", "a.png"),
        "a suffix that is not told": (packed, "ISIC_1.png", "ISIC_1"),
        "code page 437": (lambda files: packed(files), "é.png", "é.png"),
    }
    for number, (pack, name, cell) in enumerate(cells.values()):
        root = tmp_path / str(number)
        kept = own_data.keep(pack({"t.csv": f"{TABLE}{cell},mel\n".encode(), name: image}), root)
        (row,) = read_source(str(kept), "train")
        assert Path(row.image).read_bytes() == image


def test_a_file_that_the_table_does_not_name_is_not_kept_and_said(files: Files, tmp_path: Path) -> None:
    table = own_data.keep(packed({**files, "mine/other.png": files["mine/0.png"], "notes.pdf": b"x"}), tmp_path)
    said = own_data.summary(table)
    assert "4 images, 3 classes (akiec 2, bcc 1, bkl 1), 4 patients or lesions" in said
    assert "Left out, since the table does not name them: mine/other.png, notes.pdf." in said
    assert not list(table.parent.rglob("other.png"))


def test_what_a_killed_process_left_half_unpacked_goes(files: Files, tmp_path: Path) -> None:
    half = tmp_path / own_data.FOLDER / ".old.part"
    half.mkdir(parents=True)
    os.utime(half, (0, 0))
    own_data.keep(packed(files), tmp_path)
    assert not half.exists()


def test_the_methods_of_common_programs_are_unpacked(files: Files, tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert own_data.keep(packed(files, method=method), tmp_path / str(method)).is_file()


# --- zips of strangers ------------------------------------------------------------------

PAIR = {"prompt": "What is it?", "chosen": "A naevus.", "rejected": "A melanoma."}
SHOWN = {**PAIR, "images": ["0.png"]}
ASKED = {"role": "user", "content": [{"type": "image", "image": "0.png"}, {"type": "text", "text": "What is it?"}]}


def parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    return bytes(pd.DataFrame(rows).to_parquet())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.json", json.dumps([SHOWN]).encode()),
        ("pairs.ndjson", json.dumps(SHOWN).encode()),
        ("pairs.jsonl", json.dumps(SHOWN).encode("utf-16")),
        ("pairs.jsonl", json.dumps({**PAIR, "Images": "0.PNG"}).encode()),
        ("pairs.jsonl", json.dumps({**PAIR, "prompt": [ASKED]}).encode()),
        ("pairs.parquet", parquet([SHOWN])),
        ("pairs.tsv", b"prompt\tchosen\trejected\timage\nWhat?\tA\tB\t0.png\n"),
    ],
)
def test_pairs_of_any_form_are_kept_with_their_images(name: str, content: bytes, image: bytes, tmp_path: Path) -> None:
    about = {} if name.endswith(".json") else {"data/info.json": b"{}"}
    table = own_data.keep(packed({f"data/{name}": content, "data/0.png": image, **about}), tmp_path)
    assert ": 1 image, 1 example." in own_data.summary(table)
    [row] = read_source(str(table), "train", columns=("prompt", "chosen", "rejected"))
    assert len(row.load()["images"]) == 1
    assert not list(table.parent.rglob("info.json"))


def test_images_that_the_table_itself_holds_are_kept(image: bytes, tmp_path: Path) -> None:
    content = parquet([{**PAIR, "images": [{"bytes": image, "path": "a.png"}]}])
    table = own_data.keep(packed({"train.parquet": content}), tmp_path)
    assert own_data.summary(table) == "Kept train.jsonl: 1 image, 1 example."
    broken = parquet([{**PAIR, "images": [{"bytes": b"no image", "path": "a.png"}]}])
    assert "cannot be used" in refused(packed({"train.parquet": broken}), tmp_path / "other")


def test_no_image_stands_for_one_of_another_folder(image: bytes, tmp_path: Path) -> None:
    table = f"{TABLE}train/1.png,mel\ntest/1.png,nv\n".encode()
    said = refused(packed({"t.csv": table, "test/1.png": image}), tmp_path)
    assert "Line 2 names train/1.png, which is not in the zip (it has test/1.png)" in said
    flat = refused(packed({"t.csv": table, "1.png": image}), tmp_path)
    assert "Lines 2 and 3 name 1.png in the folders train and test, but this zip has one such image" in flat
    kept = own_data.keep(packed({"t.csv": f"{TABLE}input/skin/1.png,mel\n".encode(), "skin/1.png": image}), tmp_path)
    assert own_data.summary(kept).startswith("Kept t.csv: 1 image")


@pytest.mark.parametrize("name", ["a.gif", "a.CR2", "a.pdf", "a"])
def test_what_is_no_image_is_not_said_to_be_missing(name: str, image: bytes, tmp_path: Path) -> None:
    said = refused(packed({"t.csv": f"{TABLE}{name},mel\n".encode(), name: image}), tmp_path)
    assert f"Line 2 names {name}, which is no image that can be read: use JPEG" in said


def test_several_tables_are_told_how_to_become_one(image: bytes, tmp_path: Path) -> None:
    table = f"{TABLE}0.png,mel\n".encode()
    said = refused(packed({"train.csv": table, "val.csv": table, "0.png": image}), tmp_path)
    assert "Put them into one, with a column split (train, val)" in said


def test_no_message_reaches_out_of_the_zip(tmp_path: Path) -> None:
    for part in ({"type": "image", "image": "/etc/hostname"}, {"type": "image_url", "image_url": {"url": "../x.png"}}):
        line = json.dumps({**PAIR, "prompt": [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]})
        assert "does not lie below the folder" in refused(packed({"p.jsonl": line.encode()}), tmp_path)
