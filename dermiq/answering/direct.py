"""What answers a question directly: the sentences written for its aspect (`replies`), and what is said beside them.

Knows no model and no page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dermiq.answering.of_reading import complaints
from dermiq.answering.planner import DANGEROUS, Planner, Points
from dermiq.answering.points import Point
from dermiq.answering.replies import site_of
from dermiq.answering.trust import TISSUE as BY_TISSUE
from dermiq.knowledge.graph import CLASS_NODES
from dermiq.knowledge.retrieve.aspects import OF_CONDITIONS
from dermiq.knowledge.retrieve.faq import ANY, entry
from dermiq.knowledge.retrieve.intents import ABOUT_THE_CASE

MOST = 2  # sentences
TO_DO = frozenset({"treatment", "biopsy", "settle", "monitor"})
"""Intents whose replies are for a diagnosis that is certain."""
WITHOUT_WARNING = frozenset(
    {
        *("blood_thinner", "biopsy_spreads", "pathology", "staging", "after_histology", "other_cancers", "daily_life"),
        *(
            "specimen",
            "reexcise",
            "thickness",
            "sentinel",
            "sun_care",
            "wound",
            "which_doctor",
            "second_one",
            "children",
        ),
    }
)
"""Aspects of treatment and follow-up that say nothing of what is done to this lesion."""
CIRCUMSTANCES = frozenset({"hormones", "weak_immunity", "children", "age"})
"""Aspects that say in which case something is done."""
DESTROYING = frozenset({"freezing", "no_surgery", "creams", "home_treatment"})
"""Aspects of what takes a lesion away without tissue."""
WARNED = TO_DO | {"prognosis", "what_is"}
USUAL: Mapping[str, tuple[str, ...]] = {
    "treatment": ("treatments",),
    "biopsy": ("biopsy_needed", "biopsy_kind"),
    "settle": ("confirmed",),
    "monitor": ("follow_up", "self_check"),
    "prognosis": ("nature", "untreated"),
    "risk_factors": ("cause",),
    "dermoscopy": ("dermoscopy",),
    "what_is": ("what_is", "nature"),
}
"""Aspects that answer an intent where none was heard."""
INSTEAD = {"follow_up": ("self_check",), "recurs": ("follow_up",)}
"""Aspects that go with one, and stand for it where nothing was written for it."""
MEANS = {"bled": "bleeds", "grew": "grows", "itch": "itches", "changed": "changes", "hurts": "itches"}
"""Complaint -> the aspect that says what it means."""


ASKS: Mapping[str, str] = {
    "nature": "whether {it} is dangerous",
    "turns": "whether {it} turns into something worse",
    "spreads": "whether {it} spreads",
    "fatal": "how many survive {it}",
    "recurs": "whether {it} comes back",
    "untreated": "what becomes of {it} without treatment",
    "contagious": "whether {it} is catching",
    "inherited": "whether {it} runs in families",
    "cause": "what causes {it}",
    "sun": "what sun does in {it}",
    "injury": "whether rubbing or a knock matters in {it}",
    "hormones": "what pregnancy or hormones do in {it}",
    "dark_skin": "how frequent {it} is in dark skin",
    "sexes": "whether women or men have {it} more often",
    "itches": "whether {it} itches or hurts",
    "bleeds": "what bleeding means in {it}",
    "creams": "whether creams help in {it}",
    "freezing": "whether freezing or laser is right for {it}",
    "surgery": "how {it} is cut out",
    "home_treatment": "that {it} may be treated at home",
    "biopsy_kind": "which kind of biopsy is right in {it}",
    "biopsy_spreads": "that a biopsy makes {it} spread",
    "pathology": "what the laboratory reports of {it}",
    "staging": "that {it} needs scans or blood tests",
    "vessels": "which vessels dermoscopy shows in {it}",
    "follow_up": "how often {it} is checked",
    "other_cancers": "whether other skin cancers go with {it}",
    "weak_immunity": "what weak immunity means in {it}",
    "blood_thinner": "what blood thinners mean for the removal of {it}",
    "daily_life": "what {it} means for daily life",
    "infection": "that {it} is an infection",
    "specimen": "whether tissue of {it} must go to the laboratory",
    "choice": "which treatment of {it} is to be preferred",
    "excise_when": "when {it} is taken out",
    "reexcise": "whether more is cut out after {it} was removed",
    "thickness": "what thickness or size means in {it}",
    "sentinel": "that lymph nodes are examined in {it}",
    "sun_care": "which protection from the sun {it} calls for",
    "wound": "how the wound heals after {it} was removed",
    "pregnancy_care": "what may be done about {it} in pregnancy",
    "which_doctor": "who should see or treat {it}",
    "second_one": "how often another one follows {it}",
    "children": "whether children have {it}",
    "means_lump": "what a lump, thickening or ulcer means in {it}",
    "photos": "whether {it} may be watched by photographs",
}
"""What is asked of a condition, where nothing was written for some."""


def replies(one: Planner, intent: str) -> tuple[Point, ...]:
    """What is written for the aspect that was asked for, else for the intent; of complaints, what they mean.

    A good answer gives the one for its aspect; that for an intent is one among others.
    """
    heard = _heard(one)
    if not one.asked.supposed and (intent in ABOUT_THE_CASE or (intent, heard[:1]) == ("plain_words", ["plainly"])):
        return ()
    if intent in TO_DO and heard and not one.asked.supposed and CIRCUMSTANCES.issuperset(heard):
        heard = [*heard, *USUAL[intent][:1]]  # what to do, where the circumstance alone was heard: in pregnancy
    aspects = [held for aspect in heard or USUAL.get(intent, ()) for held in (aspect, *INSTEAD.get(aspect, ()))]
    if (aspects[:1] == ["dermoscopy"] or (not heard and site_of(one.asked.question) == "nail")) and (
        on_site := _on_site(one)
    ):
        return on_site
    found = [point for aspect in aspects for point in one.replied(one.topic, aspect, needed=bool(heard))]
    if found and intent == "biopsy" and one.danger and one.lead.code in DANGEROUS and one.is_lead(one.topic):
        found = [*one.replied(one.danger.id, "biopsy_kind"), *found]  # a carcinoma may be shaved, a melanoma may not
    return tuple(found)[:MOST]


def _on_site(one: Planner) -> tuple[Point, ...]:
    """What dermoscopy shows on the site that is asked about or was told: of the condition, and of melanoma."""
    site = site_of(one.asked.question) or site_of(one.known.context.site or "")
    nodes = dict.fromkeys((one.topic, CLASS_NODES["mel"])) if site else ()
    found = [point for node in nodes for point in one.replied(node, f"dermoscopy_{site}")]
    return tuple({point.text: point for point in found}.values())


def _heard(one: Planner) -> list[str]:
    if one.asked.supposed:  # "and if it had bled?", "it bled yesterday"
        return [MEANS[name] for name in complaints(one.asked.question)]
    return [aspect for aspect in one.asked.aspects if aspect in OF_CONDITIONS]


def lacking(one: Planner, intent: str) -> tuple[Point, ...]:
    """That nothing is written for what was asked of one of the seven classes, where something is for others."""
    asked = next((ASKS[aspect] for aspect in one.asked.aspects[:1] if aspect in ASKS), "")
    if not asked or not one.code(one.topic) or intent in ABOUT_THE_CASE:
        return ()
    danger = one.danger
    beside = [point for aspect in one.asked.aspects[:1] for point in one.replied(danger.id, aspect)] if danger else []
    if danger and beside and intent in TO_DO:
        return (*one.caution("{name} is possible{odds}; of that:"), *beside)
    return (one.nothing(f"the sources at hand do not say {asked.format(it=one.name(one.topic))}."),)


def mistaken(one: Planner) -> Points:
    """Where somebody would treat at home what they take for another condition: what it was read as, and of that."""
    yield one.elsewhere(one.topic)
    yield from one.tissue_first("nothing is treated before tissue has decided: {why}.")
    yield from one.replied(one.lead.id, "home_treatment")
    yield one.says("treat nothing at home before a doctor has seen it.")


def with_replies(
    one: Planner, intent: str, direct: Sequence[Point], points: Sequence[Point], supposed: Iterable[Point]
) -> Points:
    """Direct replies, what the question supposes, what is said of this lesion, and facts: one point of those of the
    intent where the aspect was heard, else the nearest to the question.

    What has to be excluded first stands before a reply that says what to do, and behind any other.
    """
    warning = [point for point in points if point.kind == "alternative"]
    if not warning and intent in WARNED:
        warning = list(
            one.caution("that holds if the reading is right: {name} is possible{odds}, and only tissue tells.")
        )
    heard = _heard(one)
    if one.asked.is_confirmed or (heard and WITHOUT_WARNING.issuperset(heard)):
        warning = []
    if not warning and DESTROYING & set(one.asked.aspects):
        warning = list(one.sure_first())
    is_first = intent in TO_DO and one.lead.code != "akiec"  # which is often treated as it is seen
    if not one.asked.supposed:
        yield from (point for point in points if point.kind == "urgency")
    supposes = one.asked.is_confirmed  # what is done then
    if not one.is_lead(one.topic) and not supposes and (intent == "treatment" or one.lead.code in DANGEROUS):
        yield one.elsewhere(one.topic)
    if "nature" in heard and not one.named:
        yield replace(one.standing(), again=f"As said above: {one.read_as(one.lead.id)}.")
        yield one.says(BY_TISSUE)
    yield from (*warning, *direct) if is_first else (*direct, *warning)
    yield from supposed
    beside = {"fact", "alternative", "urgency"} | (set() if one.asks_of_site else {"unknown"})
    yield from (point for point in points if point.kind not in beside)
    if not one.asked.supposed:
        yield from _further(one, direct, points)


def answered_often(one: Planner, intent: str, often: Sequence[Point], supposed: Iterable[Point]) -> Points:
    """The answers to a question that is asked often, behind what holds them back for this lesion: that it was read as
    something else, or that a cancer is possible.
    """
    is_general = all(ANY in entry(key).topics for key in one.asked.often)
    about = next((node for point in often for node in point.about), one.topic)
    to_do = intent in TO_DO and not is_general and not one.asked.is_confirmed
    if to_do and not one.is_lead(about) and (intent == "treatment" or one.lead.code in DANGEROUS):
        yield one.elsewhere(about)
    if to_do and one.is_lead(about):
        yield from one.caution("that holds if the reading is right: {name} is possible{odds}, and only tissue tells.")
    yield from often
    yield from supposed


def of_the_suspected(one: Planner, intent: str) -> Points:
    """The same for the condition that the first question took the lesion for, where "it" may mean that one, too."""
    node = one.asked.suspected
    if not node or one.named or not one.is_lead(one.topic) or one.is_lead(node) or intent in ABOUT_THE_CASE:
        return
    other = Planner(one.graph, replace(one.asked, conditions=(node,), supposed=None), one.known)
    if found := replies(other, intent):
        yield one.says(f"of {one.name(node)}, which was asked about first:", node)
        yield from found[:1]


def _further(one: Planner, direct: Sequence[Point], points: Sequence[Point]) -> Points:
    """A fact that is nearer to the question than the replies; where no aspect was heard the nearest two, and of the
    intent's own facts those that the replies do not rest on.
    """
    heard = _heard(one)
    yield from one.closest("Closest to the question", most=1 if heard else 2, than=direct if heard else ())
    if not heard:
        quoted = {fact for point in direct for fact in point.facts}
        rest = ((point, tuple(fact for fact in point.facts if fact not in quoted)[:2]) for point in points)
        yield from [replace(point, facts=facts) for point, facts in rest if point.kind == "fact" and facts][:1]
