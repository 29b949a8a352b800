"""Which names of a clause belong together, whether its words connect them, and whether it affirms that.

Knows words and the graph's names, judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.cues import triggers
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import denials, part, pattern
from dermiq.knowledge.language.link import Mention
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import tokens, words

FEATURE_KINDS = frozenset({"DermoscopicFeature", "Sign", "Symptom"})
RELATION_OF_KIND = {
    "DermoscopicFeature": "has_dermoscopic_feature",
    "Sign": "has_sign",
    "Symptom": "has_symptom",
    "BodySite": "located_at",
    "RiskFactor": "risk_factor",
    "Treatment": "treated_by",
    "Test": "diagnosed_by",
    "RedFlag": "red_flag",
    "Behaviour": "behaves_as",
}
_FOR = re.compile(
    r"\b(?:(?:speak|argue|count|tell)(?:s|ing)?(?: strongly| clearly)? (?:for|against)|against|favou?rs?|favou?ring"
    rf"|{part('USUALLY')}|{part('RARELY')}|{part('LACKING')}|absen(?:t|ce)|missing|never"
    r"|support(?:s|ing|ive)?|suggest(?:s|ing|ive)?|characteri[sz]ed?|consistent with|compatible with|seen (?:in|with)"
    r"|found (?:in|with|on)|features? of|signs? of|clues? (?:to|for)|show(?:s|ed|n|ing)?|display(?:s|ing)?"
    r"|exhibit(?:s|ing)?|presents?|indicat(?:es?|ing|ive)|points? (?:to|towards?)|associated with|diagnostic"
    r"|pathognomonic|has|have|having|raises?|increas(?:es?|ing)|suspicious|concerning|marker|marks?|occurs?|appears?"
    r"|expect(?:s|ed)?|looks?|(?:think|thinks|thought) of|more likely|known for|defined by|contains?|due to"
    r"|caused? by|causes?|not (?:seen|found|present|expected)|with)\b",
    re.IGNORECASE,
)
_TREATS = re.compile(
    r"\b(?:treat(?:s|ed|ment|ments|ing)?|manag(?:e|ed|ement|ing)|remov(?:e|ed|al)|first[- ]line|therap(?:y|ies)"
    r"|respond(?:s)?"
    r"|need(?:s|ed)?|requir(?:e|es|ed)|choice|excised|option|clears?|cured?|recommended|indicated|preferred)\b",
    re.IGNORECASE,
)
_RISKS = re.compile(
    r"\b(?:risks?|caus(?:e|es|ed|ing)|predispos\w+|related to|linked to|associated with|due to|trigger\w*|worsen\w*"
    r"|aggravat\w+|rais(?:e|es|ed|ing)|increas(?:e|es|ed|ing)|favou?rs?|prone|follows?|(?:comes?|goes|go) with"
    rf"|(?:{part('USUALLY')}|{part('RARELY')}|seen|likely|occurs?|appears?|found)"
    r" (?:in|with|after)"
    r"|affects?|defined by|known for|signs? of|features? of|against)\b",
    re.IGNORECASE,
)
_TESTS = re.compile(
    r"\b(?:diagnos\w+|confirm\w*|settle[sd]?|establish\w*|prove[nds]?|gold standard|made by|need(?:s|ed)?|requir\w+)\b",
    re.IGNORECASE,
)
IS = re.compile(
    r"^\W*(?:is|are|remains?|as|being|was|counts?|belongs?)\b(?:\W+(?:as|to|an?|the|generally|considered|entirely"
    rf"|{part('USUALLY')}|{part('NEVER')}|completely|by|definition|one|of|kinds?|types?|forms?|variet(?:y|ies)"
    r"|variants?|subtypes?|group|called|known|also|very|clearly|potentially|does|do)\b)*\W*$",
    re.IGNORECASE,
)
_AMONG = re.compile(
    r"\b(?:class(?:es|ed|ify|ified)?|count(?:s|ed)?|consider(?:s|ed)?|among|regard(?:s|ed)?)\b", re.IGNORECASE
)
_AT = re.compile(r"\b(?:on|in|at|around|of|for|affects?|involv\w+)\b", re.IGNORECASE)
_LIES = re.compile(
    rf"\b(?:{part('USUALLY')}|found|occurs?|lies?|located|develops?|sites?|places?|spots?)\b", re.IGNORECASE
)
HEREDITY = "riskfactor:heredity"
LOOSE = 8  # words over which the words of one name may be spread
_SPREAD: WeakKeyDictionary[Graph, dict[str, tuple[tuple[str, tuple[frozenset[str], ...]], ...]]] = WeakKeyDictionary()
VERBAL = frozenset({"bleed", "bleeds", "bled", "dimple", "dimples", "itch", "itches", "hurts", "ulcerate", "ulcerates"})
"""Names of signs that are verbs: they need no other."""


def in_other_order(
    graph: Graph, clause: str, named: Sequence[Mention], subjects: Sequence[Mention]
) -> Iterator[Mention]:
    """Names of several words that the subjects' facts have, where the clause has the words in another order.

    "The lymph nodes are enlarged" names enlarged lymph nodes. Too loose for a name that the graph does not tie to
    the subject, so the linker leaves it. With more than one denial it is not clear what is denied.
    """
    line = tokens(clause)
    inside = [any(m.start <= token.start < m.end for m in named) for token in line]
    stems = [stem(token.word) for token in line]
    free = {word for word, taken in zip(stems, inside, strict=True) if not taken}
    denied = denials(clause)
    if denied > 1:
        return
    seen = {mention.id for mention in named}
    for key, names in {key: names for subject in subjects for key, names in _spread(graph, subject.id)}.items():
        if key in seen:
            continue
        for needed in names:
            if not needed <= free:
                continue
            places = [stems.index(word) for word in needed]
            first, last = min(places), max(places)
            if last - first < LOOSE:
                start, end = line[first].start, line[last].end
                if any(start < subject.start and subject.end < end for subject in subjects):
                    end = line[first].end  # "leave a dermatofibroma alone": the condition stands within the name
                around = clause[line[max(first - 3, 0)].start : line[min(last + 3, len(line) - 1)].end]
                negated = denials(around) > 0
                if negated == bool(denied):
                    yield Mention(start, end, clause[start:end], key, graph.node(key).name, negated=negated)
                break


def _spread(graph: Graph, subject: str) -> tuple[tuple[str, tuple[frozenset[str], ...]], ...]:
    """What the condition's facts name -> its names of several words, as stems; made once a condition."""
    known = _SPREAD.setdefault(graph, {})
    if subject not in known:
        keys = dict.fromkeys(fact.object for fact in graph.facts(subject))
        nodes = [graph.node(key) for key in keys if key in graph and graph.node(key).kind in RELATION_OF_KIND]
        stems = ((node.id, map(_stems_of, (node.name, *node.synonyms))) for node in nodes)
        known[subject] = tuple((key, tuple(name for name in names if len(name) > 1)) for key, names in stems)
    return known[subject]


