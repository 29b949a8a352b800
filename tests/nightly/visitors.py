"""Many visitors of one page at once, each with an image and a question that can be told from all others'.

    python -m tests.nightly.visitors --visitors 25 --minutes 5            # starts `python app.py` and ends it again
    python -m tests.nightly.visitors --address http://127.0.0.1:7860 ...  # a page that runs already

A visitor is what a browser is to the server: it opens the page, holds the connection that tells when a tab closes,
uploads, asks through gradio's queue and reads the frames as they come. It fails at an error, at an answer that carries
another one's question or picture, and at a question that is never answered.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import psutil
from gradio_client.utils import apply_diff
from PIL import Image

from dermiq.lesion.drawn import drawn_examples
from tests.page import ROOT, free_port

API = "/gradio_api"
Sample = tuple[float, float]  # when, in seconds; the memory in MiB
START_SECONDS = 300
ANSWER_SECONDS = 1800
PLACE = re.compile(r"(One question is|\d+ questions are) answered before yours")
QUESTIONS = ("What is this lesion, and why?", "What speaks against a nevus?", "What would settle it?", "Is it urgent?")


@dataclass
class Asked:
    """One question, and when what came of it."""

    question: str
    seconds: float = 0.0  # until the answer was whole
    first_text: float = 0.0  # until its first word
    places: list[int] = field(default_factory=list)  # that were shown, in order


class WrongAnswer(AssertionError):
    """What came back was not this visitor's, or no answer."""


