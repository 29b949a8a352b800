"""What a good answer speaks of, by intent: typed points, the weightiest first. Knows no model and no page.

`plan` is the way in. Each intent has one function that reads like its answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dermiq.answering.direct import answered_often, lacking, mistaken, of_the_suspected, replies, with_replies
from dermiq.answering.of_reading import SAYS, of_reading
from dermiq.answering.planner import DANGEROUS, DERMOSCOPY, FAINT, SEEN, Planner, Points, capital
from dermiq.answering.points import Known, Plan, Point
from dermiq.answering.premise import corrected
from dermiq.answering.trust import RETURN
from dermiq.answering.trust import TISSUE as BY_TISSUE
from dermiq.answering.weigh import listed, speaking_for, weighed
from dermiq.knowledge import Graph
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.retrieve.aspects import IS_IT, OF_THE_READING
from dermiq.knowledge.retrieve.case import STRUCTURE_SIGNS
from dermiq.knowledge.retrieve.intents import ABOUT_THE_CASE
from dermiq.knowledge.retrieve.reading import is_of_the_reading
from dermiq.knowledge.retrieve.understand import COMPLAINTS, Understood
from dermiq.knowledge.schema import RELATIONS
from dermiq.types import Diagnosis, Fact, UrgencyLevel

TISSUE = re.compile(r"^(?!.*\b(?:sentinel|node)).*(?:biops|histolog|punch|specimen|sampled)", re.IGNORECASE)
WEIGHS = re.compile(r"\bweighs?\b|\bcounts? (?:the )?most|most (?:important|telling)", re.IGNORECASE)
"""Asks which finding weighs most: that is why it was read so."""
SCOPE = re.compile(r"\b(?:dermo?at?o?scop\w+|scopes?|structures?)\b", re.IGNORECASE)
"""Asks for what dermoscopy shows."""
COURSE = re.compile(
    r"progress|spread|recur|\breturn|surviv|mortal|\bdie|\brisk|invas|metasta|malignan|benign|regress|disappear|resolv"
    r"|harmless|transform|cancer|cure|become|persist|go(?:es)? away|for good|permanent",
    re.IGNORECASE,
)
WATCH = re.compile(
    r"follow-?up|monitor|\bevery \d|once a (?:month|year)|\bcheck(?!list)|watch|kept under observation|regularly"
    r"|\breviewed\b|\breview (?:in|after|at|every)|\brecall|\bscreening|examined regularly",
    re.IGNORECASE,
)
NO_ANSWER = "the sources at hand do not answer this."
ASKABLE = (
    "why it was read so, what speaks against it, what would settle it, whether to take a biopsy, how urgent it is, how "
    "it is treated, how it goes on, what raises its risk, what dermoscopy shows, or how to explain it to the patient"
)
LEVELS: Mapping[UrgencyLevel, tuple[str, str]] = {
    "urgent": ("Yes, by the rule it is urgent", r"(?<!not )(?<!no )(?<!non-)\burgent|within (?:2|two) weeks|two-week"),
    "soon": ("It should be seen soon", r"\bsoon\b|weigh referral|within (?:2|two) weeks"),
    "routine": ("By the rule it is not urgent: referral is routine", r"\broutine|(?:not|no|non)[ -]urgent"),
    "none": ("No rule asks for an urgent referral", r"\bno\b[^.]*\b(?:rule|referral)|(?:not|no|non)[ -]urgent"),
}
"""How an answer begins that says how urgent it is, and by which words another says the same."""
PLAIN_LEVELS: Mapping[UrgencyLevel, str] = {
    "urgent": "A skin specialist should see it within two weeks",
    "soon": "A doctor should look at it soon",
    "routine": "An ordinary appointment with a specialist is soon enough by the rule",
    "none": "No rule asks for a referral as it was read; show it to a doctor if it changes or worries you",
}
CHANGES = re.compile(r"grow|bleed|ulcer|thick|\bpain|chang|\bnew\b|itch|tender|fast|rapid|heal", re.IGNORECASE)
NO_ALARM = re.compile(r"surviv|prognosis|does not|do not|pregnan", re.IGNORECASE)
OUTCOME = re.compile(r"recur|\bcured?\b|surviv|regress|\bclears?\b|respond", re.IGNORECASE)
PLAIN_NAMES = {
    "akiec": "a patch of sun-damaged skin (actinic keratosis), or an early skin cancer (Bowen's disease)",
    "bcc": "basal cell carcinoma, a skin cancer",
    "bkl": "a benign keratosis, a harmless growth of the skin",
    "df": "a dermatofibroma, a harmless firm lump in the skin",
    "mel": "melanoma, a skin cancer",
    "nv": "an ordinary mole (in doctors' words a melanocytic nevus), which is harmless",
    "vasc": "a vascular lesion, which is made of small blood vessels",
}


AGAINST_IT = re.compile(r"^\W*(?:and |so |but |or )?(?:vs|versus|against|compared (?:to|with))\b", re.IGNORECASE)
"""Begins by what this lesion is set against."""
MOST_COMPARED = 3  # conditions


BRIEF = re.compile(
    r"\b(?:short|brief\w*|(?:in )?(?:one|two|three|a few|a couple of|1|2|3) (?:sentences?|lines?|words))\b", re.I
)
"""Wants few words."""


@dataclass(frozen=True)
class Kind:
    """How one intent is answered. `relations`: of the facts that answer it; `asks`: how many of them at least."""

    points: Callable[[Planner], Points]
    relations: frozenset[str] = frozenset()
    asks: int = 0
    fits: Callable[[Fact], bool] = lambda fact: True  # what such a fact must say besides


def plan(graph: Graph, asked: Understood, known: Known) -> Plan:
    """The points of a good answer, facts that no earlier answer quoted first. A refusal where it is out of scope."""
    if not asked.in_scope:
        return Plan(asked.intent, (refusal(asked),))
    planner = Planner(graph, asked, known)
    intent = _meant(planner)
    kind = KINDS[intent]
    often = tuple(planner.asked_often())
    direct = often or replies(planner, intent)
    if often:
        made = tuple(answered_often(planner, intent, often, _if_so(planner)))
    elif "home_treatment" in asked.aspects and not planner.is_lead(planner.topic):
        made = tuple(mistaken(planner))
    elif direct:
        made = tuple(with_replies(planner, intent, direct, tuple(kind.points(planner)), _if_so(planner)))
    else:
        nothing = lacking(planner, intent)
        made = (*_if_so(planner), *nothing, *(() if nothing else _in_order(intent, planner, kind)))
    if not often:
        suspected = tuple(of_the_suspected(planner, intent))
        made = (*made, *suspected) if planner.lead.code in DANGEROUS else (*suspected, *made)
    is_plain = bool(direct) or not known.earlier or "home_treatment" in asked.aspects
    every = (
        *corrected(graph, asked.question, known, denied_alone=is_plain),
        *made,
    )
    points = tuple(dict.fromkeys(point for point in every if point.text or point.facts))
    relations = kind.relations or frozenset(fact.relation for point in points for fact in point.facts)
    direct = direct or tuple(point for point in points if point.kind == "reply" and point.needed)
    if not direct and intent in SAID_FIRST:  # what was measured is the answer, not what can be told of the condition
        direct = points[:1]
    found = Plan(intent, points, _about(planner, intent), relations, fits=kind.fits, replies=direct)
    if any(point.needed for point in direct):  # which is what was asked for
        return found
    families = {key for node in found.about for key in graph.family(node)}
    return replace(found, asks=min(kind.asks, sum(found.is_answer(fact, families) for fact in found.facts)))


def _in_order(intent: str, one: Planner, kind: Kind) -> Points:
    """The intent's points behind the facts that were found for the question itself; how urgent it is stands first."""
    points = list(kind.points(one))
    if intent == "change_of_mind":
        yield from one.closest("Closest to the question", most=1)
    if intent in BY_MEASUREMENT | ABOUT_THE_CASE:
        yield from points
        if intent in ABOUT_THE_CASE - {"why", "change_of_mind"}:  # also "a tan protects, so that speaks for me, no?"
            yield from one.closest("Closest to the question", most=1)
        return
    yield from (point for point in points if point.kind == "urgency")
    yield from one.closest("Closest to the question", most=2)
    yield from (point for point in points if point.kind != "urgency")


