"""The page as a gradio app: components, and which action leads to which handler.

`create_app` builds it without starting anything; `launch_options` says how it is served.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from dermiq import report
from dermiq.errors import InputError
from dermiq.patient import age_of, sex_of, site_of, skin_type_of
from dermiq.settings import Settings
from dermiq.types import PatientContext
from dermiq.ui import about
from dermiq.ui.component import ASKED, MOST_ASKED, QUICK, SLOW, STATIC, data_of, html_part, scripts
from dermiq.ui.consult import controller as consult
from dermiq.ui.consult.visit import Visit
from dermiq.ui.library import lookup as browser
from dermiq.ui.markup import download, fill
from dermiq.ui.protocol import Consultant
from dermiq.ui.review.controller import review_desk
from dermiq.ui.review.tab import review_tab
from dermiq.ui.server import events_queue
from dermiq.ui.server.serving import believed_proxies, guarded
from dermiq.ui.server.upload import private_file
from dermiq.ui.training import curves
from dermiq.ui.training.controller import TrainingRoom, exports_folder, training_room
from dermiq.ui.training.tab import said_in, training_tab

log = logging.getLogger(__name__)

MAX_FILE = "25mb"
BAR_SECONDS = 1.0  # between two looks at what the bar says
STYLES = ("page.css", "training-form.css", "training-watch.css", "training.css", "review.css")
STATE_SECONDS = 4 * 3600  # a visit that nobody touched for so long is forgotten
SITES = [
    "face",
    "scalp",
    "ear",
    "neck",
    "chest",
    "abdomen",
    "back",
    "arm",
    "hand",
    "palm or sole",
    "leg",
    "foot",
    "genital",
]
SKIN_TYPES = ["I", "II", "III", "IV", "V", "VI"]
NOT_STATED = "not stated"
SYMPTOMS = [("itches", "itch"), ("bled", "bled"), ("grew", "grew"), ("changed", "changed"), ("hurts", "hurts")]
NOTICE = "Research demonstration for clinicians. Not a medical device, not for diagnosis."


@dataclass(frozen=True)
class Parts:
    """The components that handlers fill, in the order of `outputs`."""

    viewer: gr.HTML
    chat: gr.HTML
    suggestions: gr.HTML
    panels: gr.HTML
    urgency: gr.HTML
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    markdown: gr.Button
    pdf: gr.Button

    def outputs(self) -> list[gr.components.Component]:
        return list(vars(self).values())


def updates(frame: consult.Frame) -> list[Any]:
    """A frame as the values of `Parts.outputs()`."""
    html = [frame.viewer, frame.chat, frame.suggestions, frame.panels, frame.urgency]
    values: list[Any] = [gr.skip() if h is None else str(h) for h in html]
    values.append(gr.update(value="") if frame.clear_question else gr.skip())
    running, ready = frame.running, frame.reportable
    values += (
        [gr.skip(), gr.skip()] if running is None else [gr.update(visible=not running), gr.update(visible=running)]
    )
    return values + ([gr.skip()] * 2 if ready is None else [gr.update(interactive=ready)] * 2)


def bar(consultant: Consultant, training: str = "") -> str:
    """`training`: what is being trained now, in words."""
    ready = consultant.ready()
    status = "ready" if ready else consultant.status()
    return str(
        fill(
            '<header class="dq-bar"><div><h1>DermIQ</h1> <p>{notice}</p></div><p class="dq-bar-right">'
            '<span>{name}</span>{device}<span class="dq-status{kind}" role="status">{status}</span>{training}'
            '<button type="button" class="dq-link" data-event="about">About this model</button></p></header>',
            notice=NOTICE,
            name=consultant.name,
            device=fill("<span>{d}</span>", d=consultant.device) if consultant.device not in ("", "loading") else "",
            kind=" dq-ready" if ready else "",
            status=status,
            training=fill('<button type="button" class="dq-link" data-event="training">{t}</button>', t=training)
            if training
            else "",
        )
    )


def create_app(
    consultant: Consultant, settings: Settings, *, examples: Sequence[tuple[str, np.ndarray]] = ()
) -> gr.Blocks:
    """The whole page. `examples` are drawings: (title, pixels)."""
    library = browser.Library(settings.kg)
    training = training_room(consultant, settings, graph=lambda: library.graph)
    beside = training.beside
    desk = review_desk(settings, graph=lambda: library.graph, runs=training.root)
    room = consult.ConsultRoom(beside, examples, name=library.name, contributions=desk.contributions)

    def closed(gone: Visit) -> None:  # no bound method: gradio copies its configuration for every page, and all in it
        room.close(gone)

    with gr.Blocks(title="DermIQ", analytics_enabled=False, fill_width=True, delete_cache=(600, 1200)) as page:
        visit = gr.State(Visit(), time_to_live=STATE_SECONDS, delete_callback=closed)
        top = html_part("dq-top", bar(beside), events=["about", "training"])
        with gr.Tabs(elem_id="dq-tabs") as tabs:
            with gr.Tab("Consult", id="consult") as consulting:
                asking = _consult_tab(room, visit)
            with gr.Tab("Knowledge", id="knowledge") as reading:
                knowledge = _knowledge_tab(library)
            with gr.Tab("Training", id="training", elem_id="dq-training-tab") as watching:
                watch = training_tab(training)
            with gr.Tab("Review", id="review", elem_id="dq-review-tab") as judging:
                reviewing = review_tab(desk)
            with gr.Tab("About", id="about") as about_tab:
                _about_tab()
        _wire_between(library, tabs, asking, knowledge)
        watch.while_open(watching, others=[consulting, reading, judging, about_tab])
        top.about(lambda: gr.Tabs(selected="about"), outputs=[tabs], **QUICK)
        watch.opened_by(top.training, tabs)
        watch.prefilled_by(reviewing.train, tabs)
        _poll(beside, training, top)
        _lifetime(page, room, visit)
    events_queue.tend(page)
    return page


def _consult_tab(room: consult.ConsultRoom, visit: gr.State) -> Parts:
    first = room.frame(Visit())
    with gr.Row(elem_id="dq-consult"):
        with gr.Column(elem_id="dq-left", scale=0, min_width=300):
            viewer_events = ["example", "show", "remove", "layer", "view", "taken"]
            viewer = html_part("dq-viewer", first.viewer, events=viewer_events)
            upload = private_file(
                file_count="multiple",
                elem_id="dq-upload",
                visible="hidden",
                label="Images of one lesion",
            )
            fields = _context_fields()
            new = gr.Button("New case", size="md", elem_id="dq-new")
        with gr.Column(elem_id="dq-right", scale=1, min_width=320):
            chat = html_part(
                "dq-chat",
                first.chat,
                events=["insist", "retry", "imagecheck", "open", "opinion", "keepanswer", "takeback"],
            )
            with gr.Row(elem_id="dq-ask"):
                question = gr.Textbox(
                    placeholder="Ask about this lesion",
                    label="Question",
                    show_label=False,
                    lines=1,
                    max_lines=4,
                    max_length=consult.MAX_QUESTION,
                    elem_id="dq-question",
                    scale=1,
                    container=False,
                )
                send = gr.Button("Send", variant="primary", elem_id="dq-send", scale=0, min_width=88)
                stop = gr.Button("Stop", variant="stop", elem_id="dq-stop", scale=0, min_width=88, visible=False)
            suggestions = html_part("dq-suggest", first.suggestions, events=["suggest"])
    panels = html_part("dq-panels", first.panels, events=["open", "versus"])
    with gr.Row(elem_id="dq-foot"):
        urgency = html_part("dq-urgency", first.urgency)
        with gr.Row(elem_id="dq-report"):
            image = gr.Checkbox(
                label="with the image", value=False, elem_id="dq-with-image", container=False, min_width=130
            )
            markdown = gr.Button("Report: Markdown", size="sm", interactive=False, elem_id="dq-markdown", min_width=120)
            pdf = gr.Button("Report: PDF", size="sm", interactive=False, elem_id="dq-pdf", min_width=100)
    outbox = html_part("dq-outbox")
    parts = Parts(viewer, chat, suggestions, panels, urgency, question, send, stop, markdown, pdf)
    _wire_images(room, visit, parts, upload)
    _wire_questions(room, visit, parts, fields)
    _wire_report(room, visit, parts, image, outbox)
    new.click(lambda v: [*updates(room.new_case(v)), *EMPTY_CONTEXT], [visit], [*parts.outputs(), *fields], **QUICK)
    return parts


def _context_fields() -> list[gr.components.Component]:
    """Age is a text field, because gradio's empty number field sends 0, which is an age."""
    with gr.Column(elem_id="dq-context"):
        gr.HTML('<h2 class="dq-h">Patient <small>all optional</small></h2>', apply_default_css=False, js_on_load=None)
        with gr.Row():
            age = gr.Textbox(
                label="Age, years", placeholder="not stated", max_length=3, lines=1, max_lines=1, min_width=90
            )
            sex = gr.Dropdown(
                [NOT_STATED, "female", "male"], value=NOT_STATED, label="Sex", min_width=90, filterable=False
            )
        with gr.Row():
            site = gr.Dropdown(
                [NOT_STATED, *SITES], value=NOT_STATED, label="Site", min_width=90, allow_custom_value=True
            )
            skin = gr.Dropdown(
                [NOT_STATED, *SKIN_TYPES],
                value=NOT_STATED,
                label="Skin type (Fitzpatrick)",
                min_width=90,
                filterable=False,
            )
        symptoms = gr.CheckboxGroup(SYMPTOMS, label="Reported by the patient", min_width=200)
    return [age, sex, site, skin, symptoms]


