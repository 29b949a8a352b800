"""A condition's card: what is its own, what is inherited, what belongs to subtypes; and how it is found."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph
from dermiq.knowledge.card import Card, card, held, topic_of
from dermiq.knowledge.find import find, suggest
from dermiq.knowledge.schema import RELATIONS
from tests.tiny_graph import GRAPH

REAL = Graph.load()


def _topics(made: Card) -> dict[str, list[tuple[str, str]]]:
    return {topic.title: [(h.standing, h.fact.text) for h in topic.facts] for topic in made.topics}


def test_a_card_groups_facts_and_says_whose_they_are() -> None:
    topics = _topics(card(GRAPH, "c:red"))
    assert topics["Signs"][-1] == ("subtype", "Bright redpox shows a crust.")
    assert [standing for standing, _ in topics["Signs"][:-1]] == ["own"] * 3
    assert topics["Treatment"] == [("inherited", "A rash is treated with cream.")]
    assert topics["Look-alikes"] == [("own", "Bluepox is confused with redpox.")]


def test_the_place_in_the_hierarchy_and_what_is_missing() -> None:
    made = card(GRAPH, "c:red")
    assert [[node.name for node in path] for path in made.above] == [["rash"]]
    assert [node.name for node in made.below] == ["bright redpox"]
    assert "Red flags" in made.missing
    assert "Signs" not in made.missing


def test_a_subtype_inherits_neither_code_nor_risk() -> None:
    relations = {h.fact.relation for h in held(GRAPH, "c:bright") if h.standing == "inherited"}
    assert relations == {"has_sign", "has_symptom", "treated_by"}


def test_a_condition_without_facts_has_an_empty_card() -> None:
    made = card(GRAPH, "c:silent")
    assert made.topics == ()
    assert made.above == ((),)


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(KeyError):
        card(GRAPH, "c:none")


def test_a_relation_without_a_heading_names_itself() -> None:
    assert topic_of("measured_as") == "Measured as"


def test_every_fact_of_every_condition_stands_on_its_card() -> None:
    for node in REAL.nodes:
        if node.kind == "Disease":
            shown = {h.fact.id for topic in card(REAL, node.id).topics for h in topic.facts}
            assert shown >= {fact.id for fact in REAL.facts(node.id) if fact.relation != "is_a"}
    assert {"is_a"} == {name for name in RELATIONS if topic_of(name) == "Is a"}


# --- finding a condition ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("redpox", "redpox"),
        ("RP", "redpox"),
        ("rp", "redpox"),
        ("scarlet itch", "redpox"),
        ("could it be scarlett itch?", "redpox"),
        ("Bluepxo", "bluepox"),
        ("azur", "bluepox"),  # only one name begins like this
    ],
)
def test_a_condition_is_found_by_what_people_write(typed: str, found: str) -> None:
    condition = find(GRAPH, typed).condition
    assert condition is not None
    assert condition.name == found


@pytest.mark.parametrize(("typed", "name"), [("rodent ulcer", "basal cell carcinoma"), ("melenoma", "melanoma")])
def test_lay_words_and_misspellings_reach_the_real_graph(typed: str, name: str) -> None:
    condition = find(REAL, typed).condition
    assert condition is not None
    assert condition.name == name


def test_a_sign_leads_to_the_conditions_that_have_it() -> None:
    found = find(GRAPH, "ring")
    assert found.condition is None
    assert found.feature is not None
    assert found.feature.name == "ring"
    assert {fact.subject for fact in found.facts} == {"c:red", "c:blue"}


def test_a_word_of_something_else_finds_nothing() -> None:
    found = find(GRAPH, "purple elephants")
    assert (found.condition, found.feature, found.suggestions) == (None, None, ())


def test_suggestions_follow_the_typing() -> None:
    assert [hit.node.name for hit in suggest(GRAPH, "red")] == ["redpox", "bright redpox"]
    assert [(hit.node.name, hit.name) for hit in suggest(GRAPH, "azu")] == [("bluepox", "azure scale")]
    assert suggest(GRAPH, "RP")[0].node.name == "redpox"
    assert suggest(GRAPH, "b") == []
    assert len(suggest(REAL, "ma", limit=3)) == 3
