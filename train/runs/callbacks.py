"""What a Hugging Face trainer tells a run folder, and when it must stop. The same for every stage.

The best of the weights are those of the evaluation with the lowest loss or highest reward; of equals, the first. They
are saved when they are found and kept beside the newest checkpoints. What was seen is in the trainer's own log, which a
checkpoint holds, so a resumed run decides as an unbroken one.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dermiq.errors import ModelError
from dermiq.types import Fields, Json
from train.rl.memory import gpu_peak_memory, peak_memory
from train.runs.cpu_share import Meter
from train.runs.hints import NEWEST, cannot_learn
from train.runs.job import STATUS_EVERY_S, Job
from train.runs.log import append
from train.runs.run_folder import keep_checkpoints, read_config, seal
from train.runs.times import between, left

_LEFT_OUT = ("train_", "total_flos", "num_input_tokens_seen", "num_tokens", "eval_num_tokens")
_TOLD = {"loss": "loss", "reward": "reward", "completions/clipped_ratio": "cut off", "rewards/margins": "margin"}


class RunCallback(TrainerCallback):
    """Logs, status, checkpoints that are sealed, a stop after the step, early stopping, the best checkpoint."""

    def __init__(self, job: Job, *, keep: int, patience: int, window: int = 1, judged_by: str = "eval_loss") -> None:
        """`window` is the number of steps that share one rollout: a stop in between could not be resumed exactly.
        `judged_by` is what an evaluation logs and the best of which counts: a loss is best when it is lowest.
        """
        self.job, self.keep, self.patience, self.window = job, keep, patience, window
        self.judged_by = judged_by
        self._told = {**_TOLD, judged_by: judged_by}  # on the screen, and in these words
        self.stopped = False  # on request, before the end
        self.ended = False  # early, since val no longer improves
        self._marked = (time.perf_counter(), 0, 0)  # time, step, tokens at the last log
        stage, self._options = read_config(job.folder)
        self._stage = stage.rsplit(".", 1)[-1]
        self._newest: deque[Fields] = deque(maxlen=NEWEST)  # logged steps
        self._share = Meter()
        self._seconds: list[float] = []  # of this process's steps
        self._began = 0.0  # the present step
        self._still = ""  # why nothing is learned, as it was told last

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self._mark(state)
        self._share()
        self.job.say("Learning")
        self.job.progress(state.global_step, state.max_steps)

    def on_step_begin(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.job.make_way()
        is_quick = bool(self._seconds) and self._seconds[-1] < STATUS_EVERY_S
        self.job.do(f"Step {state.global_step + 1} of {state.max_steps}", soon=is_quick)
        self._began = time.perf_counter()

    def on_substep_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.job.make_way()

    def _mark(self, state: TrainerState) -> None:
        self._marked = (time.perf_counter(), state.global_step, int(state.num_input_tokens_seen))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self._seconds.append(time.perf_counter() - self._began)
        self._correct(state)
        self.job.progress(state.global_step, state.max_steps)
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"  # the end is judged, too
            return
        if state.global_step % self.window:
            return
        if agreed(self.job.stop_requested, args.device):
            self.stopped = True
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: object,
        state: TrainerState,
        control: TrainerControl,
        logs: Json | None = None,
        **kwargs: object,
    ) -> None:
        if logs is None or not state.is_world_process_zero or "train_loss" in logs:  # the last: a summary
            return
        if not math.isfinite(logs.get("loss", 0.0)):
            raise ModelError(
                f"The loss is no longer a number at step {state.global_step}. Start again with a lower learning_rate."
            )
        line = {"step": state.global_step, **{k: v for k, v in logs.items() if not k.startswith(_LEFT_OUT)}}
        if "loss" in logs:
            line |= self._speed(state)
            self._mark(state)
        append(self.job.folder / "metrics.jsonl", line)
        told = [f"{word} {logs[name]:.4g}" for name, word in self._told.items() if logs.get(name) is not None]
        print(f"step {state.global_step} of {state.max_steps}: {', '.join(told)}", flush=True)
        if "loss" in logs:
            self._newest.append(line)
            self._warn()

    def _warn(self) -> None:
        """Says from the first step on that nothing is learned, and what to do: in the log, and in the status."""
        still, before = cannot_learn(self._stage, self._options, self._newest), self._still
        self._still = still
        if still == before:
            return
        print(f"Warning: {still}" if still else "From here on something is learned.", flush=True)
        self.job.update(reason=still)

    def _correct(self, state: TrainerState) -> None:
        """The time that is left, by the run's own steps; after the first it is said in the log, too."""
        found = left(self._seconds, state.max_steps - state.global_step)
        self.job.update(left=found, soon=True)
        if found and len(self._seconds) == 1 and state.global_step < state.max_steps and self.job.is_main:
            rest = state.max_steps - state.global_step
            print(
                f"This step took {self._seconds[0]:.1f} s. The {rest} that are left will take {between(*found)}.",
                flush=True,
            )

    def _speed(self, state: TrainerState) -> dict[str, float]:
        then, step, tokens = self._marked
        seconds, steps = time.perf_counter() - then, max(state.global_step - step, 1)
        return {
            "seconds_per_step": seconds / steps,
            "tokens_per_second": (int(state.num_input_tokens_seen) - tokens) / max(seconds, 1e-9),
            **_machine(self._share()),
        }

    def on_evaluate(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Saves a new best; ends the training after `patience` evaluations without one."""
        seen = evaluations(state.log_history, self.judged_by)
        if not seen:
            return
        since = len(seen) - 1 - [step for step, _ in seen].index(best_of(seen, self.judged_by)[0])
        if since == 0:
            control.should_save = True
        if self.patience and since >= self.patience and state.global_step < state.max_steps:
            self.ended = control.should_training_stop = control.should_save = True
            print(f"{self.judged_by} had no new best in {since} evaluations: the training ends here.", flush=True)

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        together()  # every process has written its part
        if state.is_world_process_zero:
            ended = self.ended or state.global_step >= state.max_steps
            seen = evaluations(state.log_history, self.judged_by)
            best = best_of(seen, self.judged_by)[0] if seen else None
            folder = self.job.folder
            seal(folder / f"checkpoint-{state.global_step}", step=state.global_step, ended=ended, best=best)
            keep_checkpoints(folder, self.keep, best=best)


def evaluations(history: Sequence[Fields], name: str) -> list[tuple[int, float]]:
    """(step, value) of each evaluation in a trainer's log that could be judged."""
    found = ((line["step"], line.get(name)) for line in history)
    return [(step, value) for step, value in found if value is not None and math.isfinite(value)]


def best_of(seen: Sequence[tuple[int, float]], name: str) -> tuple[int, float]:
    """The first of the best."""
    sign = 1 if name.endswith("loss") else -1
    return min(seen, key=lambda pair: sign * pair[1])


def agreed(wish: bool, device: torch.device) -> bool:
    """Whether any process wishes it: all stop after the same step."""
    if not torch.distributed.is_initialized():
        return wish
    flag = torch.tensor(float(wish), device=device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def _machine(share: float | None) -> dict[str, float]:
    """What the process took of the machine: memory at the peak, and its share of the processors since the last log."""
    found = {"peak_memory_gb": peak_memory() / 1e9}
    gpu = gpu_peak_memory()
    if gpu is not None:
        found["gpu_peak_memory_gb"] = gpu / 1e9
    if share is not None:
        found["processor_share"] = share
    return found


def together() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
