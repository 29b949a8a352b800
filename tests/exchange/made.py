"""DICOM photographs, made here with pydicom, with a patient who must never be seen again."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tests.fakes import picture

VL_PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
NAME, NUMBER = "Doe^Jane", "MRN-4711"
WHO = {"PatientName": NAME, "PatientID": NUMBER, "PatientBirthDate": "19700101", "PatientSex": "F"}


def dicom(pixels: bytes, *, syntax: str = ExplicitVRLittleEndian, **changes: Any) -> bytes:
    """A VL Photographic Image of 160 x 120 px in RGB, but for `changes`; None leaves an attribute out."""
    made = Dataset()
    values = {
        "SOPClassUID": VL_PHOTOGRAPH,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.4.5",
        "AccessionNumber": "A1",
        **WHO,
        "PatientAge": "054Y",
        "BodyPartExamined": "BACK",
        "Rows": 120,
        "Columns": 160,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        **changes,
    }
    for name, value in values.items():
        if value is not None:
            setattr(made, name, value)
    made.PixelData = pixels
    made["PixelData"].VR = "OB"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def pixels() -> np.ndarray:
    """(120, 160, 3) uint8"""
    return picture(160, 120)


def rgb(**changes: Any) -> bytes:
    return dicom(pixels().tobytes(), **changes)


def jpeg(image: Image.Image | None = None, **changes: Any) -> bytes:
    """Baseline JPEG inside."""
    buffer = io.BytesIO()
    (image or Image.fromarray(pixels())).save(buffer, "JPEG", quality=95, **changes.pop("options", {}))
    changes = {"PhotometricInterpretation": "YBR_FULL_422", **changes}
    return dicom(encapsulate([buffer.getvalue()]), syntax=JPEGBaseline8Bit, **changes)
