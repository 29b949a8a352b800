"""What the knowledge graph says of an answer's sentences, for the page: after the vote, or while it is corrected."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dermiq.judge import statements
from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.check.measured import from_words
from dermiq.review.prompted import evidence
from dermiq.review.types import PairView, ReviewCase
from dermiq.types import Claim, Evidence, Fact
from dermiq.ui.prose import Sources
from dermiq.vlm.parse import parse

MAX_TEXT = 20_000  # characters of an answer that are checked


class Verdicts:
    """Claims of texts, remembered: a text is looked at more than once while a pair is judged."""

    def __init__(self, graph: Callable[[], Graph]) -> None:
        """`graph`: asked for when it is first needed."""
        self._graph = graph
        self._checked = lru_cache(maxsize=500)(self._check)

    def claims(self, case: ReviewCase, text: str) -> tuple[Claim, ...]:
        return self._checked(text[:MAX_TEXT], case.diagnosis, case.findings, evidence(case, self._graph()))

    def _check(self, text: str, diagnosis: str | None, findings: tuple[str, ...], given: Evidence) -> tuple[Claim, ...]:
        """Citations are judged where the prompt numbers facts."""
        numbered = given if given.items else None
        measured = from_words(findings)
        claims = check_claims(self._graph(), text, findings=measured, diagnosis=diagnosis, evidence=numbered)
        return statements(claims, parse(text).answer)

    def sources(self, view: PairView, key: str, *, text: str | None = None) -> Sources:
        """What the chips of an answer point to, and the marks too where `text` is to be checked."""
        claims = self.claims(view.case, text) if text is not None else ()
        given = evidence(view.case, self._graph())
        known = {item.fact.id for item in given.items}
        facts = tuple(self._fact(i) for i in dict.fromkeys(i for c in claims for i in c.fact_ids) if i not in known)
        return Sources(key=key, evidence=given, claims=claims, findings=from_words(view.case.findings), facts=facts)

    def _fact(self, fact_id: str) -> Fact:
        return self._graph().fact(fact_id)
