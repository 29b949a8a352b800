"""The committed tree on its way to a Space, and that a plain clone stays clean whoever has git-lfs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import LocalTokenNotFoundError

from dermiq.__main__ import main
from dermiq.deploy import space
from dermiq.errors import DermIQError, InputError

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a small file, a large one, and one that is not committed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "large.safetensors").write_bytes(bytes(space.LARGE + 1))
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    (folder / "not-committed.txt").write_text("mine")
    return folder


class Hub:
    """As `HfApi`, but keeps what it is given."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.files: dict[str, int] = {}
        self.head = ""

    def create_repo(self, name: str, **said: object) -> None:
        self.said.append({"name": name, **said})

    def upload_folder(self, *, folder_path: Path, **said: object) -> SimpleNamespace:
        self.said.append(said)
        paths = [path for path in folder_path.rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder_path).as_posix(): path.stat().st_size for path in paths}
        self.head = (folder_path / "README.md").read_text(encoding="utf-8").split("---")[1]
        return SimpleNamespace(repo_url="https://hub.example/spaces/ada/derm")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    return made


def test_what_is_committed_is_uploaded_and_nothing_else(checkout: Path, hub: Hub) -> None:
    assert space.push("ada/derm", docker=False, root=checkout).endswith("ada/derm")
    assert hub.files.keys() == {"README.md", "large.safetensors"}
    made, uploaded = hub.said
    assert made["private"], "nobody else's to see until its owner says so"
    assert made["space_sdk"] == "gradio"
    assert uploaded["delete_patterns"] == "*", "what is no longer in the tree goes"


def test_a_card_for_the_dockerfile_names_its_port_and_keeps_the_rest(checkout: Path, hub: Hub) -> None:
    space.push("ada/derm", docker=True, root=checkout)
    before = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])
    told = yaml.safe_load(hub.head)
    assert told["sdk"] == "docker"
    assert told["app_port"] == 7860
    assert before.keys() - told.keys() == {"sdk_version", "python_version", "app_file"}
    assert told["title"] == before["title"]


def test_a_refusal_of_the_hub_says_what_to_do(checkout: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **said: object) -> None:
        raise LocalTokenNotFoundError("Token is required")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(DermIQError, match="hf auth login"):
        space.push("ada/derm", docker=False, root=checkout)


def test_a_dry_run_uploads_nothing_and_marks_large_files(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["space", "push", "ada/derm", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    tracked = git(ROOT, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    large = {line.split()[-1] for line in lines if "  large  " in line}
    assert large == {name for name in tracked if (ROOT / name).is_file() and (ROOT / name).stat().st_size > space.LARGE}
    assert len(lines) >= len(tracked)
    assert hub.said == []


def test_a_name_without_owner_and_a_folder_without_git_are_refused(tmp_path: Path) -> None:
    assert main(["space", "push", "derm", "--dry-run"]) == 2
    with pytest.raises(InputError, match="no git checkout"):
        space.entries(tmp_path)


def test_no_file_is_given_to_git_lfs() -> None:
    """Else a clone on a machine with git-lfs shows the weights as changed, since the tree holds no pointers."""
    names = [entry.path for entry in space.entries() if entry.is_large]
    assert names, "weights are large"
    assert "filter: lfs" not in git(ROOT, "check-attr", "filter", "--", *names)
