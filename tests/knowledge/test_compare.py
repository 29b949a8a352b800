"""Two conditions side by side: contradictions first, silence never read as absence."""

from __future__ import annotations

import pytest

from dermiq.errors import InputError
from dermiq.knowledge import Graph
from dermiq.knowledge.compare import KINDS, Point, compare
from tests.tiny_graph import GRAPH

BOTH = compare(GRAPH, "c:red", "c:blue")


def _point(name: str) -> Point:
    return next(point for point in BOTH.points if point.name == name)


def test_what_one_has_and_the_other_lacks_comes_first() -> None:
    assert [point.kind for point in BOTH.points] == sorted((p.kind for p in BOTH.points), key=KINDS.index)
    assert [point.name for point in BOTH.of("opposite")] == ["risk level", "ring"]


def test_who_lacks_rings_lacks_broken_rings_and_it_is_said_once() -> None:
    ring = _point("ring")
    assert [h.fact.text for h in ring.left] == ["Redpox shows a broken ring."]
    assert [h.fact.text for h in ring.right] == ["Bluepox shows no ring."]
    assert "broken ring" not in {point.name for point in BOTH.points}


def test_silence_is_not_absence() -> None:
    itch = _point("itch")
    assert (itch.kind, itch.right) == ("left_only", ())
    assert ("Symptoms", "right") in BOTH.silent
    assert ("Signs", "right") not in BOTH.silent


def test_a_pitfall_contradicts_nothing() -> None:
    assert _point("spot").kind == "mixed"


def test_what_both_have_is_shared_also_where_it_is_inherited() -> None:
    assert [point.name for point in BOTH.of("shared")] == ["scale", "$cream$ & <b>rest</b>"]
    assert {h.standing for h in BOTH.of("shared")[1].left} == {"inherited"}


def test_a_subtypes_fact_is_marked_as_such() -> None:
    crust = _point("crust")
    assert [(h.standing, h.holder) for h in crust.left] == [("subtype", "c:bright")]


def test_that_they_are_confused_is_told_apart() -> None:
    assert [fact.text for fact in BOTH.confused] == ["Bluepox is confused with redpox."]
    assert not [point for point in BOTH.points if point.relation in {"look_alike", "coded_as"}]


def test_the_other_way_round_it_is_the_same_mirrored() -> None:
    mirror = {"left_only": "right_only", "right_only": "left_only"}
    turned = compare(GRAPH, "c:blue", "c:red")
    assert {(p.name, p.kind, p.left) for p in turned.points} == {
        (p.name, mirror.get(p.kind, p.kind), p.right) for p in BOTH.points
    }


def test_with_a_condition_that_has_no_facts_everything_is_one_sided() -> None:
    alone = compare(GRAPH, "c:red", "c:silent")
    assert {point.kind for point in alone.points} == {"left_only"}
    assert {side for _, side in alone.silent} == {"right"}


def test_the_same_condition_twice_is_refused() -> None:
    with pytest.raises(InputError, match="Both names mean redpox"):
        compare(GRAPH, "c:red", "c:red")
    with pytest.raises(KeyError):
        compare(GRAPH, "c:red", "c:none")


def test_no_fact_of_two_real_conditions_is_lost() -> None:
    graph = Graph.load()
    left, right = graph.class_node("mel"), graph.class_node("nv")
    made = compare(graph, left, right)
    told = {h.fact.id for point in made.points for h in (*point.left, *point.right)}
    own = {f.id for f in graph.facts(left) if f.relation not in {"is_a", "coded_as", "look_alike"}}
    assert own <= told
    assert made.of("opposite")
