"""The conversation as HTML. Knows no gradio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from markupsafe import Markup

from dermiq.language import _, ngettext, said
from dermiq.report import GENERATED
from dermiq.types import CLASS_NAMES, Evidence, OwnWords
from dermiq.ui.consult import asked
from dermiq.ui.consult.panels import URGENCY_WORDS, abstention_banner, check_lines
from dermiq.ui.consult.visit import RUNNING, Exchange
from dermiq.ui.markup import THIN, capital, error_line, fill, join, spoken
from dermiq.ui.prose import (
    Parts,
    Sources,
    cards,
    counts,
    locate,
    mark,
    paragraphs,
    plain,
    reasoning_list,
    split_text,
    steps,
)

QUESTIONS = asked.FIRST


def chat(
    exchanges: Sequence[Exchange],
    *,
    has_image: bool,
    reader: str,
    name: Callable[[str], str] = str,
    after: Callable[[Exchange], Markup] = lambda _: Markup(""),
) -> Markup:
    """All exchanges, the newest open and the older ones' reasoning folded. `name`: of a node of the graph. `after`:
    what stands below an answer.
    """
    if not exchanges:
        text = (
            _("Ask a question about the lesion, or choose one below. Reasoning, sources and checks appear here.")
            if has_image
            else _("Start with an image of one lesion, or with a drawn example. The conversation appears here.")
        )
        return fill(
            '<div class="dq-chat dq-chat-empty"><p class="dq-placeholder">{text}</p></div>{spoken}',
            text=text,
            spoken=spoken(""),
        )
    last = len(exchanges) - 1
    rows = join(_exchange(e, i == last, reader, name, after(e)) for i, e in enumerate(exchanges))
    busy = exchanges[-1].phase in RUNNING
    return fill(
        '<div class="dq-chat" role="log" tabindex="0" aria-label="{name}" aria-live="off" aria-busy="{busy}">'
        "{rows}</div>{spoken}",
        name=_("Conversation"),
        busy="true" if busy else "false",
        rows=rows,
        spoken=spoken(in_short(exchanges[-1])),
    )


def in_short(exchange: Exchange) -> str:
    """How far an answer is; once it is there what it names, how urgent that is, and what its image check found."""
    parts = split_text(exchange.text)
    if exchange.phase in RUNNING:
        return _doing(exchange, parts)
    if exchange.phase == "abstained":
        return " ".join([_("No reading."), *([said(exchange.abstention.message)] if exchange.abstention else [])])
    if exchange.phase in ("stopped", "failed"):
        return _("Stopped.") if exchange.phase == "stopped" else ""  # an error speaks for itself
    named = _("Answered: {name}.").format(name=answered(parts)) if parts.answer else _("Answered.")
    level = exchange.urgency.level if exchange.urgency else "none"
    checked = [check.message for check in exchange.checks if check.code == "image_matters"]
    return " ".join([named, *([] if level == "none" else [f"{_(URGENCY_WORDS[level])}."]), *checked])


def suggestions(exchanges: Sequence[Exchange], *, has_image: bool) -> Markup:
    """Questions to start or to go on with; the place is kept while there is nothing to ask about."""
    offered = asked.next_questions(exchanges)
    busy = not has_image or (bool(exchanges) and exchanges[-1].phase in RUNNING)
    buttons = join(
        fill(
            '<button type="button" class="dq-suggest" data-event="suggest" data-text="{q}"{off}>{shown}</button>',
            q=q,
            shown=asked.shown(q),
            off=Markup(" disabled") if busy else "",
        )
        for q in offered
    )
    return fill(
        '<div class="dq-suggestions" role="group" aria-label="{name}">{b}</div>',
        name=_("Suggested questions"),
        b=buttons,
    )


def sources_of(exchange: Exchange, name: Callable[[str], str] = str) -> Sources:
    return Sources(
        key=exchange.key,
        evidence=exchange.evidence or Evidence(),
        claims=exchange.claims,
        findings=exchange.findings,
        facts=exchange.urgency.facts if exchange.urgency else (),
        name=name,
    )


def _exchange(exchange: Exchange, is_last: bool, reader: str, name: Callable[[str], str], after: Markup) -> Markup:
    return fill(
        '<article class="dq-turn dq-user"><h3>{you}</h3><p>{question}</p>{understood}</article>'
        '<article class="dq-turn dq-answer" data-key="{key}"><h3>{reader}</h3>{generated}{body}{after}</article>',
        you=_("You"),
        question=asked.shown(exchange.question),
        understood=asked.understood_mark(exchange, can_correct=is_last and exchange.phase in ("done", "stopped")),
        key=exchange.key,
        reader=reader,
        generated=_generated(exchange),
        body=_body(exchange, is_last, name),
        after=after,
    )


def _generated(exchange: Exchange) -> Markup:
    """That a model writes this; nothing where all of it is the program's own, or nothing was written."""
    written = exchange.text.removesuffix(exchange.own.text) if exchange.own else exchange.text
    if not written.strip() and exchange.phase not in RUNNING:
        return Markup("")
    return fill('<p class="dq-fine">{said}</p>', said=_(GENERATED))


