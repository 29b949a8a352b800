"""Programs at the page: over HTTP, by gradio's client and as tools; as strangers who mean it ill; what they leave."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import httpx
import jsonschema
import pytest
from gradio.routes import App
from gradio_client import Client
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from dermiq.__main__ import main
from dermiq.assess_cli import SYMPTOMS, answer_json
from dermiq.errors import ImageError, InputError
from dermiq.knowledge import Graph
from dermiq.settings import Settings
from dermiq.types import Case
from dermiq.ui.app import create_app, launch_options
from dermiq.ui.consult.controller import MAX_IMAGES
from dermiq.ui.programs import offer
from dermiq.ui.programs.arguments import arguments
from dermiq.ui.programs.calls import Calls, Symptom
from dermiq.ui.programs.description import CALLS, GIVES
from dermiq.ui.server import programs as sent
from dermiq.ui.server.gate import Gate, Refused, check
from dermiq.ui.server.hosts import Hosts
from dermiq.ui.server.inbox import INBOX, Busy, TooMuch
from dermiq.ui.server.programs import MCP, ProgramCalls, decoded, tickets_of
from dermiq.ui.server.visitors import LEFT
from tests import fakes
from tests.page import ROOT, served

PAGE = ROOT / "docs" / "programs.md"
ADDRESS = "http://127.0.0.1:7860"  # as the documents write it
WORDS = "zebrafinch quokka"  # of a question, nowhere else
PICTURE = fakes.png(fakes.picture(seed=7))
IMAGE = base64.b64encode(PICTURE).decode()
RUN = "/gradio_api/run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A page that offers everything that it has to programs."""
    settings = {"MCP": "1", "HOSTS": "derm.example", "REVIEW": str(folder / "review"), "RUNS": str(folder / "runs")}
    env = {f"DERMIQ_{name}": value for name, value in settings.items()}
    with served(folder, env=env, log=folder / "log.txt") as made:
        yield made


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as made:
        yield made


def ask(client: httpx.Client, call: str, **arguments: object) -> Any:
    answer = client.post(f"{RUN}/{call}", json=arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]


@asynccontextmanager
async def tools(url: str) -> AsyncIterator[ClientSession]:
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        yield session


async def used(address: str, name: str, **arguments: object) -> types.CallToolResult:
    async with tools(f"{address}{MCP}/") as session:
        return await session.call_tool(name, arguments)


def said(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


# --- what is answered -------------------------------------------------------------------


def test_an_answer_is_what_the_command_prints(client: httpx.Client) -> None:
    expected = json.loads(json.dumps(answer_json(fakes.sample_answer(Case((fakes_lesion(),))))))
    assert ask(client, "assess", images=[IMAGE], age=54, sex="male", site="back", symptoms=["grew"]) == expected
    assert ask(client, "assess", images=[f"data:image/png;base64,{IMAGE}"]) == expected


def fakes_lesion() -> Any:
    return fakes.FakeConsultant().read_image(PICTURE, view="unknown", taken=None)


def test_the_graph_says_to_programs_what_it_says_in_a_terminal(
    client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["knowledge", "--compare", "melanoma", "spitz nevus", "--json"]) == 0
    assert ask(client, "compare", first="melanoma", second="spitz nevus") == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("call", "sent", "kind", "why"),
    [
        ("assess", {"images": [IMAGE], "age": "old"}, "InputError", "“old” is not a whole number of years"),
        ("assess", {"images": ["lesion.jpg"]}, "InputError", "Image 1 is no base64"),
        ("assess", {"images": [IMAGE, "https://example.org/a.png"]}, "InputError", "Image 2 is no base64"),
        ("assess", {"images": [base64.b64encode(b"no picture").decode()]}, "ImageError", "not an image"),
        ("assess", {"images": []}, "InputError", "images: List should have at least 1 item"),
        ("assess", {"images": IMAGE}, "InputError", "images: Input should be a valid list"),
        ("assess", {"images": [IMAGE] * (MAX_IMAGES + 1)}, "InputError", "images: List should have at most 6 items"),
        ("assess", {"images": [IMAGE], "question": "?" * 2001}, "InputError", "question: String should have at most"),
        ("assess", {"images": [IMAGE], "symptoms": ["sings"]}, "InputError", "symptoms, 0: Input should be 'itch'"),
        ("assess", {"images": [IMAGE], "question": "break"}, "ModelError", "ran out of memory"),
        ("compare", {"first": "melanoma"}, "InputError", "second: Input should be a valid string"),
        ("compare", {"first": "melanoma", "second": "mole skin"}, "InputError", "Did you mean melanocytic nevus?"),
        ("check_text", {"text": "x" * 10_001}, "InputError", "text: String should have at most 10000"),
        ("search_knowledge", {"question": "itch", "k": 0}, "InputError", "k: Input should be greater than"),
    ],
)
def test_what_is_wrong_is_said(client: httpx.Client, call: str, sent: dict[str, object], kind: str, why: str) -> None:
    answer = client.post(f"{RUN}/{call}", json=sent)
    assert answer.status_code == 500
    assert answer.json()["title"] == kind
    assert why in answer.json()["error"]
    assert "zebra" not in answer.text


