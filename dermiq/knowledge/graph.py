"""The graph in memory: nodes, facts, families and names. Knows neither model nor page."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from dermiq.errors import KnowledgeError
from dermiq.knowledge.language.text import words
from dermiq.knowledge.schema import (
    ANSWERS,
    LITERAL_RELATIONS,
    Edge,
    Name,
    Node,
    Tables,
    check_tables,
    only_licence,
    read_tables,
)
from dermiq.places import graph_tables
from dermiq.shipped import checked
from dermiq.types import CLASSES, Diagnosis, Fact, Source

FOLDER = graph_tables()
CLASS_NODES = {
    "akiec": "dermiq:akiec",
    "bcc": "MONDO:0005341",
    "bkl": "dermiq:bkl",
    "df": "MONDO:0006717",
    "mel": "MONDO:0005012",
    "nv": "MONDO:0005073",
    "vasc": "dermiq:vasc",
}
"""The one canonical node of each class. Three classes are groups; their facts stand at their members."""

PRINCIPAL = {"dermiq:bkl": "MONDO:0008420", "dermiq:akiec": "MONDO:0005173", "dermiq:vasc": "MONDO:0003110"}
"""The condition that is meant by a class of several where nothing was written of the class."""

ICD10 = re.compile(r"[A-TV-Z]\d[0-9A-Z]{1,5}")
"""A code of ICD-10 without its dot."""

FOR_OTHERS = frozenset({"B078", "D23", "L818"})
"""Codes for "other" conditions: what stands below them is not what carries them here."""

FEATURES = ("has_dermoscopic_feature", "has_sign")
"""Relations from a condition to what can be seen of it."""

NAMING_ORDER = (
    "Disease",
    "DermoscopicFeature",
    "Sign",
    "Symptom",
    "BodySite",
    "Treatment",
    "Test",
    "RiskFactor",
    "RedFlag",
    "Behaviour",
    "ReferralRule",
)
"""Whose name a surface is first of all: "phototherapy" is a treatment before it is a risk.