def _meant(one: Planner) -> str:
    """The kind of answer: the intent, but for a few words that say surely what is wanted."""
    question, intent = one.asked.question, one.asked.intent
    named_others = [key for key in one.named if not one.is_lead(key)]
    if "doubt" in one.asked.aspects and one.named:  # "against melanoma?"
        return "against"
    if is_of_the_reading(question) or set(one.asked.aspects[:1]) & set(OF_THE_READING):
        return "trust"
    if IS_IT in one.asked.aspects and len(one.kinds) < 2:
        return "why_not" if named_others else "trust"
    if WEIGHS.search(question) and not named_others:  # "how do you weigh the two?" is no question for reasons
        return "why"
    if intent == "why" and named_others and one.named[0] in named_others:
        return "why_not"  # "and melanoma?"
    if intent == "plain_words" and named_others:
        return "what_is"
    return intent if intent in KINDS else "other"


SUPPOSED = {"itch": "itched", "bled": "had bled", "grew": "had grown", "changed": "had changed", "hurts": "hurt"}


def _if_so(one: Planner) -> Points:
    """What changes where the question supposes something of the patient: the rule's urgency alone."""
    patient, before, then = one.asked.supposed, one.known.urgency, one.known.supposed
    if patient is None or before is None or then is None:
        return
    told = one.known.context
    now = "now_told" in one.asked.aspects
    words = SAYS if now else SUPPOSED
    parts = [f"it {words[name]}" for name in patient.symptoms if name not in told.symptoms]
    parts += [f"the patient is {patient.age}"] if patient.age != told.age else []
    parts += [f"it lies there ({patient.site})"] if patient.site != told.site else []
    parts += [f"it is {patient.diameter:g} mm across"] if patient.diameter != told.diameter else []
    begins, signs = LEVELS[then.level]
    same = (
        ", which is the same as without it"
        if then.level == before.level
        else f", without it: {LEVELS[before.level][0].lower()}"
    )
    text = f"{'Since' if now else 'If'} {listed(parts)}: {begins[:1].lower()}{begins[1:]}{same}. {then.text}"
    yield Point("urgency", text, 2.0, then.facts[:3], about=(one.lead.id,), needed=True, signs=signs, level=then.level)
    if then.level in ("none", "routine") and {"grew", "bled", "changed"} & {*patient.symptoms}:
        yield one.says(RETURN)
    if not now:
        yield one.says("the readers do not count complaints: what is told of them does not change their reading.")


