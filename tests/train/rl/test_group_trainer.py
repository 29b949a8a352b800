"""The trainer against TRL's own: the same step from the same completions; and what it keeps, logs and refuses."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from dermiq.errors import ModelError
from tests.tiny import picture, tiny
from tests.train.rl.test_group_loss import TARGETS, relative_difference
from train.rl.advantages import AdvantageSettings, grpopp
from train.rl.group_trainer import EpochSampler, GroupTrainer, Sample
from train.rl.prefix import Policy, Prefix

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

QUESTIONS = ("What is this lesion?", "Is it benign?", "What is it, and why? Say what you see.", "Urgent?")
G, LONGEST = 4, 7


def correctness(completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
    """Whether the text has an even number of characters: random, and the same for both trainers."""
    return [float(len(text[0]["content"]) % 2) for text in completions]


def form(completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
    return [len(text[0]["content"]) / 20 for text in completions]


def data(rows: int = 4, images: Sequence[int] = (1,)) -> Dataset:
    """Questions about as many images as `images` says, in turn."""
    counts = [images[i % len(images)] for i in range(rows)]
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}] for i in range(rows)],
            "images": [[Image.fromarray(picture(10 * n + i)) for n in range(counts[i])] for i in range(rows)],
            "diagnosis": [("mel", "nv")[i % 2] for i in range(rows)],
        }
    )


def settings(folder: Path, **changes: Any) -> GRPOConfig:
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2 * G,
        "num_generations": G,
        "max_completion_length": LONGEST,
        "max_steps": 1,
        "learning_rate": 0.5,
        "lr_scheduler_type": "constant",
        "optim": "sgd",  # Adam's first step is the gradient's sign, which rounding may turn
        "max_grad_norm": 0.0,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "reward_weights": [1.0, 0.3],
        "disable_tqdm": True,
        "seed": 3,
    }
    return GRPOConfig(**(values | changes))


def lora(rank: int = 4, **changes: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False, **changes)


class Forced:
    """Gives completions of different lengths that depend on the prompt and the row alone."""

    eos_token_ids: list[int]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *args: object, **options: object
    ) -> tuple[list[list[int]], None]:
        (end,) = self.eos_token_ids
        seen: dict[tuple[int, ...], int] = {}
        rows: list[list[int]] = []
        for ids in prompt_ids:
            number = seen[tuple(ids)] = seen.get(tuple(ids), -1) + 1
            generator = torch.Generator().manual_seed(1000 * sum(ids) + number)
            length = int(torch.randint(2, LONGEST + 1, (1,), generator=generator))
            row = torch.randint(40, 300, (length,), generator=generator).tolist()
            rows.append(row if length == LONGEST else [*row, end])
        return rows, None


class Plain(Forced, GRPOTrainer):
    pass


class Shared(Forced, GroupTrainer):
    pass


def trainer(
    kind: type, folder: Path, *, family: str = "llava", rows: int = 4, images: Sequence[int] = (1,), **changes: Any
) -> Any:
    model, processor = tiny(family)
    options = {} if kind is Plain else {"estimator": AdvantageSettings("grpo")}
    options |= {
        name: changes.pop(name) for name in ("estimator", "watch", "rehearse", "peft_config") if name in changes
    }
    return kind(
        model,
        [correctness, form],
        settings(folder, **changes),
        train_dataset=data(rows, images),
        processing_class=processor,
        **{"peft_config": lora(), **options},
    )


def weights(trained: Any) -> list[Tensor]:
    return [p.detach().clone() for p in trained.model.parameters() if p.requires_grad]


def change(trained: Any) -> list[Tensor]:
    before = weights(trained)
    trained.train()
    return [after - first for after, first in zip(weights(trained), before, strict=True)]


VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "group"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "bnpo": {"loss_type": "bnpo"},
    "kl": {"loss_type": "grpo", "beta": 0.3},
    "kl_dapo": {"loss_type": "dapo", "beta": 0.3, "mask_truncated_completions": True},
    "accumulated": {"loss_type": "dapo", "gradient_accumulation_steps": 2, "per_device_train_batch_size": G},
    "accumulated_kl": {"gradient_accumulation_steps": 2, "loss_type": "grpo", "beta": 0.2, "rows": 8},
    "split_group": {"gradient_accumulation_steps": 4, "per_device_train_batch_size": G // 2},
    "iterations": {
        "num_iterations": 2,
        "max_steps": 2,
        "loss_type": "dapo",
        "epsilon": 0.05,
        "learning_rate": 0.05,
    },
    "iterations_kl": {
        "num_iterations": 2,
        "max_steps": 2,
        "learning_rate": 0.01,
        "loss_type": "grpo",
        "beta": 0.05,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": G,
    },
    "entropy": {"loss_type": "dapo", "entropy_coef": 0.1, "temperature": 0.7},
    "checkpointing": {"gradient_checkpointing": True, "loss_type": "dapo"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_equals_trls(variant: str, tmp_path: Path) -> None:
    changes = VARIANTS[variant]
    expected = trainer(Plain, tmp_path / "plain", **changes)
    actual = trainer(Shared, tmp_path / "shared", **changes)
    assert actual.unshared is None
    wanted, got = change(expected), change(actual)
    assert relative_difference(got, wanted) <= 1e-5
    theirs, ours = expected.state.log_history[0], actual.state.log_history[0]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3, abs=1e-5)
    for name in ("reward", "grad_norm", "completions/mean_length", "completions/clipped_ratio"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name
    if "beta" in changes and "gradient_accumulation_steps" not in changes:  # TRL's are means of shuffled parts' means
        for name in ("kl", "entropy"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("images", [(2,), (1, 2)], ids=["two", "one_or_two"])
@pytest.mark.parametrize("family", ["llava", "nano", "smolvlm", "qwen2_5_vl"])
def test_questions_about_several_images_are_exact(family: str, images: Sequence[int], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"family": family, "images": images, "loss_type": "dapo"}
    expected = trainer(Plain, tmp_path / "plain", **changes)
    actual = trainer(Shared, tmp_path / "shared", rehearse=False, **changes)
    wanted, got = change(expected), change(actual)
    assert actual.unshared is None
    assert any(moved.any() for moved in wanted)
    assert relative_difference(got, wanted) <= 1e-5


def keep_written(run: Any) -> list[list[int]]:
    """What it samples from now on."""
    written: list[list[int]] = []
    sample = run._generate_single_turn

    def keep(*args: Any, **options: Any) -> Any:
        rows, scores = sample(*args, **options)
        written.extend(rows)
        return rows, scores

    run._generate_single_turn = keep
    return written


@pytest.mark.parametrize("pieces", [1, 2], ids=["whole", "split"])
def test_a_prompt_is_read_once_for_rollout_and_loss(
    pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"per_device_train_batch_size": G // pieces, "gradient_accumulation_steps": pieces}
    changes |= {"max_steps": 2, "learning_rate": 0.05}
    actual = trainer(GroupTrainer, tmp_path / "shared", rehearse=False, **changes)
    written = keep_written(actual)
    reads: list[int] = []
    read = Policy.read

    def counted(policy: Policy, inputs: Mapping[str, Tensor]) -> Prefix:
        reads.append(actual.state.global_step)
        return read(policy, inputs)

    monkeypatch.setattr(Policy, "read", counted)
    got = change(actual)
    assert any(moved.any() for moved in got)
    assert len(written) == 2 * G
    assert reads == [0] * pieces + [1] * pieces, "the first part of a split group learns behind the rollout's prompt"
    expected = trainer(Plain, tmp_path / "plain", **changes)
    turns = iter([written[:G], written[G:]])
    expected._generate_single_turn = lambda *args, **options: (next(turns), None)
    assert relative_difference(got, change(expected)) <= 1e-5


def test_its_own_rollout_serves_as_the_old_policy(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"num_iterations": 2, "max_steps": 2, "beta": 0.2, "learning_rate": 0.05}
    actual = trainer(GroupTrainer, tmp_path / "shared", **changes)
    written = keep_written(actual)
    got = change(actual)
    assert "kl" in actual.state.log_history[0]
    assert len(written) == 2 * G
    expected = trainer(Plain, tmp_path / "plain", **changes)
    expected._generate_single_turn = lambda *args, **options: (written, None)
    assert relative_difference(got, change(expected)) <= 2e-5  # two steps apart, in single precision


def test_rewards_become_advantages_and_samples(tmp_path: Path) -> None:
    seen: list[Sample] = []
    estimator = AdvantageSettings("grpopp", one_sided=0.0, bonus=0.0)
    run = trainer(Shared, tmp_path, estimator=estimator, watch=seen.extend, max_steps=2, rows=8)
    run.train()
    assert len(seen) == 2 * 2 * G
    for start in range(0, len(seen), G):
        group = seen[start : start + G]
        assert len({sample.prompt for sample in group}) == 1
        right = torch.tensor([[sample.rewards["correctness"] for sample in group]])
        assert [sample.advantage for sample in group] == grpopp(right, one_sided=0.0)[0].tolist()
    for sample in seen:
        correct, formed = len(sample.completion) % 2, len(sample.completion) / 20
        assert sample.rewards["correctness"] == correct
        assert sample.rewards["form"] == pytest.approx(formed)
        assert sample.reward == pytest.approx(correct + 0.3 * formed)
    assert {sample.diagnosis for sample in seen} == {"mel", "nv"}
    assert {sample.truncated for sample in seen} == {True, False}
    log = run.state.log_history[0]
    first = [sample for sample in seen if sample.step == 1]
    silent = [all(s.advantage == 0 for s in first[i : i + G]) for i in range(0, len(first), G)]
    assert log["advantages/collapse_rate"] == sum(silent) / len(silent)
    for diagnosis in ("mel", "nv"):
        own = [sample.reward or 0.0 for sample in first if sample.diagnosis == diagnosis]
        if own:
            assert log[f"class/{diagnosis}/reward"] == pytest.approx(sum(own) / len(own))


def test_groups_that_teach_nothing_are_counted_and_move_nothing(tmp_path: Path) -> None:
    run = trainer(Shared, tmp_path)
    run.reward_funcs = [lambda completions, **_: [1.0] * len(completions)] * 2
    assert all(not moved.any() for moved in change(run))
    assert run.state.log_history[0]["advantages/collapse_rate"] == 1.0
    run = trainer(Shared, tmp_path, estimator=AdvantageSettings("grpopp"))
    run.reward_funcs = [lambda completions, **_: [1.0] * len(completions)] * 2
    assert any(moved.any() for moved in change(run))
    assert run.state.log_history[0]["advantages/collapse_rate"] == 0.0


def test_what_is_cut_off_and_masked_has_no_advantage_and_counts_as_teaching_nothing(tmp_path: Path) -> None:
    seen: list[Sample] = []
    run = trainer(Shared, tmp_path, watch=seen.extend, mask_truncated_completions=True)
    run.train()
    assert {sample.truncated for sample in seen} == {True, False}
    assert all((sample.advantage is None) == sample.truncated for sample in seen)
    nothing = [not any(s.advantage for s in seen[i : i + G]) for i in range(0, len(seen), G)]
    assert run.state.log_history[0]["advantages/collapse_rate"] == sum(nothing) / len(nothing)
    cut = trainer(Shared, tmp_path / "cut", watch=seen.extend, mask_truncated_completions=True)
    cut._generate_single_turn = lambda ids, *_, **__: ([[50 + i] * LONGEST for i in range(len(ids))], None)
    assert all(not moved.any() for moved in change(cut))
    log = cut.state.log_history[0]
    assert (log["advantages/collapse_rate"], log["completions/clipped_ratio"]) == (1.0, 1.0)


@pytest.mark.parametrize("family", ["nano", "smolvlm", "qwen2_5_vl"])
def test_whole_runs_of_other_families(family: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"max_steps": 2, "gradient_accumulation_steps": 2, "num_iterations": 2, "beta": 0.1}
    run = trainer(GroupTrainer, tmp_path, family=family, learning_rate=0.01, **changes)
    still = {n: v.clone() for n, v in run.model.state_dict().items() if "vision" in n or "visual" in n}
    assert any(moved.any() for moved in change(run))
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in still.items())
    assert all(entry["kl"] >= 0 for entry in run.state.log_history[:2])


def test_the_largest_sample_is_rehearsed_and_thrown_away(tmp_path: Path) -> None:
    quiet, rehearsed = (trainer(Shared, tmp_path, rehearse=value) for value in (False, True))
    group = rehearsed.largest_group()
    text = rehearsed.processing_class.decode(group.inputs["input_ids"][0])
    assert max(QUESTIONS, key=len) in text
    assert group.mask.shape == (G, LONGEST)
    assert group.mask.all()
    for one, other in zip(change(quiet), change(rehearsed), strict=True):
        assert torch.equal(one, other)


def test_too_little_memory_shows_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(Shared, tmp_path)

    def fail(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("train.rl.group_loss._chunk_gradients", fail)
    with pytest.raises(ModelError, match="does not fit"):
        run.train()
    assert run._step == 0


def test_stop_and_resume_is_bit_identical(tmp_path: Path) -> None:
    def make(name: str) -> Any:
        return trainer(
            GroupTrainer,
            tmp_path / name,
            rows=8,
            max_steps=4,
            save_strategy="steps",
            save_steps=2,
            optim="adamw_torch",
            learning_rate=1e-2,
            gradient_accumulation_steps=2,
            per_device_train_batch_size=G,
        )

    unbroken = make("run")
    unbroken.train()
    resumed = make("run")
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    for one, other in zip(weights(unbroken), weights(resumed), strict=True):
        assert torch.equal(one, other)
    names = ("loss", "reward", "grad_norm", "completions/mean_length")
    for step in (3, 4):
        one, other = (
            next(e for e in run.state.log_history if e["step"] == step and "loss" in e) for run in (unbroken, resumed)
        )
        assert [one[name] for name in names] == [other[name] for name in names]


def test_evaluation_scores_without_learning(tmp_path: Path) -> None:
    run = trainer(GroupTrainer, tmp_path, per_device_eval_batch_size=G, num_generations_eval=G)
    before = weights(run)
    result = run.evaluate(data(2))
    assert 0 <= result["eval_reward"] <= 2
    assert all(torch.equal(one, other) for one, other in zip(before, weights(run), strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss_type": "cispo"}, "cispo"),
        ({"importance_sampling_level": "sequence", "loss_type": "grpo"}, "sequences"),
        ({"top_entropy_quantile": 0.5}, "entropy"),
    ],
)
def test_what_the_prefix_cannot_share_is_trls(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    actual = trainer(Shared, tmp_path / "shared", **changes)
    assert words in actual.unshared
    wanted = change(trainer(Plain, tmp_path / "plain", **changes))
    assert relative_difference(change(actual), wanted) <= 1e-5


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    model, processor = tiny("llava")
    with pytest.raises(ModelError, match="correctness"):
        GroupTrainer(
            model, [form], settings(tmp_path, reward_weights=None), train_dataset=data(), processing_class=processor
        )
    from peft import get_peft_model

    loose = get_peft_model(copy.deepcopy(model), lora())
    loose.get_submodule("base_model.model.model.multi_modal_projector").requires_grad_(True)
    with pytest.raises(ModelError, match="outside the adapter"):
        GroupTrainer(
            loose, [correctness, form], settings(tmp_path, beta=0.1), train_dataset=data(), processing_class=processor
        )
    dropping = trainer(Shared, tmp_path, peft_config=lora(lora_dropout=0.1))
    with pytest.raises(ModelError, match="Dropout"):
        dropping.train()


def test_a_projector_that_is_saved_with_the_adapter_has_a_reference(tmp_path: Path) -> None:
    run = trainer(
        GroupTrainer, tmp_path, peft_config=lora(modules_to_save=["multi_modal_projector"]), beta=0.1, max_steps=2
    )
    moved = dict(zip([n for n, p in run.model.named_parameters() if p.requires_grad], change(run), strict=True))
    assert any(value.any() for name, value in moved.items() if "projector" in name)
    first, second = run.state.log_history[:2]
    assert second["kl"] > first["kl"]


def test_the_order_of_an_epoch_depends_on_its_number_alone() -> None:
    """So that a resumed run goes on with the order that it would have had."""
    whole, resumed = (EpochSampler(range(9), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5) for _ in "ab")
    first = list(whole)
    whole.set_epoch(1)
    resumed.set_epoch(1)
    second = list(whole)
    assert second == list(resumed)
    assert second != first
    assert sorted(second) == sorted(first)
    assert first == list(RepeatSampler(range(9), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5))
