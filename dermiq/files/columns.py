"""What the columns of people's files are called, whichever program wrote them: who a row is about, which split it has.

    squeezed("Patient ID")                        "patientid", as of patientID, PATIENT_ID and patient-id
    patient_in({"PatNr": 7, "lesion": "L1"})      7
    split_in({"is_valid": "True"})                "val"

Knows no file and no page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from dermiq.files.splits import split_of
from dermiq.patient import said

_NUMBER = "(id|ids|no|nr|num|number|numero|nummer|key|code|uid|identifier|pseudonym|kennung|name|hash)"
_PATIENTS = (
    rf"(id|no|nr|num|numero)?(patient|patients|patienten|patientin|paciente|paziente){_NUMBER}?"
    rf"|(id|no|nr|num|numero)?(pat|pt|subject|person|participant|proband|probanden|individual){_NUMBER}"
    r"|id(subject|person|participant|individual)|pid|mrn"
)
WHO = tuple(
    re.compile(pattern)
    for pattern in ("group", _PATIENTS, rf"case{_NUMBER}", rf"(id)?(lesion|lesions|lasion|lasions){_NUMBER}?")
)
"""Of squeezed names, the coarsest first."""

SOURCES = frozenset(
    (
        *("source", "siteid", "clinic", "clinicid", "centre", "center", "centreid", "centerid"),
        *("hospital", "hospitalid", "institution", "institutionid", "klinik", "hopital"),
    )
)

SPLITS = ("split", "datasplit", "datasetsplit", "splitname", "traintest", "trainvaltest")
PERHAPS_SPLITS = ("subset", "partition", "set", "phase", "usage", "fold", "dataset", "datasetname", "purpose")
"""Also called so are other things: it is the split where it says one."""

FLAGS = {
    **dict.fromkeys(("isval", "isvalid", "isvalidation"), ("val", "train")),
    "istest": ("test", "train"),
    "istrain": ("train", ""),
}
"""What yes and no mean in columns that say of one split whether a row is in it."""

_YES, _NO = ("true", "1", "1.0", "yes", "y"), ("false", "0", "0.0", "no", "n")


@lru_cache(maxsize=10_000)
def squeezed(name: str) -> str:
    """Letters and digits alone, small and without accents."""
    letters = unicodedata.normalize("NFKD", str(name).casefold())
    return "".join(letter for letter in letters if letter.isalnum())


@lru_cache(maxsize=10_000)
def _rank(name: str) -> int | None:
    """Which of `WHO` it is."""
    short = squeezed(name)
    return next((rank for rank, pattern in enumerate(WHO) if pattern.fullmatch(short)), None)


def tells_who(name: str) -> bool:
    """Whether a column names the patient, the lesion, or where they come from."""
    return _rank(str(name)) is not None or squeezed(str(name)) in SOURCES


def patient_in(row: Mapping[str, object]) -> object:
    """What names the patient, else the lesion; None where nothing does."""
    ranked = [(rank, name) for name in row if (rank := _rank(str(name))) is not None]
    return next((row[name] for _, name in sorted(ranked, key=lambda one: one[0]) if _says(row[name])), None)


def source_in(row: Mapping[str, object]) -> object:
    """What names the clinic or the data set; None where nothing does."""
    return next((value for name, value in row.items() if squeezed(str(name)) in SOURCES and _says(value)), None)


def _says(value: object) -> bool:
    return isinstance(value, (str, int, float)) and bool(said(value))


def tells_split(name: str) -> bool:
    """Whether a column may say the split."""
    return squeezed(str(name)) in (*SPLITS, *PERHAPS_SPLITS, *FLAGS)


def split_in(row: Mapping[str, object]) -> str | None:
    """The split that a row names; "" where no column says it, None where it is none that is known."""
    short = {squeezed(str(name)): value for name, value in row.items() if tells_split(str(name)) and _says(value)}
    for name in SPLITS:
        if name in short:
            return split_of(short[name])
    if perhaps := next((split for name in PERHAPS_SPLITS if (split := split_of(short.get(name)))), None):
        return perhaps
    return next((_flagged(name, short[name]) for name in FLAGS if name in short), "")


def _flagged(name: str, value: object) -> str | None:
    word = said(value).lower()
    yes, no = FLAGS[name]
    return yes if word in _YES else (no or None) if word in _NO else None