class Visitor:
    """`number` is painted into its image and written into its questions."""

    def __init__(self, address: str, number: int) -> None:
        self.number = number
        self.name = f"visitor {number:03d} of this test"
        self.session = uuid4().hex[:12]
        self.client = httpx.AsyncClient(base_url=address, timeout=httpx.Timeout(ANSWER_SECONDS))
        self.asked: list[Asked] = []
        self._shown: dict[int, Any] = {}  # output component -> what it shows

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visitor]:
        """The page is open until the block ends; then the tab closes."""
        async with self.client:
            (await self.client.get("/")).raise_for_status()
            self._config = (await self.client.get("/config")).json()
            self._ids = {c["props"].get("elem_id"): c["id"] for c in self._config["components"]}
            alive = asyncio.create_task(self._stay())
            try:
                await self._loaded()
                yield self
            finally:
                alive.cancel()
                with suppress(asyncio.CancelledError):
                    await alive

    async def _stay(self) -> None:
        async with self.client.stream("GET", f"{API}/heartbeat/{self.session}") as answer:
            async for _ in answer.aiter_lines():
                pass

    async def _loaded(self) -> None:
        for dependency in self._config["dependencies"]:
            if any(event == "load" for _, event in dependency["targets"]) and not dependency["queue"]:
                await self._run(dependency, [None] * len(dependency["inputs"]))

    def _dependency(self, elem_id: str, event: str) -> dict[str, Any]:
        wanted = [self._ids[elem_id], event]
        return next(d for d in self._config["dependencies"] if wanted in [list(t) for t in d["targets"]])

    def _body(self, dependency: dict[str, Any], data: list[Any], event_data: Any = None) -> dict[str, Any]:
        return {
            "data": data,
            "event_data": event_data,
            "fn_index": dependency["id"],
            "trigger_id": (dependency["targets"] or [[None]])[0][0],
            "session_hash": self.session,
        }

    async def _run(self, dependency: dict[str, Any], data: list[Any]) -> list[Any]:
        """An event without queue."""
        answer = await self.client.post(f"{API}/run/predict", json=self._body(dependency, data))
        answer.raise_for_status()
        return answer.json()["data"]

    async def _queued(
        self, dependency: dict[str, Any], data: list[Any], event_data: Any = None
    ) -> AsyncIterator[list[Any]]:
        """The frames of an event that goes through the queue. Raises WrongAnswer at an error."""
        joined = await self.client.post(f"{API}/queue/join", json=self._body(dependency, data, event_data))
        joined.raise_for_status()
        frame: list[Any] = []
        async with self.client.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                kind, output = message["msg"], message.get("output") or {}
                if kind in {"process_generating", "process_completed"} and not message.get("success", True):
                    raise WrongAnswer(f"{self.name}: {output.get('error')}")
                if kind == "process_generating":
                    given = output["data"]
                    frame = [apply_diff(f, g) for f, g in zip(frame, given, strict=True)] if frame else given
                    yield frame
                if kind == "process_completed":
                    return

    def _take(self, dependency: dict[str, Any], frame: list[Any]) -> None:
        for component, value in zip(dependency["outputs"], frame, strict=True):
            if not isinstance(value, dict):
                self._shown[component] = value
            elif "value" in value:
                self._shown[component] = value["value"]

    def shown(self, elem_id: str) -> str:
        return str(self._shown.get(self._ids[elem_id], ""))

    async def upload(self) -> None:
        """The image of this visitor, under the same file name as everybody's."""
        files = {"files": ("lesion.png", marked(self.number), "image/png")}
        answer = await self.client.post(f"{API}/upload", files=files)
        answer.raise_for_status()
        file = {"path": answer.json()[0], "orig_name": "lesion.png", "meta": {"_type": "gradio.FileData"}}
        dependency = self._dependency("dq-upload", "upload")
        async for frame in self._queued(dependency, [None, [file]]):
            self._take(dependency, frame)
        self._check_picture()

    async def ask(self, text: str) -> Asked:
        """One question, until its answer is whole."""
        asked = Asked(f"{text} ({self.name}, question {len(self.asked) + 1})")
        started = time.monotonic()
        fields = ["", "not stated", "not stated", "not stated", []]
        dependency = self._dependency("dq-send", "click")
        async for frame in self._queued(dependency, [None, asked.question, *fields]):
            self._read(dependency, frame, asked, started)
        if 'data-event="insist"' in self.shown("dq-chat"):
            dependency = self._dependency("dq-chat", "insist")
            async for frame in self._queued(dependency, [None], {}):
                self._read(dependency, frame, asked, started)
        asked.seconds = time.monotonic() - started
        self.asked.append(asked)
        self._check_answer(asked)
        return asked

    def _read(self, dependency: dict[str, Any], frame: list[Any], asked: Asked, started: float) -> None:
        self._take(dependency, frame)
        chat = self.shown("dq-chat")
        place = PLACE.search(chat)
        if place:
            number = 1 if place.group(1).startswith("One") else int(place.group(1).split()[0])
            if asked.places[-1:] != [number]:
                asked.places.append(number)
        last = chat.rpartition('class="dq-turn dq-answer"')[2]
        if not asked.first_text and "dq-progress" in last and ("Reasoning." in last or "Writing." in last):
            asked.first_text = time.monotonic() - started

    def _check_answer(self, asked: Asked) -> None:
        chat = self.shown("dq-chat")
        others = {int(n) for n in re.findall(r"visitor (\d{3}) of this test", chat)} - {self.number}
        if others:
            raise WrongAnswer(f"{self.name} was shown what {sorted(others)} asked")
        last = chat.rpartition('class="dq-turn dq-user"')[2]
        if asked.question.replace("'", "&#39;") not in last or 'data-event="retry"' not in last:
            raise WrongAnswer(f"{self.name} got no whole answer: {re.sub('<[^>]+>', ' ', last)[-300:]}")
        if asked.places != sorted(asked.places, reverse=True):
            raise WrongAnswer(f"{self.name} went back in the line: {asked.places}")

    def _check_picture(self) -> None:
        found = re.search(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", self.shown("dq-viewer"))
        if not found or number_of(base64.b64decode(found.group(1))) != self.number:
            raise WrongAnswer(f"{self.name} was shown another image than its own")


# --- images that can be told apart ------------------------------------------------------

BITS, EDGE = 8, 12  # a visitor's number as dark and light fields of EDGE px along the upper border


def marked(number: int) -> bytes:
    """A drawn lesion with the number in its border, as PNG."""
    pixels = drawn_examples()[number % 3][1].copy()
    for bit in range(BITS):
        pixels[:EDGE, bit * EDGE : (bit + 1) * EDGE] = 0 if number >> bit & 1 else 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def number_of(data: bytes) -> int:
    """What `marked` wrote, read from the page's own copy, which may be smaller."""
    shown = Image.open(io.BytesIO(data)).convert("L")
    edge = EDGE * shown.width / drawn_examples()[0][1].shape[1]
    grey = np.asarray(shown)
    return sum(int(grey[int(edge / 2), int((bit + 0.5) * edge)] < 128) << bit for bit in range(BITS))


# --- the study --------------------------------------------------------------------------


async def come_and_ask(visitor: Visitor, until: float) -> None:
    """A case of up to four questions; then it goes on with the last one's follow-ups until the time is over."""
    async with visitor.visit():
        await visitor.upload()
        while time.monotonic() < until or not visitor.asked:
            await visitor.ask(QUESTIONS[min(len(visitor.asked), len(QUESTIONS) - 1)])


async def study(
    address: str, count: int, minutes: float, memory: psutil.Process | None
) -> tuple[list[Visitor], list[Sample]]:
    visitors = [Visitor(address, number) for number in range(1, count + 1)]
    until = time.monotonic() + 60 * minutes
    samples: list[Sample] = []

    async def watch() -> None:
        while memory is not None:
            samples.append((time.monotonic(), memory.memory_info().rss / 2**20))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(come_and_ask(visitor, until) for visitor in visitors))
    finally:
        watching.cancel()
    return visitors, samples


