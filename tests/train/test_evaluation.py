"""A run is judged by a run: on real (drawn) images with a tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import InputError
from tests.tiny import save_tiny
from tests.train.stage_runs import make_table
from train.evaluation import READ, EvaluationConfig, run_of
from train.runs import paths, worker
from train.runs import registry as runs
from train.runs.job import Job
from train.runs.run_folder import CONFIG, EVALUATION, Status, read_json, read_lines, seal, write_json, write_status


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
    return paths.runs_folder()


@pytest.fixture
def judged(root: Path) -> Path:
    """A finished run whose result is a tiny model."""
    folder = root / "mine"
    save_tiny("llava", folder / "final")
    write_json(folder / CONFIG, {"stage": "train.sft", "options": {}})
    write_status(folder, Status("finished"))
    seal(folder / "final", step=1)
    return folder


def test_figures_with_intervals_and_a_stop_that_loses_nothing(
    judged: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table(tmp_path / "data", rows=6, image_id=[f"i{n}" for n in range(6)])
    config = EvaluationConfig(model="mine", data=str(table), images=5, rounds=20, device="cpu")
    folder = runs.create(config, root=root)
    with monkeypatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= 2))
        assert worker.work(folder).state == "stopped"
    half = read_lines(folder / READ)
    assert len(half) == 2
    runs.prepare_resume(folder)
    assert worker.work(folder).state == "finished"
    lines = read_lines(folder / READ)
    assert lines[:2] == half
    assert len({line["image_id"] for line in lines}) == 5
    result = read_json(judged / EVALUATION)
    assert result == read_json(folder / "final" / EVALUATION)
    assert result is not None
    assert result["n"] == 5
    assert result["on"] == "table.csv, 5 images drawn with seed 0"
    low, high = result["intervals_95"]["accuracy"]
    assert low <= result["figures"]["accuracy"] <= high


def test_what_is_refused(judged: Path, tmp_path: Path) -> None:
    table = str(make_table(tmp_path / "data", image_id=[f"i{n}" for n in range(8)]))
    assert run_of("mine") == judged
    usual: dict[str, Any] = {"model": "mine", "data": table}
    for changes, words in (
        ({"weights": "checkpoint-3"}, "mine has no checkpoint-3"),
        ({"model": "nothing"}, "There is no model 'nothing'"),
        ({"device": "abacus"}, "device is 'abacus'"),
    ):
        with pytest.raises(InputError, match=words):
            EvaluationConfig(**{**usual, **changes}).check()
    shutil.rmtree(judged / "final")
    with pytest.raises(InputError, match="no finished final/"):
        EvaluationConfig(model="mine", data=table).check()
