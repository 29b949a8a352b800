"""The plots of one run or of several overlaid: what is logged, thinned to what a screen shows, as JSON for curves.js.

    found = update(folders, steps=zoom, known=signature)   # found.html is None where nothing is new since `signature`
    gr.HTML(str(found.html), elem_id="dq-curves", **component_args())

    python -m dermiq.ui.training.curves --benchmark        # size and milliseconds at 10,000 logged steps

A run's metrics.jsonl is read on from where the last look ended, once for all visitors. A series longer than the screen
is cut into equal ranges of steps; of each its lowest and highest point are kept, at their own steps, so that no extreme
is lost, and its mean, from which the smoothed line is drawn. Knows no trainer and no gradio.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import tempfile
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO

import numpy as np
from markupsafe import Markup

from dermiq.errors import DataError
from dermiq.types import CLASS_NAMES, CLASSES
from dermiq.ui.markup import THIN, capital, fill, join
from train.runs.run_folder import checkpoints, read_config

STATIC = Path(__file__).resolve().parent.parent / "static"
POINTS = 500  # of a series; a plot is about as many pixels wide
MAX_RUNS = 16  # that are kept in memory
MAX_MADE = 8  # values that are kept, of some 300 kB each
TAIL = 64  # bytes before the place where reading ended, by which a file is known again
GRAIN = 5000  # a value is sent to this fraction of its series' span: finer than a pixel
STATISTICS = ("first", "last", "low", "high")
NEW_RUN = "Nothing was logged yet. The first points come with the first step."

# --- which plots ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """What is logged under `key`; a * stands for any name, which is then the label."""

    key: str
    label: str = ""


@dataclass(frozen=True)
class Chart:
    id: str
    title: str
    lines: tuple[Line, ...]
    unit: str = ""  # of the values; "%": they are shares from 0 to 1
    note: str = ""  # how to read it, in a sentence
    more: bool = False  # below the fold
    smooth: bool = True  # False: what is set or counted, and not noisy
    many: bool = False  # lines, so that with several runs, where each has a plot of its own, they go below the fold


def _both(key: str) -> tuple[Line, ...]:
    return Line(key, "training"), Line(f"eval_{key}", "validation")


ENTROPY = Chart("entropy", "Entropy", _both("entropy"), "nats a token", "How undecided the model is at each token.")
ACCURACY = Chart("accuracy", "Tokens predicted right", _both("mean_token_accuracy"), "%")
OPTIMISER = (
    Chart("learning-rate", "Learning rate", (Line("learning_rate"),), more=True, smooth=False),
    Chart("gradient", "Gradient norm", (Line("grad_norm"),), note="Before it is shortened.", more=True),
)
MACHINE = (
    Chart(
        "memory",
        "Memory",
        (Line("peak_memory_gb", "process"), Line("gpu_peak_memory_gb", "GPU")),
        "GB",
        "The highest so far: all of the process, and its tensors on a GPU.",
        more=True,
        smooth=False,
    ),
    Chart("speed", "Tokens a second", (Line("tokens_per_second"),), more=True),
    Chart("share", "Share of the processors that it got", (Line("processor_share"),), "%", more=True),
    Chart("seconds", "Time for a step", (Line("seconds_per_step"),), "s", more=True),
)

CHARTS: Mapping[str, tuple[Chart, ...]] = {
    "grpo": (
        Chart("reward", "Reward", _both("reward"), note="Mean over the completions."),
        Chart("parts", "Reward by part", (Line("rewards/*/mean"),)),
        Chart("class", "Reward by diagnosis", (Line("class/*/reward"),), many=True),
        Chart(
            "groups",
            "Groups that teach nothing",
            (Line("advantages/collapse_rate", "unused"), Line("frac_reward_zero_std", "all equal")),
            "%",
            "Unused: no completion has an advantage. All equal: all earned the same; some estimators learn even then.",
        ),
        Chart("kl", "Distance from the start (KL)", (Line("kl"),), "nats a token"),
        ENTROPY,
        Chart(
            "length",
            "Length of completions",
            (
                Line("completions/mean_length", "mean"),
                Line("completions/min_length", "shortest"),
                Line("completions/max_length", "longest"),
            ),
            "tokens",
        ),
        Chart("cut", "Completions cut off", _both("completions/clipped_ratio"), "%"),
        Chart("policy-loss", "Loss (policy)", _both("loss"), more=True),
        *OPTIMISER,
        Chart(
            "clip",
            "Tokens whose step was clipped",
            (
                Line("clip_ratio/low_mean", "below"),
                Line("clip_ratio/high_mean", "above"),
                Line("clip_ratio/region_mean", "either"),
            ),
            "%",
            more=True,
        ),
        Chart("spread", "Spread of rewards", _both("reward_std"), note="Standard deviation.", more=True),
        Chart("class-correct", "Right diagnosis, by diagnosis", (Line("class/*/correctness"),), "%", more=True),
        Chart("parts-eval", "Reward by part, validation", (Line("eval_rewards/*/mean"),), more=True),
        Chart("class-eval", "Reward by diagnosis, validation", (Line("eval_class/*/reward"),), more=True),
        Chart(
            "class-correct-eval",
            "Right diagnosis, by diagnosis, validation",
            (Line("eval_class/*/correctness"),),
            "%",
            more=True,
        ),
        *MACHINE,
    ),
    "sft": (
        Chart("loss", "Loss (cross-entropy)", _both("loss"), "nats a token"),
        ACCURACY,
        ENTROPY,
        *OPTIMISER,
        *MACHINE,
    ),
    "dpo": (
        Chart("preference-loss", "Loss (preference)", _both("loss")),
        Chart("told-apart", "Pairs told apart", _both("rewards/accuracies"), "%"),
        Chart(
            "margins",
            "Margin of the chosen answer",
            _both("rewards/margins"),
            note="Reward of the chosen answer less that of the rejected one.",
        ),
        Chart(
            "pair-rewards",
            "Reward of the two answers",
            (Line("rewards/chosen", "chosen"), Line("rewards/rejected", "rejected")),
        ),
        Chart(
            "log-probabilities",
            "Log-probability of the two answers",
            (Line("logps/chosen", "chosen"), Line("logps/rejected", "rejected")),
            "nats",
        ),
        ACCURACY,
        ENTROPY,
        Chart(
            "logits",
            "Logits of the two answers",
            (Line("logits/chosen", "chosen"), Line("logits/rejected", "rejected")),
            more=True,
        ),
        *OPTIMISER,
        *MACHINE,
    ),
}
OTHER = (Chart("any-loss", "Loss", _both("loss")), *OPTIMISER, *MACHINE)  # of a stage that is not named above
# What another plot says, or what says nothing about the model. Everything else that is logged has a plot of its own.
LEFT_OUT = re.compile(r"epoch|step_time|eval_(runtime|.*_per_second)|.*terminated_length|.*/std")


# --- reading -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Logged:
    """What a run had logged at one look."""

    folder: Path
    stage: str  # "grpo"; empty where the folder does not say
    seen: tuple[int, int, int] | None  # inode, size and time of change (ns) of its metrics.jsonl; None without one
    checkpoints: tuple[int, ...]  # their steps
    columns: Mapping[str, tuple[np.ndarray, np.ndarray]]  # in the order of their first values: steps, ascending; values

    def drawn_until(self, points: int, zoom: tuple[int, int] | None) -> int:
        """The last step, to what a plot of so many points can show."""
        last = max((int(steps[-1]) for steps, _ in self.columns.values()), default=0)
        span = zoom[1] - zoom[0] if zoom else last
        grain = max(1, span // points)
        return last // grain * grain


class Series:
    """The figures of one run, read on at each look. Safe to use from several threads.

    A file that was replaced, or is shorter than what was read, is read again from its start: so a run that was resumed
    loses the steps that it computes again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stage = _stage(folder)
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._seen: tuple[int, int, int] | None = None
        self._offset, self._tail = 0, b""
        self._growing: dict[str, tuple[array[int], array[float]]] = {}
        self._columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def look(self) -> Logged:
        """All that was logged until now; a last line that is still being written waits for the next look."""
        with self._lock:
            try:
                with (self.folder / "metrics.jsonl").open("rb") as file:
                    self._read(file)
            except FileNotFoundError:
                self._forget()
            return Logged(self.folder, self._stage, self._seen, tuple(checkpoints(self.folder)), self._columns)

    def _read(self, file: BinaryIO) -> None:
        now = os.fstat(file.fileno())
        seen = (now.st_ino, now.st_size, now.st_mtime_ns)
        if seen == self._seen:
            return
        if self._seen and (self._seen[0] != seen[0] or not self._goes_on(file)):
            self._forget()
        self._seen = seen
        file.seek(self._offset)
        new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._tail = (self._tail + whole)[-TAIL:]
        for line in whole.splitlines():
            self._add(line)
        self._columns = {
            key: (np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
            for key, (steps, values) in self._growing.items()
        }

    def _goes_on(self, file: BinaryIO) -> bool:
        """Whether the file still holds, where reading ended, what was read there."""
        file.seek(self._offset - len(self._tail))
        return file.read(len(self._tail)) == self._tail

    def _add(self, line: bytes) -> None:
        try:
            values = json.loads(line)
        except ValueError:  # torn by a power loss
            return
        step = values.pop("step", None) if isinstance(values, dict) else None
        if not isinstance(step, int) or isinstance(step, bool):
            return
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                steps, column = self._growing.setdefault(key, (array("q"), array("d")))
                while steps and steps[-1] >= step:  # written again: the later line counts
                    steps.pop()
                    column.pop()
                steps.append(step)
                column.append(value)


def _stage(folder: Path) -> str:
    try:
        return read_config(folder)[0].rsplit(".", 1)[-1]
    except DataError:
        return ""


_known: OrderedDict[Path, Series] = OrderedDict()
_known_lock = threading.Lock()


def series(folder: Path) -> Series:
    """The figures of a run, kept for the next look; the run that was not looked at for the longest is dropped."""
    with _known_lock:
        found = _known.pop(folder, None) or Series(folder)
        _known[folder] = found
        while len(_known) > MAX_RUNS:
            _known.popitem(last=False)
        return found


# --- thinning ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thin:
    """Points of a series at their own steps, ascending: all, or of each range of steps the lowest and the highest.

    `means`: of each range the last step and the mean; None where all points are there.
    """

    steps: np.ndarray
    values: np.ndarray
    means: tuple[np.ndarray, np.ndarray] | None = None


def thin(steps: np.ndarray, values: np.ndarray, *, points: int = POINTS) -> Thin:
    """At most about `points` points. Ranges start at multiples of their width, so they stay while a run goes on."""
    if len(steps) <= points:
        return Thin(steps, values)
    bucket = steps // _width(int(steps[-1] - steps[0]) + 1, points // 2)
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    sizes = np.diff(starts, append=len(steps))
    extremes = [
        _first(values == np.repeat(pick.reduceat(values, starts), sizes), starts) for pick in (np.minimum, np.maximum)
    ]
    kept = np.unique(np.concatenate([[0, len(steps) - 1], *extremes]))
    means = np.add.reduceat(values, starts) / sizes
    return Thin(steps[kept], values[kept], (steps[starts + sizes - 1], means))


def _width(span: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... steps of which at most `most` cover the span."""
    exact = max(span / most, 1.0)
    power = 10 ** math.floor(math.log10(exact))
    return next(int(m * power) for m in (1, 2, 5, 10) if m * power >= exact)


def _first(marked: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The first marked index at or after each start."""
    indices = np.flatnonzero(marked)
    return indices[np.searchsorted(indices, starts)]


def _inside(steps: np.ndarray, values: np.ndarray, zoom: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """The points inside the zoom and one more at each side, so that lines reach the edge."""
    if zoom is None:
        return steps, values
    start, end = np.searchsorted(steps, zoom[0]) - 1, np.searchsorted(steps, zoom[1], side="right") + 1
    part = slice(max(int(start), 0), int(end))
    return steps[part], values[part]


def _numbers(values: np.ndarray, span: float) -> list[float]:
    """Rounded to what a plot can show of a series with this span between its lowest and highest."""
    scale = span or float(np.abs(values).max(initial=0.0)) or 1.0
    rounded: list[float] = np.round(values, max(0, math.ceil(-math.log10(scale / GRAIN)))).tolist()
    return rounded


# --- the payload ---------------------------------------------------------------------------


def payload(folders: Sequence[Path], *, points: int = POINTS, steps: tuple[int, int] | None = None) -> dict[str, Any]:
    """What curves.js draws.

    `signature`; `steps`: the part asked for, or None; `extent`: first and last step; `runs`: name, stage, checkpoints;
    `charts`: id, title, unit, note, more, smooth, and `series`: run, label, short, colour, twin, x and y, mx and my
    (the means, where points were left out), from, to, count, first, last, low, high. With several runs each chart has
    one figure, and each run its colour.
    """
    return _payload([series(folder).look() for folder in folders], points, steps)


def _payload(runs: Sequence[Logged], points: int, steps: tuple[int, int] | None) -> dict[str, Any]:
    overlaid = len(runs) > 1
    charts: dict[str, dict[str, Any]] = {}
    for index, run in enumerate(runs):
        for chart in (part for whole in _charts(run) for part in (_split(whole) if overlaid else [whole])):
            drawn = charts.setdefault(chart.id, {**_about(chart), "series": []})["series"]
            for place, line in enumerate(chart.lines):
                points_of_it = _drawn(*run.columns[line.key], points=points, zoom=steps)
                drawn.append({**_named(line, run, index if overlaid else None, place), **points_of_it})
    lines = [line for chart in charts.values() for line in chart["series"]]
    return {
        "signature": _signature(runs, points, steps),
        "steps": steps,
        "extent": [min(line["from"] for line in lines), max(line["to"] for line in lines)] if lines else None,
        "runs": [{"name": run.folder.name, "stage": run.stage, "checkpoints": run.checkpoints} for run in runs],
        "charts": sorted(charts.values(), key=lambda chart: bool(chart["more"])),
    }


def _signature(runs: Sequence[Logged], points: int, steps: tuple[int, int] | None, *, live: bool = False) -> str:
    shown = [
        (str(run.folder), run.drawn_until(points, steps) if live else run.seen, run.checkpoints, len(run.columns))
        for run in runs
    ]
    return hashlib.blake2b(repr((shown, points, steps)).encode(), digest_size=12).hexdigest()


def _charts(run: Logged) -> Iterator[Chart]:
    """The charts that this run has points for, each with the lines that were logged; then one for each other figure."""
    rest = dict.fromkeys(key for key in run.columns if not LEFT_OUT.fullmatch(key))
    for chart in CHARTS.get(run.stage, OTHER):
        lines = tuple(found for line in chart.lines for found in _matches(line, run.columns))
        for line in lines:
            rest.pop(line.key, None)
        if lines:
            yield replace(chart, lines=lines)
    for name in dict.fromkeys(key.removeprefix("eval_") for key in rest):
        both = tuple(line for line in _both(name) if line.key in rest)
        yield Chart(f"rest-{name}", capital(_words(name)), both, more=run.stage in CHARTS)


def _matches(line: Line, logged: Collection[str]) -> list[Line]:
    if "*" not in line.key:
        return [line] if line.key in logged else []
    before, after = line.key.split("*")
    names = [k[len(before) : -len(after)] for k in logged if k.startswith(before) and k.endswith(after)]
    names.sort(key=lambda name: (CLASSES.index(name) if name in CLASSES else len(CLASSES), name))
    return [Line(f"{before}{name}{after}", name) for name in names]


def _split(chart: Chart) -> Iterator[Chart]:
    """One chart a figure, so that runs can be told apart by their colours; training and validation stay together."""
    by_name: dict[str, list[Line]] = {}
    for line in chart.lines:
        by_name.setdefault(line.key.removeprefix("eval_"), []).append(line)
    for name, lines in by_name.items():
        if lines[0].label in ("", "training", "validation"):
            yield chart
        else:
            title = f"{chart.title}: {CLASS_NAMES.get(lines[0].label, _words(lines[0].label))}"
            more = chart.more or chart.many
            yield replace(chart, id=f"{chart.id}-{name}", title=title, lines=tuple(lines), more=more)


def _about(chart: Chart) -> dict[str, Any]:
    return {k: getattr(chart, k) for k in ("id", "title", "unit", "note", "more", "smooth")}


def _named(line: Line, run: Logged, index: int | None, place: int) -> dict[str, Any]:
    """`label` for the plot's key, `short` for the line's end, `colour` by number. `index`: among several runs."""
    twin = line.key.startswith("eval_")
    if index is not None:
        label = run.folder.name + (", validation" if twin else "")
        return {"run": index, "label": label, "short": label, "colour": index, "twin": twin}
    label = CLASS_NAMES.get(line.label, _words(line.label))
    return {"run": 0, "label": label, "short": _words(line.label), "colour": place, "twin": twin}


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", ", ")


def _drawn(steps: np.ndarray, values: np.ndarray, *, points: int, zoom: tuple[int, int] | None) -> dict[str, Any]:
    """The points inside the zoom; count, first, last, lowest and highest of all."""
    low, high = float(values.min()), float(values.max())
    thinned = thin(*_inside(steps, values, zoom), points=points)
    drawn = {"x": thinned.steps.tolist(), "y": _numbers(thinned.values, high - low)}
    if thinned.means:
        drawn |= {"mx": thinned.means[0].tolist(), "my": _numbers(thinned.means[1], high - low)}
    ends = {"from": int(steps[0]), "to": int(steps[-1]), "count": len(steps)}
    return {**drawn, **ends, "first": float(values[0]), "last": float(values[-1]), "low": low, "high": high}


# --- for the page --------------------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    signature: str
    html: Markup | None  # None: nothing is new


def update(
    folders: Sequence[Path],
    *,
    steps: tuple[int, int] | None = None,
    known: str = "",
    points: int = POINTS,
    live: bool = False,
) -> Update:
    """The component's new value, or None in its place where `known`, the signature of the last one, still holds.

    `live`: more will come, so what is narrower than a point of the plot can wait: of 10,000 steps each twentieth draws.
    """
    runs = [series(folder).look() for folder in folders]
    signature = _signature(runs, points, steps, live=live)
    return Update(signature, None if signature == known else _made_once(signature, runs, points, steps))


_made: OrderedDict[str, Markup] = OrderedDict()  # by signature: visitors who watch the same run share them
_made_lock = threading.Lock()


def _made_once(signature: str, runs: Sequence[Logged], points: int, steps: tuple[int, int] | None) -> Markup:
    with _made_lock:
        if signature not in _made:
            _made[signature] = html(_payload(runs, points, steps))
        while len(_made) > MAX_MADE:
            _made.popitem(last=False)
        return _made[signature]


def zoomed(text: str) -> tuple[int, int] | None:
    """The steps that the event `range` carries, "120,480"; None for the whole run and for anything else."""
    match = re.fullmatch(r"(\d{1,15}),(\d{1,15})", text)
    return (int(match[1]), int(match[2])) if match and int(match[1]) <= int(match[2]) else None


def html(found: Mapping[str, Any]) -> Markup:
    """A payload as the component's value: what the script draws, and the same as a table for everybody to read."""
    data = json.dumps(found, separators=(",", ":"), allow_nan=False)
    return fill('<div data-curves="{data}"></div>{table}', data=data, table=_table(found))


def _table(found: Mapping[str, Any]) -> Markup:
    if not found["charts"]:
        return fill('<p class="dq-placeholder">{text}</p>', text=NEW_RUN)
    rows = (
        fill(
            "<tr><th scope=row>{name}</th>{figures}<td>{count}</td></tr>",
            name=_row_name(chart, line),
            figures=join(fill("<td>{f}</td>", f=figure(line[k], chart["unit"])) for k in STATISTICS),
            count=f"{line['count']:,}",
        )
        for chart in found["charts"]
        for line in chart["series"]
    )
    head = join(fill("<th scope=col>{h}</th>", h=h) for h in ("Figure", "First", "Last", "Lowest", "Highest", "Points"))
    return fill(
        '<div class="dq-curves-scroll" tabindex="0" role="region" aria-label="Figures as a table"><table>'
        "<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>",
        head=head,
        rows=join(rows),
    )


def _row_name(chart: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    name = f"{chart['title']}, {line['label']}" if line["label"] else chart["title"]
    return f"{name} ({chart['unit']})" if chart["unit"] not in ("", "%") else name


def figure(value: float, unit: str = "") -> str:
    """Three significant digits: "1.57", "1.33e-7", "12,300", and for the unit % "62.5 %"; curves.js writes the same."""
    if unit == "%":
        return f"{figure(value * 100)}{THIN}%"
    size = abs(value)
    text = f"{value:,.0f}" if 999.5 <= size < 1e9 else f"{value:.3g}" if size >= 1e-4 else f"{value:.2e}"
    if "e" in text:
        digits, power = text.split("e")
        text = f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}e{int(power)}" if value else "0"
    return text.replace("-", "−", 1) if value < 0 else text


def component_args() -> dict[str, Any]:
    """For gr.HTML, which gets the value and elem_id besides. Triggers `range` with {value: "120,480" or ""}."""
    scripts = ((STATIC / name).read_text(encoding="utf-8") for name in ("vendor/uPlot.iife.min.js", "curves.js"))
    return {
        "html_template": '<div class="dq-root"></div>',
        "js_on_load": "dermiqCurves.mount(element, props, watch, (value) => trigger('range', { value: value }));",
        "head": "".join(f"<script>{script}</script>" for script in scripts),
        "apply_default_css": False,
    }


def css() -> str:
    names = ("vendor/uPlot.min.css", "training-curves.css")
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


# --- benchmark -----------------------------------------------------------------------------


def benchmark(count: int = 10_000, looks: int = 20) -> str:
    """Size and milliseconds of a GRPO run with `count` logged steps: first look, one step later, with nothing new."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text('{"stage": "train.grpo", "options": {}}', encoding="utf-8")
        with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:

            def log(step: int) -> None:
                file.write(json.dumps({"step": step, **invented(rng)}) + "\n")
                file.flush()

            for step in range(count):
                log(step)
            first, shown = _timed(lambda: update([folder]))
            later = []
            for step in range(count, count + looks):
                log(step)
                milliseconds, shown = _timed(lambda: update([folder]))
                later.append(milliseconds)
            same, _ = _timed(lambda: update([folder], known=shown.signature))
        keys = len(series(folder).look().columns)
    size = len(shown.html or "") / 1000
    return (
        f"{count:,} steps of {keys} figures: {size:.0f} kB are sent. First look {first:.0f} ms; "
        f"each step later {median(later):.0f} ms, at most {max(later):.0f} ms of {looks}; nothing new {same:.1f} ms."
    )


def invented(rng: np.random.Generator) -> dict[str, float]:
    """A line as GRPO logs it: one diagnosis a step, four parts of the reward."""
    diagnosis = CLASSES[rng.integers(len(CLASSES))]
    parts = {"class/*": [diagnosis], "eval_class/*": [], "rewards/*": ["a", "b", "c", "d"], "eval_rewards/*": []}
    keys = [line.key for chart in CHARTS["grpo"] for line in chart.lines if not line.key.startswith("eval_")]
    named = [key.replace("*", name) for key in keys for name in parts.get(key.rpartition("/")[0], [""])]
    return {key: float(f"{rng.normal(1, 0.3):.6g}") for key in named}


def _timed(look: Callable[[], Update]) -> tuple[float, Update]:
    start = time.perf_counter()
    found = look()
    return (time.perf_counter() - start) * 1000, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast a run with 10,000 logged steps is read and thinned.")
    parser.add_argument("--benchmark", action="store_true", required=True)
    parser.parse_args()
    print(benchmark())
