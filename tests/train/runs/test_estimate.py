"""The memory of a run: what is estimated without weights is what real models keep, and what a process then takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dermiq.errors import InputError
from dermiq.vlm.load import load_skeleton, load_vlm
from tests.tiny import FAMILIES, save_tiny
from tests.train.stage_runs import make_table, tiny_options, train
from train import options, stage
from train.grpo import GRPOConfig
from train.model import make_trainable
from train.rl.prefix import Policy, Prefix, keys_stay_grouped
from train.runs import estimate, memory, worker
from train.runs import registry as runs
from train.runs.command import command
from train.runs.estimate import Trace, estimate_run, refuse
from train.runs.forecast import forecast
from train.runs.job import Job
from train.sft import SFTConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


def kept_by(model: Any, forward: Any) -> int:
    """Bytes of all that autograd saves in a real forward pass."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
    del output
    return sum(storage.nbytes() for storage in seen.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_for_the_backward_pass_is_counted_without_weights(family: str, tmp_path: Path) -> None:
    config = SFTConfig(model=str(save_tiny(family, tmp_path)), device="cpu", lora_rank=4)
    real = make_trainable(load_vlm(config.model, device="cpu", fast=False).model, config).train()
    bare = make_trainable(load_skeleton(config.model, device="cpu").model, config)
    assert {p.device.type for p in bare.parameters()} == {"meta"}
    sizes = [sorted((p.numel(), p.requires_grad) for p in model.parameters()) for model in (real, bare)]
    assert sizes[0] == sizes[1]
    inputs, padding = torch.randn(2, 50, 64), torch.ones(2, 50, dtype=torch.long)
    padding[0, :3] = 0
    decoder = real.get_base_model().get_decoder()
    whole = kept_by(real, lambda: decoder(inputs_embeds=inputs, attention_mask=padding, use_cache=False))
    trace = Trace(bare, "cpu", checkpointed=False)
    assert trace.whole(2, 50) == pytest.approx(whole, rel=0.03)
    read = [torch.randn(1, 2, 30, 16, requires_grad=True) for _ in range(4)]
    prefix = Prefix(tuple(read[:2]), tuple(read[2:]), torch.randn(1, 1, 64, requires_grad=True), 30, 30)
    with keys_stay_grouped(torch.device("cpu")):
        behind = kept_by(real, lambda: Policy(real).hidden(prefix, torch.full((3, 20), 5)))
    assert trace.behind(3, 30, 20) == pytest.approx(behind, rel=0.03)
    elsewhere = kept_by(real, lambda: Policy(real).hidden(prefix, torch.full((3, 20), 5)))
    assert behind < elsewhere
    assert Trace(bare, "cuda", checkpointed=False).behind(3, 30, 20) == pytest.approx(elsewhere, rel=0.03)
    assert Trace(bare, "cpu", checkpointed=True).whole(2, 50) < 0.7 * whole


@pytest.fixture
def config(tmp_path: Path) -> GRPOConfig:
    return GRPOConfig(**tiny_options(tmp_path), group=4, new_tokens=8, facts=1, steps=1, rehearse=False)


def test_too_little_memory_is_said_before_weights_are_loaded(
    config: GRPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*args: Any) -> None:
        raise AssertionError("weights were loaded")

    total = estimate_run(config).total
    monkeypatch.setattr(stage, "free_here", lambda device: total // 2)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "load_model", loaded)
        status = worker.work(runs.create(config, root=tmp_path / "runs"))
    assert status.state == "failed"
    assert "are free on cpu: most of it " in status.reason
    assert "check_memory" in status.reason
    assert train(replace(config, check_memory=False), tmp_path / "runs", "anyhow").state == "finished"


def test_too_full_a_disk_is_said_before_weights_are_loaded(
    config: GRPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*args: Any) -> None:
        raise AssertionError("weights were loaded")

    folder = runs.create(config, root=tmp_path / "runs")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("usage", (), {"free": 100_000_000}))
    monkeypatch.setattr(stage, "load_model", loaded)
    status = worker.work(folder)
    assert status.state == "failed"
    assert "has 0.1 GB free and the run needs 0.1 GB. Free some" in status.reason
    assert not (folder / "cache").exists()


def test_what_is_near_is_warned_of_and_what_is_small_is_not(config: GRPOConfig) -> None:
    found = estimate_run(config)
    assert refuse(found, 10 * found.total, config) == ""
    assert "which may not do" in refuse(found, found.total, config)
    with pytest.raises(InputError, match="The run needs about"):
        refuse(found, found.total // 2, config)


def test_less_is_estimated_for_less(config: GRPOConfig, tmp_path: Path) -> None:
    """What the advice names does lower the estimate."""

    def parts(**changes: Any) -> dict[str, int]:
        return {
            part.name: part.bytes for part in estimate_run(replace(config, **changes), cache=tmp_path / "cache").parts
        }

    (tmp_path / "cache").mkdir()
    given = parts()
    for name, changes in (
        ("cache", {"group": 2}),
        ("completions", {"new_tokens": 4}),
        ("prompt", {"gradient_checkpointing": True}),
        ("optimizer", {"optimizer": "adamw_8bit"}),
        ("gradients", {"lora_rank": 1}),
    ):
        assert parts(**changes)[name] < given[name], name
    assert "decoder" not in given
    assert "decoder" not in parts(lora_rank=0), "weights that train are read where they lie"


def test_the_command_prints_the_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {**tiny_options(tmp_path), "reasoning_share": 0.0}
    (tmp_path / "c.yaml").write_text(options.to_yaml(options.make(SFTConfig, values)))
    assert command(SFTConfig, ["--config", str(tmp_path / "c.yaml"), "--estimate"]) == 0
    printed = capsys.readouterr().out
    for name in ("weights", "gradients", "optimizer", "vocabulary", "activations", "process", "together", "time"):
        assert name in printed
    assert not (tmp_path / "runs").exists()


def test_a_resumed_run_keeps_its_highest_peak(tmp_path: Path) -> None:
    memory.note(tmp_path, peak=7)
    memory.note(tmp_path, peak=5, free=1)
    assert json.loads((tmp_path / memory.MEMORY).read_text()) == {"peak": 7, "free": 1}
    assert memory.peak_of({"peak": 7, "gpu_peak": 3}) == 3, "on a GPU the estimate is of its tensors"


def test_prompts_and_images_are_counted_as_they_are_encoded(tmp_path: Path) -> None:
    config = SFTConfig(**tiny_options(tmp_path) | {"data": (str(make_table(tmp_path / "more")),)}, reasoning_share=0.0)
    from train import sft
    from train.cases.sources import Measured

    vlm = load_vlm(config.model, device="cpu", fast=False)
    vlm.model = make_trainable(vlm.model, config)
    trainer: Any = sft.build(config, vlm, Job(tmp_path))
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(8)])
    writer = sft.Writer(config, vlm, Measured(tmp_path / "cache"))
    prompt, completion = estimate.longest(vlm, [writer(row, 0) for row in config.rows()[0]])
    longest = int(batch["attention_mask"].sum(1).max())
    assert longest <= prompt + completion <= 1.1 * longest


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_process_does_not_count_the_peak_of_the_one_that_started_it() -> None:
    held = bytearray(1_500_000_000)
    held[::4096] = bytes([1]) * len(held[::4096])
    told = [sys.executable, "-c", "from train.rl.memory import peak_memory; print(peak_memory())"]
    own = int(subprocess.run(told, capture_output=True, text=True, check=True).stdout)
    started_by_a_shell = ["sh", "-c", '"$@"; true', "sh", *told]
    alone = int(subprocess.run(started_by_a_shell, capture_output=True, text=True, check=True).stdout)
    assert len(held)
    assert own < alone + 100_000_000


def test_what_is_measured_is_told(config: GRPOConfig, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    forecast(config, tmp_path / "runs", progress=lambda text, share: told.append((text, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    for said in ("Reading the model's shape", "Measuring example 8 of 8", "Measuring how busy this machine is"):
        assert any(said in text for text, _ in told), said


def test_too_few_tokens_for_the_form_are_said_before_the_start(config: GRPOConfig, tmp_path: Path) -> None:
    """Counted with the model's tokenizer on what the model would have to write about these images."""
    (tmp_path / "cache").mkdir()

    def warnings(**changes: Any) -> tuple[str, ...]:
        return estimate_run(replace(config, **changes), cache=tmp_path / "cache").warnings

    (warning,) = warnings()
    assert warning.startswith("new_tokens is 8, but reasoning and answer in the agreed form take ")
    assert "All completions that keep to the form will be cut off, and nothing is learned" in warning
    enough = int(re.findall("Set new_tokens to ([0-9]+)", warning)[0])
    assert warnings(new_tokens=enough) == ()
    assert "nothing is learned" not in warnings(mask_truncated=False)[0]
    assert "Warning: new_tokens is 8" in estimate_run(config).text()
