"""The FHIR report is valid in both releases, says that it is no diagnosis, and has the graph's codes alone."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from dermiq.errors import InputError
from dermiq.exchange import fhir
from dermiq.knowledge import Graph
from dermiq.report import DISCLAIMER
from dermiq.types import Abstention, Answer, Case, Lesion
from tests.exchange.made import pixels
from tests.fakes import sample_answer

CREATED = datetime(2030, 5, 4, 9, 30, tzinfo=timezone.utc)
CASE = Case((Lesion(pixels()),))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


def made(graph: Graph, release: str = "R4", **changes: object) -> Any:
    answer: Answer = sample_answer(CASE, **changes)
    return json.loads(fhir.report_of(answer, created=CREATED, graph=graph, release=release))


@pytest.mark.parametrize("release", fhir.RELEASES)
def test_it_is_a_preliminary_report_with_its_own_device(graph: Graph, release: str) -> None:
    report = made(graph, release)
    assert (report["resourceType"], report["status"]) == ("DiagnosticReport", "preliminary")
    device, *observations = report["contained"]
    assert device["version"][0]["value"] == "0123abc"
    assert [one["device"]["reference"] for one in observations] == ["#device"] * 2
    assert [one["reference"] for one in report["result"]] == ["#specialist", "#vlm"]
    assert ("deviceName" in device) == (release == "R4")


def test_every_part_that_may_be_read_alone_says_that_it_is_no_diagnosis(graph: Graph) -> None:
    report = made(graph, abstention=Abstention("far", "Too far from what is known."))
    assert report["conclusion"].startswith(DISCLAIMER)
    assert DISCLAIMER in report["text"]["div"]
    assert "conclusionCode" not in report
    for observation in report["contained"][1:]:
        assert [note["text"] for note in observation["note"]] == [DISCLAIMER, "Too far from what is known."]


def test_probabilities_are_those_of_the_answer(graph: Graph) -> None:
    answer = sample_answer(CASE)
    for opinion, observation in zip(answer.differentials, made(graph)["contained"][1:], strict=True):
        values = [float(part["valueQuantity"]["value"]) for part in observation["component"]]
        assert values == [round(one.probability, 4) for one in opinion.candidates]
        names = [part["code"]["text"] for part in observation["component"]]
        assert names == [one.diagnosis.name for one in opinion.candidates]


def test_codes_are_those_of_the_graph_and_no_others(graph: Graph) -> None:
    parts = {part["code"]["text"]: part["code"] for part in made(graph)["contained"][1]["component"]}
    assert parts["melanoma"]["coding"] == [
        {"system": "http://snomed.info/sct", "code": "93655004"},
        {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C43"},
    ]
    assert "coding" not in parts["benign keratosis"], "a group of the data set, of which the graph has no code"


def test_no_patient_is_in_it(graph: Graph) -> None:
    assert "subject" not in json.dumps(made(graph))


def test_without_the_package_it_is_said_what_to_install(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fhir", None)
    with pytest.raises(InputError, match=r"pip install fhir\.resources"):
        made(graph)
