"""What is said of the reading itself: how sure it is, what it rests on, what it cannot know, what would change it.

`of_reading` is the way in; each aspect has one function that reads like its answer. Knows no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from dermiq.answering.planner import Planner, Points
from dermiq.answering.points import Point
from dermiq.answering.trust import (
    KNOWN_CLASSES,
    LIMITS,
    NO_PROOF,
    ONE_PHOTO,
    OTHER_LESION,
    RETURN,
    SHARPER,
    TISSUE,
    record,
)
from dermiq.answering.weigh import READERS as READER_NAMES
from dermiq.answering.weigh import listed, percent
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.retrieve.reading import AGAINST, ASSUMED, PICTURE, READERS, UNSEEN
from dermiq.knowledge.retrieve.understand import COMPLAINTS
from dermiq.types import Fact

ALARMS = frozenset({"red_flag"})
TESTS = frozenset({"diagnosed_by"})
SAYS = {"itch": "itches", "bled": "bled", "grew": "grew", "changed": "changed", "hurts": "hurts"}


def of_reading(one: Planner) -> Points:
    """By its aspect, else by the words of the question, else how far it can be relied on."""
    yield from _aspect(one)(one)


def _aspect(one: Planner) -> Callable[[Planner], Points]:
    question = one.asked.question
    told = next((BY_ASPECT[aspect] for aspect in one.asked.aspects if aspect in BY_ASPECT), None)
    if PICTURE.search(question):
        return _picture
    by_words = ((READERS, _both), (AGAINST, _doubt), (ASSUMED, _from_words), (UNSEEN, _beyond))
    return told or next((said for pattern, said in by_words if pattern.search(question)), _sure)


def _sure(one: Planner) -> Points:
    yield replace(one.standing(), again=f"As said above: {one.read_as(one.lead.id)}.")
    yield Point("standing", record(), needed=True, signs=r"\d ?%.*(?:images|melanomas)|calibrat")
    yield one.says(LIMITS)


def _both(one: Planner) -> Points:
    """Whether the readers agree, and what each holds likeliest."""
    agree = one.says(f"Both readers put {one.lead.name} first{one.odds(one.lead.code)}.", one.lead.id)
    yield from list(one.disagreement()) or [agree]
    for differential in one.known.differentials:
        first = [f"{each.diagnosis.name} {percent(each.probability)}" for each in differential.candidates[:3]]
        yield one.says(f"{READER_NAMES[differential.reader]}: {listed(first)}.")


def _picture(one: Planner) -> Points:
    found = " ".join(one.known.quality) or "No fault of sharpness, light or framing was measured on the picture."
    yield Point("standing", found, needed=True, signs=r"sharp|blur|focus|light|fram")
    yield one.says(SHARPER)
    yield from _sure(one)


def _one_photo(one: Planner) -> Points:
    yield Point("standing", ONE_PHOTO, needed=True, signs=r"touch|depth|feel|one (?:photo|picture|image)")
    yield replace(one.standing(), again=f"As said above: {one.read_as(one.lead.id)}.")
    yield from one.in_favour(one.lead.id, f"On the picture itself this spoke for {one.lead.name}", most=2)
    yield from one.facts("What settles it", (one.lead.id,), TESTS, most=1, fits=_is_tissue)


def _beyond(one: Planner) -> Points:
    others = [key for key in one.named if one.code(key) is None]
    for key in others[:1]:
        name = one.name(key)
        yield one.unknown_class(key)
        written = list(one.set_apart(key, one.lead.id))
        yield from written or one.apart(key, one.lead.id, f"What separates {name} from {one.lead.name}")
    again = f"As said above: {KNOWN_CLASSES}"
    seven = Point("standing", KNOWN_CLASSES, needed=True, signs=r"seven|classes|rash", again=again)
    yield seven if not others else replace(seven, needed=False)
    yield one.says(f"so {TISSUE[:1].lower()}{TISSUE[1:]}")


def _from_words(one: Planner) -> Points:
    told, lead = one.counted, one.lead
    if not told:
        text = "Both readers judged the picture alone: nothing that was told changed a probability."
    else:
        by_image = one.by_image(lead.code)
        changed = f" Of the picture alone it gave {lead.name} {percent(by_image)}." if by_image is not None else ""
        text = f"The picture, and of what was told {listed(told)}, which the specialist counts in.{changed}"
    yield Point("standing", text, needed=True, signs=r"picture|photo|image")
    yield one.says(
        "what was told in words besides (how it feels, itching, growth) counts for the facts that are looked up and "
        "for the rule of urgency alone."
    )
    yield from one.in_favour(lead.id, f"Measured on the picture, this spoke for {lead.name}", most=3)


def _as_proof(one: Planner) -> Points:
    yield Point("standing", NO_PROOF, needed=True, signs=r"not (?:a |the )?(?:proof|diagnosis|patholog)|no proof")
    yield one.says(LIMITS)
    yield from one.facts("What settles it", (one.lead.id,), TESTS, most=1, fits=_is_tissue)


def _doubt(one: Planner) -> Points:
    yield Point("standing", "It can be wrong.", needed=True, signs=r"can be wrong|may be wrong|uncertain|not certain")
    found = list(one.opposed(one.lead.id, f"Against {one.lead.name}"))
    yield from found or [one.says(f"no measured finding speaks clearly against {one.lead.name}.")]
    yield from one.next_candidate()
    yield one.says(ONE_PHOTO)
    yield Point("standing", KNOWN_CLASSES, again="What the readers do not know was said above.")


def _now_told(one: Planner) -> Points:
    """Something new is told of the lesion: what is known of that, and that no reader saw it."""
    yield Point(
        "standing",
        "The readers judged the picture and did not know this: it changes no probability, and counts all the same.",
        needed=True,
        signs=r"not known|did not know|not seen|chang",
    )
    nodes = tuple(dict.fromkeys(node.id for node in (one.lead, one.danger, one.rival) if node))
    asked = one.asked_words()
    yield from one.facts("What is known of that", nodes, ALARMS, most=2, fits=lambda fact: _shares(fact, asked))
    yield from one.facts("What decides", nodes, TESTS, most=1, fits=_is_tissue)
    yield one.says(TISSUE)


def _other_lesion(one: Planner) -> Points:
    """Of what is not in the picture nothing is said."""
    yield Point(
        "standing", OTHER_LESION, needed=True, signs=r"only|not (?:seen|in the)", again=f"As said above: {OTHER_LESION}"
    )


def _decide(one: Planner) -> Points:
    """Whether it may be left: by the most dangerous diagnosis that is possible, and the rule."""
    warned = list(one.tissue_first("it should not be left: {why}, and that takes tissue to decide."))
    calm = (
        f"The reading alone does not decide that. It puts {one.lead.name} first{one.odds(one.lead.code)} and holds no "
        "dangerous diagnosis for likelier than 10 %; who sees the skin decides."
    )
    yield from warned or [Point("standing", calm, needed=True, signs=r"not decide|decides")]
    yield from one.replied(one.lead.id, "self_check", needed=False)
    if one.known.urgency:
        yield Point("urgency", one.known.urgency.text, facts=one.known.urgency.facts[:3], level=one.known.urgency.level)
    yield one.says(RETURN)


def complaints(question: str) -> tuple[str, ...]:
    return tuple(name for name, pattern in COMPLAINTS.items() if pattern.search(question))


def _shares(fact: Fact, asked: frozenset[str]) -> bool:
    return fact.polarity == "present" and bool(asked & set(stems(fact.text)))


def _is_tissue(fact: Fact) -> bool:
    return fact.polarity == "present" and bool(re.search(r"biops|histolog", fact.text, re.IGNORECASE))


BY_ASPECT: Mapping[str, Callable[[Planner], Points]] = {
    "sure": _sure,
    "one_photo": _one_photo,
    "picture": _picture,
    "other_lesion": _other_lesion,
    "decide": _decide,
    "beyond": _beyond,
    "is_it": _beyond,
    "from_words": _from_words,
    "as_proof": _as_proof,
    "doubt": _doubt,
    "now_told": _now_told,
}
