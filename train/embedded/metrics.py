"""Figures from labels and probabilities. Arrays in, numbers out; knows no model and no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, recall_score, roc_auc_score

from dermiq.types import CLASSES


def balanced_accuracy(labels: np.ndarray, answers: np.ndarray) -> float:
    """Mean recall over the classes that occur in `labels` (N,)."""
    return float(recall_score(labels, answers, labels=np.unique(labels), average="macro", zero_division=0))


def macro_f1(labels: np.ndarray, answers: np.ndarray) -> float:
    """Mean F1 over the classes that occur in `labels` (N,)."""
    return float(f1_score(labels, answers, labels=np.unique(labels), average="macro", zero_division=0))


def reliability_bins(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = 15) -> list[dict[str, float]]:
    """Equal-width bins of the highest probability: mean confidence, accuracy and n of each that is not empty."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[which == b].mean()),
            "accuracy": float(right[which == b].mean()),
            "n": int((which == b).sum()),
        }
        for b in range(bins)
        if (which == b).any()
    ]


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over `reliability_bins`, weighted by n (Naeini et al. 2015)."""
    rows = reliability_bins(labels, probabilities, bins=bins)
    return sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(labels)


def one_class_auroc(labels: np.ndarray, probabilities: np.ndarray, code: str) -> float | None:
    """Area under the ROC curve of one class against the rest; None where only one side occurs."""
    positive = labels == CLASSES.index(code)
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, probabilities[:, CLASSES.index(code)]))


def classification_figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The figures of the model card, from labels (N,) and probabilities (N, 7)."""
    answers = probabilities.argmax(1)
    truth = np.eye(len(CLASSES))[labels]
    return {
        "balanced_accuracy": balanced_accuracy(labels, answers),
        "macro_f1": macro_f1(labels, answers),
        "accuracy": float((labels == answers).mean()),
        "melanoma_auroc": one_class_auroc(labels, probabilities, "mel"),
        "cancer_sensitivity": cancer_sensitivity(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "brier": float(((probabilities - truth) ** 2).sum(1).mean()),
    }


MALIGNANT = ("akiec", "bcc", "mel")


def sensitivity_at(positive: np.ndarray, scores: np.ndarray, specificity: float) -> float | None:
    """Of positives (N,) bool the share whose score is above all but 1 - `specificity` of the negatives'."""
    if positive.all() or not positive.any():
        return None
    limit = np.quantile(scores[~positive], specificity, method="inverted_cdf")
    return float((scores[positive] > limit).mean())


def cancer_sensitivity(labels: np.ndarray, probabilities: np.ndarray, *, specificity: float = 0.9) -> float | None:
    """Of melanoma, basal cell carcinoma and actinic keratosis or Bowen's disease together, against all else."""
    codes = [CLASSES.index(code) for code in MALIGNANT]
    return sensitivity_at(np.isin(labels, codes), probabilities[:, codes].sum(1), specificity)


def set_figures(labels: np.ndarray, sets: Sequence[Sequence[str]]) -> dict[str, object]:
    """How often a set of class codes holds the right one, in all and in each class, and how many it holds."""
    right = np.array([CLASSES[label] in codes for label, codes in zip(labels, sets, strict=True)])
    present = [i for i in range(len(CLASSES)) if (labels == i).any()]
    return {
        "coverage": float(right.mean()),
        "by_class": {CLASSES[i]: float(right[labels == i].mean()) for i in present},
        "mean_size": float(np.mean([len(codes) for codes in sets])),
        "single": float(np.mean([len(codes) == 1 for codes in sets])),
    }


def recall_by_class(labels: np.ndarray, answers: np.ndarray) -> dict[str, float | None]:
    return {
        code: float((answers[labels == i] == i).mean()) if (labels == i).any() else None
        for i, code in enumerate(CLASSES)
    }


def confusion(labels: np.ndarray, answers: np.ndarray) -> list[list[int]]:
    """Rows: true class, columns: answered class, both in the order of CLASSES."""
    rows: list[list[int]] = confusion_matrix(labels, answers, labels=range(len(CLASSES))).tolist()
    return rows


def bootstrap_intervals(
    figures: Callable[[np.ndarray], Mapping[str, float | None]], groups: np.ndarray, *, rounds: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals by resampling whole groups (lesions or patients), since their images are not independent.

    `figures` takes row indices (with repeats) and gives named numbers.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]])
    members = np.split(order, starts[1:])
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for name, value in figures(rows).items():
            if value is not None:
                drawn.setdefault(name, []).append(value)
    return {name: tuple(np.percentile(values, [2.5, 97.5]).tolist()) for name, values in drawn.items()}
