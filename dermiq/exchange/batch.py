"""`dermiq batch FOLDER --out results.csv`: every photograph of a folder, a row each. Goes on where it was stopped.

A file that cannot be read is a row with the reason. The table holds names of files below the folder, figures and what
they were made by: no image, and no path of this computer. The next images are read while one is assessed; each is
assessed by itself, so that its figures are those of `dermiq assess`, bit for bit (several at once take as long).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import dermiq
from dermiq.decoder.pool import BUSY, NO_PROCESS
from dermiq.errors import DataError, InputError
from dermiq.exchange.options import READERS, add_reader, reader_of
from dermiq.exchange.results import KEY, Results, one_line
from dermiq.exchange.tasks import TOLD, Task, tasks_of
from dermiq.places import graph_tables
from dermiq.settings import Settings, Subparsers
from dermiq.shipped import digest_of
from dermiq.types import CLASSES, Case, Differential

if TYPE_CHECKING:
    from dermiq.exchange.reading import Assessed, Assessor

BEFORE = {"specialist": "", "vlm": "vlm_"}  # before a reader's columns
CERTAINTIES = ("90", "95")
AHEAD, TRIES = 4, 5  # cases read while one is assessed; times that a busy computer is asked
SHOWN_S = 10.0  # between two lines of progress where it is no terminal
NOTE = "Research demonstration, not for diagnosis"
GRAPH = ("nodes.tsv", "edges.tsv", "sources.tsv", "names.tsv")


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("batch", help="assess every photograph of a folder, as a table")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the CSV; one that is there already is gone on with")
    parser.add_argument(
        "--table", type=Path, help="CSV: image, and age, sex, site, skin_type, symptoms, question, case as known"
    )
    add_reader(parser, default="specialist", help="default: specialist; vlm takes seconds a case")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    tasks, left_out = tasks_of(options.folder, table=options.table)
    if left_out:
        print(f"{left_out} photographs of the folder are not in the table, and are not assessed.", file=sys.stderr)
    reader = reader_of(options)
    results = Results(options.out, columns=columns_of(options.reader), made_by=made_by(options, reader))
    with results:
        left = [task for task in tasks if not _is_done(task, results)]
        progress = Progress(len(tasks), done=len(tasks) - len(left))
        try:
            for task, case in read_ahead(left, options.folder):
                results.append(row_of(task, case, reader))
                progress.step()
        except KeyboardInterrupt:
            print("\nStopped. The same command goes on from here.", file=sys.stderr)
            return 130
        finally:
            progress.end()
    return 0


def made_by(options: argparse.Namespace, reader: Assessor) -> dict[str, str]:
    """What must be the same for a table to be gone on with."""
    tables = Settings.load([]).kg or graph_tables()
    used = {"dermiq": dermiq.__version__, "graph": digest_of(tables / name for name in GRAPH), "reader": options.reader}
    if options.reader == "vlm":
        used |= {"votes": options.votes, "load_in_4bit": options.load_in_4bit, "device": reader.device}
    said = "; ".join(f"{name}={value}" for name, value in used.items())
    name = Path(reader.name).name if Path(reader.name).is_absolute() else reader.name  # a folder's path stays here
    return {"model": name, "weights": reader.weights, "options": said, "note": NOTE}


def _is_done(task: Task, results: Results) -> bool:
    """Raises DataError where the table of results has the case with other images or another patient."""
    row = results.done.get(one_line(task.name))
    if row is None:
        return False
    for name, value in told_of(task).items():
        if row[name] != one_line(value):
            raise DataError(f"{results.path} has {task.name} with {name} {row[name]!r}, and now it is {value!r}.")
    return True


# --- rows -------------------------------------------------------------------------------


def columns_of(reader: str) -> tuple[str, ...]:
    both = READERS[: 1 + READERS.index(reader)]
    figures = [f"{BEFORE[one]}{name}" for one in both for name in ("diagnosis", *(f"p_{code}" for code in CLASSES))]
    sets = [f"set_{certainty}" for certainty in CERTAINTIES]
    reasons = ("abstention", "quality", "reasons", "urgency", "error")
    return (KEY, "file", *TOLD, *figures, *sets, *reasons, "model", "weights", "options", "note")


def told_of(task: Task) -> dict[str, str]:
    return {"file": " | ".join(task.files), **{name: task.told.get(name, "") for name in TOLD}}


def row_of(task: Task, case: Future[Case], reader: Assessor) -> dict[str, str]:
    """Errors of the case's own are in the row; those of the models end the run."""
    row = {KEY: task.name, **told_of(task)}
    try:
        return {**row, **figures_of(reader.assess(case.result()))}
    except InputError as error:
        return {**row, "error": str(error)}
    except (ArithmeticError, LookupError, RuntimeError, ValueError, MemoryError) as error:  # a fault of ours
        print(f"\n{one_line(task.name)}: {error!r}", file=sys.stderr)
        return {**row, "error": f"It could not be assessed ({type(error).__name__})."}


def figures_of(assessed: Assessed) -> dict[str, str]:
    """What was found, by column."""
    answer = assessed.answer
    found: dict[str, str] = {}
    for opinion in answer.differentials:
        found |= _figures(opinion, BEFORE[opinion.reader])
    issues = {issue.code: issue.message for issue in assessed.issues}
    reasons = [*([answer.abstention.message] if answer.abstention else []), *issues.values()]
    return {
        **found,
        **{f"set_{name}": " ".join(answer.differentials[0].sets.get(name, ())) for name in CERTAINTIES},
        "abstention": answer.abstention.code if answer.abstention else "",
        "quality": " ".join(issues),
        "reasons": " ".join(dict.fromkeys(reasons)),
        "urgency": answer.urgency.level if answer.urgency else "",
    }


def _figures(opinion: Differential, before: str) -> dict[str, str]:
    chances = {f"{before}p_{code}": repr(opinion.probability(code)) for code in CLASSES}
    return {f"{before}diagnosis": opinion.top.diagnosis.code or "", **chances}


# --- the work ---------------------------------------------------------------------------


def read_ahead(tasks: Sequence[Task], folder: Path) -> Iterator[tuple[Task, Future[Case]]]:
    """In order; the next few are read and decoded while one is assessed."""
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="read") as pool:
        waiting: deque[tuple[Task, Future[Case]]] = deque()
        try:
            for task in tasks:
                waiting.append((task, pool.submit(_read, task, folder)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(task: Task, folder: Path) -> Case:
    """Where the computer is too busy to decode an image, that is not the file's fault: it is tried again."""
    for _ in range(TRIES - 1):
        try:
            return task.case(folder)
        except InputError as error:
            if str(error) not in (BUSY, NO_PROCESS):
                raise
            time.sleep(1.0)
    return task.case(folder)


class Progress:
    """How many are done, how fast, and how long it will take: in place in a terminal, else a line now and then."""

    def __init__(self, total: int, *, done: int) -> None:
        self.total, self.done, self.before = total, done, done
        self.started = self.shown = time.monotonic()
        if done:
            print(f"{done} of {total} were done before.", file=sys.stderr)

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if sys.stderr.isatty():
            print(f"\r{self.line(now)}", end="", file=sys.stderr, flush=True)
        elif now - self.shown > SHOWN_S:
            self.shown = now
            print(self.line(now), file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        rate = (self.done - self.before) / max(now - self.started, 1e-6)
        left = (self.total - self.done) / rate if rate else 0.0
        return f"{self.done}/{self.total}, {rate:.2f} a second, {duration(left)} left   "

    def end(self) -> None:
        print(f"\r{self.line(time.monotonic())}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """ "4 min 05 s" """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
