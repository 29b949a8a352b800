"""Runs: start, queue, watch, stop, kill, resume, compare, delete. One at a time on each device.

    python -m train.runs list
    python -m train.runs show NAME
    python -m train.runs stop|kill|resume|delete|undelete NAME
    python -m train.runs rename NAME NEW
    python -m train.runs note NAME "what it was for"
    python -m train.runs compare NAME NAME...

Each takes `--json` and `--runs FOLDER` (default: DERMIQ_RUNS, or runs/ in the repository). From Python, for a page:

    run = start(config)                     # a child process in a session of its own, its output in log.txt
    lines = metrics(run.folder, since=12)   # what was logged from line 12 on
    stop(run.folder)                        # finishes its step, saves, ends; resume(run.folder) goes on from there
    start_chain({"x-grpo": first, "x-sft": second})     # each trains the result of the one before

A stage is a module of `train` with `CONFIG`, a dataclass of options that has `stage`, `check()` and `place()`, and
`run(config, owner)`, which returns once `final/` is sealed or a stop was asked for. Knows no trainer and no page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import psutil
from filelock import FileLock

from dermiq import places
from dermiq.errors import DataError, DermIQError, InputError
from dermiq.review.types import is_frozen_set
from dermiq.types import Fields, Json
from train import options
from train.runs import estimate, hints
from train.runs.cpu_share import NICENESS
from train.runs.run_folder import (
    CONFIG,
    LIVE,
    STATUS,
    STOP,
    Status,
    checkpoints,
    current_status,
    read_config,
    read_json,
    read_lines,
    read_status,
    same_process,
    waits_for,
    write_json,
    write_status,
    write_whole,
)
from train.runs.times import between, in_words

TRASH, LOCKS, NOTE = ".trash", ".locks", "note.txt"
NOTE_LENGTH = 2000
POLL_S = 0.5  # between two looks at the queue
MIN_FREE_BYTES = 200_000_000  # below this not even logs and an adapter are sure to fit
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class StageConfig(Protocol):
    stage: ClassVar[str]  # the module that runs it, "train.sft"

    def check(self) -> None:
        """Raises DermIQError for what can be known to be wrong before anything is computed."""

    def place(self) -> str:
        """The device that it needs for itself: "cpu", "cuda:0"."""


@dataclass(frozen=True)
class Run:
    """A run as it stands now."""

    folder: Path
    stage: str  # "sft"
    options: Fields
    status: Status
    note: str = ""  # what someone wrote about it
    after: str = ""  # the run that it waits for, to train its result further

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    def hints(self) -> list[str]:
        """What its figures mean where they mislead."""
        return hints.hints(self.stage, self.options, metrics(self.folder))

    def as_dict(self) -> Json:
        saved = list(checkpoints(self.folder))
        return {
            "name": self.name,
            "folder": str(self.folder),
            "stage": self.stage,
            **asdict(self.status),
            "note": self.note,
            "after": self.after,
            "checkpoints": saved,
            "memory": read_json(self.folder / estimate.MEMORY),
            "options": dict(self.options),
        }


# --- reading ----------------------------------------------------------------------------


def runs_folder(folder: str | Path | None = None) -> Path:
    """The argument, or where `dermiq.places` keeps them."""
    return Path(folder).expanduser().resolve() if folder else places.runs_folder()


def find(name: str | Path, root: Path | None = None) -> Path:
    """The folder of a run given by name or path. Raises InputError where there is none."""
    for folder in (Path(name).expanduser(), (root or runs_folder()) / name):
        if (folder / CONFIG).is_file():
            return folder.resolve()
    raise InputError(f"There is no run {str(name)!r} in {root or runs_folder()}. See `python -m train.runs list`.")


def load_run(folder: Path) -> Run:
    """Raises DataError where the folder is not a run's."""
    stage, values = read_config(folder)
    note = folder / NOTE
    return Run(
        folder,
        stage.rsplit(".", 1)[-1],
        values,
        current_status(folder),
        note=note.read_text(encoding="utf-8") if note.is_file() else "",
        after=waits_for(folder),
    )


def list_runs(root: Path | None = None) -> list[Run]:
    """All runs, the newest first. Folders that are no runs are left out."""
    root = root or runs_folder()
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        if not path.name.startswith(".") and path.is_dir():
            with contextlib.suppress(DataError):
                found.append(load_run(path))
    return sorted(found, key=lambda run: (run.status.created, run.name), reverse=True)