def report(visitors: list[Visitor], samples: list[Sample], minutes: float) -> str:
    asked = [one for visitor in visitors for one in visitor.asked]
    counts = [len(visitor.asked) for visitor in visitors]
    lines = [
        f"{len(visitors)} visitors asked for {minutes:g} minutes on {os.cpu_count()} cores: {len(asked)} questions, "
        "all answered, none with another one's question or image.",
        f"Answers a visitor: {min(counts)} to {max(counts)}. A waiting place was shown for "
        f"{sum(bool(a.places) for a in asked)} questions, with at most "
        f"{max([0, *(p for a in asked for p in a.places)])} ahead.",
    ]
    for title, values in (
        ("Until the first word", [a.first_text for a in asked if a.first_text]),
        ("Until the whole answer", [a.seconds for a in asked]),
    ):
        if values:
            p50, p95 = np.percentile(values, [50, 95])
            lines.append(f"{title}: p50 {p50:.1f} s, p95 {p95:.1f} s.")
    if samples:
        begun = samples[0][0]
        rss = np.array([m for _, m in samples])
        at = np.array([t - begun for t, _ in samples])
        settled, last = rss[(at > 60) & (at <= 120)], rss[-60:]
        if len(settled):
            lines.append(
                f"Resident memory: {settled.mean():.0f} MB in the second minute, {last.mean():.0f} MB in the last "
                f"({last.mean() / settled.mean() - 1:+.1%}), at most {rss.max():.0f} MB."
            )
    return "\n".join(lines)


@asynccontextmanager
async def page(address: str) -> AsyncIterator[tuple[str, psutil.Process | None]]:
    """A page's address and process: the given one's, or that of an `app.py` of its own, whose models still load."""
    if address:
        yield address, None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        places = {"DERMIQ_RUNS": f"{folder}/runs", "DERMIQ_REVIEW": f"{folder}/review"}
        command = [sys.executable, "app.py", "--port", str(port)]
        with Path(folder, "log.txt").open("w") as log:
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **places}, stderr=log)
            try:
                await _up(f"http://127.0.0.1:{port}")
                yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
            finally:
                process.terminate()
                process.wait(30)
        said = [line for line in Path(folder, "log.txt").read_text().splitlines() if " ERROR " in line]
        if said:
            raise WrongAnswer(f"the page's log has {len(said)} error(s): {said[0]}")


async def _up(address: str) -> None:
    until = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                await client.get("/config")
                return
            await asyncio.sleep(1)
    raise AssertionError("the page did not answer in time")


async def at_once(address: str, process: psutil.Process, count: int = 20) -> str:
    """So many requests for the page at the same time: the slowest, and what they leave in memory."""
    before = process.memory_info().rss
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:

        async def one() -> float:
            began = time.monotonic()
            (await client.get("/")).raise_for_status()
            return time.monotonic() - began

        took = await asyncio.gather(*(one() for _ in range(count)))
    more = (process.memory_info().rss - before) / 1e6
    return f"{count} requests for the page at once: the slowest {max(took):.2f} s, {more:+.0f} MB."


async def at_rest(process: psutil.Process, title: str, seconds: float = 20) -> str:
    before = process.cpu_times()
    await asyncio.sleep(seconds)
    after = process.cpu_times()
    share = (after.user + after.system - before.user - before.system) / seconds
    return f"At rest {title}: {process.memory_info().rss / 1e9:.2f} GB, {share:.1%} of a core."


async def _main(options: argparse.Namespace) -> str:
    said = []
    async with page(options.address) as (address, process):
        if process is not None:
            await come_and_ask(Visitor(address, 0), 0)  # waits for the models; what is computed once is there then
            said += [await at_once(address, process)]
        visitors, samples = await study(address, options.visitors, options.minutes, process)
        if process is not None:
            said += [await at_rest(process, "afterwards")]
    return "\n".join([report(visitors, samples, options.minutes), *said])


def main() -> None:
    parser = argparse.ArgumentParser(description="Many visitors of one page at once.")
    parser.add_argument("--visitors", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--address", default="", help="of a page that runs already; default: one of its own")
    print(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