def test_an_argument_that_there_is_not_is_named(client: httpx.Client) -> None:
    answer = client.post(f"{RUN}/compare", json={"first": "melanoma", "other": "nevus"})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "There is no argument 'other'. There are first, second.",
    )


def test_a_failure_that_nobody_foresaw_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def compare(first: str, second: str) -> dict[str, object]:
        raise RuntimeError(f"{first} {second}")

    with pytest.raises(offer.Told, match="written in the log"), caplog.at_level(logging.ERROR):
        offer.told(compare, threading.BoundedSemaphore(1))(WORDS, WORDS)
    assert "RuntimeError in a request" in caplog.text
    assert WORDS not in caplog.text


def test_a_call_too_many_is_told_to_come_back() -> None:
    taken = threading.BoundedSemaphore(1)
    call = offer.told(Calls(fakes.FakeConsultant(), graph=Graph.load).compare, taken)
    with taken, pytest.raises(offer.Told, match="Try again in a minute"):
        call("melanoma", "nevus")
    assert call("melanoma", "melanocytic nevus")["points"]


def test_each_question_has_a_session_of_its_own_that_is_forgotten() -> None:
    fake = fakes.FakeConsultant()
    calls = Calls(fake, graph=Graph.load)
    for _ in range(2):
        calls.assess(tickets_of([IMAGE]), question="Why?")
    with pytest.raises(ImageError):
        calls.assess(tickets_of([base64.b64encode(b"none").decode()]))
    with pytest.raises(InputError, match="Send it again"):
        calls.assess(["a ticket that nobody has"])
    assert [session for session, _ in fake.asked] == fake.forgotten
    assert len(set(fake.forgotten)) == 2


# --- descriptions -----------------------------------------------------------------------


