"""TRL's `GRPOTrainer` with the shared prefix: a prompt and its images are read once a group, in rollout and in loss.

    trainer = GroupTrainer(model, functions, args, estimator=AdvantageSettings("grpopp"), train_dataset=..., ...)
    trainer.train()

Everything that TRL's trainer takes stays: its arguments, data columns, logging, checkpoints, PEFT, accelerate. Four of
its steps are overridden: sampling (`train.rl.rollout`), advantages (`train.rl.advantages`), log-probabilities of old
policy and reference, and the training step (`train.rl.group_loss`). The step computes TRL's loss exactly; what the
shared prefix cannot compute is left to TRL's own path, and the reason is logged. Completions are processed in chunks
that fit into the memory, so one micro-batch may hold whole groups: `per_device_train_batch_size` a multiple of
`num_generations`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional as F
from trl import GRPOConfig, GRPOTrainer
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.utils import RepeatSampler, split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from dermiq.errors import ModelError
from dermiq.memory import map_large_blocks, trim
from dermiq.types import Fields, Json
from dermiq.vlm.drafts import SamplingSettings
from dermiq.vlm.hub import Model
from train.rl.advantages import AdvantageSettings, collapse_rate, combine, estimate
from train.rl.group_loss import GroupLoss, accumulate_gradients, log_probabilities, read_prompt
from train.rl.memory import release
from train.rl.policy_loss import LossSettings, Normaliser, Targets, token_weights
from train.rl.prefix import Group, Prefix, reference, split_batch
from train.rl.rollout import Sampler
from train.scoring.rewards import completion_text, read_findings

log = logging.getLogger(__name__)

Row = Json  # of a data set
Turns = list[Json]  # messages, as the model's template takes them
Images = list[list[object] | None]  # of each prompt

NORMALISERS: Mapping[str, Normaliser] = {"grpo": "sequence", "bnpo": "tokens", "dapo": "tokens", "dr_grpo": "constant"}
"""TRL's `loss_type`s that the shared prefix computes, and how each weighs its tokens."""

LAZY_ROWS = 8  # asked for to find the largest; each has to be written, and its image measured
TOWERS = ("vision_tower", "vision_model", "visual")
_NO_INPUTS = ("batch_size", "compute_entropy", "compute_aux_loss")


MEASURED = ("code", "name", "value", "unit", "text", "definition")  # of a finding, in a sample


@dataclass(frozen=True)
class Sample:
    """One completion and what it earned: a line of `samples.jsonl`."""

    step: int  # the first that learns from it, counted as in metrics.jsonl; of validation, the last before it
    prompt: str  # the last message's text
    completion: str
    diagnosis: str | None
    rewards: Mapping[str, float | None]  # by part, unweighted; None could not be judged
    reward: float | None  # their weighted sum
    advantage: float | None  # None: nothing is learned from it, since it was cut off
    truncated: bool
    image: str = ""  # the file that was asked about, where the question says which
    findings: Sequence[Fields] = ()  # what was measured of it: evidence for what the completion says
    validation: bool = False  # nothing was learned from it; the same questions are asked at every evaluation


@dataclass(frozen=True)
class _Case:
    """What a completion was about."""

    diagnosis: str | None
    truncated: bool
    image: str
    findings: tuple[Fields, ...]

    @classmethod
    def of(cls, row: Fields, truncated: bool) -> _Case:
        found = tuple({name: getattr(f, name) for name in MEASURED} for f in read_findings(row.get("findings")))
        return cls(row.get("diagnosis"), truncated, str(row.get("file") or ""), found)


