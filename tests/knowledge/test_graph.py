"""The loaded graph: classes, names, facts, licences, speed."""

from __future__ import annotations

import pytest

import dermiq.knowledge
from dermiq.errors import KnowledgeError
from dermiq.knowledge import Graph
from dermiq.knowledge.language.text import words
from dermiq.types import CLASS_NAMES, CLASSES

GRAPH = Graph.load()


def test_the_public_face() -> None:
    assert set(dermiq.knowledge.__all__) == {
        "EMBEDDINGS_MISSING",
        "Graph",
        "Mention",
        "Scores",
        "Understood",
        "check_claims",
        "embeddings_available",
        "forget",
        "link",
        "retrieve",
        "score_answer",
        "understand",
        "urgency",
        "warm",
    }


@pytest.mark.parametrize("code", CLASSES)
def test_every_class_has_one_node_and_every_node_its_class(code: str) -> None:
    node_id = GRAPH.class_node(code)
    found = GRAPH.diagnosis(code)
    assert found is not None
    assert (found.id, found.name, found.code) == (node_id, CLASS_NAMES[code], code)
    assert all(GRAPH.class_code(member) == code for member in GRAPH.family(node_id))


@pytest.mark.parametrize(
    ("key", "name", "code"),
    [
        ("MONDO:0005012", "melanoma", "mel"),
        ("BCC", "basal cell carcinoma", "bcc"),
        ("seborrhoeic keratoses", "seborrheic keratosis", "bkl"),
        ("solar lentigines", "solar lentigo", "bkl"),
        ("fibrous histiocytoma", "dermatofibroma", "df"),
        ("naevus", "melanocytic nevus", "nv"),
        ("Clark's nevus", "dysplastic nevus", "nv"),
        ("lobular capillary hemangioma", "pyogenic granuloma", "vasc"),
        ("squamous cell carcinoma", "squamous cell carcinoma", None),
    ],
)
def test_a_diagnosis_is_found_by_any_name(key: str, name: str, code: str | None) -> None:
    found = GRAPH.diagnosis(key)
    assert found is not None
    assert (found.name, found.code) == (name, code)


@pytest.mark.parametrize("key", ["", "toothache", "arborizing vessels"])
def test_what_is_no_diagnosis_is_none(key: str) -> None:
    assert GRAPH.diagnosis(key) is None


@pytest.mark.parametrize("code", CLASSES)
def test_every_class_has_facts_of_the_main_kinds(code: str) -> None:
    relations = {fact.relation for fact in GRAPH.facts(GRAPH.class_node(code), family=True)}
    assert {"has_dermoscopic_feature", "look_alike", "behaves_as", "treated_by", "coded_as"} <= relations


def test_every_fact_is_a_short_sentence_with_a_source() -> None:
    for fact in GRAPH.all_facts:
        words = len(fact.text.split())
        limit = 48 if fact.relation == "likelihood_ratio_for" else 24  # these never enter a prompt
        assert 3 <= words <= limit, f"{words} words: {fact.text}"
        assert fact.text[0].isupper() or fact.text[0].isdigit()
        assert fact.locator
        assert fact.source.licence
        assert GRAPH.fact(fact.id) is fact


def test_research_facts_can_be_left_out() -> None:
    free = Graph.load(licence="open")
    assert {source.licence_class for source in free.sources.values()} == {"open"}
    assert 0 < len(free.all_facts) < len(GRAPH.all_facts)
    with pytest.raises(KnowledgeError, match="no licence class"):
        Graph.load(licence="free")


def test_families_and_ancestors_mirror_each_other() -> None:
    melanoma = GRAPH.class_node("mel")
    assert "dermiq:lentigo-maligna" in GRAPH.family(melanoma)
    assert melanoma in GRAPH.ancestors("dermiq:lentigo-maligna")


def test_a_surface_belongs_to_one_node_of_a_kind() -> None:
    holders: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for node in GRAPH.nodes:
        for name in filter(None, (node.name, node.plural, *node.synonyms)):
            holders.setdefault((node.kind, words(name)), set()).add(node.id)
    assert {key: nodes for key, nodes in holders.items() if len(nodes) > 1} == {}


def test_a_condition_takes_no_name_from_a_sign() -> None:
    """Two words apart, which mean the condition in a sentence as often as the sign."""
    shared = {
        key
        for key, nodes in GRAPH.roles.items()
        if GRAPH.node(nodes[0]).kind == "Disease"
        and any(GRAPH.node(other).kind in ("Sign", "Symptom", "DermoscopicFeature") for other in nodes[1:])
    }
    assert shared == {("scar",), ("alopecia",)}


def test_a_surface_leads_to_every_role_and_first_to_the_treatment() -> None:
    assert GRAPH.roles[words("phototherapy")] == ("treatment:phototherapy", "riskfactor:phototherapy")
    assert GRAPH.names[words("cellulitis")] == "MONDO:0005230"
    assert "redflag:cellulitis" in GRAPH.roles[words("cellulitis")]
    assert GRAPH.find("season") is None