def _about(one: Planner, intent: str) -> tuple[str, ...]:
    """The conditions that an answer may be about: what was named, and, unless that alone was meant, both candidates.

    Beside a condition that is set against this lesion stands the first candidate alone, beside two of them none.
    """
    rival = (one.rival.id,) if one.rival and not one.named else ()
    is_pair = intent in BESIDE and len(one.named) > 1
    case = () if intent in OF_ITS_TOPIC or is_pair else (one.lead.id, *rival)
    return tuple(dict.fromkeys((*one.named, one.topic, *case)))


def refusal(asked: Understood) -> Point:
    why = asked.why_out.strip() or f"The graph holds nothing on this. You can ask {ASKABLE}."
    first = re.split(r"(?<=\.)\s", why)[0]
    again = f"{first} What can be asked stands above."
    return Point("refusal", why, needed=True, signs=r"can(?:no|')t (?:answer|say|help)|not about|can ask", again=again)


# --- why it was read so, and why not otherwise ----------------------------------------------------


def _why(one: Planner) -> Points:
    yield one.standing()
    yield from one.disagreement()
    if one.lead.code not in DANGEROUS:
        yield from one.not_excluded()
    favour = list(one.in_favour(one.lead.id, f"In favour of {one.lead.name}"))
    yield from favour or [
        one.says(f"no measured finding speaks clearly for {one.lead.name}: the reading rests on the whole image.")
    ]
    yield from one.opposed(one.lead.id, "Against it", most=2)
    yield from one.next_candidate()
    if one.rival and one.chance(one.rival.code) >= FAINT:
        lead_in = f"To tell {one.lead.name} from {one.rival.name}"
        written = list(one.set_apart(one.lead.id, one.rival.id, needed=False))
        yield from written or one.apart(one.lead.id, one.rival.id, lead_in, most=1, firm=True)


