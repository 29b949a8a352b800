"""The GRPO stage on tiny real models: questions without their answer, run folders, exact resume, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dermiq.errors import DermIQError
from dermiq.vlm.load import load_vlm
from tests.train.stage_runs import CONFIGS, make_table, tiny_options, train
from train import options
from train.cases.sources import Measured
from train.export import card
from train.grpo import Asker, GRPOConfig
from train.rl.advantages import AdvantageSettings
from train.runs import registry as runs
from train.runs import worker
from train.runs.job import Job
from train.runs.run_folder import MANIFEST, checkpoints, read_json
from train.scoring.rewards import RewardSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


@pytest.fixture
def config(tmp_path: Path) -> GRPOConfig:
    return GRPOConfig(
        **tiny_options(tmp_path),
        steps=3,
        group=4,
        new_tokens=8,
        facts=1,
        mask_truncated=False,
        advantage=AdvantageSettings(one_sided=1.0),
    )


def test_a_run_learns_and_keeps_its_samples(config: GRPOConfig, tmp_path: Path) -> None:
    before = load_file(Path(config.model) / "model.safetensors")
    run = train(replace(config, beta=0.1), tmp_path / "runs", "x")
    after = load_file(run.folder / "final" / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("language_model" in name for name in moved)
    lines = runs.metrics(run.folder)
    assert [line["step"] for line in lines] == [1, 2, 3]
    for name in ("reward", "rewards/correctness/mean", "advantages/collapse_rate", "kl", "entropy"):
        assert all(name in line for line in lines), name
    assert lines[-1]["kl"] > lines[0]["kl"]
    samples = [json.loads(line) for line in (run.folder / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 3 * config.group
    assert {sample["step"] for sample in samples} == {1, 2, 3}
    assert all(set(sample["rewards"]) == set(config.rewards.parts) for sample in samples)


def test_stop_and_resume_equal_the_unbroken_run(config: GRPOConfig, tmp_path: Path) -> None:
    config = replace(config, steps=4, iterations=2, schedule="linear", accumulation=2)
    whole = train(config, tmp_path / "runs", "whole")
    folder = runs.create(config, name="broken", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= 1))
        assert worker.work(folder).state == "stopped"
    assert runs.load_run(folder).status.step == 2
    runs.prepare_resume(folder)
    assert worker.work(folder).state == "finished"
    expected, found = (load_file(f / "final" / "model.safetensors") for f in (whole.folder, folder))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert (whole.folder / "samples.jsonl").read_text() == (folder / "samples.jsonl").read_text()


def test_the_reward_on_val_decides(
    config: GRPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best reward is kept and exported, though its loss is not the lowest, and it ends the training."""
    from train.rl.group_trainer import GroupTrainer

    told = iter([0.2, 0.6, 0.5, 0.6, 0.9])
    log = GroupTrainer.log

    def logged(trainer: GroupTrainer, logs: dict[str, float], *args: Any) -> None:
        if "eval_loss" in logs:
            trainer._metrics["eval"]["reward"] = [next(told)]
        log(trainer, logs, *args)

    monkeypatch.setattr(GroupTrainer, "log", logged)
    config = replace(config, steps=9, eval_every=1, val_share=0.3, val_images=1, patience=2, keep_checkpoints=1)
    run = train(replace(config, rehearse=False), tmp_path / "runs", "x")
    assert [line["eval_reward"] for line in runs.metrics(run.folder) if "eval_reward" in line] == [0.2, 0.6, 0.5, 0.6]
    assert (run.state, run.status.step, list(checkpoints(run.folder))) == ("finished", 4, [2, 4])
    assert (read_json(run.folder / "final" / MANIFEST) or {})["step"] == 2
    assert "eval_reward had no new best in 2 evaluations" in capsys.readouterr().out


def test_a_question_does_not_hold_its_answer(config: GRPOConfig, tmp_path: Path) -> None:
    vlm = load_vlm(config.model, device="cpu", fast=False)
    asker = Asker(config, vlm, Measured(tmp_path / "cache"))
    row = config.rows()[0][0]
    asked = asker(row)
    assert asked == {**asker(row), "images": asked["images"]}
    assert [turn["role"] for turn in asked["prompt"]][-1] == "user"
    assert "<answer>" not in str(asked["prompt"][-1]["content"])
    assert asked["diagnosis"] == row.label
    assert asked["findings"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lora_dropout": 0.1}, "lora_dropout"),
        ({"beta": 0.1, "lora_rank": 0}, "lora_rank"),
        ({"rewards": RewardSettings(correctness=0.0)}, "correctness"),
        ({"data": ()}, "empty"),
        ({"eval_every": 2}, "no val"),
    ],
)
def test_what_is_refused_before_anything_is_computed(change: dict[str, Any], words: str, config: GRPOConfig) -> None:
    with pytest.raises(DermIQError, match=words):
        replace(config, **change).check()


def test_labels_that_are_no_class_are_refused(config: GRPOConfig, tmp_path: Path) -> None:
    table = make_table(tmp_path / "free", label=["a mole"] * 8)
    with pytest.raises(DermIQError, match="fit none of the seven classes"):
        replace(config, data=(str(table),)).check()
    with pytest.raises(DermIQError, match="labelled with one of"):
        replace(config, data=(str(table),), labels="text").check()


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("grpo_*.yaml")), ids=lambda path: path.stem)
def test_the_example_configs_are_valid(file: Path) -> None:
    made = options.load(GRPOConfig, ["--config", str(file)])
    assert options.make(GRPOConfig, options.as_dict(made)) == made
    assert made.steps > 0


def test_nested_options_are_flags() -> None:
    made = options.load(GRPOConfig, ["--advantage.estimator", "rloo", "--rewards.length", "0.5"])
    assert (made.advantage.estimator, made.rewards.length) == ("rloo", 0.5)
    assert isinstance(made.rewards, RewardSettings)


def test_a_run_that_cannot_learn_says_so_everywhere(
    config: GRPOConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its completions are cut off and masked: log, status, samples, `runs show` and the card say it."""
    run = train(replace(config, mask_truncated=True, group=2, steps=2), tmp_path / "runs", "x")
    lines = runs.metrics(run.folder)
    assert [line["grad_norm"] for line in lines] == [0.0, 0.0]
    assert [line["advantages/collapse_rate"] for line in lines] == [1.0, 1.0]
    assert all(sample["truncated"] and sample["advantage"] is None for sample in runs.samples(run.folder))
    log = capsys.readouterr().out
    warned = "Nothing is being learned: every completion was cut off at 8 tokens"
    assert "Warning: new_tokens is 8, but reasoning and answer" in log[: log.index("step 1 of 2")]
    assert f"Warning: {warned}" in log[log.index("step 1 of 2") : log.index("step 2 of 2")]
    assert run.status.reason.startswith("Finished. Nothing was learned: every completion was cut off at 8 tokens")
    assert run.hints()[0].startswith(warned)
    assert "This run did not learn" in card(run, form="adapter", weights="final", name="x")
