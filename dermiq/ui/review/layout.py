"""The frame of the Review tab as HTML: who is signed in, the views, the choices with their keys. Knows no gradio."""

from __future__ import annotations

from markupsafe import Markup

from dermiq.language import N_, _, said
from dermiq.ui.markup import fill, join
from dermiq.ui.review.access import MAX_NAME, Access, Person
from dermiq.ui.review.pair_page import CHOICES

VIEWS = (
    ("work", N_("Review")),
    ("split", N_("Disagreements")),
    ("quality", N_("Quality")),
    ("sets", N_("Sets and pairs")),
)
KEYS = (
    ("1", N_("A is better")),
    ("2", N_("B is better")),
    ("3", N_("a tie")),
    ("4", N_("both are bad")),
    ("s", N_("skip this pair")),
    ("u", N_("undo: take the last vote back")),
    ("e, Shift E", N_("correct A, correct B")),
    ("b", N_("look back at the pair just judged, with the graph’s marks")),
    ("r", N_("rubric; in it, digits grade and go on")),
    ("c", N_("comment")),
    ("f", N_("fold or unfold the reasoning")),
    ("d", N_("show or hide what differs")),
    ("z", N_("zoom the image; then arrow keys move it")),
    ("Escape", N_("leave a field, the editor or this list")),
    ("?", N_("this list")),
)
ADMIN_KEYS = (("← →", N_("A better, B better, when a disagreement is decided")), ("↑ ↓", N_("a tie, both bad")))
MORE = (("u", "undo", N_("undo")), ("e", "correct", N_("correct")), ("?", "help", N_("keys")))


def frame(person: Person, *, lost: str = "") -> Markup:
    """All that stays while pairs come and go. `data-part`: what the server fills. `lost`: see `Access.lost`."""
    return fill(
        '<div class="dq-review" data-who="{name}" data-mode="work"><header class="dq-review-top">{views}'
        '<p class="dq-pace" data-part="progress"></p><p class="dq-saved" role="status" data-part="saved"></p>'
        '<p class="dq-who">{name}{role} <button type="button" class="dq-link" data-do="sign_out">{out}</button></p>'
        '</header>{lost}<div data-part="told" role="alert"></div><div data-part="view" hidden></div>'
        '<div data-part="work"><div data-part="pair"><p class="dq-placeholder">{fetching}</p></div>'
        "{choices}</div>"
        '<dialog class="dq-dialog" data-dialog="look" aria-label="{judged}"><form method="dialog">'
        '<button class="dq-button">{back} <kbd>Esc</kbd></button></form><div data-part="look"></div></dialog>'
        "{keys}</div>",
        name=person.name,
        role=f", {_('administrator')}" if person.is_admin else "",
        out=_("Sign out"),
        fetching=_("Fetching the first pair."),
        judged=_("The pair just judged"),
        back=_("Back to the pair"),
        views=_views(person),
        lost=_notice(lost),
        choices=choices(),
        keys=_keys(person),
    )


def _notice(text: str) -> Markup:
    return fill('<p class="dq-locked" role="status">{text}</p>', text=said(text)) if text else Markup("")


def _views(person: Person) -> Markup:
    shown = [(key, name) for key, name in VIEWS if person.is_admin or key != "split"]
    buttons = join(
        fill(
            '<button type="button" data-view="{key}"{on}>{name}</button>',
            key=key,
            name=_(name),
            on=Markup(' aria-current="page"') if key == "work" else "",
        )
        for key, name in shown
    )
    return fill('<nav class="dq-review-views" aria-label="{label}">{b}</nav>', label=_("Views"), b=buttons)


def choices() -> Markup:
    """One row, at the foot of the screen whatever the length of the answers."""
    votes = join(_button("choose", key, value, name) for value, key, name in CHOICES)
    rest = join(_button("press", key, value, name) for key, value, name in MORE)
    return fill(
        '<div class="dq-choices" data-choices><div class="dq-toast" data-part="toast" aria-live="polite">{first}</div>'
        '<div role="toolbar" aria-label="{label}">{votes}{rest}</div></div>',
        first=fill(
            '<span class="dq-with-keys"><kbd>?</kbd> {keys}</span> {graph}',
            keys=_("shows all keys."),
            graph=_("What the graph says comes after your vote."),
        ),
        label=_("Your judgement"),
        votes=votes,
        rest=rest,
    )


def _button(kind: str, key: str, value: str, name: str) -> Markup:
    return fill(
        '<button type="button" class="dq-choice" data-{kind}="{value}" aria-keyshortcuts="{key}">'
        "<kbd>{key}</kbd> {name}</button>",
        kind=kind,
        value=value,
        key=key,
        name=_(name),
    )


def _keys(person: Person) -> Markup:
    rows = join(
        fill(
            "<dt>{keys}</dt><dd>{what}</dd>",
            keys=join(fill("<kbd>{k}</kbd>", k=k) for k in keys.split(", ")),
            what=_(what),
        )
        for keys, what in (*KEYS, *(ADMIN_KEYS if person.is_admin else ()))
    )
    return fill(
        '<dialog class="dq-dialog dq-keys" data-dialog="help" aria-label="{title}"><form method="dialog">'
        '<h2>{title}</h2><button class="dq-button">{close} <kbd>Esc</kbd></button></form><dl>{rows}</dl></dialog>',
        title=_("Keys"),
        close=_("Close"),
        rows=rows,
    )


# --- who is it ------------------------------------------------------------------------------


def sign_in(access: Access, *, refused: str = "", name: str = "") -> Markup:
    """The form; a password is asked for where one is needed."""
    password = access.asks_reviewers or access.asks_admin
    why = (
        _("the password that you were given")
        if access.asks_reviewers
        else _("the administrator’s, for administrators alone")
    )
    return fill(
        '<section class="dq-review-sign-in" data-fields data-enter aria-label="{label}"><h2>{title}</h2>'
        "<p>{about}</p>{lost}{error}"
        '<label for="dq-reviewer">{called}</label><input id="dq-reviewer" class="dq-field" name="name" '
        'maxlength="{most}" value="{name}" autocomplete="username" spellcheck="false">{password}'
        '<label class="dq-check"><input type="checkbox" name="admin"> {admin}</label>'
        '<p><button type="button" class="dq-button dq-primary" data-do="sign_in">{start}</button></p></section>',
        label=_("Sign in to review"),
        title=_("Review"),
        about=_(
            "Two answers, side by side, without names: you say which is better. Answers are generated by models or "
            "corrected by people; which is which is not shown. Votes are kept under your name, with the time that each "
            "took."
        ),
        called=_("Name"),
        admin=_("Sign in as an administrator (decides disagreements, freezes sets, puts pairs in)"),
        start=_("Start"),
        lost=_notice(access.lost),
        error=fill('<p class="dq-error" role="alert">{r}</p>', r=refused) if refused else "",
        most=MAX_NAME,
        name=name,
        password=fill(
            '<label for="dq-review-password">{word} <small>{why}</small></label><input id="dq-review-password" '
            'class="dq-field" type="password" name="password" maxlength="200" autocomplete="current-password">',
            word=_("Password"),
            why=why,
        )
        if password
        else "",
    )


def read_only(why: str, body: Markup) -> Markup:
    """For a public page that names no reviewers: figures, and neither a pair nor an image."""
    return fill(
        '<div class="dq-review"><p class="dq-locked" role="status">{why}</p><div data-part="view">{body}</div></div>',
        why=why,
        body=body,
    )