def metrics(folder: Path, since: int = 0) -> list[Json]:
    """The logged lines from number `since` on. A resumed run has dropped those that it computes again."""
    return read_lines(folder / "metrics.jsonl", since)


def samples(folder: Path, since: int = 0) -> list[Json]:
    """Completions with the parts of their reward."""
    return read_lines(folder / "samples.jsonl", since)


def compare(folders: Sequence[Path]) -> Json:
    """The options in which runs differ, and the last logged value of everything."""
    runs = [load_run(folder) for folder in folders]
    found = [dict(flat(run.options)) for run in runs]
    names = sorted({name for values in found for name in values})
    last: list[Json] = []
    for run in runs:
        last.append({key: value for line in metrics(run.folder) for key, value in line.items()})
    return {
        "runs": [{"name": run.name, "stage": run.stage, "state": run.state} for run in runs],
        "options": {
            name: [values.get(name) for values in found]
            for name in names
            if len({json.dumps(values.get(name)) for values in found}) > 1
        },
        "metrics": {
            name: [values.get(name) for values in last] for name in sorted({name for values in last for name in values})
        },
    }


def flat(values: Fields, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested options by their dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# --- starting ---------------------------------------------------------------------------


def create(config: StageConfig, *, name: str = "", root: Path | None = None, after: str = "") -> Path:
    """Checks the config and makes the run's folder, queued. Raises DermIQError before anything is written.

    With `after`, the name of a run whose result this one trains, the config is checked once that run is finished.
    """
    if not after:
        config.check()
    root = root or runs_folder()
    stage = config.stage.rsplit(".", 1)[-1]
    if name:
        check_name(name)
    with _explained_disk(root):
        root.mkdir(parents=True, exist_ok=True)
        check_disk(root)
        new = root / f".new-{os.getpid()}-{threading.get_ident()}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        values = options.as_dict(config)
        learned = _sets(values.get("preferences") or ())
        write_json(new / CONFIG, {"stage": config.stage, "options": values, "after": after, **learned})
        now = time.time()
        write_status(new, Status("queued", "Starting.", created=now, queued=now))
        return _take_name(new, root, name, stage)


def _sets(sources: Sequence[str]) -> dict[str, dict[str, str]]:
    """The digests of the review's frozen sets among what is learned from, for config.json."""
    if not any(map(is_frozen_set, sources)):
        return {}
    from train.cases.reviewed import digests_of

    return {"sets": digests_of(sources)}


def check_name(name: str) -> None:
    """Raises InputError for what no folder of a run can be called."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"A run cannot be called {name!r}: use up to 100 letters, digits, dots, dashes and underscores, and begin "
            "with a letter or a digit."
        )


def _take_name(new: Path, root: Path, name: str, stage: str) -> Path:
    """Renames the finished folder into place, so that a run is never seen without its config."""
    base = name or f"{stage}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):
        target = root / (base if number == 1 else f"{base}-{number}")
        with FileLock(lock_path(root, "names")):
            if not target.exists():
                os.replace(new, target)
                return target
        if name:
            break
    shutil.rmtree(new)
    raise InputError(f"There is already a run {base!r} in {root}. Choose another name, or resume it.")


def free_name(base: str, root: Path, endings: Sequence[str] = ()) -> str:
    """`base`, or with a number behind it, such that no run is called so, nor so with "-" and any of the endings."""
    for number in range(1, 1000):
        name = base if number == 1 else f"{base}-{number}"
        if not any((root / taken).exists() for taken in (name, *(f"{name}-{ending}" for ending in endings))):
            return name
    raise InputError(f"There are too many runs called {base!r} in {root}. Choose another name.")


def lock_path(root: Path, name: str) -> Path:
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    return root / LOCKS / f"{name.replace(':', '-')}.lock"


def check_disk(root: Path, needed: int = MIN_FREE_BYTES) -> None:
    """Raises InputError where fewer than `needed` bytes are free."""
    free = shutil.disk_usage(root).free
    if free < needed:
        raise InputError(
            f"The disk of {root} has {free / 1e9:.1f} GB free and the run needs {needed / 1e9:.1f} GB. "
            "Free some, or set DERMIQ_RUNS to a folder on another disk."
        )


@contextlib.contextmanager
def _explained_disk(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{root} cannot be written: {error.strerror or error}. Name another folder with --runs or DERMIQ_RUNS.",
            detail=repr(error),
        ) from error


def start(config: StageConfig, *, name: str = "", root: Path | None = None, steps_back: bool = True) -> Run:
    """Starts a run as a child process that outlives this one; it waits in its device's queue if it must."""
    folder = create(config, name=name, root=root)
    _spawn(folder, steps_back=steps_back)
    return load_run(folder)


def start_chain(configs: Mapping[str, StageConfig], *, root: Path | None = None) -> list[Run]:
    """Starts runs by name, each of which waits for the one before and trains its result. None where one cannot be made.

    Whoever calls has checked the configs: the model that a later one names does not exist yet.
    """
    folders: list[Path] = []
    try:
        for name, config in configs.items():
            folders.append(create(config, name=name, root=root, after=folders[-1].name if folders else ""))
    except DermIQError:
        for folder in folders:
            shutil.rmtree(folder)
        raise
    for folder in folders:
        _spawn(folder)
    return [load_run(folder) for folder in folders]


def resume(folder: Path, *, steps_back: bool = True) -> Run:
    """Goes on from the last complete checkpoint, in a child process, and so do runs that waited for it in vain. Raises
    InputError where there is nothing to do.
    """
    prepare_resume(folder)
    _spawn(folder, steps_back=steps_back)
    for run in list_runs(folder.parent):
        if run.after == folder.name and not run.is_live and run.status.started is None:
            resume(run.folder)
    return load_run(folder)


def prepare_resume(folder: Path) -> None:
    """Makes an ended run ready to be worked on again."""
    run = load_run(folder)
    if run.is_live:
        raise InputError(f"The run {run.name} is {run.state}; there is nothing to resume.")
    if run.state == "finished":
        raise InputError(
            f"The run {run.name} is finished. Start a new one with --model {run.name} to train it further."
        )
    check_disk(folder.parent)
    with _explained_disk(folder):
        (folder / STOP).unlink(missing_ok=True)
        spent = run.status.took(_last_sign(folder)) or run.status.spent
        nobody = replace(run.status, pid=None, pid_started=None, started=None, ended=None, spent=spent)
        write_status(folder, replace(nobody, state="queued", reason="Starting again.", queued=time.time()))


def _last_sign(folder: Path) -> float:
    """When a run whose process ended without a word wrote something last."""
    files = (folder / name for name in (STATUS, "metrics.jsonl", "log.txt"))
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def _spawn(folder: Path, *, steps_back: bool = True) -> None:
    """`steps_back`: it leaves the processor to whoever uses the page beside it."""
    environment = {**os.environ, **places.variables(), "PYTHONUNBUFFERED": "1"}
    environment |= {} if steps_back else {NICENESS: "0"}
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    with (folder / "log.txt").open("ab") as log:
        log.write(f"{time.strftime('%H:%M:%S')} Starting.\n".encode())
        log.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "train.runs.worker", str(folder)],
            cwd=places.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaps it, so that it does not stay as a zombie


