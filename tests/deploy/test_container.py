"""The Dockerfile's statements: that each is one, and that they agree with the rest of the tree."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dermiq.deploy import space
from dermiq.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def statements() -> list[tuple[str, str]]:
    """(word, what follows), comments and breaks of lines removed."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines.splitlines() if line.strip()]


def told(word: str) -> list[str]:
    return [rest for name, rest in statements() if name == word]


def variables() -> dict[str, str]:
    return dict(part.split("=", 1) for rest in told("ENV") for part in shlex.split(rest))


def test_every_statement_is_one() -> None:
    words = [word for word, _ in statements()]
    assert set(words) <= WORDS
    assert words[0] == "FROM"
    for rest in told("CMD"):
        assert all(isinstance(part, str) for part in json.loads(rest)), "a shell would not pass signals on"


def test_its_python_is_that_of_the_card() -> None:
    card = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert told("FROM") == [f"python:{card['python_version']}-slim"]


def test_its_user_is_no_administrator_and_the_one_that_a_space_wants() -> None:
    assert any(f"--uid 1000 {told('USER')[-1]}" in rest for rest in told("RUN"))
    assert [word for word, _ in statements()].index("USER") < [word for word, _ in statements()].index("CMD")


def test_its_port_is_the_settings_and_others_reach_it() -> None:
    port = Settings().port
    assert told("EXPOSE") == [str(port)]
    assert f"127.0.0.1:{port}/" in told("HEALTHCHECK")[0]
    assert Settings.load([], variables()).host == "0.0.0.0"


def test_what_the_page_reads_is_not_left_out_of_the_image() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    needed = [
        entry.path
        for entry in space.entries()
        if re.match(r"(app\.py|requirements\.txt|dermiq|train|kg_data)", entry.path)
    ]
    left_out = [path for path in needed for pattern in patterns if fnmatch(path, f"{pattern}/*") or path == pattern]
    assert left_out == []
    assert {".git", ".venv", "runs", "review"} <= set(patterns), "nobody's data goes into an image"


def test_the_build_for_cpus_is_taken_where_pip_is_shown_it() -> None:
    """As pip sorts versions: a local one satisfies the pin, and comes before the plain one."""
    (pin,) = [
        line.split(" ")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch")
    ]
    plain = Version(pin.split("==")[1])
    for_cpu = Version(f"{plain}+cpu")
    assert for_cpu in SpecifierSet(pin.removeprefix("torch"))
    assert for_cpu > plain
    assert any(rest.startswith("PIP_EXTRA_INDEX_URL") for rest in told("ARG"))


def test_the_page_on_deploying_repeats_what_was_measured() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    shown = page.split("<!-- start.txt -->\n")[1].split("<!-- end -->")[0]
    measured = (ROOT / "tests" / "nightly" / "start.txt").read_text(encoding="utf-8").splitlines()
    assert shown.splitlines() == [f"- {line}" for line in measured if not line.startswith("#")]
