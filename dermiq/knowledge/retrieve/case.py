"""How much each fact matters to one case: what separates the top two diagnoses, what fits the patient.

Knows the graph and the case; knows no question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from dermiq.knowledge.graph import CLASS_NODES, FEATURES, Graph
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.text import words
from dermiq.types import CLASSES, Fact, Finding, PatientContext, Reason

BASE = {
    "has_sign": 0.6,  # most are felt or seen with the eye: less to the point than what the image can show
    "has_dermoscopic_feature": 0.7,
    "look_alike": 0.4,
    "refer_if": 0.5,
    "diagnosed_by": 0.45,
    "red_flag": 0.45,
    "behaves_as": 0.4,
    "treated_by": 0.4,
    "risk_level": 0.35,
    "located_at": 0.3,
    "risk_factor": 0.3,
    "has_symptom": 0.3,
    "coded_as": 0.05,
    "is_a": 0.05,
}
"""What a fact of the leading diagnosis is worth before anything is known of the case."""

FACE = ("on the face", "facial", "head")
ACRAL = ("acral", "palms")
SITE_WORDS = {
    "face": FACE,
    "central face": FACE,
    "forehead": FACE,
    "eyelid": (*FACE, "eyes", "eyelids"),
    "around the eye": (*FACE, "eyes", "eyelids"),
    "lip": (*FACE, "lips"),
    "nose": (*FACE, "nose"),
    "ear": (*FACE, "ear"),
    "scalp": ("head", "scalp"),
    "neck": ("neck",),
    "head and neck": ("head", "neck"),
    "palms and soles": (*ACRAL, "soles"),
    "foot": ACRAL,
    "hand": ("acral", "sun-exposed"),
    "finger": ("acral",),
    "nail": ("nail",),
    "fingernail": ("nail",),
    "toenail": ("nail",),
    "leg": ("legs",),
    "arm": ("arms",),
    "back": ("back", "trunk"),
    "lower back": ("back", "trunk"),
    "chest": ("chest", "trunk"),
    "abdomen": ("abdomen", "trunk"),
    "trunk": ("trunk", "back", "chest", "abdomen"),
    "genitals": ("genital",),
}
"""Names of a body site that was told, "forearm" being an arm's -> words by which facts name it."""

_BACK_OF = re.compile(r"\bbacks? of (?:the |a |his |her |my )?(?=hand|finger|foot|feet|leg|neck|knee)", re.IGNORECASE)
"""The back of a hand is a hand."""

SYMPTOM_WORDS = {
    "itch": ("itch", "sensation"),
    "bled": ("bleed", "oozing"),
    "grew": ("change in size", "grows", "growth", "change over time", "evolves"),
    "changed": ("change over time", "change in size"),
    "hurts": ("tender", "painful", "sensation"),
}
GROUPS = frozenset({"dermiq:akiec", "dermiq:bkl", "dermiq:vasc"})
"""Classes that are collections of conditions."""

STRUCTURE_SIGNS = {
    "globules": "dsc:dots-globules",
    "milia_like_cyst": "dsc:milia-like-cysts",
    "negative_network": "dsc:negative-network",
    "pigment_network": "dsc:network",
    "streaks": "dsc:streaks",
}
FINDING_SIGNS = {
    "asymmetry": "sign:asymmetry",
    "border_irregularity": "sign:border",
    "colour_count": "sign:colour",
    "colour_variegation": "sign:colour",
    **STRUCTURE_SIGNS,
}
FIRST = 0.15  # what being listed first adds
PLACES = ("which leads the differential", "second in the differential", "third in the differential")
FIT = {"findings": 0.5, "patient": 0.55}  # what fitting a measurement, or what was told, adds
ABNORMAL, USUAL = 80.0, 60.0  # percentiles among benign lesions: a finding stands out from, is not there up to


@dataclass(frozen=True)
class Worth:
    """What a fact is worth to the case, and why, in words. `fits`: what of the patient and the findings it fits."""

    score: float
    reason: str
    fits: tuple[Reason, ...] = ()


