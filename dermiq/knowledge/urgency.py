"""How soon a lesion should be seen, from the NG12 rules in the graph (UK), and what each point rests on.

Every point of the weighted 7-point checklist is measured, told or unknown, and the text says which.
The rules are for suspicious lesions: they are asked only where the reading makes the diagnosis possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dermiq.knowledge.build import rules
from dermiq.knowledge.graph import CLASS_NODES, Graph
from dermiq.types import Differential, Fact, Finding, PatientContext, Urgency, UrgencyLevel

POSSIBLE = 0.10  # probability from which a diagnosis is kept in mind
SUGGESTS = 0.50  # probability from which the image "suggests" melanoma
URGENT_SCORE = 3
LARGE = 7.0  # mm
ABNORMAL = 90.0  # percentile among benign lesions from which shape or colour is called irregular
COLOURS = 3  # colours from which colour is called irregular where no percentile is known
RISKY_SITES = re.compile(r"\b(?:eyes?|eyelids?|lids?|nose|nasal|lips?|ears?|mouth|canth\w+|peri\w+)\b", re.IGNORECASE)
BLEEDING = "referralrule:bleeding-nodule-that-may-be-a-melanoma"
ALARMING = {"grew": "growth", "bled": "bleeding", "hurts": "pain"}
UK = "This is a UK rule (NICE NG12)."


@dataclass(frozen=True)
class Point:
    """One point of the checklist. `met` is None where nobody knows."""

    rule: str  # node id
    name: str
    points: int
    met: bool | None
    basis: str  # "measured: ...", "told: ...", "" where unknown


def urgency(
    graph: Graph, *, differential: Differential, context: PatientContext, findings: Sequence[Finding]
) -> Urgency | None:
    """The most urgent rule that applies; None where there is no differential or the rules are not in the graph."""
    rule_facts = {fact.object: fact for fact in graph.all_facts if fact.relation == "refer_if"}
    if not differential.candidates or not rule_facts:
        return None
    found = [
        *_melanoma(differential, checklist(context, findings), rule_facts),
        *_squamous(differential, context, rule_facts),
        *_basal(differential, context, rule_facts),
        *_vascular(differential, context, rule_facts),
    ]
    if not found:
        return _nothing(differential, context, findings, rule_facts)
    leading = CLASS_NODES.get(differential.top.diagnosis.code or "")
    order = ("urgent", "soon", "routine", "none")
    return min(found, key=lambda item: (order.index(item.level), item.facts[0].subject != leading))


def checklist(context: PatientContext, findings: Sequence[Finding]) -> tuple[Point, ...]:
    """The seven points: who says that each is met."""
    told = set(context.symptoms)
    sensation = [word for word in ("itch", "hurts") if word in told]
    shape = _irregular(findings, ("asymmetry", "border_irregularity"))
    colour = _irregular(findings, ("colour_variegation", "colour_count"))
    return (
        Point(
            "rule:change-in-size",
            "change in size",
            2,
            "grew" in told or None,
            "told: it grew" if "grew" in told else "",
        ),
        Point("rule:irregular-shape", "irregular shape", 2, *shape),
        Point("rule:irregular-colour", "irregular colour", 2, *colour),
        Point(
            "rule:diameter-7-mm",
            "diameter of 7 mm or more",
            1,
            None if context.diameter is None else context.diameter >= LARGE,
            "" if context.diameter is None else f"told: {context.diameter:g} mm",
        ),
        Point("rule:inflammation", "inflammation", 1, None, ""),
        Point("rule:oozing", "oozing", 1, "bled" in told or None, "told: it bled" if "bled" in told else ""),
        Point(
            "rule:change-in-sensation",
            "change in sensation",
            1,
            bool(sensation) or None,
            "told: " + " and ".join("it itches" if word == "itch" else "it hurts" for word in sensation)
            if sensation
            else "",
        ),
    )


def _irregular(findings: Iterable[Finding], codes: Sequence[str]) -> tuple[bool | None, str]:
    """Whether shape or colour is irregular by measurement; None where nothing was measured."""
    measured = [finding for finding in findings if finding.code in codes]
    if not measured:
        return None, ""
    striking = [finding for finding in measured if _stands_out(finding)]
    chosen = striking or measured
    return bool(striking), "measured: " + " and ".join(dict.fromkeys(finding.text for finding in chosen))


def _stands_out(finding: Finding) -> bool:
    if finding.percentile is not None:
        return finding.percentile >= ABNORMAL
    if finding.code == "colour_count":
        return finding.value >= COLOURS
    words = finding.text.lower()
    return ("asymmetric" in words or "irregular" in words or "strongly varied" in words) and "slightly" not in words


def _probability(differential: Differential, code: str) -> float:
    return sum(item.probability for item in differential.candidates if item.diagnosis.code == code)


def _melanoma(differential: Differential, points: Sequence[Point], facts: dict[str, Fact]) -> list[Urgency]:
    probability = _probability(differential, "mel")
    if probability < POSSIBLE:
        return []
    met = [point for point in points if point.met]
    score = sum(point.points for point in met)
    basis = f"Weighted 7-point checklist: at least {score} of 10, {_listed(points)}."
    if score >= URGENT_SCORE:
        text = f"Urgent referral (within 2 weeks) suggested: {score} points, 3 are enough. {basis} {UK}"
        cited = [facts[rules.SCORE], *(facts[point.rule] for point in met)]
        return [_urgency("urgent", text, cited)]
    if probability >= SUGGESTS:
        text = (
            "Urgent referral (within 2 weeks) suggested: the image suggests melanoma "
            f"({probability * 100:.0f} %). {basis} {UK}"
        )
        return [_urgency("urgent", text, [facts["rule:dermoscopy-melanoma"]])]
    text = (
        f"Melanoma is possible ({probability * 100:.0f} %), and the checklist has {score} of the 3 points that make "
        f"referral urgent. {basis} See it soon, and complete the unknown points by examination. {UK}"
    )
    return [_urgency("soon", text, [facts[rules.SCORE], *(facts[point.rule] for point in met)])]


def _listed(points: Sequence[Point]) -> str:
    """'irregular shape 2 (measured: ...); not met: ...; unknown: ...'."""
    met = [f"{point.name} {point.points} ({point.basis})" for point in points if point.met]
    unmet = [f"{point.name} ({point.basis})" for point in points if point.met is False]
    unknown = [point.name for point in points if point.met is None]
    parts = ["; ".join(met) or "no point known to be met"]
    if unmet:
        parts.append("not met: " + ", ".join(unmet))
    if unknown:
        parts.append("unknown: " + ", ".join(unknown))
    return "; ".join(parts)


def _squamous(differential: Differential, context: PatientContext, facts: dict[str, Fact]) -> list[Urgency]:
    if _probability(differential, "akiec") < POSSIBLE or differential.top.diagnosis.code != "akiec":
        return []
    alarming = [word for symptom, word in ALARMING.items() if symptom in context.symptoms]
    cited = [facts["rule:suspected-scc"]]
    if alarming:
        text = (
            f"Consider urgent referral (within 2 weeks): {' and '.join(alarming)} (told) in a lesion read as actinic "
            f"keratosis or Bowen's disease raises suspicion of squamous cell carcinoma. {UK}"
        )
        return [_urgency("urgent", text, cited)]
    text = (
        "Routine: NG12 has no rule for actinic keratosis or Bowen's disease as such. If it grows, bleeds, hurts or "
        f"thickens, suspect squamous cell carcinoma and refer within 2 weeks. {UK}"
    )
    return [_urgency("routine", text, cited)]


def _basal(differential: Differential, context: PatientContext, facts: dict[str, Fact]) -> list[Urgency]:
    probability = _probability(differential, "bcc")
    if probability < POSSIBLE:
        return []
    site = context.site or ""
    if RISKY_SITES.search(site):
        text = (
            f"Basal cell carcinoma is possible ({probability * 100:.0f} %) at a site where delay may do harm "
            f"({context.site}, told): weigh referral within 2 weeks, otherwise routine referral. {UK}"
        )
        return [_urgency("soon", text, [facts[rules.URGENT_BCC], facts[rules.ROUTINE_BCC]])]
    where = f"site told: {context.site}" if site else "site not told"
    text = (
        f"Routine referral suggested: basal cell carcinoma is possible ({probability * 100:.0f} %). Within 2 weeks "
        f"only if site or size makes delay harmful ({where}, size unknown). {UK}"
    )
    return [_urgency("routine", text, [facts[rules.ROUTINE_BCC], facts[rules.URGENT_BCC]])]


def _vascular(differential: Differential, context: PatientContext, facts: dict[str, Fact]) -> list[Urgency]:
    """A bleeding lump that is taken for a vascular one may be a melanoma without pigment."""
    rule = facts.get(BLEEDING)
    if differential.top.diagnosis.code != "vasc" or "bled" not in context.symptoms or rule is None:
        return []
    text = (
        "It bled (told): a bleeding nodule may be a melanoma that looks like a pyogenic granuloma, so refer it within "
        "2 weeks unless that is excluded. This is a UK rule (notes after the PCDS)."
    )
    return [_urgency("soon", text, [rule])]


def _nothing(
    differential: Differential, context: PatientContext, findings: Sequence[Finding], facts: dict[str, Fact]
) -> Urgency:
    points = checklist(context, findings)
    name = differential.top.diagnosis.name
    met = [point for point in points if point.met]
    if sum(point.points for point in met) >= URGENT_SCORE and any("told" in point.basis for point in met):
        text = (
            f"Read as {name}, but the 7-point checklist reaches {URGENT_SCORE} points: {_listed(points)}. "
            f"The rule is for suspicious pigmented lesions: examine it soon and decide. {UK}"
        )
        return _urgency("soon", text, [facts[rules.SCORE], *(facts[point.rule] for point in met)])
    text = f"No NG12 rule asks for referral of this lesion as it was read ({name} most likely)."
    if met:
        named = " and ".join(f"{point.name} ({point.basis})" for point in met)
        text += f" The 7-point checklist is for lesions suspicious of melanoma; of its points, known here: {named}."
    text += f" If in doubt, examine it again. {UK}"
    return _urgency("none", text, [facts[rules.SCORE]])


def _urgency(level: UrgencyLevel, text: str, facts: Sequence[Fact]) -> Urgency:
    unique = {fact.id: fact for fact in facts}
    return Urgency(level=level, text=text, facts=tuple(unique.values()))
