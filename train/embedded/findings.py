"""Measure the findings of labelled lesions and store what they mean.

    python -m train.embedded.findings [--data FOLDER] [--out FILE] [--limit N]

Reads the `train` split of HAM10000 (images, true masks, labels), one image a lesion,
measures every finding and writes percentiles among benign lesions and likelihood ratios
a class, with the counts that they rest on, as JSON. Knows no model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dermiq.errors import DataError
from dermiq.lesion import FINDING_CODES, FindingsReference, measure_findings
from dermiq.lesion.reference import BENIGN, REFERENCE_PATH, FindingDistribution
from dermiq.shipped import seal
from dermiq.types import CLASSES
from train.cases.data import data_folder, read_table

DATASET = "HAM10000, train split, one image a lesion, true masks (Tschandl, Rosendahl, Kittler 2018)"
LICENCE = "CC BY-NC 4.0"
BENIGN_CUTS = (25.0, 50.0, 75.0, 90.0)  # percentiles among benign lesions that part the bins
SHARE_EDGES = (1.0, 5.0, 20.0)  # % of area: no trace, present (5), prominent
COUNT_EDGES = (2.0, 3.0, 4.0)  # colours: at most one, two, three, four or more
Z95 = 1.96


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    rows = training_rows(data_folder(options.data))
    labels, values = measure_rows(rows[: options.limit] if options.limit else rows)
    reference = build_reference(labels, values)
    write(reference, options.out)
    print(f"{reference.n} lesions -> {options.out}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train.embedded.findings", description="Measure labelled lesions.")
    parser.add_argument("--data", default=None, help="the folder that holds ham10000/; default: DERMIQ_DATA")
    parser.add_argument("--out", type=Path, default=REFERENCE_PATH)
    parser.add_argument("--limit", type=int, default=0, help="lesions at most; 0: all")
    return parser.parse_args(arguments)


class Row(NamedTuple):
    label: str
    image: str
    mask: str


def training_rows(folder: Path) -> list[Row]:
    """The first image of every lesion in `train`."""
    table = read_table(folder, "ham10000", ["train"]).drop_duplicates("group")
    return [Row(*row) for row in table[["label", "image", "mask"]].itertuples(index=False)]


def measure_rows(rows: Sequence[Row]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels (N,) and per finding its values (N,), NaN where it could not be judged."""
    values = {code: np.full(len(rows), np.nan) for code in FINDING_CODES}
    for index, row in enumerate(rows):
        with Image.open(row.image) as image, Image.open(row.mask) as mask:
            found = measure_findings(np.asarray(image.convert("RGB")), np.asarray(mask.convert("L")) > 127)
        for finding in found:
            values[finding.code][index] = finding.value
        if (index + 1) % 500 == 0:
            print(f"{index + 1} of {len(rows)} lesions measured", flush=True)
    return np.array([row.label for row in rows]), values


def build_reference(labels: np.ndarray, values: Mapping[str, np.ndarray]) -> FindingsReference:
    return FindingsReference(
        dataset=DATASET,
        licence=LICENCE,
        n=int(labels.size),
        class_n={name: int((labels == name).sum()) for name in CLASSES},
        findings={code: distribution(code, labels, measured) for code, measured in values.items()},
    )


def distribution(code: str, labels: np.ndarray, values: np.ndarray) -> FindingDistribution:
    known = ~np.isnan(values)
    labels, values = labels[known], values[known]
    benign = values[np.isin(labels, BENIGN)]
    if benign.size == 0:
        raise DataError(f"No benign lesion has a value for {code}: use a data folder with nv, bkl, df or vasc.")
    edges = bin_edges(code, benign)
    bins = np.searchsorted(edges, values, side="right")
    counts = {name: np.bincount(bins[labels == name], minlength=len(edges) + 1) for name in CLASSES}
    total = np.sum(list(counts.values()), axis=0)
    ratios, intervals = {}, {}
    for name in CLASSES:
        ratios[name], intervals[name] = likelihood_ratio(counts[name], total - counts[name])
    quantiles = np.percentile(benign, np.arange(101))
    return FindingDistribution(
        quantiles=tuple(round(float(value), 4) for value in quantiles),
        edges=edges,
        counts={name: tuple(int(count) for count in counted) for name, counted in counts.items()},
        ratios=ratios,
        intervals=intervals,
    )


def bin_edges(code: str, benign: np.ndarray) -> tuple[float, ...]:
    if code == "colour_count":
        return COUNT_EDGES
    if code.startswith("colour_") and code not in ("colour_asymmetry", "colour_variegation"):
        return SHARE_EDGES
    return tuple(round(float(value), 4) for value in np.percentile(benign, BENIGN_CUTS))


def likelihood_ratio(
    inside: np.ndarray, outside: np.ndarray
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """P(bin | class) / P(bin | other classes) a bin with half a lesion added to each, and its 95 % interval.

    The interval is the log-normal one for a ratio of two proportions.
    """
    bins = inside.size
    k_in, k_out = inside + 0.5, outside + 0.5
    n_in, n_out = inside.sum() + 0.5 * bins, outside.sum() + 0.5 * bins
    ratio = (k_in / n_in) / (k_out / n_out)
    spread = np.exp(Z95 * np.sqrt(1 / k_in - 1 / n_in + 1 / k_out - 1 / n_out))
    low, high = ratio / spread, ratio * spread
    return (
        tuple(round(float(value), 3) for value in ratio),
        tuple((round(float(a), 3), round(float(b), 3)) for a, b in zip(low, high, strict=True)),
    )


def write(reference: FindingsReference, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(reference), separators=(",", ": "))
    path.write_text(
        text.replace('"findings": {', '"findings": {\n').replace("]]}},", "]]}},\n") + "\n", encoding="utf-8"
    )
    seal(path.parent)


if __name__ == "__main__":
    main()
