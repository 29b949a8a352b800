"""Sentences against the graph and the measurements: supported, contradicted, or not covered; and whose facts they are.

A sentence is supported only where everything that was understood of it is; silence of the graph
contradicts nothing. Precision comes before recall.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from dermiq.knowledge.check import judged, measured
from dermiq.knowledge.check.citations import cites
from dermiq.knowledge.check.claims import Reading, Relation, read_sentence
from dermiq.knowledge.check.coverage import says_beyond
from dermiq.knowledge.check.openers import claimed
from dermiq.knowledge.check.paraphrase import ABOUT_THE_CASE, restated
from dermiq.knowledge.check.quotes import Quote, quotes, without
from dermiq.knowledge.check.whose import about_whom
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.citation import tied, uncited
from dermiq.knowledge.language.cues import triggers
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import denials, denies, pattern, words_of
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.numbers import in_digits
from dermiq.knowledge.language.plain import plainly, proposition
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import normal, split_sentences, word_set, words
from dermiq.knowledge.language.wording import goes_further, in_the_graphs_names, turns_round
from dermiq.knowledge.retrieve.case import GROUPS, STRUCTURE_SIGNS
from dermiq.knowledge.schema import Node
from dermiq.types import Claim, Evidence, Fact, Finding, Verdict

RARE = ("rare", "limited", "disputed", "less common")
"""How a qualifier begins that says "not as a rule"."""

FEATURE_RELATIONS = frozenset({"has_dermoscopic_feature", "has_sign", "has_symptom"})
_RULE = re.compile(r"\b(?:ABCDE?s?|rule|criteri(?:a|on)|stands? for|defined as|checklist)\b")
_REASONS = re.compile(r"\W*[:,(]|\s*(?:because|given|with (?:its|the)|since|as the|due to)\b", re.IGNORECASE)
_GENERAL = re.compile(r"\b(?:an?|in|most|many|all|every|common|typical|benign|early)\W*$", re.IGNORECASE)
_COUNTED = re.compile(r"\b(\d+) (?:or \w+ )?(hour|day|week|month|year)s?\b", re.IGNORECASE)
NO_HEAD = words_of("named away") | word_set(
    "plus and or behind near around over under between above below beside in on of from with to"
)
"""Words before a name that make it something else: a negative network is no network, behind the ear is not the ear."""

LONGEST = 60
"""Words of a sentence that is read: every name is paired with every other, so an endless one would take minutes."""

NOT_MEASURED = "the graph knows the sign, but whether this lesion shows it was not measured"
TOO_LONG = "too long to be read as one statement"
KNOWN_AS_RARE = "the graph knows it as rare"
KEY_GROUPS = (
    frozenset({"has_dermoscopic_feature", "has_sign"}),
    frozenset({"look_alike"}),
    frozenset({"behaves_as", "risk_level"}),
    frozenset({"refer_if", "treated_by", "diagnosed_by"}),
)
"""What a complete answer about a diagnosis speaks of."""


@dataclass(frozen=True)
class _Decision:
    verdict: Verdict
    facts: tuple[Fact, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Scores:
    """Of a whole answer, each in [0, 1], or None where it cannot be judged."""

    accuracy: float | None  # supported among supported, contradicted, and true of another condition
    relevance: float | None  # sentences that speak of the diagnosis, among those that speak of anything known
    completeness: float | None  # groups of facts touched by supported sentences, among those that the graph holds


def check_claims(
    graph: Graph,
    text: str,
    *,
    findings: Sequence[Finding] = (),
    diagnosis: str | None = None,
    evidence: Evidence | None = None,
) -> tuple[Claim, ...]:
    """One claim a sentence that makes one, or one between semicolons where it is overlong.

    `diagnosis` (code, id or name) is what leads, and what "it" means: what is true of another condition is told apart.
    `evidence` are the facts that were numbered for this text: whether its citations are right is judged by it.
    """
    known = graph.diagnosis(diagnosis) if diagnosis else None
    lesion = known.id if known else None
    claims, asked = ruled(graph, text, findings, lesion)
    if judged.available():
        bars = judged.bars()
        claims = [
            judged.weighed(claim, heard, bars, open_to_judge=is_general(claim))
            for claim, heard in zip(claims, judged.judged_all(graph, asked), strict=True)
        ]
    return tuple(cites(graph, about_whom(graph, claim, lesion), evidence) for claim in claims)


def ruled(
    graph: Graph, text: str, findings: Sequence[Finding], topic: str | None
) -> tuple[list[Claim], list[judged.Asked]]:
    """What the rules say of each sentence, and what the judge is asked about it."""
    claims: list[Claim] = []
    asked: list[judged.Asked] = []
    for sentence in _short(split_sentences(tied(text))):
        said = claimed(sentence)
        if not said:
            continue
        claims.append(_ruled(graph, sentence, said, findings, topic))
        asked.append(judged.Asked(uncited(said), topic, tuple(graph.fact(key) for key in claims[-1].fact_ids)))
        topic = next((m.id for m in link(graph, sentence) if graph.node(m.id).kind == "Disease"), topic)
    return claims, asked


def _ruled(graph: Graph, sentence: str, said: str, findings: Sequence[Finding], topic: str | None) -> Claim:
    """What the rules say of one sentence; `said` is what it claims, its opening taken off."""
    if len(words(sentence)) > LONGEST:
        return Claim(text=sentence, verdict="not_covered", note=TOO_LONG)
    stated = proposition(said)
    cited = quotes(graph, stated.text)
    rest = _rest(stated.text, cited)
    if stated.denied:
        return _judge_denied(graph, sentence, cited, rest, topic)
    return _judge(graph, sentence, cited, rest, read_sentence(graph, rest, topic=topic), findings, topic)


def is_general(claim: Claim) -> bool:
    """Whether a sentence is about a condition, not about this lesion, and was short enough to be read."""
    return (
        claim.note not in (NOT_MEASURED, TOO_LONG) and not claim.finding_codes and not ABOUT_THE_CASE.search(claim.text)
    )


def _rest(sentence: str, cited: list[Quote]) -> str:
    """What a sentence says itself, denials that deny nothing taken off, conditions in the graph's words."""
    return in_the_graphs_names(plainly(without(sentence, cited)))


