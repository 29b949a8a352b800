"""Judges what a run made on labelled images, as a run of its own: queued, watched, stopped and resumed like the others.

    python -m train.evaluation --model my-run --data ham10000 --split val --images 100

`final/` holds the predictions and `evaluation.json`, figures with 95 % intervals over lesions or patients; a copy lies
in the folder of the run that was judged. The same seed draws the same images, so two runs are judged on the same ones.
`train.evaluate` does the same for files, and for what models write.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dermiq.data_sets import DATA_SETS, DEFAULT, NAMED
from dermiq.errors import DataError, InputError
from dermiq.settings import Settings
from dermiq.types import Json
from train.cases.data import data_folder, read_table
from train.cases.labelled import quiet
from train.config import check_device, place_of, resolved_model
from train.options import option
from train.runs.command import command
from train.runs.job import Job
from train.runs.log import append
from train.runs.paths import runs_folder
from train.runs.run_folder import EVALUATION, is_complete, read_config, read_lines, seal, write_json

if TYPE_CHECKING:
    import pandas as pd

READ = "read.jsonl"  # the rows that were read so far


@dataclass(frozen=True)
class EvaluationConfig:
    stage: ClassVar[str] = "train.evaluation"

    model: str = option("nano", "a run's name, a folder, a model of the hub, or nano: DermIQ-Nano")
    weights: str = option("final", "of a run: final, or checkpoint-N")
    data: str = option(DEFAULT[0], f"{NAMED}, or a CSV with image and label")
    labels: str = option("classes", "known: leave out rows whose label fits no class", choices=("classes", "known"))
    split: str = option("val", "of the data sets", choices=("val", "test", "train"))
    images: int = option(100, "drawn at random; 0: all", minimum=0)
    seed: int = option(0, "of the drawing", minimum=0)
    rounds: int = option(500, "of the bootstrap", minimum=20)
    device: str = option("", "cpu, cuda, cuda:1, mps; empty: a GPU when there is one")
    data_folder: str = option("", f"that holds {NAMED}; empty: DERMIQ_DATA")

    def check(self) -> None:
        check_device(self.device)
        self.judged()
        self.table()

    def place(self) -> str:
        return place_of(self.device)

    def judged(self) -> str:
        """What `load_vlm` loads. Raises InputError where those weights are not there."""
        folder = run_of(self.model)
        if folder is None or self.weights == "final":
            return resolved_model(self.model)
        if not is_complete(folder / self.weights):
            raise InputError(f"The run {folder.name} has no {self.weights}.")
        return str(folder / self.weights)

    def table(self, say: Callable[[str], None] = quiet) -> pd.DataFrame:
        """The labelled rows; `say` is told what was left out of them. Raises DataError."""
        from train.evaluate import table_of_csv  # PyTorch takes seconds to load

        if self.data in DATA_SETS:
            table = read_table(data_folder(self.data_folder or None), self.data, [self.split])
        else:
            table = table_of_csv(Path(self.data).expanduser(), labels=self.labels, say=say)
        if "label" not in table:
            raise DataError(f"{self.data} has no column label to judge by.")
        if self.images and self.images < len(table):
            table = table.sample(self.images, random_state=self.seed)
        return table.reset_index(drop=True)


CONFIG = EvaluationConfig


def run_of(name: str) -> Path | None:
    """The folder of the run that is called so; None where it is no run."""
    for folder in (Path(name).expanduser(), runs_folder() / name):
        with contextlib.suppress(DataError):  # a model's folder has a config.json, too
            read_config(folder)
            return folder.resolve()
    return None


def run(config: EvaluationConfig, job: Job) -> None:
    import pandas as pd

    from train.evaluate import read_by_vlm  # PyTorch takes seconds to load

    table = config.table(say=partial(print, flush=True))
    done = read_lines(job.folder / READ)
    settings = replace(Settings.load([]), model=config.judged(), adapter=None, device=config.device or None)
    job.say("Loading the model")
    job.progress(len(done), len(table))
    for line in read_by_vlm(table.iloc[len(done) :], settings) if len(done) < len(table) else ():
        append(job.folder / READ, line)
        done.append(line)
        job.do(f"Reading image {min(len(done) + 1, len(table))} of {len(table)}", soon=True)
        job.progress(len(done), len(table))
        if job.stop_requested:
            return
        job.make_way()
    _finish(config, job, table, pd.DataFrame(done))


def _finish(config: EvaluationConfig, job: Job, table: pd.DataFrame, predictions: pd.DataFrame) -> None:
    from train.evaluate import figures, rounded, write_predictions  # PyTorch takes seconds to load

    where = Path(config.data).name if config.data not in DATA_SETS else f"{config.data}, {config.split}"
    result: Json = {
        "on": f"{where}, {len(table)} images" + (f" drawn with seed {config.seed}" if config.images else ""),
        "weights": config.weights,
        **rounded(figures(table, predictions, rounds=config.rounds)),
    }
    final = job.folder / "final"
    final.mkdir(exist_ok=True)
    write_predictions(predictions, final / "predictions.csv")
    write_json(final / EVALUATION, result)
    judged = run_of(config.model)
    if judged:
        write_json(judged / EVALUATION, result)
    print(f"{config.model}, {config.weights}, on {result['on']}: {result['figures']}", flush=True)
    seal(final, model=config.model, weights=config.weights)


if __name__ == "__main__":
    sys.exit(command(EvaluationConfig, description=__doc__ or ""))
