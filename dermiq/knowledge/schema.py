"""The graph's tables: what a node, an edge and a source are, how they are written, read and judged.

Knows the files of `kg_data` and nothing of how they were made or are used.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from dermiq.errors import KnowledgeError
from dermiq.knowledge.addresses import refused
from dermiq.shipped import seal
from dermiq.types import Source

KINDS = (
    "Disease",
    "DermoscopicFeature",
    "Sign",
    "Symptom",
    "BodySite",
    "RiskFactor",
    "Test",
    "Treatment",
    "RedFlag",
    "Behaviour",
    "ReferralRule",
    "Finding",
)
RELATIONS = (
    "is_a",
    "behaves_as",
    "risk_level",
    "coded_as",
    "has_dermoscopic_feature",
    "has_sign",
    "has_symptom",
    "look_alike",
    "located_at",
    "risk_factor",
    "diagnosed_by",
    "treated_by",
    "red_flag",
    "refer_if",
    "likelihood_ratio_for",
)
ANSWERS = "answers"
"""What an answer to a question that is asked often rests on. It is quoted with that answer, and neither retrieved nor
asked by the claim check, so that it is none of `RELATIONS`."""
LITERAL_RELATIONS = frozenset({"coded_as", "risk_level", ANSWERS})
"""Relations whose object is a literal, not a node."""

LICENCE_CLASSES = ("open", "non-commercial", "research")
"""From the freest on; each layer of the graph may be used together with those before it."""

EVIDENCE_TYPES = ("curated", "label", "reader study", "derived statistic", "ontology", "guideline")
CODE_SYSTEMS = ("doid", "icd10cm", "mesh", "sctid", "umls")


@dataclass(frozen=True)
class Node:
    id: str
    kind: str
    name: str
    plural: str = ""
    synonyms: tuple[str, ...] = ()
    class_code: str = ""  # one of types.CLASSES, "" where it belongs to none
    tier: int = 0  # 1: fully covered, 2: subtype or look-alike, 0: backbone only
    codes: Mapping[str, str] = field(default_factory=dict)  # system -> code, "|" between several
    source: str = ""


@dataclass(frozen=True)
class Edge:
    """One fact as it is stored.

    `probability` is a share of cases, `lift` that share over the average one. `likelihood_ratio` is that share over
    the share among all other cases, with its 95 % interval from `low` to `high`.
    """

    id: str
    subject: str
    relation: str
    object: str
    polarity: str
    qualifier: str  # "mimic", "on the face", "urgent", ...
    text: str
    source: str
    locator: str
    evidence_type: str
    n: int | None = None
    probability: float | None = None
    lift: float | None = None
    likelihood_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    checked: str = ""  # who and when


@dataclass(frozen=True)
class Name:
    """A name that people write, what it means, and who says so.

    A name with one row is a name of its node. One with several rows, or with none that has a node, means nothing by
    itself: whoever writes it is asked back.
    """

    name: str
    node: str  # "" where the graph has no card for what is meant
    meaning: str
    source: str


@dataclass(frozen=True)
class Tables:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    sources: tuple[Source, ...]
    names: tuple[Name, ...] = ()


def edge_id(subject: str, relation: str, target: str, *, polarity: str, qualifier: str, source: str) -> str:
    """An id that stays the same when the graph is built again."""
    key = "\t".join((subject, relation, target, polarity, qualifier, source))
    return "E" + hashlib.sha256(key.encode()).hexdigest()[:10]


# --- files ------------------------------------------------------------------------------


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a TSV with their line numbers; lines that start with # are comments."""
    if not path.is_file():
        raise KnowledgeError(f"The knowledge file {path.name} is missing from {path.parent}; build it again.")
    lines = [
        (number, line.rstrip("\n"))
        for number, line in enumerate(_text(path).split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise KnowledgeError(f"The knowledge file {path.name} is empty: restore it, or build the graph again.")
    header = lines[0][1].split("\t")
    rows = []
    for number, line in lines[1:]:
        cells = line.split("\t")
        if len(cells) > len(header):
            raise KnowledgeError(f"{path.name}, line {number}: {len(cells)} cells where {len(header)} are named.")
        cells += [""] * (len(header) - len(cells))
        rows.append((number, dict(zip(header, cells, strict=True))))
    return rows


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KnowledgeError(f"The knowledge file {path.name} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        raise KnowledgeError(
            f"{path.name}, line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}): save the file as UTF-8.",
            detail=repr(error),
        ) from error


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(columns)
        writer.writerows(rows)


def cell(value: object) -> str:
    """A value as a table holds it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "|".join(value)
    if isinstance(value, Mapping):
        return ";".join(f"{key}={value[key]}" for key in sorted(value))
    return str(value)


def _columns(record: type) -> tuple[str, ...]:
    return tuple(column.name for column in fields(record))


def write_tables(tables: Tables, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    named: tuple[tuple[str, type, Sequence[Any]], ...] = (
        ("nodes", Node, tables.nodes),
        ("edges", Edge, tables.edges),
        ("sources", Source, tables.sources),
        ("names", Name, tables.names),
    )
    for name, record, records in named:
        columns = _columns(record)
        rows = [[cell(getattr(item, column)) for column in columns] for item in records]
        _write(folder / f"{name}.tsv", columns, rows)
    seal(folder)


Record = TypeVar("Record")


def _parse(path: Path, make: Callable[[dict[str, str]], Record]) -> tuple[Record, ...]:
    records = []
    for number, row in read_rows(path):
        try:
            records.append(make(row))
        except (KeyError, ValueError, TypeError) as error:
            raise KnowledgeError(
                f"{path.name}, line {number} cannot be read; build the graph again.", detail=repr(error)
            ) from error
    return tuple(records)


def _node(row: dict[str, str]) -> Node:
    return Node(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        plural=row["plural"],
        synonyms=tuple(row["synonyms"].split("|")) if row["synonyms"] else (),
        class_code=row["class_code"],
        tier=int(row["tier"]),
        codes=dict(part.split("=", 1) for part in row["codes"].split(";")) if row["codes"] else {},
        source=row["source"],
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _edge(row: dict[str, str]) -> Edge:
    numbers: dict[str, Any] = {
        "n": int(row["n"]) if row["n"] else None,
        "probability": _number(row["probability"]),
        **{name: _number(row[name]) for name in ("lift", "likelihood_ratio", "low", "high")},
    }
    return Edge(**{**row, **numbers})


def _source(row: dict[str, str]) -> Source:
    values: dict[str, Any] = dict(row)
    return Source(**values)


def read_tables(folder: Path) -> Tables:
    return Tables(
        nodes=_parse(folder / "nodes.tsv", _node),
        edges=_parse(folder / "edges.tsv", _edge),
        sources=_parse(folder / "sources.tsv", _source),
        names=_parse(folder / "names.tsv", lambda row: Name(**row)),
    )


# --- licences ---------------------------------------------------------------------------


def only_licence(tables: Tables, licence: str) -> Tables:
    """The tables as they are where no source is less free than `licence`, one of `LICENCE_CLASSES`.

    Edges of other sources go, and with them the nodes that only they spoke of and the sources that nothing
    cites any more. KnowledgeError for an unknown class.
    """
    if licence not in LICENCE_CLASSES:
        raise KnowledgeError(f"There is no licence class {licence!r}; choose one of {', '.join(LICENCE_CLASSES)}.")
    allowed = LICENCE_CLASSES[: LICENCE_CLASSES.index(licence) + 1]
    free = {source.id for source in tables.sources if source.licence_class in allowed}
    edges = tuple(edge for edge in tables.edges if edge.source in free)
    orphans = _touched(tables.edges) - _touched(edges)
    nodes = tuple(node for node in tables.nodes if node.source in free and node.id not in orphans)
    kept = {node.id for node in nodes} | {""}
    names = tuple(name for name in tables.names if name.source in free and name.node in kept)
    cited = {edge.source for edge in edges} | {node.source for node in nodes} | {name.source for name in names}
    sources = tuple(source for source in tables.sources if source.id in cited)
    return Tables(nodes=nodes, edges=edges, sources=sources, names=names)


def _touched(edges: Iterable[Edge]) -> set[str]:
    """What any of the edges starts or ends at."""
    return {end for edge in edges for end in (edge.subject, edge.object)}


# --- judgement --------------------------------------------------------------------------


def problems(tables: Tables) -> list[str]:
    """Everything that is wrong with the tables, one sentence each."""
    found = _node_problems(tables)
    nodes = {node.id for node in tables.nodes}
    sources = {source.id: source for source in tables.sources}
    for edge in tables.edges:
        found += _edge_problems(edge, nodes=nodes, sources=sources)
    for name in tables.names:
        if name.node and name.node not in nodes:
            found.append(f"The name {name.name!r} means {name.node}, which is no node.")
        if name.source not in sources:
            found.append(f"The name {name.name!r} cites the source {name.source!r}, which is not listed.")
    for source in tables.sources:
        if reason := refused(source.url):
            found.append(f"Source {source.id} stands at {reason}, {source.url}: give the publisher's address or a DOI.")
        if not source.licence or source.licence_class not in LICENCE_CLASSES:
            found.append(f"Source {source.id} has no licence, or its class is none of {', '.join(LICENCE_CLASSES)}.")
    for key, count in Counter(edge.id for edge in tables.edges).items():
        if count > 1:
            found.append(f"Edge {key} is there {count} times.")
    cycle = _is_a_cycle(tables.edges)
    if cycle:
        found.append(f"is_a goes in a circle: {' -> '.join(cycle)}.")
    return found


def _node_problems(tables: Tables) -> list[str]:
    found = [f"Node {node.id} is there {count} times." for node, count in _repeated(tables.nodes)]
    for node in tables.nodes:
        if node.kind not in KINDS:
            found.append(f"Node {node.id} has the unknown kind {node.kind!r}.")
        if not node.name:
            found.append(f"Node {node.id} has no name.")
    return found


def _repeated(nodes: Sequence[Node]) -> list[tuple[Node, int]]:
    counts = Counter(node.id for node in nodes)
    first = {node.id: node for node in reversed(nodes)}
    return [(first[key], count) for key, count in counts.items() if count > 1]


def _edge_problems(edge: Edge, *, nodes: set[str], sources: Mapping[str, Source]) -> list[str]:
    found = []
    if edge.subject not in nodes:
        found.append(f"Edge {edge.id} starts at {edge.subject}, which is no node.")
    if edge.relation not in LITERAL_RELATIONS and edge.object not in nodes:
        found.append(f"Edge {edge.id} ends at {edge.object}, which is no node.")
    if edge.relation not in (*RELATIONS, ANSWERS):
        found.append(f"Edge {edge.id} has the unknown relation {edge.relation!r}.")
    if edge.source not in sources:
        found.append(f"Edge {edge.id} cites the source {edge.source!r}, which is not listed.")
    for address in re.findall(r"https?://\S+", edge.locator):
        if reason := refused(address):
            found.append(f"Edge {edge.id} names {reason}, {address}: give the publisher's address or a DOI.")
    if not edge.locator:
        found.append(f"Edge {edge.id} does not say where in {edge.source} it stands.")
    if edge.polarity not in ("present", "absent"):
        found.append(f"Edge {edge.id} has the polarity {edge.polarity!r}; present or absent would be right.")
    if edge.evidence_type not in EVIDENCE_TYPES:
        found.append(f"Edge {edge.id} has the unknown evidence type {edge.evidence_type!r}.")
    ratio = (edge.low, edge.likelihood_ratio, edge.high)
    if any(value is not None for value in ratio) and not 0 < (ratio[0] or 0) < (ratio[1] or 0) < (ratio[2] or 0):
        found.append(f"Edge {edge.id} has a likelihood ratio that does not lie inside its interval.")
    if not edge.text.endswith("."):
        found.append(f"Edge {edge.id} has no sentence.")
    return found


def _is_a_cycle(edges: Iterable[Edge]) -> list[str]:
    """One circle in the hierarchy, or nothing."""
    parents: dict[str, list[str]] = {}
    for edge in edges:
        if edge.relation == "is_a":
            parents.setdefault(edge.subject, []).append(edge.object)
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for parent in parents.get(node, ()):
            cycle = walk(parent, [*path, node])
            if cycle:
                return cycle
        done.add(node)
        return []

    for start in parents:
        cycle = walk(start, [])
        if cycle:
            return cycle
    return []


def check_tables(tables: Tables) -> None:
    """Raise KnowledgeError where the tables contradict their schema."""
    found = problems(tables)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise KnowledgeError(f"The knowledge graph contradicts its schema: {found[0]}{more}", detail="\n".join(found))
