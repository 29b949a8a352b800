"""Names in a text -> nodes of the graph, with negation. Knows words and names, no model.

Longest match first; plurals, spellings and hyphens are one (see `text`); abbreviations count as
they are written; a long word may carry one or two slips of the pen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.cues import Status, hear
from dermiq.knowledge.language.lexicon import denies
from dermiq.knowledge.language.remember import on_forget
from dermiq.knowledge.language.spelling import meant, slips
from dermiq.knowledge.language.text import Token, tokens, word_set

MIN_FUZZY = 6  # letters; shorter words must be written right
REMEMBERED = 512  # texts whose names are kept
CAPITAL_ONLY = word_set(
    "mm nm lm is ka pg lp ks nv mis iec ie am i df ssm lmm pih lplk alm blk vasc bkl cmn pak mcc dn uv ten calm carp "
    "dh hs"
)
"""Short names that count only when written in capitals, because they are also words or units."""

GENERIC = word_set("nevus cyst wart verruca angioma acne lupus tinea mole molluscum herpes eczema impetigo")
"""Names that are also the last or first word of the names of quite other conditions: spider nevus, lupus vulgaris."""

LATIN = re.compile(
    r".{2,}(?:eus|icus|osus|atus|inus|osa|ica|ata|ana|versa|osum|eum|atum|iform[ei]s|i?alis|aris|escens|minans)"
)
"""How a Latin adjective ends that makes a longer name of the name before it: naevus araneus, acne inversa."""

CODE = re.compile(r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?(?![0-9A-Za-z])")
"""A code of ICD-10 as it is written in a sentence."""

MOVES = word_set("come came coming go goe went going grow grew growing get got bring keep send look hair held hold")
"""After these "back" is no place: it comes back, grows back."""

_LISTED = re.compile(r"[,;:]\s")
"""What separates two names, but within those that have it themselves: "hand, foot and mouth disease"."""


@dataclass(frozen=True)
class Mention:
    """One name in a text."""

    start: int
    end: int
    text: str
    id: str
    name: str
    negated: bool = False  # denied, or said to be rare
    status: Status = "affirmed"


class Index:
    """The names of one graph, ready to be looked for."""

    def __init__(self, graph: Graph) -> None:
        self.names: dict[tuple[str, ...], str] = dict(graph.names)
        self.longest = max(len(name) for name in self.names)
        self.capital = {
            tuple(token.word for token in tokens(name))
            for node in graph.nodes
            for name in node.synonyms
            if name.lower() in CAPITAL_ONLY
        }
        self.listed = {
            tuple(token.word for token in tokens(name))
            for node in graph.nodes
            for name in (node.name, node.plural, *node.synonyms)
            if _LISTED.search(name)
        }
        self.vocabulary = {word for name in self.names for word in name}
        self._begun: dict[str, list[str]] = defaultdict(list)  # "effective" is no slip of "infective"
        for word in self.vocabulary:
            if len(word) >= MIN_FUZZY:
                self._begun[word[0]].append(word)
        self._repaired: dict[str, str] = {}
        self.remembered: dict[str, tuple[Mention, ...]] = {}
        self.strangers = {key for key in graph.meanings if self._hides(key)}
        self.reach = max((self.longest, *map(len, self.strangers)))
        self._gaps: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for name in self.names:
            for at, word in enumerate(name):
                if len(name) > 1 and 3 <= len(word) <= MIN_FUZZY:
                    self._gaps[(*name[:at], "", *name[at + 1 :])].append(name)

    def forget(self) -> None:
        """Lets go of what was read and typed."""
        self.remembered.clear()
        self._repaired.clear()

    def _hides(self, key: tuple[str, ...]) -> bool:
        """Whether a part of the name of something else would be taken for a condition."""
        spans = [key[first:last] for last in range(2, len(key) + 1) for first in range(last - 1)]
        return len(key) > 1 and any(word in GENERIC for word in key) and not any(span in self.names for span in spans)

    def repair(self, word: str, raw: str) -> str:
        """The word of the graph that was meant, or the word itself; `raw` as it was written ("dermatits")."""
        if len(word) < MIN_FUZZY or word in self.vocabulary or not word.isalpha():
            return word
        if raw not in self._repaired:
            nearest = self._nearest(word)
            self._repaired[raw] = self._nearest(raw.lower()) if nearest == word else nearest
        return self._repaired[raw] if self._repaired[raw] in self.vocabulary else word

    def may_be_slip(self, word: str) -> bool:
        """Whether it is a short word that no name has: one letter of it may be wrong. "can't" is no slip of "can"."""
        return 3 <= len(word) <= MIN_FUZZY and word not in self.vocabulary and not denies(word)

    def with_gap(self, compared: tuple[str, ...], may_slip: Sequence[bool]) -> tuple[str, ...] | None:
        """The name that these words are, but for a slip in one of the short words marked ("basal cel carcinoma")."""
        for at, word in enumerate(compared):
            if not may_slip[at]:
                continue
            for name in self._gaps.get((*compared[:at], "", *compared[at + 1 :]), ()):
                if word[0] == name[at][0] and slips(word, name[at]) == 1:
                    return name
        return None

    def _nearest(self, word: str) -> str:
        return meant(word, self._begun.get(word[0], ()))


_INDEXES: WeakKeyDictionary[Graph, Index] = WeakKeyDictionary()


@on_forget
def _forget() -> None:
    for index in list(_INDEXES.values()):
        index.forget()


def index_of(graph: Graph) -> Index:
    """The graph's index, made once."""
    if graph not in _INDEXES:
        _INDEXES[graph] = Index(graph)
    return _INDEXES[graph]