def _short(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from re.split(r"(?<=;)\s+", sentence) if len(words(sentence)) > LONGEST else (sentence,)


def _judge_denied(graph: Graph, sentence: str, cited: list[Quote], rest: str, topic: str | None) -> Claim:
    """Of "nothing suggests that ...": what is denied is read, and every relation of it turned round.

    Never more than the relations: other words of what is denied say nothing. What is denied only in its strength ("it
    is not true that it always itches") contradicts nothing.
    """
    strong = any(pattern(name).search(rest) for name in ("always", "strong", "usually"))
    turned = [
        replace(relation, holds=not relation.holds, weak=strong, often=False, seldom=False)
        for relation in read_sentence(graph, rest, topic=topic).relations
    ]
    decisions = [_Decision("contradicted", (quote.fact,)) for quote in cited if quote.exact]
    decisions += [_decide(graph, relation, measured_codes=set()) for relation in turned]
    wrong = [decision for decision in decisions if decision.verdict == "contradicted"]
    if wrong:
        note = "; ".join(f"the graph: {decision.facts[0].text}" for decision in wrong if decision.facts)
        return Claim(text=sentence, verdict="contradicted", fact_ids=_ids(wrong), note=note)
    right = [decision for decision in decisions if decision.verdict == "supported"]
    facts = [fact for decision in right for fact in decision.facts]
    if right and len(right) == len(decisions) and not strong and not says_beyond(graph, rest, facts):
        return Claim(text=sentence, verdict="supported", fact_ids=_ids(right))
    return Claim(text=sentence, verdict="not_covered", note="what is denied here is nothing that the graph could judge")


def _judge(
    graph: Graph,
    sentence: str,
    cited: list[Quote],
    rest: str,
    reading: Reading,
    findings: Sequence[Finding],
    topic: str | None,
) -> Claim:
    compared = measured.judge(_of_this_lesion(graph, rest), findings)
    agreed = {item.code for item in compared if item.agrees}
    decisions = [_quoted(quote) for quote in cited]
    decisions += [_decide(graph, relation, measured_codes=agreed) for relation in reading.relations]
    wrong = [decision for decision in decisions if decision.verdict == "contradicted"]
    off = [item for item in compared if not item.agrees]
    same = restated(graph, rest, topic=topic) if wrong and not off else ()
    if same and (denials(rest) or {fact.id for fact in same} <= set(_ids(wrong))):
        return Claim(text=sentence, verdict="supported", fact_ids=tuple(fact.id for fact in same))
    if wrong or off:
        return Claim(
            text=sentence,
            verdict="contradicted",
            fact_ids=_ids(wrong),
            finding_codes=tuple(item.code for item in off),
            note="; ".join([item.note for item in off] + [f"the graph: {d.facts[0].text}" for d in wrong if d.facts]),
        )
    right = [decision for decision in decisions if decision.verdict == "supported"]
    facts = [fact for decision in right for fact in decision.facts]
    read = zip(reading.relations, decisions[len(cited) :], strict=True)
    told = [decision for relation, decision in read if _is_told(graph, relation, facts)]
    open_ones = [decision for decision in decisions if decision.verdict == "not_covered" and decision not in told]
    unknown_number = bool(right) and not _told(right, rest)
    too_much = bool(right) and (_says_more(right, rest) or _differs(rest, facts))
    beyond = says_beyond(graph, rest, facts) if right else ""
    on_the_case = not right and any(graph.node(mention.id).kind == "Disease" for mention in reading.mentions)
    if (right or compared) and not (open_ones or unknown_number or too_much or beyond or on_the_case):
        return Claim(
            text=sentence,
            verdict="supported",
            fact_ids=_ids(right),
            finding_codes=tuple(item.code for item in compared),
            note="; ".join(item.note for item in compared),
        )
    doubted = bool(compared) or any(decision.note not in ("", KNOWN_AS_RARE) for decision in open_ones)
    same = () if doubted else restated(graph, rest, topic=topic)
    if same:
        return Claim(text=sentence, verdict="supported", fact_ids=tuple(fact.id for fact in same))
    note = next((decision.note for decision in open_ones if decision.note), "")
    note = note or ("the graph does not give this number" if unknown_number else "")
    note = note or ("the graph does not say that much" if too_much else "")
    note = note or (f"the graph does not say this: {beyond}" if beyond else "")
    return Claim(text=sentence, verdict="not_covered", note=note or _silence(reading))


def _differs(text: str, facts: Sequence[Fact]) -> bool:
    """Whether a text goes beyond its facts, or is one of them with a denial more or less."""
    return goes_further(text, " ".join(fact.text for fact in facts)) or any(turns_round(text, f.text) for f in facts)


def _of_this_lesion(graph: Graph, text: str) -> str:
    """The part of a sentence that can be about this lesion: not "melanomas are asymmetric", nor a rule's words."""
    if _RULE.search(text):
        return ""
    for mention in link(graph, text):
        if graph.node(mention.id).kind != "Disease" or _REASONS.match(text[mention.end :]):
            continue
        before = text[: mention.start]
        if not before.strip() or _GENERAL.search(before) or _is_plural(mention.text):
            return before
    return text


def _is_plural(name: str) -> bool:
    last = name.split()[-1].lower()
    return not last.endswith("'s") and normal(last) != last and last.endswith(("s", "i"))


def _is_told(graph: Graph, said: Relation, facts: Sequence[Fact]) -> bool:
    """Whether a deciding fact names the site in passing: "like a Christmas tree on the back"."""
    if said.relation != "located_at" or not said.holds:
        return False
    node = graph.node(said.object)
    names = [" ".join(words(name)) for name in (node.name, *node.synonyms)]
    own = [fact for fact in facts if fact.subject == said.subject and fact.polarity == "present"]
    plain = [" ".join(words(fact.text)) for fact in own if not triggers(fact.text)]
    return any(f" {name} " in f" {text} " for text in plain for name in names)


def _quoted(quote: Quote) -> _Decision:
    return _Decision("supported" if quote.exact else "contradicted", (quote.fact,))


def _says_more(decisions: Sequence[_Decision], rest: str) -> bool:
    """Whether the sentence leaves no exception where the deciding facts do: "melanoma always itches"."""
    told = " ".join(fact.text for decision in decisions for fact in decision.facts)
    return bool(pattern("always").search(rest)) and not pattern("always").search(told)


def _told(decisions: Sequence[_Decision], rest: str) -> bool:
    """Whether the deciding facts name every share, count and length of time that the sentence does."""
    line, told = (in_digits(text) for text in (rest, " ".join(f.text for d in decisions for f in d.facts)))
    numbers = re.findall(r"\d+(?:\.\d+)?(?= ?%| of \d)", line)
    counted = [f"{amount}[- ]?{unit}" for amount, unit in _COUNTED.findall(line)]
    return all(re.search(rf"\b{number}", told, re.IGNORECASE) for number in (*(rf"{n}\b" for n in numbers), *counted))


def _silence(reading: Reading) -> str:
    if reading.relations:
        return "the graph says nothing of this"
    return "no statement that the graph could judge" if reading.mentions else "names nothing that the graph knows"


def _ids(decisions: Sequence[_Decision]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fact.id for decision in decisions for fact in decision.facts))