def _why_not(one: Planner) -> Points:
    other = next((key for key in one.named if not one.is_lead(key)), one.rival.id if one.rival else None)
    if other is None or one.named[:1] == (one.lead.id,):
        yield one.says(
            f"{one.lead.name} is what the readers put first{one.odds(one.lead.code)}, so it was not turned down.",
            one.lead.id,
        )
        yield from _against(one)
        return
    name, code = one.name(other), one.code(other)
    counted = one.name(one.class_node(other))  # whose findings were counted: those of a kind were not
    given = one.behind(other)
    yield one.says(given, other) if code else one.unknown_class(other)
    if code:
        yield from one.opposed(other, f"Against {counted}")
        yield from one.in_favour(one.lead.id, f"What fits {one.lead.name} better", against=other, most=2)
        yield from one.in_favour(other, f"For {counted}, all the same", most=1)
    found = list(one.set_apart(other, one.lead.id))
    found = found or list(one.apart(other, one.lead.id, f"What separates {name} from {one.lead.name}"))
    yield from found
    yield one.says(BY_TISSUE)
    if not found:
        yield from one.facts(f"What is known of {name}", (other,), SEEN, most=2)
        yield one.nothing(f"the graph has no fact that separates {name} from {one.lead.name}.")


def _against(one: Planner) -> Points:
    node = next(iter(one.named), one.lead.id)
    name = one.name(node)
    found = list(one.opposed(node, f"Against {name}"))
    yield from found or [
        Point(
            "finding_against",
            f"No measured finding speaks clearly against {name}.",
            needed=True,
            signs=r"\b(?:no|nothing|little)\b",
        )
    ]
    if node == one.lead.id:
        yield from one.next_candidate()
        if one.rival:
            lead_in = f"On looking closer, this would speak for {one.rival.name}"
            yield from one.apart_on_looking(node, one.rival.id, lead_in, most=2, side=one.rival.id)


def _change_of_mind(one: Planner) -> Points:
    other = next((key for key in one.named if not one.is_lead(key)), one.rival.id if one.rival else None)
    if other is None:
        yield one.nothing(
            f"the readers name no second candidate, and the graph has no fact that would turn {one.lead.name} down."
        )
        return
    name = one.name(other)
    yield from one.apart_on_looking(one.lead.id, other, f"This would turn the reading to {name}", most=2, side=other)
    yield from one.in_favour(other, f"Of what was measured, this points to {name} already", against=one.lead.id, most=2)
    said = {key for key, pattern in COMPLAINTS.items() if pattern.search(one.asked.question)}
    told = {"grew", "changed", "bled"} & {*one.known.context.symptoms, *said}
    yield one.says(
        "growth, change and bleeding were not told; what the patient says of them counts."
        if not told
        else f"told of it: it {' and '.join(sorted(told))}."
    )
    if told:
        alarms = frozenset({"red_flag"})
        yield from one.facts("What is known of that", (one.lead.id, other), alarms, most=1, fits=_is_alarm)
    yield from one.facts("What decides in the end", (one.lead.id, other), TESTS, most=1, fits=says(TISSUE))
    yield Point("alternative", capital(one.behind(other)), about=(other,))


