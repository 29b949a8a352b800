"""The page under many at once: what a request costs, and that nobody gets what is another's."""

from __future__ import annotations

import asyncio
import gc
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import httpx
import psutil
import pytest

from dermiq.knowledge import Graph, check_claims, forget, link
from dermiq.knowledge.graph import CLASS_NODES
from dermiq.settings import Settings
from dermiq.ui.app import create_app
from tests import fakes
from tests.nightly import visitors
from tests.nightly.held import holders
from tests.page import served

PLAIN = (str, int, float, bool, type(None))
CODE = (type, types.FunctionType, types.BuiltinFunctionType)  # copying one copies nothing
BALLAST = 150  # MB


def reachable(value: Any, path: str = "config") -> Iterator[str]:
    """Where something lies, in what gradio copies for every page, that is neither plain data nor code."""
    if isinstance(value, (*PLAIN, *CODE)):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from reachable(inner, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple, set)):
        for number, inner in enumerate(value):
            yield from reachable(inner, f"{path}[{number}]")
    else:
        yield f"{path} is a {type(value).__name__}"


def test_no_page_carries_a_model_a_lock_or_a_store() -> None:
    async def made() -> gr.Blocks:  # outside of a loop, gradio makes some and leaves them open
        return create_app(fakes.FakeConsultant(), Settings(), examples=fakes.examples())

    assert not list(reachable(asyncio.run(made()).config))


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page whose consultant is as heavy as a model."""
    with served(tmp_path_factory.mktemp("uploads"), ballast=BALLAST, pace=0.002) as address:
        yield address


def process_at(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port)
    return psutil.Process(next(c.pid for c in listening if c.pid is not None))


def test_twenty_pages_at_once_cost_no_memory(heavy: str) -> None:
    process = process_at(heavy)
    with httpx.Client(base_url=heavy, timeout=60) as client, ThreadPoolExecutor(20) as pool:
        client.get("/")  # what is made once is made
        before = process.memory_info().rss
        for path in ("/", "/config"):
            answers = list(pool.map(client.get, [path] * 20))
            assert {answer.status_code for answer in answers} == {200}
        assert process.memory_info().rss - before < 100e6, "less than one copy of what the consultant holds"


def test_many_ask_at_once_and_each_gets_their_own_answer_in_turn(heavy: str) -> None:
    came, _ = asyncio.run(visitors.study(heavy, count=8, minutes=0.05, memory=None))
    asked = [one for visitor in came for one in visitor.asked]
    assert len(asked) >= 8
    assert any(one.places for one in asked), "who waits is told how many are before"


def test_nobody_there_costs_next_to_nothing(heavy: str) -> None:
    """Processor time, not the clock: gradio's own queue takes 6 % of a core."""
    process = process_at(heavy)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(5)
    after = process.cpu_times()
    assert (after.user - before.user + after.system - before.system) / (time.monotonic() - began) < 0.03


def test_the_graph_forgets_the_words_of_a_closed_case() -> None:
    graph, word = Graph.load(), "quokka" + "finch"

    def answered() -> None:
        sentence = f"The {word}ing speaks for melanoma, and the {word}ed border does not."
        link(graph, sentence)
        check_claims(graph, sentence, findings=(), diagnosis=CLASS_NODES["mel"])

    answered()
    gc.unfreeze()  # what was imported before the tests is looked at, too
    remembered = len(list(holders(word)))
    forget()
    left = len(list(holders(word)))
    assert (remembered > 0, left) == (True, 0), "it was remembered while the case was open, and is not now"
