"""Runs: list, show, stop, kill, resume, compare, rename, note, delete, undelete.

    python -m train.runs list
    python -m train.runs show NAME
    python -m train.runs stop|kill|resume|delete|undelete NAME
    python -m train.runs rename NAME NEW
    python -m train.runs note NAME "what it was for"
    python -m train.runs compare NAME NAME...

Each takes `--json` and `--runs FOLDER` (default: DERMIQ_RUNS, or runs/ in the repository).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermiq.errors import DermIQError, InputError
from dermiq.types import Fields
from train import options
from train.runs import memory
from train.runs.paths import runs_folder
from train.runs.registry import (
    Run,
    annotate,
    compare,
    delete,
    find,
    kill,
    last_sign,
    list_runs,
    load_run,
    metrics,
    rename,
    resume,
    stop,
    undelete,
)
from train.runs.run_folder import checkpoints, read_json
from train.runs.times import between, in_words


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


def described(run: Run) -> str:
    status = run.status
    lines = [f"{run.name}  {run.stage}  {run.state}", f"folder: {run.folder}"]
    lines += [f"reason: {status.reason}"] if status.reason else []
    lines += [f"note: {run.note}"] if run.note else []
    lines += [f"doing: {status.doing}"] if status.doing and run.is_live else []
    lines += [f"step: {status.step} of {status.total}"] if status.total else []
    lasted = status.took(time.time() if run.is_live else last_sign(run.folder))
    lines += [f"time: {in_words(lasted)}"] if lasted else []
    lines += [f"left: {between(*status.left)}"] if status.left and run.is_live else []
    saved = list(checkpoints(run.folder))
    lines += [f"checkpoints: {', '.join(map(str, saved))}"] if saved else []
    took = memory.described(run.folder)
    lines += [f"memory: {took}"] if took else []
    known = read_json(run.folder / memory.MEMORY) or {}
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
        return run.as_dict(), described(run)
    if action == "delete":
        delete(folder)
        text = f"{folder.name} is in the trash. `python -m train.runs undelete {folder.name}` brings it back."
        return {"name": folder.name, "deleted": True}, text
    act = {"show": load_run, "stop": stop, "kill": kill, "resume": resume}[action]
    run = act(folder)
    return {**run.as_dict(), "hints": run.hints()}, described(run)


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
