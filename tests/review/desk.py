"""A desk over a real store of the test's own, with an invented graph; and what a browser would say to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.settings import Settings
from dermiq.ui.review.access import Access, Person
from dermiq.ui.review.controller import Desk
from dermiq.ui.review.pair_page import Rules
from dermiq.ui.review.reviewer import Bench, Mode, Room
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


def room_of(store: Store, **rules: Any) -> Room:
    return Room(store, Verdicts(lambda: GRAPH), Rules(**rules))


def bench_of(store: Store, person: Person = ADA, mode: Mode = "review", **rules: Any) -> Bench:
    return Bench(room_of(store, **rules), person, mode)


class Browser:
    """Says what the page's script says, and keeps its token."""

    def __init__(self, store: Store, runs: Path, rules: Rules | None = None, **settings: Any) -> None:
        self.desk = Desk(Access(Settings(**settings)), lambda: store, Verdicts(lambda: GRAPH), runs, rules)
        self.token = ""

    def say(self, do: str, **message: Any) -> dict[str, Any]:
        reply = self.desk.answer({"do": do, "token": self.token, **message})
        self.token = reply.get("token", self.token)
        return reply

    def sign_in(self, name: str = "ada", *, admin: bool = False, password: str = "") -> dict[str, Any]:
        return self.say("sign_in", fields={"name": name, "admin": admin, "password": password})
