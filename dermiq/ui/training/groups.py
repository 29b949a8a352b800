"""What a run learns from: the completions of one question side by side, with what each earned. Knows no gradio.

Events, all with the run's name as `index`: `step` (value: a logged step; empty: the newest from now on), `group`
(value: which of the step's questions, from 0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from markupsafe import Markup

from dermiq.types import Claim
from dermiq.ui.markup import THIN, capital, fill, join
from dermiq.ui.prose import VERDICTS, locate
from dermiq.ui.training import reading
from dermiq.ui.training.reading import Line, as_number
from dermiq.ui.training.words import class_name, counted, figure, signed
from train.runs.registry import Run
from train.scoring.rewards import PARTS

Verdicts = Callable[[Line], Sequence[tuple[str, str, str]]]
"""Of a sample's completion: (sentence, one of `types.Verdict`, what the fact says)."""
Picture = Callable[[Line], "Markup | None"]
"""The image that a sample is about, where its line says which."""

SHOWN_STEPS = 8  # of one question over training: the first, the last, and what lies between evenly
_TAG = re.compile(r"(</?(?:think|answer)>)")


def html(
    run: Run, step: int | None, *, verdicts: Verdicts, group: int = 0, picture: Picture = lambda sample: None
) -> Markup:
    """`step` None: the newest. A step that was not logged becomes the last one logged before it."""
    drawn = reading.samples(run.folder)
    if not drawn.steps:
        return fill('<p class="dq-placeholder">{t}</p>', t=_NONE_YET if run.stage == "grpo" else _NEVER)
    here = nearest(drawn.steps, step)
    groups = reading.groups(run.folder, here, int(run.options.get("group") or 0))
    if not groups:
        return Markup('<p class="dq-placeholder">These samples were rewritten a moment ago.</p>')
    place = min(max(group, 0), len(groups) - 1)
    shown = groups[place]
    return fill(
        '<section class="dq-watch dq-samples" data-key="samples {name}" aria-label="Samples of step {step}">'
        "{steps}{which}{question}{cards}{over}</section>",
        name=run.name,
        step=here,
        steps=_steps(run, drawn.steps, here, following=step is None),
        which=_which(run, place, len(groups)) if len(groups) > 1 else "",
        question=_question(shown[0], picture),
        cards=_cards(run, shown, verdicts),
        over=_over_training(run, drawn, shown[0], here),
    )


_NONE_YET = "No completion was drawn yet. The first are here after the first step."
_NEVER = "Only GRPO++ draws completions as it trains. This stage learns from texts that were there before."


def nearest(steps: Sequence[int], wanted: int | None) -> int:
    """The last of `steps` (ascending) that is not behind `wanted`, else the first."""
    if wanted is None:
        return steps[-1]
    return max((step for step in steps if step <= wanted), default=steps[0])


# --- which ------------------------------------------------------------------------------


def _steps(run: Run, steps: Sequence[int], here: int, *, following: bool) -> Markup:
    at = steps.index(here)
    before, after = steps[at - 1] if at else None, steps[at + 1] if at + 1 < len(steps) else None
    return fill(
        '<div class="dq-steps-bar" data-fields=""><label>Step <strong class="dq-num">{here}</strong> of {last}'
        '<input type="range" name="step" data-event="step" data-index="{name}" min="{first}" max="{last}" step="1" '
        'value="{here}" aria-label="Step"></label>{buttons}</div>',
        here=here,
        first=steps[0],
        last=steps[-1],
        name=run.name,
        buttons=join(
            [
                _to("step", run, before, "Earlier"),
                _to("step", run, after, "Later"),
                _to("step", run, None if following else "", "Newest, as they come"),
            ]
        ),
    )


def _to(event: str, run: Run, value: object, title: str) -> Markup:
    """A button; disabled where there is nothing to go to (None)."""
    return fill(
        '<button type="button" class="dq-quiet" data-key="{t}" data-event="{e}" data-index="{r}" data-text="{v}"{off}>'
        "{t}</button>",
        e=event,
        r=run.name,
        v="" if value is None else value,
        off=Markup(" disabled") if value is None else "",
        t=title,
    )


