"""The app with its models, ended in the middle of an answer: what it wrote, and whom it turned to."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from dermiq.lesion.drawn import drawn_examples
from dermiq.vlm.base import ensure_base
from tests.nightly.visitors import API, Visitor, WrongAnswer
from tests.nightly.watched import Watched
from tests.page import free_port
from tests.review.votes import write_rows
from tests.tiny import save_tiny
from tests.train.stage_runs import make_table

pytestmark = [pytest.mark.embedded, pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")]
NAME = "Jane-Roe-left-arm-7731.png"
WORD = "zebrafinch"
QUESTION = f"What is this lesion, and why? My {WORD} bit me there."
START_S = 300


def photograph() -> tuple[bytes, np.ndarray]:
    """A drawn lesion that no other file holds a part of."""
    pixels = drawn_examples()[0][1].astype(int) + np.random.default_rng(7731).integers(-3, 4, (1, 1, 1))
    noise = np.random.default_rng(7731).integers(-6, 7, pixels.shape)
    found = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(found).save(buffer, "PNG")
    return buffer.getvalue(), found


def marks() -> list[bytes]:
    """By which a file would give the visitor away: parts of the upload, rows of its pixels, its name, the question."""
    data, pixels = photograph()
    parts = [data[start : start + 48] for start in range(1000, len(data) - 48, 8192)]
    rows = [pixels[row, 20:40].tobytes() for row in range(10, len(pixels), 25)]
    return [*parts, *rows, NAME.encode(), NAME.removesuffix(".png").encode(), WORD.encode()]


def given_away(files: set[Path]) -> list[Path]:
    wanted = marks()
    return sorted(path for path in files if any(mark in path.read_bytes() for mark in wanted))


def everything(watched: Watched, folder: Path) -> set[Path]:
    found = {path for path in folder.rglob("*") if path.is_file() and path.name != "strace"}
    return found | watched.written()


class Clinician(Visitor):
    async def upload(self) -> None:
        answer = await self.client.post(f"{API}/upload", files={"files": (NAME, photograph()[0], "image/png")})
        answer.raise_for_status()
        file = {"path": answer.json()[0], "orig_name": NAME, "meta": {"_type": "gradio.FileData"}}
        dependency = self._dependency("dq-upload", "upload")
        async for frame in self._queued(dependency, [None, [file]]):
            self._take(dependency, frame)

    async def ask_until_text(self) -> None:
        """Returns in the middle of the answer."""
        fields = ["", "not stated", "not stated", "not stated", []]
        asked, insisted = self._dependency("dq-send", "click"), self._dependency("dq-chat", "insist")
        sent: list[tuple[dict[str, Any], list[Any], Any]] = [
            (asked, [None, QUESTION, *fields], None),
            (insisted, [None], {}),
        ]
        for dependency, data, event in sent:
            async for frame in self._queued(dependency, data, event):
                self._take(dependency, frame)
                last = self.shown("dq-chat").rpartition('class="dq-turn dq-answer"')[2]
                if "dq-progress" in last and ("Reasoning." in last or "Writing." in last):
                    return
        raise WrongAnswer("no text was ever written")


async def in_mid_answer(address: str, watched: Watched, number: int | None) -> None:
    """`number`: the signal that then ends the app; None: the answer is awaited."""
    visitor = Clinician(address, 1)
    with suppress(httpx.HTTPError):
        async with visitor.visit():
            await visitor.upload()
            if number is None:
                await visitor.ask(QUESTION)
                return
            await visitor.ask_until_text()
            await asyncio.to_thread(watched.end, number)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERMIQ_CACHE", str(ensure_base().parent))
    return tmp_path


def app(folder: Path, port: int) -> Watched:
    return Watched([sys.executable, "app.py", "--port", str(port)], folder, {})


def until_ready(watched: Watched, address: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and not watched.has_ended:
        with suppress(httpx.HTTPError):
            httpx.get(address, timeout=2)
            return
        time.sleep(0.5)
    raise AssertionError("the app did not answer")


@pytest.mark.fault(
    "A process is killed",
    where="the app, by SIGTERM or SIGKILL, in the middle of an answer, and at its next start",
    seen="the page says that the connection is gone",
    kept="nothing of the visitor: no byte of the image, its pixels, its name or the question in any file that the app "
    "could have written",
)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_nothing_of_a_visitor_is_left_on_the_disk(how: str, folder: Path) -> None:
    port = free_port()
    with app(folder, port) as watched:
        until_ready(watched, f"http://127.0.0.1:{port}")
        asyncio.run(in_mid_answer(f"http://127.0.0.1:{port}", watched, getattr(signal, how)))
        assert watched.has_ended, "the answer was whole before the app was ended"
        files = everything(watched, folder)
        assert files, "nothing was looked at"
        assert given_away(files) == []
    with app(folder, port) as again:
        until_ready(again, f"http://127.0.0.1:{port}")
        assert given_away(everything(again, folder)) == []


def test_a_file_that_gives_a_visitor_away_is_found(tmp_path: Path) -> None:
    """The search can fail."""
    data, pixels = photograph()
    for number, content in enumerate((data, data[5000:30000], pixels.tobytes(), f"asked: {QUESTION}".encode())):
        (tmp_path / str(number)).write_bytes(content)
    (tmp_path / "log").write_text(f"upload {NAME}")
    (tmp_path / "innocent").write_text("What is this lesion, and why?")
    found = given_away(set(tmp_path.iterdir()))
    assert [path.name for path in found] == ["0", "1", "2", "3", "log"]


@pytest.mark.fault(
    "Data leave the machine",
    where="a consultation on the page, from the start to the answer",
    seen="nothing",
    kept="everything: no connection to another machine, no question to a name server",
)
def test_a_consultation_turns_to_nobody(folder: Path) -> None:
    port = free_port()
    with app(folder, port) as watched:
        until_ready(watched, f"http://127.0.0.1:{port}")
        asyncio.run(in_mid_answer(f"http://127.0.0.1:{port}", watched, None))
        watched.end(signal.SIGTERM)
        assert watched.strangers() == []


@pytest.mark.fault(
    "Data leave the machine",
    where="a training run, and the review from import to export",
    seen="nothing",
    kept="everything: no connection to another machine, no question to a name server",
)
def test_training_and_review_turn_to_nobody(folder: Path) -> None:
    model, table = save_tiny("llava", folder / "model"), make_table(folder / "data", rows=4)
    options = ["--device", "cpu", "--steps", "2", "--threads", "1", "--lora-rank", "4"]
    review = [sys.executable, "-m", "dermiq", "review"]
    pairs = write_rows(folder / "pairs", 2)
    commands = [
        [sys.executable, "-m", "train.sft", "--model", str(model), "--data", str(table), *options],
        [*review, "import", str(pairs), "--no-outline"],
        [*review, "freeze", "mine", "--proxy-only"],
        [*review, "status"],
    ]
    for command in commands:
        with Watched(command, folder, {}) as watched:
            watched.wait(600)
            assert watched.strangers() == []
            assert watched.written(), command
    assert list((folder / "dermiq_runs").glob("*/final/manifest.json"))


def test_a_stranger_is_found(folder: Path) -> None:
    """The watch can fail."""
    script = "import socket; s = socket.socket(); s.settimeout(0.2); s.connect_ex(('192.0.2.1', 9)); open('x', 'w')"
    with Watched([sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {script}"], folder, {}) as watched:
        watched.wait(60)
        assert watched.strangers() == ["192.0.2.1:9"]
