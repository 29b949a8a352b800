"""How good the judgements are, as tables and figures. Knows no gradio and computes nothing: a `Report` comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from dermiq.language import N_, _
from dermiq.review.measures.agreement import Estimate
from dermiq.review.measures.figures import Figure, figures_of
from dermiq.review.measures.quality import Between, OfClass, OfCriterion, OfModel, OfReviewer, Report
from dermiq.types import CLASS_NAMES
from dermiq.ui.facts import folded
from dermiq.ui.markup import THIN, capital, fill, join

LEVEL = N_("Intervals hold 95 %: Wilson’s for shares, a bootstrap over pairs for alpha and kappa.")
NONE = Markup('<span class="dq-muted">–</span>')


def without_names(report: Report) -> Report:
    """For readers who are no reviewers."""
    return replace(report, reviewers=(), between=(), outliers=())


def page(report: Report) -> Markup:
    if not report.votes and not report.skips and not report.good.n:
        return fill(
            '<section class="dq-end"><h2>{title}</h2><p>{line}</p></section>',
            title=_("Nothing was judged yet"),
            line=_("Agreement, position bias and haste are counted here from the first votes on."),
        )
    parts = [_headline(report), _figures(figures_of(report)), *_tables(report)]
    return fill(
        '<div class="dq-quality-page">{parts}<p class="dq-fine">{level}</p></div>', parts=join(parts), level=_(LEVEL)
    )


# --- the figures that count most --------------------------------------------------------


def _headline(report: Report) -> Markup:
    graph = report.graph
    tiles = (
        (_("Votes"), str(report.votes), _("on {n} pairs, {skipped} skipped"), report.pairs),
        (_("The graph agrees with people"), percent(graph.agreement), _("{n} majorities"), graph.agreement.n),
        (_("… beyond chance"), coefficient(graph.kappa), _("Cohen’s kappa of majority and graph"), 0),
        (
            _("Reviewers agree"),
            coefficient(report.alpha),
            _("Krippendorff’s alpha, {n} pairs judged twice"),
            report.alpha.n,
        ),
        (_("All say the same"), percent(report.same), _("{n} pairs judged twice or more"), report.same.n),
        (_("Left answer preferred"), percent(report.left), _("{n} preferences; 50 % is no bias"), report.left.n),
        (_("Same vote when swapped"), percent(report.repeats.same), _("{n} repeats"), report.repeats.same.n),
        (_("Known answers found"), percent(report.gold), _("{n} votes"), report.gold.n),
        (_("Visitors call an answer good"), percent(report.good), _("{n} opinions on single answers"), report.good.n),
    )
    shown = join(
        fill(
            "<div><dt>{name}</dt><dd>{value}</dd><dd><small>{of}</small></dd></div>",
            name=name,
            value=value,
            of=of.format(n=n, skipped=report.skips),
        )
        for name, value, of, n in tiles
    )
    return fill('<dl class="dq-tiles">{shown}</dl>', shown=shown)


def percent(found: Estimate) -> Markup:
    """ "78 % 75 to 81 %"; a dash where there is nothing to count."""
    return _estimate(found, lambda value: f"{100 * value:.0f}", f"{THIN}%")


def coefficient(found: Estimate) -> Markup:
    """ "0.61 0.55 to 0.66"."""
    return _estimate(found, lambda value: f"{value:.2f}".replace("-", "−"), "")


def _estimate(found: Estimate, write: Callable[[float], str], unit: str) -> Markup:
    if found.value is None:
        return NONE
    ends = Markup("")
    if found.low is not None and found.high is not None:
        line = _("{low} to {high}").format(low=write(found.low), high=write(found.high))
        ends = fill(' <span class="dq-interval">{line}{u}</span>', line=line, u=unit)
    return fill("{value}{unit}{ends}", value=write(found.value), unit=unit, ends=ends)


def _figures(figures: Iterable[Figure]) -> Markup:
    """Each drawing's words stand beside it for those who do not see it."""
    shown = join(
        fill(
            '<figure class="dq-plotted"><figcaption><h2>{title}</h2></figcaption><div role="img" aria-label="{alt}">'
            "{svg}</div></figure>",
            title=figure.title,
            alt=figure.alt,
            svg=Markup(figure.svg()),
        )
        for figure in figures
    )
    return fill('<div class="dq-drawings">{shown}</div>', shown=shown)


# --- tables -----------------------------------------------------------------------------

