"""One GRPO step of DermIQ-Nano: this project's trainer against TRL's, with its defaults and at its best.

    python -m train.rl.benchmark
    python -m train.rl.benchmark --prompt-lengths 64 256 1024 --groups 4 8 16 --json benchmark.json

The variants train the same model on the same prompt. Each samples its completions, to full length, and then learns
from the same forced ones, so that all do equal work. Each lives in a process of its own, and they take turns, so that
what else the machine does falls on all. Memory is what one step needs above what the process held before its first
step: on the CPU anonymous pages, read fifty times a second (a mapped weight file is none), on a GPU allocated
tensors. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from dermiq.types import Json
from dermiq.vlm.hub import Model, Processor

VARIANTS = {
    "ours": "the shared prefix",
    "trl": "TRL with its defaults",
    "trl_best": "TRL, micro-batch 1, no checkpointing",
}
SENTENCE = "The lesion on the back has grown since last year and its border is not even. "
POLL_S = 0.02


@dataclass(frozen=True)
class Setup:
    """One row of the table."""

    variant: str
    prompt: int  # tokens at least, image included
    group: int
    completion: int
    steps: int
    threads: int
    device: str
    lora_rank: int = 8


@dataclass(frozen=True)
class Step:
    seconds: float
    extra_bytes: int  # peak above what was held before the first step


def measure(setups: Sequence[Setup]) -> dict[str, list[Step]]:
    """All variants of one row in turn; the first step of each warms up."""
    context = get_context("spawn")
    children: dict[str, tuple[SpawnProcess, Connection]] = {}
    try:
        for setup in setups:
            ours, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, setup), daemon=True)
            process.start()
            children[setup.variant] = process, ours
        for _, pipe in children.values():
            pipe.recv()  # ready to step
        steps: dict[str, list[Step]] = {variant: [] for variant in children}
        for _ in range(setups[0].steps):
            for variant, (_, pipe) in children.items():
                pipe.send("go")
                steps[variant].append(Step(*pipe.recv()))
                print(f"{variant}: {steps[variant][-1].seconds:.1f} s", flush=True)
        return steps
    except EOFError as error:
        raise SystemExit("A variant ended early; its message is above.") from error
    finally:
        for process, _ in children.values():
            process.terminate()
            process.join()


def _child(pipe: Connection, setup: Setup) -> None:
    """Trains, one step each time it is told to."""
    import warnings

    import torch
    from transformers import TrainerCallback

    from train.rl.memory import release

    warnings.simplefilter("ignore")
    if setup.threads:
        torch.set_num_threads(setup.threads)

    class Turns(TrainerCallback):
        base, started, peak = 0, 0.0, Peak(setup.device)

        def on_step_begin(self, *args: object, **kwargs: object) -> None:
            if not self.started:
                release()
                self.base = self.peak.now()
                pipe.send("ready")
            pipe.recv()
            self.peak.restart()
            self.started = time.perf_counter()

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            if setup.device != "cpu":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - self.started
            pipe.send((seconds, self.peak.highest() - self.base))

    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(setup, folder)
        trainer.add_callback(Turns())
        trainer.train()
        pipe.recv()  # nothing comes: the parent ends this process


class Peak:
    """The highest memory since `restart`."""

    def __init__(self, device: str) -> None:
        self._device, self._highest, self._watching = device, 0, threading.Event()
        if device == "cpu":
            threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        if self._device != "cpu":
            import torch

            return torch.cuda.memory_allocated()
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise SystemExit("This system does not say how much anonymous memory a process holds.")

    def restart(self) -> None:
        self._highest = 0
        self._watching.set()
        if self._device != "cpu":
            import torch

            torch.cuda.reset_peak_memory_stats()

    def highest(self) -> int:
        if self._device != "cpu":
            import torch

            return torch.cuda.max_memory_allocated()
        self._watching.clear()  # a process that waits for its turn must not slow the others
        return max(self._highest, self.now())

    def _watch(self) -> None:
        while True:
            self._watching.wait()
            self._highest = max(self._highest, self.now())
            time.sleep(POLL_S)


def _trainer(setup: Setup, folder: str) -> Any:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from PIL import Image
    from trl import GRPOConfig, GRPOTrainer

    from dermiq.vlm.nano import LORA_TARGETS, load_nano
    from train.rl.advantages import AdvantageSettings
    from train.rl.group_trainer import GroupTrainer

    model: Model
    model, processor = load_nano()
    model.requires_grad_(False).to(setup.device)
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # out of the mapped file, in every variant
    image = Image.effect_noise((224, 224), 64).convert("RGB")
    prompt = [{"role": "user", "content": _text(processor, image, setup.prompt)}]
    best = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": setup.group}
    shape: dict[str, Any] = {
        "ours": {"per_device_train_batch_size": setup.group, "gradient_checkpointing": False},
        "trl": {"per_device_train_batch_size": setup.group},
        "trl_best": {**best, "gradient_checkpointing": False},
    }[setup.variant]
    args = GRPOConfig(
        output_dir=folder,
        num_generations=setup.group,
        max_completion_length=setup.completion,
        max_steps=setup.steps,
        use_cpu=setup.device == "cpu",
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **shape,
    )
    forced = _forced(setup)

    class Forced:
        """Samples as it does, and then learns from what all variants learn from."""

        def _generate_single_turn(self, *args: object, **options: object) -> tuple[list[list[int]], None]:
            rows, _ = super()._generate_single_turn(*args, **options)  # type: ignore[misc]
            assert all(len(row) == setup.completion for row in rows)  # none ended before
            self._sampled = None
            return forced, None

    kind: Any = type("Forced", (Forced, GroupTrainer if setup.variant == "ours" else GRPOTrainer), {})
    ours = {"estimator": AdvantageSettings("grpo"), "rehearse": False} if setup.variant == "ours" else {}
    trainer = kind(
        model,
        [correctness],
        args,
        train_dataset=Dataset.from_dict({"prompt": [prompt] * setup.steps, "images": [[image]] * setup.steps}),
        processing_class=processor,
        peft_config=LoraConfig(r=setup.lora_rank, target_modules=LORA_TARGETS, task_type="CAUSAL_LM"),
        **ours,
    )
    trainer.eos_token_ids = [-1]  # no completion ends before its full length
    trainer.generation_config.eos_token_id = trainer.generation_kwargs["eos_token_id"] = -1  # None: the model's own
    torch.manual_seed(0)
    return trainer


def _forced(setup: Setup) -> list[list[int]]:
    """Arbitrary tokens, the same for all variants."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(1000, 20_000, (setup.group, setup.completion), generator=generator).tolist()


