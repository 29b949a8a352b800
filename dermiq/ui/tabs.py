"""The tabs of the page, in their order. To add one, add a `Tab` to `TABS`.

    Tab("hello", "Hello", build=lambda page: gr.Markdown(f"{page.consultant.name} answers."))

Handlers may hold whatever they like, but components only plain values and functions: gradio copies its configuration
for every visitor, and all that is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import gradio as gr

from dermiq.language import N_, _
from dermiq.types import Json
from dermiq.ui import about
from dermiq.ui.component import QUICK, Part, styles
from dermiq.ui.consult.controller import ConsultController
from dermiq.ui.consult.tab import consult_tab
from dermiq.ui.library.lookup import Library
from dermiq.ui.library.tab import knowledge_tab, open_from
from dermiq.ui.markup import fill
from dermiq.ui.protocol import Consultant
from dermiq.ui.review.controller import ReviewController
from dermiq.ui.review.tab import review_tab
from dermiq.ui.training import curves
from dermiq.ui.training.controller import TrainingController
from dermiq.ui.training.tab import training_tab


@dataclass(frozen=True)
class Page:
    """What tabs share: whom they ask, and the page around them."""

    consultant: Consultant
    consultation: ConsultController
    library: Library
    training: TrainingController
    review: ReviewController
    blocks: gr.Blocks
    top: Part  # the bar, with its events `about` and `training`
    tabs: gr.Tabs
    tab: dict[str, gr.Tab] = field(default_factory=dict)  # by key
    made: Json = field(default_factory=dict)  # what each tab's `build` gave, by key


@dataclass(frozen=True)
class Tab:
    """`build` makes its components; `connect`, when all tabs are there, leads from one to another."""

    key: str  # by which it is opened: gr.Tabs(selected=key)
    title: str
    build: Callable[[Page], object]
    connect: Callable[[Page], None] = lambda page: None
    css: Callable[[], str] = lambda: ""  # of its own parts

    @property
    def elem_id(self) -> str:
        return f"dq-{self.key}-tab"


def _to_knowledge(page: Page) -> None:
    asking, knowledge = page.made["consult"], page.made["knowledge"]
    open_from(asking.chat, asking.panels, library=page.library, tabs=page.tabs, knowledge=knowledge)


def _to_training(page: Page) -> None:
    watch = page.made["training"]
    watch.while_open(page.tab["training"], others=[tab for key, tab in page.tab.items() if key != "training"])
    watch.opened_by(page.top.training, page.tabs)
    watch.prefilled_by(page.made["review"].train, page.tabs)


def _to_about(page: Page) -> None:
    page.top.about(lambda: gr.Tabs(selected="about"), outputs=[page.tabs], **QUICK)


def _about_tab() -> None:
    def static(value: object) -> None:
        gr.HTML(str(value), apply_default_css=False, js_on_load=None)

    static(about.purpose())
    for told in (about.facts(), about.kept()):
        gr.Markdown(told, elem_classes=["dq-model-card", "dq-wrap"])
    for title, folder in about.CARDS:
        text = about.card_markdown(folder)
        if text is None:
            static(
                fill(
                    '<h2 class="dq-h">{t}</h2><p class="dq-placeholder">{line}</p>',
                    t=_(title),
                    line=_("No model card comes with these weights."),
                )
            )
        else:
            gr.Markdown(text, elem_classes="dq-model-card")
        static(about.measured(folder))


def _training_css() -> str:
    return styles("training-form.css", "training-watch.css", "training.css") + curves.css()


TABS = (
    Tab("consult", N_("Consult"), lambda page: consult_tab(page.consultation, page.blocks)),
    Tab("knowledge", N_("Knowledge"), lambda page: knowledge_tab(page.library), _to_knowledge),
    Tab("training", N_("Training"), lambda page: training_tab(page.training), _to_training, _training_css),
    Tab("review", N_("Review"), lambda page: review_tab(page.review), css=lambda: styles("review.css")),
    Tab("about", N_("About"), lambda page: _about_tab(), _to_about),
)
