"""`python -m dermiq review ...`: what an admin does outside the page. The store is where DERMIQ_REVIEW says."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dermiq.errors import DataError, InputError
from dermiq.settings import Subparsers
from dermiq.types import Json
from dermiq.writing import ELSEWHERE

if TYPE_CHECKING:
    from dermiq.review.measures.agreement import Estimate
    from dermiq.review.measures.quality import Report
    from dermiq.review.store.store import Judge, Store

REFUSED_SHOWN = 20
STEP = 100  # lines of an import between two signs of life


def add_parser(subparsers: Subparsers, judge: Judge | None = None) -> None:
    """Add the command; it sets `run(args) -> int`. `judge` gives the graph's verdict on pairs that come without one."""
    review = subparsers.add_parser("review", help="pairs for reviewers, how good their votes are, and frozen sets")
    review.set_defaults(judge=judge)
    review.add_argument("--store", default=None, metavar="PLACE", help="folder or database URL; default: DERMIQ_REVIEW")
    review.add_argument("--by", default="", metavar="NAME", help="who does it, for the log; default: the user's name")
    commands = review.add_subparsers(dest="review_command", required=True)
    _add_import(commands)
    _add(commands, "status", _status, "what is there, who is how far, which sets are frozen")
    quality = _add(commands, "quality", _quality, "agreement, consistency, haste; each with its interval")
    quality.add_argument("--figures", type=Path, default=None, metavar="FOLDER", help="write the figures there as SVG")
    _add_freeze(commands)
    out = _add(commands, "export", _export, "a frozen set as JSONL, Parquet, images and a data card")
    out.add_argument("set", metavar="SET", help="name@version, or name: the newest")
    out.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    reviewers = _add(commands, "reviewers", _reviewers, "who reviews; --add lets someone in or gives them another role")
    reviewers.add_argument("--add", default="", metavar="NAME")
    reviewers.add_argument("--role", choices=("reviewer", "admin"), default="reviewer")
    purge = _add(commands, "purge", _purge, "delete an image for good; its pairs are in no set from then on")
    purge.add_argument("sha256", metavar="SHA256", help="of the image; eight digits or more are enough")
    purge.add_argument("--why", required=True, help="for the log")


