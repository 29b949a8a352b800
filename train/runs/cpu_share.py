"""How much of the processors a run gets beside everything else that this machine does now.

    share_of_a_run(threads=2)      # 1.0 on an idle machine, 0.1 where nine tenths of the time others go first
    meter = Meter(); ...; meter()  # the share that this process got since the last call

    python -m train.runs.cpu_share 2        # what is measured in a process of its own, as a run is one

A run steps back behind whoever uses the page, so the share is measured at a run's niceness and not at the page's. Knows
no run and no trainer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from dermiq.places import ROOT

NICENESS = "DERMIQ_NICENESS"
BESIDE_A_PAGE = 10  # the niceness of a run
PROBE_S = 1.0
LEAST = 0.02  # no share is taken to be smaller: a second says no more
_BLOCK = bytes(1_000_000)


def step_back() -> None:
    """Lets this process take what others leave of the processor: whoever waits for an answer goes first. How far is
    `$DERMIQ_NICENESS`; 0: an equal share.

    Linux weighs sessions against each other before it weighs the processes in one, so both are told.
    """
    try:
        niceness = int(os.environ.get(NICENESS, BESIDE_A_PAGE))
    except ValueError:
        print(
            f"{NICENESS} is {os.environ[NICENESS]!r}; it must be a whole number. Taken is {BESIDE_A_PAGE}.", flush=True
        )
        niceness = BESIDE_A_PAGE
    with contextlib.suppress(OSError, AttributeError):
        os.nice(niceness)
        if os.getsid(0) == os.getpid():  # else the session is a shell's, and everything in it would step back, too
            Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


def share_of_a_run(threads: int) -> float:
    """What each of its threads would get now of a processor, 0 to 1. Takes a second."""
    done = subprocess.run(
        [sys.executable, "-m", "train.runs.cpu_share", str(threads)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    return float(done.stdout.split()[-1])


def own_share(threads: int, seconds: float = PROBE_S) -> float:
    """What as many busy threads of this process get of a processor each, 0 to 1."""
    used = [0.0] * threads
    started = time.perf_counter()

    def work(number: int) -> None:
        begun = time.thread_time()
        while time.perf_counter() - started < seconds:
            hashlib.sha256(_BLOCK)  # holds no lock of the interpreter
        used[number] = time.thread_time() - begun

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - started
    return min(1.0, max(LEAST, sum(used) / (threads * took)))


class Meter:
    """The share of the time that this process's threads wanted a processor in which they had one. Linux counts it."""

    def __init__(self) -> None:
        self._seen = _counted()

    def __call__(self) -> float | None:
        """Since the last call, 0 to 1; None where the system does not say."""
        before, self._seen = self._seen, _counted()
        ran, waited = (sum(max(0, new[i] - before.get(t, (0, 0))[i]) for t, new in self._seen.items()) for i in (0, 1))
        return ran / (ran + waited) if ran else None


def _counted() -> dict[str, tuple[int, int]]:
    """Nanoseconds that each thread ran, and that it waited to run."""
    found = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # a thread that just ended
            ran, waited, *_ = path.read_text(encoding="ascii").split()
            found[path.parent.name] = (int(ran), int(waited))
    return found


if __name__ == "__main__":
    step_back()
    print(own_share(int(sys.argv[1])))
