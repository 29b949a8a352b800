"""What is shown in the end: the model's text, with what it left out, or the plan said plainly in its place.

    settled = settle_follow_up(graph, text, plan, known, evidence)
    settled.text, settled.own, settled.claims          # `own` is None where the model's text stands alone

Knows the graph, no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dermiq.answering.answered import Answered, AnswerVerdict, answers
from dermiq.answering.asked import UNKNOWN, answering
from dermiq.answering.briefing import BETWEEN_TWO
from dermiq.answering.choose import flat, in_short, is_told
from dermiq.answering.first import faults, gives_reasons, is_bare, speaks_against
from dermiq.answering.grounded import Given, Heard, grounded
from dermiq.answering.judge import follow_up_matches_answer, statements
from dermiq.answering.opening import opening
from dermiq.answering.order import BY_ORDER, Order
from dermiq.answering.order import judged as by_order
from dermiq.answering.points import Known, Plan, Point
from dermiq.answering.safe import is_unsafe
from dermiq.answering.say import claimed, said, text_of
from dermiq.answering.weigh import listed
from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.check.whose import about_whom
from dermiq.knowledge.language.citation import cited
from dermiq.knowledge.language.text import split_sentences
from dermiq.knowledge.retrieve.understand import Understood
from dermiq.types import CLASS_NAMES, CLASSES, Claim, Evidence, EvidenceItem, Fact, OwnWords, ParsedText, SelfCheck
from dermiq.vlm.parse import class_mentions, parse

FOR_THE_PLAN = "chosen to answer the question"  # why a fact is there that was not retrieved
WHY: Mapping[AnswerVerdict, str] = {
    "does_not_answer": "The model's answer did not answer the question. These are the facts.",
    "repeats": "The model's answer repeated what was said before. These are the facts.",
    "contradicted": "The model's answer has a sentence that is contradicted. These are the facts.",
    "wrong_citation": "The model's answer cites facts that say something else. These are the facts.",
    "another_condition": "The model's answer was about another condition. These are the facts.",
    "unsafe": "The model's answer offered what must not be done before melanoma is excluded. These are the facts.",
    "partly": "The model's answer left this out.",
}
CHECKED: Mapping[AnswerVerdict, str] = {
    "answers": "The model's text answers what was asked.",
    "partly": "The model's text answers a part of what was asked.",
    "does_not_answer": "The model's text does not answer what was asked.",
    "repeats": "The model's text repeats an earlier answer.",
    "contradicted": "The model's text has a contradicted sentence.",
    "wrong_citation": "The model's text cites facts that say something else.",
    "another_condition": "The model's text is about another condition.",
    "unsafe": "The model's text offers what must not be done before melanoma is excluded.",
}
REPLIED = "The answer to this, from the sources."
ADDS_NOTHING = "What the model wrote adds nothing to it that is sure."
LOOSE = "A sentence of the model's answer stands on nothing that it was given, and is left out."
GIVEN = "as given: the facts that it cites, or the lines on the case"
SURE = 2  # worth of an answer that says something: no other is looked for
FAULTS = frozenset({"contradicted", "repeats", "wrong_citation", "another_condition"})
GROUNDED, CERTAIN = 0.35, 0.8  # probabilities from which a sentence stands on what was given; also against the graph
ANSWERING = 0.4  # probability from which a text is heard as an answer to the question
TO_THE_POINT = 0.6  # and from which what it adds to a direct reply is shown
LEFT_OUT = "A sentence of the model's answer is contradicted, and left out."
WEIGHED = "What weighs for and against, by measurement."
BY_MEASUREMENT = "These are the reasons by measurement."
REASONING_FAULTY = "A sentence of the model's reasoning is contradicted or cites another fact, and is left out."
NO_REASON = "gives no measured reason for its answer and no fact"
NOT_ASKED = "The model was not asked this."
NO_ANSWER = "The sources at hand do not answer this."
NOTHING_NEW = "There is nothing to add to what was said above."
_HEAD = re.compile(r".*</answer>|.*</think(?:ing)?>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Settled:
    """`kept`: what of the model's text is shown."""

    text: str
    kept: str
    claims: tuple[Claim, ...]
    evidence: Evidence
    own: OwnWords | None = None
    answered: Answered | None = None

    @property
    def check(self) -> SelfCheck | None:
        """Whether the model's text answers, as the answer asks it of itself."""
        if self.answered is None:
            return None
        return SelfCheck("answers_question", self.answered.is_enough, CHECKED[self.answered.verdict])

    @property
    def worth(self) -> tuple[int, float]:
        """Of several drafts the higher one is shown: first what the program had to do, then how well it answers."""
        if self.answered is None:
            return (0, 0.0)
        if self.answered.verdict == "answers":
            return (1 if says_nothing(self.kept) else SURE, self.answered.score)
        return (1 if self.answered.verdict == "partly" else 0, self.answered.score)


