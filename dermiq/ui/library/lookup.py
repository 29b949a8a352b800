"""The Knowledge tab: what a visitor looks up becomes a page: a card, a comparison, a way on, or a first view.

Everything shown is a fact of the graph with its source. Knows no gradio and no model.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from dermiq.errors import KnowledgeError
from dermiq.knowledge import Graph
from dermiq.knowledge.card import Held, card
from dermiq.knowledge.catalogue import Section, beginnings, confused_pairs, extent, sections
from dermiq.knowledge.compare import compare
from dermiq.knowledge.find import Found, Suggestion, find, kind_of, suggest
from dermiq.knowledge.schema import Node
from dermiq.language import N_, _, ngettext, said
from dermiq.ui.facts import Licences, fact_list, folded
from dermiq.ui.library.card import card_page
from dermiq.ui.library.compared import comparison_page
from dermiq.ui.markup import capital, error_line, fill, join, opener, versus

log = logging.getLogger(__name__)

MAX_TYPED = 120  # characters
WORDS = ("rodent ulcer", "mole", "shingles", "ringworm", "SK", "hives")
"""Lay words and abbreviations that the first view offers, those of them that the graph knows."""
PAIRS = 5
KINDS = (
    *(N_("sign"), N_("symptom"), N_("dermoscopic feature"), N_("treatment"), N_("test"), N_("risk factor")),
    *(N_("body site"), N_("red flag")),
)
"""Of what is no condition; any other kind is named as the graph names it."""
EACH = 2  # of signs, symptoms, treatments


@dataclass(frozen=True)
class Shown:
    """What the tab shows, and what its two fields then say."""

    html: Markup
    first: str
    second: str
    said: str = ""  # aloud, since the focus stays in the field


class Library:
    """The graph of one folder, read when it is first asked for, and its pages."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @cached_property
    def graph(self) -> Graph:
        """KnowledgeError where the folder holds no graph."""
        return Graph.load(self._folder)

    def name(self, node_id: str) -> str:
        """What the page calls a node; an id that the graph does not have stays as it is."""
        try:
            return self.graph.node(node_id).name if node_id in self.graph else node_id
        except KnowledgeError:
            return node_id

    def start(self) -> Markup:
        return self._said(lambda: start(self.graph))

    def suggestions(self, field: str, typed: str | None) -> Markup:
        """For the field `first` or `second`."""
        return self._said(lambda: suggestions(field, suggest(self.graph, (typed or "")[:MAX_TYPED])))

    def look_up(self, first: str | None, second: str | None) -> Shown:
        """A card for one text, a comparison for two, and for a text that is no condition what may be meant."""
        one, other = ((text or "").strip()[:MAX_TYPED] for text in (first, second))
        try:
            return self._look_up(one or other, other if one else "")
        except KnowledgeError as error:
            return Shown(_failed(error), one, other)

    def _look_up(self, one: str, other: str) -> Shown:
        if not one:
            return Shown(start(self.graph), "", "")
        found, against = find(self.graph, one), find(self.graph, other)
        left, right = found.condition, against.condition
        if left is None:
            return Shown(not_found(self.graph, one, found, right=right), one, other)
        if not other:
            return Shown(
                card_page(self.graph, card(self.graph, left.id)),
                left.name,
                "",
                _("Shown: {name}.").format(name=left.name),
            )
        if right is None:
            return Shown(not_found(self.graph, other, against, left=left), left.name, other)
        if left == right:
            line = _("Both names mean {name}. Choose a second condition.").format(name=left.name)
            same = fill('<p class="dq-error">{line}</p>', line=line)
            return Shown(join([same, card_page(self.graph, card(self.graph, left.id))]), left.name, "")
        page = comparison_page(self.graph, compare(self.graph, left.id, right.id))
        told = _("Shown: {left} against {right}.").format(left=left.name, right=right.name)
        return Shown(page, left.name, right.name, told)

    def _said(self, make: Callable[[], Markup]) -> Markup:
        try:
            return make()
        except KnowledgeError as error:
            return _failed(error)


