"""The whole page against a fake consultant, served for a test by a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from tests.page_maker import maker

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    uploads: Path, *, env: Mapping[str, str] | None = None, log: Path | None = None, **fake: object
) -> Iterator[str]:
    """The page's address. What is temporary lies inside `uploads`; `log`: where its output goes; `fake`: options of the
    fake."""
    if sys.platform != "linux":
        with started(uploads, fake=fake, env=env, log=log) as (address, _):
            yield address
        return
    port = free_port()
    command = ["--fake", json.dumps(fake), "--port", str(port)]
    pid = maker().serve(command, _environment(uploads) | dict(env or {}), log)
    try:
        process = psutil.Process(pid)
        _wait(lambda: process.status() == psutil.STATUS_ZOMBIE, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        maker().end(pid)


@contextmanager
def started(
    temp: Path,
    *,
    fake: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    real: bool = False,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The page's address and a process that is started for it as a user starts it. `temp`: its folder for what is
    temporary; `log`: where its output goes; `real`: `python app.py`, which answers before its models are loaded."""
    port = free_port()
    program = ["app.py"] if real else ["-m", "tests.fakes", "--fake", json.dumps(fake or {})]
    command = [sys.executable, *program, "--port", str(port)]
    environment = _environment(temp) | dict(env or {})
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else None
        process = stack.enter_context(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        )
        stack.callback(process.terminate)
        _wait(lambda: process.poll() is not None, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", process


def _environment(temp: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temp), "GRADIO_ANALYTICS_ENABLED": "False"}


def _wait(has_ended: Callable[[], bool], address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert not has_ended(), "the page ended before it answered"
        try:
            httpx.get(address, timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the page did not answer within {START_SECONDS} s")
