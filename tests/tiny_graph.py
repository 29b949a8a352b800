"""A small invented graph, so that tests of cards, comparisons and drawings assume nothing of today's conditions."""

from __future__ import annotations

from dermiq.knowledge.graph import CLASS_NODES, Graph
from dermiq.knowledge.schema import Edge, Node, Tables, edge_id
from dermiq.types import Source

SOURCE = Source("notes", "Invented notes <i>", "https://example.org/notes", "CC BY 4.0", "open")


def condition(node_id: str, name: str, *synonyms: str, tier: int = 1, codes: dict[str, str] | None = None) -> Node:
    return Node(node_id, "Disease", name, synonyms=synonyms, tier=tier, codes=codes or {}, source="notes")


def edge(subject: str, relation: str, target: str, text: str, **more: object) -> Edge:
    polarity, qualifier = str(more.pop("polarity", "present")), str(more.pop("qualifier", ""))
    key = edge_id(subject, relation, target, polarity=polarity, qualifier=qualifier, source="notes")
    kind = str(more.pop("evidence_type", "curated"))
    return Edge(key, subject, relation, target, polarity, qualifier, text, "notes", "page 3", kind, **more)  # type: ignore[arg-type]


NODES = (
    *(condition(key, f"class {code}", tier=2) for code, key in CLASS_NODES.items()),
    condition("c:rash", "rash", tier=0),
    condition("c:red", "redpox", "scarlet itch", "RP", codes={"icd10cm": "Z01|Z02", "sctid": "123", "mesh": "D01"}),
    condition("c:blue", "bluepox", "azure scale", codes={"umls": "C01"}),
    condition("c:bright", "bright redpox", tier=2),
    condition("c:silent", "silentpox", tier=2),
    condition("c:evil", "<img src=x onerror=alert(1)>", "evilpox", tier=2),
    Node("f:ring", "Sign", "ring"),
    Node("f:broken-ring", "Sign", "broken ring"),
    Node("f:scale", "Sign", "scale"),
    Node("f:spot", "Sign", "spot"),
    Node("f:crust", "Sign", "crust"),
    Node("s:itch", "Symptom", "itch"),
    Node("t:cream", "Treatment", "$cream$ & <b>rest</b>"),
)
EDGES = (
    edge("c:red", "is_a", "c:rash", "Redpox is a form of rash."),
    edge("c:blue", "is_a", "c:rash", "Bluepox is a form of rash."),
    edge("c:bright", "is_a", "c:red", "Bright redpox is a form of redpox."),
    edge("f:broken-ring", "is_a", "f:ring", "A broken ring is a form of ring."),
    edge("c:rash", "treated_by", "t:cream", "A rash is treated with cream."),
    edge("c:red", "has_sign", "f:broken-ring", "Redpox shows a broken ring."),
    edge("c:blue", "has_sign", "f:ring", "Bluepox shows no ring.", polarity="absent"),
    edge("c:red", "has_sign", "f:scale", "Redpox shows scale.", n=40, probability=0.35, lift=2.4),
    edge("c:blue", "has_sign", "f:scale", "Bluepox shows scale."),
    edge("c:red", "has_sign", "f:spot", "Pitfall: redpox can also show a spot.", qualifier="mimic"),
    edge("c:blue", "has_sign", "f:spot", "Bluepox lacks spots.", polarity="absent"),
    edge("c:bright", "has_sign", "f:crust", "Bright redpox shows a crust."),
    edge("c:red", "has_symptom", "s:itch", "Redpox itches.", checked="opened 2026-11-21"),
    edge("c:red", "risk_level", "high", "Readers rate redpox as high risk.", evidence_type="label"),
    edge("c:blue", "risk_level", "low", "Readers rate bluepox as low risk.", evidence_type="label"),
    edge("c:blue", "look_alike", "c:red", "Bluepox is confused with redpox.", evidence_type="reader study"),
    edge("c:red", "coded_as", "ICD-10-CM Z01", "Redpox is coded Z01."),
)
GRAPH = Graph(Tables(NODES, EDGES, (SOURCE,)))
