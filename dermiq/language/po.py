"""Files of messages in the text form of GNU gettext (.po): read, written, and compiled in memory for `gettext`.

    messages = read(text); text = write(messages); gettext.GNUTranslations(io.BytesIO(compiled(messages)))

A file that a translator edits is the only one: no compiled twin is kept beside it. Of the form only what our files have
is read: comments, `msgid`, `msgid_plural`, `msgstr`, `msgstr[n]`, and strings over several lines.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr)(?:\[(\d)\])?\s+)?"((?:[^"\\]|\\.)*)"')
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
MAGIC = 0x950412DE
WIDTH = 110  # characters of a string in one line of a file


@dataclass(frozen=True)
class Message:
    """`texts`: the translation, or one for each plural form; empty where there is none yet. `id` "" is the header."""

    id: str
    texts: tuple[str, ...] = ("",)
    plural: str = ""
    comments: tuple[str, ...] = ()  # whole lines: "# a note", "#: dermiq/ui/app.py", "#, fuzzy"

    @property
    def is_fuzzy(self) -> bool:
        """Whether it waits for a translator's second look, and until then does not count."""
        return any(line.startswith("#,") and "fuzzy" in line for line in self.comments)

    @property
    def is_translated(self) -> bool:
        return bool(self.id) and all(self.texts) and not self.is_fuzzy


def read(text: str) -> list[Message]:
    """ValueError, with the number of the line, where a line is neither a comment nor a string."""
    made: list[Message] = []
    comments: list[str] = []
    fields: dict[str, str] = {}
    at = ""

    def close() -> None:
        nonlocal at
        if "msgid" in fields:
            texts = tuple(fields[name] for name in sorted(fields) if name.startswith("msgstr"))
            made.append(Message(fields["msgid"], texts, fields.get("msgid_plural", ""), tuple(comments)))
            comments.clear()
        fields.clear()
        at = ""

    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            if fields:
                close()
            comments += [line] if line.startswith("#") else []
            continue
        match = _LINE.fullmatch(line)
        if match is None or not (match[1] or at):
            raise ValueError(f"Line {number} is none of a file of messages: {line[:60]}")
        if match[1]:
            if match[1] == "msgid" and fields:
                close()
            at = match[1] + (match[2] or "")
            fields[at] = ""
        fields[at] += re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), match[3])
    close()
    return made


def write(messages: Sequence[Message]) -> str:
    return "\n".join("\n".join(_lines(one)) + "\n" for one in messages)


def _lines(message: Message) -> Iterator[str]:
    yield from message.comments
    yield from _string("msgid", message.id)
    if message.plural:
        yield from _string("msgid_plural", message.plural)
        for number, text in enumerate(message.texts):
            yield from _string(f"msgstr[{number}]", text)
    else:
        yield from _string("msgstr", message.texts[0])


def _string(name: str, text: str) -> Iterator[str]:
    """On one line where it fits, else on several, broken at spaces and after each line break."""
    pieces = [piece for line in text.splitlines(keepends=True) for piece in _broken(line)]
    if len(pieces) < 2:
        yield f'{name} "{_escaped(text)}"'
        return
    yield f'{name} ""'
    yield from (f'"{_escaped(piece)}"' for piece in pieces)


def _broken(line: str) -> Iterator[str]:
    while len(line) > WIDTH:
        end = line.rfind(" ", 0, WIDTH) + 1 or line.find(" ") + 1 or len(line)
        yield line[:end]
        line = line[end:]
    if line:
        yield line


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def compiled(messages: Sequence[Message]) -> bytes:
    """The bytes of the .mo file that `gettext` reads: two tables of lengths and places, then ids and texts by id."""
    kept = [one for one in messages if not one.id or one.is_translated]
    rows = sorted((_joined((one.id, one.plural) if one.plural else (one.id,)), _joined(one.texts)) for one in kept)
    head = struct.calcsize("7I")
    place = head + 16 * len(rows)
    tables: tuple[list[int], list[int]] = ([], [])
    body = b""
    for column in (0, 1):
        for row in rows:
            tables[column].extend((len(row[column]), place + len(body)))
            body += row[column] + b"\0"
    numbers = struct.pack("<7I", MAGIC, 0, len(rows), head, head + 8 * len(rows), 0, 0)
    return numbers + struct.pack(f"<{4 * len(rows)}I", *tables[0], *tables[1]) + body


def _joined(texts: Sequence[str]) -> bytes:
    return "\0".join(texts).encode()
