"""Questions that lean on those before them, made to stand alone: "and if it were on the scalp?", "and for the other
one?", "what about a child?". What was asked before stays, what is new replaces. Knows names, words and no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.link import Mention, link
from dermiq.knowledge.language.text import word_set, words
from dermiq.knowledge.retrieve.intents import CONTRAST

_WHO = (
    r"child(?:ren)?|kids?|toddlers?|bab(?:y|ies)|infants?|newborns?|teenagers?|adolescents?|adults?|elderly|old(?:er)?|"
    r"young(?:er)?|man|men|wom[ae]n|boys?|girls?|pregnan\w+|breast-?feeding|\d+[- ]years?(?:[- ]olds?)?|years|old"
)
WHO = re.compile(rf"\b(?:{_WHO})\b", re.IGNORECASE)
"""Words that say who has it."""
_OF_WHOM = re.compile(rf"(?:,\s*(?:if|in|for)?|\b(?:in|for))\s[^,]*?\b(?:{_WHO})\b[^,]*$", re.IGNORECASE)
_LIKE = re.compile(r"\b(?:like|(?<!rather )than|as with|similar to)(?: an?| the)? $", re.IGNORECASE)
_RELATIVE = (
    r"(?:aunt|uncle|mum|mom|dad|mother|father|brother|sister|cousin|friend|neighbou?r|gran(?:ny|n?a|d\w+)?|nan|wife|husband|son"
    r"|daughter)(?:'s)?"
)
_HAD = re.compile(
    r"\b(?:had|has had|have had|died of|history of|known for"
    rf"|{_RELATIVE}(?: \w+)? (?:has|got|gets|turned|was told))\b[^.?!;]{{0,60}}$",
    re.IGNORECASE,
)
"""What somebody had once is told by the way."""
_ONE = r"(?:one|diagnosis|candidate|condition|possibility)"
OTHER_ONE = re.compile(
    rf"\bthe other(?: {_ONE}\b|(?=\s*(?:$|[?.!,])))"
    rf"|\bthe (?:second|alternative|runner-up)(?: {_ONE})?(?=\s*(?:$|[?.!,]))",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^\s*(?:(?:and|but|or|so|then|also|ok(?:ay)?|now|well|yes|no|even|thanks?|please)\b[\s,.:]*)*"
    r"(?:(?:what|how) about|what if|same (?:question )?(?:for|about|with)|(?:and )?as for)?[\s,:]*",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"^\W*(?:(?:and|but|so|ok(?:ay)?)\W+)?(?:what|how) about\b(?!\s+(?:on|in|at|for|with|if|when)\b)", re.IGNORECASE
)
_SUPPOSES = re.compile(
    r"^\s*(?:and|but|or|so|then|,|\s)*(?:what if|if|suppose|supposing|assuming"
    r"|say(?=,|\s+(?:it|this|he|she|they)(?:'[sd]|\s+(?:is|was|were|had|has|got|start\w*|bled|bleeds|grew|itche[sd]|lay))\b)"
    r"|(?:and|but) "
    r"(?:for|in|on|at|with|when|during|without|after|under|above|below))\b",
    re.IGNORECASE,
)
"""How a mere change of the case begins: "and if", "and for a thicker one"."""
_ASKS = re.compile(
    r"\b(?:how|why|what|which|who|whom|where|when must|when should|can|could|does|do|should|shall|must|need|"
    r"would (?:it be|that|this|you)|may)\b",
    re.IGNORECASE,
)
_GLUE = word_set(
    "it were wa was is be are on in at of for with the a an this that these same to had has have if he she they his "
    "her my patient person somebody someone people lie sat lay sit place instead rather case lesion one spot skin side "
    "during who very there about us me i old year and or then but also what how question too even only just"
)
_PLACE = re.compile(
    r"(?:,\s*)?(?:\b(?:and\s+)?(?:if|when)\b[^,]*?)?\b(?:on|in|at|of|from|near|behind)\s+"
    r"(?:the|my|his|her|a|their)?\s*$"
)
_PRONOUN = re.compile(r"\b(it|they|them|this one|that one)\b", re.IGNORECASE)
_POSSESSIVE = re.compile(r"\b(its|their)\b", re.IGNORECASE)
_THIS = re.compile(
    r"\b(?:this|these|that)\b(?! (?:drug|treatment|cream|condition|disease))|\b(?:mine|here|picture|photo|image|lesion|"
    r"my (?:spot|mole|skin|lesion)|your (?:answer|diagnosis|opinion))\b",
    re.IGNORECASE,
)
"""Words by which a question is about the lesion in the image again."""


@dataclass(frozen=True)
class Standing:
    """A question that stands alone, and the condition that the conversation is about where it names none."""

    text: str
    topic: str | None = None  # node id; None: the lesion itself
    asks: str = ""  # the question whose intent it has: the one that it leans on, else itself
    named: tuple[str, ...] = ()  # conditions that were spoken of so far, in order, each once


def contrasts(text: str) -> bool:
    """Whether a question sets a condition beside another by its words."""
    return bool(CONTRAST.search(text.lower()))


def stand_alone(
    graph: Graph,
    question: str,
    *,
    earlier: Sequence[str],
    nodes: Sequence[str],
    beside: Callable[[str], bool] = contrasts,
) -> Standing:
    """`earlier`: the questions before, oldest first; `nodes`: the differential's nodes, likeliest first; `beside`:
    whether a question sets the condition that it names beside this lesion, which then stays what is spoken of.
    """
    standing = Standing("")
    for one in (*earlier, question):
        standing = _next(graph, one.strip(), standing, nodes, beside)
    return standing


def conditions_in(graph: Graph, text: str) -> list[Mention]:
    """What it is about: "is it infectious, like a wart?" is no question about warts, nor is "he had radiation for
    ringworm once" one about ringworm."""
    named = [mention for mention in link(graph, text) if graph.node(mention.id).kind == "Disease"]
    return [
        mention for mention in named if not (_LIKE.search(text[: mention.start]) or _HAD.search(text[: mention.start]))
    ]


