"""Questions that are asked often: each answer says no more than its facts, and is found by other words than its own."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.language import embed
from dermiq.knowledge.retrieve import faq
from dermiq.knowledge.retrieve.understand import understand
from dermiq.types import Evidence, EvidenceItem

LONGEST, SHORTEST = 60, 10  # words
FEWEST, MOST = 5, 9  # wordings
pytestmark = pytest.mark.skipif(not embed.available(), reason="the sentence embedder is not installed")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.load()


def test_every_entry_stands_on_facts_of_the_graph_about_conditions_of_it(graph: Graph) -> None:
    for one in faq.entries():
        assert all(topic == faq.ANY or topic in graph for topic in one.topics), one.id
        assert one.facts, one.id
        for key in one.facts:
            graph.fact(key)


def test_no_entry_and_no_wording_is_there_twice() -> None:
    ids = [one.id for one in faq.entries()]
    assert len(set(ids)) == len(ids)
    asked = [text.lower() for one in faq.entries() for text in one.asked]
    assert len(set(asked)) == len(asked)


def test_an_answer_is_short_and_begins_with_its_verdict_as_a_statement() -> None:
    for one in faq.entries():
        assert not re.match(r"(?:yes|no|it|they|this)\b", one.reply, re.IGNORECASE), one.id
        assert SHORTEST <= len(one.reply.split()) <= LONGEST, one.id
        assert one.reply.endswith("."), one.id
        assert FEWEST <= len(one.asked) <= MOST, one.id


def test_no_number_of_an_answer_is_its_own(graph: Graph) -> None:
    for one in faq.entries():
        held = set(re.findall(r"\d+(?:[.,]\d+)?", " ".join(graph.fact(key).text for key in one.facts)))
        assert set(re.findall(r"\d+(?:[.,]\d+)?", one.reply)) <= held, one.id


def test_hardly_an_answer_is_called_contradicted(graph: Graph) -> None:
    """Each was read against its facts by a person; what the claim check says of them here is how often it errs."""
    wrong = []
    for one in faq.entries():
        evidence = Evidence(tuple(EvidenceItem(n, graph.fact(key), 0.0, "") for n, key in enumerate(one.facts, 1)))
        topic = None if faq.ANY in one.topics else one.topics[0]
        claims = check_claims(graph, one.reply, diagnosis=topic, evidence=evidence)
        wrong += [one.id for claim in claims if claim.verdict == "contradicted"]
    assert len(set(wrong)) <= 0.02 * len(faq.entries()), wrong


def test_what_ships_was_made_of_the_table_that_ships() -> None:
    assert faq.matcher()["made_of"] == faq.digest(), "run python -m train.embedded.faq"
    held = faq.vectors()
    assert len(held.question) == len(held.sentence) == sum(len(one.asked) for one in faq.entries())
    assert len(held.reply) == len(faq.entries())
    assert np.allclose(np.linalg.norm(held.question, axis=1), 1, atol=1e-2)


@pytest.mark.parametrize(
    ("question", "lesion", "entry"),
    [
        ("Can I have it lasered off? A place in the mall does it for 80 quid.", "nv", "nv-laser-removal"),
        ("Keep nicking it when i shave my legs. Leave it, or have it out?", "df", "dfvasc-df-shaving-nick"),
        ("Consultant mentioned nicotinamide. Any use?", "akiec", "care-diet-nicotinamide"),
    ],
)
def test_questions_of_others_are_found(graph: Graph, question: str, lesion: str, entry: str) -> None:
    assert understand(graph, question, differential=[lesion]).often[:1] == (entry,)


@pytest.mark.parametrize("question", ["Will it rain in Lyon this weekend?", "How sure is it really?", "Melasma?"])
def test_a_question_that_is_like_none_gets_none(graph: Graph, question: str) -> None:
    assert understand(graph, question, differential=["nv"]).often == ()