def _compare(one: Planner) -> Points:
    case = (key for key in (one.lead.id, one.rival.id if one.rival else "") if key and key not in one.named)
    pair = list(one.kinds) if len(one.kinds) > 1 else [*one.named, *case][:2]
    if AGAINST_IT.search(one.asked.question) and not any(map(one.is_lead, one.kinds)):  # "vs Bowen's? vs eczema?"
        pair = [one.lead.id, *one.kinds]
    if len(pair) < 2:
        yield from _what_is(one)
        return
    left, right = pair[:2]
    names = one.name(left), one.name(right)
    counted = one.name(one.class_node(left)), one.name(one.class_node(right))
    if one.site:
        lead_in = f"On this site ({one.site})"
        yield from one.facts(lead_in, (left, right), DERMOSCOPY, most=3, fits=one.is_on_site)
    lead_in, scope = f"{capital(names[0])} and {names[1]} differ in this", bool(SCOPE.search(one.asked.question))
    written = list(one.set_apart(left, right))
    yield from written
    for other, another in list(itertools.combinations(pair[:MOST_COMPARED], 2))[1:]:
        yield from one.set_apart(other, another)
    if scope and not written:
        for node in (left, right):
            yield from one.replied(node, "dermoscopy", needed=False)
    found = list(one.apart(left, right, lead_in, most=2 if written else 3, relations=DERMOSCOPY)) if scope else []
    if not written:
        found = found or list(one.apart(left, right, lead_in, most=3))
    yield from found
    with_lead = [point for node in pair[:2] if not one.is_lead(node) for point in one.set_apart(node, one.lead.id)]
    if not written and not found:
        yield from with_lead
    if not written and not found and not with_lead:
        yield one.nothing(f"the graph has no fact that separates {names[0]} from {names[1]}.")
    if one.code(left) and one.code(right):
        yield from one.in_favour(left, f"Measured here, this fits {counted[0]} better", against=right, most=2)
        yield from one.in_favour(right, f"Measured here, this fits {counted[1]} better", against=left, most=2)
        if one.code(left) == one.code(right):
            yield one.says(f"{names[0]} and {names[1]} are one class for the readers, who do not tell them apart.")
            return
        yield Point(
            "alternative", f"The readers give {one.read_as(left)} and {one.read_as(right)}.", about=(left, right)
        )


# --- what to do -------------------------------------------------------------------------------------


def _settle(one: Planner) -> Points:
    tissue = list(one.facts("What settles it", (one.topic,), TESTS, most=2, fits=says(TISSUE)))
    yield from tissue or _known(one, "What settles it", f"how {one.name(one.topic)} is confirmed", TESTS, most=2)
    if one.danger:
        yield from one.facts(
            f"For {one.danger.name}, which is possible", (one.danger.id,), TESTS, most=1, fits=says(TISSUE)
        )
    if one.rival and one.is_lead(one.topic):
        lead_in = f"Before that, dermoscopy tells {one.lead.name} from {one.rival.name} by this"
        yield from one.apart(one.lead.id, one.rival.id, lead_in, most=1, relations=DERMOSCOPY)


def _biopsy(one: Planner) -> Points:
    yield from one.tissue_first("{why}: so tissue is taken, not only looked at again.")
    if one.danger:
        yield from one.facts(
            f"What is said of suspected {one.danger.name}", (one.danger.id,), TESTS, most=2, fits=says(TISSUE)
        )
    name = one.name(one.topic)
    decides = one.code(one.topic) in DANGEROUS
    lead_in = f"For {name} tissue decides" if decides else f"For {name} tissue is a matter of doubt"
    yield from _known(one, lead_in, f"biopsy in {name}", TESTS | CARE, most=3 if decides else 2, fits=says(TISSUE))
    yield from one.facts("What is not done", (one.topic,), TESTS, most=1, fits=_is_no_biopsy)


def _is_no_biopsy(fact: Fact) -> bool:
    return fact.polarity == "absent" and bool(TISSUE.search(fact.text))


