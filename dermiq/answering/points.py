"""The nouns of an answer's plan: what is known of the case, the points that a good answer speaks of. Knows no words."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dermiq.types import Diagnosis, Differential, Fact, Finding, PatientContext, Urgency

Kind = Literal[
    "standing",
    "premise",
    "reply",
    "finding_for",
    "finding_against",
    "alternative",
    "fact",
    "urgency",
    "unknown",
    "refusal",
]


@dataclass(frozen=True)
class Known:
    """What is known of the case when a question is answered."""

    lead: Diagnosis  # the diagnosis that was answered
    differentials: tuple[Differential, ...] = ()
    findings: tuple[Finding, ...] = ()
    context: PatientContext = field(default_factory=PatientContext)
    urgency: Urgency | None = None
    supposed: Urgency | None = None  # where the question supposes something of the patient: the urgency with it
    found: tuple[Fact, ...] = ()  # retrieved for this question, best first
    quality: tuple[str, ...] = ()  # what was found wrong with the pictures, in sentences
    earlier: tuple[str, ...] = ()  # the answers that were shown before, in plain text
    is_lay: bool = False  # who asks does not write as clinicians do

    @property
    def own(self) -> Differential | None:
        """The differential of the reader that writes, else the one there is."""
        return next((d for d in self.differentials if d.reader == "vlm"), next(iter(self.differentials), None))


@dataclass(frozen=True)
class Point:
    """One thing to say. `text`: its sentences without citations; `again`: what stands for it where that was said."""

    kind: Kind
    text: str
    weight: float = 1.0  # of two points the heavier one is said first, or alone
    facts: tuple[Fact, ...] = ()  # what it rests on, cited behind it
    findings: tuple[str, ...] = ()  # codes of those that it names
    seen: tuple[str, ...] = ()  # the same in words, as they were measured
    about: tuple[str, ...] = ()  # node ids that it names
    needed: bool = False  # a good answer speaks of it
    signs: str = ""  # a pattern of other words that say the same
    again: str = ""
    once: bool = False  # facts that are not even pointed to where all were told
    level: str = ""  # of an urgency
    opens: bool = False  # it begins a paragraph


@dataclass(frozen=True)
class Plan:
    """What a good answer speaks of, in the order in which it is said.

    `relations` and `about` say which facts answer the question, `asks` how many of them an answer should bring at
    least: another fact of the same kind answers as well as the ones that were chosen here.
    """

    intent: str
    points: tuple[Point, ...]
    about: tuple[str, ...] = ()  # node ids, their families included
    relations: frozenset[str] = frozenset()
    asks: int = 0
    fits: Callable[[Fact], bool] = lambda fact: True  # what such a fact must say besides
    replies: tuple[Point, ...] = ()  # of the points those that answer directly, in sentences that are written

    def is_answer(self, fact: Fact, families: Container[str]) -> bool:
        """Whether a fact is of the kind that was asked for. `families`: of the nodes in `about`."""
        return (
            fact.relation in self.relations
            and (fact.subject in families or fact.object in families)
            and self.fits(fact)
        )

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the points cite, each once, in order."""
        return tuple({fact.id: fact for point in self.points for fact in point.facts}.values())

    @property
    def refuses(self) -> bool:
        return any(point.kind == "refusal" for point in self.points)

    def needed(self) -> Iterator[Point]:
        """What a good answer speaks of, besides facts of the right kind."""
        yield from (point for point in self.points if point.needed and point.kind != "fact")
