"""Whose question is answered next: one at a time, in the order in which they came. Knows no model and no page.

line = Line()
yield from line.in_turn(events, stop)     # the first event at once, the others when it is this question's turn

A model on one machine answers two people at once no faster than one after the other, and both of them later.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from dermiq.types import Events, Waiting

LOOK_SECONDS = 0.5  # between two looks at the line, at most
PATIENCE = 120.0  # seconds: a turn without a sign of life for so long no longer keeps the others waiting


class Place:
    """One question's place in the line, and when its owner was last heard of."""

    def __init__(self) -> None:
        self.heard = time.monotonic()


class Line:
    """First come, first served. A place whose owner vanished without leaving is passed over after `patience`."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._places: list[Place] = []
        self._moved = threading.Condition()

    def in_turn(self, events: Events, stop: threading.Event) -> Events:
        """The first event at once (the specialist needs no turn), then how many are ahead, each time that it changes,
        and the rest when nobody is. Stopped before that, it ends there. Closing it closes the events.
        """
        with ExitStack() as ends:
            ends.callback(events.close)
            yield next(events)
            place = self._join()
            ends.callback(self._leave, place)
            said = 0
            while ahead := self._ahead(place):
                if stop.is_set():
                    return
                if ahead != said:
                    yield Waiting(ahead)
                said = ahead
                with self._moved:
                    self._moved.wait(LOOK_SECONDS)
            if said:
                yield Waiting(0)
            for event in events:
                place.heard = time.monotonic()
                yield event

    def is_free(self) -> bool:
        """Whether no question is being answered, and none waits."""
        return not self._places

    def _join(self) -> Place:
        place = Place()
        with self._moved:
            self._places.append(place)
        return place

    def _leave(self, place: Place) -> None:
        with self._moved:
            self._places.remove(place)
            self._moved.notify_all()

    def _ahead(self, place: Place) -> int:
        now = place.heard = time.monotonic()
        with self._moved:
            before = self._places[: self._places.index(place)]
        return sum(now - other.heard < self._patience for other in before)