def settle_follow_up(
    graph: Graph, text: str, planned: Plan, known: Known, evidence: Evidence, given: Given | None = None
) -> Settled:
    """A text that answers stays; one that answers in part is followed by the rest; any other gives way to the plan.

    Sentences that are contradicted or stand on nothing that was `given` are left out first, and with them those that
    say but the diagnosis once more. Without `given` the plan and the graph alone judge.
    """
    if planned.intent == "plain_words":  # who reads it aloud needs all of it
        known = replace(known, earlier=())
    text = with_right_numbers(text, given.facts) if given else text
    shares = {one.text: one for one in grounded(graph, given, text)} if given else {}
    checked = _checked(graph, text, "", known, evidence)
    claims = tuple(_by_what_was_given(_by_the_case(claim, known, given), shares, evidence) for claim in checked)
    answered = _answered(graph, planned, claims, text, known, given)
    shown = Settled(text, text, claims, evidence, answered=answered)
    if planned.replies:
        return _behind_replies(graph, shown, planned, known, given)
    faulty = [claim for claim in claims if claim.verdict == "contradicted" or (given and _is_loose(claim, shares))]
    sound = tuple(claim for claim in claims if claim not in faulty and not is_bare(claim.text))
    rests_on = any(claim.fact_ids or claim.finding_codes or claim.text in shares for claim in sound)
    is_sound = rests_on and all(claim.verdict == "supported" for claim in sound)
    if faulty and is_sound and (rest := _without(text, (claim for claim in claims if claim not in sound))):
        again = _answered(graph, planned, sound, rest, known, given)
        if again.verdict in ("answers", "partly"):
            why = LEFT_OUT if any(claim.verdict == "contradicted" for claim in faulty) else LOOSE
            left = OwnWords("", why, text.strip(), claims)
            shown = Settled(rest, rest, sound, evidence, left, answered=again)
            if again.verdict == "answers":
                return shown
            why = f"{why} {WHY['partly']}"
            return _with_own(graph, shown, again.missing, known, why, (*known.earlier, rest), replace(left, why=why))
    if given and faulty and answered.verdict in ("answers", "partly"):
        answered = replace(answered, verdict="does_not_answer")
        shown = replace(shown, answered=answered)
    why = WHY.get(answered.verdict, "")
    if answered.verdict == "answers":
        return shown
    if answered.verdict == "partly":
        return _with_own(graph, shown, answered.missing, known, why, (*known.earlier, text))
    left = OwnWords("", why, text.strip(), claims)
    nothing = NO_ANSWER if planned.intent == "other" else NOTHING_NEW
    dropped = replace(shown, kept="", claims=())
    return _with_own(graph, dropped, planned.points, known, why, known.earlier, left, nothing=nothing)


def _behind_replies(graph: Graph, shown: Settled, planned: Plan, known: Known, given: Given | None) -> Settled:
    """The direct replies first, said by the program; behind them what the model adds that is sound and to the point."""
    quoted = {fact.id for point in planned.replies for fact in point.facts}
    families = {key for node in planned.about for key in graph.family(node)}
    adds = tuple(
        claim
        for claim in shown.claims
        if claim.verdict == "supported"
        and not set(claim.fact_ids) <= quoted
        and any(planned.is_answer(graph.fact(key), families) for key in claim.fact_ids)
        and not is_told(claim.text, map(flat, known.earlier))
    )
    kept = " ".join(claim.text for claim in adds)
    is_fit = adds and not is_unsafe(kept, known) and (given is None or answering(given, kept) >= TO_THE_POINT)
    why = REPLIED if is_fit else f"{REPLIED} {ADDS_NOTHING}"
    if not is_fit:
        left = OwnWords("", why, shown.text.strip(), shown.claims)
        return _with_own(graph, replace(shown, kept="", claims=()), planned.points, known, why, known.earlier, left)
    points = tuple(point for point in planned.points if point.kind != "fact")
    said = _with_own(graph, replace(shown, text="", kept="", claims=()), points, known, why, known.earlier)
    if said.own is None:
        return said
    own = replace(said.own, is_first=True)
    return replace(said, text=f"{own.text}\n\n{kept}", kept=kept, claims=(*said.claims, *adds), own=own)


def with_right_numbers(text: str, facts: Mapping[int, Fact]) -> str:
    """The text with the number of a fact behind each sentence that is that fact word for word, and has another's."""
    for number, fact in facts.items():
        said = rf"({re.escape(fact.text.rstrip('.'))}\s*)\[F\d+\]"
        text = re.sub(said, rf"\g<1>[F{number}]", text, flags=re.IGNORECASE)
    return text


def says_nothing(text: str) -> bool:
    """Whether a text says but that the sources do not say."""
    return all(UNKNOWN.search(line) and not cited(line) for line in split_sentences(text))


