"""Work that a visitor waits for: done in a thread, told while it lasts, and given up on request. Knows no page.

work = Working(lambda progress: slow(progress))
while work.lasts(0.3):
    print(work.text, work.share)
found = work.result()          # or what it raised; GivenUp where `work.cancel()` was called
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from train.runs.progress import Progress

T = TypeVar("T")


class GivenUp(Exception):
    """Somebody asked for it to end."""


class Working(Generic[T]):
    """Begins at once. Python ends no thread from outside: it ends where it tells its progress next."""

    def __init__(self, act: Callable[[Progress], T], text: str) -> None:
        self.text, self.share = text, 0.0
        self._act, self._cancelled = act, threading.Event()
        self._found: list[T] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._cancelled.set()

    def lasts(self, seconds: float) -> bool:
        """Whether it still goes on, after as many seconds at most. A cancelled one is not waited for."""
        self._thread.join(seconds)
        return self._thread.is_alive() and not self._cancelled.is_set()

    def result(self) -> T:
        """Raises what the work raised."""
        if self._cancelled.is_set():
            raise GivenUp
        if self._raised is not None:
            raise self._raised
        return self._found[0]

    def _run(self) -> None:
        try:
            self._found.append(self._act(self._told))
        except BaseException as error:  # raised again by `result`, in the thread that waits
            self._raised = error

    def _told(self, text: str, share: float) -> None:
        if self._cancelled.is_set():
            raise GivenUp
        self.text, self.share = text, share
