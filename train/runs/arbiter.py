"""One processor or GPU for the consultation and a run: which of them waits, and for how long.

    with consulting(root): ...            # in the page: an answer is being written
    wait(root, until=stop_requested)      # in a run, between two steps: at most LONGEST_S, so that it gets on, too

The sign is a file that whoever consults touches every second. It counts while it is fresh, so a page that died holds
no run up. Where it cannot be written no run waits, and the consultation goes on. Knows no page and no run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from train.runs.paths import lock_path

SIGN = "consulting"
TOUCH_S, FRESH_S = 1.0, 5.0
LONGEST_S = 60.0  # that a run waits between two of its steps
_answers = 0
_changes = threading.Lock()


def is_consulting(root: Path) -> bool:
    """Whether an answer is being written on this machine now."""
    try:
        return abs(time.time() - lock_path(root, SIGN).stat().st_mtime) < FRESH_S  # the clock may have been set back
    except OSError:
        return False


def wait(root: Path, *, until: Callable[[], bool] = lambda: False) -> None:
    """Returns once nobody consults, after LONGEST_S, or when `until` says so."""
    end = time.monotonic() + LONGEST_S
    while is_consulting(root) and time.monotonic() < end and not until():
        time.sleep(0.2)


@contextlib.contextmanager
def consulting(root: Path) -> Iterator[None]:
    """While it lasts, runs below `root` wait between their steps. Several answers may overlap."""
    global _answers
    done = threading.Event()

    def touch() -> None:
        while not done.wait(TOUCH_S):
            _leave_sign(root)

    with _changes:
        _answers += 1
        _leave_sign(root)
    toucher = threading.Thread(target=touch, daemon=True)
    toucher.start()
    try:
        yield
    finally:
        done.set()
        toucher.join()
        with _changes:
            _answers -= 1
            if not _answers:
                with contextlib.suppress(OSError):
                    lock_path(root, SIGN).unlink()


def _leave_sign(root: Path) -> None:
    """Where it cannot be written, an answer is given all the same: then runs wait for nobody, if there are any."""
    with contextlib.suppress(OSError):
        lock_path(root, SIGN).touch()
