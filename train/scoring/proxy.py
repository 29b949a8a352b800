"""The knowledge graph as a proxy for an expert's preference: which of several answers is better, by how much, and why.

    scored = [score(graph, text, question) for text in texts]
    chosen = choose_pairs(scored, ProxySettings())      # pairs with margin and reasons, and why the others are none

The idea is that of GRPO++ (arXiv 2510.01236), which judges factual accuracy, relevance and completeness; its full text
was not at hand: the equations below are this project's own. An answer is scored by part, each in [0, 1], or None where
it cannot be judged. Two answers are compared only by the parts that could be judged in both, so that neither silence
nor talk beyond the graph decides anything. Pairs are made of what the model wrote. Knows the graph, no model.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations

from dermiq.answering import Answered, Known, answers, plan
from dermiq.answering.judge import (
    STEP_HEADING,
    follow_up_matches_answer,
    own_alternative,
    reasoning_matches_answer,
    statements,
)
from dermiq.knowledge import Graph, check_claims, link
from dermiq.knowledge.check.check import score_answer
from dermiq.knowledge.language.citation import cited
from dermiq.knowledge.language.text import split_sentences, words
from dermiq.knowledge.retrieve.retrieve import statement
from dermiq.knowledge.retrieve.understand import understand
from dermiq.types import (
    CLASS_NAMES,
    CLASSES,
    Claim,
    Evidence,
    EvidenceItem,
    Fact,
    Finding,
    ParsedText,
    SelfCheck,
    Verdict,
)
from dermiq.vlm.parse import class_mentions, parse
from train.options import option
from train.scoring.rewards import CaseFacts, correctness_reward, diagnosis_id, distinct_sentences, format_reward, named

GUARDED = ("correctness", "accuracy", "findings", "consistency")
"""What no pair trades away: the chosen answer is nowhere worse in these, however much better it is elsewhere."""


TAG = re.compile(r"</?\s*(?:think|answer)", re.IGNORECASE)
RANKING = re.compile(
    r"\b(?:leads|then|alternative|candidate|considered before|better than|possible|excluded)\b"
    r"|\b(?:more|most|less) likely\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Weights:
    """Of the parts of a score. The first three are the paper's; a weight of 0 leaves a part out."""

    accuracy: float = option(
        1.0,
        "supported among statements about conditions that are supported, contradicted or true of another",
        minimum=0,
    )
    relevance: float = option(
        0.5, "sentences about the diagnosis or what was asked, among those that can be", minimum=0
    )
    completeness: float = option(1.0, "of what a good answer speaks of", minimum=0)
    correctness: float = option(2.0, "the diagnosis is the label's", minimum=0)
    findings: float = option(1.0, "sentences about the lesion that agree with what was measured", minimum=0)
    citations: float = option(0.5, "cited facts that are those that the sentence states", minimum=0)
    consistency: float = option(1.0, "reasoning, answer and explanation do not contradict each other", minimum=0)
    form: float = option(0.5, "the agreed form, nothing said twice, not cut off", minimum=0)

    def __post_init__(self) -> None:
        if not any(self.as_mapping().values()):
            raise ValueError("every weight is 0: nothing would be preferred.")

    def as_mapping(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in PARTS}


PARTS = tuple(entry.name for entry in fields(Weights))


@dataclass(frozen=True)
class ProxySettings:
    """How answers are drawn, scored and paired."""

    answers: int = option(4, "answers that are drawn for each question", minimum=2)
    temperature: float = option(0.8, "of sampling; higher, and stray words decide", above=0)
    top_p: float = option(0.95, "only the likeliest tokens that share this probability are drawn", above=0, maximum=1)
    new_tokens: int = option(256, "tokens of an answer at most", minimum=1)
    follow_up_share: float = option(0.5, "share of cases that are asked a second question, too", minimum=0, maximum=1)
    pairs: int = option(1, "pairs of a question at most; no answer is in two", minimum=1)
    min_margin: float = option(0.05, "least difference between two answers' scores, for a pair", above=0, maximum=1)
    max_length_ratio: float = option(1.5, "how many times as many words the longer answer may have; 0: any", minimum=0)
    weights: Weights = field(default_factory=Weights)


