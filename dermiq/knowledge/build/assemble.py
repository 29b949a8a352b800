"""Sources and curated tables -> nodes, edges and sources. Deterministic: same files in, same tables out.

`kg_data/curated/conditions.tsv` says which conditions there are and how each source names them,
`features.tsv` does the same for dermoscopic features and signs, `facts.tsv` holds facts read by hand,
`sources.tsv` what is cited. `kg_data/derived/` holds what was counted on our own training split.
Knows the files' formats and none of the modules beside it that add more; writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dermiq.errors import KnowledgeError
from dermiq.knowledge.addresses import refused
from dermiq.knowledge.build import sentences
from dermiq.knowledge.schema import ANSWERS, CODE_SYSTEMS, LICENCE_CLASSES, Edge, Name, Node, Tables, edge_id, read_rows
from dermiq.types import Source

NO_BACKBONE = frozenset({"MONDO:0100118", "MONDO:0000653", "MONDO:0000652", "MONDO:0021154"})
"""Parents left out: "hereditary" groups that MONDO puts over everyday tumours, and near-duplicates of others."""

ALL = "*"
"""In `drop_synonyms` or `drop_parents`: none of MONDO's, only our own."""

DO_SYSTEMS = {"MESH": "mesh", "SNOMEDCT_US": "sctid", "UMLS_CUI": "umls", "ICD10CM": "icd10cm"}
"""How the Disease Ontology names the code systems that a node keeps."""

BEHAVIOURS = {"Benign": "benign", "Indeterminate": "indeterminate", "Malignant": "malignant"}
BEHAVIOUR_SYNONYMS = {
    "benign": (
        "harmless",
        "non-cancerous",
        "noncancerous",
        "not cancer",
        "non-malignant",
        "nonmalignant",
        "not malignant",
    ),
    "malignant": ("cancerous", "a cancer", "a skin cancer", "malignancy", "cancer", "skin cancer"),
    "indeterminate": ("premalignant", "precancerous", "a precancer", "precancer", "precancerous lesion"),
}

FIRST_LINE = re.compile(
    r"^first line|\bfirst (?:line|choice)\b[^;.]*:|\(first line\)|\btreatment of choice|\bas first-line"
    r"|\b(?:is|are)\b[^.;]{0,40}\bfirst[- ](?:line|choice|treatment)",
    re.IGNORECASE,
)
"""Says that a treatment is used first: "First line: ...", "... is first line"."""


@dataclass(frozen=True)
class Condition:
    """One row of `conditions.tsv`."""

    id: str
    name: str
    plural: str
    class_code: str
    tier: int
    row: dict[str, str]

    def many(self, column: str) -> list[str]:
        return [part for part in self.row[column].split("|") if part]


