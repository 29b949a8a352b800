"""What the review's store stands: killed writers, many reviewers at once, many pairs.

    python -m tests.nightly.review_store --kills 50
    python -m tests.nightly.review_store --reviewers 20 --votes 50 [--db URL]
    python -m tests.nightly.review_store --pairs 100000 [--db URL]

Everything happens in a folder that is deleted, or in an empty database that is named (and stays full). Reviewers vote
as the page does, the following pair fetched ahead, and without a moment's thought: far faster than people. Figures of
these commands are in `review_store.txt`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from dermiq.errors import DermIQError, InputError
from dermiq.review.store.queue import QueueSettings
from dermiq.review.store.store import Store
from dermiq.review.types import Choice, PairView, Showing
from tests.nightly.review_kills import Kills, kill_writers
from tests.review.synthetic import fill_votes, synthetic_pairs

T = TypeVar("T")

# --- many reviewers at once -------------------------------------------------------------


@dataclass
class Crowd:
    """What reviewers at once came to. Times in seconds."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # key of a vote -> its id
    vote: list[float] = field(default_factory=list)
    next: list[float] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0  # until all were done
    lost: int = 0
    doubled: int = 0
    beyond_overlap: int = 0  # pairs


def crowd(store: Store, reviewers: int, votes: int) -> Crowd:
    """Lets reviewers vote at once, each in a thread, and compares what was acknowledged with what is stored."""
    names = [f"reviewer {number}" for number in range(1, reviewers + 1)]
    store.add_pairs(synthetic_pairs(reviewers * votes), by="benchmark")
    for name in names:
        store.add_reviewer(name, by="benchmark")
    made, start = Crowd(), threading.Barrier(reviewers + 1)
    threads = [threading.Thread(target=_review, args=(store, name, votes, made, start)) for name in names]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    made.seconds = time.perf_counter() - begun
    _compare(store, made)
    return made


def _review(store: Store, name: str, votes: int, made: Crowd, start: threading.Barrier) -> None:
    start.wait()
    try:
        current = store.next(name)
        for _ in range(votes):
            if current is None:
                raise InputError(f"{name} has nothing left.")
            current = _vote(store, name, current, made)
    except Exception as error:  # told in the figures
        made.errors.append(repr(error))


def _vote(store: Store, name: str, current: tuple[Showing, PairView], made: Crowd) -> tuple[Showing, PairView] | None:
    """One vote; the pair behind it."""
    (showing, view), key = current, uuid4().hex
    following = _timed(made.next, lambda: store.next(name, after=view.pair.id))
    choices: tuple[Choice, ...] = ("a", "b", "tie", "both_bad", "skip")
    choice = choices[hash(key) % 5]
    vote = _timed(made.vote, lambda: store.vote(showing.id, choice, reviewer=name, key=key, seconds=1.0))
    made.acknowledged[key] = vote.id
    _timed(made.progress, lambda: store.progress(name))
    return following


def _timed(times: list[float], work: Callable[[], T]) -> T:
    begun = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - begun)
    return result


def _compare(store: Store, made: Crowd) -> None:
    stored = list(store.votes(undone=True))
    ids = Counter(vote.id for vote in stored)
    made.lost = sum(vote not in ids for vote in made.acknowledged.values())
    same = Counter((vote.reviewer, vote.pair_id, vote.purpose) for vote in stored)
    made.doubled = len(stored) - len(same) + len(ids.keys() - set(made.acknowledged.values()))
    reviews = Counter(vote.pair_id for vote in stored if vote.purpose == "first" and vote.choice != "skip")
    made.beyond_overlap = sum(count > QueueSettings().overlap for count in reviews.values())


def described_crowd(made: Crowd, where: str) -> str:
    return (
        f"{where}: {len(made.acknowledged)} votes in {made.seconds:.1f} s; vote {_times(made.vote)}; next pair "
        f"{_times(made.next)}; progress {_times(made.progress)}; {made.lost} lost, {made.doubled} doubled, "
        f"{made.beyond_overlap} pairs beyond their overlap, {len(made.errors)} errors"
        + "".join(f"\n  {error}" for error in made.errors[:3])
    )


