"""The Knowledge tab as gradio components: two fields, and the cards or the comparison that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from dermiq.language import N_, _
from dermiq.ui.component import QUICK, Part, data_of, html_part, text_of
from dermiq.ui.library import lookup
from dermiq.ui.markup import spoken

CONDITION, COMPARED = N_("Condition"), N_("Compare with (optional)")


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


def shown(found: lookup.Shown) -> list[object]:
    """What was found as the values of `Knowledge.outputs()`."""
    return [found.first, found.second, str(lookup.suggestions("first", ())), str(found.html + spoken(found.said))]


def _opened(library: lookup.Library, event: gr.EventData) -> list[object]:
    return shown(library.look_up(text_of(event), ""))


def _compared(library: lookup.Library, event: gr.EventData) -> list[object]:
    return shown(library.look_up(str(data_of(event).get("index")), text_of(event)))


ARRIVE: dict[str, Any] = {"fn": None, "js": "() => { dermiq.arrive(); }", **QUICK}  # the new page's top, and focus
RETURN: dict[str, Any] = {"fn": None, "js": "() => { dermiq.comeBack(); }", **QUICK}  # the place that was left


def open_from(chat: Part, panels: Part, *, library: lookup.Library, tabs: gr.Tabs, knowledge: Knowledge) -> None:
    """From the consultation to a card or a comparison, and back to where the visitor was."""
    way_back: Part = knowledge.way_back
    outputs = [tabs, way_back, *knowledge.outputs()]

    def opened(event: gr.EventData) -> list[object]:
        return [gr.Tabs(selected="knowledge"), str(lookup.way_back()), *_opened(library, event)]

    def compared(event: gr.EventData) -> list[object]:
        return [gr.Tabs(selected="knowledge"), str(lookup.way_back()), *_compared(library, event)]

    for listen, handler in ((chat.open, opened), (panels.open, opened), (panels.versus, compared)):
        listen(handler, None, outputs, **QUICK).then(**ARRIVE)
    way_back.back(lambda: [gr.Tabs(selected="consult"), ""], None, [tabs, way_back], **QUICK).then(**RETURN)


def knowledge_tab(library: lookup.Library) -> Knowledge:
    """Search a condition, read its card, compare two. What is shown follows from the two fields alone."""
    way_back = html_part("dq-way-back", events=["back"])
    with gr.Row(elem_id="dq-search"):
        first, second = (_condition_field(key, label) for key, label in (("first", CONDITION), ("second", COMPARED)))
        go = gr.Button(_("Look up"), variant="primary", elem_id="dq-look-up", scale=0, min_width=96)
    suggestions = html_part("dq-meant", lookup.suggestions("first", ()), events=["pick"])
    result = html_part("dq-knowledge", library.start() + spoken(""), events=["open", "versus"])
    parts = Knowledge(first, second, suggestions, result, way_back)
    outputs = parts.outputs()

    def pick(one: str, other: str, event: gr.EventData) -> list[object]:
        chosen = text_of(event)
        is_second = data_of(event).get("index") == "second"
        return shown(library.look_up(one, chosen) if is_second else library.look_up(chosen, other))

    gr.on(
        [go.click, first.submit, second.submit],
        lambda one, other: shown(library.look_up(one, other)),
        [first, second],
        outputs,
        **QUICK,
    ).then(
        lambda: str(lookup.suggestions("first", ())), None, [suggestions], **QUICK
    )  # some still came from the typing
    for key, field in (("first", first), ("second", second)):
        typed = partial(library.suggestions, key)
        field.input(lambda text, s=typed: str(s(text)), [field], [suggestions], trigger_mode="always_last", **QUICK)
    meant: Part = suggestions
    found: Part = result

    def open_card(event: gr.EventData) -> list[object]:
        return _opened(library, event)

    def versus(event: gr.EventData) -> list[object]:
        return _compared(library, event)

    meant.pick(pick, [first, second], outputs, **QUICK).then(**ARRIVE)
    found.open(open_card, None, outputs, **QUICK).then(**ARRIVE)
    found.versus(versus, None, outputs, **QUICK).then(**ARRIVE)
    return parts


def _condition_field(key: str, label: str) -> gr.Textbox:
    return gr.Textbox(
        label=_(label),
        placeholder=_("Name, lay word or abbreviation"),
        max_length=lookup.MAX_TYPED,
        lines=1,
        max_lines=1,
        elem_id=f"dq-{key}",
        min_width=220,
    )
