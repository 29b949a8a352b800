"""`dermiq space push OWNER/NAME`: the committed tree onto a Hugging Face Space.

A Space refuses files above 10 MB in plain git, and weights are larger. With `filter=lfs` in .gitattributes everybody
who has git-lfs would see the weights of a fresh clone as changed. So nothing of that is in the tree: the hub's own
library uploads it, and puts large files where they belong. Its token is the one of `hf auth login` or HF_TOKEN.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dermiq.errors import DermIQError, InputError
from dermiq.places import ROOT

if TYPE_CHECKING:
    from dermiq.settings import Subparsers

LARGE = 10 * 1024 * 1024  # bytes that the hub takes in plain git
DOCKER = "sdk: docker\napp_port: 7860\n"
GRADIO_LINES = re.compile(r"^(sdk|sdk_version|python_version|app_file): .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A committed file."""

    path: str
    size: int  # bytes

    @property
    def is_large(self) -> bool:
        return self.size > LARGE


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("space", help="a Hugging Face Space of this checkout", allow_abbrev=False)
    commands = parser.add_subparsers(dest="space_command", required=True)
    push = commands.add_parser("push", help="upload the committed tree, large files as the hub wants them")
    push.add_argument("name", metavar="OWNER/NAME", help="the Space; made, and private at first, where it is not there")
    push.add_argument("--dry-run", action="store_true", help="only list what would be uploaded")
    push.add_argument("--docker", action="store_true", help="run the Dockerfile there, in place of the hub's own image")
    push.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.name):
        raise InputError(f"{options.name!r} is no name of a Space: write OWNER/NAME.")
    found = entries()
    for entry in found:
        print(f"{entry.size:>12,}  {'large' if entry.is_large else '     '}  {entry.path}")
    large = sum(entry.is_large for entry in found)
    total = sum(entry.size for entry in found) / 1e6
    print(f"{len(found)} files, {total:.0f} MB, of which {large} go to the storage of large files")
    if _git("status", "--porcelain"):
        print("What is not committed stays here.")
    if not options.dry_run:
        print(push(options.name, docker=options.docker))


def entries(root: Path = ROOT) -> list[Entry]:
    """What is committed in a checkout. InputError where `root` is none."""
    lines = _git("ls-tree", "-r", "-l", "-z", "HEAD", root=root).split("\0")
    parts = [line.split("\t", 1) for line in lines if line]
    return [Entry(path, int(told.split()[3])) for told, path in parts]


def push(name: str, *, docker: bool, root: Path = ROOT) -> str:
    """Makes the Space what is committed; what else lies there is removed. Its address. DermIQError where it fails."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    revision = _git("rev-parse", "--short", "HEAD", root=root).strip()
    api = HfApi()
    with tempfile.TemporaryDirectory() as place:
        folder = exported(Path(place), docker=docker, root=root)
        try:
            api.create_repo(
                name, repo_type="space", space_sdk="docker" if docker else "gradio", private=True, exist_ok=True
            )
            made = api.upload_folder(
                repo_id=name,
                repo_type="space",
                folder_path=folder,
                delete_patterns="*",
                commit_message=f"DermIQ at {revision}",
            )
        except (HfHubHTTPError, OSError) as error:
            raise DermIQError(
                f"The hub did not take {name}: {error}. Is there a network, are you signed in (hf auth login), may you "
                "write there?",
                detail=repr(error),
            ) from error
    return str(made.repo_url)


def exported(place: Path, *, docker: bool, root: Path = ROOT) -> Path:
    """The committed tree as a folder below `place`; with `docker` its card asks for the Dockerfile."""
    archive, folder = place / "tree.zip", place / "tree"
    _git("archive", "--format=zip", "-1", "-o", str(archive), "HEAD", root=root)
    with zipfile.ZipFile(archive) as held:
        held.extractall(folder)
    archive.unlink()
    if docker:
        card = folder / "README.md"
        card.write_text(as_docker(card.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def as_docker(card: str) -> str:
    """The README with a head that asks for the Dockerfile."""
    _, head, text = card.split("---\n", 2)
    return f"---\n{GRADIO_LINES.sub('', head)}{DOCKER}---\n{text}"


def _git(*words: str, root: Path = ROOT) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{root} is no git checkout that can be read: clone the project, and run this there."
        ) from error
    return done.stdout
