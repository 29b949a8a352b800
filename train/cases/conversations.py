"""Conversations whose later answers were written by hand, as `train/cases/conversations.jsonl.gz` holds them.

    for one in read_conversations(graph): one.messages       # system, user, assistant, user, assistant ...

Each is a case without its image: what was asked and shown first, and up to four later questions with the lines on the
case and the facts that the prompt told. The answers say what stands there and nothing else; each was read by a second
writer, who wrote a faulty one beside half of the newer ones. `lead` is the class that the first answer names, so that
an image of it can be shown beside. Ids that begin with "t" are single questions on one case put in a row; the others
were asked in a row.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermiq.errors import DataError
from dermiq.knowledge import Graph
from dermiq.types import Evidence, EvidenceItem, Json
from dermiq.vlm.prompts import Message, assistant_message, follow_up_message, system_message, user_message

WRITTEN = Path(__file__).with_name("conversations.jsonl.gz")


@dataclass(frozen=True)
class LaterTurn:
    question: str
    intent: str
    case: str  # lines of `dermiq.answering.briefing`
    facts: tuple[tuple[int, str], ...]  # number in the conversation, and id
    answer: str
    kind: str  # answer, unknown, premise, out
    writer: int = 0  # who wrote the answer: sets are split by it
    faulty: str = ""  # an answer with one fault, written by hand to be told from the good one; "" where there is none
    fault: str = ""  # meaning, citation, invented, case, other_question, unsafe


@dataclass(frozen=True)
class Conversation:
    id: str
    lead: str
    first_user: str
    first_answer: str
    turns: tuple[LaterTurn, ...]

    def messages(
        self, graph: Graph, *, images: int = 1, say: Callable[[Graph, LaterTurn], str] = lambda _, turn: turn.answer
    ) -> list[Message]:
        """As a consultation would have them; `say` gives each later answer, as it was written if it is left out.

        DataError for a fact that the graph no longer has.
        """
        found = [system_message(), user_message(self.first_user, images=images), assistant_message(self.first_answer)]
        for turn in self.turns:
            evidence = Evidence(tuple(self._item(graph, number, key) for number, key in turn.facts))
            asked = follow_up_message(evidence, turn.question, case=turn.case, earlier=found)
            found += [asked, assistant_message(say(graph, turn))]
        return found

    def _item(self, graph: Graph, number: int, key: str) -> EvidenceItem:
        try:
            return EvidenceItem(number, graph.fact(key), 0.0, "")
        except KeyError as error:
            raise DataError(f"Conversation {self.id} cites fact {key}, which the graph does not have.") from error


def read_conversations(path: Path = WRITTEN) -> list[Conversation]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [_conversation(json.loads(line)) for line in lines]


def write_conversations(conversations: Sequence[Conversation], path: Path = WRITTEN) -> None:
    """The same conversations always give the same bytes."""
    text = "".join(json.dumps(_as_json(one), ensure_ascii=False) + "\n" for one in conversations)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _conversation(line: Json) -> Conversation:
    turns = tuple(
        LaterTurn(**(turn | {"facts": tuple((int(number), str(key)) for number, key in turn["facts"])}))
        for turn in line["turns"]
    )
    return Conversation(**(line | {"turns": turns}))


def _as_json(one: Conversation) -> Json:
    turns = [
        {
            "question": turn.question,
            "intent": turn.intent,
            "case": turn.case,
            "facts": [list(fact) for fact in turn.facts],
            "answer": turn.answer,
            "kind": turn.kind,
            "writer": turn.writer,
            "faulty": turn.faulty,
            "fault": turn.fault,
        }
        for turn in one.turns
    ]
    first = {"id": one.id, "lead": one.lead, "first_user": one.first_user, "first_answer": one.first_answer}
    return first | {"turns": turns}


def shuffled(conversations: Sequence[Conversation], epoch: int, seed: int) -> Iterator[Conversation]:
    """All of them once, in another order each time."""
    import random

    order = list(conversations)
    random.Random(f"{seed}:{epoch}").shuffle(order)
    yield from order
