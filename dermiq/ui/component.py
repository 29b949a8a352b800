"""How the page's own HTML becomes a gradio component with events, and what these carry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dermiq import language
from dermiq.types import Fields

Part = Any  # a `gr.HTML` with the events that its script names, which gradio makes its methods when it runs

STATIC = Path(__file__).resolve().parent / "static"

# The element keeps its own content: the script compares old and new and changes only what differs,
# so that focus, open reasoning and open cards survive an update. Values never pass through the template.
TEMPLATE = '<div class="dq-root"></div>'
EVENTS = "dermiq.mount(element, props, watch, trigger, {names});"
MAX_TEXT, MAX_VALUE, MAX_FIELDS = 2_000, 200_000, 400  # of what an event carries
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
SLOW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
MOST_ASKED = 100  # questions that are answered or wait in the consultant's line, where each sees its place
ASKED: dict[str, Any] = {**SLOW, "concurrency_limit": MOST_ASKED, "concurrency_id": "asked"}


def html_part(elem_id: str, value: object = "", *, events: Sequence[str] = ()) -> Part:
    """A gr.HTML whose buttons and fields trigger the named events."""
    return gr.HTML(
        str(value),
        elem_id=elem_id,
        html_template=TEMPLATE,
        js_on_load=EVENTS.format(names=json.dumps(list(events))),
        apply_default_css=False,
    )


def scripts(*names: str) -> str:
    """Files of `static` for the head of the page, where each stands once."""
    return "".join(f"<script>{(STATIC / name).read_text(encoding='utf-8')}</script>" for name in names)


def texts() -> str:
    """What the scripts say in the page's language, for its head; nothing in English, which they have themselves."""
    if language.is_english():
        return ""
    said = {one: language._(one) for one in language.of_scripts()}
    made = json.dumps({"language": language.current(), "texts": said}, ensure_ascii=False).replace("<", "\\u003c")
    return f"<script>window.dermiqTexts = {made};</script>"


def styles(*names: str) -> str:
    """Style sheets of `static`, in this order."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def data_of(event: gr.EventData) -> Fields:
    return event._data if isinstance(event._data, dict) else {}


def fields_of(event: gr.EventData) -> dict[str, str]:
    """The fields that an event carries, of whatever the browser sent."""
    fields = data_of(event).get("fields")
    given = list(fields.items())[:MAX_FIELDS] if isinstance(fields, dict) else []
    return {str(name): str(text)[:MAX_VALUE] for name, text in given}


def text_of(event: gr.EventData) -> str:
    """What was typed or chosen in one line."""
    return str(data_of(event).get("value", ""))[:MAX_TEXT]
