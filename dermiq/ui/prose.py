"""A model's text as HTML: reasoning steps, citation chips, verdict marks. Knows no gradio.

The text may still be growing, so every function accepts a text that is cut anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dermiq.knowledge.language.citation import CITATION, numbers
from dermiq.language import N_, _, ngettext
from dermiq.types import Claim, Evidence, EvidenceItem, Fact, Finding, Verdict
from dermiq.ui.facts import card_of, source_lines
from dermiq.ui.markup import as_sourced, capital, fill, join

_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_STEP = re.compile(r"^\s*(?:\*\*)?(\d{1,2})[.)]\s*(?:\*\*)?\s*(?:([A-Z][\w -]{2,28}?)(?:\*\*)?:(?:\*\*)?\s*)?")
_TAG = re.compile(r"</?(?:think|answer)>", re.IGNORECASE)
_CUT_TAG = re.compile(r"</?[a-z]{0,6}$", re.IGNORECASE)


@dataclass(frozen=True)
class Standing:
    """A verdict on the page: its sign, its name, and what is said of the sentence to who hears the page."""

    sign: str
    word: str
    said: str


VERDICTS: Mapping[Verdict, Standing] = {
    "supported": Standing("✓", N_("supported"), N_("This sentence is supported")),
    "contradicted": Standing("✕", N_("contradicted"), N_("This sentence is contradicted")),
    "another_condition": Standing("≠", N_("about another condition"), N_("This sentence is about another condition")),
    "wrong_citation": Standing("#", N_("cites the wrong fact"), N_("This sentence cites the wrong fact")),
    "not_covered": Standing("?", N_("not covered"), N_("This sentence is not covered")),
}


@dataclass(frozen=True)
class Parts:
    """A text, as far as it has come. `thinking`: the reasoning is still open."""

    reasoning: str
    answer: str
    prose: str
    thinking: bool


def split_text(text: str) -> Parts:
    """Reasoning, answer and prose of a text that may still be growing."""
    if text and not text.endswith(">"):
        text = _CUT_TAG.sub("", text)
    lower = text.lower()
    reasoning, thinking, rest = "", False, text
    start = lower.find("<think>")
    if start >= 0:
        end = lower.find("</think>", start)
        answer_start = lower.find("<answer>", start)
        if end < 0 and answer_start >= 0:  # the closing tag was forgotten
            reasoning, rest = text[start + 7 : answer_start], text[answer_start:]
        elif end < 0:
            reasoning, rest, thinking = text[start + 7 :], text[:start], True
        else:
            reasoning, rest = text[start + 7 : end], text[:start] + text[end + 8 :]
    answer, prose = "", rest
    found = re.search(r"<answer>(.*?)(</answer>|$)", rest, re.IGNORECASE | re.DOTALL)
    if found:
        answer, prose = found.group(1), rest[: found.start()] + rest[found.end() :]
    return Parts(_TAG.sub("", reasoning).strip(), _TAG.sub("", answer).strip(), _TAG.sub("", prose).strip(), thinking)


def plain(text: str) -> str:
    """The text without tags, as "copy" and the conversation's history give it."""
    parts = split_text(text)
    return "\n\n".join(
        p for p in (parts.reasoning, f"Answer: {parts.answer}" if parts.answer else "", parts.prose) if p
    )


def steps(reasoning: str) -> list[tuple[str, str]]:
    """(label, text) of every numbered step; unnumbered text is a step without a label."""
    found: list[tuple[str, str]] = []
    for line in reasoning.splitlines():
        if not line.strip():
            continue
        match = _STEP.match(line)
        if match:
            found.append((match.group(2) or "", line[match.end() :].strip()))
        elif found:
            label, text = found[-1]
            found[-1] = (label, f"{text}\n{line.strip()}".strip())
        else:
            found.append(("", line.strip()))
    return found