def stop(folder: Path) -> Run:
    """Asks a run to finish its step, save and end. A queued one just ends."""
    run = load_run(folder)
    if not run.is_live:
        raise InputError(f"The run {run.name} is not running: it is {run.state}.")
    (folder / STOP).touch()
    return load_run(folder)


def kill(folder: Path) -> Run:
    """Ends a run's processes at once. What it did since its last checkpoint is lost."""
    run = load_run(folder)
    pid, started = run.status.pid, run.status.pid_started
    if not run.is_live or pid is None or started is None or not same_process(pid, started):
        raise InputError(f"The run {run.name} has no process to kill: it is {run.state}.")
    group = os.getpgid(pid)
    if group == pid:  # a session of its own, so its helpers go with it
        os.killpg(group, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).wait(timeout=10)
    status = read_status(folder)
    write_status(folder, replace(status, state="interrupted", reason="Killed on request.", ended=time.time()))
    return load_run(folder)


def delete(folder: Path) -> Path:
    """Moves a run to the trash inside the runs' folder; `undelete` brings it back. Raises InputError while it lives."""
    run = load_run(folder)
    if run.is_live:
        raise InputError(f"The run {run.name} is {run.state}. Stop it before it is deleted.")
    trash = folder.parent / TRASH / f"{run.name}@{time.time_ns()}"
    trash.parent.mkdir(exist_ok=True)
    os.replace(folder, trash)
    return trash


