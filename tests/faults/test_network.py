"""Without a network: a model of the hub that is asked for by name; and nothing goes out by itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants

from dermiq.errors import ModelError
from dermiq.vlm import reach
from dermiq.vlm.load import load_vlm
from tests import alone
from tests.faults.table import ROOT


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes a connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def asks_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for a user: tests are offline otherwise."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(reach, "ANSWER_S", 0.3)


@pytest.mark.fault(
    "There is no network",
    where="a model of the hub, asked for by name",
    seen="“… could not be fetched: the model hub cannot be reached. Check the network, or name a folder.”, after five "
    "seconds at most",
    kept="the model that answered before goes on",
)
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_hub_that_is_not_there_is_said_in_seconds(
    how: str, silent: str, asks_the_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent if how == "silent" else "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(ModelError, match="the model hub cannot be reached"):
        load_vlm("nobody/nothing")
    assert time.monotonic() - began < 5
    assert constants.HF_HUB_OFFLINE is False, "the next model is asked for again"


@pytest.mark.fault(
    "Data leave the machine",
    where="ONNX Runtime, which multiplies the weights and by itself reports each process to its maker",
    seen="nothing",
    kept="everything: it is told before it is loaded",
)
def test_the_runtime_is_told_to_report_nothing_before_it_is_loaded() -> None:
    lines = (ROOT / "dermiq" / "vlm" / "compact.py").read_text(encoding="utf-8").splitlines()
    told = lines.index('os.environ["ORT_DISABLE_TELEMETRY"] = "1"')
    loading = [number for number, line in enumerate(lines) if "onnxruntime" in line and "import" in line]
    assert told < min(loading)
    files = [path for room in ("dermiq", "train") for path in (ROOT / room).rglob("*.py")]
    assert [path.name for path in files if "import onnxruntime" in path.read_text(encoding="utf-8")] == ["compact.py"]


def test_a_hub_that_answers_is_asked() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        assert reach.answers(f"http://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.fault(
    "Data leave the machine",
    where="every consultation, training and review in the tests",
    seen="nothing",
    kept="everything: no test of this project can reach another machine, and none fails for it",
)
@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80), ("example.org", 443)])
def test_no_test_reaches_another_machine(address: tuple[str, int]) -> None:
    with pytest.raises(AssertionError, match="left this machine"):
        socket.create_connection(address, timeout=1)
    with pytest.raises(AssertionError, match="left this machine"):
        httpx.get("http://192.0.2.1", timeout=1)
    assert alone.tried == [address[0], "192.0.2.1"]
    alone.tried.clear()
