"""DICOM photographs are read for their picture and for what names nobody; a report goes back into their study."""

from __future__ import annotations

import io
import random
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from dermiq import api
from dermiq.decoder import pool
from dermiq.decoder.decode import decode
from dermiq.errors import ImageError, InputError
from dermiq.exchange.dicom import report_of
from dermiq.report import to_pdf
from dermiq.types import Case, Lesion, PatientContext
from tests.exchange.made import NAME, NUMBER, VL_PHOTOGRAPH, WHO, dicom, jpeg, pixels, rgb
from tests.fakes import png, sample_answer

CREATED = datetime(2030, 5, 4, 9, 30, tzinfo=timezone.utc)
CASE = Case((Lesion(pixels()),), PatientContext(age=54))


def ycc() -> np.ndarray:
    return np.asarray(Image.fromarray(pixels()).convert("YCbCr"))


def halved() -> bytes:
    """YBR_FULL_422 as it is stored: Y Y Cb Cr."""
    full = ycc()
    pairs = np.stack([full[:, 0::2, 0], full[:, 1::2, 0], full[:, 0::2, 1], full[:, 0::2, 2]], axis=-1)
    return bytes(pairs.tobytes())


def planar(array: np.ndarray) -> bytes:
    return bytes(array.transpose(2, 0, 1).tobytes())


GREY: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1, "PlanarConfiguration": None}
FULL, HALF = "YBR_FULL", "YBR_FULL_422"
NATIVE = {
    "rgb": lambda: rgb(),
    "implicit": lambda: rgb(syntax=ImplicitVRLittleEndian),
    "deflated": lambda: rgb(syntax=DeflatedExplicitVRLittleEndian),
    "rgb by planes": lambda: dicom(planar(pixels()), PlanarConfiguration=1),
    "ybr": lambda: dicom(ycc().tobytes(), PhotometricInterpretation=FULL),
    "ybr by planes": lambda: dicom(planar(ycc()), PhotometricInterpretation=FULL, PlanarConfiguration=1),
    "ybr 4:2:2": lambda: dicom(halved(), PhotometricInterpretation=HALF),
    "grey": lambda: dicom(pixels()[..., 0].tobytes(), **GREY),
    "secondary capture": lambda: rgb(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    "one frame": lambda: rgb(NumberOfFrames=1),
}


@pytest.mark.parametrize("name", NATIVE)
def test_an_uncompressed_picture_is_that_of_pydicom(name: str) -> None:
    data = NATIVE[name]()
    theirs = pixel_array(dcmread(io.BytesIO(data)))
    ours = np.asarray(decode(data).image).astype(int)
    theirs = theirs if theirs.ndim == 3 else np.stack([theirs] * 3, axis=-1)
    assert np.abs(ours - theirs).max() <= (2 if name.startswith("ybr") else 0), "rounding apart"


def test_a_jpeg_inside_is_read_as_the_jpeg_itself() -> None:
    image, buffer = Image.fromarray(pixels()), io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    assert np.array_equal(np.asarray(decode(jpeg()).image), np.asarray(decode(buffer.getvalue()).image))
    grey = jpeg(image.convert("L"), **GREY)
    assert np.array_equal(np.asarray(decode(grey).image)[..., 0], np.asarray(decode(grey).image)[..., 2])


def test_a_jpeg_whose_parts_are_red_green_and_blue_keeps_its_colours() -> None:
    """Without the mark that says so, since DICOM says it."""
    marked = io.BytesIO()
    Image.fromarray(pixels()).save(marked, "JPEG", quality=95, keep_rgb=True)
    plain = marked.getvalue()
    at = plain.index(b"\xff\xee")
    plain = plain[:at] + plain[at + 16 :]
    data = dicom(encapsulate([plain]), syntax=JPEGBaseline8Bit)
    assert np.abs(np.asarray(decode(data).image).astype(int) - pixels()).mean() < 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "no photograph"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "other colours"),
        ({"PhotometricInterpretation": "PALETTE COLOR", "SamplesPerPixel": 1}, "other colours"),
        ({"BitsAllocated": 16}, "other colours"),
        ({"SamplesPerPixel": 4}, "other colours"),
        ({"Rows": 4000, "Columns": 4000}, "damaged"),
        ({"Rows": 0}, "damaged"),
        ({"Rows": 20}, "too small"),
        ({"SOPClassUID": VL_PHOTOGRAPH, "Columns": 600, "Rows": 60}, "strip"),
    ],
)
def test_what_is_no_single_photograph_is_refused(changes: dict[str, Any], words: str) -> None:
    data = rgb(**changes) if changes.get("Columns") != 600 else dicom(bytes(600 * 60 * 3), **changes)
    with pytest.raises(ImageError, match=words):
        decode(data)


def test_another_compression_is_refused_with_what_to_do() -> None:
    with pytest.raises(ImageError, match="baseline JPEG"):
        decode(dicom(encapsulate([b"\0" * 64]), syntax=JPEG2000Lossless))


