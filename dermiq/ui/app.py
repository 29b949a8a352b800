"""The page as a gradio app: the bar, and the tabs of `dermiq.ui.tabs` below it.

`create_app` builds it without starting anything; `launch_options` says how it is served.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import gradio as gr
import numpy as np

from dermiq import language
from dermiq.language import N_, _, said
from dermiq.settings import Settings
from dermiq.types import Json
from dermiq.ui.component import MOST_ASKED, QUICK, html_part, scripts, styles, texts
from dermiq.ui.consult.controller import ConsultController
from dermiq.ui.library.lookup import Library
from dermiq.ui.markup import fill
from dermiq.ui.programs import description, offer
from dermiq.ui.programs.calls import Calls
from dermiq.ui.protocol import Consultant
from dermiq.ui.review.controller import review_controller
from dermiq.ui.server import events_queue
from dermiq.ui.server.serving import believed_proxies, guarded
from dermiq.ui.tabs import TABS, Page
from dermiq.ui.training.controller import TrainingController, exports_folder, training_controller

MAX_FILE = "25mb"
CACHE_S, STALE_CACHE_S = 600, 1200  # between two looks at the files of gradio; how old one is that then goes
BAR_SECONDS = 1.0  # between two looks at what the bar says
NOTICE = N_("Research demonstration for clinicians. Not a medical device, not for diagnosis.")
IN_ENGLISH = N_("Answers and sourced facts are in English.")


def bar(consultant: Consultant, training: str = "") -> str:
    """`training`: what is being trained now, in words."""
    ready = consultant.ready()
    status = _("ready") if ready else said(consultant.status())
    notice = _(NOTICE) if language.is_english() else f"{_(NOTICE)} {_(IN_ENGLISH)}"
    return str(
        fill(
            '<header class="dq-bar"><div><h1>DermIQ</h1> <p>{notice}</p></div><p class="dq-bar-right">'
            '<span>{name}</span>{device}<span class="dq-status{kind}" role="status">{status}</span>{training}'
            '<button type="button" class="dq-link" data-event="about">{about}</button></p></header>',
            notice=notice,
            about=_("About this model"),
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
    """The whole page. `examples` are drawings: (title, pixels). InputError at settings that do not go together."""
    offer.check_settings(settings)
    language.use(settings.language)
    library = Library(settings.kg)
    training = training_controller(consultant, settings, graph=lambda: library.graph)
    review = review_controller(settings, graph=lambda: library.graph, runs=training.root)
    consultation = ConsultController(training.beside, examples, name=library.name, contributions=review.contributions)
    blocks: gr.Blocks
    with gr.Blocks(
        title="DermIQ", analytics_enabled=False, fill_width=True, delete_cache=(CACHE_S, STALE_CACHE_S)
    ) as blocks:
        top = html_part("dq-top", bar(training.beside), events=["about", "training"])
        with gr.Tabs(elem_id="dq-tabs") as tabs:
            page = Page(training.beside, consultation, library, training, review, blocks, top, tabs)
            for tab in TABS:
                with gr.Tab(_(tab.title), id=tab.key, elem_id=tab.elem_id) as page.tab[tab.key]:
                    page.made[tab.key] = tab.build(page)
        for tab in TABS:
            tab.connect(page)
        _poll(training.beside, training, top)
        if settings.api:
            offer.offer(blocks, Calls(training.beside, graph=lambda: library.graph))
    events_queue.tend(blocks)
    return blocks


def _poll(consultant: Consultant, training: TrainingController, top: gr.HTML) -> None:
    """Follow in the bar which model answers, how far it is loaded, and what is being trained."""
    timer, shown = gr.Timer(BAR_SECONDS), gr.State("")

    def tick(before: str) -> tuple[object, object]:
        now = bar(consultant, training.training())
        return (gr.skip(), gr.skip()) if now == before else (now, now)

    timer.tick(tick, [shown], [top, shown], **QUICK)


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


def launch_options(settings: Settings) -> Json:
    """How the page is served: one address, no share link, no monitoring, no history, behind the gate."""
    os.environ["FORWARDED_ALLOW_IPS"] = believed_proxies(settings)  # uvicorn, which gradio starts, reads it there alone
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "share": False,
        "quiet": True,
        "theme": theme(),
        "head": texts() + scripts("page.js"),
        "css": "\n".join([styles("page.css"), *(tab.css() for tab in TABS)]),
        "allowed_paths": [str(exports_folder(settings))],
        "max_file_size": MAX_FILE,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "mcp_server": settings.mcp,
        "_frontend": False,  # gradio's look at its own page gives up, and ends the app, after 3 s on a busy machine
        "state_session_capacity": 500,
        "max_threads": MOST_ASKED + offer.MOST + 40,  # a question that waits holds one; gradio's own default is 40
        "app_kwargs": {
            "lifespan": guarded(settings, exports_folder(settings), launched=offer.as_json),
            "routes": [description.route()] if settings.api else [],
            "docs_url": None,
            "redoc_url": None,
            "openapi_url": None,
        },
    }
