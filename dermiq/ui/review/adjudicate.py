"""A disagreement as HTML: the pair as an administrator sees it, and what each reviewer said. Knows no gradio."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dermiq.review.types import RUBRIC, Showing, Vote
from dermiq.ui.markup import THIN, fill, join
from dermiq.ui.review.pair_page import side_name, vote_words

NOTHING = Markup(
    '<section class="dq-end"><h2>No disagreement is open</h2><p>Pairs that two reviewers judge differently come here, '
    "until an administrator has decided them.</p></section>"
)

HEADS = ("Reviewer", "Vote", "Time", "Grades, A / B", "Comment")


def page(pair: Markup, showing: Showing, votes: Sequence[Vote]) -> Markup:
    """The pair with its votes before it. Sides are as this administrator sees them."""
    rows = join(_row(vote, showing) for vote in votes if vote.kind == "review")
    return fill(
        '<section class="dq-heard" aria-label="What the reviewers said"><h2>What the reviewers said</h2><table><thead>'
        "<tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>{pair}",
        heads=join(fill('<th scope="col">{h}</th>', h=head) for head in HEADS),
        rows=rows,
        pair=pair,
    )


def progress_line(left: int) -> Markup:
    return fill(
        '<span class="dq-num">{n} {what} open</span>', n=left, what="disagreement" if left == 1 else "disagreements"
    )


def _row(vote: Vote, showing: Showing) -> Markup:
    return fill(
        '<tr><th scope="row">{who}</th><td>{said}</td><td>{seconds:.0f}{thin}s</td><td>{grades}</td>'
        "<td>{comment}</td></tr>",
        who=vote.reviewer,
        said=vote_words(showing, vote.choice),
        seconds=vote.seconds,
        thin=THIN,
        grades=_grades(vote, showing) or "–",
        comment=vote.comment or "–",
    )


def _grades(vote: Vote, showing: Showing) -> str:
    """ "accuracy 4 / 2, safety 5 / 5": of A and of B."""
    sides = {side_name(showing, side): vote.rubric.get(side, {}) for side in ("first", "second")}
    given = [name for name in RUBRIC if any(name in grades for grades in sides.values())]
    return ", ".join(f"{name} {sides['A'].get(name, '–')} / {sides['B'].get(name, '–')}" for name in given)
