"""Statistical edges from the Derm7pt atlas: how often each diagnosis shows a feature, and where it lay.

The atlas is a specialist's selection, so an edge stands on the lift over the atlas's average, not on prevalence.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from dermiq.knowledge.build import sentences
from dermiq.knowledge.build.assemble import Assembler, Condition

MIN_CASES = 20  # diagnoses with fewer lesions say nothing
OFTEN = (1.5, 0.10, 5)  # lift, share of the diagnosis, lesions: from here "showed ... times the average"
RARE_LIFT = 0.35  # below it a feature that is common overall speaks against
COMMON = 0.10  # share of all lesions from which a feature counts as common
LACKING = (1.4, 0.70)  # lift and share from which "lacked" is said
SITE = (1.3, 0.20, 5)
SITES = {
    "abdomen": "on the abdomen",
    "acral": "on the palms, soles or digits",
    "back": "on the back",
    "buttocks": "on the buttocks",
    "chest": "on the chest",
    "genital areas": "in the genital area",
    "head neck": "on the head or neck",
    "lower limbs": "on the legs",
    "upper limbs": "on the arms",
}


def add_atlas(assembler: Assembler) -> None:
    by_label = {condition.row["derm7pt"]: condition for condition in assembler.conditions if condition.row["derm7pt"]}
    _add_features(assembler, by_label)
    _name_sites(assembler)
    _add_sites(assembler, by_label)


def _add_features(assembler: Assembler, by_label: dict[str, Condition]) -> None:
    features = {key: row for row in assembler.features for key in row["derm7pt"].split("|") if key}
    table = assembler.rows("dermoscopic_features.tsv")
    cells = {(row["diagnosis"], f"{row['feature']}={row['value']}"): (number, row) for number, row in table}
    overall = {f"{row['feature']}={row['value']}": float(row["p_value_overall"]) for _, row in table}
    totals = {row["diagnosis"]: int(row["n_diagnosis"]) for _, row in table}
    for label, condition in by_label.items():
        if totals[label] < MIN_CASES:
            continue
        lacking = {
            group
            for key in overall
            if (group := key.split("=")[0]) + "=*" in features
            and _add_lacking(assembler, condition, features[group + "=*"], cells.get((label, group + "=absent")))
        }
        for key, share_overall in sorted(overall.items()):
            group = key.split("=")[0]
            if key in features and group not in lacking:
                _add_share(
                    assembler,
                    condition,
                    features[key],
                    cells.get((label, key)),
                    total=totals[label],
                    overall=share_overall,
                )


def _add_lacking(
    assembler: Assembler, condition: Condition, feature: dict[str, str], cell: tuple[int, dict[str, str]] | None
) -> bool:
    """Most lesions of the diagnosis lack the feature: an edge of polarity absent. Says whether there is one."""
    if cell is None:
        return False
    number, row = cell
    share, lift = float(row["p_value_given_dx"]), float(row["lift"])
    if lift < LACKING[0] or share < LACKING[1]:
        return False
    text = sentences.atlas_lacking(
        condition.plural, feature["name"], share=share, overall=float(row["p_value_overall"])
    )
    _edge(
        assembler,
        condition,
        "has_dermoscopic_feature",
        feature["id"],
        polarity="absent",
        text=text,
        locator=f"dermoscopic_features.tsv row {number}",
        n=int(row["n_diagnosis"]),
        probability=round(1 - share, 3),
        lift=round((1 - share) / (1 - float(row["p_value_overall"])), 2),
    )
    return True


def _add_share(
    assembler: Assembler,
    condition: Condition,
    feature: dict[str, str],
    cell: tuple[int, dict[str, str]] | None,
    *,
    total: int,
    overall: float,
) -> None:
    share = float(cell[1]["p_value_given_dx"]) if cell else 0.0
    hits = int(cell[1]["n"]) if cell else 0
    lift = share / overall
    locator = f"dermoscopic_features.tsv row {cell[0]}" if cell else "dermoscopic_features.tsv: no such lesion"
    numbers: dict[str, Any] = {"n": total, "probability": share, "lift": round(lift, 2), "locator": locator}
    if lift >= OFTEN[0] and share >= OFTEN[1] and hits >= OFTEN[2]:
        text = sentences.atlas_present(condition.plural, feature["name"], share=share, lift=lift)
        _edge(assembler, condition, "has_dermoscopic_feature", feature["id"], text=text, **numbers)
    elif lift <= RARE_LIFT and overall >= COMMON:
        text = sentences.atlas_rare(condition.plural, feature["name"], share=share, overall=overall)
        numbers["polarity"] = "absent"
        _edge(assembler, condition, "has_dermoscopic_feature", feature["id"], text=text, **numbers)


def _name_sites(assembler: Assembler) -> None:
    """Sites that are already known get our own synonyms, so that these do not depend on what the atlas counted."""
    known = {node.name for node in assembler.nodes.values() if node.kind == "BodySite"}
    for spec in SITE_NODES.values():
        if spec.removeprefix("BodySite=").split("|")[0] in known:
            assembler.curated_node(spec)


def _add_sites(assembler: Assembler, by_label: dict[str, Condition]) -> None:
    rows = [
        (number, row) for number, row in assembler.rows("derm7pt_site_management.tsv") if row["field"] == "location"
    ]
    totals: dict[str, int] = {row["diagnosis"]: int(row["n_diagnosis"]) for _, row in rows}
    sites: Counter[str] = Counter()
    for _, row in rows:
        sites[row["value"]] += int(row["n"])
    everyone = sum(totals.values())
    for number, row in rows:
        condition = by_label.get(row["diagnosis"])
        total = int(row["n_diagnosis"])
        if condition is None or total < MIN_CASES:
            continue
        share = int(row["n"]) / total
        lift = share / (sites[row["value"]] / everyone)
        if lift < SITE[0] or share < SITE[1] or int(row["n"]) < SITE[2]:
            continue
        where = SITES[row["value"]]
        _edge(
            assembler,
            condition,
            "located_at",
            assembler.curated_node(SITE_NODES[row["value"]]),
            text=sentences.atlas_site(condition.plural, where, share=share, lift=lift),
            locator=f"derm7pt_site_management.tsv row {number}",
            n=total,
            probability=round(share, 3),
            lift=round(lift, 2),
        )


SITE_NODES = {
    "abdomen": "BodySite=abdomen|belly",
    "acral": "BodySite=palms and soles|palm|sole|acral skin|fingers and toes",
    "back": "BodySite=back|upper back",
    "buttocks": "BodySite=buttocks",
    "chest": "BodySite=chest",
    "genital areas": "BodySite=genital area|genitals",
    "head neck": "BodySite=head and neck|head or neck",
    "lower limbs": "BodySite=legs|lower limbs|leg|lower limb|lower legs|lower leg|thigh|thighs",
    "upper limbs": "BodySite=arms|upper limbs|arm|upper limb|forearm|forearms",
}


def _edge(assembler: Assembler, condition: Condition, relation: str, target: str, **rest: Any) -> None:
    assembler.add_edge(condition.id, relation, target, source="derm7pt", evidence_type="derived statistic", **rest)
