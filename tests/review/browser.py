"""A reviewer's session over a real store of the test's own, with an invented graph; and what a browser would say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.settings import Settings
from dermiq.ui.review.access import Access, Person
from dermiq.ui.review.controller import ReviewController
from dermiq.ui.review.pair_page import Rules
from dermiq.ui.review.reviewer import Mode, ReviewerSession, Services
from dermiq.ui.review.verdicts import Verdicts
from tests.review.cases import filled
from tests.tiny_graph import GRAPH

PLAIN = QueueSettings(repeat_share=0, gold_share=0)
ADA, BEA, LEAD = Person("ada", "reviewer"), Person("bea", "reviewer"), Person("lead", "admin")


def store_with(folder: Path, pairs: int = 3, **rest: Any) -> Store:
    store = Store.open(folder / "review", queue=PLAIN)
    filled(store, pairs, ADA.name, BEA.name, **rest)
    store.add_reviewer(LEAD.name, "admin", by=LEAD.name)
    return store


def services_of(store: Store, **rules: Any) -> Services:
    return Services(store, Verdicts(lambda: GRAPH), Rules(**rules))


def session_of(store: Store, person: Person = ADA, mode: Mode = "review", **rules: Any) -> ReviewerSession:
    return ReviewerSession(services_of(store, **rules), person, mode)


class Browser:
    """Says what the page's script says, and keeps its token."""

    def __init__(self, store: Store, runs: Path, rules: Rules | None = None, **settings: Any) -> None:
        self.controller = ReviewController(
            Access(Settings(**settings)), lambda: store, Verdicts(lambda: GRAPH), runs, rules
        )
        self.token = ""

    def say(self, do: str, **message: Any) -> dict[str, Any]:
        reply = self.controller.answer({"do": do, "token": self.token, **message})
        self.token = reply.get("token", self.token)
        return reply

    def sign_in(self, name: str = "ada", *, admin: bool = False, password: str = "") -> dict[str, Any]:
        return self.say("sign_in", fields={"name": name, "admin": admin, "password": password})
