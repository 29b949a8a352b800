"""A stage's own command: its options as flags, then the run, its estimate, or the options as YAML.

if __name__ == "__main__":
    sys.exit(command(SFTConfig, description=__doc__))       # python -m train.sft --config FILE --name mine
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from dermiq.errors import DermIQError, InputError
from train import options
from train.runs.forecast import forecast
from train.runs.paths import runs_folder
from train.runs.progress import on_screen
from train.runs.registry import POLL_S, Config, create, start
from train.runs.run_folder import CONFIG, Status
from train.runs.worker import work


def command(config_class: Any, argv: Sequence[str] | None = None, *, description: str = "") -> int:
    """A stage's own command: options, then the run, here or (with --detach) in a process of its own."""
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
            status = work(folder)
        print(f"{folder.name}: {_told(status, folder)}")
        return 0 if status.state in ("finished", "stopped") else 1
    except DermIQError as error:
        print(str(error), file=sys.stderr)
        return 2


def _foretold(config: Any, prog: str, root: Path) -> str:
    """Memory and time of a run, as text."""
    if not hasattr(config, "shape"):
        raise InputError(f"{prog} trains nothing: there is no estimate of its memory.")
    config.check()
    return forecast(config, root, progress=on_screen).text()


def _told(status: Status, folder: Path) -> str:
    """How a run ended, for whoever started it."""
    if status.state != "finished":
        return f"{status.state}. {status.reason}"
    return f"finished. To use it: python -m dermiq assess IMAGE --model {folder}"


def _create_once(config: Config, name: str, root: Path) -> Path:
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
        def __init__(self, stream: TextIO) -> None:
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
