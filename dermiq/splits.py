"""The words by which people call the parts of their data. Knows no file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from dermiq.patient import said

SPLITS: Mapping[str, frozenset[str]] = {
    "train": frozenset(("train", "training", "trn", "tr", "train_set", "trainset", "training_set", "learn")),
    "val": frozenset(
        (
            *("val", "valid", "validation", "validate", "vali", "dev", "devel", "tune", "tuning"),
            *("val_set", "valset", "validation_set", "dev_set", "eval"),
        )
    ),
    "test": frozenset(
        ("test", "testing", "tst", "test_set", "testset", "holdout", "hold_out", "held_out", "heldout", "public_test")
    ),
}


@lru_cache(maxsize=1000)
def split_of(word: object) -> str | None:
    """ "train", "val" or "test" in any of their usual words; None for any other."""
    low = said(word).lower().replace("-", "_").replace(" ", "_")
    return next((split for split, words in SPLITS.items() if low in words), None)
