"""Referral rules: what is measured, told or unknown, and what follows."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph, urgency
from dermiq.types import Candidate, Diagnosis, Differential, Finding, PatientContext

GRAPH = Graph.load()


def _read(**probabilities: float) -> Differential:
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    found = [(GRAPH.diagnosis(code), share) for code, share in ranked]
    return Differential(tuple(Candidate(item, share) for item, share in found if item), "specialist")


def _finding(code: str, value: float, text: str, percentile: float | None) -> Finding:
    return Finding(code, code, value, "", text, "", percentile=percentile)


IRREGULAR = (
    _finding("asymmetry", 22.0, "asymmetric about both axes", 96.0),
    _finding("colour_count", 4.0, "four colours", 97.0),
)
REGULAR = (
    _finding("asymmetry", 3.0, "symmetric", 20.0),
    _finding("colour_count", 1.0, "one colour", 20.0),
)
TOLD_NOTHING = PatientContext()


@pytest.mark.parametrize(
    ("read", "context", "findings", "level", "words"),
    [
        ({"mel": 0.4, "nv": 0.6}, TOLD_NOTHING, IRREGULAR, "urgent", "4 points"),
        ({"mel": 0.15, "nv": 0.85}, PatientContext(symptoms=("grew", "itch")), REGULAR, "urgent", "told: it grew"),
        ({"mel": 0.7, "nv": 0.3}, TOLD_NOTHING, (), "urgent", "the image suggests melanoma"),
        ({"mel": 0.2, "nv": 0.8}, TOLD_NOTHING, REGULAR, "soon", "not met: irregular shape"),
        ({"mel": 0.02, "nv": 0.98}, TOLD_NOTHING, IRREGULAR, "none", "No NG12 rule"),
        ({"mel": 0.02, "nv": 0.98}, PatientContext(symptoms=("grew",)), IRREGULAR, "soon", "reaches 3"),
        ({"bcc": 0.9, "nv": 0.1}, TOLD_NOTHING, REGULAR, "routine", "site not told"),
        ({"bcc": 0.9, "nv": 0.1}, PatientContext(site="nose"), REGULAR, "soon", "delay may do harm"),
        ({"bcc": 0.9, "nv": 0.1}, PatientContext(site="forearm"), REGULAR, "routine", "forearm"),
        ({"akiec": 0.9, "nv": 0.1}, TOLD_NOTHING, REGULAR, "routine", "no rule for actinic keratosis"),
        ({"akiec": 0.9, "nv": 0.1}, PatientContext(symptoms=("bled",)), REGULAR, "urgent", "bleeding (told)"),
        ({"df": 1.0}, TOLD_NOTHING, (), "none", "dermatofibroma most likely"),
    ],
)
def test_the_level_and_its_reasons(
    read: dict[str, float], context: PatientContext, findings: tuple[Finding, ...], level: str, words: str
) -> None:
    found = urgency(GRAPH, differential=_read(**read), context=context, findings=findings)
    assert found is not None
    assert found.level == level
    assert words in found.text
    assert "UK rule" in found.text
    assert found.facts
    assert all(fact.relation == "refer_if" for fact in found.facts)


def test_unknown_points_are_called_unknown() -> None:
    found = urgency(GRAPH, differential=_read(mel=0.6, nv=0.4), context=TOLD_NOTHING, findings=IRREGULAR)
    assert found is not None
    assert "unknown: change in size, diameter of 7 mm or more, inflammation, oozing, change in sensation" in found.text


def test_no_candidates_no_urgency() -> None:
    assert urgency(GRAPH, differential=Differential((), "vlm"), context=TOLD_NOTHING, findings=()) is None


def test_a_name_outside_the_classes_is_no_error() -> None:
    other = Differential((Candidate(Diagnosis("MONDO:0005083", "psoriasis"), 1.0),), "vlm")
    found = urgency(GRAPH, differential=other, context=TOLD_NOTHING, findings=())
    assert found is not None
    assert found.level == "none"
