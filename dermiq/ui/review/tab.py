"""The Review tab as a gradio component: one part, whose script asks the `ReviewController` and gets JSON.

Not gradio's events: a vote must be acknowledged or repeated, and an event's sender is not told what came of it.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from dermiq.language import _
from dermiq.types import Json
from dermiq.ui.component import TEMPLATE, scripts
from dermiq.ui.markup import fill
from dermiq.ui.review.controller import ReviewController

SCRIPTS = ("review-zoom.js", "review-outbox.js", "review-typing.js", "review.js")
MOUNT = "dermiqReview.mount(element, server.review, (named) => trigger('train', { value: named }));"


def review_tab(controller: ReviewController) -> Any:
    """Its event `train` carries the name of a set in `value`."""

    def review(message: object) -> Json:
        return controller.answer(message)

    return gr.HTML(
        str(fill('<p class="dq-placeholder">{line}</p>', line=_("The Review tab is loading."))),
        elem_id="dq-review",
        html_template=TEMPLATE,
        js_on_load=MOUNT,
        head=scripts(*SCRIPTS),
        apply_default_css=False,
        server_functions=[review],
    )
