"""Who a row is about: one rule for tables, JSONL and data sets, by which train and val are kept apart.

A patient (or a lesion, or a group: what the row names first of these) is known by its id within its source. The source
is what the column `source`, `site_id`, `clinic` ... says (`dermiq.files.columns` knows how columns are called);
without one it is the folder that the file lies in, or the name of the data set. So the patient P1 of `train.csv` is
that of `val.csv` beside it, and patient 1 of `a/data.csv` is another one than patient 1 of `b/data.csv`. Folders that
are called after a split (`train/`, `val/`) are no sources: `x/train/data.csv` and `x/val/data.csv` have one. Uploads
are one source, too, but for the folders inside them.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from dermiq.files.columns import patient_in, source_in
from dermiq.files.paths import SENT
from dermiq.files.splits import split_of
from dermiq.patient import said
from dermiq.types import Fields


def source_of(named: str | Path) -> str:
    """The source of all rows of a file, a folder or a data set of the hub that name none themselves."""
    path = Path(named).expanduser()
    if not path.exists():
        return str(named)
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    if SENT in folder.parts:  # the folder below is named by the upload's content
        place = folder.parts.index(SENT)
        folder = Path(*folder.parts[: place + 1], *folder.parts[place + 2 :])
    while split_of(folder.name) and folder.parent != folder:
        folder = folder.parent
    return str(folder)


def identity(row: Fields, source: str) -> str:
    """By which a row is known to be about the same patient as another; "" where it names nobody.

    `source` is that of the file or data set, as `source_of` says.
    """
    who = _plain(patient_in(row))
    return f"{who} (of {_plain(source_in(row)) or source})" if who else ""


def _plain(value: object) -> str:
    """An id as spreadsheets and systems may change it: 1, 1.0, "1,0" and 001 are one, as are P1 and p1."""
    text = unicodedata.normalize("NFKC", said(value)).lower()
    number = text.removesuffix(".0").removesuffix(",0")
    return str(int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else text