Measured findings have no names: "contrast" in a sentence is rarely the one that was measured.
"""


@dataclass(frozen=True)
class Numbers:
    """What an edge knows beyond its `Fact`."""

    qualifier: str
    probability: float | None
    lift: float | None
    checked: str


class Graph:
    """Facts by node, and the names that lead to nodes."""

    def __init__(self, tables: Tables) -> None:
        check_tables(tables)
        self.tables = tables
        self.sources: dict[str, Source] = {source.id: source for source in tables.sources}
        self._nodes: dict[str, Node] = {node.id: node for node in tables.nodes}
        missing = [key for key in CLASS_NODES.values() if key not in self._nodes]
        if missing:
            raise KnowledgeError(f"The graph lacks the nodes of these classes: {', '.join(missing)}; build it again.")
        self._facts: dict[str, Fact] = {}
        self._numbers: dict[str, Numbers] = {}
        self._from: dict[str, list[Fact]] = defaultdict(list)
        self._to: dict[str, list[Fact]] = defaultdict(list)
        for edge in tables.edges:
            self._add(edge)
        self._families: dict[str, tuple[str, ...]] = {}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._showing: dict[str, int] = {}

    @classmethod
    def load(cls, folder: Path | None = None, *, licence: str | None = None) -> Graph:
        """Read `kg_data`; `licence="open"` leaves out what may not be used freely (see `schema.only_licence`).

        One graph is shared by all of a process that ask for it while its files stay as they are: what is derived from
        it (names, words, embeddings) takes seconds to make.
        """
        folder = folder or FOLDER
        return _loaded(folder.resolve(), licence, _stamps(folder))

    def _add(self, edge: Edge) -> None:
        fact = Fact(
            id=edge.id,
            subject=edge.subject,
            relation=edge.relation,
            object=edge.object,
            text=edge.text,
            source=self.sources[edge.source],
            locator=edge.locator,
            polarity="absent" if edge.polarity == "absent" else "present",
            evidence_type=edge.evidence_type,
            n=edge.n,
            weight=_weight(edge),
        )
        self._facts[edge.id] = fact
        self._numbers[edge.id] = Numbers(edge.qualifier, edge.probability, edge.lift, edge.checked)
        if edge.relation == ANSWERS:
            return
        self._from[edge.subject].append(fact)
        if edge.relation not in LITERAL_RELATIONS:
            self._to[edge.object].append(fact)

    # --- nodes --------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.tables.nodes

    def node(self, node_id: str) -> Node:
        """KeyError where there is no such node."""
        return self._nodes[node_id]

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def find(self, name: str) -> Node | None:
        """The node whose name or synonym this is, in any spelling or number."""
        key = words(name)
        return self._nodes[self.names[key]] if key in self.names else None

    @cached_property
    def roles(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Compared words -> the nodes of that name, at most one a kind, in the order of `NAMING_ORDER`.

        Within a kind a name wins over a synonym, and what is fully described over what only holds the hierarchy.
        In running text a wide word ("eczema") means its node here; typed alone it is asked about, see `meanings`.
        """
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for kind in NAMING_ORDER:
            group = [node for node in self.nodes if node.kind == kind]
            group.sort(key=lambda node: (node.tier == 0, node.tier))
            named = [(name, node.id) for node in group for name in (node.name, node.plural)]
            named += [(name, node.id) for node in group for name in node.synonyms]
            for name, node_id in named:
                found.setdefault(words(name), {}).setdefault(kind, node_id)
        found.pop((), None)
        return {key: tuple(nodes.values()) for key, nodes in found.items()}

    @cached_property
    def meanings(self) -> dict[tuple[str, ...], tuple[Name, ...]]:
        """Compared words -> what they can mean, for names that mean several things or something without a card."""
        found: dict[tuple[str, ...], dict[tuple[str, str], Name]] = defaultdict(dict)
        for name in self.tables.names:
            found[words(name.name)].setdefault((name.node, name.node or name.meaning), name)
        told = {key: tuple(names.values()) for key, names in found.items()}
        return {key: names for key, names in told.items() if len(names) > 1 or not names[0].node}

    @cached_property
    def codes(self) -> dict[str, tuple[str, ...]]:
        """A code of any system, in capitals and without dots -> the conditions that carry it."""
        found: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes:
            if node.kind == "Disease":
                for code in {part for codes in node.codes.values() for part in codes.split("|")}:
                    found[plain_code(code)].append(node.id)
        return {code: tuple(nodes) for code, nodes in found.items()}

    @cached_property
    def names(self) -> dict[tuple[str, ...], str]:
        """Compared words -> the node that is meant unless something speaks for another of its `roles`."""
        return {key: nodes[0] for key, nodes in self.roles.items()}

    @cached_property
    def icd10(self) -> dict[str, tuple[str, ...]]:
        """ICD-10-CM codes, in capitals and without dots -> the conditions that carry them."""
        found: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes:
            if node.kind == "Disease" and "icd10cm" in node.codes:
                for code in node.codes["icd10cm"].split("|"):
                    found[plain_code(code)].append(node.id)
        return {code: tuple(nodes) for code, nodes in found.items()}

    def by_code(self, code: str) -> Node | None:
        """The condition that carries a code of any system, or the ICD-10 code nearest above it.

        Of several the one that is above all others; None where there is no such, or the code above is for "others".
        """
        plain = plain_code(code)
        if plain in self.codes:
            return self._widest(self.codes[plain])
        for end in range(len(plain) - 1, 2, -1):
            if plain[:end] in self.icd10 and ICD10.fullmatch(plain):
                return None if plain[:end] in FOR_OTHERS else self._widest(self.icd10[plain[:end]])
        return None

    def _widest(self, keys: tuple[str, ...]) -> Node | None:
        above = [key for key in keys if all(other in self.family(key) for other in keys)]
        return self._nodes[above[0]] if len(above) == 1 else None

    def class_node(self, code: str) -> str:
        """The node id of one of `types.CLASSES`; KeyError for anything else."""
        return CLASS_NODES[code]

    def class_code(self, node_id: str) -> str | None:
        """The class that a condition belongs to, if any."""
        return self._nodes[node_id].class_code or None

    def diagnosis(self, key: str) -> Diagnosis | None:
        """A condition by class code, node id, name, synonym or abbreviation."""
        if key in CLASSES:
            key = CLASS_NODES[key]
        node = self._nodes.get(key) or self.find(key)
        if node is None or node.kind != "Disease":
            return None
        return Diagnosis(id=node.id, name=node.name, code=node.class_code or None)

    # --- hierarchy ------------------------------------------------------------------------

    def family(self, node_id: str) -> tuple[str, ...]:
        """The node and everything below it: its facts may be said of the node as "some forms of it"."""
        if node_id not in self._families:
            self._families[node_id] = _reached(
                node_id, lambda key: (fact.subject for fact in self._to[key] if fact.relation == "is_a")
            )
        return self._families[node_id]

    def ancestors(self, node_id: str) -> tuple[str, ...]:
        """Everything above the node, nearest first."""
        if node_id not in self._ancestors:
            above = _reached(node_id, lambda key: (fact.object for fact in self._from[key] if fact.relation == "is_a"))
            self._ancestors[node_id] = above[1:]
        return self._ancestors[node_id]

    # --- facts ------------------------------------------------------------------------------

    @cached_property
    def all_facts(self) -> tuple[Fact, ...]:
        """Without what only answers to questions that are asked often rest on: see `answers`."""
        return tuple(fact for fact in self._facts.values() if fact.relation != ANSWERS)

    @cached_property
    def answers(self) -> tuple[Fact, ...]:
        """What those answers rest on: quoted with them, and found by their ids alone."""
        return tuple(fact for fact in self._facts.values() if fact.relation == ANSWERS)

    def fact(self, fact_id: str) -> Fact:
        """KeyError where there is no such fact."""
        return self._facts[fact_id]

    def facts(self, node_id: str, relation: str | None = None, *, family: bool = False) -> tuple[Fact, ...]:
        """The facts that start at a node, or, with `family`, at it and everything below it."""
        starts: Iterable[str] = self.family(node_id) if family else (node_id,)
        return tuple(
            fact for start in starts for fact in self._from[start] if relation is None or fact.relation == relation
        )

    def facts_about(self, node_id: str) -> tuple[Fact, ...]:
        """The facts that start or end at a node."""
        return (*self._from[node_id], *self._to[node_id])

    def showing(self, feature_id: str) -> int:
        """How many classes, or conditions of no class, are known to show a feature."""
        if feature_id not in self._showing:
            shown = {
                fact.subject
                for fact in self._to[feature_id]
                if fact.relation in FEATURES and fact.polarity == "present" and not self.is_pitfall(fact)
            }
            self._showing[feature_id] = len({self.class_code(key) or key for key in shown})
        return self._showing[feature_id]

    def numbers(self, fact_id: str) -> Numbers:
        return self._numbers[fact_id]

    def is_pitfall(self, fact: Fact) -> bool:
        """Whether the fact says that a sign of something else can also occur here."""
        return self._numbers[fact.id].qualifier == "mimic"


def plain_code(code: str) -> str:
    """'l57.0' -> 'L570'."""
    return code.strip().upper().replace(".", "")


def _reached(start: str, steps: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """The start and everything that steps lead to, nearest first, each once."""
    found = {start: None}
    waiting = deque(found)
    while waiting:
        for key in steps(waiting.popleft()):
            if key not in found:
                found[key] = None
                waiting.append(key)
    return tuple(found)


def _weight(edge: Edge) -> float | None:
    """The number that says most of the edge, if it has any."""
    numbers = (edge.lift, edge.likelihood_ratio, edge.probability)
    return next((number for number in numbers if number is not None), None)


def _stamps(folder: Path) -> tuple[tuple[int, int], ...]:
    """By which a change of the files is noticed."""
    files = [folder / f"{name}.tsv" for name in ("nodes", "edges", "sources", "names")]
    return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())


@lru_cache(maxsize=2)
def _loaded(folder: Path, licence: str | None, stamps: tuple[tuple[int, int], ...]) -> Graph:
    for name in ("nodes", "edges", "sources"):
        checked(folder / f"{name}.tsv")
    tables = read_tables(folder)
    return Graph(tables if licence is None else only_licence(tables, licence))
