"""Two processes, or two apps, on one folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dermiq.errors import InputError
from dermiq.ui.training import own_data
from tests.train.runs.test_runs import until
from tests.train.stage_runs import make_table
from tests.train.tiny_stage import TinyConfig
from tests.zips import packed
from train.runs import registry as runs
from train.runs import worker


@pytest.mark.fault(
    "Two processes use one folder",
    where="one run, worked on by two processes",
    seen="“Another process works on ….”",
    kept="the run: the second does nothing",
)
def test_no_run_is_worked_on_twice(tmp_path: Path) -> None:
    folder = runs.start(TinyConfig(steps=400, seconds=0.05), root=tmp_path).folder
    until(lambda: runs.metrics(folder))
    with pytest.raises(InputError, match="Another process works on"):
        worker.work(folder)
    assert runs.load_run(folder).state == "running"
    runs.kill(folder)


@pytest.mark.fault(
    "Two processes use one folder",
    where="the same data, uploaded to two apps at once",
    seen="nothing",
    kept="one copy",
)
def test_the_same_upload_at_once_is_kept_once(tmp_path: Path) -> None:
    table = make_table(tmp_path / "data", rows=2)
    content = packed({f"mine/{path.name}": path.read_bytes() for path in table.parent.iterdir()})
    found: list[Path] = []
    sent = [threading.Thread(target=lambda: found.append(own_data.keep(content, tmp_path / "runs"))) for _ in range(4)]
    for one in sent:
        one.start()
    for one in sent:
        one.join()
    assert len(set(found)) == 1
    assert len(list((tmp_path / "runs" / own_data.FOLDER).iterdir())) == 1
