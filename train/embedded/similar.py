"""Makes the table of similar cases: one training image a lesion, as the transformer sees it, with its diagnosis.

    python -m train.embedded.similar [--data FOLDER]

HAM10000 and ISIC 2018, `train` splits alone. Of the features the leading components are kept, in half precision; no
image is. Prints how often the nearest cases of `val` have the right diagnosis, by `--looks` where it is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermiq.shipped import seal
from dermiq.specialist.reader import WEIGHTS, Specialist
from dermiq.specialist.similar import PROOFS, Similar
from dermiq.types import CLASSES
from train.cases.data import data_folder, read_table
from train.embedded.looks import impressions_of, labels_of, looks_of
from train.embedded.metrics import balanced_accuracy

COMPONENTS = 64
BY_NAME = {"histo": 0, "follow_up": 1, "consensus": 2, "confocal": 3}  # HAM10000's names -> PROOFS


def cases(data: Path) -> pd.DataFrame:
    """One training image a lesion with its proof: the table that `read_table` gives, and column proof."""
    parts = []
    for name in ("ham10000", "isic2018_attributes"):
        table = read_table(data, name, ["train"]).drop_duplicates("group")
        raw = pd.read_csv(data / name / "metadata.csv").set_index("image_id")
        proofs = raw["dx_type"].reindex(table["image_id"]) if "dx_type" in raw else pd.Series(index=table["image_id"])
        table["proof"] = [BY_NAME.get(proof, len(PROOFS) - 1) for proof in proofs]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def made(features: np.ndarray, table: pd.DataFrame) -> Similar:
    """From features (N, 768) of the table's images."""
    mean = features.mean(0)
    _, _, right = np.linalg.svd(features - mean, full_matrices=False)
    similar = Similar(
        basis=right[:COMPONENTS].T.astype(np.float16),
        mean=mean.astype(np.float16),
        vectors=np.zeros(0),
        ids=np.array([int(name.split("_")[1]) for name in table["image_id"]], np.int32),
        labels=labels_of(table).numpy().astype(np.uint8),
        proofs=table["proof"].to_numpy(np.uint8),
    )
    similar.vectors = similar.placed(features).astype(np.float16).astype(np.float32)
    return similar


def write(similar: Similar, path: Path) -> None:
    halves = {name: getattr(similar, name).astype(np.float16) for name in ("basis", "mean", "vectors")}
    np.savez_compressed(path, **halves, ids=similar.ids, labels=similar.labels, proofs=similar.proofs)
    seal(path.parent)


def votes(similar: Similar, features: np.ndarray, *, count: int) -> np.ndarray:
    """Shares of the classes (N, 7) among the nearest `count` cases of each of N images, by likeness."""
    likeness = similar.placed(features) @ similar.vectors.T
    nearest = np.argsort(-likeness, axis=1)[:, :count]
    weights = np.exp(10 * np.take_along_axis(likeness, nearest, 1))
    shares = np.zeros((len(features), len(CLASSES)))
    for code in range(len(CLASSES)):
        shares[:, code] = (weights * (similar.labels[nearest] == code)).sum(1)
    normalised: np.ndarray = shares / shares.sum(1, keepdims=True)
    return normalised


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--looks", type=Path, help="where `train.embedded.calibrate` kept what it saw of `val`")
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args(arguments)
    data, specialist = data_folder(options.data), Specialist.load(options.out)
    table, calibration = cases(data), specialist.calibration
    features = impressions_of(
        specialist.transformer,
        table,
        size=calibration.transformer_size,
        extents=calibration.window,
        smallest=calibration.smallest_window,
    )
    similar = made(features.numpy(), table)
    write(similar, options.out / "similar.npz")
    if options.looks:
        val = read_table(data, "ham10000", ["val"])
        looks = looks_of(specialist, val, options.looks / "looks_ham10000_val.safetensors")
        labels = labels_of(val).numpy()
        for count in (1, 6, 20):
            answers = votes(similar, looks.impressions.numpy(), count=count).argmax(1)
            right, recall = (answers == labels).mean(), balanced_accuracy(labels, answers)
            print(f"nearest {count}: right {right:.3f}, balanced accuracy {recall:.3f}")


if __name__ == "__main__":
    main()
