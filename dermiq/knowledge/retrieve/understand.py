"""What a question wants, what it is about, and whether anything here answers it.

    understand(graph, "and if it were on the scalp?", earlier=["How is it treated?"], differential=["akiec", "bcc"])
    # Understood(intent="treatment", conditions=("dermiq:akiec",), site="scalp", question="How is it treated, if ...")

What is left out is filled in from the questions before (`ellipsis`), the encoder of questions tells the intent and the
scope (`language.questions`), and a few rules that bear names decide where it must not err. Knows neither reader nor
page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dermiq.knowledge.graph import PRINCIPAL, Graph
from dermiq.knowledge.language import embed, questions
from dermiq.knowledge.language.lexical import FREQUENT
from dermiq.knowledge.language.lexical import words as stems
from dermiq.knowledge.language.lexicon import asks_whether, pattern, turns, warns
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.plain import plainly
from dermiq.knowledge.language.remember import remembered
from dermiq.knowledge.language.text import tokens
from dermiq.knowledge.retrieve import faq
from dermiq.knowledge.retrieve.aspects import HEARD, HEARD_IN_A_PART, IS_IT, NONE, OF_CONDITIONS, shares
from dermiq.knowledge.retrieve.case import diagnosis_nodes
from dermiq.knowledge.retrieve.ellipsis import Standing, conditions_in, contrasts, kinds_of, sites_in, stand_alone
from dermiq.knowledge.retrieve.index import FactIndex, index_of
from dermiq.knowledge.retrieve.intents import (
    ABOUT_THE_CASE,
    CONTRAST,
    IN_SCOPE,
    SAID,
    WHAT_TO_DO,
    is_out,
    said_of,
)
from dermiq.knowledge.retrieve.reading import is_of_the_reading
from dermiq.knowledge.schema import Node
from dermiq.types import PatientContext

SHORTEST_PART = 3  # words
_PARTS = re.compile(
    r"[?:;,.]|\band (?=(?:what|how|who|whom|is|can|does|do|may|should|which|when|where|in)\b)| - ", re.IGNORECASE
)
"""Where a question that asks for several things falls into parts."""

SURE_NAMED, SURE_SHORT, SURE_POINTS, SURE = 0.95, 0.85, 0.6, 0.35
"""From what probability on a question is out of scope: where it names something of the skin; is a word or two that the
facts have ("margins?"); points to "it" or "this"; and else."""
FOREIGN, FOREIGN_SHARE, UNHEARD = 2, 0.3, 0.2
"""How many words, what share of all, and below what probability of any aspect, for a question to be foreign."""
DOUBTFUL, ASKED_DOUBTFUL, SURE_PART = 0.15, 0.05, 0.85
"""How strange the whole, its last sentence, and any sentence of it must be for it to be out of scope."""
_SENTENCES = re.compile(r"[^.?!:;]+")
SHORT = 2  # words
MOST_ASPECTS = 2
ASKED_OFTEN = 0.6  # probability from which a question is one that is asked often
SURER = 0.95  # probability of an aspect from which on it says the intent, too; chosen on the part dev of `asked.tsv`
MIN_KNOWN = 0.5  # share of a question's words that the facts must know, where nothing is embedded
NAMES_SKIN = frozenset({"Disease", "DermoscopicFeature", "Sign"})
_POINTS = re.compile(r"\b(?:it|its|this|these|that|they)\b", re.IGNORECASE)
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,25}\b(?:instructions?|rules?|prompts?|guidelines|everything|above|"
    r"before|told|said)\b"
    r"|\b(?:system|developer|hidden) (?:prompt|message|instructions?)\b|\bjailbreak|\b(?:developer|debug|god) mode\b"
    r"|\b(?:you are|act as|pretend (?:to be|that you)) (?:now |free|a |an |my )(?!.*\?)"
    r"|\b(?:write|compose|sing|make up|generate|draft)\b.{0,15}\b(?:poem|haiku|song|rap|limerick|story|stories|essay|"
    r"joke|rhyme|code|script|function|tweet|novel|letter|email)\b"
    r"|\btranslate\b.{0,40}\b(?:into|to) (?!plain|simple|easy|words|normal|everyday|lay)\w+"
    r"|^(?:please )?(?:only |always |just )?(?:say|answer|reply|respond|repeat)\b.{0,20}"
    r"\b(?:that|only|with|nothing|after me|yes|no matter)\b|\b(?:you must|always) (?:call|say|answer)\b",
    re.IGNORECASE,
)
"""Rule `order`: asks for other work, or commands an answer."""
_OF_OTHERS = re.compile(
    r"\b(?:my|the|our|his|her|a) (?:dog|cat|horse|rabbit|hamster|guinea pig|puppy|kitten|cow)(?:'s|s)?\b"
    r"|\b(?:in|inside|behind) (?:the|my|his|her) (?:eye|retina|brain|liver|lungs?)\b",
    re.IGNORECASE,
)
"""Rule `others`: animals, and what lies within."""
_LESION = re.compile(
    r"\b(?:skin|moles?|spots?|bumps?|lumps?|patch(?:es)?|freckles?|warts?|rash|scabs?|crusts?|blemish\w*|growths?|biops\w+"
    r"|dermo?at?o?scop\w+|lesions?)\b",
    re.IGNORECASE,
)
"""Words of the skin that name no node."""
_NATURE = re.compile(
    r"^\W*(?:and |but |so )*(?:is|are) (?:it|this|that|they|these) (?:really |even |something )?"
    r"(?:a |an )?(?:malign\w*|benign|cancer\w*|dangerous|harmless|serious)\W*$",
    re.IGNORECASE,
)
"""Rule `nature`: whether it is malignant is told by its behaviour, not by how it looks."""
_IS_IT = pattern("asks whether it is")
"""Rule `is it`: whether it could be a condition by name."""
_TELLS = re.compile(r"^\W*(?:now|actually|oh|also|sorry|by the way|btw|forgot|i forgot)\b[^?]*$", re.IGNORECASE)
"""Rule `tells`: a sign or a complaint that is told behind such a word is new."""
TOLD, SEEN_OR_FELT = "now_told", frozenset({"Sign", "Symptom"})
_ILLNESS = re.compile(r"\w{3,}(?:itis|osis|omas?|aemia|emia|opathy|algia|plasia|sclerosis)$", re.IGNORECASE)
_DRUG = re.compile(
    r"\w{2,}(?:pril|sartan|statin|olol|dipine|cillin|mycin|cycline|azole|prazole|formin|gliptin|gliflozin|caine|triptan"
    r"|setron|oxetine|pram|zepam|vir|fenac|profen|codone|morphine)s?$",
    re.IGNORECASE,
)
"""Names of medicines by their endings."""
_CHILD = re.compile(r"\b(?:child|children|kids?|toddlers?|boys?|girls?)\b", re.IGNORECASE)
_BABY = re.compile(r"\b(?:bab(?:y|ies)|infants?|newborns?)\b", re.IGNORECASE)
_ELDERLY = re.compile(r"\b(?:elderly|old (?:man|men|woman|women|people|person|patient)s?|older)\b", re.IGNORECASE)
_AGED = re.compile(
    r"\b(\d{1,3})(?:[- ]year(?!s? (?:ago|history|surviv\w+|follow))(?!s\b(?! old))|[- ]?y\.?/?o\b|(?-i: ?[MF]\b))",
    re.IGNORECASE,
)
_OF_AGE = re.compile(
    r"\b(?:(?:he|she|they|it|(?:the )?patient)(?:'s| is| was| were| had been)|aged?|at(?: age)?)\s+(\d{1,3})\b"
    r"(?!\s*(?:%|mm|cm|kg|per ?cent|weeks?|months?|days?|hours?|minutes?|times))",
    re.IGNORECASE,
)
_SIZE = re.compile(
    r"(\d+(?:[.,]\d+)?) ?(?:(?:mm|cm)? ?(?:x|×|by) ?(\d+(?:[.,]\d+)?) ?)?(mm|cm)\b"
    r"(?! ?(?:margins?|thick\w*|deep|depth|punch|clear\w*|excision|from|away|breslow))",
    re.IGNORECASE,
)
_NO_SIZE = re.compile(
    r"(?:\bbreslow\b|\bmargins?\b|\bpunch\b|\bthick\w*|\bdepth\b|\bdeep\b|\binvasion\b|\bgrew\b|\bgrown\b|\bby)\W+(?:\w+\W+){0,2}$",
    re.IGNORECASE,
)
"""A length before or behind which no diameter of the lesion is told."""
_MIND = re.compile(
    r"\b(?:mind|convinc\w+|reconsider|rethink|sway|switch|swing|shift|tip|instead|other way|make you)\b"
    r"|\bstill (?:fits?|say|call|think|believe|sure)\b"
    r"|\b(?:prove you wrong|no longer|stop calling|start thinking of|rather than|worry you)\b"
    r"|\bturn (?:you|your|the)\b|\btake (?:it |that )?back|\b(?:drop|give up|revise|abandon|leave) (?:it|your|the)\b"
    r"|\bchange (?:it|that|your|the (?:diagnosis|reading|answer|verdict|picture))|\bwhat would (?:it take|make)\b"
    r"|\bwould (?:you|it|that|this) (?:then )?(?:change|say|call|think)\b",
    re.IGNORECASE,
)
"""Rule `mind`: words without which nobody asks what would change the reading."""
_SAYS_MIND = re.compile(
    r"\bchange (?:your|its) (?:mind|reading|diagnosis|answer|view)\b|\bmake you (?:change|switch)\b", re.I
)
_DEFINES = re.compile(
    r"\bwhat (?:exactly )?(?:does|do)\b[^?]{1,40}\b(?:cover|mean|include|stand for)\b"
    r"|\bdefin(?:e|ition)\b|\bremind me what\b",
    re.IGNORECASE,
)
_WHAT_IS_IT = re.compile(r"^\W*(?:and |so |but )?what(?:'?s| is| are) (?:an? |the )?it\W*$", re.IGNORECASE)
"""Rule `what is`: asks what a word means."""
_IF = re.compile(
    r"\b(?:if|suppos(?:e|ing)|assum(?:e|ing)|imagine|(?:say|had|were) (?:it|she|he|they))\b",
    re.I,
)
SHORT_FOR = tuple(
    (re.compile(rf"(?<![\d-])\b(?:{short})\b", re.IGNORECASE), word)
    for short, word in (
        ("bx", "biopsy"),
        ("tx|rx", "treatment"),
        ("f/?u", "follow-up"),
        ("histo|path(?= (?:report|says|said|shows|came|comes|back|is|was))", "histology"),
        ("mel(?!an)", "melanoma"),
        ("mets?(?= )", "metastasis"),
        ("df", "dermatofibroma"),
        ("dfsp", "dermatofibrosarcoma protuberans"),
        ("ka", "keratoacanthoma"),
        ("pt", "patient"),
        (
            r"(?:old |dried )?blood (?:under|beneath|below) (?:the|my|his|her) (?:skin|nail)|(?:a )?bruise",
            "a skin hemorrhage",
        ),
        (r"(?<=\bbe )(?:just |only |simply )?(?:dried |old |some )?blood(?! vessels?)", "a skin hemorrhage"),
    )
)
"""Abbreviations that the names of the graph do not hold."""
COMPLAINTS = {
    "bled": re.compile(r"\b(?:bled|bleed(?:s|ing)?|oozed?|oozing)\b", re.IGNORECASE),
    "grew": re.compile(r"\b(?:gr[eo]wn?|grows|growing|bigger|larger|enlarg\w+|doubled|tripled)\b", re.IGNORECASE),
    "itch": re.compile(r"\bitch\w*", re.IGNORECASE),
    "changed": re.compile(
        r"\bchang(?:ed|es|ing)\b"
        r"|\b(?:went|gone|goes|got|gets|getting|became|becom(?:es|ing)|turn(?:s|ed|ing)?) (?:\w+ )?"
        r"(?:black|blue|dark\w*|pale|red|white)\b",
        re.IGNORECASE,
    ),
    "hurts": re.compile(r"\b(?:hurts?|hurting|pain\w*|sore|tender)\b", re.IGNORECASE),
}
_QUESTION = re.compile(r"[^.?!;,\n]*\?")
"""What is asked, not told, of a text that tells something."""
_OR = re.compile(r"\b(?:or|vs|versus|against)\b|/|\bv\b|\?\w", re.IGNORECASE)
_DIFFER = re.compile(
    r"\bdifferen(?:ce|t|tiate)\b|\bdistinguish|\bseparate|\btell\b[^?]{0,60}\b(?:apart|from)\b|\bversus\b|\bvs\b",
    re.IGNORECASE,
)
WORDS_BESIDE = 4
"""Rule `or`: words besides the names of two conditions."""
_CONFIRMED = re.compile(
    r"\b(?:confirmed|proven)\b|\b(?:histolog\w+|pathology|biopsy|report) (?:=|says?|said|show(?:s|ed)|confirm(?:s|ed)"
    r"|comes? back|came back|reads?|is|was) |\bhistolog\w+ ?=|\bturns out\b"
    r"|\b(?:comes?|came) back (?:as|at|with|in|mel\w*|\d)",
    re.IGNORECASE,
)
"""Rule `confirmed`: tissue has decided, or is supposed to have."""
_EITHER = re.compile(r"\b(?:or|both|either|the two)\b", re.IGNORECASE)
AGES = ((_CHILD, 8), (_BABY, 0), (_ELDERLY, 75))

CAN_ASK = (
    "You can ask what a skin lesion may be and why, what else comes into question, how it is confirmed and treated, "
    "how urgent it is, and what to watch for."
)
WHY_OUT = {
    "out_chat": "This asks nothing about the skin.",
    "out_medicine": "This is about another part of medicine than the skin.",
    "out_world": "This has nothing to do with the skin.",
    "out_task": "This asks for other work than answering a question about the skin.",
    "out_service": "Appointments, prices, products and this page are nothing that the knowledge here speaks of.",
}


@dataclass(frozen=True)
class Understood:
    """What was made of one question."""

    intent: str  # one of `intents.INTENTS`
    conditions: tuple[str, ...]  # node ids that it is about, named ones first
    site: str | None  # where it lies, as the question or the patient says
    question: str  # stands alone
    in_scope: bool
    why_out: str  # one or two sentences that say what can be asked; "" in scope
    supposed: PatientContext | None = (
        None  # the patient with what the question supposes; None where it supposes nothing
    )
    aspects: tuple[str, ...] = ()  # of `aspects.ASPECTS`, narrower than the intent, the surest of the whole first
    is_confirmed: bool = False  # it speaks of what tissue has shown
    often: tuple[str, ...] = ()  # ids of the entries of `faq` that it is, at most two
    suspected: str = ""  # the node that the first question takes the lesion for, where it is not the leading one


def of_intent(asked: Understood, intent: str) -> Understood:
    """The same with the intent that the visitor says it has; aspects of others are dropped."""
    fitting = tuple(aspect for aspect in asked.aspects if OF_CONDITIONS.get(aspect) == intent)
    return replace(asked, intent=intent, aspects=fitting, in_scope=True, why_out="")


@dataclass(frozen=True)
class Question:
    """A question that stands alone, and what the graph makes of it."""

    text: str
    mentions: tuple[Mention, ...]
    conditions: frozenset[str]  # node ids of the conditions among them
    relations: frozenset[str]  # that its words name
    contrast: bool  # asks what tells one thing from another
    bare: str  # the text with "it" for each condition


@dataclass(frozen=True)
class Embedded:
    """What a question means, as vectors of length 1."""

    whole: np.ndarray  # (384,)
    parts: np.ndarray  # (parts, 384), of the bare question and of what it falls into
    texts: tuple[str, ...] = ()  # the same in words


@dataclass(frozen=True)
class Reading:
    """All that retrieval needs of a question."""

    understood: Understood
    asked: Question
    meant: Embedded | None  # None without search by meaning
    patient: PatientContext | None  # as told, with what the question supposes instead
    wants: np.ndarray | None = None  # (16,) the shares of the intents, in the order of `INTENTS`; None likewise


def understand(
    graph: Graph,
    question: str,
    *,
    earlier: Sequence[str] = (),
    differential: Sequence[str] = (),
    context: PatientContext | None = None,
) -> Understood:
    """`earlier`: the questions before, oldest first; `differential`: class codes or node ids, likeliest first."""
    return read(graph, question, earlier=earlier, differential=differential, context=context, answered=True).understood


def read(
    graph: Graph,
    question: str,
    *,
    earlier: Sequence[str] = (),
    differential: Sequence[str] = (),
    context: PatientContext | None = None,
    semantic: bool = True,
    answered: bool = False,
) -> Reading:
    """As `understand`, with what was worked out on the way; `semantic=False` leaves the embeddings out, `answered` asks
    which entries of `faq` it is.
    """
    question = unabridged(question)
    earlier = [unabridged(text) for text in earlier]
    nodes = diagnosis_nodes(graph, differential)
    semantic = semantic and bool(question.strip()) and embed.available()
    standing = stand_alone(graph, question, earlier=earlier, nodes=nodes, beside=_beside(graph, semantic=semantic))
    index, asked = index_of(graph), heard(graph, standing.text)
    meant = embedded(asked) if semantic else None
    wants = None
    if meant:
        wants = _wants(asked, meant.parts[0]) if standing.asks == standing.text else _wants(heard(graph, standing.asks))
    aspects = _aspects(graph, question, standing, meant) if meant else ()
    intent = _intent(asked, wants)
    if _TELLS.search(question) and earlier and any(graph.node(m.id).kind in SEEN_OR_FELT for m in asked.mentions):
        aspects = ((TOLD, 1.0),)
    if _IS_IT.search(question) and asked.conditions:
        aspects = ((IS_IT, 1.0),)
    if _sets_apart(graph, asked):
        aspects, intent = (), "compare"
    if aspects and _is_surer(*aspects[0]):
        intent = OF_CONDITIONS.get(aspects[0][0], intent)
    conditions = _about(graph, asked, intent, topic=standing.topic, nodes=nodes)
    suspected = _suspected(graph, earlier, nodes)
    often: tuple[str, ...] = ()
    if meant and answered:
        often = _often(graph, meant, asked, (*conditions[:1], *asked.conditions, suspected))
    out = "" if often or (nodes and is_of_the_reading(question)) else _why_out(graph, index, asked, meant)
    patient = _supposed(graph, standing.text, context)
    return Reading(
        Understood(
            intent=intent,
            conditions=conditions,
            site=patient.site if patient else None,
            question=standing.text,
            in_scope=not out,
            why_out=out,
            supposed=supposed(graph, question, context, told=TOLD in dict(aspects)),
            aspects=tuple(dict(aspects)),
            is_confirmed=bool(_CONFIRMED.search(standing.text)),
            often=often,
            suspected=suspected,
        ),
        asked,
        meant,
        patient,
        wants,
    )


def unabridged(question: str) -> str:
    """A question with the abbreviations of notes written out."""
    for short, word in SHORT_FOR:
        question = short.sub(word, question)
    return question


# --- what it says -------------------------------------------------------------------------


def heard(graph: Graph, question: str) -> Question:
    low = question.lower()
    mentions = tuple(link(graph, question))
    conditions = [mention for mention in mentions if graph.node(mention.id).kind == "Disease"]
    doubted = any(mention.status == "uncertain" for mention in conditions) and not asks_whether(question)
    suspects = doubted or bool(conditions and warns(question))
    if suspects:  # what to do about what is only suspected is no treatment: who must see it, and when
        low = _of_a_suspicion(low)
    relations = {name for said in SAID if said.pattern.search(low) for name in said.relations}
    relations |= {"refer_if"} if suspects else set()
    bare = replaced(graph, question, mentions, "it")
    return Question(
        _of_a_suspicion(question) if suspects else question,
        mentions,
        conditions=frozenset(mention.id for mention in conditions),
        relations=frozenset(relations),
        contrast=bool(CONTRAST.search(low)),
        bare=_of_a_suspicion(bare) if suspects else bare,
    )


def _of_a_suspicion(question: str) -> str:
    """'I cannot exclude it. What should I do?' -> 'I may be it. How urgent is the referral?'"""
    return re.sub(WHAT_TO_DO, "how urgent is the referral", plainly(question), flags=re.IGNORECASE)


def replaced(graph: Graph, text: str, mentions: Sequence[Mention], word: str) -> str:
    """The text with a word in place of each condition that it names."""
    for mention in reversed(mentions):
        if graph.node(mention.id).kind == "Disease":
            text = f"{text[: mention.start]}{word}{text[mention.end :]}"
    return text


def embedded(asked: Question) -> Embedded:
    texts = texts_of(asked)
    *found, whole = questions.encode([*texts, asked.text])
    return Embedded(whole, np.array(found), texts)


def texts_of(asked: Question) -> tuple[str, ...]:
    """The bare question and the parts that it falls into, each once."""
    parts = [text for text in _PARTS.split(asked.bare) if len(text.split()) >= SHORTEST_PART]
    return tuple(dict.fromkeys((asked.bare, *parts)))


# --- what it wants ------------------------------------------------------------------------


def _beside(graph: Graph, *, semantic: bool) -> Callable[[str], bool]:
    """Whether a question sets what it names beside the lesion: "what kept seborrheic keratosis from being first?"."""

    def told(text: str) -> bool:
        vector = _encoded((asked := heard(graph, text)).bare)
        is_it = bool(_IS_IT.search(text)) or shares(vector[None])[0][0] == IS_IT
        return is_it or _intent(asked, _wants(asked, vector)) in ABOUT_THE_CASE

    return told if semantic else contrasts


def _wants(asked: Question, bare: np.ndarray | None = None) -> np.ndarray:
    """(16,) the shares of the intents; all is prognosis where rule `nature` holds. `bare`: the bare question."""
    if _NATURE.search(asked.bare):
        return np.array([intent == "prognosis" for intent in questions.labels()["intents"]], dtype=float)
    vector = _encoded(asked.bare) if bare is None else bare
    shares: np.ndarray = questions.intents(vector[None])[0]
    return shares


@remembered(2000)  # what was asked before is asked for again with every question
def _encoded(text: str) -> np.ndarray:
    """(384,)"""
    found: np.ndarray = questions.encode([text])[0]
    return found


def _intent(asked: Question, wants: np.ndarray | None) -> str:
    """The likeliest intent, but for two that must be asked for in so many words."""
    if wants is None:
        return next((said.intent for said in SAID if said.pattern.search(asked.text.lower())), "other")
    if _DEFINES.search(asked.text) or (asked.conditions and _WHAT_IS_IT.search(asked.bare)):
        return "what_is"
    if _SAYS_MIND.search(asked.text):
        return "change_of_mind"
    names: list[str] = [questions.labels()["intents"][place] for place in np.argsort(-wants)]
    if names[0] == "change_of_mind" and not _MIND.search(asked.text):
        return next(name for name in names if name not in ABOUT_THE_CASE)
    return names[0]


def _aspects(graph: Graph, question: str, standing: Standing, meant: Embedded) -> tuple[tuple[str, float], ...]:
    """Of the whole question, else of its parts. One that leans on another has its own, or that of the other: "and on
    the scalp?" and "if it bled?" change the case, and ask what was asked before.
    """
    if standing.asks == standing.text:
        return _heard_in(meant.parts)
    changed = sites_in(graph, question) or supposed(graph, question, None)
    own = () if changed else _heard_in(_encoded(heard(graph, question).bare)[None])
    return own or _heard_in(_encoded(heard(graph, standing.asks).bare)[None])


def _sets_apart(graph: Graph, asked: Question) -> bool:
    """Rule `or`: two conditions by name with hardly a word besides: "melanoma or pigmented BCC?", "SK vs AK"."""
    if len(kinds_of(graph, asked.mentions)) < 2:
        return False
    if _DIFFER.search(asked.text):
        return True
    if not _OR.search(asked.text):
        return False
    parts = [part for part in re.split(r"(?<=[?.!])\s", asked.text) if len(kinds_of(graph, link(graph, part))) > 1]
    bare = " ".join(replaced(graph, part, link(graph, part), "it") for part in parts)
    return (
        bool(parts)
        and len([token for token in tokens(bare) if token.raw.lower() not in ("it", "or", "vs")]) <= WORDS_BESIDE
    )


def _often(graph: Graph, meant: Embedded, asked: Question, nodes: Sequence[str]) -> tuple[str, ...]:
    """The entries of `faq` that it is: one for the whole, or one for each of two parts."""
    topics = {key for node in nodes if node for key in (node, PRINCIPAL.get(node, node), *graph.ancestors(node))}
    unsaid = frozenset(stem for mention in asked.mentions for stem in stems(mention.text))
    found = faq.asked_often(faq.meant(meant.texts, meant.parts, meant.whole), topics, unsaid=unsaid)
    sure = [one for one in found if one.share >= ASKED_OFTEN]
    others = [one for one in sure[1:] if one.text not in (0, sure[0].text) and sure[0].text]
    return tuple(one.entry.id for one in (*sure[:1], *others[:1]))


def _suspected(graph: Graph, earlier: Sequence[str], nodes: Sequence[str]) -> str:
    """The one condition that the first question names, where it is not what leads; "" else."""
    kinds = kinds_of(graph, conditions_in(graph, earlier[0])) if earlier else ()
    family = {key for node in nodes[:1] for key in (node, *graph.family(node), *graph.ancestors(node))}
    return kinds[0] if len(kinds) == 1 and kinds[0] not in family else ""


def _is_surer(aspect: str, share: float) -> bool:
    """Whether an aspect is heard more surely than an intent."""
    return share >= SURER or aspect == "plainly"


def _heard_in(vectors: np.ndarray) -> tuple[tuple[str, float], ...]:
    """(n, 384) a question and its parts -> its aspects, at most two, each once; that of a part counts as just heard."""
    (whole, share), *parts = shares(vectors)
    found = {whole: share} if share >= HEARD else {}
    for part, sure in parts:
        if sure >= HEARD_IN_A_PART:
            found.setdefault(part, HEARD)
    found.pop(NONE, None)
    return tuple(found.items())[:MOST_ASPECTS]


def _about(graph: Graph, asked: Question, intent: str, *, topic: str | None, nodes: Sequence[str]) -> tuple[str, ...]:
    """Named conditions, then those of the case where they are set beside each other; else the topic or the leader."""
    named = list(dict.fromkeys(mention.id for mention in conditions_in(graph, asked.text)))
    of_the_case = {key for node in nodes for key in (*graph.family(node), *graph.ancestors(node))}
    either = _EITHER.search(asked.bare) and (not named or not of_the_case.isdisjoint(named))
    beside = intent in ABOUT_THE_CASE or either
    if beside and len(named) < 2:
        return tuple(dict.fromkeys((*named, *nodes[: 2 - len(named)])))
    return tuple(named) or ((topic,) if topic else tuple(nodes[:1]))


def supposed(
    graph: Graph, question: str, context: PatientContext | None, *, told: bool = False
) -> PatientContext | None:
    """The patient with the site, age and complaints that a question supposes ("and if it had bled?"), or, where it is
    one that tells something (`told`), that it says; None where there is nothing, or nothing new.
    """
    begins = _IF.search(question)
    if begins is None and not told:
        return None
    before = context or PatientContext()
    text = question[begins.start() if begins else 0 :]
    said = [name for name, pattern in COMPLAINTS.items() if pattern.search(text) and not turns(text)]
    symptoms = tuple(dict.fromkeys((*before.symptoms, *said)))
    patient = replace(_supposed(graph, text, before, counted=told) or before, symptoms=symptoms)
    return None if patient == before else patient


def told_in(graph: Graph, questions: Sequence[str], context: PatientContext) -> PatientContext:
    """The patient with the complaints, the age and the site that were told with the first question, and with later ones
    that tell something new; what is asked or supposed tells nothing.
    """
    telling = [text for place, text in enumerate(questions) if place == 0 or _TELLS.search(text)]
    for text in telling:
        if not _IF.search(text):
            context = supposed(graph, _QUESTION.sub("", text), context, told=True) or context
    return context


def _supposed(
    graph: Graph, text: str, context: PatientContext | None, *, counted: bool = False
) -> PatientContext | None:
    """The patient as told, with the site and the age that the question supposes. `counted`: only an age in years, since
    "since I was a child" tells of no child.
    """
    sites = sites_in(graph, text)
    aged = _AGED.search(text) or _OF_AGE.search(text)
    ages = [int(aged[1])] if aged else [age for pattern, age in AGES if pattern.search(text) and not counted]
    told = context or PatientContext()
    patient = replace(
        told,
        site=sites[-1].text if sites else told.site,
        age=ages[0] if ages else told.age,
        diameter=_diameter(text) or told.diameter,
    )
    return context if patient == told else patient


def _diameter(text: str) -> float | None:
    """In millimetres, the greater of two: "9 x 7 mm", "1.2cm"; None where no size of the lesion is told."""
    for said in _SIZE.finditer(text):
        if not _NO_SIZE.search(text[: said.start()]):
            sides = [float(side.replace(",", ".")) for side in said.groups()[:2] if side]
            return max(sides) * (10 if said[3].lower() == "cm" else 1)
    return None


# --- whether anything here answers it -----------------------------------------------------


def _why_out(graph: Graph, index: FactIndex, asked: Question, meant: Embedded | None) -> str:
    """Why it is out of scope, and what can be asked; "" where it is in scope."""
    text = asked.text.strip()
    kind = "out_task" if _ORDER.search(text) else "out_medicine" if _OF_OTHERS.search(text) else ""
    kind = kind or (_kind(graph, index, asked, meant) if text else "")
    if kind:
        return f"{WHY_OUT[kind]} {CAN_ASK}"
    stranger = _stranger(index, asked)
    return f"The knowledge here holds no facts about {stranger}. {CAN_ASK}" if stranger else ""


def _kind(graph: Graph, index: FactIndex, asked: Question, meant: Embedded | None) -> str:
    """The kind of question beside the skin that it is; "" for one about the skin."""
    if meant is None:
        return ""
    told = dict(zip(questions.labels()["scope"], questions.scope(meant.whole[None])[0].tolist(), strict=True))
    strange = 1 - told.pop(IN_SCOPE)
    least = SURE_NAMED if _DIFFER.search(asked.text) else _sure(graph, index, asked)
    if strange > least or (least < SURE_NAMED and _is_foreign(index, asked, meant)):
        return max(told, key=lambda kind: told[kind])
    return _strange_part(asked, strange) if least < SURE_NAMED else ""


def _strange_part(asked: Question, strange: float) -> str:
    """Rule `part`: a sentence that is surely about something else, where the whole and what is asked are doubtful and
    nothing of the skin is named: "he's had a sore throat for 4 days. Does he need antibiotics?".
    """
    parts = [text for text in _SENTENCES.findall(asked.text) if len(text.split()) >= SHORTEST_PART]
    if strange < DOUBTFUL or len(parts) < 2:
        return ""
    shares = questions.scope(questions.encode(parts))
    names = questions.labels()["scope"]
    within = shares[:, names.index(IN_SCOPE)]
    place = int(within.argmin())
    if within[-1] > 1 - ASKED_DOUBTFUL:  # what is asked stands last
        return ""
    told = dict(zip(names, shares[place].tolist(), strict=True))
    return max(told, key=lambda kind: told[kind]) if 1 - told[IN_SCOPE] > SURE_PART else ""


def _is_foreign(index: FactIndex, asked: Question, meant: Embedded) -> bool:
    """Rule `foreign`: words that neither the facts nor people's questions on the skin have, and no aspect is heard."""
    said = {stem for stem in stems(asked.text) if stem not in FREQUENT and not stem.isdigit()}
    foreign = [stem for stem in said if not index.words.knows_all({stem}) and stem not in _usual_words()]
    if len(foreign) < FOREIGN or len(foreign) < FOREIGN_SHARE * len(said):
        return False
    return float(questions.aspects(meant.parts[:1])[0, :-1].max()) < UNHEARD