def _urgency(one: Planner) -> Points:
    name, urgency = one.name(one.topic), one.known.urgency
    if not one.is_lead(one.topic) or urgency is None:
        named = ", which you named" if not one.is_lead(one.topic) else ""
        yield from _known(one, f"On referral of {name}{named}", f"how soon {name} is referred", REFERRAL, most=2)
    if urgency is None:
        return
    begins, signs = LEVELS[urgency.level]
    lead = (one.lead.id,)
    yield Point(
        "urgency",
        f"{begins}. {urgency.text}",
        2.0,
        urgency.facts[:3],
        about=lead,
        needed=True,
        signs=signs,
        again=f"{begins}, as said above.",
        level=urgency.level,
    )
    if urgency.level in ("none", "routine"):
        text = "{name} is not excluded{odds}: what grows, bleeds, hardens or does not heal is shown to a doctor soon."
        yield from one.caution(text)
    if urgency.level != "urgent":
        yield from one.facts("What would make it more urgent", lead, frozenset({"red_flag"}), most=1, fits=_is_alarm)


def _treatment(one: Planner) -> Points:
    name = one.name(one.topic)
    yield from one.tissue_first("nothing is treated before tissue has decided: {why}.")
    own = f"Treatment of {name}, once that diagnosis is certain"
    other = f"Treatment of {name}, which you named (this lesion was read as {one.lead.name})"
    lead_in = own if one.is_lead(one.topic) else other
    yield from _known(one, lead_in, f"the treatment of {name}", CARE, most=3, fits=_is_done)
    yield from one.facts("To keep in mind", (one.topic,), CARE, most=1, fits=_is_not_done)


def _is_done(fact: Fact) -> bool:
    return fact.polarity == "present" and not WATCH.search(fact.text)


def _is_not_done(fact: Fact) -> bool:
    return fact.polarity == "absent" and not WATCH.search(fact.text)


def _is_alarm(fact: Fact) -> bool:
    """A change that matters, not how often it ends well."""
    return fact.polarity == "present" and bool(CHANGES.search(fact.text)) and not NO_ALARM.search(fact.text)


def _monitor(one: Planner) -> Points:
    name = one.name(one.topic)
    yield from one.tissue_first("watching alone is not enough here: {why}, and tissue decides.")
    found = list(
        _known(one, f"On follow-up of {name}", f"how {name} is followed up", FOLLOW_UP, most=2, fits=says(WATCH))
    )
    yield from found
    if not any(re.search(r"\d|once a|two|three", fact.text) for point in found for fact in point.facts):
        yield Point("unknown", capital(f"an interval for {name} is not in the graph."))
    yield from one.facts("What to look out for", (one.topic,), frozenset({"red_flag"}), most=2, fits=_is_alarm)


# --- what is known of it ------------------------------------------------------------------------------


def _prognosis(one: Planner) -> Points:
    name = one.name(one.topic)
    yield from one.facts("", (one.topic,), frozenset({"behaves_as"}), most=1)
    course = (OUTLOOK | CARE) - {"behaves_as"}
    yield from _known(one, f"On the course of {name}", f"the course of {name}", course, most=3, fits=_is_outlook)
    yield from one.caution("that holds if the reading is right: {name} is possible{odds}, and only tissue tells.")
    if one.code(one.topic) in DANGEROUS:
        yield one.says(
            "how deep it goes is not seen on a photograph: figures are those of groups, not of this patient."
        )


def _is_outlook(fact: Fact) -> bool:
    return bool((OUTCOME if fact.relation in CARE else COURSE).search(fact.text))


