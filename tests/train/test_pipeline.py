"""GRPO++, SFT and DPO in a row, on a tiny model."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import DermIQError
from tests.train.stage_runs import PIPELINE, assert_moved, tiny_options, weights_of, write_pairs
from train import options, pipeline
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.pipeline import PipelineConfig, summary, thirds
from train.rl.advantages import AdvantageSettings
from train.runs import registry as runs
from train.runs import worker
from train.runs.job import Job
from train.runs.run_folder import MANIFEST
from train.sft import SFTConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    shared = {**tiny_options(tmp_path), "steps": 3}
    model = shared.pop("model")
    sampling: dict[str, Any] = {"group": 2, "new_tokens": 6, "facts": 1, "mask_truncated": False}
    pairs = str(write_pairs(tmp_path / "pairs" / "pairs.jsonl"))
    return PipelineConfig(
        model=model,
        grpo=GRPOConfig(**shared, **sampling, advantage=AdvantageSettings(one_sided=1.0)),
        sft=SFTConfig(**shared),
        dpo=DPOConfig(**shared, preferences=(pairs,)),
    )


def test_each_stage_trains_what_the_one_before_it_made(config: PipelineConfig, root: Path) -> None:
    made = pipeline.run_all(config, "x", root)
    assert [run.name for run in made] == ["x-grpo", "x-sft", "x-dpo"]
    assert [run.options["model"] for run in made] == [config.model, "x-grpo", "x-sft"]
    for before, after in pairwise(made):
        assert_moved(weights_of(before), weights_of(after))
    assert all(run.stage in summary(run) and "last third" in summary(run) for run in made)

    sealed = [(run.folder / "final" / MANIFEST).stat().st_mtime_ns for run in made]
    pipeline.run_all(config, "x", root)
    assert [(run.folder / "final" / MANIFEST).stat().st_mtime_ns for run in made] == sealed  # nothing is done again
    with pytest.raises(DermIQError, match=r"x-grpo with another beta \(0.0, now 0.1\)"):
        pipeline.run_all(replace(config, grpo=replace(config.grpo, beta=0.1)), "x", root)


def test_a_stopped_pipeline_goes_on(config: PipelineConfig, root: Path) -> None:
    config = replace(config, stages=("sft",))
    (own, stage), *_ = config.configs("x").items()
    folder = runs.create(stage, name=own, root=root)
    Job(folder).request_stop()
    assert worker.work(folder).state == "stopped"
    (run,) = pipeline.run_all(config, "x", root)
    assert (run.folder, run.state, run.status.step) == (folder, "finished", 3)


def test_a_stage_that_fails_ends_the_pipeline_with_its_reason(config: PipelineConfig, root: Path) -> None:
    config = replace(config, stages=("dpo",))
    Path(config.dpo.preferences[0]).with_name("0.png").write_bytes(b"no image")
    with pytest.raises(DermIQError, match=r"x-dpo failed: .*0\.png"):
        pipeline.run_all(config, "x", root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": ()}, "stages is empty"),
        ({"stages": ("sft", "sft")}, "each that is to be run once"),
        ({"sft": SFTConfig(export="adapter")}, "sft.export is adapter"),
        ({"dpo": DPOConfig(beta=0.1, data=())}, "dpo: data is empty"),
        ({"model": "no such"}, "grpo: There is no model"),
        ({"sft": SFTConfig(model="owner/other")}, "sft.model has no effect"),
    ],
)
def test_what_is_refused_before_the_first_stage(
    change: dict[str, Any], words: str, config: PipelineConfig, root: Path
) -> None:
    with pytest.raises(DermIQError, match=words):
        pipeline.run_all(replace(config, **change), "x", root)
    assert not root.exists()


def test_thirds() -> None:
    # variances 2 and 8, two lines each
    assert thirds([{"a": value} for value in (1, 3, 9, 9, 9, 0, 4)], "a") == pytest.approx((2, 2, 5**0.5))
    assert thirds([{"a": value} for value in (1, 3, 8)], "a") == (1, 8, None)
    assert thirds([{"a": 1}, {}, {"a": 2}], "a") is None


def test_the_command_refuses_in_a_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.main(["--grpo.group", "1"]) == 2
    assert "grpo.group is 1; it must be at least 2" in capsys.readouterr().err


def test_the_command_estimates_all_stages(
    config: PipelineConfig, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(options.to_yaml(config))
    assert pipeline.main(["--config", str(file), "--estimate"]) == 0
    printed = capsys.readouterr().out
    *stages, together = printed.strip().split("\n\n")
    assert [stage.splitlines()[0] for stage in stages] == ["grpo", "sft", "dpo"]
    assert all("weights" in stage and " for 3 steps: " in stage for stage in stages)
    assert together.startswith("all stages, one after the other\ntogether")
    assert re.search(r"time +[0-9.]+ (s|min|h) \(", together)
    assert not list(root.glob("*-sft"))


def test_the_example_config_is_valid() -> None:
    made = options.load(PipelineConfig, ["--config", str(PIPELINE)])
    assert options.make(PipelineConfig, options.as_dict(made)) == made
