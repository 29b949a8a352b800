"""Whether facts of a condition say in other words what a sentence says. Knows words and facts, gives no verdict.

The names of a fact need not stand in the sentence. Instead every word of the sentence that says anything must have a
sense that a fact has (see `wording`), affirmed or denied as there; and of the fact enough must have been said.
A word too many, a denial, another number or the other side of a comparison is enough that it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from dermiq.knowledge.check.predicates import says_otherwise
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexicon import RARELY, TURNS, denials, denies, part, pattern, turns
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.numbers import in_digits, is_number, numbers
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import word_set, words
from dermiq.knowledge.language.wording import (
    SILENT,
    goes_further,
    in_the_graphs_names,
    is_listed,
    items,
    turns_round,
)
from dermiq.types import Fact

MOST_FACTS = 3  # that one sentence may rest on
ENOUGH = 0.5  # of a fact's words, where its object is not named
STRAY_FROM = 3  # words that a fact accounts for, from which on one word that nobody knows is let pass

Sign = str
"""How a word is said: "+" affirmed, "-" denied, "r" of what is rare, "t" behind "than"."""

_AMOUNT = re.compile(
    r" *(?:\d|half|once|twice|one|an? (?:quarter|third|3rd|half|tenth|10th|hour|day|week|month|year|\w*met))",
    re.IGNORECASE,
)
_CUTS = re.compile(
    r"([,;:()]|\b(?:but|although|though|while|whereas|because|which|who|when|if|unless|until|so that|without"
    r"|rather than|instead of|in place of|unlike|compared (?:with|to)|than"
    rf"|and (?=(?:is|are|has|have|can|may|do|does|needs?|shows?|lacks?|{part('NEVER')}|{part('NONE')})\b))\b)",
    re.IGNORECASE,
)
_ELLIPSIS = re.compile(
    r",?\s*\b(?:whereas|while|but|which) ([\w' -]{3,60}?) (?:does|do|is|are|has|have) not\W*$", re.IGNORECASE
)
_BEHIND_THAN = re.compile(r"rather than|instead of|in place of|unlike|compared|than", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:it|them|they|this)\b", re.IGNORECASE)
_LISTING = re.compile(r",|\(|\)")
_ASIDE = re.compile(r", (?:who|which|as|because)\b", re.IGNORECASE)
ABOUT_THE_CASE = re.compile(
    r"\b(?:this|our|present|your) (?:lesion|case|image|mole|spot|patient|photo\w*|picture)\b"
    r"|(?<!\bif )(?<!\bwhen )(?<!\bwhere )\bthe (?:lesion|image|photo\w*|picture|case|differential)\b|\bhere\b|\?\W*$"
    r"|(?-i:\bI\b)|\bm[ey]\b|\bwe\b|\bthis (?:looks|seems|appears|resembles|fits|points|speaks|suggests|favou?rs)\b"
    r"|^\W*(?:conclusion|differential|impression|assessment|verdict|summary)\b|\btaken together\b|\ball in all\b"
    r"|\bconsidered (?:before|first|ahead)\b|\bfits (?:best|better)\b|\bbetter than\b|(?:,|\bis|\bare) less likely\W*$"
    r"|\bmost likely(?: diagnosis)?\W*$|\b(?:specialist|language model)(?: gives)? \d",
    re.IGNORECASE,
)
_NEAR_NUMBER = re.compile(
    r"\W*(?:\w+\W+){0,2}?(?:\d|(?:one|age|half|an? \w*met\w+|an? (?:hour|day|week|month|year))\b)", re.IGNORECASE
)
_NOT_OF = re.compile(r"\bnot (?:of|in|for) (?:an? )?$")
_HANGS_ON = re.compile(r"\b(?:by|of|into|after|and|or|with|in|on|from|to|for)\W+(?:(?:an?|the|his|her|its)\W+)?$", re.I)
_DENYING = word_set("notreatment byitself inoperable nonsedating pathognomonic")
"""Senses whose phrases have a denial of their own in them: "without treatment", "cannot be operated on"."""
_PLACING = word_set("above over below under within up beyond")
"""They say something before a number; elsewhere they only place."""
_BEYOND = re.compile(r"\b(?:above|over|more than|exceed\w*|at least|or more|larger than|older than|beyond)\b", re.I)
_SHORT_OF = re.compile(r"\b(?:below|under|less than|up to|within|smaller than|younger than|before|at most)\b", re.I)
_CAUSED = re.compile(r"\W*(?:\w+ ){0,1}(?:causes?|leads? to|gives? rise to|produces?|results? in|triggers?)\b", re.I)

_SEEN = word_set("show typical often suspicion appears liesat pattern shape spot dermoscopy looklike rash begin")
IMPLIED = {
    "has_dermoscopic_feature": _SEEN,
    "has_sign": _SEEN - {"looklike"} | {"symptom", "cause"},
    "has_symptom": word_set("show typical often symptom suspicion distress appears cause"),
    "located_at": word_set("show liesat typical often rash spot patch begin"),
    "risk_factor": word_set("risk cause trigger often more show"),
    "treated_by": word_set("treat need suit"),
    "diagnosed_by": word_set("test confirm need show suspicion treat"),
    "red_flag": word_set("suspicion complication show risk threaten progress emergency"),
    "refer_if": word_set("refer suspicion need show"),
    "look_alike": word_set("looklike separate show suspicion often liesat"),
    "behaves_as": word_set("show"),
    "is_a": word_set("show"),
}
"""Senses that the relation itself has, whatever the fact's words are."""
_ALARM = word_set("suspicion complication refer progress threaten emergency")
_ALIKE = word_set("looklike separate")
_WHERE_TO = word_set("dermatologist ophthalmologist hospital urgent twoweeks child adult")
"""Senses that no referral rule is known by."""
_TOGETHER = (
    {"has_dermoscopic_feature"},
    {"has_sign", "has_symptom", "located_at", "behaves_as"},
    {"risk_factor"},
    {"treated_by"},
    {"diagnosed_by"},
    {"red_flag", "refer_if"},
    {"look_alike"},
)
"""Relations that one sentence may join; of others, together they might say what none says."""


