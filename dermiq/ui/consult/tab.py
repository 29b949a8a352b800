"""The Consult tab as gradio components: which part shows what, and which action leads to which handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import gradio as gr

from dermiq import report
from dermiq.errors import InputError
from dermiq.language import _, said
from dermiq.ui.component import ASKED, QUICK, SLOW, Part, data_of, fields_of, html_part, text_of
from dermiq.ui.consult import controller as consult
from dermiq.ui.consult.patient_fields import EMPTY_CONTEXT, context_fields, context_of
from dermiq.ui.consult.visit import Visit
from dermiq.ui.markup import download
from dermiq.ui.server.upload import private_file

STATE_SECONDS = 4 * 3600  # a visit that nobody touched for so long is forgotten


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


def updates(frame: consult.Frame) -> list[object]:
    """A frame as the values of `Parts.outputs()`."""
    html = [frame.viewer, frame.chat, frame.suggestions, frame.panels, frame.urgency]
    values: list[object] = [gr.skip() if h is None else str(h) for h in html]
    values.append(gr.update(value="") if frame.clear_question else gr.skip())
    running, ready = frame.running, frame.reportable
    values += (
        [gr.skip(), gr.skip()] if running is None else [gr.update(visible=not running), gr.update(visible=running)]
    )
    return values + ([gr.skip()] * 2 if ready is None else [gr.update(interactive=ready)] * 2)


def consult_tab(controller: consult.ConsultController, blocks: gr.Blocks) -> Parts:
    def closed(gone: Visit) -> None:  # no bound method: gradio copies its configuration for every page, and all in it
        controller.close(gone)

    visit = gr.State(Visit(), time_to_live=STATE_SECONDS, delete_callback=closed)
    first = controller.frame(Visit())
    with gr.Row(elem_id="dq-consult"):
        with gr.Column(elem_id="dq-left", scale=0, min_width=300):
            viewer_events = ["example", "show", "remove", "layer", "view", "taken"]
            viewer = html_part("dq-viewer", first.viewer, events=viewer_events)
            upload = private_file(
                file_count="multiple",
                elem_id="dq-upload",
                visible="hidden",
                label=_("Images of one lesion"),
            )
            fields = context_fields()
            new = gr.Button(_("New case"), size="md", elem_id="dq-new")
        with gr.Column(elem_id="dq-right", scale=1, min_width=320):
            chat = html_part(
                "dq-chat",
                first.chat,
                events=["insist", "retry", "understood", "imagecheck", "open", "opinion", "keepanswer", "takeback"],
            )
            with gr.Row(elem_id="dq-ask"):
                question = gr.Textbox(
                    placeholder=_("Ask about this lesion"),
                    label=_("Question"),
                    show_label=False,
                    lines=1,
                    max_lines=4,
                    max_length=consult.MAX_QUESTION,
                    elem_id="dq-question",
                    scale=1,
                    container=False,
                )
                send = gr.Button(_("Send"), variant="primary", elem_id="dq-send", scale=0, min_width=88)
                stop = gr.Button(_("Stop"), variant="stop", elem_id="dq-stop", scale=0, min_width=88, visible=False)
            suggestions = html_part("dq-suggest", first.suggestions, events=["suggest"])
    panels = html_part("dq-panels", first.panels, events=["open", "versus"])
    with gr.Row(elem_id="dq-foot"):
        urgency = html_part("dq-urgency", first.urgency)
        with gr.Row(elem_id="dq-report"):
            image = gr.Checkbox(
                label=_("with the image"), value=False, elem_id="dq-with-image", container=False, min_width=130
            )
            markdown = gr.Button(
                _("Report: Markdown"), size="sm", interactive=False, elem_id="dq-markdown", min_width=120
            )
            pdf = gr.Button(_("Report: PDF"), size="sm", interactive=False, elem_id="dq-pdf", min_width=100)
    outbox = html_part("dq-outbox")
    parts = Parts(viewer, chat, suggestions, panels, urgency, question, send, stop, markdown, pdf)
    _wire_images(controller, visit, parts, upload)
    _wire_questions(controller, visit, parts, fields)
    _wire_report(controller, visit, parts, image, outbox)
    _lifetime(blocks, controller, visit)
    new.click(
        lambda v: [*updates(controller.new_case(v)), *EMPTY_CONTEXT], [visit], [*parts.outputs(), *fields], **QUICK
    )
    return parts


Heard = Callable[[Visit, gr.EventData], consult.Frame]
Streamed = Callable[[Visit, gr.EventData], Iterator[consult.Frame]]


def _frame(handler: Heard) -> Callable[..., list[object]]:
    def answer(v: Visit, event: gr.EventData) -> list[object]:
        return updates(handler(v, event))

    return answer


def _frames(handler: Streamed) -> Callable[..., Iterator[list[object]]]:
    def stream(v: Visit, event: gr.EventData) -> Iterator[list[object]]:
        yield from map(updates, handler(v, event))

    return stream


def _wire_images(controller: consult.ConsultController, visit: gr.State, parts: Parts, upload: gr.File) -> None:
    outputs = parts.outputs()

    def uploaded(v: Visit, files: list[bytes] | None) -> Iterator[list[object]]:
        for frame in controller.add_images(v, files or []):
            yield [*updates(frame), None]

    upload.upload(uploaded, [visit, upload], [*outputs, upload], **SLOW)
    viewer: Part = parts.viewer
    viewer.example(_frames(lambda v, e: controller.add_example(v, index_of(e))), [visit], outputs, **SLOW)
    viewer.remove(_frames(lambda v, e: controller.remove(v, index_of(e))), [visit], outputs, **SLOW)
    quick: dict[Any, Heard] = {
        viewer.show: lambda v, e: controller.show(v, index_of(e)),
        viewer.layer: lambda v, e: controller.set_layer(v, text_of(e)),  # type: ignore[arg-type]
        viewer.view: lambda v, e: controller.describe(v, index_of(e), view=text_of(e)),
        viewer.taken: lambda v, e: controller.describe(v, index_of(e), taken=text_of(e)),
    }
    for listen, handler in quick.items():
        listen(_frame(handler), [visit], outputs, **QUICK)


def index_of(event: gr.EventData) -> int:
    """The image or example that was meant; -1 where the page sent something else."""
    value = data_of(event).get("index")
    return int(value) if isinstance(value, str | int) and str(value).isdecimal() else -1


def _key_of(event: gr.EventData) -> str:
    """Of the answer that was meant."""
    return str(data_of(event).get("index") or "")


def _wire_questions(
    controller: consult.ConsultController, visit: gr.State, parts: Parts, fields: list[gr.components.Component]
) -> None:
    outputs = parts.outputs()

    def answer(v: Visit, question: str, context: Sequence[Any]) -> Iterator[list[object]]:
        try:
            v.context = context_of(*context)
        except InputError as error:
            yield updates(controller.refuse(v, said(error)))
            return
        yield from map(updates, controller.ask(v, question))

    def ask(v: Visit, question: str | None, *context: object) -> Iterator[list[object]]:
        yield from answer(v, question or "", context)

    def suggest(
        v: Visit, age: object, sex: object, site: object, skin: object, symptoms: object, event: gr.EventData
    ) -> Iterator[list[object]]:
        yield from answer(v, text_of(event), (age, sex, site, skin, symptoms))

    def keep(v: Visit, event: gr.EventData) -> consult.Frame:
        fields = fields_of(event)
        return controller.keep(v, _key_of(event), agreed=fields.get("agreed") == "true", text=fields.get("text", ""))

    chat: Part = parts.chat
    suggestions: Part = parts.suggestions
    gr.on([parts.send.click, parts.question.submit], ask, [visit, parts.question, *fields], outputs, **ASKED)
    suggestions.suggest(suggest, [visit, *fields], outputs, **ASKED)
    chat.insist(_frames(lambda v, e: controller.insist(v)), [visit], outputs, **ASKED)
    chat.retry(_frames(lambda v, e: controller.retry(v)), [visit], outputs, **ASKED)
    chat.understood(_frames(lambda v, e: controller.understand(v, _key_of(e), text_of(e))), [visit], outputs, **ASKED)
    chat.imagecheck(_frames(lambda v, e: controller.check_image(v)), [visit], outputs, **SLOW)
    chat.takeback(_frame(lambda v, e: controller.take_back(v, _key_of(e))), [visit], outputs, **QUICK)
    chat.opinion(_frame(lambda v, e: controller.opinion(v, _key_of(e), text_of(e))), [visit], outputs, **QUICK)
    chat.keepanswer(_frame(keep), [visit], outputs, **QUICK)
    parts.stop.click(controller.stop, [visit], None, **QUICK)


def _wire_report(
    controller: consult.ConsultController, visit: gr.State, parts: Parts, image: gr.Checkbox, outbox: gr.HTML
) -> None:
    """A report travels inside the page's own answer, so that no file of it is kept or served."""

    def make(v: Visit, form: str, with_image: bool) -> str:
        answered = [e for e in v.exchanges if e.answer]
        if not answered:
            return ""
        last = answered[-1]
        assert last.answer is not None
        assert last.case is not None
        case, created = last.case, datetime.now().astimezone()
        plain = next((e.answer for e in reversed(answered) if e.answer and e.answer.intent == "plain_words"), None)
        if form == "pdf":
            content, kind = (
                report.to_pdf(case, last.answer, created=created, include_image=with_image, plain=plain),
                "application/pdf",
            )
        else:
            text = report.to_markdown(case, last.answer, created=created, include_image=with_image, plain=plain)
            content = text.encode()
            kind = "text/markdown"
        name = f"dermiq-report-{created:%Y-%m-%d-%H%M}.{'pdf' if form == 'pdf' else 'md'}"
        return str(download(name, kind, content))

    parts.markdown.click(lambda v, w: make(v, "md", w), [visit, image], [outbox], **QUICK)
    parts.pdf.click(lambda v, w: make(v, "pdf", w), [visit, image], [outbox], **QUICK)


def _lifetime(blocks: gr.Blocks, controller: consult.ConsultController, visit: gr.State) -> None:
    """When the tab closes, the visit is forgotten at once, not when its time runs out."""
    visits: dict[str, Visit] = {}

    def opened(v: Visit, request: gr.Request) -> None:
        if request.session_hash:
            visits[request.session_hash] = v

    def closed(request: gr.Request) -> None:
        gone = visits.pop(request.session_hash or "", None)
        if gone is not None:
            controller.close(gone)
            blocks.state_holder.session_data.pop(request.session_hash or "", None)  # it holds what was last shown

    blocks.load(opened, [visit], None, **QUICK)
    blocks.unload(closed)