def diagnosis_nodes(graph: Graph, differential: Sequence[str]) -> list[str]:
    """Class codes or node ids -> node ids that the graph has, in order, each once."""
    named = [CLASS_NODES[key] if key in CLASSES else key for key in differential]
    return list(dict.fromkeys(key for key in named if key in graph))


def case_worth(
    graph: Graph,
    nodes: Sequence[str],
    *,
    context: PatientContext | None,
    findings: Sequence[Finding],
) -> dict[str, Worth]:
    """Fact id -> worth, for the facts of the top three diagnoses."""
    worth: dict[str, Worth] = {}
    for rank, node in enumerate(nodes[:3]):
        rival = _Rival.of(graph, nodes[1 - rank]) if rank < 2 and len(nodes) > 1 else None
        shade = (1.0, 0.75, 0.4)[rank]
        for fact in graph.facts(node, family=True):
            if graph.node(fact.subject).tier == 0:
                continue
            score, reason = _worth(graph, fact, node, rival, place=PLACES[rank])
            fits = tuple(_fits(graph, fact, context, findings))
            score = (score * _standing(graph, fact, node) + (FIT[fits[0].origin] if fits else 0.0)) * shade
            if fact.id not in worth or worth[fact.id].score < score:
                worth[fact.id] = Worth(score, reason, fits)
    return worth


def _worth(graph: Graph, fact: Fact, node: str, rival: _Rival | None, *, place: str) -> tuple[float, str]:
    name = graph.node(node).name
    score = BASE.get(fact.relation, 0.2) + _strength(fact) + _specificity(graph, fact)
    if graph.numbers(fact.id).qualifier.startswith(("major", "minor", "rare", "mimic")):
        score -= 0.3  # one point of a checklist, a rarity or a pitfall says less
    reason = f"about {name}, {place if rival is None else 'one of the top two'}"
    if rival is None:
        return score, reason
    if fact.relation == "look_alike":
        if fact.object in rival.family:
            return score + 0.5, f"{name} and {rival.name} are the top two, and are confused with each other"
        return score - 0.2, reason
    if fact.relation in FEATURES:
        contrast = rival.contrast(graph, fact)
        if contrast > 0:
            weak = fact.polarity == "absent" or (fact.evidence_type == "derived statistic" and (fact.weight or 0) < 2.0)
            return score + (0.3 if weak else 0.6), f"separates {name} from {rival.name}"
        if contrast == 0 and fact.polarity == "present":
            return score + 0.25, f"sign of {name} that is not known of {rival.name}"
        if contrast < 0:
            return score - 0.45, f"sign that {name} shares with {rival.name}"
    return score, reason


def _strength(fact: Fact) -> float:
    """Statistics count by their lift, panels by agreement; 0 where there is no number."""
    if fact.relation not in FEATURES or fact.weight is None:
        return 0.0
    if fact.evidence_type == "derived statistic":
        return 0.25 * min(abs(math.log2(max(fact.weight, 0.05))), 3.0) / 3.0
    return 0.1 * fact.weight


@dataclass(frozen=True)
class _Rival:
    """What the other of the top two is known to show, and to lack."""

    name: str
    family: frozenset[str]
    said: frozenset[tuple[str, str]]  # feature and polarity
    shown: frozenset[str]  # by a described condition, with all that these are forms of
    lacked: frozenset[str]

    @classmethod
    def of(cls, graph: Graph, node: str) -> _Rival:
        facts = [f for f in graph.facts(node, family=True) if f.relation in FEATURES and not graph.is_pitfall(f)]
        described = [fact for fact in facts if graph.node(fact.subject).tier == 1]
        shown = [fact.object for fact in described if fact.polarity == "present"]
        return cls(
            name=graph.node(node).name,
            family=frozenset(graph.family(node)),
            said=frozenset((fact.object, fact.polarity) for fact in facts),
            shown=frozenset(key for feature in shown for key in (feature, *graph.ancestors(feature))),
            lacked=frozenset(fact.object for fact in described if fact.polarity == "absent"),
        )

    def contrast(self, graph: Graph, fact: Fact) -> int:
        """1: the rival is known for the opposite; -1: for the same; 0: nothing is known of it.

        What lacks streaks also lacks irregular streaks.
        """
        if (fact.object, fact.polarity) in self.said:
            return -1
        if fact.polarity == "absent":
            return int(fact.object in self.shown)
        return int(not self.lacked.isdisjoint((fact.object, *graph.ancestors(fact.object))))


