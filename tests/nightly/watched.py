"""A program under `strace`: what it connects to, and every file that it may have written.

with Watched([sys.executable, "app.py"], folder, environment) as watched: ...
watched.strangers(), watched.written()
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from tests.page import ROOT

CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,rename,renameat,renameat2"
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
_OPENED = re.compile(r'(?:open|openat|creat)\((?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)')
_RENAMED = re.compile(r'rename(?:at2?)?\(.*"([^"]+)"[^"]*\) = 0')


class Watched:
    """Home, temporary files, caches, runs and review lie in `folder`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        if shutil.which("strace") is None:
            assert not os.environ.get("CI"), "our own CI has strace"
            pytest.skip("There is no strace on this machine: apt-get install strace")
        self._log, self._command = folder / "strace", list(command)
        places = {name: str(folder / name.lower()) for name in ("HOME", "TMPDIR", "DERMIQ_RUNS", "DERMIQ_REVIEW")}
        for place in places.values():
            Path(place).mkdir(exist_ok=True)
        offline = ("HF_HUB_OFFLINE", "HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GRADIO_ANALYTICS_ENABLED")
        kept = {name: value for name, value in os.environ.items() if name not in offline}
        self._environment = {**kept, **places, **environment}  # as a user's: nothing says that it must stay at home

    def __enter__(self) -> Watched:
        traced = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-A", "-o"]
        self._process = subprocess.Popen([*traced, str(self._log), *self._command], cwd=ROOT, env=self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: int) -> None:
        """The program itself, as a user or the system would end it."""
        for child in psutil.Process(self._process.pid).children() if self._process.poll() is None else ():
            child.send_signal(number)
        self._process.wait(60)

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def strangers(self) -> list[str]:
        """Addresses of other machines, and name servers, that it turned to."""
        found = _ADDRESS.findall(self._log.read_text(errors="replace"))
        return sorted({f"{host}:{port}" for port, host in found if port == "53" or not _is_here(host)})

    def written(self) -> set[Path]:
        """Every file that it opened to write, or renamed, and that is still there."""
        text = self._log.read_text(errors="replace")
        named = {ROOT / name for name in (*_OPENED.findall(text), *_RENAMED.findall(text))}
        return {path for path in named if path.is_file() and not str(path).startswith(("/dev/", "/proc/", "/sys/"))}


def _is_here(host: str) -> bool:
    found = ipaddress.ip_address(host)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
