"""The whole page against a fake consultant, served for a test by a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(uploads: Path, **fake: object) -> Iterator[str]:
    """The page's address. Uploads pass through a folder inside `uploads`; `fake`: options of the fake."""
    with started(uploads, fake=fake) as (address, _):
        yield address


@contextmanager
def started(
    temp: Path,
    *,
    fake: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    real: bool = False,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The page's address and process. `temp`: its folder for what is temporary; `log`: where its output goes; `real`:
    it is `python app.py` with its own models, which answers before they are loaded."""
    port = free_port()
    program = ["app.py"] if real else ["-m", "tests.fakes", "--fake", json.dumps(fake or {})]
    command = [sys.executable, *program, "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(temp), "GRADIO_ANALYTICS_ENABLED": "False", **(env or {})}
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else None
        process = stack.enter_context(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        )
        stack.callback(process.terminate)
        _wait(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", process


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the page ended before it answered"
        try:
            httpx.get(address, timeout=2)
        except httpx.TransportError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"the page did not answer within {START_SECONDS} s")
