"""The gradio app as it is served: what is open, what is closed, what it loads, what it leaves behind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.data_classes import FileData, ListFiles
from gradio.themes.utils.fonts import Font

from dermiq.errors import InputError
from dermiq.settings import Settings
from dermiq.ui.app import bar, launch_options, theme
from dermiq.ui.component import STATIC
from dermiq.ui.programs.description import CALLS
from dermiq.ui.server.inbox import INBOX
from dermiq.ui.server.upload import path_of, private_file
from tests import fakes
from tests.page import served

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        served(tmp_path_factory.mktemp("uploads")) as address,
        httpx.Client(base_url=address, timeout=20) as made,
    ):
        yield made


def test_the_page_answers_with_strict_headers(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_nothing_is_loaded_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/").text
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(https?:)?//", page)
    assert not loaded
    for sheet in (client.get("/theme.css").text, (STATIC / "page.css").read_text(encoding="utf-8")):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", sheet)


@pytest.mark.parametrize(
    "path", ["/monitoring", "/gradio_api/deep_link?session_hash=x", "/docs", "/gradio_api/openapi.json"]
)
def test_what_a_visitor_does_not_need_is_closed(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in {403, 404}


def test_of_all_events_only_the_calls_are_offered_to_programs(client: httpx.Client) -> None:
    info = client.get("/gradio_api/info").json()
    assert set(info["named_endpoints"]) == {f"/{name}" for name in CALLS}
    assert info["unnamed_endpoints"] == {}


def test_a_file_over_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"0" * (26 * 1024 * 1024))})
    assert answer.status_code == 413


def test_an_upload_is_handed_over_once_and_then_gone() -> None:
    with INBOX.delivery("here") as delivery:
        delivery.begin()
        delivery.write(b"pixels")
    sent = ListFiles([FileData(path=path_of(delivery.tickets[0]))])
    field = private_file(file_count="multiple")
    assert field.preprocess(sent) == [b"pixels"]
    with pytest.raises(gr.Error, match="no longer here"):
        field.preprocess(sent)
    assert field.preprocess(None) is None


def test_the_launch_shares_and_records_nothing() -> None:
    options = launch_options(Settings())
    closed = ("share", "enable_monitoring", "run_history", "mcp_server", "ssr_mode")
    assert [options[name] for name in closed] == [False] * len(closed)
    assert options["server_name"] == "127.0.0.1"
    assert options["footer_links"] == []


def test_every_font_is_bundled() -> None:
    made = theme()
    fonts = [font for font in (*made._font, *made._font_mono) if isinstance(font, Font)]
    assert fonts
    assert all(font.stylesheet().get("url") is None for font in fonts)


def test_only_plain_components_are_used(client: httpx.Client) -> None:
    kinds = {component["type"] for component in client.get("/config").json()["components"]}
    media = {"image", "video", "audio", "model3d", "plot", "gallery", "chatbot", "dataframe"}
    assert not kinds & media, "these keep files, or load scripts of their own"


def test_the_bar_names_model_device_and_state() -> None:
    fake = fakes.FakeConsultant()
    fake.failure = "<script>"
    assert "DermIQ-Nano 0.1" in bar(fake)
    assert "Not a medical device" in bar(fake)
    assert "&lt;script&gt;" in bar(fake)


# --- structure --------------------------------------------------------------------------


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return {n.split(".")[0] for n in names} | {
        (n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
    }


def test_only_the_ui_room_knows_gradio() -> None:
    outside = [p for p in (ROOT / "dermiq").rglob("*.py") if (ROOT / "dermiq" / "ui") not in p.parents]
    assert not [p.name for p in outside if "gradio" in imports(p)]


@pytest.mark.parametrize(
    "module",
    [
        *(f"consult/{name}" for name in ("controller", "visit", "chat", "panels", "viewer", "drawing")),
        *("library/lookup", "library/card", "library/compared", "prose", "markup", "about"),
    ],
)
def test_what_translates_events_knows_neither_gradio_nor_a_model(module: str) -> None:
    assert not imports(ROOT / "dermiq" / "ui" / f"{module}.py") & {"gradio", "torch", "transformers"}


# --- settings ---------------------------------------------------------------------------


def test_a_flag_wins_over_the_environment() -> None:
    env = {"DERMIQ_PORT": "1", "DERMIQ_LOAD_IN_4BIT": "yes", "DERMIQ_MODEL": "a/b"}
    made = Settings.load(["--port", "2"], env)
    assert (made.port, made.load_in_4bit, made.model, made.host) == (2, True, "a/b", "127.0.0.1")
    assert Settings.load(["--no-load-in-4bit"], env).load_in_4bit is False


def test_a_space_listens_on_every_address() -> None:
    assert Settings.load([], {"SPACE_ID": "a/b"}).host == "0.0.0.0"


@pytest.mark.parametrize("argv", [["--ports", "2"], ["--port", "x"], ["extra"]])
def test_unknown_options_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.load(argv, {})
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("env", [{"DERMIQ_PORT": "x"}, {"DERMIQ_LOAD_IN_4BIT": "maybe"}])
def test_a_wrong_environment_is_named(env: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(env))):
        Settings.load([], env)
