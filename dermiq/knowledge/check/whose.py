"""Whose fact? A sentence that the graph supports may be true of another condition than the one that leads here.

    mel = check_claims(graph, "Actinic keratosis is treated with cryotherapy.", diagnosis="mel")
    mel[0].verdict        # "another_condition"

What is known of another condition stays supported where the sentence itself says of whom it speaks ("Unlike a nevus,
melanoma ..."). What is done about another condition never does: a reader acts on it. Knows the graph, judges no truth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.lexicon import pattern
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.wording import in_the_graphs_names
from dermiq.types import Claim, Fact

MANAGEMENT = frozenset({"treated_by", "refer_if", "diagnosed_by"})
"""Relations on which somebody acts."""

_HOW = (
    r"(?:(?:early|thin|thick|invasive|superficial|nodular|suspected|probable|possible|presumed|likely|malignant|benign"
    r"|small|large|pigmented|atypical|typical|particular|advanced|ulcerated|new|old|common|classic|simple)\s+)?"
)
_OF_THIS_ONE = re.compile(
    rf"\b(?:this|these|your|our|his|her|(?:the|this) patient's|the present)\s+{_HOW}$"
    r"|\b(?:it|this|that|(?:this|the|your|our) (?:lesion|mole|spot|growth|mark|patch|tumou?r|one|skin lesion|diagnosis"
    r"|case|diagnosis here|answer))\s+(?:is|was|would be|will be|must be|has to be|represents)\s+"
    rf"(?:(?:most|very) )?(?:\w+ly\s+)?(?:an?\s+|the\s+)?{_HOW}$",
    re.IGNORECASE,
)
"""Before a name: it is said of this very lesion ("this melanoma", "since it is a melanoma")."""


def about_whom(graph: Graph, claim: Claim, lesion: str | None) -> Claim:
    """The claim, "another_condition" where its facts are of another one than `lesion` (a node id), as above."""
    if claim.verdict != "supported" or not claim.fact_ids or lesion is None:
        return claim
    text, facts = in_the_graphs_names(claim.text), [graph.fact(key) for key in claim.fact_ids]
    named = [mention for mention in link(graph, text) if graph.node(mention.id).kind == "Disease"]
    acted_on = [fact for fact in facts if fact.relation in MANAGEMENT]
    acts = bool(acted_on) or pattern("follow up").search(text) is not None
    decisive = acted_on or facts
    if any(_is_own(graph, fact, lesion, named) for fact in decisive):
        return claim
    if not acts and _says_of_whom(graph, text, decisive, named):
        return claim
    other, own = (graph.node(key).name for key in (_other(graph, decisive, named), lesion))
    return replace(claim, verdict="another_condition", note=f"true of {other}; here {own} leads")


def _other(graph: Graph, facts: Sequence[Fact], named: Sequence[Mention]) -> str:
    """Of which condition it is true: the named one that the facts are about, else the one that most of them are of."""
    subjects = [fact.subject for fact in facts]
    for mention in named:
        if any(subject in kin(graph, mention.id) for subject in subjects):
            return mention.id
    return max(subjects, key=lambda subject: sum(other in graph.family(subject) for other in subjects))


def kin(graph: Graph, node_id: str) -> frozenset[str]:
    """A condition, its kinds, and what it is a kind of."""
    return frozenset((node_id, *graph.family(node_id), *graph.ancestors(node_id)))


def _is_own(graph: Graph, fact: Fact, lesion: str, named: Sequence[Mention]) -> bool:
    """Whether a fact is about the lesion's condition, or about one of a group that the sentence names and it is in."""
    own = kin(graph, lesion)
    if {fact.subject, fact.object} & own:
        return True
    groups = {mention.id for mention in named} & set(graph.ancestors(lesion))
    return any(fact.subject in graph.family(group) for group in groups)


def _says_of_whom(graph: Graph, text: str, facts: Sequence[Fact], named: Sequence[Mention]) -> bool:
    """Whether every fact's condition is named, and none of them as if it were this lesion."""
    spoken_of = {mention.id for mention in named if not _OF_THIS_ONE.search(text[: mention.start])}
    theirs = {key for node in spoken_of for key in kin(graph, node)}
    return all({fact.subject, fact.object} & theirs for fact in facts)