_APART = {"treated_by", "diagnosed_by"}
"""Relations of which one sentence joins facts only where it names the object of each."""


@dataclass(frozen=True)
class _Said:
    """One word of a text that says something, and how."""

    senses: frozenset[str]
    sign: Sign
    parts: tuple[frozenset[str], ...]
    start: int
    end: int


@dataclass
class _Meaning:
    """A fact, ready to be compared."""

    fact: Fact
    said: list[_Said]
    names: list[list[_Said]]  # of the object
    subject: frozenset[str]  # senses of the condition's own names
    bag: dict[Sign, set[str]] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()
    first_clause: int = 0  # where it ends
    starts_with_subject: bool = True
    conditions: frozenset[str] = frozenset()  # that its text names
    turned: bool = False  # the condition stands behind "instead of": the fact's signs are another's


_MEANINGS: WeakKeyDictionary[Graph, dict[str, _Meaning]] = WeakKeyDictionary()
_VOCABULARIES: WeakKeyDictionary[Graph, frozenset[str]] = WeakKeyDictionary()


def restated(graph: Graph, sentence: str, *, topic: str | None) -> tuple[Fact, ...]:
    """The facts that together say all that the sentence says; none where they do not. `topic` is what "it" is."""
    text = _named_alike(graph, _ELLIPSIS.sub(r", unlike \1.", in_the_graphs_names(sentence)))
    if ABOUT_THE_CASE.search(text):
        return ()
    for subject, spans in _subjects(graph, text, topic):
        plain = text
        for start, end in spans:
            plain = plain[:start] + "x" * (end - start) + plain[end:]
        said = [
            _attributed(item, plain, spans)
            for item in _said(plain)
            if not any(start < item.end and item.start < end for start, end in spans) and SILENT not in item.senses
        ]
        found = _restating(graph, text, subject, spans, said) if said else ()
        if found:
            return found
    return ()


def _attributed(item: _Said, text: str, spans: Sequence[tuple[int, int]]) -> _Said:
    """A word right before the condition says which one is meant, also where the clause denies: "harmless moles"."""
    if item.sign == "-" and any(not text[item.end : start].strip() for start, _ in spans if item.end < start):
        before = text[: item.start].split()
        return replace(item, sign="+") if before and not TURNS.fullmatch(before[-1]) else item
    return item