def _specificity(graph: Graph, fact: Fact) -> float:
    """A sign that few conditions have says more than one that many have."""
    if fact.relation not in FEATURES or fact.polarity == "absent":
        return 0.0
    return 0.3 / max(graph.showing(fact.object), 1) + FIRST / (1 + _place(graph, fact))


def _place(graph: Graph, fact: Fact) -> int:
    """Where the fact stands among its condition's: sources tend to list what matters first."""
    listed = [other.id for other in graph.facts(fact.subject, fact.relation)]
    return listed.index(fact.id)


def _standing(graph: Graph, fact: Fact, node: str) -> float:
    """A subtype's facts stand behind those of the diagnosis itself; a group has its members' facts."""
    if fact.subject == node:
        return 1.0
    is_member = node in GROUPS and graph.node(fact.subject).tier == 1
    return 0.95 if is_member else 0.5


def _fits(graph: Graph, fact: Fact, context: PatientContext | None, findings: Sequence[Finding]) -> Iterator[Reason]:
    """What of the measurements and of the patient speaks for naming the fact; the first one counts."""
    for finding in findings:
        if shows(finding) and FINDING_SIGNS.get(finding.code) == fact.object:
            seen = "the specialist sees" if finding.code in STRUCTURE_SIGNS else "was measured"
            yield Reason("findings", f"fits what {seen}: {finding.text}")
    for told, needles in _told(graph, context):
        qualifier = graph.numbers(fact.id).qualifier
        if needles.search(f"{fact.text} {qualifier}"):
            yield Reason("patient", f"fits what was told: {told}")


def shows(finding: Finding) -> bool | None:
    """Whether the lesion shows the sign that a finding is about; None where that is open, or was not compared."""
    if finding.code in STRUCTURE_SIGNS:
        return finding.is_seen
    if finding.percentile is None:
        return None
    return True if finding.percentile >= ABNORMAL else False if finding.percentile <= USUAL else None


def _told(graph: Graph, context: PatientContext | None) -> Iterator[tuple[str, re.Pattern[str]]]:
    """What was told, and the words by which facts speak of it."""
    if context is None:
        return
    for name in sites_of(graph, context.site or ""):
        yield (context.site or "").lower(), whole_words(SITE_WORDS[name])
    for symptom in context.symptoms:
        if symptom in SYMPTOM_WORDS:
            yield symptom, word_beginnings(SYMPTOM_WORDS[symptom])
    if context.age is not None and context.age >= 60:
        yield f"age {context.age}", whole_words(("older age", "advanced age", "over 60"))
    if context.skin_type is not None and context.skin_type <= 2:
        yield f"skin type {context.skin_type}", whole_words(("fair skin",))


def sites_of(graph: Graph, told: str) -> list[str]:
    """The keys of `SITE_WORDS` that a site has among its names: neither "ear" for a forearm nor "back" for a hand's."""
    found = [graph.node(mention.id) for mention in link(graph, _BACK_OF.sub("", told))]
    names = [(*words(name),) for node in found for name in (node.name, *node.synonyms) if node.kind == "BodySite"]
    return [key for key in SITE_WORDS if (*words(key),) in names]


@cache
def whole_words(needles: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of them as a whole word, one or several: "ear" in "on the ears", not in "forearm" or "early"."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, needles))})s?\b", re.IGNORECASE)


@cache
def word_beginnings(needles: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of them where a word begins: "bleed" in "bleeding", "tender" in "tenderness", not in "pretender"."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, needles))})", re.IGNORECASE)
