"""The counted edges: made again from the reference, checked against their counts, and kept out of prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats.contingency import relative_risk

from dermiq.knowledge import Graph, check_claims, link, retrieve
from dermiq.knowledge.graph import CLASS_NODES, FOLDER
from dermiq.knowledge.schema import Edge, read_rows
from dermiq.lesion import default_reference
from train.embedded import derived

GRAPH = Graph.load()
EDGES = [edge for edge in GRAPH.tables.edges if edge.relation == "likelihood_ratio_for"]
ROWS = {(row["finding"], row["diagnosis"]): row for _, row in read_rows(FOLDER / "derived" / "findings.tsv")}


def test_the_command_gives_the_committed_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    derived.main(["--out", str(tmp_path / "findings.tsv")])
    committed = FOLDER / "derived" / "findings.tsv"
    assert (tmp_path / "findings.tsv").read_bytes() == committed.read_bytes(), (
        "stale: run python -m train.embedded.derived"
    )
    assert f"{len(ROWS)} rows" in capsys.readouterr().out


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{edge.subject}-{edge.object}")
def test_ratio_and_interval_follow_from_the_counts(edge: Edge) -> None:
    code = {node: name for name, node in CLASS_NODES.items()}[edge.object]
    row = ROWS[edge.subject.removeprefix("finding:"), code]
    counts = [int(row[name]) for name in ("with_class", "n_class", "with_others", "n_others")]
    expected = relative_risk(*counts)
    interval = expected.confidence_interval(0.95)
    assert edge.likelihood_ratio == pytest.approx(expected.relative_risk, abs=1e-3)
    assert (edge.low, edge.high) == pytest.approx((interval.low, interval.high), rel=1e-3, abs=1e-3)
    assert edge.n == counts[1] + counts[3]
    assert edge.probability == pytest.approx(counts[0] / counts[1], abs=1e-3)
    assert f"{counts[0]:,} of {counts[1]:,} against {counts[2]:,} of {counts[3]:,}" in edge.text
    assert edge.evidence_type == "derived statistic"


def test_the_counts_are_those_of_the_whole_split() -> None:
    reference = default_reference()
    for (_, diagnosis), row in ROWS.items():
        assert int(row["n_class"]) == reference.class_n[diagnosis]
        assert int(row["n_class"]) + int(row["n_others"]) == reference.n


def test_few_lesions_and_small_differences_make_no_fact() -> None:
    assert min(min(int(row["with_class"]), int(row["with_others"])) for row in ROWS.values()) >= derived.MIN_LESIONS
    assert 0 < len(EDGES) < len(ROWS)
    assert not any(edge.low is None or edge.high is None or edge.low <= 1 <= edge.high for edge in EDGES)


def test_they_are_non_commercial_and_leave_an_open_graph() -> None:
    assert {GRAPH.sources[edge.source].licence_class for edge in EDGES} == {"non-commercial"}
    free = Graph.load(licence="open")
    assert not any(node.kind == "Finding" for node in free.nodes)
    assert any(node.kind == "Finding" for node in Graph.load(licence="non-commercial").nodes)


def test_prompts_do_not_fill_with_them() -> None:
    evidence = retrieve(
        GRAPH,
        "How common is a border more irregular than that of 90 % of benign lesions in melanoma?",
        differential=["mel", "nv"],
        k=40,
        token_budget=4000,
        semantic=False,
    )
    assert evidence.items
    assert not any(item.fact.relation == "likelihood_ratio_for" for item in evidence.items)
    assert [mention.name for mention in link(GRAPH, "in contrast, white colour")] == []


def test_a_sentence_that_quotes_one_is_judged_by_it() -> None:
    edge = EDGES[0]
    (claim,) = check_claims(GRAPH, edge.text)
    assert (claim.verdict, claim.fact_ids) == ("supported", (edge.id,))
    (claim,) = check_claims(GRAPH, edge.text.replace(f"{edge.likelihood_ratio:.1f} times", "9.9 times"))
    assert claim.verdict == "contradicted"