class GroupTrainer(GRPOTrainer):
    args: GRPOConfig
    model: Model
    optimizer: Any
    train_dataset: Any
    num_generations: int
    num_generations_eval: int
    max_completion_length: int
    mask_truncated_completions: bool
    _logs: Json
    _buffered_inputs: Any

    def __init__(
        self,
        model: Model,
        reward_funcs: Any,
        args: GRPOConfig,
        *,
        estimator: AdvantageSettings | None = None,
        watch: Callable[[Sequence[Sample]], None] | None = None,
        rehearse: bool = True,
        **options: Any,
    ) -> None:
        """`watch` gets each batch of samples on the main process.

        With `rehearse` the largest prompt of the data with completions of full length is computed before the first
        step and thrown away, so that too little memory shows at once. ModelError for what cannot be trained.
        """
        map_large_blocks()
        super().__init__(model, reward_funcs, args, **options)
        self.estimator = estimator or AdvantageSettings()
        self.watch = watch
        if "correctness" not in self.reward_func_names:
            raise ModelError("One of the reward functions must be called 'correctness': the advantages ask for it.")
        self.unshared = unshared_reason(self)
        if self.unshared:
            log.warning("TRL's own path is used, which is slower and takes more memory: %s.", self.unshared)
        bare = self.accelerator.unwrap_model(self.model)
        if self.beta and hasattr(bare, "peft_config"):
            with reference(bare):  # refuses a model of which something trains outside the adapter
                pass
        self._rehearsed = not rehearse or bool(self.unshared)
        self._followed = -1  # the step of the last evaluation that was begun
        self._sampler: Sampler | None = None
        self._prefix: Prefix | None = None  # the prompt of the last rollout, until the loss that follows
        self._sampled: Tensor | None = None  # log-probabilities of the last rollout, where they serve as the old policy
        self._scored: Tensor | None = None  # (all processes' completions, parts)
        self._cases: list[_Case] = []  # diagnosis, truncated: of all processes' completions

    # --- the order of the questions ------------------------------------------------------------

    def _get_train_sampler(self, dataset: object = None) -> Any:
        theirs: Any = super()._get_train_sampler(dataset)
        names = ("data_source", "mini_repeat_count", "batch_size", "repeat_count", "shuffle", "seed")
        return EpochSampler(**{name: getattr(theirs, name) for name in names})

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        """TRL's order is another in every evaluation, and the first one again after a resume."""
        return RepeatSampler(eval_dataset, mini_repeat_count=self.num_generations_eval, shuffle=False)

    # --- sampling ------------------------------------------------------------------------------

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Images | None,
        multimodal_fields: dict[str, object],
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Completions of all rows, up to and with the token that ended each."""
        if self.unshared or _own_sampling(self):
            theirs: tuple[list[list[int]], list[list[float]] | None] = super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
            return theirs
        model = self.accelerator.unwrap_model(self.model)
        if self._sampler is None:
            self._sampler = Sampler(model)
        self._sampler.refresh()
        settings = self.sampling
        completions: list[list[int]] = [[] for _ in prompt_ids]
        kept = torch.zeros(len(prompt_ids), settings.max_new_tokens)
        batch = _prompt_batch(prompt_ids, images, multimodal_fields, settings.pad_id)
        groups = split_batch(batch)
        self._prefix = None
        if model.training and self._sampler.is_fast and len(groups) == 1:  # more would have to be kept all at once
            with self.compute_loss_context_manager():
                self._prefix = read_prompt(model, groups[0][1].inputs)
        for number, (rows, group) in enumerate(groups):
            rollout = self._sampler.sample(
                group.inputs, len(rows), settings, seed=self._seed(number, len(groups)), prefix=self._prefix
            )
            for row, ids, mask, scores in zip(
                rows.tolist(), rollout.completions, rollout.mask, rollout.log_probabilities, strict=True
            ):
                completions[row] = ids[mask].tolist()
                kept[row, : len(scores)] = scores.cpu()
        self._sampled = kept.to(self.accelerator.device) if self._asks_for_old_policy else None
        give_back = trim if self._sampler.is_fast else release  # to look for cycles takes a third of a second
        give_back()  # what sampling took, so that it does not add to what the loss takes
        return completions, None

    @property
    def sampling(self) -> SamplingSettings:
        """TRL's arguments as the rollout takes them; image placeholders are never sampled."""
        config = self.accelerator.unwrap_model(self.model).config
        names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        banned = {value for name in names if isinstance(value := getattr(config, name, None), int)}
        return SamplingSettings(
            max_new_tokens=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k or 0,
            end_ids=tuple(self.eos_token_ids),
            banned_ids=tuple(sorted(banned - set(self.eos_token_ids))),
            pad_id=self._tokenizer.pad_token_id,
        )

    def _seed(self, group: int, groups: int) -> int:
        """Of one group of this step: the same however the groups are spread over processes, and after a resume."""
        place = self._step % self.args.gradient_accumulation_steps
        number = self.accelerator.process_index * groups + group
        entropy = (self.args.seed, self.state.global_step, place, number, int(self.model.training))
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    @property
    def _asks_for_old_policy(self) -> bool:
        """TRL's condition: without it completions are learnt from before the policy moves."""
        return self.args.gradient_accumulation_steps % (self._pieces * self.num_iterations) != 0

    @property
    def _pieces(self) -> int:
        """Micro-batches into which one rollout is cut."""
        return self.args.steps_per_generation or 1

    def _get_per_token_logps_and_entropies(
        self,
        model: Model,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        *args: object,
        **fields: object,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Without gradients and entropies: of the old policy (the first call, which the rollout has answered) or of the
        reference, behind one prompt a group."""
        if self.unshared or args or fields.get("compute_entropy") or fields.get("compute_aux_loss"):
            theirs: tuple[Tensor, Tensor | None, Tensor | None] = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **fields
            )
            return theirs
        if self._sampled is not None:
            sampled, self._sampled = self._sampled, None
            return F.pad(sampled, (0, logits_to_keep))[:, :logits_to_keep], None, None
        batch = {key: value for key, value in fields.items() if key not in _NO_INPUTS} | {
            "prompt_ids": input_ids[:, :-logits_to_keep],
            "prompt_mask": attention_mask[:, :-logits_to_keep],
            "completion_ids": input_ids[:, -logits_to_keep:],
            "completion_mask": attention_mask[:, -logits_to_keep:],
        }
        result = torch.zeros(len(input_ids), logits_to_keep, device=input_ids.device)
        with self.compute_loss_context_manager():
            for rows, group in split_batch(batch):
                logps = log_probabilities(self.accelerator.unwrap_model(model), group, temperature=self.temperature)
                result[rows, : logps.shape[1]] = logps
        return result, None, None

    # --- rewards and advantages ----------------------------------------------------------------

    def _calculate_rewards(
        self, inputs: list[Row], prompts: list[Turns], completions: list[Turns], completion_ids_list: list[list[int]]
    ) -> Tensor:
        """TRL's, (all processes' completions, parts), kept for the advantages."""
        self._scored = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        ends = (*self.eos_token_ids, self._tokenizer.pad_token_id)
        self._cases = gather_object(
            [_Case.of(row, ids[-1] not in ends) for row, ids in zip(inputs, completion_ids_list, strict=True)]
        )
        return self._scored

    def _generate_and_score_completions(self, inputs: list[dict[str, object]]) -> Json:
        output = super()._generate_and_score_completions(inputs)
        training = self.model.training
        size = self.num_generations if training else self.num_generations_eval
        assert self._scored is not None
        parts = self._scored.view(-1, size, self._scored.shape[1])
        rewards = combine(parts, self.reward_func_names, self.reward_weights.tolist())
        advantages = self._unmasked(estimate(rewards, self.estimator))
        start = self.accelerator.process_index * len(inputs)
        everyone = advantages.flatten()
        output["advantages"] = everyone[start : start + len(inputs)].to(output["advantages"])
        self._note_rewards(rewards.total.flatten(), everyone, collapse_rate(advantages), training=training)
        return output

    def _unmasked(self, advantages: Tensor) -> Tensor:
        """(groups, G), 0 where the loss leaves a completion out: what was cut off, with `mask_truncated_completions`.
        It stays in its group's statistics, as in TRL.
        """
        left_out = torch.tensor([self._is_left_out(case) for case in self._cases], device=advantages.device)
        return advantages.masked_fill(left_out.view(advantages.shape), 0.0)

    def _is_left_out(self, case: _Case) -> bool:
        return case.truncated and bool(self.mask_truncated_completions)

    def _note_rewards(self, totals: Tensor, advantages: Tensor, collapsed: float | None, *, training: bool) -> None:
        """Into TRL's log: collapse rate, rewards per class; its table of completions gets the true advantages."""
        metrics = self._metrics["train" if training else "eval"]
        if collapsed is not None:
            metrics["advantages/collapse_rate"].append(collapsed)
        assert self._scored is not None
        correctness = self._scored[:, self.reward_func_names.index("correctness")]
        for diagnosis in sorted({case.diagnosis for case in self._cases if case.diagnosis is not None}):
            own = torch.tensor([case.diagnosis == diagnosis for case in self._cases], device=totals.device)
            metrics[f"class/{diagnosis}/reward"].append(float(totals[own].nanmean()))
            metrics[f"class/{diagnosis}/correctness"].append(float(correctness[own].nanmean()))
        told = self._logs["advantages"]
        for _ in range(min(len(told), len(advantages))):
            told.pop()
        told.extend(advantages.tolist())
        if self.watch is not None and self.accelerator.is_main_process and (training or self._is_followed()):
            self.watch(self._samples(totals, advantages, training=training))

    def _is_followed(self) -> bool:
        """Of every evaluation the first batch is kept: the same questions each time."""
        is_first, self._followed = self._followed != self.state.global_step, self.state.global_step
        return is_first

    def _samples(self, totals: Tensor, advantages: Tensor, *, training: bool) -> list[Sample]:
        assert self._scored is not None
        count = len(advantages)
        prompts, texts = (list(self._logs[name])[-count:] for name in ("prompt", "completion"))
        return [
            Sample(
                step=self.state.global_step + training,
                prompt=prompt if isinstance(prompt, str) else completion_text(prompt[-1:]),
                completion=completion_text(text),
                diagnosis=case.diagnosis,
                rewards={n: _number(v) for n, v in zip(self.reward_func_names, scores, strict=True)},
                reward=_number(total),
                advantage=None if self._is_left_out(case) else advantage,
                truncated=case.truncated,
                image=case.image,
                findings=case.findings,
                validation=not training,
            )
            for prompt, text, case, scores, total, advantage in zip(
                prompts, texts, self._cases, self._scored.tolist(), totals.tolist(), advantages.tolist(), strict=True
            )
        ]

    # --- the step ------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's, but groups stay whole: TRL shuffles the rows before it splits them into micro-batches."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        _settle(self.accelerator.unwrap_model(self.model))
        if self.unshared:
            return super()._prepare_inputs(generation_batch)
        pieces = self._pieces
        if self._step % (pieces * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch: Any = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            parts: Any = split_tensor_dict(batch, pieces)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        return self._buffered_inputs[self._step % pieces]

    def training_step(self, model: nn.Module, inputs: object, num_items_in_batch: object = None) -> Tensor:
        """Gradients of one micro-batch, added to those of the ones before it; returns its share of the step's loss."""
        if self.unshared:
            theirs: Tensor = super().training_step(model, inputs, num_items_in_batch)
            return theirs
        started = time.perf_counter()
        model.train()
        with contextlib.suppress(AttributeError):
            self.optimizer.train()  # schedule-free optimizers have two modes
        if not self._rehearsed:
            self._rehearse(model)
        batch = self._prepare_inputs(inputs)
        loss = self._learn(model, batch)
        if self.accelerator.sync_gradients and self.accelerator.num_processes > 1:
            _average_gradients(model)
        self._step += 1
        self._current_train_step_time += time.perf_counter() - started
        if self._step % self.current_gradient_accumulation_steps == 0:
            self._metrics["train"]["step_time"].append(self._current_train_step_time)
            self._current_train_step_time = 0.0
        return torch.tensor(loss, device=self.accelerator.device)

    def _learn(self, model: nn.Module, batch: Mapping[str, object]) -> float:
        bare = self.accelerator.unwrap_model(model)
        targets, settings = self._targets(batch)
        seen = []
        with self.compute_loss_context_manager():
            for rows, group in split_batch(batch):
                own = _rows(targets, rows, group.mask.shape[1])
                prefix, self._prefix = self._prefix, None  # of the rollout before: no step was taken since
                seen.append((accumulate_gradients(bare, group, own, settings, prefix=prefix), group, own))
        self._note_losses(seen, settings)
        return sum(result.loss for result, _, _ in seen)

    def _targets(self, batch: Fields) -> tuple[Targets, LossSettings]:
        """What each token of a micro-batch (B, T) is pushed by, weighed as TRL's loss weighs it."""
        mask, steps = batch["completion_mask"], self.current_gradient_accumulation_steps
        sequences = len(mask) * steps
        tokens = {
            "bnpo": float(mask.sum()) * steps,
            "dapo": float(batch["num_items_in_batch"].clamp(min=1))
            / self.accelerator.num_processes
            * steps
            / self._pieces,
            "dr_grpo": float(sequences * self.max_completion_length),
        }.get(self.loss_type, 0.0)
        weights = token_weights(mask, NORMALISERS[self.loss_type], sequences=sequences, tokens=tokens)
        bonus = self.entropy_coef * tokens / max(1.0, float(mask.sum()) * steps)  # TRL's is a mean of its own
        if not self.beta and not bonus:  # the loss of these completions is the constant 0
            weights = weights * (batch["advantages"] != 0).to(weights)[:, None]
        settings = LossSettings(
            clip_low=self.epsilon_low,
            clip_high=self.epsilon_high,
            beta=self.beta,
            kl_by_ratio=self.args.use_bias_correction_kl,
            entropy_bonus=bonus,
            temperature=self.temperature,
        )
        old, ref = batch.get("old_per_token_logps"), batch.get("ref_per_token_logps")
        return Targets(advantages=batch["advantages"], weights=weights, old=old, reference=ref), settings

    def _note_losses(self, seen: Iterable[tuple[GroupLoss, Group, Targets]], settings: LossSettings) -> None:
        """TRL's names; means over the tokens of all processes that were learnt from."""
        names = ["entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean"]
        names += ["kl"] if settings.beta else []
        totals: dict[str, float] = defaultdict(float)
        for result, group, targets in seen:
            learnt = group.mask & (targets.weights != 0)
            push = targets.advantages[:, None] if targets.advantages.ndim == 1 else targets.advantages
            low = learnt & (result.ratios < 1 - settings.clip_low) & (push < 0)
            high = learnt & (result.ratios > 1 + settings.clip_high) & (push > 0)
            values = (result.entropies, low, high, low | high, result.kl)
            for name, value in zip(names, values, strict=False):
                totals[name] += float((value * learnt).sum())
            totals["tokens"] += float(learnt.sum())
        sums = torch.tensor([totals[name] for name in (*names, "tokens")], device=self.accelerator.device)
        *sums, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        if tokens:
            for name, value in zip(names, sums, strict=True):
                self._metrics["train"][name].append(value / tokens)

    # --- the largest sample first --------------------------------------------------------------

    def _rehearse(self, model: nn.Module) -> None:
        """Gradients of the largest prompt with completions of full length, thrown away."""
        self._rehearsed = True
        bare = self.accelerator.unwrap_model(model)
        _settle(bare)
        group = self.largest_group()
        count, width = group.completions.shape
        ones = torch.ones(count, width, device=self.accelerator.device)
        targets = Targets(advantages=ones, weights=ones / ones.numel())
        settings = LossSettings(temperature=self.temperature)
        with self.compute_loss_context_manager():
            result = accumulate_gradients(bare, group, targets, settings)
        for parameter in bare.parameters():
            parameter.grad = None
        log.info(
            "The largest sample fits: a prompt of %d tokens with %d completions of %d, %d at a time.",
            *(group.inputs["input_ids"].shape[1], count, width, result.chunk),
        )

    def largest_group(self) -> Group:
        """The longest prompt of the data set with completions of full length (their tokens are arbitrary)."""
        row = self.train_dataset[largest_row(self.train_dataset)]
        prompt, images = row["prompt"], _images_of(row)
        if images:
            prompt = prepare_multimodal_messages(prompt, images=images)
        ids, found, fields = self._tokenize_prompts([prompt])
        ((_, alone),) = split_batch(_prompt_batch(ids, found, fields, self._tokenizer.pad_token_id))
        shape = (self.num_generations, self.max_completion_length)
        ordinary = alone.inputs["input_ids"][0, -1]  # the last of the prompt: no placeholder
        device = self.accelerator.device
        return Group(
            alone.inputs,
            torch.full(shape, int(ordinary), device=device),
            torch.ones(shape, dtype=torch.bool, device=device),
        )


class EpochSampler(RepeatSampler):
    """TRL's, whose order in an epoch depends on its number alone: TRL draws on from epoch to epoch, so that a resumed
    run would begin with the order of the first.
    """

    def set_epoch(self, epoch: int) -> None:
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + epoch)


