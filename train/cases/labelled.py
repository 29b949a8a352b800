"""Tables of labelled images as people and data sets have them: one row an image, every value read, counted or refused.

    table = read_labelled(Path("mine.csv"), splits=("train", "val"))
    table.rows      # in the order of the file
    table.notes     # what was left out or taken as not stated, as sentences: to be said where the user looks

Columns are known by their usual names in any case (`COLUMNS`), in a few languages. A label is one of the seven
classes, or a name or code of theirs (`train.cases.labels`); the challenges' tables of ISIC, with one column a class or
without a heading, are read, too. Images may be named without their suffix, and lie beside the table or in a folder
below. Knows no model.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermiq.decoder.formats import IMAGE_SUFFIXES
from dermiq.errors import DataError, InputError
from dermiq.files.columns import SPLITS, split_in, squeezed, tells_split, tells_who
from dermiq.files.nearby import Nearby
from dermiq.files.splits import split_of
from dermiq.files.tables import TableRow, read_table_rows
from dermiq.patient import Vague, age_of, sex_of, site_of, skin_type_of
from dermiq.types import CLASSES, PatientContext
from train.cases.identity import identity, source_of
from train.cases.labels import ONE_HOT, class_of, suggested

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_path", "path", "filepath", "file_path", "file", "filename", "file_name", "img", "img_path"),
        *("image_name", "image_file", "image_id", "img_id", "isic_id", "ddi_file", "md5hash"),
        *("bild", "bildname", "bilddatei", "datei", "dateiname", "fichier", "nom_du_fichier", "imagen", "immagine"),
        *("imagem", "archivo"),
    ),
    "image_id": ("image_id", "img_id", "isic_id", "image_name"),
    "label": (
        *("label", "dx", "diagnosis", "diagnostic", "class", "class_name", "diagnosis_3", "disease", "choice"),
        *("diagnose", "diagnostico", "diagnosi", "etiquette", "klasse", "classe", "clase"),
    ),
    "split": (*SPLITS, "subset", "partition"),
    "question": ("question",),
    "mask": ("mask",),
    "age": (
        *("age", "age_approx", "age_approximate", "age_years", "age_in_years", "patient_age", "age_at_diagnosis"),
        *("alter", "edad", "eta", "idade"),
    ),
    "sex": ("sex", "gender", "patient_sex", "patient_gender", "geschlecht", "sexe", "sexo", "sesso", "genre"),
    "site": (
        *("site", "localization", "localisation", "location", "region", "body_site", "anatomical_site"),
        *("anatom_site_general", "anatom_site_general_challenge", "anatom_site", "anatomic_site", "body_part"),
        *("lokalisation", "korperstelle", "localizacion", "localizzazione", "localizacao", "sede"),
    ),
    "skin_type": (
        *("skin_type", "fitzpatrick", "fitspatrick", "fitzpatrick_skin_type", "fitzpatrick_type", "fitzpatrick_scale"),
        *("phototype", "fst"),
    ),
}
"""What is read, and the columns in which it may stand, the first wins; compared as `dermiq.files.columns.squeezed`."""

MEANT = {"image": "the images' names to image", "label": "the diagnoses to label"}
"""What is to be done about a column that is missing."""

# in the order of PatientContext
PATIENT: Mapping[str, Callable[[str], Any]] = {
    "age": age_of,
    "sex": sex_of,
    "site": site_of,
    "skin_type": skin_type_of,
}
LABELS = ("classes", "known", "text")
"""How labels are read: one that fits no class is asked about; its row is left out; or labels are texts of answers."""

SHOWN = 10  # of a list of labels
PREFIXES = ("label_", "dx_", "class_", "diagnosis_")  # of columns that each are a class, as pandas makes them
ISIC_2016 = {"malignant": "melanoma", "1": "melanoma", "1.0": "melanoma", "0": "benign", "0.0": "benign"}
"""Of that challenge's third part, which has no heading: melanoma or not, by its own description."""

ISIC_2017 = frozenset(("melanoma", "seborrheic_keratosis"))
"""The columns of that challenge's third part. Its other lesions are nevi, by its own description."""

