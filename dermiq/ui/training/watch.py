"""One run: its head with what can be done, its log, its options and its evaluation. Knows no gradio.

Every event carries the run's name as `index`, so that a click concerns the run that it was made for. Events, with their
value where it says something: `view` (one of VIEWS), `stop`, `kill`, `resume`, `duplicate`, `delete`, `rename` (the new
name), `note` (the text), `use` ("final" or "checkpoint-N"), `back`, `export` ("adapter", "merged" or "card"),
`evaluate` (the weights), which asks first: see `ask`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from dermiq.errors import InputError
from dermiq.language import N_, _
from dermiq.language import said as in_our_language
from dermiq.ui.markup import THIN, capital, error_line, fill, join
from dermiq.ui.training import ask, rows
from dermiq.ui.training.reading import Figures, figures
from dermiq.ui.training.words import (
    JUDGED,
    ago,
    class_name,
    counted,
    duration,
    gigabytes,
    judged,
    judged_name,
    stage_name,
)
from train import options
from train.runs import hints
from train.runs.memory import MEMORY, peak_of
from train.runs.registry import Run
from train.runs.run_folder import EVALUATION, checkpoints, is_complete, read_json

VIEWS: Mapping[str, str] = {
    "overview": N_("Overview"),
    "samples": N_("Samples"),
    "log": N_("Log"),
    "config": N_("Config"),
    "evaluation": N_("Evaluation"),
}
STAGES: Mapping[str, str] = {"sft": "train.sft", "grpo": "train.grpo", "dpo": "train.dpo"}  # with their options
EXPORTS = (
    ("adapter", N_("Adapter"), N_("LoRA alone: small, to be put on the model that the run began with.")),
    ("merged", N_("Merged model"), N_("The whole model in one folder, to be loaded by its path.")),
    ("card", N_("Model card"), N_("Data, settings and measured figures as Markdown.")),
)
LOG_LINES, LOG_BYTES = 200, 256 * 1024  # of the end of log.txt
CHANGED = '<mark><span class="dq-sr">{word} </span>{t}</mark>'
NOTE_LENGTH = 2000
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f]")


def tabs(view: str) -> Markup:
    """The parts of a run's page, one of them open."""
    buttons = join(
        fill(
            '<button type="button" data-event="view" data-text="{v}"{here}>{t}</button>',
            v=key,
            t=_(title),
            here=Markup(' aria-current="page"') if key == view else "",
        )
        for key, title in VIEWS.items()
    )
    return fill('<nav class="dq-views" aria-label="{label}">{b}</nav>', label=_("Parts of the run"), b=buttons)


# --- the head ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """What of a run can answer in the consultation."""

    final: bool
    steps: tuple[int, ...]  # of checkpoints, ascending

    @property
    def best(self) -> str:
        """The value of `use` that is offered first; empty without weights."""
        return "final" if self.final else f"checkpoint-{self.steps[-1]}" if self.steps else ""

    @property
    def others(self) -> list[str]:
        """The rest, newest first."""
        return [name for step in reversed(self.steps) if (name := f"checkpoint-{step}") != self.best]


def weights(run: Run) -> Weights:
    is_model = run.stage != "evaluation"
    return Weights(is_model and is_complete(run.folder / "final"), tuple(checkpoints(run.folder)))


def head(
    run: Run,
    *,
    answering: str,
    note: str,
    now: float,
    place: int = 0,
    told: str = "",
    arrived: int = 0,
    asking: Markup | str = "",
) -> Markup:
    """`answering`: which weights of this run answer in the consultation ("final", "checkpoint-30"), or nothing.
    `place`: in the queue. `told`: what came of the last action, in a sentence. `arrived`: the how manieth run of this
    visitor it is, so that the page goes to it once; 0 where it does not. `asking`: what is asked before an evaluation.
    """
    found, has = figures(run.folder), weights(run)
    still, said = _still(run, found)
    return fill(
        '<section class="dq-watch dq-run" data-fields="" data-key="head {name}" aria-label="{label}">'
        '<header><h2 tabindex="-1"{arrive}>{name} <small>{stage}</small></h2>{rename}</header>'
        '<p class="dq-run-state"><span role="status">{state} <span>{reason}</span></span>{doing}</p>{still}'
        '<div class="dq-run-step">{progress}<span class="dq-run-time">{when}</span></div>'
        '<p class="dq-told" role="status">{told}</p>'
        "{learned}{facts}{hints}{answers}{actions}{asking}{note}</section>",
        label=_("Run {name}").format(name=run.name),
        arrive=fill(' data-arrive="run {n}"', n=arrived) if arrived else "",
        doing=_doing(run, now),
        still=fill('<p class="dq-still" role="alert">{s}</p>', s=still) if still else "",
        learned=_learned(run),
        asking=asking,
        name=run.name,
        stage=stage_name(run.stage),
        rename="" if run.is_live else _rename(run),
        state=rows.state(run, place),
        reason=in_our_language(run.status.reason),
        progress=rows.progress(run),
        when=rows.when(run, found, now),
        facts=_facts(run, found, now),
        hints=_hints(said),
        answers=_answers(run, answering) if answering else "",
        actions=_actions(run, found, has, answering),
        told=in_our_language(told),
        note=_note(run, note),
    )


