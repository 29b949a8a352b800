"""What lies in a run folder, written so that it can be read at every moment and survives a power loss.

    config.json        the stage and its options; frozen sets that it learns from, with their digests
    environment.json   versions, machine, revision of the code and of the model
    status.json        where it stands, and whose process it is
    metrics.jsonl      one line a logged step          samples.jsonl   completions with their rewards
    memory.json        what was estimated, free at the start, and measured at the peak
    note.txt           what someone wrote about the run
    log.txt            what the process wrote          cache/          what it measured of the images
    pairs.json         of DPO: their lengths           pairs.jsonl     those that the graph made
    checkpoint-N/      to resume from                  final/          the result
    evaluation.json    how it was judged last, by `train.evaluation`
    STOP               exists once someone asked the run to stop

A checkpoint and `final/` are complete when their `manifest.json` exists and holds; nothing else says so. Whole small
files are replaced at once. Knows no trainer and starts no process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from dermiq.errors import DataError
from dermiq.types import Fields, Json
from dermiq.writing import write_whole

MANIFEST, STATUS, CONFIG, STOP = "manifest.json", "status.json", "config.json", "STOP"
EVALUATION = "evaluation.json"
CACHE = "cache"  # folder of what was measured of images
LIVE = ("queued", "running", "stopping")
START_GRACE_S = 60.0  # a process that was just started has this long to say that it lives
_SAME_START_S = 5.0  # between two readings of a process's start, which on Linux is told in whole seconds


# --- files ------------------------------------------------------------------------------


def write_json(path: Path, value: object) -> None:
    write_whole(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Json | None:
    """None where the file is missing or not the JSON of an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_lines(path: Path, since: int = 0) -> list[Json]:
    """The whole lines of a JSONL file from line `since` on; a last line that is still being written is left out."""
    try:
        text = path.read_bytes()
    except OSError:
        return []
    whole = text[: text.rfind(b"\n") + 1].splitlines()
    lines = []
    for line in whole[since:]:
        try:
            value = json.loads(line)
        except ValueError:  # torn by a power loss
            value = None
        lines.append(value if isinstance(value, dict) else {})
    return lines


def cut_lines(path: Path, *, after_step: int) -> None:
    """Drops the lines of steps that will be computed again."""
    if path.is_file():
        kept = [line for line in read_lines(path) if line.get("step", after_step + 1) <= after_step]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))


# --- manifests --------------------------------------------------------------------------


def seal(folder: Path, **notes: object) -> None:
    """Writes `manifest.json` with every file's size and hash, after all of them have reached the disk."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    write_json(folder / MANIFEST, {**notes, "files": files})


def is_complete(folder: Path, *, hashes: bool = False) -> bool:
    """Whether every file of the manifest is there at its size and, with `hashes`, unchanged."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None or not isinstance(manifest.get("files"), dict):
        return False
    try:
        return all(
            (folder / name).stat().st_size == known["bytes"]
            and (not hashes or _sha256(folder / name) == known["sha256"])
            for name, known in manifest["files"].items()
        )
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _slow(file)


