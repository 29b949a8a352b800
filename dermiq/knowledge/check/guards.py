"""What no learned judge is asked: numbers, who and where, "always" and "only", and what leads to what.

Each guard compares a sentence with one fact and says `AGREES` (nothing speaks against it), `BEYOND` (the sentence says
what the fact does not: it does not support it) or `AGAINST` (where both speak of the same thing, one of them is wrong).
`tests/knowledge/test_guards.py` has a table of examples of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import lexicon
from dermiq.knowledge.language.cues import triggers
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.numbers import in_digits
from dermiq.knowledge.language.stem import stem
from dermiq.knowledge.language.text import word_set, words
from dermiq.types import Fact

Agreement = Literal["agrees", "beyond", "against"]
AGREES: Agreement = "agrees"
BEYOND: Agreement = "beyond"
AGAINST: Agreement = "against"


def guarded(graph: Graph, sentence: str, fact: Fact) -> Agreement:
    """The gravest of all guards."""
    given = {numbers(sentence, fact.text), extremes(sentence, fact.text), people(sentence, fact.text)}
    given |= {places(graph, sentence, fact), order(graph, sentence, fact), sides(graph, sentence, fact)}
    if AGAINST in given:
        return AGAINST if _speak_of_the_same(sentence, fact.text) else BEYOND
    return BEYOND if BEYOND in given else AGREES


SAME = 0.5  # share of the shorter one's words from which on two sentences speak of the same


def _speak_of_the_same(sentence: str, fact: str) -> bool:
    said, told = ({stem(word) for word in words(text) if word not in FREQUENT} for text in (sentence, fact))
    return len(said & told) >= SAME * min(len(said), len(told))


# --- numbers ------------------------------------------------------------------------------

NEAR_SHARE = 6.0  # percentage points: "nearly half" may be 45 %
NEAR = 0.12  # of a size, a time or a dose
_DAYS = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "year": 365.0}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "millimet": 1.0, "centimet": 10.0}
_MILLIGRAMS = {"mg": 1.0, "milligram": 1.0, "g": 1000.0, "gram": 1000.0, "microgram": 0.001}
_N = r"(?P<n>\d+(?:\.\d+)?)(?:\s*(?:-|–|to|or|and)\s*(?P<m>\d+(?:\.\d+)?))?"
_QUANTITIES = tuple(
    (kind, re.compile(said, re.IGNORECASE))
    for kind, said in (
        ("share", rf"{_N}\s*(?:%|per ?cent\b)"),
        ("part", r"(?P<n>\d+|one)(?: \w+)?\s+(?:in|out of|of)(?: every)?(?: the)?\s+(?P<of>\d+)\b"),
        ("age", rf"{_N}[\s-]*years?[- ]olds?\b"),
        ("age", rf"\bage[ds]?\s+(?:of\s+|about\s+|over\s+|under\s+)*{_N}(?!\d|\s*(?:month|week|day|hour))(?: years)?"),
        ("time", rf"{_N}[\s-]*(?P<unit>minute|hour|day|week|month|year)s?\b"),
        ("size", rf"{_N}\s*-?(?P<unit>mm|cm|millimet|centimet)"),
        ("dose", rf"{_N}\s*-?(?P<unit>mg|milligram|microgram|gram|g\b)"),
        ("times", rf"{_N}[- ]?(?:times\b|fold\b)"),
    )
)
_WORDED = tuple(
    (re.compile(said, re.IGNORECASE), digits)
    for said, digits in (
        (r"\b(?:three|3)[ -](?:quarters|4ths?)\b", "75 %"),
        (r"\b(?:two|2)[ -](?:thirds?|3rds?)\b", "67 %"),
        (r"\b(?:four|4)[ -](?:fifths?|5ths?)\b", "80 %"),
        (r"\b(?:a|one|1) (?:quarter|4th)\b", "25 %"),
        (r"\b(?:a|one|1) (?:third|3rd)\b", "33 %"),
        (r"\b(?:a|one|1) (?:fifth|5th)\b", "20 %"),
        (r"\b(?:a|one|1) (?:tenth|10th)\b", "10 %"),
        (r"\bhalf an? (?=(?:year|day|week|month|hour|cm|centimet|millimet))", "0.5 "),
        (r"(?<!lower )(?<!upper )(?<!bottom )(?<!top )\bhalf\b(?! an? )", "50 %"),
        (r"(?<!times )(?<!once )(?<!twice )\b(?:an?|single) (?=(?:hour|week|month|year)\b)", "1 "),
        (r"\b(?:fortnight|two weeks?)\b", "2 weeks"),
        (r"\btwice\b", "2 times"),
        (r"\bdouble[ds]?\b", "2 times"),
    )
)
_LESS = re.compile(
    r"\b(?:less|fewer|under|below|smaller|younger|shorter|up to|at most|within|before|not even)\b(?: \w+){0,2}\W*$",
    re.I,
)
_MORE = re.compile(
    r"\b(?:more|over|above|exceed\w*|at least|larger|bigger|older|longer|beyond|past|after)\b(?: \w+){0,2}\W*$", re.I
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_COUNT = re.compile(r"(?<![\w.,])(?:[4-9]|\d{2,})(?:\.\d+)?(?![\w.,]*\d)")
"""Smaller ones are also words: "the two of them", "no one"."""


@dataclass(frozen=True)
class Quantity:
    """A share in percent, a time or an age in days, a size in millimetres, a dose in milligrams, or so many times."""

    kind: str
    low: float
    high: float
    bound: str  # "<" or ">" where a word before it says so
    digits: frozenset[str]  # as it is written

    def fits(self, told: Quantity) -> bool:
        """Whether it can be what is told: near it, within it, or a bound that it keeps ("fewer than half" of 18 %)."""
        slack = NEAR_SHARE if self.kind == "share" else NEAR * max(abs(told.high), abs(self.high))
        if self.low >= told.low - slack and self.high <= told.high + slack:
            return True
        if told.bound and (told.bound != self.bound or self.kind != "share"):
            return False  # "within two months" is not "within two weeks", though it holds
        return told.high <= self.high if self.bound == "<" else self.bound == ">" and told.low >= self.low


def quantities(text: str) -> list[Quantity]:
    """What a text counts or measures, in words or digits."""
    line = in_digits(re.sub(r"(?<=\d),(?=\d)", ".", text))
    for worded, digits in _WORDED:
        line = worded.sub(digits, line)
    found: list[Quantity] = []
    taken: list[tuple[int, int]] = []
    for kind, pattern in _QUANTITIES:
        for match in pattern.finditer(line):
            if not any(match.start() < end and start < match.end() for start, end in taken):
                taken.append(match.span())
                found.append(_quantity(kind, match, line[: match.start()]))
    return found


def _quantity(kind: str, match: re.Match[str], before: str) -> Quantity:
    parts = match.groupdict()
    low = 1.0 if parts["n"].lower() == "one" else float(parts["n"])
    high = float(parts.get("m") or low)
    unit = (parts.get("unit") or "").lower()
    scale = (_DAYS | _MILLIMETRES | _MILLIGRAMS).get(unit, 1.0)
    if kind == "part":
        kind, scale = "share", 100 / max(1.0, float(parts["of"]))
    if kind == "age":
        kind, scale = "time", _DAYS["year"]  # "by the age of two" is within two years
    bound = "<" if _LESS.search(before) else ">" if _MORE.search(before) else ""
    return Quantity(kind, min(low, high) * scale, max(low, high) * scale, bound, frozenset(_NUMBER.findall(match[0])))


def numbers(sentence: str, fact: str) -> Agreement:
    """Each share, time, size, dose and age that is said must be one that the fact names; other counts likewise."""
    said, told = quantities(sentence), quantities(fact)
    named = frozenset(_NUMBER.findall(in_digits(fact)))
    verdict = AGREES
    for one in said:
        alike = [other for other in told if other.kind == one.kind]
        if not alike:
            verdict = verdict if verdict == AGAINST or one.digits <= named else BEYOND
        elif not any(one.fits(other) for other in alike):
            verdict = AGAINST
    if said or told:
        return verdict
    counts, known = ({float(n) for n in _COUNT.findall(in_digits(text))} for text in (sentence, fact))
    return AGREES if counts <= known else AGAINST if known else BEYOND


# --- always and only ------------------------------------------------------------------------

_EXTREMES = tuple(
    (re.compile(said, re.IGNORECASE), re.compile(told, re.IGNORECASE))
    for said, told in (
        (
            r"\b(?:(?<!nearly )(?<!almost )(?<!not )always|invariably|without exception|inevitabl\w+|guarantee\w*"
            r"|every (?:single )?(?:case|patient|person|one)"
            r"|100 ?%|in all (?:cases|patients|people)|certain to|bound to)\b",
            r"\b(?:always|invariabl\w+|all|every|each|inevitabl\w+|100 ?%|universal\w*|any)\b",
        ),
        (
            r"\b(?:the only|only (?:treatment|option|way|cure|cause|site|sign|test)|solely|(?<!the )sole (?!of)"
            r"|exclusive(?:ly)?|nothing but"
            r"|nothing else|nowhere else)\b",
            r"\b(?:only|sole(?:ly)?|exclusive(?:ly)?|alone|confined|restricted|limited to|nothing)\b",
        ),
        (
            r"\b(?:immediately|(?:treat|give|refer|start|se|remov|excis|admit|biops)\w* at once"
            r"|straight ?away|same day|(?:as an )?emergency)\b",
            r"\b(?:immediate\w*|urgent\w*|emergency|same[- ]day|at once|within 2 weeks|2[- ]week)\b",
        ),
        (
            r"\b(?:gold standard|the best|treatment of choice|first[- ](?:line|choice)|most effective)\b",
            r"\b(?:gold standard|best|choice|first|prefer\w*|most effective|mainstay|standard|initial\w*"
            r"|lowest|highest)\b",
        ),
    )
)


def extremes(sentence: str, fact: str) -> Agreement:
    """ "Always", "the only", "at once" and "the best" need a word of their kind in the fact."""
    return BEYOND if any(said.search(sentence) and not told.search(fact) for said, told in _EXTREMES) else AGREES


def is_possible(sentence: str, fact: str) -> bool:
    """Whether a sentence says no more than that something can be which the fact calls rare: no contradiction."""
    return bool(lexicon.pattern("weak").search(sentence) and not triggers(sentence) and lexicon.RARELY.search(fact))


# --- who and where --------------------------------------------------------------------------

_GROUPS = {
    "male": word_set("man men male males boy boys"),
    "female": word_set("woman women female females girl girls"),
    "infant": word_set("infant infants baby babies newborn newborns neonate neonates toddler toddlers"),
    "child": word_set("child children childhood kid kids boy boys girl girls paediatric pediatric"),
    "teen": word_set("adolescent adolescents teenager teenagers teenage teens puberty"),
    "adult": word_set("adult adults adulthood"),
    "old": word_set("elderly pensioner pensioners senior seniors"),
}
_AXES = (frozenset({"male", "female"}), frozenset({"infant", "child", "teen", "adult", "old"}))
_ALSO = {"infant": {"child"}, "child": {"infant"}, "old": {"adult"}}


def people(sentence: str, fact: str) -> Agreement:
    """Sex and age: where the fact names a group, the sentence names it too or none."""
    said, told = ({name for name, group in _GROUPS.items() if group & set(words(text))} for text in (sentence, fact))
    for axis in _AXES:
        here, there = said & axis, told & axis
        near = there.union(*(_ALSO.get(name, set()) for name in there))
        if here and there and not here & near:
            return AGAINST
    return AGREES


_PARTS = (
    word_set(
        "face cheek cheeks nose forehead chin lip lips eyelid eyelids temple temples ear ears head scalp neck brow"
    ),
    word_set(
        "trunk body chest back abdomen belly tummy shoulder shoulders torso flank buttock buttocks breast breasts"
    ),
    word_set("arm arms limb limbs forearm forearms elbow elbows hand hands finger fingers palm palms wrist wrists"),
    word_set(
        "leg legs limb limbs thigh thighs knee knees shin shins calf calves foot feet toe toes sole soles ankle ankles "
        "heel"
    ),
    word_set("groin armpit armpits axilla axillae fold folds flexure flexures genital genitals vulva penis scrotum"),
    word_set("mouth tongue gum gums mucosa mucosae"),
    word_set("nail nails fingernail fingernails toenail toenails"),
)


def places(graph: Graph, sentence: str, fact: Fact) -> Agreement:
    """Where both name sites, one that is said must be near one of the fact's: itself, a part, a whole, a neighbour."""
    said, told = (_sites(graph, text) for text in (sentence, fact.text))
    if not said or not told:
        return AGREES
    near = {key for site in told for key in (site.id, *graph.ancestors(site.id), *graph.family(site.id))}
    named = {word for site in told for word in words(site.text)} | set(words(fact.text))
    regions = [part for part in _PARTS if part & named]
    if any(site.id in near or set(words(site.text)) & named for site in said):
        return AGREES
    beside = any(set(words(site.text)) & part for site in said for part in regions)
    whole = any(len(words(site.text)) and site.id in {"site:skin", "site:body"} for site in said)
    return AGREES if whole or (beside and len(told) > 1) else AGAINST


