"""The data folders, as rows and as pixels. Knows no model.

The folders are those of `DERMIQ_DATA` (see the README for the originals): `ham10000`,
`ham10000_square256` (the same images as finer centre squares) and `pad_ufes_20`, each with a `metadata.csv` whose
`split` column is fixed: by lesion for HAM10000, by patient for PAD-UFES-20.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dermiq.errors import DataError, ImageError
from dermiq.lesion import read_lesion
from dermiq.types import CLASSES, Lesion, PatientContext

REPOSITORY = Path(__file__).resolve().parents[2]


def data_folder(folder: str | Path | None = None) -> Path:
    """The data folder: the argument, `DERMIQ_DATA`, or `../shared/data` beside the repository.

    Raises DataError where none of them exists.
    """
    chosen = Path(folder or os.environ.get("DERMIQ_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (chosen / "ham10000" / "metadata.csv").is_file():
        raise DataError(
            f"No data at {chosen}: set DERMIQ_DATA to the folder that holds ham10000/ and pad_ufes_20/ "
            "(the README says where to get them)."
        )
    return chosen


def read_table(folder: Path, name: str, splits: Sequence[str]) -> pd.DataFrame:
    """The rows of one data set in the given splits: columns image_id, label (one of CLASSES), group (lesion or
    patient), age, sex, site, skin_type, image and mask (paths, mask "" where there is none), source.

    PAD-UFES-20's squamous cell carcinomas are left out: HAM10000 has no such class. `attrs["left_out"]` counts them.
    """
    path = folder / name / "metadata.csv"
    if not path.is_file():
        raise DataError(f"{path} is missing: the data folder has no {name}.")
    raw = pd.read_csv(path)
    pad = name == "pad_ufes_20"
    raw = raw[raw["split"].isin(splits)]
    wanted = len(raw)
    if pad:
        raw = raw[raw["label7"] != "scc"]
    table = pd.DataFrame(
        {
            "image_id": raw["image_id"],
            "label": raw["label7"] if pad else raw["label"],
            "group": raw["patient_id"] if pad else raw["lesion_id"],
            "age": pd.to_numeric(raw["age"], errors="coerce"),
            "sex": raw["gender" if pad else "sex"].astype(str).str.lower(),
            "site": raw["region" if pad else "localization"].astype(str).str.lower(),
            "skin_type": raw["fitspatrick"] if pad else np.nan,
            "image": [str(folder / name / p) for p in raw["image"]],
            "mask": [str(folder / name / p) if isinstance(p, str) else "" for p in raw.get("mask", [""] * len(raw))],
        }
    )
    table["source"] = name
    bad = sorted(set(table["label"]) - set(CLASSES))
    if bad:
        raise DataError(f"{path}: unknown labels {bad}; known are {list(CLASSES)}.")
    table = table.reset_index(drop=True)
    table.attrs["left_out"] = wanted - len(table)
    return table


def context_of(row: object) -> PatientContext:
    """Age, sex and site of a table's row, where they are known."""
    age, sex, site = (getattr(row, name, None) for name in ("age", "sex", "site"))
    return PatientContext(
        age=int(age) if age is not None and age == age else None,
        sex=sex if sex in ("female", "male") else None,
        site=str(site) if site == site and site not in (None, "", "nan", "unknown") else None,
    )


def lesion_of(path: str) -> Lesion:
    """An image as a consultation reads it. Raises DataError."""
    try:
        return read_lesion(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    except ImageError as error:
        raise DataError(f"{path}: {error}") from error


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images of one common size in memory, with their masks (255 lesion, 0 skin) and labels."""

    images: np.ndarray  # (N, H, W, 3) uint8
    masks: np.ndarray  # (N, H, W) uint8
    has_mask: np.ndarray  # (N,) bool
    labels: np.ndarray  # (N,) int, index into CLASSES
    ids: list[str]

    def __len__(self) -> int:
        return len(self.images)


def load_pixels(table: pd.DataFrame, size: tuple[int, int], mask_paths: Sequence[str] | None = None) -> Pixels:
    """Decodes the table's images to (height, width) = `size`, squashing where the shape differs."""
    height, width = size
    images = np.zeros((len(table), height, width, 3), np.uint8)
    masks = np.zeros((len(table), height, width), np.uint8)
    paths = list(mask_paths) if mask_paths is not None else list(table["mask"])
    for row, (image, mask) in enumerate(zip(table["image"], paths, strict=True)):
        images[row] = np.asarray(Image.open(image).convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        if mask and Path(mask).is_file():
            masks[row] = np.asarray(Image.open(mask).convert("L").resize((width, height), Image.Resampling.BILINEAR))
    labels = table["label"].map({c: i for i, c in enumerate(CLASSES)}).to_numpy()
    has_mask = np.array([bool(path) and Path(path).is_file() for path in paths])
    return Pixels(images, masks, has_mask, labels, list(table["image_id"]))


def square_pixels(folder: Path, table: pd.DataFrame, size: int = 224) -> Pixels:
    """The centre squares of HAM10000's rows at `size` px, with their masks cut from the full frame.

    Raises DataError where the folder lacks one of them.
    """
    squares = folder / "ham10000_square256" / "images"
    rows = table.copy()
    rows["image"] = [str(squares / f"{i}.jpg") for i in rows["image_id"]]
    missing = [path for path in rows["image"] if not Path(path).is_file()]
    if missing:
        raise DataError(f"{missing[0]} is missing, and {len(missing) - 1} more of HAM10000's centre squares.")
    pixels = load_pixels(rows, (size, size), mask_paths=[""] * len(rows))
    for row, path in enumerate(table["mask"]):
        full = Image.open(path).convert("L")
        left = (full.width - full.height) // 2
        square = full.crop((left, 0, left + full.height, full.height))
        pixels.masks[row] = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    pixels.has_mask[:] = True
    return pixels
