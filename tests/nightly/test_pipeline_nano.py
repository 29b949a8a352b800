"""GRPO++, SFT and DPO in a row on DermIQ-Nano with real images."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from dermiq.vlm.load import load_vlm
from tests.train.stage_runs import PIPELINE, assert_moved, weights_of
from train import pipeline
from train.runs import registry as runs

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


SMOKE = """
    --grpo.steps 1 --grpo.warmup-steps 0 --grpo.group 2 --grpo.new-tokens 24 --no-grpo.mask-truncated
    --no-grpo.rehearse --grpo.advantage.one-sided 1
    --sft.steps 1 --sft.warmup-steps 0 --sft.batch-size 1
    --dpo.steps 1 --dpo.warmup-steps 0 --dpo.images 3
    --dpo.proxy.temperature 1 --dpo.proxy.min-margin 0.001 --dpo.proxy.follow-up-share 0
"""


@pytest.mark.embedded
def test_nano_goes_through_all_stages_on_real_images(
    real_data: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    given = ["--config", str(PIPELINE), *SMOKE.split(), "--name", "smoke", "--log", str(log)]
    assert pipeline.main(given) == 0, capsys.readouterr()
    made = [runs.load_run(root / f"smoke-{stage}") for stage in pipeline.STAGES]
    assert [run.state for run in made] == ["finished"] * 3
    assert made[0].options["images"] == made[1].options["images"] == 60
    for before, after in pairwise(made):
        assert_moved(weights_of(before), weights_of(after))
    assert_moved(*(load_vlm(m, device="cpu", fast=False).model.state_dict() for m in ("nano", str(made[0].folder))))
    told = re.findall(r"^(\w+): 1 steps, \d+ min$", log.read_text(), re.MULTILINE)
    assert tuple(told) == pipeline.STAGES
