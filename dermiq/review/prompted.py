"""What the model was told before it answered, read from a case's prompt: facts and earlier turns. Knows no page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from dermiq.knowledge import Graph
from dermiq.knowledge.check.quotes import quotes
from dermiq.review.types import ReviewCase
from dermiq.types import Evidence, EvidenceItem, Fact, Fields, Source

_FACT = re.compile(r"^\[F(\d+)\] (.+)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.+)$", re.MULTILINE)
_PROMPT = Source("prompt", "The prompt of this pair; this graph has no such sentence", "", "not known", "research")
REASON = "it was given to the model"


@dataclass(frozen=True)
class Turn:
    question: str
    answer: str


def texts(message: Fields) -> str:
    """The text of a chat message, whose content is text or a list of parts."""
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def earlier(case: ReviewCase) -> tuple[Turn, ...]:
    """The questions before the one that is judged, with their answers."""
    said = [(str(message.get("role")), texts(message)) for message in case.prompt]
    pairs = pairwise(said)
    return tuple(Turn(_asked(one), two) for (role, one), (then, two) in pairs if (role, then) == ("user", "assistant"))


def _asked(text: str) -> str:
    found = _QUESTION.search(text)
    return found[1] if found else text


def evidence(case: ReviewCase, graph: Graph) -> Evidence:
    """The facts that the case's prompt numbers."""
    return numbered([texts(message) for message in case.prompt], graph)


def numbered(prompt: Iterable[str], graph: Graph) -> Evidence:
    """The facts that a prompt numbers, as the graph has them; a sentence that it lacks stays a sentence."""
    told: dict[str, str] = {}
    for number, text in (found for part in prompt for found in _FACT.findall(part)):
        told.setdefault(number, text)
    return Evidence(
        tuple(EvidenceItem(int(number), _fact(number, text, graph), 0.0, REASON) for number, text in told.items())
    )


def _fact(number: str, text: str, graph: Graph) -> Fact:
    found = next((quote.fact for quote in quotes(graph, text) if quote.exact), None)
    return found or Fact(f"prompt-{number}", "", "said", "", text, _PROMPT)
