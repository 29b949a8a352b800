"""Runs: start, queue, watch, stop, kill, resume, compare, delete. One at a time on each device.

    run = start(config)                     # a child process in a session of its own, its output in log.txt
    lines = metrics(run.folder, since=12)   # what was logged from line 12 on
    stop(run.folder)                        # finishes its step, saves, ends; resume(run.folder) goes on from there
    start_chain({"x-grpo": first, "x-sft": second})     # each trains the result of the one before

A stage is a module of `train` with `CONFIG`, a dataclass of options that has `stage`, `check()` and `place()`, and
`run(config, job)`, which returns once `final/` is sealed or a stop was asked for. Knows no trainer and no page.
"""

from __future__ import annotations

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
from dermiq.writing import write_whole, writing
from train import options
from train.runs import hints, memory
from train.runs.cpu_share import NICENESS
from train.runs.paths import check_disk, lock_path, runs_folder
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
)

ADVICE = "Free some space there, or name another folder with --runs or DERMIQ_RUNS."
TRASH, NOTE = ".trash", "note.txt"
NOTE_LENGTH = 2000
POLL_S = 0.5  # between two looks at the queue
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Config(Protocol):
    """The options of a stage, as far as a run needs them."""

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
            "memory": read_json(self.folder / memory.MEMORY),
            "options": dict(self.options),
        }


# --- reading ----------------------------------------------------------------------------


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
        note=note.read_text(encoding="utf-8", errors="replace") if note.is_file() else "",
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


def create(config: Config, *, name: str = "", root: Path | None = None, after: str = "") -> Path:
    """Checks the config and makes the run's folder, queued. Raises DermIQError before anything is written.

    With `after`, the name of a run whose result this one trains, the config is checked once that run is finished.
    """
    if not after:
        config.check()
    root = root or runs_folder()
    stage = config.stage.rsplit(".", 1)[-1]
    if name:
        check_name(name)
    with writing(root, ADVICE):
        root.mkdir(parents=True, exist_ok=True)
        check_disk(root)
        new = root / f".new-{os.getpid()}-{threading.get_ident()}"
        values = options.as_dict(config)
        learned = _sets(values.get("preferences") or ())
        try:
            new.mkdir()
            write_json(new / CONFIG, {"stage": config.stage, "options": values, "after": after, **learned})
            now = time.time()
            write_status(new, Status("queued", "Starting.", created=now, queued=now))
            return _take_name(new, root, name, stage)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _sets(sources: Sequence[str]) -> dict[str, dict[str, str]]:
    """The digests of the review's frozen sets among what is learned from, for config.json."""
    if not any(map(is_frozen_set, sources)):
        return {}
    from train.cases.reviewed import digests_of  # the review's database takes a second to load

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
    raise InputError(f"There is already a run {base!r} in {root}. Choose another name, or resume it.")


def free_name(base: str, root: Path, endings: Sequence[str] = ()) -> str:
    """`base`, or with a number behind it, such that no run is called so, nor so with "-" and any of the endings."""
    for number in range(1, 1000):
        name = base if number == 1 else f"{base}-{number}"
        if not any((root / taken).exists() for taken in (name, *(f"{name}-{ending}" for ending in endings))):
            return name
    raise InputError(f"There are too many runs called {base!r} in {root}. Choose another name.")


def start(config: Config, *, name: str = "", root: Path | None = None, steps_back: bool = True) -> Run:
    """Starts a run as a child process that outlives this one; it waits in its device's queue if it must."""
    folder = create(config, name=name, root=root)
    with writing(folder, ADVICE):
        _spawn(folder, steps_back=steps_back)
    return load_run(folder)


def start_chain(configs: Mapping[str, Config], *, root: Path | None = None) -> list[Run]:
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
        with writing(folder, ADVICE):
            _spawn(folder)
    return [load_run(folder) for folder in folders]


def resume(folder: Path, *, steps_back: bool = True) -> Run:
    """Goes on from the last complete checkpoint, in a child process, and so do runs that waited for it in vain. Raises
    InputError where there is nothing to do.
    """
    prepare_resume(folder)
    with writing(folder, ADVICE):
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
    with writing(folder, ADVICE):
        (folder / STOP).unlink(missing_ok=True)
        spent = run.status.took(last_sign(folder)) or run.status.spent
        nobody = replace(run.status, pid=None, pid_started=None, started=None, ended=None, spent=spent)
        write_status(folder, replace(nobody, state="queued", reason="Starting again.", queued=time.time()))


def last_sign(folder: Path) -> float:
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
    with writing(folder, "Kill it, or free some space there."):
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
    with writing(trash, ADVICE):
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
    with writing(root / name, ADVICE):
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
    with writing(target, ADVICE), FileLock(lock_path(folder.parent, "names")):
        if target.exists():
            raise InputError(f"There is already a run {name!r}. Choose another name.")
        os.replace(folder, target)
    return target


def annotate(folder: Path, text: str) -> Run:
    """Keeps a note with the run, of at most NOTE_LENGTH characters; an empty one is taken away."""
    load_run(folder)
    with writing(folder, ADVICE):
        if text.strip():
            write_whole(folder / NOTE, text.strip()[:NOTE_LENGTH])
        else:
            (folder / NOTE).unlink(missing_ok=True)
    return load_run(folder)
