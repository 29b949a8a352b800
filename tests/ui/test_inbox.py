"""Uploads that wait to be read, and how often a password may be tried: their limits, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dermiq.errors import InputError
from dermiq.ui.server.guesses import ALARM, CALM, TOGETHER, Guesses, same
from dermiq.ui.server.inbox import Busy, Inbox, Limits, TooMuch
from dermiq.ui.server.visitors import ADDRESS, network_of

SMALL = Limits(
    file=10, request_files=3, request=25, visitor_files=4, visitor=40, all_files=6, all=60, seconds=5.0
)  # bytes, s


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(clock: Clock) -> Inbox:
    return Inbox(SMALL, clock)


def put(inbox: Inbox, address: str, *sizes: int) -> list[str]:
    with inbox.delivery(address) as delivery:
        for size in sizes:
            delivery.begin()
            delivery.write(b"x" * size)
    return delivery.tickets


def test_the_same_bytes_twice_are_two_uploads(inbox: Inbox) -> None:
    (first,), (second,) = put(inbox, "a", 5), put(inbox, "b", 5)
    assert first != second
    assert inbox.take(first) == b"x" * 5
    assert inbox.take(first) is None
    assert inbox.take(second) == b"x" * 5
    assert inbox.held() == (0, 0)


@pytest.mark.parametrize(
    ("sizes", "why"), [((11,), "A file is larger"), ((1, 1, 1, 1), "At most 3 files"), ((9, 9, 9), "together")]
)
def test_a_request_over_a_limit_leaves_nothing(inbox: Inbox, sizes: tuple[int, ...], why: str) -> None:
    with pytest.raises(TooMuch, match=why):
        put(inbox, "a", *sizes)
    assert inbox.held() == (0, 0)


def test_one_visitor_has_a_total_and_leaves_room_for_others(inbox: Inbox) -> None:
    put(inbox, "a", 1, 1, 1)
    with pytest.raises(TooMuch, match="still wait"):
        put(inbox, "a", 1, 1)
    assert inbox.held("a") == (3, 3)
    assert len(put(inbox, "b", 10, 10)) == 2


def test_all_visitors_together_have_a_total(inbox: Inbox) -> None:
    for address in "abc":
        put(inbox, address, 10, 9)
    with pytest.raises(Busy, match="wait to be read"):
        put(inbox, "d", 1)


def test_what_nobody_reads_is_let_go_of(inbox: Inbox, clock: Clock) -> None:
    (ticket,) = put(inbox, "a", 10)
    clock.now += SMALL.seconds + 1
    inbox.sweep()
    assert inbox.held() == (0, 0)
    assert inbox.take(ticket) is None


def test_the_first_file_waits_for_the_last_of_its_request(inbox: Inbox, clock: Clock) -> None:
    with inbox.delivery("a") as delivery:
        delivery.begin()
        delivery.write(b"first")
        for _ in range(4):
            clock.now += 3
            inbox.sweep()
            if len(delivery.tickets) == 1:
                delivery.begin()
            delivery.write(b".")
    assert [inbox.take(ticket) for ticket in delivery.tickets] == [b"first", b"...."]


# --- passwords --------------------------------------------------------------------------


@pytest.fixture
def guess(clock: Clock) -> Callable[..., bool | None]:
    """True: right, False: wrong, None: not looked at."""
    guesses = Guesses(clock)

    def tried(address: str, *, right: bool = False) -> bool | None:
        token = ADDRESS.set(address)
        try:
            return guesses.try_out(lambda: right)
        except InputError:
            return None
        finally:
            ADDRESS.reset(token)

    return tried


def test_one_address_guesses_slowly_and_others_do_not_notice(guess: Callable[..., bool | None], clock: Clock) -> None:
    heard = 0
    for _ in range(120):  # ten a second
        heard += guess("thief") is False
        clock.now += 0.1
    assert heard == CALM.burst + 2
    assert guess("owner", right=True)


def test_eight_wrong_ones_do_not_lock_the_right_one_out(guess: Callable[..., bool | None]) -> None:
    assert [guess("owner") for _ in range(8)] == [False] * 8
    assert guess("owner", right=True)


def test_who_failed_too_often_waits_for_seconds_not_minutes(guess: Callable[..., bool | None], clock: Clock) -> None:
    while guess("owner") is False:
        pass
    assert guess("owner", right=True) is None
    clock.now += CALM.seconds
    assert guess("owner", right=True)


def test_many_addresses_together_are_slowed_and_a_fresh_one_is_still_heard(
    guess: Callable[..., bool | None],
) -> None:
    for number in range(TOGETHER.burst):
        guess(f"early {number}")
    heard = [sum(guess(f"late {number}") is False for _ in range(50)) for number in range(20)]
    assert set(heard) == {ALARM.burst}
    assert guess("owner", right=True)


def test_a_wait_is_said() -> None:
    guesses = Guesses(Clock())
    assert not any(guesses.try_out(lambda: False) for _ in range(CALM.burst))
    with pytest.raises(InputError, match="Try again in 5 seconds"):
        guesses.try_out(lambda: False)


def test_passwords_are_compared_whole() -> None:
    assert same("pässwörd", "pässwörd")
    assert not same("\ud800", "?")


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_what_counts_as_one_visitor(host: str, network: str) -> None:
    assert network_of(host) == network
