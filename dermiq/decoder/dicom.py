"""A photograph in a DICOM file: its one picture, and what it tells of the patient that names nobody.

Needs pydicom, the extra `dicom`; runs in the decoding process. Read are Dermoscopic Photography, VL Photographic Image
and Secondary Capture, with 8 bits a sample, uncompressed or as baseline JPEG. Of the patient, age, sex and body part
are read. Names, numbers, dates and whatever else may say who it is are never looked at.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from dermiq.decoder.formats import ACCEPTED
from dermiq.errors import ImageError
from dermiq.patient import OLDEST

if TYPE_CHECKING:
    from pydicom import Dataset

DERMOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.7"
PHOTOGRAPHS = (DERMOSCOPY, "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.7")
"""Dermoscopic Photography, VL Photographic Image, Secondary Capture."""
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
"""Transfer syntaxes without compression of the picture: implicit and explicit little endian, deflated as a whole."""
JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")  # baseline, and extended, where that has 8 bits
READ = (
    *("SOPClassUID", "PatientAge", "PatientSex", "BodyPartExamined", "AnatomicRegionSequence", "NumberOfFrames"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated"),
    *("BurnedInAnnotation", "ICCProfile", "PixelData"),
)
SAMPLES = {"RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "MONOCHROME2": 1}  # a pixel, by photometric interpretation
MODES = {"RGB": "RGB", "YBR_FULL": "YCbCr", "MONOCHROME2": "L"}
DAYS = {"Y": 365.25, "M": 365.25 / 12, "W": 7.0, "D": 1.0}
NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""A JPEG's mark that its three parts are red, green and blue. Without one, decoders take them for YCbCr."""
INSTALL = f"install it (`pip install pydicom`), or export the photograph as {ACCEPTED}."


@dataclass(frozen=True)
class Photograph:
    """`picture`: a JPEG file, or the pixels. `told`: of age (years), sex, site and view, what is stated."""

    picture: bytes | Image.Image
    profile: bytes | None
    told: dict[str, str] = field(default_factory=dict)


def is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def opened(data: bytes) -> Photograph:
    """Raises ImageError with what to do."""
    try:
        return _opened(data)
    except (ImageError, MemoryError):
        raise
    except ImportError as error:
        raise ImageError(f"To read DICOM files, DermIQ needs pydicom: {INSTALL}", detail=repr(error)) from error
    except Exception as error:  # pydicom raises nearly anything on hostile bytes
        raise ImageError("This DICOM file is damaged or incomplete: export it anew.", detail=repr(error)) from error


def _opened(data: bytes) -> Photograph:
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(data), specific_tags=list(READ))
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    _refuse(dataset, syntax)
    picture = _jpeg(dataset) if syntax in JPEG else _native(dataset)
    return Photograph(picture, dataset.get("ICCProfile"), _told(dataset))


def _refuse(dataset: Dataset, syntax: str) -> None:
    if dataset.get("SOPClassUID") not in PHOTOGRAPHS:
        raise ImageError(
            "This DICOM file is no photograph (Dermoscopic Photography, VL Photographic Image or Secondary Capture): "
            "choose the one that shows the lesion."
        )
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError(
            f"The DICOM file holds {int(dataset.NumberOfFrames)} frames: save the one that shows the lesion as a "
            "single image."
        )
    if dataset.get("BurnedInAnnotation") == "YES":
        raise ImageError(
            "The DICOM file says that writing is burned into its picture, which may name the patient: export the "
            "photograph without it."
        )
    if syntax not in (*NATIVE, *JPEG):
        raise ImageError(
            "The picture in this DICOM file is compressed in a way that is not read here: export it uncompressed, as "
            f"baseline JPEG, or as {ACCEPTED}."
        )
    kind = str(dataset.get("PhotometricInterpretation"))
    if dataset.get("BitsAllocated") != 8 or dataset.get("SamplesPerPixel") != SAMPLES.get(kind):
        raise ImageError(
            f"The picture in this DICOM file has other colours than {', '.join(SAMPLES)} with 8 bits: export the "
            f"photograph as {ACCEPTED}."
        )


# --- the picture ------------------------------------------------------------------------


def _jpeg(dataset: Dataset) -> bytes:
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if frame[:2] != b"\xff\xd8":
        raise ValueError("no JPEG in it")
    is_rgb = dataset.PhotometricInterpretation == "RGB" and NO_TRANSFORM[4:9] not in frame[:1000]
    return frame[:2] + NO_TRANSFORM + frame[2:] if is_rgb else frame  # a JFIF mark, which says YCbCr, outweighs it


def _native(dataset: Dataset) -> Image.Image:
    """Raises ValueError where there are fewer bytes than pixels."""
    size, kind, data = (dataset.Columns, dataset.Rows), str(dataset.PhotometricInterpretation), dataset.PixelData
    count = size[0] * size[1]
    if not 0 < count * (2 if kind == "YBR_FULL_422" else SAMPLES[kind]) <= len(data):
        raise ValueError(f"{len(data)} bytes for {size[0]} x {size[1]} pixels")
    if kind == "YBR_FULL_422":
        return _of_pairs(size, data[: 2 * count])
    if SAMPLES[kind] == 3 and dataset.get("PlanarConfiguration") == 1:
        planes = [Image.frombytes("L", size, data[n * count : (n + 1) * count]) for n in range(3)]
        return Image.merge(MODES[kind], planes)
    return Image.frombytes(MODES[kind], size, data[: SAMPLES[kind] * count])


def _of_pairs(size: tuple[int, int], data: bytes) -> Image.Image:
    """Two pixels share their colour: Y Y Cb Cr."""
    bright = bytearray(len(data) // 2)
    bright[0::2], bright[1::2] = data[0::4], data[1::4]
    shared = []
    for at in (2, 3):
        plane = bytearray(len(bright))
        plane[0::2] = plane[1::2] = data[at::4]
        shared.append(plane)
    return Image.merge("YCbCr", [Image.frombytes("L", size, bytes(plane)) for plane in (bright, *shared)])


# --- the patient ------------------------------------------------------------------------


def _told(dataset: Dataset) -> dict[str, str]:
    found = {
        "age": _age(dataset.get("PatientAge")),
        "sex": {"F": "female", "M": "male"}.get(str(dataset.get("PatientSex")), ""),
        "site": _site(dataset),
        "view": "dermoscopy" if dataset.SOPClassUID == DERMOSCOPY else "",
    }
    return {name: value for name, value in found.items() if value}


def _age(value: Any) -> str:
    """ "054Y" -> "54"; "" for what is none."""
    found = re.fullmatch(r"(\d{3})([DWMY])", str(value))
    years = math.floor(int(found[1]) * DAYS[found[2]] / DAYS["Y"]) if found else OLDEST + 1
    return str(years) if years <= OLDEST else ""


def _site(dataset: Dataset) -> str:
    """The meaning of the region's code, else the body part: words alone, so that nothing else slips in."""
    region = dataset.get("AnatomicRegionSequence")
    meaning = str(region[0].get("CodeMeaning", "")) if region else ""
    part = str(dataset.get("BodyPartExamined", "")).replace("_", " ")
    words = (text.lower() for text in (meaning, part) if re.fullmatch(r"[A-Za-z][A-Za-z ]{1,39}", text))
    return next((text for text in words if text not in ("skin", "unknown")), "")
