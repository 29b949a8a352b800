"""What the form calls the options of the stages, in which unit they are, and where they stand.

Names of a pipeline's options are those of its stages: "grpo.steps" is called and placed like "steps". Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Mapping

from dermiq.ui.markup import capital
from train.rl.advantages import ESTIMATORS
from train.scoring.rewards import PARTS

STAGES: Mapping[str, tuple[str, str]] = {
    "sft": (
        "SFT: learn from examples",
        "Supervised fine-tuning: the model learns to write the answers that belong to labelled images.",
    ),
    "grpo": (
        "GRPO++: learn from rewards",
        "The model writes several answers to each question. Those that earn more than the others become more likely.",
    ),
    "dpo": (
        "DPO: learn from preferences",
        "The model learns which of two answers to the same question is the better one.",
    ),
    "pipeline": (
        "Pipeline: all three in a row",
        "Each stage is a run of its own, and trains what the one before it made.",
    ),
}
"""Title, and what it does in one sentence."""

HIDDEN = ("push_to_hub", "hub_id")
"""A result is sent to the hub on request, after the run."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Model and adapter": (
        *("model", "load_in_4bit", "device", "dtype", "threads"),
        *("lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "train_projector"),
    ),
    "Data": (
        *("data", "preferences", "min_margin", "labels", "images", "val", "val_share", "val_images"),
        "data_folder",
        *("texts", "reasoning_share", "follow_up_share", "told_share", "facts", "window"),
    ),
    "Optimisation": (
        *("steps", "epochs", "batch_size", "accumulation", "learning_rate", "schedule", "warmup_steps"),
        *("weight_decay", "max_grad_norm", "optimizer", "gradient_checkpointing", "seed", "check_memory"),
    ),
    "Sampling": ("group", "new_tokens", "temperature", "top_p", "iterations", "mask_truncated", "rehearse"),
    "Loss": ("loss", "loss_weights", "beta", "clip_low", "clip_high", "label_smoothing", "ld_alpha"),
    "Rewards": ("rewards",),
    "Advantages": ("advantage",),
    "Pairs made by the graph": ("proxy",),
    "Saving and validation": (
        *("save_every", "keep_checkpoints", "log_every", "eval_every", "patience", "export_best", "export"),
    ),
    "Stages": ("stages",),
}
"""Of "All settings": options by name, or every option of a group ("rewards")."""

_SHARED = ("model", "data", "images", "steps", "epochs", "batch_size", "learning_rate")
_MACHINE = ("lora_rank", "device", "load_in_4bit")
ESSENTIALS: Mapping[str, tuple[str, ...]] = {
    "sft": (*_SHARED, *_MACHINE),
    "grpo": (*_SHARED, "group", "new_tokens", *_MACHINE),
    "dpo": ("model", "preferences", *_SHARED[1:], "beta", *_MACHINE),
    "pipeline": ("stages", "model"),
}

