"""The runs as rows: where each stands, how its reward or loss went, and when it will end. Knows no gradio.

Events: `select` and `tick` (value: the run's name; of `tick`, index 1 puts it into the comparison and 0 takes it
out), `compare`, `untick`, `smoke`, `undelete` (value: the name), `sort` (value: one of SORTS), `find` (value: a text).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from markupsafe import Markup

from dermiq.language import N_, _
from dermiq.language import said as in_our_language
from dermiq.ui.markup import THIN, fill, join
from dermiq.ui.training.reading import Figures, figures
from dermiq.ui.training.words import ago, counted, duration, figure, stage_name
from train.runs.registry import Run

MANY = 8  # runs, from which on they can be sorted and searched
COMPARED = 8  # runs at a time; more cannot be told apart
SORTS: dict[str, tuple[str, Callable[[Run], tuple[object, ...]]]] = {
    "newest": (N_("Newest first"), lambda run: (-run.status.created, run.name)),
    "oldest": (N_("Oldest first"), lambda run: (run.status.created, run.name)),
    "name": (N_("Name"), lambda run: (run.name.lower(),)),
    "stage": (N_("Stage"), lambda run: (run.stage, -run.status.created)),
    "state": (N_("State"), lambda run: (not run.is_live, run.state, -run.status.created)),
}
STATES = (
    *(N_("queued"), N_("running"), N_("stopping"), N_("stopped")),
    *(N_("finished"), N_("failed"), N_("interrupted")),
)
TELLING = ("queued", "failed", "interrupted")  # states whose reason a row says
WIDTH, HEIGHT = 96, 24  # of a spark line, px


def html(
    runs: Sequence[Run],
    *,
    selected: str,
    ticked: Collection[str],
    now: float,
    sort: str = "newest",
    find: str = "",
    deleted: str = "",
) -> Markup:
    """`selected` and `ticked` are names; `deleted` is one that can be brought back; `now` is in seconds since 1970."""
    shown = [run for run in runs if find.strip().lower() in f"{run.name} {run.stage} {run.state}".lower()]
    shown.sort(key=SORTS.get(sort, SORTS["newest"])[1])
    rows = join(
        _row(run, place=queue_place(run, runs), selected=run.name == selected, ticked=run.name in ticked, now=now)
        for run in shown
    )
    line = _("No run is called like “{text}”.").format(text=find.strip())
    nothing = fill('<p class="dq-placeholder">{line}</p>', line=line) if runs else _empty()
    return fill(
        '<section class="dq-watch dq-rows" aria-label="{label}">{undo}{tools}{chosen}{rows}</section>',
        label=_("Runs"),
        undo=_undo(deleted) if deleted else "",
        tools=_tools(sort, find) if len(runs) > MANY else "",
        chosen=_chosen([run.name for run in runs if run.name in ticked]) if len(runs) > 1 else "",
        rows=fill('<ol class="dq-runs">{rows}</ol>', rows=rows) if shown else nothing,
    )


def _empty() -> Markup:
    return fill(
        '<div class="dq-no-runs"><p>{line}</p>'
        '<p><button type="button" class="dq-button dq-primary" data-event="smoke">{start}</button></p></div>',
        line=_(
            "No run yet. Choose on the left what to train, or see first how it works: GRPO++ of the embedded model on "
            "a few images, on the processor."
        ),
        start=_("Start the short example"),
    )


def _undo(name: str) -> Markup:
    return fill(
        '<p class="dq-undo" role="status">{line} '
        '<button type="button" class="dq-quiet" data-event="undelete" data-text="{name}">{undo}</button></p>',
        line=_("{name} is in the trash.").format(name=name),
        name=name,
        undo=_("Undo"),
    )


def _tools(sort: str, find: str) -> Markup:
    choices = join(
        fill('<option value="{v}"{s}>{t}</option>', v=key, s=Markup(" selected") if key == sort else "", t=_(title))
        for key, (title, _by) in SORTS.items()
    )
    return fill(
        '<div class="dq-tools" data-fields=""><label>{search} '
        '<input type="search" class="dq-field" name="find" data-event="find" value="{f}" '
        'maxlength="100" placeholder="{hint}"></label>'
        '<label>{sort} <select class="dq-field" name="sort" data-event="sort">{c}</select></label></div>',
        search=_("Find"),
        hint=_("name, stage or state"),
        sort=_("Sort"),
        f=find,
        c=choices,
    )


def _chosen(names: Sequence[str]) -> Markup:
    """What is ticked, and the way to the comparison. Its place is kept, so that no row moves when one is ticked."""
    if len(names) > 1:
        enough = _("Compare {runs}").format(runs=counted(min(len(names), COMPARED), "run"))
        button = fill('<button type="button" class="dq-button" data-event="compare">{t}</button>', t=enough)
        said = _("At most {n} at a time.").format(n=COMPARED) if len(names) > COMPARED else ""
    else:
        button = Markup("")
        said = _("Tick a second run to compare the two.") if names else _("Tick runs to compare them.")
    clear = fill('<button type="button" class="dq-quiet" data-event="untick">{t}</button>', t=_("Untick all"))
    return fill(
        '<p class="dq-chosen" role="status">{button}<span class="dq-fine">{said}</span>{clear}</p>',
        button=button,
        said=said,
        clear=clear if names else "",
    )


# --- one row ----------------------------------------------------------------------------


def _row(run: Run, *, place: int, selected: bool, ticked: bool, now: float) -> Markup:
    found = figures(run.folder)
    return fill(
        '<li data-key="run {name}" class="dq-row{here}"><input type="checkbox" data-event="tick" data-index="{turn}" '
        'data-text="{name}" aria-label="{compare}"{ticked}>'
        '<div class="dq-row-parts"><div class="dq-row-name">'
        '<button type="button" class="dq-link" data-event="select" data-text="{name}"{now}>'
        "{name}</button><span>{stage} · {state}</span>{why}</div>"
        '<div class="dq-row-step">{progress}</div><div class="dq-row-figure">{spark}</div>'
        '<div class="dq-row-time">{time}</div></div></li>',
        name=run.name,
        compare=_("Compare {name}").format(name=run.name),
        here=" dq-here" if selected else "",
        turn=0 if ticked else 1,
        ticked=Markup(" checked") if ticked else "",
        now=Markup(' aria-current="true"') if selected else "",
        stage=stage_name(run.stage),
        state=state(run, place),
        why=fill('<span class="dq-fine">{r}</span>', r=in_our_language(run.status.reason))
        if run.state in TELLING
        else "",
        progress=progress(run),
        spark=_figure(run, found),
        time=when(run, found, now),
    )


def state(run: Run, place: int = 0) -> Markup:
    """In words; a colour only repeats them. `place` is that in the queue, from 1."""
    word = (
        _("queued, place {n} for {device}").format(n=place, device=run.status.device)
        if place and run.status.device
        else _(run.state)
    )
    return fill('<span class="dq-state dq-state-{kind}">{word}</span>', kind=run.state, word=word)


def queue_place(run: Run, runs: Sequence[Run]) -> int:
    """From 1, among those that wait for the same device; 0 for a run that does not wait."""
    if run.state != "queued":
        return 0
    mine = (run.status.queued, run.name)
    others = (other for other in runs if other.state == "queued" and other.status.device == run.status.device)
    return 1 + sum((other.status.queued, other.name) < mine for other in others)


def progress(run: Run) -> Markup:
    """Steps done of all, as a bar and in words."""
    done, total = run.status.step, run.status.total
    if not total:
        return fill('<span class="dq-muted">{t}</span>', t=counted(done, "step") if done else _("no step yet"))
    return fill(
        '<progress value="{done}" max="{total}" aria-label="{label}"></progress><span class="dq-num">{line}</span>',
        label=_("Steps of {name}").format(name=run.name),
        line=_("{done} steps").format(done=f"{done}{THIN}/{THIN}{total}"),
        done=min(done, total),
        total=total,
    )


def key_figure(run: Run, found: Figures) -> str:
    """What shows best how a run goes: "reward" where there is one, else "loss"."""
    return N_("reward") if found.trends.get("reward") else N_("loss")


def _figure(run: Run, found: Figures) -> Markup:
    name = key_figure(run, found)
    trend = found.trends.get(name, ())
    if not trend:
        return Markup("")
    return fill(
        '{spark}<span class="dq-num">{name} {value}</span>',
        spark=spark(
            trend,
            _("{figure} of {run}: first {first}, now {now}").format(
                figure=_(name), run=run.name, first=figure(trend[0]), now=figure(trend[-1])
            ),
        ),
        name=_(name),
        value=figure(found.last.get(name, trend[-1])),
    )


def spark(values: Sequence[float], said: str) -> Markup:
    """A small curve with a dot at its end; `said` is for whoever does not see it."""
    low, high = min(values), max(values)
    across = (WIDTH - 6) / max(len(values) - 1, 1)
    level = (HEIGHT - 6) / ((high - low) or 1.0)
    points = [(3 + i * across, HEIGHT - 3 - (v - low) * level) for i, v in enumerate(values)]
    return fill(
        '<svg class="dq-spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{said}">'
        '<polyline points="{points}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/></svg>',
        w=WIDTH,
        h=HEIGHT,
        said=said,
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        x=points[-1][0],
        y=points[-1][1],
    )


def seconds_left(run: Run, found: Figures) -> float | None:
    """By the mean time of the newest steps; None where nothing is known yet."""
    each, status = found.mean("seconds_per_step"), run.status
    return None if each is None or not status.total else each * max(status.total - status.step, 0)


def _left(run: Run, found: Figures) -> Markup:
    """By its own steps; before the first one, as estimated."""
    if run.status.left:
        low, high = duration(run.status.left[1]), duration(run.status.left[2])
        line = _("about {time} left ({low} to {high})") if low != high else _("about {time} left")
        told = line.format(time=duration(run.status.left[0]), low=low, high=high)
        if not run.status.step:
            told = _("{left}, as estimated before its first step").format(left=told)
        return Markup.escape(told)
    left = seconds_left(run, found)
    if left is None:
        return _muted(_("time left not known yet"))
    return Markup.escape(_("about {time} left").format(time=duration(left)))


def when(run: Run, found: Figures, now: float) -> Markup:
    """How long a live run will take, or when an ended one ended."""
    if run.state == "running":
        return _left(run, found)
    if run.is_live:
        return _muted(_("saves, then ends")) if run.state == "stopping" else Markup("")
    ended = run.status.ended
    if not ended:
        return _muted(_("time of end unknown"))
    return fill("{word} {t}", word=_("ended"), t=ago(ended, now))


def _muted(line: str) -> Markup:
    return fill('<span class="dq-muted">{line}</span>', line=line)
