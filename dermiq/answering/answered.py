"""Does a text answer what was asked? Which of a plan's points it makes, and what else is wrong with it as a whole.

A pure function of plan, claims and text: a reward, a part of the proxy, and what decides whether the page says the
plan in place of the text. Knows the graph, no model and no page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dermiq.answering.choose import flat, is_told
from dermiq.answering.points import Plan, Point
from dermiq.knowledge import Graph, link
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.language.lexicon import turns
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.knowledge.retrieve.retrieve import statement
from dermiq.types import Claim, Fact

AnswerVerdict = Literal[
    "answers", "partly", "does_not_answer", "repeats", "contradicted", "wrong_citation", "another_condition", "unsafe"
]
ANSWERS, PARTLY = 0.65, 0.34  # completeness from which a text answers, or answers in part
RELEVANT = 0.5  # share of sentences to the point below which it does not answer
WHOLE = frozenset({"plain_words"})
"""Intents of which a part is no answer: what is read out to a patient stands alone."""
REPEATED = 1 / 3  # share of sentences said before from which a text repeats
OF_THIS_LESION = frozenset(
    {"why", "why_not", "against", "change_of_mind", "compare", "settle", "urgency", "dermoscopy"}
)
"""Intents that a measured finding may serve."""
TRUE = ("supported", "another_condition", "wrong_citation")
"""Verdicts of sentences that are true: whose facts, and behind which number, is asked apart."""
SHORTEST = 5  # words; what is shorter ("Yes.") may come again
NOT_URGENT = re.compile(
    r"\b(?:not|no|non)[ -]+(?:an? )?urgen|\bno (?:\w+ )?(?:rule|referral)\b|\broutine\b", re.IGNORECASE
)
URGENT = re.compile(r"(?<!not )(?<!no )(?<!non-)\burgent(?:ly)? (?:refer|see)|within (?:2|two) weeks", re.IGNORECASE)
CONDITIONAL = re.compile(r"\b(?:if|unless|only|where|when|should it)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Answered:
    """What a text is worth as an answer. Shares from 0 to 1; None where nothing could be judged by them."""

    verdict: AnswerVerdict
    score: float
    relevance: float | None  # sentences to the point, among those that say something known
    completeness: float | None  # of the points that a good answer makes
    missing: tuple[Point, ...] = ()
    repeated: tuple[str, ...] = ()  # sentences that were said before
    repeated_share: float = 0.0  # of all its sentences

    @property
    def is_enough(self) -> bool:
        return self.verdict == "answers"


def answers(graph: Graph, plan: Plan, claims: Sequence[Claim], text: str, *, earlier: Sequence[str] = ()) -> Answered:
    """`claims`: those of `text`; `earlier`: the answers before it in this case, in plain text."""
    return _Reading(graph, plan, tuple(claims), text).judged(earlier)


@dataclass(frozen=True)
class _Reading:
    """A text beside the plan of a good answer."""

    graph: Graph
    plan: Plan
    claims: tuple[Claim, ...]
    text: str

    def judged(self, earlier: Sequence[str]) -> Answered:
        needed = list(self.plan.needed())
        made = [point for point in needed if self.makes(point)]
        lacking = max(0, self.plan.asks - len(self.right))
        total = len(needed) + self.plan.asks
        completeness = round(1 - (len(needed) - len(made) + lacking) / total, 3) if total else None
        repeated, share = self.repeated(earlier)
        missing = [point for point in needed if point not in made]
        missing += [point for point in self.plan.points if lacking and self.brings(point)]
        worth = (completeness or 0.0) * (1.0 if self.relevance is None else self.relevance) * (1 - share) * self.sound
        unanswered = any(point.kind == "reply" for point in missing)
        verdict = self.fault(share) or ("does_not_answer" if unanswered else self.standing(completeness))
        return Answered(verdict, round(worth, 3), self.relevance, completeness, tuple(missing), repeated, share)

    # --- what it says ---------------------------------------------------------------------------

    @cached_property
    def families(self) -> frozenset[str]:
        return frozenset(key for node in self.plan.about for key in self.graph.family(node))

    def facts(self, claim: Claim) -> list[Fact]:
        return [self.graph.fact(key) for key in claim.fact_ids]

    def serves(self, fact: Fact) -> bool:
        """Whether a fact answers: one of the plan's, or another of the kind that was asked for."""
        return fact in self.plan.facts or self.plan.is_answer(fact, self.families)

    @cached_property
    def right(self) -> frozenset[tuple[str, ...]]:
        """The different statements of the text that answer."""
        told = [fact for claim in self.claims if claim.verdict in TRUE for fact in self.facts(claim)]
        return frozenset(statement(fact) for fact in told if self.plan.is_answer(fact, self.families))

    def brings(self, point: Point) -> bool:
        return point.kind == "fact" and any(self.plan.is_answer(fact, self.families) for fact in point.facts)

    def makes(self, point: Point) -> bool:
        """Whether the text makes a point: by the findings that it names, the conditions, or words that say the same."""
        if point.kind in ("finding_for", "finding_against") and point.findings:
            named = {code for claim in self.claims if claim.verdict in TRUE for code in claim.finding_codes}
            return bool(named & set(point.findings)) or any(map(self.tells, point.seen))
        if point.kind == "alternative":
            return bool(self.spoken_of & {key for node in point.about for key in self.graph.family(node)})
        if point.kind == "urgency":
            return self.says(point.signs) and not self.is_contrary
        if point.kind == "reply":
            return self.replies(point)
        return self.says(point.signs)

    def replies(self, point: Point) -> bool:
        """Whether the text begins with what answers directly: a sentence that rests on a fact of the reply. What tells
        two conditions apart may stand anywhere.
        """
        wanted = {statement(fact) for fact in point.facts}
        first = [claim for claim in self.claims if claim.verdict == "supported"]
        first = first if len(point.about) > 1 else first[:1]
        return any(statement(fact) in wanted for claim in first for fact in self.facts(claim))

    def says(self, signs: str) -> bool:
        return bool(signs) and re.search(signs, self.text, re.IGNORECASE) is not None

    def tells(self, seen: str) -> bool:
        """Whether a sentence has all the words by which a finding was measured: "the colours are unevenly placed"."""
        wanted = {word for word in stems(seen) if not word.isdigit()}
        return any(wanted <= set(stems(line)) for line in split_sentences(self.text))

    @cached_property
    def spoken_of(self) -> frozenset[str]:
        found = link(self.graph, self.text)
        return frozenset(mention.id for mention in found if self.graph.node(mention.id).kind == "Disease")

    # --- what is wrong with it --------------------------------------------------------------------

    def fault(self, share: float) -> AnswerVerdict | None:
        """What no completeness makes good; None where there is nothing of the kind."""
        if self.is_contrary or any(claim.verdict == "contradicted" for claim in self.claims):
            return "contradicted"
        if share >= REPEATED:
            return "repeats"
        if any(claim.miscited and not claim.mended for claim in self.claims):
            return "wrong_citation"
        return "another_condition" if self.is_elsewhere else None

    def standing(self, completeness: float | None) -> AnswerVerdict:
        enough = completeness if completeness is not None else 0.0
        if enough < PARTLY:
            return "does_not_answer"
        if self.relevance is not None and self.relevance < RELEVANT:
            return "does_not_answer"
        if enough >= ANSWERS:
            return "answers"
        return "does_not_answer" if self.plan.intent in WHOLE else "partly"

    @cached_property
    def is_elsewhere(self) -> bool:
        """Whether half of what it says is true of a condition that was neither asked about nor read."""
        judged = [claim for claim in self.claims if claim.verdict in TRUE]
        return bool(judged) and 2 * sum(self.is_of_another(claim) for claim in judged) >= len(judged)

    def is_of_another(self, claim: Claim) -> bool:
        facts = self.facts(claim)
        return bool(facts) and not any({f.subject, f.object} & self.families or self.serves(f) for f in facts)

    @cached_property
    def is_contrary(self) -> bool:
        """Whether it says that it is urgent where it is not, or the other way round."""
        urgency = next((point for point in self.plan.points if point.kind == "urgency" and point.level), None)
        if urgency is None:
            return False
        if urgency.level in ("urgent", "soon"):
            return any(NOT_URGENT.search(line) and not CONDITIONAL.search(line) for line in split_sentences(self.text))
        said = (line for line in split_sentences(self.text) if not CONDITIONAL.search(line) and not turns(line))
        return any(URGENT.search(line) for line in said)

    @property
    def sound(self) -> float:
        """The share of sentences that are neither contradicted nor cite wrongly."""
        wrong = sum(claim.verdict == "contradicted" or bool(claim.miscited) for claim in self.claims)
        return 1 - wrong / len(self.claims) if self.claims else 1.0

    @cached_property
    def relevance(self) -> float | None:
        judged = [value for claim in self.claims if (value := self.is_to_the_point(claim)) is not None]
        return round(sum(judged) / len(judged), 3) if judged else None

    def is_to_the_point(self, claim: Claim) -> bool | None:
        """Whether a sentence serves the answer; None where it says nothing known."""
        if claim.verdict not in TRUE:
            return False if claim.verdict == "contradicted" else None
        if claim.fact_ids:
            return any(map(self.serves, self.facts(claim)))
        asked = any(point.findings for point in self.plan.points) or self.plan.intent in OF_THIS_LESION
        return True if asked else None

    def repeated(self, earlier: Sequence[str]) -> tuple[tuple[str, ...], float]:
        """The sentences that an earlier answer has, or that stand here twice, and their share."""
        told = [flat(text) for text in earlier]
        sentences = [line for line in split_sentences(self.text) if len(words(line)) >= SHORTEST]
        again = []
        for line in sentences:
            if is_told(line, told):
                again.append(line)
            told.append(flat(line))
        return tuple(again), len(again) / len(sentences) if sentences else 0.0
