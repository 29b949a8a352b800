"""The page as it is served, met by visitors who mean it ill, over HTTP; and what is left when its process ends."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio.routes
import httpx
import pytest
from PIL import Image
from starlette.datastructures import Headers

from dermiq.errors import InputError
from dermiq.settings import Settings
from dermiq.ui.server.gate import UPLOAD, Refused, check
from dermiq.ui.server.hosts import Hosts, host_of, is_public
from dermiq.ui.server.inbox import Limits
from dermiq.ui.server.serving import SPACE_PROXIES, believed_proxies, headers
from dermiq.ui.training import exports
from tests.page import ROOT, served, started

NAME = "anna-example-1961.png"
MARK = b"bytes that must not be found"


@dataclass
class Page:
    """A served page, and what its process printed."""

    address: str
    log: Path

    @contextmanager
    def visitor(self, ip: str = "127.0.0.1") -> Iterator[Visitor]:
        transport = httpx.HTTPTransport(local_address=ip)
        with httpx.Client(base_url=self.address, transport=transport, timeout=30) as client:
            yield Visitor(client)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """On a loopback address, with the settings of a deployment behind a proxy and passwords."""
    folder = tmp_path_factory.mktemp("page")
    settings = {"HOSTS": "derm.example", "REVIEWERS": "ada:one", "ADMIN_PASSWORD": "sesame"}
    folders = {"REVIEW": str(folder / "review"), "RUNS": str(folder / "runs")}
    env = {f"DERMIQ_{name}": value for name, value in (settings | folders).items()}
    archive = folder / "runs" / exports.FOLDER / "model.zip"
    with served(folder, env=env, log=folder / "log.txt") as address:
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(b"an export")
        yield Page(address, folder / "log.txt")


@pytest.fixture
def client(page: Page) -> Iterator[httpx.Client]:
    with page.visitor() as visitor:
        yield visitor.client


class Visitor:
    """What the page's script sends, sent by hand."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.config: dict[str, Any] = client.get("/config").json()
        self.session = os.urandom(6).hex()

    def part(self, elem_id: str) -> int:
        return next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == elem_id)

    def body(self, elem_id: str, event: str, *, value: Any = None, said: Any = None) -> dict[str, Any]:
        target = self.part(elem_id)
        found = next(d for d in self.config["dependencies"] if [target, event] in [list(t) for t in d["targets"]])
        data = [value if number == target else None for number in found["inputs"]]
        return {
            "data": data,
            "event_data": said,
            "fn_index": found["id"],
            "session_hash": self.session,
            "trigger_id": target,
        }

    def run(self, elem_id: str, event: str, **what: Any) -> httpx.Response:
        return self.client.post("/gradio_api/run/predict", json=self.body(elem_id, event, **what))

    def queue(self, elem_id: str, event: str, **what: Any) -> str:
        """All that the queue tells of it."""
        assert self.client.post("/gradio_api/queue/join", json=self.body(elem_id, event, **what)).status_code == 200
        return self.client.get("/gradio_api/queue/data", params={"session_hash": self.session}).text

    def review(self, headers: dict[str, str] | None = None, /, **said: Any) -> dict[str, Any]:
        body = {"data": said, "component_id": self.part("dq-review"), "fn_name": "review", "session_hash": self.session}
        return self.client.post("/gradio_api/component_server", json=body, headers=headers).json()

    def upload(self, *contents: bytes, name: str = NAME) -> httpx.Response:
        return self.client.post("/gradio_api/upload", files=[("files", (name, content)) for content in contents])


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "orig_name": NAME, "url": f"http://x/{NAME}", "meta": {"_type": "gradio.FileData"}}


def png(shade: int) -> bytes:
    made = io.BytesIO()
    Image.effect_noise((400, 400), 40).point(lambda v: min(255, v + shade)).convert("RGB").save(made, "PNG")
    return made.getvalue()


# --- however it ends --------------------------------------------------------------------


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def folders_in(temp: Path) -> set[Path]:
    return set(temp.glob("dermiq-*"))


