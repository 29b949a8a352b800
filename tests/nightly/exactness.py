"""Whether a run that was stopped or killed ends as the unbroken one: the same weights, metrics and samples, bit by bit.

    python -m tests.nightly.exactness --seeds 20 --kills 30 --out tests/nightly/exactness.txt

For each stage and seed a tiny real model is trained on drawn lesions, with options drawn by the seed: once unbroken,
and once stopped at a random step and resumed. Then runs are ended by SIGKILL at random moments: their folder must be
readable, every checkpoint in it whole, and the resumed run must end as the unbroken one. Each of these runs is a
process of its own, forked from one that has imported the libraries and computed nothing. Half of the seeds of DPO learn
written pairs; the others make theirs first, of what the tiny model writes: noise, so that its scores are drawn, too.
Needs the repository's tests/ for the model and the images, and a system that can fork.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train import preferences
from train.preferences import cases_file
from train.runs import registry as runs
from train.runs import worker
from train.runs.job import Job
from train.runs.run_folder import CACHE, STOP, checkpoints, is_complete, read_lines

THREADS = 1
WRITTEN = "written"  # stands for the file of pairs
TIMES = (
    "seconds",
    "runtime",
    "per_second",
    "step_time",
    "peak_memory",
    "processor_share",
)  # in names of what no two runs share


def any_stage(rng: random.Random) -> dict[str, Any]:
    return {
        "steps": 2 * rng.randint(2, 3),
        "accumulation": rng.randint(1, 2),
        "schedule": rng.choice(("cosine", "linear", "constant_with_warmup")),
        "warmup_steps": rng.randint(0, 2),
        "lora_rank": rng.choice((0, 4)),
        "save_every": rng.choice((0, 2, 3)),
        "keep_checkpoints": rng.randint(1, 2),
        "eval_every": rng.choice((0, 2)),
        "val_share": 0.3,
        "val_images": 2,
        "seed": rng.randint(1, 1000),
        "check_memory": False,
    }


def sft(rng: random.Random) -> dict[str, Any]:
    made = any_stage(rng) | {"batch_size": rng.randint(1, 2), "reasoning_share": 0.0, "patience": rng.choice((0, 2))}
    made["patience"] *= bool(made["eval_every"])
    return made | {"lora_dropout": rng.choice((0.0, 0.1)) if made["lora_rank"] else 0.0}


def grpo(rng: random.Random) -> dict[str, Any]:
    made = any_stage(rng) | {"group": 4, "new_tokens": 8, "facts": 1, "mask_truncated": False}
    made |= {"iterations": rng.randint(1, 2), "advantage": {"one_sided": 1.0}, "rehearse": False}
    return made | {"beta": rng.choice((0.0, 0.1)) if made["lora_rank"] else 0.0}


def dpo(rng: random.Random) -> dict[str, Any]:
    made = any_stage(rng) | {"batch_size": rng.randint(1, 2), "beta": rng.choice((0.1, 0.5))}
    if rng.random() < 0.5:
        return made | {"preferences": (WRITTEN,)}
    proxy = {"answers": 4, "new_tokens": 6, "max_length_ratio": 0.0, "min_margin": 0.01}
    return made | {"facts": 1, "proxy": proxy}


STAGES: Mapping[str, Callable[[random.Random], dict[str, Any]]] = {"sft": sft, "grpo": grpo, "dpo": dpo}
"""A stage's module in `train`, and the options that a seed gives it."""


@dataclass
class Study:
    """What was seen of one stage."""

    resumed: int = 0  # runs that were stopped once
    resumed_identical: int = 0
    kills: int = 0
    readable: int = 0  # folders after a kill
    killed: int = 0  # runs that were killed, some of them several times
    killed_identical: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not self.failures and self.resumed == self.resumed_identical and self.killed == self.killed_identical


