"""`dermiq assess IMAGE... [--json]`: one consultation in the terminal; `dermiq bundle`: one that was kept.

Knows no page.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dermiq.answering.weigh import percent
from dermiq.errors import InputError
from dermiq.exchange import bundle, outputs
from dermiq.exchange.options import add_reader, reader_of
from dermiq.patient import SYMPTOMS
from dermiq.settings import Subparsers
from dermiq.types import (
    Answer,
    Case,
    Differential,
    Event,
    Finding,
    ImagesRead,
    Json,
    TextDelta,
    TextSettled,
)

if TYPE_CHECKING:
    from dermiq.exchange.reading import Assessed

PATIENT = ("age", "sex", "site", "skin_type", "symptoms")
"""Options by the names that `dermiq.api` has for them."""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("assess", help="assess one lesion from one or several images")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="photographs of one lesion")
    parser.add_argument(
        "--from", dest="kept", type=Path, metavar="ZIP", help="the case of a bundle, in place of images"
    )
    parser.add_argument("--age", help="years")
    parser.add_argument("--sex", help="female or male")
    parser.add_argument("--site", help="where on the body: back, face, lower leg ...")
    parser.add_argument("--skin-type", help="Fitzpatrick, 1 to 6 or I to VI")
    parser.add_argument(
        "--symptom", dest="symptoms", action="append", default=[], choices=SYMPTOMS, help="may be given several times"
    )
    parser.add_argument("--question", help=f"default: {Case.question}")
    add_reader(parser, default="vlm", help="specialist: no text, instant")
    parser.add_argument("--check-image", action="store_true", help="also ask with the image blanked")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON (the README says what is in it)")
    outputs.add_flags(parser)
    parser.set_defaults(run=run)
    kept = subparsers.add_parser("bundle", help="show a case that `assess --bundle` wrote")
    kept.add_argument("zip", type=Path)
    kept.add_argument("--json", action="store_true", help="patient, question, answer and versions as JSON")
    kept.set_defaults(run=show_bundle)


def run(options: argparse.Namespace) -> int:
    outputs.check(options)
    case, files = asked(options)
    reader = reader_of(options, check_image=options.check_image, on_event=None if options.json else show)
    assessed = reader.assess(case)
    answer = assessed.answer
    if options.reader == "specialist":
        say_specialist(assessed, as_json=options.json)
    else:
        print(json.dumps(answer_json(answer), indent=1) if options.json else summary(answer))
    outputs.write(options, case, answer, told=answer_json(answer), sources=files)
    return 0


def asked(options: argparse.Namespace) -> tuple[Case, list[bytes]]:
    """The case, and the files of its images. What is said of a kept case counts in place of what was kept."""
    from dermiq import api

    patient = api.patient_of(**{name: getattr(options, name) for name in PATIENT})
    if options.kept is None:
        files = [api.bytes_of(path) for path in options.images]
        return api.case_of(files, patient, options.question or Case.question), files
    if options.images:
        raise InputError("Give images, or a bundle with --from, but not both.")
    case = bundle.unpacked(options.kept).case
    said = {name: value for name, value in vars(patient).items() if value not in (None, ())}
    return replace(case, context=replace(case.context, **said), question=options.question or case.question), []


def show_bundle(options: argparse.Namespace) -> int:
    kept = bundle.unpacked(options.zip)
    told = json.dumps(kept.told, indent=1) if options.json else kept.report
    print("".join(letter for letter in told if letter.isprintable() or letter == "\n"))
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


def say_specialist(assessed: Assessed, *, as_json: bool) -> None:
    answer = assessed.answer
    (opinion,) = answer.differentials
    probabilities = {one.diagnosis.code: one.probability for one in opinion.candidates}
    alone = {
        one.diagnosis.code: one.probability if one.by_image is None else one.by_image for one in opinion.candidates
    }
    findings = [finding_json(finding) for reading in assessed.readings for finding in reading.findings]
    abstention = answer.abstention.message if answer.abstention else None
    if as_json:
        told = {"probabilities": probabilities, "by_image": alone, "sets": opinion.sets}
        told |= {"findings": findings, "similar": [asdict(one) for one in assessed.readings[0].similar]}
        told |= {"abstention": abstention, "quality": [issue.message for issue in assessed.issues]}
        told |= {"urgency": urgency_json(answer), "model": answer.model, "model_revision": answer.model_revision}
        print(json.dumps(told, indent=1))
        return
    if abstention:
        print(f"Caution: {abstention}")
    for code, probability in probabilities.items():
        by_image = f"  ({percent(alone[code])} by the image alone)" if opinion.told else ""
        print(f"{code:6} {percent(probability):>5}{by_image}")
    for certainty, codes in opinion.sets.items():
        print(f"With {certainty} % certainty one of: {', '.join(codes)}")
    for finding in findings:
        print(f"{finding['name']}: {finding['text']}")


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
    lines.append("Research demonstration for clinicians. Not a medical device, not for diagnosis.")
    return "\n".join(lines)
