"""A process that has imported the page, and forks one for each that is served: six of the eight seconds of a start.

pid = maker().serve(["--port", "7860", "--fake", "{}"], environment); ...; maker().end(pid)
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Maker:
    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.page_maker"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.close)

    def serve(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> int:
        """The process that serves the page, of `tests.fakes`; `log`: where its output goes."""
        said = {"arguments": list(arguments), "environment": dict(environment), "log": str(log or "")}
        return self._ask(said)

    def end(self, pid: int) -> None:
        self._ask({"end": pid})

    def close(self) -> None:
        self._process.communicate(timeout=20)

    def _ask(self, said: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@lru_cache(maxsize=1)
def maker() -> Maker:
    return Maker()


def _end(pid: int) -> int:
    os.kill(pid, signal.SIGTERM)
    return os.waitpid(pid, 0)[1]


def _serve(arguments: list[str], environment: dict[str, str], log: str) -> None:
    from tests import fakes

    if log:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.dup2(2, 1)  # what the page prints is no answer
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # as the environment names it
    fakes.main(arguments)


def main() -> None:
    for name in ("dermiq.ui.app", "tests.fakes"):
        import_module(name)
    gc.freeze()
    living: set[int] = set()
    for line in sys.stdin:
        said = json.loads(line)
        if "end" in said:
            living.discard(said["end"])
            print(_end(said["end"]), flush=True)
        elif pid := os.fork():
            living.add(pid)
            print(pid, flush=True)
        else:
            try:
                _serve(**said)
            finally:
                os._exit(1)
    for pid in living:
        _end(pid)


if __name__ == "__main__":
    main()
