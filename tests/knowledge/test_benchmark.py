"""The benchmark: its graphs are sound and the same on every run, its table and JSON agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dermiq.knowledge import Graph, benchmark
from dermiq.knowledge.language.lexical import BM25, largest

TODAY = Graph.load().tables


def test_a_graph_is_filled_up_soundly_and_the_same_each_time() -> None:
    size = len(TODAY.edges) + 500
    tables = benchmark.filled_up(TODAY, size)
    assert len(tables.edges) == size
    assert tables.edges[: len(TODAY.edges)] == TODAY.edges
    graph = Graph(tables)  # judges the tables
    assert any(fact.relation == "is_a" for fact in graph.facts("synthetic:Disease-0"))
    assert tables == benchmark.filled_up(TODAY, size)
    assert benchmark.filled_up(TODAY, 10) == TODAY


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = len(TODAY.edges) + 200
    out = tmp_path / "speed.json"
    assert benchmark.main(["--sizes", str(size), "--rounds", "1", "--no-embeddings", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [timing["edges"] for timing in result["timings"]] == [len(TODAY.edges), size]
    assert result["timings"][0]["check"]["ratio"] == 1.0
    assert all(f"{timing['edges']:,}" in printed for timing in result["timings"])


def test_the_largest_are_those_of_a_full_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 9, 200).astype(float)
    for count in (1, 7, 60, 200, 300):
        assert largest(scores, count) == [int(place) for place in np.argsort(-scores, kind="stable")[:count]]
    assert largest(np.array([]), 3) == []


def test_texts_without_a_common_word_are_not_found() -> None:
    index = BM25(["red lesion with scale", "blue veil", "red red veil"])
    assert index.best("red", 5) == [2, 0]
    assert index.best("the of", 5) == []
    assert index.best("red veil", 1) == [2]
    assert index.known_share("red toothache") == 0.5
