"""Sentences that say which diagnosis comes first and which next are held against the readers' own order."""

from __future__ import annotations

import pytest

from dermiq.answering.order import Order, judged
from tests.answering.made import claim

OWN = Order(("mel", "nv", "bkl", "bcc", "akiec", "df", "vasc"))
OTHER = Order(("mel", "bkl", "nv", "bcc", "akiec", "df", "vasc"))
NEVUS_FIRST = Order(("nv", "mel", "bkl", "bcc", "akiec", "df", "vasc"))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The image fits melanoma best.", "supported"),
        ("The image fits basal cell carcinoma best.", "contradicted"),
        ("The next candidate is melanocytic nevus.", "supported"),
        ("The next candidate is dermatofibroma [F3].", "contradicted"),
        ("Melanoma leads; melanocytic nevus is the main alternative, then benign keratosis.", "supported"),
        ("Melanoma leads; melanocytic nevus is the main alternative, then dermatofibroma.", "contradicted"),
        ("Melanoma leads; melanoma is the main alternative, then benign keratosis.", "contradicted"),
        ("Melanoma first, then melanocytic nevus and benign keratosis.", "supported"),
        ("Taken together, this fits melanoma better than vascular lesion.", "supported"),
        ("On balance benign keratosis.", "contradicted"),
        ("By likelihood melanoma (62 %) leads; melanocytic nevus (21 %) is the main alternative.", "supported"),
        ("The image fits melanoma best: it has a blue-white veil.", "not_covered"),
        ("Melanocytic nevus remains possible.", "not_covered"),
        ("Melanoma is malignant.", "not_covered"),
        ("It may itch.", "not_covered"),
    ],
)
def test_an_order_is_borne_out_or_not(text: str, verdict: str) -> None:
    assert judged(claim(text, verdict="not_covered"), [OWN]).verdict == verdict


def test_where_the_readers_differ_nothing_is_decided() -> None:
    said = claim("The next candidate is benign keratosis.", verdict="not_covered")
    assert judged(said, [OWN, OTHER]) == said
    first = claim("The image fits melanoma best.", verdict="not_covered")
    assert judged(first, [OWN, OTHER]).verdict == "supported"
    assert judged(first, [OWN, NEVUS_FIRST]) == first
    assert judged(first, []) == first


def test_another_verdict_stays() -> None:
    said = claim("The image fits basal cell carcinoma best.", verdict="wrong_citation")
    assert judged(said, [OWN]) == said