@remembered(10_000)
def _stems_of(name: str) -> frozenset[str]:
    """Without what follows "with": a delta-wing jet is meant where "with contrail" is left out."""
    return frozenset(stem(word) for word in words(name.split(" with ")[0]) if word == "lesion" or word not in FREQUENT)


def inside(graph: Graph, named: Sequence[Mention]) -> Iterator[Mention]:
    """The condition within another name: of a referral rule ("suspected keratoacanthoma"), "a parent with melanoma"."""
    for mention in named:
        for key in sorted({fact.subject for fact in graph.facts_about(mention.id)}):
            node = graph.node(key)
            is_rule = graph.node(mention.id).kind == "ReferralRule"
            names = (node.name, *node.synonyms)
            if is_rule or (node.kind == "Disease" and any(set(words(n)) < set(words(mention.text)) for n in names)):
                yield Mention(mention.end, mention.end, "", key, node.name, negated=mention.negated and is_rule)


def in_role(graph: Graph, subject: Mention, mention: Mention, *, is_subject: bool) -> Mention | None:
    """The mention as what it is to the subject: cellulitis may be a disease or an alarm. None where it is nothing."""
    if mention.start == subject.start or is_subject:
        return None
    if mention.start < subject.end and subject.start < mention.end:
        return None
    roles = [key for key in graph.roles.get(words(mention.text), ()) if key != mention.id]
    roles = [mention.id, *roles]
    fitting = [key for key in roles if graph.node(key).kind in RELATION_OF_KIND]
    if mention.id == HEREDITY:
        fitting += [key for key in (_in_the_family(graph, subject.id),) if key]
    known = next((key for key in fitting if is_known(graph, subject.id, key)), None)
    if known is None and graph.node(mention.id).kind == "Disease":
        return None
    key = known or (mention.id if mention.id in fitting else None)
    return replace(mention, id=key, name=graph.node(key).name) if key else None


