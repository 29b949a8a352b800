"""A program asks the shipped models as soon as the page answers: `python app.py`, a real image, HTTP and MCP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dermiq.ui.programs.description import GIVES
from dermiq.vlm.base import ensure_base
from tests.page import started
from tests.ui.test_programs import RUN, said, used

pytestmark = [pytest.mark.embedded]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    ensure_base()
    env = {"DERMIQ_MCP": "1", "DERMIQ_REVIEW": str(tmp_path / "review"), "DERMIQ_RUNS": str(tmp_path / "runs")}
    with started(tmp_path, real=True, env=env, log=tmp_path / "log.txt") as (address, _):
        yield address


def test_a_program_is_answered_by_the_models_of_the_page(app: str, melanoma: Path, tmp_path: Path) -> None:
    image = melanoma.read_bytes()
    asked = {"images": [base64.b64encode(image).decode()], "question": "Is it urgent?", "age": 60, "site": "back"}
    answer = httpx.post(f"{app}{RUN}/assess", json=asked, timeout=300)  # it waits for the models, too
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"][0]
    assert set(told) == set(GIVES["assess"])
    assert set(told["differentials"]) == {"specialist", "vlm"}
    assert told["text"]
    again = json.loads(said(asyncio.run(used(app, "assess", **asked))))
    assert again["differentials"] == told["differentials"]
    assert again["text"] == told["text"], "an answer hangs on what was asked before"
    mark = base64.b64encode(image)[80:140]
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in kept if mark in path.read_bytes() or image[60:120] in path.read_bytes()] == []
