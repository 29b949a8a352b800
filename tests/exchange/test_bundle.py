"""A case in a zip comes back as it was, and nothing that was changed on the way is believed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermiq import api
from dermiq.__main__ import main
from dermiq.assess_cli import answer_json
from dermiq.errors import InputError
from dermiq.exchange import bundle
from dermiq.lesion.drawn import drawn_examples
from dermiq.types import Case, Lesion, PatientContext
from tests.exchange.made import NAME, NUMBER, rgb
from tests.fakes import picture, sample_answer
from tests.zips import of_entries, packed

CREATED = datetime(2030, 5, 4, 9, 30, tzinfo=timezone.utc)
CASE = Case(
    (Lesion(picture(200, 150), "dermoscopy"), Lesion(picture(150, 200, seed=2), "close-up", "6 months ago")),
    PatientContext(54, "male", "lower leg", 3, ("itch", "grew")),
    "Is this Żółć <b>?",
)


@cache
def kept(case: Case = CASE) -> bytes:
    answer = sample_answer(case)
    return bundle.packed(case, answer, told=answer_json(answer), created=CREATED)


def files() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(kept())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_case_comes_back_bit_for_bit() -> None:
    found = bundle.unpacked(kept())
    assert [np.array_equal(a.pixels, b.pixels) for a, b in zip(found.case.lesions, CASE.lesions, strict=True)] == [
        True,
        True,
    ]
    assert [(one.view, one.taken) for one in found.case.lesions] == [(one.view, one.taken) for one in CASE.lesions]
    assert (found.case.context, found.case.question) == (CASE.context, CASE.question)
    assert found.told["answer"] == json.loads(json.dumps(answer_json(sample_answer(CASE))))
    assert found.told["made_by"]["weights"] == "0123abc"
    assert "not for diagnosis" in found.told["disclaimer"]
    assert found.report.startswith("# DermIQ consultation report")


def test_the_same_case_is_the_same_zip_but_for_the_pdf_s_own_marks() -> None:
    first = files()
    kept.cache_clear()
    second = files()
    assert {name for name in first if first[name] != second[name]} <= {bundle.PDF}
    assert set(first) == {"case.json", "report.md", "report.pdf", "images/1.png", "images/2.png"}
    assert first[bundle.PDF].startswith(b"%PDF")


def test_what_a_photograph_s_file_carries_beside_the_picture_is_not_in_it() -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x010E] = NAME
    Image.fromarray(picture(200, 150)).save(buffer, "JPEG", exif=exif)
    content = kept(api.case_of([buffer.getvalue(), rgb()], PatientContext()))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert NAME.encode() in buffer.getvalue()
    assert NAME.encode() not in everything
    assert NUMBER.encode() not in everything


def _record(**changes: Any) -> bytes:
    return json.dumps({**json.loads(files()["case.json"]), **changes}).encode()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no zip": (lambda: b"text", "no zip"),
    "another zip": (lambda: packed({"a.txt": b"x"}), "no case of DermIQ"),
    "no record": (lambda: packed({k: v for k, v in files().items() if k != "case.json"}), "no case"),
    "a record that is a list": (lambda: packed({**files(), "case.json": b"[]"}), "no case"),
    "a record of nested lists": (lambda: packed({"case.json": b"[" * 200_000}), "no case"),
    "a later version": (lambda: packed({**files(), "case.json": _record(version=2)}), "another version"),
    "no images": (lambda: packed({**files(), "case.json": _record(images=[])}), "no case"),
    "images that are not there": (lambda: packed({"case.json": files()["case.json"]}), "no case"),
    "another image": (lambda: packed({**files(), "images/1.png": files()["images/2.png"]}), "not the one"),
    "no image": (lambda: packed({**files(), "images/1.png": b"text"}), "not an image"),
    "a patient of 900": (
        lambda: packed({**files(), "case.json": _record(patient={**vars(CASE.context), "age": 900})}),
        "900",
    ),
    "a patient of nothing": (lambda: packed({**files(), "case.json": _record(patient=None)}), "no case"),
    "a path outside": (lambda: packed({**files(), "images/../../x.png": b"x"}), "outside itself"),
    "a bomb": (
        lambda: of_entries(*((zipfile.ZipInfo(f"images/{n}.png"), bytes(10)) for n in range(100))),
        "more than 300 MB or 60 files",
    ),
}


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_case_is_refused_with_a_sentence(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(InputError, match=words):
        bundle.unpacked(make())


def test_a_zip_that_is_larger_than_it_says_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", 10_000)
    with pytest.raises(InputError, match="Unpacked"):
        bundle.unpacked(kept())


def test_the_command_keeps_a_case_and_takes_it_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(drawn_examples()[1][1]).save(tmp_path / "lesion.png")
    (tmp_path / "lesion.dcm").write_bytes(rgb())
    case, report, fhir = (str(tmp_path / name) for name in ("case.zip", "report.dcm", "report.json"))
    first = ("assess", str(tmp_path / "lesion.png"), str(tmp_path / "lesion.dcm"), "--reader", "specialist", "--json")
    assert main([*first, "--bundle", case, "--dicom-out", report, "--fhir", fhir]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["assess", "--from", case, "--reader", "specialist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said, "the patient that DICOM told is kept, too"
    assert main(["bundle", case, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["patient"]["age"], shown["answer"]["model_revision"]) == (54, said["model_revision"])
    assert main(["bundle", case]) == 0
    assert "54 years, female, site: back" in capsys.readouterr().out
    assert b"1.2.3.4" in Path(report).read_bytes(), "the study of the photograph"
    assert json.loads(Path(fhir).read_text())["status"] == "preliminary"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("case.zip", "lesion.dcm", "lesion.png", "report.dcm", "report.json")
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("assess",), "no image"),
        (("assess", "a.png", "--from", "b.zip"), "not both"),
        (("assess", "--from", "missing.zip"), "missing.zip cannot be read"),
        (("assess", "a.png", "--bundle", "/proc/nowhere/case.zip"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_before_models_are_loaded(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
