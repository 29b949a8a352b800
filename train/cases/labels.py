"""Which of the seven classes a label means: their codes, those of the field's data sets, names and codes of the graph.

    class_of(" MEL")                  "mel"         class_of("ACK")       "akiec"
    class_of("Malignant melanoma")    "mel"         class_of("C43.9")     "mel"
    class_of("SCC")                   None          class_of("melanoma?")     None
    class_of("wart")                  None          suggested("melanomma")    ("melanoma (mel)",)

Only what is known whole counts. What is known and belongs to none of the seven is as unknown here as a slip of the pen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from dermiq.types import CLASSES

DATA_SET_CODES = {"ack": "akiec", "ak": "akiec", "nev": "nv", "sek": "bkl"}
"""Of PAD-UFES-20 and ISIC 2019, where they differ from ours; their SCC and UNK are none of the seven."""

ONE_HOT = (*CLASSES, "ak", "scc", "unk")
"""Columns of the ISIC challenges' tables, each a class."""

WIDER = ("D23",)  # ICD: the graph's dermatofibroma is coded so, as are other benign tumours of the skin
SUGGESTED = 2


def class_of(label: str) -> str | None:
    """None for what fits none of the seven."""
    return _class_of(" ".join(label.split()))


@lru_cache(maxsize=10_000)
def _class_of(label: str) -> str | None:
    low = label.lower()
    if "?" in label or "!" in label:  # somebody doubts it, or calls out
        return None
    if low in CLASSES or low in DATA_SET_CODES:
        return DATA_SET_CODES.get(low, low)
    return _of_code(label.upper()) or _of_name(label)


def _of_name(label: str) -> str | None:
    from dermiq.knowledge import Graph

    found = Graph.load().diagnosis(re.sub(r",?\s*\bnos\b\.?$", "", label, flags=re.IGNORECASE))
    return found.code if found else None


def _of_code(label: str) -> str | None:
    """By the code, else by the codes that it stands below: C43.59, C43.5, C43."""
    if not re.fullmatch(r"[A-Z]\d[\dA-Z](\.?[\dA-Z]{1,4})?", label):
        return None
    code = label if "." in label or len(label) == 3 else f"{label[:3]}.{label[3:]}"
    while code:
        if code in _codes():
            return _codes()[code]
        code = code[:-1].rstrip(".") if len(code) > 3 else ""
    return None


@lru_cache(maxsize=1)
def _codes() -> Mapping[str, str | None]:
    """ICD-10-CM -> class; None where the conditions of that code belong to several, or to none."""
    from dermiq.knowledge import Graph

    found: dict[str, set[str]] = defaultdict(set)
    for node in Graph.load().nodes:
        for code in filter(None, node.codes.get("icd10cm", "").split("|")):
            found[code].add(node.class_code)
    return {
        code: next(iter(classes)) or None if len(classes) == 1 and code not in WIDER else None
        for code, classes in found.items()
    }


def suggested(label: str) -> tuple[str, ...]:
    """Conditions of the seven classes that may be meant; none where the label is another condition's name."""
    from dermiq.knowledge import Graph
    from dermiq.knowledge.find import suggest

    if Graph.load().diagnosis(label):
        return ()
    found = [(hit.name, hit.node.class_code) for hit in suggest(Graph.load(), label[:80])]
    best = {code: name for name, code in reversed(found) if code}  # of each class its first
    return tuple(f"{name} ({code})" for name, code in found if code and best[code] == name)[:SUGGESTED]