def best_of(settled: Iterable[Settled]) -> Settled:
    """The first draft that needs nothing from the program; else the one that answers best."""
    best: Settled | None = None
    for one in settled:
        if best is None or one.worth > best.worth:
            best = one
        if one.own is None and one.worth[0] >= SURE:
            return one
    assert best is not None  # a model has written at least one
    return best


def _answered(
    graph: Graph, planned: Plan, claims: Sequence[Claim], text: str, known: Known, given: Given | None
) -> Answered:
    """By the points of the plan; where it is known what the writer was given, the learned ear for the question may
    object, and so may what is dangerous.

    The ear hears whether sentences are to the point, not whether anything lacks, so that it never makes an answer of a
    text that leaves out points of the plan: where it was allowed to, blind readers found fewer questions answered than
    by the plan (`tests/nightly/conversations.txt`).
    """
    found = answers(graph, planned, claims, text, earlier=known.earlier)
    if given is None or found.verdict in FAULTS:
        return found
    share = answering(given, text)
    if is_unsafe(text, known):
        return replace(found, verdict="unsafe")
    if says_nothing(text) or share < ANSWERING:
        return replace(found, verdict="does_not_answer")
    return found


def _by_what_was_given(claim: Claim, shares: Mapping[str, Heard], evidence: Evidence) -> Claim:
    """A sentence that stands on what its writer was given is supported by it, whatever else was left open."""
    heard = shares.get(claim.text)
    if heard is None:
        return claim
    cites_given = bool(heard.cites) and heard.share >= CERTAIN
    sure = cites_given if claim.verdict == "contradicted" else heard.share >= GROUNDED
    if not sure or claim.verdict == "supported" or claim.note == BY_ORDER:
        return claim
    facts = tuple(item.fact.id for item in evidence.items if item.number in heard.cites)
    return replace(claim, verdict="supported", fact_ids=facts or claim.fact_ids, note=GIVEN, miscited=(), mended=())


def _is_loose(claim: Claim, shares: Mapping[str, Heard]) -> bool:
    """Whether a sentence stands neither on the graph nor on what was given."""
    heard = shares.get(claim.text)
    return claim.verdict == "not_covered" and heard is not None and heard.share < GROUNDED


def as_written(graph: Graph, text: str, known: Known, evidence: Evidence) -> Settled:
    """The model's text alone."""
    return Settled(text, text, _checked(graph, text, parse(text).answer, known, evidence), evidence)


def settle_first(
    graph: Graph, text: str, asked: Understood, known: Known, evidence: Evidence, *, begun: str = ""
) -> Settled:
    """Reasons by weight follow what of the model's explanation is a reason for its answer; the rest of it is left out.

    A text that answers what the model itself holds less likely is not shown at all. `begun`: what the program wrote of
    the reasoning.
    """
    text = with_right_numbers(text, {item.number: item.fact for item in evidence.items})
    parsed, code = parse(text), known.lead.code
    head = found.group() if (found := _HEAD.match(text)) else text  # of a text without the agreed form all is shown
    tail = text[len(head) :]
    before, after = (_checked(graph, part, parsed.answer, known, evidence) for part in (head, tail))
    before = tuple(_by_the_program(claim) if claim.text in begun else claim for claim in before)
    if other := _other_answer(parsed, code):
        lead = known.lead.name
        why = f"The model's text ends with {other}, where the model itself holds {lead} likelier, so it is not shown."
        shown = Settled(f"<answer>{lead}</answer>", f"<answer>{lead}</answer>", (), evidence)
        left = OwnWords("", f"{why} {BY_MEASUREMENT}", text.strip(), (*before, *after))
        return _with_own(graph, shown, opening(graph, asked, known), known, why, (), left)
    wrong = faults(parsed, after, known.findings, code, known.own) if code and tail.strip() else ()
    points = opening(graph, asked, known)
    faulty = tuple(claim for claim in before if _is_faulty(claim))
    sound = tuple(claim for claim in after if not wrong and gives_reasons(claim, known.findings, code))
    unsound = tuple(claim for claim in after if claim not in sound)
    if not faulty and not unsound:
        shown = Settled(text, text, (*before, *after), evidence)
        return _with_own(graph, shown, points, known, WEIGHED, (text,))
    head = _without(head, faulty) or head
    before = tuple(claim for claim in before if claim.text in head)
    kept = "\n".join((head, " ".join(claim.text for claim in sound))).strip()
    why = REASONING_FAULTY if faulty else ""
    if unsound:
        does = wrong[0] if wrong else "has sentences that give no measured reason and no fact" if sound else NO_REASON
        why = f"The model's explanation {does}, so {'they are' if sound else 'it is'} not shown."
    rest = " ".join(claim.text for claim in (*faulty, *unsound))
    left = OwnWords("", f"{why} {BY_MEASUREMENT}", rest, (*faulty, *unsound))
    return _with_own(graph, Settled(text, kept, (*before, *sound), evidence), points, known, left.why, (kept,), left)


