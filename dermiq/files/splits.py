"""The words by which people call the parts of their data. Knows no file."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from dermiq.patient import said

SPLITS: Mapping[str, frozenset[str]] = {
    "train": frozenset(
        (
            *("train", "training", "trn", "tr", "trainset", "trainingset", "traindata", "trainsplit", "learn"),
            *("trainieren", "entrainement", "apprentissage", "entrenamiento", "treino", "addestramento"),
        )
    ),
    "val": frozenset(
        (
            *("val", "valid", "validation", "validate", "vali", "dev", "devel", "tune", "tuning", "eval"),
            *("valset", "validset", "validationset", "devset", "valsplit", "internalval", "internalvalidation"),
            *("validierung", "validacion", "validacao", "convalida"),
        )
    ),
    "test": frozenset(
        (
            *("test", "testing", "tst", "testset", "testsplit", "holdout", "heldout", "publictest", "privatetest"),
            *("externaltest", "testen", "prueba", "teste"),
        )
    ),
}
"""Letters alone, without accents."""


@lru_cache(maxsize=1000)
def split_of(word: object) -> str | None:
    """ "train", "val" or "test" in any of their usual words; None for any other."""
    letters = unicodedata.normalize("NFKD", said(word).casefold())
    low = "".join(letter for letter in letters if letter.isalnum())
    return next((split for split, words in SPLITS.items() if low in words), None)