def _named_alike(graph: Graph, text: str) -> str:
    """The text with every condition by its first name."""
    for mention in reversed(link(graph, text)):
        node = graph.node(mention.id)
        if node.kind == "Disease":
            text = text[: mention.start] + node.name + text[mention.end :]
    return text


def _subjects(graph: Graph, text: str, topic: str | None) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Each condition that is named, with the places of its names; the topic where none is."""
    places: dict[str, list[tuple[int, int]]] = {}
    for mention in link(graph, text):
        for key in graph.roles.get(words(mention.text), (mention.id,)):
            if graph.node(key).kind == "Disease":
                places.setdefault(key, []).append((mention.start, mention.end))
        if graph.node(mention.id).kind == "Disease":
            places.setdefault(mention.id, []).append((mention.start, mention.end))
    if not places and topic and re.match(r"\W*(?:it|its|they|these|the (?:disease|condition))\b", text, re.IGNORECASE):
        places[topic] = []
    yield from places.items()


def _restating(
    graph: Graph, text: str, subject: str, spans: Sequence[tuple[int, int]], said: Sequence[_Said]
) -> tuple[Fact, ...]:
    candidates = [*_candidates(graph, subject, said), *_of_what_is_above(graph, subject)]
    for group in _TOGETHER:
        usable = [
            item for item in candidates if item.fact.relation in group and _may_say(graph, text, item, said, subject)
        ]
        for item in usable:
            left = [word for word in said if not _covers(item, word)]
            if len(left) <= 1 and _is_all(graph, text, [item], left, said, spans):
                return (item.fact,)
        chosen, left = _joined(usable, said)
        apart = len(chosen) == 1 or not group & _APART or all(_is_named(item, said) for item in chosen)
        if chosen and apart and _is_all(graph, text, chosen, left, said, spans):
            return tuple(item.fact for item in chosen)
    return ()


def _joined(usable: Sequence[_Meaning], said: Sequence[_Said]) -> tuple[list[_Meaning], list[_Said]]:
    """The facts that one after the other account for most of what is left of the sentence, and what then is left."""
    chosen: list[_Meaning] = []
    left = list(said)
    while left and len(chosen) < MOST_FACTS:
        ranked = [(sum(_covers(item, word) for word in left), item) for item in usable if item not in chosen]
        count, best = max(
            ranked, key=lambda pair: (pair[0], _is_named(pair[1], said), -len(pair[1].said)), default=(0, None)
        )
        if best is None or not count:
            break
        chosen.append(best)
        left = [word for word in left if not _covers(best, word)]
    return chosen, left


def _candidates(graph: Graph, subject: str, said: Sequence[_Said]) -> Iterator[_Meaning]:
    """Facts of the condition, of a subtype whose name is said too, and of what stands above it."""
    senses = frozenset().union(*(word.senses for word in said))
    own = frozenset(sense for item in _named(graph, subject) for sense in item)
    for fact in (
        *graph.facts(subject, family=True),
        *(f for f in graph.facts_about(subject) if f.relation == "look_alike"),
    ):
        if fact.relation not in IMPLIED or fact.evidence_type == "derived statistic":
            continue
        meaning = _meaning(graph, fact)
        named = all(item & (senses | own) for item in _named(graph, fact.subject))
        if named or subject in (fact.subject, fact.object):
            yield meaning


def _of_what_is_above(graph: Graph, subject: str) -> Iterator[_Meaning]:
    """Facts of wider conditions that name this one: its alarms are often told of the condition that it belongs to."""
    for above in graph.ancestors(subject):
        for fact in graph.facts(above):
            if fact.relation in IMPLIED:
                meaning = _meaning(graph, fact)
                if subject in meaning.conditions:
                    yield meaning


def _named(graph: Graph, node_id: str) -> list[frozenset[str]]:
    return [item.senses for item in items(graph.node(node_id).name)]


def _may_say(graph: Graph, text: str, meaning: _Meaning, said: Sequence[_Said], subject: str) -> bool:
    """Whether enough of the fact is said, no more strongly than it says it, and under its condition."""
    fact = meaning.fact
    held = graph.numbers(fact.id)
    if (meaning.turned and fact.subject == subject) or (
        fact.relation == "look_alike" and not _compares(graph, text, meaning, said, subject)
    ):
        return False
    told = fact.text.split(";")[0] if _denies(said) else fact.text
    told = _ASIDE.split(told)[0]
    hedged = held.qualifier == "mimic" or bool(pattern("hedged").search(told))
    if (
        hedged
        and not pattern("hedged").search(text)
        and (pattern("usually").search(text) or held.qualifier == "mimic" or _denies(said))
    ):
        return False
    for strong in pattern("strong").findall(_without_phrases(text)):
        if strong.lower() == "must" and pattern("needed").search(fact.text):
            continue
        if strong.lower() not in fact.text.lower() and not (denies(strong) and denials(fact.text)):
            return False
    if fact.polarity == "absent" and held.qualifier:
        asked = [item for item in items(held.qualifier) if not item.senses & FREQUENT and SILENT not in item.senses]
        if not all(any(item.senses & word.senses for word in said) for item in asked):
            return False
    return _is_named(meaning, said) or _is_half_said(meaning, said)


def _compares(graph: Graph, text: str, meaning: _Meaning, said: Sequence[_Said], subject: str) -> bool:
    """Whether a sentence on two conditions says that they look alike, or more in the fact's order."""
    if not any(word.senses & _ALIKE for word in said) and not _BEHIND_THAN.search(text):
        return False
    if meaning.fact.subject != subject and not all(
        any(item & word.senses for word in said) for item in _named(graph, meaning.fact.subject)
    ):
        return False
    fact = meaning.fact
    if meaning.turned and any(word.sign == "+" and word.senses & meaning.subject for word in said):
        return False
    names = meaning.subject.union(*(word.senses for name in meaning.names for word in name))
    if sum(not word.senses & names for word in said) <= 2:
        return True
    line = text.lower()
    first, second = (line.find(graph.node(key).name.lower()) for key in (fact.subject, fact.object))
    return (first < second) == meaning.starts_with_subject


