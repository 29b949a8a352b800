"""`dermiq assess IMAGE... [--json]`: one consultation in the terminal; `dermiq bundle`: one that was kept."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dermiq.answering.weigh import percent
from dermiq.assess_cli import SYMPTOMS, answer_json, finding_json, show, summary, urgency_json
from dermiq.errors import InputError
from dermiq.exchange import bundle, outputs
from dermiq.exchange.options import add_reader, reader_of
from dermiq.settings import Subparsers
from dermiq.types import Case

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