def _is_faulty(claim: Claim) -> bool:
    """Whether a sentence of the reasoning is contradicted, or cites a fact that does not say it."""
    unborne = claim.verdict == "not_covered" and bool(cited(claim.text))
    return claim.verdict == "contradicted" or unborne or bool(claim.miscited and not claim.mended)


def _other_answer(parsed: ParsedText, code: str | None) -> str:
    """What a text answers, where that is not the one diagnosis that its model holds likeliest; "" where it is."""
    named = {found for _, found in class_mentions(parsed.answer)}
    return listed([CLASS_NAMES[one] for one in CLASSES if one in named]) if named - {code} else ""


def _by_the_case(claim: Claim, known: Known, given: Given | None = None) -> Claim:
    """A sentence that favours another diagnosis than the readers', or gives as a reason what speaks against it."""
    lead, code = known.lead, known.lead.code
    if code is None or claim.verdict == "contradicted" or claim.note == BY_ORDER:
        return claim
    if given is not None and given.intent in BETWEEN_TWO | {"against", "why"}:
        return claim  # "smooth borders favour a nevus" favours nothing as a whole
    if follow_up_matches_answer(claim.text, code).passed is False:
        return replace(claim, verdict="contradicted", note=f"the readers put {lead.name} first")
    if speaks_against(claim, known.findings, code):
        return replace(claim, verdict="contradicted", note=f"what it names speaks against {lead.name}")
    return claim


def _without(text: str, claims: Iterable[Claim]) -> str:
    """The text without these sentences; "" where one of them does not stand in it as it was read."""
    for claim in claims:
        if claim.text not in text:
            return ""
        text = text.replace(claim.text, "", 1)
    lines = (re.sub(r" {2,}", " ", line).strip() for line in text.splitlines())
    kept = [line for line in lines if line.strip("-*• .")]
    return "\n".join(kept).strip()


def _by_the_program(claim: Claim) -> Claim:
    """What was read off measurements and likelihoods is so."""
    return replace(claim, verdict="supported", note="read off by the program")


def _checked(graph: Graph, text: str, answer: str, known: Known, evidence: Evidence) -> tuple[Claim, ...]:
    found = check_claims(graph, text, findings=known.findings, diagnosis=known.lead.id, evidence=evidence)
    own = [known.own] if known.own else []
    orders = [Order.of(one) for one in (*own, *(other for other in known.differentials if other is not known.own))]
    return tuple(by_order(claim, orders) for claim in statements(found, answer))


def refused(planned: Plan, known: Known, evidence: Evidence) -> Settled:
    """The refusal of a question that is out of scope."""
    points = planned.points
    text = text_of(said(points, {}, earlier=known.earlier) or said(points, {}))
    return Settled(text, "", (), evidence, OwnWords(text, NOT_ASKED))


def _with_own(
    graph: Graph,
    shown: Settled,
    points: Sequence[Point],
    known: Known,
    why: str,
    earlier: Sequence[str],
    left: OwnWords | None = None,
    *,
    nothing: str = NOTHING_NEW,
) -> Settled:
    """The points said plainly behind what is kept of the model's text.

    `left`: what of it is left out; `nothing`: what is said where nothing is left to say.
    """
    evidence = with_facts(shown.evidence, (fact for point in points for fact in point.facts))
    sentences = said(
        points, {item.fact.id: item.number for item in evidence.items}, earlier=earlier, short=partial(in_short, graph)
    )
    text = text_of(sentences) or (nothing if left else "")
    if not text:
        return shown
    claims = (
        claim if _is_of_this_lesion(sentence.point) else about_whom(graph, claim, known.lead.id)
        for sentence, claim in claimed(sentences)
    )
    whole = f"{shown.kept.rstrip()}\n\n{text}" if shown.kept.strip() else text
    own = replace(left, text=text) if left else OwnWords(text, why)
    return replace(shown, text=whole, claims=(*shown.claims, *claims), evidence=evidence, own=own)


def _is_of_this_lesion(point: Point) -> bool:
    """Not those of another condition alone: the rule, and what tells two conditions apart."""
    return point.kind == "urgency" or (point.kind == "reply" and len(point.about) > 1)


def with_facts(evidence: Evidence, facts: Iterable[Fact]) -> Evidence:
    """The evidence with these facts numbered on behind it; one that is there keeps its number."""
    items = list(evidence.items)
    known = {item.fact.id for item in items}
    for fact in facts:
        if fact.id not in known:
            known.add(fact.id)
            items.append(EvidenceItem(len(items) + 1, fact, 0.0, FOR_THE_PLAN))
    return Evidence(tuple(items))
