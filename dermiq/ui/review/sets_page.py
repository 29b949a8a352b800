"""Frozen sets and where pairs come from, as HTML: freeze, read the card, download, train, put in. Knows no gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dermiq.language import N_, _, ngettext
from dermiq.review.types import FrozenSet, SetRule
from dermiq.ui.facts import folded
from dermiq.ui.markup import fill, join

RULES = (
    ("majority", N_("what more than half say")),
    ("adjudicated", N_("what all say, or an administrator decided")),
)
TICKS = (
    ("with_edits", True, N_("corrections are chosen over what they correct")),
    ("exclude_gold", True, N_("leave out pairs with a known answer")),
    ("proxy_only", False, N_("add pairs that nobody judged, as the graph decides")),
)
ABOUT_FILES = N_(
    "JSONL, JSON, CSV, TSV or Parquet in TRL’s columns (prompt, chosen, rejected; images, if any). With images: a zip "
    "of the file and its images, or all of them chosen at once. What the browser cannot send at once, above 35 MB, the "
    "command python -m dermiq review import FILE takes."
)


@dataclass(frozen=True)
class Made:
    """Pairs that a run of this computer has written."""

    run: str
    pairs: int


def page(sets: Sequence[FrozenSet], made: Sequence[Made], *, is_admin: bool) -> Markup:
    forms = join([_freeze(), _put(made)]) if is_admin else Markup("")
    return fill('<div class="dq-sets">{list}{forms}</div>', list=_list(sets, is_admin=is_admin), forms=forms)


# --- what is frozen ---------------------------------------------------------------------


def _list(sets: Sequence[FrozenSet], *, is_admin: bool) -> Markup:
    if not sets:
        return fill(
            '<section class="dq-sheet"><h2>{title}</h2><p class="dq-placeholder">{line}</p></section>',
            title=_("Sets"),
            line=_(
                "No set is frozen yet. A set keeps what was decided until then, for good, and training takes it by its "
                "name."
            ),
        )
    rows = join(_set(frozen, is_admin=is_admin) for frozen in reversed(sets))
    return fill(
        '<section class="dq-sheet"><h2>{title}</h2><ul class="dq-frozen">{rows}</ul></section>',
        title=_("Sets"),
        rows=rows,
    )


def _set(frozen: FrozenSet, *, is_admin: bool) -> Markup:
    named = f"{frozen.name}@{frozen.version}"
    return fill(
        '<li><p><strong>{named}</strong> {pairs} <span class="dq-muted">{rule}; {frozen}</span></p>{actions}{card}'
        "</li>",
        named=named,
        pairs=_("{n} pairs").format(n=frozen.pairs),
        rule=rule_words(frozen.rule),
        frozen=_("frozen {time} UTC by {name}").format(time=f"{frozen.made_at:%Y-%m-%d %H:%M}", name=frozen.made_by),
        actions=_actions(named) if is_admin else "",
        card=folded(_("Data card"), fill('<pre class="dq-card-text">{c}</pre>', c=frozen.card)),
    )


def _actions(named: str) -> Markup:
    return fill(
        '<p class="dq-go"><button type="button" class="dq-button dq-primary" data-do="train" data-value="{n}">{train}'
        '</button><button type="button" class="dq-button" data-do="download" data-value="{n}">'
        "{download}</button>"
        '<span class="dq-fine">{what}</span></p>',
        train=_("Train with this set"),
        download=_("Download"),
        what=_("JSONL and Parquet in TRL’s columns, images, card"),
        n=named,
    )


def rule_words(rule: SetRule) -> str:
    votes = ngettext("at least {n} vote", "at least {n} votes", rule.min_votes).format(n=rule.min_votes)
    said = [_(dict(RULES)[rule.rule]), votes]
    said += [_("margin from {n}").format(n=f"{rule.min_margin:g}")] if rule.min_margin else []
    said += [_("with corrections")] if rule.with_edits else []
    said += [_("with pairs that the graph alone decides")] if rule.proxy_only else []
    return ", ".join(said)


def _freeze() -> Markup:
    options = join(fill('<option value="{v}">{v}: {words}</option>', v=v, words=_(words)) for v, words in RULES)
    ticks = join(
        fill(
            '<label class="dq-check"><input type="checkbox" name="{name}"{on}> {words}</label>',
            name=name,
            on=Markup(" checked") if on else "",
            words=_(words),
        )
        for name, on, words in TICKS
    )
    return fill(
        '<section class="dq-sheet" data-fields data-enter aria-label="{title}"><h2>{title}</h2><div class='
        '"dq-rule">{fields}</div>{ticks}<p class="dq-go"><button type="button" class="dq-button dq-primary" '
        'data-do="freeze">{freeze}</button><span class="dq-fine">{note}</span></p>'
        "</section>",
        title=_("Freeze a set"),
        freeze=_("Freeze"),
        note=_("The same name again makes the next version."),
        fields=join(
            [
                _field(_("Name"), Markup('<input class="dq-field" name="name" maxlength="64" value="preferences">')),
                _field(_("Rule"), fill('<select class="dq-field" name="rule">{o}</select>', o=options)),
                _field(_("Votes, at least"), _number("min_votes", "1", "1")),
                _field(_("Margin, at least"), _number("min_margin", "0", "any")),
            ]
        ),
        ticks=ticks,
    )


def _field(title: str, control: Markup) -> Markup:
    return fill("<label><span>{title}</span>{control}</label>", title=title, control=control)


def _number(name: str, value: str, step: str) -> Markup:
    return fill(
        '<input class="dq-field" type="number" name="{name}" value="{value}" min="0" step="{step}" '
        'inputmode="decimal">',
        name=name,
        value=value,
        step=step,
    )


# --- where pairs come from --------------------------------------------------------------


def _put(made: Sequence[Made]) -> Markup:
    runs = join(
        fill(
            '<li>{run} <span class="dq-muted">{pairs}</span> <button type="button" class="dq-quiet" '
            'data-do="put_run" data-value="{run}">{put}</button></li>',
            run=one.run,
            pairs=_("{n} pairs").format(n=one.pairs),
            put=_("Put into the queue"),
        )
        for one in made
    )
    return fill(
        '<section class="dq-sheet" aria-label="{title}"><h2>{title}</h2><p class="dq-fine">{about}</p><p '
        'class="dq-go"><label class="dq-pick">{choose}<input type="file" multiple data-do="put_files">'
        "</label></p>{runs}</section>",
        title=_("Put pairs in"),
        about=_(ABOUT_FILES),
        choose=_("Choose files"),
        runs=fill('<h3>{t}</h3><ul class="dq-frozen">{r}</ul>', t=_("From runs on this computer"), r=runs)
        if made
        else "",
    )
