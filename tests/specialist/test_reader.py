"""The specialist: its network, its looks, and the shipped weights on drawings and on real images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermiq.errors import ModelError
from dermiq.lesion.drawn import drawn_examples
from dermiq.specialist import Specialist, fuse_readings, lesion_window
from dermiq.specialist.familiarity import Familiarity
from dermiq.types import CLASSES, Lesion, SpecialistReading
from dermiq.vlm.tower import (
    PYRAMID_CHANNELS,
    DermTower,
    DermTowerConfig,
    DermTowerPair,
    DermTowerPairConfig,
)


@pytest.fixture(scope="module")
def specialist() -> Specialist:
    return Specialist.load()


def test_tower_is_a_stock_vision_model(tmp_path: Path) -> None:
    from transformers import AutoModel

    tower = DermTower(DermTowerConfig(image_size=64)).eval()
    pixels = torch.randn(2, 3, 64, 64)
    assert [m.shape[1] for m in tower.pyramid(pixels)] == list(PYRAMID_CHANNELS)
    assert tower(pixels).last_hidden_state.shape == (2, 4, 1280)
    tower.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(pixels).last_hidden_state, tower(pixels).last_hidden_state)


def test_tower_pair_is_a_stock_vision_model(tmp_path: Path) -> None:
    from transformers import AutoModel

    pair = DermTowerPair(DermTowerPairConfig(image_size=64)).eval()
    pixels = torch.randn(2, 3, 64, 64)
    cells = pair(pixels).last_hidden_state
    assert cells.shape == (2, 4, 2560)
    upright = pair(pixels.flip(3)).last_hidden_state.unflatten(1, (2, 2)).flip(2).flatten(1, 2)
    torch.testing.assert_close(upright, cells, msg="a mirrored image gives mirrored cells")
    pair.save_pretrained(tmp_path)
    torch.testing.assert_close(AutoModel.from_pretrained(tmp_path).eval()(pixels).last_hidden_state, cells)


def test_reading_is_complete_and_sums_to_one(specialist: Specialist) -> None:
    reading = specialist.read(Lesion(drawn_examples()[0][1]))
    assert tuple(reading.probabilities) == CLASSES
    assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert reading.outline.shape == drawn_examples()[0][1].shape[:2]
    assert reading.outline.any()
    assert {"asymmetry", "border_irregularity"} <= {finding.code for finding in reading.findings}


def test_mirrored_image_reads_the_same(specialist: Specialist) -> None:
    pixels = drawn_examples()[1][1]
    one, other = (specialist.read(Lesion(p)) for p in (pixels, np.ascontiguousarray(pixels[:, ::-1])))
    for code in CLASSES:
        assert one.probabilities[code] == pytest.approx(other.probabilities[code], abs=0.02)


def test_far_from_the_training_data_is_declined(specialist: Specialist) -> None:
    rng = np.random.default_rng(0)
    noise = Lesion(rng.integers(0, 255, (300, 300, 3), dtype=np.uint8))
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[::20] = (0, 200, 255)
    for lesion in (noise, Lesion(stripes)):
        assert specialist.abstention(lesion, specialist.read(lesion)) is not None


def test_heatmap_covers_the_image(specialist: Specialist) -> None:
    heat = specialist.heatmap(Lesion(drawn_examples()[1][1]), "mel")
    assert heat.shape == drawn_examples()[1][1].shape[:2]
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("height", "width"), [(150, 200), (1000, 700), (60, 60)])
def test_window_is_square_and_inside(height: int, width: int) -> None:
    outline = np.zeros((height, width), bool)
    outline[height // 4 : height // 3, width // 2 : width - 1] = True
    window = lesion_window(np.zeros((height, width, 3), np.uint8), outline)
    assert window.shape[0] == window.shape[1] <= min(height, width)


def test_a_far_lesion_is_looked_at_from_near() -> None:
    outline = np.zeros((1000, 1000), bool)
    outline[480:520, 480:520] = True
    assert lesion_window(np.zeros((1000, 1000, 3), np.uint8), outline, extents=1.5).shape[0] == 60


def test_fusion_averages_opinions() -> None:
    def reading(mel: float) -> SpecialistReading:
        rest = (1 - mel) / 6
        return SpecialistReading({c: mel if c == "mel" else rest for c in CLASSES}, np.zeros((1, 1), bool), 0.0, 0.0)

    fused = fuse_readings([reading(0.9), reading(0.3)])
    assert sum(fused.values()) == pytest.approx(1)
    assert 0.3 < fused["mel"] < 0.9
    assert fuse_readings([reading(0.7)])["mel"] == pytest.approx(0.7)


def test_familiarity_knows_near_from_far() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 1280, generator=generator)
    known = Familiarity.fit(features[:300], torch.arange(300) % 3, features[300:], components=16)
    assert known.percentile(features[350]) < 100
    assert known.percentile(features[350] + 40) == 100.0


def test_missing_weights_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps({"image_size": 160}))
    with pytest.raises(ModelError, match="weights are incomplete"):
        Specialist.load(tmp_path)


def test_real_images_are_read_well(specialist: Specialist, real_data: Path) -> None:
    """A sample of `val`: far above chance, outlines close to the annotated ones. The full figures are in the card."""
    from train.cases.data import read_table
    from train.evaluate import dice

    table = read_table(real_data, "ham10000", ["val"]).groupby("label").head(6)
    hits, overlaps = [], []
    for row in table.itertuples():
        reading = specialist.read(Lesion(np.asarray(Image.open(row.image).convert("RGB"))))
        hits.append(max(CLASSES, key=lambda c: reading.probabilities[c]) == row.label)
        overlaps.append(dice(reading.outline, row.mask) or 0.0)
    assert np.mean(hits) > 0.55
    assert np.mean(overlaps) > 0.85