@contextmanager
def holding(temp: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that does of a start only what concerns its folder, and waits."""
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "[signal.signal(s, signal.SIG_DFL) for s in (signal.SIGHUP, signal.SIGTERM)]; "  # some shells ignore them
        "from dermiq.ui.server.serving import private_temp; print(private_temp(), flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(temp)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert Path(process.stdout.readline().strip()).is_dir()
        yield process
        process.kill()


def test_an_upload_that_nobody_read_does_not_outlive_its_process(tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    env = {"DERMIQ_REVIEW": str(tmp_path / "review"), "DERMIQ_RUNS": str(tmp_path / "runs")}

    def upload(address: str) -> None:
        answer = httpx.post(f"{address}/gradio_api/upload", files={"files": (NAME, MARK)})
        assert answer.status_code == 200
        assert not files_in(temp), "it is on the disk"

    with started(temp, env=env, log=tmp_path / "log.txt") as (address, process):
        upload(address)
        process.kill()
        process.wait(20)
    killed = folders_in(temp)
    with served(temp, env=env, log=tmp_path / "log.txt") as address:
        upload(address)
        (living,) = folders_in(temp)
        assert living not in killed
        with holding(temp):
            assert living.is_dir(), "another start took the folder of a living process"
    assert living not in folders_in(temp), "it was ended with a signal"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
def test_no_folder_is_left_however_a_process_ends(tmp_path: Path, how: str) -> None:
    left = tmp_path / "dermiq-a_folder" / "0123abcd"  # as a version looked that wrote uploads to the disk
    left.mkdir(parents=True)
    (left / NAME).write_bytes(MARK)
    others = [tmp_path / "dermiq-postgres-a_folder", tmp_path / "dermiq-link0000"]
    others[0].mkdir()
    others[1].symlink_to(others[0])
    with holding(tmp_path) as first:
        assert not left.exists()
        os.kill(first.pid, getattr(signal, how))
        first.wait(10)
    if how == "SIGKILL":
        assert len(folders_in(tmp_path)) == 3
        with holding(tmp_path) as second:
            assert len(folders_in(tmp_path)) == 3
            second.terminate()
            second.wait(10)
    assert folders_in(tmp_path) == set(others)


def test_a_request_that_breaks_off_leaves_nothing(page: Page) -> None:
    host, port = page.address.removeprefix("http://").split(":")
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=x"
    part = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{NAME}"\r\n\r\n'.encode() + MARK
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\nContent-Length: 1000000\r\n\r\n".encode() + part)
        time.sleep(0.3)
    assert not [path for path in page.log.parent.rglob("*") if path.is_file() and MARK in path.read_bytes()]


# --- names and senders ------------------------------------------------------------------

FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example:7860"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "10.0.0.7"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"origin": "http://derm.example.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
]


@pytest.mark.parametrize("told", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/config"),
        ("GET", "/gradio_api/heartbeat/abc"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
        ("OPTIONS", "/gradio_api/queue/join"),
    ],
)
def test_foreign_names_and_pages_are_refused(
    client: httpx.Client, told: dict[str, str], method: str, path: str
) -> None:
    preflight = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
    answer = client.request(method, path, headers=told | preflight)
    assert answer.status_code == 403
    assert "DERMIQ_HOSTS" in answer.text or "another site" in answer.text
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"host": "localhost:7860", "origin": "http://localhost:7860"},
        {"host": "[::1]:7860"},
        {"host": "derm.example"},
        {"origin": "https://derm.example"},  # a proxy that says nothing of the name that it was asked for
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
    ids=str,
)
def test_its_own_names_and_links_to_it_are_served(client: httpx.Client, told: dict[str, str]) -> None:
    assert client.get("/config", headers=told).status_code == 200


def test_a_foreign_page_signs_nobody_in(page: Page) -> None:
    with page.visitor() as visitor:
        said = {"do": "sign_in", "fields": {"name": "eve", "admin": True, "password": "sesame"}}
        body = {"data": said, "component_id": visitor.part("dq-review"), "fn_name": "review", "session_hash": "s"}
        for told in ({"content-type": "text/plain"}, {"origin": "http://evil.example"}, {"host": "evil.example"}):
            sent = {"content-type": "application/json"} | told
            answer = visitor.client.post("/gradio_api/component_server", content=json.dumps(body), headers=sent)
            assert answer.status_code in {403, 415}
        answer = visitor.client.post(
            "/gradio_api/component_server", files={"data": ("a", b"b")}, data={"fn_name": "review"}
        )
        assert answer.status_code == 415
        assert "token" in visitor.review(**said)


def test_a_foreign_forwarded_name_is_forgotten(client: httpx.Client) -> None:
    told = {"x-forwarded-host": "evil.example", "x-gradio-server": "http://evil.example/"}
    assert "evil" not in client.get("/config", headers=told).text
    assert "derm.example" in client.get("/config", headers={"x-forwarded-host": "derm.example"}).json()["root"]


def test_the_page_is_framed_by_a_spaces_page_alone(client: httpx.Client) -> None:
    given = client.get("/").headers
    assert "frame-ancestors 'none'" in given["content-security-policy"]
    assert given["x-frame-options"] == "DENY"
    assert "frame-ancestors" in client.get("/", headers={"host": "evil.example"}).headers["content-security-policy"]
    space = headers({"SPACE_ID": "a/b"})
    assert space["content-security-policy"].endswith("frame-ancestors https://huggingface.co")
    assert "x-frame-options" not in space


@pytest.mark.parametrize(
    ("settings", "environment", "served", "refused"),
    [
        ({}, {}, ["localhost", "127.0.0.1", "::1"], ["", "evil.example", "192.168.1.5", "0.0.0.0"]),
        ({"host": "0.0.0.0"}, {}, ["192.168.1.5", "fe80::1", "localhost"], ["evil.example"]),
        ({"host": "lab.example"}, {}, ["lab.example"], ["lab.example.evil.example"]),
        ({"hosts": "https://derm.example/, x.org:8443"}, {}, ["derm.example", "x.org"], ["a.x.org"]),
        ({"host": "0.0.0.0"}, {"SPACE_ID": "me/it"}, ["me-it.hf.space"], ["you-it.hf.space"]),
        ({"host": "0.0.0.0"}, {"SPACE_ID": "me/it", "SPACE_HOST": "a.hf.space"}, ["a.hf.space"], ["me-it.hf.space"]),
    ],
)
def test_names_follow_from_the_settings(
    settings: dict[str, Any], environment: dict[str, str], served: list[str], refused: list[str]
) -> None:
    hosts = Hosts.of(Settings(**settings), environment)
    assert [host for host in served if not hosts.admit(host)] == []
    assert [host for host in refused if hosts.admit(host)] == []


def test_names_are_read_strictly() -> None:
    assert host_of("Derm.Example.:443") == "derm.example"
    assert [host_of(text) for text in ("a@b", "a/b", "a b", "", "a:b", "a:1:2")] == [""] * 6
    with pytest.raises(InputError, match="DERMIQ_HOSTS: 'derm example'"):
        Hosts.of(Settings(hosts="derm example"))


def test_a_name_for_others_makes_a_loopback_address_public() -> None:
    assert not is_public(Settings())
    assert is_public(Settings(hosts="derm.example"))
    assert is_public(Settings(host="0.0.0.0"))


def test_a_proxy_is_believed_where_a_setting_says_so() -> None:
    assert believed_proxies(Settings(), {}) == ""
    assert believed_proxies(Settings(), {"SPACE_ID": "a/b"}) == SPACE_PROXIES
    assert believed_proxies(Settings(proxies="10.0.0.1"), {"SPACE_ID": "a/b"}) == "10.0.0.1"


# --- routes -----------------------------------------------------------------------------


def opened(method: str, path: str, served: Path) -> bool:
    sent = {"host": "localhost", "content-type": "multipart/form-data" if path == UPLOAD else "application/json"}
    try:
        check(method, path, Headers(sent), Hosts.of(Settings(), {}), served)
    except Refused:
        return False
    return True


def routes_of_gradio() -> set[tuple[str, str]]:
    """Method and path, with something in place of what is variable in it."""
    found = re.findall(r'@(app|router)\.(\w+)\(\s*"([^"]+)"', inspect.getsource(gradio.routes))
    api = {"app": "", "router": "/gradio_api"}
    return {(method.upper(), api[kind] + re.sub(r"\{\w+(:path)?\}", "x", path)) for kind, method, path in found}


def test_of_all_routes_of_gradio_only_these_are_open(tmp_path: Path) -> None:
    """A new release of gradio may bring new ones: look at each before it is added here."""
    routes = routes_of_gradio()
    assert len(routes) > 70
    assert {method for method, _ in routes} == {"GET", "HEAD", "POST"}
    open_ones = {(method, path.rstrip("/") or "/") for method, path in routes if opened(method, path, tmp_path)}
    changing = {path.removeprefix("/gradio_api") for method, path in open_ones if method == "POST"}
    assert changing == {"/queue/join", "/run/x", "/cancel", "/reset", "/component_server", "/upload"}
    reading = {path.removeprefix("/gradio_api") for method, path in open_ones if method != "POST"}
    assert reading == {
        "/", "/app_id", "/assets/x", "/config", "/favicon.ico", "/heartbeat/x", "/info", "/login_check",
        "/manifest.json", "/queue/data", "/queue/status", "/robots.txt", "/startup-events", "/static/x", "/svelte/x",
        "/theme.css", "/upload_progress",
    }  # fmt: skip


@pytest.mark.parametrize(
    "asked",
    [
        "file=http://example.org/a.png",
        "file=https://example.org/a.png",
        "file=HTTP://example.org/a.png",
        "file=//example.org/a.png",
        "file=/etc/passwd",
        "file=etc/passwd",
        f"file={ROOT / 'README.md'}",
        f"file={ROOT / 'dermiq' / 'ui' / '..' / 'settings.py'}",
        "file=README.md",
        "file/README.md",
        "file/http://example.org/a.png",
        "proxy=https://a.hf.space/x",
        "stream/a/b/1/playlist.m3u8",
        "custom_component/a/client/component/index.js",
        "call/predict/x",
        "runs",
        "vibe-code",
    ],
)
def test_nothing_is_fetched_or_read_for_strangers(client: httpx.Client, asked: str) -> None:
    for text in (asked, asked.replace("/", "%2F").replace(":", "%3A")):
        assert client.get(f"/gradio_api/{text}").status_code == 404
        assert client.head(f"/gradio_api/{text}").status_code == 404


def test_exports_are_served_and_no_way_leads_out_of_them(page: Page, client: httpx.Client) -> None:
    folder = page.log.parent / "runs" / exports.FOLDER
    assert client.get(f"/gradio_api/file={folder / 'model.zip'}").content == b"an export"
    (page.log.parent / "runs" / "secret").write_text("a run")
    (folder / "link").symlink_to("/etc/passwd")
    for name in ("../secret", "..%2fsecret", "link", ""):
        assert client.get(f"/gradio_api/file={folder}/{name}").status_code == 404


@pytest.mark.parametrize("path", ["http://example.org/a.png", "/etc/passwd", "README.md", "../x", ""])
@pytest.mark.parametrize("part", ["dq-upload", "dq-question"])
def test_a_payload_names_no_foreign_file(page: Page, path: str, part: str) -> None:
    with page.visitor() as visitor:
        event = "upload" if part == "dq-upload" else "submit"
        body = visitor.body(part, event, value=file_data(path))
        for route in ("queue/join", "run/predict"):
            answer = visitor.client.post(f"/gradio_api/{route}", json=body)
            assert answer.status_code == 400
            assert "only files that were uploaded" in answer.text
            hidden = json.dumps(body).replace("gradio.FileData", "gradio.\\u0046ileData").encode()
            sent = {"content-type": "application/json"}
            assert visitor.client.post(f"/gradio_api/{route}", content=hidden, headers=sent).status_code == 400


# --- uploads ----------------------------------------------------------------------------


def test_two_visitors_with_the_same_file_both_get_their_answer_and_no_name_is_logged(page: Page) -> None:
    image = png(0)
    with page.visitor() as first, page.visitor() as second:
        paths = [visitor.upload(image).json()[0] for visitor in (first, second)]
        assert paths[0] != paths[1]
        assert not any(NAME in path for path in paths)
        for visitor, path in zip((first, second), paths, strict=True):
            told = visitor.queue("dq-upload", "upload", value=[file_data(path)])
            assert "data:image" in told
            assert '"success":false' not in told
        told = second.queue("dq-upload", "upload", value=[file_data(paths[0])])  # another's, and read already
        assert "no longer here" in told
        first.queue("dq-upload", "upload", value=[file_data(paths[0]) | {"meta": NAME}])
        first.queue("dq-upload", "upload", value={"orig_name": NAME, "is": [1]})
    log = page.log.read_text(encoding="utf-8")
    assert NAME not in log
    assert not any(path in log for path in paths)


def test_a_refused_request_says_why_and_leaves_nothing(page: Page) -> None:
    limits = Limits()
    with page.visitor("127.0.0.3") as visitor:
        for _ in range(limits.visitor_files // limits.request_files + 1):
            answer = visitor.upload(*[MARK] * (limits.request_files + 1))
            assert answer.status_code == 413
            assert answer.text == "At most 12 files can be uploaded at once. Choose fewer."
        assert visitor.upload(MARK).status_code == 200, "what was refused still counts"


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(page: Page) -> None:
    host, port = page.address.removeprefix("http://").split(":")
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=x"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"{head}\r\nContent-Length: 26214400000\r\n\r\n--x".encode())
        answer = b""
        while b"together" not in answer and (more := connection.recv(4096)):
            answer += more
    assert b" 413 " in answer.splitlines()[0]
    assert b"larger than 150 MB together" in answer


def test_a_request_whose_size_is_not_said_is_refused_while_it_arrives(page: Page) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for number in range(40):
            yield f'--x\r\nContent-Disposition: form-data; name="files"; filename="{number}.png"\r\n\r\n'.encode()
            for _ in range(20):
                sent += 1024 * 1024
                yield b"0" * 1024 * 1024
            yield b"\r\n"

    with page.visitor("127.0.0.4") as visitor:
        told = {"content-type": "multipart/form-data; boundary=x"}
        try:
            answer = visitor.client.post("/gradio_api/upload", content=endless(), headers=told)
            assert (answer.status_code, "together" in answer.text) == (413, True)
        except httpx.WriteError:  # it was cut off
            assert sent < 600 * 1024 * 1024
        assert visitor.upload(b"0" * 1024).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"no parts", 400), (b"--x\r\nbroken", 400), (b"--x--\r\n", 200)],
)
def test_damaged_requests_end_in_a_sentence(client: httpx.Client, body: bytes, status: int) -> None:
    answer = client.post(
        "/gradio_api/upload", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == status
    assert "traceback" not in answer.text.lower()


# --- passwords --------------------------------------------------------------------------


def test_guesses_are_few_and_the_owner_is_let_in(page: Page) -> None:
    """Whatever name and whatever forwarded address the guesser gives."""

    with page.visitor("127.0.0.5") as thief, ThreadPoolExecutor(8) as pool:

        def guess(number: int) -> bool:
            told = {"x-forwarded-for": f"203.0.113.{number % 250}"}
            fields = {"name": f"eve {number}", "admin": True, "password": str(number)}
            return "do not belong together" in thief.review(told, do="sign_in", fields=fields)["sign_in"]

        begun = time.monotonic()
        heard = sum(pool.map(guess, range(200)))
        assert heard <= 10 + (time.monotonic() - begun) / 5 + 1
    with page.visitor("127.0.0.6") as owner:
        begun = time.monotonic()
        assert "token" in owner.review(do="sign_in", fields={"name": "lead", "admin": True, "password": "sesame"})
        assert time.monotonic() - begun < 2


def test_eight_wrong_training_passwords_do_not_lock_the_right_one_out(page: Page) -> None:
    def admit(visitor: Visitor, password: str) -> str:
        return visitor.run("dq-gate", "admit", said={"fields": {"password": password}}).text

    with page.visitor("127.0.0.7") as visitor:
        assert (
            sum("not the password" in admit(visitor, str(number)) for number in range(8)) == 1
        )  # it is not said again
        begun = time.monotonic()
        assert "dq-rows" in admit(visitor, "sesame"), "the runs are shown"
        assert time.monotonic() - begun < 3
    with page.visitor("127.0.0.8") as thief:
        assert any("Try again in" in admit(thief, str(number)) for number in range(12))
