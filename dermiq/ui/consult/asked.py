"""What a question was understood to ask, as words on the page: a mark that can be corrected, and what to ask next.

Knows no gradio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from dermiq.ui.consult.visit import Exchange
from dermiq.ui.markup import fill, join

INTENTS: Mapping[str, str] = {
    "why": "the reasons",
    "why_not": "why not another diagnosis",
    "against": "what speaks against it",
    "compare": "a comparison",
    "change_of_mind": "what would change the answer",
    "settle": "what would settle it",
    "biopsy": "biopsy",
    "urgency": "how urgent it is",
    "treatment": "treatment",
    "prognosis": "how it goes on",
    "risk_factors": "causes and risks",
    "dermoscopy": "dermoscopic signs",
    "monitor": "what to watch for",
    "plain_words": "plain words for the patient",
    "what_is": "what something is",
    "other": "something else about the skin",
}
OUT = "not about the skin"
PLAIN_WORDS = "Explain it in plain words for the patient."
FIRST = ("What is this lesion, and why?", "What speaks for and against malignancy?", "Is it urgent?")
SHOWN = 4  # suggestions


def understood_mark(exchange: Exchange, *, can_correct: bool) -> Markup:
    """ "Understood as: treatment · melanoma", as a choice where it can be corrected."""
    told = exchange.understood
    if told is None:
        return Markup("")
    about = f" · {', '.join(told.about)}" if told.about and told.intent else ""
    if not can_correct:
        said = INTENTS.get(told.intent, OUT)
        return fill('<p class="dq-understood">Understood as: {said}{about}</p>', said=said, about=about)
    names = INTENTS if told.intent else {"": OUT, **INTENTS}
    options = join(
        fill(
            '<option value="{key}"{on}>{name}</option>',
            key=key,
            name=name,
            on=Markup(" selected") if key == told.intent else "",
        )
        for key, name in names.items()
    )
    return fill(
        '<p class="dq-understood"><label>Understood as: <select data-event="understood" data-index="{key}" '
        'aria-label="What the question was understood to ask. Choose another meaning to ask it again.">'
        "{options}</select></label>{about}</p>",
        key=exchange.key,
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
        yield "urgency", "How soon must it be seen, and why?"
    if second:
        yield "why_not", f"Why not {second}?"
    yield "plain_words", PLAIN_WORDS
    yield "settle", "What would settle it?"
    yield "treatment", "How is it treated?"
    yield "against", "What speaks against your answer?"
    yield "urgency", "Is it urgent?"
    yield "monitor", "What should be watched for?"
    yield "prognosis", "How does it go on?"
    yield "risk_factors", "What raises the risk of it?"
    yield "dermoscopy", "What would dermoscopy show?"


def points_of(exchange: Exchange) -> Markup:
    """What a good answer speaks of, to be opened."""
    points = exchange.answer.points if exchange.answer else ()
    if not points or not exchange.answer or not exchange.answer.intent:
        return Markup("")
    return fill(
        '<details class="dq-points" data-open="no"><summary>What a good answer speaks of ({count})</summary>'
        "<ul>{rows}</ul></details>",
        count=len(points),
        rows=join(fill("<li>{p}</li>", p=point) for point in points),
    )