EMPTY_CONTEXT: tuple[Any, ...] = ("", NOT_STATED, NOT_STATED, NOT_STATED, [])


def context_of(
    age: str | None, sex: str | None, site: str | None, skin: str | None, symptoms: Sequence[str] | None
) -> PatientContext:
    """What the fields say. Raises InputError at a value that is none."""
    return PatientContext(
        age=age_of(age, whole=True),
        sex=sex_of(sex),
        site=site_of(site),
        skin_type=skin_type_of(skin),
        symptoms=tuple(s for _, s in SYMPTOMS if s in (symptoms or ())),
    )


def _frames(handler: Callable[..., Iterator[consult.Frame]]) -> Callable[..., Iterator[list[Any]]]:
    def stream(*args: Any) -> Iterator[list[Any]]:
        for frame in handler(*args):
            yield updates(frame)

    return stream


def _wire_images(room: consult.ConsultRoom, visit: gr.State, parts: Parts, upload: gr.File) -> None:
    outputs = parts.outputs()

    def uploaded(v: Visit, files: list[bytes] | None) -> Iterator[list[Any]]:
        for frame in room.add_images(v, files or []):
            yield [*updates(frame), None]

    upload.upload(uploaded, [visit, upload], [*outputs, upload], **SLOW)

    def example(v: Visit, event: gr.EventData) -> Iterator[list[Any]]:
        for frame in room.add_example(v, _index(event)):
            yield updates(frame)

    def remove(v: Visit, event: gr.EventData) -> Iterator[list[Any]]:
        for frame in room.remove(v, _index(event)):
            yield updates(frame)

    viewer: Any = parts.viewer
    viewer.example(example, [visit], outputs, **SLOW)
    viewer.remove(remove, [visit], outputs, **SLOW)

    def show(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.show(v, _index(event)))

    def layer(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.set_layer(v, _text(event)))  # type: ignore[arg-type]

    def view(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.describe(v, _index(event), view=_text(event)))

    def taken(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.describe(v, _index(event), taken=_text(event)))

    for listen, handler in ((viewer.show, show), (viewer.layer, layer), (viewer.view, view), (viewer.taken, taken)):
        listen(handler, [visit], outputs, **QUICK)


