"""How long a run will take: from an earlier run where there is one, else from speeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.train.stage_runs import tiny_options
from train.config import Shape
from train.dpo import DPOConfig
from train.grpo import GRPOConfig
from train.model import without_weights
from train.runs import duration
from train.runs import registry as runs
from train.runs.cpu_share import Meter, own_share, share_of_a_run
from train.runs.duration import STARTING_S, Speed, expected, seconds_of_a_step, seconds_of_pairs, steps_of
from train.runs.run_folder import CONFIG, Status, write_json, write_status
from train.runs.times import in_words, left
from train.sft import SFTConfig

SHAPE = Shape(prompt=100, completion=40, rows=4, shared=True, sampled=4)
SPEED = Speed(multiplied=1e9, read=1e9)


@pytest.fixture
def config(tmp_path: Path) -> GRPOConfig:
    return GRPOConfig(**{**tiny_options(tmp_path), "steps": 10}, group=4, new_tokens=40)


def test_steps() -> None:
    config = SFTConfig(epochs=2, batch_size=4, accumulation=2, texts=3)
    assert steps_of(config, 20) == 16  # 60 chats in batches of 8, twice
    assert steps_of(replace(config, steps=7), 20) == 7
    assert steps_of(GRPOConfig(iterations=2), 5) == 10


def idle(monkeypatch: pytest.MonkeyPatch, share: float = 1.0) -> None:
    """A machine of which a run gets this share."""
    monkeypatch.setattr(duration, "share_of_a_run", lambda threads: share)


def test_an_earlier_run_tells_more_than_a_reckoning(
    config: GRPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, root = without_weights(config), tmp_path / "runs"
    idle(monkeypatch)
    reckoned = expected(config, vlm, SHAPE, root, examples=8)
    assert "reckoned" in reckoned.why
    assert reckoned.seconds > STARTING_S
    assert reckoned.low == pytest.approx(reckoned.seconds / 2)
    assert reckoned.high == 2 * reckoned.seconds
    folder = runs.create(replace(config, group=2), name="before", root=root)
    write_status(folder, Status("finished", device="cpu"))
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": i, "seconds_per_step": 3.0}) + "\n" for i in (1, 2))
    )
    known = expected(config, vlm, SHAPE, root, examples=8)
    assert known.seconds == pytest.approx(STARTING_S + 10 * 6.0)  # twice the group, twice the time
    assert known.text() == "80 s (50 s to 2 min) for 10 steps: 6.0 s a step, as in the run before"
    for change in ({"gradient_checkpointing": True}, {"dtype": "bfloat16"}):
        assert "reckoned" in expected(replace(config, **change), vlm, SHAPE, root, examples=8).why
    write_json(folder / CONFIG, {"stage": "train.sft", "options": {}})
    assert "reckoned" in expected(config, vlm, SHAPE, root, examples=8).why


def test_what_a_step_takes_grows_with_its_work(config: GRPOConfig) -> None:
    vlm = without_weights(config)
    once = seconds_of_a_step(config, vlm, SHAPE, SPEED)
    assert seconds_of_a_step(replace(config, accumulation=3), vlm, SHAPE, SPEED) == pytest.approx(3 * once)
    assert seconds_of_a_step(config, vlm, replace(SHAPE, rows=8, sampled=8), SPEED) > once
    assert seconds_of_a_step(config, vlm, SHAPE, Speed(2e9, 2e9)) == pytest.approx(once / 2)
    alone = replace(SHAPE, shared=False, sampled=0)
    assert seconds_of_a_step(config, vlm, alone, SPEED) < seconds_of_a_step(
        config, vlm, replace(alone, reference=True), SPEED
    )


def test_a_busy_machine_takes_longer_and_that_is_said(
    config: GRPOConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run, on a machine that leaves a tenth of its time to it: ten times as long, by speeds and by memory."""
    vlm, root = without_weights(config), tmp_path / "runs"
    monkeypatch.setattr(Speed, "of", classmethod(lambda cls, device, threads=0: SPEED))
    idle(monkeypatch)
    calm = expected(config, vlm, SHAPE, root, examples=8)
    idle(monkeypatch, 0.1)
    busy = expected(config, vlm, SHAPE, root, examples=8)
    assert busy.seconds == pytest.approx(10 * calm.seconds)
    assert busy.low == pytest.approx(calm.low), "it may be left alone"
    assert "this machine is busy, and a run gets 10% of the time now" in busy.why
    folder = runs.create(config, name="before", root=root)
    write_status(folder, Status("finished", device="cpu"))
    line = {"step": 1, "seconds_per_step": 30.0, "processor_share": 0.2}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert expected(config, vlm, SHAPE, root, examples=8).seconds == pytest.approx(10 * (STARTING_S + 60.0))
    idle(monkeypatch)
    assert expected(config, vlm, SHAPE, root, examples=8).seconds == pytest.approx(STARTING_S + 60.0)


def test_what_is_left_is_told_by_the_own_steps() -> None:
    assert left([], 3) is None
    assert left([300.0], 4) == (1200.0, 800.0, 1800.0)
    assert left([900.0, 300.0, 300.0, 310.0], 2) == (610.0, 488.0, 1800.0)
    assert left([900.0, *[300.0] * 10], 2) == (600.0, 480.0, 750.0), "the first is forgotten"


def test_a_share_is_measured_beside_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stands back gets less beside one that does not; a meter says the same of this process."""
    monkeypatch.setenv("DERMIQ_NICENESS", "19")
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        meter = Meter()
        found, own = share_of_a_run(1), own_share(1, 0.5)
        metered = meter()
    finally:
        for load in loads:
            load.kill()
            load.wait()
    assert 0 < found < 0.7
    assert 0 < own <= 1
    assert metered is None or 0 < metered < 1


def test_pairs_that_are_made_first_are_counted(tmp_path: Path) -> None:
    config = DPOConfig(**{**tiny_options(tmp_path), "steps": 2})
    vlm = without_weights(config)
    shape = replace(SHAPE, shared=False)
    pairs = seconds_of_pairs(config, vlm, shape, SPEED, 8)
    assert seconds_of_pairs(config, vlm, shape, SPEED, 16) == pytest.approx(2 * pairs)
    found = expected(config, vlm, shape, tmp_path / "runs", examples=8)
    assert "pairs are made" in found.why


def test_the_speed_of_this_machine_is_measured() -> None:
    speed = Speed.of("cpu")
    assert speed.multiplied > 1e8
    assert speed.read > 1e7


@pytest.mark.parametrize(
    ("seconds", "words"), [(4, "10 s"), (64, "60 s"), (100, "2 min"), (5400, "1.5 h"), (2e5, "2.3 days")]
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
