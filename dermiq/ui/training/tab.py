"""The Training tab as gradio components: which part shows what, and which event leads to which action of the room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from dermiq.ui.component import QUICK, SLOW, data_of, html_part
from dermiq.ui.server.upload import private_file
from dermiq.ui.training import controller as desk
from dermiq.ui.training import curves, own_data
from dermiq.ui.training.controller import LONG, PARTS, Desk, Said, TrainingRoom

LOOK_SECONDS = 1.0  # between two looks at the runs, while the tab is open
STATE_SECONDS = 4 * 3600
MAX_VALUE, MAX_FIELDS = 200_000, 400  # of what an event carries


@dataclass(frozen=True)
class Watching:
    """The tab's parts and its clock."""

    room: TrainingRoom
    desk: gr.State
    parts: Mapping[str, Any]
    clock: gr.Timer

    def outputs(self) -> list[Any]:
        return [self.parts[name] for name in PARTS]

    def while_open(self, tab: gr.Tab, *, others: Sequence[gr.Tab]) -> None:
        """The clock runs while the tab is looked at."""
        tab.select(self._opened, [self.desk], [self.clock, *self.outputs()], **QUICK)
        for other in others:
            other.select(lambda: gr.Timer(active=False), None, [self.clock], **QUICK)

    def opened_by(self, event: Any, tabs: gr.Tabs) -> None:
        """Another component's event leads here."""
        outputs = [tabs, self.clock, *self.outputs()]
        event(lambda d: [gr.Tabs(selected="training"), *self._opened(d)], [self.desk], outputs, **QUICK)

    def prefilled_by(self, event: Any, tabs: gr.Tabs) -> None:
        """Another component's event leads here, and fills in a form for DPO on the set that it names."""

        def prefilled(d: Desk, data: gr.EventData) -> list[Any]:
            self.room.prefer(d, said_in(data).value)
            return [gr.Tabs(selected="training"), *self._opened(d)]

        event(prefilled, [self.desk], [tabs, self.clock, *self.outputs()], **QUICK)

    def _opened(self, d: Desk) -> list[Any]:
        return [gr.Timer(active=True), *values(self.room.look(d))]


def values(changed: Mapping[str, Markup]) -> list[Any]:
    """As the outputs take them."""
    return [str(changed[name]) if name in changed else gr.skip() for name in PARTS]


def training_tab(room: TrainingRoom) -> Watching:
    state = gr.State(Desk(), time_to_live=STATE_SECONDS)
    parts: dict[str, Any] = {"gate": html_part("dq-gate", events=["admit"])}
    with gr.Row(elem_id="dq-training"):
        with gr.Column(elem_id="dq-new-run", scale=0, min_width=320):
            parts["form"] = html_part("dq-form", events=(*desk.FORM_EVENTS, "cancel"))
            with gr.Accordion("Own images", open=False, elem_id="dq-own-data", visible=not room.impossible):
                gr.Markdown(own_data.ABOUT)
                upload = private_file(label="Zip of images and their table", height=120)
                parts["own"] = html_part("dq-own-said")
                forget = gr.Button("Delete all uploaded images", size="sm")
        with gr.Column(elem_id="dq-watching", scale=1, min_width=320):
            parts["rows"] = html_part("dq-rows", events=desk.ROW_EVENTS)
            parts["head"] = html_part("dq-head", events=desk.RUN_EVENTS)
            parts["sent"] = html_part("dq-sent", events=["push"])
            parts["views"] = html_part("dq-views", events=["view"])
            parts["curves"] = gr.HTML("", elem_id="dq-curves", **curves.component_args())
            parts["body"] = html_part("dq-body", events=desk.RUN_EVENTS)
    made = Watching(room, state, parts, gr.Timer(LOOK_SECONDS, active=False))
    made.clock.tick(lambda d: values(room.look(d)), [state], made.outputs(), **QUICK)
    heard = {
        "gate": ["admit"],
        "form": (*desk.FORM_EVENTS, "cancel"),
        "rows": desk.ROW_EVENTS,
        "head": desk.RUN_EVENTS,
        "sent": ["push"],
        "views": ["view"],
        "curves": ["range"],
        "body": desk.RUN_EVENTS,
    }
    taken = [*made.outputs(), upload]
    upload.upload(_taken(room), [state, upload], taken, **SLOW)
    forget.click(lambda d: _all(room.act(d, "forget", Said())), [state], made.outputs(), **QUICK)
    for part, events in heard.items():
        for event in events:
            listen = getattr(parts[part], event)
            act = _streamed(room, event) if event in LONG else _at_once(room, event)
            # "once", gradio's default, drops a change that comes while another is on its way
            listen(act, [state], made.outputs(), trigger_mode="multiple", **(SLOW if event in LONG else QUICK))
    return made


def _streamed(room: TrainingRoom, event: str) -> Callable[[Desk, gr.EventData], Iterator[list[Any]]]:
    def act(d: Desk, data: gr.EventData) -> Iterator[list[Any]]:
        for changed in room.act(d, event, said_in(data)):
            yield values(changed)

    return act


def _taken(room: TrainingRoom) -> Callable[[Desk, object], Iterator[list[Any]]]:
    """The field is empty again from the first word on."""

    def take(d: Desk, content: object) -> Iterator[list[Any]]:
        if content is not None:  # the field was emptied
            yield [*values(room.receiving(d)), None]
            yield [*values(room.take(d, content)), None]

    return take


def _at_once(room: TrainingRoom, event: str) -> Callable[[Desk, gr.EventData], list[Any]]:
    def act(d: Desk, data: gr.EventData) -> list[Any]:
        return _all(room.act(d, event, said_in(data)))

    return act


def _all(steps: Iterable[Mapping[str, Markup]]) -> list[Any]:
    """What several steps changed, as one."""
    changed: dict[str, Markup] = {}
    for step in steps:
        changed |= step
    return values(changed)


def said_in(event: gr.EventData) -> Said:
    """What an event carries, of whatever the browser sent."""
    data = data_of(event)
    fields = data.get("fields")
    given = list(fields.items())[:MAX_FIELDS] if isinstance(fields, dict) else []
    return Said(
        index=str(data.get("index") or "")[:200],
        value=str(data.get("value") or "")[:MAX_VALUE],
        fields={str(name): str(text)[:MAX_VALUE] for name, text in given},
    )
