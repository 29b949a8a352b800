"""Files are decoded in processes that can be ended: a budget of time and memory for each, whatever its bytes do.

    pixels = decode(data)       # (H, W, 3) uint8; ImageError with a sentence
    told = read(data).told      # the same pixels, and what a DICOM file tells of the patient
    prepare()                   # starts a process ahead of the first file

A process is a light one (20 MB: neither torch nor numpy), keeps for thousands of files, costs a millisecond or two a
file, and is replaced when it had to be ended. Files and pixels travel through pipes. Knows no lesion and no page.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import psutil

from dermiq.decoder.formats import BUDGET_BYTES, BUDGET_S, PATIENCE_S
from dermiq.errors import ImageError
from dermiq.places import ROOT

MOST = 2  # processes at a time; further files wait
STARTING_S = 60.0  # on a cold disk
LOOK_S = 0.02  # between two looks at a process's memory
SETTINGS = {
    "MALLOC_ARENA_MAX": "1",  # of glibc: memory goes back, and the budget is counted once
    "OMP_NUM_THREADS": "1",
}
TOO_LONG = f"The image takes longer than {BUDGET_S:g} seconds to decode: save it anew as an ordinary JPEG."
TOO_LARGE = f"The image takes more than {BUDGET_BYTES / 1e6:.0f} MB to decode: save it smaller, or as an ordinary JPEG."
BUSY = "The computer is too busy to decode the image in time: try again in a minute, or save the image smaller."
CRASHED = "The image is damaged, and its decoding ended without an answer: export it anew as an ordinary JPEG."
NO_PROCESS = "The image could not be decoded, because no process could be started for it: try again."


class Decoded(NamedTuple):
    pixels: np.ndarray  # (H, W, 3) uint8
    told: dict[str, str]  # "age", "sex", "site" and "view", where a DICOM file states them


class Ended(Exception):
    """The process is no more. `why`: a sentence where that was the file's doing."""

    def __init__(self, why: str = "", detail: str = "") -> None:
        super().__init__(why)
        self.why, self.detail = why, detail


class Decoder:
    """One process, which decodes one file at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dermiq.decoder.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, **SETTINGS},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.at_rest = 0  # bytes, before the first file

    def decode(self, data: bytes) -> Decoded:
        """Raises ImageError for what the file is, and Ended where the process is to be replaced."""
        if not self.at_rest:
            self._begin()
        watch = _Watch(self.process, seconds=BUDGET_S, most=self.at_rest + BUDGET_BYTES)
        with watch:
            try:
                self._send(data)
            except OSError as error:  # it had ended before, or was ended while it read
                raise Ended(watch.why, repr(error)) from error
            try:
                return self._receive()
            except EOFError as error:
                raise Ended(watch.why or CRASHED, f"exit {self.process.poll()}") from error

    def _begin(self) -> None:
        with _Watch(self.process, seconds=STARTING_S):
            if not self._replies.readline():
                raise Ended(detail="no process that decodes could be started")
        with contextlib.suppress(psutil.NoSuchProcess):
            self.at_rest = int(psutil.Process(self.process.pid).memory_info().rss)

    def _send(self, data: bytes) -> None:
        for part in (len(data).to_bytes(8, "big"), data):
            self._requests.write(part)
        self._requests.flush()

    def _receive(self) -> Decoded:
        head = json.loads(self._replies.readline() or "null")
        if head is None:
            raise EOFError
        if "refused" in head:
            raise ImageError(head["refused"], detail=head["detail"])
        width, height = head["size"]
        pixels = np.empty((height, width, 3), np.uint8)
        if self._replies.readinto(pixels.data.cast("B")) < pixels.nbytes:
            raise EOFError
        return Decoded(pixels, head["told"])

    @property
    def _requests(self) -> Any:
        return self.process.stdin

    @property
    def _replies(self) -> Any:
        return self.process.stdout

    def end(self) -> None:
        """At once, whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self._requests, self._replies):
            with contextlib.suppress(OSError):  # a part of a file was still to be written
                stream.close()

    def let_go(self) -> None:
        """In a forked child: closes its copies of the pipes, so that the process still ends with its own parent."""
        for stream in (self._requests, self._replies):
            stream.raw.close()  # without what is waiting to be written: that is the parent's
        self.process.returncode = 0  # it is no child of this process, and nothing to warn of


