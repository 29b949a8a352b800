"""What is told of the patient, as fields of the page, and what they say. All of it may stay empty."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from dermiq.patient import age_of, sex_of, site_of, skin_type_of
from dermiq.types import PatientContext

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


def context_fields() -> list[gr.components.Component]:
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


EMPTY_CONTEXT: tuple[object, ...] = ("", NOT_STATED, NOT_STATED, NOT_STATED, [])


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
