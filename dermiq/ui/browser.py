"""The Knowledge tab: a condition's card, two conditions compared, and what to do about an unknown word.

Everything shown is a fact of the graph with its source. Knows no gradio and no model.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from dermiq.errors import KnowledgeError
from dermiq.knowledge import Graph
from dermiq.knowledge.card import Card, Held, Topic, card, topic_of
from dermiq.knowledge.compare import Comparison, Point, compare
from dermiq.knowledge.find import Found, Suggestion, find, suggest
from dermiq.knowledge.schema import Node
from dermiq.ui.markup import THIN, error_line, fill, join, number, percent
from dermiq.ui.prose import fact_source

log = logging.getLogger(__name__)

MAX_TYPED = 120  # characters
FEW = 5  # facts of one kind before the rest is folded
FEW_IN_CELL = 1
FEW_NAMES = 8
CODES = (
    ("icd10cm", "ICD-10"),
    ("sctid", "SNOMED CT"),
    ("mesh", "MeSH"),
    ("umls", "UMLS"),
    ("doid", "Disease Ontology"),
)
HOW = {
    "curated": "read by hand in the source",
    "label": "label in a data set",
    "reader study": "counted in a reader study",
    "derived statistic": "counted in a data set",
    "ontology": "taken from an ontology",
    "guideline": "guideline",
}


@dataclass(frozen=True)
class Shown:
    """What the tab shows, and what its two fields then say."""

    html: Markup
    first: str
    second: str


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
            return Shown(not_found(self.graph, one, found), one, other)
        if not other:
            return Shown(card_page(self.graph, card(self.graph, left.id)), left.name, "")
        if right is None:
            return Shown(not_found(self.graph, other, against), left.name, other)
        if left == right:
            same = fill('<p class="dq-error">Both names mean {n}. Choose a second condition.</p>', n=left.name)
            return Shown(join([same, card_page(self.graph, card(self.graph, left.id))]), left.name, "")
        return Shown(comparison_page(self.graph, compare(self.graph, left.id, right.id)), left.name, right.name)

    def _said(self, make: Callable[[], Markup]) -> Markup:
        try:
            return make()
        except KnowledgeError as error:
            return _failed(error)


def _failed(error: KnowledgeError) -> Markup:
    log.error("%s (%s)", error, error.detail)
    return error_line(f"{error} Until then there is nothing to look up.")


# --- what is there when nothing was asked, or nothing found -------------------------------


def start(graph: Graph) -> Markup:
    conditions = [node for node in graph.nodes if node.kind == "Disease"]
    full = [node for node in conditions if node.tier == 1]
    others = [node for node in conditions if node.tier == 2]
    said = (
        f"{len(full) + len(others)} conditions, {len(graph.all_facts)} facts, {len(graph.sources)} sources. "
        "A condition that is not here is one that the graph does not know."
    )
    return fill(
        '<section class="dq-start"><p>Type a condition to read what the graph holds of it, or two to compare them.'
        '</p><p class="dq-fine">{said}</p><h3>Described in full</h3>{full}'
        '<details data-open="no"><summary>{n} more: subtypes and look-alikes</summary>{others}</details></section>',
        said=said,
        full=_chips(full),
        n=len(others),
        others=_chips(others),
    )


def _chips(nodes: Sequence[Node]) -> Markup:
    return fill('<p class="dq-chips">{c}</p>', c=join(opener(n) for n in sorted(nodes, key=lambda n: n.name.lower())))


def opener(node: Node) -> Markup:
    """A button that opens a condition's card."""
    return fill(
        '<button type="button" class="dq-suggest" data-event="open" data-text="{id}">{name}</button>',
        id=node.id,
        name=node.name,
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
    count = f"{len(hits)} suggestion{'s' if len(hits) != 1 else ''}" if hits else ""
    return fill(
        '<p class="dq-sr" role="status">{count}</p><div class="dq-suggestions" role="group" '
        'aria-label="Suggestions">{buttons}</div>',
        count=count,
        buttons=buttons,
    )


def not_found(graph: Graph, typed: str, found: Found) -> Markup:
    """Why there is no card for this text, and the way on."""
    if found.feature is not None:
        return _feature(graph, found)
    if found.suggestions:
        way = join([Markup("<h3>Did you mean</h3>"), _chips([hit.node for hit in found.suggestions])])
        return fill(
            '<p role="status">Several conditions fit “{typed}”, or come near it.</p>{way}', typed=typed, way=way
        )
    return fill(
        '<p role="status">The graph knows no condition called “{typed}”. That says nothing about whether there is one. '
        "Check the spelling, try another name or an abbreviation, or choose from what is there.</p>{start}",
        typed=typed,
        start=start(graph),
    )


def _feature(graph: Graph, found: Found) -> Markup:
    assert found.feature is not None
    kind = re.sub(r"(?<!^)([A-Z])", r" \1", found.feature.kind).lower()
    if not found.facts:
        return fill(
            '<p role="status">The graph lists “{n}” as a {k}, and states it of no condition.</p>',
            n=found.feature.name,
            k=kind,
        )
    by_condition: dict[str, list[Held]] = defaultdict(list)
    for fact in found.facts:
        if fact.subject in graph and graph.node(fact.subject).kind == "Disease":
            by_condition[fact.subject].append(Held(fact, "own", fact.subject))
    rows = join(
        fill(
            '<section class="dq-topic"><h3>{name}</h3>{facts}</section>',
            name=opener(graph.node(key)),
            facts=fact_list(graph, facts),
        )
        for key, facts in by_condition.items()
    )
    return fill(
        '<p role="status">“{n}” is no condition but a {k}. The graph speaks of it in {c}:</p>{rows}',
        n=found.feature.name,
        k=kind,
        c=f"{len(by_condition)} condition{'s' if len(by_condition) != 1 else ''}",
        rows=fill('<div class="dq-topics">{r}</div>', r=rows),
    )


# --- facts --------------------------------------------------------------------------------


def fact_list(graph: Graph, facts: Sequence[Held], *, few: int = FEW) -> Markup:
    """Facts with their sources; those after the first `few` are folded."""
    rows = [fact_row(graph, h) for h in facts]
    if len(rows) <= few + 1:  # folding a single fact saves nothing
        return fill('<ul class="dq-facts">{rows}</ul>', rows=join(rows))
    return fill(
        '<ul class="dq-facts">{rows}</ul>{rest}',
        rows=join(rows[:few]),
        rest=_folded(f"{len(rows) - few} more", fill('<ul class="dq-facts">{r}</ul>', r=join(rows[few:]))),
    )


def _folded(title: str, body: Markup) -> Markup:
    return fill('<details data-open="no"><summary>{title}</summary>{body}</details>', title=title, body=body)


def fact_row(graph: Graph, held: Held) -> Markup:
    """The sentence, whose fact it is, whether it says absent, the source, and how it was established."""
    fact = held.fact
    numbers = graph.numbers(fact.id)
    lacks = "absent or rare" if numbers.probability else "absent"
    tags = [fill('<span class="dq-tag dq-tag-absent">{l}</span>', l=lacks)] if fact.polarity == "absent" else []
    if held.standing != "own":
        of = "inherited from" if held.standing == "inherited" else "subtype:"
        tags.append(fill('<span class="dq-tag">{of} {name}</span>', of=of, name=graph.node(held.holder).name))
    if numbers.qualifier:
        said = "can also occur" if graph.is_pitfall(fact) else numbers.qualifier
        tags.append(fill('<span class="dq-tag">{said}</span>', said=said))
    how = [HOW.get(fact.evidence_type, fact.evidence_type)]
    if fact.n is not None:
        how.append(f"n = {fact.n}")
    if numbers.probability is not None:
        how.append(percent(numbers.probability) if numbers.probability < 1 else f"100{THIN}%")
    if numbers.lift is not None:
        how.append(f"{number(numbers.lift)} times the average")
    if numbers.checked:
        how.append(numbers.checked)
    return fill(
        '<li><p class="dq-said">{text} {tags}</p>{source}<p class="dq-how">{how}</p></li>',
        text=fact.text,
        tags=join(tags, " "),
        source=fact_source(fact),
        how=" · ".join(how),
    )


# --- the card -------------------------------------------------------------------------------


def card_page(graph: Graph, made: Card) -> Markup:
    topics = join(_topic(graph, topic) for topic in made.topics)
    nothing = fill(
        '<p class="dq-placeholder">The graph holds the name and its place alone: no fact is stated of it.</p>'
    )
    missing = fill(
        '<p class="dq-fine">The graph holds nothing on: {m}. That is a gap in the graph, not a statement.</p>',
        m=", ".join(title.lower() for title in made.missing),
    )
    return fill(
        '<article class="dq-know" aria-label="{name}"><h2>{title}</h2>{names}{codes}{place}{rivals}'
        "{topics}{missing}</article>",
        name=made.node.name,
        title=_capital(made.node.name),
        names=_synonyms(made.node),
        codes=_codes(made.node),
        place=_place(made),
        rivals=_rivals(graph, made),
        topics=fill('<div class="dq-topics">{t}</div>', t=topics) if made.topics else nothing,
        missing=missing if made.topics and made.missing else "",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _synonyms(node: Node) -> Markup:
    if not node.synonyms:
        return fill('<p class="dq-fine">No other names in the graph.</p>')
    few, more = node.synonyms[:FEW_NAMES], node.synonyms[FEW_NAMES:]
    rest = _folded(f"{len(more)} more names", fill("<p>{n}</p>", n=", ".join(more))) if more else ""
    return fill("<p>Also: {few}</p>{rest}", few=", ".join(few), rest=rest)


def _codes(node: Node) -> Markup:
    rows = [(label, node.codes[key].replace("|", ", ") if key in node.codes else "–") for key, label in CODES]
    if node.id.startswith("MONDO:"):
        rows.append(("MONDO", node.id.removeprefix("MONDO:")))
    listed = join(fill("<div><dt>{k}</dt><dd>{v}</dd></div>", k=label, v=code) for label, code in rows)
    return fill('<dl class="dq-codes" aria-label="Codes; a dash: none in the graph">{r}</dl>', r=listed)


def _place(made: Card) -> Markup:
    """The ways from the top down to here, and what is directly below; each step opens its card."""
    here = fill('<strong aria-current="page">{n}</strong>', n=made.node.name)
    steps = [join([*map(_step, path), here], Markup(' <span aria-hidden="true">›</span> ')) for path in made.above]
    above = join(fill("<p>{s}</p>", s=s) for s in steps if made.above != ((),))
    below = fill("<p>Subtypes: {b}</p>", b=join(map(_step, made.below), ", ")) if made.below else ""
    return fill('<nav class="dq-place" aria-label="Place in the hierarchy">{a}{b}</nav>', a=above, b=below)


def _step(node: Node) -> Markup:
    return fill(
        '<button type="button" class="dq-link" data-event="open" data-text="{id}">{n}</button>', id=node.id, n=node.name
    )


def _rivals(graph: Graph, made: Card) -> Markup:
    """Buttons that compare this condition with what it is most often confused with."""
    own = [h.fact for topic in made.topics for h in topic.facts if h.fact.relation == "look_alike"]
    family = graph.family(made.node.id)
    own.sort(key=lambda fact: (fact.subject not in family, -(graph.numbers(fact.id).probability or 0.0)))
    ids = dict.fromkeys(fact.object if fact.subject in family else fact.subject for fact in own)
    rivals = [graph.node(key) for key in ids if key not in family][:FEW]
    if not rivals:
        return Markup("")
    buttons = join(
        fill(
            '<button type="button" class="dq-suggest" data-event="versus" data-index="{left}" data-text="{right}">'
            "{name}</button>",
            left=made.node.id,
            right=node.id,
            name=node.name,
        )
        for node in rivals
    )
    return fill('<p class="dq-chips"><span>Compare with</span> {b}</p>', b=buttons)


def _topic(graph: Graph, topic: Topic) -> Markup:
    """A heading with the condition's own facts; inherited ones and those of subtypes follow, folded."""
    facts: dict[str, list[Held]] = defaultdict(list)
    for h in topic.facts:
        facts[h.standing].append(h)
    parts = [fact_list(graph, facts["own"])] if facts["own"] else []
    for standing, said in (("inherited", "inherited from broader conditions"), ("subtype", "of subtypes")):
        if facts[standing]:
            body = fact_list(graph, facts[standing])
            parts.append(_folded(f"{len(facts[standing])} {said}", body) if parts else fill("{b}", b=body))
    return fill(
        '<section class="dq-topic"><h3>{title} <small>{n}</small></h3>{parts}</section>',
        title=topic.title,
        n=len(topic.facts),
        parts=join(parts),
    )


# --- the comparison ---------------------------------------------------------------------------


def comparison_page(graph: Graph, made: Comparison) -> Markup:
    left, right = graph.node(made.left), graph.node(made.right)
    parts = [
        _relation(graph, left, right),
        _confused(graph, made),
        _table(
            graph,
            made.of("opposite"),
            "They contradict each other",
            f"No fact on {left.name} contradicts one on {right.name}.",
            (left, right),
        ),
        _one_sided(graph, made, left, right),
        _table(graph, made.of("mixed"), "Overlap: sources, subtypes or circumstances differ", "", (left, right)),
        _table(graph, made.of("shared"), "They share", "The graph states no feature of both.", (left, right)),
    ]
    return fill(
        '<article class="dq-know dq-compare" aria-label="{l} and {r} compared"><h2>{lo} <span>against</span> {ro}</h2>'
        "{parts}</article>",
        l=left.name,
        r=right.name,
        lo=_step(left),
        ro=_step(right),
        parts=join(parts),
    )


def _relation(graph: Graph, left: Node, right: Node) -> Markup:
    for one, other in ((left, right), (right, left)):
        if one.id in graph.family(other.id):
            return fill(
                '<p class="dq-agree dq-amber">{o} is a form of {p}, so that most facts are inherited and count for '
                "both.</p>",
                o=_capital(one.name),
                p=other.name,
            )
    return Markup("")


def _confused(graph: Graph, made: Comparison) -> Markup:
    if not made.confused:
        return fill('<p class="dq-fine">The graph does not list the two as look-alikes.</p>')
    facts = [Held(fact, "own", fact.subject) for fact in made.confused]
    return fill("<section><h3>Look-alikes</h3>{f}</section>", f=fact_list(graph, facts, few=FEW_IN_CELL))


def _table(graph: Graph, points: Sequence[Point], title: str, empty: str, sides: tuple[Node, Node]) -> Markup:
    if not points:
        return (
            fill('<section><h3>{t}</h3><p class="dq-placeholder">{e}</p></section>', t=title, e=empty)
            if empty
            else Markup("")
        )
    left, right = sides
    rows = join(
        fill(
            '<tr><th scope="row">{name} <small>{topic}</small></th><td data-side="{l}">{a}</td>'
            '<td data-side="{r}">{b}</td></tr>',
            name=_capital(point.name),
            topic=topic_of(point.relation) if point.object else "",
            l=left.name,
            r=right.name,
            a=fact_list(graph, point.left, few=FEW_IN_CELL),
            b=fact_list(graph, point.right, few=FEW_IN_CELL),
        )
        for point in points
    )
    return fill(
        '<section><h3>{t} <small>{n}</small></h3><table><thead><tr><th scope="col">Feature</th><th scope="col">{l}</th>'
        '<th scope="col">{r}</th></tr></thead><tbody>{rows}</tbody></table></section>',
        t=title,
        n=len(points),
        l=left.name,
        r=right.name,
        rows=rows,
    )


def _one_sided(graph: Graph, made: Comparison, left: Node, right: Node) -> Markup:
    columns = join(
        [
            _only(graph, made.of("left_only"), left, right, _silences(made, "right")),
            _only(graph, made.of("right_only"), right, left, _silences(made, "left")),
        ]
    )
    return fill(
        '<section><h3>Stated of one; the graph is silent on the other</h3><p class="dq-fine">Silence is not absence: '
        'the other may show it too.</p><div class="dq-two">{c}</div></section>',
        c=columns,
    )


def _silences(made: Comparison, side: str) -> list[str]:
    return [title for title, silent in made.silent if silent == side]


def _only(graph: Graph, points: Sequence[Point], node: Node, other: Node, silent: Sequence[str]) -> Markup:
    """What only `node` is known for, by topic; a topic on which the graph has nothing of `other` says so."""
    by_topic: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_topic[topic_of(point.relation)].append(point)
    topics = join(
        _folded(
            f"{title}: {', '.join(_in_short(graph, point) for point in found)}",
            join(
                [
                    fill('<p class="dq-fine">{s}</p>', s=_nothing(title, found, other, silent)),
                    fact_list(graph, [h for p in found for h in (*p.left, *p.right)], few=FEW),
                ]
            ),
        )
        for title, found in by_topic.items()
    )
    nothing = fill('<p class="dq-placeholder">Nothing is stated of {n} alone.</p>', n=node.name)
    return fill("<div><h4>Only {n} <small>{c}</small></h4>{t}</div>", n=node.name, c=len(points), t=topics or nothing)


def _in_short(graph: Graph, point: Point) -> str:
    """The feature's name, and that it is lacked, a pitfall or a subtype's where that is all that is stated."""
    facts = (*point.left, *point.right)
    name = point.name
    if all(h.fact.polarity == "absent" for h in facts):
        name = f"no or rarely {name}"
    elif all(graph.is_pitfall(h.fact) for h in facts):
        name = f"{name} (pitfall)"
    return f"{name} (a subtype)" if all(h.standing == "subtype" for h in facts) else name


def _nothing(title: str, points: Sequence[Point], other: Node, silent: Sequence[str]) -> str:
    if title in silent:
        return f"The graph says nothing about {title.lower()} for {other.name}, so this separates nothing yet."
    return f"The graph says nothing about {' / '.join(point.name for point in points)} for {other.name}."
