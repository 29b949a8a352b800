"""Differential, findings, evidence, urgency and self-checks as HTML. Knows no gradio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from dermiq.lesion.scores import Score, scores
from dermiq.types import (
    CLASS_NAMES,
    Abstention,
    Differential,
    Evidence,
    EvidenceItem,
    Finding,
    SelfCheck,
    SimilarCase,
    Urgency,
)
from dermiq.ui.consult.drawing import evidence_graph
from dermiq.ui.consult.similar import Thumbnail, similar_body
from dermiq.ui.facts import Licences, card_of, source_lines
from dermiq.ui.markup import THIN, capital, fill, join, link, percent, percentile, quantity, ratio, term, versus

READERS = {"vlm": "Language model", "specialist": "Specialist"}

LIKELY, POSSIBLE = 0.5, 0.1
WORDS = "Likely: 50 % or more. Possible: 10 to 49 %. Unlikely: below 10 %."

SETS_MEAN = (
    "Sets of diagnoses made so that, of new images like the validation images, the right one is in the set in 95 % "
    "(90 %) of each diagnosis's cases. On other images, such as photographs, they hold it less often."
)

URGENCY_WORDS = {"urgent": "Urgent", "soon": "Soon", "routine": "Routine", "none": "No referral rule applies"}


def word(probability: float) -> str:
    """The page's word for a probability, as the page defines it."""
    if probability >= LIKELY:
        return "likely"
    return "possible" if probability >= POSSIBLE else "unlikely"


def panel(key: str, title: str, body: Markup, *, note: str = "") -> Markup:
    return fill(
        '<section class="dq-panel" id="dq-{key}" aria-labelledby="dq-{key}-title">'
        '<h2 id="dq-{key}-title">{title}{note}</h2>{body}</section>',
        key=key,
        title=title,
        note=fill(" <small>{note}</small>", note=note) if note else "",
        body=body,
    )


def placeholder(text: str) -> Markup:
    return fill('<p class="dq-placeholder">{text}</p>', text=text)


# --- differential -----------------------------------------------------------------------


def differential_panel(
    differentials: Sequence[Differential], *, abstained: bool = False, reading: bool = False
) -> Markup:
    """Both readers side by side; a reader that has not answered yet keeps its column."""
    if not differentials:
        waits = "Reading the image." if reading else "Appears as soon as an image is read."
        return panel("differential", "Differential", placeholder(waits))
    by_reader: dict[str, Differential] = {d.reader: d for d in differentials}
    rows = join(_row(name, by_reader, key, reading) for key, name in _ranked(differentials))
    table = fill(
        '<table class="dq-bars{grey}"><caption class="dq-sr">Probability of each diagnosis by reader</caption>'
        '<thead><tr><th scope="col">Diagnosis</th><th scope="col">{vlm}</th><th scope="col">{specialist}</th></tr>'
        "</thead><tbody>{rows}</tbody></table>",
        grey=" dq-grey" if abstained else "",
        vlm=READERS["vlm"],
        specialist=READERS["specialist"],
        rows=rows,
    )
    words = fill('<p class="dq-fine">{w}</p>', w=WORDS)
    notes = join(note(by_reader["specialist"]) for note in (set_line, told_line) if "specialist" in by_reader)
    body = join([agreement_line(differentials), table, notes, _compare_top_two(differentials), words])
    return panel("differential", "Differential", body, note="calibrated probabilities")


def set_line(opinion: Differential) -> Markup:
    """The diagnoses of which one is right with a stated certainty, where there are several."""
    parts = []
    for certainty, codes in sorted(opinion.sets.items(), reverse=True):
        if len(codes) > 1:
            names = either(CLASS_NAMES[code] for code in codes)
            parts.append(fill("<li>with {c}{thin}% certainty {names}</li>", c=certainty, thin=THIN, names=names))
        else:
            name = CLASS_NAMES[codes[0]]
            parts.append(fill("<li>with {c}{thin}% certainty {name} alone</li>", c=certainty, thin=THIN, name=name))
    if all(len(codes) < 2 for codes in opinion.sets.values()):
        return Markup("")
    return fill(
        '<div class="dq-sets"><p>{term}</p><ul>{parts}</ul></div>',
        term=term("The specialist’s sets", SETS_MEAN, key="sets"),
        parts=join(parts),
    )