# --- where a claim stands in the text ---------------------------------------------------


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits alone, lower case, and where each stood; citations are left out."""
    spans = [m.span() for m in CITATION.finditer(text)]
    letters, places = [], []
    inside = iter(spans)
    span = next(inside, None)
    for place, char in enumerate(text):
        while span and place >= span[1]:
            span = next(inside, None)
        if span and span[0] <= place:
            continue
        if char.isalnum():
            for folded in char.casefold():
                letters.append(folded)
                places.append(place)
    return "".join(letters), places


def locate(text: str, claims: Sequence[Claim]) -> list[tuple[int, int, int]]:
    """(start, end, index of the claim) of every claim found in `text`, in order, without overlap."""
    letters, places = _letters(text)
    spans: list[tuple[int, int, int]] = []
    taken = [False] * len(letters)
    for index, claim in enumerate(claims):
        wanted, _ = _letters(claim.text)
        if not wanted:
            continue
        at = letters.find(wanted)
        while at >= 0 and any(taken[at : at + len(wanted)]):
            at = letters.find(wanted, at + 1)
        if at < 0:
            continue
        taken[at : at + len(wanted)] = [True] * len(wanted)
        start, end = places[at], places[at + len(wanted) - 1] + 1
        spans.append((start, _with_ending(text, end), index))
    return sorted(spans)


def _with_ending(text: str, end: int) -> int:
    """`end`, moved past the sentence's own punctuation and the citations that follow it."""
    tail = re.compile(rf"(?:[.!?,;:)\"”’']|\s?%|\s*{CITATION.pattern})*", re.IGNORECASE)
    match = tail.match(text, end)
    return match.end() if match else end