class _Watch:
    """Ends a process, and says why, when its time is over or its memory above `most` (bytes)."""

    def __init__(self, process: subprocess.Popen[bytes], *, seconds: float, most: int | None = None) -> None:
        self.why = ""
        self._process, self._seconds, self._most = process, seconds, most
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        if self._over.wait(LOOK_S):  # nearly all files
            return
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
            seen = psutil.Process(self._process.pid)
            began, computed = time.monotonic(), _computed(seen)
            while not self._over.wait(LOOK_S):
                self.why = self._reason(seen, time.monotonic() - began, _computed(seen) - computed)
                if self.why:
                    self._process.kill()
                    return

    def _reason(self, seen: psutil.Process, passed: float, computed: float) -> str:
        """Why it is to be ended after `passed` seconds, of which it had `computed` of a core; "" where it may go on."""
        if self._most is not None and seen.memory_info().rss > self._most:
            return TOO_LARGE
        if passed <= self._seconds or (computed < passed / 6 and passed < PATIENCE_S):
            return ""
        return BUSY if computed < passed / 2 else TOO_LONG  # that it had no core is not the file's doing


def _computed(process: psutil.Process) -> float:
    """Seconds of a core that it has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


class Pool:
    """At most `most` processes, each of which serves one thread at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.decoders: list[Decoder] = []
        self._idle: list[Decoder] = []
        self._change = threading.Condition()

    def decode(self, data: bytes) -> np.ndarray:
        """(H, W, 3) uint8. Raises ImageError with a sentence."""
        return self.read(data).pixels

    def read(self, data: bytes) -> Decoded:
        """Raises ImageError with a sentence."""
        detail = ""
        for _ in range(2):  # an idle process may have been ended by others
            try:
                return self._decode(data)
            except Ended as ended:
                if ended.why:
                    raise ImageError(ended.why, detail=ended.detail) from ended
                detail = ended.detail
            except OSError as error:
                detail = repr(error)
        raise ImageError(NO_PROCESS, detail=detail)

    def _decode(self, data: bytes) -> Decoded:
        decoder = self._take()
        try:
            decoded = decoder.decode(data)
        except ImageError:
            self._give_back(decoder)
            raise
        except BaseException:  # Ctrl-C among them: its answer would be taken for the next file's
            self._remove(decoder)
            raise
        self._give_back(decoder)
        return decoded

    def prepare(self) -> None:
        """Starts a process where there is none; waits for nothing."""
        with self._change:
            if not self.decoders:
                self._idle.append(self._start())

    def close(self) -> None:
        """Ends all processes, also those that decode."""
        with self._change:
            decoders, self.decoders, self._idle = self.decoders, [], []
        for decoder in decoders:
            decoder.end()

    def _forget(self) -> None:
        """In a forked child: the processes are its parent's."""
        for decoder in self.decoders:
            decoder.let_go()
        self.__init__(self._most)  # type: ignore[misc]  # a lock may have been held by a thread that is not here

    def _take(self) -> Decoder:
        with self._change:
            self._change.wait_for(lambda: self._idle or len(self.decoders) < self._most)
            return self._idle.pop() if self._idle else self._start()

    def _start(self) -> Decoder:
        decoder = Decoder()
        self.decoders.append(decoder)
        return decoder

    def _give_back(self, decoder: Decoder) -> None:
        with self._change:
            if decoder in self.decoders:  # not closed meanwhile
                self._idle.append(decoder)
            self._change.notify()

    def _remove(self, decoder: Decoder) -> None:
        decoder.end()
        with self._change:
            if decoder in self.decoders:  # not closed meanwhile
                self.decoders.remove(decoder)
                self._idle.append(self._start())  # ahead of the next file
            self._change.notify()


POOL = Pool()  # no process yet
decode, read, prepare = POOL.decode, POOL.read, POOL.prepare
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL._forget)