class Assembler:
    """Collects nodes, edges and sources. `build` says in which order they are added; of equal edges the first stays."""

    def __init__(self, sources: Path, curated: Path, derived: Path) -> None:
        self.folder = sources
        self.curated = curated
        self.derived = derived
        self.nodes: dict[str, Node] = {}
        self.edges: dict[str, Edge] = {}
        self._said: set[tuple[str, ...]] = set()
        self.sources: dict[str, Source] = {}
        self.conditions = read_conditions(curated)
        self.features = [row for _, row in read_rows(curated / "features.tsv")]
        self.mondo = {row["mondo_id"]: (number, row) for number, row in self.rows("mondo_skin.tsv")}

    def rows(self, name: str) -> list[tuple[int, dict[str, str]]]:
        return read_rows(self.folder / name)

    def add_conditions(self) -> None:
        """Conditions and features as nodes, with what ontologies say of them."""
        self._load_sources()
        self._add_condition_nodes()
        self._add_feature_nodes()
        self._add_hierarchy()
        self._add_codes()
        self._add_behaviour()

    def add_facts(self) -> None:
        """What the literature and the curated table say of them."""
        self._add_literature()
        self._add_curated_facts()
        self._add_answers()

    def tables(self, names: tuple[Name, ...]) -> Tables:
        """What was collected, with `names`, in a fixed order and without the sources that nothing cites."""
        used = {edge.source for edge in self.edges.values()} | {node.source for node in self.nodes.values()}
        used |= {name.source for name in names}
        return Tables(
            nodes=tuple(sorted(self.nodes.values(), key=lambda node: (node.kind, node.id))),
            edges=tuple(sorted(self.edges.values(), key=_edge_order)),
            sources=tuple(source for key, source in sorted(self.sources.items()) if key in used),
            names=names,
        )

    def add_edge(
        self, subject: str, relation: str, target: str, *, text: str, source: str, locator: str, **rest: Any
    ) -> None:
        """Add one edge; what one source, or two equally free ones in the same words, state is kept once, the first."""
        polarity = str(rest.pop("polarity", "present"))
        qualifier = str(rest.pop("qualifier", ""))
        key = edge_id(subject, relation, target, polarity=polarity, qualifier=qualifier, source=source)
        edge = Edge(
            id=key,
            subject=subject,
            relation=relation,
            object=target,
            polarity=polarity,
            qualifier=qualifier,
            text=text,
            source=source,
            locator=locator,
            **rest,
        )
        if source not in self.sources:
            raise KnowledgeError(f"The source {source!r} of {text!r} is not listed: add it to sources.tsv.")
        licence = self.sources[source].licence_class
        said = (subject, relation, target, polarity, qualifier, text, licence)
        if said not in self._said:
            self._said.add(said)
            self.edges.setdefault(key, edge)

    # --- nodes --------------------------------------------------------------------------

    def _load_sources(self) -> None:
        for folder in (self.curated, self.derived):
            for number, row in read_rows(folder / "sources.tsv"):
                if row["licence_class"] not in LICENCE_CLASSES:  # a build by licence would leave it out silently
                    known = ", ".join(LICENCE_CLASSES)
                    raise KnowledgeError(
                        f"sources.tsv, line {number}: the licence class is {row['licence_class']!r}, none of {known}."
                    )
                values: dict[str, Any] = row
                self.sources[row["id"]] = Source(**values)

    def _add_condition_nodes(self) -> None:
        for condition in self.conditions:
            codes, source = self._codes_of(condition)
            self.nodes[condition.id] = Node(
                id=condition.id,
                kind="Disease",
                name=condition.name,
                plural=condition.plural,
                synonyms=self._synonyms(condition),
                class_code=condition.class_code,
                tier=condition.tier,
                codes={system: _bare(code) for system, code in codes.items() if code},
                source=source,
            )

    def _codes_of(self, condition: Condition) -> tuple[dict[str, str], str]:
        """Codes by system, and whose they are: MONDO's term, the Disease Ontology's or our table's."""
        codes, source = {}, "curated"
        if condition.id in self.mondo:
            codes, source = {system: self.mondo[condition.id][1][system] for system in CODE_SYSTEMS}, "mondo"
        elif condition.row["doid"]:
            codes, source = self._disease_ontology[condition.row["doid"]], "do"
        if condition.row["icd10"]:
            codes = codes | {"icd10cm": condition.row["icd10"]}
        return codes, source

    @cached_property
    def _disease_ontology(self) -> dict[str, dict[str, str]]:
        """DOID -> codes by system, the first of each."""
        found: dict[str, dict[str, str]] = {}
        with (self.folder / "do_skin_terms.jsonl").open(encoding="utf-8") as lines:
            for term in map(json.loads, lines):
                if "id" in term:
                    codes = {DO_SYSTEMS.get(code.split(":")[0], ""): code for code in reversed(term["xrefs"])}
                    found[term["id"]] = {system: code for system, code in codes.items() if system} | {
                        "doid": term["id"]
                    }
        return found

    def _synonyms(self, condition: Condition) -> tuple[str, ...]:
        """Our table's and, unless it drops all of them, MONDO's."""
        synonyms, drop = condition.many("synonyms"), condition.many("drop_synonyms")
        for key in () if ALL in drop else (condition.id, *condition.many("merge")):
            _, row = self.mondo.get(key, (0, {"synonyms": "", "name": ""}))
            synonyms += [row["name"], *row["synonyms"].split("|")]
        return _clean(synonyms, drop=drop, name=condition.name)

    def _add_feature_nodes(self) -> None:
        for row in self.features:
            self.nodes[row["id"]] = Node(
                id=row["id"],
                kind=row["kind"],
                name=row["name"],
                synonyms=tuple(part for part in row["synonyms"].split("|") if part),
                codes={"isic": row["isic"]} if row["isic"] else {},
                source="isic-terms" if row["isic"] else "curated",
            )
        for word, synonyms in BEHAVIOUR_SYNONYMS.items():
            self.nodes[f"behaviour:{word}"] = Node(
                id=f"behaviour:{word}", kind="Behaviour", name=word, synonyms=synonyms, source="isic-diagnosis"
            )

    # --- hierarchy, codes, behaviour, risk ------------------------------------------------

    def _add_hierarchy(self) -> None:
        merged = {old: condition.id for condition in self.conditions for old in condition.many("merge")}
        waiting = []
        for condition in self.conditions:
            for parent in condition.many("parents"):
                self._is_a(condition.id, parent, source="curated", locator=f"conditions.tsv: {condition.id}")
                waiting.append(parent)
            dropped = set(condition.many("drop_parents")) | NO_BACKBONE
            if ALL not in dropped:
                waiting += self._mondo_parents(condition.id, dropped=dropped, merged=merged)
        seen = {condition.id for condition in self.conditions}
        while waiting:
            key = waiting.pop(0)
            if key not in seen and key in self.mondo:
                seen.add(key)
                waiting += self._mondo_parents(key, dropped=set(NO_BACKBONE), merged=merged)
        for row in self.features:
            if row["parent"]:
                self._is_a(row["id"], row["parent"], source="curated", locator=f"features.tsv: {row['id']}")

    def _mondo_parents(self, key: str, *, dropped: set[str], merged: dict[str, str]) -> list[str]:
        if key not in self.mondo:
            return []
        _, row = self.mondo[key]
        if key not in self.nodes:
            self.nodes[key] = Node(id=key, kind="Disease", name=row["name"], source="mondo", tier=0)
        parents = []
        for raw in row["parents"].split("|"):
            parent = merged.get(raw, raw)
            if parent in self.mondo and parent != key and parent not in dropped and raw not in dropped:
                self._is_a(key, parent, source="mondo", locator=f"term {key}")
                parents.append(parent)
        return parents

    def _is_a(self, child: str, parent: str, *, source: str, locator: str) -> None:
        if parent not in self.nodes:
            if parent not in self.mondo:
                raise KnowledgeError(f"{child} has the parent {parent}, which no table names.")
            name = self.mondo[parent][1]["name"]
            self.nodes[parent] = Node(id=parent, kind="Disease", name=name, source="mondo")
        upper = self.nodes[parent]
        text = sentences.kind_of(
            self.nodes[child].name,
            upper.name,
            parent_plural=upper.plural,
            is_group=parent in ("dermiq:bkl", "dermiq:vasc") or (upper.tier == 0 and upper.source == "curated"),
        )
        self.add_edge(child, "is_a", parent, text=text, source=source, locator=locator, evidence_type="ontology")

    def _add_codes(self) -> None:
        icd = {row["code"]: number for number, row in self.rows("icd10cm_skin.tsv")}
        for condition in self.conditions:
            codes = self.nodes[condition.id].codes
            if codes.get("icd10cm") in icd:
                code = codes["icd10cm"]
                text = sentences.coded(condition.name, "ICD-10-CM", code)
                self.add_edge(
                    condition.id,
                    "coded_as",
                    f"ICD-10-CM {code}",
                    text=text,
                    source="icd10cm",
                    locator=f"code {code}, row {icd[code]}",
                    evidence_type="ontology",
                )
            if "sctid" in codes and condition.tier == 1:
                text = sentences.coded(condition.name, "SNOMED CT", codes["sctid"])
                self.add_edge(
                    condition.id,
                    "coded_as",
                    f"SNOMED CT {codes['sctid']}",
                    text=text,
                    source="mondo",
                    locator=f"term {condition.id}",
                    evidence_type="ontology",
                )

    def _add_behaviour(self) -> None:
        leaves = {row["name"]: (number, row) for number, row in self.rows("isic_diagnosis_tree.tsv")}
        for condition in self.conditions:
            leaf = condition.row["isic"]
            if not leaf:
                continue
            if leaf not in leaves:
                raise KnowledgeError(f"conditions.tsv: {leaf!r} is no name in isic_diagnosis_tree.tsv.")
            number, row = leaves[leaf]
            kind = BEHAVIOURS[row["path"].split(":")[0]]
            self.add_edge(
                condition.id,
                "behaves_as",
                f"behaviour:{kind}",
                text=sentences.behaviour(condition.name, kind),
                source="isic-diagnosis",
                locator=f"row {number}: {row['path']}",
                evidence_type="ontology",
            )

    # --- literature and facts read by hand -------------------------------------------------

    def _add_literature(self) -> None:
        conditions: dict[str, tuple[Condition, str]] = {}
        for condition in self.conditions:
            for label in condition.many("literature"):
                name, _, context = label.partition("@")
                conditions[name] = (condition, context)
        features: dict[str, list[dict[str, str]]] = {}
        for row in self.features:
            for label in row["literature"].split("|"):
                features.setdefault(label, []).append(row)
        for number, row in self.rows("dermoscopic_features_literature.tsv"):
            # What stands at a refused address is not taken: facts.tsv says it after a page that may be cited.
            if row["diagnosis"] in conditions and not refused(row["source_url"]):
                condition, context = conditions[row["diagnosis"]]
                for feature in features.get(row["feature"], ()):
                    self._literature_edge(condition, feature, context, number=number, row=row)

    def _literature_edge(
        self, condition: Condition, feature: dict[str, str], context: str, *, number: int, row: dict[str, str]
    ) -> None:
        source = self._literature_source(row)
        rest: dict[str, Any] = {"qualifier": context}
        name = feature["name"]
        counted = re.match(r"(\d+)/(\d+)", row["weight"])
        panel = re.fullmatch(r"([\d.]+)%", row["weight"]) if "Delphi" in row["primary_reference"] else None
        if row["feature"].startswith("absence of"):
            text = sentences.dermoscopy_lacks(condition.name, name)
            rest["polarity"] = "absent"
        elif row["polarity"].startswith("mimic"):
            text = sentences.dermoscopy_pitfall(condition.name, name)
            rest["qualifier"] = "mimic"
        elif counted:
            hits, total = int(counted[1]), int(counted[2])
            text = sentences.dermoscopy_counted(condition.name, name, hits=hits, total=total)
            rest |= {"n": total, "probability": round(hits / total, 3)}
        elif panel:
            text = sentences.dermoscopy_agreed(condition.name, name, share=float(panel[1]) / 100)
            rest["probability"] = float(panel[1]) / 100
        elif row["feature"].endswith("(rare)"):
            text = sentences.dermoscopy_rare(condition.name, name)
            rest["qualifier"] = "rare"
        else:
            text = sentences.dermoscopy(condition.name, name, context=context)
        self.add_edge(
            condition.id,
            "has_dermoscopic_feature",
            feature["id"],
            text=text,
            source=source,
            locator=f"{row['primary_reference']}; {row['source_url']}",
            evidence_type="curated",
            **rest,
        )

    def _literature_source(self, row: dict[str, str]) -> str:
        key = "lit-" + hashlib.sha256((row["source_url"] + row["primary_reference"]).encode()).hexdigest()[:8]
        self.sources[key] = Source(
            id=key,
            title=row["primary_reference"],
            url=row["source_url"],
            licence="facts restated, not the text; the page keeps its own licence",
            licence_class="open",
        )
        return key

    def _add_curated_facts(self) -> None:
        for number, row in read_rows(self.curated / "facts.tsv"):
            target = row["object"]
            if "=" in target:
                target = self.curated_node(target)
            if self._reworded(row, target):
                continue
            self.add_edge(
                row["subject"],
                row["relation"],
                target,
                polarity=row["polarity"] or "present",
                qualifier=row["qualifier"],
                text=row["text"],
                source=row["source"],
                locator=row["locator"] or f"facts.tsv line {number}",
                evidence_type=row["evidence_type"] or "curated",
                checked=row["checked"],
            )

    def _add_answers(self) -> None:
        for number, row in read_rows(self.curated / "answers.tsv"):
            self.add_edge(
                row["subject"],
                ANSWERS,
                row["about"],
                text=row["text"],
                source=row["source"],
                locator=row["locator"] or f"answers.tsv line {number}",
                evidence_type=row["evidence_type"] or "curated",
                checked=row["checked"],
            )

    def _reworded(self, row: dict[str, str], target: str) -> bool:
        """Whether a table states this of the same source; then the row's sentence is its sentence, its numbers stay."""
        named = {column: row[column] for column in ("qualifier", "source")}
        key = edge_id(row["subject"], row["relation"], target, polarity=row["polarity"] or "present", **named)
        made = self.edges.get(key)
        if made is None or made.checked:
            return False
        self.edges[key] = replace(made, text=row["text"], checked=row["checked"])
        return True

    def curated_node(self, spec: str) -> str:
        """'Treatment=cryotherapy|freezing' -> the node's id; the node is made where it is new."""
        kind, _, names = spec.partition("=")
        name, *synonyms = names.split("|")
        key = f"{kind.lower()}:{slug(name)}"
        old = self.nodes.get(key)
        known = [*(old.synonyms if old else ()), *synonyms]
        self.nodes[key] = Node(id=key, kind=kind, name=name, synonyms=tuple(dict.fromkeys(known)), source="curated")
        return key


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_conditions(curated: Path) -> list[Condition]:
    return [
        Condition(
            id=row["id"],
            name=row["name"],
            plural=row["plural"],
            class_code=row["class"],
            tier=_tier(row["tier"], number),
            row=row,
        )
        for number, row in read_rows(curated / "conditions.tsv")
    ]


