"""What a run takes, measured in processes of their own, against what was estimated before it began."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.runs.test_estimate import near_what_a_fresh_process_takes


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_estimate_is_near(stage: str, tmp_path: Path) -> None:
    near_what_a_fresh_process_takes(stage, tmp_path)