def either(names: Iterable[str]) -> str:
    """ "melanoma or melanocytic nevus"."""
    *before, last = names
    return " or ".join(filter(None, (", ".join(before), last)))


def told_line(opinion: Differential) -> Markup:
    """What of the patient counts in the specialist's figures, and what they are without it."""
    if not opinion.told:
        return Markup("")
    order = sorted(opinion.candidates, key=lambda one: -(one.by_image or 0.0))[:3]
    alone = ", ".join(f"{one.diagnosis.name} {percent(one.by_image or 0.0)}" for one in order)
    return fill(
        '<p class="dq-fine">The specialist’s figures include {told}. By the image alone: {alone}.</p>',
        told=both(opinion.told),
        alone=alone,
    )


def both(names: Sequence[str]) -> str:
    """ "age, sex and site"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _compare_top_two(differentials: Sequence[Differential]) -> Markup:
    """A way to what the graph says of the two that stand highest."""
    ids = {c.diagnosis.code or c.diagnosis.id: c.diagnosis.id for d in differentials for c in d.candidates}
    top = _ranked(differentials)[:2]
    if len(top) < 2:
        return Markup("")
    (left, one), (right, other) = top
    button = versus(ids[left], ids[right], f"Compare {one} with {other}", look="dq-link")
    return fill('<p class="dq-onward">{b} <span class="dq-fine">in the Knowledge tab</span></p>', b=button)


def _ranked(differentials: Sequence[Differential]) -> list[tuple[str, str]]:
    """(id, name) of every diagnosis any reader names, the highest probability first."""
    best: dict[str, float] = {}
    names: dict[str, str] = {}
    for candidate in (c for d in differentials for c in d.candidates):
        key = candidate.diagnosis.code or candidate.diagnosis.id
        best[key] = max(best.get(key, 0.0), candidate.probability)
        names.setdefault(key, candidate.diagnosis.name)
    return [(key, names[key]) for key in sorted(best, key=lambda k: -best[k])]


def _row(name: str, by_reader: Mapping[str, Differential], key: str, reading: bool) -> Markup:
    cells = [_bar(by_reader.get(reader), key, reading) for reader in ("vlm", "specialist")]
    return fill('<tr><th scope="row">{name}</th>{cells}</tr>', name=name, cells=join(cells))


def _bar(differential: Differential | None, key: str, reading: bool) -> Markup:
    if differential is None:
        return fill('<td class="dq-wait">{text}</td>', text="…" if reading else "–")
    found = [c for c in differential.candidates if key in (c.diagnosis.code, c.diagnosis.id)]
    if not found:
        return Markup('<td class="dq-wait" title="not among this reader\'s candidates">–</td>')
    p = found[0].probability
    return fill(
        '<td><span class="dq-bar dq-bar-{reader}" style="--p:{width}%"></span>'
        '<span class="dq-num" title="{word}">{p}</span></td>',
        reader=differential.reader,
        width=f"{max(p * 100, 0.5):.1f}",
        word=word(p),
        p=percent(p),
    )


def disagree(differentials: Sequence[Differential]) -> bool:
    tops = {d.top.diagnosis.code or d.top.diagnosis.id for d in differentials if d.candidates}
    return len(tops) > 1


def agreement_line(differentials: Sequence[Differential]) -> Markup:
    """What both readers hold most likely; amber, naming both opinions, where they differ."""
    if len(differentials) < 2:
        return Markup('<p class="dq-agree dq-muted">One reader so far.</p>')
    if not disagree(differentials):
        return fill(
            '<p class="dq-agree">Both readers hold {name} most probable.</p>', name=differentials[0].top.diagnosis.name
        )
    opinions = [
        f"the {READERS[d.reader].lower()} {d.top.diagnosis.name} ({percent(d.top.probability)})"
        for d in sorted(differentials, key=lambda d: d.reader, reverse=True)
    ]
    return fill('<p class="dq-agree dq-amber">Readers disagree: {o}.</p>', o="; ".join(opinions))


# --- findings ---------------------------------------------------------------------------


def findings_panel(findings: Sequence[Finding], leading: str | None, *, reading: bool = False) -> Markup:
    """Value with unit, percentile among benign lesions, likelihood ratio for the leading diagnosis.

    Signs that stand out come first; the others wait folded, so that the panel keeps its height.
    """
    if not findings:
        waits = "Measuring." if reading else "Measured on the outlined lesion when an image is read."
        return panel("findings", "Findings", placeholder(waits))
    several = len({f.image_index for f in findings}) > 1
    telling = [f for f in findings if stands_out(f, leading)] or list(findings)
    usual = [f for f in findings if f not in telling]
    rest = fill(
        '<details data-open="no"><summary>{n} {signs} in the usual range</summary>{table}</details>',
        n=len(usual),
        signs="sign" if len(usual) == 1 else "signs",
        table=_finding_table(usual, leading, several),
    )
    name = CLASS_NAMES.get(leading or "", "")
    note = fill(
        '<p class="dq-fine">Pctl.: percentile among benign training lesions. LR: likelihood ratio{of}; '
        "above 1 speaks for it, below 1 against it. The ratios are not independent of each other.</p>",
        of=f" for {name}" if name else "",
    )
    body = join([_finding_table(telling, leading, several), rest if usual else "", note, scores_part(findings)])
    return panel("findings", "Findings", body, note="measured")


def scores_part(findings: Sequence[Finding]) -> Markup:
    """The scores that dermatologists use, folded, each with what it rests on; nothing where they can't be computed."""
    groups = sorted({finding.image_index for finding in findings})
    made = scores([finding for finding in findings if finding.image_index == groups[0]])
    if not made:
        return Markup("")
    which = f" (image {groups[0] + 1})" if len(groups) > 1 else ""
    return fill(
        '<details class="dq-scores" data-open="no"><summary>Scores: ABCD, 7-point, 3-point{which}</summary>{rows}'
        '<p class="dq-fine">For melanocytic lesions in dermoscopy. A range: from the points that were seen to those '
        "that are possible where a criterion was not judged. No low score outweighs the readers, the history or the "
        "rule of urgency.</p></details>",
        which=which,
        rows=join(_score(one) for one in made),
    )


