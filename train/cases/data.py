"""The data folders, as rows and as pixels. Knows no model.

The folders are those of `DERMIQ_DATA`, which `dermiq.data_sets` describes, each with a `metadata.csv` whose `split`
column is fixed; and `ham10000_square256`, the images of `ham10000` as finer centre squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dermiq import places
from dermiq.data_sets import DATA_SETS, NAMED, DataSet
from dermiq.errors import DataError, ImageError
from dermiq.lesion import read_lesion
from dermiq.types import CLASSES, Lesion, PatientContext


def data_folder(folder: str | Path | None = None) -> Path:
    """The data folder: the argument, `DERMIQ_DATA`, or `../shared/data` beside the repository.

    Raises DataError where none of them exists.
    """
    chosen = Path(folder) if folder else places.data_folder()
    if not any(one.table(chosen).is_file() for one in DATA_SETS.values()):
        raise DataError(
            f"No data at {chosen}: set DERMIQ_DATA to the folder that holds the data sets ({NAMED}; the README says "
            "where to get them)."
        )
    return chosen


def read_table(folder: Path, name: str, splits: Sequence[str]) -> pd.DataFrame:
    """The rows of one data set in the given splits: columns image_id, label (one of CLASSES), group (lesion or
    patient), age, sex, site, skin_type, image and mask (paths, mask "" where there is none), source.

    Rows that its record leaves out, and those without a label, are not in it: `attrs["left_out"]` counts them by what
    their labels mean. Raises DataError where the table is missing, lacks a column, or has a label that nobody knows.
    """
    record = DATA_SETS[name]
    path = record.table(folder)
    if not path.is_file():
        raise DataError(f"{path} is missing: the data folder has no {name}.")
    raw = pd.read_csv(path)
    raw = raw[raw["split"].isin(splits)]
    known = {ours: _column(raw, record, ours, path) for ours in ("label", "group", *TOLD)}
    table = pd.DataFrame(
        {
            "image_id": raw["image_id"],
            "label": known["label"].replace(dict(record.labels)),
            "group": known["group"],
            "age": pd.to_numeric(known["age"], errors="coerce"),
            "sex": known["sex"].astype(str).str.lower(),
            "site": known["site"].astype(str).str.lower(),
            "skin_type": known["skin_type"],
            "image": [str(folder / name / p) for p in raw["image"]],
            "mask": [str(folder / name / p) if isinstance(p, str) else "" for p in raw.get("mask", [""] * len(raw))],
        }
    )
    table["source"] = name
    why = table["label"].map(dict(record.left_out)).mask(table["label"].isna(), "what is not stated")
    table = table[why.isna()].reset_index(drop=True)
    bad = sorted(set(table["label"]) - set(CLASSES))
    if bad:
        raise DataError(f"{path}: unknown labels {bad}; known are {list(CLASSES)}.")
    table.attrs["left_out"] = why.value_counts().to_dict()
    return table


TOLD = ("age", "sex", "site", "skin_type")  # of a patient; a data set may lack any


def _column(raw: pd.DataFrame, record: DataSet, ours: str, path: Path) -> pd.Series:
    theirs = record.columns.get(ours, ours)
    if theirs in raw:
        return raw[theirs]
    if ours not in TOLD:
        raise DataError(f"{path} has no column {theirs!r}, from which {record.title}'s {ours} is read.")
    return pd.Series(np.nan, raw.index)


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