# --- one relation -------------------------------------------------------------------------


def _decide(graph: Graph, relation: Relation, *, measured_codes: set[str]) -> _Decision:
    if relation.relation in FEATURE_RELATIONS:
        return _feature(graph, relation, measured_codes)
    if relation.relation == "look_alike":
        return _look_alike(graph, relation)
    if relation.relation == "is_a":
        return _is_a(graph, relation)
    if relation.relation == "behaves_as":
        return _behaviour(graph, relation)
    if relation.relation == "refer_if":
        return _referral(graph, relation)
    if relation.relation in ("coded_as", "risk_level"):
        return _literal(graph, relation)
    return _plain(graph, relation)


def _feature(graph: Graph, said: Relation, measured_codes: set[str]) -> _Decision:
    near = [fact for fact in graph.facts(said.subject, family=True) if fact.relation in FEATURE_RELATIONS]
    below = set(graph.family(said.object))
    below |= {fact.object for fact in near if _is_narrower(graph.node(fact.object), graph.node(said.object))}
    above = {said.object, *graph.ancestors(said.object)}
    present = [fact for fact in near if fact.polarity == "present" and fact.object in below]
    shown = [fact for fact in present if not graph.is_pitfall(fact) and not _is_rare(graph, fact)]
    shown = _as_often(said, shown)
    pitfalls = [fact for fact in present if graph.is_pitfall(fact)]
    rare = [fact for fact in present if _is_rare(graph, fact)]
    lacked = [
        fact for fact in near if fact.polarity == "absent" and fact.object in above and _applies(graph, fact, said)
    ]
    own_shown = [fact for fact in shown if fact.subject == said.subject and (fact.object == said.object or not lacked)]
    own_lacked = [fact for fact in lacked if fact.subject == said.subject]
    if rare and not shown and not lacked:
        decision = _seldom(said, rare)
    elif said.holds:
        decision = _affirmed(said, shown, pitfalls, own_lacked)
    else:
        decision = _denied(said, own_shown, pitfalls, lacked)
    unmeasured = said.about_case and not _is_measured(said.object, measured_codes)
    if decision.verdict == "supported" and unmeasured:
        return _Decision("not_covered", note=NOT_MEASURED)
    return decision


