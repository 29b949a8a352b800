"""Statistical edges from our own training split: how much a measured finding speaks for or against a diagnosis.

Reads `kg_data/derived/findings.tsv`, which `python -m train.embedded.derived` makes. Counts nothing itself.
"""

from __future__ import annotations

from dermiq.knowledge.build import sentences
from dermiq.knowledge.build.assemble import Assembler
from dermiq.knowledge.graph import CLASS_NODES
from dermiq.knowledge.schema import Node, read_rows

SOURCE = "ham10000-train"
TELLING = 1.5  # a likelihood ratio nearer to 1, either way, hardly moves a probability: no fact is made of it


def add_derived(assembler: Assembler) -> None:
    """One edge a finding and class whose ratio is telling and whose interval leaves out 1."""
    for _, row in read_rows(assembler.derived / "findings.tsv"):
        ratio, low, high = (float(row[name]) for name in ("likelihood_ratio", "low", "high"))
        if low <= 1 <= high or 1 / TELLING < ratio < TELLING:
            continue
        node = f"finding:{row['finding']}"
        assembler.nodes[node] = Node(id=node, kind="Finding", name=row["name"], source=SOURCE)
        condition = CLASS_NODES[row["diagnosis"]]
        shown, total = int(row["with_class"]), int(row["n_class"])
        others, rest = int(row["with_others"]), int(row["n_others"])
        assembler.add_edge(
            node,
            "likelihood_ratio_for",
            condition,
            qualifier=row["level"],
            text=sentences.likelihood(
                row["statement"],
                assembler.nodes[condition].plural,
                ratio=ratio,
                interval=(low, high),
                shown=(shown, total),
                others=(others, rest),
            ),
            source=SOURCE,
            locator=f"derived/findings.tsv: {row['finding']}, {row['diagnosis']}",
            evidence_type="derived statistic",
            n=total + rest,
            probability=round(shown / total, 3),
            likelihood_ratio=ratio,
            low=low,
            high=high,
        )