def _risk_factors(one: Planner) -> Points:
    name = one.name(one.topic)
    lead_in = f"What raises the risk of {name}"
    yield from _known(one, lead_in, lead_in.lower(), RISK, most=4, fits=lambda fact: fact.polarity == "present")
    yield from one.facts("What does not", (one.topic,), RISK, most=1, fits=lambda fact: " not " in fact.text)
    context = one.known.context
    told = [f"age {context.age}" if context.age is not None else "", context.sex or "", context.site or ""]
    told.append(f"skin type {context.skin_type}" if context.skin_type else "")
    said = listed([part for part in told if part])
    open_ = "nothing was told of this patient, so what of this applies here is open."
    yield one.says(f"of this patient is known: {said}." if said else open_)


def _dermoscopy(one: Planner) -> Points:
    name = one.name(one.topic)
    if one.is_lead(one.topic):
        yield from one.structures()
    yield from _known(one, f"Dermoscopy of {name}", f"dermoscopy of {name}", DERMOSCOPY, most=3)
    if one.rival and one.is_lead(one.topic):
        lead_in = f"What tells it from {one.rival.name}"
        yield from one.apart(one.lead.id, one.rival.id, lead_in, most=1, relations=DERMOSCOPY)
    if not one.is_lead(one.topic):
        yield from one.structures()


def _plain_words(one: Planner) -> Points:
    lead, signs = one.lead, re.escape(one.lead.name)
    begins = f"Two computer readers looked at the picture. Their first guess is {_plain_name(lead)}."
    other = next((other for _, other in one.others_first), None)
    if other:
        begins = (
            "Two computer readers looked at the picture and do not agree: the first guess of one is "
            f"{_plain_name(lead)}, that of the other {_plain_name(other)}."
        )
    behaves = one.graph.facts(lead.id, "behaves_as", family=True)[:1]
    yield Point("standing", begins, facts=behaves, about=(lead.id,), needed=True, signs=signs)
    brief = bool(BRIEF.search(one.asked.question))
    plainly = list(one.replied(lead.id, "plainly", needed=False))
    if not brief:
        yield from plainly or one.facts("", (lead.id,), frozenset({"behaves_as"}), most=1, fits=_is_plain)
    seen = (finding for finding in one.known.findings if finding.code not in STRUCTURE_SIGNS)
    plain = [replace(finding, text=re.sub(r" \(.*?\)", "", finding.text)) for finding in seen]
    shown = speaking_for(weighed(plain, lead.code), most=2)
    if shown and not brief:
        yield one.says(f"What they saw in the picture: {listed([item.text for item in shown])}.")
    danger = one.danger_beside(lead.code)
    if danger and danger != other:
        text = f"It could also be {_plain_name(danger)}; that has to be ruled out."
        yield Point("alternative", text, about=(danger.id,), needed=True)
    elif one.rival and one.rival != other and not brief:
        yield Point("alternative", f"Less likely it is {_plain_name(one.rival)}.", about=(one.rival.id,))
    if one.known.urgency:
        level = one.known.urgency.level
        signs = LEVELS[level][1] + r"|specialist|doctor"
        yield Point("urgency", f"{PLAIN_LEVELS[level]}.", 2.0, needed=True, signs=signs)
    yield Point(
        "standing",
        "A picture alone decides nothing: a doctor looks at the skin itself, and sometimes at a sample of it.",
        needed=True,
        signs=r"picture|photo|image|not (?:sure|certain)|doctor|specialist|sample",
    )


def _is_plain(fact: Fact) -> bool:
    return fact.text.startswith("In plain words")


def _plain_name(diagnosis: Diagnosis) -> str:
    return PLAIN_NAMES.get(diagnosis.code or "", diagnosis.name)


def _what_is(one: Planner) -> Points:
    name, code = one.name(one.topic), one.code(one.topic)
    yield from _known(one, "", f"what {name} is", frozenset({"behaves_as", "has_sign"}), most=3)
    if code and one.known.differentials:
        yield one.says(f"for this lesion the readers give {one.read_as(one.topic)}.", one.topic)


