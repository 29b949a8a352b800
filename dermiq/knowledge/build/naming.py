"""Names that people write, from `curated/names.tsv`, and names of conditions of which the graph has no card.

A name with one meaning becomes a synonym of its node. One with several is no name at all: who writes it is asked back.
What MONDO and ICD-10-CM call something else is kept, so that no part of it is taken for a condition that is here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from dermiq.errors import KnowledgeError
from dermiq.knowledge.build.assemble import Assembler
from dermiq.knowledge.language.text import words
from dermiq.knowledge.schema import Name, Node, read_rows

LONGEST_NAME = 4  # words; longer names of other conditions are sentences
NO_NAME = re.compile(
    r"[(),\[\]:;/0-9+]|\b(?:NOS|NEC|other|unspecified|with|without|disorder|susceptibility|and|or)\b", re.I
)


def add_names(graph: Assembler) -> tuple[Name, ...]:
    """Every name of the curated table, its synonyms given to the nodes, and the names of what has no card."""
    curated = tuple(_curated(graph))
    means: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name in curated:
        means[words(name.name)].add(name.node or name.meaning)
    for name in curated:
        if name.node and len(means[words(name.name)]) == 1:
            graph.nodes[name.node] = _called(graph.nodes[name.node], name.name)
    known = {words(text) for node in graph.nodes.values() for text in (node.name, node.plural, *node.synonyms)}
    known |= set(means)
    strangers = {words(name.name): name for name in reversed([*_of_mondo(graph), *_of_icd10(graph)])}
    others = sorted((name for key, name in strangers.items() if key not in known), key=lambda name: name.name.lower())
    return (*curated, *others)


def _called(node: Node, name: str) -> Node:
    if words(name) in map(words, (node.name, *node.synonyms)):
        return node
    return replace(node, synonyms=(*node.synonyms, name))


def _curated(graph: Assembler) -> Iterator[Name]:
    for number, row in read_rows(graph.curated / "names.tsv"):
        if row["node"] and row["node"] not in graph.nodes:
            raise KnowledgeError(f"names.tsv, line {number}: {row['node']} is no node; correct it or leave it empty.")
        if not row["node"] and not row["meaning"]:
            raise KnowledgeError(f"names.tsv, line {number}: {row['name']!r} has neither a node nor a meaning.")
        meaning = graph.nodes[row["node"]].name if row["node"] else row["meaning"]
        yield Name(row["name"], row["node"], meaning, row["source"])


def _of_mondo(graph: Assembler) -> Iterator[Name]:
    """Names of the terms that are no node, unless they are a kind of the node whose name is a part of them."""
    merged = {old: condition.id for condition in graph.conditions for old in condition.many("merge")}
    called = {words(text): node.id for node in graph.nodes.values() for text in (node.name, *node.synonyms)}
    for key, (_, row) in graph.mondo.items():
        if key in graph.nodes or key in merged:
            continue
        above = _above(graph, key, merged)
        for text in (row["name"], *row["synonyms"].split("|")):
            line = words(text)
            parts = {called[line[a:b]] for b in range(1, len(line) + 1) for a in range(b) if line[a:b] in called}
            if _is_name(text) and not parts & above:
                yield Name(text, "", row["name"], "mondo")


def _above(graph: Assembler, key: str, merged: dict[str, str]) -> set[str]:
    found: set[str] = set()
    waiting = [key]
    while waiting:
        _, row = graph.mondo.get(waiting.pop(), (0, {"parents": ""}))
        for parent in row["parents"].split("|"):
            if parent and merged.get(parent, parent) not in found:
                found.add(merged.get(parent, parent))
                waiting.append(parent)
    return found


def _of_icd10(graph: Assembler) -> Iterator[Name]:
    """What ICD-10-CM lists under codes that no condition of the graph carries, nor a code above them."""
    carried = {code for node in graph.nodes.values() for code in node.codes.get("icd10cm", "").split("|") if code}
    for _, row in graph.rows("icd10cm_skin.tsv"):
        code = row["code"]
        if not any(code[:end] in carried for end in range(3, len(code) + 1)):
            for text in row["inclusion_terms"].split("|"):
                if _is_name(text):
                    yield Name(text, "", text[:1].lower() + text[1:], "icd10cm")


def _is_name(text: str) -> bool:
    return 0 < len(words(text)) <= LONGEST_NAME and len(text) > LONGEST_NAME and not NO_NAME.search(text)