def button(run: Run, event: str, title: str, value: str = "", *, look: str = "dq-button") -> Markup:
    return fill(
        '<button type="button" class="{look}" data-key="{event} {value}" data-event="{event}" data-index="{run}" '
        'data-text="{value}">{title}</button>',
        look=look,
        event=event,
        run=run.name,
        value=value,
        title=title,
    )


def _menu(title: str, inner: Markup) -> Markup:
    """Opens below a button of its own; stays open over updates."""
    return fill(
        '<details class="dq-menu" data-key="{t}"><summary class="dq-button">{t}</summary><div>{i}</div></details>',
        t=title,
        i=inner,
    )


def _rename(run: Run) -> Markup:
    return fill(
        '<details class="dq-menu" data-key="rename"><summary class="dq-link">{rename}</summary>'
        "<label>{how} "
        '<input type="text" class="dq-field" name="rename" data-event="rename" data-index="{name}" value="{name}" '
        'maxlength="100" spellcheck="false"></label></details>',
        rename=_("Rename"),
        how=_("New name, then Enter"),
        name=run.name,
    )


def _facts(run: Run, found: Figures, now: float) -> Markup:
    """Device, times and memory, as far as they are known."""
    status, known = run.status, dict(_memory(run, found))
    if status.device:
        known = {_("Device"): status.device, **known}
    if status.started:
        known[_("Started")] = ago(status.started, now)
        took = status.took()
        if took:
            known[_("Took")] = duration(took)
    each = found.mean("seconds_per_step")
    if each is not None:
        known[_("A step")] = duration(each)
    model = run.options.get("model")
    if model:
        known = {_("Began with"): Path(str(model)).name if str(model).startswith(("/", ".")) else model, **known}
    terms = join(fill("<div><dt>{k}</dt><dd>{v}</dd></div>", k=name, v=value) for name, value in known.items())
    return fill('<dl class="dq-run-facts">{t}</dl>', t=terms)


def _memory(run: Run, found: Figures) -> Iterator[tuple[str, str]]:
    """Measured at the peak, and estimated before."""
    noted = read_json(run.folder / MEMORY) or {}
    peak = peak_of(noted) or found.last.get("peak_memory_gb", 0.0) * 1e9
    estimated = (noted.get("estimate") or {}).get("total")
    told = [_("{size} at the peak").format(size=gigabytes(peak))] if peak else []
    told += [_("{size} estimated").format(size=gigabytes(estimated))] if estimated else []
    if told:
        yield _("Memory"), ", ".join(told)


def _doing(run: Run, now: float) -> Markup:
    """What its process does now, and for how long; the seconds are not read aloud."""
    status = run.status
    if not run.is_live:
        return Markup("")
    doing = status.doing or ("" if status.step or run.state == "queued" else N_("Starting its process"))
    since = status.since if status.doing and status.since else status.queued or now
    if not doing and run.state == "queued":  # the reason says what it waits for
        waited = duration(max(1.0, now - (status.queued or now)))
        return fill(' <span aria-hidden="true">{t}</span>', t=_("for {time}").format(time=waited))
    if not doing or (status.step and doing in status.reason):
        return Markup("")
    return fill(
        ' <span role="status">{d}</span> <span aria-hidden="true">{t}</span>',
        d=in_our_language(doing),
        t=_("for {time}").format(time=duration(max(1.0, now - since))),
    )


def _still(run: Run, found: Figures) -> tuple[str, list[str]]:
    """Why nothing is learned, with the remedy, of a run that goes on so; and the other sentences about its figures."""
    sentences = found.hints(run.stage, run.options)
    still = hints.cannot_learn(run.stage, run.options, found.telling)
    rest = [sentence for sentence in sentences if sentence != still]
    return ("" if still and hints.NOTHING in run.status.reason else still), rest


def _learned(run: Run) -> Markup:
    """Of how many of its examples it learns, where not of all."""
    told = (read_json(run.folder / MEMORY) or {}).get("data")
    return fill('<p class="dq-fine">{t}</p>', t=told) if told else Markup("")