def undelete(name: str, root: Path | None = None) -> Path:
    """Brings back what was deleted last under this name."""
    root = root or runs_folder()
    kept = sorted((root / TRASH).glob(f"{name}@*"), key=lambda path: int(path.name.rsplit("@", 1)[1]))
    if not _NAME.fullmatch(name) or not kept:
        raise InputError(f"No deleted run is called {name!r}.")
    if (root / name).exists():
        raise InputError(f"There is a run {name!r} again. Delete or rename it first.")
    os.replace(kept[-1], root / name)
    return root / name


def rename(folder: Path, name: str) -> Path:
    """Raises InputError for a name that is taken or none, and while a run works on the folder or counts on its name."""
    run = load_run(folder)
    if not _NAME.fullmatch(name):
        raise InputError(f"A run cannot be called {name!r}: use letters, digits, dots, dashes and underscores.")
    if run.is_live:
        raise InputError(f"The run {run.name} is {run.state}. Stop it before it is renamed.")
    for other in list_runs(folder.parent):
        if other.state != "finished" and run.name in (other.options.get("model"), other.after):
            raise InputError(f"The run {other.name} trains the result of {run.name} and needs its name.")
    target = folder.parent / name
    with FileLock(lock_path(folder.parent, "names")):
        if target.exists():
            raise InputError(f"There is already a run {name!r}. Choose another name.")
        os.replace(folder, target)
    return target


def annotate(folder: Path, text: str) -> Run:
    """Keeps a note with the run, of at most NOTE_LENGTH characters; an empty one is taken away."""
    load_run(folder)
    with _explained_disk(folder):
        if text.strip():
            write_whole(folder / NOTE, text.strip()[:NOTE_LENGTH])
        else:
            (folder / NOTE).unlink(missing_ok=True)
    return load_run(folder)


# --- command line -------------------------------------------------------------------------


def command(config_class: Any, argv: Sequence[str] | None = None, *, description: str = "") -> int:
    """A stage's own command: options, then the run, here or (with --detach) in a process of its own."""
    from train.runs import worker as work

    prog = f"python -m {config_class.stage}"
    try:
        made = options.parser(config_class, prog=prog, description=description)
        made.add_argument("--name", default="", help="of the run; default: the stage and the time")
        made.add_argument("--runs", default=None, metavar="FOLDER", help="where runs are kept; default: DERMIQ_RUNS")
        made.add_argument("--detach", action="store_true", default=False, help="start it and return at once")
        made.add_argument(
            "--print-config", action="store_true", default=False, help="print the options as YAML; no run"
        )
        made.add_argument("--estimate", action="store_true", default=False, help="print memory and time; no run")
        given = vars(made.parse_args(argv))
        made_of = ("name", "runs", "detach", "print_config", "estimate")
        name, root, detach, show, ask = (given.pop(key) for key in made_of)
        config = options.from_flags(config_class, given)
        if show:
            print(options.to_yaml(config), end="")
            return 0
        if ask:
            print(_foretold(config, prog, runs_folder(root)))
            return 0
        if detach:
            run = start(config, name=name, root=runs_folder(root))
            print(f"{run.name}: {run.folder}")
            return 0
        folder = _create_once(config, name, runs_folder(root))
        print(f"{folder.name}: {folder}", flush=True)
        with tee(folder / "log.txt"):
            status = work.work(folder)
        print(f"{folder.name}: {_told(status, folder)}")
        return 0 if status.state in ("finished", "stopped") else 1
    except DermIQError as error:
        print(str(error), file=sys.stderr)
        return 2


def _foretold(config: Any, prog: str, root: Path) -> str:
    """Memory and time of a run, as text."""
    from train.runs.forecast import forecast  # which looks at earlier runs

    if not hasattr(config, "shape"):
        raise InputError(f"{prog} trains nothing: there is no estimate of its memory.")
    config.check()
    return forecast(config, root, progress=on_screen).text()


def on_screen(text: str, share: float) -> None:
    """Progress for whoever waits at a terminal."""
    print(f"{share:4.0%} {text}", file=sys.stderr, flush=True)


def _told(status: Status, folder: Path) -> str:
    """How a run ended, for whoever started it."""
    if status.state != "finished":
        return f"{status.state}. {status.reason}"
    return f"finished. To use it: python -m dermiq assess IMAGE --model {folder}"


