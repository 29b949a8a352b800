"""A written answer in the words of what was given: what a small model can learn to say without a slip.

    quoted(graph, turn)
    # "Yes: Dermoscopy of melanoma typically shows a blue-white veil [F5]. Melanoma: model 76 %, specialist 64 %."

A model of a hundred million parameters chooses well and copies well, and garbles what it rephrases. What answers, and
in which order, is the writer's choice; the sentences are those of the facts and of the lines on the case
(`dermiq.answering.briefing`). That something is not known is said in one sentence, always the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dermiq.answering.asked import UNKNOWN
from dermiq.answering.grounded import parts_of, stems
from dermiq.answering.sayable import NOT_KNOWN, CaseLines
from dermiq.knowledge import Graph
from dermiq.knowledge.language.citation import uncited
from dermiq.knowledge.language.lexicon import pattern
from dermiq.types import CLASS_NAMES
from train.cases.conversations import LaterTurn

OUT = "This assistant speaks of the lesion and of skin conditions in its graph alone."
LEAD = pattern("lead of an answer")
REFERRAL = re.compile(
    r"\b(?:referral|refer(?:red|s)?|urgent\w*|2 weeks|two weeks|routine|seen soon|appointment|NG12|rule)\b",
    re.IGNORECASE,
)
CHANCE = re.compile(r"\d+ %|\breaders?\b|\bread as\b|\bmost likely\b|\bcandidate\b")
NAMED = 0.7  # share of a finding's words that a sentence has, from which on it names it


def quoted(graph: Graph, turn: LaterTurn) -> str:
    """The answer; that it is not known where nothing of it could be kept."""
    if turn.kind == "out":
        return OUT
    facts = {number: graph.fact(key).text for number, key in turn.facts}
    case = CaseLines.of(turn.case)
    sentences, parts = parts_of(turn.answer)
    found: list[str] = []
    used: set[int] = set()
    for place, sentence in enumerate(sentences):
        cited = [n for part in parts if part.sentence == place for n in part.numbers]
        new = [number for number in dict.fromkeys(cited) if number in facts and number not in used]
        used |= set(new)
        said = [f"{facts[number].rstrip('.')} [F{number}]." for number in new]
        own = (
            " ".join(part.text for part in parts if part.sentence == place and not part.numbers) if cited else sentence
        )
        said += of_the_case(own, case)
        if turn.kind == "unknown" if place == 0 else UNKNOWN.search(own) and not cited:
            said.insert(0, NOT_KNOWN)
        lead = LEAD.match(sentence)
        if said and lead and place == 0 and said[0] != NOT_KNOWN:
            said[0] = f"{lead[1].capitalize()}: {said[0]}"
        found += said
    return " ".join(dict.fromkeys(found)) or NOT_KNOWN


def of_the_case(sentence: str, case: CaseLines) -> Iterator[str]:
    """What a sentence says of the case, in the words of its lines."""
    said = stems(uncited(sentence))
    given: set[str] = set()
    for head, listed in case.reasons:
        named = [one for one in listed if one not in given and _names(said, sentence, one)]
        if named:
            given |= set(named)
            yield f"{head}: {'; '.join(named)}."
    if CHANCE.search(sentence):
        low = sentence.lower()
        classes = [name for name in CLASS_NAMES.values() if name.lower() in low] or [case.lead]
        yield from filter(None, map(case.odds, classes[:2]))
    if case.urgency and REFERRAL.search(sentence):
        yield case.urgency.partition(". ")[0].rstrip(".") + "."


def _names(said: frozenset[str], sentence: str, finding: str) -> bool:
    """By most of its words, or by its ratio and one of them."""
    wanted = stems(re.sub(r"\s*\([^)]*\)", "", finding))
    ratio = re.search(r"\(([^()]+ times)\)$", finding)
    by_ratio = ratio is not None and ratio[1] in sentence and bool(said & wanted)
    return by_ratio or (bool(wanted) and len(said & wanted) / len(wanted) >= NAMED)
