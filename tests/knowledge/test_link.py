"""Names in texts: a table of lay words, abbreviations, plurals, slips and negations."""

from __future__ import annotations

import pytest

from dermiq.knowledge import Graph, link

GRAPH = Graph.load()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Is this BCC or SCC?", ["basal cell carcinoma", "squamous cell carcinoma"]),
        ("two SKs and an AK", ["seborrheic keratosis", "actinic keratosis"]),
        ("a mole or an age spot", ["melanocytic nevus", "solar lentigo"]),
        ("naevi, haemangiomas and lentigines", ["melanocytic nevus", "hemangioma", "lentigo"]),
        ("seborrhoeic keratosses", ["seborrheic keratosis"]),
        ("melanomma", ["melanoma"]),
        ("basal cel carcinoma", ["basal cell carcinoma"]),
        ("atypical pigment netwrok", ["atypical pigment network"]),
        ("arborising vessels", ["arborizing vessels"]),
        ("blue whitish veil", ["blue-white veil"]),
        ("leaf like areas and milia like cysts", ["leaf-like structures", "milia-like cysts"]),
        ("lentigo maligna melanoma", ["lentigo maligna melanoma"]),
        ("6 mm in size, nm unknown, the lm", []),
        ("regular streaks", ["regular streaks"]),
        ("the weather is fine", []),
        ("ten of them stay calm and eat carp", []),
        ("heat rash, stretch marks or a port-wine stain?", ["miliaria", "striae distensae", "capillary malformation"]),
        ("angioedema without hives", ["angioedema", "urticaria"]),
        ("Is L57.0 urgent, or C43?", ["actinic keratosis", "melanoma"]),
        ("Is a spider naevus like a mole?", ["spider angioma", "melanocytic nevus"]),
        ("a mucous cyst, a naevus araneus and lupus vulgaris", ["spider angioma"]),
        ("Does acne inversa differ from acne?", ["hidradenitis suppurativa", "acne"]),
        ("Efudix against SebK", ["5-fluorouracil", "seborrheic keratosis"]),
        ("an HS patient takes it hs with vitamin B12", ["hidradenitis suppurativa"]),
        ("a nevus versus a melanoma", ["melanocytic nevus", "melanoma"]),
    ],
)
def test_names_are_found_longest_first(text: str, names: list[str]) -> None:
    assert [mention.name for mention in link(GRAPH, text)] == names


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("no ulceration", [True]),
        ("no ulceration, rosettes or scale", [True, True, True]),
        ("no ulceration but rosettes", [True, False]),
        ("ulceration is absent", [True]),
        ("rosettes are not seen", [True]),
        ("without milia-like cysts", [True]),
        ("melanoma lacks lacunae", [False, True]),
        ("a nevus rather than a melanoma", [False, True]),
        ("not only rosettes", [False]),
        ("No scale. Rosettes.", [True, False]),
        ("melanoma shows rosettes", [False, False]),
    ],
)
def test_negation_reaches_as_far_as_it_should(text: str, negated: list[bool]) -> None:
    assert [mention.negated for mention in link(GRAPH, text)] == negated


def test_a_mention_knows_its_place() -> None:
    text = "It is a Spitz naevus."
    (mention,) = link(GRAPH, text)
    assert text[mention.start : mention.end] == mention.text == "Spitz naevus"
    assert mention.id == "MONDO:0044793"
