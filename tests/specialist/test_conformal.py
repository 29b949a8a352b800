"""Sets hold the right class as often as they say, in every class, also the rare ones."""

from __future__ import annotations

import numpy as np
import pytest

from dermiq.specialist.conformal import Sets, fitted, threshold
from dermiq.types import CLASSES
from train.embedded.patients import coverage


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) with rare classes, and calibrated-looking probabilities (n, 7) that are worse for some of them."""
    labels = rng.choice(7, n, p=[0.02, 0.05, 0.12, 0.015, 0.12, 0.66, 0.015])
    logits = rng.normal(0, 1, (n, 7))
    logits[np.arange(n), labels] += np.array([1.0, 3.0, 1.5, 2.0, 1.0, 3.0, 4.0])[labels]
    weights = np.exp(logits)
    return labels, weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("certainty", [90, 95])
def test_every_class_is_covered_as_stated(certainty: int) -> None:
    rng = np.random.default_rng(3)
    labels, probabilities = drawn(4000, rng)
    own = probabilities[np.arange(len(labels)), labels]
    sets = Sets(fitted([CLASSES[label] for label in labels], own.tolist()))
    new_labels, new = drawn(8000, rng)
    found = coverage(sets, new_labels, new, str(certainty))
    by_class = found["by_class"]
    assert isinstance(by_class, dict)
    assert min(by_class.values()) > certainty / 100 - 0.05
    assert max(by_class.values()) < 1, "a set that holds everything says nothing"
    smaller = coverage(sets, new_labels, new, "90")["mean_size"]
    assert isinstance(smaller, float)
    assert 1 <= smaller < 7


def test_too_few_images_share_a_threshold() -> None:
    labels = ["nv"] * 60 + ["df"] * 10 + ["vasc"] * 12
    own = [0.9] * 60 + [0.2 + 0.01 * n for n in range(22)]
    limits = fitted(labels, own)["95"]
    assert limits["nv"] == 0.9
    assert limits["df"] == limits["vasc"] == limits["mel"] > 0


def test_the_threshold_of_few_is_none() -> None:
    assert threshold([0.9] * 5, 0.95) == 0.0
    assert threshold([0.9, 0.8, 0.7, 0.6], 0.5) == 0.7


def test_the_likeliest_class_is_always_in_the_set() -> None:
    sets = Sets({"95": dict.fromkeys(CLASSES, 0.9)})
    assert sets.holding({c: 0.4 if c == "mel" else 0.1 for c in CLASSES}, "95") == ("mel",)
    wide = Sets({"95": dict.fromkeys(CLASSES, 0.05)})
    held = wide.holding({c: 0.4 if c == "mel" else 0.1 for c in CLASSES}, "95")
    assert held[0] == "mel"
    assert set(held) == set(CLASSES)
