"""What a run made leaves its folder whole, with a card that is true and names nothing of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dermiq.errors import InputError, ModelError
from dermiq.vlm.load import load_vlm
from tests.stage_runs import tiny_options, train, weights_of
from train import export, runs
from train.run_folder import EVALUATION, write_json
from train.sft import SFTConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SFTConfig:
    monkeypatch.setenv("DERMIQ_RUNS", str(tmp_path / "runs"))
    return SFTConfig(**{**tiny_options(tmp_path), "steps": 2, "save_every": 1})


def test_both_forms_are_the_model_that_was_trained(config: SFTConfig, tmp_path: Path) -> None:
    run = train(config, tmp_path / "runs", "one")
    assert export.weights_of(run) == ["final", "checkpoint-2", "checkpoint-1"]
    whole = export.export(run, tmp_path / "out" / "whole")
    assert not (whole / "manifest.json").exists()
    trained = weights_of(run)
    loaded = load_vlm(str(whole), device="cpu", fast=False).model.state_dict()
    assert all(torch.equal(loaded[name], trained[name]) for name in trained if name in loaded)
    adapter = export.export(run, tmp_path / "out" / "adapter", form="adapter")
    adapted = load_vlm(config.model, adapter=str(adapter), device="cpu", fast=False).model.state_dict()
    assert all(torch.allclose(adapted[name], value) for name, value in loaded.items())
    earlier = export.export(run, tmp_path / "out" / "earlier", weights="checkpoint-1")
    other = load_vlm(str(earlier), device="cpu", fast=False).model.state_dict()
    assert any(not torch.equal(other[name], value) for name, value in loaded.items())


def test_the_card_says_what_was_done_and_measured(config: SFTConfig, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first = train(config, root, "one")
    run = train(replace(config, model=first.name, learning_rate=3e-4), root, "two")
    text = export.card(run, form="merged", weights="final", name="mine")
    assert "`learning_rate` | `0.0003`" in text
    assert f"began from: {first.name}" in text
    assert "whose licence this card does not know" in text
    assert "license: other" in text
    assert "has not been evaluated" in text
    assert str(tmp_path) not in text
    figures = {"balanced_accuracy": 0.61, "melanoma_auroc": None}
    judged = {"on": "ham10000, val, 9 images", "weights": "final", "figures": figures, "recall": {"mel": 0.5}}
    write_json(run.folder / EVALUATION, {**judged, "intervals_95": {"balanced_accuracy": [0.5, 0.7]}})
    assert "balanced accuracy | 0.610 | 0.500 to 0.700" in export.card(run, form="merged", weights="final", name="mine")
    assert "has not been" in export.card(run, form="merged", weights="checkpoint-1", name="mine")
    write_json(run.folder / runs.CONFIG, {"stage": "train.sft", "options": {**run.options, "data": ["ham10000"]}})
    assert "license: cc-by-nc-4.0" in export.card(runs.load_run(run.folder), form="merged", weights="final", name="x")


def test_what_is_refused(config: SFTConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(replace(config, lora_rank=0), tmp_path / "runs", "one")
    with pytest.raises(InputError, match="no checkpoint-9 to export; it has final"):
        export.export(run, tmp_path / "out", weights="checkpoint-9")
    with pytest.raises(InputError, match="trained no LoRA"):
        export.export(run, tmp_path / "out", form="adapter")
    assert not list(tmp_path.glob("*out*"))
    (tmp_path / "out").mkdir()
    assert export.main([run.name, "--to", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(InputError, match="owner/name"):
        export.push(tmp_path / "out", "mine")


def test_a_token_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise OSError("401 for hf_secret")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refused)
    with pytest.raises(ModelError) as caught:
        export.push(tmp_path, "owner/mine", token="hf_secret")
    assert "hf_secret" not in f"{caught.value} {caught.value.detail}"