def _which(run: Run, place: int, count: int) -> Markup:
    return fill(
        '<p class="dq-chosen">Question {n} of {c} of this step {b}</p>',
        n=place + 1,
        c=count,
        b=join(
            [
                _to("group", run, place - 1 if place else None, "Previous question"),
                _to("group", run, place + 1 if place + 1 < count else None, "Next question"),
            ]
        ),
    )


def _question(sample: Line, picture: Picture) -> Markup:
    image = picture(sample)
    return fill(
        '<div class="dq-asked">{image}<div><h3>{title}</h3><p class="dq-prompt">{prompt}</p>'
        "<p>Right answer: <strong>{answer}</strong></p></div></div>",
        image=image or "",
        title="A validation question: nothing is learned from it" if sample.get("validation") else "What was asked",
        prompt=sample.get("prompt") or "",
        answer=class_name(sample.get("diagnosis")),
    )


# --- completions ------------------------------------------------------------------------


def _cards(run: Run, samples: Sequence[Line], verdicts: Verdicts) -> Markup:
    best = sorted(samples, key=_rank)
    weights = run.options.get("rewards") or {}
    return fill(
        '<h3>{n}, the highest reward first</h3><div class="dq-cards" tabindex="0" role="region" '
        'aria-label="Completions, side by side">{cards}</div>{key}',
        n=counted(len(samples), "completion"),
        cards=join(_card(sample, weights, verdicts) for sample in best),
        key=_KEY,
    )


def _rank(sample: Line) -> tuple[bool, float]:
    """The highest reward first, what could not be judged last."""
    reward = as_number(sample.get("reward"))
    return reward is None, -(reward or 0.0)


_KEY = fill(
    '<p class="dq-fine">Marks after a sentence: {m}. What has an advantage above 0 is made more likely, what has '
    "one below 0 less likely.</p>",
    m=", ".join(f"{standing.sign} {standing.word}" for standing in VERDICTS.values()),
)


def _card(sample: Line, weights: Mapping[str, Any], verdicts: Verdicts) -> Markup:
    reward, advantage = as_number(sample.get("reward")), as_number(sample.get("advantage")) or 0.0
    kind = "up" if round(advantage, 2) > 0 else "down" if round(advantage, 2) < 0 else "none"
    return fill(
        '<article class="dq-sample"><header><span>Reward <strong class="dq-num">{reward}</strong></span>'
        '<span class="dq-advantage dq-advantage-{kind}">Advantage <strong class="dq-num">{advantage}</strong></span>'
        '{cut}</header>{parts}<p class="dq-completion">{text}</p></article>',
        reward="not judged" if reward is None else f"{reward:.2f}",
        kind=kind,
        advantage=signed(advantage),
        cut=Markup('<span class="dq-tag dq-tag-absent">cut off</span>') if sample.get("truncated") else "",
        parts=_parts(sample.get("rewards") or {}, weights),
        text=marked(str(sample.get("completion") or ""), verdicts(sample)),
    )


def _parts(parts: Mapping[str, Any], weights: Mapping[str, Any]) -> Markup:
    """One bar a part of the reward, from 0 to 1, and the weight that it counts with."""
    rows = join(
        fill(
            '<div title="{why}"><dt>{name}{weight}</dt><dd>{bar}<span class="dq-num">{value}</span></dd></div>',
            why=capital(PARTS[name].help) if name in PARTS else "",
            name=capital(name),
            weight=fill(" <small>×{t}{w}</small>", t=THIN, w=figure(float(weights[name]))) if name in weights else "",
            bar=_bar(number),
            value="not judged" if number is None else f"{number:.2f}",
        )
        for name, number in ((name, as_number(value)) for name, value in parts.items())
    )
    return fill('<dl class="dq-parts">{rows}</dl>', rows=rows)


def _bar(value: float | None) -> Markup:
    if value is None:
        return Markup("")
    return fill(
        '<span class="dq-part" aria-hidden="true"><i style="width:{p}%"></i></span>',
        p=f"{100 * min(max(value, 0), 1):.0f}",
    )


