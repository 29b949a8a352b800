"""Starts the page first and the models behind it: what `dermiq app` and `python app.py` do.

The page answers while the models still load, and says when they are ready.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from dermiq.places import is_space
from dermiq.settings import Settings

if TYPE_CHECKING:
    from dermiq.consultant import LocalConsultant
    from dermiq.ui.protocol import Consultant

# Read by the libraries when they are imported. Spinning threads make a shared machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


log = logging.getLogger("dermiq")


def launch(settings: Settings) -> None:
    """Serves the page until it is interrupted. SystemExit with a sentence where its port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    for name in ("runs", "data", "review", "cache"):  # a flag holds for the runs that the page starts, too
        if getattr(settings, name):
            os.environ[f"DERMIQ_{name.upper()}"] = str(getattr(settings, name))

    from dermiq import memory
    from dermiq.ui.server.serving import private_temp

    memory.few_heaps()
    private_temp()

    from dermiq.lesion.drawn import drawn_examples
    from dermiq.ui.app import create_app, launch_options
    from dermiq.ui.consult.lazy_consultant import Behind

    consultant = Behind(lambda: local_consultant(settings), name=settings.model or "DermIQ-Nano")
    page = create_app(consultant, settings, examples=drawn_examples())
    try:
        page.launch(prevent_thread_lock=True, **launch_options(settings))
    except OSError as error:
        raise SystemExit(f"Port {settings.port} cannot be used ({error}). Choose another with --port.") from error
    log.info("the page is at http://%s:%s; the models load behind it", settings.host, settings.port)
    consultant.start()  # after the page, whose start it would slow down
    page.block_thread()


def local_consultant(settings: Settings) -> Consultant:
    """The readers on this machine, loading. Imports torch and transformers: seconds of work."""
    from dermiq.consultant import LocalConsultant
    from dermiq.examples import Examples

    made = LocalConsultant(settings, examples=Examples(kg=settings.kg))
    made.start()
    if is_space():  # where nothing runs between the upload and the start, unlike in a container's image
        threading.Thread(target=_answer_examples, args=(made,), name="examples", daemon=True).start()
    return made


def _answer_examples(made: LocalConsultant) -> None:
    try:
        kept = [kept for *_, kept in made.answer_examples()]
        log.info("%d of %d answers to examples are kept", sum(kept), len(kept))
    except Exception:
        log.exception("the examples were not answered ahead")
