"""The command line: `dermiq app|assess|batch|bundle|knowledge|check|review|doctor|space|examples ...`; `--help` of each
says it.

In a checkout that is not installed it is `python -m dermiq`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads slow a shared machine tenfold
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dermiq.knowledge import Graph
    from dermiq.review.types import NewPair, Proxy
    from dermiq.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; errors are one sentence on standard error and exit status 2."""
    from dermiq import places
    from dermiq.deploy import doctor, examples, space
    from dermiq.errors import DermIQError
    from dermiq.exchange import assess, batch
    from dermiq.knowledge import cli as knowledge_cli
    from dermiq.review import cli as review_cli

    parser = argparse.ArgumentParser(prog=called_as(sys.argv[0]), description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    add_app(subparsers)
    assess.add_parser(subparsers)
    batch.add_parser(subparsers)
    knowledge_cli.add_parsers(subparsers)
    review_cli.add_parser(subparsers, judged)
    doctor.add_parser(subparsers, closed)
    space.add_parser(subparsers)
    examples.add_parser(subparsers)
    options = parser.parse_args(arguments)
    try:
        os.environ.update(places.for_libraries())
        return int(options.run(options) or 0)
    except DermIQError as error:
        print(f"dermiq: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return 0


def called_as(program: str) -> str:
    """As a user writes it: "dermiq" where it is installed and was called so."""
    return "python -m dermiq" if Path(program).name == "__main__.py" else "dermiq"


def add_app(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The page; its flags are those of the settings."""
    from dermiq.settings import add_flags

    parser = subparsers.add_parser("app", help="the page, on http://127.0.0.1:7860", allow_abbrev=False)
    add_flags(parser)
    parser.set_defaults(run=run_app)


def run_app(options: argparse.Namespace) -> None:
    from dermiq.settings import Settings
    from dermiq.ui.launch import launch

    launch(Settings.of(options))


def closed(settings: Settings) -> Mapping[str, str]:
    """Why tabs of the page are off."""
    from dermiq.ui.closed import closed

    return closed(settings)


def judged(pair: NewPair) -> Proxy:
    """The graph's verdict on a pair of the review; what it needs is loaded for the first one."""
    from train.scoring.verdicts import judge_by

    return judge_by(_graph)(pair)


@cache
def _graph() -> Graph:
    from dermiq.knowledge import Graph
    from dermiq.settings import Settings

    return Graph.load(Settings.load([]).kg)


if __name__ == "__main__":
    sys.exit(main())
