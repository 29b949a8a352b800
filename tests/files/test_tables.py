"""Tables as spreadsheets, pandas and other countries write them; and paths that rows may name."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from dermiq.errors import DataError, InputError
from dermiq.files.paths import SENT, beside, cache_folder, folder_for, inside
from dermiq.files.tables import TableRow, read_table_rows

PLAIN = "image,label\n0.png,mel\n1.png,nv\n"
WANTED = [TableRow(2, {"image": "0.png", "label": "mel"}), TableRow(3, {"image": "1.png", "label": "nv"})]


@pytest.mark.parametrize(
    "written",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", ", "),
        PLAIN + "\n\n , \n",
        "image,label\n0.png,mel,\n1.png,nv,,\n",
        "image,label,\n0.png,mel\n1.png,nv\n",
        " Image , LABEL\n0.png,mel\n1.png,nv\n",
        ",image,label\n0,0.png,mel\n1,1.png,nv\n",
        '"image","label"\n"0.png","mel"\n"1.png","nv"\n',
        "image,label\n0.png,mel\n1.png,nv",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_the_same_table_is_read_however_it_is_written(written: str, encoding: str) -> None:
    assert read_table_rows(written.encode(encoding)) == WANTED


def test_the_first_line_of_excel_says_the_separator_and_keeps_the_numbers_of_the_lines() -> None:
    rows = read_table_rows(b"sep=;\r\nimage;label\r\n0.png;a, b\r\n")
    assert rows == [TableRow(3, {"image": "0.png", "label": "a, b"})]


def test_letters_of_a_german_spreadsheet_are_read() -> None:
    text = "image;sex;age\n0.png;männlich;55,0\n"
    for encoding in ("cp1252", "utf-8", "utf-16"):
        (row,) = read_table_rows(text.encode(encoding))
        assert row.cells == {"image": "0.png", "sex": "männlich", "age": "55,0"}, encoding


def test_a_quoted_cell_may_hold_lines_separators_and_what_else_ends_lines_in_unicode() -> None:
    rows = read_table_rows('image,label\n0.png,"a;\nb;;"\n1.png,c\u2028d\x85\n'.encode())
    assert [(row.line, row.cells["label"]) for row in rows] == [(2, "a;\nb;;"), (4, "c\u2028d\x85")]


def test_cells_left_out_at_the_end_are_empty() -> None:
    rows = read_table_rows(b"image,label,site\n0.png,mel,back\n1.png,nv\n")
    assert rows[1].cells == {"image": "1.png", "label": "nv", "site": ""}
    assert rows[1].text("age") == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"image,label\n", "has no rows"),
        (b"image,Image ,label\n0.png,1.png,nv\n", "two columns called image"),
        (b"image,,label\n0.png,x,nv\n", "column 2 has no name in line 1"),
        (b",image,label\na,0.png,nv\n", "column 1 has no name"),
        (b"image,label\n0.png,nv\n1.png,a,b\n", "line 3 has 3 cells, but there are 2 columns"),
        (b'image,label\n0.png,"mel\n1.png,nv\n2.png,nv\n', "begins in line 2"),
        (b"image,label\n0\0.png,nv\n", "zero byte in line 2"),
        (b"image,label\n0.png,\xc3\xa4\n1.png,\xe4\n", "damaged in line 3"),
        (b"image,label\n0.png,\x81\n", "neither UTF-8 nor Windows-1252"),
        (b"image,label\n0.png,\xe4\x02\n", "no text table"),
        (b"PK\x03\x04...", "a workbook or a zip"),
        (b"\xd0\xcf\x11\xe0...", "a workbook"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\xff\xfei\0m\0a", "no UTF-16"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_line(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table_rows(data)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match=r"does not exist\.$"):
            read_table_rows(path)


def test_ten_thousand_rows_take_less_than_a_second(tmp_path: Path) -> None:
    lines = [f"ISIC_{i},nv,HAM_{i},follow_up,45.0,male,trunk,train,images/ISIC_{i}.jpg" for i in range(10_000)]
    (tmp_path / "t.csv").write_text("\n".join(["image_id,label,lesion_id,how,age,sex,site,split,image", *lines]))
    began = time.perf_counter()
    assert len(read_table_rows(tmp_path / "t.csv")) == 10_000
    assert time.perf_counter() - began < 1


# --- paths ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["0.png", "a/b/0.png", "a/../0.png", "a\\0.png", "./0.png", "not there.png"])
def test_names_inside_a_folder_are_paths(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name).is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../0.png", "a/../../0.png", "..\\0.png", "link/0.png", "file", "", ".", "a\0b"],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "file").symlink_to("/etc/hostname")
    with pytest.raises(InputError):
        inside(folder, name)


def test_a_table_that_a_visitor_sent_names_only_what_lies_below_its_folder(tmp_path: Path) -> None:
    sent, own = tmp_path / SENT / "abc" / "t.csv", tmp_path / "t.csv"
    assert beside(own, "../0.png") == tmp_path / "../0.png"
    assert beside(sent, "images/0.png") == (sent.parent / "images/0.png").resolve()
    with pytest.raises(InputError, match="below the folder"):
        beside(sent, "../0.png")


def test_a_place_that_cannot_be_written_is_a_sentence_before_anything_is_computed(tmp_path: Path) -> None:
    assert folder_for(tmp_path / "new" / "out.csv").is_dir()
    (tmp_path / "file").touch()
    for file in (tmp_path / "file" / "out.csv", Path("/proc/nothing/out.csv"), Path("a\0b/out.csv")):
        with pytest.raises(InputError, match="cannot be written"):
            folder_for(file)


def test_a_user_without_a_home_has_a_folder_for_models(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "DERMIQ_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder().is_relative_to(tempfile.gettempdir())
    monkeypatch.setenv("DERMIQ_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(InputError, match="set DERMIQ_CACHE"):
        cache_folder()