def _in_the_family(graph: Graph, subject: str) -> str | None:
    """The risk "family history of X" of X itself: psoriasis runs in families."""
    node = graph.node(subject)
    names = {words(f"family history of {name}") for name in (node.name, *node.synonyms)}
    risks = (fact.object for fact in graph.facts(subject, "risk_factor"))
    return next((key for key in risks if words(graph.node(key).name) in names), None)


def is_known(graph: Graph, subject: str, other: str) -> bool:
    """Whether the graph says anything of the two, for or against: then a sentence that names both speaks of that."""
    return any(fact.object == other for fact in graph.facts(subject))


def is_connected(kind: str, clause: str, subjects: Sequence[Mention], other: Mention) -> bool:
    bare = without(clause, (*subjects, other))
    if kind == "Treatment":
        return bool(_TREATS.search(bare))
    if kind == "Test":
        return bool(_TESTS.search(bare))
    if kind == "RedFlag" or (kind in FEATURE_KINDS and other.text.lower() in VERBAL):
        return True
    if kind == "Behaviour":
        return any(_copula(clause, subject, other) for subject in subjects) or bool(_AMONG.search(bare))
    if kind == "RiskFactor":
        return bool(_RISKS.search(bare) or pattern("against").search(bare))
    if kind == "BodySite":
        return bool(_AT.search(bare)) and bool(_LIES.search(bare))
    return bool(
        _FOR.search(bare) or pattern("against").search(bare) or IS.search(words_between(clause, subjects[0], other))
    )


def affirms(
    kind: str, clause: str, subject: Mention, other: Mention, *, subjects: Sequence[Mention], opposite: bool
) -> bool:
    """Whether the clause affirms the pair; `opposite` where its predicate says the contrary, which "not" turns back."""
    if kind == "BodySite" and pattern("spares").search(clause):
        return denials(clause) == 1
    if kind == "BodySite" and other.end <= subject.start and pattern("doubted behind").match(clause[subject.end :]):
        return False
    bare = without(clause, (subject, other))
    denied = denials(bare)
    holds = other.negated if opposite else not other.negated
    if opposite:
        return holds != (denied == 1 and not other.negated)
    if kind in FEATURE_KINDS or kind == "RiskFactor":
        if _is_against(clause, subject, other, subjects):
            holds = not holds
            if pattern("not against").search(clause):
                holds = not holds
            return holds
        if subject.negated and not (other.negated and triggers(clause) == 1):
            return not holds  # one "not" that stands by both counts once
    elif subject.negated and other.start < subject.start:
        return False
    if holds and denied == 1 and denials(words_between(clause, subject, other)):
        return False
    return holds


def _is_against(clause: str, subject: Mention, other: Mention, subjects: Sequence[Mention]) -> bool:
    """'Argues for a nevus and against melanoma': the word belongs to the name that follows it."""
    if pattern("against it").search(clause[: subject.start]):
        return True
    if any(pattern("against it").search(clause[: rival.start]) for rival in subjects if rival != subject):
        return False
    return bool(pattern("against").search(without(clause, (subject, other))))


def _copula(clause: str, subject: Mention, other: Mention) -> bool:
    between = words_between(clause, subject, other)
    return subject.end <= other.start and bool(IS.search(between)) and not pattern("ranked").search(between)


def words_between(clause: str, one: Mention, other: Mention) -> str:
    first, second = sorted((one, other), key=lambda mention: mention.start)
    return clause[first.end : second.start]


def without(clause: str, mentions: Sequence[Mention]) -> str:
    """The clause with the names cut out, so that "atypical network" is no predicate."""
    for mention in sorted(mentions, key=lambda item: -item.start):
        clause = clause[: mention.start] + " " + clause[mention.end :]
    return clause