# --- one answer -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What is known of a question that was answered."""

    diagnosis: str | None  # of the case: class code, graph id or any name; None without a label
    findings: tuple[Finding, ...] = ()  # measured
    facts: Mapping[int, Fact] = field(default_factory=dict)  # those that were shown, by the number they are cited by
    text: str = ""  # of a follow-up: what it names is what it is about
    given: tuple[Fact, ...] = ()  # of a follow-up: the facts that were shown with it
    is_follow_up: bool = False  # answered in prose, after a right answer to the first question
    earlier: tuple[str, ...] = ()  # of a follow-up: the answers before it


@dataclass(frozen=True)
class Scored:
    """One answer, what it is worth by part, and what that rests on."""

    text: str
    ended: bool  # by itself, not cut off
    parts: Mapping[str, float | None]
    claims: tuple[Claim, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by part: what is wrong, in words
    model: int = 0  # which of the models wrote it; 1: the one that the first was set against

    @property
    def words(self) -> int:
        return len(self.text.split())


def score(graph: Graph, text: str, question: Question, *, ended: bool = True) -> Scored:
    """All parts of one answer. DataError where the graph does not know the case's diagnosis."""
    parsed = ParsedText(prose=text.strip()) if question.is_follow_up else parse(text)
    topic = diagnosis_id(graph, question.diagnosis) if question.diagnosis else None
    topic = topic or next(iter(named(graph, parsed.answer)), None)
    sentences = split_sentences(f"{parsed.reasoning}\n{parsed.prose}")
    said = _distinct(sentences)
    shown = Evidence(tuple(EvidenceItem(number, fact, 0.0, "") for number, fact in question.facts.items()))
    found = check_claims(graph, "\n".join(said), findings=question.findings, diagnosis=topic, evidence=shown)
    claims = statements(found, parsed.answer)
    of_graph = [claim for claim in claims if claim.fact_ids or not claim.finding_codes]
    relevance, beside = _relevance(graph, of_graph, _topics(graph, question, topic))
    citations, wrong = _citations(claims, question.facts)
    parts = {
        "accuracy": score_answer(graph, of_graph).accuracy,
        "relevance": relevance,
        "completeness": score_answer(graph, claims, diagnosis=topic).completeness,
        "findings": _mean([float(claim.verdict != "contradicted") for claim in claims if claim.finding_codes]),
        "citations": citations,
    }
    notes = {"relevance": tuple(beside), "citations": tuple(wrong), "form": () if ended else ("The text is cut off.",)}
    own_parts, own_notes = (_of_later if question.is_follow_up else _of_first)(graph, text, parsed, claims, question)
    parts |= own_parts
    once = len(said) / len(sentences) if ended and sentences else 0.0
    parts["form"] = round((own_parts["form"] or 0.0) * once, 3)
    notes |= {name: (*notes.get(name, ()), *told) for name, told in own_notes.items()}
    return Scored(text, ended, {name: parts[name] for name in PARTS}, tuple(claims), notes)


Parts = dict[str, float | None]
Notes = dict[str, tuple[str, ...]]


def _of_first(
    graph: Graph, text: str, parsed: ParsedText, claims: Sequence[Claim], question: Question
) -> tuple[Parts, Notes]:
    """What is asked of reasoning in four steps with an answer."""
    checks = [reasoning_matches_answer(parsed), *own_alternative(parsed), *_ranked_twice(parsed)]
    checks += [follow_up_matches_answer(parsed.prose, parsed.answer_code)] if parsed.answer_code else []
    correctness = correctness_reward(graph, parsed, CaseFacts(question.diagnosis))
    if correctness and not _is_name(graph, parsed.answer):
        correctness = 0.0  # "dermatocytic nevus": one of the options was asked for, and this is no diagnosis at all
    label = CLASS_NAMES.get(str(question.diagnosis), str(question.diagnosis))
    answered = f"It answers {parsed.answer[:80] or 'nothing'}; the label is {label}."
    parts = {
        "correctness": correctness,
        "consistency": _all_passed(checks),
        "form": format_reward(text, parsed),
    }
    return parts, {
        "correctness": (answered,) if correctness is not None and correctness < 1 else (),
        "consistency": tuple(check.message for check in checks if check.passed is False),
        "form": parsed.problems,
    }


def _of_later(
    graph: Graph, text: str, parsed: ParsedText, claims: Sequence[Claim], question: Question
) -> tuple[Parts, Notes]:
    """What is asked of prose behind a right answer: that it answers what was asked, and keeps the diagnosis.

    Without the question's words, or where it is out of scope, it is complete that tells the facts that were given.
    """
    told = {statement(graph.fact(key)) for claim in claims if claim.verdict == "supported" for key in claim.fact_ids}
    code = question.diagnosis
    kept = [follow_up_matches_answer(parsed.prose, code)] if code in CLASSES else []
    form = float(bool(text.strip()) and not TAG.search(text))
    parts: Parts = {
        "completeness": _mean([float(statement(fact) in told) for fact in question.given]),
        "correctness": _all_passed(kept),
        "consistency": None,
        "form": form,
    }
    notes: Notes = {"correctness": tuple(check.message for check in kept if check.passed is False)}
    found = answered(graph, text, claims, question)
    if found is not None:
        parts |= {"completeness": found.completeness, "form": form * (1 - found.repeated_share)}
        parts |= {"relevance": found.relevance} if found.relevance is not None else {}
        missing = tuple(f"It does not say: {point.text or point.facts[0].text}" for point in found.missing)
        notes |= {"completeness": missing, "form": tuple(f"“{line}” was said before." for line in found.repeated)}
    return parts, notes


def answered(graph: Graph, text: str, claims: Sequence[Claim], question: Question) -> Answered | None:
    """Whether a text answers the question; None out of scope, or without the question's words or the diagnosis."""
    lead = graph.diagnosis(question.diagnosis) if question.diagnosis else None
    if lead is None or not question.text.strip():
        return None
    asked = understand(graph, question.text, differential=[lead.id])
    if not asked.in_scope:
        return None
    known = Known(lead, findings=question.findings, earlier=question.earlier)  # what was given may be beside the point
    return answers(graph, plan(graph, asked, known), claims, text, earlier=question.earlier)


def _distinct(sentences: Sequence[str]) -> list[str]:
    """Each once, whatever step's heading stands before it; without those too long to be read."""
    seen: dict[tuple[str, ...], str] = {}
    for sentence in sentences:
        seen.setdefault(words(STEP_HEADING.sub("", sentence)), sentence)
    return split_sentences(distinct_sentences("\n".join(seen.values())))


def _topics(graph: Graph, question: Question, topic: str | None) -> list[str]:
    """The case's diagnosis, and the conditions that a follow-up names."""
    asked = [mention.id for mention in link(graph, question.text) if graph.node(mention.id).kind == "Disease"]
    return list(dict.fromkeys([*asked, *([topic] if topic else [])]))


def _relevance(graph: Graph, claims: Sequence[Claim], topics: Sequence[str]) -> tuple[float | None, list[str]]:
    """The share of sentences about one of the topics, among those that speak of anything known; the others in words.

    A sentence that the graph decides is about what the deciding facts are about: a true one about a look-alike is not
    about the diagnosis. What only ranks diagnoses is left out: to name the alternatives is no digression.
    """
    judged, beside = [], []
    for claim in claims:
        about = _is_about(graph, claim, topics)
        judged += [] if about is None else [float(about)]
        beside += [f"“{claim.text}” is about something else."] if about is False else []
    return _mean(judged), beside


def _is_about(graph: Graph, claim: Claim, topics: Sequence[str]) -> bool | None:
    if claim.fact_ids and topics:
        families = {key for topic in topics for key in (topic, *graph.family(topic))}
        facts = [graph.fact(key) for key in claim.fact_ids]
        return any({fact.subject, fact.object} & families for fact in facts)
    if RANKING.search(claim.text):
        return None
    found = [score_answer(graph, [claim], diagnosis=topic).relevance for topic in topics]
    known = [value for value in found if value is not None]
    return bool(max(known)) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return round(math.fsum(values) / len(values), 3) if values else None


def _is_name(graph: Graph, answer: str) -> bool:
    plain = answer.strip(" \n\t.*\"'")
    return any(graph.diagnosis(name) is not None for name in (plain, plain.lower()))


def _ranked_twice(parsed: ParsedText) -> list[SelfCheck]:
    """A failed check for each sentence that ranks a diagnosis against itself: "X leads, then Y and X"."""
    sentences = split_sentences("\n".join((parsed.differential, parsed.conclusion, parsed.prose)))
    found = []
    for sentence in sentences:
        codes = [code for _, code in class_mentions(sentence)]
        if RANKING.search(sentence) and len(set(codes)) < len(codes):
            found.append(SelfCheck("ranked_twice", False, f"“{sentence}” ranks a diagnosis against itself."))
    return found


def _all_passed(checks: Iterable[SelfCheck]) -> float | None:
    judged = [check.passed for check in checks if check.passed is not None]
    return float(all(judged)) if judged else None


# --- citations ------------------------------------------------------------------------------


def _citations(claims: Sequence[Claim], facts: Mapping[int, Fact]) -> tuple[float | None, list[str]]:
    """The share of citations that are right, among those that can be judged, and the wrong ones in words.

    Right: the sentence is decided by the cited fact. Wrong: it is decided by others, speaks of nothing that the fact is
    about, or the number was never given. Open: a sentence that the graph cannot judge about what the fact is about.
    """
    judged, wrong = [], []
    for claim in claims:
        for number in cited(claim.text):
            if number in claim.miscited:
                judged.append(0.0)
                wrong.append(f"“{claim.text}” cites F{number}, {_why(facts.get(number))}.")
            elif claim.fact_ids:
                judged.append(1.0)
    return _mean(judged), wrong


def _why(fact: Fact | None) -> str:
    return f"which says something else ({fact.id}: {fact.text})" if fact else "which was not given"


# --- pairs ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    chosen: Scored
    rejected: Scored
    margin: float  # the weighted mean difference of the parts that both could be judged by
    decided_by: str  # the part that counts most in it
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Of one question: its pairs, and why any two other answers are none."""

    pairs: tuple[Pair, ...]
    dropped: Mapping[str, int]


def choose_pairs(answers: Sequence[Scored], settings: ProxySettings) -> Choice:
    """The pairs with the greatest margins, no answer in two of them. Where two models wrote, each pair is of both."""
    weights = settings.weights.as_mapping()
    several = len({answer.model for answer in answers}) > 1
    fitting: list[tuple[float, int, int]] = []
    dropped: Counter[str] = Counter()
    for one, other in combinations(range(len(answers)), 2):
        if several and answers[one].model == answers[other].model:
            continue
        margin = margin_of(answers[one], answers[other], weights)
        better, worse = (one, other) if (margin or 0) >= 0 else (other, one)
        why = _refused(answers[better], answers[worse], margin, settings)
        if why or margin is None:
            dropped[why] += 1
        else:
            fitting.append((abs(margin), better, worse))
    used: set[int] = set()
    pairs: list[Pair] = []
    for _, better, worse in sorted(fitting, key=lambda found: -found[0]):
        if len(pairs) == settings.pairs or used & {better, worse}:
            dropped["another pair is better"] += 1
            continue
        used |= {better, worse}
        pairs.append(_pair(answers[better], answers[worse], weights))
    return Choice(tuple(pairs), dict(dropped))


def verdict(one: Scored, other: Scored, settings: ProxySettings) -> tuple[Pair | None, str]:
    """What the graph says of two answers that it did not choose itself: the pair, or why it prefers neither.

    Less is asked than of a pair to learn from: how long the answers are, and whether they are whole, is for whoever
    reads them to judge.
    """
    weights = settings.weights.as_mapping()
    margin = margin_of(one, other, weights)
    if margin is None:
        return None, "nothing could be judged in both"
    better, worse = (one, other) if margin >= 0 else (other, one)
    if abs(margin) < settings.min_margin:
        return None, "too close"
    if (better.parts.get("correctness") or 0.0) < 1.0 and better.parts.get("correctness") is not None:
        return None, "the better one is not right"
    if any(_is_worse(better, worse, part) for part in GUARDED):
        return None, "each is better at some fact"
    return _pair(better, worse, weights), ""


def margin_of(one: Scored, other: Scored, weights: Mapping[str, float]) -> float | None:
    """Positive where `one` is better; None where no part of any weight could be judged in both."""
    shares = _shares(one, other, weights)
    return round(math.fsum(shares.values()), 4) if shares else None


def _shares(one: Scored, other: Scored, weights: Mapping[str, float]) -> dict[str, float]:
    """What each part that both could be judged by adds to the margin."""
    both = {name: (one.parts.get(name), other.parts.get(name)) for name, weight in weights.items() if weight}
    common = {name: (a, b) for name, (a, b) in both.items() if a is not None and b is not None}
    total = math.fsum(weights[name] for name in common)
    return {name: weights[name] * (a - b) / total for name, (a, b) in common.items()}


def _refused(better: Scored, worse: Scored, margin: float | None, settings: ProxySettings) -> str:
    """Why the two make no pair; "" where they do."""
    if better.text.split() == worse.text.split():
        return "the same text"
    if margin is None:
        return "nothing could be judged in both"
    if abs(margin) < settings.min_margin:
        return "too close"
    if not better.ended:
        return "the better one is cut off"
    if (better.parts.get("correctness") or 0.0) < 1.0 and better.parts.get("correctness") is not None:
        return "the better one is not right"
    if better.parts.get("accuracy") is None:
        return "the graph can judge nothing in the better one"
    if any(_is_worse(better, worse, part) for part in GUARDED):
        return "each is better at some fact"
    longer, shorter = max(better.words, worse.words), min(better.words, worse.words)
    if settings.max_length_ratio and longer > settings.max_length_ratio * shorter:
        return "too different in length"
    return ""


def _is_worse(better: Scored, worse: Scored, part: str) -> bool:
    one, other = better.parts.get(part), worse.parts.get(part)
    return one is not None and other is not None and one < other


# --- reasons --------------------------------------------------------------------------------


def _pair(chosen: Scored, rejected: Scored, weights: Mapping[str, float]) -> Pair:
    shares = _shares(chosen, rejected, weights)
    decided_by = max(shares, key=lambda name: shares[name])
    margin = margin_of(chosen, rejected, weights)
    assert margin is not None
    return Pair(chosen, rejected, margin, decided_by, tuple(_reasons(chosen, rejected, shares, decided_by)))


def _reasons(chosen: Scored, rejected: Scored, shares: Mapping[str, float], decided_by: str) -> Iterable[str]:
    """The parts that differ, the greatest first; then what was found in either answer and not in the other."""
    values = {name: f"{chosen.parts[name]:.2f} against {rejected.parts[name]:.2f}" for name in shares}
    yield f"Decided by {decided_by}: {values[decided_by]}."
    others = sorted((name for name in shares if shares[name] and name != decided_by), key=lambda n: -abs(shares[n]))
    yield from (f"{'Also better' if shares[name] > 0 else 'Worse'} in {name}: {values[name]}." for name in others)
    left_out = [name for name in PARTS if name in chosen.parts and name not in shares]
    if left_out:
        yield f"Not compared, since it could not be judged in both or weighs nothing: {', '.join(left_out)}."
    for title, one, other in (("Chosen", chosen, rejected), ("Rejected", rejected, chosen)):
        same = {_basis(claim) for claim in other.claims}
        for claim in one.claims:
            if claim.verdict != "not_covered" and _basis(claim) not in same:
                yield f"{title}: {_claim_words(claim)}"
        for part, notes in one.notes.items():
            yield from (f"{title}, {part}: {note}" for note in notes if note not in other.notes.get(part, ()))


def _basis(claim: Claim) -> tuple[str, frozenset[str], frozenset[str]]:
    """The same for two sentences of which the same is known."""
    return claim.verdict, frozenset(claim.fact_ids), frozenset(claim.finding_codes)


_STANDS: Mapping[Verdict, str] = {
    "supported": "is supported",
    "contradicted": "is contradicted",
    "another_condition": "is true of another condition",
    "wrong_citation": "cites the wrong fact, but is supported",
}


def _claim_words(claim: Claim) -> str:
    by = [f"fact {key}" for key in claim.fact_ids] + [f"the measured {code}" for code in claim.finding_codes]
    note = f" ({claim.note})" if claim.note and claim.verdict in ("contradicted", "another_condition") else ""
    return f"“{claim.text}” {_STANDS[claim.verdict]} by {', '.join(by)}{note}."