def _failed(error: KnowledgeError) -> Markup:
    log.error("%s (%s)", error, error.detail)
    return error_line(f"{said(error)} {_('Until then there is nothing to look up.')}")


def way_back() -> Markup:
    """The button that leads to the consultation from which a card was opened."""
    return fill(
        '<p class="dq-back"><button type="button" class="dq-quiet" data-event="back"><span aria-hidden="true">‹</span> '
        "{name}</button></p>",
        name=_("Back to the consultation"),
    )


# --- what is there when nothing was asked, or nothing found -------------------------------


def start(graph: Graph) -> Markup:
    """What there is, three ways in, and every condition in its section."""
    return fill(
        '<section class="dq-start"><h2 tabindex="-1">{title}</h2><p>{counts}</p><p class="dq-fine">{gaps}</p>{ways}'
        '<h2>{browse}</h2><div class="dq-sections">{sections}</div></section>',
        title=_("What is known here"),
        counts=said(extent(graph)),
        gaps=_(
            "A condition that is not here is one that the graph does not know; that says nothing about the condition."
        ),
        browse=_("Browse"),
        ways=_ways(graph),
        sections=join(map(_section, sections(graph))),
    )


def _ways(graph: Graph) -> Markup:
    """What can be asked, each with examples that can be tried."""
    known = [word for word in WORDS if (node := graph.find(word)) and node.kind == "Disease"]
    features = [node.name for node in beginnings(graph, EACH) if graph.find(node.name) == node]
    ways = (
        (
            _("Read about one"),
            _("A name, a lay word or an abbreviation opens its card: signs, look-alikes, tests, treatment, urgency."),
            [opener(word, word) for word in known],
        ),
        (
            _("Compare two"),
            _("What separates them, what they share, where the graph is silent. Readers often named both:"),
            [versus(a.id, b.id, f"{a.name} / {b.name}") for a, b in confused_pairs(graph, PAIRS)],
        ),
        (
            _("Start from what is seen or done"),
            _("A sign, a symptom or a treatment lists the conditions of which it is stated."),
            [opener(name, name) for name in features],
        ),
    )
    return fill(
        '<div class="dq-ways">{w}</div>',
        w=join(
            fill(
                '<section><h3>{t}</h3><p>{s}</p><p class="dq-chips">{b}</p></section>',
                t=title,
                s=line,
                b=join(buttons, " "),
            )
            for title, line, buttons in ways
            if buttons
        ),
    )


def _section(section: Section) -> Markup:
    chips = join((opener(node.id, node.name) for node in section.full), " ")
    more = ""
    if section.more:
        count = len(section.more)
        title = (_("{n} more") if section.full else _("{n} conditions")).format(n=count)
        names = join(fill("<li>{b}</li>", b=opener(node.id, node.name, look="dq-link")) for node in section.more)
        more = folded(title, fill('<ul class="dq-names">{n}</ul>', n=names))
    return fill(
        '<section class="dq-section" data-key="{t}"><h3>{title} <small>{n}</small></h3>{full}{more}</section>',
        t=section.title,
        title=_(section.title),
        n=len(section.full) + len(section.more),
        full=fill('<p class="dq-chips">{c}</p>', c=chips) if section.full else "",
        more=more,
    )


def suggestions(field: str, hits: Sequence[Suggestion]) -> Markup:
    """Buttons that fill the field `first` or `second`, and how many there are, said aloud."""
    buttons = join(
        fill(
            '<button type="button" class="dq-suggest" data-event="pick" data-index="{field}" data-text="{id}">{name}'
            "{also}</button>",
            field=field,
            id=hit.node.id,
            name=hit.node.name,
            also=fill(" <small>{n}</small>", n=hit.name) if hit.name != hit.node.name else "",
        )
        for hit in hits
    )
    count = ngettext("{n} suggestion", "{n} suggestions", len(hits)).format(n=len(hits)) if hits else ""
    return fill(
        '<p class="dq-sr" role="status">{count}</p><div class="dq-suggestions" role="group" '
        'aria-label="{label}">{buttons}</div>',
        label=_("Suggestions"),
        count=count,
        buttons=buttons,
    )


