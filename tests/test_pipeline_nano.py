"""GRPO++, SFT and DPO in a row on DermIQ-Nano with real images."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from dermiq.types import CLASS_NAMES
from dermiq.vlm.load import load_vlm
from tests.stage_runs import PIPELINE, assert_moved, weights_of
from train import pipeline, runs
from train.data import read_table

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


SMOKE = """
    --grpo.steps 1 --grpo.warmup-steps 0 --grpo.group 2 --grpo.new-tokens 24 --no-grpo.mask-truncated
    --no-grpo.rehearse --grpo.advantage.one-sided 1
    --sft.steps 1 --sft.warmup-steps 0 --sft.batch-size 1
    --dpo.images 60 --dpo.steps 1 --dpo.warmup-steps 0
"""
IMAGES = 60


def pairs_about(real_data: Path, file: Path) -> Path:
    """Pairs as a file: Nano's own answers would take minutes. They are the longer log's, beside `train.pipeline`."""
    table = read_table(real_data, "ham10000", ["train"])[:IMAGES]
    named = [CLASS_NAMES[label] for label in table["label"]]
    others = ["No diagnosis." if name.startswith("M") else "Melanoma." for name in named]
    lines = [
        {"images": [str(image)], "prompt": "What is this lesion?", "chosen": f"{name}.", "rejected": other}
        for image, name, other in zip(table["image"], named, others, strict=True)
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return file


@pytest.mark.embedded
def test_nano_goes_through_all_stages_on_real_images(
    real_data: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    pairs = ["--dpo.preferences", str(pairs_about(real_data, tmp_path / "pairs.jsonl"))]
    given = ["--config", str(PIPELINE), *SMOKE.split(), *pairs, "--name", "smoke", "--log", str(log)]
    assert pipeline.main(given) == 0, capsys.readouterr()
    made = [runs.load_run(root / f"smoke-{stage}") for stage in pipeline.STAGES]
    assert [run.state for run in made] == ["finished"] * 3
    assert made[0].options["images"] == made[1].options["images"] == IMAGES
    assert f"{IMAGES} examples" in (made[2].folder / "log.txt").read_text()
    for before, after in pairwise(made):
        assert_moved(weights_of(before), weights_of(after))
    assert_moved(*(load_vlm(m, device="cpu", fast=False).model.state_dict() for m in ("nano", str(made[0].folder))))
    told = re.findall(r"^(\w+): 1 steps, \d+ min$", log.read_text(), re.MULTILINE)
    assert tuple(told) == pipeline.STAGES
