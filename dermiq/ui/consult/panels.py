"""Differential, findings, evidence, urgency and self-checks as HTML. Knows no gradio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from dermiq.language import N_, _, ngettext, said
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
from dermiq.ui.markup import (
    THIN,
    as_sourced,
    capital,
    fill,
    join,
    link,
    percent,
    percentile,
    quantity,
    ratio,
    term,
    versus,
)

READERS = {"vlm": N_("Language model"), "specialist": N_("Specialist")}
OPINIONS = {"vlm": N_("the language model {name} ({share})"), "specialist": N_("the specialist {name} ({share})")}

LIKELY, POSSIBLE = 0.5, 0.1
WORDS = N_("Likely: 50 % or more. Possible: 10 to 49 %. Unlikely: below 10 %.")

TOLD = (N_("age"), N_("sex"), N_("site"))  # of the patient, as the specialist counts it
SETS_MEAN = N_(
    "Sets of diagnoses made so that, of new images like the validation images, the right one is in the set in 95 % "
    "(90 %) of each diagnosis's cases. On other images, such as photographs, they hold it less often."
)

URGENCY_WORDS = {
    "urgent": N_("Urgent"),
    "soon": N_("Soon"),
    "routine": N_("Routine"),
    "none": N_("No referral rule applies"),
}


def word(probability: float) -> str:
    """The page's word for a probability, as the page defines it."""
    if probability >= LIKELY:
        return _("likely")
    return _("possible") if probability >= POSSIBLE else _("unlikely")


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
        waits = _("Reading the image.") if reading else _("Appears as soon as an image is read.")
        return panel("differential", _("Differential"), placeholder(waits))
    by_reader: dict[str, Differential] = {d.reader: d for d in differentials}
    rows = join(_row(name, by_reader, key, reading) for key, name in _ranked(differentials))
    table = fill(
        '<table class="dq-bars{grey}"><caption class="dq-sr">{caption}</caption>'
        '<thead><tr><th scope="col">{diagnosis}</th><th scope="col">{vlm}</th><th scope="col">{specialist}</th></tr>'
        "</thead><tbody>{rows}</tbody></table>",
        grey=" dq-grey" if abstained else "",
        caption=_("Probability of each diagnosis by reader"),
        diagnosis=_("Diagnosis"),
        vlm=_(READERS["vlm"]),
        specialist=_(READERS["specialist"]),
        rows=rows,
    )
    words = fill('<p class="dq-fine">{w}</p>', w=_(WORDS))
    notes = join(note(by_reader["specialist"]) for note in (set_line, told_line) if "specialist" in by_reader)
    body = join([agreement_line(differentials), table, notes, _compare_top_two(differentials), words])
    return panel("differential", _("Differential"), body, note=_("calibrated probabilities"))


def set_line(opinion: Differential) -> Markup:
    """The diagnoses of which one is right with a stated certainty, where there are several."""
    parts = []
    for certainty, codes in sorted(opinion.sets.items(), reverse=True):
        if len(codes) > 1:
            line, names = _("with {c} certainty {names}"), either(CLASS_NAMES[code] for code in codes)
        else:
            line, names = _("with {c} certainty {names} alone"), CLASS_NAMES[codes[0]]
        parts.append(fill("<li>{line}</li>", line=line.format(c=f"{certainty}{THIN}%", names=names)))
    if all(len(codes) < 2 for codes in opinion.sets.values()):
        return Markup("")
    return fill(
        '<div class="dq-sets"><p>{term}</p><ul>{parts}</ul></div>',
        term=term(_("The specialist’s sets"), _(SETS_MEAN), key="sets"),
        parts=join(parts),
    )


def either(names: Iterable[str]) -> str:
    """ "melanoma or melanocytic nevus"."""
    *before, last = names
    return _("{names} or {last}").format(names=", ".join(before), last=last) if before else last


