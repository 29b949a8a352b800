"""Facts with their sources as HTML: what is common to neighbours is said once. Knows no gradio and no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from markupsafe import Markup

from dermiq.knowledge import Graph
from dermiq.knowledge.card import Held
from dermiq.language import N_, _, said
from dermiq.types import Fact
from dermiq.ui.markup import THIN, as_sourced, capital, fill, join, link, number, percent

FEW = 5  # facts of one kind before the rest is folded
SHORT = 16  # characters; a longer licence is said once, at the foot
HOW = {
    "curated": N_("read by hand in the source"),
    "label": N_("label in a data set"),
    "reader study": N_("counted in a reader study"),
    "derived statistic": N_("counted in a data set"),
    "ontology": N_("taken from an ontology"),
    "guideline": N_("guideline"),
}


class Licences:
    """The licences named on one page: a long one is a number at its sources, and its words stand once at the foot."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def tag(self, licence: str) -> Markup:
        if len(licence) <= SHORT:
            return fill('<span class="dq-licence">{l}</span>', l=licence)
        place = self._numbers.setdefault(licence, len(self._numbers) + 1)
        return fill('<span class="dq-licence" title="{l}">{n}</span>', l=licence, n=_("licence {n}").format(n=place))

    def note(self) -> Markup:
        """What the numbers stand for; to be asked when every tag of the page is made."""
        if not self._numbers:
            return Markup("")
        rows = join(fill(" <strong>{n}</strong> {l}.", n=n, l=capital(text)) for text, n in self._numbers.items())
        head = _("Licences of the sources:")
        return fill('<p class="dq-fine dq-licences" role="note">{head}{r}</p>', head=head, r=rows)


def folded(title: str, body: Markup) -> Markup:
    return fill('<details data-open="no"><summary>{title}</summary>{body}</details>', title=title, body=body)


def fact_list(graph: Graph, facts: Sequence[Held], licences: Licences, *, few: int = FEW) -> Markup:
    """Facts with their sources; those after the first `few` are folded."""
    if len(facts) <= few + (few > 1):  # in a long list, folding a single fact saves nothing
        return _list(graph, facts, licences)
    rest = folded(_("{n} more").format(n=len(facts) - few), _list(graph, facts[few:], licences))
    return join([_list(graph, facts[:few], licences), rest])


def _list(graph: Graph, facts: Sequence[Held], licences: Licences) -> Markup:
    groups = (list(group) for _, group in groupby(facts, key=_provenance))
    return fill('<ul class="dq-facts">{rows}</ul>', rows=join(_group(graph, group, licences) for group in groups))


def _provenance(held: Held) -> tuple[str, str]:
    return held.fact.source.id, held.fact.evidence_type


def _group(graph: Graph, group: Sequence[Held], licences: Licences) -> Markup:
    """Neighbours of one source: the source stands once, under them; a place in it that differs stands at its fact."""
    where = {place(h.fact) for h in group}
    shared = where.pop() if len(where) == 1 else ""
    said = [_said(graph, h, "" if shared else place(h.fact)) for h in group]
    facts = (
        said[0] if len(said) == 1 else fill("<ul>{rows}</ul>", rows=join(fill("<li>{f}</li>", f=fact) for fact in said))
    )
    return fill(
        "<li>{facts}{source}</li>", facts=facts, source=_source(graph, [h.fact for h in group], shared, licences)
    )


def _said(graph: Graph, held: Held, where: str) -> Markup:
    """The sentence, whose fact it is, whether it says absent, and what its sentence leaves out of its numbers."""
    fact = held.fact
    details = [
        f"({where})" if where else "",
        *(said(part) for part in _numbers(graph, fact) if not _says(fact.text, part)),
    ]
    at = " · ".join(part for part in details if part)
    return fill(
        '<p class="dq-said"{lang}>{text} {tags}{at}</p>',
        lang=as_sourced(),
        text=fact.text,
        tags=join(_tags(graph, held), " "),
        at=fill(' <span class="dq-how">{at}</span>', at=at) if at else "",
    )


