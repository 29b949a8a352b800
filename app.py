"""Starts DermIQ: the page first, the models behind it.

    python app.py [--model NAME] [--adapter NAME] [--load-in-4bit] [--device cpu] [--host 127.0.0.1] [--port 7860]

The page answers while the models still load, and says when they are ready. A Space runs this file too.
"""

from __future__ import annotations

import logging
import os

from dermiq.settings import Settings

# Read by the libraries when they are imported. Spinning threads make a shared machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


log = logging.getLogger("dermiq")


def main(argv: list[str] | None = None) -> None:
    settings = Settings.load(argv)  # before anything heavy, so that a wrong flag is refused at once
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    from dermiq.ui.serving import private_temp

    private_temp()

    from dermiq.consultant import LocalConsultant
    from dermiq.lesion.drawn import drawn_examples
    from dermiq.ui.app import create_app, launch_options

    consultant = LocalConsultant(settings)
    page = create_app(consultant, settings, examples=drawn_examples())
    consultant.start()  # loads in the background
    log.info("the page is at http://%s:%s; the models load behind it", settings.host, settings.port)
    try:
        page.launch(**launch_options(settings))
    except OSError as error:
        raise SystemExit(f"Port {settings.port} cannot be used ({error}). Choose another with --port.") from error


if __name__ == "__main__":
    main()
