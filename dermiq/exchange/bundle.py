"""A case as one zip file, to keep or to pass on: images, patient, question, answer and report.

    content = packed(case, answer, told=answer_json(answer), created=datetime.now().astimezone())
    bundle = unpacked(content)
    bundle.case.lesions, bundle.told["answer"], bundle.report

The images are the decoded pixels as PNG, bit for bit, without what their files carried beside them; their names are
numbers. A bundle is only made where somebody asks for one: it is the one file of a consultation that holds images.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

import dermiq
from dermiq.api import patient_of
from dermiq.assess_cli import SYMPTOMS
from dermiq.errors import InputError
from dermiq.files.archive import read_files
from dermiq.lesion import read_lesion
from dermiq.report import DISCLAIMER, to_markdown, to_pdf
from dermiq.types import Answer, Case, Json, Lesion, PatientContext, View

FORM, VERSION = "dermiq case", 1
RECORD, REPORT, PDF = "case.json", "report.md", "report.pdf"
MOST_BYTES, MOST_FILES, MOST_RECORD = 300_000_000, 60, 5_000_000
LONGEST_QUESTION = 4000  # characters
STAMP = (1980, 1, 1, 0, 0, 0)  # of every file: the same case gives the same bytes
NO_BUNDLE = "This zip is no case of DermIQ, or it was changed: choose one that `dermiq assess --bundle` wrote."


@dataclass(frozen=True, eq=False)
class Bundle:
    case: Case
    told: Json  # what `case.json` holds
    report: str  # Markdown


def packed(case: Case, answer: Answer, *, told: Json, created: datetime) -> bytes:
    """The zip. `told`: the answer as JSON."""
    images = {f"images/{number}.png": lesion for number, lesion in enumerate(case.lesions, 1)}
    record = {
        "form": FORM,
        "version": VERSION,
        "disclaimer": DISCLAIMER,
        "created": created.isoformat(timespec="seconds"),
        "made_by": {"dermiq": dermiq.__version__, "model": answer.model, "weights": answer.model_revision},
        "patient": asdict(case.context),
        "question": case.question,
        "images": [_described(name, lesion) for name, lesion in images.items()],
        "answer": told,
    }
    files = {
        RECORD: json.dumps(record, indent=1, ensure_ascii=False).encode(),
        REPORT: to_markdown(case, answer, created=created).encode(),
        PDF: to_pdf(case, answer, created=created, include_image=True),
        **{name: _png(lesion.pixels) for name, lesion in images.items()},
    }
    return _zipped(files)


def unpacked(content: bytes | Path) -> Bundle:
    """Raises InputError where it is no bundle, is damaged, or holds what was not packed with it."""
    files = read_files(
        content,
        wanted=lambda name: name in (RECORD, REPORT) or (name.startswith("images/") and name.endswith(".png")),
        most_bytes=MOST_BYTES,
        most_files=MOST_FILES,
        advice="No case is as large.",
    )
    record = _record(files.get(RECORD, b""))
    try:
        lesions = tuple(_lesion(one, files) for one in record["images"])
        patient, question = _patient(record["patient"]), str(record["question"])[:LONGEST_QUESTION]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(NO_BUNDLE, detail=repr(error)) from error
    if not lesions:
        raise InputError(NO_BUNDLE)
    report = files.get(REPORT, b"").decode("utf-8", errors="replace")
    return Bundle(Case(lesions, patient, question), record, report)


def _record(content: bytes) -> Json:
    try:
        record = json.loads(content[:MOST_RECORD])
    except (ValueError, RecursionError) as error:
        raise InputError(NO_BUNDLE, detail=repr(error)) from error
    if not isinstance(record, dict) or record.get("form") != FORM:
        raise InputError(NO_BUNDLE)
    if record.get("version") != VERSION:
        raise InputError("This case was written by another version of DermIQ: open it with that one, or a later one.")
    return record


def _patient(told: Mapping[str, Any]) -> PatientContext:
    return patient_of(
        age=told["age"],
        sex=told["sex"],
        site=told["site"],
        skin_type=told["skin_type"],
        symptoms=[word for word in SYMPTOMS if word in told["symptoms"]],
    )


# --- images -----------------------------------------------------------------------------


def _described(name: str, lesion: Lesion) -> Json:
    return {"file": name, "view": lesion.view, "taken": lesion.taken, "pixels_sha256": _digest(lesion.pixels)}


def _lesion(told: Mapping[str, Any], files: Mapping[str, bytes]) -> Lesion:
    view, taken = told["view"], told["taken"]
    if view not in get_args(View) or not (taken is None or isinstance(taken, str)):
        raise InputError(NO_BUNDLE)
    lesion = read_lesion(files[told["file"]], view=view, taken=taken)
    if _digest(lesion.pixels) != told["pixels_sha256"]:
        raise InputError("An image in this zip is not the one that was packed: ask for the case again.")
    return lesion


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, STAMP), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