def _denies(said: Sequence[_Said]) -> bool:
    return any(word.sign == "-" for word in said)


def _without_phrases(text: str) -> str:
    """The text with its listed phrases blanked: the "all" of "all over" says nothing of all."""
    for item in items(text):
        if item.parts:
            text = text[: item.start] + " " * (item.end - item.start) + text[item.end :]
    return text


def _is_named(meaning: _Meaning, said: Sequence[_Said]) -> bool:
    implied = IMPLIED[meaning.fact.relation]
    telling = [[word for word in name if word.sign != "+" or not word.senses & implied] for name in meaning.names]
    return any(name and all(_is_said(word, said) for word in name) for name in telling)


def _is_said(word: _Said, said: Sequence[_Said]) -> bool:
    return any(word.sign == other.sign and word.senses & other.senses for other in said)


def _is_half_said(meaning: _Meaning, said: Sequence[_Said]) -> bool:
    telling = [
        word for word in meaning.said if SILENT not in word.senses and not word.senses & IMPLIED[meaning.fact.relation]
    ]
    shared = sum(_is_said(word, said) for word in telling)
    if meaning.fact.relation in ("red_flag", "refer_if"):  # they list signs of which each is enough
        cue = any(word.senses & _ALARM for word in said)
        return cue and any(_is_said(word, said) for word in telling if not word.senses & _WHERE_TO)
    first = [word for word in telling if word.start < meaning.first_clause]
    return shared >= max(2, ENOUGH * len(telling)) or (bool(first) and all(_is_said(word, said) for word in first))


def _covers(meaning: _Meaning, word: _Said) -> bool:
    signs = "-rt" if word.sign == "t" else word.sign
    known = set().union(*(meaning.bag.get(sign, ()) for sign in signs))
    implied = IMPLIED[meaning.fact.relation]
    if word.senses & (known | implied) or word.senses & meaning.subject:
        return True
    return bool(word.parts) and all(part & (known | implied) or SILENT in part for part in word.parts)