def study(stage: str, seeds: Sequence[int], kills: int, folder: Path) -> Study:
    """The kills are shared by the seeds: each seed's run is killed, resumed, killed again, ..., and then finished."""
    found, place = Study(), Place(stage, folder)
    per_seed = [kills // len(seeds) + (i < kills % len(seeds)) for i in range(len(seeds))]
    for seed, count in zip(seeds, per_seed, strict=True):
        rng = random.Random(f"{stage}:{seed}")
        config = place.config(rng)
        started = time.time()
        whole = place.finished(config, f"{seed}-whole")
        seconds, loaded = time.time() - started, (whole / "environment.json").stat().st_mtime - started
        _stop_and_resume(found, place, config, whole, seed, rng)
        if count:  # two thirds of them once the model is loaded: what comes before takes longest, and changes least
            draw = partial(_draw, rng, loaded, seconds)
            _kill_and_resume(found, place, config, whole, seed, count, draw)
        shutil.rmtree(place.root)
        print(f"{stage}, seed {seed}: {'as it should be' if found.is_exact else found.failures}", flush=True)
    return found


def _draw(rng: random.Random, loaded: float, seconds: float) -> float:
    return rng.uniform(0.0 if rng.random() < 1 / 3 else loaded, seconds)


def _stop_and_resume(found: Study, place: Place, config: Any, whole: Path, seed: int, rng: random.Random) -> None:
    run = place.created(config, f"{seed}-stopped")
    step = rng.randint(1, config.steps - 2)
    place.worker(run, stop_at=step)
    if runs.load_run(run).state != "stopped":  # early stopping came first
        found.moments["ended before its stop"] += 1
    else:
        runs.prepare_resume(run)
        place.worker(run)
    found.resumed += 1
    wrong = difference(whole, run)
    found.resumed_identical += not wrong
    found.failures += [f"seed {seed}, stopped at step {step}: {wrong}"] if wrong else []


def _kill_and_resume(
    found: Study, place: Place, config: Any, whole: Path, seed: int, count: int, draw: Callable[[], float]
) -> None:
    """One process after another, each killed `draw()` seconds after its start, and a last one to the end. A run that
    ended before it could be killed is followed by a new one.
    """
    kills = 0
    for number in range(1, 10 * count):
        run, times, wrong = place.created(config, f"{seed}-killed-{number}"), [], ""
        while kills < count and runs.load_run(run).state != "finished":
            _make_ready(run)
            times.append(draw())
            if not place.worker(run, kill_after=times[-1]):
                break
            kills += 1
            found.moments[_moment(runs.load_run(run))] += 1
            broken = unreadable(run)
            found.readable += not broken
            wrong = wrong or broken
        if runs.load_run(run).state != "finished":
            _make_ready(run)
            place.worker(run)
        found.killed += 1
        wrong = wrong or difference(whole, run)
        found.killed_identical += not wrong
        told = ", ".join(f"{seconds:.2f} s" for seconds in times)
        found.failures += [f"seed {seed}, killed after {told}: {wrong}"] if wrong else []
        if kills == count:
            break
    found.kills += kills


def _make_ready(run: Path) -> None:
    if runs.load_run(run).state == "interrupted":
        runs.prepare_resume(run)


def _moment(run: runs.Run) -> str:
    if run.state == "finished":
        return "already finished"
    if run.status.pid is None:
        return "before its first word"
    if run.status.total is None:
        return "while pairs are made" if cases_file(run.folder / "pairs.jsonl").exists() else "before training"
    half = [path for path in run.folder.glob("checkpoint-*") if not is_complete(path)]
    if half or (run.folder / "final").exists():
        return "while saving"
    return "after the last step" if run.status.step == run.status.total else "between steps"


class Place:
    """Where one stage's runs are made, each worked on by a process of its own."""

    def __init__(self, stage: str, folder: Path) -> None:
        from tests.forked import context
        from tests.train.stage_runs import tiny_options, write_pairs

        folder.mkdir(parents=True, exist_ok=True)
        self.stage, self.root, self._shared = stage, folder / "runs", folder / "measured"
        self._options = tiny_options(folder)
        self._pairs = str(write_pairs(folder / "pairs" / "pairs.jsonl", 8))
        self._context = context()

    def config(self, rng: random.Random) -> Any:
        from train import options

        values = self._options | STAGES[self.stage](rng) | {"threads": THREADS}
        if values.get("preferences") == (WRITTEN,):
            values["preferences"] = (self._pairs,)
        return options.make(import_module(f"train.{self.stage}").CONFIG, values)

    def created(self, config: Any, name: str) -> Path:
        run = runs.create(config, name=name, root=self.root)
        if self._shared.is_dir():  # what was measured of the images is the same in all runs
            shutil.copytree(self._shared, run / CACHE)
        return run

    def finished(self, config: Any, name: str) -> Path:
        run = self.created(config, name)
        self.worker(run)
        if not self._shared.is_dir() and (run / CACHE).is_dir():
            shutil.copytree(run / CACHE, self._shared)
        return run

    def worker(self, run: Path, *, stop_at: int | None = None, kill_after: float | None = None) -> bool:
        """To the run's end, or until it is killed. Whether it was."""
        process: Any = self._context.Process(target=_work, args=(str(run), stop_at))
        process.start()
        process.join(kill_after)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        return bool(process.exitcode == -signal.SIGKILL)


def _work(folder: str, stop_at: int | None) -> None:
    """The process of one run."""
    from tests.forked import log_to
    from tests.train.stage_runs import drawn_score

    gc.freeze()  # the libraries, which were imported before the fork
    run, vars(preferences)["score"] = Path(folder), drawn_score
    log_to(run)
    if stop_at is not None:
        progress = Job.progress

        def stopping(job: Job, step: int, total: int) -> None:
            progress(job, step, total)
            if step >= stop_at:
                (run / STOP).touch()

        Job.progress = stopping  # type: ignore[method-assign,assignment]
    worker.work(run)


# --- what must be so --------------------------------------------------------------------


def unreadable(run: Path) -> str:
    """What is wrong with a folder whose process died; empty where nothing is."""
    try:
        state = runs.load_run(run)
        json.dumps(state.as_dict())
    except Exception as error:
        return f"the folder cannot be read: {error!r}"
    nobody_yet = state.state == "queued" and state.status.pid is None  # for `START_GRACE_S`: then it is interrupted
    if not nobody_yet and state.state not in ("interrupted", "finished"):
        return f"the run says that it is {state.state}"
    broken = [step for step, path in checkpoints(run).items() if not is_complete(path, hashes=True)]
    if broken:
        return f"checkpoint(s) {broken} pass as complete and are not"
    torn = [name for name in ("metrics.jsonl", "samples.jsonl") if {} in read_lines(run / name)]
    return f"a line of {torn[0]} is torn" if torn else ""


def difference(whole: Path, run: Path) -> str:
    """Where two finished runs differ; empty where they do not."""
    state = runs.load_run(run)
    if state.state != "finished":
        return f"it is {state.state}: {state.status.reason}"
    from safetensors.torch import load_file

    ours, theirs = (load_file(folder / "final" / "model.safetensors") for folder in (run, whole))
    if ours.keys() != theirs.keys():
        return "other weights"
    moved = [name for name, value in theirs.items() if value.numpy().tobytes() != ours[name].numpy().tobytes()]
    if moved:
        return f"{len(moved)} of {len(theirs)} tensors differ, such as {moved[0]}"
    for name in ("pairs.jsonl", "metrics.jsonl", "samples.jsonl"):
        pairs = zip(_lines(run / name), _lines(whole / name), strict=False)
        wrong = next((number for number, (a, b) in enumerate(pairs, 1) if a != b), None)
        if wrong or len(_lines(run / name)) != len(_lines(whole / name)):
            return f"{name} differs, first in line {wrong or 'after the shorter'}"
    return ""


def _lines(path: Path) -> list[dict[str, Any]]:
    """Without what is measured by the clock."""
    return [{k: v for k, v in line.items() if not any(word in k for word in TIMES)} for line in read_lines(path)]


# --- the command ------------------------------------------------------------------------


def report(studies: Mapping[str, Study], *, seeds: int) -> Iterator[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl", "peft"))
    yield f"Runs stopped or killed, against the same run unbroken: {seeds} seeds a stage, {THREADS} thread, CPU."
    yield f"{packages}; Python {platform.python_version()}, {platform.system()} {platform.machine()}."
    yield ""
    for stage, found in studies.items():
        yield (
            f"{stage}: {found.resumed} runs stopped and resumed, {found.resumed_identical} identical to the unbroken; "
            f"{found.kills} kills of {found.killed} runs, {found.readable} folders readable, "
            f"{found.killed_identical} runs identical at the end."
        )
    yield ""
    for stage, found in studies.items():
        yield f"{stage}, killed: " + ", ".join(f"{name} {count}" for name, count in sorted(found.moments.items())) + "."
    yield "Identical: every byte of the weights, every logged number but times and memory, every sample, every pair."
    for stage, found in studies.items():
        yield from (f"{stage}: {failure}" for failure in found.failures)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="of each stage (default: 20)")
    parser.add_argument("--kills", type=int, default=30, help="of all stages together (default: 30)")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--out", type=Path, help="a text file for the result")
    given = parser.parse_args(argv)
    studies = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, stage in enumerate(given.stages):
            kills = given.kills // len(given.stages) + (number < given.kills % len(given.stages))
            studies[stage] = study(stage, range(1, given.seeds + 1), kills, Path(folder) / stage)
    text = "\n".join(report(studies, seeds=given.seeds)) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    return 0 if all(found.is_exact for found in studies.values()) else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())
