"""GRPO++ in two processes against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.nightly.two_processes import main
from tests.train.rl.test_group_loss import relative_difference

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_two_processes_equal_one_with_twice_the_accumulation(tmp_path: Path) -> None:
    main(tmp_path)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*launch, "-m", "tests.nightly.two_processes", str(tmp_path)],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (one, told), (two, too) = (torch.load(tmp_path / f"trained-{n}.pt", weights_only=True) for n in (1, 2))
    assert relative_difference(two, one) <= 1e-5
    for name in ("reward", "advantages/collapse_rate", "grad_norm", "class/mel/reward", "class/nv/reward"):
        expected = [entry.get(name, -1.0) for entry in told[:2]]
        assert [entry.get(name, -1.0) for entry in too[:2]] == pytest.approx(expected, rel=1e-4), name
