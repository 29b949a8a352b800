"""The end of a queue as HTML: what the reviewer did, or what to do where there is nothing to judge. Knows no gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from dermiq.review.types import Progress
from dermiq.ui.markup import THIN, fill, join

if TYPE_CHECKING:
    from pandas import DataFrame

NAMES = {"first": "preferred one", "second": "preferred one", "tie": "tie", "both_bad": "both bad", "skip": "skipped"}
COMMAND = "python -m dermiq review import pairs.jsonl"


@dataclass(frozen=True)
class Share:
    """`count` of `of`."""

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.count} of {self.of} ({100 * self.count / self.of:.0f}{THIN}%)" if self.of else "–"


@dataclass(frozen=True)
class Statistics:
    """Of one reviewer's own votes. A share of nothing has `of` 0."""

    choices: Mapping[str, int]
    seconds: float | None  # median
    left: Share  # the left answer, among votes that prefer one
    graph: Share  # the graph's preference, among votes that prefer one
    gold: Share  # the known answer
    again: Share  # the same vote when a pair came again, in swapped order


def statistics(votes: DataFrame, reviewer: str) -> Statistics:
    """From `Store.columns()`."""
    own = votes[(votes["reviewer"].astype(str) == reviewer) & (votes["kind"].astype(str) == "review")]
    said = own["choice"].astype(str)
    decided = own[said.isin(["first", "second"])]
    choice = decided["choice"].astype(str)
    return Statistics(
        choices=_counted(said),
        seconds=float(own["seconds"].median()) if len(own) else None,
        left=Share(int((choice == decided["left"].astype(str)).sum()), len(decided)),
        graph=_share(decided, "prefers"),
        gold=_share(decided, "gold"),
        again=_again(own),
    )


def _counted(said: DataFrame) -> dict[str, int]:
    names = said.map(NAMES)
    return {name: int((names == name).sum()) for name in dict.fromkeys(NAMES.values())}


def _share(decided: DataFrame, column: str) -> Share:
    known = decided[decided[column].notna()]
    return Share(int((known["choice"].astype(str) == known[column].astype(str)).sum()), len(known))


def _again(own: DataFrame) -> Share:
    repeats = own[own["purpose"].astype(str) == "repeat"]
    firsts = (
        own[own["purpose"].astype(str) != "repeat"].drop_duplicates("pair", keep="last").set_index("pair")["choice"]
    )
    before = repeats["pair"].map(firsts.astype(str).to_dict())
    known = before.notna()
    return Share(int((before[known].astype(str) == repeats["choice"][known].astype(str)).sum()), int(known.sum()))


def page(found: Statistics, progress: Progress) -> Markup:
    rows = [
        ("Judged", str(progress.done)),
        *((name.capitalize(), str(count)) for name, count in found.choices.items() if count),
        ("Median time for a pair", f"{found.seconds:.0f}{THIN}s" if found.seconds is not None else "–"),
        ("Left answer preferred", str(found.left)),
        ("Same preference as the graph", str(found.graph)),
        ("Right on pairs with a known answer", str(found.gold)),
        ("Same vote when a pair came again, swapped", str(found.again)),
    ]
    table = join(
        fill('<tr><th scope="row">{k}</th><td class="dq-num">{v}</td></tr>', k=k, v=v) for k, v in rows if v != "–"
    )
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>Your queue is finished</h2><p>Thank you. This is what you did; '
        "<kbd>u</kbd> takes the last vote back.</p><table>{table}</table>"
        '<p><button type="button" class="dq-button" data-do="again">Look for new pairs</button></p></section>',
        table=table,
    )


def empty(*, is_admin: bool) -> Markup:
    """Nothing was ever judged and nothing is there."""
    how = (
        fill(
            "<p>Put pairs in: under <strong>Sets and pairs</strong>, from a file, or with</p><pre>{c}</pre><p>Pairs "
            "come from <code>train.preferences</code>, from any data set in TRL’s columns, and from corrections in the "
            "consultation.</p>",
            c=COMMAND,
        )
        if is_admin
        else Markup("<p>Ask an administrator of this page to put pairs in.</p>")
    )
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>There is nothing to judge yet</h2>{how}<p><button type="button" '
        'class="dq-button" data-do="again">Look again</button></p></section>',
        how=how,
    )
