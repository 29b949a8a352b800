"""Words as the graph compares them: one spelling, one number, no hyphens. Knows no graph."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from dermiq.knowledge.language.remember import remembered

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.UNICODE)

_SPELLING = (
    ("haem", "hem"),
    ("naev", "nev"),
    ("oedem", "edem"),
    ("rrhoe", "rrhe"),
    ("colour", "color"),
    ("tumour", "tumor"),
    ("grey", "gray"),
    ("centre", "center"),
    ("arboris", "arboriz"),
    ("fibre", "fiber"),
    ("whitish", "white"),
    ("bluish", "blue"),
    ("morphoe", "morphe"),
)
_PLURALS = {
    "nevi": "nevus",
    "keratoses": "keratosis",
    "porokeratoses": "porokeratosis",
    "melanoses": "melanosis",
    "lentigines": "lentigo",
    "angiomata": "angioma",
    "hemangiomata": "hemangioma",
    "melanomata": "melanoma",
    "carcinomata": "carcinoma",
    "lacunas": "lacuna",
    "lacunae": "lacuna",
    "telangiectases": "telangiectasia",
    "biopsies": "biopsy",
    "therapies": "therapy",
    "milium": "milia",
    "diagnoses": "diagnosis",
    "metastases": "metastasis",
    "verrucae": "verruca",
}
_KEEP_S = ("ss", "us", "is", "ous")
_LATIN = re.compile(r"(?<=[a-z])[ao]e(?=[a-z]{2})")
"""The British "ae" and "oe" inside a word: coeruleus, anaemia; not at its end, where it is a plural or a toe."""
LONG = 6  # letters from which a word may be spelled with either


@dataclass(frozen=True)
class Token:
    """One word: where it stands, what it compares as, and how it was written."""

    start: int
    end: int
    word: str
    raw: str


@remembered(50_000)
def normal(word: str) -> str:
    """'Naevi' -> 'nevus', "Bowen's" -> 'bowen', 'colours' -> 'color'."""
    if re.fullmatch(r"[A-Z]{2,}s", word):
        return word[:-1].lower()
    low = re.sub(r"['’]s$", "", _plain(word.lower())).replace("'", "").replace("’", "")
    for british, american in _SPELLING:
        low = low.replace(british, american)
    if low not in _PLURALS and len(low) >= LONG:
        low = _LATIN.sub("e", low)
        low = re.sub("omata$", "oma", low)
    if low in _PLURALS:
        return _PLURALS[low]
    if len(low) > 3 and low.endswith("ies"):
        return low[:-3] + "y"
    if low.endswith(("tches", "shes", "xes", "sses")):
        return low[:-2]
    if len(low) > 3 and low.endswith("s") and not low.endswith(_KEEP_S):
        return low[:-1]
    return low


def _plain(word: str) -> str:
    """'café' -> 'cafe'."""
    if word.isascii():
        return word
    return "".join(mark for mark in unicodedata.normalize("NFKD", word) if not unicodedata.combining(mark))


@remembered(20_000)  # names are asked for again with every fact that has them
def tokens(text: str) -> tuple[Token, ...]:
    return tuple(Token(m.start(), m.end(), normal(m.group()), m.group()) for m in WORD.finditer(text))


def word_set(listed: str) -> frozenset[str]:
    """'a b c' -> {'a', 'b', 'c'}, for lists of words in code."""
    return frozenset(listed.split())


def words(text: str) -> tuple[str, ...]:
    return tuple(token.word for token in tokens(text))


_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9<])|\n+")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|vs|approx|cf|Dr|Fig|No|ca)\.|\b\d+\.)$")


def split_sentences(text: str) -> list[str]:
    """Sentences of prose, lists and reasoning blocks, tags and list numbers taken off."""
    plain = re.sub(r"</?(?:think|answer)>", "\n", text)
    parts: list[str] = []
    for part in _BREAK.split(plain):
        if parts and _ABBREVIATION.search(parts[-1]):
            parts[-1] += " " + part.strip()
        else:
            parts.append(part.strip())
    cleaned = (re.sub(r"^(?:[-*•]\s+|\d+[.)]\s+)", "", part).strip() for part in parts)
    return [part for part in cleaned if re.search(r"[A-Za-z]{2}", part)]
