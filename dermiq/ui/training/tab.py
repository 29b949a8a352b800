"""The Training tab as gradio components: which part shows what, and which event leads to which action of the room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dermiq.language import _, is_english
from dermiq.ui import component
from dermiq.ui.component import data_of, html_part
from dermiq.ui.server.upload import private_file
from dermiq.ui.training import controller as session
from dermiq.ui.training import curves, own_data
from dermiq.ui.training.controller import (
    LONG,
    MODELS,
    PARTS,
    TO_FORM,
    Changed,
    Said,
    TrainingController,
    TrainingSession,
)
from dermiq.ui.training.form_fields import HEARD, Parts, form_fields, listened
from dermiq.ui.training.form_shown import text_in

LOOK_SECONDS = 1.0  # between two looks at the runs, while the tab is open
STATE_SECONDS = 4 * 3600
QUICK, SLOW = ({**how, "postprocess": False} for how in (component.QUICK, component.SLOW))  # `AsItIs` needs it
MAX_VALUE, MAX_FIELDS = 200_000, 400  # of what an event carries


class AsItIs(dict[str, Any]):
    """Properties that go to the browser as they are: for `gr.update`, gradio builds each of the form's 200 components
    anew at every event, which takes a third of a second even where nothing changed. It is asked for by `get` alone.
    """

    def __init__(self, props: Mapping[str, Any]) -> None:
        super().__init__(props, __type__="update")

    def get(self, name: str, other: Any = None) -> Any:
        return other if name == "__type__" else super().get(name, other)


@dataclass(frozen=True)
class Watching:
    """The tab's parts, the fields of its form, and its clock."""

    room: TrainingController
    session: gr.State
    parts: Mapping[str, Any]
    form: Parts
    clock: gr.Timer

    def outputs(self, event: str = "") -> list[Any]:
        """Of an event that leaves the form as it is, all but its fields."""
        return [*(self.parts[name] for name in PARTS), *(self.form[key] for key in self._fields(event))]

    def values(self, changed: Changed, event: str = "") -> list[Any]:
        """As `outputs` takes them."""
        form = changed.get("form", {})
        return [
            *(AsItIs({"value": str(changed[name])} if name in changed else {}) for name in PARTS),
            *(AsItIs(form.get(key, {})) for key in self._fields(event)),
        ]

    def _fields(self, event: str) -> Iterable[str]:
        return self.form if event in ("", *TO_FORM) else MODELS

    def while_open(self, tab: gr.Tab, *, others: Sequence[gr.Tab]) -> None:
        """The clock runs while the tab is looked at."""
        tab.select(self._opened, [self.session], [self.clock, *self.outputs()], **QUICK)
        for other in others:
            other.select(lambda: gr.Timer(active=False), None, [self.clock], **QUICK)

    def opened_by(self, event: Any, tabs: gr.Tabs) -> None:
        """Another component's event leads here."""
        outputs = [tabs, self.clock, *self.outputs()]
        event(lambda d: [gr.Tabs(selected="training"), *self._opened(d)], [self.session], outputs, **QUICK)

    def prefilled_by(self, event: Any, tabs: gr.Tabs) -> None:
        """Another component's event leads here, and fills in a form for DPO on the set that it names."""

        def prefilled(d: TrainingSession, data: gr.EventData) -> list[Any]:
            self.room.prefer(d, said_in(data).value)
            return [gr.Tabs(selected="training"), *self._opened(d)]

        event(prefilled, [self.session], [tabs, self.clock, *self.outputs()], **QUICK)

    def _opened(self, d: TrainingSession) -> list[Any]:
        return [gr.Timer(active=True), *self.values(self.room.look(d))]


