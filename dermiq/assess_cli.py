"""`dermiq assess IMAGE... [--json]`: one consultation in the terminal. Knows no page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dermiq.answering.weigh import percent
from dermiq.report import GENERATED
from dermiq.settings import Subparsers
from dermiq.shipped import fingerprint
from dermiq.types import (
    Answer,
    Case,
    Differential,
    Event,
    Finding,
    ImagesRead,
    Json,
    Lesion,
    PatientContext,
    TextDelta,
    TextSettled,
)
from dermiq.version import __version__

SYMPTOMS = ("itch", "bled", "grew", "changed", "hurts")
PATIENT = ("age", "sex", "site", "skin_type", "symptoms")
ASKED = ("question", "model", "adapter", "load_in_4bit", "device", "votes", "check_image")
"""Options by the names that `dermiq.assess` has for them."""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("assess", help="assess one lesion from one or several images")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="photographs of one lesion")
    parser.add_argument("--age", help="years")
    parser.add_argument("--sex", help="female or male")
    parser.add_argument("--site", help="where on the body: back, face, lower leg ...")
    parser.add_argument("--skin-type", help="Fitzpatrick, 1 to 6 or I to VI")
    parser.add_argument(
        "--symptom", dest="symptoms", action="append", default=[], choices=SYMPTOMS, help="may be given several times"
    )
    parser.add_argument("--question", default=Case.question)
    parser.add_argument("--reader", choices=("specialist", "vlm"), default="vlm", help="specialist: no text, instant")
    parser.add_argument("--model", help="any Hugging Face image-text-to-text model; default: DermIQ-Nano")
    parser.add_argument("--adapter", help="a LoRA adapter for the model")
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--votes", type=int, default=1, help="samples for a majority vote")
    parser.add_argument("--check-image", action="store_true", help="also ask with the image blanked")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON (the README says what is in it)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from dermiq import api

    patient = {name: getattr(options, name) for name in PATIENT}
    if options.reader == "specialist":
        context = api.patient_of(**patient)
        return specialist_only([api.lesion_of(path) for path in options.images], context, as_json=options.json)
    asked = {name: getattr(options, name) for name in ASKED}
    answer = api.assess(*options.images, **patient, **asked, on_event=None if options.json else show)
    print(json.dumps(answer_json(answer), indent=1) if options.json else summary(answer))
    return 0


def show(event: Event) -> None:
    """What is read while it is written: a caution, the text, and what the program says itself."""
    if isinstance(event, ImagesRead) and event.abstention:
        print(f"Caution: {event.abstention.message}\n")
    if isinstance(event, TextDelta):
        print(event.text, end="", flush=True)
    if isinstance(event, TextSettled):
        said = f"[The program] {event.own.why}\n\n{event.own.text}" if event.own else f"[Another draft]\n\n{event.text}"
        print(f"\n\n{said}", end="", flush=True)


def specialist_only(lesions: Sequence[Lesion], context: PatientContext, *, as_json: bool) -> int:
    from dermiq.specialist import Specialist, opinion_of

    specialist = Specialist.load()
    readings = [specialist.read(lesion, image_index=i) for i, lesion in enumerate(lesions)]
    opinion = opinion_of(readings, context, specialist)
    findings = [finding_json(finding) for reading in readings for finding in reading.findings]
    reasons = [specialist.abstention(lesion, r) for lesion, r in zip(lesions, readings, strict=True)]
    abstention = reasons[0].message if reasons[0] and all(reasons) else None
    if as_json:
        told = {"probabilities": opinion.probabilities, "by_image": opinion.by_image, "sets": opinion.sets}
        similar = [asdict(case) for case in readings[0].similar]
        print(json.dumps({**told, "findings": findings, "similar": similar, "abstention": abstention}, indent=1))
        return 0
    if abstention:
        print(f"Caution: {abstention}")
    for code, probability in sorted(opinion.probabilities.items(), key=lambda item: -item[1]):
        alone = f"  ({percent(opinion.by_image[code])} by the image alone)" if opinion.told else ""
        print(f"{code:6} {percent(probability):>5}{alone}")
    for certainty, codes in opinion.sets.items():
        print(f"With {certainty} % certainty one of: {', '.join(codes)}")
    for finding in findings:
        print(f"{finding['name']}: {finding['text']}")
    return 0


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
        "urgency": answer.urgency
        and {
            "level": answer.urgency.level,
            "text": answer.urgency.text,
            "facts": [fact.id for fact in answer.urgency.facts],
        },
        "notes": list(answer.notes),
        "text": answer.text,
        "own": answer.own and {"text": answer.own.text, "why": answer.own.why, "replaced": answer.own.replaced},
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
