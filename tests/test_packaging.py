"""`pip install .`: the wheel holds the packages with their data, and what is installed from it works anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from PIL import Image

import dermiq
from dermiq import places
from dermiq.lesion.drawn import drawn_examples

ROOT = Path(__file__).resolve().parent.parent
WHERE = "from dermiq import places; print(places.graph_tables(), places.runs_folder(), sep='\\n')"


def run(*command: str | Path, **more: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install .` builds it, but with the builder that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (made,) = folder.glob("*.whl")
    return made


def told(wheel: Path, name: str) -> str:
    return zipfile.ZipFile(wheel).read(f"dermiq-{dermiq.__version__}.dist-info/{name}").decode()


def test_the_command_is_its_own_main(wheel: Path) -> None:
    assert "dermiq = dermiq.__main__:main" in told(wheel, "entry_points.txt")


def test_every_tracked_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    tracked = run("git", "ls-files", "dermiq", "train", "kg_data", cwd=ROOT).splitlines()
    expected = {f"dermiq/{name}" if name.startswith("kg_data/") else name for name in tracked}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected - held == set()
    assert {name.split("/")[0] for name in held} == {"dermiq", "train", f"dermiq-{dermiq.__version__}.dist-info"}
    assert not [name for name in held if "__pycache__" in name]


def test_the_wheel_needs_what_requirements_txt_names(wheel: Path) -> None:
    metadata = told(wheel, "METADATA")
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert len(needed) == sum(bool(line) and not line.startswith("#") for line in lines)


def test_what_is_installed_reads_a_lesion_and_judges_a_sentence_outside_the_tree(wheel: Path, tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "-t", place, wheel)
    Image.fromarray(drawn_examples()[0][1]).save(elsewhere / "lesion.png")
    installed = {"cwd": elsewhere, "env": {**os.environ, "PYTHONPATH": str(place), "DERMIQ_RUNS": ""}}
    assert run(sys.executable, "-c", WHERE, **installed).split() == [
        str(place / "dermiq" / "kg_data"),
        str(elsewhere / "runs"),
    ]
    command = place / "bin" / "dermiq"
    said = json.loads(run(command, "check", "Melanoma is benign.", "--json", **installed))
    assert [claim["verdict"] for claim in said["claims"]] == ["contradicted"]
    read = json.loads(run(command, "assess", "lesion.png", "--reader", "specialist", "--json", **installed))
    assert sum(read["probabilities"].values()) == pytest.approx(1)


def test_a_checkout_keeps_its_tables_and_runs_at_its_root() -> None:
    quiet = {name: value for name, value in os.environ.items() if name != "DERMIQ_RUNS"}
    assert run(sys.executable, "-c", WHERE, cwd=ROOT, env=quiet).split() == [str(ROOT / "kg_data"), str(ROOT / "runs")]


def test_a_process_in_another_folder_is_told_where_everything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of an installed copy starts in the folder of its packages."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"RUNS": "mine", "REVIEW": "", "DATA": "sets", "KG": "", "CACHE": ""}.items():
        monkeypatch.setenv(f"DERMIQ_{name}", value)
    expected = {"DERMIQ_RUNS": "mine", "DERMIQ_REVIEW": "review", "DERMIQ_DATA": "sets"}
    assert places.variables() == {name: str(tmp_path / folder) for name, folder in expected.items()}


def test_hooks_before_a_commit_run_what_make_test_installs() -> None:
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in settings["repos"] for hook in repo["hooks"]]
    pinned = {line.split("==")[0] for line in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()}
    assert {repo["repo"] for repo in settings["repos"]} == {"local"}, "a hook of its own version would disagree with CI"
    assert {Path(hook["entry"].split()[0]).name for hook in hooks} <= pinned
