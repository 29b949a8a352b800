"""What age, sex and site change, counted on HAM10000 `train`; and the sets of diagnoses that hold the right one.

    python -m train.embedded.patients --looks runs/second_look
    python -m train.embedded.patients --judge predictions.csv      # what both bring on HAM10000 `test`

The strength of each of the three is chosen on `val` by the least negative log-likelihood, from 0 (it does not count) to
1 (it counts as it was counted), one after the other, twice round. The thresholds of the sets are fitted on the same
`val`, with what was told. `--looks`: the folder where `train.embedded.calibrate` kept what it saw. Writes `told.json`
and `sets.json` beside the specialist's weights and prints what both bring on `val`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dermiq.shipped import seal
from dermiq.specialist.conformal import Sets, fitted
from dermiq.specialist.reader import WEIGHTS, Specialist, calibrated
from dermiq.specialist.told import Told, values_of
from dermiq.types import CLASSES, Json, PatientContext
from train.cases.data import context_of, data_folder, read_table
from train.embedded.looks import labels_of, looks_of
from train.embedded.metrics import bootstrap_intervals, classification_figures, set_figures

PRIOR = 10.0  # patients added to each class, spread as all patients are: a ratio of few is drawn towards 1
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FACTORS = ("age", "sex", "site")


def contexts_of(table: pd.DataFrame) -> list[PatientContext]:
    return [context_of(row) for row in table.itertuples(index=False)]


def counted(table: pd.DataFrame) -> Told:
    """Log-ratios P(value | class) / P(value) over the lesions of `table`, one row each; all strengths 1."""
    one = table.drop_duplicates("group")
    rows = pd.DataFrame([values_of(context) for context in contexts_of(one)], columns=list(FACTORS))
    rows["label"] = one["label"].to_numpy()
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for factor in FACTORS:
        known = rows.dropna(subset=[factor])
        share = known[factor].value_counts(normalize=True)
        table_of = pd.crosstab(known[factor], known["label"]).reindex(columns=CLASSES, fill_value=0)
        given = (table_of + PRIOR * share.to_numpy()[:, None]) / (table_of.sum() + PRIOR)
        logs = np.log(given.div(share, axis=0))
        ratios[factor] = {
            str(value): {code: round(float(logs.loc[value, code]), 4) for code in CLASSES} for value in logs.index
        }
    return Told(ratios, dict.fromkeys(FACTORS, 1.0), f"HAM10000 train, {len(one):,} lesions")


def with_told(told: Told, seen: np.ndarray, contexts: Sequence[PatientContext]) -> np.ndarray:
    """Probabilities (N, 7) by the image -> with what was told."""
    shifts = np.array([list(told.shift(context).values()) for context in contexts])
    weights = seen * np.exp(shifts)
    shown: np.ndarray = weights / weights.sum(1, keepdims=True)
    return shown


def loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-9)).mean())


def chosen(told: Told, seen: np.ndarray, labels: np.ndarray, contexts: Sequence[PatientContext]) -> Told:
    """With the strengths that `labels` (N,) are likeliest under."""
    best = replace(told, strengths=dict.fromkeys(FACTORS, 0.0))
    for factor in FACTORS * 2:
        trials = [replace(best, strengths={**best.strengths, factor: strength}) for strength in STRENGTHS]
        best = min(trials, key=lambda trial: loss(labels, with_told(trial, seen, contexts)))
    return best


def coverage(sets: Sets, labels: np.ndarray, probabilities: np.ndarray, certainty: str) -> dict[str, object]:
    held = [sets.holding(dict(zip(CLASSES, row, strict=True)), certainty) for row in probabilities]
    return set_figures(labels, held)


def judge(predictions: pd.DataFrame, table: pd.DataFrame, told: Told, sets: Sets) -> Json:
    """What age, sex and site change in the specialist's predictions by the image alone (of `train.evaluate`), and the
    sets with them: figures with 95 % intervals over lesions, and of their difference.
    """
    seen = predictions.set_index("image_id").loc[table["image_id"], [f"p_{c}" for c in CLASSES]].to_numpy(float)
    labels, shown = labels_of(table).numpy(), with_told(told, seen, contexts_of(table))
    groups = np.unique(table["group"].astype(str), return_inverse=True)[1]

    def figures(rows: np.ndarray) -> dict[str, float | None]:
        before, after = (classification_figures(labels[rows], shares[rows]) for shares in (seen, shown))
        gain = {
            f"gain_{name}": None if value is None or before[name] is None else value - float(before[name] or 0.0)
            for name, value in after.items()
        }
        return {**after, **gain}

    return {
        "n": len(table),
        "figures": figures(np.arange(len(table))),
        "intervals_95": bootstrap_intervals(figures, groups),
        "sets": {certainty: coverage(sets, labels, shown, certainty) for certainty in sets.thresholds},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=Path)
    parser.add_argument("--judge", type=Path, help="predictions of HAM10000 test by train.evaluate: judges them alone")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--data", default=None, help="the data folder; default: DERMIQ_DATA")
    options = parser.parse_args(arguments)
    data, specialist = data_folder(options.data), Specialist.load(options.out)
    if options.judge:
        test = read_table(data, "ham10000", ["test"])
        found = judge(pd.read_csv(options.judge), test, specialist.told, specialist.sets)
        rounded = json.loads(json.dumps(found), parse_float=lambda value: round(float(value), 4))
        (options.out / "told_test.json").write_text(json.dumps(rounded, indent=1) + "\n")
        return
    val = read_table(data, "ham10000", ["val"])
    looks = looks_of(specialist, val, options.looks / "looks_ham10000_val.safetensors")
    labels, contexts = labels_of(val).numpy(), contexts_of(val)
    seen = calibrated(looks.logits, specialist.calibration).double().numpy()
    told = chosen(counted(read_table(data, "ham10000", ["train"])), seen, labels, contexts)
    shown = with_told(told, seen, contexts)
    for name, probabilities in (("image alone", seen), ("with what was told", shown)):
        print(name, round(loss(labels, probabilities), 4), classification_figures(labels, probabilities))
    own = shown[np.arange(len(labels)), labels]
    thresholds = fitted([CLASSES[label] for label in labels], own.tolist())
    sets = Sets(
        {
            certainty: {code: round(limit, 5) for code, limit in limits.items()}
            for certainty, limits in thresholds.items()
        },
        f"HAM10000 val, {len(val):,} images, with age, sex and site",
    )
    print("strengths", told.strengths, "sets", {c: coverage(sets, labels, shown, c) for c in sets.thresholds})
    for path, made in ((options.out / "told.json", told), (options.out / "sets.json", sets)):
        path.write_text(json.dumps(asdict(made), indent=1) + "\n")
    seal(options.out)


if __name__ == "__main__":
    main()