def _tier(text: str, line: int) -> int:
    if text not in ("0", "1", "2"):
        raise KnowledgeError(f"conditions.tsv, line {line}: the tier is {text!r}; 0, 1 or 2 would be right.")
    return int(text)


def _bare(code: str) -> str:
    """'SCTID:254731001|SCTID:1' -> '254731001'; 'DOID:8923' stays."""
    first = code.split("|")[0]
    return first if first.startswith("DOID:") else first.split(":")[-1]


def _clean(synonyms: Iterable[str], *, drop: Iterable[str], name: str) -> tuple[str, ...]:
    """Synonyms that people write: no annotations in brackets, no name twice."""
    unwanted = {text.casefold() for text in (*drop, name, "")}
    kept: dict[str, str] = {}
    for text in synonyms:
        key = text.casefold()
        if key in unwanted or key in kept or re.search(r"[(),]|zone of skin|somatic|\\", text) or len(text) > 60:
            continue
        kept[key] = text
    return tuple(kept.values())


def _edge_order(edge: Edge) -> tuple[str, str, bool]:
    """By subject and relation, what is used first before the rest; within them as the sources list them.

    Sources often list by importance, but treatments were read from several pages.
    """
    used_first = edge.relation == "treated_by" and not edge.qualifier and bool(FIRST_LINE.search(edge.text))
    return edge.subject, edge.relation, not used_first