def _text(processor: Processor, image: object, length: int) -> str:
    """A question of at least `length` tokens together with its image."""
    own = len(processor.tokenizer(SENTENCE)["input_ids"])
    start = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    template = processor.apply_chat_template([start], add_generation_prompt=True)
    fixed = processor(images=[image], text=[template])["input_ids"][0]
    return SENTENCE * max(0, round((length - len(fixed)) / own)) + "What is this?"


def correctness(completions: list[list[dict[str, str]]], **columns: object) -> list[float]:
    """Half of the completions are right, whatever they say."""
    return [float(number % 2) for number in range(len(completions))]


# --- the table --------------------------------------------------------------------------


def summarise(setup: Setup, steps: dict[str, list[Step]]) -> Json:
    """Medians and peaks of one row, and TRL's as multiples of ours. The first step counts for memory alone."""
    seconds = {name: statistics.median(step.seconds for step in own[1:]) for name, own in steps.items()}
    extra = {name: max(step.extra_bytes for step in own) for name, own in steps.items()}
    row: Json = {"prompt": setup.prompt, "group": setup.group, "completion": setup.completion}
    row |= {f"{name}_seconds": round(value, 3) for name, value in seconds.items()}
    row |= {f"{name}_extra_mb": round(value / 2**20, 1) for name, value in extra.items()}
    for name in ("trl", "trl_best"):
        row[f"faster_than_{name}"] = round(seconds[name] / seconds["ours"], 2)
        row[f"memory_of_{name}"] = round(extra["ours"] / extra[name], 3)
    return row


def table(rows: Sequence[Json]) -> str:
    lines = [
        "| prompt | group | ours s | TRL default s | TRL best s | times default | times best | ours MB | default MB "
        "| best MB | of default's | of best's |",
        "|" + "---|" * 12,
    ]
    names = "prompt group ours_seconds trl_seconds trl_best_seconds faster_than_trl faster_than_trl_best ours_extra_mb"
    names += " trl_extra_mb trl_best_extra_mb memory_of_trl memory_of_trl_best"
    return "\n".join(lines + ["| " + " | ".join(str(row[name]) for name in names.split()) + " |" for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt-lengths", type=int, nargs="+", default=[128], help="tokens, image included")
    parser.add_argument("--groups", type=int, nargs="+", default=[8], help="completions of one prompt")
    parser.add_argument("--completion", type=int, default=64, help="tokens of each")
    parser.add_argument("--steps", type=int, default=4, help="of each variant; the first warms up")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: as many as it has")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps must be at least 2: the first warms up")
    rows = []
    for prompt in options.prompt_lengths:
        for group in options.groups:
            shape = (prompt, group, options.completion, options.steps, options.threads, options.device)
            setups = [Setup(variant, *shape) for variant in VARIANTS]
            rows.append(summarise(setups[0], measure(setups)))
            print(table(rows[-1:]), flush=True)
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps({"setup": asdict(setups[0]), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
