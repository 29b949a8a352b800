"""The facts for one question, one differential and one patient. Knows neither model nor page.

A question that asks for something ("How is it treated?") is answered by what fits it best (`rank`). An open one
("What is this, and why?") is answered from the case: four rankings are fused by reciprocal rank, words (BM25), names
(linked entities and their neighbourhood), meaning (embeddings) and the case (what separates the top two diagnoses),
and spread over relations. Both are kept within a budget of tokens.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dermiq.knowledge.card import topic_of
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language import questions
from dermiq.knowledge.language.lexical import FREQUENT, largest
from dermiq.knowledge.language.lexicon import asks_for_lack
from dermiq.knowledge.language.text import tokens, word_set, words
from dermiq.knowledge.retrieve import rank
from dermiq.knowledge.retrieve.case import BASE, Worth, case_worth, diagnosis_nodes
from dermiq.knowledge.retrieve.index import FactIndex, index_of
from dermiq.knowledge.retrieve.intents import SAID
from dermiq.knowledge.retrieve.understand import MIN_KNOWN, Embedded, Question, Reading, Understood, read
from dermiq.types import Evidence, EvidenceItem, Fact, Finding, PatientContext, Reason

RANK_OFFSET = 20  # the k of reciprocal rank fusion, small because the lists are short
DEPTH = 60  # facts taken from each ranking
WEIGHTS = {"words": 1.0, "names": 1.6, "meaning": 1.0, "case": 1.5}
MIN_COSINE = 0.30  # a fact further than this from the question is not near it
REPEAT = {"relation": 0.76, "subject": 0.9, "object": 0.7}  # what a repeated relation, condition or feature costs
ASKED_NAME = 2.0  # how much a relation that was asked for counts among facts of a named thing
SCAFFOLD = {"is_a": 0.3, "coded_as": 0.3}  # what nobody wants to hear unasked
ASKED_CASE = 3.5  # how much a relation that was asked for counts within the case
SHOWN = frozenset({"has_dermoscopic_feature", "has_sign"})  # what the case brings up unasked
VAGUE = 0.3  # what words and meaning count for when the question names nothing
WANTED = 0.5  # how much a relation that was asked for adds, as a share
SPOKEN = 4  # conditions of a question and its differential that facts are looked for
BEHIND = 1e-3  # what is left of a fact that speaks of none of the named conditions

OPEN_WORDS = FREQUENT | word_set(
    "tell told look like see think expect say mean show case spot image picture diagnosis sign feature apart "
    "distinguish difference different differ rather than instead between versus vs against first second two one "
    "other so more most please about speak likely"
)
"""Words of questions that ask for nothing but the case."""


@dataclass(frozen=True)
class LookedUp:
    """What was found for one question, before anything is chosen."""

    asked: Question
    understood: Understood
    nodes: tuple[str, ...]  # the differential of the case, a contrast's rivals included
    case: Mapping[str, Worth]
    rankings: Mapping[str, Sequence[int]]  # fact numbers, best first
    meant: Embedded | None  # None without search by meaning
    wants: np.ndarray | None  # (16,) see `Reading`
    is_open: bool  # nothing but the case says which facts are meant


@dataclass(frozen=True)
class Candidates:
    """The facts that may answer, and what speaks for each."""

    numbers: list[int]
    facts: list[Fact]
    table: np.ndarray  # (facts, features), see `rank.FEATURES`
    nearest: np.ndarray  # (facts,) the part of the question that each is nearest to; 0 without search by meaning


def retrieve(
    graph: Graph,
    question: str,
    *,
    differential: Sequence[str] = (),
    context: PatientContext | None = None,
    findings: Sequence[Finding] = (),
    k: int = 6,
    token_budget: int = 260,
    semantic: bool = True,
    earlier: Sequence[str] = (),
) -> Evidence:
    """At most `k` facts, best first, numbered from 1; none for a question out of scope.

    `differential` holds class codes or node ids; `earlier` the questions before on the same case, oldest first.
    `semantic=False` leaves the embeddings out; they are also left out where they are not installed.
    """
    reading = read(graph, question, earlier=earlier, differential=differential, context=context, semantic=semantic)
    if not reading.understood.in_scope:
        return Evidence()
    index = index_of(graph)
    found = look_up(graph, reading, differential=differential, findings=findings)
    scores, costs, wanted = _scored(graph, index, found, differential=differential, patient=reading.patient)
    chosen = spread(index, scores, costs=costs, k=k, token_budget=token_budget, wanted=wanted)
    reasons = _Reasons(graph, found.asked, found.case, found.rankings)
    return Evidence(
        tuple(
            EvidenceItem(
                number=place,
                fact=index.facts[number],
                score=round(scores[number], 4),
                reason=reasons.of(number, index.facts[number]),
                reasons=tuple(reasons.all_of(number, index.facts[number])),
            )
            for place, number in enumerate(chosen, start=1)
        )
    )


def _scored(
    graph: Graph,
    index: FactIndex,
    found: LookedUp,
    *,
    differential: Sequence[str],
    patient: PatientContext | None,
) -> tuple[dict[int, float], Mapping[str, float], frozenset[str]]:
    """Fact number -> score, what repetitions leave of it, and the relations that may repeat: see `spread`."""
    asked, nodes = found.asked, found.nodes
    if not found.is_open:
        scores = _fitting(index, candidates(graph, found, differential=differential, context=patient), found)
        return scores if found.meant else _named_first(graph, index, scores, found), {}, frozenset()
    scores = _fused(found.rankings, vague=bool(nodes) and (asked.contrast or not asked.mentions))
    for number in scores:
        if asked.relations and index.facts[number].relation not in asked.relations:
            scores[number] /= 1 + WANTED
    return scores, REPEAT, asked.relations - (SHOWN if nodes else frozenset())


def _named_first(graph: Graph, index: FactIndex, scores: Mapping[int, float], found: LookedUp) -> dict[int, float]:
    """By words alone, a condition that was named beats the leading one: facts about others come behind its own."""
    named = found.understood.conditions if found.asked.conditions else ()
    about = {member for key in named for member in (*graph.family(key), *graph.ancestors(key))}

    def is_about(number: int) -> bool:
        fact = index.facts[number]
        return not about or fact.subject in about or fact.object in about

    return {number: score * (1.0 if is_about(number) else BEHIND) for number, score in scores.items()}


def look_up(
    graph: Graph, reading: Reading, *, differential: Sequence[str] = (), findings: Sequence[Finding] = ()
) -> LookedUp:
    """The four searches; see `retrieve` for the arguments."""
    index, asked, meant = index_of(graph), reading.asked, reading.meant
    nodes = _case_nodes(graph, asked, differential)
    case = case_worth(graph, nodes, context=reading.patient, findings=findings) if nodes else {}
    rankings = {
        "words": _by_words(index, asked),
        "names": _by_names(graph, index, asked),
        "case": _by_case(index, case, asked),
    }
    if meant:
        rankings["meaning"] = _by_meaning(index, meant.whole)
    if nodes:
        rankings = _about_the_case(graph, index, rankings, nodes=nodes, asked=asked)
    return LookedUp(
        asked, reading.understood, tuple(nodes), case, rankings, meant, reading.wants, _is_open(asked, nodes)
    )


def _case_nodes(graph: Graph, asked: Question, differential: Sequence[str]) -> list[str]:
    """The differential; a question that contrasts names its own rivals."""
    nodes = diagnosis_nodes(graph, differential)
    if not asked.contrast:
        return nodes
    named = list(dict.fromkeys(m.id for m in asked.mentions if m.id in asked.conditions))
    if len(named) >= 2 or not nodes:
        return [*named, *(node for node in nodes if node not in named)]
    return [nodes[0], *(node for node in (*named, *nodes[1:]) if node != nodes[0])]


# --- rankings: fact numbers, best first ---------------------------------------------------


def _best(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda number: (-scores[number], number))[:DEPTH]


def _by_words(index: FactIndex, asked: Question) -> list[int]:
    if not asked.mentions and index.words.known_share(asked.text) < MIN_KNOWN:
        return []
    names = " ".join(mention.name for mention in asked.mentions)
    return index.words.best(f"{asked.text} {names}", DEPTH)


def _by_names(graph: Graph, index: FactIndex, asked: Question) -> list[int]:
    """Facts by how many of the named things they speak of; a subtype counts a little less."""
    scores: dict[int, float] = {}
    for key in dict.fromkeys(mention.id for mention in asked.mentions):
        for member in graph.family(key):
            near = 1.0 if member == key else 0.6
            for fact in graph.facts_about(member):
                if fact.id in index.at:
                    gain = near * (1.0 if fact.subject == member else 0.7) * (0.4 + BASE[fact.relation])
                    gain *= ASKED_NAME if fact.relation in asked.relations else SCAFFOLD.get(fact.relation, 1.0)
                    if fact.polarity == "absent" or (fact.relation == "located_at" and fact.n is not None):
                        gain *= 0.8  # what is missing, and where an atlas found it, after what is there
                    number = index.at[fact.id]
                    scores[number] = scores.get(number, 0.0) + gain
    return _best(scores)


def _by_case(index: FactIndex, case: Mapping[str, Worth], asked: Question) -> list[int]:
    scores: dict[int, float] = {}
    for key, worth in case.items():
        if key in index.at:
            wanted = index.facts[index.at[key]].relation in asked.relations - SHOWN
            scores[index.at[key]] = worth.score * (ASKED_CASE if wanted else 1.0)
    return _best(scores)


def _by_meaning(index: FactIndex, meant: np.ndarray) -> list[int]:
    cosines = index.vectors @ meant
    return [number for number in largest(cosines, DEPTH) if cosines[number] >= MIN_COSINE]


def _about_the_case(
    graph: Graph, index: FactIndex, rankings: dict[str, list[int]], *, nodes: Sequence[str], asked: Question
) -> dict[str, list[int]]:
    """Words and meaning may bring up only facts about the differential or about what was named."""
    keys = (*nodes[:3], *(mention.id for mention in asked.mentions))
    allowed = {member for key in keys for member in graph.family(key)}

    def is_about(number: int) -> bool:
        fact = index.facts[number]
        return fact.subject in allowed or fact.object in allowed

    return {name: [number for number in ranking if is_about(number)] for name, ranking in rankings.items()}


def _fused(rankings: Mapping[str, Sequence[int]], *, vague: bool) -> dict[int, float]:
    """Reciprocal rank fusion, scaled so that a fact that leads every ranking has 1.

    A vague question names nothing ("What is this?"): its words say little beside the case.
    """
    weights = {name: weight * (VAGUE if vague and name != "case" else 1.0) for name, weight in WEIGHTS.items()}
    most = sum(weights[name] for name, ranking in rankings.items() if ranking) / (RANK_OFFSET + 1)
    scores: dict[int, float] = {}
    for name, ranking in rankings.items():
        for place, number in enumerate(ranking, start=1):
            scores[number] = scores.get(number, 0.0) + weights[name] / (RANK_OFFSET + place) / most
    return scores


# --- a question that asks for something ---------------------------------------------------


def _is_open(asked: Question, nodes: Sequence[str]) -> bool:
    """Whether nothing but the case says which facts are meant: "What is this?", "Is it urgent?"."""
    if not nodes:
        return False
    left = asked.bare.lower()
    for said in SAID:
        left = re.sub(rf"(?:{said.pattern.pattern})\w*", " ", left)
    return not (set(words(left)) - OPEN_WORDS)


def candidates(
    graph: Graph, found: LookedUp, *, differential: Sequence[str], context: PatientContext | None
) -> Candidates:
    """What is near the conditions that are spoken of, or was found at all."""
    index, asked, meant = index_of(graph), found.asked, found.meant
    named = [mention.id for mention in asked.mentions if mention.id in asked.conditions]
    about = found.understood.conditions
    conditions = list(dict.fromkeys((*about, *named, *diagnosis_nodes(graph, differential))))[:SPOKEN]
    spoken = [rank.spoken_of(graph, key) for key in conditions]
    near = {fact.id for one in spoken for key in one.near for fact in graph.facts_about(key)}
    near |= {
        fact.id for mention in asked.mentions for key in graph.family(mention.id) for fact in graph.facts_about(key)
    }
    pool = sorted({index.at[key] for key in near if key in index.at}.union(*found.rankings.values()))
    facts = [index.facts[number] for number in pool]
    heard = rank.Heard(asked.relations, asks_for_lack(asked.text))
    parts, whole = np.zeros((len(pool), 1)), np.zeros(len(pool))
    if meant:
        parts, whole = index.bare[pool] @ meant.parts.T, index.vectors[pool] @ meant.whole
        told = questions.relations(meant.parts).max(axis=0)
        heard = replace(heard, classified=dict(zip(questions.labels()["relations"], told.tolist(), strict=True)))
    full = " ".join((asked.text, *(graph.node(key).name for key in conditions)))
    searched = rank.Searched(index.words.scores(full)[pool], parts, whole)
    table = rank.features(facts, searched, _told(graph, facts, found.case), spoken, heard, context)
    return Candidates(pool, facts, table, parts.argmax(axis=1))


def _told(graph: Graph, facts: Sequence[Fact], case: Mapping[str, Worth]) -> rank.Told:
    stated = {
        (subject, relation): Counter((other.object, other.polarity) for other in graph.facts(subject, relation))
        for subject, relation in {(fact.subject, fact.relation) for fact in facts}
    }
    lists = [stated[fact.subject, fact.relation] for fact in facts]
    return rank.Told(
        worth=np.array([case[fact.id].score if fact.id in case else 0.0 for fact in facts]),
        siblings=np.array([count.total() for count in lists], dtype=float),
        sources=np.array(
            [count[fact.object, fact.polarity] for count, fact in zip(lists, facts, strict=True)], dtype=float
        ),
    )


def _fitting(index: FactIndex, pool: Candidates, found: LookedUp) -> dict[int, float]:
    """Fact number -> how well it fits the question, in (0, 1]."""
    likeness: np.ndarray | float = 0.0
    if found.meant is not None and found.wants is not None:
        taught = rank.taught()
        wanted = taught.asked(found.meant.parts)[pool.nearest]
        likeness = (wanted * index.answering[pool.numbers]).sum(axis=1)
        likeness = likeness + taught.intended(found.wants, pool.facts, pool.table)
    scores = rank.scores(pool.facts, pool.table, likeness, semantic=found.meant is not None)
    return dict(zip(pool.numbers, map(float, scores), strict=True))


# --- choice ---------------------------------------------------------------------------------


def spread(
    index: FactIndex,
    scores: Mapping[int, float],
    *,
    costs: Mapping[str, float],
    k: int,
    token_budget: int,
    wanted: frozenset[str] = frozenset(),
) -> list[int]:
    """Greedy: the best fact next, each repetition of relation, condition or feature held against it.

    `costs`: what a repetition leaves of a score, by kind; 1 for a kind that is not there.
    """
    chosen: list[int] = []
    said: Counter[tuple[str, str]] = Counter()
    statements: set[tuple[str, ...]] = set()
    left = token_budget
    waiting = set(scores)
    while waiting and len(chosen) < k:
        best = max(waiting, key=lambda number: (_held(index, number, scores[number], said, costs, wanted), -number))
        waiting.discard(best)
        fact = index.facts[best]
        said_here = statement(fact)
        if said_here in statements or tokens_of(fact.text) > left:
            continue
        chosen.append(best)
        statements.add(said_here)
        left -= tokens_of(fact.text)
        said.update(_repeats(index, fact, wanted))
    return chosen


def _repeats(index: FactIndex, fact: Fact, wanted: frozenset[str]) -> Iterable[tuple[str, str]]:
    """What is held against the next fact that has it too; a relation that was asked for may repeat."""
    yield "subject", fact.subject
    yield "object", index.roots[fact.id]
    if fact.relation not in wanted:
        yield "relation", fact.relation


def _held(
    index: FactIndex,
    number: int,
    score: float,
    said: Counter[tuple[str, str]],
    costs: Mapping[str, float],
    wanted: frozenset[str],
) -> float:
    if not costs:
        return score
    for kind, key in _repeats(index, index.facts[number], wanted):
        score *= costs.get(kind, 1.0) ** said[(kind, key)]
    return score


def statement(fact: Fact) -> tuple[str, ...]:
    """Two facts that say the same, whoever says it; being confused goes both ways."""
    if fact.relation == "look_alike":
        return (fact.relation, *sorted((fact.subject, fact.object)))
    return fact.subject, fact.relation, fact.object, fact.polarity


def tokens_of(text: str) -> int:
    """A cautious guess at the tokens of a sentence."""
    return math.ceil(len(text) / 3.6)


class _Reasons:
    """Why a fact was chosen, in a few words."""

    def __init__(
        self, graph: Graph, asked: Question, case: Mapping[str, Worth], rankings: Mapping[str, Sequence[int]]
    ) -> None:
        self.asked = asked
        self.case = case
        self.named = {
            member: mention.name for mention in reversed(asked.mentions) for member in graph.family(mention.id)
        }
        self.near = {name: set(ranking) for name, ranking in rankings.items()}

    def of(self, number: int, fact: Fact) -> str:
        """The one that counts most."""
        worth = self.case.get(fact.id)
        if worth and worth.fits:
            return worth.fits[0].text
        if worth and "separates" in worth.reason:
            return worth.reason
        named = self._named(fact)
        if named:
            return f"you asked about {' and '.join(named)}"
        if worth:
            return worth.reason
        if number in self.near["words"]:
            return "shares words with the question"
        return "close in meaning to the question"

    def all_of(self, number: int, fact: Fact) -> Iterator[Reason]:
        """Everything that brought it up, in the order question, differential, patient and findings."""
        named = self._named(fact)
        if named:
            yield Reason("question", f"names {' and '.join(named)}")
        if fact.relation in self.asked.relations:
            yield Reason("question", f"asks about {topic_of(fact.relation).lower()}")
        shared = [] if named else self._shared(number, fact)
        if shared:
            yield Reason("question", f"shares the words {', '.join(shared)}")
        worth = self.case.get(fact.id)
        if not (named or shared) and (number in self.near.get("meaning", ()) or not worth):
            yield Reason("question", "is close in meaning")
        if worth:
            yield Reason("differential", worth.reason)
            yield from worth.fits

    def _named(self, fact: Fact) -> list[str]:
        """Names in the question that the fact is about, each once."""
        return list(dict.fromkeys(self.named[key] for key in (fact.subject, fact.object) if key in self.named))

    def _shared(self, number: int, fact: Fact) -> list[str]:
        """Words of the question, as written there, that the fact's own sentence has too."""
        if number not in self.near["words"]:
            return []
        said = set(words(fact.text)) - FREQUENT
        return list(dict.fromkeys(token.raw.lower() for token in tokens(self.asked.text) if token.word in said))
