"""How often a password may be tried: from one address, and from all together. Nobody is kept waiting, only refused.

    guesses = Guesses()
    guesses.try_out(lambda: password == right)   # True, False, or InputError that says how long to wait

The names under which somebody tries do not count: who guesses can choose them. A right password costs nothing, and a
few tries of an address that has not failed before are always heard, whatever others do.
"""

from __future__ import annotations

import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dermiq.errors import InputError
from dermiq.language import N_
from dermiq.ui.server.visitors import ADDRESS

MAX_ADDRESSES = 10_000


@dataclass(frozen=True)
class Pace:
    """So many failures at once, then one more each so many seconds."""

    burst: int
    seconds: float

    @property
    def credit(self) -> float:
        """s by which the account may be overdrawn before it is refused."""
        return (self.burst - 1) * self.seconds


CALM = Pace(10, 5.0)  # of one address
ALARM = Pace(3, 30.0)  # of one address, while more than `TOGETHER` fails
TOGETHER = Pace(100, 1.0)


class Guesses:
    """Accounts of failures, each a time up to which it is charged."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._charged: OrderedDict[str, float] = OrderedDict()  # address -> s on the clock, the latest failure last
        self._all = -math.inf
        self._lock = threading.Lock()

    def try_out(self, is_right: Callable[[], bool]) -> bool:
        """Whether it is right. Raises InputError, without looking, from an address that failed too often."""
        address = ADDRESS.get()
        with self._lock:  # looked at and charged as one, so that parallel tries count one by one
            now = self._clock()
            pace = ALARM if self._all - now > TOGETHER.credit else CALM
            wait = self._charged.get(address, now) - now - pace.credit
            if wait > 0:
                whole = math.ceil(wait)
                unit = N_("second") if whole == 1 else N_("seconds")
                raise InputError(f"There were too many wrong passwords from your address. Try again in {whole} {unit}.")
            if is_right():
                return True
            self._charge(address, now, pace)
            return False

    def _charge(self, address: str, now: float, pace: Pace) -> None:
        self._charged[address] = max(self._charged.get(address, now), now) + pace.seconds
        self._charged.move_to_end(address)
        self._all = max(self._all, now) + TOGETHER.seconds
        while len(self._charged) > MAX_ADDRESSES:
            self._charged.popitem(last=False)


def same(said: str, known: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(said.encode("utf-8", "surrogatepass"), known.encode("utf-8", "surrogatepass"))