def _hints(sentences: Iterable[str]) -> Markup:
    items = join(fill("<li>{s}</li>", s=sentence) for sentence in sentences)
    if not items:
        return Markup("")
    return fill('<div class="dq-hints"><h3>{t}</h3><ul>{i}</ul></div>', t=_("How to read the figures"), i=items)


def _answers(run: Run, answering: str) -> Markup:
    return fill(
        '<p class="dq-agree">{line} {back}</p>',
        line=_("{weights} of this run answers in the consultation.").format(weights=capital(weights_name(answering))),
        back=button(run, "back", _("Go back to the model before"), look="dq-quiet"),
    )


def weights_name(value: str) -> str:
    """ "the result" or "checkpoint 30", of a value of `use`."""
    return _("the result") if value == "final" else _("checkpoint {n}").format(n=value.rpartition("-")[2])


def _actions(run: Run, found: Figures, has: Weights, answering: str) -> Markup:
    made = [*_while_live(run, found, has)] if run.is_live else [*_after(run, has)]
    if has.best:
        made += _with_weights(run, has, answering)
    made.append(button(run, "duplicate", _("Duplicate")))
    if not run.is_live:
        made.append(button(run, "delete", _("Delete")))
    return fill('<div class="dq-acts" data-key="acts">{a}</div>', a=join(made))


def _while_live(run: Run, found: Figures, has: Weights) -> Iterator[Markup]:
    if run.state == "queued":
        yield button(run, "stop", _("Leave the queue"))
        return
    if run.state == "running":
        yield button(run, "stop", _("Stop and save"))
    yield _menu(
        _("Kill"),
        fill("<p>{lost}</p><p>{b}</p>", lost=_lost(run, found, has), b=button(run, "kill", _("Kill it now"))),
    )


def _lost(run: Run, found: Figures, has: Weights) -> str:
    """What killing costs, in words."""
    since = run.status.step - (has.steps[-1] if has.steps else 0)
    where = _("checkpoint {n}").format(n=has.steps[-1]) if has.steps else _("its start")
    each = found.mean("seconds_per_step")
    if not since:
        lost = _("Its processes end at once: only its present step is lost.")
    elif each:
        lost = _("Its processes end at once: {steps} since {where} will be lost, about {time} of work.").format(
            steps=counted(since, "step"), where=where, time=duration(each * since)
        )
    else:
        lost = _("Its processes end at once: {steps} since {where} will be lost.").format(
            steps=counted(since, "step"), where=where
        )
    return f"{lost} {_('“Stop and save” ends it after its present step, and loses nothing.')}"


def _after(run: Run, has: Weights) -> Iterator[Markup]:
    if run.state != "finished":
        where = _("Resume from step {n}").format(n=has.steps[-1]) if has.steps else _("Start again")
        yield button(run, "resume", where, look="dq-button dq-primary")


def _with_weights(run: Run, has: Weights, answering: str) -> Iterator[Markup]:
    offered = [value for value in (has.best, *has.others) if value != answering]
    if has.best in offered:
        look = "dq-button dq-primary" if run.state == "finished" else "dq-button"
        which = "" if has.final else f" ({weights_name(has.best)})"
        yield button(run, "use", f"{_('Use in the consultation')}{which}", has.best, look=look)
    others = join(
        (button(run, "use", capital(weights_name(value)), value) for value in offered if value != has.best), " "
    )
    if others:
        inner = fill("<p>{t}</p><p>{b}</p>", t=_("In the consultation:"), b=others)
        yield _menu(_("Use other weights"), inner)
    if not run.is_live:
        yield button(run, "evaluate", _("Evaluate"), has.best)
    kinds = (kind for kind in EXPORTS if kind[0] != "adapter" or run.options.get("lora_rank"))
    yield _menu(
        _("Export"),
        join(
            fill("<p>{b} <span>{w}</span></p>", b=button(run, "export", _(title), value), w=_(why))
            for value, title, why in kinds
        ),
    )


def _note(run: Run, note: str) -> Markup:
    return fill(
        '<label class="dq-note" data-key="note">{title} '
        '<textarea rows="2" class="dq-field" name="note" data-event="note" data-index="{name}" '
        'maxlength="{most}" placeholder="{hint}">{note}</textarea></label>',
        name=run.name,
        title=_("Note"),
        hint=_("What this run is for, what came of it"),
        most=NOTE_LENGTH,
        note=note,
    )


# --- the log ----------------------------------------------------------------------------


