"""What people decided of a pair, and what becomes of it under the rule of a set. Pure: knows no store.

Adjudication decides wherever there is one. Else the rule `majority` takes what more than half of the reviewers said,
and the rule `adjudicated` only what all of them said. A correction counts more than any vote: it is chosen over the
answer that it corrects. The margin is that of whoever decided: the share of votes for the answer less the share against
it, 1 of a correction, the graph's own of a pair that nobody judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dermiq.review.types import Edit, PairView, SetRule, Side, other

COUNTED = ("first", "gold")  # a reviewer's first look at a pair; a repeat is no second vote


@dataclass(frozen=True)
class Said:
    """What people said of one pair, and was not undone."""

    votes: Mapping[str, int] = field(default_factory=dict)  # first, second, tie, both_bad: reviewers
    adjudicated: str | None = None
    edits: Sequence[Edit] = ()  # of each reviewer the newest, in the order in which they came

    @property
    def times(self) -> int:
        """How often it was judged; an adjudication counts like a vote."""
        return sum(self.votes.values()) + bool(self.adjudicated)


@dataclass(frozen=True)
class Decision:
    """Why a pair is a line of a set: `chosen` is the better side, or the corrected one."""

    chosen: Side
    decided_by: str  # "edit", "adjudication", "majority", "proxy"
    margin: float
    edit: Edit | None = None


def decide(view: PairView, said: Said, rule: SetRule) -> Decision | str:
    """The decision, or why there is none, in a few words that a data card can count."""
    if view.pair.withdrawn:
        return "whoever gave it took it back"
    if view.purged:
        return "an image was deleted"
    if rule.exclude_gold and view.pair.gold is not None:
        return "the answer was known"
    edit = _correction(view, said) if rule.with_edits else None
    if edit:
        found = _by_correction(view, said, rule, edit)
    else:
        found = _by_people(said, rule) if said.times else _by_graph(view, rule)
    if isinstance(found, Decision) and found.margin < rule.min_margin:
        return "the margin is too small"
    return found


def _correction(view: PairView, said: Said) -> Edit | None:
    """The newest that changes its answer."""
    texts = {answer.id: answer.text.strip() for answer in (view.first, view.second)}
    changed = [edit for edit in said.edits if edit.text.strip() != texts[edit.answer_id]]
    return changed[-1] if changed else None


def _by_correction(view: PairView, said: Said, rule: SetRule, edit: Edit) -> Decision | str:
    if max(said.times, 1) < rule.min_votes:  # whoever corrects has judged
        return "too few votes"
    return Decision("first" if edit.answer_id == view.first.id else "second", "edit", 1.0, edit)


def _by_people(said: Said, rule: SetRule) -> Decision | str:
    total = said.times
    if total < rule.min_votes:
        return "too few votes"
    verdict, decided_by = said.adjudicated, "adjudication"
    if verdict is None:
        verdict, decided_by = max(said.votes, key=lambda value: said.votes[value]), "majority"
        most = said.votes[verdict]
        if most < total and rule.rule == "adjudicated":
            return "reviewers differ, and nobody adjudicated"
        if 2 * most <= total:
            return "no majority"
    if verdict not in ("first", "second"):
        return {"tie": "a tie", "both_bad": "both bad, and not corrected"}[verdict]
    own = said.votes.get(verdict, 0) + (decided_by == "adjudication")
    return Decision(
        "first" if verdict == "first" else "second",
        decided_by,
        max(0.0, (own - said.votes.get(other(verdict), 0)) / total),
    )


def _by_graph(view: PairView, rule: SetRule) -> Decision | str:
    proxy = view.pair.proxy
    if not rule.proxy_only:
        return "no votes"
    if proxy is None or proxy.prefers is None:
        return "no votes, and the graph prefers neither"
    return Decision(proxy.prefers, "proxy", proxy.margin)


def said_of(columns: pd.DataFrame, edits: Iterable[Edit]) -> dict[str, Said]:
    """By pair, of `Store.columns()` and `Store.edits()`."""
    judged = columns[columns["choice"] != "skip"]
    looks = judged[(judged["kind"] == "review") & judged["purpose"].isin(COUNTED)]
    votes: dict[str, dict[str, int]] = {}
    for (pair, choice), count in looks.groupby(["pair", "choice"], observed=True).size().items():
        votes.setdefault(str(pair), {})[str(choice)] = int(count)
    ruled = judged[judged["kind"] == "adjudication"]
    adjudicated = dict(zip(ruled["pair"].astype(str), ruled["choice"].astype(str), strict=True))  # the newest stays
    newest: dict[str, dict[str, Edit]] = {}
    for edit in edits:
        newest.setdefault(edit.pair_id, {}).pop(edit.reviewer, None)
        newest[edit.pair_id][edit.reviewer] = edit
    return {
        pair: Said(votes.get(pair, {}), adjudicated.get(pair), tuple(newest.get(pair, {}).values()))
        for pair in {*votes, *adjudicated, *newest}
    }
