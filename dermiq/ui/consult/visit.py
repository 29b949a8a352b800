"""What belongs to one visitor: images, conversation, context. Knows no gradio and no HTML.

It lives in the session's state, in memory only. A deep copy is a *new* visit, because the
web framework copies its initial value once for every visitor.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

from dermiq.types import (
    Abstention,
    Answer,
    Case,
    Claim,
    Differential,
    Evidence,
    Finding,
    Lesion,
    OwnWords,
    PatientContext,
    QuestionUnderstood,
    SelfCheck,
    SpecialistReading,
    Turn,
    Urgency,
    View,
)
from dermiq.ui.consult.viewer import Heat, Layer

Phase = Literal["waiting", "reading", "writing", "done", "stopped", "abstained", "failed"]
RUNNING: frozenset[Phase] = frozenset({"waiting", "reading", "writing"})


@dataclass(eq=False)
class Exchange:
    """One question and what came back so far."""

    question: str
    key: str  # keeps the ids of its cards apart from every other exchange's
    case: Case | None = None  # as it was asked; None for the reading before any question
    phase: Phase = "waiting"
    note: str = ""  # what it waits for
    text: str = ""
    own: OwnWords | None = None  # which part of the text the program said itself
    differentials: tuple[Differential, ...] = ()
    findings: tuple[Finding, ...] = ()
    evidence: Evidence | None = None
    urgency: Urgency | None = None
    abstention: Abstention | None = None
    claims: tuple[Claim, ...] = ()
    checks: tuple[SelfCheck, ...] = ()
    understood: QuestionUnderstood | None = None
    notes: tuple[str, ...] = ()
    answer: Answer | None = None
    before: bool = False  # these readers gave this answer before, to a drawn example
    error: str = ""
    insisted: bool = False
    started: float = 0.0  # seconds, monotonic
    reasoned: float | None = None  # seconds that the reasoning took
    checking_image: bool = False
    opinion: str = ""  # of the visitor, while they are asked whether it may be kept: "good", "poor", "correct"
    refused: str = ""  # why it was not kept
    kept: str = ""  # what was kept, in a sentence
    gift: str = ""  # the id in the review of what was kept; empty: nothing, or it was taken back
    taken_back: bool = False
    drafts: tuple[Exchange, ...] = ()  # of the same question, before Retry, of which something is kept


class Visit:
    """Not a dataclass: the web framework would copy one field by field."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """An empty case under a new session id."""
        self.session_id = secrets.token_urlsafe(16)
        self.lesions: list[Lesion] = []
        self.pictures: list[str] = []  # data URLs of the same
        self.drawing = False
        self.readings: tuple[SpecialistReading, ...] = ()
        self.preview: Exchange | None = None  # what the specialist said before any question
        self.exchanges: list[Exchange] = []
        self.context = PatientContext()
        self.current = 0
        self.layer: Layer = "outline"
        self.heat: Heat | None = None
        self.maps: Mapping[str, np.ndarray] | None = None  # where the structures of the current image are
        self.errors: tuple[str, ...] = ()
        self.insisted = False  # asks of these images although the readers abstained
        self.stop = threading.Event()
        self.count = 0

    def __deepcopy__(self, memo: dict[int, object]) -> Visit:
        return Visit()

    @property
    def running(self) -> bool:
        return bool(self.exchanges) and self.exchanges[-1].phase in RUNNING

    @property
    def shown(self) -> Exchange | None:
        """The exchange that the panels describe: the last, or what was read before any question."""
        return self.exchanges[-1] if self.exchanges else self.preview

    def add(self, lesion: Lesion, picture: str) -> None:
        self.lesions.append(lesion)
        self.pictures.append(picture)
        self.current = len(self.lesions) - 1
        self.unread()

    def remove(self, index: int) -> None:
        if 0 <= index < len(self.lesions):
            del self.lesions[index], self.pictures[index]
            self.current = min(self.current, max(0, len(self.lesions) - 1))
            self.unread()

    def describe(self, index: int, *, view: str | None = None, taken: str | None = None) -> None:
        """Say of an image what kind of view it is, or when it was taken ("" takes it back)."""
        if 0 <= index < len(self.lesions):
            lesion = self.lesions[index]
            if view is not None:
                lesion = replace(lesion, view=cast(View, view))
            if taken is not None:
                lesion = replace(lesion, taken=taken or None)
            self.lesions[index] = lesion

    def unread(self) -> None:
        """The images changed: what was read of them no longer holds."""
        self.readings, self.heat, self.maps, self.preview, self.insisted = (), None, None, None, False

    def case(self, question: str, *, intent: str = "", anew: bool = False) -> Case:
        return Case(tuple(self.lesions), self.context, question, self.history(), intent, anew)

    def history(self) -> tuple[Turn, ...]:
        turns: list[Turn] = []
        for e in self.exchanges:
            if e.phase in {"done", "stopped"} and e.text.strip():
                turns += [Turn("user", e.question), Turn("assistant", e.text)]
        return tuple(turns)

    def open(self, case: Case, *, insisted: bool = False) -> Exchange:
        """Start an exchange; whatever still ran is told to stop."""
        self.stop.set()
        self.stop = threading.Event()
        self.count += 1
        exchange = Exchange(case.question, key=f"{self.count}", case=case, insisted=insisted)
        self.exchanges.append(exchange)
        return exchange

    def reset(self) -> str:
        """Forget the case and take a new session id; the old one is returned."""
        self.stop.set()
        old = self.session_id
        self.clear()
        return old
