"""How well the specialist sees dermoscopic structures: on ISIC 2018's images that were kept apart.

    python -m train.embedded.structures [--split test] [--out dermiq/weights/specialist/structures_test.json]

Of each structure the AUROC of its presence with a 95 % interval, how its probabilities are calibrated, and the Dice
coefficient of the places with those that were drawn, over images where it was drawn. Everything was chosen on `val`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score

from dermiq.specialist.reader import WEIGHTS, Specialist
from dermiq.types import STRUCTURES, Json, Lesion
from train.cases.data import data_folder, read_table
from train.embedded.looks import pixels_of
from train.embedded.metrics import bootstrap_intervals
from train.embedded.second_look import drawn_structures

PLACES = 0.4  # of a map, from which a place counts, as the page draws it


def overlap(found: np.ndarray, drawn: np.ndarray) -> float:
    both = found.sum() + drawn.sum()
    return float(2 * (found & drawn).sum() / both) if both else 1.0


def figures(presence: np.ndarray, chances: np.ndarray, dice: np.ndarray) -> Json:
    """From presence (N, 5) of 0 and 1, probabilities (N, 5), and Dice (N, 5), NaN where nothing was drawn."""
    groups = np.arange(len(presence))
    found: Json = {"n": len(presence)}

    def aurocs(rows: np.ndarray) -> dict[str, float | None]:
        each = {
            code: float(roc_auc_score(presence[rows, i], chances[rows, i]))
            if 0 < presence[rows, i].sum() < len(rows)
            else None
            for i, code in enumerate(STRUCTURES)
        }
        known = [value for value in each.values() if value is not None]
        return {**each, "mean": float(np.mean(known)) if len(known) == len(STRUCTURES) else None}

    intervals, whole = bootstrap_intervals(aurocs, groups), aurocs(groups)
    found["mean_auroc"], found["mean_auroc_95"] = whole["mean"], intervals["mean"]
    for i, code in enumerate(STRUCTURES):
        found[code] = {
            "drawn_on": int(presence[:, i].sum()),
            "auroc": whole[code],
            "auroc_95": intervals[code],
            "mean_probability": float(chances[:, i].mean()),
            "brier": float(brier_score_loss(presence[:, i], chances[:, i])),
            "brier_of_the_share": float(presence[:, i].mean() * (1 - presence[:, i].mean())),
            "dice": float(np.nanmean(dice[:, i])),
        }
    return found


@torch.inference_mode()
def measure(specialist: Specialist, data: Path, split: str) -> Json:
    table = read_table(data, "isic2018_attributes", [split])
    chances, dice = np.zeros((len(table), len(STRUCTURES))), np.full((len(table), len(STRUCTURES)), np.nan)
    drawn = drawn_structures(data, table, (300, 400))
    for row, path in enumerate(table["image"]):
        lesion = Lesion(pixels_of(path))
        look = specialist.look(lesion.pixels)
        chances[row] = list(specialist.structures_of(look).values())
        maps = specialist.structure_maps(lesion, look.outline)
        for i, code in enumerate(STRUCTURES):
            places = drawn.bits[row] >> i & 1 > 0
            if places.any():
                found = torch.nn.functional.interpolate(torch.from_numpy(maps[code])[None, None], size=(300, 400))[0, 0]
                dice[row, i] = overlap(found.numpy() >= PLACES, places)
    return {"data_set": f"ISIC 2018, {split}", **figures(drawn.presence, chances, dice)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, default=WEIGHTS / "structures_test.json")
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args(arguments)
    found = measure(Specialist.load(), data_folder(options.data), options.split)
    text = json.dumps(json.loads(json.dumps(found), parse_float=lambda value: round(float(value), 4)), indent=1)
    options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
