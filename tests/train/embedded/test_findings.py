"""The reference's making, on a data folder of drawn spots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermiq.errors import DataError
from dermiq.lesion import FINDING_CODES, FindingsReference
from dermiq.types import CLASSES
from train.embedded import findings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two lesions a class, the second with two images, and one lesion outside `train`."""
    home = tmp_path / "ham10000"
    (home / "images").mkdir(parents=True)
    (home / "masks").mkdir()
    lines = ["image_id,label,lesion_id,dx_type,age,sex,localization,split,image,mask,source_repo"]
    y, x = np.mgrid[:75, :100]
    names = [(label, f"{label}{k}", "train") for label in CLASSES for k in (0, 1, 1)] + [("nv", "other", "test")]
    for index, (label, lesion, split) in enumerate(names):
        outline = np.hypot(y - 37, x - 50) < 12 + index % 9
        pixels = np.where(outline[..., None], (150, 100, 66), (222, 184, 162)).astype(np.uint8)
        Image.fromarray(pixels).save(home / "images" / f"{index}.jpg")
        Image.fromarray(outline).save(home / "masks" / f"{index}.png")
        lines.append(f"{index},{label},{lesion},histo,50,male,back,{split},images/{index}.jpg,masks/{index}.png,drawn")
    (home / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_the_command_writes_a_reference_that_loads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "reference.json"
    findings.main(["--data", str(folder), "--out", str(out)])
    reference = FindingsReference.load(out)
    assert reference.n == 14, "one image a lesion, train only"
    assert set(reference.class_n.values()) == {2}
    assert reference.codes == FINDING_CODES
    assert "14 lesions" in capsys.readouterr().out


def test_limit_and_unknown_flags(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings.parse(["--limit", "3"]).limit == 3
    with pytest.raises(SystemExit):
        findings.parse(["--lmit", "3"])
    capsys.readouterr()
    assert len(findings.training_rows(folder)) == 14


def test_no_data_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="DERMIQ_DATA"):
        findings.main(["--data", str(tmp_path), "--out", str(tmp_path / "x.json")])


def test_likelihood_ratio_by_hand() -> None:
    ratios, intervals = findings.likelihood_ratio(np.array([9, 1]), np.array([10, 30]))
    assert ratios[0] == pytest.approx((9.5 / 11) / (10.5 / 41), abs=1e-3)
    assert ratios[1] == pytest.approx((1.5 / 11) / (30.5 / 41), abs=1e-3)
    assert intervals[0][0] > 1, "nine of ten against ten of forty is a real difference"
    assert intervals[1][0] < ratios[1] < intervals[1][1]


def test_values_that_could_not_be_judged_are_left_out() -> None:
    labels = np.array(["nv"] * 10 + ["mel"] * 10)
    values = np.r_[np.arange(19, dtype=float), np.nan]
    found = findings.distribution("asymmetry", labels, values)
    assert sum(found.bin_n) == 19
    assert found.quantiles[0] == 0
    assert found.quantiles[100] == 9


def test_a_class_without_lesions_is_not_called_impossible() -> None:
    labels = np.array(["nv"] * 10 + ["mel"] * 10)
    found = findings.distribution("asymmetry", labels, np.arange(20.0))
    assert all(ratio > 0 for ratio in found.ratios["df"])
