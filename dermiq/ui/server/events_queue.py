"""Gradio's queue of events, made to rest while nothing is in it, and to let go of what an event carried.

It looks for work more than a thousand times a second, which is 6 % of a core with nobody there; and the last event
stays in a local variable of its loop, a visitor's question and patient with it, until the next one comes.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

LOOK_SECONDS = 0.05  # between two looks at the queue while there is nothing in it
PROGRESS_SECONDS = 0.5  # between two looks at gradio's own progress bars, of which the page has none


def tend(page: gr.Blocks) -> None:
    """Before the page is launched."""
    queue: Any = page._queue
    queue.sleep_when_free = LOOK_SECONDS
    queue.progress_update_sleep_when_free = PROGRESS_SECONDS
    process = queue.process_events

    async def process_and_forget(events: list[Any], *rest: Any) -> None:
        try:
            await process(events, *rest)
        finally:
            for event in events:
                event.data = None
                vars(event.request).pop("_json", None)
                vars(event.request).pop("_body", None)

    queue.process_events = process_and_forget
