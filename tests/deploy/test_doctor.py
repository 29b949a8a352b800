"""`dermiq doctor`: what it says where something is off, and that it is quick and tells no secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dermiq import places, shipped
from dermiq.__main__ import main
from dermiq.deploy import checks, doctor, machine
from dermiq.deploy.checks import Check

NOWHERE = "/proc/none"  # can be made by nobody, root included
ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that root cannot write")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of our variables is set but a cache that can be written."""
    for name in [name for name in os.environ if name.startswith(("DERMIQ_", "SPACE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DERMIQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    main(["doctor", "--json"])
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_a_machine_that_lacks_nothing_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "as they were shipped" in said
    assert said.rstrip().splitlines()[-1].startswith("Well")


def test_what_is_needed_and_missing_ends_with_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERMIQ_KG", str(tmp_path))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "problem  knowledge graph" in said
    assert "Not well: 1 problem" in said


def test_secrets_are_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "ADMIN_PASSWORD": "very-secret",
        "REVIEWERS": "ada:very-secret",
        "REVIEW_DB": "postgresql://a:very-secret@b/c",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(f"DERMIQ_{name}", value)
    monkeypatch.setenv("DERMIQ_ADMIN_PASWORD", "very-secret")  # misspelt
    monkeypatch.setenv("HF_ENDPOINT", "https://ada:very-secret@hub.example")
    main(["doctor"])
    said = capsys.readouterr().out
    assert "very-secret" not in said
    assert said.count("set, not shown") == len(secrets)
    assert "warning  DERMIQ_ADMIN_PASWORD" in said


def test_a_public_page_without_passwords_says_why_its_tabs_are_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMIQ_HOST", "0.0.0.0")
    said = found(capsys)
    assert "DERMIQ_ADMIN_PASSWORD" in said["Training tab"]["text"]
    assert "DERMIQ_REVIEWERS" in said["Review tab"]["text"]
    monkeypatch.setenv("DERMIQ_ADMIN_PASSWORD", "long enough")
    said = found(capsys)
    assert {said["Training tab"]["text"], said["Review tab"]["text"]} == {"on"}


def test_a_wrong_setting_is_a_problem_and_the_rest_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMIQ_PORT", "many")
    said = found(capsys)
    assert "not a whole number" in said["settings"]["text"]
    assert "cache" in said


@linux
def test_folders_that_cannot_be_written_are_warned_of_with_what_follows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE", "RUNS", "REVIEW"):
        monkeypatch.setenv(f"DERMIQ_{name}", f"{NOWHERE}/{name.lower()}")
    monkeypatch.setenv("HOME", NOWHERE)
    said = found(capsys)
    assert {said[name]["state"] for name in ("cache", "runs", "review")} == {"warning"}
    assert "no training run" in said["runs"]["text"]
    assert "DERMIQ_REVIEW" in said["review"]["advice"]
    assert said["home"]["state"] == "ok", "nothing needs it"


def test_zero_gpu_is_told_to_be_of_no_use(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "ada/derm")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(places, "STORAGE", Path(NOWHERE))
    said = found(capsys)
    assert said["ZeroGPU"]["state"] == "problem"
    assert said["Space"]["state"] == "warning"


MACHINES: Mapping[str, tuple[dict[str, object], Check]] = {
    "little memory": (
        {"memory": lambda: (8 * 10**9, 10**9)},
        Check("memory", "problem", "1.0 of 8.0 GB may be used; the page takes 1.6 to 2.4 GB"),
    ),
    "memory that is enough once it runs": (
        {"memory": lambda: (8 * 10**9, 2 * 10**9)},
        Check("memory", "warning", "2.0 of 8.0 GB may be used; the page takes 1.6 to 2.4 GB"),
    ),
    "two of many cores": ({"cores": lambda: (64, 2.0)}, Check("cores", "warning", "2 of 64 may be used")),
    "a GPU that PyTorch cannot use": (
        {"gpus": lambda: ["A100, 40 GB"], "torch_is_for_cpu": lambda: True},
        Check("GPU", "warning", "A100, 40 GB, but PyTorch was built for CPUs"),
    ),
    "a GPU": (
        {"gpus": lambda: ["A100, 40 GB"], "torch_is_for_cpu": lambda: False},
        Check("GPU", "ok", "A100, 40 GB"),
    ),
}


@pytest.mark.parametrize("case", MACHINES)
def test_a_machine_is_told_as_it_is(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, expected = MACHINES[case]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in made.items():
        monkeypatch.setattr(machine, name, value)
    (check,) = [one for one in checks.checks(lambda settings: {}) if one.name == expected.name]
    assert (check.state, check.text) == (expected.state, expected.text)
    assert bool(check.advice) == (expected.state != "ok")


def test_a_damaged_part_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "damaged", lambda: ["nano/x is damaged"])
    (check,) = [one for one in checks.checks(lambda settings: {}) if one.name == "shipped files"]
    assert check == Check("shipped files", "problem", "nano/x is damaged")


@pytest.mark.parametrize(
    ("line", "state"),
    [("numpy>=1", None), ("numpy<1", "warning"), ("no-such-package-at-all", "problem"), ("psycopg>=99", "warning")],
)
def test_packages_are_held_against_what_is_required(
    line: str, state: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text(f'# a comment\n{line}  # why\nabsent; python_version < "3"\n')
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(places, "is_installed", lambda: False)
    (wanted,) = checks.requirements()
    check = checks._package(wanted)
    assert (check and check.state) == state


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has no reader of TOML")
def test_extras_say_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[project]\n[project.optional-dependencies]\nhere = ["numpy"]\nthere = ["numpy", "no-such-package-at-all"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setattr(places, "is_installed", lambda: False)
    here, there = checks._extras()
    assert here == Check("extra here", "ok", "here")
    assert there.text == "not here: no-such-package-at-all"


def test_the_memory_that_it_asks_for_is_what_was_measured() -> None:
    starts = (ROOT / "tests" / "nightly" / "start.txt").read_text(encoding="utf-8")
    most = max(float(figure) for figure in re.findall(r"at most (\d+\.\d+) GB", starts))
    assert most * 1e9 <= checks.PEAK <= (most + 0.3) * 1e9
    assert f"{checks.MEMORY / 1e9:.1f} GB of memory" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_model_library_is_loaded() -> None:
    code = "import sys; from dermiq.__main__ import main; main(['doctor']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'dermiq.deploy.checks'" in loaded
    assert "'torch'" not in loaded
    assert "'gradio'" not in loaded


def test_what_to_do_stands_below_the_line() -> None:
    first, second = doctor.line(Check("disk", "problem", "full", "Free some space.")).splitlines()
    assert first.split() == ["problem", "disk", "full"]
    assert second.index("Free") == first.index("full")
