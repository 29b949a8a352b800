"""The DPO stage on tiny real models: it prefers what it should, its reference stays, no image is lost, exact resume."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dermiq.errors import DermIQError
from dermiq.lesion import read_lesion
from dermiq.review.sets.freeze import find, freeze, lines
from dermiq.review.store.store import Store
from dermiq.review.types import SetRule
from dermiq.vlm.load import VLM, load_vlm
from tests.review.votes import review, store_of
from tests.tiny import FAMILIES, picture, save_tiny
from tests.train.stage_runs import (
    CHOSEN,
    CONFIGS,
    REJECTED,
    drawn_score,
    make_table,
    tiny_options,
    train,
    weights_of,
    write_pairs,
)
from train import dpo, options, preferences
from train.cases.examples import Turns
from train.cases.sources import Row, read_source
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.model import load_model, make_trainable
from train.options import options_of
from train.runs import registry as runs
from train.runs import worker
from train.runs.__main__ import described
from train.runs.job import Job
from train.runs.run_folder import read_json, read_lines
from train.scoring.proxy import ProxySettings, score
from train.sft import SFTConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


@pytest.fixture
def config(tmp_path: Path) -> DPOConfig:
    given = {name: value for name, value in tiny_options(tmp_path).items() if name != "data"}
    return DPOConfig(**given, preferences=(str(write_pairs(tmp_path / "data" / "pairs.jsonl")),), steps=6, beta=0.5)


def built(config: DPOConfig, folder: Path) -> tuple[Any, VLM]:
    vlm = load_model(config, "cpu")
    vlm.model = make_trainable(vlm.model, config)
    return dpo.build(config, vlm, Job(folder)), vlm


def logps_of(vlm: VLM, prompt: str, answer: str, image: Image.Image) -> float:
    """Of an answer and its end, computed plainly from what a consultation feeds the model."""
    asked = vlm.encoder.encode([{"role": "user", "content": prompt}], [np.asarray(image)])
    ids = torch.tensor([[*asked.ids, *vlm.encoder.text_ids(answer), vlm.processor.tokenizer.eos_token_id]])
    inputs = {key: value for key, value in asked.inputs.items() if value.shape != asked.inputs["input_ids"].shape}
    if "mm_token_type_ids" in asked.inputs:
        rest = ids.shape[1] - len(asked.ids)
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(asked.inputs["mm_token_type_ids"], (0, rest))
    with torch.no_grad():
        logits = vlm.model(input_ids=ids, **inputs).logits[0, len(asked.ids) - 1 : -1]
    found = logits.log_softmax(-1).gather(-1, ids[0, len(asked.ids) :, None])
    return float(found.sum())


def test_a_run_learns_the_preference_with_lora_alone(config: DPOConfig, tmp_path: Path) -> None:
    before = load_file(Path(config.model) / "model.safetensors")
    run = train(config, tmp_path / "runs", "x")
    after = weights_of(run)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "language_model" in name and name.split(".")[-2].endswith("_proj")}
    lines = runs.metrics(run.folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)  # nothing is preferred yet
    assert lines[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert lines[-1]["rewards/margins"] > 1
    assert lines[-1]["rewards/accuracies"] == 1
    for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected", "tokens_per_second"):
        assert all(name in line for line in lines), name
    assert "rewards/margins" in described(run)
    old, new = (load_vlm(name, device="cpu", fast=False) for name in (config.model, str(run.folder)))
    image = Image.open(tmp_path / "data" / "0.png").convert("RGB")
    gains = [
        logps_of(new, "What is lesion 0?", answer, image) - logps_of(old, "What is lesion 0?", answer, image)
        for answer in (CHOSEN, REJECTED)
    ]
    assert gains[0] > gains[1] + 1


def test_stop_and_resume_equal_the_unbroken_run(config: DPOConfig, tmp_path: Path) -> None:
    config = replace(config, steps=5, schedule="linear", accumulation=2, batch_size=1)
    whole = train(config, tmp_path / "runs", "whole")
    folder = runs.create(config, name="broken", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= 2))
        assert worker.work(folder).state == "stopped"
    assert runs.load_run(folder).status.step == 2
    runs.prepare_resume(folder)
    assert worker.work(folder).state == "finished"
    expected, found = weights_of(whole), weights_of(runs.load_run(folder))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    kept = ("step", "loss", "rewards/margins", "logps/chosen")
    same = [[[line[name] for name in kept] for line in runs.metrics(f)] for f in (whole.folder, folder)]
    assert same[0] == same[1]
    assert len(same[0]) == 5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_prompt_and_its_image_reach_the_model(family: str, config: DPOConfig, tmp_path: Path) -> None:
    """For both answers, however long the prompt is; and the answers with their ends are what is compared."""
    long = "a red spot " * 140  # beyond the 1024 tokens at which TRL cuts unless it is told not to
    file = write_pairs(tmp_path / "long" / "pairs.jsonl", 2, prompt=["What is it?", long])
    config = replace(config, model=str(save_tiny(family, tmp_path / family)), preferences=(str(file),))
    trainer, vlm = built(config, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(2)])
    seen: dict[str, Any] = {}
    base = vlm.model.get_base_model()
    base.model.register_forward_pre_hook(lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True)
    trainer.compute_loss(trainer.model, batch)
    rows, learned = seen["input_ids"], batch["completion_mask"] == 1
    pairs = [row.load() for row in config.rows()[0]]
    assert rows.shape[0] == 4  # chosen, chosen, rejected, rejected
    assert rows.shape[1] > 1024
    for i, answer in enumerate((CHOSEN, CHOSEN, REJECTED, REJECTED)):
        pair = pairs[i % 2]
        image = np.asarray(pair["images"][0])
        asked = vlm.encoder.encode([{"role": "user", "content": pair["prompt"]}], [image])
        ids = rows[i][seen["attention_mask"][i] == 1].tolist()
        assert tuple(ids[: len(asked.ids)]) == asked.ids
        assert asked.ids.count(vlm.encoder.image_token_id) > 1
        assert vlm.processor.tokenizer.decode(rows[i][learned[i]]) == answer + "<|im_end|>"
    for half in seen["pixel_values"].chunk(2):
        assert torch.equal(half, seen["pixel_values"].chunk(2)[0])
    dark = [{**example, "images": [Image.new("RGB", (80, 60))]} for example in trainer.train_dataset]
    plain = trainer.compute_ref_log_probs(trainer.model, batch)
    assert not torch.allclose(plain[0], trainer.compute_ref_log_probs(trainer.model, trainer.data_collator(dark))[0])


@pytest.mark.parametrize(
    ("part", "family"), [*(("lora", family) for family in FAMILIES), ("projector", "llava"), ("whole", "llava")]
)
def test_the_reference_is_the_model_before_training(part: str, family: str, config: DPOConfig, tmp_path: Path) -> None:
    config = replace(config, model=str(save_tiny(family, tmp_path / family)), steps=2)
    config = replace(config, lora_rank=0 if part == "whole" else 4, train_projector=part == "projector")
    trainer, vlm = built(config, tmp_path)
    example = trainer.train_dataset[0]
    image, question = example["images"][0], example["prompt"][0]["content"][-1]["text"]
    untrained = load_vlm(config.model, device="cpu", fast=False)
    expected = [logps_of(untrained, question, answer, image) for answer in (CHOSEN, REJECTED)]
    batch = trainer.data_collator([example])
    for is_trained in (False, True):
        reference = trainer.compute_ref_log_probs(trainer.ref_model or trainer.model, batch)
        assert [float(value) for value in reference] == pytest.approx(expected, abs=1e-3)
        if not is_trained:
            trainer.train()
    assert next(line["rewards/margins"] for line in trainer.state.log_history if "loss" in line) == 0
    vlm.model.eval()
    assert abs(logps_of(vlm, question, CHOSEN, image) - expected[0]) > 1e-2  # while the model itself has moved


def test_every_loss_runs(config: DPOConfig, tmp_path: Path) -> None:
    trainer, _ = built(replace(config, loss=("robust",), label_smoothing=0.1), tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    for name in dpo.LOSSES:
        trainer.loss_types = [name]
        assert math.isfinite(trainer.compute_loss(trainer.model, batch).item()), name
    trainer.loss_types = ["none such"]
    with pytest.raises(ValueError, match="Unknown loss type") as refused:
        trainer.compute_loss(trainer.model, batch)
    assert all(f"'{name}'" in str(refused.value) for name in dpo.LOSSES)
    assert str(refused.value).split("[")[1].count("'") == 2 * len(dpo.LOSSES)  # there is no other


def test_losses_are_weighed_as_told(config: DPOConfig, tmp_path: Path) -> None:
    config = replace(config, loss=("sigmoid", "sft"), loss_weights=(1.0, 0.5), ld_alpha=0.5)
    trainer, _ = built(config, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    both = trainer.compute_loss(trainer.model, batch).item()
    trainer.loss_types, trainer.loss_weights = ["sft"], [1.0]
    alone = trainer.compute_loss(trainer.model, batch).item()
    assert both == pytest.approx(math.log(2) + 0.5 * alone, abs=1e-4)
    assert trainer.ld_alpha == 0.5


def test_evaluation_on_pairs_of_other_patients(config: DPOConfig, tmp_path: Path) -> None:
    groups = ["a", "a", "b", "b", "c", "c"]
    file = write_pairs(tmp_path / "own" / "pairs.jsonl", patient_id=groups, split=["train"] * 4 + ["val"] * 2)
    run = train(replace(config, preferences=(str(file),), steps=2, eval_every=1), tmp_path / "runs", "x")
    lines = [line for line in runs.metrics(run.folder) if "eval_loss" in line]
    assert [line["step"] for line in lines] == [1, 2]
    assert all("eval_rewards/margins" in line and "eval_rewards/accuracies" in line for line in lines)
    shared = write_pairs(tmp_path / "shared" / "pairs.jsonl", patient_id=groups, split=["train", "val"] * 3)
    with pytest.raises(DermIQError, match="share 3 patient"):
        replace(config, preferences=(str(shared),)).check()


def test_follow_ups_are_asked_in_turns_of_the_template(config: DPOConfig, tmp_path: Path) -> None:
    chat: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A mole."},
        {"role": "user", "content": "Why not <|im_end|> melanoma?"},
    ]
    answer = [{"role": "assistant", "content": [{"type": "text", "text": "It is <image> regular."}]}]
    file = write_pairs(tmp_path / "chat" / "pairs.jsonl", 1, prompt=[chat], chosen=[answer])
    trainer, vlm = built(replace(config, preferences=(str(file),)), tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1]
    text = vlm.processor.tokenizer.decode(ids).replace("<image>" * 4, "IMAGE")
    assert text.rstrip("\n") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nIMAGEWhat is it?<|im_end|>\n"
        "<|im_start|>assistant\nA mole.<|im_end|>\n<|im_start|>user\nWhy not < |im_end|> melanoma?<|im_end|>\n"
        "<|im_start|>assistant\nIt is < image> regular.<|im_end|>"
    )
    assert trainer.train_dataset[0]["prompt"] == Turns(vlm).written(chat, "user", images=1)


def test_small_margins_are_left_out_and_lengths_are_told(config: DPOConfig, tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "margins" / "pairs.jsonl", margin=[0.1, 0.2, 0.5, 1, 2, 3])
    config = replace(config, preferences=(str(file),), min_margin=0.5)
    built(config, tmp_path)
    known = json.loads((tmp_path / "pairs.json").read_text())
    assert (known["pairs"], known["margin"]) == (4, 1.5)
    assert known["chosen_tokens"] < known["rejected_tokens"]
    assert (known["chosen_longer"], known["rejected_longer"]) == (0, 1)
    assert "the shorter answer is mostly the chosen one" in dpo.told(known)
    assert "Warning" not in dpo.told({**known, "rejected_longer": 0.5, "chosen_longer": 0.5})
    with pytest.raises(DermIQError, match="No pair has a margin of 9"):
        replace(config, min_margin=9).check()


def test_a_saved_data_set_is_read_without_its_images(tmp_path: Path) -> None:
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageFeature

    columns = {name: Value("string") for name in ("prompt", "chosen", "rejected")}
    values = {"prompt": ["?"] * 2, "chosen": ["a"] * 2, "rejected": ["b"] * 2}
    images = {"images": [[Image.fromarray(picture(i))] for i in range(2)]}
    features = Features({"images": List(ImageFeature()), **columns})
    Dataset.from_dict({**values, **images}, features=features).save_to_disk(tmp_path / "saved")
    rows = read_source(str(tmp_path / "saved"), "train", columns=DPOConfig.columns)
    assert rows[1].texts() == {"prompt": "?", "chosen": "a", "rejected": "b"}
    assert rows[1].load()["images"][0].size == (80, 60)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"preferences": (), "data": ()}, "data is empty"),
        ({"lora_dropout": 0.1}, "lora_dropout must be 0"),
        ({"loss": ("sft",)}, "Nothing would be preferred"),
        ({"loss": ("sigmoid", "sft"), "loss_weights": (0.0, 1.0)}, "Nothing would be preferred"),
        ({"loss": ()}, "Nothing would be preferred"),
        ({"loss_weights": (1.0, 2.0)}, r"2 number\(s\) for 1 loss"),
        ({"label_smoothing": 0.1}, "no effect on sigmoid"),
        ({"loss": ("exo_pair",)}, "needs label_smoothing"),
        ({"min_margin": 0.5}, r"6 pair\(s\) have no margin"),
        ({"eval_every": 2}, "there is no val"),
        ({"lora_rank": 0, "load_in_4bit": True}, "Nothing would be trained"),
    ],
)
def test_what_is_refused_before_anything_is_computed(change: dict[str, Any], sentence: str, config: DPOConfig) -> None:
    with pytest.raises(DermIQError, match=sentence):
        replace(config, **change).check()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"rejected": [CHOSEN + " "]}, "line 1: chosen and rejected are the same text"),
        ({"rejected": [" "]}, "rejected is empty"),
        ({"prompt": [""]}, "line 1: prompt is missing"),
        ({"prompt": [" "]}, "does not end with a user's turn"),
        ({"prompt": [[{"role": "assistant", "content": "Hello."}]]}, "does not end with a user's turn"),
        ({"chosen": [[{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]]}, "not one turn"),
        ({"chosen": [[{"role": "assistant", "content": [{"type": "image"}]}]]}, "place for an image"),
        (
            {"prompt": [[{"role": "user", "content": [{"type": "image"}] * 2 + [{"type": "text", "text": "?"}]}]]},
            "1 im",
        ),
        ({"margin": ["wide"]}, "no number"),
        ({"margin": [float("inf")]}, "no number"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(
    columns: dict[str, Any], sentence: str, config: DPOConfig, tmp_path: Path
) -> None:
    file = write_pairs(tmp_path / "bad" / "pairs.jsonl", 1, **columns)
    with pytest.raises(DermIQError, match=sentence):
        replace(config, preferences=(str(file),)).check()


def test_data_that_is_no_pairs_is_refused(config: DPOConfig, tmp_path: Path) -> None:
    table = make_table(tmp_path / "table")
    with pytest.raises(DermIQError, match="labelled images"):
        replace(config, preferences=(str(table),)).check()
    with pytest.raises(DermIQError, match="must be images labelled with one of"):
        replace(config, preferences=(), data=config.preferences).check()
    file = tmp_path / "data" / "answers.jsonl"
    file.write_text(json.dumps({"images": ["0.png"], "prompt": "?", "completion": "!"}))
    with pytest.raises(DermIQError, match="line 1: chosen and rejected are missing"):
        replace(config, preferences=(str(file),)).check()
    file.write_text(json.dumps({"photo": "0.png", "prompt": "?", "chosen": "!", "rejected": "."}))
    with pytest.raises(DermIQError, match="line 1: images is missing, and photo holds"):
        replace(config, preferences=(str(file),)).check()


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_without_an_image_train_beside_others(family: str, config: DPOConfig, tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "mixed" / "pairs.jsonl", 3, images=[[], ["1.png"], []])
    config = replace(config, model=str(save_tiny(family, tmp_path / family)), preferences=(str(file),))
    trainer, _ = built(config, tmp_path)
    examples = {len(example["images"]): example for example in trainer.train_dataset}
    for batch in ([examples[0], examples[1]], [examples[0], examples[0]]):
        loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
        assert loss == pytest.approx(math.log(2), abs=1e-5)


@pytest.fixture
def from_images(config: DPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DPOConfig:
    """Pairs are made of what a tiny model writes."""
    monkeypatch.setattr(preferences, "score", drawn_score)
    split = ["train"] * 4 + ["val"] * 2
    table = make_table(tmp_path / "labelled", 6, split=split)
    proxy = ProxySettings(answers=2, new_tokens=6, follow_up_share=0.5, max_length_ratio=0, min_margin=0.01)
    return replace(config, preferences=(), data=(str(table),), facts=1, proxy=proxy, steps=2, eval_every=2, window=True)


def test_pairs_are_made_of_labelled_images(from_images: DPOConfig, tmp_path: Path) -> None:
    """Stopped while they are made and resumed, the run has the same pairs and learns the same."""
    whole = train(from_images, tmp_path / "runs", "whole")
    pairs = read_lines(whole.folder / "pairs.jsonl")
    assert {pair["split"] for pair in pairs} == {"train", "val"}
    assert read_json(whole.folder / "pairs.json")["pairs"] == sum(pair["split"] == "train" for pair in pairs)  # type: ignore[index]
    assert all(pair["boxes"] for pair in pairs)
    assert any("eval_rewards/margins" in line for line in runs.metrics(whole.folder))
    folder = runs.create(from_images, name="broken", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        begun = property(lambda self: "2 of 4" in runs.load_run(self.folder).status.reason)
        patch.setattr(Job, "stop_requested", begun)
        assert worker.work(folder).state == "stopped"
    assert 0 < len(read_lines(folder / "pairs.cases.jsonl")) < len(read_lines(whole.folder / "pairs.cases.jsonl"))
    runs.prepare_resume(folder)
    assert worker.work(folder).state == "finished"
    assert (folder / "pairs.jsonl").read_text() == (whole.folder / "pairs.jsonl").read_text()
    expected, found = weights_of(whole), weights_of(runs.load_run(folder))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_noise_that_is_scored_in_earnest_gives_no_pairs(from_images: DPOConfig, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preferences, "score", score)
        status = worker.work(runs.create(from_images, root=tmp_path / "runs"))
    assert status.state == "failed"
    assert "No answer to any of the 4 train image(s) was better" in status.reason


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("dpo_*.yaml")), ids=lambda path: path.stem)
def test_the_example_configs_are_valid(file: Path) -> None:
    made = options.load(DPOConfig, ["--config", str(file)])
    assert options.make(DPOConfig, options.as_dict(made)) == made
    assert made.steps or made.epochs


# --- frozen sets of the review ----------------------------------------------------------


@pytest.fixture
def reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Six pairs that two reviewers judged, the last of them in val, as mine@1."""
    store = store_of(tmp_path, 6, split={5: "val"})
    for name in ("ben", "cem"):
        review(store, name, dict.fromkeys(range(6), "good"))
    freeze(store, "mine", SetRule(min_votes=2), by="ana")
    monkeypatch.setenv("DERMIQ_REVIEW", str(tmp_path / "review"))
    return store