LABELS: Mapping[str, str] = {
    "model": "Model to start from",
    "load_in_4bit": "Load in 4 bits",
    "dtype": "Precision",
    "threads": "CPU threads",
    "lora_rank": "LoRA rank",
    "lora_alpha": "LoRA alpha",
    "lora_dropout": "LoRA dropout",
    "lora_targets": "LoRA layers",
    "train_projector": "Train the projector",
    "accumulation": "Batches a step",
    "warmup_steps": "Warm-up",
    "max_grad_norm": "Longest gradient",
    "eval_every": "Validate every",
    "export_best": "Export the best",
    "check_memory": "Check the memory",
    "val": "Validation data",
    "val_share": "Share held out",
    "labels": "Labels of tables",
    "val_images": "Validation images",
    "told_share": "Patient told",
    "facts": "Facts shown",
    "window": "Lesion window",
    "texts": "Chats an image",
    "reasoning_share": "Reasoning",
    "follow_up_share": "Second question",
    "preferences": "Preference pairs",
    "min_margin": "Least margin",
    "new_tokens": "Longest answer",
    "iterations": "Steps a rollout",
    "mask_truncated": "Ignore what was cut off",
    "loss_weights": "Weights of the losses",
    "clip_low": "Clip, downwards",
    "clip_high": "Clip, upwards",
    "ld_alpha": "Weight of surplus length",
    **{f"rewards.{name}": f"Weight of {part.title}" for name, part in PARTS.items()},
    "rewards.parent_credit": "Credit for the parent",
    "rewards.sibling_credit": "Credit for a sibling",
    "rewards.statements": "Statements wanted",
    "rewards.length_words": "Words wanted",
    "rewards.prefill": "Written beforehand",
    "advantage.threshold": "Right above",
    "advantage.one_sided": "One-sided groups",
    "proxy.new_tokens": "Longest answer",
    "proxy.follow_up_share": "Second question",
    "proxy.pairs": "Pairs a question",
    "proxy.min_margin": "Least margin",
    "proxy.max_length_ratio": "Ratio of lengths",
    "proxy.weights.form": "Weight of the form",
}
"""Where an option's name does not say it: "batch_size" is called "Batch size", "proxy.weights.x" "Weight of x"."""

UNITS: Mapping[str, str] = {
    "epochs": "passes",
    "warmup_steps": "steps",
    "log_every": "steps",
    "save_every": "steps",
    "eval_every": "steps",
    "patience": "evaluations",
    "texts": "chats",
    "group": "answers",
    "new_tokens": "tokens",
    "iterations": "steps",
    "accumulation": "batches",
    "rewards.length_words": "words",
    "proxy.answers": "answers",
    "proxy.new_tokens": "tokens",
    "proxy.pairs": "pairs",
}

HINTS: Mapping[str, str] = {
    "model": "What is trained further: DermIQ-Nano, the result of a finished run, or another vision-language model, by "
    "its folder or its owner/name on the Hugging Face hub.",
    "device": "Where it computes. Automatic: on a GPU where there is one.",
    "dtype": "Of the weights. Automatic: as fits the device.",
    "data": "Labelled images; SFT learns from written examples, too. What is chosen is put together with what is "
    "typed: a CSV file (columns image and label), a JSONL file, or a data set of the Hugging Face hub.",
    "preferences": "Which of two answers is better: a set of the review, a JSONL file, or a data set of the hub.",
    "stages": "Which stages are run, and in which order.",
}
"""In place of an option's help where the form offers what a flag has to spell out."""

CHOICES: Mapping[str, Mapping[str, str]] = {
    "device": {"": "automatic", "cpu": "CPU", "cuda": "GPU (cuda)", "mps": "Apple GPU (mps)"},
    "dtype": {"": "automatic"},
    "schedule": {"constant_with_warmup": "constant"},
    "export": {"merged": "whole model, merged", "adapter": "adapter: LoRA alone"},
    "advantage.estimator": {name: one.title for name, one in ESTIMATORS.items()},
    "optimizer": {"adamw": "AdamW", "adamw_8bit": "AdamW, 8-bit", "paged_adamw_8bit": "AdamW, 8-bit, paged"},
}
"""What a choice is called, where its value does not say it. Of "device" others can come from a file: cuda:1."""


def bare(name: str) -> str:
    """The option of a stage that an option of a pipeline is: "grpo.rewards.format" -> "rewards.format"."""
    stage, _, rest = name.partition(".")
    return rest if rest and stage in STAGES else name


def label(name: str) -> str:
    """Of an option, or of the run's name and the YAML, which stand in the form, too."""
    own = {"name": "Name of the run", "yaml": "YAML"}.get(name) or LABELS.get(bare(name))
    group, _, last = name.rpartition(".")
    words = last.replace("_", " ")
    return own or (f"Weight of {words}" if group.endswith(".weights") else capital(words))


def section(name: str) -> str | None:
    """Where an option stands in "All settings"."""
    own = bare(name)
    places = (title for title, names in SECTIONS.items() if own in names or own.partition(".")[0] in names)
    return next(places, None)
