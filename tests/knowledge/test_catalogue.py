"""What the first view offers: every condition in one section, pairs that are confused, features to start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermiq.knowledge import Graph
from dermiq.knowledge.catalogue import CLASSED, REST, beginnings, confused_pairs, extent, sections
from tests.tiny_graph import GRAPH

REAL = Graph.load()


def test_every_condition_stands_in_one_section_once() -> None:
    listed = [node.id for section in sections(REAL) for node in (*section.full, *section.more)]
    assert sorted(listed) == sorted(node.id for node in REAL.nodes if node.kind == "Disease" and node.tier > 0)
    assert all(section.full or section.more for section in sections(REAL))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("melanoma", CLASSED),
        ("squamous cell carcinoma", "Other tumours"),
        ("keratoacanthoma", "Other tumours"),  # no code: by the hierarchy
        ("scabies", "Infections and infestations"),
        ("cellulitis", "Infections and infestations"),
        ("atopic dermatitis", "Dermatitis and eczema"),
        ("alopecia areata", "Hair, nails and glands"),
        ("vitiligo", "Pigment"),
    ],
)
def test_a_condition_stands_where_its_code_or_its_hierarchy_puts_it(name: str, title: str) -> None:
    (section,) = [s for s in sections(REAL) if any(node.name == name for node in (*s.full, *s.more))]
    assert section.title == title


def test_the_sections_of_a_graph_of_its_own() -> None:
    by_title = {section.title: section for section in sections(GRAPH)}
    assert set(by_title) == {REST}
    assert [node.name for node in by_title[REST].full] == ["bluepox", "redpox"]
    assert "rash" not in {node.name for node in by_title[REST].more}, "it only holds the hierarchy together"


def test_pairs_are_of_different_conditions_and_each_is_offered_once() -> None:
    pairs = confused_pairs(REAL, 5)
    assert len(pairs) == 5
    assert len({node.id for pair in pairs for node in pair}) == 10
    assert all(a.id not in REAL.family(b.id) and b.id not in REAL.family(a.id) for a, b in pairs)


def test_beginnings_are_what_many_conditions_have() -> None:
    assert [node.name for node in beginnings(GRAPH, 1)] == ["scale", "itch"]
    kinds = {node.kind for node in beginnings(REAL, 2)}
    assert {"DermoscopicFeature", "Sign", "Symptom", "Treatment"} <= kinds


@pytest.mark.parametrize("file", ["README.md", "kg_data/README.md"])
def test_readmes_and_page_count_the_same(file: str) -> None:
    said = " ".join((Path(__file__).parents[2] / file).read_text(encoding="utf-8").split())
    assert extent(REAL) in said, f"{file} is stale: it should say {extent(REAL)!r}"
    listed = [(len(section.full), len(section.more)) for section in sections(REAL)]
    full, more = (sum(part) for part in zip(*listed, strict=True))
    assert extent(REAL).startswith(f"{full + more:,} conditions, {full:,} of them described in full.")
