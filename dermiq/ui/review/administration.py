"""What lies around judging: quality, frozen sets, pairs put in. Knows no gradio.

An administrator freezes, downloads, trains and puts pairs in; everybody who signed in reads.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

import numpy as np
from markupsafe import Markup

from dermiq.errors import DataError, InputError
from dermiq.language import _
from dermiq.language import said as in_our_language
from dermiq.review.measures.columns import Votes
from dermiq.review.measures.quality import report_of
from dermiq.review.sets.freeze import export, find, freeze, lines
from dermiq.review.sets.incoming import import_files, import_path
from dermiq.review.sets.pictures import Polygon, by_specialist
from dermiq.review.sets.sources import Imported
from dermiq.review.store.store import Store
from dermiq.review.types import FrozenSet, SetRule
from dermiq.ui.review import quality_page, sets_page
from dermiq.ui.review.access import Person
from dermiq.ui.review.sets_page import Made

PAIRS = "pairs.jsonl"  # of a run
MOST_IMAGES = 500  # of a set that a browser takes; the command exports any
MOST_REFUSED = 5  # lines that are named


class Administration:
    def __init__(self, store: Store, person: Person, runs: Path) -> None:
        """`runs`: the folder of the training runs."""
        self.store, self.person, self._runs = store, person, runs

    def _admin(self) -> None:
        if not self.person.is_admin:
            raise InputError("This is for administrators. Sign out, and in again as one.")

    # --- reading ------------------------------------------------------------------------

    def quality(self) -> Markup:
        return quality_page.page(report_of(Votes.of(self.store.columns()), self.store.opinions()))

    def sets(self) -> Markup:
        made = self._made() if self.person.is_admin else []
        return sets_page.page(self.store.frozen_sets(), made, is_admin=self.person.is_admin)

    def _made(self) -> list[Made]:
        files = sorted(self._runs.glob(f"*/{PAIRS}"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [Made(path.parent.name, _lines_in(path)) for path in files]

    # --- sets ---------------------------------------------------------------------------

    def freeze(self, fields: Mapping[str, object]) -> FrozenSet:
        self._admin()
        return freeze(self.store, str(fields.get("name") or "").strip(), read_rule(fields), by=self.person.name)

    def trainable(self, named: str) -> str:
        """The set's name with its version, for the training form."""
        self._admin()
        frozen = find(self.store, named)
        return f"{frozen.name}@{frozen.version}"

    def download(self, named: str) -> tuple[str, bytes]:
        """File name and content of a zip of what `python -m dermiq review export` writes."""
        self._admin()
        images = {sha for line in lines(self.store, named) for sha in line["images"]}
        if len(images) > MOST_IMAGES:
            raise InputError(
                f"{named} has {len(images)} images, too many for the browser: python -m dermiq review export {named} "
                "--out FOLDER writes them."
            )
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "set"
            export(self.store, named, folder)
            return f"{named.replace('@', '-')}.zip", _zipped(folder)

    # --- putting in ---------------------------------------------------------------------

    def put_run(self, run: str) -> str:
        self._admin()
        path = self._runs / run / PAIRS
        if not run or "/" in run or run.startswith(".") or not path.is_file():
            raise InputError("This run has no pairs any more. Choose another one.")
        return imported_words(import_path(self.store, path, by=self.person.name, outline=_outlined))

    def put_files(self, files: Mapping[str, bytes]) -> str:
        """What the browser read: a zip, or a file of pairs with its images."""
        self._admin()
        return imported_words(import_files(self.store, files, by=self.person.name, outline=_outlined))


def read_rule(fields: Mapping[str, object]) -> SetRule:
    """Of the form. InputError for a number that is none."""
    kind = fields.get("rule")
    votes, margin = _number(fields, "min_votes", 1.0), _number(fields, "min_margin", 0.0)
    if votes != int(votes):
        raise InputError("The votes that are needed at least must be a whole number.")
    return SetRule(
        rule=cast(Literal["majority", "adjudicated"], kind if kind in dict(sets_page.RULES) else "majority"),
        min_votes=int(votes),
        min_margin=margin,
        **{name: fields.get(name) in (True, "true") for name, _, _ in sets_page.TICKS},
    )


def _number(fields: Mapping[str, object], name: str, usual: float) -> float:
    said = str(fields.get(name) or "").strip()
    try:
        value = float(said) if said else usual
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise InputError(f"“{said[:20]}” is no number from 0 on. Correct it, or leave the field empty.")
    return value


def imported_words(found: Imported) -> str:
    """What became of a source. Raises DataError where lines were refused, since nothing was taken then."""
    if found.refused:
        shown = " ".join(found.refused[:MOST_REFUSED])
        more = len(found.refused) - MOST_REFUSED
        rest = [_("And {n} more lines.").format(n=more)] if more > 0 else []
        raise DataError(" ".join([_("Nothing was put in."), shown, *rest]))
    line = (
        _("{pairs} pairs about {cases} cases are in the queue now, {known} were there already.")
        if found.duplicates
        else _("{pairs} pairs about {cases} cases are in the queue now.")
    ).format(pairs=found.pairs, cases=found.cases, known=found.duplicates)
    return " ".join([line, *map(in_our_language, found.told)])


_specialist = cache(by_specialist)


def _outlined(pixels: np.ndarray) -> Polygon | None:
    """Loads the specialist for the first image, seconds of work."""
    return _specialist()(pixels)


def _lines_in(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _zipped(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()