def _score(score: Score) -> Markup:
    rows = join(
        fill(
            '<tr><th scope="row">{name}<span class="dq-say">{basis}</span></th><td class="dq-num">{points}</td></tr>',
            name=capital(one.name),
            basis=one.basis,
            points=f"{one.low:g}" if one.is_judged else f"{one.low:g} to {one.high:g}",
        )
        for one in score.criteria
    )
    return fill(
        '<h3>{name}: {range}</h3><p>{meaning}. {source}</p><table class="dq-score"><caption class="dq-sr">{name}: '
        'criteria</caption><thead><tr><th scope="col">Criterion</th><th scope="col">Points</th></tr></thead><tbody>'
        "{rows}</tbody></table>",
        name=score.name,
        range=score.text,
        meaning=capital(score.meaning),
        source=link(score.source, "Source of the rule"),
        rows=rows,
    )


def stands_out(finding: Finding, leading: str | None) -> bool:
    """Whether this value is rare among benign lesions, or weighs for or against the leading diagnosis."""
    likelihood = finding.likelihood_ratios.get(leading) if leading else None
    return (finding.percentile or 0) >= 90 or (likelihood is not None and not 0.67 < likelihood < 1.5)


def _finding_table(findings: Sequence[Finding], leading: str | None, several: bool) -> Markup:
    groups = sorted({f.image_index for f in findings})
    body = join(_finding_group([f for f in findings if f.image_index == g], g, leading, several) for g in groups)
    return fill(
        '<table class="dq-findings"><caption class="dq-sr">Measured findings</caption><thead><tr>'
        '<th scope="col">Sign</th><th scope="col">Value</th>'
        '<th scope="col" title="Percentile among benign lesions of the training data">Pctl.</th>'
        '<th scope="col" title="Likelihood ratio of this value for the leading diagnosis">LR</th>'
        "</tr></thead>{body}</table>",
        body=body,
    )


