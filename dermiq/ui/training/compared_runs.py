"""Runs side by side: the options in which they differ, their newest figures, their evaluations. Knows no gradio.

Event: `select` (value: a run's name).
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dermiq.ui.markup import fill, join
from dermiq.ui.training import watch
from dermiq.ui.training.reading import SOME, figures
from dermiq.ui.training.words import class_name, counted, figure, judged
from train import options
from train.runs.registry import Run, flat

TELLING: Mapping[str, str] = {  # figures that are shown at once: pattern, and what it is called
    "reward": "Reward",
    "eval_reward": "Reward, validation",
    "loss": "Loss",
    "eval_loss": "Loss, validation",
    r"rewards/(\w+)/mean": r"Reward, \1",
    "rewards/accuracies": "Pairs told apart, share",
    "rewards/margins": "Margin of the chosen answer",
    "mean_token_accuracy": "Tokens predicted right, share",
    "advantages/collapse_rate": "Groups that teach nothing, share",
    "kl": "Distance from the start (KL), nats a token",
    "entropy": "Entropy, nats a token",
    "completions/mean_length": "Length of completions, tokens",
    "completions/clipped_ratio": "Completions cut off, share",
    "seconds_per_step": "Time for a step, s",
    "peak_memory_gb": "Memory at the peak, GB",
}
CAUTION = (
    "Runs ask about different images at the same step, so a small difference here may be chance. What compares models "
    "is an evaluation on the same images."
)
OTHER_STAGES = "The loss of one stage is another quantity than that of the next. "
LEFT_OUT = re.compile(r"step|epoch|step_time|learning_rate|.*terminated_length|.*/std|eval_(runtime|.*_per_second)")

Cells = list[str | Markup]
Body = list[tuple[str | Markup, Cells]]


def html(runs: Sequence[Run]) -> Markup:
    """Columns in the order of `runs`."""
    if len(runs) < 2:
        return Markup('<p class="dq-placeholder">Tick two runs or more to see them side by side.</p>')
    return fill(
        '<section class="dq-watch dq-tables" data-key="{k}" aria-label="{n} compared">'
        "<div>{e}</div><div>{f}</div><div>{o}</div></section>",
        k="compared " + " ".join(run.name for run in runs),
        n=counted(len(runs), "run"),
        e=_evaluations(runs),
        f=_figures(runs),
        o=_options(runs),
    )


def _table(title: str, runs: Sequence[Run], body: Body) -> Markup:
    heads = (
        fill('<button type="button" class="dq-link" data-event="select" data-text="{n}">{n}</button>', n=run.name)
        for run in runs
    )
    return watch.table(title, heads, body)


def _folded(title: str, inner: Markup) -> Markup:
    return fill('<details data-key="{t}"><summary>{t}</summary>{i}</details>', t=title, i=inner)


# --- evaluations ------------------------------------------------------------------------


def _evaluations(runs: Sequence[Run]) -> Markup:
    found = [watch.read_evaluation(run.folder) for run in runs]
    if not any(found):
        return Markup('<p class="dq-placeholder">None was evaluated yet: which one reads better is not known.</p>')
    body: Body = [
        ("On", [str(one.get("on") or "–") for one in found]),
        ("Images", [str(one.get("n", "–")) for one in found]),
    ]
    names = dict.fromkeys(name for one in found for name in one.get("figures", {}))
    body += [(watch.explained(name), [_with_interval(one, name) for one in found]) for name in names]
    classes = dict.fromkeys(code for one in found for code in one.get("recall") or {})
    body += [(f"Recall, {class_name(code)}", [_recall(one, code) for one in found]) for code in classes]
    return join([_table("Evaluation, with 95 % intervals", runs, body), _comparable(runs, found)])


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
        said.append("They were evaluated on different images, so their figures cannot be compared.")
    if missing:
        said.append(f"Not evaluated yet: {', '.join(missing)}.")
    warnings = join(fill('<p class="dq-agree dq-amber">{s}</p>', s=sentence) for sentence in said)
    how = Markup('<p class="dq-fine">Where intervals overlap widely, a difference may be chance.</p>')
    return join([warnings, how])


# --- figures ----------------------------------------------------------------------------


def _figures(runs: Sequence[Run]) -> Markup:
    """Means over the newest logged values, because a single step says little."""
    found = [figures(run.folder) for run in runs]
    names = dict.fromkeys(name for one in found for line in one.newest for name in line if not LEFT_OUT.fullmatch(name))
    means = {name: [one.mean(name) for one in found] for name in names}
    means = {name: values for name, values in means.items() if values.count(None) < len(values)}
    if not means:
        return Markup('<p class="dq-placeholder">None of them has logged a step yet.</p>')
    cells = {name: ["–" if mean is None else figure(mean) for mean in values] for name, values in means.items()}
    first = [(label, cells[name]) for name, label in telling(list(cells))]
    rest = [(name, cells[name]) for name in sorted(cells) if name not in dict(telling(list(cells)))]
    parts = [
        _table(f"Newest figures: means of the last {SOME} logged", runs, first),
        _folded("All other figures", _table("All other figures", runs, rest)) if rest else "",
        fill(
            '<p class="dq-fine">{c}</p>', c=CAUTION if len({run.stage for run in runs}) == 1 else OTHER_STAGES + CAUTION
        ),
    ]
    return join(parts)


def telling(names: Sequence[str]) -> list[tuple[str, str]]:
    """Those of the names that are shown at once, with what they are called, in the order of TELLING."""
    return [
        (name, match.expand(label))
        for pattern, label in TELLING.items()
        for name in names
        if (match := re.fullmatch(pattern, name))
    ]


# --- options ----------------------------------------------------------------------------


def _options(runs: Sequence[Run]) -> Markup:
    """Those in which they differ; below, folded, those that only some of them have, as other stages have others."""
    different = differing(runs)
    if not different:
        return Markup('<p class="dq-placeholder">Their options are the same.</p>')
    helps = {name: text for run in runs for name, text in _helps(run).items()}
    found_in = [dict(flat(run.options)) for run in runs]
    shared: Body = []
    own: Body = []
    for name, values in different.items():
        row = (watch.titled(name, helps.get(name, "")), [_shown(value) for value in values])
        (shared if all(name in known for known in found_in) else own).append(row)
    title = f"{counted(len(own), 'option')} that only some of them have"
    return join(
        [
            _table("Options in which they differ", runs, shared) if shared else "",
            _folded(title, _table(title, runs, own)) if own else "",
        ]
    )


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """By dotted name, the value of each run; None where it has no such option."""
    found_in = [dict(flat(run.options)) for run in runs]
    names = dict.fromkeys(name for values in found_in for name in values)
    found = {name: [values.get(name) for values in found_in] for name in names}
    return {name: values for name, values in found.items() if len({json.dumps(value) for value in values}) > 1}


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
    return str(value) or "empty"
