"""A case as one reader answers it, with what was read of its images: the specialist alone, or both.

reader = SpecialistAlone.load(Settings.load([]))
assessed = reader.assess(case)
assessed.answer.differentials, assessed.readings, assessed.issues
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from dermiq import api
from dermiq.consultation import all_findings, compare_images, issues_of, shared_abstention, specialist_differential
from dermiq.knowledge import Graph, urgency
from dermiq.settings import Settings
from dermiq.specialist import Specialist
from dermiq.types import (
    Answer,
    Case,
    Event,
    Evidence,
    ImagesRead,
    ParsedText,
    QualityIssue,
    SpecialistReading,
)

if TYPE_CHECKING:
    from dermiq.consultant import LocalConsultant


@dataclass(frozen=True, eq=False)
class Assessed:
    """`answer` to `case`, and the specialist's reading of each of its images."""

    case: Case
    answer: Answer
    readings: tuple[SpecialistReading, ...]

    @property
    def issues(self) -> tuple[QualityIssue, ...]:
        """What is wrong with the pictures, and with the lesions in them."""
        return issues_of(self.case.lesions, self.readings)


class Assessor(Protocol):
    """Answers cases, one after the other. `weights`: what of its weights the figures hang on; `device`: where."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> str: ...

    @property
    def device(self) -> str: ...

    def assess(self, case: Case) -> Assessed: ...


@dataclass(frozen=True, eq=False)
class SpecialistAlone:
    """No text: probabilities, sets, findings, urgency and abstention. A third of a second an image."""

    specialist: Specialist
    graph: Graph

    @classmethod
    def load(cls, settings: Settings) -> SpecialistAlone:
        """Raises ModelError or KnowledgeError."""
        return cls(Specialist.load(), Graph.load(settings.kg))

    @property
    def name(self) -> str:
        return f"DermIQ specialist {self.specialist.calibration.version}"

    @property
    def weights(self) -> str:
        return self.specialist.revision

    @property
    def device(self) -> str:
        return "CPU"

    def assess(self, case: Case) -> Assessed:
        started = time.perf_counter()
        readings = tuple(self.specialist.read(lesion, image_index=i) for i, lesion in enumerate(case.lesions))
        differential = specialist_differential(readings, case, self.specialist, self.graph)
        findings = all_findings(readings)
        answer = Answer(
            text="",
            parsed=ParsedText(),
            evidence=Evidence(),
            claims=(),
            differentials=(differential,),
            findings=findings,
            urgency=urgency(self.graph, differential=differential, context=case.context, findings=findings),
            abstention=shared_abstention(case.lesions, readings, self.specialist),
            checks=(),
            model=self.name,
            model_revision=self.weights,
            seconds=time.perf_counter() - started,
            notes=compare_images(case.lesions, readings),
        )
        return Assessed(case, answer, readings)


@dataclass(frozen=True, eq=False)
class BothReaders:
    """The whole consultation, with its text. `on_event` is given every event as it comes."""

    consultant: LocalConsultant
    check_image: bool = False
    on_event: Callable[[Event], None] | None = None

    @property
    def name(self) -> str:
        return self.consultant.name

    @property
    def device(self) -> str:
        return self.consultant.device

    @cached_property
    def weights(self) -> str:
        readers = self.consultant.readers()
        return f"{readers.vlm.revision}, specialist {readers.specialist.revision}"

    def assess(self, case: Case) -> Assessed:
        seen: list[ImagesRead] = []

        def hear(event: Event) -> None:
            if isinstance(event, ImagesRead):
                seen.append(event)
            if self.on_event is not None:
                self.on_event(event)

        answer = api.answer_to(case, self.consultant, check_image=self.check_image, on_event=hear)
        return Assessed(case, answer, seen[-1].readings)