def _finding_group(findings: Sequence[Finding], index: int, leading: str | None, several: bool) -> Markup:
    head = (
        fill('<tr class="dq-group"><th colspan="4" scope="rowgroup">Image {n}</th></tr>', n=index + 1)
        if several
        else ""
    )
    return fill("<tbody>{head}{rows}</tbody>", head=head, rows=join(_finding_row(f, leading) for f in findings))


def _finding_row(finding: Finding, leading: str | None) -> Markup:
    likelihood = finding.likelihood_ratios.get(leading) if leading else None
    behind = f" n = {finding.n} training lesions." if finding.n is not None else ""
    return fill(
        '<tr><th scope="row">{term}<span class="dq-say">{text}</span></th>'
        '<td class="dq-num">{value}</td><td class="dq-num">{pct}</td><td class="dq-num{strong}">{ratio}</td></tr>',
        term=term(finding.name, f"{finding.definition}{behind}", key=f"{finding.code}-{finding.image_index}"),
        text=finding.text,
        value=quantity(finding.value, finding.unit),
        pct=percentile(finding.percentile) if finding.percentile is not None else "–",
        strong=" dq-strong" if likelihood is not None and (likelihood >= 2 or likelihood <= 0.5) else "",
        ratio=ratio(likelihood) if likelihood is not None else "–",
    )


# --- evidence ---------------------------------------------------------------------------


ORIGINS = {"question": "Question", "differential": "Differential", "patient": "Patient", "findings": "Findings"}


def evidence_panel(
    evidence: Evidence | None,
    cited: Sequence[int],
    key: str,
    *,
    reading: bool = False,
    name: Callable[[str], str] = str,
) -> Markup:
    """The facts as a list, each with why it was chosen, and those that are cited as a drawn graph.

    `name`: what the page calls a node of the graph.
    """
    if evidence is None:
        waits = "Searching the knowledge graph." if reading else "Sourced facts chosen for this case appear here."
        return panel("evidence", "Evidence", placeholder(waits))
    if not evidence.items:
        return panel("evidence", "Evidence", placeholder("The knowledge graph holds no fact that fits this case."))
    licences = Licences()
    rows = join(_evidence_row(item, item.number in cited, key, licences, name) for item in evidence.items)
    shown = [item for item in evidence.items if item.number in cited]
    note = f"{len(evidence.items)} facts, {len(shown)} cited"
    graph = fill(
        '<details class="dq-drawn" data-open="no"><summary>{what} as a graph</summary>{graph}</details>',
        what="Cited facts" if shown else "All facts, none cited so far,",
        graph=evidence_graph(shown or evidence.items, name),
    )
    body = fill('<ol class="dq-evidence">{rows}</ol>{graph}{note}', rows=rows, graph=graph, note=licences.note())
    return panel("evidence", "Evidence", body, note=note)


def _evidence_row(item: EvidenceItem, cited: bool, key: str, licences: Licences, name: Callable[[str], str]) -> Markup:
    return fill(
        '<li><button type="button" class="dq-chip{cited}" popovertarget="fact-{key}-{n}" '
        'aria-label="Open fact {n}{said}">{n}</button><div><p>{text}</p><p class="dq-source">{source} '
        "{licence} {card}</p>{why}</div></li>",
        cited=" dq-cited" if cited else "",
        said=", cited in the answer" if cited else "",
        key=key,
        n=item.number,
        text=item.fact.text,
        source=item.fact.source.title,
        licence=licences.tag(item.fact.source.licence),
        why=_why(item),
        card=card_of(item.fact, name),
    )