def _body(exchange: Exchange, is_last: bool, name: Callable[[str], str]) -> Markup:
    sources = sources_of(exchange, name)
    parts = split_text(exchange.text)
    done = exchange.phase in {"done", "stopped"}
    pieces = [
        abstention_banner(exchange.abstention, insisted=exchange.insisted) if exchange.abstention else Markup(""),
        _reasoning(exchange, parts, sources, is_last),
        _before(is_last) if exchange.before else Markup(""),
        headline(parts),
        *_prose(exchange, parts, sources),
        _progress(exchange, parts),
        fill('<p class="dq-cut">{said}</p>', said=_("Stopped by you. What was written so far is cut here."))
        if exchange.phase == "stopped"
        else Markup(""),
        error_line(said(exchange.error)) if exchange.error else Markup(""),
        _verdicts(exchange, sources) if done else Markup(""),
        asked.points_of(exchange) if done else Markup(""),
        _notes(exchange.notes),
        check_lines(exchange.checks) if done else Markup(""),
        _actions(exchange, is_last),
        cards(sources),
    ]
    return join(pieces)


def _before(is_last: bool) -> Markup:
    """That nobody waited for this answer, and how to wait for it."""
    live = f" {_('Retry runs it live.')}" if is_last else ""
    said = _("Answered before by this very model.")
    return fill('<p class="dq-fine dq-before">{said}{live}</p>', said=said, live=live)


def _prose(exchange: Exchange, parts: Parts, sources: Sources) -> list[Markup]:
    """What the model wrote and, behind it or in its place, what the program said itself."""
    own = exchange.own
    if own is None:
        return [paragraphs(parts.prose, sources)]
    written = paragraphs(own.beside(parts.prose), sources)
    return [own_words(own, sources), written] if own.is_first else [written, own_words(own, sources)]


def own_words(own: OwnWords, sources: Sources) -> Markup:
    """The program's own words under a mark that says so; what the model wrote in their place can be opened."""
    left = replace(sources, key=f"{sources.key}-left", claims=own.replaced_claims)
    parts = split_text(own.replaced)
    model = fill(
        '<details class="dq-left" data-open="no"><summary>{title}</summary>{steps}{text}{cards}</details>',
        title=_("What the model wrote"),
        steps=reasoning_list(parts.reasoning, left) if parts.reasoning else "",
        text=paragraphs(parts.prose, left),
        cards=cards(left),
    )
    return fill(
        '<section class="dq-own" aria-label="{label}">'
        '<p class="dq-own-why"><span class="dq-own-tag">{tag}</span> {why}</p>{text}{model}</section>',
        label=_("Said by the program, not by the model"),
        tag=_("Program"),
        why=own.why,
        text=paragraphs(own.text, sources),
        model=model if own.replaced else "",
    )


