"""The study of exactness, short: real stages, stopped and killed in processes of their own, end as the unbroken run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.nightly import exactness
from tests.nightly.exactness import difference, study, unreadable
from train.runs import worker

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the study forks"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.mark.parametrize(("stage", "seed"), [("sft", 1), ("grpo", 3), ("dpo", 1)])
def test_stopped_and_killed_runs_end_as_the_unbroken_one(stage: str, seed: int, tmp_path: Path) -> None:
    """GRPO over several epochs; DPO with pairs that the run makes."""
    found = study(stage, [seed], 1, tmp_path)
    assert found.failures == []
    assert (found.resumed_identical, found.kills, found.readable) == (1, 1, 1)
    assert found.is_exact
    text = "\n".join(exactness.report({stage: found}, seeds=1))
    assert f"{stage}: 1 runs stopped and resumed, 1 identical" in text


def test_a_difference_is_found(tmp_path: Path) -> None:
    """The study can fail: another weight, another number, a missing line, a torn line."""
    import torch
    from safetensors.torch import save_file

    from tests.train.tiny_stage import TinyConfig
    from train.runs import registry as runs
    from train.runs.run_folder import MANIFEST, seal

    whole = runs.create(TinyConfig(steps=3), name="whole", root=tmp_path)
    worker.work(whole)
    (whole / "final" / MANIFEST).unlink()
    save_file({"a": torch.zeros(2)}, whole / "final" / "model.safetensors")
    seal(whole / "final")
    copy = shutil.copytree(whole, tmp_path / "copy")
    assert (difference(whole, copy), unreadable(copy)) == ("", "")
    save_file({"a": torch.tensor([0.0, -0.0])}, copy / "final" / "model.safetensors")
    assert difference(whole, copy).startswith("1 of 1 tensors differ")
    save_file({"a": torch.zeros(2)}, copy / "final" / "model.safetensors")
    lines = (whole / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join([json.dumps({**json.loads(lines[0]), "loss": 9}), *lines[1:]]) + "\n")
    assert difference(whole, copy) == "metrics.jsonl differs, first in line 1"
    (copy / "metrics.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert difference(whole, copy) == "metrics.jsonl differs, first in line after the shorter"
    (copy / "metrics.jsonl").write_text("{torn\n")
    assert unreadable(copy) == "a line of metrics.jsonl is torn"