_ISIC_ID = re.compile(r"ISIC_\d{7}", re.IGNORECASE)


def quiet(sentence: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class LabelledRow:
    """One labelled image."""

    line: int
    image: str  # path
    image_id: str
    label: str  # one of CLASSES, or the text of an answer; "" in a table without labels
    group: str  # as `train.cases.identity` says; the image's path where the row names nobody
    context: PatientContext
    split: str = ""  # "train", "val" or "test"; "" where the table has no splits
    question: str = ""
    mask: str = ""  # path
    is_there: bool = True  # the image is a file


@dataclass(frozen=True)
class LabelledTable:
    rows: tuple[LabelledRow, ...]
    has_labels: bool
    has_splits: bool
    notes: tuple[str, ...] = ()


def read_labelled(
    path: Path, *, splits: Collection[str] = (), only: str = "", labels: str = "classes", needs_labels: bool = True
) -> LabelledTable:
    """The rows of some splits (none named: all). DataError for the first that cannot be used, with its line.

    With `only` all are checked, and those of this split alone are given; a table without splits is all "train".
    `labels` is one of LABELS. Images need not exist: see `refuse_missing`.
    """
    reader = _Reader(path, read_table_rows(path, names_for=_names_of_a_list), labels)
    return reader.table(splits, only, needs_labels=needs_labels)


def _names_of_a_list(first: Sequence[str]) -> tuple[str, ...]:
    """Of a table without a heading, as ISIC's of 2016: an image and its label in each line, the first, too."""
    cells = [cell.strip() for cell in first]
    is_list = len(cells) == 2 and (_ISIC_ID.fullmatch(cells[0]) or cells[0].lower().endswith(IMAGE_SUFFIXES))
    return ("image", "label") if is_list else ()


@dataclass
class _Reader:
    path: Path
    rows: Sequence[TableRow]
    labels: str
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        has = {squeezed(name): name for name in reversed(self.rows[0].cells)}
        self.columns = {
            what: next((has[short] for name in names if (short := squeezed(name)) in has), "")
            for what, names in COLUMNS.items()
        }
        self.one_hot = self._one_hot(self.rows[0].cells) if not self.columns["label"] else []
        self._splits_in = self._column_of_splits()
        self.images = Nearby(self.path)
        self.source = source_of(self.path)

    def table(self, splits: Collection[str], only: str, *, needs_labels: bool) -> LabelledTable:
        has_labels = bool(self.columns["label"]) or len(self.one_hot) > 1
        missing = [*(["image"] if not self.columns["image"] else [])]
        missing += ["label"] if needs_labels and not has_labels else []
        if missing:
            has = ", ".join(filter(None, self.rows[0].cells))
            raise DataError(
                f"{self.path} lacks the column(s) {', '.join(missing)}; it has {has}. The first line must name the "
                f"columns: rename those that hold {' and '.join(MEANT[name] for name in missing)}."
            )
        self._tell_unread()
        kept = self._of_splits(splits)
        if empty := [row.line for row in kept if not self._text(row, "image")]:
            raise DataError(f"{self.path} has no image or no label in row {empty[0]}.")
        known = self._labels(kept) if has_labels else {row.line: "" for row in kept}
        kept = [row for row in kept if row.line in known]
        patients = {name: self._values(kept, name) for name in PATIENT}
        made = []
        for row in kept:
            if only and only != (self._split(row) if self._splits_in else "train"):
                continue
            age, sex, site, skin_type = (patients[name].get(row.line) for name in PATIENT)
            made.append(self._row(row, known[row.line], PatientContext(age, sex, site, skin_type)))
        return LabelledTable(tuple(made), has_labels, bool(self._splits_in), tuple(self.notes))

    def _text(self, row: TableRow, what: str) -> str:
        return row.text(self.columns[what]) if self.columns[what] else ""

    def _one_hot(self, names: Iterable[str]) -> list[str]:
        """The columns that each are a class."""
        return [name for name in names if name in ONE_HOT or class_of(_class_name(name))]

    def _tell_unread(self) -> None:
        """A column that nobody reads may be one that was meant to be read."""
        known = {*self.columns.values(), *self.one_hot, self._column_of_splits()}
        unread = [name for name in self.rows[0].cells if name not in known and not _is_of_no_use(name)]
        if unread:
            more = f", and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
            self.notes.append(f"{self.path.name}: columns that are not read: {', '.join(unread[:SHOWN])}{more}.")

    def _column_of_splits(self) -> str:
        """The one that is called so; else the first that may be, and says a split somewhere."""
        if self.columns["split"]:
            return self.columns["split"]
        perhaps = [name for name in self.rows[0].cells if tells_split(name)]
        return next((name for name in perhaps if any(split_in({name: row.text(name)}) for row in self.rows)), "")

    def _split(self, row: TableRow) -> str | None:
        """None for a word that is no split's."""
        name = self._splits_in
        if name == self.columns["split"]:
            return split_of(row.text(name))
        return split_in({name: row.text(name)}) or None

    def _row(self, row: TableRow, label: str, context: PatientContext) -> LabelledRow:
        named, mask = self._text(row, "image"), self._text(row, "mask")
        try:
            image, is_there = self.images.find(named)
            mask = str(self.images.beside(mask)) if mask else ""
        except InputError as error:
            raise DataError(f"{self.path}: line {row.line}: {error}") from error
        return LabelledRow(
            line=row.line,
            image=image,
            image_id=self._text(row, "image_id") or named,
            label=label,
            group=identity(row.cells, self.source) or image,
            context=context,
            split=(self._split(row) or "") if self._splits_in else "",
            question=self._text(row, "question"),
            mask=mask,
            is_there=is_there,
        )

    # --- splits -------------------------------------------------------------------------

    def _of_splits(self, splits: Collection[str]) -> list[TableRow]:
        """Every row where none is named or the table has none. The others are counted."""
        if not self._splits_in:
            return list(self.rows)
        of = {row.line: self._split(row) for row in self.rows}
        if unknown := [row for row in self.rows if of[row.line] is None]:
            first = unknown[0]
            raise DataError(
                f"{self.path}: line {first.line}: the split “{first.text(self._splits_in)}” is not known"
                f"{_others(len(unknown))}. Write train, val or test."
            )
        kept = [row for row in self.rows if not splits or of[row.line] in splits]
        left = Counter(split for row in self.rows if (split := of[row.line]) and splits and split not in splits)
        self.notes += [
            f"{self.path.name}: {count:,} row(s) of the split {split} are not used." for split, count in left.items()
        ]
        return kept

    # --- labels -------------------------------------------------------------------------

    def _labels(self, rows: Sequence[TableRow]) -> dict[int, str]:
        """By line, without the lines that are left out."""
        written = {row.line: self._written(row) for row in rows}
        empty = [line for line, label in written.items() if not label]
        if empty and self.labels != "known":
            hint = " Write one, or set labels to known (--labels known) to leave such rows out."
            raise DataError(f"{self.path} has no image or no label in row {empty[0]}{_others(len(empty))}.{hint}")
        if self.labels == "text":
            return written
        classes = {label: class_of(label) for label in set(written.values())}
        unknown = Counter(label for label in written.values() if not classes[label])
        if unknown and self.labels == "classes":
            raise DataError(self._question(unknown, written))
        if unknown:
            self.notes.append(
                f"{self.path.name}: {unknown.total():,} row(s) are left out, their labels fit none of the seven "
                f"classes: {_listed(unknown)}."
            )
        read = Counter(label for label in written.values() if (code := classes[label]) and code != label.lower())
        if read:
            told = (f"{label} as {classes[label]} ({count:,})" for label, count in read.most_common(SHOWN))
            more = f", and {len(read) - SHOWN} more" if len(read) > SHOWN else ""
            self.notes.append(f"{self.path.name}: labels are read as classes: {', '.join(told)}{more}.")
        return {line: code for line, label in written.items() if (code := classes[label])}

    def _written(self, row: TableRow) -> str:
        """The label as it stands there, on one line unless it is a text; the class whose column holds 1."""
        if not self.one_hot:
            text = self._text(row, "label")
            if self.rows[0].line == 1 and _ISIC_ID.fullmatch(self._text(row, "image")):
                text = ISIC_2016.get(text.lower(), text)
            return text if self.labels == "text" else " ".join(text.split())
        values = {name: row.text(name).lower().removesuffix(".0") for name in self.one_hot}
        wrong = [name for name, value in values.items() if value not in ("0", "1", "", "true", "false", "x")]
        ones = [name for name, value in values.items() if value in ("1", "true", "x")]
        if wrong or len(ones) > 1:
            name = wrong[0] if wrong else ones[1]
            raise DataError(
                f"{self.path}: line {row.line}: of the columns {', '.join(values)} exactly one must be 1 and the "
                f"others 0, but {name} is “{row.text(name)[:40]}”."
            )
        if not ones and set(self.one_hot) == ISIC_2017:
            return "nevus"
        return _class_name(ones[0]) if ones else ""

    def _question(self, unknown: Counter[str], written: Mapping[int, str]) -> str:
        lines = {label: line for line, label in reversed(list(written.items()))}
        told = []
        for label, count in unknown.most_common(SHOWN):
            perhaps = suggested(label)
            hint = f"; perhaps {' or '.join(perhaps)}" if perhaps else ""
            told.append(f"“{label[:60]}” ({count:,} row(s), line {lines[label]}{hint})")
        more = f", and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        return (
            f"{self.path}: unknown labels, which fit none of the seven classes ({', '.join(CLASSES)}): "
            f"{', '.join(told)}{more}. Correct them, or set labels to known (--labels known) to leave these rows out; "
            "a stage that trains takes text (--labels text), too, and learns every label as an answer, as it is "
            "written."
        )

    # --- the patient --------------------------------------------------------------------

    def _values(self, rows: Sequence[TableRow], what: str) -> dict[int, Any]:
        """By line. What is vague is not stated, and counted; what is wrong is refused."""
        if not self.columns[what]:
            return {}
        lines: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            lines[self._text(row, what)].append(row.line)
        found: dict[int, Any] = {}
        vague: dict[str, list[int]] = {}
        wrong: dict[int, InputError] = {}
        for text, where in lines.items():
            try:
                value = PATIENT[what](text)
            except Vague:
                vague[text] = where
            except InputError as error:
                wrong |= dict.fromkeys(where, error)
            else:
                found |= dict.fromkeys(where, value)
        if wrong:
            first = min(wrong)
            raise DataError(f"{self.path}: line {first}: {wrong[first]}{_more(len(wrong))}")
        if vague:
            counts = Counter({text: len(where) for text, where in vague.items()})
            self.notes.append(
                f"{self.path.name}: {self.columns[what]} is taken as not stated in {counts.total():,} row(s): "
                f"{_listed(counts)}."
            )
        return found


def _class_name(column: str) -> str:
    """Without what stands before it: label_mel, dx_melanoma."""
    return next((column[len(one) :] for one in PREFIXES if column.startswith(one)), column).replace("_", " ")


def _is_of_no_use(column: str) -> bool:
    """Whether nobody misses it: it was read elsewhere, or is the numbering that pandas writes."""
    return tells_who(column) or column.startswith("unnamed:")


def _others(count: int) -> str:
    return f" (nor in {count - 1:,} other row(s))" if count > 1 else ""


def _more(count: int) -> str:
    return f" So it is in {count - 1:,} more row(s)." if count > 1 else ""


def _listed(counts: Counter[str]) -> str:
    told = [f"{value or 'none'} ({count:,})" for value, count in counts.most_common(SHOWN)]
    return ", ".join(told) + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def refuse_missing(rows: Iterable[LabelledRow], path: Path) -> None:
    """DataError where an image of the rows is not there."""
    missing = [row for row in rows if not row.is_there]
    if missing:
        first = missing[0]
        hint = Nearby(path).hint(first.image)
        raise DataError(
            f"{path}: {len(missing):,} image(s) do not exist, such as {first.image} (line {first.line}).{hint}"
        )