def _is_all(
    graph: Graph,
    text: str,
    chosen: Sequence[_Meaning],
    left: Sequence[_Said],
    said: Sequence[_Said],
    spans: Sequence[tuple[int, int]],
) -> bool:
    """Whether nothing of the sentence is left over: no word that is known to mean something, no number."""
    if len(left) > (len(said) - len(left) >= STRAY_FROM):
        return False
    if any(not _is_stray(graph, word) or _HANGS_ON.search(text[: word.start]) for word in left):
        return False
    told_numbers = frozenset().union(*(item.numbers for item in chosen))
    if not numbers(text) - ({"1"} if "24" in told_numbers else set()) <= told_numbers:
        return False
    told = " ".join(item.fact.text for item in chosen)
    if goes_further(text, told) or any(
        turns_round(text, item.fact.text) or says_otherwise(_kind(graph, item.fact), text, item.fact.text)
        for item in chosen
    ):
        return False
    if numbers(text) and (
        (_BEYOND.search(text) and _SHORT_OF.search(told)) or (_SHORT_OF.search(text) and _BEYOND.search(told))
    ):
        return False
    causes = chosen[0].fact.relation == "risk_factor" and any(_CAUSED.match(text[end:]) for _, end in spans)
    return not causes


def _kind(graph: Graph, fact: Fact) -> str:
    return graph.node(fact.object).kind if fact.object in graph else ""


def _is_stray(graph: Graph, word: _Said) -> bool:
    """Whether it is a word that neither the graph nor the list of wordings knows: rather wording than a claim."""
    return not word.parts and all(not is_listed(sense) and sense not in _vocabulary(graph) for sense in word.senses)


def _vocabulary(graph: Graph) -> frozenset[str]:
    if graph not in _VOCABULARIES:
        texts = [fact.text for fact in graph.all_facts] + [" ".join((n.name, *n.synonyms)) for n in graph.nodes]
        _VOCABULARIES[graph] = frozenset(stem(word) for text in texts for word in words(text))
    return _VOCABULARIES[graph]


# --- what a text says ---------------------------------------------------------------------


def _meaning(graph: Graph, fact: Fact) -> _Meaning:
    known = _MEANINGS.setdefault(graph, {})
    if fact.id not in known:
        known[fact.id] = _read(graph, fact)
    return known[fact.id]


def _read(graph: Graph, fact: Fact) -> _Meaning:
    subject = frozenset(sense for item in _named(graph, fact.subject) for sense in item)
    text = _named_alike(graph, fact.text)
    said: Sequence[_Said] = _said(text)
    names: list[list[_Said]] = []
    if fact.object in graph:
        node = graph.node(fact.object)
        for name in (node.name, *node.synonyms):
            words: Sequence[_Said] = _said(name)
            if fact.polarity == "absent":
                words = [_Said(w.senses, _turned(w.sign), w.parts, w.start, w.end) for w in words]
            names.append([word for word in words if SILENT not in word.senses and not word.senses <= subject])
    place = next((word.start for word in said if word.senses <= subject), 0)
    first = next((word for word in said if SILENT not in word.senses), None)
    mentions = link(graph, text)
    named = [mention.start for mention in mentions if mention.id == fact.subject]
    signs = list(_signs(text))
    behind = [any(start <= at < end and sign == "t" for start, end, sign in signs) for at in named]
    turned = (bool(named) and all(behind)) or bool(_NOT_OF.search(text[:place]))
    said = [word for word in said if not word.senses <= subject]
    meaning = _Meaning(fact, said, names, subject, turned=turned)
    meaning.conditions = frozenset(mention.id for mention in mentions)
    meaning.first_clause = text.find(";") + 1
    others = [mention.start for mention in mentions if mention.id == fact.object]
    meaning.starts_with_subject = first is None or bool(first.senses & subject)
    if named and others:
        meaning.starts_with_subject = min(named) < min(others)
    first_name = frozenset().union(*(word.senses for word in (names[0] if names else ())))
    whole = frozenset().union(*(word.senses for word in said))
    names = [[replace(word, senses=_sure(word.senses, first_name, whole)) for word in name] for name in names]
    meaning.names = [[_as_told(word, said) for word in name] for name in names]
    for word in (*said, *(word for name in meaning.names for word in name)):
        bag = meaning.bag.setdefault(word.sign, set())
        bag |= word.senses
        bag |= frozenset().union(*word.parts)
    qualifier = graph.numbers(fact.id).qualifier
    meaning.numbers = numbers(
        f"{fact.text} {qualifier} {' '.join(graph.node(fact.object).synonyms) if fact.object in graph else ''}"
    )
    for item in items(qualifier):
        meaning.bag.setdefault("+", set()).update(item.senses)
    return meaning


