"""The graph for other people's tools: GraphML, JSON-LD and TSV. Knows the tables, no question.

Every node and edge carries its source, and every source its licence, so that a part of a file can be used on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import networkx as nx

from dermiq.errors import InputError
from dermiq.knowledge.schema import LITERAL_RELATIONS, Edge, Node, Tables, cell, write_tables
from dermiq.types import Json, Source
from dermiq.writing import writing

CONTEXT = Path(__file__).with_name("context.jsonld")
"""Our own words, said in SKOS, PROV and schema.org where they have a term; the rest lies in a urn of ours."""


def export(tables: Tables, form: str, out: Path) -> None:
    """Write the tables in one of `FORMATS` to `out`, a folder for TSV and else a file.

    InputError for an unknown format, or where nothing can be written there.
    """
    if form not in FORMATS:
        raise InputError(f"There is no format {form!r}; choose one of {', '.join(FORMATS)}.")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as part:  # what was there stays until all is
            made = Path(part) / out.name
            FORMATS[form](tables, made)
            _put(made, out)


def _put(made: Path, out: Path) -> None:
    """The file in its place; of a folder each of its files."""
    if made.is_dir():
        out.mkdir(exist_ok=True)
        for file in made.iterdir():
            file.replace(out / file.name)
    else:
        made.replace(out)


# --- GraphML ------------------------------------------------------------------------------


def write_graphml(tables: Tables, path: Path) -> None:
    """One directed multigraph. A literal object (a code, a level) becomes a node of the kind Literal."""
    sources = {source.id: source for source in tables.sources}
    net = nx.MultiDiGraph()
    for node in tables.nodes:
        net.add_node(node.id, **_flat(node, sources))
    for edge in tables.edges:
        target = edge.object
        if edge.relation in LITERAL_RELATIONS:
            target = f"literal:{edge.object}"
            net.add_node(target, kind="Literal", name=edge.object)
        net.add_edge(edge.subject, target, key=edge.id, **_flat(edge, sources))
    nx.write_graphml(net, path)


def _flat(record: Node | Edge, sources: Mapping[str, Source]) -> dict[str, str | int | float]:
    """Numbers as numbers, everything else as in the TSV, what is empty left out, the source spelled out."""
    source = sources[record.source]
    spelled = {"source_title": source.title, "source_url": source.url}
    flat = {**_filled(record), **spelled, "licence": source.licence, "licence_class": source.licence_class}
    ends = {"id", "subject", "object"}
    return {
        key: value if isinstance(value, int | float) else cell(value) for key, value in flat.items() if key not in ends
    }


def _filled(record: Node | Edge | Source) -> Json:
    """The fields that say something."""
    values = {column.name: getattr(record, column.name) for column in fields(record)}
    return {name: value for name, value in values.items() if value is not None and value != "" and value != ()}


# --- JSON-LD ------------------------------------------------------------------------------


def write_jsonld(tables: Tables, path: Path) -> None:
    """Nodes as SKOS concepts, edges as RDF statements that name their source, sources as creative works."""
    context: Json = json.loads(CONTEXT.read_text(encoding="utf-8"))["@context"]
    prefixes = {node.id.split(":", 1)[0] for node in tables.nodes} - context.keys()
    context |= {prefix: f"urn:dermiq:{prefix}:" for prefix in sorted(prefixes)}
    parents: dict[str, list[str]] = {}
    for edge in tables.edges:
        if edge.relation == "is_a":
            parents.setdefault(edge.subject, []).append(edge.object)
    graph = [
        *(_concept(node, parents.get(node.id, [])) for node in tables.nodes),
        *(_statement(edge) for edge in tables.edges),
        *(_work(source) for source in tables.sources),
    ]
    path.write_text(
        json.dumps({"@context": context, "@graph": graph}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def _concept(node: Node, parents: list[str]) -> Json:
    values = {**_filled(node), "type": ["skos:Concept", node.kind], "source": _source_id(node.source)}
    if node.codes:
        values["codes"] = [f"{system}={code}" for system, code in sorted(node.codes.items())]
    else:
        values.pop("codes")
    return values | ({"broader": parents} if parents else {})


def _statement(edge: Edge) -> Json:
    literal = edge.relation in LITERAL_RELATIONS
    return _filled(edge) | {
        "id": f"edge:{edge.id}",
        "type": ["rdf:Statement", "prov:Entity"],
        "object": edge.object if literal else {"id": edge.object},
        "source": _source_id(edge.source),
    }


def _work(source: Source) -> Json:
    return _filled(source) | {"id": _source_id(source.id), "type": "schema:CreativeWork"}


def _source_id(key: str) -> str:
    return f"source_id:{key}"


FORMATS: dict[str, Callable[[Tables, Path], None]] = {
    "graphml": write_graphml,
    "jsonld": write_jsonld,
    "tsv": write_tables,
}
