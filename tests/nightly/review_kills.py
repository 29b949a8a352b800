"""Kills processes that write votes, and looks whether what they acknowledged is there, once.

A process votes in several threads, as the app does for several visitors, takes some votes back, and prints each as soon
as the store has returned: whatever was printed must survive. It is killed at a random moment, again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from dermiq.review.store import schema
from dermiq.review.store.store import Store
from dermiq.types import Json
from tests.review.synthetic import synthetic_pairs

WRITERS = ("ana", "ben", "cem", "dua")
LONGEST = 0.4  # seconds between the first vote of a process and its end
UNDO_SHARE = 0.1
PAIRS_EACH = 60  # for every kill: more than are voted on until then


@dataclass(frozen=True)
class Kills:
    kills: int
    votes: int  # acknowledged
    undos: int
    lost: int
    doubled: int
    unheard: int  # stored, but the process died before it could say so
    consistent: bool  # what is derived equals what was appended


def kill_writers(folder: Path, kills: int, *, url: str | None = None, seed: int = 1) -> Kills:
    store = Store(folder, url)
    store.add_pairs(synthetic_pairs(PAIRS_EACH * kills), by="benchmark")
    for name in WRITERS:
        store.add_reviewer(name, by="benchmark")
    store.close()
    rng = random.Random(seed)
    heard = [line for _ in range(kills) for line in _killed(folder, url, rng.uniform(0, LONGEST))]
    store = Store(folder, url)
    try:
        return compare(store, heard, kills)
    finally:
        store.close()


def _killed(folder: Path, url: str | None, seconds: float) -> list[Json]:
    """What a process said until it was killed, `seconds` after its first vote."""
    command = [sys.executable, "-m", "tests.nightly.review_kills", str(folder), *([url] if url else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.kill()  # SIGKILL: nothing of it runs any more
        said = first + process.stdout.read()
    lines = [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
    if not lines:
        raise RuntimeError("The process that votes ended before its first vote.")
    return lines


def compare(store: Store, heard: list[Json], kills: int) -> Kills:
    """`heard`: of acknowledged votes {key, vote, choice}, of those that were taken back {undone}."""
    stored = {vote.id: vote for vote in store.votes(undone=True)}
    with store._database.reading() as connection:
        keys = {row.id: row.key for row in connection.execute(select(schema.votes.c.id, schema.votes.c.key))}
    votes = [line for line in heard if "key" in line]
    undos = [line for line in heard if "undone" in line]
    there = [line for line in votes if keys.get(line["vote"]) == line["key"]]
    there = [line for line in there if stored[line["vote"]].choice == line["choice"]]
    gone = [line for line in undos if stored[line["undone"]].undone_at is not None]
    live = Counter(vote.showing_id for vote in stored.values() if vote.undone_at is None)
    before = _derived(store)
    store.rebuild()
    return Kills(
        kills=kills,
        votes=len(votes),
        undos=len(undos),
        lost=len(votes) - len(there) + len(undos) - len(gone),
        doubled=sum(count - 1 for count in live.values()),
        unheard=len(stored) - len(there),
        consistent=_derived(store) == before,
    )


def _derived(store: Store) -> list[object]:
    tallies, open_ = schema.tallies, schema.open_showings
    counted = [column for column in tallies.c if column.name not in ("priority", "weight")]  # as exact as arithmetic is
    with store._database.reading() as connection:
        return [
            connection.execute(select(*counted).order_by(tallies.c.pair_id)).all(),
            connection.execute(select(open_).order_by(open_.c.number)).all(),
        ]


# --- the process that is killed ---------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("url", nargs="?")
    options = parser.parse_args()
    store = Store(options.folder, options.url)
    for name in WRITERS:
        threading.Thread(target=_write, args=(store, name)).start()


def _write(store: Store, name: str) -> None:
    rng = random.Random()
    while (found := store.next(name)) is not None:
        key, choice = uuid4().hex, rng.choice(("a", "b", "tie", "both_bad"))
        vote = store.vote(found[0].id, choice, reviewer=name, key=key)  # type: ignore[arg-type]
        _say(key=key, vote=vote.id, choice=vote.choice)
        if rng.random() < UNDO_SHARE:
            store.undo(name, vote.id)
            _say(undone=vote.id)


def _say(**said: str) -> None:
    os.write(sys.stdout.fileno(), json.dumps(said).encode() + b"\n")  # at once, whole, past Python's buffer


if __name__ == "__main__":
    main()
