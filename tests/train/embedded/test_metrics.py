"""Figures against values that can be worked out by hand."""

import numpy as np
import pytest

from dermiq.types import CLASSES
from train.embedded.metrics import (
    balanced_accuracy,
    bootstrap_intervals,
    classification_figures,
    confusion,
    expected_calibration_error,
    macro_f1,
    one_class_auroc,
    recall_by_class,
    reliability_bins,
)


def rows(*confidences: tuple[int, float]) -> np.ndarray:
    """Probabilities (N, 7): `confidence` on one class, the rest spread evenly."""
    return np.array(
        [[confidence if c == index else (1 - confidence) / 6 for c in range(7)] for index, confidence in confidences]
    )


def test_balanced_accuracy_is_mean_recall_of_the_classes_present() -> None:
    labels, answers = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    assert balanced_accuracy(labels, answers) == pytest.approx((0.75 + 1) / 2)
    assert macro_f1(labels, answers) == pytest.approx((6 / 7 + 2 / 3) / 2)
    assert recall_by_class(labels, answers)["mel"] is None
    assert confusion(labels, answers)[0][:2] == [3, 1]


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = rows((0, 0.9), (0, 0.9), (0, 0.9), (0, 0.9))  # right in 3 of 4
    assert expected_calibration_error(labels, probabilities) == pytest.approx(0.15)
    assert reliability_bins(labels, probabilities) == [
        {"confidence": pytest.approx(0.9), "accuracy": pytest.approx(0.75), "n": 4}
    ]


def test_one_class_auroc_needs_both_sides() -> None:
    melanoma = CLASSES.index("mel")
    probabilities = rows((melanoma, 0.8), (0, 0.9), (melanoma, 0.6))
    assert one_class_auroc(np.array([melanoma, 0, 0]), probabilities, "mel") == 1.0
    assert one_class_auroc(np.array([0, 0, 0]), probabilities, "mel") is None


def test_intervals_resample_whole_groups() -> None:
    labels = np.array([0] * 50 + [1] * 50)
    probabilities = rows(*[(0, 0.8)] * 50, *[(1, 0.8)] * 50)
    probabilities[:25] = rows((1, 0.8))[0]  # one whole group is wrong

    def figures(chosen: np.ndarray) -> dict[str, float | None]:
        return {"accuracy": classification_figures(labels[chosen], probabilities[chosen])["accuracy"]}

    narrow = bootstrap_intervals(figures, np.arange(100), rounds=100)["accuracy"]
    wide = bootstrap_intervals(figures, np.repeat(np.arange(4), 25), rounds=100)["accuracy"]
    assert 0.6 < narrow[0] < 0.75 < narrow[1] < 0.9
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