def told_line(opinion: Differential) -> Markup:
    """What of the patient counts in the specialist's figures, and what they are without it."""
    if not opinion.told:
        return Markup("")
    order = sorted(opinion.candidates, key=lambda one: -(one.by_image or 0.0))[:3]
    alone = ", ".join(f"{one.diagnosis.name} {percent(one.by_image or 0.0)}" for one in order)
    return fill(
        '<p class="dq-fine">{line}</p>',
        line=_("The specialist’s figures include {told}. By the image alone: {alone}.").format(
            told=both([_(name) for name in opinion.told]), alone=alone
        ),
    )


def both(names: Sequence[str]) -> str:
    """ "age, sex and site"."""
    before, last = ", ".join(names[:-1]), names[-1]
    return _("{names} and {last}").format(names=before, last=last) if before else last


def _compare_top_two(differentials: Sequence[Differential]) -> Markup:
    """A way to what the graph says of the two that stand highest."""
    ids = {c.diagnosis.code or c.diagnosis.id: c.diagnosis.id for d in differentials for c in d.candidates}
    top = _ranked(differentials)[:2]
    if len(top) < 2:
        return Markup("")
    (left, one), (right, other) = top
    button = versus(ids[left], ids[right], _("Compare {one} with {other}").format(one=one, other=other), look="dq-link")
    where = _("in the Knowledge tab")
    return fill('<p class="dq-onward">{b} <span class="dq-fine">{where}</span></p>', b=button, where=where)


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
        title = Markup(_("not among this reader's candidates"))
        return fill('<td class="dq-wait" title="{title}">–</td>', title=title)
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
        return fill('<p class="dq-agree dq-muted">{line}</p>', line=_("One reader so far."))
    if not disagree(differentials):
        line = _("Both readers hold {name} most probable.").format(name=differentials[0].top.diagnosis.name)
        return fill('<p class="dq-agree">{line}</p>', line=line)
    opinions = [
        _(OPINIONS[d.reader]).format(name=d.top.diagnosis.name, share=percent(d.top.probability))
        for d in sorted(differentials, key=lambda d: d.reader, reverse=True)
    ]
    line = _("Readers disagree: {opinions}.").format(opinions="; ".join(opinions))
    return fill('<p class="dq-agree dq-amber">{line}</p>', line=line)


# --- findings ---------------------------------------------------------------------------


def findings_panel(findings: Sequence[Finding], leading: str | None, *, reading: bool = False) -> Markup:
    """Value with unit, percentile among benign lesions, likelihood ratio for the leading diagnosis.

    Signs that stand out come first; the others wait folded, so that the panel keeps its height.
    """
    if not findings:
        waits = _("Measuring.") if reading else _("Measured on the outlined lesion when an image is read.")
        return panel("findings", _("Findings"), placeholder(waits))
    several = len({f.image_index for f in findings}) > 1
    telling = [f for f in findings if stands_out(f, leading)] or list(findings)
    usual = [f for f in findings if f not in telling]
    rest = fill(
        '<details data-open="no"><summary>{title}</summary>{table}</details>',
        title=ngettext("{n} sign in the usual range", "{n} signs in the usual range", len(usual)).format(n=len(usual)),
        table=_finding_table(usual, leading, several),
    )
    name = CLASS_NAMES.get(leading or "", "")
    line = (
        _(
            "Pctl.: percentile among benign training lesions. LR: likelihood ratio for {name}; above 1 speaks for it, "
            "below 1 against it. The ratios are not independent of each other."
        )
        if name
        else _(
            "Pctl.: percentile among benign training lesions. LR: likelihood ratio; above 1 speaks for it, below 1 "
            "against it. The ratios are not independent of each other."
        )
    )
    note = fill('<p class="dq-fine">{line}</p>', line=line.format(name=name))
    body = join([_finding_table(telling, leading, several), rest if usual else "", note, scores_part(findings)])
    return panel("findings", _("Findings"), body, note=_("measured"))


