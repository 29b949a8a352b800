"""A sentence that says a fact in other words rests on it; a small edit of such a sentence does not."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph
from dermiq.knowledge.check.paraphrase import restated
from dermiq.knowledge.language.lexicon import turns
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.wording import (
    are_opposed,
    goes_further,
    in_the_graphs_names,
    senses_of,
    turns_round,
)

GRAPH = Graph.load()


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("Plane warts frequently disappear of their own accord.", "Flat warts often go away by themselves."),
        (
            "Hair that returns after alopecia areata tends to be white to begin with.",
            "Regrowing hair is usually white at first in alopecia areata.",
        ),
        (
            "Shingles blisters scab and are healed after two to four weeks.",
            "Vesicles of herpes zoster crust over and heal in 2 to 4 weeks.",
        ),
        (
            "Psoriasis prefers extensor surfaces and carries silvery scale, whereas lichen planus does not.",
            "Psoriasis favours extensor sides and has silver scale and pinpoint bleeding, unlike lichen planus.",
        ),
        ("Distant spread of keratoacanthoma is very unlikely.", "Keratoacanthoma is unlikely to metastasize."),
    ],
)
def test_other_words_rest_on_the_fact(sentence: str, told: str) -> None:
    assert told in {fact.text for fact in restated(GRAPH, sentence, topic=None)}


@pytest.mark.parametrize(
    "sentence",
    [
        "Plane warts hardly ever disappear of their own accord.",
        "You will always find the silvery scale of plaque disease in flexural psoriasis.",
        "Shingles blisters scab and are healed after two to four days.",
        "Lichen planus prefers extensor surfaces and carries silvery scale, whereas psoriasis does not.",
        "Keratoacanthomas often spread to other organs.",
        "A reversed network proves vitiligo.",
        "Basal cell carcinoma is the most common type of skin cancer.",
        "I think that this mole has turned sore and inflamed.",
    ],
)
def test_an_edit_rests_on_nothing(sentence: str) -> None:
    assert restated(GRAPH, sentence, topic=None) == ()


def test_it_is_the_topic() -> None:
    topic = GRAPH.diagnosis("flat wart")
    assert topic is not None
    assert restated(GRAPH, "They frequently disappear of their own accord.", topic=topic.id)
    assert restated(GRAPH, "They frequently disappear of their own accord.", topic=None) == ()


def test_words_of_one_sense() -> None:
    assert stem("itchiness") == stem("itching") == stem("itch")
    assert senses_of(stem("pruritic")) & senses_of(stem("itchy"))
    assert not senses_of(stem("itchy")) & senses_of(stem("painful"))
    assert in_the_graphs_names("Liver spots are flat.") == "solar lentigo are flat."


def test_what_goes_further_than_the_facts() -> None:
    assert are_opposed("It grows fast.", "It grows slowly.")
    assert not are_opposed("It grows fast.", "It grows rapidly, rarely slowly.")
    assert goes_further("Terbinafine is the first choice.", "Terbinafine is an option.")
    assert goes_further("Steroids are given first.", "Steroids are an add-on, not the mainstay.")
    assert goes_further("It is the commonest type of cancer.", "A third have another cancer.")
    assert not goes_further("It is the commonest type of cancer.", "It is the most frequent cancer.")


def test_a_denial_more_or_less() -> None:
    told = "Antifungal creams do not help pityriasis rosea."
    assert turns_round("Antifungal creams do help pityriasis rosea.", told)
    assert not turns_round("Antifungal creams never help pityriasis rosea.", told)
    assert not turns_round("Creams against fungi do nothing for this rash.", told)
    assert turns("not only the nails, nor the hair") == 1
