"""Facts that a text repeats word for word, or repeats with another number. Knows sentences, judges no meaning."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dermiq.knowledge.check.openers import claimed
from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.citation import CITATION, uncited
from dermiq.knowledge.language.text import tokens
from dermiq.types import Fact

START = 4  # words by which a quotation is looked up
NUMBER = "#"


@dataclass(frozen=True)
class Quote:
    """A stretch of a sentence that is a fact's sentence. `exact` is false where a number differs."""

    start: int
    end: int
    fact: Fact
    exact: bool


_Key = tuple[str, ...]
_BOOKS: WeakKeyDictionary[Graph, dict[_Key, list[tuple[_Key, _Key, Fact]]]] = WeakKeyDictionary()


def _masked(words: _Key) -> _Key:
    return tuple(NUMBER if word.isdigit() else word for word in words)


def _book(graph: Graph) -> dict[_Key, list[tuple[_Key, _Key, Fact]]]:
    if graph not in _BOOKS:
        book: dict[_Key, list[tuple[_Key, _Key, Fact]]] = defaultdict(list)
        pairs = [(fact, text) for fact in graph.all_facts for text in {fact.text, claimed(fact.text)}]
        for fact, text in pairs:
            words = tuple(token.word for token in tokens(text))
            if len(words) >= START:
                book[_masked(words)[:START]].append((_masked(words), words, fact))
        _BOOKS[graph] = dict(book)
    return _BOOKS[graph]


def quotes(graph: Graph, sentence: str) -> list[Quote]:
    """Every fact that the sentence quotes, with its opening or without, longest first at each place, no overlaps."""
    line = tokens(CITATION.sub(lambda found: " " * len(found.group()), sentence))  # places stay
    words = tuple(token.word for token in line)
    masked = _masked(words)
    book = _book(graph)
    found = []
    at = 0
    while at + START <= len(words):
        fits = [
            (whole == words[at : at + len(mask)], len(mask), fact)
            for mask, whole, fact in book.get(masked[at : at + START], ())
            if masked[at : at + len(mask)] == mask
        ]
        if fits:
            exact, size, fact = max(fits, key=lambda fit: (fit[0], fit[1]))
            found.append(Quote(line[at].start, line[at + size - 1].end, fact, exact))
            at += size
        else:
            at += 1
    return found


def without(sentence: str, cited: list[Quote]) -> str:
    """The sentence without its quotations and citations."""
    for quote in reversed(cited):
        sentence = sentence[: quote.start] + " " + sentence[quote.end :]
    return uncited(sentence)
