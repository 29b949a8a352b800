"""What a question was understood to ask, as words on the page: a mark that can be corrected, and what to ask next.

Knows no gradio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from dermiq.language import N_, _
from dermiq.ui.consult.visit import Exchange
from dermiq.ui.markup import fill, join

INTENTS: Mapping[str, str] = {
    "why": N_("the reasons"),
    "why_not": N_("why not another diagnosis"),
    "against": N_("what speaks against it"),
    "compare": N_("a comparison"),
    "change_of_mind": N_("what would change the answer"),
    "settle": N_("what would settle it"),
    "biopsy": N_("biopsy"),
    "urgency": N_("how urgent it is"),
    "treatment": N_("treatment"),
    "prognosis": N_("how it goes on"),
    "risk_factors": N_("causes and risks"),
    "dermoscopy": N_("dermoscopic signs"),
    "monitor": N_("what to watch for"),
    "plain_words": N_("plain words for the patient"),
    "what_is": N_("what something is"),
    "other": N_("something else about the skin"),
}
OUT = N_("not about the skin")
PLAIN_WORDS = N_("Explain it in plain words for the patient.")
FIRST = (N_("What is this lesion, and why?"), N_("What speaks for and against malignancy?"), N_("Is it urgent?"))
WHY_NOT = N_("Why not {diagnosis}?")
SHOWN = 4  # suggestions


def understood_mark(exchange: Exchange, *, can_correct: bool) -> Markup:
    """ "Understood as: treatment · melanoma", as a choice where it can be corrected."""
    told = exchange.understood
    if told is None:
        return Markup("")
    about = f" · {', '.join(told.about)}" if told.about and told.intent else ""
    if not can_correct:
        said = _(INTENTS.get(told.intent, OUT))
        return fill(
            '<p class="dq-understood">{head} {said}{about}</p>', head=_("Understood as:"), said=said, about=about
        )
    names = INTENTS if told.intent else {"": OUT, **INTENTS}
    options = join(
        fill(
            '<option value="{key}"{on}>{name}</option>',
            key=key,
            name=_(name),
            on=Markup(" selected") if key == told.intent else "",
        )
        for key, name in names.items()
    )
    return fill(
        '<p class="dq-understood"><label>{head} <select data-event="understood" data-index="{key}" '
        'aria-label="{label}">{options}</select></label>{about}</p>',
        head=_("Understood as:"),
        key=exchange.key,
        label=_("What the question was understood to ask. Choose another meaning to ask it again."),
        options=options,
        about=about,
    )


def next_questions(exchanges: Sequence[Exchange]) -> tuple[str, ...]:
    """Questions to start with or to go on with: by the case, none whose meaning was asked before."""
    done = [exchange for exchange in exchanges if exchange.phase == "done"]
    if not done:
        return FIRST
    asked = {exchange.understood.intent for exchange in done if exchange.understood}
    return tuple(text for intent, text in _offered(done[-1]) if intent not in asked)[:SHOWN]


def _offered(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """(intent, question) in the order of their use: what is dangerous or in doubt comes first."""
    own = next((d for d in exchange.differentials if d.reader == "vlm"), None)
    second = own.candidates[1].diagnosis.name if own and len(own.candidates) > 1 else ""
    if exchange.urgency is not None and exchange.urgency.level in ("urgent", "soon"):
        yield "urgency", N_("How soon must it be seen, and why?")
    if second:
        yield "why_not", WHY_NOT.format(diagnosis=second)
    yield "plain_words", PLAIN_WORDS
    yield "settle", N_("What would settle it?")
    yield "treatment", N_("How is it treated?")
    yield "against", N_("What speaks against your answer?")
    yield "urgency", N_("Is it urgent?")
    yield "monitor", N_("What should be watched for?")
    yield "prognosis", N_("How does it go on?")
    yield "risk_factors", N_("What raises the risk of it?")
    yield "dermoscopy", N_("What would dermoscopy show?")


def shown(question: str) -> str:
    """A question as the page shows it. What is suggested is asked in English, which the models read."""
    before, after = WHY_NOT.split("{diagnosis}")
    if question.startswith(before) and question.endswith(after):
        return _(WHY_NOT).format(diagnosis=question.removeprefix(before).removesuffix(after))
    return _(question)


def points_of(exchange: Exchange) -> Markup:
    """What a good answer speaks of, to be opened."""
    points = exchange.answer.points if exchange.answer else ()
    if not points or not exchange.answer or not exchange.answer.intent:
        return Markup("")
    return fill(
        '<details class="dq-points" data-open="no"><summary>{title}</summary><ul>{rows}</ul></details>',
        title=_("What a good answer speaks of ({count})").format(count=len(points)),
        rows=join(fill("<li>{p}</li>", p=point) for point in points),
    )