def kinds_of(graph: Graph, mentions: Sequence[Mention]) -> tuple[str, ...]:
    """The conditions among them, none of which is a kind of another."""
    found = [mention.id for mention in mentions if graph.node(mention.id).kind == "Disease"]
    wider = {above for key in found for above in graph.ancestors(key)}
    return tuple(dict.fromkeys(key for key in found if key not in wider))


def sites_in(graph: Graph, text: str) -> list[Mention]:
    return [mention for mention in link(graph, text) if graph.node(mention.id).kind == "BodySite"]


def _next(graph: Graph, said: str, before: Standing, nodes: Sequence[str], beside: Callable[[str], bool]) -> Standing:
    said = _with_other_named(graph, said, before, nodes)
    leaning = bool(before.text) and leans(graph, said)
    text = _continued(graph, said, before.text) if leaning else said
    if before.topic and not leaning and not _PRONOUN.search(text) and not _POSSESSIVE.search(text):
        before = replace(before, topic=None)  # who goes on about another condition than the lesion's says "it"
    if before.topic and not conditions_in(graph, text) and not _THIS.search(text):
        text = _with_pronoun_named(text, graph.node(before.topic).name)
    mentioned = list(dict.fromkeys(mention.id for mention in conditions_in(graph, text)))
    topic = before.topic
    if len(mentioned) == 1 and not contrasts(text) and (mentioned[0] in nodes[:1] or not beside(text)):
        topic = mentioned[0]
    elif mentioned or _THIS.search(text):
        topic = None
    named = tuple(dict.fromkeys((*before.named, *mentioned)))
    return Standing(text, topic, before.asks if leaning else text, named)


