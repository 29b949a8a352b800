"""What `dermiq assess` writes where it is asked to: a case bundle, a DICOM report, a FHIR report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dermiq.errors import InputError
from dermiq.exchange import bundle, dicom, fhir
from dermiq.files.paths import folder_for
from dermiq.knowledge import Graph
from dermiq.settings import Settings
from dermiq.types import Answer, Case, Json


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", type=Path, metavar="ZIP", help="write the case as a zip: its images, patient, question, answer"
    )
    parser.add_argument(
        "--dicom-out", type=Path, metavar="FILE", help="write the report as DICOM (Encapsulated PDF; needs pydicom)"
    )
    parser.add_argument(
        "--fhir", type=Path, metavar="JSON", help="write a FHIR DiagnosticReport (needs fhir.resources)"
    )
    parser.add_argument("--fhir-release", choices=fhir.RELEASES, default=fhir.RELEASES[0], help="default: R4")


def check(options: argparse.Namespace) -> None:
    """Before minutes are spent: InputError where a package is missing, or a file cannot be written there."""
    if options.dicom_out:
        dicom.needed()
    if options.fhir:
        fhir.needed(options.fhir_release)
    for path in filter(None, (options.bundle, options.dicom_out, options.fhir)):
        folder_for(path)


def write(options: argparse.Namespace, case: Case, answer: Answer, *, told: Json, sources: Sequence[bytes]) -> None:
    """`told`: the answer as JSON; `sources`: the files of the images, where there are any."""
    created = datetime.now().astimezone()
    if options.bundle:
        _put(options.bundle, bundle.packed(case, answer, told=told, created=created))
    if options.dicom_out:
        _put(options.dicom_out, dicom.report_of(case, answer, created=created, sources=sources))
    if options.fhir:
        graph = Graph.load(Settings.load([]).kg)
        text = fhir.report_of(answer, created=created, graph=graph, release=options.fhir_release)
        _put(options.fhir, text.encode())


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    half = path.with_name(f"{path.name}.part")
    try:
        half.write_bytes(content)
        half.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", detail=repr(error)) from error
    finally:
        half.unlink(missing_ok=True)
    print(f"{path} is written.", file=sys.stderr)
