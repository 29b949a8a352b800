"""Brings the files of messages up to date with the code: python -m dermiq.language [CODE ...]

New texts are added without a translation; those that the code no longer has go, and are printed. A code that has no
file gets one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dermiq.language import FOLDER, languages, po
from dermiq.language.extract import Found, ids

ROOT = Path(__file__).resolve().parents[2]
HEADER = (
    "Project-Id-Version: DermIQ\nLanguage: {code}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
    "Content-Transfer-Encoding: 8bit\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
)


def updated(messages: Sequence[po.Message], found: Sequence[Found], *, code: str = "") -> list[po.Message]:
    """The file's messages as the code has them now: its header first, then all texts in the order of the code."""
    known = {(one.id, one.plural): one for one in messages}
    header = known.get(("", "")) or po.Message("", (HEADER.format(code=code),))
    return [header, *(_message(known.get((one.id, one.plural)), one) for one in found)]


def _message(known: po.Message | None, found: Found) -> po.Message:
    empty = ("", "") if found.plural else ("",)
    notes = [line for line in known.comments if not line.startswith("#:")] if known else []
    comments = (*notes, *(f"#: {place}" for place in found.places))
    made = known or po.Message(found.id, empty, found.plural)
    return replace(made, comments=comments)


def main(codes: Sequence[str]) -> int:
    """Returns 1 where a text has no translation yet."""
    found, missing = ids(ROOT), 0
    for code in codes or languages()[1:]:
        path = FOLDER / f"{code}.po"
        before = po.read(path.read_text(encoding="utf-8")) if path.is_file() else []
        after = updated(before, found, code=code)
        gone = {one.id for one in before} - {one.id for one in after}
        path.write_text(po.write(after), encoding="utf-8")
        without = [one.id for one in after if one.id and not one.is_translated]
        missing += len(without)
        print(f"{path.name}: {len(after) - 1} texts, {len(without)} without a translation, {len(gone)} gone")
        for text in sorted(gone):
            print(f"  gone: {text}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
