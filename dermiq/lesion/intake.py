"""Bytes from a visitor become a `Lesion`: upright 8-bit sRGB pixels and nothing else.

Knows no outline, no model and no page. What a file may be is said in `dermiq.decoder.formats`; it is decoded by
`dermiq.decoder.decode`, in a process that ends when its time or its memory is used up. Nothing is written to disk and
nothing of a file's content is logged. Every file that cannot be used raises `ImageError` with one sentence
that says what to do.
"""

from __future__ import annotations

from dermiq.decoder import ACCEPTED, MAX_BYTES, MAX_PIXELS, MAX_SIDE
from dermiq.decoder.pool import read
from dermiq.errors import ImageError
from dermiq.lesion.quality import assess_quality
from dermiq.patient import age_of, sex_of, site_of
from dermiq.types import Lesion, PatientContext, View

__all__ = ["ACCEPTED", "MAX_BYTES", "MAX_PIXELS", "MAX_SIDE", "read_lesion", "read_told"]


def read_lesion(data: bytes, *, view: View = "unknown", taken: str | None = None, max_bytes: int = MAX_BYTES) -> Lesion:
    """Decode one file. Metadata, colour profile, alpha and orientation are gone afterwards."""
    return read_told(data, view=view, taken=taken, max_bytes=max_bytes)[0]


def read_told(
    data: bytes, *, view: View = "unknown", taken: str | None = None, max_bytes: int = MAX_BYTES
) -> tuple[Lesion, PatientContext]:
    """The same, and what a DICOM file tells of the patient: age, sex and site. Other files tell nothing."""
    if not data:
        raise ImageError("The file is empty: choose the photograph again.")
    if len(data) > max_bytes:
        raise ImageError(
            f"The file has {_megabytes(len(data))}, more than the {_megabytes(max_bytes)} that are accepted: "
            "save it smaller."
        )
    pixels, told = read(data)
    if view == "unknown" and told.get("view") == "dermoscopy":
        view = "dermoscopy"
    patient = PatientContext(age_of(told.get("age")), sex_of(told.get("sex")), site_of(told.get("site")))
    return Lesion(pixels=pixels, view=view, taken=taken, quality=assess_quality(pixels)), patient


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.3g} MB"
