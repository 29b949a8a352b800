"""`dermiq examples`: answers the drawn examples ahead, so that the first visitor of a page waits for none of them."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from dermiq.errors import InputError

if TYPE_CHECKING:
    from dermiq.settings import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    from dermiq.settings import add_flags

    parser = subparsers.add_parser(
        "examples",
        help="answer the page's drawn examples ahead, for whoever tries one",
        description="Answers the page's drawn examples ahead and keeps the answers in the cache folder. Takes the "
        "flags of the page: an answer is that of one model on one kind of device, and is shown for no other.",
        allow_abbrev=False,
    )
    add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Exit status 1 where an answer could not be kept. InputError where none can be."""
    from dermiq.consultant import LocalConsultant
    from dermiq.examples import FOLDER, Examples
    from dermiq.files.paths import cache_folder, folder_for
    from dermiq.settings import Settings
    from dermiq.vlm.identity import identity

    settings = Settings.of(options)
    for name in ("cache", "runs"):
        if getattr(settings, name):
            os.environ[f"DERMIQ_{name.upper()}"] = str(getattr(settings, name))
    kept = folder_for(cache_folder() / FOLDER / "an answer")
    print("Loading the models ...", flush=True)
    consultant = LocalConsultant(settings, examples=Examples(kg=settings.kg))
    consultant.load()
    if identity(consultant.readers().vlm.origin) is None:
        raise InputError(
            f"Nothing names the weights of {consultant.name} for sure, so that no answer of theirs is kept. Name "
            "folders, or a model of the hub without an adapter from there."
        )
    told = []
    for title, case, is_kept in consultant.answer_examples():
        print(f"{'kept    ' if is_kept else 'NOT kept'}  {title}. {case.question}", flush=True)
        told.append(is_kept)
    print(f"{sum(told)} of {len(told)} answers are kept in {kept}.")
    return 0 if all(told) else 1
