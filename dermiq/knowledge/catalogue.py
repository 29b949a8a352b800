"""The graph's conditions as a visitor browses them, and where to begin. Knows no page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.schema import Node
from dermiq.language import N_

CLASSED = N_("The seven lesion classes and their forms")
REST = N_("Without an ICD-10 code, or elsewhere in ICD-10")
BLOCKS: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], ...] = (
    (N_("Other tumours"), (("C00", "D49"),), ("MONDO:0002531",)),
    (N_("Infections and infestations"), (("A00", "B99"), ("L00", "L08")), ("MONDO:0024294", "MONDO:0000254")),
    (N_("Dermatitis and eczema"), (("L20", "L30"),), ("MONDO:0002406",)),
    (N_("Psoriasis, lichen and other papulosquamous disorders"), (("L40", "L45"),), ()),
    (N_("Urticaria, erythema and bullous disorders"), (("L10", "L14"), ("L49", "L54")), ("MONDO:0006617",)),
    (N_("Hair, nails and glands"), (("L60", "L75"),), ("MONDO:0024481", "MONDO:0002917", "MONDO:0002884")),
    (N_("Pigment"), (("L80", "L81"),), ("MONDO:0019288",)),
    (N_("Keratoses, corns and keratodermas"), (("L82", "L87"),), ("MONDO:0045011", "MONDO:0019268")),
    (N_("Vessels"), (("I70", "I99"), ("L95", "L95")), ("MONDO:0019293",)),
    (N_("Other disorders of the skin"), (("L55", "L59"), ("L76", "L79"), ("L88", "L99")), ("MONDO:0005093",)),
)
"""Section -> first and last category of its ICD-10-CM blocks, and the MONDO terms that stand for it without a code."""

SHOWN_BY = ("has_dermoscopic_feature", "has_sign", "has_symptom", "treated_by")
"""Relations to what a search may start from, when no condition is known yet."""


@dataclass(frozen=True)
class Section:
    """Conditions by name. `full`: described in full; `more`: subtypes, look-alikes and others."""

    title: str
    full: tuple[Node, ...]
    more: tuple[Node, ...]


def sections(graph: Graph) -> tuple[Section, ...]:
    """Every condition once: those of the seven classes, then by block of ICD-10-CM; no section is empty.

    A condition without a code stands where the nearest condition above it stands that has one.
    """
    found: dict[str, list[Node]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: node.name.lower()):
        if node.kind == "Disease" and node.tier > 0:
            found[_section(graph, node)].append(node)
    titles = (CLASSED, *(title for title, _, _ in BLOCKS), REST)
    return tuple(
        Section(
            title,
            tuple(node for node in found[title] if node.tier == 1),
            tuple(node for node in found[title] if node.tier != 1),
        )
        for title in titles
        if found[title]
    )


def extent(graph: Graph) -> str:
    """How much the graph holds, in the words that page and README use.

    A condition that is counted is one with a card; full is the tier that the build covers fully, subtypes included.
    """
    tiers = [node.tier for node in graph.nodes if node.kind == "Disease" and node.tier > 0]
    return (
        f"{len(tiers):,} conditions, {tiers.count(1):,} of them described in full. {len(graph.all_facts):,} facts, "
        f"each with its source. {len(graph.sources):,} sources."
    )


def _section(graph: Graph, node: Node) -> str:
    if node.class_code:
        return CLASSED
    lineage = (node.id, *graph.ancestors(node.id))
    codes = (graph.node(key).codes.get("icd10cm", "") for key in lineage)
    category = next((code[:3] for code in codes if code), "")
    for title, blocks, terms in BLOCKS:
        if any(first <= category <= last for first, last in blocks):
            return title
        if not category and any(term in lineage for term in terms):
            return title
    return REST


def confused_pairs(graph: Graph, limit: int) -> list[tuple[Node, Node]]:
    """Conditions described in full that readers name together most often, each condition in one pair only."""
    facts = [fact for fact in graph.all_facts if fact.relation == "look_alike" and fact.n is not None]
    facts.sort(key=lambda fact: (-(graph.numbers(fact.id).probability or 0.0) * (fact.n or 0), fact.id))
    pairs: list[tuple[Node, Node]] = []
    used: set[str] = set()
    for fact in facts:
        pair = (graph.node(fact.subject), graph.node(fact.object))
        if any(node.tier != 1 or node.id in used for node in pair) or fact.object in graph.family(fact.subject):
            continue
        if fact.subject not in graph.family(fact.object):
            pairs.append(pair)
            used |= {fact.subject, fact.object}
    return pairs[:limit]


def beginnings(graph: Graph, per_relation: int) -> list[Node]:
    """What most of the conditions described in full have: signs, symptoms, treatments, some of each."""
    found: dict[str, Node] = {}
    for relation in SHOWN_BY:
        holders: dict[str, set[str]] = defaultdict(set)
        for fact in graph.all_facts:
            if fact.relation == relation and fact.polarity == "present" and graph.node(fact.subject).tier == 1:
                holders[fact.object].add(fact.subject)
        ranked = sorted(holders, key=lambda key: (-len(holders[key]), key))
        named = [graph.node(key) for key in ranked if not graph.node(key).name.startswith("no ")]
        found |= {node.id: node for node in named[:per_relation]}
    return list(found.values())
