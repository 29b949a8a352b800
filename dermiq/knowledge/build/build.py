"""The tables of the graph from their sources: in which order everything is added, and what they hold, in words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dermiq.errors import KnowledgeError
from dermiq.knowledge.build.assemble import Assembler, read_conditions
from dermiq.knowledge.build.atlas import add_atlas
from dermiq.knowledge.build.derived import add_derived
from dermiq.knowledge.build.naming import add_names
from dermiq.knowledge.build.readers import SOURCE, add_readers, by_label, left_out
from dermiq.knowledge.build.rules import add_referral
from dermiq.knowledge.schema import CODE_SYSTEMS, LICENCE_CLASSES, Tables, check_tables, only_licence
from dermiq.places import ROOT

COVERAGE = (
    "has_dermoscopic_feature",
    "has_sign",
    "has_symptom",
    "look_alike",
    "behaves_as",
    "risk_level",
    "located_at",
    "risk_factor",
    "diagnosed_by",
    "treated_by",
    "red_flag",
    "refer_if",
    "coded_as",
)

CODE_NAMES = {
    "doid": "the Disease Ontology",
    "icd10cm": "ICD-10-CM",
    "mesh": "MeSH",
    "sctid": "SNOMED CT",
    "umls": "UMLS",
}


def sources_folder() -> Path:
    """DERMIQ_KG_SOURCES, or the folder that lies beside the repository."""
    named = os.environ.get("DERMIQ_KG_SOURCES")
    return Path(named) if named else ROOT.parent / "shared" / "kg_sources"


def build(sources: Path, *, curated: Path, derived: Path, licence: str = LICENCE_CLASSES[-1]) -> Tables:
    """Assemble and judge the tables, with sources as free as `licence`.

    KnowledgeError where they contradict the schema.
    """
    if not sources.is_dir():
        raise KnowledgeError(f"There is no sources folder at {sources}; name it with --sources or DERMIQ_KG_SOURCES.")
    tables = only_licence(_assembled(Assembler(sources, curated, derived)), licence)
    check_tables(tables)
    return tables


def _assembled(graph: Assembler) -> Tables:
    graph.add_conditions()
    add_readers(graph)
    graph.add_facts()
    add_referral(graph)
    add_atlas(graph)
    add_derived(graph)
    return graph.tables(add_names(graph))


def report(tables: Tables, curated: Path) -> str:
    """What the graph holds, in words and two tables, and which labels of the reader study it leaves out."""
    licences = {source.id: source.licence_class for source in tables.sources}
    parts = [
        f"{len(tables.nodes)} nodes, {len(tables.edges)} edges, {len(tables.sources)} sources",
        "nodes     " + _counts(node.kind for node in tables.nodes),
        "edges     " + _counts(edge.relation for edge in tables.edges),
        "evidence  " + _counts(edge.evidence_type for edge in tables.edges),
        "licence   " + _counts(licences[edge.source] for edge in tables.edges),
        "",
        coverage(tables),
        "",
        reader_coverage(tables, curated),
        *(f"left out: {label} ({reason})" for label, reason in left_out(curated).items()),
    ]
    return "\n".join(parts)


def _counts(values: Iterable[str]) -> str:
    counted = Counter(values)
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def coverage(tables: Tables) -> str:
    """Conditions of tier 1 x fact types, as a Markdown table; subtypes count for the condition above them."""
    parents: dict[str, set[str]] = {}
    for edge in tables.edges:
        if edge.relation == "is_a":
            parents.setdefault(edge.object, set()).add(edge.subject)
    lines = [
        "| condition | class | " + " | ".join(name.replace("has_", "") for name in COVERAGE) + " |",
        "|---|---|" + "---:|" * len(COVERAGE),
    ]
    for node in tables.nodes:
        if node.kind == "Disease" and node.tier == 1:
            family = _below(node.id, parents)
            found = Counter(edge.relation for edge in tables.edges if edge.subject in family)
            numbers = " | ".join(str(found[name]) for name in COVERAGE)
            lines.append(f"| {node.name} | {node.class_code or '-'} | {numbers} |")
    return "\n".join(lines)


def reader_coverage(tables: Tables, curated: Path) -> str:
    """How many labels of the reader study have what, as a Markdown table; each label counts as its condition's node."""
    nodes = {node.id: node for node in tables.nodes}
    meant = {label: nodes[condition.id] for label, condition in by_label(read_conditions(curated)).items()}
    total = len(meant) + len(left_out(curated))
    compared = {edge.subject for edge in tables.edges if edge.source == SOURCE and edge.relation == "look_alike"}
    started = {relation: {e.subject for e in tables.edges if e.relation == relation} for relation in COVERAGE}
    placed = {edge.subject for edge in tables.edges if edge.relation == "is_a"}
    found = {
        "that a condition stands for": len(meant),
        "with a condition above it": sum(node.id in placed for node in meant.values()),
        "with a risk level": sum(node.id in started["risk_level"] for node in meant.values()),
        "with look-alikes that readers named": sum(node.id in compared for node in meant.values()),
        "with a code of any system": sum(bool(node.codes) for node in meant.values()),
        **{f"with a code of {CODE_NAMES[key]}": sum(key in n.codes for n in meant.values()) for key in CODE_SYSTEMS},
        **{
            f"with {name.replace('has_', '').replace('_', ' ')}": sum(n.id in started[name] for n in meant.values())
            for name in ("has_sign", "diagnosed_by", "treated_by", "red_flag", "refer_if")
        },
    }
    lines = [f"| labels of the reader study | of {total} |", "|---|---:|"]
    return "\n".join(lines + [f"| {name} | {count} |" for name, count in found.items()])


def _below(key: str, children: dict[str, set[str]]) -> set[str]:
    found, waiting = {key}, [key]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
