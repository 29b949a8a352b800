"""A written answer in the words of its facts: what a small model can learn to say without a slip.

    quoted(graph, turn)      # "Yes: Dermoscopy of melanoma typically shows a blue-white veil [F5]."

A model of a hundred million parameters chooses facts well and copies them well, and garbles what it rephrases. Which
facts answer, and in which order, is the writer's choice; the facts' sentences stand as the graph has them, and what the
writer said of the case or of what is not known stays.
"""

from __future__ import annotations

import re

from dermiq.answering.asked import UNKNOWN
from dermiq.answering.grounded import manners, parts_of, stems
from dermiq.knowledge import Graph
from dermiq.knowledge.language.citation import uncited
from dermiq.knowledge.language.text import words
from train.cases.conversations import LaterTurn

LEAD = re.compile(r"(yes|no|not [a-z ]{0,20}|possibly|only partly|in part|rarely|often|usually|sometimes)[,:;]", re.I)
LONGEST = 40  # words of a sentence of the writer's own that is kept
OWN = 0.45  # share of its words that neither case nor question have, up to which it is kept


def quoted(graph: Graph, turn: LaterTurn) -> str:
    """The answer; as it was written where nothing of it could be kept so."""
    facts = {number: graph.fact(key).text for number, key in turn.facts}
    sentences, parts = parts_of(turn.answer)
    found: list[str] = []
    used: set[int] = set()
    for place, sentence in enumerate(sentences):
        cited = [n for part in parts if part.sentence == place for n in part.numbers]
        if cited:
            new = [number for number in dict.fromkeys(cited) if number in facts and number not in used]
            used |= set(new)
            said = [f"{facts[number].rstrip('.')} [F{number}]." for number in new]
            lead = LEAD.match(sentence)
            if said and lead and place == 0:
                said[0] = f"{lead[1].capitalize()}: {said[0]}"
            found += said
        elif _is_kept(sentence, turn, first=place == 0):
            found.append(sentence)
    return " ".join(found) or turn.answer


def _is_kept(sentence: str, turn: LaterTurn, *, first: bool) -> bool:
    if len(words(sentence)) > LONGEST:
        return False
    if UNKNOWN.search(sentence) or (first and turn.kind in ("unknown", "premise", "out")):
        return True
    said = stems(uncited(sentence))
    return bool(said) and len(said - stems(f"{turn.case}\n{turn.question}") - manners()) / len(said) <= OWN
