"""Facts of the reader study (Stutz et al. 2023): how dangerous each of its 419 labels is, and what readers confuse.

`conditions.tsv` says, in its column `reader`, which label or labels mean which condition; `left_out.tsv` lists the
labels that mean none, and why. A label that neither decides on, or that is decided on twice, is an error.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dermiq.errors import KnowledgeError
from dermiq.knowledge.build import sentences
from dermiq.knowledge.build.assemble import Assembler, Condition
from dermiq.knowledge.schema import read_rows

SOURCE = "reader-study"
LEVELS = ("low", "medium", "high")
MIN_CASES = 3  # cases in which one reader named both conditions
MIN_SHARE = 0.03  # of the cases in which the first was named


def add_readers(graph: Assembler) -> None:
    """Add a risk level for each label and a look-alike for each pair that readers named often enough together."""
    meant = by_label(graph.conditions)
    risks = graph.rows("condition_risk.tsv")
    _check_labels([row["condition"] for _, row in risks], meant, left_out(graph.curated))
    for number, row in risks:
        if row["condition"] in meant:
            _add_risk(graph, meant[row["condition"]], number, row)
    for number, row in graph.rows("differential_dx.tsv"):
        first, second = meant.get(row["condition_a"]), meant.get(row["condition_b"])
        if first is not None and second is not None and first.id != second.id:
            _add_look_alike(graph, first, second, number, row)


def by_label(conditions: list[Condition]) -> dict[str, Condition]:
    """KnowledgeError where two conditions claim one label."""
    pairs = [(label, condition) for condition in conditions for label in condition.many("reader")]
    twice = [label for label, count in Counter(label for label, _ in pairs).items() if count > 1]
    if twice:
        raise KnowledgeError(f"conditions.tsv gives the label {twice[0]!r} to two conditions.")
    return dict(pairs)


def left_out(curated: Path) -> dict[str, str]:
    """Label -> why it stands for no condition."""
    return {row["label"]: row["reason"] for _, row in read_rows(curated / "left_out.tsv")}


def _check_labels(labels: list[str], meant: dict[str, Condition], left: dict[str, str]) -> None:
    undecided = sorted(set(labels) - set(meant) - set(left))
    if undecided:
        raise KnowledgeError(
            f"condition_risk.tsv has {len(undecided)} labels that neither conditions.tsv nor left_out.tsv decides on.",
            detail="\n".join(undecided),
        )
    unknown = sorted((set(meant) | set(left)) - set(labels)) + sorted(set(meant) & set(left))
    if unknown:
        raise KnowledgeError(
            f"The label {unknown[0]!r} is none of condition_risk.tsv, or it is both mapped and left out."
        )


def _add_risk(graph: Assembler, condition: Condition, number: int, row: dict[str, str]) -> None:
    level = int(row["risk"])
    graph.add_edge(
        condition.id,
        "risk_level",
        LEVELS[level],
        text=sentences.risk(condition.name, level),
        source=SOURCE,
        locator=f"condition_risk.tsv row {number}",
        evidence_type="label",
    )


def _add_look_alike(graph: Assembler, first: Condition, second: Condition, number: int, row: dict[str, str]) -> None:
    both, cases, share = int(row["n_cases_same_reader"]), int(row["n_cases_a"]), float(row["p_b_given_a"])
    if both < MIN_CASES or share < MIN_SHARE:
        return
    graph.add_edge(
        first.id,
        "look_alike",
        second.id,
        text=sentences.look_alike(first.name, second.name, both=both, cases=cases),
        source=SOURCE,
        locator=f"differential_dx.tsv row {number}",
        evidence_type="reader study",
        n=cases,
        probability=share,
    )