def _why(item: EvidenceItem) -> Markup:
    """What in the question, differential, patient or findings brought the fact up."""
    rows = join(fill("<dt>{o}</dt><dd>{t}</dd>", o=ORIGINS[r.origin], t=r.text) for r in item.reasons)
    return fill(
        '<details class="dq-why" data-open="no"><summary>Why this fact<span class="dq-sr">, number {n}</span></summary>'
        "{body}</details>",
        n=item.number,
        body=fill("<dl>{rows}</dl>", rows=rows) if rows else fill("<p>{reason}</p>", reason=item.reason),
    )


def panels(
    differentials: Sequence[Differential],
    findings: Sequence[Finding],
    evidence: Evidence | None,
    *,
    key: str = "0",
    cited: Sequence[int] = (),
    abstained: bool = False,
    reading: bool = False,
    name: Callable[[str], str] = str,
    similar: Sequence[SimilarCase] = (),
    thumbnail: Thumbnail = lambda image_id: None,
) -> Markup:
    """The panels under the conversation. `reading`: more is on its way; `name`: of a node of the graph; `thumbnail`:
    the picture of a similar case, where it is at hand.
    """
    leading = leading_code(differentials)
    parts = [
        differential_panel(differentials, abstained=abstained, reading=reading),
        findings_panel(findings, leading, reading=reading),
        evidence_panel(evidence, cited, key, reading=reading, name=name),
        panel("similar", "Similar cases", similar_body(similar, thumbnail), note="labelled") if similar else Markup(""),
    ]
    return fill('<div class="dq-panels">{parts}</div>', parts=join(parts))


def leading_code(differentials: Sequence[Differential]) -> str | None:
    """The class that leads: the specialist's, because its probabilities fuse all images."""
    for differential in sorted(differentials, key=lambda d: d.reader != "specialist"):
        if differential.candidates:
            return differential.top.diagnosis.code
    return None


# --- urgency, checks, abstention --------------------------------------------------------


def urgency_line(urgency: Urgency | None) -> Markup:
    if urgency is None:
        return Markup('<p class="dq-urgency dq-muted">Urgency: named here when a referral rule applies.</p>')
    return fill(
        '<div class="dq-urgency dq-urgency-{level}"><p><strong>{word}.</strong> {text}</p>{sources}</div>',
        level=urgency.level,
        word=URGENCY_WORDS[urgency.level],
        text=urgency.text,
        sources=source_lines(urgency.facts),
    )


def check_lines(checks: Sequence[SelfCheck]) -> Markup:
    if not checks:
        return Markup("")
    return fill('<ul class="dq-checks" aria-label="Self-checks">{rows}</ul>', rows=join(_check(c) for c in checks))


def _check(check: SelfCheck) -> Markup:
    sign, said, kind = {
        True: ("✓", "holds", "ok"),
        False: ("!", "does not hold", "amber"),
        None: ("–", "cannot be judged", "none"),
    }[check.passed]
    return fill(
        '<li class="dq-check-{kind}"><span aria-hidden="true">{sign}</span><span class="dq-sr">{said}: '
        "</span>{text}</li>",
        kind=kind,
        sign=sign,
        said=said,
        text=check.message,
    )


def abstention_banner(abstention: Abstention, *, insisted: bool) -> Markup:
    """Why no reading is offered; over an answer that was asked for all the same, without the button."""
    button = Markup('<button type="button" class="dq-button" data-event="insist">Ask all the same</button>')
    return fill(
        '<div class="dq-abstain"><p><strong>{head}</strong> {message}</p>{button}</div>',
        head="Read with caution." if insisted else "No reading.",
        message=abstention.message,
        button="" if insisted else button,
    )
