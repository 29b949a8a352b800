"""Runs side by side: the options in which they differ, their newest figures, their evaluations. Knows no gradio."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dermiq.ui.markup import fill, join
from dermiq.ui.training import watch
from dermiq.ui.training.reading import SOME, figures
from dermiq.ui.training.words import counted, figure, judged, stage_name
from train import options
from train.runs import Run

LEFT_OUT = ("step", "epoch", "step_time", "total_flos")  # of metrics.jsonl: they say how far, not how well


def html(runs: Sequence[Run]) -> Markup:
    """Columns in the order of `runs`."""
    if len(runs) < 2:
        return Markup('<p class="dq-placeholder">Tick two runs or more to see them side by side.</p>')
    return fill(
        '<section class="dq-compared" data-key="{k}" aria-label="{n} compared">{w}{o}{f}{e}</section>',
        k="compared " + " ".join(run.name for run in runs),
        n=counted(len(runs), "run"),
        w=_which(runs),
        o=_options(runs),
        f=_figures(runs),
        e=_evaluations(runs),
    )


def _heads(runs: Sequence[Run]) -> list[Markup]:
    return [
        fill(
            '<button type="button" class="dq-link" data-event="select" data-text="{n}">{n}</button>',
            n=run.name,
        )
        for run in runs
    ]


def _which(runs: Sequence[Run]) -> Markup:
    body = [
        ("Stage", [stage_name(run.stage) for run in runs]),
        ("State", [run.state for run in runs]),
        ("Steps", [f"{run.status.step} of {run.status.total or '?'}" for run in runs]),
    ]
    return watch.table("Runs", _heads(runs), body)


# --- options ----------------------------------------------------------------------------


def _options(runs: Sequence[Run]) -> Markup:
    different = differing(runs)
    if not different:
        return Markup('<p class="dq-placeholder">Their options are the same.</p>')
    helps = {name: text for run in runs for name, text in _helps(run).items()}
    body = [
        (fill('<span title="{h}">{n}</span>', h=helps.get(name, ""), n=name), [_shown(value) for value in values])
        for name, values in different.items()
    ]
    return watch.table("Options in which they differ", _heads(runs), body)


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """By dotted name, the value of each run; None where it has no such option."""
    flat = [dict(_flat(run.options)) for run in runs]
    names = dict.fromkeys(name for values in flat for name in values)
    found = {name: [values.get(name) for values in flat] for name in names}
    return {name: values for name, values in found.items() if len({json.dumps(value) for value in values}) > 1}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _helps(run: Run) -> dict[str, str]:
    if run.stage not in watch.STAGES:
        return {}
    kind = importlib.import_module(watch.STAGES[run.stage]).CONFIG
    return {option.name: option.help for option in options.options_of(kind)}


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value) or "none"


# --- figures ----------------------------------------------------------------------------


def _figures(runs: Sequence[Run]) -> Markup:
    """Means over the newest logged values, because a single step says little."""
    found = [figures(run.folder) for run in runs]
    names = dict.fromkeys(name for one in found for name in one.last if name not in LEFT_OUT)
    body = []
    for name in names:
        means = [one.mean(name) for one in found]
        if any(mean is not None for mean in means):
            body.append((name, ["–" if mean is None else figure(mean) for mean in means]))
    if not body:
        return Markup('<p class="dq-placeholder">None of them has logged a step yet.</p>')
    return join(
        [
            watch.table(f"Newest figures, each the mean of the last {SOME} that were logged", _heads(runs), body),
            Markup(
                '<p class="dq-fine">Steps of different runs may ask about different images: a small difference may be '
                "chance. What compares models is an evaluation on the same images.</p>"
            ),
        ]
    )


# --- evaluations ------------------------------------------------------------------------


def _evaluations(runs: Sequence[Run]) -> Markup:
    found = [watch.read_evaluation(run.folder) for run in runs]
    if not any(found):
        return Markup('<p class="dq-placeholder">None of them was evaluated yet.</p>')
    names = dict.fromkeys(name for one in found for name in one.get("figures", {}))
    body: list[tuple[str | Markup, list[str | Markup]]] = [
        ("On", [str(one.get("on") or "–") for one in found]),
        ("Images", [str(one.get("n", "–")) for one in found]),
    ]
    body += [(watch.explained(name), [_with_interval(one, name) for one in found]) for name in names]
    classes = dict.fromkeys(code for one in found for code in one.get("recall") or {})
    body += [(watch.recall_name(code), [_recall(one, code) for one in found]) for code in classes]
    return join([watch.table("Evaluation, with 95 % intervals", _heads(runs), body), _comparable(runs, found)])


def _with_interval(found: Mapping[str, Any], name: str) -> Markup | str:
    value = found.get("figures", {}).get(name)
    if value is None:
        return "–"
    return fill('{v} <small class="dq-muted">{i}</small>', v=judged(name, value), i=watch.interval(found, name))


def _recall(found: Mapping[str, Any], code: str) -> str:
    value = (found.get("recall") or {}).get(code)
    return "–" if value is None else judged("accuracy", value)


def _comparable(runs: Sequence[Run], found: Sequence[Mapping[str, Any]]) -> Markup:
    """What keeps the columns from being compared, and how to read the intervals."""
    missing = [run.name for run, one in zip(runs, found, strict=True) if not one]
    said = []
    if len({(one.get("on"), one.get("n")) for one in found if one}) > 1:
        said.append("They were evaluated on different images, so these figures cannot be compared.")
    if missing:
        said.append(f"Not evaluated yet: {', '.join(missing)}.")
    warnings = join(fill('<p class="dq-agree dq-amber">{s}</p>', s=sentence) for sentence in said)
    how = Markup('<p class="dq-fine">Where intervals overlap widely, the difference may be chance.</p>')
    return join([warnings, how])