def _tags(graph: Graph, held: Held) -> list[Markup]:
    fact, numbers = held.fact, graph.numbers(held.fact.id)
    tags = []
    if fact.polarity == "absent":
        lacks = _("absent or rare") if numbers.probability else _("absent")
        tags.append(fill('<span class="dq-tag dq-tag-absent">{l}</span>', l=lacks))
    if held.standing != "own":
        of = _("inherited from") if held.standing == "inherited" else _("subtype:")
        tags.append(fill('<span class="dq-tag">{of} {name}</span>', of=of, name=graph.node(held.holder).name))
    if numbers.qualifier:
        how = _("can also occur") if graph.is_pitfall(fact) else numbers.qualifier
        tags.append(fill('<span class="dq-tag">{how}</span>', how=how))
    return tags


def _numbers(graph: Graph, fact: Fact) -> list[str]:
    numbers = graph.numbers(fact.id)
    found = [f"n = {fact.n}"] if fact.n is not None else []
    if numbers.probability is not None:
        found.append(percent(numbers.probability) if numbers.probability < 1 else f"100{THIN}%")
    if numbers.lift is not None:
        found.append(N_("{n} times the average").format(n=number(numbers.lift)))
    return found


def _says(text: str, part: str) -> bool:
    """Whether the sentence itself holds the number: "29 %", "1.5 times", "of 169 cases"."""
    figure = re.sub(r"\s", " ", part).removeprefix("n = ").removesuffix(" the average")
    after = " cases" if part.startswith("n = ") else ""
    return re.search(rf"(?<![\d.,]){re.escape(figure + after)}(?!\d)", re.sub(r"\s", " ", text)) is not None


def _source(graph: Graph, facts: Sequence[Fact], where: str, licences: Licences) -> Markup:
    first = facts[0]
    checked = dict.fromkeys(filter(None, (graph.numbers(fact.id).checked for fact in facts)))
    how = ", ".join([_(HOW.get(first.evidence_type, first.evidence_type)), *checked])
    return fill(
        '<p class="dq-source">{all}{title}{where} · {how} {licence}</p>',
        all=fill('<span class="dq-sr">{s} </span>', s=_("Source of these {n} facts:").format(n=len(facts)))
        if len(facts) > 1
        else "",
        title=link(first.source.url, first.source.title),
        where=f", {where}" if where else "",
        how=how,
        licence=licences.tag(first.source.licence),
    )


def card_of(fact: Fact, name: Callable[[str], str], *, closes: str = "") -> Markup:
    """A way to the card of the condition that the fact is about; nothing where the graph does not have it.

    `name`: what the page calls a node, its id where it is unknown. `closes`: the popover that goes at that.
    """
    condition = name(fact.subject)
    if condition == fact.subject:
        return Markup("")
    return fill(
        '<button type="button" class="dq-link" data-event="open" data-text="{id}"{hide}>{name}</button>',
        id=fact.subject,
        hide=fill(' popovertarget="{c}" popovertargetaction="hide"', c=closes) if closes else "",
        name=_("Card of {condition}").format(condition=condition),
    )


# --- where in a source ------------------------------------------------------------------------


def place(fact: Fact) -> str:
    """The fact's place in its source, without the title where the place repeats it."""
    return fact.locator.removeprefix(fact.source.title).lstrip(",; ")


def source_lines(facts: Iterable[Fact]) -> Markup:
    """Each source once, with every place in it and its licence in full."""
    by_source: dict[str, list[Fact]] = {}
    for fact in facts:
        by_source.setdefault(fact.source.id, []).append(fact)
    return join(
        fill(
            '<p class="dq-source">{title}{where} <span class="dq-licence">{licence}</span></p>',
            title=link(group[0].source.url, group[0].source.title),
            where=f", {where}" if (where := places([place(fact) for fact in group])) else "",
            licence=group[0].source.licence,
        )
        for group in by_source.values()
    )


def places(found: Sequence[str]) -> str:
    """Several places in one source in short: "table row 3", "table row 4" becomes "table row 3, 4"."""
    by_name: dict[str, list[str]] = {}
    for text in dict.fromkeys(filter(None, found)):
        match = re.fullmatch(r"(.*\D)(\d+)", text)
        name, figure = match.groups() if match else (text, "")
        by_name.setdefault(name, []).append(figure)
    return "; ".join(name + ", ".join(figures) for name, figures in by_name.items())