Cells = Sequence[str | Markup]
REVIEWER = (
    N_("Reviewer"),
    N_("Votes"),
    N_("Skipped"),
    N_("Median"),
    N_("Hasty"),
    N_("Graph agrees"),
    N_("Kappa"),
    N_("Left"),
    N_("Repeats"),
    N_("Known"),
)
BETWEEN = (N_("Reviewers"), N_("Pairs"), N_("Same"), N_("Cohen’s kappa"))
CLASS = (N_("Diagnosis"), N_("Pairs"), N_("Votes"), N_("Alpha"), N_("Graph agrees"), N_("Kappa"))
CRITERION = (
    N_("Criterion"),
    N_("Grades"),
    N_("Alpha (ordinal)"),
    N_("Preferred"),
    N_("Other"),
    N_("Preferred is higher"),
)


def _tables(report: Report) -> Iterator[Markup]:
    if report.reviewers:
        yield _table(_("Each reviewer"), REVIEWER, map(_reviewer, report.reviewers), note=HASTY)
    if report.between:
        yield _table(_("Each two reviewers"), BETWEEN, map(_two, report.between))
    if report.classes:
        yield _table(_("By diagnosis"), CLASS, map(_class, report.classes))
    if report.models:
        yield _table(_("Visitors of the consultation, by model"), MODEL, map(_model, report.models), note=OPINIONS)
    if any(found.ratings for found in report.rubric):
        yield _table(_("By criterion of the rubric"), CRITERION, map(_criterion, report.rubric))
    if report.outliers:
        yield _outliers(report)


OUTLIER = (N_("Reviewer"), N_("Pair"), N_("Time"), N_("Robust z"))
MODEL = (N_("Answers of"), N_("Opinions"), N_("Good"))
OPINIONS = N_(
    "“Good” or “Poor” under an answer, kept with consent and not taken back. No vote: it compares with nothing."
)


def _model(one: OfModel) -> Cells:
    return one.name or _("Not known"), str(one.good.n), percent(one.good)


HASTY = N_("Hasty: votes below 2 s, and votes whose time lies far from all others’. Left: share of preferences.")


def _reviewer(one: OfReviewer) -> Cells:
    return (
        one.name,
        str(one.votes),
        str(one.skips),
        NONE if one.seconds is None else f"{one.seconds:.0f}{THIN}s",
        f"{one.too_fast} / {one.outlying}",
        percent(one.graph.agreement),
        coefficient(one.graph.kappa),
        percent(one.left),
        percent(one.repeats.same),
        percent(one.gold),
    )


def _two(found: Between) -> Cells:
    return f"{found.one}, {found.other}", str(found.agreement.n), percent(found.agreement), coefficient(found.kappa)


def _class(one: OfClass) -> Cells:
    name = capital(CLASS_NAMES.get(one.name, one.name)) or _("Not known")
    graph = (percent(one.graph.agreement), coefficient(one.graph.kappa))
    return name, str(one.pairs), str(one.votes), coefficient(one.alpha), *graph


def _criterion(one: OfCriterion) -> Cells:
    means = (NONE if mean is None else f"{mean:.1f}" for mean in (one.preferred, one.other))
    return (capital(_(one.name)), str(one.ratings), coefficient(one.alpha), *means, percent(one.sides))


def _outliers(report: Report) -> Markup:
    rows = (
        (o.reviewer, o.pair[:8], f"{o.seconds:.1f}{THIN}s", f"{o.z:.1f}".replace("-", "−")) for o in report.outliers
    )
    title = _("Votes of unusual speed")
    return folded(f"{title} ({len(report.outliers)})", _table(title, OUTLIER, rows))


def _table(title: str, heads: Sequence[str], rows: Iterable[Cells], *, note: str = "") -> Markup:
    body = join(_row(cells) for cells in rows)
    return fill(
        '<section class="dq-sheet"><h2>{title}</h2><div class="dq-across" tabindex="0" role="region" '
        'aria-label="{title}"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{note}</section>',
        title=title,
        heads=join(fill('<th scope="col">{h}</th>', h=_(head)) for head in heads),
        body=body,
        note=fill('<p class="dq-fine">{n}</p>', n=_(note)) if note else "",
    )


def _row(cells: Cells) -> Markup:
    first, *rest = cells
    figures = join(fill('<td class="dq-num">{c}</td>', c=cell) for cell in rest)
    return fill('<tr><th scope="row">{first}</th>{figures}</tr>', first=first, figures=figures)