def leans(graph: Graph, said: str) -> bool:
    """Whether a question says only what is different from the one before it."""
    rest = _OPENING.sub("", said, count=1)
    mentions = link(graph, rest)
    if any(graph.node(mention.id).kind in ("Treatment", "Test") for mention in mentions):
        return False
    if len(kinds_of(graph, mentions)) > 1:  # "melanoma or a harmless mole?" asks what tells them apart
        return False
    supposed = _SUPPOSES.match(said)
    if supposed and not _ASKS.search(said[supposed.end() :]):
        return True
    new = [mention for mention in mentions if graph.node(mention.id).kind in ("Disease", "BodySite")]
    if not new and not WHO.search(rest):
        return False
    left = rest
    for mention in reversed(new):
        left = f"{left[: mention.start]} {left[mention.end :]}"
    opened = rest != said
    asks = re.match(r"\s*(?:is|are|was|were|has|have|what|how)\b", rest, re.IGNORECASE)
    return not (set(words(WHO.sub(" ", left))) - _GLUE) and (opened or not asks)


def _with_other_named(graph: Graph, said: str, before: Standing, nodes: Sequence[str]) -> str:
    """The name in place of "the other one", where only one thing is spoken of besides it."""
    if not OTHER_ONE.search(said) or re.search(r"\bfirst\b", said) or conditions_in(graph, said):
        return said
    current = before.topic or (nodes[0] if nodes else None)
    others = [key for key in (*reversed(before.named), *nodes) if key != current]
    return OTHER_ONE.sub(graph.node(others[0]).name, said, count=1) if others else said


def _continued(graph: Graph, said: str, before: str) -> str:
    """The question before, with what is new in place of what it replaces."""
    tail = _OPENING.sub("", said, count=1).strip(" ?.!,")
    if said.lower().lstrip().startswith(("what if", "and what if")):
        tail = f"if {tail}"
    elif _ABOUT.match(said) and not conditions_in(graph, tail):
        tail = f"for {tail}"
    new, sites = conditions_in(graph, tail), sites_in(graph, tail)
    base = before.rstrip(" ?.!")
    if sites:
        base = _without_place(graph, base)
    if WHO.search(tail):
        base = _without_who(base)
    if not new:
        return f"{base}, {tail}?"
    base = _renamed(graph, base, new[0].name)
    rest = f"{tail[: new[0].start]} {tail[new[0].end :]}"
    says_more = sites or WHO.search(rest) or set(words(rest)) - _GLUE
    return f"{base}, {_joined(rest)}?" if says_more else f"{base}?"


def _joined(rest: str) -> str:
    return re.sub(
        r"\s+", " ", re.sub(r"^\s*(?:for|of|with|if it (?:is|were|was))?\s*(?:an?|the)?\s+", "", rest)
    ).strip()


def _renamed(graph: Graph, text: str, name: str) -> str:
    """The text about another condition: in place of those that it names, else of its pronoun, else added."""
    named = conditions_in(graph, text)
    if named:
        one = named[-1 if CONTRAST.search(text.lower()) else 0]
        return f"{text[: one.start]}{name}{text[one.end :]}"
    changed = _with_pronoun_named(text, name)
    if changed != text:
        return changed
    changed = re.sub(r"\b(?:this|that|the) lesion\b|\bthis\b", name, text, count=1, flags=re.IGNORECASE)
    return changed if changed != text else f"{text} for {name}"


def _with_pronoun_named(text: str, name: str) -> str:
    changed = _POSSESSIVE.sub(f"{name}'s", text, count=1)
    return changed if changed != text else _PRONOUN.sub(name, text, count=1)


def _without_place(graph: Graph, text: str) -> str:
    """'How is it treated, if it were on the scalp' -> 'How is it treated'."""
    for mention in reversed(sites_in(graph, text)):
        start = _PLACE.sub("", text[: mention.start])
        if start != text[: mention.start]:
            text = f"{start.rstrip(' ,')}{text[mention.end :]}"
    return text


def _without_who(text: str) -> str:
    """'How is it treated, in a child' -> 'How is it treated'."""
    return _OF_WHOM.sub("", text).rstrip(" ,")