def _reasoning(exchange: Exchange, parts: Parts, sources: Sources, is_last: bool) -> Markup:
    if not parts.reasoning:
        return Markup("")
    count = len(steps(parts.reasoning))
    took = f", {exchange.reasoned:.0f}{THIN}s" if exchange.reasoned is not None and exchange.reasoned >= 1 else ""
    title = (
        _("Reasoning")
        if parts.thinking
        else ngettext("Reasoning ({n} step{took})", "Reasoning ({n} steps{took})", count).format(n=count, took=took)
    )
    return fill(
        '<details class="dq-reasoning" data-open="{open}"{attribute}><summary>{title}</summary>{steps}</details>',
        open="yes" if is_last else "no",
        attribute=Markup(" open") if is_last else "",
        title=title,
        steps=reasoning_list(parts.reasoning, sources),
    )


def headline(parts: Parts) -> Markup:
    """The option that the text chose, in full; nothing where it chose none."""
    if not parts.answer:
        return Markup("")
    return fill('<p class="dq-headline"><span>{head}</span> {a}</p>', head=_("Answer"), a=answered(parts))


def answered(parts: Parts) -> str:
    """The option as the page calls it."""
    return capital(CLASS_NAMES.get(parts.answer.lower(), parts.answer))


def _progress(exchange: Exchange, parts: Parts) -> Markup:
    if exchange.phase not in RUNNING:
        return Markup("")
    return fill(
        '<p class="dq-progress"><span class="dq-pulse" aria-hidden="true"></span>{said}</p>',
        said=_doing(exchange, parts),
    )


def _doing(exchange: Exchange, parts: Parts) -> str:
    """What is done for an exchange that runs."""
    return {
        "waiting": exchange.note or _("Waiting for the model."),
        "reading": _("Reading the image."),
        "writing": _("Reasoning.") if parts.thinking else _("Writing."),
    }[exchange.phase]


def _verdicts(exchange: Exchange, sources: Sources) -> Markup:
    """How many sentences stand how, and the checked sentences that could not be found in the text."""
    if not exchange.claims:
        return Markup("")
    found = {i for block in _blocks(exchange.text) for _, _, i in locate(block, exchange.claims)}
    missing = [i for i, c in enumerate(exchange.claims) if i not in found and not c.text.rstrip().endswith(":")]
    rest = join(fill("<li>{t}{m}</li>", t=exchange.claims[i].text, m=mark(i, sources)) for i in missing)
    return fill(
        '<p class="dq-fine dq-verdicts">{head} {counts}.</p>{rest}',
        head=_("Sentences checked against graph and measurements:"),
        counts=counts(exchange.claims),
        rest=fill('<ul class="dq-rest">{rest}</ul>', rest=rest) if missing else "",
    )


def _blocks(text: str) -> list[str]:
    parts = split_text(text)
    return [t for _, t in steps(parts.reasoning)] + [parts.prose]


def _notes(notes: Sequence[str]) -> Markup:
    if not notes:
        return Markup("")
    rows = join(fill("<li>{n}</li>", n=n) for n in notes)
    return fill(
        '<div class="dq-notes"><strong>{title}</strong><ul>{rows}</ul></div>', title=_("Between the images"), rows=rows
    )


def _actions(exchange: Exchange, is_last: bool) -> Markup:
    if exchange.phase in RUNNING:
        return Markup("")
    buttons = []
    if exchange.text:
        buttons.append(
            fill(
                '<button type="button" class="dq-quiet" data-copy="{t}">{name}</button>',
                t=plain(exchange.text),
                name=_("Copy"),
            )
        )
    if is_last and exchange.phase != "abstained":
        buttons.append(
            fill('<button type="button" class="dq-quiet" data-event="retry">{name}</button>', name=_("Retry"))
        )
    if is_last and exchange.phase == "done" and not any(c.code == "image_matters" for c in exchange.checks):
        off = Markup(" disabled") if exchange.checking_image else ""
        name = (
            _("Asking again with the image blanked …")
            if exchange.checking_image
            else _("Does the answer depend on the image?")
        )
        buttons.append(
            fill(
                '<button type="button" class="dq-quiet" data-event="imagecheck"{off}>{name}</button>',
                off=off,
                name=name,
            )
        )
    return fill('<p class="dq-actions">{b}</p>', b=join(buttons))