def test_exactly_the_four_calls_are_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {f"{RUN}/{name}" for name in CALLS}
    for path, operation in described["paths"].items():
        assert set(operation) == {"post"}
        taken = operation["post"]["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator.check_schema(taken)
        assert all(one["description"] for one in taken["properties"].values()), path
        assert len(operation["post"]["description"]) > 60
    assert "medical device" in described["info"]["description"]


def test_the_keys_of_every_answer_are_described(client: httpx.Client) -> None:
    assert set(ask(client, "assess", images=[IMAGE])) == set(GIVES["assess"])
    assert set(ask(client, "search_knowledge", question="melanoma")) == set(GIVES["search_knowledge"])
    assert set(ask(client, "compare", first="melanoma", second="nevus of Ota")) == set(GIVES["compare"])
    assert set(ask(client, "check_text", text="Melanoma is malignant.")) == set(GIVES["check_text"])


def test_symptoms_are_those_of_the_command() -> None:
    assert get_args(Symptom) == SYMPTOMS


def test_the_document_names_every_argument() -> None:
    table = PAGE.read_text(encoding="utf-8").split("|---|---|---|")[1].split("\n\n")[0]
    for row in filter(None, table.splitlines()):
        call, taken = re.findall(r"`(\w+)`", row.split("|")[1])[0], re.findall(r"`(\w+)`", row.split("|")[2])
        assert taken == list(arguments(CALLS[call]).model_fields)
    assert len(table.split()) > len(CALLS)


@pytest.fixture(scope="module")
def written(address: str, folder: Path) -> Path:
    """A folder with an image, in which the blocks of the document are run."""
    made = folder / "reader"
    made.mkdir()
    (made / "lesion.jpg").write_bytes(PICTURE)
    return made


@pytest.mark.parametrize(("kind", "number"), [("bash", 0), ("python", 0), ("python", 1), ("python", 2)])
def test_the_document_can_be_followed(address: str, written: Path, kind: str, number: int) -> None:
    blocks = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if kind == "bash" and not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("There is no bash or no curl on this machine.")
    command = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    assert len(blocks) == {"bash": 1, "python": 3}[kind]
    done = subprocess.run(
        [*command, blocks[number].replace(ADDRESS, address)],
        cwd=written, env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search("melanoma", done.stdout, re.IGNORECASE)
    assert '"error"' not in done.stdout


# --- tools ------------------------------------------------------------------------------


def test_the_tools_are_the_four_calls_with_every_argument_explained(address: str) -> None:
    (configuration,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (server,) = json.loads(configuration)["mcpServers"].values()

    async def listed() -> list[types.Tool]:
        async with tools(server["url"].replace(ADDRESS, address)) as session:
            return (await session.list_tools()).tools

    found = {tool.name: tool for tool in asyncio.run(listed())}
    assert set(found) == set(CALLS)
    for name, tool in found.items():
        assert list(tool.inputSchema["properties"]) == list(arguments(CALLS[name]).model_fields)
        assert all(one["description"] for one in tool.inputSchema["properties"].values())
    assert found["assess"].inputSchema["required"] == ["images"]
    assert "not for diagnosis" in (found["assess"].description or "")


def test_a_tool_answers_with_json_and_says_what_is_wrong(client: httpx.Client, address: str) -> None:
    asked = {"first": "melanoma", "second": "spitz nevus"}
    assert json.loads(said(asyncio.run(used(address, "compare", **asked)))) == ask(client, "compare", **asked)
    answer = asyncio.run(used(address, "assess", images=[IMAGE], question="Why?"))
    assert json.loads(said(answer))["differentials"]["vlm"]
    wrong = asyncio.run(used(address, "assess", images=["/tmp/lesion.jpg"]))
    assert wrong.isError
    assert said(wrong).startswith("Image 1 is no base64")
    assert asyncio.run(used(address, "assess", images=IMAGE)).isError


def test_tools_are_off_unless_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch_options(Settings())["mcp_server"] is False
    assert launch_options(Settings(mcp=True))["mcp_server"] is True
    with pytest.raises(InputError, match="switch both on"):
        offer.check_settings(Settings(mcp=True, api=False))
    monkeypatch.setattr(offer, "find_spec", lambda name: None)
    offer.check_settings(Settings())
    with pytest.raises(InputError, match=r'pip install "\.\[mcp\]"'):
        offer.check_settings(Settings(mcp=True))


def test_the_api_can_be_switched_off(tmp_path: Path) -> None:
    async def made() -> gr.Blocks:  # gradio takes the loop that runs, and else makes one that nobody closes
        return create_app(fakes.FakeConsultant(), Settings(api=False, review=tmp_path / "r", runs=tmp_path / "s"))

    page = asyncio.run(made())
    assert ProgramCalls.of(page).takes == {}
    assert launch_options(Settings(api=False))["app_kwargs"]["routes"] == []
    with pytest.raises(Refused):
        passed("GET", "/openapi.json", {}, ProgramCalls.of(page))


# --- at the gate ------------------------------------------------------------------------

OFFERED = ProgramCalls(
    {"assess": {"images": None, "question": "Why?"}, "compare": {"first": None}}, {3: "assess"}, True
)


def passed(method: str, path: str, told: dict[str, str], programs: ProgramCalls = OFFERED) -> None:
    headers = Headers({"host": "localhost:7860", "content-type": "application/json"} | told)
    check(method, path, headers, Hosts.of(Settings(), {}), ROOT / "none", programs)


@pytest.mark.parametrize("path", [f"{RUN}/assess", "/gradio_api/queue/join", MCP, f"{MCP}/"])
def test_a_plain_program_is_let_in_and_other_sites_are_not(path: str) -> None:
    passed("POST", path, {})
    passed("POST", path, {"origin": "http://localhost:7860"})
    for told in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
        {"content-type": "text/plain"},
    ):
        with pytest.raises(Refused):
            passed("POST", path, told)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", MCP, 405),
        ("DELETE", f"{MCP}/", 405),
        ("POST", f"{MCP}/messages/", 404),
        ("GET", f"{MCP}/sse", 404),
        ("GET", f"{MCP}/schema", 404),
        ("GET", f"{RUN}/assess", 404),
        ("POST", "/gradio_api/call/assess", 404),
    ],
)
def test_other_ways_to_the_calls_are_closed(method: str, path: str, status: int) -> None:
    with pytest.raises(Refused) as found:
        passed(method, path, {})
    assert found.value.status == status


