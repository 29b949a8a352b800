"""A sentence -> the relations that it states. Knows words and the graph's names, judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dermiq.knowledge.check.pairs import (
    FEATURE_KINDS,
    IS,
    RELATION_OF_KIND,
    affirms,
    in_other_order,
    in_role,
    inside,
    is_connected,
    is_known,
    without,
    words_between,
)
from dermiq.knowledge.check.predicates import Stance, stance
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.lexicon import denials, leaves_open, pattern
from dermiq.knowledge.language.link import Mention, link

MEASURED_SIGNS = frozenset({"sign:asymmetry", "sign:border", "sign:colour", "sign:diameter"})
_CLAUSES = re.compile(
    r"\s*(?:;|,?\s+\b(?:while|whereas|but|although|though|however|yet)\b"
    r"|,\s+(?:and|so)\s+(?=\w+ (?:is|are|shows?|has)\b)"
    r"|\s+and\s+(?=(?:is|are|has|have|shows?|can|may|needs?|should|does|do)\b))\s*",
    re.IGNORECASE,
)
_LOOKS = re.compile(
    r"\b(?:mimic(?:s|ked|king)?|looks? (?:\w+ )?like|look-?alikes?|resembl\w+|mistaken|confus\w+"
    r"|differential(?: diagnos[ei]s)? (?:of|for|to)"
    r"|tell(?:ing)?\b.+\bfrom\b"
    r"|similar|imitat\w+|distinguish\w*|differentiat\w+|told (?:apart|from)|tell(?:ing)? (?:apart|from)|overlap\w*)\b",
    re.IGNORECASE,
)
_KIND_OF = re.compile(
    r"^\W*(?:(?:does|do) not belong to the group (?:called|of)"
    r"|(?:an?|one of the) (?:forms?|types?|kinds?|variants?|variet(?:y|ies)|subtypes?) of)(?:\W+(?:an?|the))?\W*$",
    re.IGNORECASE,
)
_MEANS = re.compile(r"\b(?:on|under|through|by|with|in|at)\s+(?:the\s+|an?\s+)?$", re.IGNORECASE)
_ICD = re.compile(r"\b([A-Z]\d{2}(?:\.\d{1,2})?)\b")
_SNOMED = re.compile(r"\b(\d{6,9})\b")
_LEVEL = re.compile(
    r"\b(low|medium|high)(?:[- ]risk\b)|\brisk\w*\b.*?\b(?:is|answer|as|of)\W+(low|medium|high)\b", re.IGNORECASE
)
_RATERS = re.compile(r"\b(?:dermatologists?|specialists?|doctors?|readers?|rate[sd]?)\b", re.IGNORECASE)
_OVER = re.compile(
    r"\b(?:over|than|rather than|instead of|unlike|as opposed to|in contrast (?:with|to)|contrary to"
    r"|versus|vs\.?|compared (?:with|to))(?: (?:of|in|with|for))?"
    r"(?:\W+(?:an?|the|any))?\W*$"
    r"|\b(?:apart|told|tell\w*|distinguish\w*|differentiat\w*|separat\w*|set\w*) .*\bfrom(?:\W+(?:an?|the|any))?\W*$",
    re.IGNORECASE,
)
_CASE = re.compile(
    r"\bthere (?:is|are)\b|\b(?:this|the|our|present) (?:lesion|case|image|mole|spot|patient)(?:'s)?\b"
    r"|\bhere\b|\b(?:is|are) (?:seen"
    r"|visible|present|noted)\b(?! (?:in|with|on)\b)"
    r"|\bI (?:see|note|observe)\b|\bwe see\b|\bobserved\b",
    re.IGNORECASE,
)
_IT_IS_A = re.compile(
    r"^\W*(?:it|this|they|these)(?:'s|\W+(?:is|are))\b[^,;:]*"
    r"\b(?:forms?|types?|kinds?|variants?|subtypes?) of\W+(?:an?\W+|the\W+)?$",
    re.IGNORECASE,
)
_COMMON_THING = re.compile(
    r"\b(?:common|uncommon|rare|frequent)\s+(?:\w+\s+){0,2}?"
    r"(?:conditions?|diseases?|disorders?|cancers?|tumou?rs?|infections?|problems?|growths?|complaints?|types?|forms?)\b",
    re.IGNORECASE,
)
"""How common the condition is says nothing of how common its signs are."""
_MAKES = re.compile(r"\bmak(?:es?|ing)\b", re.IGNORECASE)
_THERE = re.compile(r"there\b", re.IGNORECASE)
_IN = re.compile(r"\bin\W+(?:an?\W+|the\W+)?$", re.IGNORECASE)
_PRONOUN = re.compile(
    r"^\W*(?:it|its|they|these|this diagnosis|such lesions|the (?:diagnosis|disease|condition))\b", re.IGNORECASE
)
_VERB_FIRST = re.compile(r"^\W*(?=(?:is|are|has|have|shows?|can|may|needs?|should|does|do)\b)", re.IGNORECASE)
_OF_A_LOOK = re.compile(r"\bdermoscopy of\W+(?:an?\W+|the\W+)?$", re.IGNORECASE)
UNREAD = "unread"
"""Relation of a pair of which something is said that no edge could say."""
_REFER = re.compile(
    r"\b(?:refer(?:s|red|ral)?|appointment|suspected[- ]cancer pathway"
    r"|(?:two|2)[- ]weeks?|within (?:two|2) weeks|urgent(?:ly)?)\b",
    re.IGNORECASE,
)
_URGENT = re.compile(
    r"\b(?:urgent(?:ly)?|two[- ]weeks?|2[- ]weeks?|suspected[- ]cancer|immediate(?:ly)?)\b", re.IGNORECASE
)
_CONDITION = re.compile(r"\b(?:only (?:if|when|where|after)|unless|if|when|where)\b", re.IGNORECASE)
_ROUTINE = re.compile(
    r"\b(?:routine(?:ly)?|no (?:hurry|rush)|non-?urgent"
    r"|no (?:urgent )?referral|not (?:\w+ )?(?:urgent\w*|referred|refer))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Relation:
    """(subject, relation, object) as a sentence states it. `holds` is false where it denies it."""

    subject: str
    relation: str
    object: str  # node id, or "urgent" and "routine" for refer_if
    holds: bool
    weak: bool  # "can", "sometimes"
    about_case: bool  # says that this very lesion shows it
    often: bool = False  # "typically", "often"
    seldom: bool = False  # "rarely", "not usually"
    clause: str = ""  # where it is said


@dataclass(frozen=True)
class Reading:
    """What was understood of a sentence."""

    relations: tuple[Relation, ...]
    mentions: tuple[Mention, ...]


def read_sentence(graph: Graph, sentence: str, *, topic: str | None) -> Reading:
    """`topic` is what "it" stands for: the diagnosis that was asked about or named before."""
    relations: list[Relation] = []
    mentions: list[Mention] = []
    spoken_of = True  # the clause before, or what asked for this text, was about the topic
    own_topic = False  # "it" is what this sentence named, not the lesion
    if leaves_open(sentence):
        return Reading((), tuple(link(graph, sentence)))
    for clause in _CLAUSES.split(sentence):
        if not clause:
            continue
        named = link(graph, clause)
        mentions += named
        conditions = [mention for mention in named if graph.node(mention.id).kind == "Disease"]
        if conditions and topic and _IT_IS_A.search(clause[: conditions[0].start]):
            group = conditions[0].id
            relations.append(Relation(topic, "is_a", group, holds=True, weak=False, about_case=False))
            named = [mention for mention in named if mention != conditions[0]]
        elif conditions:
            topic, own_topic = conditions[0].id, True
        named_it = bool(conditions or _PRONOUN.search(clause)) or (spoken_of and bool(_VERB_FIRST.search(clause)))
        spoken_of = named_it
        read = list(_of_clause(graph, clause, named, topic=topic if named_it else None, own_topic=own_topic))
        relations += read
        relations += _unread_behaviour(graph, named, read, topic)
    return Reading(tuple(dict.fromkeys(relations)), tuple(mentions))


def _unread_behaviour(
    graph: Graph, named: Sequence[Mention], read: Sequence[Relation], topic: str | None
) -> Iterator[Relation]:
    """ "... but some can be cancerous" says something of the condition before it, which is not read."""
    judged = {relation.object for relation in read} | {relation.subject for relation in read}
    for mention in named:
        if topic and graph.node(mention.id).kind == "Behaviour" and mention.id not in judged:
            yield Relation(topic, UNREAD, mention.id, holds=True, weak=False, about_case=False)


def _of_clause(
    graph: Graph, clause: str, named: Sequence[Mention], *, topic: str | None, own_topic: bool
) -> Iterator[Relation]:
    conditions = [mention for mention in named if graph.node(mention.id).kind == "Disease"]
    subjects = [mention for mention in conditions if not _OVER.search(clause[: mention.start])]
    pronoun = _PRONOUN.search(clause) or _VERB_FIRST.search(clause)
    if not conditions and topic and pronoun:
        subjects = [Mention(0, pronoun.end(), pronoun.group(), topic, graph.node(topic).name)]
    if not subjects:
        subjects = list(inside(graph, named))
    if not subjects:
        return
    yield from _look_alikes(graph, clause, conditions)
    kinds = list(_kinds(clause, conditions))
    yield from kinds
    yield from _referral(clause, subjects)
    yield from _coded(clause, subjects[0])
    yield from _risk(clause, subjects[0])
    if _LOOKS.search(clause) and len(conditions) > 1:
        return  # "X can be told from Y by its veil": whose sign it is, is not said
    if kinds and len(kinds) == len(conditions) - 1:
        conditions = []
    for mention in (*named, *in_other_order(graph, clause, named, subjects)):
        for subject in subjects:
            other = in_role(graph, subject, mention, is_subject=mention in conditions[:1])
            if other is None:
                continue
            kind = graph.node(other.id).kind
            if kind not in FEATURE_KINDS and pattern("names it not").search(clause[: subject.start]):
                continue  # "two red legs are hardly ever cellulitis" does not deny the legs
            if kind == "Test" and _MEANS.search(clause[: other.start]) and _names_a_feature(graph, named):
                continue  # "under the dermatoscope": how the feature is seen, not how the diagnosis is made
            if pattern("without").match(words_between(clause, subject, other)) and clause[other.end :].strip(" ."):
                continue  # "melanoma without a veil has ...": which melanomas are meant, no statement on the veil
            said = "says it" if kind == "Behaviour" else _stance(kind, clause, subject, other, named)
            known = kind != "Behaviour" and is_known(graph, subject.id, other.id)
            if said == "says nothing" and kind == "Treatment" and not conditions:
                known = False  # "it is composed of cryotherapy": who is meant and what is said are both guesses
            if not known and not is_connected(kind, clause, subjects, other):
                continue
            is_it = not own_topic and subject.text.strip().lower() in ("it", "its") and kind in FEATURE_KINDS
            if is_it and other.id in MEASURED_SIGNS:
                continue  # "it is asymmetric" is said of the lesion, and judged against the measurement
            bare = _COMMON_THING.sub(" ", without(clause, (subject, other)))
            about_case = is_it or (kind in FEATURE_KINDS and _is_of_this_case(clause, subject))
            holds = affirms(kind, clause, subject, other, subjects=subjects, opposite=said == "says the opposite")
            unsaid = kind == "Treatment" and said == "says nothing" and bool(_MAKES.search(clause))
            yield Relation(
                subject=subject.id,
                relation=UNREAD if said == "says something else" else RELATION_OF_KIND[kind],
                object=other.id,
                holds=holds,
                weak=unsaid or bool(pattern("weak").search(bare)),
                about_case=about_case,
                often=bool(pattern("usually").search(bare)),
                seldom=bool(pattern("seldom").search(bare)),
                clause=clause,
            )


def _is_of_this_case(clause: str, subject: Mention) -> bool:
    """Whether this very lesion is spoken of: "there are no comedones", but not "there are no comedones in rosacea"."""
    found = _CASE.search(clause)
    return found is not None and not (_THERE.match(found.group()) and _IN.search(clause[: subject.start]))


def _stance(kind: str, clause: str, subject: Mention, other: Mention, named: Sequence[Mention]) -> Stance:
    if kind not in FEATURE_KINDS and _OF_A_LOOK.search(clause[: subject.start]):
        return "says something else"  # it is not the dermoscopy that is treated
    first, second = sorted((subject, other), key=lambda mention: mention.start)
    for mention in named:  # blanked, so that the places of the others stay
        clause = clause[: mention.start] + " " * (mention.end - mention.start) + clause[mention.end :]
    return stance(
        kind,
        before=clause[: first.start],
        between=clause[first.end : second.start],
        after=clause[second.end :],
        condition_first=first is subject,
    )


def _names_a_feature(graph: Graph, named: Sequence[Mention]) -> bool:
    return any(graph.node(mention.id).kind in FEATURE_KINDS for mention in named)


def _look_alikes(graph: Graph, clause: str, conditions: Sequence[Mention]) -> Iterator[Relation]:
    match = _LOOKS.search(clause)
    if match is None or len(conditions) < 2:
        return
    denied = denials(clause) > 0
    if re.search(r"\b(?:distinguish|differentiat|apart|told|tell)", match.group(), re.IGNORECASE):
        denied = False
    first = conditions[0]
    for second in conditions[1:]:
        if second.id != first.id:
            yield Relation(first.id, "look_alike", second.id, holds=not denied, weak=False, about_case=False)


def _kinds(clause: str, conditions: Sequence[Mention]) -> Iterator[Relation]:
    """'Lentigo maligna is a form of melanoma'."""
    for first, second in pairwise(conditions):
        between = clause[first.end : second.start]
        stated = IS.search(between) or _KIND_OF.search(between)
        if first.id != second.id and stated and not pattern("ranked").search(between):
            denied = denials(clause[: second.start]) > 0
            yield Relation(first.id, "is_a", second.id, holds=not denied, weak=False, about_case=False)


def _coded(clause: str, subject: Mention) -> Iterator[Relation]:
    """'B07.8 is the ICD-10-CM code of a common wart'."""
    pattern, system = (_SNOMED, "SNOMED CT") if "SNOMED" in clause else (_ICD, "ICD-10-CM")
    if not re.search(r"\b(?:SNOMED|ICD|code[ds]?)\b", clause):
        return
    for code in pattern.findall(clause):
        denied = denials(clause) > 0
        yield Relation(subject.id, "coded_as", f"{system} {code}", holds=not denied, weak=False, about_case=False)


def _risk(clause: str, subject: Mention) -> Iterator[Relation]:
    """'Dermatologists see it as a condition of low risk'."""
    bare = without(clause, (subject,))
    level = _LEVEL.search(bare)
    if level and _RATERS.search(bare):
        word = next(filter(None, level.groups())).lower()
        yield Relation(subject.id, "risk_level", word, holds=not denials(bare), weak=False, about_case=False)


def _referral(clause: str, subjects: Sequence[Mention]) -> Iterator[Relation]:
    bare = without(clause, subjects)
    if not _REFER.search(bare):
        return
    level = "routine" if _ROUTINE.search(bare) else "urgent" if _URGENT.search(bare) else None
    if level and not denials(_ROUTINE.sub(" ", bare)):
        weak = bool(_CONDITION.search(bare) or pattern("weak").search(bare))
        yield Relation(subjects[0].id, "refer_if", level, holds=True, weak=weak, about_case=False, clause=clause)
