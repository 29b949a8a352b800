"""What the page asks of whoever answers. Knows no model and no gradio."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from dermiq.types import Case, Events, Lesion, SelfCheck, SpecialistReading


class Consultant(Protocol):
    """Reads images and answers questions about them; shared by all visitors."""

    @property
    def name(self) -> str:
        """The model as the page writes it: "DermIQ-Nano 0.2"."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: "CPU", "NVIDIA ..."."""
        ...

    def ready(self) -> bool:
        """Whether a question can be answered now; the page is up before."""
        ...

    def status(self) -> str:
        """What it is doing: "loading the language model ...", "ready", or why it cannot answer."""
        ...

    def use(self, model: str = "", *, name: str = "") -> None:
        """Answer with another model from the next question on, or with the first again. Raises `ModelError`."""
        ...

    def read_image(self, data: bytes, *, view: str, taken: str | None) -> Lesion:
        """Decode one file. Raises `ImageError` with a sentence for the visitor."""
        ...

    def assess(self, case: Case, *, stop: threading.Event, session_id: str) -> Events:
        """Answer `case.question` as a stream of events, lazily: closing it early ends the work."""
        ...

    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        """Where the specialist looks for class `code`: (H, W) float in 0 to 1."""
        ...

    def structures(self, lesion: Lesion, reading: SpecialistReading) -> Mapping[str, np.ndarray]:
        """Where each dermoscopic structure is seen: by its code (H, W) float in 0 to 1."""
        ...

    def image_check(self, case: Case) -> SelfCheck:
        """The same question with the image blanked."""
        ...

    def forget(self, session_id: str) -> None:
        """Drop everything kept for this session."""
        ...