def _other(one: Planner) -> Points:
    """Facts on the topic that share a word with the question, then what was retrieved on it."""
    asked, topics = one.asked_words(), (one.topic,)
    sharing = list(
        one.facts("What is known of this", topics, TOLD, most=2, fits=lambda fact: bool(asked & set(stems(fact.text))))
    )
    found = [fact for fact in one.known.found if fact.relation in TOLD]
    near = list(one.facts("Nearest to this question", topics, TOLD, most=2, fits=lambda fact: fact in found))
    said = sharing or near
    facts = [fact for point in said for fact in point.facts]
    fit = one.to_the_point(facts)
    kept = [replace(point, facts=tuple(fact for fact in point.facts if fact in fit)) for point in said]
    yield from [point for point in kept if point.facts] or [one.nothing(f"{NO_ANSWER} You can ask {ASKABLE}.")]


# --- shared -------------------------------------------------------------------------------------------


def says(pattern: re.Pattern[str]) -> Callable[[Fact], bool]:
    return lambda fact: bool(pattern.search(fact.text))


def _known(
    one: Planner,
    lead_in: str,
    what: str,
    relations: frozenset[str],
    *,
    most: int,
    fits: Callable[[Fact], bool] = lambda fact: True,
) -> Points:
    """The topic's facts; that none of them is of the site that was asked about; that the graph holds nothing."""
    found = list(one.facts(lead_in, (one.topic,), relations, most=most, fits=fits))
    if not found:
        yield one.nothing(f"the graph has no fact on {what}.")
    elif one.asks_of_site and not any(one.is_on_site(fact) for point in found for fact in point.facts):
        yield one.nothing(f"the graph has no fact on {what} that is of this site alone ({one.site}).")
        yield from one.facts(lead_in, (one.topic,), relations, most=most, fits=fits, again=True)
    else:
        yield from found


TESTS = frozenset({"diagnosed_by"})
CARE = frozenset({"treated_by"})
FOLLOW_UP = frozenset({"treated_by", "diagnosed_by", "refer_if", "red_flag"})
REFERRAL = frozenset({"refer_if"})
RISK = frozenset({"risk_factor"})
TOLD = frozenset(RELATIONS) - {"is_a", "coded_as", "likelihood_ratio_for"}
OUTLOOK = frozenset({"behaves_as", "red_flag"})
APART = SEEN | {"look_alike"}
SAID_FIRST = frozenset({"why", "why_not", "against", "trust"})
"""Intents that are answered by what was measured and read, which then stands before what the model says."""
BY_MEASUREMENT = frozenset({"why", "against", "plain_words", "trust"})
"""Intents that are answered by what was measured and read, whatever else was found."""
BESIDE = frozenset({"compare", "why_not"})
OF_ITS_TOPIC = frozenset({"treatment", "prognosis", "risk_factors", "dermoscopy", "monitor", "what_is"})
"""Intents of which an answer about another condition is no answer."""
KINDS: Mapping[str, Kind] = {
    "why": Kind(_why, APART),
    "why_not": Kind(_why_not, APART, 1),
    "against": Kind(_against, APART),
    "change_of_mind": Kind(_change_of_mind, APART | TESTS, 1),
    "settle": Kind(_settle, TESTS | APART, 1),
    "biopsy": Kind(_biopsy, TESTS | CARE, 1, says(TISSUE)),
    "urgency": Kind(_urgency, REFERRAL | {"red_flag"}),
    "treatment": Kind(_treatment, CARE, 2),
    "prognosis": Kind(_prognosis, OUTLOOK | CARE, 1, _is_outlook),
    "risk_factors": Kind(_risk_factors, RISK, 2),
    "dermoscopy": Kind(_dermoscopy, DERMOSCOPY, 2),
    "plain_words": Kind(_plain_words, OUTLOOK | CARE | TESTS | SEEN),
    "compare": Kind(_compare, APART, 2),
    "monitor": Kind(_monitor, FOLLOW_UP, 1, says(WATCH)),
    "what_is": Kind(_what_is, SEEN | OUTLOOK | {"is_a"}, 1),
    "trust": Kind(of_reading),
    "other": Kind(_other, asks=1),
}
