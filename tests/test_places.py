"""Where things are kept where a home cannot be written, and on a Space with and without storage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermiq import places
from dermiq.errors import InputError
from dermiq.files.paths import cache_folder, cache_folders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that root cannot write")
NOWHERE = Path("/proc/none")  # can be made by nobody, root included


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home of its own, and none of our variables."""
    for name in ("CACHE", "RUNS", "REVIEW"):
        monkeypatch.delenv(f"DERMIQ_{name}", raising=False)
    for name in ("SPACE_ID", "HF_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places.is_writable.cache_clear()
    yield
    places.is_writable.cache_clear()


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of the Space that this is."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("SPACE_ID", "ada/derm")
    monkeypatch.setattr(places, "STORAGE", folder)
    return folder


def test_a_folder_that_is_not_there_can_be_written_where_it_could_be_made(tmp_path: Path) -> None:
    assert places.is_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert not places.is_writable(NOWHERE / "b")
    assert not places.is_writable(Path("/sys/devices"))


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="becomes another user")
def test_below_a_folder_that_may_not_be_entered_nothing_can_be_written(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    code = "import os, sys; from pathlib import Path; from dermiq import places; os.setuid(1000); "
    code += f"print(places.is_writable(Path('{locked}/a/b')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=places.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_home_that_can_be_written_keeps_all(tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "home" / ".cache" / "dermiq"
    assert places.for_libraries() == {}


def test_without_a_home_models_lie_in_a_folder_of_this_user_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(NOWHERE))
    folder = cache_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(Path(place).is_relative_to(folder) for place in places.for_libraries().values())
    monkeypatch.setenv("HF_HOME", "/mine")
    assert places.for_libraries().keys() == {"MPLCONFIGDIR"}


def test_models_in_a_home_that_can_only_be_read_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(NOWHERE))
    first, *_ = cache_folders()
    assert first == NOWHERE / ".cache" / "dermiq"


def test_a_folder_that_somebody_else_laid_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(NOWHERE))
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"dermiq_cache_{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(InputError, match="DERMIQ_CACHE"):
        cache_folder()


def test_a_space_keeps_all_in_its_storage(storage: Path) -> None:
    assert places.storage() == storage
    assert places.runs_folder() == storage / "runs"
    assert places.review_folder() == storage / "review"
    assert cache_folder() == storage / "cache"
    assert Path(places.for_libraries()["HF_HOME"]).is_relative_to(storage)


def test_what_the_environment_says_comes_first(storage: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CACHE", "RUNS", "REVIEW"):
        monkeypatch.setenv(f"DERMIQ_{name}", str(tmp_path / "mine"))
    assert {places.runs_folder(), places.review_folder(), cache_folder()} == {tmp_path / "mine"}


def test_a_folder_called_data_is_no_storage_elsewhere(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID")
    assert places.storage() is None


def test_storage_that_cannot_be_written_is_none(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STORAGE", Path("/sys/devices"))
    assert places.storage() is None


def test_a_command_works_where_no_folder_can_be_written_but_that_of_temporary_files(tmp_path: Path) -> None:
    """Run as such a container runs it; `tests/ui/test_prefix.py` runs the page so."""
    environment = {**os.environ, "HOME": str(NOWHERE), "TMPDIR": str(tmp_path), "PYTHONPATH": str(places.ROOT)}
    command = [sys.executable, "-m", "dermiq", "doctor"]
    done = subprocess.run(command, cwd="/proc", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "review cannot be written" in done.stdout
    assert done.stderr == ""
