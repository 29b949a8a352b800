"""Frozen sets and where pairs come from, as HTML: freeze, read the card, download, train, put in. Knows no gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dermiq.review.types import FrozenSet, SetRule
from dermiq.ui.facts import folded
from dermiq.ui.markup import fill, join

RULES = (("majority", "what more than half say"), ("adjudicated", "what all say, or an administrator decided"))
TICKS = (
    ("with_edits", True, "corrections are chosen over what they correct"),
    ("exclude_gold", True, "leave out pairs with a known answer"),
    ("proxy_only", False, "add pairs that nobody judged, as the graph decides"),
)
ABOUT_FILES = (
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
        return Markup(
            '<section class="dq-sheet"><h2>Sets</h2><p class="dq-placeholder">No set is frozen yet. A set keeps what '
            "was decided until then, for good, and training takes it by its name.</p></section>"
        )
    rows = join(_set(frozen, is_admin=is_admin) for frozen in reversed(sets))
    return fill('<section class="dq-sheet"><h2>Sets</h2><ul class="dq-frozen">{rows}</ul></section>', rows=rows)


def _set(frozen: FrozenSet, *, is_admin: bool) -> Markup:
    named = f"{frozen.name}@{frozen.version}"
    return fill(
        '<li><p><strong>{named}</strong> {pairs} pairs <span class="dq-muted">{rule}; frozen {at:%Y-%m-%d %H:%M} UTC '
        "by {by}</span></p>{actions}{card}</li>",
        named=named,
        pairs=frozen.pairs,
        rule=rule_words(frozen.rule),
        at=frozen.made_at,
        by=frozen.made_by,
        actions=_actions(named) if is_admin else "",
        card=folded("Data card", fill('<pre class="dq-card-text">{c}</pre>', c=frozen.card)),
    )


def _actions(named: str) -> Markup:
    return fill(
        '<p class="dq-go"><button type="button" class="dq-button dq-primary" data-do="train" data-value="{n}">Train '
        'with this set</button><button type="button" class="dq-button" data-do="download" data-value="{n}">'
        "Download</button>"
        '<span class="dq-fine">JSONL and Parquet in TRL’s columns, images, card</span></p>',
        n=named,
    )


def rule_words(rule: SetRule) -> str:
    said = [dict(RULES)[rule.rule], f"at least {rule.min_votes} vote{'' if rule.min_votes == 1 else 's'}"]
    said += [f"margin from {rule.min_margin:g}"] if rule.min_margin else []
    said += ["with corrections"] if rule.with_edits else []
    said += ["with pairs that the graph alone decides"] if rule.proxy_only else []
    return ", ".join(said)


def _freeze() -> Markup:
    options = join(fill('<option value="{v}">{v}: {words}</option>', v=v, words=words) for v, words in RULES)
    ticks = join(
        fill(
            '<label class="dq-check"><input type="checkbox" name="{name}"{on}> {words}</label>',
            name=name,
            on=Markup(" checked") if on else "",
            words=words,
        )
        for name, on, words in TICKS
    )
    return fill(
        '<section class="dq-sheet" data-fields data-enter aria-label="Freeze a set"><h2>Freeze a set</h2><div class='
        '"dq-rule">{fields}</div>{ticks}<p class="dq-go"><button type="button" class="dq-button dq-primary" '
        'data-do="freeze">Freeze</button><span class="dq-fine">The same name again makes the next version.</span></p>'
        "</section>",
        fields=join(
            [
                _field("Name", Markup('<input class="dq-field" name="name" maxlength="64" value="preferences">')),
                _field("Rule", fill('<select class="dq-field" name="rule">{o}</select>', o=options)),
                _field("Votes, at least", _number("min_votes", "1", "1")),
                _field("Margin, at least", _number("min_margin", "0", "any")),
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
            '<li>{run} <span class="dq-muted">{n} pairs</span> <button type="button" class="dq-quiet" '
            'data-do="put_run" data-value="{run}">Put into the queue</button></li>',
            run=one.run,
            n=one.pairs,
        )
        for one in made
    )
    return fill(
        '<section class="dq-sheet" aria-label="Put pairs in"><h2>Put pairs in</h2><p class="dq-fine">{about}</p><p '
        'class="dq-go"><label class="dq-pick">Choose files<input type="file" multiple data-do="put_files">'
        "</label></p>{runs}</section>",
        about=ABOUT_FILES,
        runs=fill('<h3>From runs on this computer</h3><ul class="dq-frozen">{r}</ul>', r=runs) if made else "",
    )