def log(run: Run) -> Markup:
    """The last lines of log.txt."""
    lines = tail(run.folder / "log.txt")
    if not lines:
        return _nothing(_("Nothing was written yet."))
    return fill(
        '<figure class="dq-log"><figcaption>{title}</figcaption>'
        '<div tabindex="0" role="log" aria-label="{label}"><pre>{text}</pre></div></figure>',
        title=_("The last {lines} of log.txt").format(lines=counted(len(lines), "line")),
        label=_("Log of {name}").format(name=run.name),
        text="\n".join(lines),
    )


def tail(path: Path) -> list[str]:
    """The last lines as a terminal would show them: of a progress bar only its last state, and no colours."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    whole = text if size <= LOG_BYTES else text.partition("\n")[2]
    shown = (line.rstrip("\r").rpartition("\r")[2] for line in whole.rstrip("\n").split("\n"))
    return [_ESCAPES.sub("", line) for line in shown][-LOG_LINES:] if whole.strip() else []


# --- the options ------------------------------------------------------------------------


def config(run: Run) -> Markup:
    """The options as YAML, those that are not the defaults marked, and where the run was computed."""
    try:
        lines = config_lines(run)
        line = _("Marked: the {n} that differ from the defaults.").format(n=sum(marked for _text, marked in lines))
        said = fill('<p class="dq-fine">{line}</p>', line=line)
    except InputError as error:
        lines = [(line, False) for line in yaml.safe_dump(dict(run.options), sort_keys=False).splitlines()]
        said = error_line(
            f"{_('These options were written by another version of the program.')} {in_our_language(error)}"
        )
    shown = join((fill(CHANGED if marked else "{t}", word=_("changed:"), t=line) for line, marked in lines), "\n")
    return fill(
        '<div class="dq-watch dq-config">{said}<pre tabindex="0" role="region" aria-label="{label}">'
        "{shown}</pre>"
        "{machine}</div>",
        said=said,
        label=_("Options of {name}").format(name=run.name),
        shown=shown,
        machine=_environment(read_json(run.folder / "environment.json") or {}),
    )


def config_lines(run: Run) -> list[tuple[str, bool]]:
    """Each line of the options' YAML, and whether its value differs from the default. InputError where this program
    does not know the options."""
    if run.stage not in STAGES:
        raise InputError(f"It has no stage {run.stage!r}.")
    kind = importlib.import_module(STAGES[run.stage]).CONFIG
    own, usual = (options.to_yaml(made).splitlines() for made in (options.make(kind, run.options), kind()))
    return [(line, line != default) for line, default in zip(own, usual, strict=True)]


def _environment(values: Mapping[str, Any]) -> Markup:
    """Versions and machine, as `environment.json` has them."""
    packages = values.get("packages")
    flat = {**values, **(packages if isinstance(packages, dict) else {})}
    flat.pop("packages", None)
    if not flat:
        return _nothing(_("Where it was computed is written when it starts."))
    terms = join(
        fill("<div><dt>{k}</dt><dd>{v}</dd></div>", k=name.replace("_", " "), v=_("none") if value is None else value)
        for name, value in flat.items()
    )
    return fill('<h3>{title}</h3><dl class="dq-run-facts">{t}</dl>', title=_("Computed with"), t=terms)


# --- the evaluation ---------------------------------------------------------------------


def evaluation(run: Run, judging: Run | None = None, *, now: float = 0.0) -> Markup:
    """The figures on images that were not trained on, or the way to them. `judging`: the newest that evaluates it."""
    found = read_evaluation(run.folder)
    parts = [_evaluating(judging, now)] if judging else []
    running = judging is not None and judging.is_live
    if found:
        parts += [_judged(found), _recalls(found), _by_group(found), _confusion(found)]
    elif not running:
        parts.append(_nothing(_("Not evaluated yet: how well it reads images is not known.")))
    best = weights(run).best
    if best and not running and not run.is_live:
        parts.append(
            fill("<p>{b}</p>", b=button(run, "evaluate", _("Evaluate again") if found else _("Evaluate"), best))
        )
    return fill('<div class="dq-watch dq-tables" data-key="evaluation {n}">{p}</div>', n=run.name, p=join(parts))


def _nothing(line: str) -> Markup:
    return fill('<p class="dq-placeholder">{line}</p>', line=line)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """As `train.evaluate.figures` made it, with `on`, the name of the data; empty where there is none."""
    found = read_json(folder / EVALUATION) or read_json(folder / "final" / EVALUATION)
    return found if found and isinstance(found.get("figures"), dict) else {}


def _evaluating(judging: Run, now: float) -> Markup:
    status = judging.status
    if judging.state == "failed":
        line = _("The evaluation {name} failed: {reason}")
        return error_line(line.format(name=judging.name, reason=in_our_language(status.reason)))
    if not judging.is_live:
        return Markup("")
    said = (
        _("{n} of {total} images").format(n=status.step, total=status.total)
        if status.total
        else in_our_language(status.reason) or _("Starting.")
    )
    left = ask.seconds_left(judging, now)
    if left is not None:
        said += f", {_('about {time} left').format(time=duration(left))}"
    elif status.doing:
        said += f". {in_our_language(status.doing)}."
    bar = fill(
        '<progress value="{d}" max="{t}" aria-label="{l}"></progress>',
        d=status.step,
        t=status.total,
        l=_("Images evaluated"),
    )
    return fill(
        '<p class="dq-run-step" role="status">{line} {bar}<span class="dq-num">{said}</span></p>',
        line=_("Evaluating, as the run {name}.").format(name=judging.name),
        bar=bar if status.total else "",
        said=said,
    )


def table(title: str, columns: Iterable[str], body: Iterable[tuple[str | Markup, Iterable[str | Markup]]]) -> Markup:
    """Figures by name. It scrolls within itself where it is too wide."""
    return fill(
        '<div class="dq-wide" tabindex="0" role="region" aria-label="{t}"><table class="dq-table">'
        "<caption>{t}</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div>",
        t=title,
        heads=join(fill('<th scope="col">{c}</th>', c=column) for column in columns),
        rows=join(
            fill(
                '<tr><th scope="row">{n}</th>{cells}</tr>',
                n=name,
                cells=join(fill('<td class="dq-num">{c}</td>', c=cell) for cell in cells),
            )
            for name, cells in body
        ),
    )


def explained(name: str) -> Markup:
    """The name of an evaluation's figure, and what it means."""
    return titled(judged_name(name), JUDGED[name][1] if name in JUDGED else "")


