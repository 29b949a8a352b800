"""Who is answered next."""

from __future__ import annotations

import threading
import time

import pytest

from dermiq.line import Line
from dermiq.types import Events, TextDelta, Waiting
from dermiq.ui.consult.controller import in_line


def answer(name: str, *, closed: list[str] | None = None) -> Events:
    try:
        for part in ("read", "begins", "ends"):
            yield TextDelta(f"{name} {part}")
    finally:
        if closed is not None:
            closed.append(name)


def never() -> threading.Event:
    return threading.Event()


def test_one_alone_is_answered_at_once() -> None:
    assert list(Line().in_turn(answer("a"), never())) == list(answer("a"))


def test_the_second_is_read_at_once_and_answered_after_the_first() -> None:
    line = Line()
    first, second = line.in_turn(answer("a"), never()), line.in_turn(answer("b"), never())
    assert [next(first), next(first)] == [TextDelta("a read"), TextDelta("a begins")]
    assert [next(second), next(second)] == [TextDelta("b read"), Waiting(1)]
    assert list(first) == [TextDelta("a ends")]
    assert list(second) == [Waiting(0), TextDelta("b begins"), TextDelta("b ends")]


def test_everyone_is_served_in_the_order_in_which_they_came() -> None:
    line = Line()
    served: list[int] = []
    places: dict[int, list[int]] = {}
    streams = [line.in_turn(answer(str(n)), never()) for n in range(6)]
    for stream in streams:
        next(stream)
    leader = next(streams[0])  # it holds the turn while the others come
    waiting = [next(stream) for stream in streams[1:]]

    def follow(number: int) -> None:
        for event in streams[number]:
            if isinstance(event, Waiting):
                places.setdefault(number, []).append(event.ahead)
            elif isinstance(event, TextDelta) and event.text.endswith("ends"):
                served.append(number)

    threads = [threading.Thread(target=follow, args=(n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    follow(0)
    for thread in threads:
        thread.join(20)
    assert leader == TextDelta("0 begins")
    assert waiting == [Waiting(n) for n in range(1, 6)]
    assert served == [0, 1, 2, 3, 4, 5]
    assert all(seen == sorted(seen, reverse=True) for seen in places.values()), "nobody goes back in the line"


def test_whoever_is_stopped_while_waiting_gives_up_the_place() -> None:
    line, stop = Line(), threading.Event()
    closed: list[str] = []
    first, second = line.in_turn(answer("a"), never()), line.in_turn(answer("b", closed=closed), stop)
    third = line.in_turn(answer("c"), never())
    events = [[next(stream), next(stream)] for stream in (first, second, third)]
    assert [pair[1] for pair in events] == [TextDelta("a begins"), Waiting(1), Waiting(2)]
    stop.set()
    assert list(second) == []
    assert closed == ["b"], "its work ended, too"
    assert next(third) == Waiting(1)


def test_whoever_closes_the_page_gives_up_the_turn() -> None:
    line = Line()
    closed: list[str] = []
    first, second = line.in_turn(answer("a", closed=closed), never()), line.in_turn(answer("b"), never())
    events = [[next(stream), next(stream)] for stream in (first, second)]
    assert events[1][1] == Waiting(1)
    first.close()
    assert closed == ["a"]
    assert next(iter(second)) == Waiting(0)


def test_a_turn_whose_owner_vanished_does_not_hold_up_the_others() -> None:
    line = Line(patience=0.3)
    gone, next_one = line.in_turn(answer("a"), never()), line.in_turn(answer("b"), never())
    assert [next(gone), next(gone)][1] == TextDelta("a begins")
    began = time.monotonic()
    assert list(next_one)[-1] == TextDelta("b ends")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("ahead", "said"), [(1, "One question is answered"), (4, "4 questions are answered")])
def test_a_place_in_words(ahead: int, said: str) -> None:
    assert in_line(ahead).startswith(said)
