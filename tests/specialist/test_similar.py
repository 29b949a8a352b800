"""Similar cases: the nearest by features, with what is known of them, and no picture of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dermiq.errors import ModelError
from dermiq.specialist.similar import PROOFS, Similar
from dermiq.types import CLASSES
from train.embedded.similar import COMPONENTS, made, votes, write


def table(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"ISIC_{number:07d}" for number in range(n)],
            "label": [CLASSES[number % 2] for number in range(n)],
            "proof": [number % len(PROOFS) for number in range(n)],
        }
    )


@pytest.fixture
def two_kinds() -> tuple[np.ndarray, Similar]:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (200, 768)).astype(np.float32)
    features[::2, :20] += 4
    return features, made(features, table(200))


def test_an_image_is_most_like_itself(two_kinds: tuple[np.ndarray, Similar], tmp_path: Path) -> None:
    features, similar = two_kinds
    write(similar, tmp_path / "similar.npz")
    again = Similar.load(tmp_path / "similar.npz")
    assert again is not None
    nearest = again.nearest(torch.from_numpy(features[7]))
    assert nearest[0].image_id == "ISIC_0000007"
    assert nearest[0].code == CLASSES[1]
    assert nearest[0].proof == PROOFS[2]
    assert nearest[0].likeness > 0.99
    assert [case.likeness for case in nearest] == sorted((case.likeness for case in nearest), reverse=True)
    assert again.vectors.shape == (200, COMPONENTS)


def test_neighbours_vote_for_their_kind(two_kinds: tuple[np.ndarray, Similar]) -> None:
    features, similar = two_kinds
    shares = votes(similar, features, count=9)
    assert shares.sum(1) == pytest.approx(1)
    assert (shares.argmax(1) == np.arange(200) % 2).mean() > 0.9


def test_none_ship_or_they_are_whole(tmp_path: Path) -> None:
    assert Similar.load(tmp_path / "similar.npz") is None
    (tmp_path / "similar.npz").write_bytes(b"PK no archive")
    with pytest.raises(ModelError, match="similar cases is damaged"):
        Similar.load(tmp_path / "similar.npz")