def titled(name: str, meaning: str) -> Markup:
    """A name whose meaning shows when it is pointed at, and is read aloud."""
    if not meaning:
        return Markup.escape(name)
    return fill('<span class="dq-help" title="{m}">{n}<span class="dq-sr">: {m}</span></span>', n=name, m=meaning)


def interval(found: Mapping[str, Any], name: str) -> str:
    """Of an evaluation's figure, "68.2 to 74.1 %"; a dash without one."""
    ends = (found.get("intervals_95") or {}).get(name)
    if not ends:
        return "–"
    low, high = (judged(name, end) for end in ends)
    shared = low.rpartition(THIN)[0] if THIN in low else low
    return _("{low} to {high}").format(low=shared, high=high)


def _judged(found: Mapping[str, Any]) -> Markup:
    body = [
        (explained(name), [judged(name, value) if value is not None else _("not known"), interval(found, name)])
        for name, value in found["figures"].items()
    ]
    what = _("On {data}, {images}").format(
        data=found.get("on") or _("images that are not named"), images=counted(found.get("n", 0), "image")
    )
    return table(what, [_("value"), _("95 % interval")], body)


def _recalls(found: Mapping[str, Any]) -> Markup:
    recall = found.get("recall") or {}
    body = [
        (capital(class_name(code)), [_("no image") if value is None else judged("accuracy", value)])
        for code, value in recall.items()
    ]
    return table(_("Of each class, the share that is recognised"), [_("recall")], body) if body else Markup("")


def _by_group(found: Mapping[str, Any]) -> Markup:
    """No intervals: these groups may be small, so their number of images is beside them."""
    tables = []
    for column, groups in (found.get("by_group") or {}).items():
        names = [name for name in next(iter(groups.values()), {}) if name != "n"]
        body = [
            (
                capital(value),
                [str(row["n"]), *("–" if row[name] is None else judged(name, row[name]) for name in names)],
            )
            for value, row in groups.items()
        ]
        if body:
            title = _("By {column}").format(column=column.replace("_", " "))
            tables.append(table(title, [_("images"), *map(explained, names)], body))
    return join(tables)


def _confusion(found: Mapping[str, Any]) -> Markup:
    known = found.get("confusion") or {}
    classes, rows_of = known.get("classes"), known.get("rows_true_columns_answered")
    if not classes or not rows_of:
        return Markup("")
    body = [(capital(class_name(code)), map(str, row)) for code, row in zip(classes, rows_of, strict=False)]
    heads = [fill('<abbr title="{full}">{c}</abbr>', full=class_name(code), c=code) for code in classes]
    inner = table(_("Images by true class (rows) and answered class (columns)"), heads, body)
    return fill(
        '<details data-key="confusion"><summary>{s}</summary>{t}</details>', s=_("What is taken for what"), t=inner
    )