def unshared_reason(trainer: GroupTrainer) -> str | None:
    """Why TRL's own loss has to be used, as a sentence without its full stop; None where the shared prefix computes it.

    ModelError where neither should be.
    """
    args = trainer.args
    if args.fp16:
        raise ModelError("fp16 needs scaled gradients, which the shared prefix does not do: use bf16 or float32.")
    reasons = {
        f"the loss {trainer.loss_type!r} is computed on whole sequences": trainer.loss_type not in NORMALISERS,
        "ratios are taken over sequences": trainer.importance_sampling_level != "token",
        "the model is split over processes": trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
        "vLLM's samples are weighed": trainer.use_vllm and trainer.vllm_importance_sampling_correction,
        "tools write into the completions": bool(trainer.tools) or trainer.rollout_func is not None,
        "a mixture of experts has a loss of its own": trainer.aux_loss_enabled,
        "only tokens of high entropy are learnt": trainer.top_entropy_quantile < 1,
        "the entropy bonus adapts itself": trainer.use_adaptive_entropy,
        "the entropy bonus has another mean than the loss": bool(trainer.entropy_coef) and trainer.loss_type == "grpo",
        "off-policy completions are masked": trainer.off_policy_mask_threshold is not None,
        "ratios are bounded twice": args.delta is not None,
        "the vocabulary projection is cast": args.cast_lm_head_to_fp32,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _own_sampling(trainer: GroupTrainer) -> bool:
    """Whether TRL's sampling is asked for something that the rollout does not do."""
    return bool(
        trainer.use_vllm
        or trainer.use_transformers_continuous_batching
        or trainer.min_p
        or trainer.repetition_penalty != 1.0
        or trainer.args.generation_kwargs
    )


def largest_row(dataset: Any) -> int:
    """The row with most to read: characters, and pixels, of which about 200 make one character. Decodes no image.

    Of a data set whose rows are written when they are asked for, some rows are asked for.
    """
    if "prompt" not in dataset.column_names:
        some = range(0, len(dataset), -(-len(dataset) // LAZY_ROWS))
        return max(some, key=lambda row: len(str(dataset[row]["prompt"])))
    columns = [name for name in ("prompt", "image", "images") if name in dataset.column_names]
    tables = dataset.select_columns(columns).with_format("arrow").iter(batch_size=64)
    sizes = [
        len(str(row["prompt"])) + sum(map(_pixels, _images_of(row))) / 200
        for table in tables
        for row in table.to_pylist()
    ]
    return max(range(len(sizes)), key=sizes.__getitem__)


def _images_of(row: Fields) -> list[object]:
    return list(row.get("images") or ()) or ([row["image"]] if row.get("image") is not None else [])


def _pixels(image: Any) -> int:
    """Of an image as a data set stores it, bytes or path, or of its path alone; 0 where it has neither."""
    file = image.get("path") if isinstance(image, Mapping) else image
    if isinstance(image, Mapping) and image.get("bytes"):
        file = io.BytesIO(image["bytes"])
    if file is None:
        return 0
    with PIL.Image.open(file) as opened:
        return opened.width * opened.height


def _prompt_batch(prompt_ids: Sequence[Sequence[int]], images: Images | None, fields: Fields, pad_id: int) -> Json:
    """Unpadded prompts with their images, in the form of TRL's batches."""
    width = max(map(len, prompt_ids))
    ones = [[1] * len(ids) for ids in prompt_ids]
    batch: Json = {
        "prompt_ids": _left_padded(prompt_ids, width, pad_id),
        "prompt_mask": _left_padded(ones, width, 0),
        "completion_ids": torch.zeros(len(prompt_ids), 1, dtype=torch.long),
        "completion_mask": torch.ones(len(prompt_ids), 1, dtype=torch.long),
    }
    if images is not None:
        batch["num_images"] = [len(own or []) for own in images]
    for name, value in fields.items():
        if name in ("token_type_ids", "mm_token_type_ids"):
            batch[name] = _left_padded([list(row) for row in value], width, 0)
        else:
            batch[name] = value if isinstance(value, Tensor) else torch.tensor(np.array(value))
    return batch


def _left_padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    return torch.tensor([[fill] * (width - len(row)) + list(row) for row in rows])


def _rows(targets: Targets, rows: Tensor, width: int) -> Targets:
    """Those of one group."""
    cut = [None if t is None else t[rows, :width] for t in (targets.weights, targets.old, targets.reference)]
    assert cut[0] is not None
    return Targets(targets.advantages[rows], cut[0], cut[1], cut[2])


def _settle(model: Model) -> None:
    """Frozen vision towers and all batch normalisation stay in evaluation mode: prompts are read one by one."""
    for name, module in model.named_modules():
        frozen_tower = name.rsplit(".", 1)[-1] in TOWERS and not any(p.requires_grad for p in module.parameters())
        if frozen_tower or isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _average_gradients(model: nn.Module) -> None:
    """Over all processes, as DDP's hooks would have done."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= torch.distributed.get_world_size()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