# --- HTML -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sources:
    """What chips and marks point to. `key` keeps the ids of one exchange apart from another's."""

    key: str
    evidence: Evidence
    claims: tuple[Claim, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: tuple[Fact, ...] = ()  # further facts that a claim may name: urgency's, for example
    name: Callable[[str], str] = str  # what the page calls a node of the graph

    def item(self, number: int) -> EvidenceItem | None:
        return next((i for i in self.evidence.items if i.number == number), None)

    def fact(self, fact_id: str) -> Fact | None:
        known = [i.fact for i in self.evidence.items] + list(self.facts)
        return next((f for f in known if f.id == fact_id), None)


_LAST_WORD = re.compile(r"(\S*)\s*\Z")
_CLOSING = re.compile(r"[.,;:!?)”’\"]*")


def inline(text: str, sources: Sources, claim: Claim | None = None) -> Markup:
    """Citations become chips, `**bold**` becomes bold, everything else is escaped.

    A chip stays on the line of the word before it and of the punctuation after it. Numbers that `claim` cites wrongly
    are struck out, the right ones stand behind the first of them.
    """
    out: list[Markup] = []
    mended = list(claim.mended) if claim else []
    position = 0
    groups = list(re.finditer(rf"{CITATION.pattern}(?:\s*{CITATION.pattern})*", text, re.IGNORECASE))
    for match in groups:
        before = text[position : match.start()]
        word = _LAST_WORD.search(before)
        start = word.start() if word and "**" not in word.group() else len(before)
        closing = _CLOSING.match(text, match.end())
        position = closing.end() if closing else match.end()
        out.append(_bold(before[:start]))
        out.append(
            fill(
                '<span class="dq-keep">{word}{chips}{closing}</span>',
                word=_bold(before[start:].rstrip()),
                chips=join(_chips(numbers(match.group()), sources, claim.miscited if claim else (), mended)),
                closing=text[match.end() : position],
            )
        )
    out.append(_bold(text[position:]))
    return join(out)


def _chips(cited: Sequence[int], sources: Sources, wrong: Sequence[int], mended: list[int]) -> Iterator[Markup]:
    """What is put in the place of a wrong number is taken from `mended`, so that it stands once."""
    for number in cited:
        yield chip(number, sources, wrong=number in wrong)
    while mended and set(cited) & set(wrong):
        new = mended.pop(0)
        if new not in cited:
            yield chip(new, sources, instead_of=[number for number in cited if number in wrong])


def _bold(text: str) -> Markup:
    out: list[Markup] = []
    position = 0
    for match in _BOLD.finditer(text):
        out += [Markup.escape(text[position : match.start()]), fill("<strong>{t}</strong>", t=match.group(1))]
        position = match.end()
    out.append(Markup.escape(text[position:]))
    return Markup("<br>").join(join(out).split("\n"))


def chip(number: int, sources: Sources, *, wrong: bool = False, instead_of: Sequence[int] = ()) -> Markup:
    """A citation: a button that opens the fact's card, or a mark that no such fact was given.

    `wrong`: the sentence is not this fact's. `instead_of`: the numbers that the model wrote where this one is right.
    """
    item = sources.item(number)
    if item is None:
        return fill(
            '<span class="dq-chip dq-chip-unknown" title="{title}">{n}?<span class="dq-sr"> ({said})</span></span>',
            title=_("No fact with this number was given to the model"),
            said=_("cites no fact of this case"),
            n=number,
        )
    how = " dq-chip-wrong" if wrong else " dq-chip-mended" if instead_of else ""
    put_right = _("put right: the model wrote {numbers}").format(numbers=_and(instead_of)) if instead_of else ""
    said = _("cited wrongly") if wrong else put_right
    return fill(
        '<button type="button" class="dq-chip{how}" popovertarget="{id}" title="{told}{text}" '
        'aria-label="{fact}{said}: {text}">{n}</button>',
        fact=_("Fact {n}").format(n=number),
        how=how,
        id=f"fact-{sources.key}-{number}",
        n=number,
        said=f", {said}" if said else "",
        told=f"{capital(said)}. " if said else "",
        text=item.fact.text,
    )


def _and(numbers: Sequence[int]) -> str:
    said, *others = map(str, numbers)
    for number in others:
        said = _("{names} and {last}").format(names=said, last=number)
    return said


def marked(text: str, sources: Sources) -> Markup:
    """The text with a verdict mark after every checked sentence."""
    out: list[Markup] = []
    position = 0
    for start, end, index in locate(text, sources.claims):
        out.append(inline(text[position:start], sources))
        claim = sources.claims[index]
        out.append(
            fill(
                '<span class="dq-claim dq-{verdict}">{text}</span>{mark}',
                verdict=claim.verdict,
                text=inline(text[start:end], sources, claim),
                mark=mark(index, sources),
            )
        )
        position = end
    out.append(inline(text[position:], sources))
    return join(out)


def mark(index: int, sources: Sources) -> Markup:
    claim = sources.claims[index]
    standing = VERDICTS[claim.verdict]
    return fill(
        '<button type="button" class="dq-mark dq-{verdict}" popovertarget="{id}" title="{word}{note}" '
        'aria-label="{said}{note}">{sign}</button>',
        verdict=claim.verdict,
        id=f"claim-{sources.key}-{index}",
        word=_(standing.word),
        said=_(standing.said),
        note=f": {claim.note}" if claim.note else "",
        sign=standing.sign,
    )


def counts(claims: Sequence[Claim]) -> Markup:
    """How many sentences stand how, each with its sign: the legend of the marks. Nothing where none was checked."""
    told = [(verdict, sum(claim.verdict == verdict for claim in claims)) for verdict in VERDICTS]
    shown = [
        fill(
            '<span class="dq-keep"><span class="dq-mark dq-{v}" aria-hidden="true">{sign}</span>{n} {word}</span>',
            v=verdict,
            sign=VERDICTS[verdict].sign,
            n=count,
            word=_(VERDICTS[verdict].word),
        )
        for verdict, count in told
        if count
    ]
    mended = sum(bool(claim.miscited and claim.mended) for claim in claims)
    if mended:
        line = ngettext("{n} citation put right", "{n} citations put right", mended).format(n=mended)
        shown.append(fill('<span class="dq-keep">{line}</span>', line=line))
    return Markup(" · ").join(shown)


def paragraphs(text: str, sources: Sources) -> Markup:
    """Blocks of prose; lines that start with a hyphen become a list."""
    blocks = [b for b in re.split(r"\n\s*\n", text) if b.strip()]
    return join(_block(b.strip(), sources) for b in blocks)


def _block(block: str, sources: Sources) -> Markup:
    lines = block.splitlines()
    if all(re.match(r"\s*[-*•]\s+", line) for line in lines):
        items = [re.sub(r"^\s*[-*•]\s+", "", line) for line in lines]
        rows = join(fill("<li>{t}</li>", t=marked(i, sources)) for i in items)
        return fill("<ul{lang}>{rows}</ul>", lang=as_sourced(), rows=rows)
    return fill("<p{lang}>{t}</p>", lang=as_sourced(), t=marked(block, sources))


def reasoning_list(reasoning: str, sources: Sources) -> Markup:
    rows = [
        fill(
            "<li>{label}{text}</li>",
            label=fill("<strong>{label}</strong> ", label=label) if label else "",
            text=marked(text, sources),
        )
        for label, text in steps(reasoning)
    ]
    return fill('<ol class="dq-steps"{lang}>{rows}</ol>', lang=as_sourced(), rows=join(rows))


# --- cards ------------------------------------------------------------------------------


def cards(sources: Sources) -> Markup:
    """One card for every fact and every verdict of an exchange."""
    facts = [_fact_card(item, sources) for item in sources.evidence.items]
    claims = [_claim_card(index, sources) for index in range(len(sources.claims))]
    return join(facts + claims)


def _card(card_id: str, title: str, body: Markup) -> Markup:
    return fill(
        '<div class="dq-card" id="{id}" popover tabindex="-1" role="dialog" aria-label="{title}"><header>'
        "<strong>{title}</strong>"
        '<button type="button" class="dq-close" popovertarget="{id}" popovertargetaction="hide" '
        'aria-label="{close}">✕</button></header>{body}</div>',
        close=_("Close"),
        id=card_id,
        title=title,
        body=body,
    )


def _fact_card(item: EvidenceItem, sources: Sources) -> Markup:
    fact, card_id = item.fact, f"fact-{sources.key}-{item.number}"
    card = card_of(fact, sources.name, closes=card_id)
    rows = [(_("Kind of fact"), fact.relation.replace("_", " "))]
    if fact.polarity == "absent":
        rows.append((_("Says"), _("that this is absent")))
    rows.append((_("Evidence"), fact.evidence_type + (f", n = {fact.n}" if fact.n is not None else "")))
    rows.append((_("Chosen because"), item.reason))
    table = join(fill("<dt>{k}</dt><dd>{v}</dd>", k=k, v=v) for k, v in rows)
    body = fill(
        '<p class="dq-fact-text"{lang}>{text}</p>{source}<dl>{rows}</dl>{onward}',
        lang=as_sourced(),
        text=fact.text,
        source=source_lines([fact]),
        rows=table,
        onward=fill(
            '<p class="dq-onward">{c} <span class="dq-fine">{where}</span></p>', c=card, where=_("in the Knowledge tab")
        )
        if card
        else "",
    )
    return _card(card_id, _("Fact {n}").format(n=item.number), body)


def _claim_card(index: int, sources: Sources) -> Markup:
    claim = sources.claims[index]
    facts = [(fact_id, sources.fact(fact_id)) for fact_id in claim.fact_ids]
    shown = join(
        fill(
            '<p class="dq-fact-text"{lang}>{text}</p>{source}',
            lang=as_sourced(),
            text=f.text,
            source=source_lines([f]),
        )
        if f
        else fill('<p class="dq-fact-text">{line}</p>', line=_("Fact {id} of the graph").format(id=fact_id))
        for fact_id, f in facts
    )
    measured = [f for f in sources.findings if f.code in claim.finding_codes]
    findings = join(fill("<p>{head} {text}</p>", head=_("Measured:"), text=f.text) for f in measured)
    why = claim.note or _default_note(claim)
    body = fill(
        "<blockquote>{claim}</blockquote><p>{why}</p>{facts}{findings}",
        claim=claim.text,
        why=why,
        facts=shown,
        findings=findings,
    )
    return _card(f"claim-{sources.key}-{index}", capital(_(VERDICTS[claim.verdict].word)), body)


def _default_note(claim: Claim) -> str:
    if claim.verdict == "supported":
        return _("The knowledge graph or a measurement says the same.")
    if claim.verdict == "contradicted":
        return _("The knowledge graph or a measurement says otherwise.")
    if claim.verdict == "another_condition":
        return _("The knowledge graph says this of another condition than the one that leads here.")
    if claim.verdict == "wrong_citation":
        return _("The sentence is right, but the fact that it cites says something else.")
    return _("Neither the knowledge graph nor a measurement speaks to this sentence.")
