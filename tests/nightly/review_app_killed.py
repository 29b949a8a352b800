"""Kills the app while reviewers vote, and looks whether every vote that was acknowledged is stored, once.

    python -m tests.nightly.review_app_killed --kills 50 [--db URL] --out tests/nightly/review_app_killed.txt

The app is `python app.py` with its model. Each reviewer is a thread that says what the page's script says, keeps what
was not acknowledged, and repeats it under the same key until an app answers again: the one started after the kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from dermiq.review.store.store import Store
from tests.nightly.review_kills import UNDO_SHARE, WRITERS, Kills, compare
from tests.page import ROOT, free_port
from tests.review.synthetic import synthetic_pairs

LONGEST = 2.0  # seconds between the first vote that an app acknowledges and its end
PAIRS_EACH = 300  # for every kill
PATIENCE_S = 120


class App:
    """`python app.py` over a store, always at the same address."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        own = {"TMPDIR": str(folder), "DERMIQ_RUNS": str(folder / "runs"), "DERMIQ_REVIEW": str(folder / "review")}
        self._environment = {**os.environ, **own, **({"DERMIQ_REVIEW_DB": url} if url else {})}
        self._log = folder / "app.log"

    def start(self) -> None:
        command = [sys.executable, "app.py", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"The app ended by itself: {self._log.read_text(errors='replace')[-2000:]}")
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Voter(threading.Thread):
    """A reviewer in a browser."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name=name, daemon=True)
        self._address, self._over = address, threading.Event()
        self._token, self._part = "", None
        self._client, self._rng = httpx.Client(timeout=10), random.Random(name)
        self.heard: list[dict[str, Any]] = []
        self.repeated = 0  # votes and undos that an app took without an answer, or never got, before they were answered

    def run(self) -> None:
        while not self._over.is_set():
            items = self._say("work")["work"]["items"]
            key, choice = uuid4().hex, self._rng.choice(("a", "b", "tie", "both_bad"))
            reply = self._say("vote", key=key, showing=items[0]["showing"], choice=choice, wanted=False)
            self.heard.append({"key": key, "vote": reply["saved"]["vote"], "choice": choice})
            if self._rng.random() < UNDO_SHARE:
                undone = reply["saved"]["vote"]
                self._say("undo", vote=undone)
                self.heard.append({"undone": undone})

    def end(self) -> None:
        self._over.set()
        self.join(PATIENCE_S)

    def _say(self, do: str, **message: Any) -> dict[str, Any]:
        """The app's reply, whichever app it is that gives one."""
        for attempt in count():
            reply = self._once({"do": do, "token": self._token, **message})
            if reply is not None and "sign_in" in reply:  # tokens end with the app
                signed = self._once({"do": "sign_in", "fields": {"name": self.name}})
                self._token = (signed or {}).get("token", "")
            elif reply is not None and "later" not in reply:
                if "error" in reply:
                    raise RuntimeError(reply["error"])
                return reply
            self.repeated += attempt == 0 and do != "work"
            time.sleep(0.1)
        raise AssertionError

    def _once(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """None where no whole answer came."""
        try:
            if self._part is None:  # a page that is opened
                components = self._client.get(f"{self._address}/config").json()["components"]
                self._part = next(one["id"] for one in components if one["props"].get("elem_id") == "dq-review")
            body = {"data": data, "component_id": self._part, "fn_name": "review", "session_hash": self.name}
            reply = self._client.post(f"{self._address}/gradio_api/component_server", json=body)
            reply.raise_for_status()
            found: dict[str, Any] = reply.json()
        except httpx.TransportError:
            self._part = None
            return None
        return found


def kill_apps(folder: Path, kills: int, *, url: str | None = None, seed: int = 1) -> tuple[Kills, int]:
    """What came of it, and how many messages were sent again."""
    store = Store(folder / "review", url)
    store.add_pairs(synthetic_pairs(PAIRS_EACH * kills), by="study")
    for name in WRITERS:
        store.add_reviewer(name, by="study")
    store.close()
    app, rng = App(folder, url), random.Random(seed)
    voters = [Voter(name, app.address) for name in WRITERS]
    for number in range(kills + 1):
        app.start()
        before = _heard(voters)
        if number == 0:
            for voter in voters:
                voter.start()
        until = time.monotonic() + PATIENCE_S
        while _heard(voters) == before:
            if time.monotonic() > until or not all(voter.is_alive() for voter in voters):
                raise RuntimeError("No vote was acknowledged any more.")
            time.sleep(0.01)
        if number < kills:
            time.sleep(rng.uniform(0, LONGEST))
            app.kill()
            print(f"kill {number + 1}: {_heard(voters)} acknowledged", file=sys.stderr, flush=True)
    for voter in voters:
        voter.end()
    app.kill()
    store = Store(folder / "review", url)
    try:
        heard = [_stored_as(store, line) for voter in voters for line in voter.heard]
        return compare(store, heard, kills), sum(voter.repeated for voter in voters)
    finally:
        store.close()


def _stored_as(store: Store, line: dict[str, Any]) -> dict[str, Any]:
    """The store knows answers as first and second, the page as A and B, in an order drawn for each reviewer."""
    vote = store.find_vote(line["vote"]) if line.get("choice") in ("a", "b") else None
    return {**line, "choice": store.showing(vote.showing_id).side(line["choice"])} if vote else line


def _heard(voters: list[Voter]) -> int:
    return sum(len(voter.heard) for voter in voters)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--db", help="an empty database, as an SQLAlchemy URL; default: SQLite in a new folder")
    parser.add_argument("--out", type=Path, help="where the report is added; default: printed alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made, repeated = kill_apps(Path(name), given.kills, url=given.db)
    report = (
        f"{'PostgreSQL' if given.db else 'SQLite'}: the app killed {made.kills} times while {len(WRITERS)} reviewers "
        f"voted: {made.votes} votes and {made.undos} undos acknowledged, {made.lost} lost, {made.doubled} doubled, "
        f"{made.unheard} stored that were never acknowledged; {repeated} of them had to be sent again; what is derived "
        f"{'equals' if made.consistent else 'DIFFERS FROM'} what was appended"
    )
    print(report)
    if given.out:
        with given.out.open("a", encoding="utf-8") as file:
            file.write(f"{report}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
