"""The end of a queue as HTML: what the reviewer did, or what to do where there is nothing to judge. Knows no gradio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from dermiq.review.measures.agreement import Estimate
from dermiq.review.measures.quality import OfReviewer
from dermiq.review.types import Progress
from dermiq.ui.markup import THIN, fill, join

COMMAND = "python -m dermiq review import pairs.jsonl"


def page(own: OfReviewer | None, progress: Progress) -> Markup:
    """`own`: the reviewer's part of the report; None where every vote was a skip that was taken back."""
    rows = [("Judged", str(progress.done)), *(_figures(own) if own else ())]
    table = join(fill('<tr><th scope="row">{k}</th><td class="dq-num">{v}</td></tr>', k=k, v=v) for k, v in rows)
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>Your queue is finished</h2><p>Thank you. This is what you did; '
        "<kbd>u</kbd> takes the last vote back.</p><table>{table}</table>"
        '<p><button type="button" class="dq-button" data-do="again">Look for new pairs</button></p></section>',
        table=table,
    )


def _figures(own: OfReviewer) -> Iterator[tuple[str, str]]:
    """Those that there is something to compute from."""
    yield from _choices(own.choices, own.skips)
    if own.seconds is not None:
        yield "Median time for a pair", f"{own.seconds:.0f}{THIN}s"
    shares = {
        "Left answer preferred": own.left,
        "Same preference as the graph": own.graph.agreement,
        "Right on pairs with a known answer": own.gold,
        "Same vote when a pair came again, swapped": own.repeats.same,
    }
    yield from ((name, share_of(found)) for name, found in shares.items() if found.n)


def _choices(choices: Mapping[str, int], skips: int) -> Iterator[tuple[str, str]]:
    named = {
        "Preferred one": choices.get("first", 0) + choices.get("second", 0),
        "Tie": choices.get("tie", 0),
        "Both bad": choices.get("both_bad", 0),
        "Skipped": skips,
    }
    yield from ((name, str(count)) for name, count in named.items() if count)


def share_of(found: Estimate) -> str:
    """ "7 of 10 (70 %)"."""
    count = round((found.value or 0) * found.n)
    return f"{count} of {found.n} ({100 * count / found.n:.0f}{THIN}%)" if found.n else "–"


def empty(*, is_admin: bool) -> Markup:
    """Nothing was judged by this reviewer, and nothing is left for them."""
    how = (
        fill(
            "<p>Put pairs in: under <strong>Sets and pairs</strong>, from a file, or with</p><pre>{c}</pre><p>Pairs "
            "come from <code>train.preferences</code>, from any data set in TRL’s columns, and from corrections in the "
            "consultation.</p>",
            c=COMMAND,
        )
        if is_admin
        else Markup("<p>An administrator of this page can put pairs in.</p>")
    )
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>There is nothing for you to judge</h2><p>No pair is in the queue, '
        'or each was judged by as many reviewers as it needs.</p>{how}<p><button type="button" class="dq-button" '
        'data-do="again">Look again</button></p></section>',
        how=how,
    )
