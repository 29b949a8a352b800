"""`dermiq doctor`: what this machine can do, what is off and why. Exit status 1 where something needed is off."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dermiq.deploy.checks import Check, Closed
    from dermiq.settings import Subparsers

WIDTH = 17  # of the names


def add_parser(subparsers: Subparsers, closed: Closed) -> None:
    """`closed`: why tabs of the page are off."""
    parser = subparsers.add_parser("doctor", help="what this machine can do, what is off and why", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="one object: ok, and the checks")
    parser.set_defaults(run=run, closed=closed)


def run(options: argparse.Namespace) -> int:
    from dermiq.deploy.checks import checks

    found = list(checks(options.closed))
    is_well = all(check.state != "problem" for check in found)
    if options.json:
        print(json.dumps({"ok": is_well, "checks": [asdict(check) for check in found]}, ensure_ascii=False))
    else:
        print("\n".join([*map(line, found), "", summary(found)]))
    return 0 if is_well else 1


def line(check: Check) -> str:
    """With what to do below."""
    said = f"{check.state:<8} {check.name:<{WIDTH}} {check.text}"
    return said + (f"\n{'':<{8 + 1 + WIDTH}} {check.advice}" if check.advice else "")


def summary(found: Sequence[Check]) -> str:
    problems, warnings = (sum(check.state == state for check in found) for state in ("problem", "warning"))
    if problems:
        return f"Not well: {_counted(problems, 'problem')}, {_counted(warnings, 'warning')}."
    return f"Well, with {_counted(warnings, 'warning')}." if warnings else "Well."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
