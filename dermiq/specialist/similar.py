"""Training images that look most like a new one to the specialist. Knows features and a table of ids, no pixels.

What ships: for one image a lesion its id in the public archive, its diagnosis, how that was found, and the leading
components of its features. Made by `python -m train.embedded.similar`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from dermiq import places
from dermiq.errors import ModelError
from dermiq.shipped import checked
from dermiq.types import CLASSES, SimilarCase

SIMILAR_PATH = places.WEIGHTS / "specialist" / "similar.npz"
PROOFS = ("histopathology", "follow-up", "expert consensus", "confocal microscopy", "not stated")
SHOWN = 6


class Similar:
    """`vectors` (N, k) of unit length; `labels`, `proofs` (N,) indices into CLASSES and PROOFS; `ids` (N,) numbers."""

    def __init__(
        self,
        basis: np.ndarray,
        mean: np.ndarray,
        vectors: np.ndarray,
        ids: np.ndarray,
        labels: np.ndarray,
        proofs: np.ndarray,
    ) -> None:
        self.basis, self.mean = basis.astype(np.float32), mean.astype(np.float32)  # (768, k), (768,)
        self.vectors = vectors.astype(np.float32)
        self.ids, self.labels, self.proofs = ids, labels, proofs

    @classmethod
    def load(cls, path: Path = SIMILAR_PATH) -> Similar | None:
        """None where none ship. Raises ModelError where the file is damaged."""
        if not path.is_file():
            return None
        try:
            with np.load(checked(path)) as held:
                return cls(**{name: held[name] for name in held.files})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(
                "The table of similar cases is damaged: reinstall DermIQ, or run `python -m train.embedded.similar`.",
                detail=repr(error),
            ) from error

    def placed(self, features: np.ndarray) -> np.ndarray:
        """(N, 768) -> (N, k) of unit length."""
        found = (features - self.mean) @ self.basis
        lengths: np.ndarray = np.linalg.norm(found, axis=-1, keepdims=True)
        placed: np.ndarray = found / np.maximum(lengths, 1e-9)
        return placed

    def nearest(self, features: Tensor, *, count: int = SHOWN) -> tuple[SimilarCase, ...]:
        """Of features (768,), the most alike first."""
        likeness = self.vectors @ self.placed(features.numpy())
        order = np.argsort(-likeness)[:count]
        return tuple(
            SimilarCase(
                image_id=f"ISIC_{self.ids[row]:07d}",
                code=CLASSES[self.labels[row]],
                proof=PROOFS[self.proofs[row]],
                likeness=float(np.clip(likeness[row], -1, 1)),
            )
            for row in order
        )
