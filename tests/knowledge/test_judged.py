"""The learned judge: what its opinions do to a verdict, and what it says of sentences when it is asked for real."""

from __future__ import annotations

import numpy as np
import pytest

from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.check import judged
from dermiq.knowledge.check.guards import AGAINST, AGREES, BEYOND, Agreement
from dermiq.knowledge.check.judged import Asked, Bars, Opinion, judged_all, weighed
from dermiq.knowledge.check.shown import shown
from dermiq.knowledge.language import entail
from dermiq.types import Claim, Verdict

GRAPH = Graph.load()
MELANOMA = "MONDO:0005012"
ONE, OTHER = GRAPH.facts(MELANOMA, "has_sign")[:2]


def opinion(entails: float, contradicts: float, agreement: Agreement = AGREES, fact: str = ONE.id) -> Opinion:
    return Opinion(GRAPH.fact(fact), entails, contradicts, agreement)


def claim(verdict: Verdict, *facts: str) -> Claim:
    return Claim(text="Melanoma itches.", verdict=verdict, fact_ids=facts)


SURE, UNSURE = 0.999, 0.3
BARS = Bars(supported=0.9, agreed=0.05, doubted=0.7, vetoed=0.6, contradicted=0.9, same=0.6)
WEIGHED: list[tuple[Claim, list[Opinion], Verdict]] = [
    (claim("not_covered"), [opinion(SURE, 0.0)], "supported"),
    (claim("not_covered"), [opinion(UNSURE, 0.0)], "not_covered"),
    (claim("not_covered"), [opinion(SURE, 0.0, BEYOND)], "not_covered"),
    (claim("not_covered"), [opinion(SURE, 0.0, AGAINST)], "contradicted"),
    (claim("not_covered"), [opinion(0.2, 0.5, AGAINST)], "contradicted"),
    (claim("not_covered"), [opinion(0.2, 0.2, AGAINST)], "not_covered"),
    (claim("not_covered"), [opinion(0.0, 0.8)], "not_covered"),
    (claim("not_covered"), [opinion(0.0, SURE)], "contradicted"),
    (claim("not_covered"), [opinion(SURE, 0.0), opinion(0.0, SURE, fact=OTHER.id)], "not_covered"),
    (claim("not_covered"), [opinion(0.5, 0.0), opinion(SURE, 0.0, AGAINST, fact=OTHER.id)], "not_covered"),
    (claim("not_covered"), [], "not_covered"),
    (claim("supported", ONE.id), [opinion(UNSURE, 0.1)], "supported"),
    (claim("supported", ONE.id), [opinion(0.01, 0.1)], "not_covered"),
    (claim("supported", ONE.id), [opinion(0.1, 0.8)], "not_covered"),
    (claim("supported", ONE.id), [opinion(0.1, 0.8), opinion(0.4, 0.0, fact=OTHER.id)], "supported"),
    (claim("supported", ONE.id, OTHER.id), [opinion(0.1, 0.8)], "supported"),
    (claim("supported", ONE.id), [opinion(SURE, 0.0, BEYOND)], "not_covered"),
    (claim("supported", ONE.id), [opinion(SURE, 0.0, AGAINST)], "contradicted"),
    (claim("contradicted", ONE.id), [opinion(0.7, 0.0)], "not_covered"),
    (claim("contradicted", ONE.id), [opinion(0.5, 0.0)], "contradicted"),
]


@pytest.mark.parametrize(("ruled", "opinions", "verdict"), WEIGHED)
def test_what_the_rules_said_is_weighed(ruled: Claim, opinions: list[Opinion], verdict: Verdict) -> None:
    assert weighed(ruled, opinions, BARS, open_to_judge=True).verdict == verdict


def test_what_is_said_of_this_lesion_is_not_the_judge_s() -> None:
    left = weighed(claim("not_covered"), [opinion(SURE, 0.0)], BARS, open_to_judge=False)
    assert left.verdict == "not_covered"


def test_a_contradiction_names_its_fact() -> None:
    found = weighed(claim("not_covered"), [opinion(SURE, 0.0, AGAINST)], BARS, open_to_judge=True)
    assert found.fact_ids == (ONE.id,)
    assert ONE.text in found.note


def test_a_condition_is_the_disease_by_all_its_names() -> None:
    assert shown(GRAPH, "Rodent ulcers rarely spread.", "MONDO:0005341") == "the disease rarely spread."
    assert shown(GRAPH, "A BCC and a melanoma differ.", "MONDO:0005341") == "the disease and a melanoma differ."
    assert shown(GRAPH, "It rarely spreads.", MELANOMA, topic=MELANOMA) == "the disease rarely spreads."
    assert shown(GRAPH, "It rarely spreads.", MELANOMA) == "It rarely spreads."


def test_order_and_company_do_not_matter() -> None:
    pairs = [
        ("the disease is malignant.", "the disease is a cancer."),
        ("the disease is malignant.", "the disease is harmless."),
        ("the disease is malignant.", "the disease often itches, and it is very common on the backs of the hands."),
    ]
    together = entail.opinions(pairs)
    assert together.shape == (3, 3)
    assert np.allclose(together.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([entail._read([pair]) for pair in reversed(pairs)])[::-1]
    assert np.allclose(together, alone, atol=1e-4)


def test_nothing_is_asked_where_no_condition_is_named() -> None:
    assert judged_all(GRAPH, [Asked("The weather is fine."), Asked("It is malignant.")]) == [[], []]
    (found,) = judged_all(GRAPH, [Asked("It is malignant.", topic=MELANOMA)])
    assert {one.fact.subject for one in found} == {MELANOMA}


def test_the_fact_of_the_rules_is_read_too() -> None:
    (found,) = judged_all(GRAPH, [Asked("Melanoma is harmless.", facts=(OTHER,))])
    assert OTHER.id in {one.fact.id for one in found}


def test_without_its_weights_the_rules_judge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "available", lambda: False)
    assert [c.verdict for c in check_claims(GRAPH, "Melanoma is malignant. Melanoma is benign.")] == [
        "supported",
        "contradicted",
    ]
