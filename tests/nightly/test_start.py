"""A start in a fresh process on two cores where nothing can be written but temporary files and the cache; and what the
Dockerfile does, in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_container import told, variables
from tests.nightly.start import study
from tests.nightly.visitors import Visitor
from tests.page import ROOT, _wait, free_port

pytestmark = [pytest.mark.embedded, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]
USER = 1000


def test_a_fresh_process_answers_with_less_than_4_gb() -> None:
    for start in study():
        assert start.memory < 4e9
        assert start.first < 600
        assert start.later < 120


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def image(place: Path) -> Path:
    """The tree as the Dockerfile copies it."""
    folder = place / "app"
    subprocess.run(["git", "archive", "--format=zip", "-o", place / "tree.zip", "HEAD"], cwd=ROOT, check=True)
    with zipfile.ZipFile(place / "tree.zip") as held:
        held.extractall(folder)
    return folder


def test_what_the_dockerfile_does_gives_a_page_that_is_well(image: Path, place: Path) -> None:
    """The user is another one than here where that one may read this interpreter."""
    subprocess.run([sys.executable, "-m", "venv", place / "env"], check=True)
    port, home = free_port(), place / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables()
    environment |= {"PATH": f"{place}/env/bin:{environment['PATH']}", "HOME": str(home), "DERMIQ_PORT": str(port)}
    environment |= {"DERMIQ_CACHE": str(home / "models")}  # the image's own user is not here
    for rest in told("RUN"):
        if not rest.startswith("useradd"):
            subprocess.run(shlex.split(rest), cwd=image, env=environment, check=True)
    health = json.loads(told("HEALTHCHECK")[0].split("CMD ", 1)[1].replace("7860", str(port)))
    user = given_to(home, place / "env" / "bin" / "python")
    process = subprocess.Popen(json.loads(told("CMD")[0]), cwd=image, env=environment, user=user, group=user)
    try:
        _wait(lambda: process.poll() is not None, f"http://127.0.0.1:{port}")
        subprocess.run(health, env=environment, check=True)
        asyncio.run(one_answer(f"http://127.0.0.1:{port}"))
        doctor = ["python", "-m", "dermiq", "doctor", "--json"]
        done = subprocess.run(doctor, cwd=image, env=environment, capture_output=True, text=True, user=user, check=True)
        assert json.loads(done.stdout)["ok"]
    finally:
        process.terminate()
        process.wait(30)


def given_to(home: Path, interpreter: Path) -> int | None:
    """The image's user, whose the home now is; None where it may not be had."""
    if os.getuid() != 0:
        return None
    try:
        subprocess.run([interpreter, "-c", ""], user=USER, group=USER, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    for path in (home, *home.rglob("*")):
        os.chown(path, USER, USER)
    return USER


async def one_answer(address: str) -> None:
    async with Visitor(address, 1).visit() as visitor:
        await visitor.upload()
        await visitor.ask("What is this lesion, and why?")
        assert "failed" not in visitor.shown("dq-chat")
