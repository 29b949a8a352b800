"""A report as a DICOM file: Encapsulated PDF, in the study of the photographs where these are DICOM files themselves.

    content = report_of(case, answer, created=datetime.now().astimezone(), sources=[Path("lesion.dcm").read_bytes()])

Needs pydicom, the extra `dicom`. Whose study it is is copied from the photographs into the new file and kept nowhere
else. Photographs are read by `dermiq.decoder.dicom`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dermiq
from dermiq.decoder.dicom import is_dicom
from dermiq.errors import InputError
from dermiq.report import TITLE, to_pdf
from dermiq.types import Answer, Case

if TYPE_CHECKING:
    from pydicom import Dataset

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
"""Attributes that the file must have, empty where nothing is known."""
COPIED = (*PATIENT, *STUDY, "IssuerOfPatientID", "StudyInstanceUID", "StudyDescription", "SpecificCharacterSet")
SAME = ("PatientID", "PatientName", "StudyInstanceUID")
MISSING = "To write DICOM files, DermIQ needs pydicom: install it (`pip install pydicom`)."
DAMAGED = "A DICOM file's own data cannot be read: export it anew, or leave --dicom-out away."


def needed() -> None:
    """Raises InputError where pydicom is missing."""
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise InputError(MISSING, detail=repr(error)) from error


def report_of(case: Case, answer: Answer, *, created: datetime, sources: Sequence[bytes] = ()) -> bytes:
    """A DICOM file. `sources`: the files of the images, of which those that are DICOM say whose report it is.

    InputError where pydicom is missing, or where these are of several patients or studies.
    """
    needed()
    pdf = to_pdf(case, answer, created=created)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote what names the patient
            return _made(answer, pdf, created, [_head(data) for data in sources if is_dicom(data)])
    except InputError:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes, and quotes them, too
        raise InputError(DAMAGED, detail=type(error).__name__) from None


def _made(answer: Answer, pdf: bytes, created: datetime, heads: Sequence[Dataset]) -> bytes:
    dataset = _of_study(heads)
    _describe(dataset, answer, created)
    _refer(dataset, heads)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + bytes(len(pdf) % 2)
    return _written(dataset)


def _head(data: bytes) -> Dataset:
    """What says whose a photograph is. It was decoded before: that it is one is known."""
    from pydicom import dcmread

    tags = [*COPIED, "SOPClassUID", "SOPInstanceUID"]
    return dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(tags))


def _of_study(heads: Sequence[Dataset]) -> Dataset:
    """A data set with the patient and the study of the photographs; with a new study where there are none."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    if any(len({str(head.get(name, "")) for head in heads}) > 1 for name in SAME):
        raise InputError(
            "The DICOM files are of several patients or studies: assess those of one study, or leave --dicom-out away."
        )
    made = Dataset()
    for name in COPIED:
        if heads and name in heads[0]:
            made[name] = heads[0][name]
    for name in (*PATIENT, *STUDY):
        if name not in made:
            setattr(made, name, None)
    if not made.get("StudyInstanceUID"):
        made.StudyInstanceUID = generate_uid()
    return made


def _describe(dataset: Dataset, answer: Answer, created: datetime) -> None:
    from pydicom.uid import EncapsulatedPDFStorage, generate_uid

    dataset.SOPClassUID, dataset.SOPInstanceUID = EncapsulatedPDFStorage, generate_uid()
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.InstanceNumber = generate_uid(), 1, 1
    dataset.Modality, dataset.ConversionType = "DOC", "WSD"  # made on a workstation
    dataset.SeriesDescription = "DermIQ, not for diagnosis"
    dataset.Manufacturer = dataset.ManufacturerModelName = "DermIQ"
    dataset.SoftwareVersions = [dermiq.__version__, _short(answer.model), _short(answer.model_revision)]
    dataset.ContentDate, dataset.ContentTime = f"{created:%Y%m%d}", f"{created:%H%M%S}"
    dataset.AcquisitionDateTime = None
    dataset.DocumentTitle = TITLE
    dataset.ConceptNameCodeSequence = []
    dataset.BurnedInAnnotation = "NO"  # the report names nobody
    dataset.VerificationFlag = "UNVERIFIED"


def _short(text: str) -> str:
    """As one value of the kind LO: 64 characters without a backslash."""
    return text.replace("\\", "/").encode("ascii", "replace").decode()[:64]


def _refer(dataset: Dataset, heads: Sequence[Dataset]) -> None:
    from pydicom import Dataset

    items = []
    for head in heads:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = head.SOPClassUID, head.SOPInstanceUID
        items.append(item)
    if items:
        dataset.SourceInstanceSequence = items


def _written(dataset: Dataset) -> bytes:
    from pydicom import FileMetaDataset, dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