def _add(
    commands: Subparsers, name: str, run: Callable[[Store, argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(run=_with_store(run))
    if name in ("status", "quality", "reviewers"):
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_import(commands: Subparsers) -> None:
    parser = _add(
        commands,
        "import",
        _import,
        "pairs from a file of train.preferences, JSONL, JSON, CSV, Parquet, a data set, an export",
    )
    parser.add_argument(
        "source",
        metavar="FILE",
        help="a file, a zip of one with its images, or a data set: a folder, or owner/name of the hub",
    )
    parser.add_argument("--gold", action="store_true", help="what it prefers is known to be right: to test reviewers")
    parser.add_argument(
        "--overlap", type=int, default=None, metavar="N", help="reviewers that are wanted for each pair"
    )
    parser.add_argument("--skip-refused", action="store_true", help="import the other lines where some cannot be used")
    parser.add_argument("--no-outline", action="store_true", help="do not draw the lesions' borders (faster)")


def _add_freeze(commands: Subparsers) -> None:
    parser = _add(commands, "freeze", _freeze, "a new version of a set, of what was decided until now")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--rule", choices=("majority", "adjudicated"), default="majority")
    parser.add_argument("--min-votes", type=int, default=1, metavar="N")
    parser.add_argument("--min-margin", type=float, default=0.0, metavar="SHARE", help="of whoever decided, 0 to 1")
    parser.add_argument("--proxy-only", action="store_true", help="take pairs without votes as the graph decides")
    parser.add_argument("--no-edits", action="store_true", help="leave corrected answers out")
    parser.add_argument("--with-gold", action="store_true", help="take pairs with a known answer, too")


def _with_store(run: Callable[[Store, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def with_store(args: argparse.Namespace) -> int:
        from dermiq.review.store.store import Store
        from dermiq.settings import Settings

        args.by = args.by or user_name()
        with _told():
            store = Store.open(args.store or Settings.load([]), judge=args.judge)
            try:
                return run(store, args)
            finally:
                store.close()

    return with_store


def user_name() -> str:
    """Of who runs the command. A container's user may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # of Python before 3.13, since then, and without such a database
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown user"


@contextmanager
def _told() -> Iterator[None]:
    """What the disk or the database refuses, as a sentence; and that somebody stopped it."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        named = f"{error.filename} cannot be read or written" if error.filename else "A file cannot be read or written"
        raise DataError(f"{named}: {error.strerror or error}. {ELSEWHERE}", detail=repr(error)) from error
    except KeyboardInterrupt:
        print("Stopped. What was done until now is kept; the same command goes on.", file=sys.stderr)
        raise SystemExit(130) from None
    except SQLAlchemyError as error:
        raise DataError(
            f"The review's database failed ({type(error).__name__}): is the server there, is the disk full?",
            detail=repr(error),
        ) from error


# --- pairs in, sets out -----------------------------------------------------------------


def _import(store: Store, args: argparse.Namespace) -> int:
    from dermiq.review.sets.incoming import import_path
    from dermiq.review.sets.pictures import by_specialist

    def progress(done: int) -> None:
        if done % STEP == 0:
            print(f"{done} lines checked", file=sys.stderr, flush=True)

    found = import_path(
        store,
        args.source,
        by=args.by,
        gold=args.gold,
        overlap=args.overlap,
        despite_refused=args.skip_refused,
        outline=None if args.no_outline else by_specialist(),
        progress=progress,
    )
    for line in found.refused[:REFUSED_SHOWN]:
        print(line, file=sys.stderr)
    if len(found.refused) > REFUSED_SHOWN:
        print(f"... and {len(found.refused) - REFUSED_SHOWN} more.", file=sys.stderr)
    if found.refused and not args.skip_refused:
        print(
            f"{len(found.refused)} line(s) cannot be used: nothing was imported. See --skip-refused.", file=sys.stderr
        )
        return 2
    print(f"{found.pairs} new pairs of {found.cases} new cases; {found.duplicates} were there already.")
    for line in found.told:
        print(line)
    return 0


def _freeze(store: Store, args: argparse.Namespace) -> int:
    from dermiq.review.sets.freeze import freeze
    from dermiq.review.types import SetRule

    rule = SetRule(args.rule, args.min_votes, args.min_margin, args.proxy_only, not args.no_edits, not args.with_gold)
    made = freeze(store, args.name, rule, by=args.by)
    print(f"{made.name}@{made.version}: {made.pairs} pairs, digest {made.digest[:12]}")
    print(f"To learn from it: python -m train.dpo --preferences {made.name}@{made.version}")
    return 0


def _export(store: Store, args: argparse.Namespace) -> int:
    from dermiq.review.sets.freeze import export

    made = export(store, args.set, args.out)
    print(f"{made.name}@{made.version}: {made.pairs} pairs -> {args.out}")
    return 0


def _purge(store: Store, args: argparse.Namespace) -> int:
    known = {image.sha256 for view in store.pairs() for image in view.case.images}
    found = [sha256 for sha256 in known if len(args.sha256) >= 8 and sha256.startswith(args.sha256)]
    if len(found) != 1:
        raise InputError(f"{args.sha256} names {len(found) or 'no'} images of the review: give its SHA-256.")
    store.purge_image(found[0], by=args.by, why=args.why)
    print(f"Deleted the image {found[0]}.")
    return 0


def _reviewers(store: Store, args: argparse.Namespace) -> int:
    if args.add:
        known = store.reviewer(args.add)
        if known is None:
            store.add_reviewer(args.add, args.role, by=args.by)
        elif known.role != args.role:
            store.set_role(args.add, args.role, by=args.by)
    people = store.reviewers()
    if args.json:
        print(_json([asdict(person) for person in people]))
    for person in [] if args.json else people:
        print(f"{person.name:<24}{person.role:<10}{person.added_at:%Y-%m-%d}")
    return 0


# --- what is there ----------------------------------------------------------------------


def _status(store: Store, args: argparse.Namespace) -> int:
    sources: Counter[str] = Counter()
    cases, images, known = set(), set(), 0
    for view in store.pairs():
        sources[view.pair.source] += 1
        cases.add(view.case.id)
        images |= {image.sha256 for image in view.case.images}
        known += view.pair.gold is not None
    found = {
        "cases": len(cases),
        "images": len(images),
        "purged": len(store.purged()),
        "pairs": sources.total(),
        "sources": dict(sources),
        "gold": known,
        **asdict(store.counts()),
        "disagreements": len(store.disagreements()),
        "reviewers": {person.name: asdict(store.progress(person.name)) for person in store.reviewers()},
        "sets": [
            {"set": f"{made.name}@{made.version}", "pairs": made.pairs, "by": made.made_by, "at": made.made_at}
            for made in store.frozen_sets()
        ],
    }
    print(_json(found) if args.json else _status_text(found))
    return 0


def _status_text(found: Json) -> str:
    sources = ", ".join(f"{count} {name}" for name, count in found["sources"].items()) or "none"
    lines = [
        f"{found['pairs']} pairs ({sources}; {found['gold']} with a known answer) of {found['cases']} cases with "
        f"{found['images']} images, {found['purged']} deleted.",
        f"{found['votes']} votes, {found['skips']} skips, {found['decisions']} decisions of an admin, "
        f"{found['opinions']} opinions of visitors; {found['disagreements']} disagreements to adjudicate.",
    ]
    for name, progress in found["reviewers"].items():
        left = f", about {progress['minutes_left']:.0f} min left" if progress["minutes_left"] else ""
        lines.append(f"  {name}: {progress['done']} of {progress['total']}, {progress['skipped']} skipped{left}")
    lines += [
        f"  {made['set']}: {made['pairs']} pairs, {made['at']:%Y-%m-%d} by {made['by']}" for made in found["sets"]
    ]
    return "\n".join(lines)


def _quality(store: Store, args: argparse.Namespace) -> int:
    from dermiq.review.measures.columns import Votes
    from dermiq.review.measures.quality import report_of

    report = report_of(Votes.of(store.columns()), store.opinions())
    if args.figures:
        _write_figures(report, args.figures)
    print(_json(asdict(report)) if args.json else _quality_text(report))
    return 0


def _write_figures(report: Report, folder: Path) -> None:
    from dermiq.review.measures.figures import figures_of
    from dermiq.svg import DARK, LIGHT

    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures_of(report):
        for name, colours in (("light", LIGHT), ("dark", DARK)):
            (folder / f"{figure.name}-{name}.svg").write_text(figure.svg(colours), encoding="utf-8")
        (folder / f"{figure.name}.txt").write_text(figure.alt + "\n", encoding="utf-8")


def _quality_text(report: Report) -> str:
    from dermiq.review.measures.quality import TOO_FAST_S

    graph, repeats = report.graph, report.repeats
    lines = [
        f"{report.votes} votes on {report.pairs} pairs, {report.skips} skips. 95 % intervals.",
        f"Reviewers: alpha {_shown(report.alpha)}; all the same in {_shown(report.same)} of pairs judged by several.",
        f"The graph: agreement with the majority {_shown(graph.agreement)}, kappa {_shown(graph.kappa)}; "
        f"{graph.undecided} ties or both bad.",
        f"The left answer is preferred in {_shown(report.left)}; repeats say the same in {_shown(repeats.same)}.",
        f"Known answers found: {_shown(report.gold)}. Times far from the others': "
        f"{sum(one.outlying for one in report.reviewers)}; below {TOO_FAST_S:g} s: "
        f"{sum(one.too_fast for one in report.reviewers)}.",
        f"Visitors of the consultation: {_shown(report.good)} of their opinions on single answers are good.",
        _row("reviewer", ("votes", "s each", "hasty"), ("with the graph", "left", "repeats the same", "known")),
    ]
    for one in report.reviewers:
        each = "-" if one.seconds is None else f"{one.seconds:.0f}"
        shares = (one.graph.agreement, one.left, one.repeats.same, one.gold)
        lines.append(_row(one.name, (one.votes, each, one.too_fast), map(_shown, shares)))
    lines += [f"answers of {one.name or 'a model not known'}: good {_shown(one.good)}" for one in report.models]
    lines += [f"{one.one} and {one.other}: kappa {_shown(one.kappa)}" for one in report.between]
    lines += [
        f"{one.name or 'no diagnosis'}: {one.pairs} pairs, alpha {_shown(one.alpha)}, with the graph "
        f"{_shown(one.graph.agreement)}"
        for one in report.classes
    ]
    lines += [
        f"{one.name}: {one.ratings} ratings, alpha {_shown(one.alpha)}; higher for the preferred one in "
        f"{_shown(one.sides)}"
        for one in report.rubric
        if one.ratings
    ]
    return "\n".join(lines)


def _row(name: str, counts: Iterable[object], shares: Iterable[str]) -> str:
    cells = "".join(f"{count!s:>8}" for count in counts) + "  " + "".join(f"{share:<26}" for share in shares)
    return f"{name:<16}{cells}".rstrip()


def _shown(found: Estimate) -> str:
    """ "0.78 (0.75 to 0.81; 412)"; "-" where nothing is known."""
    if found.value is None:
        return "-"
    interval = "" if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}; "
    return f"{found.value:.2f} ({interval}{found.n})"


def _json(value: object) -> str:
    def plain(other: object) -> str:
        if isinstance(other, datetime):
            return other.isoformat()
        raise TypeError(f"{type(other).__name__} is no JSON")

    return json.dumps(value, ensure_ascii=False, default=plain)
