"""Referral rules (NICE NG12) as nodes and edges, with ids that `urgency` asks for by name."""

from __future__ import annotations

from dermiq.errors import KnowledgeError
from dermiq.knowledge.build.assemble import Assembler
from dermiq.knowledge.schema import Node

MELANOMA = "MONDO:0005012"
NODULAR = "MONDO:0000930"
SCC = "MONDO:0002529"
BCC = "MONDO:0005341"

CHECKLIST = "weighted 7-point checklist: "
POINTS = {
    "change in size": "rule:change-in-size",
    "irregular shape": "rule:irregular-shape",
    "irregular colour": "rule:irregular-colour",
    "largest diameter >=7 mm": "rule:diameter-7-mm",
    "inflammation": "rule:inflammation",
    "oozing": "rule:oozing",
    "change in sensation": "rule:change-in-sensation",
}
"""The checklist's points: how the source names them, and their node."""

SCORE = "rule:checklist-3"
ROUTINE_BCC = "rule:suspected-bcc"
URGENT_BCC = "rule:bcc-delay"
RULES: dict[tuple[str, str], tuple[str, str, str, str, str]] = {
    ("melanoma", "refer"): (
        MELANOMA,
        "rule:dermoscopy-melanoma",
        "dermoscopy that suggests melanoma",
        "urgent",
        "NG12 (UK): refer within 2 weeks if dermoscopy suggests melanoma.",
    ),
    ("melanoma, nodular", "consider"): (
        NODULAR,
        "rule:nodular-melanoma",
        "lesion that suggests nodular melanoma",
        "urgent",
        "NG12 (UK): consider referral within 2 weeks for a lesion, pigmented or not, that suggests nodular melanoma.",
    ),
    ("squamous cell carcinoma", "consider"): (
        SCC,
        "rule:suspected-scc",
        "lesion suspicious of squamous cell carcinoma",
        "urgent",
        "NG12 (UK): consider referral within 2 weeks for a lesion that raises suspicion of squamous cell carcinoma.",
    ),
    ("basal cell carcinoma", "consider"): (
        BCC,
        ROUTINE_BCC,
        "lesion suspicious of basal cell carcinoma",
        "routine",
        "NG12 (UK): consider routine referral for a lesion that raises suspicion of basal cell carcinoma.",
    ),
    ("basal cell carcinoma", "only then"): (
        BCC,
        URGENT_BCC,
        "basal cell carcinoma where delay could do harm",
        "urgent if delay harms",
        "NG12 (UK): refer suspected basal cell carcinoma within 2 weeks only if its site or size makes delay harmful.",
    ),
}
"""(diagnosis, strength) in the source -> subject, rule node, its name, level, sentence."""


def add_referral(assembler: Assembler) -> None:
    for number, row in assembler.rows("urgency_rules_ng12.tsv"):
        locator = f"urgency_rules_ng12.tsv row {number}"
        if row["criterion"].startswith(CHECKLIST):
            _add_point(assembler, row, locator)
            continue
        key = (row["diagnosis"], row["weight_or_strength"])
        if key not in RULES:
            raise KnowledgeError(f"{locator}: no rule is known for {key[0]!r} with the strength {key[1]!r}.")
        subject, node, name, level, text = RULES[key]
        _add_rule(assembler, subject, node, name=name, level=level, text=text, locator=locator)
    _add_rule(
        assembler,
        MELANOMA,
        SCORE,
        name="weighted 7-point checklist score of 3 or more",
        level="urgent",
        text="NG12 (UK): refer a lesion that scores 3 or more on the weighted 7-point checklist within 2 weeks.",
        locator="urgency_rules_ng12.tsv rows 3 to 9",
    )


def _add_point(assembler: Assembler, row: dict[str, str], locator: str) -> None:
    name = row["criterion"][len(CHECKLIST) :]
    rank, points = row["weight_or_strength"].split(" +")
    words = name.replace(">=7 mm", "of 7 mm or more")
    amount = "2 points" if points == "2" else "1 point"
    text = f"NG12 (UK): {words} scores {amount} on the weighted 7-point checklist for melanoma."
    _add_rule(assembler, MELANOMA, POINTS[name], name=words, level=f"{rank} {points}", text=text, locator=locator)


def _add_rule(assembler: Assembler, subject: str, node: str, *, name: str, level: str, text: str, locator: str) -> None:
    assembler.nodes[node] = Node(id=node, kind="ReferralRule", name=name, source="ng12")
    assembler.add_edge(
        subject,
        "refer_if",
        node,
        qualifier=level,
        text=text,
        source="ng12",
        locator=locator,
        evidence_type="guideline",
    )