def _create_once(config: StageConfig, name: str, root: Path) -> Path:
    """The run's folder; of several processes of one run the first makes it and the others wait for it."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return create(config, name=name, root=root)
    if not name:
        raise InputError("A run of several processes needs a name, so that they find each other: --name NAME.")
    if rank == 0:
        return create(config, name=name, root=root)
    while not (root / name / CONFIG).is_file():  # the launcher ends us if the first fails
        time.sleep(POLL_S)
    return root / name


@contextlib.contextmanager
def tee(path: Path) -> Iterator[None]:
    """What is printed goes to the file, too."""

    class Both:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, text: str) -> int:
            file.write(text)
            return int(self._stream.write(text))

        def flush(self) -> None:
            file.flush()
            self._stream.flush()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    with path.open("a", encoding="utf-8", buffering=1) as file:
        both: Any = Both(sys.stdout)
        errors: Any = Both(sys.stderr)
        with contextlib.redirect_stdout(both), contextlib.redirect_stderr(errors):
            yield


def table(runs: Sequence[Run]) -> str:
    """One line a run."""
    rows = [("name", "stage", "state", "step", "device", "reason")]
    for run in runs:
        status = run.status
        step = f"{status.step}/{status.total}" if status.total else str(status.step)
        rows.append((run.name, run.stage, run.state, step, status.device, status.reason))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    )


def _described(run: Run) -> str:
    status = run.status
    lines = [f"{run.name}  {run.stage}  {run.state}", f"folder: {run.folder}"]
    lines += [f"reason: {status.reason}"] if status.reason else []
    lines += [f"note: {run.note}"] if run.note else []
    lines += [f"doing: {status.doing}"] if status.doing and run.is_live else []
    lines += [f"step: {status.step} of {status.total}"] if status.total else []
    took = status.took(time.time() if run.is_live else _last_sign(run.folder))
    lines += [f"time: {in_words(took)}"] if took else []
    lines += [f"left: {between(*status.left)}"] if status.left and run.is_live else []
    saved = list(checkpoints(run.folder))
    lines += [f"checkpoints: {', '.join(map(str, saved))}"] if saved else []
    memory = estimate.described(run.folder)
    lines += [f"memory: {memory}"] if memory else []
    known = read_json(run.folder / estimate.MEMORY) or {}
    lines += [f"data: {known['data']}"] if known.get("data") else []
    lines += [f"warning: {sentence}" for sentence in (known.get("estimate") or {}).get("warnings", ())]
    last = metrics(run.folder)[-1:]
    lines += [f"last: {json.dumps(last[0])}"] if last else []
    lines += [f"hint: {sentence}" for sentence in run.hints()]
    return "\n".join(lines)


def _compared(result: Fields) -> str:
    lines = ["\t".join(["", *(run["name"] for run in result["runs"])])]
    for part in ("options", "metrics"):
        lines += ["\t".join([name, *map(str, values)]) for name, values in result[part].items()]
    return "\n".join(lines)


def _act(action: str, names: Sequence[str], root: Path) -> tuple[Any, str]:
    """What the command did, as JSON and as text."""
    if action == "list":
        runs = list_runs(root)
        return [run.as_dict() for run in runs], table(runs) if runs else f"No runs in {root}."
    if action == "compare":
        result = compare([find(name, root) for name in names])
        return result, _compared(result)
    if action == "undelete":
        run = load_run(undelete(names[0], root))
        return run.as_dict(), f"{run.name} is back."
    folder = find(names[0], root)
    if action in ("rename", "note"):
        run = load_run(rename(folder, names[1])) if action == "rename" else annotate(folder, names[1])
        return run.as_dict(), _described(run)
    if action == "delete":
        delete(folder)
        text = f"{folder.name} is in the trash. `python -m train.runs undelete {folder.name}` brings it back."
        return {"name": folder.name, "deleted": True}, text
    act = {"show": load_run, "stop": stop, "kill": kill, "resume": resume}[action]
    run = act(folder)
    return {**run.as_dict(), "hints": run.hints()}, _described(run)


def main(argv: Sequence[str] | None = None) -> int:
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "action",
        choices=("list", "show", "stop", "kill", "resume", "compare", "rename", "note", "delete", "undelete"),
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--runs", default=None, metavar="FOLDER", help="where runs are kept")
    try:
        given = parser.parse_args(argv)
        wanted = {"list": (0, 0), "compare": (2, 99), "rename": (2, 2), "note": (2, 2)}.get(given.action, (1, 1))
        if not wanted[0] <= len(given.names) <= wanted[1]:
            raise InputError(f"`{given.action}` takes {'no name' if wanted[1] == 0 else f'{wanted[0]} name(s)'}.")
        result, text = _act(given.action, given.names, runs_folder(given.runs))
        print(json.dumps(result, indent=1) if given.json else text)
        return 0
    except DermIQError as error:
        print(str(error), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