def _slow(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 lacks file_digest
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder, of the complete ones, in the order of their steps."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        if number.isdigit() and is_complete(path):
            found[int(number)] = path
    return dict(sorted(found.items()))


def last_checkpoint(folder: Path) -> tuple[int, Path] | None:
    """The newest checkpoint whose files are what they were when it was written."""
    for step, path in sorted(checkpoints(folder).items(), reverse=True):
        if is_complete(path, hashes=True):
            return step, path
    return None


def keep_checkpoints(folder: Path, count: int, *, best: int | None = None) -> None:
    """Deletes all complete checkpoints but the newest `count` and the best. A half-deleted one is incomplete."""
    for step, path in list(checkpoints(folder).items())[:-count]:
        if step != best:
            (path / MANIFEST).unlink()
            shutil.rmtree(path)


def drop_incomplete(folder: Path) -> None:
    """Deletes checkpoints that were being written when the process ended or that changed since, and half a result."""
    for path in (*folder.glob("checkpoint-*"), folder / "final"):
        if path.is_dir() and not is_complete(path, hashes=path.name != "final"):
            shutil.rmtree(path)


# --- status -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """What `status.json` holds. Times are seconds since 1970."""

    state: str = "queued"
    reason: str = ""  # in words, for whoever looks at the run
    pid: int | None = None
    pid_started: float | None = None
    step: int = 0
    total: int | None = None
    device: str = ""
    created: float = 0.0
    queued: float = 0.0  # later than `created` in a run that was resumed
    started: float | None = None
    ended: float | None = None
    doing: str = ""  # what the process does now, in a few words: "Loading the model"
    since: float | None = None  # when it began to do that
    left: tuple[float, float, float] | None = None  # seconds to the end, and between which: see `train.runs.duration`
    spent: float = 0.0  # seconds that its parts before the last took: it was resumed

    def took(self, now: float | None = None) -> float | None:
        """Seconds of all its parts, up to `now` where it is not ended; None before it started."""
        end = self.ended or now
        return None if self.started is None or end is None else self.spent + max(0.0, end - self.started)


def read_status(folder: Path) -> Status:
    """As written; of a folder without a readable status, one that says so."""
    values = read_json(folder / STATUS)
    if values is None:
        return Status("interrupted", "Its status.json cannot be read.", created=_made(folder))
    found = Status(**{key: values[key] for key in Status.__dataclass_fields__ if key in values})
    return replace(found, left=(found.left[0], found.left[1], found.left[2])) if found.left else found


def _made(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def write_status(folder: Path, status: Status) -> None:
    write_json(folder / STATUS, asdict(status))


def current_status(folder: Path) -> Status:
    """The status as it is, whatever a process that is gone wrote last."""
    status = read_status(folder)
    if is_complete(folder / "final"):
        has_more_to_say = status.state in LIVE and status.pid is not None and lives(status)
        return status if has_more_to_say else replace(status, state="finished")
    if status.state == "finished":
        return replace(status, state="interrupted", reason="Its final/ is incomplete.")
    if status.state not in LIVE:
        return status
    if not lives(status):
        return replace(status, state="interrupted", reason=_interrupted(folder, status))
    return replace(status, state="stopping") if (folder / STOP).exists() and status.state == "running" else status


def _interrupted(folder: Path, status: Status) -> str:
    done = list(checkpoints(folder))
    where = f"from step {done[-1]}" if done else "from its start"
    return f"Its process ended at step {status.step} without a word. It can be resumed {where}."


def lives(status: Status) -> bool:
    """Whether the process that wrote this status is still there, and not another one of its number."""
    if status.pid is None:
        return abs(time.time() - status.queued) < START_GRACE_S  # in the future: the clock was set back since
    return status.pid_started is not None and same_process(status.pid, status.pid_started)


def same_process(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        is_same = abs(_started(process) - started) < _SAME_START_S
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def own_process() -> Json:
    """The fields of `Status` that say which process this is."""
    return {"pid": os.getpid(), "pid_started": _started(psutil.Process())}


def _started(process: psutil.Process) -> float:
    """When it started. On Linux in seconds since the machine did: the time of day moves there when the clock is set."""
    return float(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0))


def read_config(folder: Path) -> tuple[str, Fields]:
    """The stage's module and its options. Raises DataError."""
    values = read_json(folder / CONFIG)
    if values is None or not isinstance(values.get("stage"), str) or not isinstance(values.get("options"), dict):
        raise DataError(f"{folder} is not a run: it has no config.json that names a stage and its options.")
    return values["stage"], values["options"]


def frozen_sets(folder: Path) -> dict[str, str]:
    """The review's sets that it learns from, by name and version, each with its digest when the run was made."""
    return dict((read_json(folder / CONFIG) or {}).get("sets") or {})


def waits_for(folder: Path) -> str:
    """The run whose result this one trains further, and for which it waits; "" of most."""
    return str((read_json(folder / CONFIG) or {}).get("after") or "")