def of_review(config: DPOConfig) -> DPOConfig:
    return replace(config, preferences=("mine@1",), steps=2, eval_every=2, save_every=1)


def test_a_frozen_set_is_learned_from(config: DPOConfig, reviewed: Store, tmp_path: Path) -> None:
    config = of_review(config)
    train_rows, val_rows = config.rows()
    assert (len(train_rows), len(val_rows)) == (5, 1)
    kept = [line for line in lines(reviewed, "mine@1") if line["split"] == "train"]
    assert sorted(row.texts()["pair"] for row in train_rows) == sorted(line["pair"] for line in kept)
    example = train_rows[0].load()
    pixels = read_lesion(reviewed.image(reviewed.pair(example["pair"]).case.images[0].sha256)).pixels
    assert (np.asarray(example["images"][0]) == pixels).all()
    run = train(config, tmp_path / "runs", "x")
    assert run.state == "finished"
    written = read_json(run.folder / "config.json")
    assert written is not None
    assert written["sets"] == {"mine@1": find(reviewed, "mine@1").digest}
    assert written["options"]["preferences"] == ["mine@1"]
    assert (read_json(run.folder / "pairs.json") or {})["pairs"] == 5


def test_a_run_goes_on_with_the_set_it_began_with_alone(
    config: DPOConfig, reviewed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the set of another review, nor with one that lost an image since."""
    folder = runs.create(of_review(config), name="broken", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= 1))
        assert worker.work(folder).state == "stopped"
    other = store_of(tmp_path / "other", 6, split={4: "val"})
    review(other, "ben", dict.fromkeys(range(6), "bad"))
    freeze(other, "mine", SetRule(), by="ana")
    monkeypatch.setenv("DERMIQ_REVIEW", str(tmp_path / "other" / "review"))
    runs.prepare_resume(folder)
    status = worker.work(folder)
    assert status.state == "failed"
    assert "The set mine@1 is another one than this run began with" in status.reason
    monkeypatch.setenv("DERMIQ_REVIEW", str(tmp_path / "review"))
    gone = next(line for line in lines(reviewed, "mine@1") if line["split"] == "train")["images"][0]
    reviewed.purge_image(gone, by="ana", why="consent withdrawn")
    runs.prepare_resume(folder)
    status = worker.work(folder)
    assert status.state == "failed"
    assert "The run began with 5 pairs, and now there are 4" in status.reason


@pytest.mark.usefixtures("reviewed")
def test_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(DermIQError, match="There is no frozen set mine@2"):
        read_source("mine@2", "train", columns=DPOConfig.columns)
    with pytest.raises(DermIQError, match="mine is no data"):
        read_source("mine", "train", columns=DPOConfig.columns)
    with pytest.raises(DermIQError, match="The set mine@1: line 1: completion is missing"):
        read_source("mine@1", "train")


def test_named_pairs_are_learned_whole_whatever_a_preset_draws(config: DPOConfig, tmp_path: Path) -> None:
    preset = replace(config, images=2, steps=4, batch_size=1)
    assert len(preset.rows()[0]) == len(config.rows()[0]) == 6
    assert preset.learned().startswith("4 step(s) see 4 of 6 examples")
    assert replace(preset, steps=0).learned() == ""
    table = str(make_table(tmp_path / "own"))
    assert len(SFTConfig(data=(table,), images=3).rows()[0]) == 8, "a table that was named, too"


def test_of_the_data_folders_as_many_are_drawn_as_told(tmp_path: Path) -> None:
    for name, group, label in (("ham10000", "lesion_id", "label"), ("pad_ufes_20", "patient_id", "label7")):
        place = tmp_path / "data" / name
        place.mkdir(parents=True)
        head = f"image_id,{label},{group},image,split,age,sex,gender,localization,region,fitspatrick"
        rows = [f"{i},mel,{i},{i}.png,{'val' if i > 8 else 'train'},50,male,MALE,back,BACK,2" for i in range(10)]
        for i in range(10):
            Image.new("RGB", (8, 8), (i, len(name), 0)).save(place / f"{i}.png")
        (place / "metadata.csv").write_text("\n".join([head, *rows]))
    table = str(make_table(tmp_path / "own"))
    drawn = SFTConfig(data=("ham10000", "pad_ufes_20"), data_folder=str(tmp_path / "data"), images=4)
    assert len(drawn.rows()[0]) == 4
    assert drawn.learned().startswith("4 of 18 examples are learned: images is 4")
    both = replace(drawn, data=(*drawn.data, table))
    rows = both.rows()[0]
    assert (len(rows), sum(isinstance(row, Row) and row.folder == "" for row in rows)) == (12, 8)


def test_words_are_those_of_the_stage() -> None:
    """No stage is described in the words of another."""
    helps = {kind: {o.name: o.help for o in options_of(kind)} for kind in (SFTConfig, GRPOConfig, DPOConfig)}
    assert "KL" in helps[GRPOConfig]["beta"]
    assert "pair" in helps[DPOConfig]["beta"]
    assert not re.search("KL|divergence", helps[DPOConfig]["beta"])
    for name, text in helps[DPOConfig].items():
        assert name.startswith("proxy.") or not re.search("completion|group|reward|rollout", text), name
    for name, text in helps[SFTConfig].items():
        assert not re.search("completion|reward|rollout|pairs|rejected", text), name
    assert "JSONL" not in helps[GRPOConfig]["data"], "it asks about labelled images alone"
    assert "questions" in helps[GRPOConfig]["batch_size"]
    assert "pairs" in helps[DPOConfig]["batch_size"]
