"""What is told of the patient, as fields of the page, and what they say. All of it may stay empty."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from dermiq.language import N_, _
from dermiq.patient import age_of, sex_of, site_of, skin_type_of
from dermiq.types import PatientContext
from dermiq.ui.markup import fill

SITES = [
    N_("face"),
    N_("scalp"),
    N_("ear"),
    N_("neck"),
    N_("chest"),
    N_("abdomen"),
    N_("back"),
    N_("arm"),
    N_("hand"),
    N_("palm or sole"),
    N_("leg"),
    N_("foot"),
    N_("genital"),
]
SKIN_TYPES = ["I", "II", "III", "IV", "V", "VI"]
NOT_STATED = N_("not stated")
SEXES = [N_("female"), N_("male")]
SYMPTOMS = [
    (N_("itches"), "itch"),
    (N_("bled"), "bled"),
    (N_("grew"), "grew"),
    (N_("changed"), "changed"),
    (N_("hurts"), "hurts"),
]


def context_fields() -> list[gr.components.Component]:
    """Age is a text field, because gradio's empty number field sends 0, which is an age."""
    with gr.Column(elem_id="dq-context"):
        title = fill('<h2 class="dq-h">{h} <small>{s}</small></h2>', h=_("Patient"), s=_("all optional"))
        gr.HTML(str(title), apply_default_css=False, js_on_load=None)
        with gr.Row():
            age = gr.Textbox(
                label=_("Age, years"), placeholder=_(NOT_STATED), max_length=3, lines=1, max_lines=1, min_width=90
            )
            sex = gr.Dropdown(
                named([NOT_STATED, *SEXES]), value=NOT_STATED, label=_("Sex"), min_width=90, filterable=False
            )
        with gr.Row():
            site = gr.Dropdown(
                named([NOT_STATED, *SITES]), value=NOT_STATED, label=_("Site"), min_width=90, allow_custom_value=True
            )
            skin = gr.Dropdown(
                named([NOT_STATED, *SKIN_TYPES]),
                value=NOT_STATED,
                label=_("Skin type (Fitzpatrick)"),
                min_width=90,
                filterable=False,
            )
        symptoms = gr.CheckboxGroup(
            [(_(name), key) for name, key in SYMPTOMS], label=_("Reported by the patient"), min_width=200
        )
    return [age, sex, site, skin, symptoms]


def named(values: Sequence[str]) -> list[tuple[str, str]]:
    """Each value with what the page calls it: what is chosen is the same in every language."""
    return [(_(value), value) for value in values]


EMPTY_CONTEXT: tuple[object, ...] = ("", NOT_STATED, NOT_STATED, NOT_STATED, [])


def context_of(
    age: str | None, sex: str | None, site: str | None, skin: str | None, symptoms: Sequence[str] | None
) -> PatientContext:
    """What the fields say. Raises InputError at a value that is none."""
    return PatientContext(
        age=age_of(age, whole=True),
        sex=sex_of(sex),
        site=site_of({_(name): name for name in SITES}.get(site or "", site)),  # typed as the list has it
        skin_type=skin_type_of(skin),
        symptoms=tuple(s for _, s in SYMPTOMS if s in (symptoms or ())),
    )
