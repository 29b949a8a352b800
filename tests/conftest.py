"""What all tests share: quiet threads, and the folder of real images where there is one."""

from __future__ import annotations

import gc
import math
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are divided among the test processes
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("DERMIQ_NICENESS", "0")  # beside the other process, a run that steps back would not move
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the hub, and none waits for it to be given up

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from dermiq.errors import DataError
from dermiq.knowledge.build import build
from tests import alone, cpu, forked
from tests.postgres import programs, server
from train.cases.data import data_folder, read_table
from train.runs import duration, paths
from train.runs import registry as runs

alone.guard()

SHARED: dict[str, tuple[str, ...]] = {
    "pages": (
        "review/test_browser.py",
        "ui/test_access.py",
        "ui/test_browser.py",
        "ui/test_programs.py",
        "ui/test_serving.py",
        "ui/test_visitors.py",
        "ui/training/test_words_browser.py",
    ),
    "faults": ("faults/",),
    "runs": ("train/test_ablate.py", "train/test_pipeline.py"),
    "judge": ("answering/", "knowledge/"),
}
"""Files of tests that use what takes a process some ten seconds to make: one process runs them all."""


def file_of(nodeid: str) -> str:
    """Its path under `tests/`."""
    return nodeid.split("::")[0].removeprefix("tests/")


def group_of(file: str) -> str:
    """What goes to one process: a file of tests, or several."""
    return next((name for name, parts in SHARED.items() if file.startswith(parts)), file)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data folder. A machine without it skips these tests; our own CI never does."""
    try:
        return data_folder()
    except DataError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def sources() -> Path:
    """The extracts that the graph is built from; as with the data, only our own CI insists on them."""
    folder = build.sources_folder()
    if not folder.is_dir():
        assert not os.environ.get("CI"), f"our own CI has the sources folder, but {folder} is missing"
        pytest.skip(f"the sources folder {folder} is not on this machine; set DERMIQ_KG_SOURCES to compare")
    return folder


@pytest.fixture(scope="session")
def melanoma(real_data: Path) -> Path:
    """A real image of one."""
    table = read_table(real_data, "ham10000", ["val"])
    return Path(table[table["label"] == "mel"]["image"].iloc[0])


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of tests do not look how busy the machine is: that takes a second of a processor, more than all the rest."""
    monkeypatch.setattr(duration, "share_of_a_run", forked.idle)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """No test reaches another machine."""
    alone.tried.clear()
    yield
    assert alone.tried == [], "it would have left this machine"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs, whose processes are forked from one that has the libraries."""
    monkeypatch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(runs, "_spawn", forked.spawn)
    forked.context()  # imports take minutes on a cold disk, longer than a run that was queued is waited for
    return paths.runs_folder()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database for the tests of the review. As with the data, only our own CI insists on it."""
    if programs() is None and not os.environ.get("CI"):
        pytest.skip("There is no PostgreSQL on this machine: apt-get install postgresql")
    with server() as url:
        yield url


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", type=Path, help="append each test's processor time to this file")


def pytest_configure(config: pytest.Config) -> None:
    if file := config.getoption("--cpu-times"):
        config.pluginmanager.register(cpu.Meter(file))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest group first, of unknown length before all: the processes then end together."""
    seconds, files = cpu.measured(), {item: file_of(item.nodeid) for item in items}
    whole: dict[str, float] = defaultdict(float)
    for file in set(files.values()):
        whole[group_of(file)] += seconds.get(file, math.inf)
    items.sort(key=lambda item: (-whole[group_of(files[item])], group_of(files[item]), -seconds.get(files[item], 0)))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # has no types
    """Gives each group to one process. (`--dist loadgroup` of pytest-xdist 3.8 does nothing with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(file_of(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


def pytest_collection_finish() -> None:
    """What the libraries made when they were imported is never garbage. Trainers collect garbage at every start and
    end: half a second each, if all of it is searched."""
    gc.collect()
    gc.freeze()
