"""`train.evaluate`, the model cards, and the training commands on a handful of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermiq.errors import DataError
from dermiq.lesion.drawn import drawn_examples
from dermiq.places import WEIGHTS
from dermiq.types import CLASSES
from train import evaluate
from train.cases.data import load_pixels, read_table, square_pixels
from train.embedded import card


@pytest.fixture
def drawn_csv(tmp_path: Path) -> Path:
    rows = []
    for number, (_, pixels) in enumerate(drawn_examples()):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "image_id": f"drawing-{number}", "label": CLASSES[number]})
    pd.DataFrame(rows).to_csv(tmp_path / "images.csv", index=False)
    return tmp_path / "images.csv"


def test_predictions_and_figures(drawn_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = drawn_csv.parent / "predictions.csv"
    evaluate.main(["--images", str(drawn_csv), "--out", str(out), "--rounds", "20"])
    table = pd.read_csv(out)
    assert list(table.columns[:9]) == ["image_id", *(f"p_{c}" for c in CLASSES), "answer"]
    np.testing.assert_allclose(table[[f"p_{c}" for c in CLASSES]].sum(axis=1), 1, atol=1e-3)
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 3
    assert set(figures["figures"]) == set(card.NAMES)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("picture,name\na.png,1\n", "lacks the column"),
        ("image,image_id\n", "has no rows"),
        ("image,image_id,label\na.png,1,eczema\n", "unknown labels"),
        ("image,image_id\nmissing.png,1\n", r"1 image\(s\) do not exist"),
    ],
)
def test_bad_tables_are_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=sentence):
        evaluate.main(["--images", str(path), "--out", str(tmp_path / "out.csv")])


def test_the_command_says_what_is_wrong_and_what_was_left_out(
    drawn_csv: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = drawn_csv.read_text()
    drawn_csv.write_text(table.replace(f",{CLASSES[0]}\n", ",SCC\n").replace(f",{CLASSES[1]}\n", ",Naevus\n"))
    given = ["evaluate", "--images", str(drawn_csv), "--out", str(drawn_csv.parent / "predictions.csv")]
    monkeypatch.setattr("sys.argv", given)
    assert evaluate.command() == 2
    assert "unknown labels" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*given[:3], "--out", "/proc/nothing/out.csv"])
    assert evaluate.command() == 2
    assert "/proc/nothing/out.csv cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*given, "--labels", "known", "--rounds", "20"])
    assert evaluate.command() == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["n"] == 2
    assert "1 row(s) are left out" in told.err
    assert "Naevus as nv (1)" in told.err


def test_cards_show_the_committed_figures() -> None:
    for path in sorted(WEIGHTS.glob("*/README.md")):
        assert card.rendered(path) == path.read_text(encoding="utf-8"), "run python -m train.embedded.card"


def test_squares_show_the_middle_of_the_same_frame(real_data: Path) -> None:
    """The finer squares and the middle of the small frames are one image at two resolutions, masks too."""
    rows = read_table(real_data, "ham10000", ["val"]).head(30)
    crops = square_pixels(real_data, rows)
    frames = load_pixels(rows, (150, 200))
    assert crops.ids == frames.ids
    for number, image_id in enumerate(crops.ids):
        middle = frames.images[frames.ids.index(image_id)][:, 25:175]
        small = np.asarray(Image.fromarray(crops.images[number]).resize((150, 150), Image.Resampling.BILINEAR))
        assert np.abs(middle.astype(int) - small).mean() < 12