def _index(event: gr.EventData) -> int:
    """The image or example that was meant; -1 where the page sent something else."""
    value = data_of(event).get("index")
    return int(value) if isinstance(value, str | int) and str(value).isdecimal() else -1


def _text(event: gr.EventData) -> str:
    return str(data_of(event).get("value", ""))[: consult.MAX_QUESTION]


def _wire_questions(room: consult.ConsultRoom, visit: gr.State, parts: Parts, fields: list[Any]) -> None:
    outputs = parts.outputs()

    def answer(v: Visit, question: str, context: Sequence[Any]) -> Iterator[list[Any]]:
        try:
            v.context = context_of(*context)
        except InputError as error:
            yield updates(room.refuse(v, str(error)))
            return
        for frame in room.ask(v, question):
            yield updates(frame)

    def ask(v: Visit, question: str | None, *context: Any) -> Iterator[list[Any]]:
        yield from answer(v, question or "", context)

    def suggest(
        v: Visit, age: Any, sex: Any, site: Any, skin: Any, symptoms: Any, event: gr.EventData
    ) -> Iterator[list[Any]]:
        yield from answer(v, _text(event), (age, sex, site, skin, symptoms))

    chat: Any = parts.chat
    suggestions: Any = parts.suggestions
    gr.on([parts.send.click, parts.question.submit], ask, [visit, parts.question, *fields], outputs, **ASKED)
    suggestions.suggest(suggest, [visit, *fields], outputs, **ASKED)
    chat.insist(_frames(room.insist), [visit], outputs, **ASKED)
    chat.retry(_frames(room.retry), [visit], outputs, **ASKED)
    chat.imagecheck(_frames(room.check_image), [visit], outputs, **SLOW)

    def opinion(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.opinion(v, str(data_of(event).get("index")), _text(event)))

    def keep(v: Visit, event: gr.EventData) -> list[Any]:
        said = said_in(event)
        agreed, text = said.fields.get("agreed") == "true", said.fields.get("text", "")
        return updates(room.keep(v, said.index, agreed=agreed, text=text))

    def take_back(v: Visit, event: gr.EventData) -> list[Any]:
        return updates(room.take_back(v, str(data_of(event).get("index"))))

    chat.takeback(take_back, [visit], outputs, **QUICK)
    chat.opinion(opinion, [visit], outputs, **QUICK)
    chat.keepanswer(keep, [visit], outputs, **QUICK)
    parts.stop.click(room.stop, [visit], None, **QUICK)


