"""The graph's verdict on pairs that come into the review without one, whichever way they come.

    store = Store.open(settings, judge=judge_by(graph))

It is that of `train.scoring.proxy`, by which `train.preferences` makes pairs. Knows no store and no page.
"""

from __future__ import annotations

from collections.abc import Callable

from dermiq.errors import DataError
from dermiq.knowledge import Graph
from dermiq.knowledge.check.measured import from_words
from dermiq.review.prompted import earlier, evidence
from dermiq.review.types import NewPair, Proxy, ReviewCase, Side, other
from train.scoring.proxy import TAG, Pair, ProxySettings, Question, Scored, score, verdict
from train.scoring.rewards import diagnosis_id

LONGEST = 20_000  # characters of an answer that are read


def judge_by(graph: Callable[[], Graph], settings: ProxySettings | None = None) -> Callable[[NewPair], Proxy]:
    """`graph`: asked for when the first pair comes."""
    chosen = settings or ProxySettings()

    def judge(pair: NewPair) -> Proxy:
        known = graph()
        question = question_of(known, pair)
        first, second = (score(known, answer.text[:LONGEST], question) for answer in (pair.first, pair.second))
        found, why = verdict(first, second, chosen)
        return _proxy(found, first, second) if found else Proxy(None, 0.0, reasons=(f"No preference: {why}.",))

    return judge


def question_of(graph: Graph, pair: NewPair) -> Question:
    """What the case tells. Answers in prose, without the agreed form, are read as those to a second question are."""
    case = pair.case
    shown = evidence(case, graph).items
    in_prose = not any(TAG.search(answer.text) for answer in (pair.first, pair.second))
    return Question(
        _diagnosis(graph, case),
        from_words(case.findings),
        {item.number: item.fact for item in shown},
        text=case.question if in_prose or earlier(case) else "",
        is_follow_up=in_prose or bool(earlier(case)),
    )


def _diagnosis(graph: Graph, case: ReviewCase) -> str | None:
    """None where the graph does not know the label: it then judges what it can without one."""
    try:
        return case.diagnosis if case.diagnosis and diagnosis_id(graph, case.diagnosis) else None
    except DataError:
        return None


def _proxy(found: Pair, first: Scored, second: Scored) -> Proxy:
    prefers: Side = "first" if found.chosen is first else "second"
    return Proxy(
        prefers=prefers,
        margin=found.margin,
        decided_by=found.decided_by,
        reasons=found.reasons,
        scores={prefers: dict(found.chosen.parts), other(prefers): dict(found.rejected.parts)},
    )
