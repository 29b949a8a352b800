"""What a run takes, measured in processes of their own, against what was estimated before it began."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny
from tests.train.stage_runs import tiny_options, write_pairs
from train.config import StageConfig
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.runs import memory
from train.runs import registry as runs
from train.runs.run_folder import read_json
from train.sft import SFTConfig

FACTOR = 1.6  # between estimate and measurement, either way


def large_enough(folder: Path) -> dict[str, Any]:
    """Options of a model whose steps take more memory than what a process does besides."""
    model, processor = tiny("llava", layers=8)
    for part in (model, processor):
        part.save_pretrained(folder / "large")
    return {**tiny_options(folder), "model": str(folder / "large"), "steps": 2}


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_the_estimate_is_near(kind: str, tmp_path: Path) -> None:
    own = large_enough(tmp_path)
    config: StageConfig = (
        SFTConfig(**own, batch_size=8, reasoning_share=0.0)
        if kind == "sft"
        else DPOConfig(**own, batch_size=4, preferences=(str(write_pairs(tmp_path / "pairs" / "pairs.jsonl")),))
        if kind == "dpo"
        else GRPOConfig(**own, group=8, new_tokens=128, facts=1, mask_truncated=False, rehearse=True)
    )
    folder = runs.create(config, name="x", root=tmp_path / "runs")
    done = subprocess.run(
        [sys.executable, "-m", "train.runs.worker", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    known = read_json(folder / memory.MEMORY) or {}
    ratio = known["estimate"]["total"] / known["peak"]
    assert 1 / FACTOR < ratio < FACTOR, known
    assert "at the peak of the process; " in memory.described(folder)
    run = runs.load_run(folder)
    assert run.as_dict()["memory"]["peak"] == known["peak"]
    logged = runs.metrics(folder)[-1]["peak_memory_gb"]  # one definition: what was logged last is below the whole run's
    assert 0.8 * known["peak"] < logged * 1e9 <= known["peak"] * 1.001
    log = done.stdout
    said = ["Looking at the options and the data.", "Loading the libraries.", "Reading the model's shape."]
    places = [log.index(f" {words}") for words in (*said, "Loading the model.", "Learning.", "Writing the result.")]
    assert places == sorted(places)
    assert "This step took" in log
    assert known["time"]["low"] < known["time"]["seconds"] < known["time"]["high"]
    assert (run.status.doing, run.status.left) == ("", None)