def _sites(graph: Graph, text: str) -> list[Mention]:
    return [mention for mention in link(graph, text) if graph.node(mention.id).kind == "BodySite"]


# --- what leads to what ---------------------------------------------------------------------

_LEADS = re.compile(
    r"\b(?:progress\w* (?:in)?to|turns? into|chang\w+ into|transform\w*|develops? into|evolv\w+ into|leads? to"
    r"|gives? rise to"
    r"|precedes?|preceding|causes?|triggers?|provokes?|becomes?|goes on to)\b",
    re.IGNORECASE,
)
_COMES = re.compile(
    r"\b(?:arises? (?:from|in|out of)|arising (?:from|in|out of)|stems? from|follows|due to|caused by|triggered by"
    r"|preceded by|results? from|resulting from|because of|a complication of|comes? (?:from|out of)"
    r"|originat\w+ (?:from|in))\b",
    re.IGNORECASE,
)


def order(graph: Graph, sentence: str, fact: Fact) -> Agreement:
    """Two names on either side of "leads to" or "arises from", and the other way round in the fact."""
    said, told = _arrows(graph, sentence), _arrows(graph, fact.text)
    return AGAINST if any((end, start) in told and (start, end) not in told for start, end in said) else AGREES


def _arrows(graph: Graph, text: str) -> set[tuple[str, str]]:
    """(what comes first, what comes of it): the names nearest to each such word, on either side of it."""
    found = set()
    for pattern, forward in ((_COMES, False), (_LEADS, True)):
        for verb in pattern.finditer(text):
            before, after = link(graph, text[: verb.start()]), link(graph, text[verb.end() :])
            if before and after:
                pair = (before[-1].id, after[0].id)
                found.add(pair if forward else pair[::-1])
    return found


ALIKE = 0.75  # share of two sentences' words from which on they are one, edited


def sides(graph: Graph, sentence: str, fact: Fact) -> Agreement:
    """Almost the same words, but two names or groups have changed places: "A more often than B"."""
    here, there = words(sentence), words(fact.text)
    if len(set(here) & set(there)) < ALIKE * len(set(here) | set(there)):
        return AGREES
    pairs = zip(_in_order(graph, sentence), _in_order(graph, fact.text), strict=True)
    return AGAINST if any(one != other and sorted(one) == sorted(other) for one, other in pairs) else AGREES


def _in_order(graph: Graph, text: str) -> tuple[list[str], ...]:
    """Conditions, sites, and groups of people, each in the order in which the text names them first."""
    named = [(mention.id, graph.node(mention.id).kind) for mention in link(graph, text)]
    groups = [name for word in words(text) for name in sorted(_GROUPS) if word in _GROUPS[name]]
    kinds = ([key for key, kind in named if kind == wanted] for wanted in ("Disease", "BodySite"))
    return (*(list(dict.fromkeys(keys)) for keys in kinds), list(dict.fromkeys(groups)))
