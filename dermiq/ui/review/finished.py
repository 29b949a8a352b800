"""The end of a queue as HTML: what the reviewer did, or what to do where there is nothing to judge. Knows no gradio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from dermiq.language import _
from dermiq.review.measures.agreement import Estimate
from dermiq.review.measures.quality import OfReviewer
from dermiq.review.types import Progress
from dermiq.ui.markup import THIN, fill, join

COMMAND = "python -m dermiq review import pairs.jsonl"


def page(own: OfReviewer | None, progress: Progress) -> Markup:
    """`own`: the reviewer's part of the report; None where every vote was a skip that was taken back."""
    rows = [(_("Judged"), str(progress.done)), *(_figures(own) if own else ())]
    table = join(fill('<tr><th scope="row">{k}</th><td class="dq-num">{v}</td></tr>', k=k, v=v) for k, v in rows)
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>{title}</h2><p>{thanks} '
        "<kbd>u</kbd> {undo}</p><table>{table}</table>"
        '<p><button type="button" class="dq-button" data-do="again">{again}</button></p></section>',
        title=_("Your queue is finished"),
        thanks=_("Thank you. This is what you did;"),
        undo=_("takes the last vote back."),
        again=_("Look for new pairs"),
        table=table,
    )


def _figures(own: OfReviewer) -> Iterator[tuple[str, str]]:
    """Those that there is something to compute from."""
    yield from _choices(own.choices, own.skips)
    if own.seconds is not None:
        yield _("Median time for a pair"), f"{own.seconds:.0f}{THIN}s"
    shares = {
        _("Left answer preferred"): own.left,
        _("Same preference as the graph"): own.graph.agreement,
        _("Right on pairs with a known answer"): own.gold,
        _("Same vote when a pair came again, swapped"): own.repeats.same,
    }
    yield from ((name, share_of(found)) for name, found in shares.items() if found.n)


def _choices(choices: Mapping[str, int], skips: int) -> Iterator[tuple[str, str]]:
    named = {
        _("Preferred one"): choices.get("first", 0) + choices.get("second", 0),
        _("Tie"): choices.get("tie", 0),
        _("Both bad"): choices.get("both_bad", 0),
        _("Skipped"): skips,
    }
    yield from ((name, str(count)) for name, count in named.items() if count)


def share_of(found: Estimate) -> str:
    """ "7 of 10 (70 %)"."""
    count = round((found.value or 0) * found.n)
    if not found.n:
        return "–"
    share = f"{100 * count / found.n:.0f}{THIN}%"
    return _("{count} of {n} ({share})").format(count=count, n=found.n, share=share)


def empty(*, is_admin: bool) -> Markup:
    """Nothing was judged by this reviewer, and nothing is left for them."""
    how = (
        fill(
            "<p>{before} <strong>{view}</strong>{after}</p><pre>{c}</pre>"
            "<p>{come} <code>train.preferences</code>{more}</p>",
            before=_("Put pairs in: under"),
            view=_("Sets and pairs"),
            after=_(", from a file, or with"),
            c=COMMAND,
            come=_("Pairs come from"),
            more=_(", from any data set in TRL’s columns, and from corrections in the consultation."),
        )
        if is_admin
        else fill("<p>{line}</p>", line=_("An administrator of this page can put pairs in."))
    )
    return fill(
        '<section class="dq-end" tabindex="-1"><h2>{title}</h2><p>{line}</p>{how}<p>'
        '<button type="button" class="dq-button" data-do="again">{again}</button></p></section>',
        title=_("There is nothing for you to judge"),
        line=_("No pair is in the queue, or each was judged by as many reviewers as it needs."),
        again=_("Look again"),
        how=how,
    )
