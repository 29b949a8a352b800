"""An answer as a FHIR DiagnosticReport, in R4 or R5. Needs fhir.resources, the extra `fhir`.

    text = report_of(answer, created=datetime.now().astimezone(), graph=graph)      # JSON, checked by fhir.resources

The report is preliminary, names no subject, and says in its conclusion, its text and each Observation that it is not
for diagnosis. Each reader's probabilities are an Observation with one component a condition, made by a Device with the
model's version. Codes of SNOMED CT and ICD-10-CM stand where the knowledge graph holds one for the condition; what
has none is a text. No `conclusionCode` is given: a system would take it for a diagnosis.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from importlib import import_module
from typing import Any

from dermiq.errors import InputError
from dermiq.knowledge import Graph
from dermiq.report import DISCLAIMER, READERS, percent
from dermiq.types import CLASS_NAMES, Answer, Candidate, Differential, Json

MODELS = {"R4": "fhir.resources.R4B.diagnosticreport", "R5": "fhir.resources.diagnosticreport"}
"""By release. Of what is used here, R4B says what R4 says."""
RELEASES = tuple(MODELS)
SYSTEMS = {"sctid": "http://snomed.info/sct", "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm"}
CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "IMG", "display": "Diagnostic Imaging"}
UNIT = {"unit": "probability", "system": "http://unitsofmeasure.org", "code": "1"}
DEVICE = "device"
MISSING = "To write FHIR, DermIQ needs fhir.resources: install it (`pip install fhir.resources`)."


def report_of(answer: Answer, *, created: datetime, graph: Graph, release: str = "R4") -> str:
    """JSON. InputError where fhir.resources is missing; its own errors where what was made is not valid."""
    made = _checker(release).model_validate(resource(answer, created=created, graph=graph, release=release))
    return str(made.model_dump_json(indent=1, exclude_none=True))


def needed(release: str = "R4") -> None:
    """Raises InputError where fhir.resources is missing."""
    _checker(release)


def _checker(release: str) -> Any:
    try:
        from fhir import resources  # noqa: F401
    except ImportError as error:
        raise InputError(MISSING, detail=repr(error)) from error
    return import_module(MODELS[release]).DiagnosticReport


def resource(answer: Answer, *, created: datetime, graph: Graph, release: str) -> Json:
    """The DiagnosticReport."""
    observations = [_observation(opinion, answer, created, graph) for opinion in answer.differentials]
    conclusion = _conclusion(answer)
    return {
        "resourceType": "DiagnosticReport",
        "text": {"status": "generated", "div": _narrative(conclusion)},
        "contained": [_device(answer, release), *observations],
        "status": "preliminary",
        "category": [{"coding": [CATEGORY]}],
        "code": {"text": "Assessment of a photograph of a skin lesion by DermIQ (research demonstration)"},
        "effectiveDateTime": created.isoformat(timespec="seconds"),
        "issued": created.isoformat(timespec="seconds"),
        "result": [{"reference": f"#{one['id']}"} for one in observations],
        "conclusion": "\n".join(conclusion),
    }


def _device(answer: Answer, release: str) -> Json:
    called = {"R4": ("deviceName", "name"), "R5": ("name", "value")}[release]
    return {
        "resourceType": "Device",
        "id": DEVICE,
        called[0]: [{called[1]: answer.model, "type": "user-friendly-name"}],
        "manufacturer": "DermIQ",
        "version": [{"type": {"text": "hash of the weights"}, "value": answer.model_revision}],
    }


def _observation(opinion: Differential, answer: Answer, created: datetime, graph: Graph) -> Json:
    name = READERS[opinion.reader]
    notes = [f"{DISCLAIMER}", *([answer.abstention.message] if answer.abstention else [])]
    return {
        "resourceType": "Observation",
        "id": opinion.reader,
        "status": "preliminary",
        "code": {"text": f"Calibrated probabilities of seven classes of skin lesions ({name.lower()})"},
        "effectiveDateTime": created.isoformat(timespec="seconds"),
        "device": {"reference": f"#{DEVICE}"},
        "note": [{"text": text} for text in notes],
        "component": [_component(candidate, graph) for candidate in opinion.candidates],
    }


def _component(candidate: Candidate, graph: Graph) -> Json:
    return {
        "code": concept(candidate, graph),
        "valueQuantity": {"value": round(candidate.probability, 4), **UNIT},
    }


def concept(candidate: Candidate, graph: Graph) -> Json:
    """The condition's name, and its codes where the graph holds any."""
    diagnosis = candidate.diagnosis
    codes = graph.node(diagnosis.id).codes
    codings = [
        {"system": address, "code": code}
        for system, address in SYSTEMS.items()
        for code in codes.get(system, "").split("|")
        if code
    ]
    return {**({"coding": codings} if codings else {}), "text": diagnosis.name}


# --- words ------------------------------------------------------------------------------


def _conclusion(answer: Answer) -> list[str]:
    lines = [DISCLAIMER, *([answer.abstention.message] if answer.abstention else [])]
    for opinion in answer.differentials:
        top = ", ".join(f"{one.diagnosis.name} {percent(one.probability)}" for one in opinion.candidates[:3])
        lines.append(f"{READERS[opinion.reader]}: {top}.")
        for certainty, codes in sorted(opinion.sets.items(), reverse=True):
            lines.append(f"With {certainty} % certainty one of: {', '.join(CLASS_NAMES[code] for code in codes)}.")
    if answer.urgency:
        lines.append(f"Urgency: {answer.urgency.text}")
    return lines


def _narrative(lines: list[str]) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(f"<p>{escape(line)}</p>" for line in lines)}</div>'
