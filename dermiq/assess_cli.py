"""What `dermiq assess` prints: the documented JSON, or lines. The command itself is `dermiq.exchange.assess`.

Knows no page.
"""

from __future__ import annotations

from dermiq.answering.weigh import percent
from dermiq.report import GENERATED
from dermiq.shipped import fingerprint
from dermiq.types import Answer, Differential, Event, Finding, ImagesRead, Json, OwnWords, TextDelta, TextSettled
from dermiq.version import __version__

SYMPTOMS = ("itch", "bled", "grew", "changed", "hurts")


def show(event: Event) -> None:
    """What is read while it is written: a caution, the text, and what the program says itself."""
    if isinstance(event, ImagesRead) and event.abstention:
        print(f"Caution: {event.abstention.message}\n")
    if isinstance(event, TextDelta):
        print(event.text, end="", flush=True)
    if isinstance(event, TextSettled):
        said = f"[The program] {event.own.why}\n\n{event.own.text}" if event.own else f"[Another draft]\n\n{event.text}"
        print(f"\n\n{said}", end="", flush=True)


def own_json(own: OwnWords) -> Json:
    return {"text": own.text, "why": own.why, "replaced": own.replaced, "is_first": own.is_first}


def urgency_json(answer: Answer) -> Json | None:
    urgency = answer.urgency
    if urgency is None:
        return None
    return {"level": urgency.level, "text": urgency.text, "facts": [fact.id for fact in urgency.facts]}


def finding_json(finding: Finding) -> Json:
    return {
        "code": finding.code,
        "name": finding.name,
        "value": finding.value,
        "unit": finding.unit,
        "text": finding.text,
        "definition": finding.definition,
        "percentile_among_benign": finding.percentile,
        "likelihood_ratios": dict(finding.likelihood_ratios),
        "n": finding.n,
        "image": finding.image_index,
    }


def differential_json(differential: Differential) -> list[Json]:
    return [
        {
            "code": candidate.diagnosis.code,
            "id": candidate.diagnosis.id,
            "name": candidate.diagnosis.name,
            "probability": round(candidate.probability, 4),
            "by_image": None if candidate.by_image is None else round(candidate.by_image, 4),
        }
        for candidate in differential.candidates
    ]


def answer_json(answer: Answer) -> Json:
    """The documented JSON of `assess --json`."""
    return {
        "disclaimer": "Research demonstration for clinicians. Not a medical device, not for diagnosis.",
        "generated": GENERATED,
        "version": __version__,
        "weights": fingerprint(),  # SHA-256 of the list of the shipped ones
        "model": answer.model,
        "model_revision": answer.model_revision,
        "seconds": round(answer.seconds, 2),
        "abstention": answer.abstention and {"code": answer.abstention.code, "message": answer.abstention.message},
        "differentials": {d.reader: differential_json(d) for d in answer.differentials},
        "sets": {d.reader: d.sets for d in answer.differentials if d.sets},
        "understood": answer.intent,
        "answer": {"code": answer.parsed.answer_code, "text": answer.parsed.answer},
        "reasoning": {
            "findings": answer.parsed.findings,
            "differential": answer.parsed.differential,
            "knowledge": answer.parsed.knowledge,
            "conclusion": answer.parsed.conclusion,
        },
        "prose": answer.parsed.prose,
        "problems": list(answer.parsed.problems),
        "findings": [finding_json(finding) for finding in answer.findings],
        "facts": [
            {
                "number": item.number,
                "id": item.fact.id,
                "text": item.fact.text,
                "source": item.fact.source.title,
                "url": item.fact.source.url,
                "licence": item.fact.source.licence,
                "locator": item.fact.locator,
                "score": round(item.score, 4),
                "reason": item.reason,
            }
            for item in answer.evidence.items
        ],
        "claims": [
            {
                "text": c.text,
                "verdict": c.verdict,
                "facts": list(c.fact_ids),
                "findings": list(c.finding_codes),
                "miscited": list(c.miscited),
                "mended": list(c.mended),
            }
            for c in answer.claims
        ],
        "checks": [{"code": c.code, "passed": c.passed, "message": c.message} for c in answer.checks],
        "urgency": urgency_json(answer),
        "notes": list(answer.notes),
        "text": answer.text,
        "own": answer.own and own_json(answer.own),
    }


def summary(answer: Answer) -> str:
    """What the page shows beside the text, as lines."""
    lines = ["", ""]
    for differential in answer.differentials:
        top = ", ".join(f"{c.diagnosis.name} {percent(c.probability)}" for c in differential.candidates[:3])
        lines.append(f"{'Specialist' if differential.reader == 'specialist' else 'Language model'}: {top}")
    lines += [f"Check: {check.message}" for check in answer.checks]
    lines += [
        f"[F{i.number}] {i.fact.text} ({i.fact.source.title}, {i.fact.source.url})" for i in answer.evidence.items
    ]
    if answer.urgency:
        lines.append(f"Urgency: {answer.urgency.text}")
    lines += answer.notes
    lines.append(GENERATED)
    lines.append("Research demonstration for clinicians. Not a medical device, not for diagnosis.")
    return "\n".join(lines)