def _sure(senses: frozenset[str], first_name: frozenset[str], told: frozenset[str]) -> frozenset[str]:
    """The senses in which a synonym is meant: "sore" of a pain is no ulcer. All where none is surer."""
    return senses & first_name or senses & told or senses


def _as_told(word: _Said, told: Sequence[_Said]) -> _Said:
    """A word of a name as the fact says it: "unlikely to metastasize" has a metastasis that is rare."""
    signs = {other.sign for other in told if other.senses & word.senses}
    return word if word.sign != "+" or not signs or "+" in signs else replace(word, sign=min(signs))


def _turned(sign: Sign) -> Sign:
    return {"+": "-", "-": "+"}.get(sign, sign)


@remembered(10_000)
def _said(text: str) -> tuple[_Said, ...]:
    """The words of a text that say something, each with its sign."""
    found = []
    listed = items(text)
    plain = text
    for item in listed:
        if item.senses & _DENYING or any(sense.startswith("-") for sense in item.senses):
            plain = plain[: item.start] + "x" * (item.end - item.start) + plain[item.end :]
    signs = list(_signs(plain))
    for item in listed:
        word = text[item.start : item.end].lower()
        if word in FREQUENT or TURNS.fullmatch(word) or RARELY.fullmatch(word) or word in ("than", "unlike", "alone"):
            continue
        if word in _PLACING and not _NEAR_NUMBER.match(in_digits(text[item.end :])):
            continue
        if is_number(word):
            continue
        sign = next(sign for start, end, sign in signs if start <= item.start < end)
        denied = {sense for sense in item.senses if sense.startswith("-")}
        senses = frozenset(sense.removeprefix("-") for sense in item.senses) if denied else item.senses
        found.append(
            _Said(senses, _turned(sign) if denied else sign, item.parts if not denied else (), item.start, item.end)
        )
    return tuple(found)


def _signs(text: str) -> Iterator[tuple[int, int, Sign]]:
    """(start, end, sign) of stretches that cover the text."""
    start, carried = 0, "+"
    joint = ""
    pieces = _whole_amounts(_CUTS.split(text))
    for at, piece in enumerate(pieces):
        end = start + len(piece)
        if at % 2:
            joint = piece
            yield start, end, carried
        else:
            carried = _sign_of(piece, joint, carried)
            begins = _from_where(piece) if carried == "-" and joint.lower() != "without" else 0
            yield start, start + begins, "+"
            yield start + begins, end, carried
        start = end
    yield start, start + 1, carried


def _whole_amounts(pieces: list[str]) -> list[str]:
    """Pieces and what joins them, in turn; "than" before an amount cuts nothing."""
    for at in range(len(pieces) - 2, 0, -2):
        if pieces[at].lower() == "than" and _AMOUNT.match(in_digits(pieces[at + 1])):
            pieces[at - 1 : at + 2] = ["".join(pieces[at - 1 : at + 2])]
    return pieces


def _from_where(piece: str) -> int:
    """Where a denial begins that leaves alone what stands before it: "papules lacking scale" has papules."""
    found = list(TURNS.finditer(piece))
    return found[0].start() if len(found) == 1 and pattern("forward").fullmatch(found[0].group()) else 0


def _sign_of(piece: str, joint: str, carried: Sign) -> Sign:
    if _BEHIND_THAN.match(joint):
        return "t"
    denied = turns(piece) + (joint.lower() == "without")
    if RARELY.search(piece):
        return "+" if denied % 2 else "r"
    if denied:
        return "-" if denied % 2 else "+"
    if _LISTING.match(joint) and len(piece.split()) <= 3 and not _PRONOUN.search(piece):
        return carried
    return "+"
