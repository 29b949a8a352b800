"""What a newcomer adds takes one file: the recipes of CONTRIBUTING.md, followed in a copy of the code.

A condition is added by tables: `tests/knowledge/test_add_a_condition.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", RECIPES, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code, with what Python had compiled of it; weights, graph and tests as they are here."""
    made = tmp_path_factory.mktemp("copy")
    for name in ("dermiq", "train"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("weights"))
    for name in ("dermiq/weights", "kg_data", "tests"):
        (made / name).symlink_to(ROOT / name)
    return made


class Changed:
    """The copy with a recipe's block in the file that it names."""

    def __init__(self, copy: Path, data: Path) -> None:
        self.copy, self.data = copy, data
        self.before: dict[Path, str] = {}

    def add(self, file: str, *, before: str, indent: int, end: str = ",") -> None:
        path = self.copy / file
        self.before[path] = text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{file} has {text.count(before)} places {before!r}"
        block = textwrap.indent(BLOCKS[file].rstrip(), indent * " ") + end
        path.write_text(text.replace(before, f"{block}\n{before}"), encoding="utf-8")

    def seen(self, script: str) -> dict[str, Any]:
        """What a script in the copy puts into `seen`."""
        folders = {"DERMIQ_DATA": self.data, "DERMIQ_RUNS": self.data / "runs", "DERMIQ_REVIEW": self.data / "review"}
        done = subprocess.run(
            [sys.executable, "-c", f"import json\nseen = {{}}\n{script}\nprint(json.dumps(seen))"],
            cwd=self.copy,
            env={**os.environ, **{name: str(folder) for name, folder in folders.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@pytest.fixture
def changed(copy: Path, tmp_path: Path) -> Iterator[Changed]:
    made = Changed(copy, tmp_path)
    yield made
    assert len(made.before) == 1, "one file each"
    for path, text in made.before.items():
        path.write_text(text, encoding="utf-8")


# --- a data set -------------------------------------------------------------------------

TABLE = (
    "image_id,dx,patient,age,split,image\n"
    "1,melanoma in situ,a,61,train,1.png\n2,nv,b,30,train,2.png\n3,wart,c,9,train,3.png\n4,bcc,d,70,test,4.png\n"
)
READ = """
import contextlib, io
from dermiq.data_sets import markdown
from dermiq.settings import Settings
from dermiq.ui.training.controller import training_controller
from train import evaluate
from train.cases.sources import read_source
from train.options import parser
from train.sft import SFTConfig
seen["rows"] = [(row.label, row.group) for row in read_source("clinic", "train")]
seen["form"] = training_controller(None, Settings(), graph=lambda: None)._data()
seen["readme"] = markdown()
seen["sft"] = " ".join(parser(SFTConfig, prog="sft", description="").format_help().split())
with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
    evaluate.main(["--help"])
seen["evaluate"] = told.getvalue()
"""


def test_a_data_set_is_one_record(changed: Changed) -> None:
    (changed.data / "clinic").mkdir()
    (changed.data / "clinic" / "metadata.csv").write_text(TABLE, encoding="utf-8")
    for number in range(1, 5):
        Image.new("RGB", (96, 96), (190, 140, 120)).save(changed.data / "clinic" / f"{number}.png")
    changed.add("dermiq/data_sets.py", before="    )\n}\nNAMED", indent=8)
    seen = changed.seen(READ)
    assert seen["rows"] == [["mel", "clinic:a"], ["nv", "clinic:b"]]
    assert seen["form"] == {"clinic": "Our clinic (dermoscopy)"}
    assert "| `clinic/` | [Our clinic](https://example.org/clinic) |" in seen["readme"]
    assert "isic2018_attributes, clinic, CSV" in seen["sft"]
    assert "isic2018_attributes,clinic}" in seen["evaluate"]


# --- a reward, an estimator -------------------------------------------------------------

REWARDED = """
from dermiq.ui.training.form import shown_options
from dermiq.ui.training.labels import label, section
from train.ablate import FIGURES
from train.options import make, parser
from train.grpo import GRPOConfig
from train.scoring.rewards import CaseFacts, Rewarder, RewardSettings
rewarder = Rewarder(RewardSettings())
seen["parts"] = dict(rewarder.reward("<answer>nevus</answer>", CaseFacts("nv")).parts)
seen["columns"] = [function.__name__ for function in rewarder.functions()]
seen["form"] = [label("rewards.brevity"), section("rewards.brevity"), shown_options("grpo")["rewards.brevity"].help]
seen["compared"] = FIGURES
seen["help"] = " ".join(parser(GRPOConfig, prog="grpo", description="").format_help().split())
try:
    make(GRPOConfig, {"rewards": {"brevity": -1}})
except Exception as error:
    seen["refused"] = str(error)
"""


def test_a_reward_is_one_entry(changed: Changed) -> None:
    changed.add("train/scoring/rewards.py", before="    parent_credit: float", indent=4, end="")
    seen = changed.seen(REWARDED)
    assert seen["parts"]["brevity"] == 1.0
    assert seen["columns"] == list(seen["parts"]) == ["correctness", "format", "semantic", "consistency", "brevity"]
    assert seen["form"] == ["Weight of brevity", "Rewards", "an answer of few words"]
    assert "brevity" in seen["compared"]
    assert seen["refused"] == "rewards: The weight of brevity is -1.0; it must be 0 or more."
    assert "--rewards.brevity X an answer of few words" in seen["help"]


ESTIMATED = """
import torch
from dermiq.ui.training.labels import CHOICES
from train.grpo import GRPOConfig
from train.options import parser
from train.rl.advantages import AdvantageSettings, combine, estimate
rewards = combine(torch.tensor([[[1.0], [0.0]]]), ["correctness"], [1.0])
seen["advantages"] = estimate(rewards, AdvantageSettings("sign")).tolist()
seen["form"] = CHOICES["advantage.estimator"]["sign"]
seen["help"] = " ".join(parser(GRPOConfig, prog="grpo", description="").format_help().split())
"""


def test_an_estimator_is_one_entry(changed: Changed) -> None:
    changed.add("train/rl/advantages.py", before="}\n\n\ndef _described", indent=4)
    seen = changed.seen(ESTIMATED)
    assert (seen["advantages"], seen["form"]) == ([[1.0, -1.0]], "Sign of the distance")
    assert "sign: above or below the group's mean (our own)" in seen["help"]


# --- a tab ------------------------------------------------------------------------------

SHOWN = """
from dermiq.settings import Settings
from dermiq.ui.app import create_app, launch_options
from tests.fakes import FakeConsultant
parts = [part for part in create_app(FakeConsultant(), Settings()).config["components"]]
seen["tabs"] = [part["props"]["label"] for part in parts if part["type"] == "tabitem"]
seen["text"] = [part["props"]["value"] for part in parts if part["props"].get("elem_id") == "dq-hello"]
seen["css"] = "#dq-hello { max-width: 60ch; }" in launch_options(Settings())["css"]
"""


def test_a_tab_is_one_object(changed: Changed) -> None:
    changed.add("dermiq/ui/tabs.py", before='    Tab("about", ', indent=4)
    seen = changed.seen(SHOWN)
    assert seen["tabs"] == ["Consult", "Knowledge", "Training", "Review", "Hello", "About"]
    assert seen["text"] == ["DermIQ-Nano 0.1 answers."]
    assert seen["css"]
