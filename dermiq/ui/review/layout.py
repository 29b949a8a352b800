"""The frame of the Review tab as HTML: who is signed in, the views, the choices with their keys. Knows no gradio."""

from __future__ import annotations

from markupsafe import Markup

from dermiq.ui.markup import fill, join
from dermiq.ui.review.access import MAX_NAME, Access, Person
from dermiq.ui.review.pair_page import CHOICES

VIEWS = (("work", "Review"), ("split", "Disagreements"), ("quality", "Quality"), ("sets", "Sets and pairs"))
KEYS = (
    ("1", "A is better"),
    ("2", "B is better"),
    ("3", "a tie"),
    ("4", "both are bad"),
    ("s", "skip this pair"),
    ("u", "undo: take the last vote back"),
    ("e, Shift E", "correct A, correct B"),
    ("b", "look back at the pair just judged, with the graph’s marks"),
    ("r", "rubric; in it, digits grade and go on"),
    ("c", "comment"),
    ("f", "fold or unfold the reasoning"),
    ("d", "show or hide what differs"),
    ("z", "zoom the image; then arrow keys move it"),
    ("Escape", "leave a field, the editor or this list"),
    ("?", "this list"),
)
ADMIN_KEYS = (("← →", "A better, B better, when a disagreement is decided"), ("↑ ↓", "a tie, both bad"))
FIRST = Markup(
    '<span class="dq-with-keys"><kbd>?</kbd> shows all keys.</span> What the graph says comes after your vote.'
)
MORE = (("u", "undo", "undo"), ("e", "correct", "correct"), ("?", "help", "keys"))


def frame(person: Person, *, lost: str = "") -> Markup:
    """All that stays while pairs come and go. `data-part`: what the server fills. `lost`: see `Access.lost`."""
    return fill(
        '<div class="dq-review" data-who="{name}" data-mode="work"><header class="dq-review-top">{views}'
        '<p class="dq-pace" data-part="progress"></p><p class="dq-saved" role="status" data-part="saved"></p>'
        '<p class="dq-who">{name}{role} <button type="button" class="dq-link" data-do="sign_out">Sign out</button></p>'
        '</header>{lost}<div data-part="told" role="alert"></div><div data-part="view" hidden></div>'
        '<div data-part="work"><div data-part="pair"><p class="dq-placeholder">Fetching the first pair.</p></div>'
        "{choices}</div>"
        '<dialog class="dq-dialog" data-dialog="look" aria-label="The pair just judged"><form method="dialog">'
        '<button class="dq-button">Back to the pair <kbd>Esc</kbd></button></form><div data-part="look"></div></dialog>'
        "{keys}</div>",
        name=person.name,
        role=", administrator" if person.is_admin else "",
        views=_views(person),
        lost=_notice(lost),
        choices=choices(),
        keys=_keys(person),
    )


def _notice(text: str) -> Markup:
    return fill('<p class="dq-locked" role="status">{text}</p>', text=text) if text else Markup("")


def _views(person: Person) -> Markup:
    shown = [(key, name) for key, name in VIEWS if person.is_admin or key != "split"]
    buttons = join(
        fill(
            '<button type="button" data-view="{key}"{on}>{name}</button>',
            key=key,
            name=name,
            on=Markup(' aria-current="page"') if key == "work" else "",
        )
        for key, name in shown
    )
    return fill('<nav class="dq-review-views" aria-label="Views">{b}</nav>', b=buttons)


def choices() -> Markup:
    """One row, at the foot of the screen whatever the length of the answers."""
    votes = join(_button("choose", key, value, name) for value, key, name in CHOICES)
    rest = join(_button("press", key, value, name) for key, value, name in MORE)
    return fill(
        '<div class="dq-choices" data-choices><div class="dq-toast" data-part="toast" aria-live="polite">{first}</div>'
        '<div role="toolbar" aria-label="Your judgement">{votes}{rest}</div></div>',
        first=FIRST,
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
        name=name,
    )


def _keys(person: Person) -> Markup:
    rows = join(
        fill(
            "<dt>{keys}</dt><dd>{what}</dd>",
            keys=join(fill("<kbd>{k}</kbd>", k=k) for k in keys.split(", ")),
            what=what,
        )
        for keys, what in (*KEYS, *(ADMIN_KEYS if person.is_admin else ()))
    )
    return fill(
        '<dialog class="dq-dialog dq-keys" data-dialog="help" aria-label="Keys"><form method="dialog"><h2>Keys</h2>'
        '<button class="dq-button">Close <kbd>Esc</kbd></button></form><dl>{rows}</dl></dialog>',
        rows=rows,
    )


# --- who is it ------------------------------------------------------------------------------


def sign_in(access: Access, *, refused: str = "", name: str = "") -> Markup:
    """The form; a password is asked for where one is needed."""
    password = access.asks_reviewers or access.asks_admin
    why = (
        "the password that you were given" if access.asks_reviewers else "the administrator’s, for administrators alone"
    )
    return fill(
        '<section class="dq-review-sign-in" data-fields data-enter aria-label="Sign in to review"><h2>Review</h2>'
        "<p>Two answers, side by side, without names: you say which is better. Answers are generated by models "
        "or corrected by people; which is which is not shown. Votes are kept under your name, with "
        "the time that each took.</p>{lost}{error}"
        '<label for="dq-reviewer">Name</label><input id="dq-reviewer" class="dq-field" name="name" maxlength="{most}" '
        'value="{name}" autocomplete="username" spellcheck="false">{password}'
        '<label class="dq-check"><input type="checkbox" name="admin"> Sign in as an administrator (decides '
        "disagreements, freezes sets, puts pairs in)</label>"
        '<p><button type="button" class="dq-button dq-primary" data-do="sign_in">Start</button></p></section>',
        lost=_notice(access.lost),
        error=fill('<p class="dq-error" role="alert">{r}</p>', r=refused) if refused else "",
        most=MAX_NAME,
        name=name,
        password=fill(
            '<label for="dq-review-password">Password <small>{why}</small></label><input id="dq-review-password" '
            'class="dq-field" type="password" name="password" maxlength="200" autocomplete="current-password">',
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