def marked(text: str, found: Sequence[tuple[str, str, str]]) -> Markup:
    """The text with a mark behind each sentence that was checked; the fact is in the mark's title."""
    claims = [Claim(sentence, verdict) for sentence, verdict, _ in found if verdict in VERDICTS]  # type: ignore[arg-type]
    facts = [fact for _, verdict, fact in found if verdict in VERDICTS]
    out, position = [], 0
    for start, end, index in locate(text, claims):
        standing = VERDICTS[claims[index].verdict]
        told = f"{capital(standing.word)}. {facts[index]}".strip()
        out += [
            _plain(text[position:start]),
            fill(
                '<span class="dq-claim dq-{v}">{t}</span><span class="dq-mark dq-{v}" tabindex="0" role="img" '
                'title="{told}" aria-label="{told}">{sign}</span>',
                v=claims[index].verdict,
                t=_plain(text[start:end]),
                told=told,
                sign=standing.sign,
            ),
        ]
        position = end
    return join([*out, _plain(text[position:])])


def _plain(text: str) -> Markup:
    """Tags of the form are set back; everything is escaped."""
    return join(
        fill('<span class="dq-form-tag">{t}</span>', t=piece) if _TAG.fullmatch(piece) else piece
        for piece in _TAG.split(text)
    )


# --- one question over training ---------------------------------------------------------


def _over_training(run: Run, drawn: reading.Drawn, sample: Line, here: int) -> Markup:
    """The same question at the steps at which it was asked, or the way to one that was asked more than once."""
    steps = drawn.asked.get(reading.question_of(sample), ())
    again = {question: found for question, found in drawn.asked.items() if len(found) > 1}
    if len(steps) > 1:
        body = _course(run, sample, steps, here)
    elif again:
        found = max(again.values(), key=len)
        body = fill(
            "<p>This question was asked once. {n} were asked more often: {b}</p>",
            n=len(again),
            b=_to("step", run, found[-1], f"show one that was asked {len(found)} times"),
        )
    else:
        body = Markup(
            '<p class="dq-placeholder">No question was asked twice yet. With evaluations (the option eval_every) the '
            "same validation questions are asked at each, and shown here as the answers change.</p>"
        )
    return fill('<section class="dq-over-training"><h3>One question over training</h3>{b}</section>', b=body)


def _course(run: Run, sample: Line, steps: Sequence[int], here: int) -> Markup:
    columns = []
    for step in spread(steps, SHOWN_STEPS):
        size = int(run.options.get("group") or 0)
        found = [
            g
            for g in reading.groups(run.folder, step, size)
            if reading.question_of(g[0]) == reading.question_of(sample)
        ]
        if found:
            columns.append(_at_step(run, step, found[0], here=step == here))
    return fill(
        "<p>Asked at {n}. Each column: the completion with the highest reward.</p>"
        '<div class="dq-cards" tabindex="0" role="region" aria-label="The question at its steps">{c}</div>',
        n=counted(len(steps), "step"),
        c=join(columns),
    )


def _at_step(run: Run, step: int, samples: Sequence[Line], *, here: bool) -> Markup:
    rewards = [number for sample in samples if (number := as_number(sample.get("reward"))) is not None]
    right = sum(as_number((sample.get("rewards") or {}).get("correctness")) == 1 for sample in samples)
    best = min(samples, key=_rank)
    return fill(
        '<article class="dq-sample{at}"><header>{to}<span>Mean reward <strong class="dq-num">{mean}</strong></span>'
        '<span>{right} of {count} right</span></header><p class="dq-completion">{text}</p></article>',
        at=" dq-here" if here else "",
        to=_to("step", run, None if here else step, f"Step {step}"),
        mean=f"{fmean(rewards):.2f}" if rewards else "not judged",
        right=right,
        count=len(samples),
        text=_plain(str(best.get("completion") or "")),
    )


def spread(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of them: the first, the last, and evenly between."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]
