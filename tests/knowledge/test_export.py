"""Exports read back by other tools' readers: the same nodes, edges, sources, licences and numbers."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from dermiq.errors import InputError
from dermiq.knowledge.export import export
from dermiq.knowledge.graph import FOLDER
from dermiq.knowledge.schema import LITERAL_RELATIONS, Edge, Node, only_licence, read_tables
from dermiq.types import Source
from tests.knowledge.test_cli import run_cli

TABLES = read_tables(FOLDER)
EDGE = [column.name for column in fields(Edge)]
NUMBERS = ("n", "probability", "lift", "likelihood_ratio", "low", "high")


def _edge(values: dict[str, Any], **ends: str) -> Edge:
    known: dict[str, Any] = {name: values.get(name, None if name in NUMBERS else "") for name in EDGE}
    return Edge(**{**known, **ends})


def _codes(parts: list[str]) -> dict[str, str]:
    return dict(part.split("=", 1) for part in parts)


def _node(values: dict[str, Any], *, synonyms: tuple[str, ...], codes: list[str], **rest: str) -> Node:
    known = {column.name: values.get(column.name, "") for column in fields(Node)}
    return Node(**{**known, "synonyms": synonyms, "codes": _codes(codes), **rest})


def _same(ours: Any, theirs: Any) -> None:
    """Compared by id, so that a failure names one record."""
    assert [item.id for item in ours] == [item.id for item in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one == other


def test_graphml_reads_back_the_same(tmp_path: Path) -> None:
    export(TABLES, "graphml", tmp_path / "kg.graphml")
    net = nx.read_graphml(tmp_path / "kg.graphml", force_multigraph=True)
    nodes = [
        _node(
            values,
            id=key,
            synonyms=tuple(values["synonyms"].split("|")) if "synonyms" in values else (),
            codes=values["codes"].split(";") if values.get("codes") else [],
        )
        for key, values in net.nodes(data=True)
        if values["kind"] != "Literal"
    ]
    _same(TABLES.nodes, nodes)
    found = {
        key: _edge(values, id=key, subject=start, object=end.removeprefix("literal:"))
        for start, end, key, values in net.edges(keys=True, data=True)
    }
    assert len(found) == net.number_of_edges()
    _same(TABLES.edges, [found[edge.id] for edge in TABLES.edges])


def test_graphml_spells_out_every_licence(tmp_path: Path) -> None:
    export(TABLES, "graphml", tmp_path / "kg.graphml")
    net = nx.read_graphml(tmp_path / "kg.graphml", force_multigraph=True)
    sources = {source.id: source for source in TABLES.sources}
    for _, _, values in net.edges(data=True):
        source = sources[values["source"]]
        told = (values["source_title"], values["source_url"], values["licence"], values["licence_class"])
        assert told == (source.title, source.url, source.licence, source.licence_class)


def test_jsonld_reads_back_the_same(tmp_path: Path) -> None:
    export(TABLES, "jsonld", tmp_path / "kg.jsonld")
    graph = json.loads((tmp_path / "kg.jsonld").read_text(encoding="utf-8"))["@graph"]
    concepts = [item for item in graph if "skos:Concept" in item["type"]]
    _same(
        TABLES.nodes,
        [
            _node(
                item,
                synonyms=tuple(item.get("synonyms", ())),
                codes=item.get("codes", []),
                source=item["source"].removeprefix("source_id:"),
            )
            for item in concepts
        ],
    )
    statements = [item for item in graph if "rdf:Statement" in item["type"]]
    _same(
        TABLES.edges,
        [
            _edge(
                item,
                id=item["id"].removeprefix("edge:"),
                object=item["object"] if item["relation"] in LITERAL_RELATIONS else item["object"]["id"],
                source=item["source"].removeprefix("source_id:"),
            )
            for item in statements
        ],
    )
    works = [item for item in graph if item["type"] == "schema:CreativeWork"]
    columns = [column.name for column in fields(Source)]
    told = [{**item, "id": item["id"].removeprefix("source_id:")} for item in works]
    _same(TABLES.sources, [Source(**{name: item.get(name, "") for name in columns}) for item in told])


def test_every_prefix_of_the_jsonld_is_declared(tmp_path: Path) -> None:
    export(TABLES, "jsonld", tmp_path / "kg.jsonld")
    document = json.loads((tmp_path / "kg.jsonld").read_text(encoding="utf-8"))
    ids = [item["id"] for item in document["@graph"]]
    assert len(ids) == len(set(ids))
    assert {key.split(":", 1)[0] for key in ids} <= document["@context"].keys()
    known = set(ids)
    for item in document["@graph"]:
        assert set(item.get("broader", [])) <= known
        assert item.get("source", ids[0]) in known


def test_tsv_reads_back_the_same(tmp_path: Path) -> None:
    export(TABLES, "tsv", tmp_path / "tables")
    back = read_tables(tmp_path / "tables")
    _same(TABLES.nodes, back.nodes)
    _same(TABLES.edges, back.edges)
    _same(TABLES.sources, back.sources)


@pytest.mark.parametrize("form", ["graphml", "jsonld", "tsv"])
def test_the_command_exports_what_a_licence_allows(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "kg"
    assert run_cli("knowledge", "--export", form, "--out", str(out), "--licence", "open") == 0
    free = only_licence(TABLES, "open")
    assert f"{len(free.nodes)} nodes, {len(free.edges)} edges" in capsys.readouterr().out
    files = out.iterdir() if out.is_dir() else [out]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert free.edges[0].text in text
    assert "Derm7pt" not in text
    assert "HAM10000" not in text


def test_what_is_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("knowledge", "--export", "jsonld") == 2
    assert "--out" in capsys.readouterr().err
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run_cli("knowledge", "--export", "jsonld", "--out", str(tmp_path / "file" / "kg")) == 2
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(InputError, match="no format 'turtle'"):
        export(TABLES, "turtle", tmp_path / "kg.ttl")