def _wire_report(room: consult.ConsultRoom, visit: gr.State, parts: Parts, image: gr.Checkbox, outbox: gr.HTML) -> None:
    """A report travels inside the page's own answer, so that no file of it is kept or served."""

    def make(v: Visit, form: str, with_image: bool) -> str:
        answered = [e for e in v.exchanges if e.answer]
        if not answered:
            return ""
        last = answered[-1]
        assert last.answer is not None
        assert last.case is not None
        case, created = last.case, datetime.now().astimezone()
        if form == "pdf":
            content, kind = (
                report.to_pdf(case, last.answer, created=created, include_image=with_image),
                "application/pdf",
            )
        else:
            content = report.to_markdown(case, last.answer, created=created, include_image=with_image).encode()
            kind = "text/markdown"
        name = f"dermiq-report-{created:%Y-%m-%d-%H%M}.{'pdf' if form == 'pdf' else 'md'}"
        return str(download(name, kind, content))

    parts.markdown.click(lambda v, w: make(v, "md", w), [visit, image], [outbox], **QUICK)
    parts.pdf.click(lambda v, w: make(v, "pdf", w), [visit, image], [outbox], **QUICK)


@dataclass(frozen=True)
class Knowledge:
    """The components of the Knowledge tab: those that a look-up fills, in the order of `outputs`, and the way back."""

    first: gr.Textbox
    second: gr.Textbox
    suggestions: gr.HTML
    result: gr.HTML
    way_back: gr.HTML

    def outputs(self) -> list[gr.components.Component]:
        return [self.first, self.second, self.suggestions, self.result]


