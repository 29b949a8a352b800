"""The figure of the architecture page is drawn from today's imports."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from docs.rooms import FIGURE, ROOT, Room, imports, ordered, pairs_of, svg

Pairs = list[tuple[Room, Room]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return pairs_of(imports())


def test_the_figure_shows_the_rooms_of_today(pairs: Pairs) -> None:
    assert FIGURE.read_text(encoding="utf-8") == svg(pairs), "run python -m docs.rooms and commit docs/rooms.svg"


def test_every_room_has_its_row_and_packages_stand_below_those_that_import_them(pairs: Pairs) -> None:
    rooms = ordered(pairs)
    assert {Room("dermiq.knowledge", "check"), Room("train", "rl"), Room("dermiq.vlm")} <= set(rooms)
    upward = [(a, b) for a, b in pairs if rooms.index(a) > rooms.index(b) and a.package != b.package]
    assert upward == []
    ElementTree.fromstring(svg(pairs))


def test_packages_that_import_each_other_are_named() -> None:
    with pytest.raises(ValueError, match=r"import each other: (a -> b -> a|b -> a -> b)"):
        ordered([(Room("a"), Room("b")), (Room("b", "deep"), Room("a"))])


def test_the_tree_in_contributing_names_every_room(pairs: Pairs) -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The tree")[1].split("```")[1]
    rooms = {room for pair in pairs for room in pair if "," not in room.package}
    names = {room.name or room.package.removeprefix("dermiq.") for room in rooms}
    assert {name for name in names if f"{name}/" not in tree} == set()
