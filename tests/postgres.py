"""A PostgreSQL server of one's own, from Debian's package: in a folder that is deleted, on a Unix socket.

    python -m tests.postgres python -m tests.nightly.review_store --reviewers 20 --votes 50 --db URL

starts one, runs the command with its address in place of `URL`, and stops it. PostgreSQL refuses to run as root: it
then runs as the user that the package made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of the newest `initdb` on this machine."""
    found = sorted(PACKAGE.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database. Commits are synced, as in earnest."""
    bin_folder = programs()
    if bin_folder is None:
        raise FileNotFoundError("There is no PostgreSQL on this machine: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="dermiq-postgres-"))
    user = _unprivileged(folder)
    data = str(folder / "data")
    try:
        _run([bin_folder / "initdb", "-D", data, "-U", "review", "--auth=trust", "--encoding=UTF8"], user, folder)
        options = f"-k {folder} -c listen_addresses=''"
        _run([bin_folder / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start"], user, folder)
        try:
            yield f"postgresql://review@/postgres?host={folder}"
        finally:
            _run([bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"], user, folder)
    finally:
        shutil.rmtree(folder)


def _unprivileged(folder: Path) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _run(command: list[Any], user: dict[str, Any], folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    with tempfile.TemporaryFile() as said:  # no pipe: the server would keep it open
        done = subprocess.run(
            [str(part) for part in command], stdout=said, stderr=said, cwd=folder, env=environment, check=False, **user
        )
        if done.returncode:
            said.seek(0)
            raise RuntimeError(f"{command[0]}: {said.read().decode()}")


if __name__ == "__main__":
    with server() as url:
        sys.exit(subprocess.run([url if part == "URL" else part for part in sys.argv[1:]], check=False).returncode)