def _is_narrower(one: Node, other: Node) -> bool:
    """Whether a name of the one is a name of the other with words before it: "purple flat-topped papule"."""
    return not _compared((other.name, *other.synonyms)).isdisjoint(_heads((one.name, *one.synonyms)))


def _is_part(one: Node, other: Node) -> bool:
    """Whether the one joins several sites or ages, and a name of the other is one of them: "palms and soles"."""
    if one.kind not in ("BodySite", "RiskFactor") or " and " not in one.name:
        return False
    parts = tuple(re.split(r", | and ", one.name))
    return not _compared(parts).isdisjoint(_compared((other.name, *other.synonyms)))


@lru_cache(maxsize=20_000)
def _compared(names: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(words(name) for name in names)


@lru_cache(maxsize=20_000)
def _heads(names: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """'purple flat-topped papules' -> (flat, topped, papule), (topped, papule), (papule); none that denies itself."""
    compared = [line for line in _compared(names) if NO_HEAD.isdisjoint(line)]
    return frozenset(line[at:] for line in compared for at in range(1, len(line)))


def _affirmed(said: Relation, shown: list[Fact], pitfalls: list[Fact], own_lacked: list[Fact]) -> _Decision:
    if shown and own_lacked and all(fact.subject != said.subject for fact in shown):
        return _Decision("not_covered") if said.weak else _Decision("contradicted", tuple(_best(own_lacked)))
    if shown and own_lacked and all(fact.object != said.object for fact in shown):
        return _Decision("not_covered", note="the sources disagree")
    if shown:
        return _Decision("supported", tuple(_best(shown)))
    if pitfalls:
        if said.weak:
            return _Decision("supported", tuple(_best(pitfalls)))
        return _Decision("not_covered", note="the graph knows it as a pitfall only")
    if own_lacked and not said.weak:
        return _Decision("contradicted", tuple(_best(own_lacked)))
    return _Decision("not_covered")


def _seldom(said: Relation, rare: list[Fact]) -> _Decision:
    """Of what happens rarely, "rarely" and "can" are true, "often" is not, and a plain word is left open."""
    if said.seldom or (said.holds and said.weak):
        return _Decision("supported", tuple(_best(rare)))
    if said.holds and said.often:
        return _Decision("contradicted", tuple(_best(rare)))
    return _Decision("not_covered", note=KNOWN_AS_RARE)


def _as_often(said: Relation, facts: list[Fact]) -> list[Fact]:
    """What "usually" may rest on: a condition's own facts, unless it is a mere group; a subtype's are not usual."""
    own = [fact for fact in facts if fact.subject == said.subject]
    if said.often and said.holds and said.subject not in GROUPS:
        return own
    return facts


def _is_rare(graph: Graph, fact: Fact) -> bool:
    return graph.numbers(fact.id).qualifier.startswith(RARE)


def _applies(graph: Graph, fact: Fact, said: Relation) -> bool:
    """Whether a fact that holds under a condition ("in pregnancy") can judge the sentence: it must name it too.

    A condition that is itself denied ("no suspicion of melanoma") is not met by naming it.
    """
    condition = words(graph.numbers(fact.id).qualifier)
    if condition and (denies(condition[0]) or condition[0] == "unless"):
        return False
    return set(condition) - FREQUENT <= set(words(said.clause))


def _denied(said: Relation, own_shown: list[Fact], pitfalls: list[Fact], lacked: list[Fact]) -> _Decision:
    if lacked and not own_shown:
        return _Decision("supported", tuple(_best(lacked)))
    if own_shown and not said.weak and all(fact.subject != said.subject for fact in lacked):
        return _Decision("contradicted", tuple(_best(own_shown)))
    if pitfalls and not said.weak and not lacked:
        return _Decision("not_covered", note="the graph knows it as a pitfall")
    return _Decision("not_covered")


def _best(facts: Sequence[Fact]) -> list[Fact]:
    """At most three, the shortest first: it says most plainly what decides."""
    return sorted(facts, key=lambda fact: (len(fact.text), fact.id))[:3]


def _is_measured(node_id: str, codes: set[str]) -> bool:
    signs = {"sign:asymmetry": {"asymmetry"}, "sign:border": {"border_irregularity"}}
    signs["sign:colour"] = {"colour_count", "colour_variegation"}
    signs |= {node: {code} for code, node in STRUCTURE_SIGNS.items()}
    return bool(signs.get(node_id, set()) & codes)


def _look_alike(graph: Graph, said: Relation) -> _Decision:
    ones, others = set(graph.family(said.subject)), set(graph.family(said.object))
    found = [fact for one in ones for fact in graph.facts(one, "look_alike") if fact.object in others]
    found += [fact for other in others for fact in graph.facts(other, "look_alike") if fact.object in ones]
    if not found:
        return _Decision("not_covered")
    return _Decision("supported" if said.holds else "contradicted", tuple(_best(found)))


def _is_a(graph: Graph, said: Relation) -> _Decision:
    if said.object in graph.ancestors(said.subject):
        direct = [fact for fact in graph.facts(said.subject, "is_a") if fact.object == said.object]
        facts = direct or list(graph.facts(said.subject, "is_a"))
        return _Decision("supported" if said.holds else "contradicted", tuple(_best(facts)))
    return _Decision("not_covered")


def _behaviour(graph: Graph, said: Relation) -> _Decision:
    own = graph.facts(said.subject, "behaves_as")
    facts = own or graph.facts(said.subject, "behaves_as", family=True)
    kinds = {fact.object for fact in facts if fact.polarity == "present"}
    if len(kinds) != 1:
        return _Decision("not_covered")
    same = said.object in kinds
    if not same and "behaviour:indeterminate" in kinds | {said.object}:
        if said.object == "behaviour:indeterminate" and said.holds and "behaviour:benign" in kinds:
            return _Decision("contradicted", tuple(_best(facts)))
        return _Decision("not_covered")
    if same != said.holds and not own:
        return _Decision("not_covered")  # members of a group: another one may behave otherwise
    return _Decision("supported" if same == said.holds else "contradicted", tuple(_best(facts)))


def _referral(graph: Graph, said: Relation) -> _Decision:
    rules = graph.facts(said.subject, "refer_if")
    own = [fact for fact in rules if graph.numbers(fact.id).qualifier in ("urgent", "routine")]
    levels = {graph.numbers(fact.id).qualifier for fact in own}
    matching = [fact for fact in own if graph.numbers(fact.id).qualifier == said.object]
    matching = matching or [fact for fact in rules if _names_condition(graph, fact, said)]
    if matching:
        return _Decision("supported", tuple(_best(matching)))
    if levels and not said.weak and len(levels) == 1:
        return _Decision("contradicted", tuple(_best(own)))
    return _Decision("not_covered")


def _names_condition(graph: Graph, fact: Fact, said: Relation) -> bool:
    """Whether the sentence gives the reason on which a level rests: "urgent if it scars" and "scarring hair loss"."""
    level, _, condition = graph.numbers(fact.id).qualifier.partition(" if ")
    reasons = {stem(word) for word in words(condition) if word not in FREQUENT}
    return level == said.object and bool(reasons & {stem(word) for word in words(said.clause)})


def _literal(graph: Graph, said: Relation) -> _Decision:
    """Codes and levels of risk: another one than the graph's is wrong, unless one code is a part of the other."""
    system = said.object.rsplit(" ", 1)[0]
    own = [
        fact
        for fact in graph.facts(said.subject, said.relation)
        if said.relation != "coded_as" or system in fact.object
    ]
    same = [fact for fact in own if fact.object == said.object]
    if same:
        return _Decision("supported" if said.holds else "contradicted", tuple(same))
    near = any(fact.object.startswith(said.object) or said.object.startswith(fact.object) for fact in own)
    if own and not near and said.holds:
        return _Decision("contradicted", tuple(own[:3]))
    return _Decision("not_covered")


def _plain(graph: Graph, said: Relation) -> _Decision:
    """Sites, risk factors, treatments, tests, red flags: stated, denied ("not treated by"), or not known."""
    found = [
        fact
        for fact in graph.facts(said.subject, said.relation, family=True)
        if fact.object == said.object
        or (fact.polarity == "present" and _is_narrower(graph.node(fact.object), graph.node(said.object)))
        or (fact.polarity == "present" and _is_part(graph.node(fact.object), graph.node(said.object)))
    ]
    rare = [fact for fact in found if fact.polarity == "present" and _is_rare(graph, fact)]
    present = [fact for fact in found if fact.polarity == "present" and fact not in rare]
    if rare and not present:
        return _seldom(said, rare)
    present = _as_often(said, present)
    own_present = [fact for fact in present if fact.subject == said.subject]
    own_absent = [
        fact
        for fact in found
        if fact.polarity == "absent" and fact.subject == said.subject and _applies(graph, fact, said)
    ]
    on_condition = [fact for fact in own_absent if graph.numbers(fact.id).qualifier]
    if on_condition:  # "in pregnancy": it was named, so it decides
        present, own_present, own_absent = [], [], on_condition
    if own_present and own_absent:
        return _Decision("not_covered", note="the sources disagree")
    agreeing, opposed = (present, own_absent) if said.holds else (own_absent, own_present)
    if agreeing and not (said.holds and own_absent):
        return _Decision("supported", tuple(_best(agreeing)))
    return _Decision("contradicted", tuple(_best(opposed))) if opposed and not said.weak else _Decision("not_covered")


# --- a whole answer -------------------------------------------------------------------------


def score_answer(graph: Graph, claims: Sequence[Claim], *, diagnosis: str | None = None) -> Scores:
    """First, plain measures of a whole answer."""
    decided = [claim for claim in claims if claim.verdict not in ("not_covered", "wrong_citation")]
    right = [claim for claim in decided if claim.verdict == "supported"]
    known = graph.diagnosis(diagnosis) if diagnosis else None
    return Scores(
        accuracy=round(len(right) / len(decided), 3) if decided else None,
        relevance=_relevance(graph, claims, known.id) if known else None,
        completeness=_completeness(graph, right, known.id) if known else None,
    )


def _relevance(graph: Graph, claims: Sequence[Claim], node_id: str) -> float | None:
    family = set(graph.family(node_id))
    features = {fact.object for fact in graph.facts(node_id, family=True)}
    speaking = [{mention.id for mention in link(graph, claim.text)} for claim in claims]
    speaking = [named for named in speaking if named]
    if not speaking:
        return None
    return round(sum(bool(named & (family | features)) for named in speaking) / len(speaking), 3)


def _completeness(graph: Graph, right: Sequence[Claim], node_id: str) -> float | None:
    held = {fact.relation for fact in graph.facts(node_id, family=True)}
    groups = [group for group in KEY_GROUPS if group & held]
    if not groups:
        return None
    family = set(graph.family(node_id))
    told = [graph.fact(key) for claim in right for key in claim.fact_ids]
    said = {fact.relation for fact in told if fact.subject in family or fact.object in family}
    return round(sum(bool(group & said) for group in groups) / len(groups), 3)