def _times(seconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    if len(seconds) < 2:
        return "-"
    return f"p50 {statistics.median(seconds) * 1e3:.0f} ms, p95 {statistics.quantiles(seconds, n=20)[-1] * 1e3:.0f} ms"


# --- many pairs -------------------------------------------------------------------------


def many_pairs(store: Store, pairs: int) -> Iterator[str]:
    """Figures, line by line."""
    begun = time.perf_counter()
    store.add_pairs(synthetic_pairs(pairs), by="benchmark")
    yield f"adding {pairs:,} pairs: {time.perf_counter() - begun:.0f} s"
    votes = fill_votes(store)
    yield f"{votes:,} votes of {len(store.reviewers())} reviewers"
    yield f"building what is derived anew: {_once(store.rebuild):.1f} s"
    for name in ("reviewer 1", "alone"):
        made = Crowd()
        current = store.next(name)
        for _ in range(100):
            assert current is not None
            current = _vote(store, name, current, made)
        yield f"{name}: next pair {_times(made.next)}, vote {_times(made.vote)}, progress {_times(made.progress)}"
    yield f"disagreements: {_once(store.disagreements) * 1e3:.0f} ms for {len(store.disagreements()):,}"
    yield from _quality(store)


def _quality(store: Store) -> Iterator[str]:
    for when in ("first", "again"):  # the first time imports pandas and matplotlib
        columns, report, figures = _looked_at(store)
        yield (
            f"quality page, {when}: votes as columns {columns:.2f} s, report {report:.2f} s, figures {figures:.2f} s, "
            f"together {columns + report + figures:.2f} s"
        )


def _looked_at(store: Store) -> list[float]:
    """Seconds of what the page shows: the votes, what is computed of them, what is drawn."""
    from dermiq.review.measures.columns import Votes
    from dermiq.review.measures.figures import figures_of
    from dermiq.review.measures.quality import report_of

    times: list[float] = []
    frame = _timed(times, store.columns)
    report = _timed(times, lambda: report_of(Votes.of(frame)))
    _timed(times, lambda: [figure.svg() for figure in figures_of(report)])
    return times


def _once(work: Callable[[], object]) -> float:
    times: list[float] = []
    _timed(times, work)
    return times[0]


# --- the command ------------------------------------------------------------------------


def described_kills(made: Kills) -> str:
    return (
        f"{made.kills} times kill -9 while votes arrived: {made.votes} votes and {made.undos} undos acknowledged, "
        f"{made.lost} lost, {made.doubled} doubled; {made.unheard} more were stored whose answer was never heard; "
        f"what is derived {'equals' if made.consistent else 'DIFFERS FROM'} what was appended"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nightly.review_store", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0, help="kill a process that writes votes so often")
    parser.add_argument("--reviewers", type=int, default=0, help="reviewers who vote at once")
    parser.add_argument("--votes", type=int, default=50, help="of each of them")
    parser.add_argument("--pairs", type=int, default=0, help="pairs in the store, with 2.5 votes each")
    parser.add_argument("--db", help="an empty database, as an SQLAlchemy URL; default: SQLite in a new folder")
    options = parser.parse_args(argv)
    try:
        for line in _lines(options):
            print(line, flush=True)
    except DermIQError as error:
        print(f"dermiq: {error}", file=sys.stderr)
        return 2
    return 0


def _lines(options: argparse.Namespace) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        if options.kills:
            yield described_kills(kill_writers(Path(folder) / "kills", options.kills, url=options.db))
        if options.reviewers:
            store = _opened(Path(folder) / "crowd", options.db)
            made = crowd(store, options.reviewers, options.votes)
            yield described_crowd(made, f"{options.reviewers} reviewers at once, {store.kind}")
            store.close()
        if options.pairs:
            store = _opened(Path(folder) / "pairs", options.db)
            yield from (f"{store.kind}: {line}" for line in many_pairs(store, options.pairs))
            store.close()


def _opened(folder: Path, url: str | None) -> Store:
    store = Store(folder, url)
    if next(store.pairs(), None) is not None:
        raise InputError("There are pairs in this database: a benchmark needs an empty one, which it fills.")
    return store


if __name__ == "__main__":
    sys.exit(main())
