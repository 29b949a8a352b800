"""Edit-to-correct as HTML: the answer's own text in a field, and what the graph says of it beside. Knows no gradio."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from dermiq.language import N_, _
from dermiq.ui.markup import fill, join
from dermiq.ui.prose import Sources, cards, counts, paragraphs, reasoning_list, split_text
from dermiq.ui.review.verdicts import MAX_TEXT

HELP = N_(
    "Your text becomes the answer that training prefers. Tags in angle brackets part reasoning, answer and "
    "explanation: leave them where they are."
)


def editor(a: str, b: str, corrected: Mapping[str, str], drafts: Mapping[str, str]) -> Markup:
    """Hidden until it is asked for, or until a draft comes back. `corrected` and `drafts`: texts by "a" and "b"."""
    written = {**corrected, **drafts}
    sides = (("a", a), ("b", b))
    first = next((side for side, _ in sides if side in drafts), "")
    return fill(
        '<section class="dq-editor" data-editor aria-label="{title}"{hidden}><h3>{title}</h3>'
        '<div class="dq-switch" role="radiogroup" aria-label="{which}">{radios}</div>'
        '<div class="dq-editing">{fields}<div class="dq-graph-says" data-marks role="region" '
        'aria-label="{says}" aria-live="polite"></div></div>'
        '<p class="dq-fine">{help}</p>'
        '<p class="dq-editor-buttons"><button type="button" class="dq-button dq-primary" data-correct="save" '
        'aria-keyshortcuts="Control+Enter">{save} <kbd>Ctrl Enter</kbd></button>'
        '<button type="button" class="dq-button" data-correct="close">{close} <kbd>Esc</kbd></button>'
        '<button type="button" class="dq-quiet" data-correct="reset">{reset}</button></p></section>',
        title=_("Correct an answer"),
        which=_("Which answer to correct"),
        says=_("What the graph says of the correction"),
        save=_("Save correction"),
        close=_("Close"),
        reset=_("Back to the model’s text"),
        hidden="" if first else Markup(" hidden"),
        radios=join(_radio(side, on=side == (first or "a")) for side, _ in sides),
        fields=join(_field(side, text, written.get(side, text), shown=side == (first or "a")) for side, text in sides),
        help=_(HELP),
    )


def _radio(side: str, *, on: bool) -> Markup:
    return fill(
        '<label><input type="radio" name="correcting" value="{side}"{on}><span>{title}</span></label>',
        side=side,
        on=Markup(" checked") if on else "",
        title=_("Correct {name}").format(name=side.upper()),
    )


def _field(side: str, text: str, draft: str, *, shown: bool) -> Markup:
    """`data-text` keeps what the model said, so that one button brings it back. The line break after the tag is not
    part of the text: HTML drops it, and would else drop the text's own first one.
    """
    return fill(
        '<textarea data-edit="{side}" data-text="{text}" maxlength="{most}" rows="12" spellcheck="true" '
        'aria-label="{label}"{hidden}>\n{draft}</textarea>',
        side=side,
        text=text,
        most=MAX_TEXT,
        label=_("Corrected answer {name}").format(name=side.upper()),
        hidden="" if shown else Markup(" hidden"),
        draft=draft,
    )


def checked(text: str, sources: Sources) -> Markup:
    """The corrected text with the graph's marks, and how many sentences stand how."""
    parts = split_text(text)
    return fill(
        '<p class="dq-fine">{head} {said}.</p>{reasoning}{prose}{cards}',
        head=_("Checked against the graph:"),
        said=counts(sources.claims) or _("no sentence to check"),
        reasoning=reasoning_list(parts.reasoning, sources) if parts.reasoning else "",
        prose=paragraphs(parts.prose, sources),
        cards=cards(sources),
    )
