"""Settings that differ in one thing, judged alike: names, intervals, and a tiny comparison from start to table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermiq.errors import DermIQError
from tests.train.stage_runs import CONFIGS, make_table, tiny_options
from train import ablate, options
from train.ablate import AS_GIVEN, UNTRAINED, AblationConfig, compared, table
from train.grpo import GRPOConfig
from train.runs import registry as runs
from train.runs.run_folder import read_lines
from train.scoring.rewards import RewardSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),  # peft
]


def flat(config: GRPOConfig) -> dict[str, Any]:
    return dict(runs.flat(options.as_dict(config)))


def changed(config: AblationConfig, setting: str) -> dict[str, Any]:
    one, other = flat(config.settings()[AS_GIVEN]), flat(config.settings()[setting])
    return {key: other[key] for key in one if one[key] != other[key]}


def test_each_setting_changes_one_thing() -> None:
    config = AblationConfig(estimators=("grpopp", "grpo", "ngrpo"), inits=("nano", "owner/other"))
    names = list(config.settings())
    assert names == [
        *(AS_GIVEN, "init other", "semantic none", "length ecr", "length cwr"),
        *("estimator grpo", "estimator ngrpo"),
    ]
    assert changed(config, "init other") == {"model": "owner/other"}
    assert changed(config, "semantic none")["rewards.semantic"] == 0
    assert changed(config, "length cwr") == {"rewards.length_reward": "cwr"}
    assert changed(config, "estimator ngrpo") == {"advantage.estimator": "ngrpo"}


def test_an_expert_is_a_setting_where_one_is_named() -> None:
    rewards = RewardSettings(expert_model="owner/judge")
    config = AblationConfig(dimensions=("semantic",), grpo=GRPOConfig(rewards=rewards))
    assert {name: made.rewards.parts for name, made in config.settings().items()} == {
        AS_GIVEN: ("correctness", "format", "semantic", "consistency", "expert"),
        "semantic none": ("correctness", "format", "consistency"),
        "semantic graph": ("correctness", "format", "semantic", "consistency"),
        "semantic expert": ("correctness", "format", "consistency", "expert"),
    }


def lines(*right: float) -> list[dict[str, Any]]:
    return [{**dict.fromkeys(ablate.FIGURES), "correctness": x, "group": str(i)} for i, x in enumerate(right)]


def test_differences_are_drawn_over_the_same_images() -> None:
    base = [0.0, 1.0] * 20
    found = {
        result.name: result
        for result in compared(
            {AS_GIVEN: lines(*base), "better": lines(*(x / 2 + 0.5 for x in base)), "same": lines(*base)},
            {AS_GIVEN: 0.25},
        )
    }
    assert found[AS_GIVEN].against is None
    assert found[AS_GIVEN].collapse == 0.25
    assert found["same"].against == (0, 0, 0)  # image by image, although both intervals are wide
    low, high = found["same"].intervals["correctness"]
    assert low < 0.4 < 0.6 < high
    better = found["better"].against
    assert better is not None
    assert better[0] == 0.25
    assert 0.1 < better[1] < 0.25 < better[2] < 0.4
    assert found["same"].figures["semantic"] is None
    text = table(list(found.values()))
    assert "| better | 0.750 |" in text
    assert all(line.count("|") == text.splitlines()[0].count("|") for line in text.splitlines())


@pytest.fixture
def config(tmp_path: Path) -> AblationConfig:
    shared = tiny_options(tmp_path)
    shared["data"] = (str(make_table(tmp_path / "split", split=["train"] * 5 + ["val"] * 3)),)
    grpo = GRPOConfig(**shared, steps=2, group=2, new_tokens=6, facts=1, mask_truncated=False)
    return AblationConfig(dimensions=("estimator",), estimators=("grpo",), judged=2, answers=2, grpo=grpo)


def test_from_runs_to_a_table(config: AblationConfig, root: Path) -> None:
    found = ablate.run_all(config, "x", root, lambda run: None)
    assert [result.name for result in found] == [UNTRAINED, AS_GIVEN, "estimator grpo"]
    assert {run.name: run.state for run in runs.list_runs(root)} == {
        "x-as-given-1": "finished",
        "x-estimator-grpo-1": "finished",
    }
    assert all((result.figures["words"] or 0) > 0 for result in found)
    assert found[0].collapse is None
    assert found[1].collapse is not None

    judged = root / "x-as-given-1" / ablate.JUDGED
    whole = read_lines(judged)
    assert len(whole) == 2
    judged.write_text(judged.read_text()[: len(judged.read_text()) // 2 + 20])  # killed while it judged
    assert ablate.run_all(config, "x", root, lambda run: None) == found
    assert read_lines(judged) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": ()}, "seeds must name"),
        ({"dimensions": ("init",)}, "nothing to compare"),
        ({"grpo": GRPOConfig(rewards=RewardSettings(semantic=0))}, "semantic is 0"),
        ({"inits": ("no such",), "dimensions": ("init",)}, "init no such: There is no model"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str, config: AblationConfig) -> None:
    with pytest.raises(DermIQError, match=words):
        replace(config, **change).check()


def test_without_images_to_judge_by_nothing_begins(config: AblationConfig) -> None:
    table_without = make_table(Path(config.grpo.data[0]).parent / "alone")
    with pytest.raises(DermIQError, match="no val"):
        replace(config, grpo=replace(config.grpo, data=(str(table_without),))).check()


def test_the_example_config_is_valid() -> None:
    made = options.load(AblationConfig, ["--config", str(CONFIGS / "ablate_embedded_cpu.yaml")])
    assert options.make(AblationConfig, options.as_dict(made)) == made