def scores_part(findings: Sequence[Finding]) -> Markup:
    """The scores that dermatologists use, folded, each with what it rests on; nothing where they can't be computed."""
    groups = sorted({finding.image_index for finding in findings})
    made = scores([finding for finding in findings if finding.image_index == groups[0]])
    if not made:
        return Markup("")
    title, which = _("Scores: ABCD, 7-point, 3-point"), _("(image {n})").format(n=groups[0] + 1)
    return fill(
        '<details class="dq-scores" data-open="no"><summary>{title}</summary>{rows}<p class="dq-fine">{note}</p>'
        "</details>",
        title=f"{title} {which}" if len(groups) > 1 else title,
        note=_(
            "For melanocytic lesions in dermoscopy. A range: from the points that were seen to those that are possible "
            "where a criterion was not judged. No low score outweighs the readers, the history or the rule of urgency."
        ),
        rows=join(_score(one) for one in made),
    )


def _score(score: Score) -> Markup:
    rows = join(
        fill(
            '<tr><th scope="row">{name}<span class="dq-say">{basis}</span></th><td class="dq-num">{points}</td></tr>',
            name=capital(one.name),
            basis=one.basis,
            points=f"{one.low:g}"
            if one.is_judged
            else _("{low} to {high}").format(low=f"{one.low:g}", high=f"{one.high:g}"),
        )
        for one in score.criteria
    )
    return fill(
        '<h3>{name}: {range}</h3><p>{meaning}. {source}</p><table class="dq-score"><caption class="dq-sr">{caption}'
        '</caption><thead><tr><th scope="col">{criterion}</th><th scope="col">{points}</th></tr></thead><tbody>'
        "{rows}</tbody></table>",
        caption=_("{name}: criteria").format(name=score.name),
        criterion=_("Criterion"),
        points=_("Points"),
        name=score.name,
        range=score.text,
        meaning=capital(score.meaning),
        source=link(score.source, _("Source of the rule")),
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
        '<table class="dq-findings"><caption class="dq-sr">{caption}</caption><thead><tr>'
        '<th scope="col">{sign}</th><th scope="col">{value}</th><th scope="col" title="{percentile}">{pctl}</th>'
        '<th scope="col" title="{ratio}">{lr}</th></tr></thead>{body}</table>',
        caption=_("Measured findings"),
        sign=_("Sign"),
        value=_("Value"),
        percentile=_("Percentile among benign lesions of the training data"),
        pctl=_("Pctl."),
        ratio=_("Likelihood ratio of this value for the leading diagnosis"),
        lr=_("LR"),
        body=body,
    )


def _finding_group(findings: Sequence[Finding], index: int, leading: str | None, several: bool) -> Markup:
    head = (
        fill(
            '<tr class="dq-group"><th colspan="4" scope="rowgroup">{title}</th></tr>',
            title=_("Image {n}").format(n=index + 1),
        )
        if several
        else ""
    )
    return fill("<tbody>{head}{rows}</tbody>", head=head, rows=join(_finding_row(f, leading) for f in findings))


def _finding_row(finding: Finding, leading: str | None) -> Markup:
    likelihood = finding.likelihood_ratios.get(leading) if leading else None
    behind = _("n = {n} training lesions.").format(n=finding.n) if finding.n is not None else ""
    return fill(
        '<tr><th scope="row">{term}<span class="dq-say">{text}</span></th>'
        '<td class="dq-num">{value}</td><td class="dq-num">{pct}</td><td class="dq-num{strong}">{ratio}</td></tr>',
        term=term(finding.name, f"{finding.definition} {behind}".rstrip(), key=f"{finding.code}-{finding.image_index}"),
        text=finding.text,
        value=quantity(finding.value, finding.unit),
        pct=percentile(finding.percentile) if finding.percentile is not None else "–",
        strong=" dq-strong" if likelihood is not None and (likelihood >= 2 or likelihood <= 0.5) else "",
        ratio=ratio(likelihood) if likelihood is not None else "–",
    )


# --- evidence ---------------------------------------------------------------------------


