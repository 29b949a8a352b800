"""How long a run will take: from an earlier run where there is one, else from speeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stage_runs import tiny_options
from train import runs
from train.dpo import DPOConfig
from train.duration import STARTING_S, Speed, expected, in_words, seconds_of_a_step, seconds_of_pairs, steps_of
from train.estimate import Shape, without_weights
from train.grpo import GRPOConfig
from train.run_folder import Status, write_json, write_status
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


def test_an_earlier_run_tells_more_than_a_reckoning(config: GRPOConfig, tmp_path: Path) -> None:
    vlm, root = without_weights(config), tmp_path / "runs"
    reckoned = expected(config, vlm, SHAPE, root, examples=8)
    assert "factor of two" in reckoned.why
    assert reckoned.seconds > STARTING_S
    folder = runs.create(replace(config, group=2), name="before", root=root)
    write_status(folder, Status("finished", device="cpu"))
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": i, "seconds_per_step": 3.0}) + "\n" for i in (1, 2))
    )
    known = expected(config, vlm, SHAPE, root, examples=8)
    assert known.seconds == pytest.approx(STARTING_S + 10 * 6.0)  # twice the group, twice the time
    assert known.text() == "80 s for 10 steps: 6.0 s a step, as in the run before"
    for change in ({"gradient_checkpointing": True}, {"dtype": "bfloat16"}):
        assert "reckoned" in expected(replace(config, **change), vlm, SHAPE, root, examples=8).why
    write_json(folder / runs.CONFIG, {"stage": "train.sft", "options": {}})
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
