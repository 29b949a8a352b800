"""The specialist's opinion on a case: its images together, what was told of the patient, and sets of diagnoses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dermiq.specialist.reader import Specialist, fuse_readings
from dermiq.types import PatientContext, SpecialistReading, View

DERMOSCOPY: frozenset[View] = frozenset({"dermoscopy", "unknown"})
"""Views for which age, sex and site were counted: not for photographs, whose patients are others."""


@dataclass(frozen=True)
class Opinion:
    probabilities: Mapping[str, float]  # with what was told, where it counts
    by_image: Mapping[str, float]  # by the images alone
    told: tuple[str, ...]  # the factors that counted: "age", "sex", "site"
    sets: Mapping[str, tuple[str, ...]]  # certainty in percent -> class codes, likeliest first


def opinion_of(
    readings: Sequence[SpecialistReading],
    context: PatientContext,
    specialist: Specialist,
    *,
    views: Collection[View] = frozenset({"unknown"}),
) -> Opinion:
    """Of one lesion's images. `views`: the kinds of the images."""
    seen = fuse_readings(readings)
    counts = set(views) <= DERMOSCOPY
    told = specialist.told.counts(context) if counts else ()
    shown = specialist.told.applied(seen, context) if told else seen
    sets = {certainty: specialist.sets.holding(shown, certainty) for certainty in specialist.sets.thresholds}
    return Opinion(shown, seen, told, sets if counts else {})