def training_tab(room: TrainingController) -> Watching:
    state = gr.State(TrainingSession(), time_to_live=STATE_SECONDS)
    parts: dict[str, Any] = {"gate": html_part("dq-gate", events=["admit"])}
    with gr.Row(elem_id="dq-training"):
        with gr.Column(elem_id="dq-new-run", scale=0, min_width=320):
            if not is_english():
                gr.Markdown(_("Names and explanations of options, figures and logs are in English."))
            form = form_fields(TrainingSession().form, locked=bool(room.impossible))
            with gr.Accordion(_("Own images"), open=False, elem_id="dq-own-data", visible=not room.impossible):
                gr.Markdown(_(own_data.ABOUT))
                upload = private_file(label=_("Zip of images and their table"), height=120)
                parts["own"] = html_part("dq-own-said")
                forget = gr.Button(_("Delete all uploaded images"), size="sm")
        with gr.Column(elem_id="dq-watching", scale=1, min_width=320):
            parts["rows"] = html_part("dq-rows", events=session.ROW_EVENTS)
            parts["head"] = html_part("dq-head", events=session.RUN_EVENTS)
            parts["sent"] = html_part("dq-sent", events=["push"])
            parts["views"] = html_part("dq-views", events=["view"])
            parts["curves"] = gr.HTML("", elem_id="dq-curves", **curves.component_args())
            parts["body"] = html_part("dq-body", events=session.RUN_EVENTS)
    made = Watching(room, state, parts, form, gr.Timer(LOOK_SECONDS, active=False))
    made.clock.tick(lambda d: made.values(room.look(d, form=MODELS), "tick"), [state], made.outputs("tick"), **QUICK)
    heard = {
        "gate": ["admit"],
        "rows": session.ROW_EVENTS,
        "head": session.RUN_EVENTS,
        "sent": ["push"],
        "views": ["view"],
        "curves": ["range"],
        "body": session.RUN_EVENTS,
    }
    upload.upload(_taken(made), [state, upload], [*made.outputs(), upload], **SLOW)
    forget.click(lambda d: _all(made, "forget", room.act(d, "forget", Said())), [state], made.outputs(), **QUICK)
    for part, events in heard.items():
        for event in events:
            listen = getattr(parts[part], event)
            act = _streamed(made, event) if event in LONG else _at_once(made, event)
            # "once", gradio's default, drops a change that comes while another is on its way
            listen(act, [state], made.outputs(event), trigger_mode="multiple", **(SLOW if event in LONG else QUICK))
    _hear_form(made)
    return made


def _hear_form(made: Watching) -> None:
    """A change sends all fields: the last of several is the one that counts, whichever arrive."""
    form, room, outputs = made.form, made.room, made.outputs()
    fields = [made.session, *(form[key] for key in HEARD)]

    def said(event: str) -> Callable[..., Iterator[list[Any]]]:
        def act(d: TrainingSession, *given: Any) -> Iterator[list[Any]]:
            for changed in room.act(d, event, Said(fields=_texts(given))):
                yield made.values(changed)

        return act

    def at_once(event: str) -> Callable[..., list[Any]]:
        def act(d: TrainingSession, *given: Any) -> list[Any]:
            return _all(made, event, room.act(d, event, Said(fields=_texts(given))))

        return act

    gr.on(listened(form), at_once("set"), fields, outputs, trigger_mode="always_last", **QUICK)
    gr.on([form["yaml"].blur], at_once("yaml"), [*fields, form["yaml"]], outputs, **QUICK)
    for event in ("start", "startanyway", "estimate"):
        form[event].click(said(event), [*fields, form["yaml"]], outputs, trigger_mode="multiple", **SLOW)
    for event in ("plain", "discard", "cancel", "saveyaml"):
        form[event].click(at_once(event), [*fields, form["yaml"]], outputs, trigger_mode="multiple", **QUICK)

    def load(d: TrainingSession, content: bytes | None) -> list[Any]:
        text = (content or b"").decode("utf-8", "replace")
        return [*_all(made, "load", room.act(d, "load", Said(value=text))), None]

    form["load"].upload(load, [made.session, form["load"]], [*outputs, form["load"]], **QUICK)


def _texts(given: Sequence[Any]) -> dict[str, str]:
    """Values in the order of `HEARD`, and perhaps the YAML behind them."""
    texts = dict(zip((*HEARD, "yaml"), map(text_in, given), strict=False))
    return {"=": texts.pop("key"), **texts}


def _streamed(made: Watching, event: str) -> Callable[[TrainingSession, gr.EventData], Iterator[list[Any]]]:
    def act(d: TrainingSession, data: gr.EventData) -> Iterator[list[Any]]:
        for changed in made.room.act(d, event, said_in(data)):
            yield made.values(changed, event)

    return act


def _taken(made: Watching) -> Callable[[TrainingSession, object], Iterator[list[Any]]]:
    """The field is empty again from the first word on."""

    def take(d: TrainingSession, content: object) -> Iterator[list[Any]]:
        if content is not None:  # the field was emptied
            yield [*made.values(made.room.receiving(d)), None]
            yield [*made.values(made.room.take(d, content)), None]

    return take


def _at_once(made: Watching, event: str) -> Callable[[TrainingSession, gr.EventData], list[Any]]:
    def act(d: TrainingSession, data: gr.EventData) -> list[Any]:
        return _all(made, event, made.room.act(d, event, said_in(data)))

    return act


def _all(made: Watching, event: str, steps: Iterable[Changed]) -> list[Any]:
    """What several steps changed, as one."""
    changed: Changed = {}
    for step in steps:
        form = {**changed.get("form", {}), **step.get("form", {})}
        changed |= {**step, "form": form}
    return made.values(changed, event)


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
