"""Who still holds a question after its case was closed: the page and a visitor of it in one process.

    python -m tests.nightly.held            # a fake consultant
    python -m tests.nightly.held --models   # the real readers
    python -m tests.nightly.held --program  # a program in the place of the visitor

Prints a line for each object that has the question's text in it, and exits with their number. What was freed but not
yet written over is not in Python's hands, and not looked for.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import os
import tempfile
import time
import types
import warnings
from collections.abc import Iterator
from typing import Any

import httpx

MARK = "".join(["zebra", "finch", " quokka"])  # of the words of the question alone, nowhere as they stand in it


def holders(mark: str) -> Iterator[str]:
    """Objects that Python's collector knows, which hold a text that has the mark in it."""
    gc.collect()
    for thing in gc.get_objects():
        if type(thing) is types.FrameType and thing.f_code.co_filename == __file__:
            continue
        for value in gc.get_referents(thing):
            if type(value) not in (str, bytes):  # asking an object for its class may import a library
                continue
            text = value.decode("latin-1") if type(value) is bytes else value
            if mark in text and text != mark:
                yield f"{type(thing).__name__} of {type(thing).__module__}: {text[:60]!r}"


async def _one_case(address: str) -> None:
    from tests.nightly.visitors import Visitor

    visitor = Visitor(address, 5)
    visitor.name = f"{visitor.name} {MARK}"
    async with visitor.visit():
        await visitor.upload()
        await visitor.ask("Why?")
        await visitor.ask("Why not a nevus?")
    await asyncio.sleep(3)  # the server sees that the tab was closed


def _one_program(address: str) -> None:
    """Asks by gradio's client, which names a session, and by hand."""
    from gradio_client import Client

    from tests.fakes import picture, png

    image = base64.b64encode(png(picture())).decode()
    asked = {"images": [image], "question": f"Is this {MARK}?"}
    client = Client(address, verbose=False, analytics_enabled=False)
    assert client.predict(**asked, api_name="/assess")["text"]
    client.close()
    httpx.post(f"{address}/gradio_api/run/assess", json=asked, timeout=300).raise_for_status()
    httpx.post(f"{address}/gradio_api/run/compare", json={"first": MARK, "second": MARK}, timeout=300)
    time.sleep(1)  # the server's own part of the last request ends after its answer


def main() -> int:
    parser = argparse.ArgumentParser(description="Who still holds a question after its case was closed.")
    parser.add_argument("--models", action="store_true", help="with the real readers")
    parser.add_argument("--program", action="store_true", help="ask as a program does")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of libraries whose objects are looked at
    folder = tempfile.mkdtemp(prefix="held-")
    os.environ |= {"DERMIQ_RUNS": f"{folder}/runs", "DERMIQ_REVIEW": f"{folder}/review"}
    from dermiq.ui.server.serving import private_temp

    private_temp()
    from dermiq.lesion.drawn import drawn_examples
    from dermiq.settings import Settings
    from dermiq.ui.app import create_app, launch_options
    from tests.fakes import FakeConsultant
    from tests.page import free_port

    settings = Settings(port=free_port())
    consultant: Any = FakeConsultant()
    if options.models:
        from dermiq.consultant import LocalConsultant

        consultant = LocalConsultant(settings)
        consultant.load()
    page = create_app(consultant, settings, examples=drawn_examples())
    page.launch(prevent_thread_lock=True, **launch_options(settings))
    address = f"http://127.0.0.1:{settings.port}"
    if options.program:
        _one_program(address)
    else:
        asyncio.run(_one_case(address))
    if not options.models:
        consultant.asked.clear()  # which the fake keeps for its tests
    found = list(holders(MARK))
    page.close(verbose=False)
    print("\n".join(found) or "Nothing holds it.")
    return len(found)


if __name__ == "__main__":
    os._exit(main())
