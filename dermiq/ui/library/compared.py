"""Two conditions side by side as HTML: what separates them first, what they share folded. Knows no gradio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from dermiq.knowledge import Graph
from dermiq.knowledge.card import Held, topic_of
from dermiq.knowledge.compare import Comparison, Point
from dermiq.knowledge.schema import Node
from dermiq.language import _
from dermiq.ui.facts import Licences, fact_list, folded
from dermiq.ui.markup import capital, fill, inside, join, opener

FEW_IN_CELL = 1
FEW_IN_SUMMARY = 6


def comparison_page(graph: Graph, made: Comparison) -> Markup:
    left, right = graph.node(made.left), graph.node(made.right)
    licences, overlap = Licences(), _("Overlap: sources, subtypes or circumstances differ")
    parts = [
        _relation(graph, left, right),
        _separating(graph, made, (left, right), licences),
        _one_sided(graph, made, left, right, licences),
        _confused(graph, made, licences),
        _fold(graph, made.of("mixed"), overlap, (left, right), licences),
        _fold(graph, made.of("shared"), _("They share"), (left, right), licences),
    ]
    return fill(
        '<article class="dq-know dq-compare" data-key="{key}" aria-label="{label}">'
        '<h2 tabindex="-1">{lo} <span>{against}</span> {ro}</h2>{parts}{licences}</article>',
        key=f"{left.id} {right.id}",
        label=_("{left} and {right} compared").format(left=left.name, right=right.name),
        against=_("against"),
        lo=opener(left.id, left.name, look="dq-link"),
        ro=opener(right.id, right.name, look="dq-link"),
        parts=join(parts),
        licences=licences.note(),
    )


def _relation(graph: Graph, left: Node, right: Node) -> Markup:
    for one, other in ((left, right), (right, left)):
        if one.id in graph.family(other.id):
            return fill(
                '<p class="dq-agree dq-amber">{line}</p>',
                line=_("{one} is a form of {other}, so that most facts are inherited and count for both.").format(
                    one=capital(one.name), other=other.name
                ),
            )
    return Markup("")


# --- what separates them ----------------------------------------------------------------------


def _separating(graph: Graph, made: Comparison, sides: tuple[Node, Node], licences: Licences) -> Markup:
    """Contradictions; those that rest on subtypes alone on one side are folded."""
    points = made.of("opposite")
    if not points:
        body = fill(
            '<p class="dq-placeholder">{line}</p>',
            line=_("No fact on {left} contradicts one on {right}.").format(left=sides[0].name, right=sides[1].name),
        )
    else:
        firm = [point for point in points if not _of_subtypes(point)]
        loose = [point for point in points if _of_subtypes(point)]
        table = _table(graph, firm, sides, licences) if firm else Markup("")
        rest = _table(graph, loose, sides, licences) if loose else Markup("")
        title = (
            _("{n} more where one side's facts are of subtypes alone")
            if firm
            else _("{n} where one side's facts are of subtypes alone")
        ).format(n=len(loose))
        body = join([table, folded(title, rest) if loose else ""])
    return fill(
        "<section><h3>{title} <small>{n}</small></h3>{body}</section>",
        title=_("They contradict each other"),
        n=len(points),
        body=body,
    )


def _of_subtypes(point: Point) -> bool:
    """Whether one of the two conditions has facts of its subtypes alone on this."""
    return any(all(h.standing == "subtype" for h in side) for side in (point.left, point.right))


def _table(graph: Graph, points: Sequence[Point], sides: tuple[Node, Node], licences: Licences) -> Markup:
    left, right = sides
    rows = join(
        fill(
            '<tr><th scope="row">{name} <small>{topic}</small></th><td data-side="{l}">{a}</td>'
            '<td data-side="{r}">{b}</td></tr>',
            name=capital(point.name),
            topic=_(topic_of(point.relation)) if point.object else "",
            l=left.name,
            r=right.name,
            a=fact_list(graph, point.left, licences, few=FEW_IN_CELL),
            b=fact_list(graph, point.right, licences, few=FEW_IN_CELL),
        )
        for point in points
    )
    return fill(
        '<table><thead><tr><th scope="col">{feature}</th><th scope="col">{l}</th>'
        '<th scope="col">{r}</th></tr></thead><tbody>{rows}</tbody></table>',
        feature=_("Feature"),
        l=left.name,
        r=right.name,
        rows=rows,
    )


def _one_sided(graph: Graph, made: Comparison, left: Node, right: Node, licences: Licences) -> Markup:
    columns = join(
        [
            _only(graph, made.of("left_only"), left, right, _silences(made, "right"), licences),
            _only(graph, made.of("right_only"), right, left, _silences(made, "left"), licences),
        ]
    )
    return fill(
        '<section><h3>{title}</h3><p class="dq-fine">{line}</p><div class="dq-two">{c}</div></section>',
        title=_("Stated of one; the graph is silent on the other"),
        line=_("Silence is not absence: the other may show it too."),
        c=columns,
    )


def _silences(made: Comparison, side: str) -> list[str]:
    return [title for title, silent in made.silent if silent == side]


def _only(
    graph: Graph, points: Sequence[Point], node: Node, other: Node, silent: Sequence[str], licences: Licences
) -> Markup:
    """What only `node` is known for, by topic; a topic on which the graph has nothing of `other` says so."""
    by_topic: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_topic[topic_of(point.relation)].append(point)
    topics = join(
        folded(
            f"{_(title)} ({len(found)}): {_in_short(graph, found)}",
            join(
                [
                    fill('<p class="dq-fine">{s}</p>', s=_nothing(title, other, silent)),
                    fact_list(graph, [h for p in found for h in (*p.left, *p.right)], licences),
                ]
            ),
        )
        for title, found in by_topic.items()
    )
    line = _("Nothing is stated of {name} alone.").format(name=node.name)
    return fill(
        "<div><h4>{title} <small>{c}</small></h4>{t}</div>",
        title=_("Only {name}").format(name=node.name),
        c=len(points),
        t=topics or fill('<p class="dq-placeholder">{line}</p>', line=line),
    )


def _in_short(graph: Graph, points: Sequence[Point]) -> str:
    few = [_name(graph, point) for point in points[:FEW_IN_SUMMARY]]
    rest = len(points) - len(few)
    return _("{names} and {n} more").format(names=", ".join(few), n=rest) if rest else ", ".join(few)


def _name(graph: Graph, point: Point) -> str:
    """The feature's name, and that it is lacked, a pitfall or a subtype's where that is all that is stated."""
    facts = (*point.left, *point.right)
    name = point.name
    if all(h.fact.polarity == "absent" for h in facts):
        name = _("no or rarely {name}").format(name=name)
    elif all(graph.is_pitfall(h.fact) for h in facts):
        name = _("{name} (pitfall)").format(name=name)
    return _("{name} (a subtype)").format(name=name) if all(h.standing == "subtype" for h in facts) else name


def _nothing(title: str, other: Node, silent: Sequence[str]) -> str:
    if title in silent:
        return _("The graph says nothing about {topic} for {name}, so this separates nothing yet.").format(
            topic=inside(_(title)), name=other.name
        )
    return _("The graph says nothing about these for {name}.").format(name=other.name)


# --- what does not separate them --------------------------------------------------------------


def _confused(graph: Graph, made: Comparison, licences: Licences) -> Markup:
    """How they are taken for each other: the first statement open, so that its weight is seen, the rest folded."""
    if not made.confused:
        return fill('<p class="dq-fine">{line}</p>', line=_("The graph does not list the two as look-alikes."))
    facts = [Held(fact, "own", fact.subject) for fact in made.confused]
    return fill(
        "<section><h3>{title} <small>{n}</small></h3>{f}</section>",
        title=_("Taken for each other"),
        n=len(facts),
        f=fact_list(graph, facts, licences, few=FEW_IN_CELL),
    )


def _fold(graph: Graph, points: Sequence[Point], title: str, sides: tuple[Node, Node], licences: Licences) -> Markup:
    if not points:
        return Markup("")
    names = _in_short(graph, points)
    return fill(
        '<section><details data-open="no"><summary><strong>{t}</strong> <small>{n}</small>: {names}</summary>{table}'
        "</details></section>",
        t=title,
        n=len(points),
        names=names,
        table=_table(graph, points, sides, licences),
    )