def link(graph: Graph, text: str) -> list[Mention]:
    """Every name of the graph in the text, in order, without overlaps."""
    index = index_of(graph)
    mentions = index.remembered.get(text)  # a check asks for one sentence several times, a group of answers too
    if mentions is None:
        mentions = tuple(_find(graph, index, text))
        if len(index.remembered) >= REMEMBERED:
            index.remembered.clear()
        index.remembered[text] = mentions
    return list(mentions)


def _find(graph: Graph, index: Index, text: str) -> list[Mention]:
    line = tokens(text)
    compared = [index.repair(token.word, token.raw) for token in line]
    may_slip = [index.may_be_slip(word) for word in compared]
    spans: list[tuple[int, int, str]] = []
    at = 0
    while at < len(line):
        size, node_id = _coded(graph, text, line, at)
        if not size:
            size, node_id = _longest(index, text, line, compared, may_slip, at)
            size, node_id = _whole(graph, index, text, line, compared, at, size, node_id)
        if node_id:
            spans.append((at, at + size, node_id))
        at += max(size, 1)
    places = [(line[first].start, line[last - 1].end) for first, last, _ in spans]
    heard = hear(text)
    said = [heard.said(start, end, names=places) for start, end in places]
    return [
        Mention(
            start=start,
            end=end,
            text=text[start:end],
            id=node_id,
            name=graph.node(node_id).name,
            negated=how.denied or how.rare,
            status=how.status,
        )
        for (start, end), how, (_, _, node_id) in zip(places, said, spans, strict=True)
    ]


def _coded(graph: Graph, text: str, line: Sequence[Token], at: int) -> tuple[int, str]:
    """The words of a code of ICD-10 that starts here, and the one condition that it means."""
    code = CODE.match(text, line[at].start)
    node = graph.by_code(code.group()) if code else None
    if code is None or node is None:
        return 0, ""
    return sum(line[at].start <= token.start < code.end() for token in line[at : at + 2]), node.id


def _whole(
    graph: Graph,
    index: Index,
    text: str,
    line: Sequence[Token],
    compared: list[str],
    at: int,
    size: int,
    node_id: str,
) -> tuple[int, str]:
    """The name that was found, or the length of a longer one of something else, and no condition."""
    for longer in range(min(index.reach, len(line) - at), size, -1):
        if tuple(compared[at : at + longer]) in index.strangers:
            return longer, ""
    after = at + 1
    if size == 1 and after < len(line) and graph.node(node_id).kind == "Disease":
        joined = text[line[at].end : line[after].start] == " "
        if joined and LATIN.fullmatch(compared[after]):
            return 2, ""
    return size, node_id


def _longest(
    index: Index, text: str, line: Sequence[Token], compared: list[str], may_slip: list[bool], at: int
) -> tuple[int, str]:
    if at and compared[at] == "back" and compared[at - 1] in MOVES:
        return 0, ""
    for size in range(min(index.longest, len(line) - at), 0, -1):
        name = tuple(compared[at : at + size])
        if name not in index.listed and _LISTED.search(text, line[at].end, line[at + size - 1].start):
            continue  # "acne, rosacea" is no acne rosacea
        if name in index.names and _written_right(index, name, line[at]):
            return size, index.names[name]
        repaired = (
            index.with_gap(name, may_slip[at : at + size]) if size > 1 and any(may_slip[at : at + size]) else None
        )
        if repaired:
            return size, index.names[repaired]
    return 0, ""


def _written_right(index: Index, name: tuple[str, ...], token: Token) -> bool:
    if name not in index.capital:
        return True
    return token.raw.rstrip("s").isupper()