def test_a_page_without_tools_has_no_way_to_them() -> None:
    with pytest.raises(Refused) as found:
        passed("POST", f"{MCP}/", {}, ProgramCalls(OFFERED.takes, OFFERED.numbers))
    assert found.value.status == 404


def test_a_browser_of_another_site_reaches_no_tool(client: httpx.Client) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    sent = {"accept": "application/json, text/event-stream"}
    assert client.post(f"{MCP}/", json=message, headers=sent).status_code == 200
    for told in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        answer = client.post(f"{MCP}/", json=message, headers=sent | told)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_images_leave_a_request_before_gradio_has_it() -> None:
    for path, request in (
        (f"{RUN}/assess", {"images": [IMAGE], "question": "Why?"}),
        (f"{RUN}/assess", {"data": [[IMAGE], "Why?"]}),
        ("/gradio_api/queue/join", {"data": [[IMAGE], "Why?"], "fn_index": 3}),
        (f"{MCP}/", {"method": "tools/call", "params": {"name": "assess", "arguments": {"images": [IMAGE]}}}),
    ):
        text = json.dumps(OFFERED.understood(path, json.loads(json.dumps(request))))
        assert IMAGE[:40] not in text
        (ticket,) = re.findall(r'\["([\w-]{32})"\]', text)
        assert INBOX.take(ticket) == PICTURE
    other = {"data": [["a"]], "fn_index": 4}
    assert OFFERED.understood(f"{RUN}/assess", dict(other)) == other, "an event of the page is no call"
    with pytest.raises(InputError, match="one object"):
        OFFERED.understood(MCP, [{"method": "tools/call"}])


def test_images_of_a_call_count_as_uploads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tickets_of([IMAGE] * (INBOX.limits.request_files + 1))
    assert many == [f"refused: At most {INBOX.limits.request_files} files can be uploaded at once. Choose fewer."]
    large = base64.b64encode(bytes(INBOX.limits.file + 1)).decode()
    assert tickets_of([large])[0].startswith("refused: A file is larger than 25 MB")
    assert decoded(f"data:image/png;base64,{IMAGE[:80]}\n{IMAGE[80:]}", 1) == PICTURE
    with pytest.raises(InputError, match="Image 2 is no base64"):
        decoded({"path": "/etc/passwd"}, 2)


async def through(gate: Gate, body: bytes, path: str = f"{RUN}/assess", *, leaves: bool = False) -> int:
    """The status with which a request with this body is answered; `leaves`: whoever sent it goes away after it."""
    answered: list[int] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages and not leaves:
            await asyncio.sleep(60)
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    told = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": "POST", "path": path, "headers": told, "query_string": b""}
    await gate(scope, receive, send)
    return answered[0]


