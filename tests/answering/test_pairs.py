"""What tells two conditions apart: each row says no more than its facts, and stands where two are set side by side."""

from __future__ import annotations

import re

import pytest

from dermiq.answering.replies import PAIRS, apart, site_of
from dermiq.knowledge import link
from dermiq.knowledge.graph import PRINCIPAL
from dermiq.knowledge.schema import read_rows
from tests.answering.made import graph, told

ROWS = [row for _, row in read_rows(PAIRS)]
LONGEST = 60  # words


def test_every_row_stands_on_facts_about_two_conditions_of_the_graph() -> None:
    for row in ROWS:
        sides = {row["left"], row["right"]}
        assert len(sides) == 2, row
        assert all(side in graph() for side in sides), row
        assert apart(graph(), row["left"], row["right"]) is not None, row


def test_no_pair_is_written_twice() -> None:
    assert len({frozenset((row["left"], row["right"])) for row in ROWS}) == len(ROWS)


def test_a_row_is_short_and_begins_with_what_it_is_about() -> None:
    for row in ROWS:
        assert not re.match(r"(?:yes|no|it|they|this)\b", row["reply"], re.IGNORECASE), row
        assert len(row["reply"].split()) <= LONGEST, row
        assert row["reply"].endswith("."), row


def test_no_number_of_a_row_is_its_own() -> None:
    for row in ROWS:
        facts = " ".join(graph().fact(key).text for key in row["facts"].split("|"))
        held = set(re.findall(r"\d+(?:[.,]\d+)?", facts))
        assert set(re.findall(r"\d+(?:[.,]\d+)?", row["reply"])) <= held, row


def test_a_kind_without_a_row_has_that_of_the_wider_condition_and_a_class_that_of_its_principal() -> None:
    ids = {name: link(graph(), name)[0].id for name in ("amelanotic melanoma", "lentigo maligna", "dermatofibroma")}
    melanoma = graph().class_node("mel")
    assert apart(graph(), ids["amelanotic melanoma"], ids["dermatofibroma"]) == apart(
        graph(), melanoma, ids["dermatofibroma"]
    )
    keratosis = apart(graph(), melanoma, "dermiq:bkl")
    assert keratosis is not None
    assert keratosis.conditions[1] == PRINCIPAL["dermiq:bkl"]


def test_two_that_are_set_side_by_side_are_told_apart_first_and_only_once() -> None:
    text = told("compare", "mel", "df", question="Melanoma or dermatofibroma?")
    assert text.startswith("A dermatofibroma is a small, firm")
    again = told("compare", "mel", "df", question="Melanoma or dermatofibroma?", earlier=(text,))
    assert again.startswith("What tells melanoma from dermatofibroma was said above")


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("parallel ridge or parallel furrow?", "acral"),
        ("and on the cheek?", "face"),
        ("a brown streak in the thumbnail", "nail"),
        ("on the lower lip", "mucosa"),
        ("on the back", ""),
    ],
)
def test_sites_with_signs_of_their_own_are_told_by_their_words(text: str, site: str) -> None:
    assert site_of(text) == site


def test_what_the_lesion_is_set_against_is_compared_with_it_each() -> None:
    text = told("compare", "Bowen's disease", "psoriasis", case="bcc", question="vs Bowen's disease? vs psoriasis?")
    first, _, rest = text.partition("psoriasis")
    assert "basal cell carcinoma" in first.lower()
    assert "bowen" in first.lower()
    assert rest


def test_a_condition_and_a_form_of_it_can_be_set_side_by_side() -> None:
    text = told("compare", "dysplastic nevus", "nv", case="nv", question="dysplastic nevus vs melanocytic nevus?")
    assert "dysplastic" in text.split(".")[0]