ORIGINS = {
    "question": N_("Question"),
    "differential": N_("Differential"),
    "patient": N_("Patient"),
    "findings": N_("Findings"),
}


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
        waits = _("Searching the knowledge graph.") if reading else _("Sourced facts chosen for this case appear here.")
        return panel("evidence", _("Evidence"), placeholder(waits))
    if not evidence.items:
        nothing = placeholder(_("The knowledge graph holds no fact that fits this case."))
        return panel("evidence", _("Evidence"), nothing)
    licences = Licences()
    rows = join(_evidence_row(item, item.number in cited, key, licences, name) for item in evidence.items)
    shown = [item for item in evidence.items if item.number in cited]
    note = _("{n} facts, {cited} cited").format(n=len(evidence.items), cited=len(shown))
    graph = fill(
        '<details class="dq-drawn" data-open="no"><summary>{title}</summary>{graph}</details>',
        title=_("Cited facts as a graph") if shown else _("All facts, none cited so far, as a graph"),
        graph=evidence_graph(shown or evidence.items, name),
    )
    body = fill('<ol class="dq-evidence">{rows}</ol>{graph}{note}', rows=rows, graph=graph, note=licences.note())
    return panel("evidence", _("Evidence"), body, note=note)


def _evidence_row(item: EvidenceItem, cited: bool, key: str, licences: Licences, name: Callable[[str], str]) -> Markup:
    return fill(
        '<li><button type="button" class="dq-chip{cited}" popovertarget="fact-{key}-{n}" '
        'aria-label="{label}">{n}</button><div><p{lang}>{text}</p><p class="dq-source">{source} '
        "{licence} {card}</p>{why}</div></li>",
        cited=" dq-cited" if cited else "",
        label=(_("Open fact {n}, cited in the answer") if cited else _("Open fact {n}")).format(n=item.number),
        key=key,
        n=item.number,
        lang=as_sourced(),
        text=item.fact.text,
        source=item.fact.source.title,
        licence=licences.tag(item.fact.source.licence),
        why=_why(item),
        card=card_of(item.fact, name),
    )


def _why(item: EvidenceItem) -> Markup:
    """What in the question, differential, patient or findings brought the fact up."""
    rows = join(fill("<dt>{o}</dt><dd>{t}</dd>", o=_(ORIGINS[r.origin]), t=r.text) for r in item.reasons)
    return fill(
        '<details class="dq-why" data-open="no"><summary>{title}<span class="dq-sr">, {number}</span></summary>'
        "{body}</details>",
        title=_("Why this fact"),
        number=_("number {n}").format(n=item.number),
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
        panel("similar", _("Similar cases"), similar_body(similar, thumbnail), note=_("labelled"))
        if similar
        else Markup(""),
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
        line = _("Urgency: named here when a referral rule applies.")
        return fill('<p class="dq-urgency dq-muted">{line}</p>', line=line)
    return fill(
        '<div class="dq-urgency dq-urgency-{level}"><p><strong>{word}.</strong> {text}</p>{sources}</div>',
        level=urgency.level,
        word=_(URGENCY_WORDS[urgency.level]),
        text=urgency.text,
        sources=source_lines(urgency.facts),
    )


def check_lines(checks: Sequence[SelfCheck]) -> Markup:
    if not checks:
        return Markup("")
    rows = join(_check(c) for c in checks)
    return fill('<ul class="dq-checks" aria-label="{name}">{rows}</ul>', name=_("Self-checks"), rows=rows)


def _check(check: SelfCheck) -> Markup:
    sign, word, kind = {
        True: ("✓", _("holds"), "ok"),
        False: ("!", _("does not hold"), "amber"),
        None: ("–", _("cannot be judged"), "none"),
    }[check.passed]
    return fill(
        '<li class="dq-check-{kind}"><span aria-hidden="true">{sign}</span><span class="dq-sr">{word}: '
        "</span>{text}</li>",
        kind=kind,
        sign=sign,
        word=word,
        text=check.message,
    )


def abstention_banner(abstention: Abstention, *, insisted: bool) -> Markup:
    """Why no reading is offered; over an answer that was asked for all the same, without the button."""
    button = fill(
        '<button type="button" class="dq-button" data-event="insist">{name}</button>', name=_("Ask all the same")
    )
    return fill(
        '<div class="dq-abstain"><p><strong>{head}</strong> {message}</p>{button}</div>',
        head=_("Read with caution.") if insisted else _("No reading."),
        message=said(abstention.message),
        button="" if insisted else button,
    )
