"""A fact and a sentence as the judge reads them: what both speak of is "the disease". Knows the graph's names."""

from __future__ import annotations

import re

from dermiq.knowledge.graph import Graph
from dermiq.knowledge.language.link import link
from dermiq.knowledge.language.text import words
from dermiq.knowledge.language.wording import in_the_graphs_names

IT = "the disease"
_PRONOUN = re.compile(r"^\W*(?:it|they|these|this)\b(?=\W)", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(?:an?|the|any|every)\s+$", re.IGNORECASE)


def shown(graph: Graph, text: str, subject: str, *, topic: str | None = None) -> str:
    """The text with `IT` for each name of `subject`, and for "it" at its beginning where the topic is the subject."""
    line = in_the_graphs_names(text)
    for mention in reversed(link(graph, line)):
        if subject in (mention.id, *graph.roles.get(words(mention.text), ())):
            before = _ARTICLE.sub("", line[: mention.start])
            line = before + IT + line[mention.end :]
    return _PRONOUN.sub(IT, line, count=1) if topic == subject and IT not in line else line
