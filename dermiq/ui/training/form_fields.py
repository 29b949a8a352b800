"""The form that starts a run, as gradio's own components: a field for each option, made from the option's dataclass.

What gradio cannot do stays out of it: a number is a text field, since `gr.Number` sends 0 where it was emptied, shows
0.00001 for 1e-5, and drops what is no number instead of saying why; what came of Start is HTML, since `gr.Markdown` is
no live region, and has no bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from dermiq.language import _
from dermiq.ui.component import html_part
from dermiq.ui.server.upload import private_file
from dermiq.ui.training.form import Form
from dermiq.ui.training.form_shown import Props, at_first, elem_id, is_several, options_at, sections, titles
from dermiq.ui.training.labels import STAGES, bare
from train.options import Option
from train.pipeline import STAGES as IN_A_ROW

CUSTOM = ("model", "data", "device")
"""Chosen or typed: a run, a folder, a file or a name of the hub; another GPU."""
PLAIN = gr.InputHTMLAttributes(autocomplete="off", spellcheck=False)
NARROW, WIDE = 130, 260  # pixels from which on a field stands beside another
Parts = dict[str, Any]
"""The components of the form by the names of `form_shown.shown`."""


def form_fields(form: Form, *, locked: bool) -> Parts:
    """Built where it is called. `locked`: nothing can be started, and the fields only show."""
    return _Fields(at_first(form), interactive=not locked).build()


class _Fields:
    def __init__(self, first: Mapping[str, Props], *, interactive: bool) -> None:
        self._first, self._on = first, interactive
        self.parts: Parts = {}

    def build(self) -> Parts:
        with self._keep("form", gr.Column(elem_id="dq-form", visible=False)):
            self._keep("key", gr.Textbox(visible=False, **self._of("key")))
            known = [(title, stage) for stage, (title, _) in STAGES.items()]
            self._add("stage", gr.Dropdown, choices=known, label=_("What to train"), filterable=False)
            self._add("preset", gr.Dropdown, label=_("Begin with"), filterable=False)
            self._button("plain", _("Take the preset alone"))
            self._add("name", gr.Textbox, max_lines=1, html_attributes=PLAIN)
            for name in ("stages", "model"):
                self._option(name, options_at()[name])
            for stage in IN_A_ROW:
                self._stage(stage)
            self._file()
            self._keep("estimated", gr.Markdown(**self._of("estimated")))
            with self._fold("parts", _("What takes the memory")):
                self._keep("parts", gr.Markdown())
            self._launch()
        return self.parts

    # --- one component ---

    def _of(self, key: str) -> dict[str, Any]:
        return {"elem_id": elem_id(key), **self._first.get(key, {})}

    def _keep(self, key: str, made: Any) -> Any:
        self.parts[key] = made
        return made

    def _add(self, key: str, kind: Any, **more: Any) -> None:
        made = self._keep(key, kind(**{"interactive": self._on, "min_width": WIDE, **more, **self._of(key)}))
        vars(made).update(preprocess=_as_sent)  # the choices of the moment are the page's: the form judges the value

    def _button(self, key: str, title: str, *, variant: Any = "secondary") -> None:
        made = {"interactive": self._on, **self._of(key)}
        self._keep(key, gr.Button(title, variant=variant, size="md", min_width=100, **made))

    def _fold(self, key: str, label: str = "") -> Any:
        own = {"label": label, "open": False, **self._of(f"fold.{key}")}
        return self._keep(f"fold.{key}", gr.Accordion(**own))

    # --- the options ---

    def _stage(self, stage: str) -> None:
        essentials, *rest = sections(stage).items()
        with self._fold(stage):
            self._row(essentials[1])
            with self._fold(f"{stage}.All settings"):
                for title, keys in rest:
                    with self._fold(f"{stage}.{title}"):
                        self._row(keys)

    def _row(self, keys: Sequence[str]) -> None:
        with gr.Row(elem_classes="dq-fields"):
            for key in keys:
                self._option(key, options_at()[key])

    def _option(self, key: str, option: Option) -> None:
        known, is_free = titles(option), bare(option.name) in CUSTOM
        if option.kind is bool:
            self._add(key, gr.Checkbox)
        elif is_several(option) or known or is_free:
            self._add(
                key,
                gr.Dropdown,
                choices=[(title, value) for value, title in known.items()],
                multiselect=is_several(option) or None,
                allow_custom_value=is_free,
                filterable=is_free or len(known) > 9,
            )
        else:
            is_number = option.item_kind is not str and not option.is_list
            width = NARROW if is_number else WIDE
            self._add(key, gr.Textbox, max_lines=1, html_attributes=PLAIN, min_width=width)

    # --- the file and the start ---

    def _file(self) -> None:
        with self._fold("file", _("The file that will run")):
            copied = {"lines": 3, "max_lines": 14, "buttons": ["copy"], "html_attributes": PLAIN}
            self._add("yaml", gr.Textbox, label=_("The options as YAML"), elem_classes=[], **copied)
            with gr.Row():
                self._button("discard", _("Discard this text"))
                self._button("saveyaml", _("Save as a file"))
            load = private_file(label=_("Load a file"), height=90, interactive=self._on, elem_id=elem_id("load"))
            self._keep("load", load)
            self._add("command", gr.Textbox, label=_("The same from a terminal"), **{**copied, "interactive": False})

    def _launch(self) -> None:
        with gr.Column(elem_id="dq-launch"):
            self._keep("said", html_part("dq-launch-said", **self._first["said"]))
            with gr.Row():
                self._button("start", _("Start"), variant="primary")
                self._button("startanyway", _("Start anyway"), variant="stop")
                self._button("estimate", _("Estimate"))
                self._button("cancel", _("Cancel"))


def _as_sent(payload: Any) -> Any:
    return payload


HEARD = ("key", "stage", "preset", "name", *options_at())
"""The fields whose values go with each event."""


def listened(parts: Parts) -> list[Any]:
    """The events at which a visitor has given a field a new value: a text when it is left, a choice at once. `change`
    is none of them: it comes for what the page itself sets, too, while other fields still have their old values.
    """
    found = []
    for made in (parts[key] for key in HEARD[1:]):
        if isinstance(made, gr.Textbox):
            found += [made.blur, made.submit]
        else:
            found += [made.input, made.blur] if isinstance(made, gr.Dropdown) and made.multiselect else [made.input]
    return found
