"""Uploaded images for training: kept once, refused with a sentence, gone when asked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dermiq.errors import InputError
from dermiq.ui.training import own_data
from tests.stage_runs import make_table
from train.cases import read_source


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    table = make_table(tmp_path / "data", rows=4)
    return {f"mine/{path.name}": path.read_bytes() for path in table.parent.iterdir()}


def test_an_upload_is_kept_once_and_can_be_trained_on(files: dict[str, bytes], tmp_path: Path) -> None:
    content = packed({**files, "mine/notes.txt": b"x", "__MACOSX/table.csv": b"x"})
    table = own_data.keep(content, tmp_path)
    assert own_data.keep(content, tmp_path) == table
    assert len(read_source(str(table), "train")) == 4
    assert own_data.kept(tmp_path) == {str(table): "Uploaded: table.csv (4 images)"}
    assert not (table.parent / "notes.txt").exists()
    own_data.forget(tmp_path)
    assert own_data.kept(tmp_path) == {}
    assert not table.exists()


def test_what_cannot_be_trained_on_is_not_kept(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        with pytest.raises(InputError, match=words) as caught:
            own_data.keep(content, tmp_path / "runs")
        assert str(tmp_path) not in str(caught.value)
    monkeypatch.setattr(own_data, "MOST_FILES", 3)
    with pytest.raises(InputError, match="more than"):
        own_data.keep(packed(files), tmp_path / "runs")
    assert own_data.kept(tmp_path / "runs") == {}
    assert not list((tmp_path / "runs" / own_data.FOLDER).iterdir())
