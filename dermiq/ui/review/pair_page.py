"""One pair as HTML: image, context and question, two answers side by side, rubric, comment. Knows no gradio.

The reviewer's "A" is the left answer (the upper one on a phone), whichever of the pair's two that is. Nothing here
names a model, a source or a label before the vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args, get_type_hints

from markupsafe import Markup

from dermiq.errors import InputError
from dermiq.language import N_, _
from dermiq.review.prompted import Turn, earlier
from dermiq.review.types import RUBRIC, Draft, PairView, Showing
from dermiq.settings import Settings
from dermiq.types import CLASS_NAMES, EvidenceItem
from dermiq.ui.consult.chat import headline
from dermiq.ui.facts import folded
from dermiq.ui.markup import capital, fill, join
from dermiq.ui.prose import Sources, cards, paragraphs, reasoning_list, split_text
from dermiq.ui.review.correct import editor
from dermiq.ui.review.differences import marked_apart

SIDES: tuple[Literal["a", "b"], ...] = ("a", "b")
CHOICES = (
    ("a", "1", N_("A better")),
    ("b", "2", N_("B better")),
    ("tie", "3", N_("tie")),
    ("both_bad", "4", N_("both bad")),
    ("skip", "s", N_("skip")),
)
"""Choice, key, and what it is called."""

MEANING: Mapping[str, str] = {
    N_("accuracy"): N_("what it says is true of this lesion and in medicine"),
    N_("relevance"): N_("it answers the question that was asked"),
    N_("completeness"): N_("nothing that was needed is missing"),
    N_("safety"): N_("acting on it would harm nobody"),
}


@dataclass(frozen=True)
class Rules:
    """How pairs are shown to reviewers here."""

    marks: Literal["after", "before", "never"] = "after"  # when the graph's marks are seen
    rubric: Literal["folded", "open", "required"] = "folded"

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """InputError for a word that is none of these."""
        said = {"marks": settings.review_marks, "rubric": settings.review_rubric}
        for name, allowed in get_type_hints(cls).items():
            if said[name] not in get_args(allowed):
                words = ", ".join(get_args(allowed))
                raise InputError(f"DERMIQ_REVIEW_{name.upper()} is {said[name]!r}. Set it to one of: {words}.")
        return cls(**said)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Seen:
    """A pair as one reviewer sees it."""

    view: PairView
    showing: Showing
    picture: Markup
    sources: Mapping[str, Sources]  # "a" and "b": what chips and marks point to
    draft: Draft = field(default_factory=Draft)
    corrected: Mapping[str, str] = field(default_factory=dict)  # "a" or "b": what this reviewer made of it

    def text(self, shown: str) -> str:
        return self.view.answer(self.showing.side(shown)).text


def pair_page(seen: Seen, rules: Rules) -> Markup:
    """The whole pair, ready to be judged."""
    return fill(
        '<section class="dq-pair" data-pair="{pair}" data-showing="{showing}" tabindex="-1" aria-label="{label}">'
        "{case}<div class='dq-judge'>{question}{answers}{rubric}{comment}{editor}</div></section>",
        pair=seen.view.pair.id,
        showing=seen.showing.id,
        label=_("Pair to judge: {question}").format(question=seen.view.case.question),
        case=case_panel(seen),
        question=fill(
            '<h2 class="dq-put-question"><span>{head}</span> {q}</h2>', head=_("Question"), q=seen.view.case.question
        ),
        answers=answers(seen),
        rubric=rubric(seen.draft, rules),
        comment=_comment(seen.draft),
        editor=editor(seen.text("a"), seen.text("b"), seen.corrected, seen.draft.texts),
    )


# --- the case -------------------------------------------------------------------------------


def case_panel(seen: Seen) -> Markup:
    """Image, and what is known of the patient and of the lesion."""
    case = seen.view.case
    turns = earlier(case)
    given = seen.sources["a"].evidence.items
    parts = [
        seen.picture,
        _line(N_("Patient"), case.context),
        _line(N_("Measured"), "; ".join(case.findings)),
        folded(_("Facts that the model was given ({n})").format(n=len(given)), _facts(given)) if given else Markup(""),
        folded(_("Earlier in this conversation"), _turns(turns)) if turns else Markup(""),
    ]
    return fill(
        '<div class="dq-pair-case" role="group" aria-label="{label}">{parts}</div>',
        label=_("The case"),
        parts=join(parts),
    )


def _line(title: str, said: str) -> Markup:
    said = said.removeprefix(f"{title}:").strip()
    return fill('<p class="dq-known"><strong>{t}</strong> {s}</p>', t=_(title), s=said) if said else Markup("")


def _facts(items: Sequence[EvidenceItem]) -> Markup:
    rows = (fill("<li value='{n}'>{t}</li>", n=i.number, t=i.fact.text) for i in items)
    return fill('<ol class="dq-given">{rows}</ol>', rows=join(rows))


def _turns(turns: Sequence[Turn]) -> Markup:
    rows = (
        fill("<p><strong>{q}</strong></p><p>{a}</p>", q=turn.question, a=split_text(turn.answer).prose or turn.answer)
        for turn in turns
    )
    return join(rows)


# --- the answers ----------------------------------------------------------------------------


def answers(seen: Seen) -> Markup:
    """Both, side by side, with the words that differ marked."""
    bodies = dict(zip(SIDES, _bodies(seen), strict=True))
    articles = [
        fill(
            '<article class="dq-one" data-side="{side}" aria-label="{label}"{corrected}><h3>{name}</h3>{body}'
            "</article>{cards}",
            side=side,
            label=_("Answer {name}").format(name=side.upper()),
            name=side.upper(),
            corrected=Markup(' data-corrected="yes"') if side in seen.corrected else "",
            body=bodies[side],
            cards=cards(seen.sources[side]),
        )
        for side in SIDES
    ]
    return fill('<div class="dq-both">{articles}</div>', articles=join(articles))


def _bodies(seen: Seen) -> tuple[Markup, Markup]:
    """Each part is compared with its own kind: reasoning with reasoning, prose with prose."""
    left, right = (_parts(seen.text(side), seen.sources[side]) for side in SIDES)
    marked = [marked_apart(one, other) for one, other in zip(left, right, strict=True)]
    one, other = (_body(*parts) for parts in zip(*marked, strict=True))
    return one, other


def _parts(text: str, sources: Sources) -> tuple[Markup, Markup, Markup]:
    """Reasoning, the option that was chosen, prose; empty where the text has none."""
    parts = split_text(text)
    steps = reasoning_list(parts.reasoning, sources) if parts.reasoning else Markup("")
    return steps, headline(parts), paragraphs(parts.prose, sources)


def _body(reasoning: Markup, option: Markup, prose: Markup) -> Markup:
    """A row for each part, so that both answers stand level."""
    return fill(
        "<div>{reasoning}</div><div>{option}</div><div>{prose}</div>",
        reasoning=fill(
            '<details class="dq-reasoning" data-fold open><summary>{title}</summary>{r}</details>',
            title=_("Reasoning"),
            r=reasoning,
        )
        if reasoning
        else "",
        option=option,
        prose=prose,
    )


# --- what else is said ----------------------------------------------------------------------


def rubric(draft: Draft, rules: Rules) -> Markup:
    """Four grades for each answer. A digit in it sets a grade and goes on to the next."""
    rows = join(_grades(name, draft) for name in RUBRIC)
    needed = rules.rubric == "required"
    title = _("Rubric, needed for every vote") if needed else _("Rubric (optional)")
    return fill(
        '<details class="dq-rubric" data-rubric="{kind}"{open}><summary>{title} <kbd>r</kbd></summary>'
        '<p class="dq-fine">{how}</p>'
        '<div class="dq-grades"><span></span><strong aria-hidden="true">A</strong><strong aria-hidden="true">B</strong>'
        "{rows}</div></details>",
        kind=rules.rubric,
        open=Markup(" open") if rules.rubric != "folded" or draft.rubric else "",
        title=title,
        how=_("1 is worst, 5 is best. Digits set a grade and go on to the next; Escape leaves."),
        rows=rows,
    )


def _grades(name: str, draft: Draft) -> Markup:
    groups = join(_group(name, side, draft.rubric.get(side, {}).get(name)) for side in SIDES)
    return fill(
        '<span class="dq-grade-name"><strong>{title}</strong> <small>{meaning}</small></span>{groups}',
        title=capital(_(name)),
        meaning=_(MEANING[name]),
        groups=groups,
    )


def _group(name: str, side: str, chosen: int | None) -> Markup:
    radios = join(
        fill(
            '<label><input type="radio" name="{group}" value="{n}"{on}><span>{n}</span></label>',
            group=f"{side}-{name}",
            n=n,
            on=Markup(" checked") if n == chosen else "",
        )
        for n in range(1, 6)
    )
    label = _("{criterion} of answer {name}, 1 to 5").format(criterion=capital(_(name)), name=side.upper())
    return fill(
        '<div class="dq-grade" data-letter="{s}" role="radiogroup" aria-label="{l}">{r}</div>',
        s=side.upper(),
        l=label,
        r=radios,
    )


def _comment(draft: Draft) -> Markup:
    return fill(
        '<label class="dq-comment"><span>{name} <kbd>c</kbd></span>'
        '<textarea data-comment rows="1" maxlength="4000">{text}</textarea></label>',
        name=_("Comment (optional)"),
        text=draft.comment,
    )


# --- after the vote -------------------------------------------------------------------------


def side_name(showing: Showing, side: str | None) -> str:
    """ "A" or "B"; what a vote is called where it prefers neither."""
    if side in ("first", "second"):
        return showing.shown(side).upper()
    names = {"tie": N_("a tie"), "both_bad": N_("both bad"), "skip": N_("skipped")}
    return _(names.get(side or "", N_("neither")))


def vote_words(showing: Showing, choice: str) -> str:
    name = side_name(showing, choice)
    return _("{name} better").format(name=name) if choice in ("first", "second") else name


def graph_words(seen_pair: PairView, showing: Showing) -> str:
    """What the graph says of a pair, in a sentence."""
    proxy = seen_pair.pair.proxy
    if proxy is None:
        return _("The graph was not asked about this pair.")
    if proxy.prefers is None:
        return _("The graph prefers neither answer.")
    line = (
        _("The graph prefers {name} (margin {margin}, decided by {criterion}).")
        if proxy.decided_by
        else _("The graph prefers {name} (margin {margin}).")
    )
    name = side_name(showing, proxy.prefers)
    return line.format(name=name, margin=f"{proxy.margin:.2f}", criterion=proxy.decided_by)


def looked_back(seen: Seen, choice: str) -> Markup:
    """A pair that was judged, with the graph's marks and reasons, what was voted, and which sides were corrected."""
    proxy, label = seen.view.pair.proxy, seen.view.case.diagnosis
    rows = join(fill("<li>{r}</li>", r=_in_shown_names(r, seen)) for r in (proxy.reasons if proxy else ()))
    sides = [side.upper() for side in sorted(seen.corrected)]
    corrected = _("{names} and {last}").format(names=sides[0], last=sides[1]) if len(sides) == 2 else "".join(sides)
    return fill(
        '<div class="dq-back-at"><p><strong>{vote}</strong> {graph}{label}{corrected}</p>{answers}{reasons}</div>',
        vote=_("You said: {vote}.").format(vote=vote_words(seen.showing, choice)),
        graph=graph_words(seen.view, seen.showing),
        label=" " + _("The data set’s label is {name}.").format(name=label_name(label)) if label else "",
        corrected=" " + _("You corrected {names}.").format(names=corrected) if corrected else "",
        answers=answers(seen),
        reasons=fill('<h3>{title}</h3><ul class="dq-whys">{rows}</ul>', title=_("Why the graph says so"), rows=rows)
        if rows
        else "",
    )


def _in_shown_names(reason: str, seen: Seen) -> str:
    """The proxy's reasons speak of "Chosen" and "Rejected"; the reviewer saw A and B."""
    proxy = seen.view.pair.proxy
    if proxy is None or proxy.prefers is None:
        return reason
    better = seen.showing.shown(proxy.prefers)
    worse = "b" if better == "a" else "a"
    for word, side in (("Chosen", better), ("Rejected", worse)):
        if reason.startswith((f"{word}, ", f"{word}: ")):
            return side.upper() + reason.removeprefix(word)
    return reason


def label_name(label: str) -> str:
    return CLASS_NAMES.get(label, label)
