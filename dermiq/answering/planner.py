"""One question on one case, and the points that can be made of it. Knows no intent: `plan` asks it for points.

Nothing is said here that is not measured, told, computed by a reader, or a fact of the graph.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Literal

from dermiq.answering.choose import COUNTED, SPECIAL, distinct, facts_of, flat, is_told, separating, untold
from dermiq.answering.points import Known, Point
from dermiq.answering.replies import apart, reply
from dermiq.answering.weigh import (
    READERS,
    Weighed,
    chances,
    listed,
    speaking_against,
    speaking_for,
    times,
    weighed,
)
from dermiq.knowledge import Graph, link
from dermiq.knowledge.graph import CLASS_NODES, PRINCIPAL
from dermiq.knowledge.language.embed import available
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.language.questions import nearness
from dermiq.knowledge.retrieve.case import FINDING_SIGNS, GROUPS, SITE_WORDS, STRUCTURE_SIGNS, shows, sites_of
from dermiq.knowledge.retrieve.ellipsis import kinds_of
from dermiq.knowledge.retrieve.faq import ANY, entry
from dermiq.knowledge.retrieve.understand import Understood
from dermiq.types import Candidate, Diagnosis, Fact, Finding

POSSIBLE = 0.10  # probability from which a dangerous diagnosis is kept in mind, as for urgency
FAINT = 0.03  # probability below which what speaks for the next candidate is not worth its line
ITS_OWN, ENOUGH = frozenset({"what_is", "plainly", "dermoscopy", "vessels", "lookalikes", "place"}), 3
"""Aspects that are not inherited by a kind of which so many facts are known."""
RARE = 40  # facts that have a word, at most, for it to say by itself what is asked about: "liver", "chlorine"
NEAR = 0.3  # from which a fact lies near a question; below it readers found noise
UNLIKELY = 0.05  # from which it is named, though it need not be ruled out
DANGEROUS = ("mel", "bcc", "akiec")  # malignant, or on the way there; the most dangerous first
DESTROYS = re.compile(
    r"\bshav|cryo|freez|frozen|liquid nitrogen|laser|curett|electro|cauter|for looks|peel|hydroquinone", re.IGNORECASE
)
"""What takes a lesion off without tissue, or with too little of it, for histology."""
WARNS = re.compile(r"\bnot\b|\bnever\b|avoid|contraindicat|rather than", re.IGNORECASE)
DOSE = re.compile(
    r"\b\d+(?:\.\d+)? ?(?:mg|ml|IU|units?)\b|\b(?:once|twice|three times|\d times) (?:a|per) (?:day|week)"
    r"|\b(?:once|twice) daily",
    re.IGNORECASE,
)
"""How much of a medicine, and how often: who prescribes it says that."""
OF_THE_OLD = re.compile(r"\belderly\b|\bold(?:er)? (?:people|persons|patients|age)\b|\bin the old\b", re.IGNORECASE)
OF_CHILDREN = re.compile(r"\b(?:infants?|newborns?|bab(?:y|ies)|child(?:ren|hood)?|adolescen\w+)\b", re.IGNORECASE)
YOUNG, GROWN = 45, 25  # years: below, and from which on
PROPOSES = re.compile(
    r"\b(?:can|could|may|shall) (?:i|we|he|she|they|it|you)\b[^?]*\?"
    r"|\b(?:right|ok(?:ay)?|fine|no|yes|correct|(?:isn|wouldn|can|couldn)'?t (?:it|i|we|he|she))\s*\??\s*$",
    re.IGNORECASE,
)
"""Asks leave for what it speaks of."""
WARY = re.compile(
    r"\b(?:not|never|avoid|dangerous|risk\w*|harm\w*|bad|wrong|worse|rather than|instead of|or|spread|why|how|what)\b",
    re.IGNORECASE,
)
"""Asks something else of it, to which a "no" would say the opposite: "isn't it dangerous to leave it?"."""
LEAVES = re.compile(
    r"\b(?:watch|wait|leave it|left|skip|ignore|do nothing|without (?:a )?biopsy|discharge)\b", re.IGNORECASE
)
SETS_APART = re.compile(r"\b(?:vs|versus|against|or)\b|differen|distinct|apart|separate", re.IGNORECASE)
"""Sets a condition beside a form of it: "dysplastic or common nevus?"."""
HOW_OFTEN = re.compile(
    r"\bhow (?:often|many|common|frequent|likely)\b|\bper ?cent|%|\brates?\b|statistic", re.IGNORECASE
)
DESCRIBED = {"Sign": 7, "DermoscopicFeature": 12}
"""What a look is told in, and of how many conditions at most each is known for it to tell anything."""
SEEN = frozenset({"has_sign", "has_dermoscopic_feature"})
DERMOSCOPY = frozenset({"has_dermoscopic_feature"})
Points = Iterator[Point]
LACKS = (
    r"\bno (?:such )?(?:fact|figure|source|rule|number|treatment|interval)|\bnothing\b"
    r"|(?:not|n't) (?:known|hold|answer)"
)
"""Other words that say that the graph holds nothing."""


@cache
def frequency(graph: Graph) -> Counter[str]:
    """Stem -> in how many facts it stands."""
    return Counter(stem for fact in graph.all_facts for stem in set(stems(fact.text)))


class Planner:
    """Who is spoken of, and points about them."""

    def __init__(self, graph: Graph, asked: Understood, known: Known) -> None:
        self.graph, self.asked, self.known = graph, asked, known
        self.lead = known.lead
        self.told = tuple(flat(text) for text in known.earlier)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The conditions that the question names; any name of the leading one is the leading one."""
        mentioned = {mention.id for mention in link(self.graph, self.asked.question)}
        found = (key for key in self.asked.conditions if key in mentioned)
        return tuple(dict.fromkeys(self.lead.id if self.is_lead(key) else key for key in found))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The conditions that the question names as it names them, none of which is a kind of another."""
        said = [found for found in link(self.graph, self.asked.question) if found.id in self.asked.conditions]
        kinds = kinds_of(self.graph, said)
        every = tuple(dict.fromkeys(found.id for found in said))
        return every if len(kinds) < 2 == len(every) and SETS_APART.search(self.asked.question) else kinds

    @property
    def topic(self) -> str:
        """The one condition that the question is about, as narrowly as it says; else the diagnosis that leads."""
        return next(iter(self.asked.conditions), self.lead.id)

    @property
    def site(self) -> str:
        """The site that the question names, in small letters; "" where it names none."""
        site = (self.asked.site or "").lower()
        return site if site and site in self.asked.question.lower() else ""

    @property
    def asks_of_site(self) -> bool:
        """Whether the site is what is asked about ("and on the scalp?"), not told by the way."""
        return bool(self.site) and self.asked.question.lower().rstrip(" ?.!").endswith(self.site)

    @cached_property
    def rival(self) -> Diagnosis | None:
        """The likeliest other diagnosis by the reader that writes."""
        own = self.known.own
        others = (c for c in (own.candidates if own else ()) if c.diagnosis.code != self.lead.code)
        return next((candidate.diagnosis for candidate in others), None)

    @property
    def danger(self) -> Diagnosis | None:
        """The most dangerous diagnosis that this lesion may have, if it is worse than the one that is spoken of."""
        return self.danger_beside(self.lead.code if self.is_lead(self.topic) else self.code(self.topic))

    def danger_beside(self, code: str | None, *, least: float = POSSIBLE) -> Diagnosis | None:
        """The most dangerous diagnosis that a reader holds possible, if it is worse than that of a class."""
        worse = DANGEROUS[: DANGEROUS.index(code)] if code in DANGEROUS else DANGEROUS
        possible = (code for code in worse if self.chance(code) >= least)
        return next((self.graph.diagnosis(code) for code in possible), None)

    def chance(self, code: str | None) -> float:
        """The higher of the readers' probabilities; 0 where none has the class."""
        every: Iterator[Candidate] = (c for d in self.known.differentials for c in d.candidates)
        return max((c.probability for c in every if code and c.diagnosis.code == code), default=0.0)

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """What was told of the patient and is in the specialist's probabilities: "age", "sex", "site"."""
        return next((d.told for d in self.known.differentials if d.reader == "specialist"), ())

    def by_image(self, code: str | None) -> float | None:
        """The specialist's probability by the image alone, where what was told is in it."""
        found = (d.candidates for d in self.known.differentials if d.reader == "specialist")
        return next((c.by_image for candidates in found for c in candidates if c.diagnosis.code == code), None)

    def is_lead(self, node: str) -> bool:
        """Whether a condition is the leading diagnosis, a form of it, or another name of its class."""
        same_class = self.lead.code is not None and self.code(node) == self.lead.code
        return node == self.lead.id or node in self.graph.family(self.lead.id) or same_class

    def code(self, node: str) -> str | None:
        return self.graph.class_code(node)

    def class_node(self, node: str) -> str:
        """The node of the class that a condition belongs to, else the condition itself."""
        return CLASS_NODES.get(self.code(node) or "", node)

    def name(self, node: str) -> str:
        return self.graph.node(node).name

    def odds(self, code: str | None) -> str:
        """' (language model 62 %, specialist 58 %)', or nothing."""
        said = chances(code, self.known.differentials)
        return f" ({said})" if said else ""

    def read_as(self, node: str) -> str:
        """'melanoma (language model 62 %, specialist 58 %)'; of a kind, its class: the readers know no others."""
        code = self.code(node)
        whole = self.class_node(node)
        kind = f" (which includes {self.name(node)})" if code and whole != node else ""
        return f"{self.name(whole)}{kind}{self.odds(code)}"

    def behind(self, node: str) -> str:
        """Where a condition stands beside the leading one; where the readers disagree, that they do."""
        code = self.code(node)
        others = [d.reader for d in self.known.differentials if d.top.diagnosis.code == code]
        if code and others:
            return (
                f"{self.read_as(node)} is what {READERS[others[0]]} puts first, "
                f"{self.read_as(self.lead.id)} what {READERS['vlm']} does: the readers disagree."
            )
        return f"{self.read_as(node)} stands behind {self.read_as(self.lead.id)}."

    # --- points --------------------------------------------------------------------------------

    def says(self, text: str, *about: str) -> Point:
        return Point("standing", capital(text), about=about)

    def standing(self, again: str = "") -> Point:
        return self.says(f"{self.lead.name} is put first{self.odds(self.lead.code)}.", self.lead.id)

    def next_candidate(self) -> Points:
        """The reader's own second candidate with what speaks most for it; the specialist's first where it differs."""
        rival = self.rival
        if rival is None:
            return
        if self.chance(rival.code) < FAINT:
            yield Point(
                "alternative",
                f"The next candidate is {rival.name}{self.odds(rival.code)}.",
                about=(rival.id,),
                needed=True,
            )
            return
        own = {item.finding.code for item in weighed(self.known.findings, rival.code) if item.ratio > 1}
        best = [item for item in speaking_for(self._reasons(rival.id, self.lead.id)) if item.finding.code in own][:1]
        text = f"The next candidate is {rival.name}{self.odds(rival.code)}"
        for item in best:
            speaks = f"“{item.text}” speaks for it rather than for {self.lead.name}"
            text += f"; of what was seen, {speaks} (by a factor of {times(item.ratio)})"
        again = f"As said above, the next candidate is {rival.name}."
        found = tuple(item.finding.code for item in best)
        yield Point("alternative", f"{text}.", findings=found, about=(rival.id,), needed=True, again=again)
        yield from self.disagreement()

    def in_favour(self, node: str, lead_in: str, *, most: int = 3, against: str | None = None) -> Points:
        """Measured findings that speak for a condition; with `against`, for it rather than for the class of that."""
        found = speaking_for(self._reasons(node, against), most=most)
        yield from self._findings("finding_for", lead_in, found, against=against)

    def opposed(self, node: str, lead_in: str, *, most: int = 3) -> Points:
        found = speaking_against(self._reasons(node), most=most)
        yield from self._findings("finding_against", lead_in, found)

    def _reasons(self, node: str, against: str | None = None) -> tuple[Weighed, ...]:
        """Findings by weight, without those that weigh one way in the reference lesions and another in the graph."""
        found = weighed(self.known.findings, self.code(node), against=self.code(against) if against else None)
        return tuple(item for item in found if self._borne_out(item.finding, node, against, favours=item.ratio > 1))

    def _borne_out(self, finding: Finding, node: str, against: str | None, *, favours: bool) -> bool:
        own, other = self._known_for(finding, node), self._known_for(finding, against) if against else None
        return own in (None, favours) and other in (None, not favours)

    def _known_for(self, finding: Finding, node: str) -> bool | None:
        """Whether the graph knows a condition for what this finding shows; None where it says nothing of it."""
        sign, shown = FINDING_SIGNS.get(finding.code), shows(finding)
        if sign is None or shown is None:
            return None
        kinds = self.graph.family(sign)
        facts = [fact for fact in self.graph.facts(node) if fact.object in kinds]
        if not facts:
            return None
        present = any(
            fact.polarity == "present" for fact in facts
        )  # of irregular streaks, though regular ones are absent
        return present if shown else not present

    def _findings(
        self,
        kind: Literal["finding_for", "finding_against"],
        lead_in: str,
        found: Sequence[Weighed],
        *,
        against: str | None = None,
    ) -> Points:
        """One sentence: '<lead-in>: colours unevenly placed, 4.7 times as often as in other lesions; ...'."""
        if not found:
            return
        than = f" as often as in {self.name(self.class_node(against))}" if against else " as often as in other lesions"
        said = [item.text if self.known.is_lay else f"{item.text}, {times(item.ratio)} times" for item in found]
        again = f"{lead_in}, as said above: {'; '.join(said)}."
        said[0] += "" if self.known.is_lay else than
        codes, seen = zip(*((item.finding.code, item.finding.text) for item in found), strict=True)
        text = f"{lead_in}: {'; '.join(said)}."
        yield Point(kind, text, found[0].strength, findings=codes, seen=seen, needed=True, again=again)

    def facts(
        self,
        lead_in: str,
        nodes: Sequence[str],
        relations: frozenset[str],
        *,
        most: int,
        fits: Callable[[Fact], bool] = lambda fact: True,
        again: bool = False,
    ) -> Points:
        """One point with the best facts on the nodes in these relations, those that were not quoted before.

        `again`: also what was quoted, since the same is asked of another place.
        """
        found = facts_of(
            self.graph, nodes, relations, found=self.known.found, fits=lambda fact: fits(fact) and self.is_safe(fact)
        )
        near = self._nearest_first(found, nodes)
        chosen = tuple(near[:most]) if again else untold(near, self.told, most=most)
        own = tuple(fact for fact in chosen if not self.is_from_above(fact, nodes))
        for facts in (own, tuple(fact for fact in chosen if fact not in own)):
            if facts:
                wider = f" ({self.name(facts[0].subject)} in general)" if facts != own and lead_in else ""
                yield Point("fact", f"{lead_in}{wider}", facts=facts, about=tuple(nodes))

    def closest(self, lead_in: str, *, most: int, than: Sequence[Point] = ()) -> Points:
        """The best facts that were found for the question itself, on what it is about: an intent knows but a kind.

        `than`: only facts that lie nearer to the question than what these points say.
        """
        about = {key for node in (*self.named, self.topic, self.lead.id) for key in self.graph.family(node)}
        found = [
            fact
            for fact in self.known.found[: most + 1]
            if (fact.subject in about or fact.object in about) and self.is_safe(fact) and self._is_worth_it(fact)
        ]
        found = self.to_the_point(found, than=than)
        chosen = untold(found, self.told, most=most) if found else ()
        if chosen and not all(is_told(fact.text, self.told) for fact in chosen):
            yield Point("fact", lead_in, facts=chosen, about=tuple({fact.subject for fact in chosen}), once=True)

    def to_the_point(self, facts: Sequence[Fact], *, than: Sequence[Point] = ()) -> list[Fact]:
        """The facts that lie near the question in meaning, and nearer than what these points say."""
        if not facts or not available():
            return list(facts)
        near = nearness(self.asked.question, [*(fact.text for fact in facts), *(point.text for point in than)])
        least = max([NEAR, *near[len(facts) :].tolist()])
        said = frozenset(stem for point in than for stem in stems(point.text))
        rare = frozenset(stem for stem in self.asked_words() - said if 0 < frequency(self.graph)[stem] <= RARE)
        return [
            fact for fact, share in zip(facts, near, strict=False) if share >= least or rare & set(stems(fact.text))
        ]

    def _is_worth_it(self, fact: Fact) -> bool:
        """Not what was counted in an atlas, where nobody asks how often; not a referral, which the rule speaks of."""
        if fact.relation == "refer_if" and self.asked.intent != "urgency":
            return False
        return fact.evidence_type != COUNTED or bool(HOW_OFTEN.search(self.asked.question))

    def is_from_above(self, fact: Fact, nodes: Sequence[str]) -> bool:
        """Whether it is told of a wider condition: what holds of melanoma is not all that marks lentigo maligna."""
        return not any(fact.subject in self.graph.family(node) for node in nodes) and fact.relation != "look_alike"

    def is_safe(self, fact: Fact) -> bool:
        """Not what destroys a lesion unexamined, of whatever condition, where this one may be a melanoma."""
        return self._is_of_age(fact) and self.is_harmless(fact)

    def is_harmless(self, fact: Fact) -> bool:
        """The same of whomever it is told: not a dose, nor what destroys what may be a melanoma."""
        if DOSE.search(fact.text):
            return False
        melanoma = self.lead.code == "mel" or self.chance("mel") >= POSSIBLE
        unsafe = fact.polarity == "present" and DESTROYS.search(fact.text) and not WARNS.search(fact.text)
        return not (melanoma and unsafe and (self.is_lead(self.topic) or self.topic not in self.named))

    def _is_of_age(self, fact: Fact) -> bool:
        """Not what is told of the old where the patient is young, or of children where not, unless that is asked."""
        age, asked = self.known.context.age, self.asked.question
        if age is None or OF_THE_OLD.search(asked) or OF_CHILDREN.search(asked):
            return True
        others = ((OF_THE_OLD, age < YOUNG), (OF_CHILDREN, age >= GROWN))
        return not any(is_other and of.search(fact.text) for of, is_other in others)

    def _nearest_first(self, facts: Sequence[Fact], nodes: Sequence[str]) -> list[Fact]:
        """What is told of the condition before what is told of a wider one; of both, facts on the site that is asked
        about or told first, then those of the condition itself, then general ones.

        Of a condition's kinds only what was retrieved or is of the site that is asked about, unless nothing is known of
        it itself, or it is a mere group.
        """

        def is_of_kind(fact: Fact) -> bool:
            return fact.subject not in nodes and not GROUPS & set(nodes)

        own = [
            fact
            for fact in facts
            if not is_of_kind(fact) or fact in self.known.found or (self.site and self.is_on_site(fact))
        ]
        return sorted(
            own or facts,
            key=lambda f: (self.is_from_above(f, nodes), not self.is_on_site(f), is_of_kind(f), self.is_special(f)),
        )

    def is_special(self, fact: Fact) -> bool:
        """Whether a fact holds in special circumstances that nobody asked about."""
        found = SPECIAL.search(self.graph.numbers(fact.id).qualifier) or re.search(
            r"metasta|\bstage\b", fact.text, re.I
        )
        return found is not None and found.group().lower() not in self.asked.question.lower()

    def is_on_site(self, fact: Fact) -> bool:
        sites = sites_of(self.graph, self.asked.site or "")
        needles = [needle for site in sites for needle in (site, *SITE_WORDS[site])]
        told = f"{fact.text} {self.graph.numbers(fact.id).qualifier}".lower()
        return any(re.search(rf"\b{re.escape(needle)}s?\b", told) for needle in needles)

    def apart(
        self,
        one: str,
        other: str,
        lead_in: str,
        *,
        most: int = 2,
        side: str | None = None,
        relations: frozenset[str] | None = None,
        firm: bool = False,
    ) -> Points:
        """What separates two conditions, at most `most` statements, those not quoted before first.

        `side`: of statements on one condition only those on this one; `relations`: of these alone; `firm`: not what is
        known of one of the two while nothing is known of the other.
        """
        found = separating(self.graph, one, other)
        pairs = [self._of_side(pair, side) for pair in found if not firm or len(pair) > 1 or _is_of_both(pair[0])]
        pairs = [pair for pair in pairs if pair and all(not relations or fact.relation in relations for fact in pair)]
        if self.site:
            pairs.sort(key=lambda pair: not any(map(self.is_on_site, pair)))
        new = [pair for pair in pairs if not all(is_told(fact.text, self.told) for fact in pair)]
        facts = distinct(dict.fromkeys(fact for pair in (new or pairs)[:most] for fact in pair))
        if facts:
            yield Point("fact", lead_in, facts=facts, about=(one, other), once=True)

    def structures(self) -> Points:
        """Which dermoscopic structures the specialist sees on this image, and that it knows no others."""
        found = {finding.code: finding for finding in reversed(self.known.findings) if finding.code in STRUCTURE_SIGNS}
        if not found:
            yield self.says("no dermoscopic structure was looked for on this image: look for them yourself.")
            return
        words = listed([finding.text for finding in sorted(found.values(), key=lambda one: -one.value)])
        text = f"The specialist's reading of this image: {words}. It knows no other structures: look for them yourself."
        again = "What the specialist sees on this image was said above."
        yield Point("standing", text, findings=tuple(found), seen=tuple(f.text for f in found.values()), again=again)

    def apart_on_looking(self, one: str, other: str, lead_in: str, *, most: int, side: str) -> Points:
        """The same of one side, by dermoscopy where that separates the two: shape and colour were measured already."""
        seen = list(self.apart(one, other, lead_in, most=most, side=side, relations=DERMOSCOPY))
        yield from seen or self.apart(one, other, lead_in, most=most, side=side)

    def _of_side(self, pair: tuple[Fact, ...], side: str | None) -> tuple[Fact, ...]:
        family = self.graph.family(side) if side else ()
        return tuple(fact for fact in pair if not side or fact.relation == "look_alike" or fact.subject in family)

    @property
    def wants_a_no(self) -> bool:
        """Whether it asks leave to destroy or to leave a lesion without tissue, and nothing besides."""
        question = self.asked.question
        act = DESTROYS.search(question) or LEAVES.search(question)
        return bool(act and PROPOSES.search(question) and not WARY.search(question))

    def caution(self, text: str) -> Points:
        """`text` with the name of a dangerous diagnosis that is still possible, and its probabilities."""
        danger = self.danger
        if danger is not None and not self.asked.is_confirmed:
            said = text.format(name=danger.name, odds=self.odds(danger.code))
            again = f"As said above, {danger.name} is not excluded."
            yield Point("alternative", capital(said), about=(danger.id,), again=again)

    def tissue_first(self, text: str) -> Points:
        """`text` on what has to come first, with a dangerous diagnosis that is possible or was put first."""
        if self.asked.is_confirmed:
            return
        worse = self.danger_beside(self.lead.code)
        danger = worse or (self.lead if self.lead.code in DANGEROUS else None)
        if danger is not None:
            standing = "is possible" if worse else "is put first"
            no = "No: " if self.wants_a_no else ""
            said = text.format(why=f"{danger.name} {standing}{self.odds(danger.code)}")
            again = text.format(why=f"{danger.name} {standing}")
            yield Point("alternative", no + (said if no else capital(said)), about=(danger.id,), again=capital(again))

    def sure_first(self) -> Points:
        """That nothing is destroyed of which no tissue was taken while a cancer is not excluded."""
        danger = self.danger_beside(self.lead.code, least=FAINT)
        if danger and self.is_lead(self.topic) and not self.asked.is_confirmed:
            text = f"It is not destroyed without tissue unless the diagnosis is sure: {danger.name} is not excluded"
            yield Point("alternative", f"{text}{self.odds(danger.code)}.", about=(danger.id,), again=f"{text}.")

    def asked_words(self) -> frozenset[str]:
        """Stems of what the question asks about, without its conditions' names."""
        named = {stem for key in self.asked.conditions for stem in stems(self.name(key))}
        return frozenset(stems(self.asked.question)) - FREQUENT - named

    def replied(self, node: str, aspect: str, *, needed: bool = True) -> Points:
        """What is written for an aspect of a condition, where it is safe to say here, and needed or new."""
        found = reply(self.graph, node, aspect)
        is_new = found and (needed or not is_told(found.text, self.told))
        if found and node not in found.conditions and aspect in ITS_OWN and len(self.graph.facts(node)) >= ENOUGH:
            return  # what a wider condition is, or looks like, is not what this one is
        if found and is_new and all(map(self.is_safe, found.facts)):
            again = f"As said above: {found.text}" if needed else ""
            yield Point("reply", found.text, 2.0, found.facts, about=found.conditions, needed=needed, again=again)

    def asked_often(self) -> Points:
        """The answers that are written for the question, where it is asked often and they are safe to say here."""
        for key in self.asked.often:
            found = entry(key)
            facts = self._held(found.facts)
            if facts and all(map(self.is_harmless, facts)):
                about = tuple(node for node in found.topics if node != ANY) or (self.topic,)
                again = f"As said above: {found.reply}"
                yield Point("reply", found.reply, 3.0, facts, about=about, needed=True, again=again)

    def _held(self, keys: Sequence[str]) -> tuple[Fact, ...]:
        """These facts; none where the graph (another licence, an own graph) lacks one."""
        try:
            return tuple(map(self.graph.fact, keys))
        except KeyError:
            return ()

    def described(self) -> Points:
        """What the question tells of its look, and which of the conditions that are spoken of show that."""
        own = self.known.own.candidates[:2] if self.known.own else ()
        firsts = (d.top.diagnosis.id for d in self.known.differentials)
        nodes = dict.fromkeys((self.lead.id, *self.named, *(c.diagnosis.id for c in own), *firsts))
        told = {
            mention.id: mention.text.lower()
            for mention in link(self.graph, self.asked.question)
            if self.graph.node(mention.id).kind in DESCRIBED and mention.status == "affirmed" and not mention.negated
        }
        fitting = {node: self._fitting(node, told) for node in nodes if node in self.graph}
        of_all = set.intersection(*({text for text, _ in found} for found in fitting.values())) if fitting else set()
        for node, found in fitting.items():
            if telling := [(text, fact) for text, fact in found if text not in of_all]:
                said, facts = listed([f"“{text}”" for text, _ in telling]), tuple(fact for _, fact in telling)
                whose = {fact.subject for fact in facts}
                name = self.name(whose.pop() if len(whose) == 1 else node)
                text = f"As it is described, {said} {'fits' if len(telling) == 1 else 'fit'} {name}."
                yield Point("reply", text, 1.5, facts, about=(node,), needed=True)

    def _fitting(self, node: str, told: Mapping[str, str]) -> list[tuple[str, Fact]]:
        """The signs that were told and that a condition shows, in words, each with the fact that says so."""
        family = {*self.graph.family(node), *self.graph.ancestors(node), PRINCIPAL.get(node, node)}
        shown = [fact for key in family if key in self.graph for fact in self.graph.facts(key)]
        shown = [fact for fact in shown if fact.relation in SEEN and fact.polarity == "present"]
        found = []
        for sign, text in told.items():
            kinds = self.graph.family(sign)
            whose = {fact.subject for fact in self.graph.all_facts if fact.object == sign}
            facts = [
                fact
                for fact in shown
                if fact.object in kinds
                and fact.evidence_type != COUNTED
                and self.graph.numbers(fact.id).qualifier not in ("mimic", "rare")
            ]
            if facts and len(whose) <= DESCRIBED[self.graph.node(sign).kind]:
                found.append((text, min(facts, key=lambda fact: fact.object != sign)))
        return found

    def set_apart(self, one: str, other: str, *, needed: bool = True) -> Points:
        """What is written to tell two conditions from each other."""
        found = apart(self.graph, one, other)
        if found and (needed or not is_told(found.text, self.told)):
            again = f"What tells {self.name(one)} from {self.name(other)} was said above." if needed else ""
            yield Point("reply", found.text, 2.0, found.facts, about=(one, other), needed=needed, again=again)
            for node in (one, other):  # of a form, for which that of the wider condition stands
                if node not in found.conditions and self.class_node(node) != node:
                    yield from self.facts(f"Of {self.name(node)}", (node,), SEEN, most=2)

    @property
    def others_first(self) -> Iterator[tuple[str, Diagnosis]]:
        """The readers that put another diagnosis first than the one that is spoken of, each by name, and which."""
        for differential in self.known.differentials:
            if differential.top.diagnosis.code != self.lead.code:
                yield READERS[differential.reader], differential.top.diagnosis

    def disagreement(self) -> Points:
        """That another reader puts another diagnosis first than the one that is spoken of."""
        for reader, other in self.others_first:
            text = f"The readers disagree: {reader} puts {other.name} first{self.odds(other.code)}"
            text += ", and only tissue tells." if other.code in DANGEROUS else "."
            again = f"As said above, {reader} puts {other.name} first."
            yield Point("alternative", text, about=(other.id,), needed=True, again=again)

    def not_excluded(self) -> Points:
        """A dangerous diagnosis beside the one that leads, unless that a reader puts it first is said."""
        danger = self.danger_beside(self.lead.code, least=UNLIKELY)
        if danger and danger.code not in {other.code for _, other in self.others_first}:
            possible = self.chance(danger.code) >= POSSIBLE
            standing = "is possible{odds}, and only tissue tells" if possible else "is unlikely and not excluded{odds}"
            text = f"{danger.name} {standing.format(odds=self.odds(danger.code))}."
            again = f"As said above, {danger.name} is not excluded."
            yield Point("alternative", capital(text), about=(danger.id,), again=again)

    def unknown_class(self, node: str) -> Point:
        """That the readers do not know a condition, so that their silence says nothing."""
        text = f"{self.name(node)} is none of the seven classes that the readers know: it got no probability"
        signs = r"seven|classes|not excluded"
        return Point("standing", capital(f"{text}, and is not excluded."), about=(node,), needed=True, signs=signs)

    def elsewhere(self, node: str) -> Point:
        """That a lesion was not read as what it is taken for, so that what is known of that may not hold for it."""
        lead, name = self.lead.name, self.name(node)
        text = f"This lesion was read as {lead}, not as {name}: what is done about that is not for it."
        return Point("standing", text, about=(node,))

    def nothing(self, text: str) -> Point:
        return Point("unknown", capital(text), needed=True, signs=LACKS)


def _is_of_both(fact: Fact) -> bool:
    return fact.relation == "look_alike"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