@cache
def _usual_words() -> frozenset[str]:
    """Stems that two people at least use who ask about the skin."""
    texts = [text for label, text in said_of("intent") if not is_out(label)] + [text for _, text in said_of("aspect")]
    found = Counter(stem for text in texts for stem in set(stems(text)))
    return frozenset(stem for stem, count in found.items() if count > 1)


def _sure(graph: Graph, index: FactIndex, asked: Question) -> float:
    """How strange it must be to be out of scope."""
    if any(_is_of_skin(graph.node(mention.id)) for mention in asked.mentions):
        return SURE_NAMED
    complaints = (pattern for name, pattern in COMPLAINTS.items() if name != "hurts")  # a throat can be sore, too
    if _LESION.search(asked.text) or any(pattern.search(asked.text) for pattern in complaints):
        return SURE_NAMED
    if len(tokens(asked.text)) <= SHORT and index.words.knows_all(set(stems(asked.text)) - FREQUENT):
        return SURE_SHORT
    return SURE_POINTS if _POINTS.search(asked.text) else SURE


def _is_of_skin(node: Node) -> bool:
    """Not those that only hold the hierarchy together: "cancer" names no condition of the skin."""
    return node.kind in NAMES_SKIN and (node.kind != "Disease" or node.tier > 0)


def _stranger(index: FactIndex, asked: Question) -> str:
    """Rule `stranger`: a medicine that no fact knows; or an illness, in a question that names nothing else."""
    for token in tokens(asked.text):
        if _DRUG.match(token.raw) and not index.words.known_share(token.raw):
            return token.raw
    if asked.mentions:
        return ""
    for token in tokens(asked.text):
        if _ILLNESS.match(token.raw) and not index.words.known_share(token.raw):
            return token.raw
    return ""