def test_no_damage_raises_anything_but_a_sentence() -> None:
    draw = random.Random(5)
    whole = [rgb(), jpeg()]
    for n in range(150):
        data = bytearray(whole[n % 2])
        for _ in range(draw.randint(1, 12)):
            data[draw.randrange(128, 1500)] = draw.randrange(256)
        damaged = bytes(data[: draw.choice([len(data), draw.randrange(132, len(data))])])
        with suppress(ImageError):
            decode(damaged)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, PatientContext(54, "female", "back")),
        (
            {"PatientAge": "018M", "PatientSex": "O", "BodyPartExamined": "LOWER_LEG"},
            PatientContext(1, None, "lower leg"),
        ),
        ({"PatientAge": None, "PatientSex": "M", "BodyPartExamined": "SKIN"}, PatientContext(None, "male", None)),
        ({"PatientAge": "999Y", "PatientSex": "", "BodyPartExamined": ""}, PatientContext()),
    ],
)
def test_age_sex_and_body_part_are_read(changes: dict[str, Any], expected: PatientContext) -> None:
    assert api.opened(rgb(**changes))[1] == expected


def test_the_region_says_more_than_the_body_part_unless_it_is_no_word() -> None:
    def sites(meaning: str) -> str | None:
        region = Dataset()
        region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "1", "SCT", meaning
        return api.opened(rgb(AnatomicRegionSequence=[region]))[1].site

    assert sites("Skin of nose") == "skin of nose"
    assert sites("Jane Doe, born 1970") == "back"


def test_what_is_said_counts_before_what_the_file_tells() -> None:
    assert api.case_of([rgb()], PatientContext(age=0, site="nose")).context == PatientContext(0, "female", "nose")


def test_a_dermoscopic_photograph_says_what_it_is() -> None:
    assert api.opened(rgb(SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.7"))[0].view == "dermoscopy"
    assert api.opened(rgb())[0].view == "unknown"


def test_the_decoding_process_tells_nothing_that_names_the_patient() -> None:
    decoded = pool.read(rgb())
    assert np.array_equal(decoded.pixels, pixels())
    assert decoded.told == {"age": "54", "sex": "female", "site": "back"}


def test_without_pydicom_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rgb()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match="pip install pydicom"):
        decode(data)
    with pytest.raises(InputError, match="pip install pydicom"):
        report_of(CASE, sample_answer(CASE), created=CREATED)


# --- out --------------------------------------------------------------------------------


def written(*sources: bytes) -> FileDataset:
    return dcmread(io.BytesIO(report_of(CASE, sample_answer(CASE), created=CREATED, sources=sources)))


def test_the_report_is_the_pdf_in_a_file_that_others_read() -> None:
    made = written()
    assert (made.SOPClassUID, made.file_meta.MediaStorageSOPClassUID) == (EncapsulatedPDFStorage,) * 2
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    pdf = made.EncapsulatedDocument[: made.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(pdf) == len(to_pdf(CASE, sample_answer(CASE), created=CREATED))
    assert made.VerificationFlag == "UNVERIFIED"
    for name in (*WHO, "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        assert name in made, "required, if empty"
        assert not made[name].value


def test_the_report_stands_in_the_study_of_its_photographs() -> None:
    first, second = rgb(), rgb()
    made = written(first, second, png(pixels()))
    assert {name: str(made[name].value) for name in WHO} == WHO
    assert (made.StudyInstanceUID, made.AccessionNumber) == ("1.2.3.4", "A1")
    assert made.SeriesInstanceUID != "1.2.3.4.5"
    referred = [item.ReferencedSOPInstanceUID for item in made.SourceInstanceSequence]
    assert referred == [dcmread(io.BytesIO(data)).SOPInstanceUID for data in (first, second)]


def test_a_name_in_other_letters_arrives_as_it_was() -> None:
    made = written(rgb(SpecificCharacterSet="ISO_IR 192", PatientName="Żółć^Ğ"))
    assert str(made.PatientName) == "Żółć^Ğ"


def test_photographs_of_two_patients_are_no_report() -> None:
    with pytest.raises(InputError, match="several patients"):
        written(rgb(), rgb(PatientID="other"))


def test_a_value_that_breaks_the_rules_is_copied_and_said_nowhere(recwarn: pytest.WarningsRecorder) -> None:
    broken = rgb().replace(b"19700101", b"1970-x-1")
    assert written(broken).SourceInstanceSequence
    assert not recwarn.list, "a warning would quote it"


def test_a_file_without_its_own_number_is_no_source() -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        written(rgb()[:140])
    assert NAME not in caught.value.detail


def test_the_pdf_names_nobody() -> None:
    case = api.case_of([rgb()], PatientContext())
    content = report_of(case, sample_answer(case), created=CREATED)
    assert NAME.encode() not in content
    assert NUMBER.encode() not in content