def shown(found: browser.Shown) -> list[Any]:
    """What was found as the values of `Knowledge.outputs()`."""
    return [found.first, found.second, str(browser.suggestions("first", ())), str(found.html)]


def _opened(library: browser.Library, event: gr.EventData) -> list[Any]:
    return shown(library.look_up(_text(event), ""))


def _compared(library: browser.Library, event: gr.EventData) -> list[Any]:
    return shown(library.look_up(str(data_of(event).get("index")), _text(event)))


ARRIVE: dict[str, Any] = {"fn": None, "js": "() => { dermiq.arrive(); }", **QUICK}  # the new page's top, and focus
RETURN: dict[str, Any] = {"fn": None, "js": "() => { dermiq.comeBack(); }", **QUICK}  # the place that was left


def _wire_between(library: browser.Library, tabs: gr.Tabs, asking: Parts, knowledge: Knowledge) -> None:
    """From the consultation to a card or a comparison, and back to where the visitor was."""
    chat: Any = asking.chat
    panels: Any = asking.panels
    way_back: Any = knowledge.way_back
    outputs = [tabs, way_back, *knowledge.outputs()]

    def opened(event: gr.EventData) -> list[Any]:
        return [gr.Tabs(selected="knowledge"), str(browser.WAY_BACK), *_opened(library, event)]

    def compared(event: gr.EventData) -> list[Any]:
        return [gr.Tabs(selected="knowledge"), str(browser.WAY_BACK), *_compared(library, event)]

    for listen, handler in ((chat.open, opened), (panels.open, opened), (panels.versus, compared)):
        listen(handler, None, outputs, **QUICK).then(**ARRIVE)
    way_back.back(lambda: [gr.Tabs(selected="consult"), ""], None, [tabs, way_back], **QUICK).then(**RETURN)


def _knowledge_tab(library: browser.Library) -> Knowledge:
    """Search a condition, read its card, compare two. What is shown follows from the two fields alone."""
    way_back = html_part("dq-way-back", events=["back"])
    with gr.Row(elem_id="dq-search"):
        first, second = (_condition_field(key, label) for key, label in (("first", "Condition"), ("second", COMPARED)))
        go = gr.Button("Look up", variant="primary", elem_id="dq-look-up", scale=0, min_width=96)
    suggestions = html_part("dq-meant", browser.suggestions("first", ()), events=["pick"])
    result = html_part("dq-knowledge", library.start(), events=["open", "versus"])
    parts = Knowledge(first, second, suggestions, result, way_back)
    outputs = parts.outputs()

    def pick(one: str, other: str, event: gr.EventData) -> list[Any]:
        chosen = _text(event)
        is_second = data_of(event).get("index") == "second"
        return shown(library.look_up(one, chosen) if is_second else library.look_up(chosen, other))

    gr.on(
        [go.click, first.submit, second.submit],
        lambda one, other: shown(library.look_up(one, other)),
        [first, second],
        outputs,
        **QUICK,
    ).then(
        lambda: str(browser.suggestions("first", ())), None, [suggestions], **QUICK
    )  # some still came from the typing
    for key, field in (("first", first), ("second", second)):
        typed = partial(library.suggestions, key)
        field.input(lambda text, s=typed: str(s(text)), [field], [suggestions], trigger_mode="always_last", **QUICK)
    meant: Any = suggestions
    page: Any = result

    def open_card(event: gr.EventData) -> list[Any]:
        return _opened(library, event)

    def versus(event: gr.EventData) -> list[Any]:
        return _compared(library, event)

    meant.pick(pick, [first, second], outputs, **QUICK).then(**ARRIVE)
    page.open(open_card, None, outputs, **QUICK).then(**ARRIVE)
    page.versus(versus, None, outputs, **QUICK).then(**ARRIVE)
    return parts


