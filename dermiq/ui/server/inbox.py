"""Uploads on their way in, in memory alone: however the app ends, no file of them is left behind.

    with inbox.delivery(address) as delivery:
        delivery.begin()                 # a file
        delivery.write(b"...")
    inbox.take(delivery.tickets[0])      # its bytes, once; None when nobody came for them in time

A ticket is random, so that what one visitor uploads is nobody else's. Knows neither gradio nor HTTP.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dermiq.errors import InputError

MB = 1024 * 1024


class TooMuch(InputError):
    """More than one visitor may upload."""


class Busy(InputError):
    """More than the app takes from all visitors at once."""


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes. `visitor` and `all`: what was uploaded and not yet read."""

    file: int = 25 * MB
    request_files: int = 12
    request: int = 150 * MB
    visitor_files: int = 60
    visitor: int = 200 * MB
    all_files: int = 400
    all: int = 400 * MB
    seconds: float = 120.0  # for which an upload waits to be read


@dataclass
class _Upload:
    address: str
    until: float  # s on the inbox's clock
    content: bytearray


class Inbox:
    """What was uploaded and not yet read."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits or Limits()
        self._clock = clock
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    @contextmanager
    def delivery(self, address: str) -> Iterator[Delivery]:
        """One request's files. Where it fails, none of them is kept."""
        made = Delivery(self, address)
        try:
            yield made
        except BaseException:
            self.drop(made.tickets)
            raise

    def take(self, ticket: str) -> bytes | None:
        """The bytes, which are then let go of."""
        self.sweep()
        with self._lock:
            found = self._uploads.pop(ticket, None)
        return None if found is None else bytes(found.content)

    def drop(self, tickets: Iterable[str]) -> None:
        with self._lock:
            for ticket in tickets:
                self._uploads.pop(ticket, None)

    def sweep(self) -> None:
        """Let go of what nobody came for."""
        with self._lock:
            now = self._clock()
            self._uploads = {name: one for name, one in self._uploads.items() if one.until > now}

    def held(self, address: str | None = None) -> tuple[int, int]:
        """Files and bytes of one visitor, or of all."""
        with self._lock:
            sizes = [len(one.content) for one in self._uploads.values() if address in (None, one.address)]
        return len(sizes), sum(sizes)

    def open(self, address: str) -> str:
        """The ticket of a new, empty upload."""
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._uploads[ticket] = _Upload(address, self._clock() + self.limits.seconds, bytearray())
        return ticket

    def append(self, tickets: Sequence[str], data: bytes) -> None:
        """Add to the last of a request's uploads; the others, which wait for it, are kept as long."""
        with self._lock:
            until = self._clock() + self.limits.seconds
            for ticket in tickets:
                if ticket not in self._uploads:
                    raise TooMuch("The upload took too long. Try again.")
                self._uploads[ticket].until = until
            self._uploads[tickets[-1]].content += data


class Delivery:
    """The files of one request, while they arrive. Raises TooMuch or Busy before it keeps what is over a limit."""

    def __init__(self, inbox: Inbox, address: str) -> None:
        self._inbox, self._address, self.limits = inbox, address, inbox.limits
        self.tickets: list[str] = []
        self._file = self._request = 0  # bytes so far

    def begin(self) -> None:
        limits = self.limits
        if len(self.tickets) >= limits.request_files:
            raise TooMuch(f"At most {limits.request_files} files can be uploaded at once. Choose fewer.")
        self._inbox.sweep()
        self._room(limits.visitor_files - 1, limits.all_files - 1, which=0)
        self.tickets.append(self._inbox.open(self._address))
        self._file = 0

    def write(self, data: bytes) -> None:
        limits, size = self.limits, len(data)
        self._file, self._request = self._file + size, self._request + size
        if self._file > limits.file:
            raise TooMuch(f"A file is larger than {limits.file // MB} MB. Export it smaller and try again.")
        if self._request > limits.request:
            raise TooMuch(f"The files are larger than {limits.request // MB} MB together. Choose fewer.")
        self._room(limits.visitor - size, limits.all - size, which=1)
        self._inbox.append(self.tickets, data)

    def _room(self, visitor: int, everybody: int, *, which: int) -> None:
        """`which`: 0 counts files, 1 counts bytes."""
        if self._inbox.held(self._address)[which] > visitor:
            raise TooMuch("Too many uploads of yours still wait to be read. Try again in a minute.")
        if self._inbox.held()[which] > everybody:
            raise Busy("Too many uploads wait to be read. Try again in a minute.")


INBOX = Inbox()  # one a process: the page's fields and what serves the page are made apart


def refused(error: InputError) -> str:
    """In the place of a ticket, why there is none: whoever comes for it can say so."""
    return f"refused: {error}"


def why_refused(ticket: str) -> str:
    """Why there is no upload behind it; empty for a ticket."""
    return ticket.partition("refused: ")[2] if ticket.startswith("refused: ") else ""
