"""A start in a fresh process on two cores where nothing can be written but temporary files and the cache; and what the
Dockerfile does, in an environment of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.test_container import statements, told, variables
from tests.nightly.start import study
from tests.page import ROOT, _wait

pytestmark = [pytest.mark.embedded, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]
USER = 1000


def test_a_fresh_process_answers_with_less_than_4_gb() -> None:
    for start in study():
        assert start.memory < 4e9
        assert start.first < 600
        assert start.later < 120


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The tree as the Dockerfile copies it, for everybody to read."""
    folder = tmp_path / "app"
    subprocess.run(["git", "archive", "--format=zip", "-o", tmp_path / "tree.zip", "HEAD"], cwd=ROOT, check=True)
    with zipfile.ZipFile(tmp_path / "tree.zip") as held:
        held.extractall(folder)
    return folder


def test_what_the_dockerfile_does_gives_a_page_that_is_well(image: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        **variables(),
        "PATH": f"{tmp_path}/env/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "DERMIQ_CACHE": str(home / "models"),  # in place of a folder of the image's user
    }
    environment.pop("PYTHONPATH", None)
    for rest in told("RUN"):
        if not rest.startswith("useradd"):
            subprocess.run(shlex.split(rest), cwd=image, env=environment, check=True)
    (command,) = (json.loads(rest) for word, rest in statements() if word == "CMD")
    (health,) = (json.loads(rest.split("CMD ", 1)[1]) for rest in told("HEALTHCHECK"))
    process = subprocess.Popen(command, cwd=image, env=environment, **_as_user(tmp_path, home))
    try:
        _wait(lambda: process.poll() is not None, "http://127.0.0.1:7860")
        subprocess.run(health, env=environment, check=True)
        asked = [str(tmp_path / "env" / "bin" / "python"), "-m", "dermiq", "doctor", "--json"]
        done = subprocess.run(asked, cwd=image, env=environment, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["ok"]
    finally:
        process.terminate()
        process.wait(30)


def _as_user(folder: Path, home: Path) -> dict[str, int]:
    """Who starts the page: nobody special, where this user may choose and that one may read the interpreter."""
    if os.getuid() != 0:
        return {}
    for path in (home, *home.rglob("*")):
        os.chown(path, USER, USER)
    for parent in (folder, *folder.parents):
        if parent != Path("/") and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    may = subprocess.run([folder / "env" / "bin" / "python", "-c", ""], user=USER, group=USER, check=False)
    return {"user": USER, "group": USER} if may.returncode == 0 else {}
