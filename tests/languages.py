"""What of a page is not translated: rendered in a language whose words are the English ones in brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser

import pytest

from dermiq import language


class Brackets:
    """A language whose words are the English ones in brackets, so that what is not translated stands outside."""

    def gettext(self, text: str) -> str:
        return f"⟦{text}⟧"

    def ngettext(self, one: str, many: str, n: int) -> str:
        return f"⟦{one if n == 1 else many}⟧"


@contextmanager
def in_brackets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_translation", Brackets())
        patch.setattr(language, "_code", "xx")
        patch.setattr(language, "_patterns", lambda code: [])
        yield


class Texts(HTMLParser):
    """What a page says: its texts, and those of its attributes."""

    SAID = ("aria-label", "title", "alt", "placeholder", "data-tip")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside.append(tag)
        self.found += [value for name, value in attrs if name in self.SAID and value]

    def handle_endtag(self, tag: str) -> None:
        self.inside.pop() if self.inside and self.inside[-1] == tag else None

    def handle_data(self, data: str) -> None:
        if "svg" not in self.inside:
            self.found.append(data)


def said_by(data: object) -> Iterator[str]:
    """Every text in the data that readers, graph and model give."""
    if isinstance(data, str):
        yield data
    elif is_dataclass(data):
        for field in fields(data):
            yield from said_by(getattr(data, field.name))
    elif isinstance(data, dict):
        yield from said_by([*data, *data.values()])
    elif isinstance(data, Iterable):
        for one in data:
            yield from said_by(one)


def letters(text: str) -> str:
    return re.sub(r"\[f\d\]|[^a-z]", "", text.lower())


def pieces_of(text: str) -> list[str]:
    return [letters(piece) for piece in re.split(r"[|.:;,()/·“”\n]", text)]


def left_in(html: str, known: Sequence[str], *, part: int) -> set[str]:
    """English that is neither in brackets nor known: no piece of a known text, nor a part of so many letters."""
    whole, joined = {piece for text in known for piece in pieces_of(text)}, " ".join(map(letters, known))
    left = set()
    for text in Texts(html).found:
        rest, before = text, ""
        while rest != before:
            rest, before = re.sub(r"⟦[^⟦⟧]*⟧", "|", rest), rest
        if any(len(p) > 2 and p not in whole and (len(p) < part or p not in joined) for p in pieces_of(rest)):
            left.add(text)
    return left
