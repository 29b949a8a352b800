"""The SFT stage on tiny real models: answers alone are learned, a resumed run equals an unbroken one, refusals."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dermiq.errors import DataError, InputError, ModelError
from dermiq.types import CLASS_NAMES
from dermiq.vlm.load import load_vlm
from tests.tiny import picture, save_tiny, tiny
from tests.train.stage_runs import CONFIGS, make_table, tiny_options, train, weights_of
from train import options, sft
from train.cases.sources import Measured, Row, choose, read_source, refuse_leakage, split_by_group
from train.model import load_model, make_trainable
from train.runs import registry as runs
from train.runs import worker
from train.runs.job import Job
from train.runs.run_folder import MANIFEST, checkpoints, is_complete, read_json
from train.sft import SFTConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    return SFTConfig(**tiny_options(tmp_path), steps=4, lora_dropout=0.1, reasoning_share=0.0)


def final_step(run: runs.Run) -> int:
    return int((read_json(run.folder / "final" / MANIFEST) or {})["step"])


def test_a_run_trains_lora_alone_and_its_result_loads(config: SFTConfig, tmp_path: Path) -> None:
    before = load_file(Path(config.model) / "model.safetensors")
    run = train(config, tmp_path / "runs", "x")
    assert run.state == "finished"
    after = weights_of(run)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    wanted = {name for name in before if "language_model" in name and name.split(".")[-2].endswith("_proj")}
    assert moved == wanted
    lines = runs.metrics(run.folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert all(line["peak_memory_gb"] > 0 and line["tokens_per_second"] > 0 for line in lines)
    assert load_vlm(str(run.folder)).session([picture()]).generate([{"role": "user", "content": "?"}], max_new_tokens=2)
    known = json.loads((run.folder / "environment.json").read_text())
    assert known["packages"]["trl"]
    assert str(tmp_path) not in json.dumps(known)
    assert not list(run.folder.rglob("*.png"))  # images are never copied


def test_stop_and_resume_equal_the_unbroken_run(config: SFTConfig, tmp_path: Path) -> None:
    """Bit for bit, with dropout, a schedule and several epochs; the step of the stop is another in every run."""
    config = replace(config, steps=7, schedule="linear", warmup_steps=2, accumulation=2, batch_size=1)
    whole = train(config, tmp_path / "runs", "whole")
    stop_at = random.randint(1, 6)
    folder = runs.create(config, name="broken", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= stop_at))
        assert worker.work(folder).state == "stopped"
    assert runs.load_run(folder).status.step == stop_at
    runs.prepare_resume(folder)
    assert worker.work(folder).state == "finished"
    expected, found = weights_of(whole), weights_of(runs.load_run(folder))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    same = [
        [(line["step"], line["loss"], line["learning_rate"]) for line in runs.metrics(f)]
        for f in (whole.folder, folder)
    ]
    assert same[0] == same[1], f"stopped after step {stop_at}"
    assert len(same[0]) == 7


@pytest.mark.parametrize(
    ("family", "follow_up"), [("llava", 0.0), ("idefics3", 0.0), ("qwen2_5_vl", 0.0), ("llava", 1.0)]
)
def test_answers_alone_are_learned(family: str, follow_up: float, config: SFTConfig, tmp_path: Path) -> None:
    """The learned tokens are the answer and its end, of every kind of chat; every image placeholder is there."""
    config = replace(
        config,
        model=str(save_tiny(family, tmp_path / family)),
        reasoning_share=0.5,
        follow_up_share=follow_up,
        window=True,
        seed=5,
    )
    vlm = load_model(config, "cpu")
    vlm.model = make_trainable(vlm.model, config)
    trainer: Any = sft.build(config, vlm, Job(tmp_path))
    tokenizer = vlm.processor.tokenizer
    kinds = set()
    for example in trainer.train_dataset:
        batch = trainer.data_collator([example])
        ids, labels = batch["input_ids"][0], batch["labels"][0]
        learned = tokenizer.decode(ids[labels != -100])
        answer = example["completion"][0]["content"][0]["text"]
        assert learned == answer + "<|im_end|>"  # without the line break that the template writes behind it
        unlearned = tokenizer.decode(ids[labels == -100])
        assert answer not in unlearned
        assert vlm.encoder.image_token_id in ids[labels == -100]
        kinds.add(answer[:7])
        with torch.no_grad():
            vlm.model(**{key: value for key, value in batch.items() if key != "labels"})  # placeholders fit the image
    assert "<answer" in kinds
    assert ("<think>" in kinds) is not bool(follow_up)  # a follow-up is learned alone, behind what came before it
    assert len(kinds) > 1


def test_a_row_always_gives_the_same_example(config: SFTConfig, tmp_path: Path) -> None:
    vlm = load_model(config, "cpu")
    config = replace(config, reasoning_share=0.7, window=True)
    row = config.rows()[0][0]
    first = sft.Writer(config, vlm, Measured(tmp_path / "a"))
    first(row, 0)
    again = sft.Writer(config, vlm, Measured(tmp_path / "a"))  # from what is kept
    for number in range(4):
        one, two = first(row, number), again(row, number)
        assert (one["prompt"], one["completion"]) == (two["prompt"], two["completion"])
        assert one["images"][0].tobytes() == two["images"][0].tobytes()
    assert len({json.dumps(first(row, number)["prompt"]) for number in range(6)}) > 1
    lines = (tmp_path / "a" / "measured-0.jsonl").read_text().splitlines()
    assert len(lines) == 1  # measured once
    (tmp_path / "a" / "measured-0.jsonl").write_text(lines[0][:50])  # torn by a power loss
    assert Measured(tmp_path / "a").of(row.image) == first.measured.of(row.image)


def test_free_text_labels_are_answers(config: SFTConfig, tmp_path: Path) -> None:
    table = make_table(tmp_path / "free", 2, label=["a <image> wart", "melanoma"], question=["What is it?", ""])
    rows = read_source(str(table), "train", labels="text")
    vlm = load_model(config, "cpu")
    made = [sft.Writer(config, vlm, Measured(tmp_path / "c"))(row, 0) for row in rows]
    assert made[0]["completion"][0]["content"][0]["text"] == "a < image> wart"  # cannot pose as an image
    assert made[0]["prompt"][0]["content"][1]["text"] == "What is it?"
    assert made[1]["prompt"][0]["content"][1]["text"] == sft.QUESTION


def test_what_was_left_out_is_in_the_log_and_the_estimate(
    config: SFTConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dermiq.ui.training.forecast import forecast

    columns = {"label": ["MEL", "Naevus", "SCC", "nv"], "split": ["Train", "train", "training", "test"]}
    config = replace(config, data=(str(make_table(tmp_path / "mine", 4, **columns)),), steps=1, labels="known")
    notes = (
        "table.csv: 1 row(s) of the split test are not used.",
        "table.csv: 1 row(s) are left out, their labels fit none of the seven classes: SCC (1).",
        "table.csv: labels are read as classes: Naevus as nv (1).",
    )
    assert config.notes() == notes
    assert forecast(config, tmp_path / "runs").notes == notes
    capsys.readouterr()
    assert train(config, tmp_path / "runs", "x").state == "finished"
    told = capsys.readouterr().out
    assert [told.count(note) for note in notes] == [1, 1, 1]


def test_written_examples_train(config: SFTConfig, tmp_path: Path) -> None:
    data = tmp_path / "data"
    turns = [{"role": "user", "content": "What?"}]
    examples = [
        {"images": ["0.png"], "prompt": "What is this?", "completion": "A mole."},
        {"image": "1.png", "prompt": turns, "completion": [{"role": "assistant", "content": "A wart."}]},
        {"images": ["2.png"], "prompt": "And this?", "completion": "A cyst.", "split": "val"},
    ]
    file = data / "written.jsonl"
    file.write_text("\n".join(json.dumps(example) for example in examples))
    run = train(replace(config, data=(str(file),), steps=2, eval_every=1, window=False), tmp_path / "runs", "x")
    assert [line["step"] for line in runs.metrics(run.folder) if "eval_loss" in line] == [1, 2]


def test_a_saved_data_set_is_read(config: SFTConfig, tmp_path: Path) -> None:
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageFeature

    features = Features(
        {
            "images": List(ImageFeature()),
            "prompt": Value("string"),
            "completion": Value("string"),
            "patient_id": Value("string"),
        }
    )
    values = {"images": [[Image.fromarray(picture(i))] for i in range(3)], "prompt": ["?"] * 3, "completion": ["x"] * 3}
    Dataset.from_dict({**values, "patient_id": ["a", "b", "b"]}, features=features).save_to_disk(tmp_path / "saved")
    rows = read_source(str(tmp_path / "saved"), "train")
    assert [row.group.partition(" (of ")[0] for row in rows] == ["a", "b", "b"]
    assert rows[0].load()["images"][0].size == (80, 60)


def test_the_whole_language_model_without_its_tower(config: SFTConfig, tmp_path: Path) -> None:
    config = replace(config, model=str(save_tiny("nano", tmp_path / "nano")), lora_rank=0, steps=2)
    before = load_file(Path(config.model) / "model.safetensors")
    after = weights_of(train(config, tmp_path / "runs", "x"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "vision_tower" in name]  # nor do batch norm's statistics drift
    assert any("language_model" in name for name in moved)
    assert any("multi_modal_projector" in name for name in moved)


def test_an_adapter_with_its_projector_loads(config: SFTConfig, tmp_path: Path) -> None:
    config = replace(config, export="adapter", train_projector=True, steps=2)
    run = train(config, tmp_path / "runs", "x")
    assert not (run.folder / "final" / "model.safetensors").exists()
    assert (
        json.loads((run.folder / "final" / "adapter_config.json").read_text())["base_model_name_or_path"]
        == config.model
    )
    merged = weights_of(train(replace(config, export="merged"), tmp_path / "runs", "y"))
    loaded = load_vlm(str(run.folder)).model.state_dict()
    for name, value in merged.items():
        if name in loaded:
            torch.testing.assert_close(loaded[name], value)
    with pytest.raises(InputError, match="itself an adapter"):
        replace(config, model=str(run.folder)).check()
    assert train(replace(config, model=str(run.folder), export="merged"), tmp_path / "runs", "z").state == "finished"


def test_training_ends_when_val_no_longer_improves(config: SFTConfig, tmp_path: Path) -> None:
    config = replace(config, steps=300, eval_every=1, patience=2, val_share=0.3, learning_rate=0.5)
    run = train(config, tmp_path / "runs", "x")
    losses = [line["eval_loss"] for line in runs.metrics(run.folder) if "eval_loss" in line]
    assert len(losses) < 300
    assert min(losses) == losses[-3]
    best = losses.index(min(losses)) + 1
    assert set(checkpoints(run.folder)) >= {best, len(losses)}
    assert final_step(run) == best


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_the_best_checkpoint_is_kept_and_exported(lora_rank: int, config: SFTConfig, tmp_path: Path) -> None:
    """With a learning rate that soon does harm, what is exported is not the last step; unless that is asked for."""
    config = replace(config, steps=4, eval_every=1, val_share=0.3, keep_checkpoints=1, lora_rank=lora_rank)
    config = replace(config, lora_dropout=0.0, learning_rate=0.5, schedule="constant_with_warmup", warmup_steps=2)
    run = train(config, tmp_path / "runs", "x")
    losses = {line["step"]: line["eval_loss"] for line in runs.metrics(run.folder) if "eval_loss" in line}
    best = min(losses, key=losses.__getitem__)
    assert best < 4, losses
    assert list(checkpoints(run.folder)) == [best, 4]
    short = train(replace(config, export_best=False), tmp_path / "runs", "last")
    assert (final_step(run), final_step(short)) == (best, 4)
    assert any(not torch.equal(value, weights_of(short)[name]) for name, value in weights_of(run).items())
    stopped = runs.create(config, name="stopped", root=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "stop_requested", property(lambda self: self.step >= best))
        assert worker.work(stopped).state == "stopped"
    shutil.rmtree(stopped / "cache")
    shutil.copytree(stopped / f"checkpoint-{best}", tmp_path / "best")
    runs.prepare_resume(stopped)
    assert worker.work(stopped).state == "finished"
    found = weights_of(runs.load_run(stopped))
    assert all(torch.equal(value, found[name]) for name, value in weights_of(run).items())
    if lora_rank == 0:  # the result is the checkpoint's weights themselves
        saved = load_file(tmp_path / "best" / "model.safetensors")
        assert all(torch.equal(value, found[name]) for name, value in saved.items())


def test_a_loss_that_is_no_number_ends_the_run(
    config: SFTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    monkeypatch.setattr(SFTTrainer, "training_step", lambda *a, **k: torch.tensor(float("nan")))
    status = worker.work(runs.create(config, root=tmp_path / "runs"))
    assert (status.state, status.reason[:40]) == ("failed", "The loss is no longer a number at step 1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "nothing"}, "There is no model 'nothing'"),
        ({"data": ("missing.csv",)}, "missing.csv does not exist"),
        ({"data": ("what",)}, "what is no data"),
        ({"data": ()}, "data is empty"),
        ({"data_folder": "nowhere", "data": ("ham10000",)}, "No data at nowhere"),
        ({"load_in_4bit": True, "lora_rank": 0}, "Nothing would be trained"),
        ({"lora_rank": 0, "export": "adapter"}, "without LoRA"),
        ({"eval_every": 5}, "there is no val"),
        ({"patience": 5}, "set eval_every"),
        ({"push_to_hub": True}, "needs hub_id"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_what_is_refused_before_anything_is_computed(change: dict[str, Any], sentence: str, config: SFTConfig) -> None:
    with pytest.raises((InputError, DataError), match=sentence):
        replace(config, **change).check()


def test_a_model_of_which_nothing_would_be_trained(config: SFTConfig) -> None:
    model, _ = tiny("llava")
    with pytest.raises(ModelError, match=r"Nothing of .* would be trained"):
        make_trainable(model, replace(config, lora_targets="no_such_layer"))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"split": ["train"] * 4 + ["val"] * 4, "lesion_id": list("abcdaefg")}, "share 1 patient"),
        ({"split": ["train"] * 4 + ["val"] * 4}, None),
        ({"label": ["", *"abcdefg"]}, "no image or no label in row 2"),
        ({"label": ["SCC", *["MEL"] * 7]}, "unknown labels.*“SCC” \\(1 row\\(s\\), line 2\\)"),
    ],
)
def test_leakage_and_gaps_are_refused(
    columns: dict[str, Any], sentence: str | None, config: SFTConfig, tmp_path: Path
) -> None:
    config = replace(config, data=(str(make_table(tmp_path / "table", **columns)),))
    if sentence is None:
        config.check()
        return
    with pytest.raises(DataError, match=sentence):
        config.check()


def test_the_same_image_under_another_name_is_leakage(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(1)).save(tmp_path / name)
    rows = [Row(str(tmp_path / name), "mel", group=name) for name in ("a.png", "b.png")]
    with pytest.raises(DataError, match="share 1 image"):
        refuse_leakage(rows[:1], rows[1:])


def test_groups_are_held_out_whole() -> None:
    rows = [Row(str(i), "mel" if i % 5 else "df", group=str(i // 3)) for i in range(60)]
    train_rows, held = split_by_group(rows, 0.2, seed=1)
    assert 12 <= len(held) <= 14
    assert not {row.group for row in train_rows} & {row.group for row in held}
    assert split_by_group(rows, 0.0, seed=1)[1] == []
    assert sorted(row.label for row in choose(rows, 10, seed=1)) == ["df"] * 5 + ["mel"] * 5


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("sft_*.yaml")), ids=lambda path: path.stem)
def test_the_example_configs_are_valid(file: Path) -> None:
    made = options.load(SFTConfig, ["--config", str(file)])
    assert made.steps or made.epochs
    assert options.make(SFTConfig, options.as_dict(made)) == made


def test_real_folders_are_read_by_their_own_splits(real_data: Path) -> None:
    rows, val = SFTConfig(data_folder=str(real_data), images=60).rows()
    assert len(rows) == 60
    assert {row.label for row in rows} == set(CLASS_NAMES)
    assert 0 < len(val) <= 200


def test_half_written_results_do_not_count(config: SFTConfig, tmp_path: Path) -> None:
    """A process that died while it wrote final/ writes it anew, without training a step twice."""
    run = train(replace(config, steps=2), tmp_path / "runs", "x")
    expected = weights_of(run)
    (run.folder / "final" / "manifest.json").unlink()
    assert runs.load_run(run.folder).state == "interrupted"
    runs.prepare_resume(run.folder)
    assert worker.work(run.folder).state == "finished"
    assert is_complete(run.folder / "final", hashes=True)
    found = weights_of(run)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert len(runs.metrics(run.folder)) == 2
