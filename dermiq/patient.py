"""What is told of a patient, as people write it: read, or not stated, or refused with what is allowed.

    age_of("55 years")      55        age_of("UNK")     None      age_of("999")    InputError
    sex_of("männlich")      "male"    sex_of("other")   Vague     sex_of("0")      InputError
    skin_type_of("III")     3         site_of("BACK")   "back"    site_of("nan")   None

`Vague` is a value that is right and still says too little to be told to a model: an age of "50-60", a sex that is
neither female nor male. Somebody who types it is asked; in a table it is not stated, and counted. Knows no page, no
table.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from dermiq.errors import InputError

OLDEST = 120  # years
LONGEST_SITE = 60  # characters
NOT_STATED = frozenset(
    (
        *("", "-", "--", "?", ".", "/", "x", "na", "n/a", "n.a.", "<na>", "#n/a", "nan", "nat", "none", "null", "nil"),
        *("unk", "unknown", "unspecified", "undefined", "missing", "blank", "not stated", "not known", "not available"),
        *("not applicable", "not specified", "not recorded", "not reported", "not provided", "not given", "no data"),
        *("n.d.", "n/d", "n.k.", "none_identified", "none_selected", "non précisé", "no especificado", "non noto"),
        *("unbekannt", "nicht bekannt", "k.a.", "ka", "keine angabe", "keine angaben", "fehlt"),
        *("inconnu", "desconocido", "sconosciuto"),
    )
)
_FEMALE = frozenset(
    (
        *("f", "fem", "female", "w", "woman", "girl", "♀", "weiblich", "frau", "femme", "féminin", "femenino"),
        *("mujer", "donna", "femmina", "mulher", "feminino", "vrouw", "kvinna"),
    )
)
_MALE = frozenset(
    (
        *("m", "masc", "male", "man", "boy", "♂", "männlich", "maennlich", "mann", "homme", "masculin", "masculino"),
        *("hombre", "uomo", "maschio", "homem"),
    )
)
_OTHER = frozenset(
    (
        *("o", "other", "d", "divers", "diverse", "intersex", "non-binary", "nonbinary", "nb", "indeterminate"),
        *("transgender", "u"),
    )
)
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi")
_NUMBER = r"\d{1,4}(?:[.,]\d{0,9})?"
_YEARS = r"(?:y|yr|yrs|yo|y\.?o\.?|y/o|years?|years? old|-?years?-old|years? of age|j|jahre?|ans?|años?|anni)"
_AGE = re.compile(rf"({_NUMBER})\s*{_YEARS}?\.?", re.ASCII)
_SHORT = re.compile(
    rf"({_NUMBER})\s*(d|days?|tage?|w|wks?|weeks?|wochen?|mo|mos|months?|monate?)(?:[ -]old)?\.?", re.ASCII
)
_PER_YEAR = {"d": 365.25, "t": 365.25, "w": 52.18, "m": 12.0}
_AGES = re.compile(
    rf"(?:{_NUMBER}\s*(?:-|–|—|to|bis)\s*{_NUMBER}|[<>≤≥~]=?\s*{_NUMBER}|{_NUMBER}\s*(?:\+|s|and over|or older)|"
    rf"(?:over|under|about|above|below|ca\.?|über|unter)\s+{_NUMBER})\s*{_YEARS}?",
    re.ASCII,
)


class Vague(InputError):
    """A value that says too little to be told, such as a range of ages."""


def said(value: object) -> str:
    """A value of a table, a JSON line or a field as a text, "" where nothing is stated."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = " ".join(str(value).split())
    return "" if text.lower().strip("()[]") in NOT_STATED else text


def age_of(value: object, *, whole: bool = False) -> int | None:
    """Completed years. With `whole` a fraction is refused: whoever types one may have slipped. Raises InputError."""
    text = said(value).lower()
    if not text:
        return None
    if short := _SHORT.fullmatch(text):
        return _checked(math.floor(_number(short.group(1)) / _PER_YEAR[short.group(2)[0]]), text)
    if not (found := _AGE.fullmatch(text)):
        if _AGES.fullmatch(text):
            raise Vague(f"The age “{text[:40]}” is a range. Give whole years from 0 to {OLDEST}, or leave it empty.")
        raise _no_age(text)
    years = _number(found.group(1))
    if whole and years % 1:
        raise _no_age(text)
    return _checked(math.floor(years), text)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _checked(years: int, text: str) -> int:
    if years > OLDEST:
        raise _no_age(text)
    return years


def _no_age(text: str) -> InputError:
    return InputError(
        f"The age “{text[:40]}” is not a whole number of years from 0 to {OLDEST}. Correct it, or leave it empty."
    )


def sex_of(value: object) -> Literal["female", "male"] | None:
    """Raises InputError: what 0 and 1 mean is not known here."""
    text = said(value).lower().rstrip(".")
    if not text:
        return None
    if text in _FEMALE:
        return "female"
    if text in _MALE:
        return "male"
    if text in _OTHER:
        raise Vague(f"The sex “{text}” is none that the models know. Give female or male, or leave it empty.")
    raise InputError(f"The sex “{text[:40]}” is not known. Give female or male, or leave it empty.")


def site_of(value: object) -> str | None:
    """In small letters, as the models learned sites. Raises InputError where it is too long for one, or a number: what
    a code means is not known here.
    """
    text = said(value).lower().replace("_", " ")
    if len(text) > LONGEST_SITE:
        raise InputError(f"The site “{text[:40]}...” is longer than {LONGEST_SITE} characters. Name the place alone.")
    if text and not any(letter.isalpha() for letter in text):
        raise InputError(f"The site “{text}” is a number. Name the place in words, or leave it empty.")
    return text or None


def skin_type_of(value: object) -> int | None:
    """Fitzpatrick, 1 to 6, in Arabic or Roman numerals. Raises InputError."""
    text = said(value).lower()
    if not text:
        return None
    core = re.sub(r"^(?:(?:fitzpatrick|fitspatrick|skin|photo|type|typ|fst|pst)[ -]*)+", "", text)
    core = re.sub(r"[.,]0*$", "", core)
    if core in _ROMAN:
        return _ROMAN.index(core) + 1
    if re.fullmatch("[1-6]", core):
        return int(core)
    if re.fullmatch(r"(?:[1-6]|[iv]+) ?(?:-|–|/|to|or) ?(?:[1-6]|[iv]+)", core):
        raise Vague(f"The skin type “{text[:40]}” is a range. Give one of Fitzpatrick's I to VI, or leave it empty.")
    raise InputError(f"The skin type “{text[:40]}” is none of Fitzpatrick's I to VI (1 to 6). Or leave it empty.")
