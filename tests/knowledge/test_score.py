"""The labelled sets are scored as they say, and what the code reaches on them does not fall."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermiq.errors import InputError
from dermiq.knowledge import Graph, score
from dermiq.knowledge.language import embed

GRAPH = Graph.load()
MILIA = "E0407e8d4e5"  # dermoscopy of seborrheic keratosis shows milia-like cysts
SAME_BY_ANOTHER = "E6e459a0d12"  # the same of another source
ELSE = "E124e878b00"


def test_both_parts_are_there_and_whole() -> None:
    counts = {"claims": (300, 300), "model_text": (50, 100), "retrieval": (100, 100), "linking": (150, 150)}
    for name, (dev, test) in counts.items():
        assert [len(score.read_set(name, part)) for part in ("dev", "test", "all")] == [dev, test, dev + test]
    facts = {key for row in score.read_set("retrieval", "all") for key in row["facts"].split("|")}
    for name in ("claims", "model_text"):
        facts |= {key for row in score.read_set(name, "all") for key in row["edges"].split("|") if key}
    assert not facts - {fact.id for fact in GRAPH.all_facts}, "an edge was renamed: rename it in the sets too"


def test_a_fact_counts_once_whoever_says_it() -> None:
    assert score.gains(GRAPH, [MILIA], [SAME_BY_ANOTHER]) == (1.0, 1.0)
    assert score.gains(GRAPH, [MILIA, ELSE], [MILIA, SAME_BY_ANOTHER])[0] == 0.5
    recall, ndcg = score.gains(GRAPH, [MILIA], [ELSE, MILIA])
    assert (recall, round(ndcg, 3)) == (1.0, 0.631)
    assert score.gains(GRAPH, [MILIA], []) == (0.0, 0.0)


def test_marks_are_found_in_order_with_what_is_also_right() -> None:
    marks = [{"text": "mole", "id": "a", "negated": False}, {"text": "mole", "id": "b", "negated": True}]
    row = {"id": "1", "text": "a mole, no mole", "mentions": json.dumps(marks), "note": "also right: mole = c; else"}
    assert score.spans_of(row) == {(2, 6): ({"a", "c"}, False), (11, 15): ({"b", "c"}, True)}
    with pytest.raises(InputError, match="mole"):
        score.spans_of({**row, "text": "a mole"})


def test_precision_and_recall_by_hand() -> None:
    rows = [
        {"id": str(number), "label": label, "origin": "hand", "sentence": sentence, "edges": "", "note": ""}
        for number, (label, sentence) in enumerate(
            (
                ("supported", "Melanoma is malignant."),
                ("contradicted", "Melanoma is benign."),
                ("contradicted", "Melanoma is malignant."),
                ("not_covered", "The weather is fine."),
            )
        )
    ]
    figures, errors = score.score_claims(GRAPH, rows)
    assert figures["all"]["supported"] == {"precision": 0.5, "recall": 1.0}
    assert figures["hand"]["contradicted"] == {"precision": 1.0, "recall": 0.5}
    assert figures["all"]["confusion"]["contradicted"] == {"supported": 1, "contradicted": 1, "not_covered": 0}
    assert len(errors) == 1


def test_errors_of_the_part_test_are_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("test", "all"):
        assert score.main(["linking", "--part", part, "--show-errors"]) == 2
    assert capsys.readouterr().out == ""


def test_the_command_adds_to_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results.json"
    for part in ("dev", "all"):
        assert score.main(["linking", "--part", part, "--out", str(out)]) == 0
    held = json.loads(out.read_text(encoding="utf-8"))["linking"]
    assert (held["dev"]["n"], held["all"]["n"]) == (150, 300)
    assert held["all"]["measured on"] == score.measured_on("linking")
    assert f"F1               {held['all']['F1']}" in capsys.readouterr().out


def test_what_was_reached_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors a little under what is reached; retrieval by words and names alone, on every fifth question;
    claims in every third row (`dermiq.knowledge.score` scores all)."""
    monkeypatch.setattr(embed, "available", lambda: False)
    linking, _ = score.score_linking(GRAPH, score.read_set("linking", "all"))
    assert linking["F1"] >= 0.96
    assert linking["negation"] >= 0.97
    claims, _ = score.score_claims(GRAPH, score.read_set("claims", "all")[::3])
    assert claims["all"]["supported"]["precision"] >= 0.98
    assert claims["all"]["supported"]["recall"] >= 0.86
    written, _ = score.score_claims(GRAPH, score.read_set("model_text", "all"))
    assert written["all"]["supported"]["precision"] >= 0.92
    assert claims["all"]["contradicted"]["precision"] >= 0.97
    assert claims["all"]["contradicted"]["recall"] >= 0.91
    retrieval, _ = score.score_retrieval(GRAPH, score.read_set("retrieval", "all")[::5])
    assert retrieval["fused"]["recall@8"]["mean"] >= 0.77
    assert retrieval["fused"]["nDCG@8"]["mean"] >= 0.67
    assert retrieval["fused"]["recall@8"]["mean"] > retrieval["BM25 alone"]["recall@8"]["mean"]


@pytest.mark.skipif(not embed.available(), reason=embed.NOTE)
def test_what_meaning_adds_is_kept() -> None:
    """The same questions with embeddings, and those that are asked in a case."""
    retrieval, _ = score.score_retrieval(GRAPH, score.read_set("retrieval", "all")[::5])
    assert retrieval["fused"]["recall@8"]["mean"] >= 0.87
    assert retrieval["fused"]["nDCG@8"]["mean"] >= 0.83
    asked, _ = score.score_asked(GRAPH, score.read_set("asked", "dev")[::3])
    assert asked["fused"]["recall@8"]["mean"] >= 0.66  # who marked the facts did not know those that came since
    assert asked["intent"] >= 0.8
    assert asked["in scope refused"] <= 0.02