def not_found(graph: Graph, typed: str, found: Found, *, left: Node | None = None, right: Node | None = None) -> Markup:
    """Why there is no card for this text, and the way on: a choice opens a card, or the comparison that was asked.

    `left` or `right` is the condition in the other field, where it is known.
    """
    if found.feature is not None:
        return _feature(graph, found.feature, found)
    if not found.suggestions:
        return fill(
            '<p role="status">{why} {line}</p>{start}',
            why=_why(typed, found),
            line=_(
                "That says nothing about whether there is one. Check the spelling, try another name or an "
                "abbreviation, or choose from what is there."
            ),
            start=start(graph),
        )
    choices = join((_choice(hit.node, left, right) for hit in found.suggestions), " ")
    return fill(
        '<p role="status">{why}</p><h3>{title}</h3><p class="dq-chips">{c}</p>',
        why=_why(typed, found),
        title=_("Did you mean"),
        c=choices,
    )


def _why(typed: str, found: Found) -> str:
    if found.is_code:
        return _("No condition has the code “{typed}” alone. These stand nearest to it.").format(typed=typed)
    if found.without_card:
        line = _("“{typed}” may mean {names}. The graph has no card for that.")
        return line.format(typed=typed, names=_either(found.without_card))
    if found.is_wide:
        return _("“{typed}” can mean several conditions.").format(typed=typed)
    return _("The graph knows no condition called “{typed}”.").format(typed=typed)


def _either(names: Sequence[str]) -> str:
    told, *others = names
    for name in others:
        told = _("{names} or {last}").format(names=told, last=name)
    return told


def _choice(node: Node, left: Node | None, right: Node | None) -> Markup:
    if left is not None and left != node:
        return versus(left.id, node.id, node.name)
    if right is not None and right != node:
        return versus(node.id, right.id, node.name)
    return opener(node.id, node.name)


def _feature(graph: Graph, feature: Node, found: Found) -> Markup:
    """The conditions of which a sign, a treatment ... is stated; those described in full are open."""
    kind = _(kind_of(feature))
    by_condition: dict[str, list[Held]] = defaultdict(list)
    for fact in found.facts:
        if fact.subject in graph and graph.node(fact.subject).kind == "Disease":
            by_condition[fact.subject].append(Held(fact, "own", fact.subject))
    if not by_condition:
        return fill(
            '<p role="status">{line}</p>',
            line=_("The graph lists “{name}” as a {kind}, and states it of no condition.").format(
                name=feature.name, kind=kind
            ),
        )
    licences = Licences()
    first, others = (
        [(graph.node(key), facts) for key, facts in by_condition.items() if (graph.node(key).tier == 1) == full]
        for full in (True, False)
    )
    parts = [_holders(graph, part, licences) for part in (first, others) if part]
    if len(parts) == 2:
        parts[1] = folded(_("{n} more conditions").format(n=len(others)), parts[1])
    return fill(
        '<article class="dq-know" data-key="{id}" aria-label="{n}"><h2 tabindex="-1">{t}</h2><p role="status">{line}'
        "</p>{rows}{licences}</article>",
        id=feature.id,
        n=feature.name,
        t=capital(feature.name),
        line=ngettext(
            "“{name}” is no condition but a {kind}. The graph speaks of it in {n} condition:",
            "“{name}” is no condition but a {kind}. The graph speaks of it in {n} conditions:",
            len(by_condition),
        ).format(name=feature.name, kind=kind, n=len(by_condition)),
        rows=join(parts),
        licences=licences.note(),
    )


def _holders(graph: Graph, held: Sequence[tuple[Node, Sequence[Held]]], licences: Licences) -> Markup:
    rows = join(
        fill(
            '<section class="dq-topic"><h3>{name}</h3>{facts}</section>',
            name=opener(node.id, node.name),
            facts=fact_list(graph, facts, licences),
        )
        for node, facts in held
    )
    return fill('<div class="dq-topics">{r}</div>', r=rows)