def gate_of(app: Any) -> Gate:
    return Gate(app, Hosts.of(Settings(), {}), ROOT / "none", OFFERED)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of what it was sent."""
    size = len(await Request(scope, receive).body())
    await PlainTextResponse("", 200 if size < 1000 else 500)(scope, receive, send)


def test_a_request_is_as_large_as_its_images_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    mb = 1024 * 1024
    image = base64.b64encode(bytes(6 * mb)).decode()
    gate = gate_of(echo)
    assert asyncio.run(through(gate, json.dumps({"images": [image]}).encode())) == 200
    assert asyncio.run(through(gate, json.dumps({"images": [], "question": image}).encode())) == 413
    assert asyncio.run(through(gate, json.dumps({"first": image}).encode(), f"{RUN}/compare")) == 413
    assert asyncio.run(through(gate, b" " * (sent.MAX_CALL + 1))) == 413
    monkeypatch.setattr(sent.ARRIVING, "held", lambda address=None: (99, 0))
    assert asyncio.run(through(gate, json.dumps({"images": [image]}).encode())) == 413
    monkeypatch.setattr(sent.ARRIVING, "held", lambda address=None: (0 if address is not None else 99, 0))
    assert asyncio.run(through(gate, json.dumps({"images": [image]}).encode())) == 503
    assert issubclass(Busy, InputError)
    assert issubclass(TooMuch, InputError)


def test_who_breaks_a_call_off_is_no_longer_waited_for() -> None:
    heard: list[bool] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        left = LEFT.get()
        assert left is not None
        heard.append(await asyncio.to_thread(left.wait, 5))
        await PlainTextResponse("")(scope, receive, send)

    asyncio.run(through(gate_of(slow), json.dumps({"images": [IMAGE]}).encode(), leaves=True))
    assert heard == [True]


# --- what is left -----------------------------------------------------------------------


def test_nothing_of_a_call_is_on_disk_or_in_the_log(address: str, folder: Path) -> None:
    asked: dict[str, Any] = {"images": [IMAGE], "question": f"Is it {WORDS}?", "site": "back"}
    httpx.post(f"{address}{RUN}/assess", json=asked, timeout=60).raise_for_status()
    httpx.post(f"{address}{RUN}/assess", json=asked | {"age": WORDS}, timeout=60)
    httpx.post(f"{address}{RUN}/compare", json={"first": WORDS, "second": WORDS}, timeout=60)
    httpx.post(f"{address}{RUN}/assess", content=b'{"images": ["' + IMAGE.encode(), timeout=60)
    by_client = Client(address, verbose=False)
    assert by_client.predict(**asked, api_name="/assess")["text"]
    with suppress(Exception):
        by_client.predict(**asked | {"age": WORDS}, api_name="/assess")
    by_client.close()
    assert not asyncio.run(used(address, "assess", **asked)).isError
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lesion.jpg"]
    assert folder / "log.txt" in files
    marks = (WORDS.encode(), PICTURE[50:90], IMAGE[80:120].encode())
    assert [path for path in files if any(mark in path.read_bytes() for mark in marks)] == []


def test_nothing_of_a_call_stays_in_the_state(tmp_path: Path) -> None:
    """Of a client that names its session. What the queue keeps is looked for in nightly/test_held."""
    body = {"data": [[IMAGE], f"Is it {WORDS}?", *[None] * 5], "session_hash": "mine"}

    async def asked() -> tuple[str, str]:
        page = create_app(fakes.FakeConsultant(), Settings(review=tmp_path / "review", runs=tmp_path / "runs"))
        app = App.create_app(page)
        gate = Gate(app, Hosts.of(Settings(), {}), ROOT / "none", ProgramCalls.of(page))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://localhost") as client:
            answer = await client.post(f"{RUN}/assess", json=body, timeout=60)
        return answer.json()["data"][0]["text"], repr(app.state_holder["mine"].config_values)

    text, kept = asyncio.run(asked())
    assert "dq-question" in kept, "this is what gradio keeps of a session"
    assert [mark for mark in (WORDS, IMAGE[80:120], text[:60]) if mark in kept] == []
    assert INBOX.held("127.0.0.1") == (0, 0)
