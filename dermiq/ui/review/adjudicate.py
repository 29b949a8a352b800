"""A disagreement as HTML: the pair as an administrator sees it, and what each reviewer said. Knows no gradio."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dermiq.language import N_, _, ngettext
from dermiq.review.types import RUBRIC, Showing, Vote
from dermiq.ui.markup import THIN, fill, join
from dermiq.ui.review.pair_page import side_name, vote_words

HEADS = (N_("Reviewer"), N_("Vote"), N_("Time"), N_("Grades, A / B"), N_("Comment"))


def nothing() -> Markup:
    """What is said where no disagreement is open."""
    return fill(
        '<section class="dq-end"><h2>{title}</h2><p>{line}</p></section>',
        title=_("No disagreement is open"),
        line=_("Pairs that two reviewers judge differently come here, until an administrator has decided them."),
    )


def page(pair: Markup, showing: Showing, votes: Sequence[Vote]) -> Markup:
    """The pair with its votes before it. Sides are as this administrator sees them."""
    rows = join(_row(vote, showing) for vote in votes if vote.kind == "review")
    return fill(
        '<section class="dq-heard" aria-label="{title}"><h2>{title}</h2><table><thead>'
        "<tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>{pair}",
        title=_("What the reviewers said"),
        heads=join(fill('<th scope="col">{h}</th>', h=_(head)) for head in HEADS),
        rows=rows,
        pair=pair,
    )


def progress_line(left: int) -> Markup:
    line = ngettext("{n} disagreement open", "{n} disagreements open", left).format(n=left)
    return fill('<span class="dq-num">{line}</span>', line=line)


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
    return ", ".join(f"{_(name)} {sides['A'].get(name, '–')} / {sides['B'].get(name, '–')}" for name in given)
