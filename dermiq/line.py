"""Who is answered next: one question at a time, in the order in which they came. Knows no model and no page.

line = Line()
with line.join() as place:
    yield from place.waited(stop)  # `Waiting` events, until it is this one's turn
    ...                            # which lasts until the block ends

A model on one machine answers two people at once no faster than one after the other, and both of them later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType

from dermiq.types import Waiting

LOOK_SECONDS = 0.5  # between two looks at the line, at most
PATIENCE = 120.0  # seconds: a turn without a sign of life for so long no longer keeps the others waiting


class Place:
    """One question's place in the line. A context manager: leaving it lets the next one on."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.alive = time.monotonic()

    def ahead(self) -> int:
        """How many are answered before this one; 0: it is this one's turn."""
        return self._line.ahead_of(self)

    def waited(self, stop: threading.Event) -> Iterator[Waiting]:
        """How many are ahead, each time that it changes, and 0 in the end; less where `stop` is set before."""
        said = -1
        while not stop.is_set():
            ahead = self.ahead()
            if ahead != said:
                said = ahead
                yield Waiting(ahead)
            if not ahead:
                return
            self._line.wait(LOOK_SECONDS)

    def beat(self) -> None:
        """A sign of life: whoever holds the turn gives one with each piece of the answer."""
        self.alive = time.monotonic()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.leave(self)


class Line:
    """First come, first served. A place whose owner vanished without leaving is passed over after `patience`."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._places: list[Place] = []
        self._moved = threading.Condition()

    def join(self) -> Place:
        place = Place(self)
        with self._moved:
            self._places.append(place)
        return place

    def leave(self, place: Place) -> None:
        """What has left already may leave again."""
        with self._moved:
            self._places = [p for p in self._places if p is not place]
            self._moved.notify_all()

    def ahead_of(self, place: Place) -> int:
        """Asking is a sign of life, too."""
        now = time.monotonic()
        with self._moved:
            place.alive = now
            before = self._places[: self._places.index(place)] if place in self._places else []
            return sum(now - p.alive < self._patience for p in before)

    def wait(self, seconds: float) -> None:
        with self._moved:
            self._moved.wait(seconds)
