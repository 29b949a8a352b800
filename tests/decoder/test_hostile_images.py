"""A part of `python -m tests.nightly.hostile_images`: bombs and damaged files end within the budget."""

from __future__ import annotations

import pytest

from dermiq.decoder import pool
from dermiq.lesion import read_lesion
from tests.nightly.hostile_images import BOMBS, MOST_BYTES, MOST_SECONDS, Tally, mutated, seeds

SLOW = {  # each of them takes seconds, to make or to read; the command reads them
    "a progressive JPEG of 48 megapixels, 4:4:4",
    "a lossless WebP of 13 megapixels",
    "last scan 190 times, 48 megapixels",
    "a PNG of 49 megapixels",
    "a PNG of 49 megapixels, 16 bits, with alpha",
    "an interlaced PNG of 49 megapixels",
    "a PNG of a million chunks",
    "a progressive JPEG of 48 megapixels",
}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more time where other tests have the cores: it is the budget that is measured."""
    monkeypatch.setattr(pool, "PATIENCE_S", 0.0)


def read(files: dict[str, bytes]) -> Tally:
    tally = Tally()
    read_lesion(seeds()[0])  # the process has started
    for name, data in files.items():
        tally.read(data, name)
    return tally


def assert_holds(tally: Tally) -> None:
    assert not tally.foreign
    assert tally.slowest[0] < MOST_SECONDS, tally.slowest
    assert tally.largest[0] < MOST_BYTES, tally.largest


@pytest.mark.parametrize("name", sorted(set(BOMBS) - SLOW))
def test_a_bomb_ends_as_a_picture_or_a_sentence(name: str) -> None:
    assert_holds(read({name: BOMBS[name]()}))


def test_damaged_files_end_as_pictures_or_sentences() -> None:
    tally = read({f"file {index}": mutated(index) for index in range(400)})
    assert_holds(tally)
    assert 40 < tally.outcomes["a picture"] < 360, "the damage is too small or too great to show anything"
    assert len(tally.outcomes) > 8