COMPARED = "Compare with (optional)"


def _condition_field(key: str, label: str) -> gr.Textbox:
    return gr.Textbox(
        label=label,
        placeholder="Name, lay word or abbreviation",
        max_length=browser.MAX_TYPED,
        lines=1,
        max_lines=1,
        elem_id=f"dq-{key}",
        min_width=220,
    )


def _about_tab() -> None:
    def static(value: object) -> None:
        gr.HTML(str(value), apply_default_css=False, js_on_load=None)

    static(about.PURPOSE)
    for title, folder in about.CARDS:
        text = about.card_markdown(folder)
        if text is None:
            static(
                fill(
                    '<h2 class="dq-h">{t}</h2><p class="dq-placeholder">No model card comes with these weights.</p>',
                    t=title,
                )
            )
        else:
            gr.Markdown(text, elem_classes="dq-model-card")
        static(about.measured(folder))


def _poll(consultant: Consultant, training: TrainingRoom, top: gr.HTML) -> None:
    """Follow in the bar which model answers, how far it is loaded, and what is being trained."""
    timer, shown = gr.Timer(BAR_SECONDS), gr.State("")

    def tick(before: str) -> tuple[Any, Any]:
        now = bar(consultant, training.training())
        return (gr.skip(), gr.skip()) if now == before else (now, now)

    timer.tick(tick, [shown], [top, shown], **QUICK)


def _lifetime(page: gr.Blocks, room: consult.ConsultRoom, visit: gr.State) -> None:
    """When the tab closes, the visit is forgotten at once, not when its time runs out."""
    visits: dict[str, Visit] = {}

    def opened(v: Visit, request: gr.Request) -> None:
        if request.session_hash:
            visits[request.session_hash] = v

    def closed(request: gr.Request) -> None:
        gone = visits.pop(request.session_hash or "", None)
        if gone is not None:
            room.close(gone)
            page.state_holder.session_data.pop(request.session_hash or "", None)  # it holds what was last shown

    page.load(opened, [visit], None, **QUICK)
    page.unload(closed)


def theme() -> gr.themes.Base:
    """Only fonts that are bundled with gradio: no font is fetched from elsewhere.

    Bold, not semi-bold: the bundled semi-bold file lacks most Latin letters.
    """
    fonts = (gr.themes.Font("system-ui"), gr.themes.Font("sans-serif"))
    return gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="sm",
        text_size="sm",
        font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), *fonts),
        font_mono=(gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), gr.themes.Font("monospace")),
    )


def launch_options(settings: Settings) -> dict[str, Any]:
    """How the page is served: one address, no share link, no monitoring, no history, behind the gate."""
    os.environ["FORWARDED_ALLOW_IPS"] = believed_proxies(settings)  # uvicorn, which gradio starts, reads it there alone
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": False,
        "quiet": True,
        "theme": theme(),
        "head": scripts("page.js"),
        "css": "\n".join([*((STATIC / name).read_text(encoding="utf-8") for name in STYLES), curves.css()]),
        "allowed_paths": [str(exports_folder(settings))],
        "max_file_size": MAX_FILE,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "mcp_server": False,
        "_frontend": False,  # gradio's look at its own page gives up, and ends the app, after 3 s on a busy machine
        "state_session_capacity": 500,
        "max_threads": MOST_ASKED + 40,  # a question that waits holds one; gradio's own default is 40
        "app_kwargs": {
            "lifespan": guarded(settings, exports_folder(settings)),
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
    }
