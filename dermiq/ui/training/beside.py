"""The consultation and the runs on one machine: answers go first, and one click lets a run's weights answer.

beside = Beside(consultant, root)      # is a `Consultant`
beside.take(run, "checkpoint-20")      # from the next question on; the model before answers until it is loaded
beside.give_back()
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dermiq.types import Case, Events, Lesion, SelfCheck, SpecialistReading
from dermiq.ui.protocol import Consultant
from train.runs.arbiter import consulting
from train.runs.registry import Run


class Beside:
    """Satisfies `Consultant`: the one that it is made with, for whose answers runs below `root` wait."""

    def __init__(self, consultant: Consultant, root: Path) -> None:
        self._consultant, self._root = consultant, root
        self._changing = threading.Lock()
        self.answering: tuple[str, str] | None = None  # the run and its weights; None: the model of the start

    # --- which model answers ---

    def take(self, run: Run, weights: str) -> None:
        """Raises ModelError; the model before then goes on answering."""
        with self._changing:
            called = run.name if weights == "final" else f"{run.name}, {weights}"
            self._consultant.use(str(run.folder / weights), name=called)
            self.answering = (run.name, weights)

    def give_back(self) -> None:
        with self._changing:
            self._consultant.use()
            self.answering = None

    # --- Consultant ---

    @property
    def name(self) -> str:
        return self._consultant.name

    @property
    def device(self) -> str:
        return self._consultant.device

    def ready(self) -> bool:
        return self._consultant.ready()

    def status(self) -> str:
        return self._consultant.status()

    def use(self, model: str = "", *, name: str = "") -> None:
        self._consultant.use(model, name=name)

    def read_image(self, data: bytes, *, view: str, taken: str | None) -> Lesion:
        return self._consultant.read_image(data, view=view, taken=taken)

    def assess(self, case: Case, *, stop: threading.Event, session_id: str) -> Events:
        with consulting(self._root):
            yield from self._consultant.assess(case, stop=stop, session_id=session_id)

    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        return self._consultant.heatmap(lesion, code)

    def structures(self, lesion: Lesion, reading: SpecialistReading) -> Mapping[str, np.ndarray]:
        return self._consultant.structures(lesion, reading)

    def image_check(self, case: Case) -> SelfCheck:
        with consulting(self._root):
            return self._consultant.image_check(case)

    def forget(self, session_id: str) -> None:
        self._consultant.forget(session_id)
