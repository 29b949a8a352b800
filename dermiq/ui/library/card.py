"""A condition's card as HTML: names, codes, place, and its facts by topic. Knows no gradio and no model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from dermiq.knowledge import Graph
from dermiq.knowledge.card import Card, Held, Topic
from dermiq.knowledge.schema import Node
from dermiq.language import N_, _
from dermiq.ui.facts import Licences, fact_list, folded
from dermiq.ui.markup import capital, fill, inside, join, opener, versus

FEW_NAMES = 8
FEW_WAYS = 2
FEW_BELOW = 12
RIVALS = 5
MANY = 60  # facts of subtypes under one heading; a broad condition has thousands
CODES = (
    ("icd10cm", "ICD-10"),
    ("sctid", "SNOMED CT"),
    ("mesh", "MeSH"),
    ("umls", "UMLS"),
    ("doid", "Disease Ontology"),
)
STANDINGS = (("inherited", N_("{n} inherited from broader conditions")), ("subtype", N_("{n} of subtypes")))


def card_page(graph: Graph, made: Card) -> Markup:
    licences = Licences()
    topics = join(_topic(graph, topic, licences) for topic in made.topics)
    nothing = fill(
        '<p class="dq-placeholder">{line}</p>',
        line=_("The graph holds the name and its place alone: no fact is stated of it."),
    )
    missing = fill(
        '<p class="dq-fine">{line}</p>',
        line=_("The graph holds nothing on: {topics}. That is a gap in the graph, not a statement.").format(
            topics=", ".join(inside(_(title)) for title in made.missing)
        ),
    )
    return fill(
        '<article class="dq-know" data-key="{id}" aria-label="{name}"><h2 tabindex="-1">{title}</h2>{names}{codes}'
        "{place}{rivals}{topics}{missing}{licences}</article>",
        id=made.node.id,
        name=made.node.name,
        title=capital(made.node.name),
        names=_synonyms(made.node),
        codes=_codes(made.node),
        place=_place(made),
        rivals=_rivals(graph, made),
        topics=fill('<div class="dq-topics">{t}</div>', t=topics) if made.topics else nothing,
        missing=missing if made.topics and made.missing else "",
        licences=licences.note(),
    )


def _synonyms(node: Node) -> Markup:
    if not node.synonyms:
        return fill('<p class="dq-fine">{line}</p>', line=_("No other names in the graph."))
    few, more = node.synonyms[:FEW_NAMES], node.synonyms[FEW_NAMES:]
    title = _("{n} more names").format(n=len(more))
    rest = folded(title, fill("<p>{n}</p>", n=", ".join(more))) if more else ""
    return fill("<p>{head} {few}</p>{rest}", head=_("Also:"), few=", ".join(few), rest=rest)


def _codes(node: Node) -> Markup:
    rows = [(label, node.codes[key].replace("|", ", ") if key in node.codes else "–") for key, label in CODES]
    if node.id.startswith("MONDO:"):
        rows.append(("MONDO", node.id.removeprefix("MONDO:")))
    listed = join(fill("<div><dt>{k}</dt><dd>{v}</dd></div>", k=label, v=code) for label, code in rows)
    label = _("Codes; a dash: none in the graph")
    return fill('<dl class="dq-codes" aria-label="{label}">{r}</dl>', label=label, r=listed)


def _place(made: Card) -> Markup:
    """The ways from the top down to here, and what is directly below; each step opens its card."""
    here = fill('<strong aria-current="page">{n}</strong>', n=made.node.name)
    arrow = Markup(' <span aria-hidden="true">›</span> ')
    ways = [fill("<p>{s}</p>", s=join([*map(_step, path), here], arrow)) for path in made.above if path]
    title = _("{n} more ways down to it").format(n=len(ways) - FEW_WAYS)
    more = folded(title, join(ways[FEW_WAYS:])) if len(ways) > FEW_WAYS else ""
    return fill(
        '<nav class="dq-place" aria-label="{label}">{w}{m}{b}</nav>',
        label=_("Place in the hierarchy"),
        w=join(ways[:FEW_WAYS]),
        m=more,
        b=_below(made.below),
    )


def _below(nodes: Sequence[Node]) -> Markup:
    if not nodes:
        return Markup("")
    few, more = nodes[:FEW_BELOW], nodes[FEW_BELOW:]
    title = _("{n} more subtypes").format(n=len(more))
    rest = folded(title, fill("<p>{n}</p>", n=join(map(_step, more), ", "))) if more else ""
    return fill("<p>{head} {few}</p>{rest}", head=_("Subtypes:"), few=join(map(_step, few), ", "), rest=rest)


def _step(node: Node) -> Markup:
    return opener(node.id, node.name, look="dq-link")


def _rivals(graph: Graph, made: Card) -> Markup:
    """Buttons that compare this condition with what it is most often confused with."""
    own = [h.fact for topic in made.topics for h in topic.facts if h.fact.relation == "look_alike"]
    family = graph.family(made.node.id)
    own.sort(key=lambda fact: (fact.subject not in family, -(graph.numbers(fact.id).probability or 0.0)))
    ids = dict.fromkeys(fact.object if fact.subject in family else fact.subject for fact in own)
    rivals = [graph.node(key) for key in ids if key not in family][:RIVALS]
    if not rivals:
        return Markup("")
    buttons = join(versus(made.node.id, node.id, node.name) for node in rivals)
    return fill('<p class="dq-chips"><span>{head}</span> {b}</p>', head=_("Compare with"), b=buttons)


def _topic(graph: Graph, topic: Topic, licences: Licences) -> Markup:
    """A heading with the condition's own facts; inherited ones and those of subtypes follow, folded."""
    facts: dict[str, list[Held]] = defaultdict(list)
    for h in topic.facts:
        facts[h.standing].append(h)
    parts = [fact_list(graph, facts["own"], licences)] if facts["own"] else []
    for standing, said in STANDINGS:
        if facts[standing]:
            body = _others(graph, facts[standing], licences)
            parts.append(folded(_(said).format(n=len(facts[standing])), body) if parts else body)
    return fill(
        '<section class="dq-topic"><h3>{title} <small>{n}</small></h3>{parts}</section>',
        title=_(topic.title),
        n=len(topic.facts),
        parts=join(parts),
    )


def _others(graph: Graph, facts: Sequence[Held], licences: Licences) -> Markup:
    left = len(facts) - MANY
    line = _("{n} more stand on their own cards.").format(n=left)
    note = fill('<p class="dq-fine">{line}</p>', line=line) if left > 0 else ""
    return join([fact_list(graph, facts[:MANY], licences), note])
